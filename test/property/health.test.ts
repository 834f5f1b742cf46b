/** Health checks under random results, times and pieces, against small models. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ExpectedBytes } from "../../src/backend/health/expected-bytes.ts";
import { HealthChecks } from "../../src/backend/health/health-checks.ts";
import { Places } from "../../src/backend/health/places.ts";
import { Standing } from "../../src/backend/health/standing.ts";
import { StatusLine } from "../../src/backend/health/status-line.ts";
import { includesStatus, parseStatusRanges } from "../../src/backend/health/status-ranges.ts";
import type { AnswerReader, Verdict } from "../../src/backend/health/verdict.ts";
import { backendOf, endpointAt, FakeCheckDialer, tcpChecks } from "../support/fake-check-dialer.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const threshold = fc.integer({ min: 1, max: 4 });

/** What an endpoint is after these results: looked up in the whole past each time, where the code counts. */
function modelHealth(results: readonly boolean[], rise: number, fall: number): "unknown" | "up" | "down" {
  if (results.length === 0) return "unknown";
  let up = results[0]!;
  for (let end = 2; end <= results.length; end++) {
    const row = results.slice(Math.max(0, end - (up ? fall : rise)), end);
    if (row.length === (up ? fall : rise) && row.every((good) => good !== up)) up = !up;
  }
  return up ? "up" : "down";
}

test("rise and fall: up and down follow the last results in a row, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 40 }), threshold, threshold, (results, rise, fall) => {
      const standing = new Standing(rise, fall);
      for (let count = 1; count <= results.length; count++) {
        const before = standing.health;
        const changed = standing.take(results[count - 1]!);
        expect(standing.health).toBe(modelHealth(results.slice(0, count), rise, fall));
        expect(changed).toBe(standing.health !== before);
      }
    }),
    { numRuns: 500 },
  );
});

/** The verdict on an answer in these pieces; a piece is how many bytes of what is left. */
function inPieces(reader: AnswerReader, answer: Uint8Array, pieces: readonly number[]): Verdict | undefined {
  let at = 0;
  for (let turn = 0; at < answer.length; turn++) {
    const end = Math.min(answer.length, at + pieces[turn % pieces.length]!);
    const verdict = reader.take(answer.subarray(at, end));
    if (verdict !== undefined) return verdict;
    at = end;
  }
  return undefined;
}

const pieces = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 });
const statusLine = fc
  .tuple(
    fc.constantFrom(
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.0 503\r\n",
      "HTTP/1.1 302 \n",
      "HTTP/1.1 20",
      "HTTP/1.9 404 a\tb\r\n\r\n",
    ),
    fc.option(fc.tuple(fc.nat(20), fc.integer({ min: 0, max: 255 }))),
  )
  .map(([line, change]) => {
    const bytes = new TextEncoder().encode(line);
    if (change !== null && change[0] < bytes.length) bytes[change[0]] = change[1];
    return bytes;
  });

test("a status line is judged the same in whatever pieces it comes, and as a strict pattern judges it", () => {
  const healthy = [{ from: 200, to: 399 }];
  fc.assert(
    fc.property(statusLine, pieces, (answer, cuts) => {
      const verdict = inPieces(new StatusLine(healthy), answer, cuts);
      expect(verdict).toEqual(new StatusLine(healthy).take(answer));
      const text = Buffer.from(answer).toString("latin1");
      const match = /^HTTP\/1\.[0-9] ([0-9]{3})(?: [\t -~\x80-\xff]*)?\r?\n/.exec(text);
      if (match === null) expect(verdict?.good ?? false).toBe(false);
      else {
        expect(verdict).toMatchObject({
          good: Number(match[1]) >= 200 && Number(match[1]) <= 399,
          why: `status ${match[1]}`,
        });
      }
    }),
    { numRuns: 1_000 },
  );
});

test("no bytes whatever make a reader fail", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2_000 }),
      pieces,
      fc.uint8Array({ minLength: 1, maxLength: 5 }),
      (answer, cuts, expected) => {
        inPieces(new StatusLine([{ from: 100, to: 599 }]), answer, cuts);
        const verdict = inPieces(new ExpectedBytes(expected), answer, cuts);
        const begins = Buffer.from(answer).subarray(0, expected.length).equals(expected);
        const differs = answer.some((byte, index) => index < expected.length && byte !== expected[index]);
        expect(verdict?.good).toBe(begins ? true : differs ? false : undefined);
      },
    ),
    { numRuns: 500 },
  );
});

test("ranges of statuses hold exactly what was written", () => {
  const range = fc.tuple(fc.integer({ min: 100, max: 599 }), fc.integer({ min: 0, max: 60 })).map(([from, length]) => ({
    from,
    to: Math.min(599, from + length),
  }));
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 5 }), fc.integer({ min: 0, max: 999 }), (ranges, status) => {
      const text = ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
      const parsed = parseStatusRanges(text);
      expect(parsed).toEqual({ ok: true, value: ranges });
      expect(includesStatus(ranges, status)).toBe(ranges.some(({ from, to }) => status >= from && status <= to));
    }),
  );
});

type Command =
  /** The attempt at this index of those that are open comes to this. */
  | { readonly kind: "good" | "bad" | "local"; readonly index: number }
  | { readonly kind: "wait"; readonly ms: number }
  /** An endpoint comes, or goes. */
  | { readonly kind: "add" | "remove"; readonly index: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom("good", "bad", "local"), index: fc.nat(9) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 700 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("add", "remove"), index: fc.nat(9) }) },
);

test("whatever happens: one check of an endpoint at a time, never more than there are places, nothing left at the end", async () => {
  const property = fc.asyncProperty(
    fc.array(command, { maxLength: 30 }),
    fc.integer({ min: 1, max: 3 }),
    fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
    async (commands, placeCount, randoms) => {
      const clock = new VirtualClock();
      const dialer = new FakeCheckDialer();
      const places = new Places(placeCount);
      const backend = backendOf(clock, endpointAt(1), endpointAt(2), endpointAt(3));
      const random = (): number => randoms.next().value!;
      const checks = new HealthChecks(backend, tcpChecks, dialer, undefined, clock, random, {}, places);
      let started = false;
      const start = checks.start().then(() => {
        started = true;
      });
      const check = (): void => {
        const endpoints = dialer.open.map(({ request }) => request.endpoint);
        expect(new Set(endpoints).size).toBe(endpoints.length);
        expect(endpoints.length).toBe(places.taken);
        expect(places.taken).toBeLessThanOrEqual(placeCount);
        // Nobody waits where there is a place; who is not watched is not checked.
        if (places.taken < placeCount) expect(places.waiting).toBe(0);
        expect(endpoints.filter((endpoint) => !backend.endpoints.includes(endpoint))).toEqual([]);
      };
      let next = 4;
      for (const { kind, ...of } of commands) {
        const index = "index" in of ? of.index : 0;
        const attempt = dialer.open[index % Math.max(1, dialer.open.length)];
        if (kind === "wait" && "ms" in of) await clock.advance(of.ms);
        else if (kind === "add") backend.setEndpoints([...backend.endpoints, endpointAt(next++)]);
        else if (kind === "remove") backend.setEndpoints(backend.endpoints.filter((_, at) => at !== index));
        else if (kind === "good") attempt?.connect();
        else if (kind === "bad") attempt?.fail("refused", "ECONNREFUSED");
        else attempt?.fail("local", "EMFILE");
        check();
      }
      await clock.advance(tcpChecks.timeoutMs);
      expect(started).toBe(true);
      check();
      checks.stop();
      // It has timers of its own.
      backend.stop();
      await start;
      expect({
        open: dialer.open.length,
        taken: places.taken,
        waiting: places.waiting,
        timers: clock.pendingTimers,
      }).toEqual({ open: 0, taken: 0, waiting: 0, timers: 0 });
    },
  );
  await fc.assert(property, { numRuns: 200 });
}, 30_000);
