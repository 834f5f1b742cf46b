/** The members of a backend: from the addresses and names of the configuration to the endpoints there are, as both change. */
import { formatAddress, isIp, type EndpointAddress } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { Backend } from "./backend.ts";
import { Endpoint, type DialAddress, type EndpointSettings } from "./endpoint.ts";
import { formatName, type Name, type ResolvedAddress } from "./names/name.ts";
import type { Answer, NameResolver } from "./names/resolver.ts";
import { srvSettings } from "./names/srv-settings.ts";
import { WatchedNames } from "./names/watched-names.ts";

/** An endpoint as configured: an address, or a name that stands for any number of them. */
export interface MemberSettings extends EndpointSettings {
  readonly address: EndpointAddress;
}

/** Whom it tells about names; the backend's own observers hear of endpoints. */
export interface MembersObserver {
  /** A name could not be resolved, for the first time since it could; `kept` addresses of its last answer stay in use. */
  unresolved(name: string, why: string, kept: number): void;
  /** A name has an answer again, or its first one. */
  resolved(name: string, addresses: readonly string[]): void;
}

/** An endpoint, and the member of the configuration that it came from last. */
interface KnownEndpoint {
  readonly endpoint: Endpoint;
  readonly member: MemberSettings;
}

/** Endpoints that have left and are remembered; beyond them the one that left first is forgotten. */
const departedMax = 1_000;

/** Fills one backend, from `start` to `stop`. */
export class Members {
  readonly #backend: Backend;
  readonly #resolver: NameResolver;
  readonly #names: WatchedNames;
  #state: "new" | "running" | "stopped" = "new";
  #configured: readonly MemberSettings[];
  /** Those in the backend, by name. */
  #known: ReadonlyMap<string, KnownEndpoint> = new Map();
  /**
   * Those that left the backend and must be the same when they return, as with a name whose answer has its addresses by
   * turns: sessions hold them, or the operator wants something of them.
   */
  readonly #departed = new Map<string, KnownEndpoint>();
  /** What has been learnt so far of the names of a coming configuration. */
  #learnt = new Map<string, Answer>();
  #endLearning: () => void = () => {};

  constructor(
    backend: Backend,
    configured: readonly MemberSettings[],
    /** How often names are resolved again, in ms; 0 = once. */
    resolveMs: number,
    resolver: NameResolver,
    clock: Clock,
    observer: MembersObserver,
  ) {
    this.#backend = backend;
    this.#resolver = resolver;
    this.#configured = configured;
    this.#names = new WatchedNames(namesOf(configured), resolveMs, resolver, clock, {
      changed: (name, addresses) => {
        this.#fill("names");
        observer.resolved(formatName(name), addresses.map(textOf));
      },
      recovered: (name, addresses) => observer.resolved(formatName(name), addresses.map(textOf)),
      failed: (name, why, kept) => observer.unresolved(formatName(name), why, kept),
    });
  }

  /**
   * Settles when each name has been asked for once, whatever came of it, or is configured no more; at `stop` at the
   * latest. Addresses are there at once.
   */
  async start(): Promise<void> {
    if (this.#state !== "new") return;
    this.#state = "running";
    this.#fill("configuration");
    await this.#names.start();
  }

  /**
   * Asks for those names of a coming configuration that are not known yet, and changes nothing. Settles when each has
   * been asked for, whatever came of it, at `stop` at the latest; never rejects. A second time it begins anew, and the
   * first one settles.
   */
  async learn(members: readonly MemberSettings[]): Promise<void> {
    this.#endLearning();
    const learnt = (this.#learnt = new Map<string, Answer>());
    if (this.#state === "stopped") return;
    const unknown = namesOf(members).filter((name) => !this.#names.has(name));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endLearning = resolve;
    const asked = unknown.map(async (name) => learnt.set(formatName(name), await this.#resolver.resolve(name)));
    void Promise.all(asked).then(() => resolve());
    await promise;
  }

  /**
   * Fills the backend from these members, at once: names that stay keep their answers, of others what was learnt counts,
   * and those of which nothing was are asked for. An endpoint that stays is the same object, with all that is known of
   * it and what the operator wants of it; but where the configured weight has changed, the operator's ends.
   */
  configure(members: readonly MemberSettings[], resolveMs: number): void {
    if (this.#state === "stopped") return;
    this.#configured = members;
    this.#names.configure(namesOf(members), resolveMs, this.#learnt);
    this.#learnt = new Map();
    if (this.#state === "new") return;
    this.#fill("configuration");
    void this.#names.start();
  }

  /** Asks for names no more; the backend keeps what it has. */
  stop(): void {
    this.#state = "stopped";
    this.#names.stop();
    this.#endLearning();
  }

  /** Gives the backend the endpoints there are now. */
  #fill(changed: "names" | "configuration"): void {
    const now = new Map<string, KnownEndpoint>();
    for (const member of this.#configured) {
      for (const { dialAddress, settings } of this.#addressesOf(member)) {
        const name = formatAddress(dialAddress);
        // Two names may lead to one address; it is one endpoint, of the first.
        if (now.has(name)) continue;
        const before = this.#known.get(name) ?? this.#departed.get(name);
        const endpoint = before?.endpoint ?? new Endpoint(member.address, dialAddress, settings);
        if (before !== undefined) {
          endpoint.configure(member.address, settings);
          const reconfigured = changed === "configuration" || !this.#known.has(name);
          if (reconfigured && before.member.weight !== member.weight) endpoint.weightOverride = undefined;
        }
        now.set(name, { endpoint, member });
      }
    }
    this.#depart(now);
    this.#known = now;
    this.#backend.setEndpoints([...now.values()].map(({ endpoint }) => endpoint));
  }

  /** Remembers of those that leave who must be the same when they return, and forgets who need not any more. */
  #depart(now: ReadonlyMap<string, KnownEndpoint>): void {
    for (const [name, known] of this.#known) if (!now.has(name)) this.#departed.set(name, known);
    for (const [name, { endpoint }] of this.#departed) {
      const { active, state, weightOverride } = endpoint;
      const isFree = active === 0 && state === "ready" && weightOverride === undefined;
      if (isFree || now.has(name) || this.#departed.size > departedMax) this.#departed.delete(name);
    }
  }

  #addressesOf(member: MemberSettings): { dialAddress: DialAddress; settings: EndpointSettings }[] {
    const { address, weight, backup, connectionsMax } = member;
    const own = { weight, backup, connectionsMax };
    const name = nameOf(address);
    if (name === undefined) return [{ dialAddress: address as DialAddress, settings: own }];
    const addresses = this.#names.addressesOf(name) ?? [];
    const settings = address.kind === "srv" ? srvSettings(addresses, own) : undefined;
    return addresses.map(({ host, port }, index) => ({
      dialAddress: { kind: "tcp", host, port },
      settings: settings?.[index] ?? own,
    }));
  }
}

function namesOf(members: readonly MemberSettings[]): Name[] {
  return members.map(({ address }) => nameOf(address)).filter((name) => name !== undefined);
}

/** What has to be resolved; `undefined` for an address. */
function nameOf(address: EndpointAddress): Name | undefined {
  if (address.kind === "srv") return { kind: "srv", name: address.name };
  if (address.kind === "unix" || isIp(address.host)) return undefined;
  return { kind: "host", host: address.host, port: address.port };
}

function textOf({ host, port }: ResolvedAddress): string {
  return formatAddress({ kind: "tcp", host, port });
}
