/** The event stream of the dashboard over a real HTTP server: who gets what, and who is cut off. */
import { expect, test } from "bun:test";
import { eventStream, unreadBytesMax, viewersMax } from "../../src/admin/dashboard/events.ts";
import { History } from "../../src/admin/dashboard/history.ts";
import { serveHttp, type HttpServer } from "../../src/admin/http-server.ts";
import type { Status } from "../../src/admin/status.ts";
import { type EventViewer, viewEvents } from "../support/event-viewer.ts";
import { connect } from "../support/peer.ts";
import { FiguresToChange } from "../support/program-figures.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

test("a viewer gets the history and the status at once, then a sample and a status every second", async () => {
  await using scene = new Scene();
  scene.figures.listener("web").open(3);
  await scene.clock.advance(2_000);
  await using viewer = await scene.view();
  expect(viewer.response.headers.get("content-type")).toStartWith("text/event-stream");
  expect(viewer.response.headers.get("cache-control")).toBe("no-store");
  await viewer.received(2);
  expect(viewer.text).toStartWith("retry: 2000\n\nevent: history\ndata: {");
  expect(viewer.events[0]).toMatchObject({ name: "history", data: { open: [3, 3], elapsed_ms: [1_000, 1_000] } });
  expect(viewer.events[1]).toEqual({ name: "status", data: { asked: 1 } });
  scene.figures.listener("web").end("app", "client_reset", 2);
  await scene.clock.advance(1_000);
  await viewer.received(4);
  expect(viewer.events[2]).toEqual({ name: "sample", data: scene.history.latest() });
  expect(viewer.events[2]).toMatchObject({ data: { open: 3, opened: 2, ends: { client_reset: 2 } } });
  expect(viewer.events[3]).toEqual({ name: "status", data: { asked: 2 } });
});

test("all viewers get the same, made once; without any nothing is made and no timer is added", async () => {
  await using scene = new Scene();
  const timers = scene.clock.pendingTimers;
  await scene.clock.advance(5_000);
  expect(scene.asked).toBe(0);
  {
    await using first = await scene.view();
    await using second = await scene.view();
    await Promise.all([first.received(2), second.received(2)]);
    expect(scene.clock.pendingTimers).toBe(timers);
    expect(scene.asked).toBe(2);
    await scene.clock.advance(1_000);
    await Promise.all([first.received(4), second.received(4)]);
    expect(scene.asked).toBe(3);
    expect(first.events.slice(2)).toEqual(second.events.slice(2));
  }
  await scene.abandoned(2);
  await scene.clock.advance(5_000);
  expect(scene.asked).toBe(3);
});

test("one viewer too many gets 503 in JSON, and a place as soon as somebody leaves", async () => {
  await using scene = new Scene();
  await using others = new AsyncDisposableStack();
  for (let count = 1; count < viewersMax; count++) others.use(await scene.view());
  const last = await scene.view();
  const refused = await fetch(scene.url);
  expect([refused.status, refused.headers.get("retry-after"), await refused.json()]).toEqual([
    503,
    "10",
    { error: `there are ${viewersMax} viewers already: close one of them` },
  ]);
  await last[Symbol.asyncDispose]();
  await scene.abandoned(1);
  await using late = await scene.view();
  await late.received(2);
});

test("a viewer that does not read misses statuses, is cut off at the bound, and holds up nobody else", async () => {
  await using scene = new Scene("x".repeat(500_000));
  await using silent = await connect(scene.port, { paused: true });
  await silent.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => scene.asked === 1, "the viewer that does not read");
  {
    await using reader = await scene.view();
    for (let second = 1; second <= 40; second++) {
      // A sample has its size, too: it is samples that may not be left out.
      scene.figures.listener("web").end("", `${"x".repeat(300_000)}${second}`, 1);
      await scene.clock.advance(1_000);
      await reader.received(2 + 2 * second);
    }
    // What the two systems' buffers hold comes before what waits here.
    expect(reader.text.length).toBeGreaterThan(unreadBytesMax + 16_000_000);
  }
  await scene.abandoned(1);
  // Nobody is left, or a status would be made for it.
  const asked = scene.asked;
  await scene.clock.advance(5_000);
  expect(scene.asked).toBe(asked);
});

test("streams end with the history, and with the server", async () => {
  await using scene = new Scene();
  await using viewer = await scene.view();
  await viewer.received(2);
  scene.history.stop();
  await viewer.ended();
  await using late = await scene.view();
  await late.ended();
  expect(late.text).toBe("");
  await using other = new Scene();
  await using cut = await other.view();
  await cut.received(2);
  await other.stopServer();
  await cut.ended();
  await other.abandoned(1);
});

/** A history on a virtual clock, and a server that shows it on every path. */
class Scene {
  readonly figures = new FiguresToChange();
  readonly clock = new VirtualClock();
  readonly history = new History(() => this.figures.read(), this.clock);
  /** How often the status was asked for. */
  asked = 0;
  /** How many requests were over before they were answered to their end. */
  gone = 0;
  readonly #server: HttpServer;

  /** `padding` makes the status as long as wanted. */
  constructor(padding?: string) {
    this.history.start();
    const status = (): Status => ({ asked: ++this.asked, padding }) as object as Status;
    this.#server = serveHttp("test", { host: "127.0.0.1", port: 0 }, (request) => {
      request.signal.addEventListener("abort", () => this.gone++);
      return eventStream(this.history, status, request.signal);
    });
  }

  get url(): string {
    return `http://${this.#server.address}/events`;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  view(): Promise<EventViewer> {
    return viewEvents(this.url);
  }

  /** Resolves when so many requests are over. */
  abandoned(count: number): Promise<void> {
    return until(
      () => this.gone >= count,
      () => `${count} viewers to be gone: ${this.gone} are`,
    );
  }

  stopServer(): Promise<void> {
    return this.#server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.history.stop();
    await this.#server.stop();
  }
}
