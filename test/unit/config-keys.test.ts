/** The keys of listeners and backends in a file: what is accepted and what it means, what is refused, where and in which words. */
import { describe, expect, test } from "bun:test";
import type { Config } from "../../src/config/schema.ts";
import { ConfigFolder, configOf, type Loaded, MINIMAL_TOML } from "../support/configuration.ts";
import { selfSigned } from "../support/self-signed.ts";

const certificates = selfSigned("a", "b", "ca", "client");

type Listener = Config["listeners"][number];
type Backend = Config["backends"][number];

const LISTENER_LAST = [...MINIMAL_TOML.split("\n").slice(5, 8), ...MINIMAL_TOML.split("\n").slice(0, 5)].join("\n");
const DURATION = 'wanted a duration such as "250ms", "5s", "1m30s" or "1h"';
const bytes = (text: string) => new TextEncoder().encode(text);

/** The minimal configuration with `text` in its listener; the first line of it is line 8. */
async function inListener(text: string): Promise<Loaded> {
  await using folder = await ConfigFolder.open();
  return await folder.load(`${LISTENER_LAST}${text}\n`);
}

/** The same for the backend; the first line is line 9. */
async function inBackend(text: string): Promise<Loaded> {
  await using folder = await ConfigFolder.open();
  return await folder.load(`${MINIMAL_TOML}${text}\n`);
}

describe("a listener's keys", () => {
  const network = (address: string, bits: number) =>
    ({ kind: address.includes(":") ? "ipv6" : "ipv4", address, bits }) as const;
  const rows: [text: string, effective: Partial<Listener>][] = [
    ['mode = "0660"', { mode: 0o660 }],
    ['accept_proxy = "required"', { acceptProxy: "required" }],
    [
      'accept_proxy = "required"\ntrusted = ["10.0.0.0/8", "::1"]',
      { acceptProxy: "required", trusted: [network("10.0.0.0", 8), network("::1", 128)] },
    ],
    ['allow = ["192.0.2.7"]', { allow: [network("192.0.2.7", 32)] }],
    ['deny = ["2001:db8::/32", "0.0.0.0/0"]', { deny: [network("2001:db8::", 32), network("0.0.0.0", 0)] }],
    ["connections = 5", { connections: 5 }],
    ["connections = 10_000_000", { connections: 10_000_000 }],
    ["connections_per_ip = 6", { connectionsPerIp: 6 }],
    ["rate_per_ip = 7", { ratePerIp: 7 }],
    ['timeouts = { inspect = "0s" }', { timeouts: { ...configOf().timeouts, inspectMs: 0 } }],
  ];
  test.each(rows)("%j", async (text, effective) => {
    const config = configOf();
    expect(await inListener(text)).toEqual({
      config: { ...config, listeners: [{ ...config.listeners[0]!, ...effective }] },
      problems: [],
      warnings: [],
    });
  });

  const WORDS = 'wanted one of "off", "required"';
  const COUNT = "wanted a whole number from 0 to 10_000_000";
  const NETWORK =
    'wanted an IP address with or without a prefix length, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"';
  const refused: [text: string, line: string][] = [
    ["mode = 660", '8:8 listener.web.mode: found 660, wanted a file mode of three octal digits such as "0660"'],
    ['accept_proxy = "of"', `8:16 listener.web.accept_proxy: found "of", ${WORDS} (did you mean "off"?)`],
    ["accept_proxy = true", `8:16 listener.web.accept_proxy: found true, ${WORDS}`],
    ['accept_proxy = "v2"', `8:16 listener.web.accept_proxy: found "v2", ${WORDS}`],
    ['trusted = "10.0.0.0/8"', '8:11 listener.web.trusted: found "10.0.0.0/8", wanted a list, such as ["10.0.0.0/8"]'],
    ['allow = ["::1", "all"]', `8:17 listener.web.allow.1: found "all", ${NETWORK}`],
    [
      'deny = [\n  "10.0.0.0/33",\n]',
      '9:3 listener.web.deny.0: found "10.0.0.0/33", wanted a prefix length from /0 to /32, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"',
    ],
    ["connections = -1", `8:15 listener.web.connections: found -1, ${COUNT}`],
    ["connections = 10_000_001", `8:15 listener.web.connections: found 10000001, ${COUNT}`],
    ['connections_per_ip = "5"', `8:22 listener.web.connections_per_ip: found "5", ${COUNT}`],
    ["rate_per_ip = 0.5", `8:15 listener.web.rate_per_ip: found 0.5, ${COUNT}`],
    [
      '[listener.timeouts]\ninspect = "6"',
      '9:11 listener.web.timeouts.inspect: found "6", wanted a duration with its unit, such as "6s" or "6ms"',
    ],
    ['timeouts.inspect = "x"', `8:20 listener.web.timeouts.inspect: found "x", ${DURATION}`],
  ];
  test.each(refused)("%j is refused", async (text, line) => {
    expect((await inListener(text)).problems).toEqual([`config.toml:${line}`]);
  });
});

describe("routes", () => {
  const any = { pathPrefix: "", host: "", sni: "", alpn: "", prefix: "", backend: "app" };

  test("are tables of a listener, in their order", async () => {
    const loaded = await inListener(`
[[listener.route]]
path_prefix = "/api/"
host = "*.example.com"
backend = "app"
[[listener.route]]
sni = "DB.example.com"
alpn = "h2"
backend = "app"
[[listener.route]]
prefix = "SSH-\\x32\\\\x00"
backend = "app"
[[listener.route]]
backend = "app"
`);
    expect([loaded.problems, loaded.warnings]).toEqual([[], []]);
    expect(loaded.config?.listeners[0]?.routes).toEqual([
      { ...any, pathPrefix: "/api/", host: "*.example.com" },
      { ...any, sni: "DB.example.com", alpn: "h2" },
      { ...any, prefix: "SSH-\\x32\\x00" },
      any,
    ]);
  });

  test("may do without a backend of the listener", async () => {
    await using folder = await ConfigFolder.open();
    const text = `${LISTENER_LAST.replace('backend = "app"\n', "")}[[listener.route]]\nbackend = "app"\n`;
    const { config } = await folder.load(text);
    expect([config?.listeners[0]?.backend, config?.listeners[0]?.routes]).toEqual(["", [any]]);
  });

  const refused: [text: string, ...lines: string[]][] = [
    ["[[listener.route]]", '8:1 listener.web.route.0.backend: is missing, wanted for example backend = "app"'],
    [
      '[[listener.route]]\nbackend = "ap"\n[[listener.route]]\nbackend = "zzzz"\n',
      '9:11 listener.web.route.0.backend: unknown backend "ap" (did you mean "app"?)',
      '11:11 listener.web.route.1.backend: unknown backend "zzzz", wanted one of "app"',
    ],
    ["route = 5", "8:1 listener.web.route: found 5, wanted tables, each beginning with [[listener.route]]"],
    ["route = [{ backend = 5 }]", "8:22 listener.web.route.0.backend: found 5, wanted text in quotes"],
    [
      'route = [{ path_prefx = "/x", backend = "app" }, 5]',
      '8:12 listener.web.route.0.path_prefx: unknown key "path_prefx" (did you mean "path_prefix"?)',
      "8:50 listener.web.route.1: found 5, wanted a table",
    ],
    [
      '[[listener.route]]\nname = "api"\nbackend = "app"',
      '9:1 listener.web.route.0.name: unknown key "name", wanted one of path_prefix, host, sni, alpn, prefix, backend',
    ],
    [
      '[[listener.route]]\npath_prefix = "api"\nhost = "a b"\nsni = "10.0.0.1"\nalpn = "h2, h3"\nprefix = \'\\x5\'\nbackend = "app"',
      '9:15 listener.web.route.0.path_prefix: found "api", wanted a path that begins with "/", such as "/api"',
      '10:8 listener.web.route.0.host: found "a b", wanted a name, such as "example.com" or "*.example.com"',
      '11:7 listener.web.route.0.sni: found "10.0.0.1", wanted a name, not an address, such as "example.com" or "*.example.com"',
      '12:8 listener.web.route.0.alpn: found "h2, h3", wanted the name of one protocol, such as "h2" or "http/1.1"',
      '13:10 listener.web.route.0.prefix: found "\\\\x5", wanted two hexadecimal digits after "\\x", such as "\\x1f"',
    ],
    [
      '[[listener.route]]\npath_prefix = ["/a", "/b"]\nhost = 1\nbackend = "app"',
      "9:15 listener.web.route.0.path_prefix: found a list, wanted text in quotes",
      "10:8 listener.web.route.0.host: found 1, wanted text in quotes",
    ],
  ];
  test.each(refused)("%j is refused", async (text, ...lines) => {
    expect((await inListener(text)).problems).toEqual(lines.map((line) => `config.toml:${line}`));
  });

  test("that never decide are warned of", async () => {
    const route = (conditions: string) => `[[listener.route]]\n${conditions}backend = "app"\n`;
    const { warnings } = await inListener(
      [route('path_prefix = "/a"\n'), route('path_prefix = "/a/b"\n'), route('sni = "a.b"\nhost = "c.d"\n')].join(""),
    );
    expect(warnings).toEqual([
      "config.toml:11:1 listener.web.route.1: this route never decides: route.0, which comes first, takes all that it would",
      'config.toml:14:1 listener.web.route.2: this route never decides: no opening fits "sni" and "host": what is inside TLS is seen only where TLS ends',
    ]);
  });
});

describe("a listener's TLS", () => {
  const { certFile, keyFile } = certificates.a;
  const own = { cert: [certFile], key: [keyFile], clientCa: "", clientCert: "required", alpn: [] } as const;

  test("is read from files, one certificate or several", async () => {
    const one = await inListener(`[listener.tls]\ncert = "${certFile}"\nkey = ["${keyFile}"]`);
    expect([one.problems, one.warnings, one.config?.listeners[0]?.tls]).toEqual([[], [], { ...own, alpn: [] }]);
    const [b, ca] = [certificates.b, certificates.ca];
    const all = await inListener(
      [
        "[listener.tls]",
        `cert = ["${certFile}", "${b.certFile}"]`,
        `key = ["${keyFile}", "${b.keyFile}"]`,
        `client_ca = "${ca.certFile}"`,
        'client_cert = "optional"',
        'alpn = ["h2", "http/1.1"]',
      ].join("\n"),
    );
    expect([all.problems, all.warnings, all.config?.listeners[0]?.tls]).toEqual([
      [],
      [],
      {
        cert: [certFile, b.certFile],
        key: [keyFile, b.keyFile],
        clientCa: ca.certFile,
        clientCert: "optional",
        alpn: ["h2", "http/1.1"],
      },
    ]);
  });

  const CERT = 'wanted the path of a file such as "cert.pem"';
  const PROTOCOL = 'wanted the name of one protocol, such as "h2" or "http/1.1"';
  const refused: [text: string, ...lines: string[]][] = [
    ["tls = true", "8:7 listener.web.tls: found true, wanted a table"],
    [
      "[listener.tls]",
      '8:1 listener.web.tls.cert: is missing, wanted for example cert = "cert.pem"',
      '8:1 listener.web.tls.key: is missing, wanted for example key = "key.pem"',
    ],
    [
      '[listener.tls]\ncert = ""\nkey = []',
      `9:8 listener.web.tls.cert: found "", ${CERT}`,
      '10:7 listener.web.tls.key: found an empty list, wanted the path of a file such as "key.pem", or a list of paths',
    ],
    [
      '[listener.tls]\ncert = 5\nkey = ["a", 5]\nclient_ca = ["x"]',
      `9:8 listener.web.tls.cert: found 5, ${CERT}, or a list of paths`,
      '10:13 listener.web.tls.key.1: found 5, wanted the path of a file such as "key.pem"',
      '11:13 listener.web.tls.client_ca: found a list, wanted the path of a file such as "clients.pem"',
    ],
    [
      `[listener.tls]\ncert = "${certFile}"\nkey = "${keyFile}"\nclient_cert = "option"\nalpn = ["h2", "", 5, "a,b"]`,
      '11:15 listener.web.tls.client_cert: found "option", wanted one of "required", "optional" (did you mean "optional"?)',
      `12:15 listener.web.tls.alpn.1: found "", ${PROTOCOL}`,
      `12:19 listener.web.tls.alpn.2: found 5, ${PROTOCOL}`,
      `12:22 listener.web.tls.alpn.3: found "a,b", ${PROTOCOL}`,
    ],
    [
      `[listener.tls]\ncert = "${certFile}"\nkey = "${keyFile}"\nalpn = "h2"`,
      '11:8 listener.web.tls.alpn: found "h2", wanted a list, such as ["h2", "http/1.1"]',
    ],
    [
      `[listener.tls]\ncert = "${certFile}"\nkeys = "${keyFile}"`,
      '8:1 listener.web.tls.key: is missing, wanted for example key = "key.pem"',
      '10:1 listener.web.tls.keys: unknown key "keys" (did you mean "key"?)',
    ],
  ];
  test.each(refused)("%j is refused", async (text, ...lines) => {
    expect((await inListener(text)).problems).toEqual(lines.map((line) => `config.toml:${line}`));
  });

  test("that can't be used stands at its table", async () => {
    const unusable = async (cert: string, key: string) => {
      const { problems } = await inListener(`[listener.tls]\ncert = ${cert}\nkey = ${key}`);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toStartWith("config.toml:8:1 listener.web.tls: ");
      return problems[0]!.slice("config.toml:8:1 listener.web.tls: ".length);
    };
    expect(await unusable('"/none/cert.pem"', '"/none/key.pem"')).toMatch(
      /^cannot read "\/none\/cert\.pem": no such file.*; cannot read "\/none\/key\.pem": no such file/,
    );
    const b = certificates.b.keyFile;
    expect(await unusable(`"${certFile}"`, `"${b}"`)).toContain("the key does not belong to the certificate");
    expect(await unusable(`"${certFile}"`, `["${keyFile}", "${b}"]`)).toContain("found 1 certificate and 2 keys");
  });

  test("what a file holds where its path belongs is in no message", async () => {
    const { key } = certificates.a;
    for (const written of [`"""${key}"""`, `["""${key}"""]`, JSON.stringify(key.replaceAll("\n", "\\n"))]) {
      const { problems } = await inListener(`[listener.tls]\ncert = "${certFile}"\nkey = ${written}`);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toEndWith(': found text that is no path, wanted the path of a file such as "key.pem"');
      for (const line of key.split("\n").slice(1, -2)) expect(problems[0]).not.toContain(line.slice(0, 8));
    }
    for (const path of ["\\u0000", "a\\rb", "x".repeat(4097)]) {
      const { problems } = await inListener(`[listener.tls]\ncert = "${certFile}"\nkey = "${path}"`);
      expect(problems).toEqual([
        'config.toml:10:7 listener.web.tls.key: found text that is no path, wanted the path of a file such as "key.pem"',
      ]);
    }
  });
});

describe("a backend's keys", () => {
  const health = {
    type: "tcp",
    path: "/",
    host: "",
    status: "200-399",
    send: bytes(""),
    expect: bytes(""),
    intervalMs: 2000,
    timeoutMs: 1000,
    rise: 2,
    fall: 3,
  } as const;
  const tls = {
    serverName: "",
    ca: "",
    cert: "",
    key: "",
    verify: true,
    alpn: [],
    proxyHeader: "before",
  } satisfies Backend["tls"];
  const client = certificates.client;
  const ca = certificates.ca.certFile;
  const rows: [text: string, effective: Partial<Backend>][] = [
    ['balance = "least_connections"', { balance: "least_connections" }],
    ['balance = "random_two"', { balance: "random_two" }],
    ['balance = "source_hash"', { balance: "source_hash" }],
    ['balance = "first"', { balance: "first" }],
    ["retries = 100", { retries: 100 }],
    ['send_proxy = "v1"', { sendProxy: "v1" }],
    ['send_proxy = "v2"', { sendProxy: "v2" }],
    ['resolve = "0s"', { resolveMs: 0 }],
    ['resolve = "1m30s"', { resolveMs: 90_000 }],
    ['on_down = "close"\n[backend.health]', { onDown: "close", health }],
    ["[backend.health]", { health }],
    [
      '[backend.health]\ntype = "http"\npath = "/healthz?x=%20"\nhost = "app.example.com:81"\nstatus = "200-299, 404"',
      {
        health: { ...health, type: "http", path: "/healthz?x=%20", host: "app.example.com:81", status: "200-299, 404" },
      },
    ],
    [
      '[backend.health]\ntype = "exchange"\nsend = "\\x16PING\\r\\n"\nexpect = \'\\0\\\\+é\'\ninterval = "10s"\ntimeout = "2ms"\nrise = 1\nfall = 100',
      {
        health: {
          ...health,
          type: "exchange",
          send: bytes("\u0016PING\r\n"),
          expect: bytes("\0\\+é"),
          intervalMs: 10_000,
          timeoutMs: 2,
          rise: 1,
          fall: 100,
        },
      },
    ],
    ["[backend.eject]", { eject: { failures: 5, forMs: 10_000 } }],
    ['[backend.eject]\nfailures = 1\nfor = "1h"', { eject: { failures: 1, forMs: 3_600_000 } }],
    ["[backend.tls]", { tls }],
    [
      `send_proxy = "v2"\n[backend.tls]\nserver_name = "db.example.com"\nca = "${ca}"\ncert = "${client.certFile}"\nkey = "${client.keyFile}"\nverify = false\nalpn = ["h2"]\nproxy_header = "inside"`,
      {
        sendProxy: "v2",
        tls: {
          serverName: "db.example.com",
          ca,
          cert: client.certFile,
          key: client.keyFile,
          verify: false,
          alpn: ["h2"],
          proxyHeader: "inside",
        },
      },
    ],
    ['[backend.tls]\nserver_name = "10.0.0.1"', { tls: { ...tls, serverName: "10.0.0.1" } }],
    ['[backend.tls]\nserver_name = "2001:db8::1"', { tls: { ...tls, serverName: "2001:db8::1" } }],
  ];
  test.each(rows)("%j", async (text, effective) => {
    const config = configOf();
    expect(await inBackend(text)).toEqual({
      config: { ...config, backends: [{ ...config.backends[0]!, ...effective }] },
      problems: [],
      warnings: [],
    });
  });

  const BALANCE = 'wanted one of "round_robin", "least_connections", "random_two", "source_hash", "first"';
  const NAME = 'wanted a name such as "db.example.com", or an IP address without a port';
  const STATUS = 'wanted HTTP statuses from 100 to 599, such as "200", "200-399" or "200,301-302"';
  const refused: [text: string, ...lines: string[]][] = [
    ['balance = "random"', `9:11 backend.app.balance: found "random", ${BALANCE}`],
    [
      'balance = "least_conections"',
      `9:11 backend.app.balance: found "least_conections", ${BALANCE} (did you mean "least_connections"?)`,
    ],
    ["send_proxy = 2", '9:14 backend.app.send_proxy: found 2, wanted one of "off", "v1", "v2"'],
    ["resolve = 30", `9:11 backend.app.resolve: found 30, ${DURATION}`],
    [
      'on_down = "clse"',
      '9:11 backend.app.on_down: found "clse", wanted one of "keep", "close" (did you mean "close"?)',
    ],
    ["health = true", "9:10 backend.app.health: found true, wanted a table"],
    [
      '[backend.health]\ntype = "htp"\npath = 5\nhost = 5\nstatus = 200\nsend = 5\nexpect = "\\\\q"',
      '10:8 backend.app.health.type: found "htp", wanted one of "tcp", "http", "exchange" (did you mean "http"?)',
      "11:8 backend.app.health.path: found 5, wanted text in quotes",
      "12:8 backend.app.health.host: found 5, wanted text in quotes",
      '13:10 backend.app.health.status: found 200, wanted status codes such as "200-399"',
      "14:8 backend.app.health.send: found 5, wanted text, with \\x.. for other bytes",
      '15:10 backend.app.health.expect: found "\\\\q", wanted one of the escapes \\x1f (any byte), \\r, \\n, \\t, \\0 and \\\\ after a backslash',
    ],
    [
      '[backend.health]\ntype = "http"\npath = "x"\nhost = "a b"\nstatus = "20"',
      '11:8 backend.app.health.path: found "x", wanted a path such as "/healthz", in visible ASCII ("%20" for a blank) and without "#"',
      '12:8 backend.app.health.host: found "a b", wanted a host such as "app.example.com" or "app.example.com:8080"',
      `13:10 backend.app.health.status: found "20", ${STATUS}`,
    ],
    [
      '[backend.health]\nstatus = "399-200"',
      '10:10 backend.app.health.status: found "399-200", wanted a range that begins with the lower status, such as "200-399"',
    ],
    [
      '[backend.health]\ninterval = "0s"\ntimeout = "0s"\nrise = 0\nfall = 101',
      '10:12 backend.app.health.interval: found "0s", wanted a duration above zero; leave [backend.health] out for no checks',
      '11:11 backend.app.health.timeout: found "0s", wanted a duration above zero',
      "12:8 backend.app.health.rise: found 0, wanted a whole number from 1 to 100",
      "13:8 backend.app.health.fall: found 101, wanted a whole number from 1 to 100",
    ],
    [
      '[backend.health]\ntype = "exchange"',
      '10:8 backend.app.health.type: an exchange needs something to send or to expect; wanted send or expect, or type = "tcp"',
    ],
    [
      '[backend.health]\nintervl = "1s"',
      '10:1 backend.app.health.intervl: unknown key "intervl" (did you mean "interval"?)',
    ],
    [
      "[backend.eject]\nfailures = 0\nfor = 10",
      "10:12 backend.app.eject.failures: found 0, wanted a whole number from 1 to 1_000",
      `11:7 backend.app.eject.for: found 10, ${DURATION}`,
    ],
    [
      '[backend.eject]\nfor = "0s"',
      '10:7 backend.app.eject.for: found "0s", wanted a duration above zero; leave [backend.eject] out for none',
    ],
    ['tls = "yes"', '9:7 backend.app.tls: found "yes", wanted a table'],
    [
      '[backend.tls]\nserver_name = "*.example.com"\nverify = "no"\nproxy_header = "insid"\nalpn = [""]',
      `10:15 backend.app.tls.server_name: found "*.example.com", ${NAME}`,
      '11:10 backend.app.tls.verify: found "no", wanted true or false',
      '12:16 backend.app.tls.proxy_header: found "insid", wanted one of "before", "inside" (did you mean "inside"?)',
      '13:9 backend.app.tls.alpn.0: found "", wanted the name of one protocol, such as "h2" or "http/1.1"',
    ],
    ['[backend.tls]\nserver_name = "a b"', `10:15 backend.app.tls.server_name: found "a b", ${NAME}`],
    ['[backend.tls]\nserver_name = "a:80"', `10:15 backend.app.tls.server_name: found "a:80", ${NAME}`],
    ['[backend.tls]\nserver_name = "unix:x"', `10:15 backend.app.tls.server_name: found "unix:x", ${NAME}`],
    ['[backend.tls]\nca = "/none/ca.pem"', '9:1 backend.app.tls: cannot read "/none/ca.pem": no such file'],
    [
      '[backend.tls]\nca = "-----BEGIN CERTIFICATE-----"\ncert = 5\nkey = ["k"]',
      '10:6 backend.app.tls.ca: found text that is no path, wanted the path of a file such as "ca.pem"',
      '11:8 backend.app.tls.cert: found 5, wanted the path of a file such as "cert.pem"',
      '12:7 backend.app.tls.key: found a list, wanted the path of a file such as "key.pem"',
    ],
  ];
  test.each(refused)("%j is refused", async (text, ...lines) => {
    expect((await inBackend(text)).problems).toEqual(lines.map((line) => `config.toml:${line}`));
  });
});

describe("the resolver's servers", () => {
  test("are IP addresses, on port 53 unless they say another", async () => {
    const written = '["127.0.0.1:5353", "10.0.0.1", "::1", "[2001:db8::1]", "[2001:db8::1]:54"]';
    const { config, problems } = await inBackend(`[resolver]\nservers = ${written}`);
    expect(problems).toEqual([]);
    expect(config?.resolver.servers).toEqual([
      { host: "127.0.0.1", port: 5353 },
      { host: "10.0.0.1", port: 53 },
      { host: "::1", port: 53 },
      { host: "2001:db8::1", port: 53 },
      { host: "2001:db8::1", port: 54 },
    ]);
  });

  test("are refused one by one", async () => {
    const SERVER = 'wanted an IP address with or without a port, such as "127.0.0.1:5353"';
    const { problems } = await inBackend('[resolver]\nservers = ["127.0.0.1:0", "dns.example:53", "unix:/x", 5]');
    expect(problems).toEqual([
      `config.toml:10:12 resolver.servers.0: found "127.0.0.1:0", ${SERVER}`,
      `config.toml:10:27 resolver.servers.1: found "dns.example:53", ${SERVER}`,
      `config.toml:10:45 resolver.servers.2: found "unix:/x", ${SERVER}`,
      'config.toml:10:56 resolver.servers.3: found 5, wanted an IP address such as "127.0.0.1:5353"',
    ]);
    expect((await inBackend('[resolver]\nservers = "127.0.0.1"')).problems).toEqual([
      'config.toml:10:11 resolver.servers: found "127.0.0.1", wanted a list, such as ["127.0.0.1:5353"]',
    ]);
  });
});
