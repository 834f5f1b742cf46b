/** The environment over the file: which variable is which key, values from files, entries made of variables, and what is refused. */
import { describe, expect, test } from "bun:test";
import { overlay } from "../../src/config/environment.ts";
import { configurationReference } from "../../src/config/load.ts";
import { declaration } from "../../src/config/schema.ts";
import { ConfigFolder, configOf, fromValue, minimal, MINIMAL_TOML } from "../support/configuration.ts";

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
    ["SLUICE_LISTENER_WEB_LISTEN", ":80", { listener: [{ ...minimal().listener[0], listen: ":80" }] }],
    [
      "SLUICE_LISTENER_WEB_TIMEOUTS_IDLE",
      "10m",
      { listener: [{ ...minimal().listener[0], timeouts: { idle: "10m" } }] },
    ],
    ["SLUICE_BACKEND_APP_RETRIES", "0", { backend: [{ ...minimal().backend[0], retries: 0 }] }],
    ["SLUICE_BACKEND_APP_ENDPOINTS", "a:1", { backend: [{ name: "app", endpoints: ["a:1"] }] }],
    ["SLUICE_BACKEND_APP_ENDPOINTS", " a:1, [::1]:2 ", { backend: [{ name: "app", endpoints: ["a:1", "[::1]:2"] }] }],
    ["SLUICE_LISTENER_WEB_ALLOW", "", {}],
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

  test("every variable of the reference is known, and takes the default that stands beside it", () => {
    const rows = configurationReference()
      .split("\n")
      .map((line) => line.split("|").map((cell) => cell.trim()))
      .filter((cells) => /^`SLUICE_[A-Z_<>]+`$/.test(cells.at(-2) ?? ""))
      .map((cells) => ({ variable: cells.at(-2)!.slice(1, -1), fallback: cells[3]! }));
    expect(rows.length).toBeGreaterThan(35);
    const required: Record<string, string> = {
      SLUICE_LISTENER_WEB_LISTEN: "127.0.0.1:8080",
      SLUICE_LISTENER_WEB_BACKEND: "app",
      SLUICE_BACKEND_APP_ENDPOINTS: "127.0.0.1:9000",
      SLUICE_ADMIN_LISTEN: "127.0.0.1:9900",
    };
    const env: Record<string, string> = {};
    for (const { variable, fallback } of rows) {
      const name = variable.replace("LISTENER_<NAME>", "LISTENER_WEB").replace("BACKEND_<NAME>", "BACKEND_APP");
      env[name] = required[name] ?? fallback.replace(/^`"?(.*?)"?`$/, "$1").replace("[]", "");
    }
    expect(configOf({}, env)).toEqual(configOf({ admin: { listen: "127.0.0.1:9900" } }));
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
  const rows: [variable: string, text: string, line: string][] = [
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
      "10.0.0.0/8",
      "listener.web.allow: found a list, which is not supported yet, wanted the default, []",
    ],
    ["SLUICE_LISTENER_WEB_TLS_CERT", "c.pem", "listener.web.tls: tls is not supported yet, wanted it left out"],
    ["SLUICE_BACKEND_APP_HEALTH_TYPE", "tcp", "backend.app.health: health is not supported yet, wanted it left out"],
    ["SLUICE_TRACING_SAMPLE", "0.5", "tracing: tracing is not supported yet, wanted it left out"],
  ];
  test.each(rows)("%s=%s", (variable, text, line) => {
    expect(fromValue({}, { [variable]: text }).problems).toEqual([`${variable} ${line}`]);
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
    ["SLUICE_LISTENER_WEB_NAME", `, ${REFERENCE}`],
    ["SLUICE_LISTENER_WEB_ROUTE_0_HOST", `, ${REFERENCE}`],
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
    expect(config.backends[0]?.endpoints).toEqual([{ address: { kind: "tcp", host: "b", port: 2 } }]);
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
