/** Random configuration files: valid key by key, so that only what holds between keys can be wrong. */
import fc from "fast-check";
import { assemble, type Assembled } from "../../src/config/assemble.ts";
import { positionsIn } from "../../src/config/positions.ts";
import { parseToml } from "../../src/config/toml.ts";
import { type Address, formatAddress } from "../../src/core/address.ts";
import { DURATION_MS_MAX, formatDurationMs } from "../../src/core/duration.ts";
import { formatByteText } from "../../src/protocol/byte-text.ts";
import type { ReadText } from "../../src/tls/files.ts";
import { ROOMY } from "./configuration.ts";
import { selfSigned } from "./self-signed.ts";

const certificates = selfSigned("a", "b", "ca", "client");

/** The files that random configurations name. */
const files = new Map(
  (["a", "b", "ca", "client"] as const).flatMap((name) => [
    [`${name}.pem`, certificates[name].cert],
    [`tls/${name} key`, certificates[name].key],
  ]),
);
const readFile: ReadText = (path) => {
  const text = files.get(path);
  return text === undefined ? { ok: false, found: "none" } : { ok: true, text };
};

/** What loading a file does with its text, less the reading. */
export function loadText(text: string, env: Record<string, string> = {}): Assembled {
  const parsed = parseToml(text);
  if (parsed.ok) {
    return assemble(parsed.value, env, ROOMY, positionsIn("f", text), () => ({ ok: false, found: "none" }), readFile);
  }
  const { line, column, name, message } = parsed;
  return { ok: false, problems: [{ source: { kind: "file", file: "f", line, column }, path: name, message }] };
}

/** The same for values. */
export function loadValue(value: unknown, env: Record<string, string> = {}): Assembled {
  return assemble(
    value,
    env,
    ROOMY,
    () => ({ kind: "program" }),
    () => ({ ok: false, found: "none" }),
    readFile,
  );
}

/** Milliseconds that a duration may have. */
export const durationMs = fc.oneof(
  fc.constant(0),
  fc.nat(5000),
  fc.nat(86_400_000),
  fc.integer({ min: 0, max: DURATION_MS_MAX }),
);
const durationText = durationMs.map(formatDurationMs);
const someDurationText = durationText.filter((text) => text !== "0s");
/** Mostly off: what fires first makes most other timeouts impossible. */
const rareDurationText = fc.oneof({ weight: 4, arbitrary: fc.constant("0s") }, { weight: 1, arbitrary: durationText });
const port = fc.integer({ min: 1, max: 65_535 });
const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,12}$/);
const hostName = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,8}[a-z0-9])?){0,2}$/);
const host = fc.oneof(fc.ipV4(), fc.ipV6(), hostName);
/** Any address. */
export const address: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ kind: fc.constant("tcp" as const), host, port }),
  fc.record({ kind: fc.constant("unix" as const), path: fc.stringMatching(/^[ -~]{1,100}$/) }),
);
const tcpText = fc.record({ host, port }).map(({ host, port }) => formatAddress({ kind: "tcp", host, port }));

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const rare = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
/** Some of the keys. */
const some = <T extends object>(keys: { [Name in keyof T]: fc.Arbitrary<T[Name]> }) =>
  fc.record(keys, { requiredKeys: [] });
const count = fc.oneof(fc.constant(0), fc.nat(5), fc.nat(10_000_000));
const cidrText = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.tuple(fc.nat(255), fc.nat(255)).map(([first, second]) => `${first}.${second}.0.0/${first % 2 === 0 ? 16 : 32}`),
  fc.constantFrom("::/0", "2001:DB8::/32", "::ffff:10.0.0.0/104", "0.0.0.0/0"),
);
const cidrs = fc.array(cidrText, { maxLength: 3 });
const unixText = fc.stringMatching(/^\/[a-z]{1,8}( [a-z]|"|é|\\)?[a-z]{1,8}$/).map((path) => `unix:${path}`);
const serviceText = hostName.map((domain) => `srv:_pg._tcp.${domain}`);
const endpointText = fc.oneof({ weight: 4, arbitrary: tcpText }, unixText, serviceText);
const endpoint = fc.oneof(
  endpointText,
  fc.record(
    { address: endpointText, weight: fc.nat(1000), backup: fc.boolean(), connections: count },
    { requiredKeys: ["address"] },
  ),
);
/** Bytes as they are printed, and text as people write it. */
const byteText = fc.oneof(
  fc.uint8Array({ maxLength: 12 }).map(formatByteText),
  fc.string({ unit: "grapheme", maxLength: 8 }).map((text) => text.replaceAll("\\", "\\\\")),
);
const alpn = fc.array(fc.constantFrom("h2", "http/1.1", "postgresql", 'x-"y"'), { maxLength: 3 });
const statusText = fc.constantFrom("200", "200-399", "100-599", "200, 204-206 ,404");

/** Any set of keys with valid values; together they may still be impossible, such as an idle timeout beyond the lifetime. */
const timeoutKeys = some({
  connect: durationText,
  response: durationText,
  idle: durationText,
  half_closed: rareDurationText,
  lifetime: rareDurationText,
  inspect: durationText,
});
const listenerTls = fc
  .tuple(
    fc.subarray(["a", "b", "client"], { minLength: 1 }),
    some({ client_ca: fc.constantFrom("", "ca.pem"), client_cert: fc.constantFrom("required", "optional"), alpn }),
  )
  .map(([names, keys]) => {
    const [cert, key] = [names.map((of) => `${of}.pem`), names.map((of) => `tls/${of} key`)];
    return names.length === 1 ? { cert: cert[0]!, key: key[0]!, ...keys } : { cert, key, ...keys };
  });
const backendTls = fc
  .tuple(
    some({
      server_name: fc.oneof(hostName, fc.ipV4(), fc.ipV6(), fc.constant("")),
      ca: fc.constantFrom("", "ca.pem"),
      verify: fc.boolean(),
      alpn,
      proxy_header: fc.constantFrom("before", "inside"),
    }),
    fc.boolean(),
  )
  .map(([keys, shows]) => (shows ? { ...keys, cert: "client.pem", key: "tls/client key" } : keys));
const health = some({
  type: fc.constantFrom("tcp", "http", "exchange"),
  path: fc.constantFrom("/", "/healthz?x=%20", "/\"'\\"),
  host: fc.oneof(hostName, fc.constantFrom("", "[::1]:80")),
  status: statusText,
  send: byteText,
  expect: byteText,
  interval: someDurationText,
  timeout: someDurationText,
  rise: fc.integer({ min: 1, max: 100 }),
  fall: fc.integer({ min: 1, max: 100 }),
});
const route = some({
  path_prefix: fc.constantFrom("", "/", "/api/", "/%41/b", '/é"\\'),
  host: fc.oneof(hostName, fc.ipV4(), fc.constantFrom("", "*.Example.com", "[2001:db8::1]")),
  sni: fc.oneof(hostName, fc.constantFrom("", "*.example.com")),
  alpn: fc.constantFrom("", "h2", "http/1.1"),
  prefix: byteText,
});
const backendKeys = {
  endpoints: fc.uniqueArray(endpoint, {
    minLength: 1,
    maxLength: 4,
    selector: (one) => (typeof one === "string" ? one : one.address),
  }),
  balance: fc.constantFrom("round_robin", "least_connections", "random_two", "source_hash", "first"),
  retries: fc.nat(100),
  send_proxy: fc.constantFrom("off", "v1", "v2"),
  resolve: durationText,
  on_down: fc.constantFrom("keep", "close"),
  tls: rare(backendTls),
  health: rare(health),
  eject: rare(some({ failures: fc.integer({ min: 1, max: 1000 }), for: someDurationText })),
};
const listenerKeys = some({
  accept_proxy: fc.constantFrom("off", "required"),
  trusted: cidrs,
  allow: cidrs,
  deny: cidrs,
  connections: count,
  connections_per_ip: count,
  rate_per_ip: count,
  timeouts: rare(timeoutKeys),
  tls: rare(listenerTls),
});
/** A name as a part of a variable. */
export const variablePart = (entry: string) => entry.toUpperCase().replaceAll("-", "_");
/** A file as a value, with every table of the declaration. */
export const randomFile = fc
  .record({
    forwarding: optional(some({ engine: fc.constantFrom("auto", "copy", "splice") })),
    limits: optional(
      some({ connections: fc.integer({ min: 1, max: 500_000 }), overflow: fc.constantFrom("queue", "reject") }),
    ),
    shutdown: optional(some({ delay: durationText, drain: durationText, idle: rareDurationText })),
    timeouts: optional(timeoutKeys),
    tcp: optional(some({ no_delay: fc.boolean(), keepalive: fc.nat(32_767).map((seconds) => `${seconds}s`) })),
    resolver: optional(
      some({
        servers: fc.array(
          fc.oneof(
            fc.ipV4(),
            fc.ipV6(),
            fc.ipV6().map((ip) => `[${ip}]`),
            fc
              .tuple(fc.oneof(fc.ipV4(), fc.ipV6()), port)
              .map(([ip, at]) => formatAddress({ kind: "tcp", host: ip, port: at })),
          ),
          { maxLength: 3 },
        ),
      }),
    ),
    log: optional(
      some({
        level: fc.constantFrom("debug", "info", "warn", "error"),
        format: fc.constantFrom("auto", "json", "pretty"),
        access: fc.boolean(),
      }),
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
    tracing: optional(
      fc.record(
        {
          otlp: fc.constantFrom("http://127.0.0.1:4318", "https://otlp.test/base/", "http://[::1]"),
          sample: fc.constantFrom(0, 0.01, 1),
          service: fc.constantFrom("sluice", 'é "edge"'),
          // Values that are lost in print, but for the mask itself.
          headers: fc.dictionary(fc.constantFrom("x-api-key", "x.tenant", "a"), fc.constant("********"), {
            noNullPrototype: true,
          }),
        },
        { requiredKeys: ["otlp"] },
      ),
    ),
    backend: fc.uniqueArray(fc.record({ name, ...backendKeys }, { requiredKeys: ["name", "endpoints"] }), {
      minLength: 1,
      maxLength: 3,
      selector: (backend) => variablePart(backend.name),
    }),
    listenerNames: fc.uniqueArray(name, { minLength: 1, maxLength: 4, selector: variablePart }),
    listens: fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom("", "unix")), { minLength: 4, maxLength: 4 }),
    mode: fc.constantFrom("0600", "666"),
    listenerKeys: fc.array(listenerKeys, { minLength: 4, maxLength: 4 }),
    routes: fc.array(fc.array(route, { maxLength: 3 }), { minLength: 4, maxLength: 4 }),
  })
  .map(({ listenerNames, listens, mode, listenerKeys: keys, routes, ...tables }) => {
    const backends = tables.backend.map((backend) => withoutUndefined(backend));
    const backendOf = (index: number) => tables.backend[index % tables.backend.length]!.name;
    const listener = listenerNames.map((listenerName, index) => {
      const host = listens[index] ?? "";
      // The clients of a Unix socket have no address but the one that a PROXY header names.
      const at =
        host === "unix"
          ? { listen: `unix:/run/${index}.sock`, mode, accept_proxy: "required", trusted: [] }
          : { listen: formatAddress({ kind: "tcp", host, port: 1000 + index }) };
      const own = (routes[index] ?? []).map((one, position) => ({ ...one, backend: backendOf(index + position) }));
      // Where there are routes, the listener may do without a backend of its own.
      const rest = own.length > 0 && index % 2 === 0 ? {} : { backend: backendOf(index) };
      return withoutUndefined({ name: listenerName, ...rest, ...keys[index], ...at, route: own });
    });
    return withoutUndefined({ ...tables, backend: backends, listener });
  });

/** What no single key can know is all that may be wrong with such a file. */
export const BETWEEN_KEYS = new RegExp(
  [
    "fires? first|time out|drain is over",
    "is listed twice|wanted a token|proxy to itself|no name to verify|an exchange needs",
  ].join("|"),
);

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inside]) => inside !== undefined)) as Partial<T>;
}
