/** What is made of the configuration for people and editors: printed TOML, the JSON Schema, the reference, the shipped file. */
import TOML from "@iarna/toml";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { configFromValue, configJsonSchema, configurationReference, printConfig } from "../../src/config/load.ts";
import { tomlText, type TomlValue } from "../../src/config/toml-text.ts";
import { ConfigFolder, configOf, MINIMAL_TOML, minimal, ROOMY } from "../support/configuration.ts";

const ROOT = join(import.meta.dir, "../..");
const SHIPPED = join(ROOT, "config.toml");

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

[[backend]]
name = "app"
endpoints = ["127.0.0.1:9000"]
balance = "round_robin"
retries = 2

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
[listener.timeouts]
idle = "10m"

[[listener]]
name = "pg"
listen = "[::1]:5432"
backend = "app"

[[backend]]
name = "app"
endpoints = ["a:1", "[::1]:2"]
balance = "round_robin"
retries = 2

[admin]
listen = "127.0.0.1:9900"
token = "********"
ready_needs_backends = true

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
inspect = "5s"

`);
  });

  const roundTrips: [what: string, extra: Record<string, unknown>][] = [
    ["the smallest", {}],
    [
      "everything set",
      {
        forwarding: { engine: "copy" },
        limits: { connections: 12_345, overflow: "reject" },
        shutdown: { delay: "1s", drain: "1h1m1s1ms", idle: "2s" },
        timeouts: { connect: "1ms", response: "2s", idle: "3m", half_closed: "2m", lifetime: "4h" },
        tcp: { no_delay: false, keepalive: "0s" },
        listener: [
          { name: "a", listen: ":0", backend: "b", timeouts: { connect: "2ms", lifetime: "0s" } },
          { name: "c", listen: "localhost:81", backend: "app" },
        ],
        backend: [
          { name: "app", endpoints: [{ address: "[::1]:1" }, "name.example:2"], retries: 0 },
          { name: "b", endpoints: ["a:1"] },
        ],
        admin: { listen: "[::1]:9900", token: "********", ready_needs_backends: false },
        log: { level: "debug", format: "pretty", access: false },
      },
    ],
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
  test.each(roundTrips)("loads again to the same: %s", async (_what, extra) => {
    await using folder = await ConfigFolder.open();
    const config = configOf(extra);
    const loaded = await folder.load(printConfig(config));
    expect(loaded).toEqual({ config, problems: [], warnings: [] });
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
      examples: ["127.0.0.1:8080", ":8080", "[::1]:8080"],
    });
    expect(at(schema, "tracing")).toMatchObject({
      description: "Traces over OTLP. Absent means off. Not supported yet.",
    });
  });

  test("names the keys that an entry must have", () => {
    expect(at(schema, "listener").items?.required).toEqual(["name", "listen", "backend"]);
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
    expect(misfits(schema, TOML.parse(MINIMAL_TOML))).toEqual([]);
    expect(misfits(schema, TOML.parse(printConfig(configOf({ admin: { listen: ":1", token: "t" } }))))).toEqual([]);
    expect(
      misfits(schema, { ...minimal(), backend: [{ name: "app", endpoints: [{ address: "a:1" }, "b:2"] }] }),
    ).toEqual([]);
  });

  const wrong: [what: string, extra: Record<string, unknown>, misfit: string][] = [
    ["an unknown table", { limts: {} }, "/limts is unknown"],
    ["an unknown key", { limits: { conections: 1 } }, "/limits/conections is unknown"],
    ["a missing key", { listener: [{ name: "web", listen: ":1" }] }, "/listener/0/backend is missing"],
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
      "| `weight` | whole number, 1 … 1_000 | `1` | Its share of connections, relative to the others. **Not supported yet.** |",
    );
    const keys = Object.keys((configJsonSchema() as Schema).properties ?? {});
    expect(keys.filter((name) => !new RegExp(`^## \`\\[+${name}\\]+\`$`, "m").test(reference))).toEqual([]);
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

  test("shows the defaults in its comments: with them it is the same configuration", async () => {
    const text = await Bun.file(SHIPPED).text();
    const uncommented = text.replace(/^# ([a-z_]+ = )/gm, "$1");
    expect(uncommented.match(/^[a-z_]+ = /gm)?.length).toBeGreaterThan(25);
    // A listener's own timeout is an example, not a default.
    const defaults = uncommented.replace("# [listener.timeouts]", "#").replace(/^idle = "10m"$/m, "#");
    await using folder = await ConfigFolder.open();
    const { config, problems } = await folder.load(defaults);
    expect(problems).toEqual([]);
    expect(config).toEqual((await folder.loadFile(SHIPPED)).config);
  });

  test("its example of a listener's own timeout loads, too", async () => {
    const text = await Bun.file(SHIPPED).text();
    const example = text
      .replace("# [listener.timeouts]", "[listener.timeouts]")
      .replace('# idle = "10m"', 'idle = "10m"');
    await using folder = await ConfigFolder.open();
    const { config, problems } = await folder.load(example);
    expect(problems).toEqual([]);
    expect([config?.listeners[0]?.timeouts.idleMs, config?.timeouts.idleMs]).toEqual([600_000, 3_600_000]);
  });
});

/** The parts of JSON Schema that ours has. */
interface Schema {
  $schema?: string;
  title?: string;
  default?: unknown;
  examples?: unknown[];
  type?: string;
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean;
  items?: Schema;
  anyOf?: Schema[];
  description?: string;
}

/** The part that describes a key, looked for in the entries of lists as well. */
function at(schema: Schema, path: string): Schema {
  let part: Schema | undefined = schema;
  for (const name of path.split(".")) part = (part?.items ?? part)?.properties?.[name];
  if (part === undefined) throw new Error(`the JSON Schema has no ${path}`);
  return part;
}

/** Where a value does not fit a schema: enough of a validator for {@link Schema}, and no more. */
function misfits(schema: Schema, value: unknown, path = ""): string[] {
  if (schema.anyOf !== undefined) {
    return schema.anyOf.some((form) => misfits(form, value).length === 0) ? [] : [`${path} has no form`];
  }
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${path} is none of ${schema.enum.join(", ")}`];
  if (schema.const !== undefined && schema.const !== value) return [`${path} is not ${String(schema.const)}`];
  switch (schema.type) {
    case undefined:
      return [];
    case "integer":
    case "number":
      if (typeof value !== "number" || (schema.type === "integer" && !Number.isInteger(value))) break;
      if (value < (schema.minimum ?? -Infinity)) return [`${path} is less than ${schema.minimum}`];
      return value > (schema.maximum ?? Infinity) ? [`${path} is more than ${schema.maximum}`] : [];
    case "string":
      if (typeof value !== "string") break;
      return new RegExp(schema.pattern ?? "").test(value) ? [] : [`${path} does not match`];
    case "array":
      if (!Array.isArray(value)) break;
      if (value.length < (schema.minItems ?? 0)) return [`${path} has fewer than ${schema.minItems}`];
      return value.flatMap((item, index) => misfits(schema.items ?? {}, item, `${path}/${index}`));
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) break;
      const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name));
      const inside = Object.entries(value).flatMap(([name, part]) => {
        const known = schema.properties?.[name];
        if (known !== undefined) return misfits(known, part, `${path}/${name}`);
        return schema.additionalProperties === false ? [`${path}/${name} is unknown`] : [];
      });
      return [...missing.map((name) => `${path}/${name} is missing`), ...inside];
    }
    default:
      return typeof value === schema.type ? [] : [`${path} is no ${schema.type}`];
  }
  return [`${path} is no ${schema.type}`];
}
