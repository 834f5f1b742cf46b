/** Names of endpoints as configured, and the addresses that they stand for at present. */
import { canonicalHost, formatAddress, isIp } from "../../core/address.ts";
import { ipBytes, readIp } from "../../core/ip.ts";

/**
 * What is resolved.
 *
 * - `host`: the A and AAAA records of a name, with the configured port.
 * - `srv`: the SRV records of a name (RFC 2782), and the addresses of their targets; the ports come from the records.
 */
export type Name =
  | { readonly kind: "host"; readonly host: string; readonly port: number }
  | { readonly kind: "srv"; readonly name: string };

/** One address that a name stands for. */
export interface ResolvedAddress {
  /** An IP address in its canonical spelling (`canonicalHost`). */
  readonly host: string;
  readonly port: number;
  /** Of the SRV record: the lowest is the best, the others are for when those with the lowest fail. 0 for a host. */
  readonly priority: number;
  /** Of the SRV record, shared evenly by the addresses of its target, so with fractions; `undefined` for a host. */
  readonly weight: number | undefined;
  /** The name whose address it is, in lower case and without a final dot: the host, or the target of the SRV record. */
  readonly target: string;
}

/** The most addresses of one name that are used; those beyond it, in the order of `addressSet`, are left out. */
export const addressesMax = 1_000;

/** A name as it is written in the configuration: "db.internal:5432", "srv:_pg._tcp.example.com". */
export function formatName(name: Name): string {
  return formatAddress(name.kind === "srv" ? name : { ...name, kind: "tcp" });
}

/**
 * Addresses as a set with one order, whatever the order of the records was (servers rotate it): IPv4 before IPv6, then by
 * value, then by port. An address that is there twice is taken once, with the better priority; with equal priorities the
 * weights add up, as two records have two chances, and the first target by alphabet counts.
 */
export function addressSet(addresses: readonly ResolvedAddress[]): readonly ResolvedAddress[] {
  const set = new Map<string, ResolvedAddress>();
  for (const address of addresses.toSorted(byRecord)) {
    const canonical = { ...address, host: canonicalHost(address.host) };
    const key = orderKey(canonical);
    const known = set.get(key);
    set.set(key, known === undefined ? canonical : merged(known, canonical));
  }
  const keys = [...set.keys()].toSorted();
  return keys.slice(0, addressesMax).map((key) => set.get(key)!);
}

/** Whether two results of `addressSet` are the same, priorities and weights included. */
export function sameAddresses(one: readonly ResolvedAddress[], other: readonly ResolvedAddress[]): boolean {
  return one.length === other.length && one.every((address, index) => sameAddress(address, other[index]!));
}

function sameAddress(one: ResolvedAddress, other: ResolvedAddress): boolean {
  return (
    one.host === other.host &&
    one.port === other.port &&
    one.priority === other.priority &&
    one.weight === other.weight &&
    one.target === other.target
  );
}

/** The best priority and the first target come first; and sums of fractions don't depend on the order of the records. */
function byRecord(one: ResolvedAddress, other: ResolvedAddress): number {
  if (one.priority !== other.priority) return one.priority - other.priority;
  if (one.target !== other.target) return one.target < other.target ? -1 : 1;
  return (one.weight ?? 0) - (other.weight ?? 0);
}

/** `first` comes before `second` in the order of `byRecord`. */
function merged(first: ResolvedAddress, second: ResolvedAddress): ResolvedAddress {
  if (first.priority !== second.priority || first.weight === undefined) return first;
  return { ...first, weight: first.weight + (second.weight ?? 0) };
}

/** Text that sorts as the addresses do. */
function orderKey({ host, port }: ResolvedAddress): string {
  const bytes = new Uint8Array(ipBytes);
  const family = readIp(host, bytes);
  return `${family}${Buffer.from(bytes).toString("hex")}${port.toString(16).padStart(4, "0")}`;
}

/** True for an IP address that can be dialled without knowing an interface: no "fe80::1%eth0". */
export function isPlainIp(host: string): boolean {
  return isIp(host) && !host.includes("%");
}
