/** The configuration under random input: text and durations both ways, print and load both ways, and nothing ever throws. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Assembled } from "../../src/config/assemble.ts";
import { configFromValue, configJsonSchema, formatDiagnostic, printConfig } from "../../src/config/load.ts";
import { parseToml } from "../../src/config/toml.ts";
import { canonicalHost, formatAddress, parseAddress } from "../../src/core/address.ts";
import { nearestWord } from "../../src/core/did-you-mean.ts";
import { formatDurationMs, parseDurationMs } from "../../src/core/duration.ts";
import { minimal, ROOMY } from "../support/configuration.ts";
import { misfits, type Schema } from "../support/json-schema.ts";
import {
  address,
  BETWEEN_KEYS,
  durationMs,
  loadText,
  loadValue,
  randomFile,
  variablePart,
} from "../support/random-config.ts";

/** A problem is one printable line that says something, and its place is in the file. */
function expectLines(loaded: Assembled, text: string): void {
  const lines = text.split("\n");
  for (const diagnostic of loaded.ok ? loaded.warnings : loaded.problems) {
    const line = formatDiagnostic(diagnostic);
    expect(line).toMatch(/^[^\p{Cc}\u2028\u2029]+$/u);
    expect(line).not.toMatch(/\bundefined\b|\[object|\bat .*:[0-9]+:[0-9]+\)/);
    if (diagnostic.source.kind !== "file") continue;
    expect(diagnostic.source.line).toBeWithin(1, lines.length + 1);
    expect(diagnostic.source.column).toBeWithin(1, lines[diagnostic.source.line - 1]!.length + 3);
  }
  if (!loaded.ok) expect(loaded.problems.length).toBeGreaterThan(0);
}

test("a duration that is written is read back as it was", () => {
  fc.assert(
    fc.property(durationMs, (value) => {
      expect(parseDurationMs(formatDurationMs(value))).toEqual({ ok: true, value });
    }),
  );
});

test("a duration that is read means the same when it is written, and is never longer", () => {
  const parts = fc.tuple(fc.nat(999), fc.nat(999), fc.nat(9999), fc.nat(99_999));
  fc.assert(
    fc.property(parts, ([hours, minutes, seconds, millis]) => {
      const text = `${hours}h${minutes}m${seconds}s${millis}ms`;
      const parsed = parseDurationMs(text);
      const value = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis;
      expect(parsed).toEqual({ ok: true, value });
      expect(formatDurationMs(value).length).toBeLessThanOrEqual(text.length);
    }),
  );
});

test("an address that is written is read back as it was", () => {
  fc.assert(
    fc.property(address, (value) => {
      expect(parseAddress(formatAddress(value))).toEqual({ ok: true, value });
    }),
  );
});

test("one spelling for each host, as the runtime's URL has it where it takes the host at all", () => {
  fc.assert(
    fc.property(fc.ipV6(), (host) => {
      const canonical = canonicalHost(host);
      expect(canonicalHost(canonical)).toBe(canonical);
      expect(canonicalHost(host.toUpperCase())).toBe(canonical);
      const url = URL.parse(`http://[${host}]`)?.hostname.slice(1, -1);
      if (url !== undefined && canonical.includes(":")) expect(ipv6Number(canonical)).toBe(ipv6Number(url));
    }),
  );
});

test("whatever is read of any text: a value, or what was wanted", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.stringMatching(/^[0-9a-fhms.:[\]%/-]*$/)),
      (text) => {
        for (const parsed of [parseDurationMs(text), parseAddress(text)]) {
          if (!parsed.ok) expect(parsed.wanted).toMatch(/^an? /);
        }
        const read = parseAddress(text);
        if (read.ok) expect(parseAddress(formatAddress(read.value))).toEqual(read);
      },
    ),
    { numRuns: 1000 },
  );
});

test("the nearest word is one of the known ones, and a known word is its own nearest", () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string(), { maxLength: 5 }), (word, known) => {
      const nearest = nearestWord(word, known);
      if (nearest !== undefined) expect(known).toContain(nearest);
      expect(nearestWord(word, [...known, word])?.toLowerCase()).toBe(word.toLowerCase());
    }),
  );
});

/** Calls `check` for each that is valid, and says how many are. */
function forEachValid(
  runs: number,
  check: (value: Partial<Record<string, unknown>>, made: Extract<Assembled, { ok: true }>) => void,
): number {
  let valid = 0;
  fc.assert(
    fc.property(randomFile, (value) => {
      const made = loadValue(value);
      if (made.ok) {
        valid++;
        check(value, made);
      } else {
        for (const { message } of made.problems) expect(message).toMatch(BETWEEN_KEYS);
      }
    }),
    { numRuns: runs },
  );
  return valid;
}

test("a configuration that is printed loads again to the same", () => {
  const valid = forEachValid(200, (_value, made) => {
    const printed = printConfig(made.config);
    const loaded = loadText(printed);
    expect(loaded.ok ? loaded.config : loaded.problems.map(formatDiagnostic)).toEqual(made.config);
    expect(loaded.ok && printConfig(loaded.config)).toBe(printed);
    // Nor do the defaults that are now written down make anything odd.
    const messages = ({ warnings }: { warnings: { message: string }[] }) =>
      warnings.map((one) => one.message).toSorted();
    expect(loaded.ok && messages(loaded)).toEqual(messages(made));
  });
  expect(valid).toBeGreaterThan(100);
});

test("a configuration that loads fits the JSON Schema, as it was written and as it is printed", () => {
  const schema = JSON.parse(JSON.stringify(configJsonSchema())) as Schema;
  const valid = forEachValid(100, (value, { config }) => {
    expect(misfits(schema, value)).toEqual([]);
    const printed = parseToml(printConfig(config));
    expect(printed.ok && misfits(schema, printed.value)).toEqual([]);
  });
  expect(valid).toBeGreaterThan(40);
});

test("every key but those of routes can be set by variables instead", () => {
  let variables = 0;
  forEachValid(150, (value) => {
    const env: Record<string, string> = {};
    const rest = intoVariables(value, "SLUICE", env);
    variables += Object.keys(env).length;
    const [written, set] = [loadValue(value), loadValue(rest, env)];
    expect(set.ok ? set.config : set.problems.map(formatDiagnostic)).toEqual(written.ok ? written.config : []);
  });
  expect(variables).toBeGreaterThan(1000);
});

/** Moves what variables can set from a table into `env`; what is left keeps the names of entries, routes and endpoints' tables. */
function intoVariables(table: object, prefix: string, env: Record<string, string>): object {
  const rest: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table) as [string, unknown][]) {
    const variable = `${prefix}_${variablePart(key)}`;
    if (key === "name" || key === "route") rest[key] = value;
    else if (Array.isArray(value) && (key === "listener" || key === "backend")) {
      const entries = value as { name: string }[];
      rest[key] = entries.map((entry) => intoVariables(entry, `${variable}_${variablePart(entry.name)}`, env));
    } else if (Array.isArray(value)) {
      if (value.some((item) => typeof item === "object" || String(item).includes(","))) rest[key] = value;
      else env[variable] = value.join(",");
    } else if (key === "headers") {
      env[variable] = Object.entries(value as object)
        .map(([name, text]) => `${name}=${encodeURIComponent(text)}`)
        .join();
    } else if (typeof value === "object" && value !== null) {
      const inside = intoVariables(value, variable, env);
      // An empty table that turns something on is not to be said in variables.
      if (Object.keys(value).length === 0 || Object.keys(inside).length > 0) rest[key] = inside;
    } else env[variable] = String(value);
  }
  return rest;
}

/** Keys that mean something, so that random values reach every check. */
const someKey = fc.oneof(
  fc.constantFrom(
    "listener",
    "backend",
    "limits",
    "timeouts",
    "admin",
    "log",
    "tcp",
    "forwarding",
    "shutdown",
    "tracing",
    "resolver",
  ),
  fc.constantFrom(
    "name",
    "listen",
    "endpoints",
    "address",
    "weight",
    "connections",
    "idle",
    "token",
    "workers",
    "tls",
    "cert",
    "key",
    "alpn",
    "route",
    "host",
    "prefix",
    "health",
    "send",
    "eject",
    "for",
    "allow",
    "mode",
    "servers",
  ),
  fc.constantFrom("__proto__", "constructor", "toString", "", "a b", "\u001b[2J"),
);
const someValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom<unknown>(null, undefined, true, 0, -1, 1.5, 10_000, NaN, Infinity, 2n ** 70n, new Date(0)),
    fc.constantFrom("web", "app", "5s", "60", "a:1", ":80", "[::1]:1", "auto", "round_robin", "queue", ""),
    fc.string({ unit: "binary", maxLength: 8 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(someKey, tie("value"), { maxKeys: 6, noNullPrototype: false }),
  ),
})).value;
const someEnv = fc.dictionary(
  fc.constantFrom(
    "SLUICE_LISTENER_WEB_LISTEN",
    "SLUICE_LISTENER_APP_TIMEOUTS_IDLE",
    "SLUICE_BACKEND_APP_ENDPOINTS",
    "SLUICE_LIMITS_CONNECTIONS",
    "SLUICE_ADMIN_TOKEN",
    "SLUICE_ADMIN_TOKEN_FILE",
    "SLUICE_TRACING_OTLP",
    "SLUICE_LISTENER_WEB_TLS_CERT",
    "SLUICE_LISTENER_WEB_ALLOW",
    "SLUICE_LISTENER_WEB_MODE",
    "SLUICE_LISTENER_WEB_ROUTE_0_HOST",
    "SLUICE_BACKEND_APP_HEALTH_SEND",
    "SLUICE_BACKEND_APP_TLS_ALPN",
    "SLUICE_BACKEND_APP_TLS_SERVER_NAME",
    "SLUICE_BACKEND_APP_EJECT_FOR",
    "SLUICE_RESOLVER_SERVERS",
    "SLUICE_X",
  ),
  fc.oneof(fc.string(), fc.constantFrom("5s", "a:1,b:2", "7")),
  { maxKeys: 4, noNullPrototype: true },
);

test("random values and variables never throw, and never change the values handed over", () => {
  fc.assert(
    fc.property(someValue, fc.boolean(), someEnv, (value, beside, env) => {
      const whole = beside && typeof value === "object" && value !== null ? { ...minimal(), ...value } : value;
      const before = structuredClone(whole);
      expectLines(configFromValue(whole, env, ROOMY), "");
      expect(whole).toEqual(before);
    }),
    { numRuns: 1500 },
  );
});

const tomlToken = fc.oneof(
  fc.constantFrom(
    "[[listener]]\n",
    "[[backend]]\n",
    "[limits]\n",
    "[timeouts]\n",
    "[admin]\n",
    '[[listener]]\nname = "web"\n',
    "[listener.tls]\n",
    "[[listener.route]]\n",
    "[backend.health]\n",
    "[backend.tls]\n",
    "[resolver]\n",
  ),
  fc.constantFrom(
    'name = "app"\n',
    'endpoints = ["a:1"]\n',
    'listen = ":1"\n',
    'backend = "app"\n',
    "connections = 5\n",
    'idle = "5s"\n',
    'alpn = ["h2", 5]\n',
    'cert = ["a.pem"]\nkey = "tls/a key"\n',
    'prefix = "\\x16"\n',
    'servers = ["::1"]\n',
  ),
  fc.constantFrom(
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ".",
    '"',
    "'",
    '"""',
    "#",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\ufeff",
    "\u0000",
    "\\",
    "\\u00e9",
  ),
  fc.constantFrom(
    "1",
    "-0",
    "0x1f",
    "1e5",
    "inf",
    "true",
    "1979-05-27",
    "07:32:00",
    "1979-05-27T07:32:00Z",
    "__proto__",
    "constructor",
    "x",
  ),
  fc.string({ unit: "binary", maxLength: 4 }),
);
const someText = fc.oneof(
  fc.array(tomlToken, { maxLength: 25 }).map((tokens) => tokens.join("")),
  fc.array(fc.tuple(someKey, tomlToken)).map((pairs) => pairs.map(([key, token]) => `${key} = ${token}\n`).join("")),
);

test("random text never throws: it loads, or every problem is a line with its place", () => {
  const before = [Reflect.ownKeys(Object), Reflect.ownKeys(Object.prototype)];
  fc.assert(
    fc.property(someText, someEnv, (text, env) => {
      expectLines(loadText(text, env), text);
    }),
    { numRuns: 2000 },
  );
  expect([Reflect.ownKeys(Object), Reflect.ownKeys(Object.prototype)]).toEqual(before);
});

test("a secret is in no line, wherever in a broken file it stands", () => {
  const secret = "QZJXQZJX";
  const written = fc.constantFrom(
    secret,
    `"${secret}"`,
    `'${secret}`,
    `"${secret} "`,
    `["${secret}"]`,
    `{ value = "${secret}" }`,
    `"${secret}\\q"`,
  );
  const place = fc.constantFrom(
    "[admin]\ntoken = ",
    "[tracing]\nheaders = ",
    "[tracing.headers]\nx-api-key = ",
    '[tracing]\notlp = "http://a"\nheaders = { x-api-key = ',
  );
  const around = fc.array(tomlToken, { maxLength: 6 }).map((tokens) => tokens.join(""));
  fc.assert(
    fc.property(around, place, written, around, (head, before, value, tail) => {
      const loaded = loadText(`${head}\n${before}${value}${tail}`, { SLUICE_LOG_LEVEL: "loud" });
      for (const line of loaded.ok ? [] : loaded.problems.map(formatDiagnostic)) expect(line).not.toContain("QZJX");
    }),
    { numRuns: 1000 },
  );
});

/** An IPv6 address without an IPv4 part as one number, however it is written. */
function ipv6Number(text: string): bigint {
  const [head = [], tail = []] = text.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return BigInt(`0x${[...head, ...zeros, ...tail].map((group) => group.padStart(4, "0")).join("")}`);
}
