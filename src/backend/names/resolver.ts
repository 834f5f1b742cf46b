/**
 * Names to addresses, for all backends: the hosts file first, then DNS, within a deadline of our own.
 *
 * Neither `Bun.connect` nor `getaddrinfo` does it: the one would dial up to four addresses of a name at once, the other
 * shares its few threads with all file access (Bun 1.4.5).
 */
import { hostname } from "node:os";
import { canonicalHost } from "../../core/address.ts";
import type { Clock } from "../../core/clock.ts";
import { askInTurn } from "./ask-in-turn.ts";
import { HostsFile, readText, type ReadText } from "./hosts-file.ts";
import {
  nameServerAt,
  systemNameServers,
  type Asking,
  type NameServer,
  type Reply,
  type ServiceRecord,
} from "./name-server.ts";
import { addressSet, formatName, isPlainIp, type Name, type ResolvedAddress } from "./name.ts";
import { candidates, noSearchList, parseSearchList, type SearchList } from "./search-list.ts";
import { Turns } from "./turns.ts";

/** What a name stands for at this moment. */
export type Answer =
  /** At least one address, in the order of `addressSet`. */
  | { readonly ok: true; readonly addresses: readonly ResolvedAddress[] }
  /** Nothing is known, or there is nothing; `why` is for a log. */
  | { readonly ok: false; readonly why: string };

/** Who answers for a name; `Resolver`, and a script in tests. */
export interface NameResolver {
  /** Never rejects. */
  resolve(name: Name): Promise<Answer>;
}

/** IP addresses of DNS servers, asked in this order, for complete names; none: the system's servers and search list. */
export type ServerAddresses = readonly { readonly host: string; readonly port: number }[];

/** What a resolver is made of. */
export interface ResolverOptions {
  readonly servers: ServerAddresses;
  readonly clock: Clock;
  /** In place of the network, for tests: what is asked for each question while these are the servers. */
  readonly nameServers?: (servers: ServerAddresses) => readonly NameServer[];
  /** In place of the disk, for tests. */
  readonly readText?: ReadText;
}

/** How long a name may take, the targets of its SRV records included. What is not there by then has failed. */
export const resolveTimeoutMs = 5_000;

/** Names asked at once, each with two sockets; further ones wait in line, which counts as their time. */
const askedAtOnceMax = 100;
/** SRV records of one name that are used; beyond them those with the worst priority are left out. */
const serviceRecordsMax = 256;
/** Hosts whose last addresses are remembered; beyond them the one that has not been asked for longest is forgotten. */
const rememberedMax = 10_000;

/** The addresses of a host by family; at least one. */
interface HostAddresses {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** What is known of a host. */
type HostAnswer =
  | ({ readonly kind: "found" } & HostAddresses)
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly why: string };

type ServicesAnswer = Reply<ServiceRecord>;

/** Who is asked, and what is being asked there. */
interface Source {
  readonly nameServers: () => readonly NameServer[];
  /** Whether names may be incomplete: the search list belongs to the system's servers. */
  readonly searches: boolean;
  readonly hostsAsked: Map<string, Promise<HostAnswer>>;
  readonly servicesAsked: Map<string, Promise<ServicesAnswer>>;
}

const loopback: HostAnswer = { kind: "found", ipv4: ["127.0.0.1"], ipv6: ["::1"] };
const overdue = { kind: "failed", why: `no answer within ${resolveTimeoutMs / 1_000} s` } as const;
const nothing = "there is no such name, or it has no address";

/** Asks for names, each once at a time, whoever wants to know; remembers no answer but to fill up one that came in part. */
export class Resolver implements NameResolver {
  readonly #clock: Clock;
  readonly #read: ReadText;
  readonly #hostsFile: HostsFile;
  readonly #nameServers: ResolverOptions["nameServers"];
  readonly #turns = new Turns(askedAtOnceMax);
  readonly #rounds = new Set<{ cancel(): void }>();
  #closed = false;
  #source: Source;
  readonly #remembered = new Map<string, HostAddresses>();

  constructor(options: ResolverOptions) {
    this.#clock = options.clock;
    this.#nameServers = options.nameServers;
    this.#source = this.#sourceOf(options.servers);
    this.#read = options.readText ?? readText;
    this.#hostsFile = new HostsFile("/etc/hosts", this.#read);
  }

  /**
   * Asks these servers from the next question on. Those under way end where they were asked, and nobody who asks from
   * now on joins them. What is remembered of hosts stays.
   */
  useServers(servers: ServerAddresses): void {
    this.#source = this.#sourceOf(servers);
  }

  /** Settles within `resolveTimeoutMs`. Never rejects. */
  async resolve(name: Name): Promise<Answer> {
    switch (name.kind) {
      case "host": {
        const answer = await this.#host(name.host, this.#source);
        const record = { target: name.host, port: name.port, priority: 0, weight: undefined };
        return answerOf(addressesOf(answer, record), answer);
      }
      case "srv":
        return this.#service(name, this.#source);
    }
  }

  /** Gives up what is under way: it fails, and its sockets are closed. Without this it would hold the process until it is over. */
  close(): void {
    this.#closed = true;
    for (const round of this.#rounds) round.cancel();
  }

  #sourceOf(servers: ServerAddresses): Source {
    const inPlace = this.#nameServers;
    const given = inPlace === undefined ? servers.map((server) => nameServerAt(server, this.#clock)) : [];
    const nameServers =
      inPlace !== undefined
        ? () => inPlace(servers)
        : given.length > 0
          ? () => given
          : () => systemNameServers(this.#clock);
    return { nameServers, searches: servers.length === 0, hostsAsked: new Map(), servicesAsked: new Map() };
  }

  async #service(name: Name & { kind: "srv" }, source: Source): Promise<Answer> {
    const untilMs = this.#clock.nowMs() + resolveTimeoutMs;
    const answer = await once(source.servicesAsked, canonicalHost(name.name), (complete) =>
      this.#turns.take(() => this.#ask(source, (server) => server.services(complete), untilMs)),
    );
    if (answer.kind === "failed") return { ok: false, why: answer.why };
    if (answer.kind === "none") return { ok: false, why: "there is no such name, or it has no SRV record" };
    // The root as the target says "there is no such service".
    const records = answer.records.filter((record) => canonicalHost(record.target) !== "");
    if (records.length === 0) return { ok: false, why: `${formatName(name)} says that there is no such service` };
    const used = records.toSorted((one, other) => one.priority - other.priority).slice(0, serviceRecordsMax);
    const targets = await Promise.all(used.map((record) => this.#target(record.target, source, untilMs)));
    const addresses = used.flatMap((record, index) => addressesOf(targets[index]!, record));
    return answerOf(addresses, targets.find((target) => target.kind === "failed") ?? { kind: "none" });
  }

  /** A target is a complete name. One that has no answer while others have one keeps the addresses that it had. */
  async #target(target: string, source: Source, untilMs: number): Promise<HostAnswer> {
    const complete = `${canonicalHost(target)}.`;
    const answer = await this.#until(this.#host(complete, source), untilMs);
    const remembered = this.#remembered.get(complete);
    return answer.kind !== "found" && remembered !== undefined ? { kind: "found", ...remembered } : answer;
  }

  /** One question for a host, however many want to know. */
  async #host(host: string, source: Source): Promise<HostAnswer> {
    const untilMs = this.#clock.nowMs() + resolveTimeoutMs;
    return once(source.hostsAsked, host.toLowerCase(), async (wanted) => {
      const known = await this.#withoutAsking(canonicalHost(wanted));
      return known ?? this.#turns.take(() => this.#search(wanted, source, untilMs));
    });
  }

  /** Addresses, what the hosts file knows, and localhost, which is this machine whatever a server says (RFC 6761 section 6.3). */
  async #withoutAsking(canonicalName: string): Promise<HostAnswer | undefined> {
    if (isPlainIp(canonicalName)) return byFamily([canonicalName]);
    const addresses = await this.#hostsFile.addressesOf(canonicalName);
    if (addresses.length > 0) return byFamily(addresses);
    return canonicalName === "localhost" || canonicalName.endsWith(".localhost") ? loopback : undefined;
  }

  async #search(host: string, source: Source, untilMs: number): Promise<HostAnswer> {
    for (const candidate of candidates(host, await this.#searchList(source))) {
      const [ipv4, ipv6] = await Promise.all([
        this.#ask(source, (server) => server.addresses(candidate, 4), untilMs),
        this.#ask(source, (server) => server.addresses(candidate, 6), untilMs),
      ]);
      const answer = this.#together(host, ipv4, ipv6);
      if (answer.kind !== "none") return answer;
    }
    return { kind: "none" };
  }

  /** A family that failed while the other has an answer keeps the addresses that it had. */
  #together(host: string, ipv4: Reply<string>, ipv6: Reply<string>): HostAnswer {
    if (ipv4.kind !== "found" && ipv6.kind !== "found") {
      return ipv4.kind === "failed" ? ipv4 : ipv6.kind === "failed" ? ipv6 : { kind: "none" };
    }
    const before = this.#remembered.get(host);
    const now = {
      ipv4: ipv4.kind === "failed" ? (before?.ipv4 ?? []) : recordsOf(ipv4),
      ipv6: ipv6.kind === "failed" ? (before?.ipv6 ?? []) : recordsOf(ipv6),
    };
    this.#remember(host, now);
    return { kind: "found", ...now };
  }

  #remember(host: string, addresses: HostAddresses): void {
    this.#remembered.delete(host);
    this.#remembered.set(host, addresses);
    if (this.#remembered.size <= rememberedMax) return;
    const [oldest] = this.#remembered.keys();
    this.#remembered.delete(oldest!);
  }

  async #searchList({ searches }: Source): Promise<SearchList> {
    if (!searches) return noSearchList;
    return parseSearchList((await this.#read("/etc/resolv.conf")) ?? "", hostname());
  }

  async #ask<T>({ nameServers }: Source, ask: (server: NameServer) => Asking<T>, untilMs: number): Promise<Reply<T>> {
    const withinMs = untilMs - this.#clock.nowMs();
    if (withinMs <= 0 || this.#closed) return overdue;
    const round = askInTurn(nameServers(), ask, this.#clock, withinMs);
    this.#rounds.add(round);
    const reply = await round.reply;
    this.#rounds.delete(round);
    return reply ?? overdue;
  }

  /** What is not there by then has failed. */
  async #until(answer: Promise<HostAnswer>, untilMs: number): Promise<HostAnswer> {
    const { promise, resolve } = Promise.withResolvers<HostAnswer>();
    const deadline = this.#clock.setTimer(() => resolve(overdue), Math.max(0, untilMs - this.#clock.nowMs()));
    try {
      return await Promise.race([answer, promise]);
    } finally {
      this.#clock.clearTimer(deadline);
    }
  }
}

/** The work for a key, or the one that is under way already. */
async function once<T>(underWay: Map<string, Promise<T>>, key: string, work: (key: string) => Promise<T>): Promise<T> {
  const joined = underWay.get(key);
  if (joined !== undefined) return joined;
  const begun = work(key);
  underWay.set(key, begun);
  try {
    return await begun;
  } finally {
    underWay.delete(key);
  }
}

function byFamily(addresses: readonly string[]): HostAnswer {
  return {
    kind: "found",
    ipv4: addresses.filter((address) => !address.includes(":")),
    ipv6: addresses.filter((address) => address.includes(":")),
  };
}

function recordsOf(reply: Reply<string>): readonly string[] {
  return reply.kind === "found" ? reply.records : [];
}

/** The addresses of a host with what else belongs to them. All of them together have the weight of the record. */
function addressesOf(
  answer: HostAnswer,
  { target, port, priority, weight }: Omit<ResolvedAddress, "host">,
): readonly ResolvedAddress[] {
  if (answer.kind !== "found") return [];
  const hosts = [...answer.ipv4, ...answer.ipv6];
  const share = weight === undefined ? undefined : weight / hosts.length;
  return hosts.map((host) => ({ host, port, priority, weight: share, target: canonicalHost(target) }));
}

function answerOf(addresses: readonly ResolvedAddress[], otherwise: HostAnswer): Answer {
  if (addresses.length > 0) return { ok: true, addresses: addressSet(addresses) };
  return { ok: false, why: otherwise.kind === "failed" ? otherwise.why : nothing };
}
