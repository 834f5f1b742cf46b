/** The parts of the page that need no browser: units, groups, the event stream, the points of the curves. */
import { describe, expect, test } from "bun:test";
import type { ConnectionStatus } from "../../src/admin/admin-port.ts";
import { endGroupOf, endGroups } from "../../src/admin/dashboard/browser/end-groups.ts";
import { EventParser, type StreamEvent, unfinishedMax } from "../../src/admin/dashboard/browser/event-parser.ts";
import * as format from "../../src/admin/dashboard/browser/format.ts";
import { SamplesKept } from "../../src/admin/dashboard/browser/samples-kept.ts";
import type { ConnectionShown, StatusShown } from "../../src/admin/dashboard/browser/shown.ts";
import type { Sample } from "../../src/admin/dashboard/wire.ts";
import type { Status } from "../../src/admin/status.ts";
import { ENDS } from "../../src/session/end.ts";

test("the server sends all that the page reads", () => {
  // Does not compile when a field is missing or another one; runs empty.
  const shown = (status: Status, connection: ConnectionStatus): [StatusShown, ConnectionShown] => [status, connection];
  expect(shown).toBeFunction();
});

test("every reason for which a connection ends is in a group, and every group has one", () => {
  const groups = Object.keys(ENDS).map((end) => [end, endGroupOf(end)] as const);
  expect(groups.filter(([, group]) => group === undefined)).toEqual([]);
  expect(new Set(groups.map(([, group]) => group))).toEqual(new Set(endGroups));
  expect([endGroupOf("constructor"), endGroupOf("new_reason")]).toEqual([undefined, undefined]);
});

describe("figures", () => {
  test("have three digits and no zeros at the end", () => {
    const figures = [0, 0.254, 0.5, 3.14, 9.999, 12.34, 99.94, 99.96, 120.4, 12_345.6].map(format.figure);
    expect(figures).toEqual(["0", "0.25", "0.5", "3.14", "10", "12.3", "99.9", "100", "120", "12,346"]);
  });

  test("of bytes have binary units and never four digits", () => {
    const bytes = [0, 512, 999, 1_000, 1_536, 999 * 1_024, 1_000 * 1_024, 5e9, 3e15, 5e18].map(format.bytes);
    expect(bytes).toEqual([
      "0 B",
      "512 B",
      "999 B",
      "0.98 KiB",
      "1.5 KiB",
      "999 KiB",
      "0.98 MiB",
      "4.66 GiB",
      "2.66 PiB",
      "4,441 PiB",
    ]);
    expect(format.bytesPerSecond(2_048)).toBe("2 KiB/s");
  });

  test("of time have the units that fit", () => {
    expect([0.25, 12, 999.4, 1_500].map(format.milliseconds)).toEqual(["0.25 ms", "12 ms", "999 ms", "1.5 s"]);
    const ages = [-5, 900, 59_999, 200_000, 7_500_000, 90_000_000, 1e11].map(format.duration);
    expect(ages).toEqual(["0 s", "0 s", "59 s", "3 min 20 s", "2 h 5 min", "1 d 1 h", "1,157 d 9 h"]);
    const noon = new Date(2026, 0, 1, 12, 3, 9).getTime();
    expect([format.timeOfDay(noon, false), format.timeOfDay(noon, true)]).toEqual(["12:03", "12:03:09"]);
  });
});

describe("the event stream", () => {
  const stream =
    'retry: 2000\n\nevent: sample\ndata: {"a":"é\\n"}\n\n: a comment\ndata:1\r\ndata: +2\r\n\r\nevent: x\n\ndata: 3\n\n';

  test("is understood, however it is cut", () => {
    const whole = new EventParser();
    // Two lines of data are one text: "1\n+2" is no JSON.
    expect(() => whole.push(stream)).toThrow();
    const good = stream.replace("data: +2\r\n", "");
    for (let size = 1; size <= good.length; size++) {
      const parser = new EventParser();
      const events: StreamEvent[] = [];
      for (let at = 0; at < good.length; at += size) events.push(...parser.push(good.slice(at, at + size)));
      expect(events).toEqual([
        { name: "sample", data: { a: "é\n" } },
        { name: "message", data: 1 },
        { name: "message", data: 3 },
      ]);
      expect(parser.retryMs).toBe(2_000);
    }
  });

  test("is given up when an event does not end", () => {
    const parser = new EventParser();
    const piece = "x".repeat(unfinishedMax / 4);
    for (let count = 0; count < 4; count++) expect(parser.push(piece)).toEqual([]);
    expect(() => parser.push("x")).toThrow("an event without an end");
  });
});

describe("the points of the curves", () => {
  const nowMs = 1_800_000_000_000;

  test("are the seconds themselves for five minutes, as rates", () => {
    const kept = new SamplesKept();
    kept.load({ ...columns(3), age_ms: 500, elapsed_ms: [1_000, 2_000, 1_000] }, nowMs);
    const points = kept.points(300_000, nowMs);
    expect(points.times.map((time) => time - nowMs / 1_000)).toEqual([-3.5, -1.5, -0.5]);
    expect(points).toMatchObject({ open: [0, 1, 2], opened: [0, 5, 20], toClient: [0, 500, 2_000], p50: [0, 1, 2] });
    expect(points.ends).toEqual(
      new Map([
        ["finished", [0, 0, 7]],
        ["reset", [0, 1, 0]],
      ]),
    );
    expect(kept.endsWithin(300_000, nowMs)).toEqual([
      ["client_finished", 7],
      ["client_reset", 2],
    ]);
    expect(kept.endsWithin(1_000, nowMs)).toEqual([["client_finished", 7]]);
  });

  test("share their place for an hour: means of rates, the highest of what is open and of the 99th percentile", () => {
    const kept = new SamplesKept();
    for (let second = 0; second < 24; second++) {
      kept.add(
        sample({ open: second % 12, opened: second < 12 ? 12 : 24, p50: second % 2 ? null : 4, p99: second }),
        nowMs + second * 1_000,
      );
    }
    const points = kept.points(3_600_000, nowMs + 24_000);
    expect(points.times.map((time) => time - nowMs / 1_000)).toEqual([11, 23]);
    expect(points).toMatchObject({ open: [11, 11], opened: [12, 24], p50: [4, 4], p99: [11, 23] });
  });

  test("are 300 at most, of 3,600 samples at most", () => {
    const kept = new SamplesKept();
    for (let second = 0; second < 4_000; second++) kept.add(sample({}), nowMs + second * 1_000);
    const endMs = nowMs + 3_999_000;
    expect(kept.points(300_000, endMs).times.length).toBeWithin(300, 303);
    expect(kept.points(900_000, endMs).times.length).toBeWithin(300, 303);
    expect(kept.points(3_600_000, endMs).times.length).toBeWithin(300, 303);
    expect(kept.points(1e9, endMs).times.length).toBeLessThanOrEqual(302);
  });
});

/** Columns in which the nth second has n of everything, and ten n connections opened. */
function columns(length: number) {
  const count = (factor: number): number[] => Array.from({ length }, (_, at) => at * factor);
  return {
    open: count(1),
    opened: count(10),
    ended: count(10),
    bytes_to_backend: count(1_000),
    bytes_to_client: count(1_000),
    connect_p50_ms: count(1),
    connect_p99_ms: count(2),
    ends: { client_finished: [2, 7], client_reset: [1, 2] },
  };
}

function sample(of: { open?: number; opened?: number; p50?: number | null; p99?: number }): Sample {
  const { open = 0, opened = 0, p50 = null, p99 = null } = of;
  return {
    elapsed_ms: 1_000,
    open,
    opened,
    ended: 0,
    bytes_to_backend: 0,
    bytes_to_client: 0,
    connect_p50_ms: p50,
    connect_p99_ms: p99,
    ends: {},
  };
}
