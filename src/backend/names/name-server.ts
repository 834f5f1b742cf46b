/**
 * DNS servers, asked by way of c-ares.
 *
 * Every question has a c-ares channel of its own (0.07 ms, and nothing is left behind). A channel that is kept answers from
 * a cache for as long as the TTL says, by which a name is not really asked again; it can't take one question back without
 * the others; and the one behind `Bun.dns.lookup` never looks at /etc/resolv.conf again (all Bun 1.4.5).
 */
import { promises as dns } from "node:dns";
import { formatAddress, isIp } from "../../core/address.ts";
import { assert } from "../../core/assert.ts";

/** What became of a question. */
export type Reply<T> =
  /** At least one record. */
  | { readonly kind: "found"; readonly records: readonly T[] }
  /** There is no such name, or it has no record of that type: Bun 1.4.5 doesn't tell one from the other. */
  | { readonly kind: "none" }
  /** No valid answer; another server, or the same one a moment from now, may have one. `why` is for a log. */
  | { readonly kind: "failed"; readonly why: string };

/** A question under way. */
export interface Asking<T> {
  /** Never rejects. */
  readonly reply: Promise<Reply<T>>;
  /** Gives the question up and its socket back; `reply` is `failed`, unless it is there already. */
  cancel(): void;
}

/** An SRV record (RFC 2782). `target` "" is the root: there is no such service. */
export interface ServiceRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

/** A server that can be asked. Names are complete; the order of records has no meaning. */
export interface NameServer {
  /** A (4) or AAAA (6) records; CNAMEs that the server has followed are followed. */
  addresses(name: string, family: 4 | 6): Asking<string>;
  services(name: string): Asking<ServiceRecord>;
}

/** A question is sent again when there is no answer after this, then after twice and four times as long; c-ares counts whole seconds in Bun 1.4.5. */
const sendAgainMs = 1_000;
/** How often a question is sent to one server: datagrams get lost. What then? The deadline of the one who asks is over. */
const sendsMax = 3;

/** The server at an IP address and port. */
export function nameServerAt({ host, port }: { readonly host: string; readonly port: number }): NameServer {
  assert(isIp(host) && port > 0, `a DNS server needs an IP address and a port, not ${host} and ${port}`);
  return new CaresServer(formatAddress({ kind: "tcp", host, port }));
}

/**
 * The system's servers as they are at this moment. They are one for each that the system has, so that the next is asked when
 * one fails: c-ares in Bun 1.4.5 goes on to the next only when there is no answer.
 */
export function systemNameServers(): readonly NameServer[] {
  const servers = new dns.Resolver().getServers();
  // Of "fe80::1%eth0" Bun tells "fe80::1", which can't be reached; c-ares itself knows better.
  if (servers.length === 0 || servers.some((server) => /^\[?fe80:/i.test(server))) return [new CaresServer(undefined)];
  return servers.map((server) => new CaresServer(server));
}

class CaresServer implements NameServer {
  /** `undefined`: whatever the system has. */
  readonly #server: string | undefined;

  constructor(server: string | undefined) {
    this.#server = server;
  }

  addresses(name: string, family: 4 | 6): Asking<string> {
    return this.#ask((channel) => (family === 4 ? channel.resolve4(name) : channel.resolve6(name)));
  }

  services(name: string): Asking<ServiceRecord> {
    return this.#ask(async (channel) => {
      const records = await channel.resolveSrv(name);
      return records.map((record) => ({
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: record.name,
      }));
    });
  }

  #ask<T>(question: (channel: dns.Resolver) => Promise<T[]>): Asking<T> {
    const channel = new dns.Resolver({ timeout: sendAgainMs, tries: sendsMax });
    if (this.#server !== undefined) channel.setServers([this.#server]);
    return { reply: replyOf(question(channel)), cancel: () => channel.cancel() };
  }
}

async function replyOf<T>(records: Promise<T[]>): Promise<Reply<T>> {
  try {
    const found = await records;
    return found.length > 0 ? { kind: "found", records: found } : { kind: "none" };
  } catch (cause) {
    const code = (cause as { code?: unknown } | null)?.code;
    if (code === dns.NOTFOUND || code === dns.NODATA) return { kind: "none" };
    return { kind: "failed", why: typeof code === "string" ? inWords(code) : String(cause) };
  }
}

function inWords(code: string): string {
  switch (code) {
    case dns.SERVFAIL:
      return "the DNS server failed (SERVFAIL)";
    case dns.REFUSED:
      return "the DNS server refused to answer (REFUSED)";
    case dns.TIMEOUT:
      return "the DNS server did not answer";
    case dns.CONNREFUSED:
      return "no DNS server could be reached";
    case dns.BADRESP:
      return "the DNS server's answer can't be understood";
    default:
      return `the DNS query failed (${code})`;
  }
}
