/** The hour that the dashboard shows: what a second's sample says, and that an hour is all that is kept. */
import { expect, test } from "bun:test";
import { History, samplesMax } from "../../src/admin/dashboard/history.ts";
import { quantileMs } from "../../src/admin/dashboard/quantile.ts";
import { ENDS } from "../../src/session/end.ts";
import { DurationHistogram, durationBoundsMs } from "../../src/stats/histogram.ts";
import { FiguresToChange } from "../support/program-figures.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

test("a sample has what happened in its second, over all listeners and backends", async () => {
  using scene = new Scene();
  const { figures, clock, history } = scene;
  figures.listener("web").open(4);
  figures.listener("web").end("app", "client_finished", 7);
  history.start();
  expect(history.latest()).toBeUndefined();
  figures.listener("web").open(3);
  figures.listener("web").end("app", "client_finished", 2);
  figures.listener("web").move(1_000, 50_000);
  figures.listener("db").open(5);
  figures.listener("db").end("", "limit_rate", 4);
  figures.listener("db").end("pg", "client_finished", 1);
  figures.listener("db").move(11, 22);
  for (const ms of [2, 2.2]) figures.backend("app").connects.add(ms);
  for (const ms of [40, 4_000]) figures.backend("pg").connects.add(ms);
  await clock.advance(1_000);
  expect(history.latest()).toEqual({
    elapsed_ms: 1_000,
    open: 12,
    opened: 15,
    ended: 7,
    bytes_to_backend: 1_011,
    bytes_to_client: 50_022,
    connect_p50_ms: 2.5,
    connect_p99_ms: 4_900,
    ends: { client_finished: 3, limit_rate: 4 },
  });
  figures.listener("db").close(5, "pg", "backend_reset");
  await clock.advance(1_000);
  expect(history.latest()).toEqual({
    elapsed_ms: 1_000,
    open: 7,
    opened: 0,
    ended: 5,
    bytes_to_backend: 0,
    bytes_to_client: 0,
    connect_p50_ms: null,
    connect_p99_ms: null,
    ends: { backend_reset: 5 },
  });
});

test("all samples come as columns, oldest first; reasons are sparse and only those that occurred", async () => {
  using scene = new Scene();
  const { figures, clock, history } = scene;
  expect(history.samples()).toMatchObject({ elapsed_ms: [], open: [], ends: {} });
  history.start();
  for (let second = 0; second < 5; second++) {
    const web = figures.listener("web");
    web.open(1);
    web.move(second, second * 10);
    if (second % 2 === 1) web.end("app", "connect_refused", second);
    if (second === 2) figures.backend("app").connects.add(0.75);
    await clock.advance(1_000);
  }
  await clock.advance(250);
  expect(history.samples()).toEqual({
    age_ms: 250,
    elapsed_ms: [1_000, 1_000, 1_000, 1_000, 1_000],
    open: [1, 2, 3, 4, 5],
    opened: [1, 2, 1, 4, 1],
    ended: [0, 1, 0, 3, 0],
    bytes_to_backend: [0, 1, 2, 3, 4],
    bytes_to_client: [0, 10, 20, 30, 40],
    connect_p50_ms: [null, null, 0.75, null, null],
    connect_p99_ms: [null, null, 0.995, null, null],
    ends: { connect_refused: [1, 1, 3, 3] },
  });
});

test("an hour is kept: the oldest sample makes room for the newest", async () => {
  using scene = new Scene();
  const { figures, clock, history } = scene;
  history.start();
  const web = figures.listener("web");
  for (let second = 1; second <= samplesMax + 10; second++) {
    web.move(second, 0);
    if (second === 5 || second === 15 || second === samplesMax + 10) web.end("app", "client_finished", second);
    await clock.advance(1_000);
  }
  const samples = history.samples();
  expect(samples.bytes_to_backend).toEqual(Array.from({ length: samplesMax }, (_, index) => index + 11));
  expect(samples.ended).toHaveLength(samplesMax);
  // The fifth second is gone, the fifteenth is the fifth that is left.
  expect(samples.ends).toEqual({ client_finished: [4, 15, samplesMax - 1, samplesMax + 10] });
  // What happened to be there an hour ago is in no second of this one.
  for (let second = 0; second < samplesMax; second++) await clock.advance(1_000);
  expect(history.samples()).toMatchObject({ ends: {} });
  expect(history.samples().bytes_to_backend.every((bytes) => bytes === 0)).toBe(true);
  expect(clock.pendingTimers).toBe(1);
});

test("its memory is bounded, also when every reason occurs", async () => {
  using scene = new Scene();
  const { figures, clock, history } = scene;
  history.start();
  for (const end of Object.keys(ENDS)) figures.listener("web").end("app", end, 1);
  await clock.advance(1_000);
  const allocated = samplesMax * (36 + 4 * Object.keys(ENDS).length);
  expect(allocated).toBeLessThan(550_000);
  expect(Object.keys(history.samples().ends)).toHaveLength(Object.keys(ENDS).length);
});

test("a stall of the event loop is one long sample, so that rates stay true", async () => {
  using scene = new Scene();
  const { figures, clock, history } = scene;
  history.start();
  figures.listener("web").move(7_000, 0);
  clock.stall(3_500);
  await clock.advance(0);
  expect(history.latest()).toMatchObject({ elapsed_ms: 3_500, bytes_to_backend: 7_000 });
  clock.stall(200_000);
  await clock.advance(0);
  expect(history.latest()).toMatchObject({ elapsed_ms: 65_535 });
});

test("more bytes a second than fit 32 bits are still counted", async () => {
  using scene = new Scene();
  const { figures, clock, history } = scene;
  history.start();
  figures.listener("web").move(6_000_000_000, 5);
  await clock.advance(1_000);
  expect(history.latest()).toMatchObject({ bytes_to_backend: 6_000_000_000, bytes_to_client: 5 });
});

test("what watches hears of each sample and of the end, and no timer is left", async () => {
  using scene = new Scene();
  const { clock, history } = scene;
  const heard: string[] = [];
  history.start();
  const unwatch = history.watch({ sampled: () => heard.push("a"), stopped: () => heard.push("a stopped") });
  history.watch({ sampled: () => heard.push("b"), stopped: () => heard.push("b stopped") });
  await clock.advance(2_000);
  unwatch();
  await clock.advance(1_000);
  history.stop();
  history.stop();
  await clock.advance(5_000);
  expect(heard).toEqual(["a", "b", "a", "b", "b", "b stopped"]);
  expect({ timers: clock.pendingTimers, running: history.running }).toEqual({ timers: 0, running: false });
  expect(history.samples().open).toHaveLength(3);
});

test("quantiles are spread evenly within a bucket, and bounded by the last one", () => {
  const histogram = new DurationHistogram();
  expect(quantileMs(histogram.counts, 0.5)).toBeUndefined();
  for (let count = 0; count < 100; count++) histogram.add(7);
  expect(quantileMs(histogram.counts, 0.5)).toBe(7.5);
  expect(quantileMs(histogram.counts, 0.99)).toBeCloseTo(9.95);
  expect(quantileMs(histogram.counts, 1)).toBe(10);
  expect(quantileMs(histogram.counts, 0)).toBe(5);
  for (let count = 0; count < 1_000; count++) histogram.add(1e12);
  expect(quantileMs(histogram.counts, 0.99)).toBe(durationBoundsMs.at(-1)!);
});

class Scene {
  readonly figures = new FiguresToChange();
  readonly clock = new VirtualClock();
  readonly history = new History(() => this.figures.read(), this.clock);

  [Symbol.dispose](): void {
    this.history.stop();
  }
}
