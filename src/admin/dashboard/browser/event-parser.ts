/** Takes a text/event-stream apart (WHATWG HTML, section 9.2): `EventSource` can't send a token, so we read it ourselves. */

/** An event with its data, which is JSON. */
export interface StreamEvent {
  readonly name: string;
  readonly data: unknown;
}

/** Characters of an event that may be unfinished: a stream that sends more is not ours, and `push` throws. */
export const unfinishedMax = 32 * 1_024 * 1_024;

/** Given the stream piece by piece, gives the events that are complete. */
export class EventParser {
  /** When to come back after the stream was lost, as far as the server has said so. */
  retryMs: number | undefined = undefined;
  /** The pieces of a line that has not ended. */
  #line = "";
  #name = "";
  #data: string[] = [];
  #dataLength = 0;

  /** Throws what `JSON.parse` throws when data is no JSON. */
  push(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    const lines = text.split("\n");
    lines[0] = this.#line + lines[0]!;
    this.#line = lines.pop()!;
    for (const line of lines) {
      const event = this.#take(line.endsWith("\r") ? line.slice(0, -1) : line);
      if (event !== undefined) events.push(event);
    }
    if (this.#line.length + this.#dataLength > unfinishedMax) throw new Error("an event without an end");
    return events;
  }

  /** One line; the empty one ends an event. */
  #take(line: string): StreamEvent | undefined {
    if (line === "") return this.#end();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    if (field === "data") {
      this.#data.push(value);
      this.#dataLength += value.length;
    }
    return undefined;
  }

  #end(): StreamEvent | undefined {
    const event =
      this.#data.length === 0
        ? undefined
        : { name: this.#name === "" ? "message" : this.#name, data: JSON.parse(this.#data.join("\n")) as unknown };
    this.#name = "";
    this.#data = [];
    this.#dataLength = 0;
    return event;
  }
}
