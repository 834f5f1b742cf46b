/** What is made of the configuration for people and editors: printed TOML, the JSON Schema, the reference, the shipped file. */
import TOML from "@iarna/toml";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { configFromValue, configJsonSchema, configurationReference, printConfig } from "../../src/config/load.ts";
import { tomlText, type TomlValue } from "../../src/config/toml-text.ts";
import type { Members } from "../../src/config/declaration.ts";
import { declaration } from "../../src/config/schema.ts";
import { ConfigFolder, configOf, listenerWith, MINIMAL_TOML, minimal, ROOMY } from "../support/configuration.ts";
import { at, misfits, type Schema } from "../support/json-schema.ts";
import { selfSigned } from "../support/self-signed.ts";

const certificates = selfSigned("a", "b", "ca", "client");

const ROOT = join(import.meta.dir, "../..");
const SHIPPED = join(ROOT, "config.toml");

/** Configurations that load without a warning. */
const roundTrips: [what: string, extra: Record<string, unknown>][] = [
  ["the smallest", {}],
  [
    "everything set",
    {
      forwarding: { engine: "copy" },
      limits: { connections: 12_345, overflow: "reject" },
      shutdown: { delay: "1s", drain: "1h1m1s1ms", idle: "2s" },
      timeouts: { connect: "1ms", response: "2s", idle: "3m", half_closed: "2m", lifetime: "4h", inspect: "0s" },
      tcp: { no_delay: false, keepalive: "0s" },
      listener: [
        { name: "a", listen: ":0", backend: "b", timeouts: { connect: "2ms", lifetime: "0s" } },
        {
          name: "c",
          listen: "localhost:81",
          backend: "app",
          accept_proxy: "required",
          trusted: ["10.0.0.0/8", "::1"],
          allow: ["2001:db8::/32"],
          deny: ["192.0.2.7"],
          connections: 5,
          connections_per_ip: 6,
          rate_per_ip: 7,
          timeouts: { inspect: "1s" },
          tls: {
            cert: [certificates.a.certFile, certificates.b.certFile],
            key: [certificates.a.keyFile, certificates.b.keyFile],
            client_ca: certificates.ca.certFile,
            client_cert: "optional",
            alpn: ["h2", "http/1.1"],
          },
          route: [
            { path_prefix: "/api", host: "*.example.com", backend: "b" },
            { sni: "db.example.com", alpn: "h2", backend: "c" },
            { prefix: "SSH-\\x00\\\\", backend: "app" },
          ],
        },
        { name: "d", listen: "unix:/run/d.sock", mode: "0600", route: [{ host: "10.0.0.1", backend: "b" }] },
      ],
      backend: [
        {
          name: "app",
          endpoints: [
            { address: "[::1]:1" },
            "name.example:2",
            { address: "unix:/run/app.sock", weight: 0, backup: true },
            { address: "srv:_app._tcp.example.com", weight: 1000, connections: 5 },
          ],
          balance: "source_hash",
          retries: 0,
          send_proxy: "v2",
          resolve: "0s",
          on_down: "close",
          tls: {
            server_name: "app.example.com",
            ca: certificates.ca.certFile,
            cert: certificates.client.certFile,
            key: certificates.client.keyFile,
            alpn: ["http/1.1"],
            proxy_header: "inside",
          },
          health: { type: "http", path: "/up?x", host: "app.example.com:81", status: "200, 204-299" },
          eject: { failures: 1, for: "1h" },
        },
        { name: "b", endpoints: ["a:1"], balance: "first", tls: { verify: false }, eject: {}, health: {} },
        {
          name: "c",
          endpoints: ["a:1"],
          health: {
            type: "exchange",
            send: "\\xff\\0\\r\\n\\t\\\\é\"'",
            expect: "+PONG",
            interval: "1ms",
            timeout: "1h",
            rise: 100,
            fall: 1,
          },
        },
      ],
      resolver: { servers: ["127.0.0.1", "[::1]:5353"] },
      admin: { listen: "[::1]:9900", token: "********", ready_needs_backends: false },
      log: { level: "debug", format: "pretty", access: false },
      tracing: {
        otlp: "https://otlp.example.com/base/",
        sample: 0.01,
        service: 'the "edge"',
        headers: { "x-api-key": "********", "x.tenant": "********" },
      },
    },
  ],
  ["tracing at its defaults", { tracing: { otlp: "http://[::1]:4318" } }],
  ["defaults that the lifetime overshadows", { timeouts: { lifetime: "2s" } }],
  ["a default that the idle timeout overshadows", { timeouts: { idle: "30s" } }],
  [
    "a listener that undercuts the global timeouts",
    {
      timeouts: { idle: "2h", response: "1h" },
      listener: [{ ...minimal().listener[0], timeouts: { lifetime: "1s" } }],
    },
  ],
  [
    "a listener that lifts an overshadowing timeout",
    {
      timeouts: { lifetime: "1s" },
      listener: [{ ...minimal().listener[0], timeouts: { lifetime: "0s", half_closed: "30m" } }],
    },
  ],
];

describe("the printed configuration", () => {
  test("has every key that is built, defaults included, in the order of the reference", () => {
    expect(printConfig(configOf())).toBe(`[forwarding]
engine = "auto"
workers = 1

[limits]
connections = 10_000
overflow = "queue"

[shutdown]
delay = "0s"
drain = "30s"
idle = "0s"

[timeouts]
connect = "5s"
response = "0s"
idle = "1h"
half_closed = "1m"
lifetime = "0s"
inspect = "5s"

[tcp]
no_delay = true
keepalive = "30s"

[[listener]]
name = "web"
listen = "127.0.0.1:8080"
backend = "app"
mode = "0660"
accept_proxy = "off"
trusted = []
allow = []
deny = []
connections = 0
connections_per_ip = 0
rate_per_ip = 0

[[backend]]
name = "app"
endpoints = ["127.0.0.1:9000"]
balance = "round_robin"
retries = 2
send_proxy = "off"
resolve = "30s"
on_down = "keep"

[resolver]
servers = []

[log]
level = "info"
format = "auto"
access = true
`);
  });

  test("shows a listener's timeouts where they differ, an admin server with its secret masked, the environment's values", () => {
    const web = { name: "web", listen: ":80", backend: "app", timeouts: { connect: "5s", idle: "10m" } };
    const pg = { name: "pg", listen: "[::1]:5432", backend: "app" };
    const config = configOf(
      {
        limits: { connections: 1_000_000 },
        listener: [web, pg],
        admin: { listen: "127.0.0.1:9900", token: "hunter2" },
      },
      { SLUICE_BACKEND_APP_ENDPOINTS: "a:1,[::1]:2", SLUICE_LIMITS_CONNECTIONS: "1234" },
    );
    const printed = printConfig({ ...config, limits: { ...config.limits, connections: 100_000 } });
    expect(printed.slice(printed.indexOf("[limits]"), printed.indexOf("[shutdown]"))).toBe(
      '[limits]\nconnections = 100_000\noverflow = "queue"\n\n',
    );
    expect(printed.slice(printed.indexOf("[[listener]]"), printed.indexOf("[log]"))).toBe(`[[listener]]
name = "web"
listen = "0.0.0.0:80"
backend = "app"
mode = "0660"
accept_proxy = "off"
trusted = []
allow = []
deny = []
connections = 0
connections_per_ip = 0
rate_per_ip = 0
[listener.timeouts]
idle = "10m"

[[listener]]
name = "pg"
listen = "[::1]:5432"
backend = "app"
mode = "0660"
accept_proxy = "off"
trusted = []
allow = []
deny = []
connections = 0
connections_per_ip = 0
rate_per_ip = 0

[[backend]]
name = "app"
endpoints = ["a:1", "[::1]:2"]
balance = "round_robin"
retries = 2
send_proxy = "off"
resolve = "30s"
on_down = "keep"

[resolver]
servers = []

[admin]
listen = "127.0.0.1:9900"
token = "********"
ready_needs_backends = true

`);
  });

  test("shows the tables of entries behind their keys, and leaves out those that are off", () => {
    const { certFile, keyFile } = certificates.a;
    const config = configOf({
      listener: [
        {
          name: "web",
          listen: "unix:/run/web.sock",
          mode: "600",
          accept_proxy: "required",
          deny: ["2001:DB8::/32", "192.0.2.7"],
          timeouts: { inspect: "1m", lifetime: "0s" },
          tls: { cert: certFile, key: [keyFile], alpn: ["h2"] },
          route: [
            { path_prefix: "/a", host: "*.b", backend: "app" },
            { prefix: "\\0\\x16é", backend: "app" },
          ],
        },
      ],
      backend: [
        {
          name: "app",
          endpoints: ["srv:_a._tcp.b", { address: "unix:/x", connections: 5 }, { address: "a:1" }],
          tls: { server_name: "app.test" },
          health: { type: "exchange", send: "\u0000\u007fé\r\n", expect: "\\\\+OK" },
          eject: {},
        },
      ],
      resolver: { servers: ["::1", "10.0.0.1:5353"] },
    });
    const printed = printConfig(config);
    expect(printed.slice(printed.indexOf("[[listener]]"), printed.indexOf("[log]"))).toBe(`[[listener]]
name = "web"
listen = "unix:/run/web.sock"
backend = ""
mode = "0600"
accept_proxy = "required"
trusted = []
allow = []
deny = ["2001:db8::/32", "192.0.2.7/32"]
connections = 0
connections_per_ip = 0
rate_per_ip = 0
[listener.timeouts]
inspect = "1m"
[listener.tls]
cert = "${certFile}"
key = "${keyFile}"
client_ca = ""
client_cert = "required"
alpn = ["h2"]
[[listener.route]]
path_prefix = "/a"
host = "*.b"
sni = ""
alpn = ""
prefix = ""
backend = "app"
[[listener.route]]
path_prefix = ""
host = ""
sni = ""
alpn = ""
prefix = "\\\\0\\\\x16é"
backend = "app"

[[backend]]
name = "app"
endpoints = ["srv:_a._tcp.b", { address = "unix:/x", weight = 1, backup = false, connections = 5 }, "a:1"]
balance = "round_robin"
retries = 2
send_proxy = "off"
resolve = "30s"
on_down = "keep"
[backend.tls]
server_name = "app.test"
ca = ""
cert = ""
key = ""
verify = true
alpn = []
proxy_header = "before"
[backend.health]
type = "exchange"
path = "/"
host = ""
status = "200-399"
send = "\\\\0\\\\x7f\\\\xc3\\\\xa9\\\\r\\\\n"
expect = "\\\\\\\\+OK"
interval = "2s"
timeout = "1s"
rise = 2
fall = 3
[backend.eject]
failures = 5
for = "10s"

[resolver]
servers = ["[::1]:53", "10.0.0.1:5353"]

`);
  });

  test("masks a secret whatever it is, and shows that there is none", () => {
    const printed = (token: string) => printConfig(configOf({ admin: { listen: "127.0.0.1:1", token } }));
    expect(printed("")).toContain('\ntoken = ""\n');
    for (const token of ["x", "hunter2", '"', "********", "~".repeat(4096)]) {
      expect(printed(token).match(/^token = .*$/gm)).toEqual(['token = "********"']);
    }
  });

  test("shows a default that a shorter timeout overshadows as a comment, because written down it would be refused", () => {
    const printed = printConfig(configOf({ timeouts: { lifetime: "3s" } }));
    expect(printed.slice(printed.indexOf("[timeouts]"), printed.indexOf("[tcp]"))).toBe(`[timeouts]
# connect = "5s"   the default; lifetime fires first
response = "0s"
# idle = "1h"   the default; lifetime fires first
half_closed = "1m"
lifetime = "3s"
# inspect = "5s"   the default; lifetime fires first

`);
  });

  test.each(roundTrips)("loads again to the same: %s", async (_what, extra) => {
    await using folder = await ConfigFolder.open();
    const config = configOf(extra);
    const loaded = await folder.load(printConfig(config));
    expect(loaded).toEqual({ config, problems: [], warnings: [] });
  });

  test("everything set has every key that there is", () => {
    expect(keysMissingIn(printConfig(configOf(roundTrips[1]![1])))).toEqual([]);
  });
});

describe("a value as TOML", () => {
  const rows: [value: TomlValue, text: string][] = [
    ["", '""'],
    ['a"\\b', '"a\\"\\\\b"'],
    ["a\n\t\u0000\u001b\u007fé🦥", '"a\\n\\t\\u0000\\u001b\\u007fé🦥"'],
    [0, "0"],
    [9999, "9999"],
    [10_000, "10_000"],
    [-1_234_567, "-1_234_567"],
    [0.25, "0.25"],
    [12_345.5, "12345.5"],
    [true, "true"],
    [[], "[]"],
    [["a", 1, [false]], '["a", 1, [false]]'],
    [{}, "{}"],
    [{ a: 1, b: { c: ["x"] } }, '{ a = 1, b = { c = ["x"] } }'],
  ];
  test.each(rows)("%j", (value, text) => {
    expect(tomlText(value)).toBe(text);
    expect(JSON.stringify(TOML.parse(`value = ${text}`))).toBe(JSON.stringify({ value }));
  });
});

describe("the JSON Schema", () => {
  const schema = JSON.parse(JSON.stringify(configJsonSchema())) as Schema;

  test("describes a closed object with every table of the reference", () => {
    expect({ ...schema, properties: Object.keys(schema.properties ?? {}) }).toEqual({
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "object",
      properties: [
        "forwarding",
        "limits",
        "shutdown",
        "timeouts",
        "tcp",
        "listener",
        "backend",
        "resolver",
        "admin",
        "log",
        "tracing",
      ],
      required: [],
      additionalProperties: false,
      title: "sluice configuration",
      description: "The configuration file of sluice (TOML).",
    });
  });

  test("says of a key what it is for, what it may be and what it is when it is left out", () => {
    expect(at(schema, "limits.connections")).toEqual({
      type: "integer",
      minimum: 1,
      maximum: 10_000_000,
      default: 10_000,
      description:
        "Connections at once. Each needs two file descriptors. A number that does not fit the limit of the process is refused at start; the default is lowered to what fits, with a warning.",
    });
    expect(at(schema, "timeouts.connect")).toEqual({
      type: "string",
      pattern: "^(?=.)(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$",
      default: "5s",
      description: "Each attempt to reach an endpoint.",
    });
    expect(at(schema, "limits.overflow")).toMatchObject({ enum: ["queue", "reject"], default: "queue" });
    expect(at(schema, "tcp.no_delay")).toMatchObject({ type: "boolean", default: true });
    expect(at(schema, "listener.listen")).toMatchObject({
      type: "string",
      examples: ["127.0.0.1:8080", ":8080", "[::1]:8080", "unix:/run/x.sock"],
    });
    expect(at(schema, "listener.mode")).toMatchObject({ type: "string", pattern: "^0?[0-7]{3}$", default: "0660" });
    expect(at(schema, "listener.allow")).toEqual({
      type: "array",
      items: { type: "string", examples: ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"] },
      default: [],
      description: "Clients that may connect; empty means all.",
    });
    const file: Schema = { type: "string", minLength: 1 };
    expect(at(schema, "listener.tls.cert")).toMatchObject({
      anyOf: [file, { type: "array", items: file, minItems: 1 }],
    });
    expect(at(schema, "listener.tls").default).toBeUndefined();
    expect(at(schema, "listener.route")).toMatchObject({ type: "array", default: [] });
    expect(at(schema, "listener.route.path_prefix")).toMatchObject({ type: "string", default: "" });
    expect(at(schema, "backend.balance").enum).toEqual([
      "round_robin",
      "least_connections",
      "random_two",
      "source_hash",
      "first",
    ]);
    expect(at(schema, "backend.health.send")).toEqual({
      type: "string",
      default: "",
      description: "exchange: what is sent.",
    });
    expect(at(schema, "backend.health.status")).toMatchObject({ type: "string", default: "200-399" });
    expect(at(schema, "backend.eject.for")).toMatchObject({ type: "string", default: "10s" });
    expect(at(schema, "resolver.servers")).toMatchObject({ type: "array", default: [] });
    expect(at(schema, "tracing")).toMatchObject({
      required: ["otlp"],
      description: "Traces, over OTLP/HTTP: a span for each connection. Absent means off.",
    });
    expect(at(schema, "tracing.otlp")).toMatchObject({ type: "string", pattern: "^https?://" });
    expect(at(schema, "tracing.headers")).toMatchObject({
      type: "object",
      additionalProperties: { type: "string" },
      default: {},
    });
    expect(at(schema, "forwarding.workers").description).toBe(
      "Processes that share the listening sockets. Read at start only. Not supported yet.",
    );
  });

  test("names the keys that an entry must have", () => {
    expect(at(schema, "listener").items?.required).toEqual(["name", "listen"]);
    expect(at(schema, "listener").items?.anyOf).toEqual([{ required: ["backend"] }, { required: ["route"] }]);
    expect(at(schema, "listener.tls").required).toEqual(["cert", "key"]);
    expect(at(schema, "listener.route").items?.required).toEqual(["backend"]);
    expect(at(schema, "backend.health").required).toEqual([]);
    expect(at(schema, "backend").items?.required).toEqual(["name", "endpoints"]);
    expect(at(schema, "admin").required).toEqual(["listen"]);
  });

  test("every table is closed, and every key has its sentence", () => {
    const wrong: string[] = [];
    const visit = (part: Schema, path: string): void => {
      if (part.properties !== undefined && part.additionalProperties !== false) wrong.push(`${path} is open`);
      for (const [name, inside] of Object.entries(part.properties ?? {})) {
        if (typeof inside.description !== "string" || inside.description === "") wrong.push(`${path}.${name} has none`);
        visit(inside, `${path}.${name}`);
      }
      if (part.items !== undefined) visit(part.items, `${path}[]`);
      for (const form of part.anyOf ?? []) visit(form, `${path}|`);
    };
    visit(schema, "");
    expect(wrong).toEqual([]);
  });

  test("fits the shipped file, what it shows in comments, and what is printed", async () => {
    const shipped = await Bun.file(SHIPPED).text();
    expect(misfits(schema, TOML.parse(shipped))).toEqual([]);
    expect(misfits(schema, TOML.parse(uncommented(shipped, "##")))).toEqual([]);
    for (const [, extra] of roundTrips) {
      expect(misfits(schema, { ...minimal(), ...extra })).toEqual([]);
      expect(misfits(schema, TOML.parse(printConfig(configOf(extra))))).toEqual([]);
    }
    expect(misfits(schema, TOML.parse(MINIMAL_TOML))).toEqual([]);
    expect(misfits(schema, TOML.parse(printConfig(configOf({ admin: { listen: ":1", token: "t" } }))))).toEqual([]);
    expect(
      misfits(schema, { ...minimal(), backend: [{ name: "app", endpoints: [{ address: "a:1" }, "b:2"] }] }),
    ).toEqual([]);
  });

  const wrong: [what: string, extra: Record<string, unknown>, misfit: string][] = [
    ["an unknown table", { limts: {} }, "/limts is unknown"],
    ["an unknown key", { limits: { conections: 1 } }, "/limits/conections is unknown"],
    ["a missing key", { listener: [{ name: "web", backend: "app" }] }, "/listener/0/listen is missing"],
    [
      "a listener that leads nowhere",
      { listener: [{ name: "web", listen: ":1" }] },
      "/listener/0 has none of backend, route",
    ],
    ["a route without a backend", listenerWith({ route: [{ host: "a" }] }), "/listener/0/route/0/backend is missing"],
    ["a certificate without a key", listenerWith({ tls: { cert: "c" } }), "/listener/0/tls/key is missing"],
    ["no file", listenerWith({ tls: { cert: "", key: "k" } }), "/listener/0/tls/cert has no form"],
    ["a mode in decimal", listenerWith({ mode: "999" }), "/listener/0/mode does not match"],
    ["a network for a list of them", listenerWith({ allow: "10.0.0.0/8" }), "/listener/0/allow is no array"],
    [
      "a weight beyond its limit",
      { backend: [{ name: "app", endpoints: [{ address: "a:1", weight: 1001 }] }] },
      "/backend/0/endpoints/0 has no form",
    ],
    [
      "a sort of check that there is not",
      { backend: [{ ...minimal().backend[0], health: { type: "udp" } }] },
      "/backend/0/health/type is none of tcp, http, exchange",
    ],
    ["text for a number", { limits: { connections: "1" } }, "/limits/connections is no integer"],
    ["a fraction", { limits: { connections: 1.5 } }, "/limits/connections is no integer"],
    ["too small a number", { limits: { connections: 0 } }, "/limits/connections is less than 1"],
    ["too large a number", { limits: { connections: 10_000_001 } }, "/limits/connections is more than 10000000"],
    ["a duration without a unit", { timeouts: { idle: "60" } }, "/timeouts/idle does not match"],
    ["a duration that is a number", { timeouts: { idle: 60 } }, "/timeouts/idle is no string"],
    ["a word that is none of the set", { log: { level: "loud" } }, "/log/level is none of debug, info, warn, error"],
    [
      "a name with a space",
      { listener: [{ name: "a b", listen: ":1", backend: "app" }] },
      "/listener/0/name does not match",
    ],
    ["a table for a list", { listener: {} }, "/listener is no array"],
    [
      "an endpoint that is a number",
      { backend: [{ name: "app", endpoints: [5] }] },
      "/backend/0/endpoints/0 has no form",
    ],
    ["no endpoint", { backend: [{ name: "app", endpoints: [] }] }, "/backend/0/endpoints has fewer than 1"],
  ];
  test.each(wrong)("refuses %s, as loading does", (_what, extra, misfit) => {
    const value = { ...minimal(), ...extra };
    expect(misfits(schema, value)).toEqual([misfit]);
    expect(configFromValue(value, {}, ROOMY).ok).toBe(false);
  });
});

describe("the reference", () => {
  test("in docs/configuration.md is what the schema gives", async () => {
    expect(await Bun.file(join(ROOT, "docs/configuration.md")).text()).toBe(configurationReference());
  });

  test("has a row for every key, with its value, default, meaning and variable", () => {
    const reference = configurationReference();
    const row = (start: string) =>
      reference
        .split("\n")
        .find((line) => line.startsWith(start))
        ?.replace(/ {2,}/g, " ");
    expect(row("| `overflow`")).toBe(
      '| `overflow` | `queue`, `reject` | `"queue"` | At the limit: `queue` leaves new connections in the accept queue, `reject` closes them at once. | `SLUICE_LIMITS_OVERFLOW` |',
    );
    expect(row("| `endpoints`")).toBe(
      "| `endpoints` | list of addresses, or of tables (below) | required | Where the backend is reached, at least one, each once. | `SLUICE_BACKEND_<NAME>_ENDPOINTS` |",
    );
    expect(row("| `weight`")).toBe(
      "| `weight` | whole number, 0 … 1_000 | `1` | Its share of connections, relative to the others; 0 gives it no new ones. |",
    );
    expect(row("| `client_ca`")).toBe(
      '| `client_ca` | file | `""` | The authorities, PEM, that sign the clients\' certificates; empty asks for none. | `SLUICE_LISTENER_<NAME>_TLS_CLIENT_CA` |',
    );
    expect(row("| `failures`")).toBe(
      "| `failures` | whole number, 1 … 1_000 | `5` | Failed attempts to connect in a row. | `SLUICE_BACKEND_<NAME>_EJECT_FAILURES` |",
    );
    expect(row("| `send`")).toBe(
      '| `send` | text with `\\x..` escapes | `""` | exchange: what is sent. | `SLUICE_BACKEND_<NAME>_HEALTH_SEND` |',
    );
    // Routes have no names, and so no variables.
    expect(row("| `path_prefix`")).toBe(
      '| `path_prefix` | text | `""` | HTTP/1: the path of the first request begins with this, whole segments: `/api` takes `/api/x` and not `/apiary`. |',
    );
    expect(reference).not.toContain("_ROUTE");
    expect(reference).toContain("- Routes have no names, so no variable sets or adds them.\n");
    expect(reference.match(/^.*not supported yet.*$/gim)?.map((line) => line.slice(0, 20))).toEqual([
      "- What is marked **n",
      "| `workers` | whole ",
    ]);
    // What a reload leaves as it is.
    expect(reference.match(/^\| `\w+` .*\*\*Read at start only\.\*\*.*$/gm)?.map((line) => line.split("`")[1])).toEqual(
      ["engine", "workers", "listen", "format"],
    );
    const keys = Object.keys((configJsonSchema() as Schema).properties ?? {});
    expect(keys.filter((name) => !new RegExp(`^## \`\\[+${name}\\]+\`$`, "m").test(reference))).toEqual([]);
    expect(reference.match(/^### .*$/gm)).toEqual([
      "### `[listener.timeouts]`",
      "### `[listener.tls]`",
      "### `[[listener.route]]`",
      "### An element of `backend.endpoints`",
      "### `[backend.tls]`",
      "### `[backend.health]`",
      "### `[backend.eject]`",
    ]);
  });

  test("shows an example that loads, and the messages that loading gives", async () => {
    const reference = configurationReference();
    const example = /```toml\n([\s\S]*?)```/.exec(reference)?.[1] ?? "";
    await using folder = await ConfigFolder.open();
    expect(await folder.load(example)).toMatchObject({ problems: [], warnings: [] });
    const messages = /```text\n([\s\S]*?)```/.exec(reference)?.[1]?.trim().split("\n");
    const padding = "#\n".repeat(10);
    const { problems } = await folder.load(`${padding}${MINIMAL_TOML.replace('backend = "app"', 'backend = "ap"')}`, {
      SLUICE_TIMEOUTS_IDLE: "60",
      SLUICE_ADMIN_LISTEN: "127.0.0.1:9900",
      SLUICE_ADMIN_TOKEN_FILE: folder.at("token"),
    });
    expect(problems.map((line) => line.replace("(token)", "(/run/secrets/token)")).toSorted()).toEqual(
      messages?.toSorted() ?? [],
    );
  });
});

describe("the shipped config.toml", () => {
  test("loads without a warning, and says what it does", async () => {
    await using folder = await ConfigFolder.open();
    const { config, problems, warnings } = await folder.loadFile(SHIPPED);
    expect([problems, warnings]).toEqual([[], []]);
    expect(config).toEqual(
      configOf({
        backend: [{ name: "app", endpoints: ["127.0.0.1:9000", "127.0.0.1:9001"] }],
        admin: { listen: "127.0.0.1:9900" },
      }),
    );
  });

  test("shows every default in a comment: with them it is the same configuration", async () => {
    const text = uncommented(await Bun.file(SHIPPED).text(), "#");
    expect(text.match(/^[a-z_]+ = /gm)?.length).toBeGreaterThan(39);
    await using folder = await ConfigFolder.open();
    const { config, problems, warnings } = await folder.load(text);
    expect([problems, warnings]).toEqual([[], []]);
    expect(config).toEqual((await folder.loadFile(SHIPPED)).config);
  });

  test("shows in examples what is off, which loads as well", async () => {
    const { certFile, keyFile } = certificates.a;
    const text = uncommented(await Bun.file(SHIPPED).text(), "##")
      .replaceAll('"cert.pem"', JSON.stringify(certFile))
      .replaceAll('"key.pem"', JSON.stringify(keyFile))
      .replaceAll('"ca.pem"', JSON.stringify(certificates.ca.certFile));
    await using folder = await ConfigFolder.open();
    const { config, problems, warnings } = await folder.load(text);
    expect([problems, warnings]).toEqual([[], []]);
    expect([config?.listeners[0]?.timeouts.idleMs, config?.timeouts.idleMs]).toEqual([600_000, 3_600_000]);
    expect(config?.listeners[0]?.routes).toHaveLength(3);
    expect(config?.backends[0]).toMatchObject({
      tls: { serverName: "app.example.com" },
      health: { type: "http", path: "/healthz" },
      eject: { failures: 5, forMs: 10_000 },
    });
  });

  test("has every key that is built", async () => {
    expect(keysMissingIn(uncommented(await Bun.file(SHIPPED).text(), "##"))).toEqual([]);
  });
});

/** The shipped file with what follows `#` (defaults), or also what follows `##` (examples), no longer in comments. */
function uncommented(text: string, mark: "#" | "##"): string {
  const defaults = text.replace(/^# ([a-z_]+ = )/gm, "$1");
  return mark === "#" ? defaults : defaults.replace(/^## /gm, "");
}

/** The keys that are not written in a TOML text. */
function keysMissingIn(text: string): string[] {
  const tables = sectionsOf(text);
  const missing: string[] = [];
  const visit = (members: Members, path: string): void => {
    for (const [name, member] of Object.entries(members)) {
      const inside = path === "" ? name : `${path}.${name}`;
      // A listener's timeouts are there where they differ.
      if (member.sort === "overrides") continue;
      if (member.sort !== "key") visit(member.members, inside);
      else if (!tables.get(path)?.has(name)) missing.push(inside);
    }
  };
  visit(declaration, "");
  return missing;
}

/** The keys that are written in each table of a TOML text, all entries of a list together. */
function sectionsOf(text: string): Map<string, Set<string>> {
  const tables = new Map<string, Set<string>>();
  let keys = new Set<string>();
  for (const line of text.split("\n")) {
    const header = /^\[+([a-z_.]+)\]+/.exec(line)?.[1];
    if (header !== undefined) tables.set(header, (keys = tables.get(header) ?? new Set()));
    const key = /^([a-z_]+) = /.exec(line)?.[1];
    if (key !== undefined) keys.add(key);
  }
  return tables;
}
