/** The configuration as values: its type, its defaults, every sort of key, what is checked across keys, what is not built yet. */
import { describe, expect, test } from "bun:test";
import type { App } from "../../src/app.ts";
import { configFromValue, formatDiagnostic } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import type { Address, EndpointAddress } from "../../src/core/address.ts";
import { backendWith, configOf, fromValue, listenerWith, minimal, ROOMY } from "../support/configuration.ts";

/* The program's form, written out by hand: a change of the schema that changes it must be made here as well. */

interface ExpectedTimeouts {
  connectMs: number;
  responseMs: number;
  idleMs: number;
  halfClosedMs: number;
  lifetimeMs: number;
  inspectMs: number;
}

interface ExpectedCidr {
  readonly kind: "ipv4" | "ipv6";
  readonly address: string;
  readonly bits: number;
}

interface ExpectedListener {
  name: string;
  listen: Address;
  backend: string;
  mode: number;
  acceptProxy: "off" | "required";
  trusted: ExpectedCidr[];
  allow: ExpectedCidr[];
  deny: ExpectedCidr[];
  connections: number;
  connectionsPerIp: number;
  ratePerIp: number;
  timeouts: ExpectedTimeouts;
  tls:
    | {
        cert: readonly string[];
        key: readonly string[];
        clientCa: string;
        clientCert: "required" | "optional";
        alpn: string[];
      }
    | undefined;
  routes: { pathPrefix: string; host: string; sni: string; alpn: string; prefix: string; backend: string }[];
}

interface ExpectedBackend {
  name: string;
  endpoints: { address: EndpointAddress; weight: number; backup: boolean; connections: number }[];
  balance: "round_robin" | "least_connections" | "random_two" | "source_hash" | "first";
  retries: number;
  sendProxy: "off" | "v1" | "v2";
  resolveMs: number;
  onDown: "keep" | "close";
  tls:
    | {
        serverName: string;
        ca: string;
        cert: string;
        key: string;
        verify: boolean;
        alpn: string[];
        proxyHeader: "before" | "inside";
      }
    | undefined;
  health:
    | {
        type: "tcp" | "http" | "exchange";
        path: string;
        host: string;
        status: string;
        send: Uint8Array;
        expect: Uint8Array;
        intervalMs: number;
        timeoutMs: number;
        rise: number;
        fall: number;
      }
    | undefined;
  eject: { failures: number; forMs: number } | undefined;
}

interface ExpectedConfig {
  forwarding: { engine: "auto" | "copy" | "splice"; workers: number };
  limits: { connections: number; overflow: "queue" | "reject" };
  shutdown: { delayMs: number; drainMs: number; idleMs: number };
  timeouts: ExpectedTimeouts;
  tcp: { noDelay: boolean; keepaliveMs: number };
  listeners: ExpectedListener[];
  backends: ExpectedBackend[];
  resolver: { servers: { readonly host: string; readonly port: number }[] };
  admin: { listen: Address; token: string; readyNeedsBackends: boolean } | undefined;
  log: { level: "debug" | "info" | "warn" | "error"; format: "auto" | "json" | "pretty"; access: boolean };
  tracing: { otlp: string; sample: number; service: string; headers: { readonly [name: string]: string } } | undefined;
}

/** `true` when two types are the same, member by member; anything else is an error of `bun check`. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Plain<T> = T extends Uint8Array ? T : T extends object ? { [Name in keyof T]: Plain<T[Name]> } : T;

const CONFIG_IS_AS_EXPECTED: Same<Plain<Config>, Plain<ExpectedConfig>> = true;
const APP_TAKES_THE_CONFIG: Same<ConstructorParameters<typeof App>[0], Config> = true;

const tcp = (host: string, port: number): Address => ({ kind: "tcp", host, port });
const DEFAULT_TIMEOUTS: ExpectedTimeouts = {
  connectMs: 5000,
  responseMs: 0,
  idleMs: 3_600_000,
  halfClosedMs: 60_000,
  lifetimeMs: 0,
  inspectMs: 5000,
};
const DEFAULTS: ExpectedConfig = {
  forwarding: { engine: "auto", workers: 1 },
  limits: { connections: 10_000, overflow: "queue" },
  shutdown: { delayMs: 0, drainMs: 30_000, idleMs: 0 },
  timeouts: DEFAULT_TIMEOUTS,
  tcp: { noDelay: true, keepaliveMs: 30_000 },
  listeners: [
    {
      name: "web",
      listen: tcp("127.0.0.1", 8080),
      backend: "app",
      mode: 0o660,
      acceptProxy: "off",
      trusted: [],
      allow: [],
      deny: [],
      connections: 0,
      connectionsPerIp: 0,
      ratePerIp: 0,
      timeouts: DEFAULT_TIMEOUTS,
      tls: undefined,
      routes: [],
    },
  ],
  backends: [
    {
      name: "app",
      endpoints: [{ address: tcp("127.0.0.1", 9000), weight: 1, backup: false, connections: 0 }],
      balance: "round_robin",
      retries: 2,
      sendProxy: "off",
      resolveMs: 30_000,
      onDown: "keep",
      tls: undefined,
      health: undefined,
      eject: undefined,
    },
  ],
  resolver: { servers: [] },
  admin: undefined,
  log: { level: "info", format: "auto", access: true },
  tracing: undefined,
};

describe("the program's form", () => {
  test("is the type that the app takes, and what the smallest configuration gives has every default", () => {
    expect({ CONFIG_IS_AS_EXPECTED, APP_TAKES_THE_CONFIG, config: configOf() }).toStrictEqual({
      CONFIG_IS_AS_EXPECTED: true,
      APP_TAKES_THE_CONFIG: true,
      config: DEFAULTS,
    });
  });

  test("empty tables have the same defaults as missing ones", () => {
    const empty = { forwarding: {}, limits: {}, shutdown: {}, timeouts: {}, tcp: {}, resolver: {}, log: {} };
    expect(configOf({ ...empty, ...listenerWith({ timeouts: {} }) })).toStrictEqual(DEFAULTS);
  });

  test("each configuration has defaults of its own", () => {
    const [one, other] = [configOf(), configOf()];
    one.timeouts.idleMs = 1;
    one.listeners[0]!.timeouts.idleMs = 2;
    one.listeners[0]!.allow.push({ kind: "ipv4", address: "10.0.0.0", bits: 8 });
    one.backends[0]!.endpoints[0]!.weight = 3;
    one.resolver.servers.push({ host: "127.0.0.1", port: 53 });
    expect(other).toEqual(DEFAULTS);
    expect(configOf()).toEqual(DEFAULTS);
  });

  test("the values handed over stay as they were", () => {
    const value = { ...minimal(), timeouts: { connect: "1s" }, limits: { conections: 1 } };
    const before = structuredClone(value);
    configFromValue(value, { SLUICE_TIMEOUTS_CONNECT: "2s", SLUICE_LISTENER_WEB_LISTEN: ":1" }, ROOMY);
    expect(value).toEqual(before);
  });
});

describe("a value that is accepted", () => {
  const rows: [table: string, key: string, value: unknown, effective: unknown][] = [
    ["forwarding", "engine", "copy", { engine: "copy", workers: 1 }],
    ["forwarding", "engine", "splice", { engine: "splice", workers: 1 }],
    ["limits", "connections", 1, { connections: 1, overflow: "queue" }],
    ["limits", "connections", 500_000, { connections: 500_000, overflow: "queue" }],
    ["limits", "overflow", "reject", { connections: 10_000, overflow: "reject" }],
    ["shutdown", "delay", "5s", { delayMs: 5000, drainMs: 30_000, idleMs: 0 }],
    ["shutdown", "drain", "0s", { delayMs: 0, drainMs: 0, idleMs: 0 }],
    ["shutdown", "idle", "1s", { delayMs: 0, drainMs: 30_000, idleMs: 1000 }],
    ["timeouts", "connect", "250ms", { ...DEFAULT_TIMEOUTS, connectMs: 250 }],
    ["timeouts", "response", "1m30s", { ...DEFAULT_TIMEOUTS, responseMs: 90_000 }],
    ["timeouts", "idle", "0s", { ...DEFAULT_TIMEOUTS, idleMs: 0 }],
    ["timeouts", "half_closed", "1h", { ...DEFAULT_TIMEOUTS, halfClosedMs: 3_600_000 }],
    ["timeouts", "lifetime", "8760h", { ...DEFAULT_TIMEOUTS, lifetimeMs: 31_536_000_000 }],
    ["timeouts", "inspect", "0s", { ...DEFAULT_TIMEOUTS, inspectMs: 0 }],
    ["timeouts", "inspect", "6s", { ...DEFAULT_TIMEOUTS, inspectMs: 6000 }],
    ["tcp", "no_delay", false, { noDelay: false, keepaliveMs: 30_000 }],
    ["tcp", "keepalive", "0s", { noDelay: true, keepaliveMs: 0 }],
    ["tcp", "keepalive", "32767s", { noDelay: true, keepaliveMs: 32_767_000 }],
    ["log", "level", "debug", { level: "debug", format: "auto", access: true }],
    ["log", "format", "json", { level: "info", format: "json", access: true }],
    ["log", "access", false, { level: "info", format: "auto", access: false }],
  ];
  test.each(rows)("%s.%s = %j", (table, key, value, effective) => {
    // A listener has the global timeouts.
    const listeners = DEFAULTS.listeners.map((listener) =>
      table in listener ? { ...listener, [table]: effective } : listener,
    );
    expect(configOf({ [table]: { [key]: value } })).toEqual({ ...DEFAULTS, listeners, [table]: effective });
  });

  test("an admin server, with its defaults and with all of its keys", () => {
    expect(configOf({ admin: { listen: "127.0.0.1:9900" } }).admin).toEqual({
      listen: tcp("127.0.0.1", 9900),
      token: "",
      readyNeedsBackends: true,
    });
    expect(configOf({ admin: { listen: ":9900", token: "t", ready_needs_backends: false } }).admin).toEqual({
      listen: tcp("0.0.0.0", 9900),
      token: "t",
      readyNeedsBackends: false,
    });
  });

  const listens: [text: string, address: Address][] = [
    ["127.0.0.1:80", tcp("127.0.0.1", 80)],
    [":80", tcp("0.0.0.0", 80)],
    [":0", tcp("0.0.0.0", 0)],
    ["[::]:80", tcp("::", 80)],
    ["localhost:80", tcp("localhost", 80)],
    ["unix:/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ];
  test.each(listens)("to listen on %s", (listen, address) => {
    expect(configOf({ listener: [{ name: "web", listen, backend: "app" }] }).listeners[0]?.listen).toEqual(address);
  });

  test("endpoints as text and as tables, in their order", () => {
    const endpoints = [
      "name:1",
      { address: "[::1]:2" },
      "10.0.0.1:3",
      "unix:app.sock",
      { address: "srv:_pg._tcp.example.com", weight: 0, backup: true, connections: 10_000_000 },
      { address: "a:1", weight: 1000 },
    ];
    const plain = { weight: 1, backup: false, connections: 0 };
    expect(configOf({ backend: [{ name: "app", endpoints, retries: 0 }] })).toEqual({
      ...DEFAULTS,
      backends: [
        {
          ...DEFAULTS.backends[0]!,
          endpoints: [
            { ...plain, address: tcp("name", 1) },
            { ...plain, address: tcp("::1", 2) },
            { ...plain, address: tcp("10.0.0.1", 3) },
            { ...plain, address: { kind: "unix", path: "app.sock" } },
            {
              address: { kind: "srv", name: "_pg._tcp.example.com" },
              weight: 0,
              backup: true,
              connections: 10_000_000,
            },
            { ...plain, address: tcp("a", 1), weight: 1000 },
          ],
          retries: 0,
        },
      ],
    });
  });

  test("a listener's timeouts: its own, then the global ones, then the defaults", () => {
    const { timeouts, listeners } = configOf({
      timeouts: { connect: "1s", response: "2s" },
      listener: [
        { name: "a", listen: ":1", backend: "app", timeouts: { response: "3s", idle: "0s", inspect: "4s" } },
        { name: "b", listen: ":2", backend: "app" },
      ],
    });
    expect(timeouts).toEqual({ ...DEFAULT_TIMEOUTS, connectMs: 1000, responseMs: 2000 });
    expect(listeners.map((listener) => listener.timeouts)).toEqual([
      { ...DEFAULT_TIMEOUTS, connectMs: 1000, responseMs: 3000, idleMs: 0, inspectMs: 4000 },
      { ...DEFAULT_TIMEOUTS, connectMs: 1000, responseMs: 2000 },
    ]);
  });
});

describe("a value that is refused", () => {
  const DURATION = 'wanted a duration such as "250ms", "5s", "1m30s" or "1h"';
  const CONNECTIONS = "wanted a whole number from 1 to 10_000_000";
  const rows: [table: string, key: string, value: unknown, message: string][] = [
    ["forwarding", "engine", "spli", 'found "spli", wanted one of "auto", "copy", "splice"'],
    ["forwarding", "engine", "splic", 'found "splic", wanted one of "auto", "copy", "splice" (did you mean "splice"?)'],
    ["forwarding", "engine", 1, 'found 1, wanted one of "auto", "copy", "splice"'],
    ["forwarding", "workers", 0, 'found 0, wanted a whole number from 1 to 1_024, or "auto"'],
    ["forwarding", "workers", 1.5, 'found 1.5, wanted a whole number from 1 to 1_024, or "auto"'],
    ["forwarding", "workers", 1025, 'found 1025, wanted a whole number from 1 to 1_024, or "auto"'],
    ["forwarding", "workers", "all", 'found "all", wanted a whole number from 1 to 1_024, or "auto"'],
    ["limits", "connections", 0, `found 0, ${CONNECTIONS}`],
    ["limits", "connections", -1, `found -1, ${CONNECTIONS}`],
    ["limits", "connections", 1.5, `found 1.5, ${CONNECTIONS}`],
    ["limits", "connections", 10_000_001, `found 10000001, ${CONNECTIONS}`],
    ["limits", "connections", Number.NaN, `found NaN, ${CONNECTIONS}`],
    ["limits", "connections", Infinity, `found Infinity, ${CONNECTIONS}`],
    ["limits", "connections", 2n ** 63n, `found a number that is too large, ${CONNECTIONS}`],
    ["limits", "connections", "5", `found "5", ${CONNECTIONS}`],
    ["limits", "connections", true, `found true, ${CONNECTIONS}`],
    ["limits", "connections", null, `found nothing, ${CONNECTIONS}`],
    ["limits", "connections", [], `found a list, ${CONNECTIONS}`],
    ["limits", "connections", {}, `found a table, ${CONNECTIONS}`],
    ["limits", "connections", new Date(0), `found a date or time, ${CONNECTIONS}`],
    ["limits", "overflow", "rejct", 'found "rejct", wanted one of "queue", "reject" (did you mean "reject"?)'],
    ["limits", "overflow", "", 'found "", wanted one of "queue", "reject"'],
    ["shutdown", "delay", "-1s", 'found "-1s", wanted a duration that is not negative, such as "5s" ("0s" is off)'],
    ["shutdown", "drain", 5, `found 5, ${DURATION}`],
    ["shutdown", "drain", "5", 'found "5", wanted a duration with its unit, such as "5s" or "5ms"'],
    [
      "timeouts",
      "connect",
      "1.5s",
      'found "1.5s", wanted a duration in whole numbers, such as "1s500ms" instead of "1.5s"',
    ],
    ["timeouts", "inspect", "6", 'found "6", wanted a duration with its unit, such as "6s" or "6ms"'],
    ["timeouts", "inspect", 6, `found 6, ${DURATION}`],
    ["timeouts", "idle", "9000h", 'found "9000h", wanted a duration of at most 8760h (365 days)'],
    ["timeouts", "idle", true, `found true, ${DURATION}`],
    ["timeouts", "idle", `${"x".repeat(60)}`, `found "${"x".repeat(60)}", ${DURATION}`],
    ["timeouts", "idle", `${"x".repeat(61)}`, `found "${"x".repeat(60)}…", ${DURATION}`],
    ["timeouts", "idle", "a\nb\u001b[31m", `found "a\\nb\\u001b[31m", ${DURATION}`],
    ["timeouts", "idle", "a\u007f\u0085\u2028b", `found "a\\u007f\\u0085\\u2028b", ${DURATION}`],
    ["tcp", "no_delay", "true", 'found "true", wanted true or false'],
    ["tcp", "no_delay", 1, "found 1, wanted true or false"],
    ["tcp", "keepalive", "1500ms", 'found "1500ms", wanted a duration in steps of "1s", at most "9h6m7s"'],
    ["tcp", "keepalive", "32768s", 'found "32768s", wanted a duration in steps of "1s", at most "9h6m7s"'],
    [
      "admin",
      "listen",
      "9900",
      'found "9900", wanted an address with a port, such as "127.0.0.1:80", "[::1]:80" or "name:80"',
    ],
    ["admin", "listen", 9900, 'found 9900, wanted an address such as "127.0.0.1:8080", ":8080" or "[::]:8080"'],
    ["log", "level", "inf", 'found "inf", wanted one of "debug", "info", "warn", "error" (did you mean "info"?)'],
    ["log", "level", "INFO", 'found "INFO", wanted one of "debug", "info", "warn", "error" (did you mean "info"?)'],
    ["log", "format", "text", 'found "text", wanted one of "auto", "json", "pretty"'],
    ["log", "access", "yes", 'found "yes", wanted true or false'],
  ];
  test.each(rows)("%s.%s = %p", (table, key, value, message) => {
    expect(fromValue({ [table]: { [key]: value } }).problems).toEqual([`${table}.${key}: ${message}`]);
  });

  const notTables: [table: string, value: unknown, message: string][] = [
    ["forwarding", 5, "forwarding: found 5, wanted a table"],
    ["limits", "x", 'limits: found "x", wanted a table'],
    ["limits", new Date(0), "limits: found a date or time, wanted a table"],
    ["timeouts", [{}], "timeouts: found a list, wanted a table"],
    ["resolver", ["127.0.0.1"], "resolver: found a list, wanted a table"],
    ["admin", [{ listen: ":1" }], "admin: found a list, wanted a table"],
    ["listener", {}, "listener: found a table, wanted tables, each beginning with [[listener]]"],
    ["listener", 5, "listener: found 5, wanted tables, each beginning with [[listener]]"],
    ["listener", [5], "listener.0: found 5, wanted a table"],
    ["listener", [[]], "listener.0: found a list, wanted a table"],
  ];
  test.each(notTables)("%s = %j where a table belongs: one line", (table, value, line) => {
    expect(fromValue({ [table]: value }).problems).toEqual([line]);
  });

  const wholes: [found: string, value: unknown][] = [
    ["5", 5],
    ['"x"', "x"],
    ["nothing", null],
    ["nothing", undefined],
    ["a list", []],
    ["a date or time", new Date(0)],
  ];
  test.each(wholes)("%s instead of a whole configuration", (found, value) => {
    const loaded = configFromValue(value, {}, ROOMY);
    expect(loaded.ok ? [] : loaded.problems.map(formatDiagnostic)[0]).toBe(`found ${found}, wanted a table`);
  });
});

describe("keys", () => {
  const TABLES = "forwarding, limits, shutdown, timeouts, tcp, listener, backend, resolver, admin, log, tracing";

  test("unknown ones are named, with the key that was probably meant or all that there are", () => {
    const listener = { ...minimal().listener[0], lisen: 1, timeouts: { idel: "5s" } };
    const backend = { name: "app", endpoints: [{ address: "a:1", wieght: 1 }], retrys: 3 };
    const loaded = fromValue({
      limts: {},
      extra: 1,
      limits: { conections: 5, zzz: 1 },
      listener: [listener],
      backend: [backend],
    });
    expect(loaded.problems.toSorted()).toEqual([
      'backend.app.endpoints.0.wieght: unknown key "wieght" (did you mean "weight"?)',
      'backend.app.retrys: unknown key "retrys" (did you mean "retries"?)',
      `extra: unknown key "extra", wanted one of ${TABLES}`,
      'limits.conections: unknown key "conections" (did you mean "connections"?)',
      'limits.zzz: unknown key "zzz", wanted one of connections, overflow',
      'limts: unknown key "limts" (did you mean "limits"?)',
      'listener.web.lisen: unknown key "lisen" (did you mean "listen"?)',
      'listener.web.timeouts.idel: unknown key "idel" (did you mean "idle"?)',
    ]);
  });

  test("the program's own spelling is unknown in the file", () => {
    expect(fromValue({ timeouts: { halfClosedMs: "1s", idle_ms: "1s" }, listeners: [] }).problems.toSorted()).toEqual([
      'listeners: unknown key "listeners" (did you mean "listener"?)',
      'timeouts.halfClosedMs: unknown key "halfClosedMs" (did you mean "half_closed"?)',
      'timeouts.idle_ms: unknown key "idle_ms", wanted one of connect, response, idle, half_closed, lifetime, inspect',
    ]);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])("%s is a key like any other", (name) => {
    const value = JSON.parse(`{ "${name}": { "x": 1 }, "limits": { "${name}": { "connections": 1 } } }`);
    expect(fromValue(value).problems).toEqual([
      `${name}: unknown key "${name}", wanted one of ${TABLES}`,
      `limits.${name}: unknown key "${name}", wanted one of connections, overflow`,
    ]);
    expect(Object.hasOwn(Object.prototype, "x")).toBe(false);
  });

  test("a key that is no bare key is shown in quotes, cut to size", () => {
    const long = "x".repeat(70);
    expect(fromValue({ limits: { "a b": 1, [long]: 1, "": 1 } }).problems).toEqual([
      'limits."a b": unknown key "a b", wanted one of connections, overflow',
      `limits."${"x".repeat(64)}…": unknown key "${"x".repeat(60)}…", wanted one of connections, overflow`,
      'limits."": unknown key "", wanted one of connections, overflow',
    ]);
  });

  test("missing ones are shown with an example; entries without a usable name stand by their index", () => {
    expect(
      fromValue({ listener: [{}], backend: [{ name: "app" }, { name: 5, endpoints: ["a:1"] }], admin: {} }).problems,
    ).toEqual([
      'listener.0.name: is missing, wanted for example name = "web"',
      'listener.0.listen: is missing, wanted for example listen = "127.0.0.1:8080"',
      'backend.app.endpoints: is missing, wanted for example endpoints = ["127.0.0.1:9000"]',
      'backend.1.name: found 5, wanted a name of at most 64 letters, digits, "-" and "_" that begins with a letter or a digit',
      'admin.listen: is missing, wanted for example listen = "127.0.0.1:9900"',
      'listener.0.backend: is missing, wanted for example backend = "app"',
    ]);
  });
});

describe("names", () => {
  const NAME = 'wanted a name of at most 64 letters, digits, "-" and "_" that begins with a letter or a digit';
  const named = (...names: unknown[]) => ({
    listener: names.map((name, index) => ({ name, listen: `:${index + 1}`, backend: "app" })),
  });

  test.each(["a", "A", "9", "my-web", "my_web", "constructor", "x".repeat(64)])("%s is one", (name) => {
    expect(configOf(named(name)).listeners[0]?.name).toBe(name);
  });

  test.each(["", "-a", "_a", "we b", "a.b", "wéb", "a\n", "x".repeat(65)])("%j is none", (name) => {
    const [line = "", ...more] = fromValue(named(name)).problems;
    expect(more).toEqual([]);
    expect(
      line.endsWith(`.name: found ${JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name)}, ${NAME}`),
    ).toBe(true);
  });

  test("two of the same kind differ", () => {
    expect(fromValue(named("web", "web")).problems).toEqual([
      'listener.1.name: "web" is the name of another listener already, wanted a name of its own',
    ]);
    const app = minimal().backend[0]!;
    expect(fromValue({ backend: [app, app] }).problems).toEqual([
      'backend.1.name: "app" is the name of another backend already, wanted a name of its own',
    ]);
  });

  test("two differ in more than variables can tell", () => {
    expect(fromValue(named("web-a", "WEB_A")).problems).toEqual([
      'listener.WEB_A.name: "WEB_A" and "web-a" would be the same in variables (SLUICE_LISTENER_WEB_A_…), wanted names that differ in more than case, "-" and "_"',
    ]);
  });

  test("a listener and a backend may share one", () => {
    const both = {
      listener: [{ name: "x", listen: ":1", backend: "x" }],
      backend: [{ name: "x", endpoints: ["a:1"] }],
    };
    expect(fromValue(both).problems).toEqual([]);
  });
});

describe("listeners and backends", () => {
  const NONE =
    'listener: no listener is configured, wanted at least one: [[listener]] with name = "web", listen = "127.0.0.1:8080", backend = "app", and [[backend]] with name = "app", endpoints = ["127.0.0.1:9000"]';
  const to = (backend: unknown) => ({ listener: [{ name: "web", listen: ":1", backend }] });
  const rows: [what: string, extra: Record<string, unknown>, lines: string[]][] = [
    ["no listener", { listener: [] }, [NONE]],
    ["nothing at all", { listener: undefined, backend: undefined }, [NONE]],
    ["a mistyped backend", to("ap"), ['listener.web.backend: unknown backend "ap" (did you mean "app"?)']],
    ["a backend in another case", to("App"), ['listener.web.backend: unknown backend "App" (did you mean "app"?)']],
    ["another backend", to("zzzz"), ['listener.web.backend: unknown backend "zzzz", wanted one of "app"']],
    ["no name of a backend", to(""), ['listener.web.backend: is missing, wanted for example backend = "app"']],
    ["a backend that is no text", to(5), ["listener.web.backend: found 5, wanted text in quotes"]],
    [
      "a long name of a backend",
      to("x".repeat(70)),
      [`listener.web.backend: unknown backend "${"x".repeat(64)}", wanted one of "app"`],
    ],
    ["no backend", { backend: [] }, ['listener.web.backend: unknown backend "app", no [[backend]] is configured']],
  ];
  test.each(rows)("%s", (_what, extra, lines) => {
    expect(fromValue(extra).problems).toEqual(lines);
  });

  test("every backend is named when none is near", () => {
    const backend = ["one", "two"].map((name) => ({ name, endpoints: ["a:1"] }));
    expect(fromValue({ ...to("zzzz"), backend }).problems).toEqual([
      'listener.web.backend: unknown backend "zzzz", wanted one of "one", "two"',
    ]);
  });

  test("a backend that is invalid is known all the same", () => {
    expect(fromValue({ backend: [{ name: "app", endpoints: [] }] }).problems).toEqual([
      'backend.app.endpoints: found an empty list, wanted at least one, such as ["127.0.0.1:9000"]',
    ]);
  });

  test("a backend that no listener uses is a warning", () => {
    const loaded = fromValue({ backend: [...minimal().backend, { name: "old", endpoints: ["a:1"] }] });
    expect(loaded.problems).toEqual([]);
    expect(loaded.warnings).toEqual(['backend.old: no listener uses the backend "old"']);
    expect(loaded.config?.backends.map((backend) => backend.name)).toEqual(["app", "old"]);
  });
});

describe("endpoints", () => {
  const at = (...endpoints: unknown[]) => ({ backend: [{ name: "app", endpoints }] });
  const ADDRESS = 'wanted an address such as "127.0.0.1:9000" or "name:9000"';
  const rows: [endpoint: unknown, line: string][] = [
    [5, '0: found 5, wanted an address such as "127.0.0.1:9000", or a table with its address'],
    [[], "0: found a list, wanted text in quotes or a table"],
    [["a:1"], "0: found a list, wanted text in quotes or a table"],
    [new Date(0), "0: found a date or time, wanted text in quotes or a table"],
    ["x", '0: found "x", wanted an address with a port, such as "x:80"'],
    ["", '0: found "", wanted an address with a port, such as "127.0.0.1:80", "[::1]:80" or "name:80"'],
    [":80", '0: found ":80", wanted a host before the port, such as "127.0.0.1:80"'],
    ["a:0", '0: found "a:0", wanted a port from 1 to 65535'],
    ["unix:", '0: found "unix:", wanted a path after "unix:", such as "unix:/run/x.sock"'],
    [`unix:/${"x".repeat(107)}`, `0: found "unix:/${"x".repeat(54)}…", wanted a socket path of at most 107 bytes`],
    ["srv:app", '0: found "srv:app", wanted a service after "srv:", such as "srv:_pg._tcp.example.com"'],
    [
      "srv:_pg._tcp.example.com:5432",
      '0: found "srv:_pg._tcp.example.com:5432", wanted a service after "srv:", such as "srv:_pg._tcp.example.com"',
    ],
    [{}, '0.address: is missing, wanted for example address = "127.0.0.1:9000"'],
    [{ address: 5 }, `0.address: found 5, ${ADDRESS}`],
    [{ address: "a:0" }, '0.address: found "a:0", wanted a port from 1 to 65535'],
    [{ address: "unix:" }, '0.address: found "unix:", wanted a path after "unix:", such as "unix:/run/x.sock"'],
    [{ address: "a:1", weight: -1 }, "0.weight: found -1, wanted a whole number from 0 to 1_000"],
    [{ address: "a:1", weight: 1001 }, "0.weight: found 1001, wanted a whole number from 0 to 1_000"],
    [{ address: "a:1", weight: 1.5 }, "0.weight: found 1.5, wanted a whole number from 0 to 1_000"],
    [{ address: "a:1", weight: "2" }, '0.weight: found "2", wanted a whole number from 0 to 1_000'],
    [{ address: "a:1", backup: 1 }, "0.backup: found 1, wanted true or false"],
    [{ address: "a:1", backup: "true" }, '0.backup: found "true", wanted true or false'],
    [{ address: "a:1", connections: -5 }, "0.connections: found -5, wanted a whole number from 0 to 10_000_000"],
    [{ address: "a:1", wieght: 2 }, '0.wieght: unknown key "wieght" (did you mean "weight"?)'],
  ];
  test.each(rows)("%j is refused", (endpoint, line) => {
    expect(fromValue(at(endpoint)).problems).toEqual([`backend.app.endpoints.${line}`]);
  });

  test("text instead of a list", () => {
    expect(fromValue({ backend: [{ name: "app", endpoints: "a:1" }] }).problems).toEqual([
      'backend.app.endpoints: found "a:1", wanted a list, such as ["127.0.0.1:9000"]',
    ]);
  });

  test("the same one twice, in whatever spelling", () => {
    expect(fromValue(at("app:1", { address: "APP:1" }, "[::1]:1", "[0::1]:1", "app:2")).problems).toEqual([
      "backend.app.endpoints.1: the endpoint APP:1 is listed twice, wanted each once",
      "backend.app.endpoints.3: the endpoint [0::1]:1 is listed twice, wanted each once",
    ]);
  });

  test("two backends may share one", () => {
    const backend = ["app", "b"].map((name) => ({ name, endpoints: ["a:1"] }));
    expect(fromValue({ backend }).problems).toEqual([]);
  });
});

describe("addresses to listen on", () => {
  const two = (first: string, second: string) =>
    fromValue({
      listener: [
        { name: "a", listen: first, backend: "app" },
        { name: "b", listen: second, backend: "app" },
      ],
    }).problems;

  const clashes: [first: string, second: string, message: string][] = [
    [":1", ":1", '0.0.0.0:1 is the address of listener "a" already, wanted another port or address'],
    ["[::1]:1", "[0::1]:1", '[0::1]:1 is the address of listener "a" already, wanted another port or address'],
    [":1", "127.0.0.1:1", '127.0.0.1:1 overlaps 0.0.0.0:1 of listener "a", wanted another port'],
    ["127.0.0.1:1", ":1", '0.0.0.0:1 overlaps 127.0.0.1:1 of listener "a", wanted another port'],
    ["[::]:1", "127.0.0.1:1", '127.0.0.1:1 overlaps [::]:1 of listener "a", wanted another port'],
    ["[::]:1", ":1", '0.0.0.0:1 overlaps [::]:1 of listener "a", wanted another port'],
    ["[::1]:1", "[::]:1", '[::]:1 overlaps [::1]:1 of listener "a", wanted another port'],
    ["localhost:1", "127.0.0.1:1", '127.0.0.1:1 overlaps localhost:1 of listener "a", wanted another port'],
  ];
  test.each(clashes)("%s and %s", (first, second, message) => {
    expect(two(first, second)).toEqual([`listener.b.listen: ${message}`]);
  });

  const apart: [first: string, second: string][] = [
    [":1", ":2"],
    [":0", ":0"],
    ["127.0.0.1:1", "127.0.0.2:1"],
    [":1", "[::1]:1"],
    ["127.0.0.1:1", "[::1]:1"],
  ];
  test.each(apart)("%s and %s go together", (first, second) => {
    expect(two(first, second)).toEqual([]);
  });

  test("the admin server's counts as well", () => {
    expect(fromValue({ admin: { listen: "127.0.0.1:8080" } }).problems).toEqual([
      'admin.listen: 127.0.0.1:8080 is the address of listener "web" already, wanted another port or address',
    ]);
  });
});

describe("the admin server's token", () => {
  const OPEN = "wanted a token (SLUICE_ADMIN_TOKEN_FILE or admin.token) or a loopback address such as";

  test.each([
    [":9900", "0.0.0.0:9900"],
    ["[::]:9900", "[::]:9900"],
    ["10.0.0.1:9900", "10.0.0.1:9900"],
    ["proxy.example:9900", "proxy.example:9900"],
  ])("is needed on %s", (listen, shown) => {
    expect(fromValue({ admin: { listen } }).problems).toEqual([
      `admin.listen: ${shown} can be reached from other machines, ${OPEN} "127.0.0.1:9900"`,
    ]);
    expect(fromValue({ admin: { listen, token: "t" } }).problems).toEqual([]);
  });

  test.each(["127.0.0.1:9900", "127.1.2.3:9900", "[::1]:9900", "localhost:9900"])("is not needed on %s", (listen) => {
    expect(fromValue({ admin: { listen } }).problems).toEqual([]);
  });

  const WANTED = "wanted printable ASCII characters without spaces, at most 4_096";
  const rows: [what: string, token: unknown, found: string][] = [
    ["a space", "hunter2 hunter2", "text with other characters"],
    ["a line end", "hunter2\n", "text with other characters"],
    ["a letter beyond ASCII", "hunter2ü", "text with other characters"],
    ["too many characters", "hunter2".repeat(600), "text with other characters"],
    ["a number", 4_242_424_242, "a number"],
    ["a list", ["hunter2"], "a list"],
    ["a table", { hunter2: "hunter2" }, "a table"],
  ];
  test.each(rows)("is refused without being shown: %s", (_what, token, found) => {
    expect(fromValue({ admin: { listen: "127.0.0.1:1", token } }).problems).toEqual([
      `admin.token: found ${found}, ${WANTED}`,
    ]);
  });

  test("written where its table belongs, it is not shown either", () => {
    expect(fromValue({ admin: "hunter2" }).problems).toEqual(["admin: found text, wanted a table"]);
    expect(fromValue({ admin: 424_242 }).problems).toEqual(["admin: found a number, wanted a table"]);
  });

  test("is as long as a signed one may be", () => {
    expect(configOf({ admin: { listen: ":1", token: "~".repeat(4096) } }).admin?.token).toBe("~".repeat(4096));
  });
});

describe("timeouts that can never fire", () => {
  const LIFETIME = "lifetime always fires first";
  const rows: [written: Record<string, string>, lines: string[]][] = [
    [
      { connect: "5s", lifetime: "5s" },
      [
        'connect: found "5s", wanted less than timeouts.lifetime ("5s"), or "0s": a connection ends before the connect can time out',
      ],
    ],
    [
      { inspect: "5s", lifetime: "5s" },
      [
        'inspect: found "5s", wanted less than timeouts.lifetime ("5s"), or "0s": a connection ends before the inspection can time out',
      ],
    ],
    [
      { response: "6s", lifetime: "5s500ms" },
      [`response: found "6s", wanted at most timeouts.lifetime ("5s500ms"), or "0s": ${LIFETIME}`],
    ],
    [
      { idle: "7s", lifetime: "6s" },
      [`idle: found "7s", wanted at most timeouts.lifetime ("6s"), or "0s": ${LIFETIME}`],
    ],
    [
      { half_closed: "8s", idle: "7s" },
      ['half_closed: found "8s", wanted at most timeouts.idle ("7s"), or "0s": idle always fires first'],
    ],
    [
      { half_closed: "2h" },
      ['half_closed: found "2h", wanted at most timeouts.idle ("1h"), or "0s": idle always fires first'],
    ],
    [{ lifetime: "1s" }, []],
    [{ idle: "1s" }, []],
    [{ connect: "4s", response: "5s", idle: "5s", half_closed: "5s", lifetime: "5s" }, []],
    [{ connect: "0s", response: "0s", idle: "0s", half_closed: "0s", lifetime: "1s" }, []],
    [{ connect: "9s", response: "9s", idle: "9s", half_closed: "9s", lifetime: "0s" }, []],
  ];
  test.each(rows)("%j", (timeouts, lines) => {
    expect(fromValue({ timeouts }).problems).toEqual(lines.map((line) => `timeouts.${line}`));
  });

  test("in a listener they are reported where they were written, and global ones may be undercut", () => {
    const listener = { ...minimal().listener[0], timeouts: { lifetime: "5s", idle: "6s" } };
    expect(fromValue({ timeouts: { response: "2h" }, listener: [listener] }).problems).toEqual([
      `listener.web.timeouts.idle: found "6s", wanted at most timeouts.lifetime ("5s"), or "0s": ${LIFETIME}`,
    ]);
  });

  test("a listener's are compared with the global ones that hold there", () => {
    const listener = { ...minimal().listener[0], timeouts: { idle: "2m" } };
    expect(fromValue({ timeouts: { lifetime: "1m" }, listener: [listener] }).problems).toEqual([
      `listener.web.timeouts.idle: found "2m", wanted at most timeouts.lifetime ("1m"), or "0s": ${LIFETIME}`,
    ]);
  });

  const shutdowns: [shutdown: Record<string, string>, lines: string[]][] = [
    [{ idle: "30s" }, ['found "30s", wanted less than shutdown.drain ("30s"), or "0s": the drain is over first']],
    [
      { idle: "10s", drain: "5s" },
      ['found "10s", wanted less than shutdown.drain ("5s"), or "0s": the drain is over first'],
    ],
    [{ idle: "29s" }, []],
    [{ idle: "10h", drain: "0s" }, []],
  ];
  test.each(shutdowns)("shutdown: %j", (shutdown, lines) => {
    expect(fromValue({ shutdown }).problems).toEqual(lines.map((line) => `shutdown.idle: ${line}`));
  });
});

describe("limits.connections and the limit of file descriptors", () => {
  const at = (fdLimit: number) => ({ fdLimit, fdReserve: 64 });
  const HOW = "(ulimit -Hn, LimitNOFILE= in systemd)";
  const EACH = "(2 each and 64 in reserve)";

  test("the default is lowered to what fits, with a warning", () => {
    const loaded = fromValue({}, {}, at(20_000));
    expect(loaded.problems).toEqual([]);
    expect(loaded.warnings).toEqual([
      "limits.connections: lowered from 10000 to 9968: the limit of 20000 file descriptors leaves room for that many (2 each and 64 in reserve); raise it (ulimit -Hn, LimitNOFILE= in systemd) or set limits.connections yourself",
    ]);
    expect(loaded.config).toEqual({ ...DEFAULTS, limits: { connections: 9968, overflow: "queue" } });
  });

  const lowered: [fdLimit: number, connections: number][] = [
    [20_063, 9999],
    [20_062, 9999],
    [1024, 480],
    [67, 1],
    [66, 1],
  ];
  test.each(lowered)("a limit of %d leaves room for %d", (fdLimit, connections) => {
    const loaded = fromValue({ limits: { overflow: "reject" } }, {}, at(fdLimit));
    expect(loaded.problems).toEqual([]);
    expect(loaded.warnings).toEqual([
      `limits.connections: lowered from 10000 to ${connections}: the limit of ${fdLimit} file descriptors leaves room for that many ${EACH}; raise it ${HOW} or set limits.connections yourself`,
    ]);
    expect(loaded.config?.limits).toEqual({ connections, overflow: "reject" });
  });

  test("what fits to the last descriptor is left alone", () => {
    expect(fromValue({}, {}, at(20_064))).toEqual({ config: DEFAULTS, problems: [], warnings: [] });
    const written = fromValue({ limits: { connections: 480 } }, {}, at(1024));
    expect([written.config?.limits.connections, written.problems, written.warnings]).toEqual([480, [], []]);
  });

  test("a number that somebody wrote stays an error, the default's own included", () => {
    const message = (connections: number, needed: number) =>
      `limits.connections: ${connections} connections need ${needed} file descriptors ${EACH}, found a limit of 20000: set limits.connections to at most 9968, or raise the limit to ${needed} ${HOW}`;
    expect(fromValue({ limits: { connections: 10_000 } }, {}, at(20_000)).problems).toEqual([message(10_000, 20_064)]);
    expect(fromValue({ limits: { connections: 9969 } }, {}, at(20_000)).problems).toEqual([message(9969, 20_002)]);
    expect(fromValue({}, { SLUICE_LIMITS_CONNECTIONS: "10000" }, at(20_000)).problems).toEqual([
      `SLUICE_LIMITS_CONNECTIONS ${message(10_000, 20_064)}`,
    ]);
  });

  test.each([65, 64, 10, 0])("not even one fits into %d: an error, written or not", (fdLimit) => {
    expect(fromValue({}, {}, at(fdLimit)).problems).toEqual([
      `limits.connections: 10000 connections need 20064 file descriptors ${EACH}, found a limit of ${fdLimit}: raise the limit to 20064 ${HOW}`,
    ]);
    expect(fromValue({ limits: { connections: 1 } }, {}, at(fdLimit)).problems).toEqual([
      `limits.connections: 1 connections need 66 file descriptors ${EACH}, found a limit of ${fdLimit}: raise the limit to 66 ${HOW}`,
    ]);
  });

  test.each(["auto", "splice"])("what the splice engine needs is kept in reserve: engine %j", (engine) => {
    const splicing = { ...at(1024), spliceFds: 67 };
    const forwarding = { engine };
    expect(fromValue({ forwarding }, {}, splicing).config?.limits.connections).toBe(446);
    expect(fromValue({ forwarding, limits: { connections: 446 } }, {}, splicing).problems).toEqual([]);
    expect(fromValue({ forwarding, limits: { connections: 447 } }, {}, splicing).problems).toEqual([
      `limits.connections: 447 connections need 1025 file descriptors (2 each and 131 in reserve), found a limit of 1024: set limits.connections to at most 446, or raise the limit to 1025 ${HOW}`,
    ]);
    // Where it can't be used, it needs nothing.
    expect(fromValue({ forwarding }, {}, at(1024)).config?.limits.connections).toBe(480);
  });

  test("without the splice engine nothing is kept for it", () => {
    const splicing = { ...at(1024), spliceFds: 67 };
    const forwarding = { engine: "copy" };
    expect(fromValue({ forwarding }, {}, splicing).config?.limits.connections).toBe(480);
    expect(fromValue({ forwarding, limits: { connections: 480 } }, {}, splicing).problems).toEqual([]);
  });

  test("an invalid number is reported once, and not taken for the default", () => {
    expect(fromValue({ limits: { connections: 0 } }, {}, at(10)).problems).toEqual([
      "limits.connections: found 0, wanted a whole number from 1 to 10_000_000",
    ]);
  });
});

describe("what is not built yet", () => {
  const defaultIs = (found: string, fallback: string) =>
    `found ${found}, which is not supported yet, wanted the default, ${fallback}`;
  const rows: [extra: Record<string, unknown>, line: string][] = [
    [{ forwarding: { workers: 2 } }, `forwarding.workers: ${defaultIs("2", "1")}`],
    [{ forwarding: { workers: "auto" } }, `forwarding.workers: ${defaultIs('"auto"', "1")}`],
  ];
  test.each(rows)("%j is refused", (extra, line) => {
    expect(fromValue(extra).problems).toEqual([line]);
  });

  test("is accepted where it asks for nothing", () => {
    expect(configOf({ forwarding: { workers: 1 } })).toStrictEqual(DEFAULTS);
  });
});

test("every key at its default is as if it were left out", () => {
  const config = configOf({
    forwarding: { engine: "auto", workers: 1 },
    limits: { connections: 10_000, overflow: "queue" },
    shutdown: { delay: "0s", drain: "30s", idle: "0s" },
    timeouts: { connect: "5s", response: "0s", idle: "1h", half_closed: "1m", lifetime: "0s", inspect: "5s" },
    tcp: { no_delay: true, keepalive: "30s" },
    ...listenerWith({
      mode: "0660",
      accept_proxy: "off",
      trusted: [],
      allow: [],
      deny: [],
      connections: 0,
      connections_per_ip: 0,
      rate_per_ip: 0,
      timeouts: { inspect: "5000ms" },
      route: [],
    }),
    ...backendWith({
      endpoints: [{ address: "127.0.0.1:9000", weight: 1, backup: false, connections: 0 }],
      balance: "round_robin",
      retries: 2,
      send_proxy: "off",
      resolve: "30s",
      on_down: "keep",
    }),
    resolver: { servers: [] },
    log: { level: "info", format: "auto", access: true },
  });
  expect(config).toStrictEqual(DEFAULTS);
});

test("everything that is wrong is reported at once, table by table", () => {
  const loaded = fromValue(
    {
      limits: { connections: "many", overflow: "drop" },
      timeouts: { connect: 5, idle: "2h", lifetime: "1h" },
      listener: [
        { name: "a", listen: ":1", backend: "ap" },
        { name: "a", listen: ":1", backend: "app" },
      ],
      backend: [{ name: "app", endpoints: ["a:1", "a:1", "b"] }],
      admin: { listen: ":1", tokn: "x" },
    },
    { SLUICE_LOG_LEVEL: "loud" },
  );
  expect(loaded.problems.toSorted()).toEqual([
    'SLUICE_LOG_LEVEL log.level: found "loud", wanted one of "debug", "info", "warn", "error"',
    'admin.listen: 0.0.0.0:1 is the address of listener "a" already, wanted another port or address',
    'admin.tokn: unknown key "tokn" (did you mean "token"?)',
    "backend.app.endpoints.1: the endpoint a:1 is listed twice, wanted each once",
    'backend.app.endpoints.2: found "b", wanted an address with a port, such as "b:80"',
    'limits.connections: found "many", wanted a whole number from 1 to 10_000_000',
    'limits.overflow: found "drop", wanted one of "queue", "reject"',
    'listener.0.backend: unknown backend "ap" (did you mean "app"?)',
    'listener.1.listen: 0.0.0.0:1 is the address of listener "a" already, wanted another port or address',
    'listener.1.name: "a" is the name of another listener already, wanted a name of its own',
    'timeouts.connect: found 5, wanted a duration such as "250ms", "5s", "1m30s" or "1h"',
    'timeouts.idle: found "2h", wanted at most timeouts.lifetime ("1h"), or "0s": lifetime always fires first',
  ]);
});
