/** Watches a file of tests for what a test leaves open. Not for tests that run at the same time in one process. */
import { afterEach, beforeEach, setDefaultTimeout } from "bun:test";
import { openDescriptors } from "./descriptors.ts";
import { until } from "./until.ts";

/** Further things that must be as they were. */
export interface LeakWatch {
  /**
   * `holds` must become true after a test, `() => active.count === 0`. Asked for at the top of a file, after each of
   * its tests; within a test, after that test alone. `seen` tells what was found when it does not.
   */
  alsoHolds(what: string, holds: () => boolean, seen?: () => string): void;
}

/**
 * To be called once at the top of a test file: after each test the descriptors of this process must be those that were
 * open before it, and what `alsoHolds` asked for must hold, both within `withinMs`. A test that leaks fails, and does
 * not spoil those after it. Also gives the tests of the file 30 s each, so that a wait in vain can say what it was for.
 */
export function watchLeaks({ withinMs = 2_000 }: { withinMs?: number } = {}): LeakWatch {
  setDefaultTimeout(30_000);
  const always: Check[] = [];
  const once: Check[] = [];
  let running = false;
  let before = new Map<string, number>();

  beforeEach(() => {
    running = true;
    before = kinds();
  });

  afterEach(async () => {
    const checks = [...always, ...once.splice(0)];
    running = false;
    const problems: string[] = [];
    for (const { what, holds, seen } of checks) {
      await until(holds, () => `${what} after the test${seen === undefined ? "" : `: ${seen()}`}`, withinMs).catch(
        (error: Error) => problems.push(error.message),
      );
    }
    await until(
      () => grown(before).length === 0,
      () => `the descriptors to be as before the test: ${grown(before).join(", ")}`,
      withinMs,
    ).catch((error: Error) => problems.push(error.message));
    if (problems.length > 0) throw new Error(problems.join("\n"));
  });

  return {
    alsoHolds(what, holds, seen) {
      (running ? once : always).push({ what, holds, seen });
    },
  };
}

interface Check {
  what: string;
  holds: () => boolean;
  seen: (() => string) | undefined;
}

/** How many descriptors of each kind are open: socket, pipe, a file by its path. */
function kinds(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { target } of openDescriptors()) {
    const kind = target.replace(/:\[\d+\]$/, "");
    // The runtime opens these when it first needs them, and keeps them: the event loops of threads, their wake-ups.
    if (kind.startsWith("anon_inode:") || kind === "/dev/null") continue;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

function grown(before: Map<string, number>): string[] {
  return [...kinds()].flatMap(([kind, count]) => {
    const more = count - (before.get(kind) ?? 0);
    return more > 0 ? [`${more} more of ${kind}`] : [];
  });
}
