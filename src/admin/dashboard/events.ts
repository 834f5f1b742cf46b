/** Server-sent events for the dashboard: the history once, then every second what is new, to all viewers alike. */
import type { Status } from "../status.ts";
import type { History } from "./history.ts";

/** Viewers at once; one more gets 503. */
export const viewersMax = 32;
/** What may wait for a viewer that reads too slowly: more cuts it off, and it may come back. The history alone has 250 KB. */
export const unreadBytesMax = 2 * 1_024 * 1_024;
/** When a browser that was cut off should come back. */
const retryMs = 2_000;

/**
 * The answer to `GET /events` (text/event-stream): `history`, then `sample` and `status` every second. It ends when
 * `signal` aborts, the viewer leaves or reads too slowly, or the history stops; 503 when there are too many viewers.
 */
export function eventStream(history: History, status: () => Status, signal: AbortSignal): Response {
  let audience = audiences.get(history);
  if (audience === undefined) audiences.set(history, (audience = new Audience(history, status)));
  if (audience.size >= viewersMax) {
    const error = `there are ${viewersMax} viewers already: close one of them`;
    return Response.json({ error }, { status: 503, headers: { "cache-control": "no-store", "retry-after": "10" } });
  }
  return new Response(audience.join(signal), {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" },
  });
}

/** The viewers of each history; a program has one, tests have more. */
const audiences = new WeakMap<History, Audience>();

/** Everybody who looks. It watches the history as long as there is somebody: nothing is made for nobody. */
class Audience {
  readonly #history: History;
  readonly #status: () => Status;
  readonly #viewers = new Set<Viewer>();
  #unwatch: (() => void) | undefined = undefined;

  constructor(history: History, status: () => Status) {
    this.#history = history;
    this.#status = status;
  }

  get size(): number {
    return this.#viewers.size;
  }

  /** A new viewer, who gets what there is at once. */
  join(signal: AbortSignal): ReadableStream<Uint8Array> {
    const viewer = new Viewer(() => this.#leave(viewer));
    const stream = viewer.open(signal);
    if (!this.#history.running || signal.aborted) {
      viewer.end();
      return stream;
    }
    this.#viewers.add(viewer);
    this.#unwatch ??= this.#history.watch({
      sampled: () => this.#sampled(),
      stopped: () => {
        for (const one of this.#viewers) one.end();
      },
    });
    viewer.send(encoder.encode(`retry: ${retryMs}\n\n${event("history", this.#history.samples())}`));
    viewer.send(encoder.encode(event("status", this.#status())));
    return stream;
  }

  #leave(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#viewers.size > 0) return;
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  /** Made once, whoever gets it. */
  #sampled(): void {
    const sample = encoder.encode(event("sample", this.#history.latest()));
    const status = encoder.encode(event("status", this.#status()));
    for (const viewer of this.#viewers) {
      // A status may be missed, the next one says it all; a sample may not.
      const { behind } = viewer;
      viewer.send(sample);
      if (!behind) viewer.send(status);
    }
  }
}

/** One who looks. What waits for it is kept here and not in the stream, so that it can be thrown away. */
class Viewer {
  readonly #left: () => void;
  readonly #waiting: Uint8Array[] = [];
  #unread = 0;
  /** There until it is over. */
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined = undefined;
  /** Set while the stream wants more than there is; called when there is more. */
  #more: (() => void) | undefined = undefined;

  /** `left` is called once it is over, however that came. */
  constructor(left: () => void) {
    this.#left = left;
  }

  open(signal: AbortSignal): ReadableStream<Uint8Array> {
    signal.addEventListener("abort", () => this.end(), { once: true });
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#pull(),
        cancel: () => void this.#over(),
      },
      // Nothing is asked for ahead: Bun asks when the socket has taken what came before (Bun 1.4.5).
      { highWaterMark: 0 },
    );
  }

  /** Whether something waits for it still. */
  get behind(): boolean {
    return this.#unread > 0;
  }

  send(bytes: Uint8Array): void {
    if (this.#controller === undefined) return;
    if (this.#unread + bytes.byteLength > unreadBytesMax) return this.end();
    this.#waiting.push(bytes);
    this.#unread += bytes.byteLength;
    this.#more?.();
  }

  /** What waits is thrown away; what the system has taken still arrives, and then the end. */
  end(): void {
    this.#over()?.close();
  }

  async #pull(): Promise<void> {
    if (this.#waiting.length === 0) await new Promise<void>((settle) => (this.#more = settle));
    this.#more = undefined;
    const next = this.#waiting.shift();
    if (next === undefined || this.#controller === undefined) return;
    this.#unread -= next.byteLength;
    this.#controller.enqueue(next);
  }

  /** The controller, once: afterwards there is nothing left to do. */
  #over(): ReadableStreamDefaultController<Uint8Array> | undefined {
    const controller = this.#controller;
    if (controller === undefined) return undefined;
    this.#controller = undefined;
    this.#waiting.length = 0;
    this.#more?.();
    this.#left();
    return controller;
  }
}

const encoder = new TextEncoder();

/** JSON has no line break of its own, so one line of data will do. */
function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
