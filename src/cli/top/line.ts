/** A snapshot as one line, for pipes and logs: fields in a fixed order, `name=value`, `-` where a value is not known. */
import type { Rate, Snapshot } from "./snapshot.ts";

/**
 * `time` is RFC 3339 in UTC. Rates are for a second, with one decimal, since the line before. Without a snapshot the
 * state is `unreachable`.
 */
export function topLine(timeMs: number, snapshot: Snapshot | undefined): string {
  const time = new Date(timeMs).toISOString();
  const { reading, newRate, endedRate, toBackendRate, toClientRate } = snapshot ?? {};
  const endpoints = reading?.endpoints;
  const away = endpoints?.filter(({ health, ejected, state }) => {
    return health === "down" || ejected || state === "down" || state === "drain";
  });
  const fields: readonly (readonly [name: string, value: string])[] = [
    ["time", time],
    ["state", reading === undefined ? "unreachable" : word(reading.state)],
    ["uptime_s", whole(reading && reading.uptimeMs / 1000)],
    ["active", whole(reading?.active)],
    ["new_per_s", rate(newRate)],
    ["ended_per_s", rate(endedRate)],
    ["bytes_to_backend_per_s", rate(toBackendRate)],
    ["bytes_to_client_per_s", rate(toClientRate)],
    ["endpoints", whole(endpoints?.length)],
    ["endpoints_out", whole(away?.length)],
    ["connect_failures_total", whole(endpoints?.reduce((sum, { failures }) => sum + failures, 0))],
    ["connections_total", whole(reading?.listeners.reduce((sum, { total }) => sum + total, 0))],
  ];
  return `${fields.map(([name, value]) => `${name}=${value}`).join(" ")}\n`;
}

/** Without what would end it: a blank. */
function word(text: string): string {
  return text === "" ? "-" : text.replace(/[\s=]/g, "_");
}

function whole(value: number | undefined): string {
  return value === undefined ? "-" : String(Math.floor(value));
}

function rate(value: Rate): string {
  return value === undefined ? "-" : value.toFixed(1);
}
