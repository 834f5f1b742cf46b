/** What SRV records (RFC 2782) say of endpoints: priorities become backups, weights (0 to 65535) weights of endpoints. */
import { weightMax, type EndpointSettings } from "../endpoint.ts";
import type { ResolvedAddress } from "./name.ts";

/**
 * The settings of each address, in their order. All but those with the best priority are backups; if there are several
 * worse priorities, no difference is made between them. `own` are the settings of the name: its weight 0 still means "none",
 * another one does not count beside those of the records; a backup has backups only; each address has the whole limit.
 */
export function srvSettings(addresses: readonly ResolvedAddress[], own: EndpointSettings): readonly EndpointSettings[] {
  const weights = endpointWeights(addresses);
  const best = Math.min(...addresses.map((address) => address.priority));
  return addresses.map(({ priority }, index) => ({
    ...own,
    weight: own.weight === 0 ? 0 : weights[index]!,
    backup: own.backup || priority > best,
  }));
}

/**
 * A weight from 1 to 1000 for each address, in their order. Only weights of one priority are compared. Whole weights from
 * 1 to 1000 stay as they are; others are scaled until the highest is 1000, so that ratios are kept but for rounding. 0
 * means "hardly ever" beside others and becomes 1; where all are 0, all are equal. Addresses of hosts have no weight: 1.
 */
export function endpointWeights(addresses: readonly Pick<ResolvedAddress, "priority" | "weight">[]): readonly number[] {
  const byPriority = Map.groupBy(addresses, (address) => address.priority);
  const scales = new Map([...byPriority].map(([priority, group]) => [priority, scaleOf(group)]));
  return addresses.map(({ priority, weight = 1 }) => Math.max(1, Math.round(weight * scales.get(priority)!)));
}

function scaleOf(group: readonly Pick<ResolvedAddress, "weight">[]): number {
  const weights = group.map(({ weight = 1 }) => weight);
  const highest = Math.max(...weights);
  const fits = weights.every((weight) => Number.isInteger(weight) && weight >= 1 && weight <= weightMax);
  return fits || highest === 0 ? 1 : weightMax / highest;
}
