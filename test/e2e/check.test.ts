/** `sluice check` on what listeners, routes, backends and their TLS may say: exit codes, and lines with their places. */
import { describe, expect, test } from "bun:test";
import TOML from "@iarna/toml";
import type { Members } from "../../src/config/declaration.ts";
import { declaration } from "../../src/config/schema.ts";
import { certificate } from "../support/certificates.ts";
import { ConfigFolder } from "../support/configuration.ts";
import { runSluice } from "../support/sluice.ts";

const app = '[[backend]]\nname = "app"\nendpoints = ["127.0.0.1:9000"]';
const web = '[[listener]]\nname = "web"\nlisten = "127.0.0.1:8080"\nbackend = "app"';
const [good, other, old] = [certificate("a"), certificate("a2"), certificate("expired")];

/** What is wrong, a configuration with a "▸" in front of each place, and what is said of these in their order. */
type Case = readonly [what: string, marked: string, said: readonly string[]];

describe("warns, and takes the configuration, when", () => {
  const warnings: readonly Case[] = [
    [
      "a route is in the shadow of an earlier one",
      `${web}
       [[listener.route]]
       path_prefix = "/api"
       backend = "app"
       ▸[[listener.route]]
       path_prefix = "/api/v1"
       host = "a.test"
       backend = "app"
       ▸[[listener.route]]
       path_prefix = "/api/./v2/"
       backend = "app"
       [[listener.route]]
       path_prefix = "/apiary"
       backend = "app"
       ${app}`,
      [
        "listener.web.route.1: this route never decides: route.0, which comes first, takes all that it would",
        "listener.web.route.2: this route never decides: route.0, which comes first, takes all that it would",
      ],
    ],
    [
      "a route asks for what can't be seen together, or for what nothing is",
      `${web}
       ▸[[listener.route]]
       sni = "a.test"
       path_prefix = "/x"
       backend = "app"
       ▸[[listener.route]]
       prefix = "SSH-2.0\\r\\n"
       host = "a.test"
       backend = "app"
       ${app}`,
      [
        'listener.web.route.0: this route never decides: no opening fits "sni" and "path_prefix": what is inside TLS is seen only where TLS ends',
        'listener.web.route.1: this route never decides: no opening fits "prefix" and "host"',
      ],
    ],
    [
      "anybody could forge PROXY headers",
      `[[listener]]
       name = "web"
       listen = ":8080"
       backend = "app"
       accept_proxy = ▸"required"
       ${app}`,
      [
        "listener.web.accept_proxy: any client may send a PROXY header and name any address as its own, wanted trusted = [the addresses of the proxies in front]",
      ],
    ],
    [
      "a certificate has expired",
      `${web}
       ▸[listener.tls]
       cert = "${old.certFile}"
       key = "${old.keyFile}"
       ${app}
       ▸[backend.tls]
       cert = "${old.certFile}"
       key = "${old.keyFile}"
       ca = "${certificate("ca").certFile}"`,
      [
        "listener.web.tls: the certificate (CN=a.test) expired on 2021-01-01T00:00:00.000Z",
        "backend.app.tls: the certificate (CN=a.test) expired on 2021-01-01T00:00:00.000Z",
      ],
    ],
    [
      "keys do nothing beside what else is asked for",
      `${web}
       [listener.tls]
       cert = "${certificate("a").certFile}"
       key = "${certificate("a").keyFile}"
       client_cert = ▸"optional"
       ${app}
       [backend.tls]
       proxy_header = ▸"inside"
       [backend.health]
       path = ▸"/healthz"
       status = ▸"200"
       expect = ▸"+PONG"`,
      [
        "listener.web.tls.client_cert: does nothing without client_ca",
        "backend.app.tls.proxy_header: does nothing without send_proxy",
        'backend.app.health.path: does nothing without type = "http"',
        'backend.app.health.status: does nothing without type = "http"',
        'backend.app.health.expect: does nothing without type = "exchange"',
      ],
    ],
    [
      "a backend serves nobody, or can serve nobody",
      `${web}
       [[backend]]
       name = "app"
       endpoints = ▸[{ address = "127.0.0.1:9000", weight = 0 }]
       on_down = ▸"close"
       ▸[[backend]]
       name = "spare"
       endpoints = ["127.0.0.1:9001"]`,
      [
        "backend.app.endpoints: every endpoint has weight 0: no client can be served",
        'backend.app.on_down: without [backend.health] no endpoint is ever found down: "close" does nothing',
        'backend.spare: no listener uses the backend "spare"',
      ],
    ],
  ];
  test.each(warnings)("%s", async (_, marked, said) => {
    const { code, stdout, lines } = await check(marked);
    expect(lines).toEqual(places(marked, said).map((line) => `warning: ${line}`));
    expect([code, stdout]).toEqual([0, "config.toml: valid\n"]);
  });

  test("and says nothing of a listener whose routes are all it has", async () => {
    const listener = '[[listener]]\nname = "web"\nlisten = ":80"\n[[listener.route]]\nalpn = "h2"\nbackend = "app"';
    const { code, lines } = await check(`${listener}\n${app}`);
    expect([code, lines]).toEqual([0, []]);
  });
});

describe("refuses the configuration when", () => {
  const circle = (address: string, way: string): string =>
    `${address} is the address of listener "web", which would proxy to itself (${way}), wanted the address of another program`;
  const direct = 'listener "web" → backend "app" → listener "web"';
  const onto = (listen: string, endpoint: string): string =>
    `[[listener]]
     name = "web"
     listen = "${listen}"
     backend = "app"
     [[backend]]
     name = "app"
     endpoints = [▸"${endpoint}"]`;
  const problems: readonly Case[] = [
    [
      "a route or a listener names a backend that is not there",
      `[[listener]]
       name = "web"
       listen = ":80"
       backend = ▸"app1"
       [[listener.route]]
       host = "a.test"
       backend = ▸"storage"
       ${app}`,
      [
        'listener.web.backend: unknown backend "app1" (did you mean "app"?)',
        'listener.web.route.0.backend: unknown backend "storage", wanted one of "app"',
      ],
    ],
    [
      "a listener has neither a backend nor routes",
      `▸[[listener]]
       name = "web"
       listen = ":80"
       ${app}`,
      ['listener.web.backend: is missing, wanted for example backend = "app"'],
    ],
    [
      "a listener would proxy to itself",
      onto("127.0.0.1:8080", "127.0.0.1:8080"),
      [`backend.app.endpoints.0: ${circle("127.0.0.1:8080", direct)}`],
    ],
    [
      "a listener would proxy to itself through a wildcard address",
      onto(":8080", "127.0.0.2:8080"),
      [`backend.app.endpoints.0: ${circle("127.0.0.2:8080", direct)}`],
    ],
    [
      "a listener would proxy to itself through the other family",
      onto("[::]:8080", "localhost:8080"),
      [`backend.app.endpoints.0: ${circle("localhost:8080", direct)}`],
    ],
    [
      "a listener would proxy to itself through a path",
      onto("unix:/run/x.sock", "unix:/run/../run/./x.sock"),
      [`backend.app.endpoints.0: ${circle("unix:/run/../run/./x.sock", direct)}`],
    ],
    [
      "a listener would proxy to itself through another one",
      `${web}
       [[listener]]
       name = "inner"
       listen = "127.0.0.1:8081"
       [[listener.route]]
       host = "a.test"
       backend = "back"
       [[backend]]
       name = "app"
       endpoints = ["127.0.0.1:9000", "127.0.0.1:8081"]
       [[backend]]
       name = "back"
       endpoints = [▸{ address = "127.0.0.1:8080", backup = true }]`,
      [
        `backend.back.endpoints.0: ${circle("127.0.0.1:8080", 'listener "web" → backend "app" → listener "inner" → backend "back" → listener "web"')}`,
      ],
    ],
    [
      "a CIDR is none",
      `${web}
       allow = [▸"10.0.0.0/33", ▸"10.0.0.1/8", ▸"host"]
       deny = [▸"::/129", "::1", "2001:db8::/32"]
       ${app}`,
      [
        'listener.web.allow.0: found "10.0.0.0/33", wanted a prefix length from /0 to /32, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"',
        'listener.web.allow.1: found "10.0.0.1/8", wanted a network address, such as "10.0.0.0/8", or "10.0.0.1" for this address alone',
        'listener.web.allow.2: found "host", wanted an IP address with or without a prefix length, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"',
        'listener.web.deny.0: found "::/129", wanted a prefix length from /0 to /128, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"',
      ],
    ],
    [
      "a condition of a route does not read",
      `${web}
       [[listener.route]]
       prefix = ▸"\\\\x4"
       backend = "app"
       [[listener.route]]
       prefix = ▸'a\\q'
       backend = "app"
       [[listener.route]]
       path_prefix = ▸"api"
       host = ▸"a..b"
       backend = "app"
       [[listener.route]]
       sni = ▸"*.*.test"
       backend = "app"
       ${app}`,
      [
        String.raw`listener.web.route.0.prefix: found "\\x4", wanted two hexadecimal digits after "\x", such as "\x1f"`,
        String.raw`listener.web.route.1.prefix: found "a\\q", wanted one of the escapes \x1f (any byte), \r, \n, \t, \0 and \\ after a backslash`,
        'listener.web.route.2.path_prefix: found "api", wanted a path that begins with "/", such as "/api"',
        'listener.web.route.2.host: found "a..b", wanted a name, such as "example.com" or "*.example.com"',
        'listener.web.route.3.sni: found "*.*.test", wanted a name, or "*." and a name for all its subdomains, such as "example.com" or "*.example.com"',
      ],
    ],
    [
      "files of TLS are not there, or no files",
      `${web}
       ▸[listener.tls]
       cert = "nowhere.pem"
       key = "/"
       ${app}
       ▸[backend.tls]
       ca = "nowhere.pem"`,
      [
        'listener.web.tls: cannot read "nowhere.pem": no such file; cannot read "/": it is a directory, wanted a file',
        'backend.app.tls: cannot read "nowhere.pem": no such file',
      ],
    ],
    [
      "certificates and keys don't belong together",
      `${web}
       ▸[listener.tls]
       cert = "${good.certFile}"
       key = "${other.keyFile}"
       [[listener]]
       name = "two"
       listen = ":81"
       backend = "app"
       ▸[listener.tls]
       cert = ["${good.certFile}", "${other.certFile}", "${good.certFile}"]
       key = ["${good.keyFile}", "${other.keyFile}"]
       ${app}
       ▸[backend.tls]
       cert = "${good.certFile}"`,
      [
        "listener.web.tls: the certificate: the key does not belong to the certificate",
        "listener.two.tls: found 3 certificates and 2 keys, wanted a key for each certificate",
        "backend.app.tls: found one of cert and key, wanted both or none",
      ],
    ],
    [
      "a file of TLS holds something else",
      `${web}
       ▸[listener.tls]
       cert = "config.toml"
       key = "${good.keyFile}"
       ${app}`,
      ["listener.web.tls: the certificate: found no certificate in it"],
    ],
    [
      "checks can't work",
      `${web}
       ${app}
       [backend.health]
       interval = ▸"0s"
       timeout = ▸"0s"
       [[backend]]
       name = "two"
       endpoints = ["127.0.0.1:9001"]
       [backend.health]
       type = ▸"exchange"
       [[backend]]
       name = "three"
       endpoints = ["127.0.0.1:9002"]
       [backend.health]
       type = "http"
       path = ▸"healthz"
       status = ▸"200-"
       [[backend]]
       name = "four"
       endpoints = ["127.0.0.1:9003"]
       [backend.health]
       status = ▸"399-200"
       rise = ▸0
       expect = ▸"\\\\z"`,
      [
        'backend.app.health.interval: found "0s", wanted a duration above zero; leave [backend.health] out for no checks',
        'backend.app.health.timeout: found "0s", wanted a duration above zero',
        'backend.two.health.type: an exchange needs something to send or to expect; wanted send or expect, or type = "tcp"',
        'backend.three.health.path: found "healthz", wanted a path such as "/healthz", in visible ASCII ("%20" for a blank) and without "#"',
        'backend.three.health.status: found "200-", wanted HTTP statuses from 100 to 599, such as "200", "200-399" or "200,301-302"',
        'backend.four.health.status: found "399-200", wanted a range that begins with the lower status, such as "200-399"',
        "backend.four.health.rise: found 0, wanted a whole number from 1 to 100",
        String.raw`backend.four.health.expect: found "\\z", wanted one of the escapes \x1f (any byte), \r, \n, \t, \0 and \\ after a backslash`,
      ],
    ],
    [
      "a weight is out of range",
      `${web}
       [[backend]]
       name = "app"
       endpoints = [
         { address = "127.0.0.1:9000", weight = ▸1001 },
         { address = "127.0.0.1:9001", weight = ▸-1 },
         { address = "127.0.0.1:9002", weight = ▸1.5 },
       ]`,
      [
        "backend.app.endpoints.0.weight: found 1001, wanted a whole number from 0 to 1_000",
        "backend.app.endpoints.1.weight: found -1, wanted a whole number from 0 to 1_000",
        "backend.app.endpoints.2.weight: found 1.5, wanted a whole number from 0 to 1_000",
      ],
    ],
    [
      "a DNS server is a name",
      `[resolver]
       servers = ["127.0.0.1", "[::1]:5353", ▸"dns.test:53", ▸"127.0.0.1:0"]
       ${web}
       ${app}`,
      [
        'resolver.servers.2: found "dns.test:53", wanted an IP address with or without a port, such as "127.0.0.1:5353"',
        'resolver.servers.3: found "127.0.0.1:0", wanted an IP address with or without a port, such as "127.0.0.1:5353"',
      ],
    ],
    [
      "something is asked for that is not there yet",
      `[forwarding]
       workers = ▸2
       ${web}
       ${app}`,
      ["forwarding.workers: found 2, which is not supported yet, wanted the default, 1"],
    ],
  ];
  test.each(problems)("%s", async (_, marked, said) => {
    const { code, stdout, lines } = await check(marked);
    const count = `${said.length} problem${said.length === 1 ? "" : "s"}`;
    expect(lines).toEqual([...places(marked, said), `sluice: the configuration is not valid: ${count}`]);
    expect([code, stdout]).toEqual([2, ""]);
  });
});

test("a configuration with every key there is prints as one that means the same and prints the same", async () => {
  expect(unused(declaration, TOML.parse(everything))).toEqual([]);
  await using folder = await ConfigFolder.open();
  const print = async (): Promise<string> => {
    const { code, stdout, stderr } = await runSluice(["check", "--print"], { cwd: folder.at("") });
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  };
  const { config } = await folder.load(everything);
  const printed = await print();
  expect(printed).toContain('\ntoken = "********"\n');
  expect(printed).toContain('\nheaders = { x-api-key = "********", "x.tenant" = "********" }\n');
  expect(printed).not.toContain("hunter2");
  const again = await folder.load(printed);
  expect(again.config).toEqual({
    ...config!,
    admin: { ...config!.admin!, token: "********" },
    tracing: { ...config!.tracing!, headers: { "x-api-key": "********", "x.tenant": "********" } },
  });
  expect(await print()).toBe(printed);
});

describe("variables", () => {
  test("reach into the tables of entries that have names, and may bring such a table", async () => {
    const env = {
      SLUICE_LIMITS_CONNECTIONS: "100",
      SLUICE_LISTENER_WEB_ALLOW: "10.0.0.0/8, ::1",
      SLUICE_LISTENER_WEB_TIMEOUTS_INSPECT: "1s",
      SLUICE_LISTENER_WEB_TLS_CERT: good.certFile,
      SLUICE_LISTENER_WEB_TLS_KEY: good.keyFile,
      SLUICE_BACKEND_APP_BALANCE: "first",
      SLUICE_BACKEND_APP_ENDPOINTS: "a.test:1,srv:_app._tcp.test",
      SLUICE_BACKEND_APP_HEALTH_TYPE: "exchange",
      SLUICE_BACKEND_APP_HEALTH_SEND: "PING\\r\\n",
      SLUICE_BACKEND_APP_EJECT_FOR: "5s",
      SLUICE_RESOLVER_SERVERS: "127.0.0.1:5353,::1",
    };
    const { code, stdout } = await check(`${web}\n${app}`, { env, args: ["--print"] });
    expect(code).toBe(0);
    expect(TOML.parse(stdout) as object).toMatchObject({
      listener: [
        {
          allow: ["10.0.0.0/8", "::1/128"],
          timeouts: { inspect: "1s" },
          tls: { cert: good.certFile, key: good.keyFile },
        },
      ],
      backend: [
        {
          balance: "first",
          endpoints: ["a.test:1", "srv:_app._tcp.test"],
          health: { type: "exchange", send: "PING\\r\\n", interval: "2s" },
          eject: { failures: 5, for: "5s" },
        },
      ],
      resolver: { servers: ["127.0.0.1:5353", "[::1]:53"] },
    });
  });

  test("are judged as values of the file are; routes have no names, and so no variables", async () => {
    const env = {
      SLUICE_BACKEND_APP_BALANCE: "frist",
      SLUICE_BACKEND_APP_EJECT_FOR: "soon",
      SLUICE_BACKEND_APP_HEALTH_INTERVALL: "1s",
      SLUICE_BACKEND_APP_HEALTH_STATUS: "1",
      SLUICE_LISTENER_WEB_ROUTE_0_HOST: "a.test",
      SLUICE_LISTENER_WEB_TLS_CERT: good.certFile,
      SLUICE_TRACING_SAMPLE: "0.5",
    };
    const route = '[[listener.route]]\nhost = "b.test"\nbackend = "app"';
    const { code, lines } = await check(`${web}\n${route}\n${app}`, { env });
    expect(lines).toEqual([
      'SLUICE_BACKEND_APP_BALANCE backend.app.balance: found "frist", wanted one of "round_robin", "least_connections", "random_two", "source_hash", "first" (did you mean "first"?)',
      'SLUICE_BACKEND_APP_EJECT_FOR backend.app.eject.for: found "soon", wanted a duration such as "250ms", "5s", "1m30s" or "1h"',
      'SLUICE_BACKEND_APP_HEALTH_INTERVALL: unknown variable (did you mean "SLUICE_BACKEND_APP_HEALTH_INTERVAL"?)',
      'SLUICE_BACKEND_APP_HEALTH_STATUS backend.app.health.status: found "1", wanted HTTP statuses from 100 to 599, such as "200", "200-399" or "200,301-302"',
      "SLUICE_LISTENER_WEB_ROUTE_0_HOST: unknown variable, a route has no name to be addressed by, wanted it in the file",
      'SLUICE_LISTENER_WEB_TLS_CERT listener.web.tls.key: is missing, wanted for example key = "key.pem"',
      'SLUICE_TRACING_SAMPLE tracing.otlp: is missing, wanted for example otlp = "http://127.0.0.1:4318"',
      "sluice: the configuration is not valid: 7 problems",
    ]);
    expect(code).toBe(2);
  });

  test("alone are enough for a whole configuration", async () => {
    const env = {
      SLUICE_LIMITS_CONNECTIONS: "100",
      SLUICE_LISTENER_WEB_LISTEN: ":8080",
      SLUICE_LISTENER_WEB_BACKEND: "app",
      SLUICE_BACKEND_APP_ENDPOINTS: "127.0.0.1:9000",
      SLUICE_BACKEND_APP_TLS_VERIFY: "false",
      SLUICE_BACKEND_APP_HEALTH_TYPE: "http",
      SLUICE_BACKEND_APP_HEALTH_PATH: "/healthz",
    };
    const { code, lines, stdout } = await check("", { env, args: ["--print"], bare: true });
    expect([code, lines]).toEqual([0, []]);
    expect(TOML.parse(stdout)["backend"]).toMatchObject([
      { name: "app", tls: { verify: false }, health: { path: "/healthz", type: "http" } },
    ]);
  });
});

/** Checks a configuration in a folder of its own, its marks taken out. So many connections fit everywhere. */
async function check(
  marked: string,
  { env = {}, args = [], bare = false }: { env?: Record<string, string>; args?: string[]; bare?: boolean } = {},
): Promise<{ code: number | null; stdout: string; lines: string[] }> {
  await using folder = await ConfigFolder.open();
  await folder.write("config.toml", bare ? marked : limited(marked).replaceAll("▸", ""));
  const { code, stdout, stderr } = await runSluice(["check", ...args], { cwd: folder.at(""), env });
  return { code, stdout, lines: stderr.split("\n").slice(0, -1) };
}

function limited(marked: string): string {
  return `${marked}\n[limits]\nconnections = 100\n`;
}

/** The lines that say this of the marked places. */
function places(marked: string, said: readonly string[]): string[] {
  const marks = limited(marked)
    .split("\n")
    .flatMap((line, index) =>
      line
        .split("▸")
        .slice(0, -1)
        .map((_, before, parts) => {
          const column = parts.slice(0, before + 1).join("").length + 1;
          return `config.toml:${index + 1}:${column}`;
        }),
    );
  expect(marks).toHaveLength(said.length);
  return said.map((message, index) => `${marks[index]} ${message}`);
}

/** The keys that are built and that `value` does not use: in no entry, where there may be several. */
function unused(members: Members, value: unknown, path = ""): string[] {
  const entries = (Array.isArray(value) ? value : [value]) as Record<string, unknown>[];
  return Object.entries(members).flatMap(([name, member]) => {
    const inside = entries.flatMap((entry) => entry[name] ?? []);
    if (inside.length === 0) return entries.some((entry) => Object.hasOwn(entry, name)) ? [] : [`${path}${name}`];
    const below = member.sort === "key" ? member.element : member.members;
    const tables = inside.filter((one) => typeof one === "object");
    return below === undefined ? [] : unused(below, tables, `${path}${name}.`);
  });
}

const everything = `
[forwarding]
engine = "copy"
workers = 1

[limits]
connections = 123
overflow = "reject"

[shutdown]
delay = "1s"
drain = "1h1m1s1ms"
idle = "2s"

[timeouts]
connect = "1ms"
response = "2s"
idle = "3m"
half_closed = "2m"
lifetime = "4h"
inspect = "3s"

[tcp]
no_delay = false
keepalive = "0s"

[[listener]]
name = "web"
listen = ":8443"
backend = "app"
accept_proxy = "required"
trusted = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]
allow = ["0.0.0.0/0", "::/0"]
deny = ["198.51.100.0/24"]
connections = 100
connections_per_ip = 10
rate_per_ip = 20
[listener.timeouts]
connect = "2ms"
response = "0s"
idle = "4m"
half_closed = "1m"
lifetime = "0s"
inspect = "0s"
[listener.tls]
cert = ["${good.certFile}", "${certificate("b").certFile}"]
key = ["${good.keyFile}", "${certificate("b").keyFile}"]
client_ca = "${certificate("ca").certFile}"
client_cert = "optional"
alpn = ["h2", "http/1.1"]
[[listener.route]]
path_prefix = "/api"
host = "*.example.com"
sni = "api.example.com"
alpn = "http/1.1"
backend = "api"
[[listener.route]]
prefix = 'SSH-\\x00\\xff\\\\"\\r\\n'
backend = "api"

[[listener]]
name = "local"
listen = "unix:/run/sluice.sock"
mode = "0600"
backend = "app"

[[listener]]
name = "routes-only"
listen = "[::1]:0"
[[listener.route]]
backend = "api"

[[backend]]
name = "app"
endpoints = [
  "127.0.0.1:9000",
  { address = "name.example:9001", weight = 2, backup = true, connections = 5 },
  "srv:_app._tcp.example.com",
  { address = "unix:/run/app.sock", weight = 0 },
]
balance = "least_connections"
retries = 3
send_proxy = "v2"
resolve = "0s"
on_down = "close"
[backend.tls]
server_name = "app.internal"
ca = "${certificate("ca").certFile}"
cert = "${certificate("client").certFile}"
key = "${certificate("client").keyFile}"
verify = true
alpn = ["http/1.1"]
proxy_header = "inside"
[backend.health]
type = "http"
path = "/healthz?full=1"
host = "app.internal:80"
status = "200-299,404"
interval = "1s500ms"
timeout = "300ms"
rise = 1
fall = 4
[backend.eject]
failures = 7
for = "1m"

[[backend]]
name = "api"
endpoints = ["[::1]:9002"]
[backend.health]
type = "exchange"
send = 'PING\\x00\\r\\n'
expect = '+PONG "\\xff"'

[resolver]
servers = ["127.0.0.1:5353", "::1"]

[admin]
listen = "127.0.0.1:9900"
token = "hunter2"
ready_needs_backends = false

[log]
level = "debug"
format = "pretty"
access = false

[tracing]
otlp = "https://otlp.test:4318/base/"
sample = 0.01
service = "edge"
headers = { x-api-key = "hunter2", "x.tenant" = "a b" }
`;
