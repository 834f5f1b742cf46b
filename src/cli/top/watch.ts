/** The life of `sluice top`: looks at the program at intervals, and shows what it sees until somebody ends it. */
import { systemClock } from "../../core/clock.ts";
import type { Signals } from "../../lifecycle/signals.ts";
import type { AdminClient } from "../admin-client.ts";
import { exitCodes, type CommandSurroundings } from "../surroundings.ts";
import { look, type Look } from "./look.ts";
import { LineDisplay, ScreenDisplay, type Display } from "./display.ts";
import { snapshot, type Snapshot } from "./snapshot.ts";
import type { Reading } from "./reading.ts";

/** What is watched, and how. */
export interface Watch {
  readonly client: AdminClient;
  readonly intervalMs: number;
  /** Whether to end after the first figures that have rates. */
  readonly once: boolean;
}

/** Runs until it is ended; returns the exit code. */
export async function watchTop(watch: Watch, signals: Signals, surroundings: CommandSurroundings): Promise<number> {
  const { client, once } = watch;
  const ending = new Ending();
  let failure: Error | undefined;
  signals.receive({
    stop: () => ending.end(),
    // What SIGHUP says to a program that a person looks at: the terminal is gone.
    reload: () => ending.end(),
    reserved: () => {},
    uncaught: (error) => {
      failure = error;
      ending.end();
    },
  });
  const { isTerminal, env } = surroundings;
  const onScreen = isTerminal && env["TERM"] !== "dumb";
  const first = await Promise.race([look(client, onScreen), ending.asked]);
  if (first === undefined) return exitCodes.done;
  if (first.kind === "failed") {
    surroundings.err(`sluice: cannot watch ${client.url}: ${first.why}\n`);
    return exitCodes.failed;
  }
  const display: Display = onScreen
    ? new ScreenDisplay(surroundings, client.url, once, () => ending.end())
    : new LineDisplay(surroundings);
  await display.open();
  try {
    await follow(first.reading, watch, display, onScreen, ending);
  } finally {
    await display.close();
  }
  if (failure === undefined) return exitCodes.done;
  surroundings.err(`sluice: ${failure.stack ?? failure.message}\n`);
  return exitCodes.failed;
}

/** From the first look on. */
async function follow(
  first: Reading,
  { client, intervalMs, once }: Watch,
  display: Display,
  withConnections: boolean,
  ending: Ending,
): Promise<void> {
  let before = first;
  // On a screen the first figures need not wait for their rates.
  let latest: Snapshot = snapshot(undefined, first);
  if (!once && !(await display.begin(latest))) return;
  let dueMs = systemClock.nowMs() + intervalMs;
  while (!ending.isAsked) {
    await ending.within(dueMs - systemClock.nowMs());
    if (ending.isAsked) return;
    // What a look takes longer than an interval is not made up for.
    dueMs = Math.max(dueMs + intervalMs, systemClock.nowMs());
    const seen: Look | undefined = await Promise.race([look(client, withConnections), ending.asked]);
    if (seen === undefined) return;
    if (seen.kind === "seen") {
      latest = snapshot(before, seen.reading);
      before = seen.reading;
    }
    const someoneThere = await Promise.race([
      display.show(latest, seen.kind === "seen" ? undefined : seen.why),
      ending.asked,
    ]);
    if (someoneThere !== true || once) return;
  }
}

/** That somebody wants an end, whoever it is. */
class Ending {
  isAsked = false;
  /** Resolves when it is asked for. */
  readonly asked: Promise<undefined>;
  #settle!: (value: undefined) => void;

  constructor() {
    this.asked = new Promise((settle) => {
      this.#settle = settle;
    });
  }

  end(): void {
    this.isAsked = true;
    this.#settle(undefined);
  }

  /** Resolves when a time has passed, at once when an end is asked for. */
  async within(ms: number): Promise<void> {
    let passed: (() => void) | undefined;
    const timer = systemClock.setTimer(() => passed?.(), Math.max(0, ms), "holds_process");
    await Promise.race([
      new Promise<void>((settle) => {
        passed = settle;
      }),
      this.asked,
    ]);
    systemClock.clearTimer(timer);
  }
}
