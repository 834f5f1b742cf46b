/** Networks of IP addresses, "10.0.0.0/8" or "2001:db8::/32" (RFC 4632, RFC 4291 section 2.3), and sets of them. */
import { BlockList, isIP } from "node:net";
import { ipBytes, ipText, readIp } from "./ip.ts";
import type { Parsed } from "./result.ts";

/** A network. `address` is its first address in canonical form, `bits` how many of the address's 32 or 128 it fixes. */
export interface Cidr {
  readonly kind: "ipv4" | "ipv6";
  readonly address: string;
  readonly bits: number;
}

const EXAMPLES = `"10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"`;

/** What IPv4 fixes of the sixteen bytes of an address already. */
const MAPPED_BITS = 96;

const scratch = new Uint8Array(ipBytes);

/**
 * Reads a network, or an address alone, which is a network of one. An address beyond the prefix is refused: it leaves
 * open which of the two was meant. A network of IPv4 inside IPv6, "::ffff:10.0.0.0/104", is the one of IPv4.
 */
export function parseCidr(text: string): Parsed<Cidr> {
  const slash = text.indexOf("/");
  const address = slash === -1 ? text : text.slice(0, slash);
  const family = address.includes("%") ? 0 : readIp(address, scratch);
  if (family === 0) return { ok: false, wanted: `an IP address with or without a prefix length, such as ${EXAMPLES}` };
  // Written as IPv6 it counts its bits as IPv6, whatever it is.
  const bitsMax = address.includes(":") ? 128 : 32;
  const bitsText = slash === -1 ? String(bitsMax) : text.slice(slash + 1);
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(bitsText) ? Number(bitsText) : Number.NaN;
  if (!(bits <= bitsMax)) return { ok: false, wanted: `a prefix length from /0 to /${bitsMax}, such as ${EXAMPLES}` };

  const fixedBits = bits + 128 - bitsMax;
  const single = ipText(scratch, 0);
  const changed = clearBitsFrom(fixedBits, scratch);
  const network: Cidr =
    family === 4 && fixedBits >= MAPPED_BITS
      ? { kind: "ipv4", address: ipText(scratch, 0), bits: fixedBits - MAPPED_BITS }
      : { kind: "ipv6", address: ipText(scratch, 0), bits: fixedBits };
  if (!changed) return { ok: true, value: network };
  return {
    ok: false,
    wanted: `a network address, such as "${formatCidr(network)}", or "${single}" for this address alone`,
  };
}

/** Writes a network the way {@link parseCidr} reads it. */
export function formatCidr({ address, bits }: Cidr): string {
  return `${address}/${bits}`;
}

/** Addresses that are in any of some networks. */
export class CidrSet {
  /** Whether no address is in it. */
  readonly empty: boolean;
  /** Tells IPv4 inside IPv6 from nothing, and takes 0.2 µs for ten networks and 2 µs for a thousand (Bun 1.4.5). */
  readonly #networks = new BlockList();

  constructor(cidrs: readonly Cidr[]) {
    this.empty = cidrs.length === 0;
    for (const { kind, address, bits } of cidrs) this.#networks.addSubnet(address, bits, kind);
  }

  /**
   * Whether an address is in it, canonical or not. IPv4 is the part ::ffff:0:0/96 of IPv6, also when it is not written so:
   * "::/0" has every address. What is no address is not in it.
   */
  has(host: string): boolean {
    if (this.empty) return false;
    // Without the family, BlockList takes an IPv6 address for one of IPv4 that is in no network (Bun 1.4.5).
    const family = isIP(host);
    return family !== 0 && this.#networks.check(host, family === 4 ? "ipv4" : "ipv6");
  }
}

/** Clears all bits but the first `bits`, and says whether one of them was set. */
function clearBitsFrom(bits: number, bytes: Uint8Array): boolean {
  let changed = false;
  for (let index = bits >> 3; index < ipBytes; index++) {
    const kept = index === bits >> 3 ? (0xff00 >> (bits & 7)) & 0xff : 0;
    const byte = bytes[index]!;
    if ((byte & kept) === byte) continue;
    bytes[index] = byte & kept;
    changed = true;
  }
  return changed;
}
