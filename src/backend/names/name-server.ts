/**
 * DNS servers, asked by way of c-ares.
 *
 * Every sending of a question has a c-ares channel of its own (0.07 ms, and nothing is left behind). A channel that is kept answers from
 * a cache for as long as the TTL says, by which a name is not really asked again; it can't take one question back without
 * the others; and the one behind `Bun.dns.lookup` never looks at /etc/resolv.conf again (all Bun 1.4.5).
 */
import { promises as dns } from "node:dns";
import { formatAddress, isIp } from "../../core/address.ts";
import { assert } from "../../core/assert.ts";
import type { Clock } from "../../core/clock.ts";
import { askAgain, type Sending } from "./ask-again.ts";
import { FailureWatch, type SendingFailure } from "./failure-watch.ts";

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

/** How c-ares asks; the times are whole seconds (Bun 1.4.5). */
type ChannelOptions = { readonly timeout: number; readonly tries: number };

/** One sending: longer than anybody waits. It is sent again by `askAgain`; by c-ares only when the server has failed. */
const sentOnce: ChannelOptions = { timeout: 10_000, tries: 3 };
/** Where c-ares has several servers to go through: a second for each, then two. */
const sentInTurn: ChannelOptions = { timeout: 1_000, tries: 3 };

/** The server at an IP address and port. */
export function nameServerAt(
  { host, port }: { readonly host: string; readonly port: number },
  clock: Clock,
): NameServer {
  assert(isIp(host) && port > 0, `a DNS server needs an IP address and a port, not ${host} and ${port}`);
  return new CaresServer(formatAddress({ kind: "tcp", host, port }), clock);
}

/**
 * The system's servers as they are at this moment. They are one for each that the system has, so that the next is asked when
 * one fails: c-ares in Bun 1.4.5 goes on to the next only when there is no answer.
 */
export function systemNameServers(clock: Clock): readonly NameServer[] {
  const servers = new dns.Resolver().getServers();
  // Of "fe80::1%eth0" Bun tells "fe80::1", which can't be reached; c-ares itself knows better.
  if (servers.length === 0 || servers.some((server) => /^\[?fe80:/i.test(server))) {
    return [new CaresServer(undefined, clock)];
  }
  return servers.map((server) => new CaresServer(server, clock));
}

class CaresServer implements NameServer {
  /** `undefined`: whatever the system has. */
  readonly #server: string | undefined;
  readonly #clock: Clock;

  constructor(server: string | undefined, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
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

  #ask<T>(question: Question<T>): Asking<T> {
    const server = this.#server;
    if (server !== undefined) return askAgain(() => this.#send(question, sentOnce, server), this.#clock);
    return this.#send(question, sentInTurn, undefined);
  }

  #send<T>(question: Question<T>, options: ChannelOptions, server: string | undefined): Sending<T> {
    const channel = new dns.Resolver(options);
    if (server !== undefined) channel.setServers([server]);
    const { promise, resolve: settle } = Promise.withResolvers<Reply<T>>();
    const watch = new FailureWatch(this.#clock, (failure) => {
      // Of several servers the next one is asked when the time of this one is over: that the error was taken is enough.
      if (server === undefined && failure === "refused") return;
      settle({ kind: "failed", why: inWords(codes[failure]) });
      channel.cancel();
    });
    void replyOf(watch.send(() => question(channel))).then((reply) => {
      watch.stop();
      settle(reply);
    });
    return {
      reply: promise,
      get answering() {
        return watch.overTcp;
      },
      cancel: () => {
        watch.stop();
        channel.cancel();
      },
    };
  }
}

/** What c-ares should have said. */
const codes: Readonly<Record<SendingFailure, string>> = { refused: dns.CONNREFUSED, cut_short: dns.BADRESP };

/** Asks, before it returns. */
type Question<T> = (channel: dns.Resolver) => Promise<T[]>;

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
