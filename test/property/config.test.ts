/** The configuration under random input: text and durations both ways, print and load both ways, and nothing ever throws. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { configFromValue, formatDiagnostic, printConfig } from "../../src/config/load.ts";
import { positionsIn } from "../../src/config/positions.ts";
import { parseToml } from "../../src/config/toml.ts";
import { assemble, type Assembled } from "../../src/config/assemble.ts";
import { type Address, canonicalHost, formatAddress, parseAddress } from "../../src/core/address.ts";
import { nearestWord } from "../../src/core/did-you-mean.ts";
import { DURATION_MS_MAX, formatDurationMs, parseDurationMs } from "../../src/core/duration.ts";
import { minimal, ROOMY } from "../support/configuration.ts";

/** What loading a file does with its text, less the reading. */
function loadText(text: string, env: Record<string, string> = {}): Assembled {
  const parsed = parseToml(text);
  if (parsed.ok)
    return assemble(parsed.value, env, ROOMY, positionsIn("f", text), () => ({ ok: false, found: "none" }));
  const { line, column, name, message } = parsed;
  return { ok: false, problems: [{ source: { kind: "file", file: "f", line, column }, path: name, message }] };
}

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

const durationMs = fc.oneof(
  fc.constant(0),
  fc.nat(5000),
  fc.nat(86_400_000),
  fc.integer({ min: 0, max: DURATION_MS_MAX }),
);
const durationText = durationMs.map(formatDurationMs);
/** Mostly off: what fires first makes most other timeouts impossible. */
const rareDurationText = fc.oneof({ weight: 4, arbitrary: fc.constant("0s") }, { weight: 1, arbitrary: durationText });
const port = fc.integer({ min: 1, max: 65_535 });
const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,12}$/);
const hostName = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,8}[a-z0-9])?){0,2}$/);
const host = fc.oneof(fc.ipV4(), fc.ipV6(), hostName);
const address: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ kind: fc.constant("tcp" as const), host, port }),
  fc.record({ kind: fc.constant("unix" as const), path: fc.stringMatching(/^[ -~]{1,100}$/) }),
);
const tcpText = fc.record({ host, port }).map(({ host, port }) => formatAddress({ kind: "tcp", host, port }));

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

/** Any set of keys with valid values; together they may still be impossible, such as an idle timeout beyond the lifetime. */
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const timeoutKeys = fc.record(
  {
    connect: durationText,
    response: durationText,
    idle: durationText,
    half_closed: durationText,
    lifetime: rareDurationText,
  },
  { requiredKeys: [] },
);
const file = fc
  .record({
    forwarding: optional(fc.record({ engine: fc.constantFrom("auto", "copy", "splice") }, { requiredKeys: [] })),
    limits: optional(
      fc.record(
        { connections: fc.integer({ min: 1, max: 500_000 }), overflow: fc.constantFrom("queue", "reject") },
        { requiredKeys: [] },
      ),
    ),
    shutdown: optional(
      fc.record({ delay: durationText, drain: durationText, idle: rareDurationText }, { requiredKeys: [] }),
    ),
    timeouts: optional(timeoutKeys),
    tcp: optional(
      fc.record(
        { no_delay: fc.boolean(), keepalive: fc.nat(32_767).map((seconds) => `${seconds}s`) },
        { requiredKeys: [] },
      ),
    ),
    log: optional(
      fc.record(
        {
          level: fc.constantFrom("debug", "info", "warn", "error"),
          format: fc.constantFrom("auto", "json", "pretty"),
          access: fc.boolean(),
        },
        { requiredKeys: [] },
      ),
    ),
    admin: optional(
      fc.record(
        {
          listen: fc.constantFrom("127.0.0.1:0", "[::1]:0", ":0"),
          // The mask itself: any other secret is lost on the way, as it must be.
          token: fc.constant("********"),
          ready_needs_backends: fc.boolean(),
        },
        { requiredKeys: ["listen"] },
      ),
    ),
    backend: fc.uniqueArray(
      fc.record({ name, endpoints: fc.uniqueArray(tcpText, { minLength: 1, maxLength: 4 }), retries: fc.nat(100) }),
      { minLength: 1, maxLength: 3, selector: (backend) => backend.name.toUpperCase().replaceAll("-", "_") },
    ),
    listenerNames: fc.uniqueArray(name, {
      minLength: 1,
      maxLength: 4,
      selector: (listener) => listener.toUpperCase().replaceAll("-", "_"),
    }),
    listens: fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant("")), { minLength: 4, maxLength: 4 }),
    overrides: fc.array(optional(timeoutKeys), { minLength: 4, maxLength: 4 }),
  })
  .map(({ listenerNames, listens, overrides, ...tables }) => {
    const listener = listenerNames.map((listenerName, index) => {
      const listen = formatAddress({ kind: "tcp", host: listens[index] ?? "", port: 1000 + index });
      const backend = tables.backend[index % tables.backend.length]!.name;
      return withoutUndefined({ name: listenerName, listen, backend, timeouts: overrides[index] });
    });
    return withoutUndefined({ ...tables, listener });
  });

test("a configuration that is printed loads again to the same", () => {
  let valid = 0;
  fc.assert(
    fc.property(file, (value) => {
      const made = configFromValue(value, {}, ROOMY);
      if (!made.ok) {
        // Only what no single key can know may be wrong with it.
        for (const { message } of made.problems)
          expect(message).toMatch(/fires? first|time out|drain is over|is listed twice|wanted a token/);
        return;
      }
      valid++;
      const printed = printConfig(made.config);
      const loaded = loadText(printed);
      expect(loaded.ok ? loaded.config : loaded.problems.map(formatDiagnostic)).toEqual(made.config);
      expect(loaded.ok && printConfig(loaded.config)).toBe(printed);
    }),
    { numRuns: 400 },
  );
  expect(valid).toBeGreaterThan(80);
});

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
    "route",
    "health",
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
  ),
  fc.constantFrom(
    'name = "app"\n',
    'endpoints = ["a:1"]\n',
    'listen = ":1"\n',
    'backend = "app"\n',
    "connections = 5\n",
    'idle = "5s"\n',
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
  const around = fc.array(tomlToken, { maxLength: 6 }).map((tokens) => tokens.join(""));
  fc.assert(
    fc.property(around, written, around, (head, value, tail) => {
      const loaded = loadText(`${head}\n[admin]\ntoken = ${value}${tail}`, { SLUICE_LOG_LEVEL: "loud" });
      for (const line of loaded.ok ? [] : loaded.problems.map(formatDiagnostic)) expect(line).not.toContain("QZJX");
    }),
    { numRuns: 1000 },
  );
});

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inside]) => inside !== undefined)) as Partial<T>;
}

/** An IPv6 address without an IPv4 part as one number, however it is written. */
function ipv6Number(text: string): bigint {
  const [head = [], tail = []] = text.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return BigInt(`0x${[...head, ...zeros, ...tail].map((group) => group.padStart(4, "0")).join("")}`);
}
