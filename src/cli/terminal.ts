/** The terminal that a command is run in, as a screen of its own: what was on it before is back at the end. */

/** In characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Who is told what happens. */
export interface TerminalUser {
  /** Keys as they come, several at once when they are typed (or pasted) fast; Ctrl+C is `"\x03"`. */
  typed(keys: string): void;
  /** The size is another one now. */
  resized(): void;
  /** Nobody is there any more. */
  gone(): void;
}

/** The size where a terminal does not say: the classic one. */
const unknownSize: TerminalSize = { columns: 80, rows: 24 };

// Control sequences of xterm, which what is called a terminal today understands (ctlseqs of xterm).
const alternateScreen = "\x1b[?1049h";
const mainScreen = "\x1b[?1049l";
const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
/** Were a width counted wrong, the rest of the line would be cut rather than push the lines below. */
const noWrap = "\x1b[?7l";
const wrap = "\x1b[?7h";
const clearAll = "\x1b[2J";
/** Before a line is written: at the last column the cursor stays on the last character, which clearing behind would take. */
const clearLine = "\x1b[2K";
/** What is in between is shown at once, by terminals that know it; others ignore it. */
const frameBegins = "\x1b[?2026h";
const frameEnds = "\x1b[?2026l";

/** Taken over by `open`, given back by `close`. */
export class Terminal {
  readonly #write: (text: string) => Promise<boolean>;
  /** What is on the screen. */
  #lines: readonly string[] = [];
  #drawing: Promise<boolean> | undefined = undefined;
  #release: (() => void) | undefined = undefined;

  /** `write` as that of the surroundings. */
  constructor(write: (text: string) => Promise<boolean>) {
    this.#write = write;
  }

  /** As it is now. */
  get size(): TerminalSize {
    const { columns, rows } = process.stdout;
    return columns > 0 && rows > 0 ? { columns, rows } : unknownSize;
  }

  /** Shows an empty screen and takes the keys over, where standard input is a terminal too. */
  async open(user: TerminalUser): Promise<void> {
    const { stdin, stdout } = process;
    const resized = (): void => {
      this.forget();
      user.resized();
    };
    const typed = (keys: Buffer): void => user.typed(keys.toString());
    const gone = (): void => user.gone();
    stdout.on("resize", resized);
    const takesKeys = stdin.isTTY === true;
    if (takesKeys) {
      stdin.setRawMode(true);
      stdin.on("data", typed).on("end", gone).on("error", gone);
    }
    this.#release = () => {
      stdout.off("resize", resized);
      if (!takesKeys) return;
      stdin.off("data", typed).off("end", gone).off("error", gone);
      stdin.setRawMode(false);
      stdin.pause();
    };
    if (!(await this.#write(alternateScreen + hideCursor + noWrap + clearAll))) user.gone();
  }

  /** All of the screen is drawn anew the next time: nobody knows what is on it. */
  forget(): void {
    this.#lines = [];
  }

  /**
   * Shows these lines, of which only those that differ are written. While a terminal that is slow has not taken what was
   * drawn before, nothing is done: the next drawing is soon enough. `false`: nobody is there any more.
   */
  async draw(lines: readonly string[]): Promise<boolean> {
    if (this.#drawing !== undefined) return true;
    const changed = this.#lines.length === lines.length ? "" : clearAll;
    const shown = changed === "" ? this.#lines : [];
    let text = "";
    for (const [index, line] of lines.entries()) {
      if (line !== shown[index]) text += `\x1b[${index + 1};1H${clearLine}${line}`;
    }
    if (text === "" && changed === "") return true;
    this.#lines = [...lines];
    this.#drawing = this.#write(frameBegins + changed + text + frameEnds);
    try {
      return await this.#drawing;
    } finally {
      this.#drawing = undefined;
    }
  }

  /** Gives the terminal back as it was. A second time changes nothing. */
  async close(): Promise<void> {
    if (this.#release === undefined) return;
    this.#release();
    this.#release = undefined;
    await this.#drawing;
    await this.#write(frameEnds + wrap + showCursor + mainScreen);
  }
}
