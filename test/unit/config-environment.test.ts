/** The environment over the file: which variable is which key, values from files, entries made of variables, and what is refused. */
import { describe, expect, test } from "bun:test";
import { overlay } from "../../src/config/environment.ts";
import { configurationReference } from "../../src/config/load.ts";
import type { Members } from "../../src/config/declaration.ts";
import { declaration } from "../../src/config/schema.ts";
import {
  backendWith,
  ConfigFolder,
  configOf,
  fromValue,
  listenerWith,
  minimal,
  MINIMAL_TOML,
} from "../support/configuration.ts";
import { selfSigned } from "../support/self-signed.ts";

const certificates = selfSigned("a", "b");

/** As root everything can be read, but this: the kernel lets nobody read it. */
const UNREADABLE = "/proc/sys/vm/drop_caches";
const REFERENCE = "wanted SLUICE_<TABLE>_<KEY> of a key in the reference";

describe("a variable sets its key", () => {
  const rows: [variable: string, text: string, extra: Record<string, unknown>][] = [
    ["SLUICE_TIMEOUTS_CONNECT", "2s", { timeouts: { connect: "2s" } }],
    ["SLUICE_TIMEOUTS_HALF_CLOSED", "1m30s", { timeouts: { half_closed: "1m30s" } }],
    ["SLUICE_LIMITS_CONNECTIONS", "500", { limits: { connections: 500 } }],
    ["SLUICE_LIMITS_CONNECTIONS", "50_000", { limits: { connections: 50_000 } }],
    ["SLUICE_LIMITS_OVERFLOW", "reject", { limits: { overflow: "reject" } }],
    ["SLUICE_TCP_NO_DELAY", "false", { tcp: { no_delay: false } }],
    ["SLUICE_TCP_NO_DELAY", "true", {}],
    ["SLUICE_LOG_LEVEL", "debug", { log: { level: "debug" } }],
    ["SLUICE_ADMIN_LISTEN", "127.0.0.1:9900", { admin: { listen: "127.0.0.1:9900" } }],
    ["SLUICE_TIMEOUTS_INSPECT", "3s", { timeouts: { inspect: "3s" } }],
    ["SLUICE_LISTENER_WEB_LISTEN", ":80", listenerWith({ listen: ":80" })],
    ["SLUICE_LISTENER_WEB_TIMEOUTS_IDLE", "10m", listenerWith({ timeouts: { idle: "10m" } })],
    ["SLUICE_LISTENER_WEB_TIMEOUTS_INSPECT", "1s", listenerWith({ timeouts: { inspect: "1s" } })],
    ["SLUICE_LISTENER_WEB_ACCEPT_PROXY", "required", listenerWith({ accept_proxy: "required" })],
    ["SLUICE_LISTENER_WEB_ALLOW", "", {}],
    ["SLUICE_LISTENER_WEB_ALLOW", "10.0.0.0/8", listenerWith({ allow: ["10.0.0.0/8"] })],
    ["SLUICE_LISTENER_WEB_DENY", " ::1 , 10.0.0.0/8", listenerWith({ deny: ["::1", "10.0.0.0/8"] })],
    ["SLUICE_LISTENER_WEB_CONNECTIONS", "5_000", listenerWith({ connections: 5000 })],
    ["SLUICE_LISTENER_WEB_CONNECTIONS_PER_IP", "6", listenerWith({ connections_per_ip: 6 })],
    ["SLUICE_LISTENER_WEB_RATE_PER_IP", "7", listenerWith({ rate_per_ip: 7 })],
    ["SLUICE_BACKEND_APP_RETRIES", "0", backendWith({ retries: 0 })],
    ["SLUICE_BACKEND_APP_ENDPOINTS", "a:1", backendWith({ endpoints: ["a:1"] })],
    ["SLUICE_BACKEND_APP_ENDPOINTS", " a:1, [::1]:2 ", backendWith({ endpoints: ["a:1", "[::1]:2"] })],
    ["SLUICE_BACKEND_APP_ENDPOINTS", "unix:/x,srv:_a._tcp.b", backendWith({ endpoints: ["unix:/x", "srv:_a._tcp.b"] })],
    ["SLUICE_BACKEND_APP_BALANCE", "source_hash", backendWith({ balance: "source_hash" })],
    ["SLUICE_BACKEND_APP_SEND_PROXY", "v2", backendWith({ send_proxy: "v2" })],
    ["SLUICE_BACKEND_APP_RESOLVE", "0s", backendWith({ resolve: "0s" })],
    ["SLUICE_BACKEND_APP_HEALTH_TYPE", "tcp", backendWith({ health: {} })],
    ["SLUICE_BACKEND_APP_HEALTH_RISE", "5", backendWith({ health: { rise: 5 } })],
    ["SLUICE_BACKEND_APP_HEALTH_SEND", "PING\\r\\n", backendWith({ health: { send: "PING\r\n" } })],
    ["SLUICE_BACKEND_APP_EJECT_FAILURES", "3", backendWith({ eject: { failures: 3 } })],
    ["SLUICE_BACKEND_APP_EJECT_FOR", "1m", backendWith({ eject: { for: "1m" } })],
    ["SLUICE_BACKEND_APP_TLS_SERVER_NAME", "db.test", backendWith({ tls: { server_name: "db.test" } })],
    ["SLUICE_BACKEND_APP_TLS_VERIFY", "false", backendWith({ tls: { verify: false } })],
    ["SLUICE_BACKEND_APP_TLS_ALPN", "h2,http/1.1", backendWith({ tls: { alpn: ["h2", "http/1.1"] } })],
    ["SLUICE_RESOLVER_SERVERS", "127.0.0.1:5353,::1", { resolver: { servers: ["127.0.0.1:5353", "::1"] } }],
    ["SLUICE_FORWARDING_WORKERS", "1", {}],
  ];
  test.each(rows)("%s=%s", (variable, text, extra) => {
    expect(configOf({}, { [variable]: text })).toEqual(configOf(extra));
  });

  test("and beats the file, even where the file is wrong", () => {
    const file = { timeouts: { connect: 5 }, limits: { connections: 7 }, log: { level: "warn" } };
    const env = { SLUICE_TIMEOUTS_CONNECT: "2s", SLUICE_LIMITS_CONNECTIONS: "9" };
    expect(configOf(file, env)).toEqual(
      configOf({ timeouts: { connect: "2s" }, limits: { connections: 9 }, log: { level: "warn" } }),
    );
  });

  test("a key of a table that the file does not have adds the table", () => {
    expect(configOf().admin).toBeUndefined();
    expect(configOf({}, { SLUICE_ADMIN_LISTEN: ":1", SLUICE_ADMIN_TOKEN: "t" }).admin).toEqual({
      listen: { kind: "tcp", host: "0.0.0.0", port: 1 },
      token: "t",
      readyNeedsBackends: true,
    });
  });

  test("a certificate and its key, several with commas between them", () => {
    const [a, b] = [certificates.a, certificates.b];
    const tls = { cert: [a.certFile, b.certFile], key: [a.keyFile, b.keyFile] };
    const env = {
      SLUICE_LISTENER_WEB_TLS_CERT: tls.cert.join(","),
      SLUICE_LISTENER_WEB_TLS_KEY: tls.key.join(", "),
    };
    expect(configOf({}, env)).toEqual(configOf(listenerWith({ tls })));
    expect(configOf(listenerWith({ tls: { cert: a.certFile } }), { SLUICE_LISTENER_WEB_TLS_KEY: a.keyFile })).toEqual(
      configOf(listenerWith({ tls: { cert: a.certFile, key: a.keyFile } })),
    );
  });

  test("beside what the file has in the same table", () => {
    const file = backendWith({ health: { type: "http", path: "/up" }, tls: { verify: false } });
    const env = { SLUICE_BACKEND_APP_HEALTH_PATH: "/healthz", SLUICE_BACKEND_APP_HEALTH_FALL: "9" };
    expect(configOf(file, env)).toEqual(
      configOf(backendWith({ health: { type: "http", path: "/healthz", fall: 9 }, tls: { verify: false } })),
    );
  });

  test("every variable of the reference is known, and takes the default that stands beside it", () => {
    const rows = configurationReference()
      .split("\n")
      .map((line) => line.split("|").map((cell) => cell.trim()))
      .filter((cells) => /^`SLUICE_[A-Z_<>]+`$/.test(cells.at(-2) ?? ""))
      .map((cells) => ({ variable: cells.at(-2)!.slice(1, -1), fallback: cells[3]! }));
    expect(rows.length).toBeGreaterThan(60);
    const { certFile, keyFile } = certificates.a;
    const required: Record<string, string> = {
      SLUICE_LISTENER_WEB_TLS_CERT: certFile,
      SLUICE_LISTENER_WEB_TLS_KEY: keyFile,
      SLUICE_LISTENER_WEB_LISTEN: "127.0.0.1:8080",
      SLUICE_LISTENER_WEB_BACKEND: "app",
      SLUICE_BACKEND_APP_ENDPOINTS: "127.0.0.1:9000",
      SLUICE_ADMIN_LISTEN: "127.0.0.1:9900",
      SLUICE_TRACING_OTLP: "http://127.0.0.1:4318",
    };
    const env: Record<string, string> = {};
    for (const { variable, fallback } of rows) {
      const name = variable.replace("LISTENER_<NAME>", "LISTENER_WEB").replace("BACKEND_<NAME>", "BACKEND_APP");
      env[name] = required[name] ?? fallback.replace(/^`"?(.*?)"?`$/, "$1").replace(/^(\[\]|\{\})$/, "");
    }
    // Each of the tables that are off is turned on by its variables.
    const on = {
      ...listenerWith({ tls: { cert: certFile, key: keyFile } }),
      ...backendWith({ tls: {}, health: {}, eject: {} }),
      admin: { listen: "127.0.0.1:9900" },
      tracing: { otlp: "http://127.0.0.1:4318" },
    };
    expect(configOf({}, env)).toEqual(configOf(on));
  });

  test("and no other: what follows an entry's name never ends like what follows another's", () => {
    const endings = (members: Members, before: string): string[] =>
      Object.entries(members).flatMap(([name, member]) => {
        const part = `${before}_${name.toUpperCase()}`;
        if (member.sort === "key") return name === "name" ? [] : [part, `${part}_FILE`];
        return member.sort === "tables" ? [] : endings(member.members, part);
      });
    for (const members of [declaration.listener.members, declaration.backend.members]) {
      const all = endings(members, "");
      expect(all.length).toBeGreaterThan(40);
      const confused = all.filter((long) => all.some((short) => long !== short && long.endsWith(short)));
      expect(confused).toEqual([]);
    }
  });

  test("the caller's variables and those of other programs are none of ours", () => {
    const env = {
      SLUICE_CONFIG: "/etc/sluice.toml",
      SLUICE: "1",
      SLUICEX_Y: "1",
      sluice_timeouts_idle: "x",
      PATH: "/bin",
    };
    expect(configOf({}, env)).toEqual(configOf());
  });

  test("a variable that is not set is not there", () => {
    const tree = {};
    const laid = overlay(declaration, tree, { SLUICE_TIMEOUTS_IDLE: undefined, SLUICE_NONSENSE: undefined }, () => {
      throw new Error("nothing is to be read");
    });
    expect([tree, laid]).toEqual([{}, { sources: new Map(), problems: [], failed: [] }]);
  });
});

describe("a value that is refused stands at its variable", () => {
  const rows: [variable: string, text: string, ...lines: string[]][] = [
    [
      "SLUICE_TIMEOUTS_IDLE",
      "60",
      'timeouts.idle: found "60", wanted a duration with its unit, such as "60s" or "60ms"',
    ],
    ["SLUICE_TIMEOUTS_IDLE", "", 'timeouts.idle: found "", wanted a duration such as "250ms", "5s", "1m30s" or "1h"'],
    [
      "SLUICE_TIMEOUTS_IDLE",
      '"5s"',
      'timeouts.idle: found "\\"5s\\"", wanted a duration such as "250ms", "5s", "1m30s" or "1h"',
    ],
    ["SLUICE_LIMITS_CONNECTIONS", "", 'limits.connections: found "", wanted a whole number from 1 to 10_000_000'],
    ["SLUICE_LIMITS_CONNECTIONS", "0", "limits.connections: found 0, wanted a whole number from 1 to 10_000_000"],
    [
      "SLUICE_LIMITS_CONNECTIONS",
      "1__0",
      'limits.connections: found "1__0", wanted a whole number from 1 to 10_000_000',
    ],
    ["SLUICE_LIMITS_CONNECTIONS", "1e3", 'limits.connections: found "1e3", wanted a whole number from 1 to 10_000_000'],
    ["SLUICE_LIMITS_CONNECTIONS", " 5", 'limits.connections: found " 5", wanted a whole number from 1 to 10_000_000'],
    [
      "SLUICE_LIMITS_CONNECTIONS",
      "99999999999999999999",
      "limits.connections: found 100000000000000000000, wanted a whole number from 1 to 10_000_000",
    ],
    ["SLUICE_BACKEND_APP_RETRIES", "-1", "backend.app.retries: found -1, wanted a whole number from 0 to 100"],
    ["SLUICE_TCP_NO_DELAY", "TRUE", 'tcp.no_delay: found "TRUE", wanted true or false'],
    ["SLUICE_TCP_NO_DELAY", "1", 'tcp.no_delay: found "1", wanted true or false'],
    ["SLUICE_LOG_LEVEL", "", 'log.level: found "", wanted one of "debug", "info", "warn", "error"'],
    ["SLUICE_LISTENER_WEB_BACKEND", "ap", 'listener.web.backend: unknown backend "ap" (did you mean "app"?)'],
    [
      "SLUICE_BACKEND_APP_ENDPOINTS",
      "",
      'backend.app.endpoints: found an empty list, wanted at least one, such as ["127.0.0.1:9000"]',
    ],
    [
      "SLUICE_BACKEND_APP_ENDPOINTS",
      "a:1,b",
      'backend.app.endpoints.1: found "b", wanted an address with a port, such as "b:80"',
    ],
    [
      "SLUICE_BACKEND_APP_ENDPOINTS",
      "a:1,,b:1",
      'backend.app.endpoints.1: found "", wanted an address with a port, such as "127.0.0.1:80", "[::1]:80" or "name:80"',
    ],
    [
      "SLUICE_BACKEND_APP_ENDPOINTS",
      "a:1,a:1",
      "backend.app.endpoints.1: the endpoint a:1 is listed twice, wanted each once",
    ],
    [
      "SLUICE_ADMIN_LISTEN",
      "127.0.0.1:8080",
      'admin.listen: 127.0.0.1:8080 is the address of listener "web" already, wanted another port or address',
    ],
    ["SLUICE_ADMIN_TOKEN", "t", 'admin.listen: is missing, wanted for example listen = "127.0.0.1:9900"'],
    [
      "SLUICE_TIMEOUTS_HALF_CLOSED",
      "2h",
      'timeouts.half_closed: found "2h", wanted at most timeouts.idle ("1h"), or "0s": idle always fires first',
    ],
    [
      "SLUICE_FORWARDING_ENGINE",
      "sendfile",
      'forwarding.engine: found "sendfile", wanted one of "auto", "copy", "splice"',
    ],
    [
      "SLUICE_FORWARDING_WORKERS",
      "auto",
      'forwarding.workers: found "auto", which is not supported yet, wanted the default, 1',
    ],
    [
      "SLUICE_LISTENER_WEB_ALLOW",
      "10.0.0.0/8,all",
      'listener.web.allow.1: found "all", wanted an IP address with or without a prefix length, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"',
    ],
    ["SLUICE_LISTENER_WEB_MODE", "0600", "listener.web.mode: 127.0.0.1:8080 is no Unix socket, wanted mode left out"],
    [
      "SLUICE_LISTENER_WEB_CONNECTIONS",
      "many",
      'listener.web.connections: found "many", wanted a whole number from 0 to 10_000_000',
    ],
    ["SLUICE_LISTENER_WEB_TLS_CERT", "c.pem", 'listener.web.tls.key: is missing, wanted for example key = "key.pem"'],
    [
      "SLUICE_LISTENER_WEB_TLS_KEY",
      "k.pem,",
      'listener.web.tls.key.1: found "", wanted the path of a file such as "key.pem"',
      'listener.web.tls.cert: is missing, wanted for example cert = "cert.pem"',
    ],
    [
      "SLUICE_LISTENER_WEB_TLS_ALPN",
      "h2",
      'listener.web.tls.cert: is missing, wanted for example cert = "cert.pem"',
      'listener.web.tls.key: is missing, wanted for example key = "key.pem"',
    ],
    [
      "SLUICE_BACKEND_APP_BALANCE",
      "frist",
      'backend.app.balance: found "frist", wanted one of "round_robin", "least_connections", "random_two", "source_hash", "first" (did you mean "first"?)',
    ],
    ["SLUICE_BACKEND_APP_TLS_CA", "/none.pem", 'backend.app.tls: cannot read "/none.pem": no such file'],
    [
      "SLUICE_BACKEND_APP_HEALTH_TYPE",
      "exchange",
      'backend.app.health.type: an exchange needs something to send or to expect; wanted send or expect, or type = "tcp"',
    ],
    [
      "SLUICE_BACKEND_APP_HEALTH_INTERVAL",
      "0s",
      'backend.app.health.interval: found "0s", wanted a duration above zero; leave [backend.health] out for no checks',
    ],
    [
      "SLUICE_BACKEND_APP_HEALTH_EXPECT",
      "\\xg0",
      'backend.app.health.expect: found "\\\\xg0", wanted two hexadecimal digits after "\\x", such as "\\x1f"',
    ],
    [
      "SLUICE_BACKEND_APP_EJECT_FAILURES",
      "0",
      "backend.app.eject.failures: found 0, wanted a whole number from 1 to 1_000",
    ],
    [
      "SLUICE_RESOLVER_SERVERS",
      "127.0.0.1,dns",
      'resolver.servers.1: found "dns", wanted an IP address with or without a port, such as "127.0.0.1:5353"',
    ],
    ["SLUICE_TRACING_SAMPLE", "0.5", 'tracing.otlp: is missing, wanted for example otlp = "http://127.0.0.1:4318"'],
  ];
  test.each(rows)("%s=%s", (variable, text, ...lines) => {
    const { problems } = fromValue({}, { [variable]: text });
    expect(problems.toSorted()).toEqual(lines.map((line) => `${variable} ${line}`).toSorted());
  });

  test("a value of the file that another variable makes impossible stands in the file", async () => {
    await using folder = await ConfigFolder.open();
    const loaded = await folder.load(`${MINIMAL_TOML}[timeouts]\nidle = "1m"\n`, { SLUICE_TIMEOUTS_LIFETIME: "30s" });
    expect(loaded.problems).toEqual([
      'config.toml:10:8 timeouts.idle: found "1m", wanted at most timeouts.lifetime ("30s"), or "0s": lifetime always fires first',
    ]);
  });

  test("the file's problems come first, in its order, then the variables by name", async () => {
    await using folder = await ConfigFolder.open();
    const env = { SLUICE_TIMEOUTS_IDLE: "x", SLUICE_LOG_LEVEL: "loud", SLUICE_ADMIN_LISTN: ":1" };
    const loaded = await folder.load(`${MINIMAL_TOML}[tcp]\nno_delay = 1\nkeepalive = 1\n`, env);
    expect(loaded.problems).toEqual([
      "config.toml:10:12 tcp.no_delay: found 1, wanted true or false",
      'config.toml:11:13 tcp.keepalive: found 1, wanted a duration such as "250ms", "5s", "1m30s" or "1h"',
      'SLUICE_ADMIN_LISTN: unknown variable (did you mean "SLUICE_ADMIN_LISTEN"?)',
      'SLUICE_LOG_LEVEL log.level: found "loud", wanted one of "debug", "info", "warn", "error"',
      'SLUICE_TIMEOUTS_IDLE timeouts.idle: found "x", wanted a duration such as "250ms", "5s", "1m30s" or "1h"',
    ]);
  });

  test("a table that is none is the file's mistake alone", () => {
    expect(fromValue({ limits: 5 }, { SLUICE_LIMITS_CONNECTIONS: "5" }).problems).toEqual([
      "limits: found 5, wanted a table",
    ]);
  });
});

describe("an unknown variable", () => {
  const rows: [variable: string, hint: string][] = [
    ["SLUICE_TIMEOUT_IDLE", ' (did you mean "SLUICE_TIMEOUTS_IDLE"?)'],
    ["SLUICE_TIMEOUTS_IDEL", ' (did you mean "SLUICE_TIMEOUTS_IDLE"?)'],
    ["SLUICE_timeouts_idle", ' (did you mean "SLUICE_TIMEOUTS_IDLE"?)'],
    ["SLUICE_LISTENER_WEBB_LISTEN", ' (did you mean "SLUICE_LISTENER_WEB_LISTEN"?)'],
    ["SLUICE_BACKEND_APP_ENDPOINT", ' (did you mean "SLUICE_BACKEND_APP_ENDPOINTS"?)'],
    ["SLUICE_TIMEOUTS_IDEL_FILE", ' (did you mean "SLUICE_TIMEOUTS_IDLE_FILE"?)'],
    ["SLUICE_CONFG", ' (did you mean "SLUICE_CONFIG"?)'],
    // The command line's own variable has no _FILE form.
    ["SLUICE_CONFIG_FILE", ' (did you mean "SLUICE_CONFIG"?)'],
    ["SLUICE_", `, ${REFERENCE}`],
    ["SLUICE_NONSENSE", `, ${REFERENCE}`],
    ["SLUICE_FILE", `, ${REFERENCE}`],
    ["SLUICE_TIMEOUTS", `, ${REFERENCE}`],
    ["SLUICE_LISTENER_OTHER_LISTEN", `, ${REFERENCE}`],
    ["SLUICE_LISTENER_WEB", `, ${REFERENCE}`],
    ["SLUICE_LISTENER_WEB_TLS", `, ${REFERENCE}`],
    ["SLUICE_LISTENER_WEB_TLS_CRT", ' (did you mean "SLUICE_LISTENER_WEB_TLS_CERT"?)'],
    ["SLUICE_BACKEND_APP_HEALTH_PTH_FILE", ' (did you mean "SLUICE_BACKEND_APP_HEALTH_PATH_FILE"?)'],
    ["SLUICE_LISTENER_WEB_NAME", ", an entry keeps the name that it is addressed by"],
    ["SLUICE_LISTENER_WEB_NAME_FILE", ", an entry keeps the name that it is addressed by"],
    ["SLUICE_LISTENER_WEB_ROUTE", ", a route has no name to be addressed by, wanted it in the file"],
    ["SLUICE_LISTENER_WEB_ROUTE_0_HOST", ", a route has no name to be addressed by, wanted it in the file"],
  ];
  test.each(rows)("%s", (variable, hint) => {
    expect(fromValue({}, { [variable]: "hunter2" }).problems).toEqual([`${variable}: unknown variable${hint}`]);
  });

  test("whose name steers terminals is written on one harmless line", () => {
    expect(fromValue({}, { "SLUICE_\u001b[2J\nX": "" }).problems).toEqual([
      `SLUICE_\\u001b[2J\\u000aX: unknown variable, ${REFERENCE}`,
    ]);
  });

  test("__proto__ and the like are nothing special", () => {
    expect(fromValue({}, { SLUICE___PROTO__: "1", SLUICE_CONSTRUCTOR: "1" }).problems).toEqual([
      `SLUICE_CONSTRUCTOR: unknown variable, ${REFERENCE}`,
      `SLUICE___PROTO__: unknown variable, ${REFERENCE}`,
    ]);
  });
});

describe("what Kubernetes sets for a Service", () => {
  const links: [variable: string, text: string][] = [
    ["SLUICE_SERVICE_HOST", "10.0.0.1"],
    ["SLUICE_SERVICE_PORT", "80"],
    ["SLUICE_SERVICE_PORT_HTTP", "80"],
    ["SLUICE_PORT", "tcp://10.0.0.1:80"],
    ["SLUICE_PORT_80_TCP", "tcp://10.0.0.1:80"],
    ["SLUICE_PORT_80_TCP_PROTO", "tcp"],
    ["SLUICE_PORT_80_TCP_PORT", "80"],
    ["SLUICE_PORT_80_TCP_ADDR", "10.0.0.1"],
    ["SLUICE_PORT_53_UDP", "udp://10.0.0.1:53"],
    ["SLUICE_PORT_53_UDP_ADDR", "10.0.0.1"],
    ["SLUICE_PORT_9_SCTP", "sctp://10.0.0.1:9"],
    ["SLUICE_ADMIN_SERVICE_HOST", "10.0.0.1"],
    ["SLUICE_ADMIN_PORT", "tcp://10.0.0.1:9900"],
  ];
  test.each(links)("%s=%s is ignored", (variable, text) => {
    expect(fromValue({}, { [variable]: text })).toEqual({ config: configOf(), problems: [], warnings: [] });
    expect(configOf({}, Object.fromEntries(links))).toEqual(configOf());
  });

  const others: [variable: string, text: string][] = [
    ["SLUICE_PORT", "80"],
    ["SLUICE_PORT", "http://10.0.0.1:80"],
    ["SLUICE_PORT_80_TCP", "10.0.0.1:80"],
    ["SLUICE_PORT_X_TCP_ADDR", "10.0.0.1"],
    ["SLUICE_HOST", "10.0.0.1"],
    ["SLUICE_ADMIN_PORT", "9900"],
  ];
  test.each(others)("%s=%s is not of that sort", (variable, text) => {
    expect(fromValue({}, { [variable]: text }).problems).toEqual([`${variable}: unknown variable, ${REFERENCE}`]);
  });
});

describe("names in variables", () => {
  test('are in upper case, "-" as "_"', () => {
    const file = {
      listener: [{ name: "my-web_2", listen: ":1", backend: "App-X" }],
      backend: [{ name: "App-X", endpoints: ["a:1"] }],
    };
    const config = configOf(file, {
      SLUICE_LISTENER_MY_WEB_2_TIMEOUTS_LIFETIME: "3h",
      SLUICE_BACKEND_APP_X_ENDPOINTS: "b:2",
    });
    expect(config.listeners[0]?.timeouts.lifetimeMs).toBe(10_800_000);
    expect(config.backends[0]?.endpoints).toEqual([
      { address: { kind: "tcp", host: "b", port: 2 }, weight: 1, backup: false, connections: 0 },
    ]);
  });

  test("that end like a table of another entry are told apart", () => {
    const file = {
      backend: ["app", "app-tls", "app_health"].map((name) => ({ name, endpoints: ["a:1"] })),
      listener: ["app", "app-tls", "app_health"].map((backend, index) => ({
        name: `l${index}`,
        listen: `:${index + 1}`,
        backend,
      })),
    };
    const { backends } = configOf(file, {
      SLUICE_BACKEND_APP_TLS_VERIFY: "false",
      SLUICE_BACKEND_APP_TLS_RETRIES: "7",
      SLUICE_BACKEND_APP_TLS_TLS_VERIFY: "false",
      SLUICE_BACKEND_APP_HEALTH_HEALTH_RISE: "9",
    });
    expect(backends.map(({ tls, health, retries }) => [tls?.verify, health?.rise, retries])).toEqual([
      [false, undefined, 2],
      [false, undefined, 7],
      [undefined, 9, 2],
    ]);
  });

  test("a problem says the name as the file has it", () => {
    const listener = [{ ...minimal().listener[0], name: "my-web" }];
    expect(fromValue({ listener }, { SLUICE_LISTENER_MY_WEB_LISTEN: "x" }).problems).toEqual([
      'SLUICE_LISTENER_MY_WEB_LISTEN listener.my-web.listen: found "x", wanted an address with a port, such as "x:80"',
    ]);
  });

  test("of two entries with one name, the first has the variable", () => {
    const entry = minimal().listener[0]!;
    const listener = [entry, { ...entry, listen: ":2" }];
    expect(fromValue({ listener }, { SLUICE_LISTENER_WEB_LISTEN: "x" }).problems).toEqual([
      'listener.1.name: "web" is the name of another listener already, wanted a name of its own',
      'SLUICE_LISTENER_WEB_LISTEN listener.0.listen: found "x", wanted an address with a port, such as "x:80"',
    ]);
  });
});

describe("entries made of variables", () => {
  const none = { listener: undefined, backend: undefined };

  test("a proxy without a file", () => {
    const env = {
      SLUICE_LISTENER_WEB_LISTEN: "127.0.0.1:8080",
      SLUICE_LISTENER_WEB_BACKEND: "app",
      SLUICE_BACKEND_APP_ENDPOINTS: "127.0.0.1:9000",
    };
    expect(configOf(none, env)).toEqual(configOf());
  });

  test("several of a kind, in lower case and in the order of their names, nested keys and files included", async () => {
    await using folder = await ConfigFolder.open();
    const config = configOf(none, {
      SLUICE_LISTENER_WEB_TWO_LISTEN: ":2",
      SLUICE_LISTENER_WEB_TWO_BACKEND: "app",
      SLUICE_LISTENER_WEB_TWO_TIMEOUTS_HALF_CLOSED: "2s",
      SLUICE_LISTENER_A_LISTEN_FILE: await folder.write("listen", ":1\n"),
      SLUICE_LISTENER_A_BACKEND: "app",
      SLUICE_BACKEND_APP_ENDPOINTS: "a:1",
    });
    expect(config.listeners.map(({ name, listen, timeouts }) => [name, listen, timeouts.halfClosedMs])).toEqual([
      ["a", { kind: "tcp", host: "0.0.0.0", port: 1 }, 60_000],
      ["web_two", { kind: "tcp", host: "0.0.0.0", port: 2 }, 2000],
    ]);
  });

  test("with their tables", () => {
    const config = configOf(none, {
      SLUICE_LISTENER_WEB_LISTEN: "127.0.0.1:8080",
      SLUICE_LISTENER_WEB_BACKEND: "app",
      SLUICE_BACKEND_APP_ENDPOINTS: "127.0.0.1:9000",
      SLUICE_BACKEND_APP_HEALTH_TYPE: "http",
      SLUICE_BACKEND_APP_EJECT_FOR: "20s",
      SLUICE_BACKEND_APP_TLS_SERVER_NAME: "app.test",
    });
    expect(config).toEqual(
      configOf(backendWith({ health: { type: "http" }, eject: { for: "20s" }, tls: { server_name: "app.test" } })),
    );
  });

  test("what is missing in one stands at a variable of it", () => {
    const env = { SLUICE_LISTENER_WEB_LISTEN: ":1", SLUICE_BACKEND_APP_RETRIES: "1" };
    expect(fromValue(none, env).problems).toEqual([
      'SLUICE_BACKEND_APP_RETRIES backend.app.endpoints: is missing, wanted for example endpoints = ["127.0.0.1:9000"]',
      'SLUICE_LISTENER_WEB_LISTEN listener.web.backend: is missing, wanted for example backend = "app"',
    ]);
  });

  test("a name that is none is refused, and so is no name", () => {
    const env = { "SLUICE_LISTENER_A.B_LISTEN": ":1", "SLUICE_LISTENER_A.B_BACKEND": "app" };
    expect(fromValue({ listener: undefined }, env).problems).toEqual([
      'SLUICE_LISTENER_A.B_BACKEND listener.0.name: found "a.b", wanted a name of at most 64 letters, digits, "-" and "_" that begins with a letter or a digit',
    ]);
    expect(fromValue({ listener: undefined }, { SLUICE_LISTENER__LISTEN: ":1" }).problems.at(-1)).toBe(
      `SLUICE_LISTENER__LISTEN: unknown variable, ${REFERENCE}`,
    );
  });

  test("a name alone makes none", () => {
    expect(fromValue({ listener: undefined }, { SLUICE_LISTENER_WEB_NAME: "web" }).problems.slice(1)).toEqual([
      `SLUICE_LISTENER_WEB_NAME: unknown variable, ${REFERENCE}`,
    ]);
  });

  test("none beside an entry of the file, and none beside an empty list", () => {
    expect(fromValue({}, { SLUICE_LISTENER_WBE_LISTEN: ":1", SLUICE_BACKEND_OTHER_ENDPOINTS: "a:1" }).problems).toEqual(
      [
        `SLUICE_BACKEND_OTHER_ENDPOINTS: unknown variable, ${REFERENCE}`,
        'SLUICE_LISTENER_WBE_LISTEN: unknown variable (did you mean "SLUICE_LISTENER_WEB_LISTEN"?)',
      ],
    );
    expect(fromValue({ listener: [] }, { SLUICE_LISTENER_WEB_LISTEN: ":1" }).problems.at(-1)).toBe(
      `SLUICE_LISTENER_WEB_LISTEN: unknown variable, ${REFERENCE}`,
    );
  });

  test("one kind may come from the file and the other from variables", () => {
    const env = { SLUICE_BACKEND_APP_ENDPOINTS: "127.0.0.1:9000" };
    expect(configOf({ backend: undefined }, env)).toEqual(configOf());
  });
});

describe("a value that stands in a file", () => {
  const admin = { listen: ":9900" };
  const contents: [what: string, content: string, token: string][] = [
    ["as it is", "hunter2", "hunter2"],
    ["less a line end", "hunter2\n", "hunter2"],
    ["less a CRLF", "hunter2\r\n", "hunter2"],
    ["less a BOM", "\ufeffhunter2", "hunter2"],
  ];
  test.each(contents)("%s", async (_what, content, token) => {
    await using folder = await ConfigFolder.open();
    const env = { SLUICE_ADMIN_TOKEN_FILE: await folder.write("token", content) };
    expect(configOf({ admin }, env).admin?.token).toBe(token);
  });

  test("less one line end and nothing else", async () => {
    await using folder = await ConfigFolder.open();
    for (const content of ["5\n\n", " 5", "5 \n", "5\r"]) {
      const path = await folder.write("connections", content);
      const found = JSON.stringify(content.replace(/\n$/, ""));
      expect(fromValue({}, { SLUICE_LIMITS_CONNECTIONS_FILE: path }).problems).toEqual([
        `SLUICE_LIMITS_CONNECTIONS_FILE (${path}) limits.connections: found ${found}, wanted a whole number from 1 to 10_000_000`,
      ]);
    }
  });

  test("for any key, lists included", async () => {
    await using folder = await ConfigFolder.open();
    const env = {
      SLUICE_BACKEND_APP_ENDPOINTS_FILE: await folder.write("endpoints", "a:1, b:2\n"),
      SLUICE_LIMITS_CONNECTIONS_FILE: await folder.write("connections", "5_0"),
    };
    const config = configOf({}, env);
    expect(config.limits.connections).toBe(50);
    expect(config.backends[0]?.endpoints.map((endpoint) => endpoint.address)).toEqual([
      { kind: "tcp", host: "a", port: 1 },
      { kind: "tcp", host: "b", port: 2 },
    ]);
  });

  test("of 64 KiB is read, one byte more is not", async () => {
    await using folder = await ConfigFolder.open();
    const listed = Array.from({ length: 64 * 128 }, (_, index) => `a:${10_000 + index}`).join(",");
    expect(listed.length).toBe(64 * 1024 - 1);
    const fits = { SLUICE_BACKEND_APP_ENDPOINTS_FILE: await folder.write("fits", `${listed}\n`) };
    expect(configOf({}, fits).backends[0]?.endpoints.length).toBe(64 * 128);
    const path = await folder.write("larger", `${listed}\n\n`);
    expect(fromValue({}, { SLUICE_BACKEND_APP_ENDPOINTS_FILE: path }).problems).toEqual([
      `SLUICE_BACKEND_APP_ENDPOINTS_FILE (${path}) backend.app.endpoints: cannot read the value: found more than 64 KiB, wanted at most that`,
    ]);
  });

  test("that cannot be read, each with its reason", async () => {
    await using folder = await ConfigFolder.open();
    const file = await folder.write("file", "x");
    const rows: [path: string, reason: string][] = [
      [folder.at("none"), "no such file, wanted a readable file"],
      [folder.at("none/x"), "no such file, wanted a readable file"],
      [`${file}/x`, "a part of its path is not a directory, wanted a readable file"],
      [folder.at(""), "it is a directory, wanted a file"],
      [UNREADABLE, "permission denied, wanted a readable file"],
      [folder.at("x".repeat(256)), "its path is too long, wanted a readable file"],
      ["/dev/zero", "found more than 64 KiB, wanted at most that"],
      [await folder.write("latin1", new Uint8Array([0x68, 0xfc])), "found bytes that are not UTF-8, wanted UTF-8 text"],
    ];
    for (const [path, reason] of rows) {
      // That the address is missing because of this is not said as well.
      expect(fromValue({ admin }, { SLUICE_ADMIN_LISTEN_FILE: path, SLUICE_ADMIN_TOKEN: "t" }).problems).toEqual([
        `SLUICE_ADMIN_LISTEN_FILE (${path}) admin.listen: cannot read the value: ${reason}`,
      ]);
    }
  });

  test("that cannot be read where the file has nothing: that it is missing is not said as well", () => {
    const listener = [{ name: "web", listen: ":1" }];
    expect(fromValue({ listener }, { SLUICE_LISTENER_WEB_BACKEND_FILE: "/none" }).problems).toEqual([
      "SLUICE_LISTENER_WEB_BACKEND_FILE (/none) listener.web.backend: cannot read the value: no such file, wanted a readable file",
    ]);
  });

  test("with an empty path, and one that steers terminals", () => {
    expect(fromValue({ admin }, { SLUICE_ADMIN_LISTEN_FILE: "" }).problems).toEqual([
      "SLUICE_ADMIN_LISTEN_FILE admin.listen: cannot read the value: the variable is empty, wanted a readable file",
    ]);
    expect(fromValue({ admin }, { SLUICE_ADMIN_LISTEN_FILE: "/no\nsuch\u001b[2J" }).problems).toEqual([
      "SLUICE_ADMIN_LISTEN_FILE (/no\\u000asuch\\u001b[2J) admin.listen: cannot read the value: no such file, wanted a readable file",
    ]);
  });

  test("and in its variable as well: only one of the two", async () => {
    await using folder = await ConfigFolder.open();
    const path = await folder.write("token", "hunter2");
    const env = { SLUICE_ADMIN_TOKEN_FILE: path, SLUICE_ADMIN_TOKEN: "hunter2", SLUICE_ADMIN_LISTEN: "127.0.0.1:1" };
    expect(fromValue({}, env).problems).toEqual([
      "SLUICE_ADMIN_TOKEN_FILE admin.token: SLUICE_ADMIN_TOKEN is set as well, wanted only one of the two",
    ]);
    expect(fromValue({}, { ...env, SLUICE_ADMIN_TOKEN: "" }).problems).toEqual([
      "SLUICE_ADMIN_TOKEN_FILE admin.token: SLUICE_ADMIN_TOKEN is set as well, wanted only one of the two",
    ]);
  });

  test("beats the configuration file, like any variable", async () => {
    await using folder = await ConfigFolder.open();
    const env = { SLUICE_ADMIN_TOKEN_FILE: await folder.write("token", "new") };
    expect(configOf({ admin: { listen: ":1", token: "old" } }, env).admin?.token).toBe("new");
  });
});

describe("a secret is in no message", () => {
  test("nor is a private key that is given instead of its path", async () => {
    await using folder = await ConfigFolder.open();
    const { certFile, key, keyFile } = certificates.a;
    const file = listenerWith({ tls: { cert: certFile } });
    const NO_PATH = 'listener.web.tls.key: found text that is no path, wanted the path of a file such as "key.pem"';
    for (const text of [key, key.replaceAll("\n", "\\n"), key.replaceAll("\n", " ")]) {
      expect(fromValue(file, { SLUICE_LISTENER_WEB_TLS_KEY: text }).problems).toEqual([
        `SLUICE_LISTENER_WEB_TLS_KEY ${NO_PATH}`,
      ]);
    }
    // Whose value is a path needs no _FILE.
    expect(fromValue(file, { SLUICE_LISTENER_WEB_TLS_KEY_FILE: keyFile }).problems).toEqual([
      `SLUICE_LISTENER_WEB_TLS_KEY_FILE (${keyFile}) ${NO_PATH}`,
    ]);
    const path = await folder.write("path", `${keyFile}\n`);
    expect(fromValue(file, { SLUICE_LISTENER_WEB_TLS_KEY_FILE: path }).problems).toEqual([]);
  });

  test("from a variable, from a file, from both, with whatever is wrong", async () => {
    await using folder = await ConfigFolder.open();
    const file = await folder.write("token", "hunter2\nhunter2\n");
    const WANTED = "wanted printable ASCII characters without spaces, at most 4_096";
    const admin = { listen: "127.0.0.1:1" };
    expect(fromValue({ admin }, { SLUICE_ADMIN_TOKEN: "hunter2 " }).problems).toEqual([
      `SLUICE_ADMIN_TOKEN admin.token: found text with other characters, ${WANTED}`,
    ]);
    expect(fromValue({ admin }, { SLUICE_ADMIN_TOKEN_FILE: file }).problems).toEqual([
      `SLUICE_ADMIN_TOKEN_FILE (${file}) admin.token: found text with other characters, ${WANTED}`,
    ]);
    expect(fromValue({}, { SLUICE_ADMIN: "hunter2", SLUICE_ADMIN_TOKE: "hunter2" }).problems).toEqual([
      `SLUICE_ADMIN: unknown variable, ${REFERENCE}`,
      'SLUICE_ADMIN_TOKE: unknown variable (did you mean "SLUICE_ADMIN_TOKEN"?)',
    ]);
  });
});

describe("when the file cannot be used", () => {
  const env = {
    SLUICE_ADMIN_TOKEN: "hunter2 ",
    SLUICE_LIMITS_CONNECTIONS: "0",
    SLUICE_LISTENER_WEB_LISTEN: "x",
    SLUICE_TIMEOUTS_IDEL: "5s",
    SLUICE_LISTENER_WEB_TIMEOUTS_IDLE: "1h",
  };
  const lines = [
    "SLUICE_ADMIN_TOKEN admin.token: found text with other characters, wanted printable ASCII characters without spaces, at most 4_096",
    "SLUICE_LIMITS_CONNECTIONS limits.connections: found 0, wanted a whole number from 1 to 10_000_000",
    'SLUICE_LISTENER_WEB_LISTEN listener.web.listen: found "x", wanted an address with a port, such as "x:80"',
    'SLUICE_TIMEOUTS_IDEL: unknown variable (did you mean "SLUICE_TIMEOUTS_IDLE"?)',
  ];

  test("because it is not there, the variables are checked as far as they can be", async () => {
    await using folder = await ConfigFolder.open();
    expect((await folder.loadFile(folder.at("none.toml"), env)).problems).toEqual([
      "none.toml: cannot read the configuration: no such file",
      ...lines,
    ]);
  });

  test("because it is not TOML, the same", async () => {
    await using folder = await ConfigFolder.open();
    expect((await folder.load("x\n", env)).problems).toEqual([
      'config.toml:1:2: not valid TOML: found the end of the line, wanted "=" after the key',
      ...lines,
    ]);
  });
});
