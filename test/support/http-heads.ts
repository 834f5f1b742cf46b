/** Heads of HTTP/1 requests for property tests, together with what they say. */
import fc from "fast-check";

/** Visible ASCII without what ends a path. */
const pathText = fc.string({ unit: fc.constantFrom(...pick(/[!-~]/, /[?#]/)), maxLength: 30 });
const queryText = fc.string({ unit: fc.constantFrom(...pick(/[!-~]/)), maxLength: 10 });
const method = fc.oneof(
  fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH"),
  fc
    .string({ unit: fc.constantFrom(..."ABCZ_-"), minLength: 1, maxLength: 32 })
    .filter((text) => text !== "CONNECT" && text !== "PRI"),
);
const lineEnd = fc.constantFrom("\r\n", "\r\n", "\r\n", "\n");
const padding = fc.constantFrom("", " ", " ", "\t", " \t ");
const port = fc.oneof(
  fc.constant(""),
  fc.constant(":"),
  fc.integer({ min: 0, max: 65_535 }).map((number) => `:${number}`),
);
const label = fc.string({ unit: fc.constantFrom(..."abzABZ09-_"), minLength: 1, maxLength: 10 });
/** As it is written, and as it is read. */
const hostText: fc.Arbitrary<[written: string, read: string]> = fc.oneof(
  fc
    .array(label, { minLength: 1, maxLength: 4 })
    .map((labels): [string, string] => [labels.join("."), labels.join(".").toLowerCase()]),
  fc.domain().map((name): [string, string] => [`${name}.`, name.toLowerCase()]),
  fc.ipV4().map((address): [string, string] => [address, address]),
  fc.constantFrom<[string, string]>(
    ["[::1]", "::1"],
    ["[2001:DB8::7]", "2001:db8::7"],
    ["[::ffff:192.0.2.1]", "192.0.2.1"],
  ),
);
const token = pick(/[A-Za-z0-9!#$%&'*+.^_`|~-]/);
const fieldName = fc
  .string({ unit: fc.constantFrom(...token), minLength: 1, maxLength: 12 })
  .filter((name) => name.toLowerCase() !== "host");
const fieldValue = fc.string({ unit: fc.constantFrom(...pick(/[ -~]/), "\t", "\x80", "\xff"), maxLength: 30 });
const anyCase = fc
  .array(fc.boolean(), { minLength: 4, maxLength: 4 })
  .map((upper) => [..."host"].map((letter, at) => (upper[at]! ? letter.toUpperCase() : letter)).join(""));

/** A head that is right: its request line, the whole, and what has to be read from each. */
export interface HttpHead {
  readonly line: Uint8Array;
  readonly head: Uint8Array;
  readonly method: string;
  readonly path: string;
  readonly targetHost: string | undefined;
  readonly host: string | undefined;
}

/** Any of them, except CONNECT. */
export const httpHead: fc.Arbitrary<HttpHead> = fc
  .record({
    emptyLines: fc.array(lineEnd, { maxLength: 2 }),
    method,
    absolute: fc.option(fc.tuple(fc.constantFrom("http", "HTTPS", "x+y.z-1"), hostText, port), { nil: undefined }),
    path: pathText,
    query: fc.option(fc.tuple(fc.constantFrom("?", "#"), queryText), { nil: undefined }),
    minor: fc.constantFrom("0", "1"),
    host: fc.option(fc.tuple(anyCase, padding, hostText, port, padding), { nil: undefined }),
    hostAgain: fc.boolean(),
    fields: fc.array(fc.tuple(fieldName, fieldValue, lineEnd), { maxLength: 5 }),
    place: fc.nat(),
    ends: fc.tuple(lineEnd, lineEnd),
  })
  .map((parts) => {
    const [scheme, [writtenHost, targetHost], targetPort] = parts.absolute ?? ["", ["", undefined], ""];
    const authority = parts.absolute === undefined ? "" : `${scheme}://${writtenHost}${targetPort}`;
    const path = `/${parts.path}`;
    const target = `${authority}${path}${parts.query?.join("") ?? ""}`;
    const line = `${parts.emptyLines.join("")}${parts.method} ${target} HTTP/1.${parts.minor}${parts.ends[0]}`;
    const fields = parts.fields.map(([name, value, end]) => `${name}:${value}${end}`);
    if (parts.host !== undefined) {
      const [name, before, [written], hostPort, after] = parts.host;
      const field = `${name}:${before}${written}${hostPort}${after}${parts.ends[1]}`;
      fields.splice(parts.place % (fields.length + 1), 0, field);
      if (parts.hostAgain) fields.push(field);
    }
    return {
      line: latin1(line),
      head: latin1(`${line}${fields.join("")}${parts.ends[1]}`),
      method: parts.method,
      path,
      targetHost,
      host: targetHost ?? parts.host?.[2][1],
    };
  });

/** The characters of ASCII that fit, less those that fit `except`. */
function pick(wanted: RegExp, except = /[^]{2}/): string[] {
  return Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).filter(
    (character) => wanted.test(character) && !except.test(character),
  );
}

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}
