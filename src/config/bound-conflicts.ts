/** Addresses of a new configuration that can't be had while the old one still has others: what a bind would only call "in use". */
import { type Address, formatAddress } from "../core/address.ts";
import { overlap } from "./address-checks.ts";
import type { Config } from "./schema.ts";

/**
 * A line for each listener of `after` (see `keepFixed`) whose address overlaps one that is bound and is not the same: that
 * of the admin server, which stays, or of a listener of `before`. The same address is handed over from one listener to another.
 */
export function boundConflicts(before: Config, after: Config): string[] {
  const bound = new Map(before.listeners.map((listener) => [formatAddress(listener.listen), listener]));
  return after.listeners.flatMap(({ name, listen }) => {
    const at = `listener.${name}.listen: ${formatAddress(listen)}`;
    const { admin } = after;
    if (admin !== undefined && overlap(admin.listen, listen)) return [`${at} ${ofAdmin(admin.listen, listen)}`];
    if (bound.has(formatAddress(listen))) return [];
    const other = before.listeners.find((listener) => overlap(listener.listen, listen));
    if (other === undefined) return [];
    const theirs = `${formatAddress(other.listen)}, which listener "${other.name}" has`;
    return [
      `${at} overlaps ${theirs}; wanted another port, or one reload that removes "${other.name}", and this one when it is drained`,
    ];
  });
}

function ofAdmin(admin: Address, listen: Address): string {
  const same = formatAddress(admin) === formatAddress(listen);
  const what = same ? "is that of" : `overlaps ${formatAddress(admin)} of`;
  return `${what} the admin server, which stays there until the next start; wanted another port`;
}
