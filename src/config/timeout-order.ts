/** Timeouts that can never fire because another one always fires first. */
import { formatDurationMs } from "../core/duration.ts";

/** `never` cannot fire because of `first`, both under the file's names. */
export interface Overshadowed {
  never: string;
  first: string;
  message: string;
}

type Durations = { readonly [name: string]: number | undefined } | undefined;

/** [the timeout that never fires, the one that fires first, whether equal durations are a conflict too, why] */
const TIMEOUT_PAIRS = [
  ["connect", "lifetime", true, "a connection ends before the connect can time out"],
  ["inspect", "lifetime", true, "a connection ends before the inspection can time out"],
  ["response", "lifetime", false, "lifetime always fires first"],
  ["idle", "lifetime", false, "lifetime always fires first"],
  ["half_closed", "idle", false, "idle always fires first"],
] as const;
const SHUTDOWN_PAIRS = [["idle", "drain", true, "the drain is over first"]] as const;

/** What among a table's timeouts (in the program's form; 0 is off, a missing one was invalid) can never fire. */
export function overshadowedTimeouts(timeouts: Durations): Overshadowed[] {
  return overshadowed("timeouts", TIMEOUT_PAIRS, timeouts);
}

/** The same for the keys of [shutdown]. */
export function overshadowedShutdown(shutdown: Durations): Overshadowed[] {
  return overshadowed("shutdown", SHUTDOWN_PAIRS, shutdown);
}

function overshadowed(
  table: string,
  pairs: readonly (readonly [string, string, boolean, string])[],
  durations: Durations,
): Overshadowed[] {
  if (durations === undefined) return [];
  const durationsMs = underFileNames(durations);
  const result: Overshadowed[] = [];
  for (const [never, first, whenEqual, why] of pairs) {
    const neverMs = durationsMs[never] ?? 0;
    const firstMs = durationsMs[first] ?? 0;
    if (neverMs === 0 || firstMs === 0 || (whenEqual ? neverMs < firstMs : neverMs <= firstMs)) continue;
    const wanted = `${whenEqual ? "less than" : "at most"} ${table}.${first} ("${formatDurationMs(firstMs)}")`;
    result.push({ never, first, message: `found "${formatDurationMs(neverMs)}", wanted ${wanted}, or "0s": ${why}` });
  }
  return result;
}

/** `halfClosedMs` as `half_closed`. */
function underFileNames(durations: NonNullable<Durations>): NonNullable<Durations> {
  const entries = Object.entries(durations).map(([name, durationMs]) => {
    const fileName = name.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return [fileName, durationMs] as const;
  });
  return Object.fromEntries(entries);
}
