/** Lines of access records, whatever is in their fields: what JSON.stringify makes of level, time, fields and message. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { accessLine } from "../../src/telemetry/access-line.ts";

/** Any string: quotes, control characters, lone surrogates, what ends a line in some readers. */
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
  fc.constantFrom('"', "\\", "\n", "\u0000", "\u007f", "\u2028", "\ud800", "\udc00\ud800", "</script>"),
);
const number = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.integer({ min: 0, max: 1e9 }).map((us) => us / 1000),
);
const field = fc.oneof(text, number, fc.boolean(), fc.constant(null), fc.constant(undefined));
const record = fc.record({ id: number, client: text, sni: field, duration_ms: field, reason: field });
const timeMs = fc.integer({ min: 0, max: 4e12 });

test("a line has level, time, the fields in their order, and the message", () => {
  fc.assert(
    fc.property(record, timeMs, (fields, ms) => {
      const whole = { level: "info", time: new Date(ms).toISOString(), ...fields, msg: "connection" };
      expect(accessLine(fields, ms)).toBe(`${JSON.stringify(whole)}\n`);
    }),
    { numRuns: 2_000 },
  );
});

test("it is one line, in any reader's count, and its bytes are UTF-8 that says the same", () => {
  fc.assert(
    fc.property(record, timeMs, (fields, ms) => {
      const line = accessLine(fields, ms);
      expect(line.indexOf("\n")).toBe(line.length - 1);
      const read = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(line))) as typeof fields;
      expect(read.client).toBe(fields.client);
    }),
    { numRuns: 2_000 },
  );
});
