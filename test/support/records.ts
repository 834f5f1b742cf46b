/** Access records in tests. */
import type { LogLine } from "./sluice.ts";

/** In the order in which their connections were accepted; they are written as these end. */
export function byId(records: readonly LogLine[]): LogLine[] {
  return records.toSorted((one, other) => Number(one["id"]) - Number(other["id"]));
}
