/**
 * Traces: what becomes of connections is sent to a collector, a share of them. Nothing here holds up a connection, grows
 * without bound or fails: spans that can't be sent are counted and gone.
 *
 * A connection that is over is put into a queue as it is; spans are made of it when a batch is sent, one batch at a time.
 */
import type { Clock } from "../core/clock.ts";
import type { Log } from "./log.ts";
import type { SendOutcome, TraceSender, TraceSenderSettings } from "./trace-exporter.ts";
import type { Environment } from "./trace-resource.ts";
import { spansOf, type TracedConnection } from "./traced-connection.ts";

/** As in the configuration, of which all can change while it runs. */
export interface TracingSettings {
  /** The collector, `"http://127.0.0.1:4318"`. */
  readonly otlp: string;
  /** The share of connections that is traced, 0 to 1. */
  readonly sample: number;
  readonly service: string;
  /** Sent with each request. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What tracing is given from outside. */
export interface TracingEnvironment {
  readonly log: Log;
  readonly version: string;
  /** Of the process: OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are heeded. */
  readonly env: Environment;
  readonly clock: Clock;
  /** The time on the wall, in ms since 1970. */
  readonly wallMs: () => number;
  /** From 0 to 1, without 1. */
  readonly random: () => number;
}

/** Spans since start. Those that are in neither wait, or are under way. */
export interface TraceFigures {
  /** Taken by the collector. */
  readonly exported: number;
  /** Not sent: the queue was full, or the time for the rest of it was over. */
  readonly dropped: number;
  /** Sent, but not taken by the collector, or not known to be. */
  readonly failed: number;
}

/** Bounds and times; tests have others. */
export const tracingLimits = {
  /** Spans that may wait, more are dropped: for most of a second at the highest rate. One takes about 300 bytes. */
  queueSpansMax: 16_384,
  /** Spans in one request, give or take those of a connection: 1.5 ms of work at once. */
  batchSpans: 512,
  /** Spans wait for so long for others to go with. */
  batchEveryMs: 1_000,
  /** How long a request may take, all attempts together. */
  sendMs: 10_000,
  /** The pause after a batch that failed; it doubles with each further one, up to `pauseMaxMs`. Meanwhile the queue may fill up. */
  pauseMs: 1_000,
  pauseMaxMs: 30_000,
  /** What has begun to fail is not said to work again before this, so that the log gets two lines for it at most. */
  sayAgainMs: 30_000,
};

/** Opens tracing. What it needs is loaded when it may be used: not with a sample of 0. Never rejects. */
export async function openTracing(
  settings: TracingSettings,
  environment: TracingEnvironment,
  limits: typeof tracingLimits = tracingLimits,
): Promise<Tracing> {
  const tracing = new Tracing(settings, environment, limits);
  await tracing.configure(settings);
  return tracing;
}

/** Traces connections until it is stopped. */
export class Tracing {
  #settings: TracingSettings;
  readonly #environment: TracingEnvironment;
  readonly #limits: typeof tracingLimits;
  #waiting: TracedConnection[] = [];
  #waitingSpans = 0;
  /** Spans of the batch that is being sent; 0 without one. */
  #sendingSpans = 0;
  #exported = 0;
  #dropped = 0;
  #failed = 0;
  /** Batches that failed in a row. */
  #failures = 0;
  /** The sender, which is being loaded; `undefined` before it is needed. */
  #sender: Promise<TraceSender> | undefined = undefined;
  /** Sends batch after batch; `undefined` when there is nothing to send. */
  #work: Promise<void> | undefined = undefined;
  /** Ends the present pause of the work. */
  #wake: (() => void) | undefined = undefined;
  #stopping: Promise<void> | undefined = undefined;
  /** After the deadline of a stop nothing is counted any more: all is counted. */
  #over = false;
  /** Since when spans are lost, and what was lost before; `undefined` while all is well. */
  #trouble: { readonly sinceMs: number; readonly before: TraceFigures } | undefined = undefined;

  /** Called by `openTracing`. */
  constructor(settings: TracingSettings, environment: TracingEnvironment, limits: typeof tracingLimits) {
    this.#settings = settings;
    this.#environment = environment;
    this.#limits = limits;
  }

  /** Spans since start. */
  get figures(): TraceFigures {
    return { exported: this.#exported, dropped: this.#dropped, failed: this.#failed };
  }

  /** Throws the dice: whether a connection is to be traced. */
  sample(): boolean {
    const { sample } = this.#settings;
    return sample > 0 && this.#environment.random() < sample;
  }

  /** Takes a connection that is over. Cheap, and never throws. */
  connection(connection: TracedConnection): void {
    const spans = spansOf(connection);
    if (this.#stopping !== undefined || this.#waitingSpans + spans > this.#limits.queueSpansMax) {
      if (this.#stopping === undefined) this.#lost("the queue is full: the collector is too slow");
      this.#dropped += spans;
      return;
    }
    this.#waiting.push(connection);
    this.#waitingSpans += spans;
    if (this.#work === undefined) this.#work = this.#sendAll();
    else if (this.#waitingSpans >= this.#limits.batchSpans && this.#failures === 0) this.#wake?.();
  }

  /** Holds from the next connection, or batch, on. What waits goes to the new collector. Never rejects. */
  async configure(settings: TracingSettings): Promise<void> {
    const before = this.#settings;
    this.#settings = settings;
    if (!sameCollector(before, settings) && this.#sender !== undefined) {
      // A batch that is under way is given its time.
      if (this.#sendingSpans === 0) closeOpened(this.#sender);
      this.#sender = undefined;
      this.#failures = 0;
    }
    if (settings.sample > 0) await this.#open().catch(() => {});
  }

  /** Traces no further connection; what waits is still sent. `configure` ends that. */
  off(): void {
    this.#settings = { ...this.#settings, sample: 0 };
  }

  /** Sends what waits within `withinMs`; what then is left is given up. A collector that fails now is not asked again. */
  stop(withinMs: number): Promise<void> {
    this.#stopping ??= this.#stop(withinMs);
    return this.#stopping;
  }

  async #stop(withinMs: number): Promise<void> {
    const { clock, log } = this.#environment;
    const before = this.figures;
    this.#wake?.();
    if (this.#work !== undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = clock.setTimer(resolve, withinMs, "holds_process");
      await Promise.race([this.#work, promise]);
      clock.clearTimer(timer);
    }
    this.#over = true;
    this.#failed += this.#sendingSpans;
    this.#dropped += this.#waitingSpans;
    this.#waiting = [];
    this.#waitingSpans = this.#sendingSpans = 0;
    if (this.#sender !== undefined) closeOpened(this.#sender);
    const dropped = this.#dropped - before.dropped;
    const failed = this.#failed - before.failed;
    if (dropped + failed > 0)
      log.warn({ collector: this.#settings.otlp, dropped, failed }, "traces were lost at the end");
  }

  /** Sends batches until nothing waits. Never rejects. */
  async #sendAll(): Promise<void> {
    const { batchSpans, batchEveryMs, pauseMs, pauseMaxMs } = this.#limits;
    while (this.#waiting.length > 0) {
      if (this.#failures > 0) await this.#pause(Math.min(pauseMs * 2 ** (this.#failures - 1), pauseMaxMs));
      else if (this.#waitingSpans < batchSpans) await this.#pause(batchEveryMs);
      // What is done now is not done in the middle of a connection's end.
      await new Promise((settle) => setImmediate(settle));
      if (this.#over) return;
      const failures = this.#failures;
      await this.#send(this.#take());
      if (this.#over || (this.#stopping !== undefined && this.#failures > failures)) return;
    }
    this.#work = undefined;
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stopping !== undefined) return;
    const { clock } = this.#environment;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = clock.setTimer(resolve, ms);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clock.clearTimer(timer);
  }

  #take(): TracedConnection[] {
    let count = 0;
    let spans = 0;
    while (count < this.#waiting.length && spans < this.#limits.batchSpans) spans += spansOf(this.#waiting[count++]!);
    this.#waitingSpans -= spans;
    this.#sendingSpans = spans;
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly TracedConnection[]): Promise<void> {
    const opening = this.#open();
    const outcome = await opening.then((sender) => sender.send(batch)).catch(failureOf);
    // Given up meanwhile, and counted.
    if (this.#over) return;
    const spans = this.#sendingSpans;
    this.#sendingSpans = 0;
    if (opening !== this.#sender) closeOpened(opening);
    if (!outcome.ok) {
      this.#lost(outcome.why);
      this.#failures++;
      this.#failed += spans;
      return;
    }
    const rejected = Math.min(outcome.rejected, spans);
    if (rejected > 0) this.#lost(`the collector does not take them all: ${outcome.why}`);
    this.#failures = 0;
    this.#exported += spans - rejected;
    this.#failed += rejected;
    if (rejected === 0) this.#works();
  }

  #open(): Promise<TraceSender> {
    const { log, ...environment } = this.#environment;
    const { otlp, service, headers } = this.#settings;
    this.#sender ??= load({
      otlp,
      service,
      headers,
      ...environment,
      sendMs: this.#limits.sendMs,
      problem: (why) => log.warn({ why }, "a variable of the environment is not used"),
    });
    return this.#sender;
  }

  /** Says once that spans are lost; before they are counted. */
  #lost(why: string): void {
    if (this.#trouble !== undefined) return;
    const { clock, log } = this.#environment;
    this.#trouble = { sinceMs: clock.nowMs(), before: this.figures };
    log.warn({ collector: this.#settings.otlp, why }, "traces are lost: the collector does not take them");
  }

  /** Says once that it works again. */
  #works(): void {
    if (this.#trouble === undefined) return;
    const { clock, log } = this.#environment;
    const { sinceMs, before } = this.#trouble;
    if (clock.nowMs() - sinceMs < this.#limits.sayAgainMs) return;
    this.#trouble = undefined;
    const { exported, dropped, failed } = this.figures;
    const since = {
      exported: exported - before.exported,
      dropped: dropped - before.dropped,
      failed: failed - before.failed,
    };
    log.info({ collector: this.#settings.otlp, ...since }, "traces are taken again");
  }
}

async function load(settings: TraceSenderSettings): Promise<TraceSender> {
  const { openTraceSender } = await import("./trace-exporter.ts");
  return openTraceSender(settings);
}

/** One that could not be opened needs no closing. */
function closeOpened(sender: Promise<TraceSender>): void {
  sender.then(
    (opened) => opened.close(),
    () => {},
  );
}

function failureOf(error: unknown): SendOutcome {
  return { ok: false, why: error instanceof Error ? error.message : String(error) };
}

function sameCollector(one: TracingSettings, other: TracingSettings): boolean {
  return one.otlp === other.otlp && one.service === other.service && Bun.deepEquals(one.headers, other.headers);
}
