/** The event stream, read as long as the page is open: lost, it is asked for again. */
import { EventParser, type StreamEvent } from "./event-parser.ts";
import { errorOf, request } from "./server.ts";

/** Without a byte for so long the stream is taken for lost: it has something to say every second. */
const silenceMs = 6_000;
/** The pause before asking again grows up to this. */
const pauseMaxMs = 15_000;

/** What is told of the stream. */
export interface LiveOwner {
  received(event: StreamEvent): void;
  /** It was lost, or can't be had, and is asked for again; `why` when the server has said so. */
  lost(why: string | undefined): void;
  /** The server wants a token, or another one; resolves when there is one to try. */
  tokenWanted(): Promise<void>;
}

/** Reads the stream for ever. */
export async function follow(owner: LiveOwner): Promise<never> {
  let pauseMs = 1_000;
  for (;;) {
    const stream = new Stream(owner);
    const end = await stream.read();
    if (end.kind === "unauthorized") {
      await owner.tokenWanted();
      continue;
    }
    owner.lost(end.why);
    const hintMs = stream.parser.retryMs ?? 1_000;
    // One that worked is asked for again soon, one that did not less and less often.
    pauseMs = end.worked ? hintMs : Math.min(pauseMs * 2, pauseMaxMs);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

type StreamEnd =
  | { readonly kind: "unauthorized" }
  | { readonly kind: "lost"; readonly why: string | undefined; readonly worked: boolean };

class Stream {
  readonly parser = new EventParser();
  readonly #owner: LiveOwner;
  readonly #leaving = new AbortController();
  #silence: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(owner: LiveOwner) {
    this.#owner = owner;
  }

  async read(): Promise<StreamEnd> {
    let worked = false;
    this.#heard();
    try {
      const response = await request("events", { signal: this.#leaving.signal });
      if (response.status === 401) return { kind: "unauthorized" };
      if (!response.ok || response.body === null) {
        return { kind: "lost", why: errorOf(await response.json().catch(() => undefined)), worked };
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.#heard();
        for (const event of this.parser.push(value)) this.#owner.received(event);
        worked = true;
      }
    } catch {
      // Whatever it was: the connection is lost.
    } finally {
      clearTimeout(this.#silence);
      this.#leaving.abort();
    }
    return { kind: "lost", why: undefined, worked };
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#leaving.abort(), silenceMs);
  }
}
