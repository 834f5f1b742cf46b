/** The members of a backend: from the addresses and names of the configuration to the endpoints there are, as names change. */
import { formatAddress, isIp, type EndpointAddress } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { Backend } from "./backend.ts";
import { Endpoint, type DialAddress, type EndpointSettings } from "./endpoint.ts";
import { formatName, type Name, type ResolvedAddress } from "./names/name.ts";
import type { Resolver } from "./names/resolver.ts";
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

/** Fills one backend, from `start` to `stop`. */
export class Members {
  readonly #backend: Backend;
  readonly #configured: readonly MemberSettings[];
  readonly #answers = new Map<string, readonly ResolvedAddress[]>();
  readonly #names: WatchedNames | undefined;

  constructor(
    backend: Backend,
    configured: readonly MemberSettings[],
    /** How often names are resolved again, in ms; 0 = once. */
    resolveMs: number,
    resolver: Resolver,
    clock: Clock,
    observer: MembersObserver,
  ) {
    this.#backend = backend;
    this.#configured = configured;
    const names = configured.map(({ address }) => nameOf(address)).filter((name) => name !== undefined);
    this.#names =
      names.length === 0
        ? undefined
        : new WatchedNames(names, resolveMs, resolver, clock, {
            changed: (name, addresses) => {
              this.#answers.set(formatName(name), addresses);
              this.#fill();
              observer.resolved(formatName(name), addresses.map(textOf));
            },
            recovered: (name, addresses) => observer.resolved(formatName(name), addresses.map(textOf)),
            failed: (name, why, kept) => observer.unresolved(formatName(name), why, kept),
          });
  }

  /** Settles when each name has been asked for once, whatever came of it. Addresses are there at once. */
  async start(): Promise<void> {
    this.#fill();
    await this.#names?.start();
  }

  stop(): void {
    this.#names?.stop();
  }

  /** Gives the backend the endpoints there are now. One that was there before is the same object, with all that is known of it. */
  #fill(): void {
    const before = new Map(this.#backend.endpoints.map((endpoint) => [endpoint.name, endpoint]));
    const now = new Map<string, Endpoint>();
    for (const member of this.#configured) {
      for (const { dialAddress, settings } of this.#addressesOf(member)) {
        const name = formatAddress(dialAddress);
        // Two names may lead to one address; it is one endpoint, of the first.
        if (now.has(name)) continue;
        const known = before.get(name);
        if (known !== undefined) known.settings = settings;
        now.set(name, known ?? new Endpoint(member.address, dialAddress, settings));
      }
    }
    this.#backend.setEndpoints([...now.values()]);
  }

  #addressesOf(member: MemberSettings): { dialAddress: DialAddress; settings: EndpointSettings }[] {
    const { address, weight, backup, connectionsMax } = member;
    const own = { weight, backup, connectionsMax };
    const name = nameOf(address);
    if (name === undefined) return [{ dialAddress: address as DialAddress, settings: own }];
    const addresses = this.#answers.get(formatName(name)) ?? [];
    const settings = address.kind === "srv" ? srvSettings(addresses, own) : undefined;
    return addresses.map(({ host, port }, index) => ({
      dialAddress: { kind: "tcp", host, port },
      settings: settings?.[index] ?? own,
    }));
  }
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
