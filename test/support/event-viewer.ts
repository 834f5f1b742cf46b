/** Reads a stream of server-sent events as a browser does. */
import { EventParser, type StreamEvent } from "../../src/admin/dashboard/browser/event-parser.ts";
import { Waiting } from "./until.ts";

/** Asks for a stream; resolves when the answer has begun. */
export async function viewEvents(url: string, headers: Record<string, string> = {}): Promise<EventViewer> {
  const leaving = new AbortController();
  const response = await fetch(url, { headers, signal: leaving.signal });
  return new EventViewer(response, leaving);
}

/** Somebody who looks; leaves at the end of its scope. */
export class EventViewer {
  readonly response: Response;
  readonly events: StreamEvent[] = [];
  /** All that came. */
  text = "";
  readonly #leaving: AbortController;
  readonly #waiting = new Waiting();
  readonly #read: Promise<void>;
  #ended = false;

  constructor(response: Response, leaving: AbortController) {
    this.response = response;
    this.#leaving = leaving;
    this.#read = this.#follow();
  }

  /** Resolves when so many events have come. */
  received(count: number): Promise<void> {
    return this.#waiting.hold(
      () => this.events.length >= count,
      () => `${count} events: ${this.events.map(({ name }) => name).join(", ")}${this.#ended ? " and the end" : ""}`,
    );
  }

  /** Resolves when the stream has ended, in whatever way. */
  ended(): Promise<void> {
    return this.#waiting.hold(
      () => this.#ended,
      () => `the end of a stream of ${this.events.length} events`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort();
    await this.#read;
  }

  async #follow(): Promise<void> {
    const parser = new EventParser();
    const decoder = new TextDecoder();
    try {
      for await (const bytes of this.response.body!) {
        const text = decoder.decode(bytes, { stream: true });
        this.text += text;
        this.events.push(...parser.push(text));
        this.#waiting.changed();
      }
    } catch {
      // Left, or cut off: it has ended.
    }
    this.#ended = true;
    this.#waiting.changed();
  }
}
