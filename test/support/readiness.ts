/** Asks a readiness address again and again, as an orchestrator does, and keeps what it would have seen. */
import { pause, PATIENCE_MS, Waiting } from "./until.ts";

/**
 * What one question sees.
 *
 * - `true`: status 200 and `{"ready":true}`.
 * - `false`: status 503 and `{"ready":false}`.
 * - `refused`: nobody listens.
 * - `broken`: connected, and no whole answer came; an orchestrator takes it for a failure.
 * - `odd`: an answer that is none of the above.
 */
export type ReadinessSeen = "true" | "false" | "refused" | "broken" | "odd";

/** A change of what is seen. */
export interface ReadinessChange {
  seen: ReadinessSeen;
  /** Milliseconds since the polling began. */
  atMs: number;
}

/** Begins to ask `url`, each time on a new connection, `everyMs` after the last answer. Ends with `stop` or its scope. */
export function pollReadiness(url: string, { everyMs = 5 }: { everyMs?: number } = {}): ReadinessPoller {
  return new ReadinessPoller(url, everyMs);
}

/** See `pollReadiness`. */
export class ReadinessPoller {
  /** What was seen, without repetitions. */
  readonly changes: ReadinessChange[] = [];
  readonly #waiting = new Waiting();
  readonly #url: string;
  readonly #everyMs: number;
  readonly #startMs = performance.now();
  readonly #polling: Promise<void>;
  #stopped = false;

  constructor(url: string, everyMs: number) {
    this.#url = url;
    this.#everyMs = everyMs;
    this.#polling = this.#poll();
  }

  /** The words alone: `["true", "false", "refused"]` is how a graceful shutdown looks. */
  get sequence(): ReadinessSeen[] {
    return this.changes.map(({ seen }) => seen);
  }

  /** Resolves when this is what is seen now. */
  sees(seen: ReadinessSeen, withinMs: number = PATIENCE_MS): Promise<ReadinessChange> {
    return this.#waiting.wait(
      () => (this.changes.at(-1)?.seen === seen ? this.changes.at(-1) : undefined),
      () => `${this.#url} to be seen as ${seen}: seen so far: ${this.sequence.join(", ")}`,
      withinMs,
    );
  }

  /** Resolves when this has been seen, now or at any time before; with the first time. */
  saw(seen: ReadinessSeen, withinMs: number = PATIENCE_MS): Promise<ReadinessChange> {
    return this.#waiting.wait(
      () => this.changes.find((change) => change.seen === seen),
      () => `${this.#url} to have been seen as ${seen}: seen so far: ${this.sequence.join(", ")}`,
      withinMs,
    );
  }

  /** Asks no more, once the question under way is answered. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#polling;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #poll(): Promise<void> {
    while (!this.#stopped) {
      const seen = await ask(this.#url);
      if (this.changes.at(-1)?.seen !== seen) {
        this.changes.push({ seen, atMs: performance.now() - this.#startMs });
        this.#waiting.changed();
      }
      await pause(this.#everyMs);
    }
  }
}

async function ask(url: string): Promise<ReadinessSeen> {
  try {
    const response = await fetch(url, {
      keepalive: false,
      headers: { connection: "close" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const body = (await response.text()).trim();
    if (response.status === 200 && body === '{"ready":true}') return "true";
    return response.status === 503 && body === '{"ready":false}' ? "false" : "odd";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code === "ConnectionRefused" || code === "ECONNREFUSED" ? "refused" : "broken";
  }
}
