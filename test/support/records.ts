/** Access records in tests. */
import type { RecordTaker } from "../../src/listener/service.ts";
import type { End } from "../../src/session/end.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import type { Traffic } from "../../src/stats/traffic.ts";
import type { LogLine } from "./sluice.ts";

/** Appends the access records of a service to a list. */
export function recordsInto(records: AccessRecord[]): RecordTaker {
  return { recordsAccess: true, access: (record) => void records.push(record), samplesTrace: () => false, trace() {} };
}

/** Takes no access records. */
export const noRecords: RecordTaker = {
  recordsAccess: false,
  access() {
    throw new Error("an access record was made that nobody takes");
  },
  samplesTrace: () => false,
  trace() {},
};

/** How connections ended, over all listeners and backends, in the order in which each end was first seen. */
export function endsOf({ listeners }: Traffic): Map<End, number> {
  const ends = new Map<End, number>();
  for (const listener of listeners.values()) {
    for (const byEnd of listener.ended.values()) {
      for (const [end, count] of byEnd) ends.set(end as End, (ends.get(end as End) ?? 0) + count);
    }
  }
  return ends;
}

/** In the order in which their connections were accepted; they are written as these end. */
export function byId(records: readonly LogLine[]): LogLine[] {
  return records.toSorted((one, other) => Number(one["id"]) - Number(other["id"]));
}
