/** Where `sluice top` shows its figures: on a screen that it redraws, or as a line each. */
import type { CommandSurroundings } from "../surroundings.ts";
import { topLine } from "./line.ts";
import { renderTop, type View } from "./render.ts";
import type { Snapshot } from "./snapshot.ts";
import { inColours, withoutColours } from "./text.ts";

/** Opened first, closed last. What returns a promise of `false` has found that nobody reads any more. */
export interface Display {
  open(): Promise<void>;
  /** The first look, without rates. */
  begin(first: Snapshot): Promise<boolean>;
  /** A look with rates; or the last one again, and why there is none newer. */
  show(latest: Snapshot, lost: string | undefined): Promise<boolean>;
  close(): Promise<void>;
}

/** A line for each look that has rates. */
export class LineDisplay implements Display {
  readonly #surroundings: CommandSurroundings;

  constructor(surroundings: CommandSurroundings) {
    this.#surroundings = surroundings;
  }

  async open(): Promise<void> {}

  async begin(): Promise<boolean> {
    return true;
  }

  show(latest: Snapshot, lost: string | undefined): Promise<boolean> {
    return this.#surroundings.write(topLine(Date.now(), lost === undefined ? latest : undefined));
  }

  async close(): Promise<void> {}
}

/** The whole terminal; once only, the lines where the cursor is. */
export class ScreenDisplay implements Display {
  readonly #surroundings: CommandSurroundings;
  readonly #terminal: ReturnType<CommandSurroundings["terminal"]>;
  readonly #once: boolean;
  readonly #end: () => void;
  #view: View;
  #latest: Snapshot | undefined = undefined;

  /** `end` is called when a key asks for it, or when the terminal is gone. */
  constructor(surroundings: CommandSurroundings, url: string, once: boolean, end: () => void) {
    this.#surroundings = surroundings;
    this.#terminal = surroundings.terminal();
    this.#once = once;
    this.#end = end;
    // https://no-color.org: set, and not to nothing.
    const plain = (surroundings.env["NO_COLOR"] ?? "") !== "";
    this.#view = { order: "busiest", url, paint: plain ? withoutColours : inColours };
  }

  async open(): Promise<void> {
    if (this.#once) return;
    await this.#terminal.open({
      typed: (keys) => this.#typed(keys),
      resized: () => void this.#draw(),
      gone: this.#end,
    });
  }

  begin(first: Snapshot): Promise<boolean> {
    return this.show(first, undefined);
  }

  show(latest: Snapshot, lost: string | undefined): Promise<boolean> {
    this.#latest = latest;
    this.#view = { ...this.#view, lost };
    return this.#draw();
  }

  async close(): Promise<void> {
    if (!this.#once) await this.#terminal.close();
  }

  #draw(): Promise<boolean> {
    if (this.#latest === undefined) return Promise.resolve(true);
    const { size } = this.#terminal;
    if (!this.#once) return this.#terminal.draw(renderTop(this.#latest, size, this.#view));
    // Without the keys, which nobody waits for, and what would fill a screen.
    const lines = renderTop(this.#latest, size, this.#view).slice(0, -1);
    return this.#surroundings.write(`${lines.join("\n").trimEnd()}\n`);
  }

  #typed(keys: string): void {
    for (const key of charactersOf(keys)) {
      switch (key) {
        case "q":
        case "Q":
        case "\x03":
          return this.#end();
        case "o":
          this.#view = { ...this.#view, order: this.#view.order === "busiest" ? "oldest" : "busiest" };
          void this.#draw();
          break;
        // Ctrl+L: what else has written to the terminal is to go.
        case "\x0c":
          this.#terminal.forget();
          void this.#draw();
          break;
      }
    }
  }
}

/** Without the escape sequences that arrows and function keys send (ECMA-48, section 5.4), whose letters are no keys. */
function charactersOf(keys: string): string {
  let characters = "";
  for (let at = 0; at < keys.length; at++) {
    if (keys[at] !== "\x1b") {
      characters += keys[at];
      continue;
    }
    at++;
    if (keys[at] === "O") at++;
    // CSI: parameters, then a final byte from "@" to "~".
    if (keys[at] !== "[") continue;
    at++;
    while (at < keys.length && !(keys[at]! >= "@" && keys[at]! <= "~")) at++;
  }
  return characters;
}
