/** The drains of the program: of all connections at its end, and of those of listeners that a reload has removed. */
import type { Config } from "./config/schema.ts";
import type { Clock } from "./core/clock.ts";
import { closedWithin, drain, type DrainGroup, type DrainObserver } from "./listener/drain.ts";
import type { Service } from "./listener/service.ts";
import type { SessionRegistry } from "./session/registry.ts";
import type { ActiveConnections } from "./stats/active-connections.ts";
import type { Log } from "./telemetry/log.ts";

/** What is drained, and who hears of it. */
export interface DrainsEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  readonly active: ActiveConnections;
  readonly registry: SessionRegistry;
  /** At the end of the program, and not for a removed listener: so many connections are left. */
  left(connections: number): void;
}

/** How long a second signal waits for the connections to be closed, so that each has its record. */
const forcedWithinMs = 250;

/** One for the program. */
export class Drains {
  readonly #environment: DrainsEnvironment;
  /** Services that were removed, until they are drained; and when that is. */
  readonly #removed = new Map<Service, Promise<void>>();
  /** Connections of removed services that were cut by a deadline of theirs while the program ended. */
  #cutMeanwhile = 0;
  #ending = false;

  constructor(environment: DrainsEnvironment) {
    this.#environment = environment;
  }

  /** Services that were removed, and are not drained yet. */
  get removed(): Iterable<Service> {
    return this.#removed.keys();
  }

  /** Drains the connections of a service that accepts no more, as at a shutdown; the rest of the program goes on. */
  remove(service: Service, settings: Config["shutdown"]): void {
    this.#removed.set(service, this.#remove(service, settings));
  }

  async #remove(service: Service, { drainMs, idleMs }: Config["shutdown"]): Promise<void> {
    const { clock, log } = this.#environment;
    const { name: listener } = service;
    const observer = this.#observer({ listener }, () => {});
    const { cut } = await drain({ deadlineMs: drainMs, idleMs }, service, clock, observer);
    this.#removed.delete(service);
    if (this.#ending) this.#cutMeanwhile += cut;
    log.info({ listener, cut }, "a listener that was removed is drained");
  }

  /** Drains everything, what was removed before included. Resolves with how many connections were cut. */
  async all(services: readonly Service[], { drainMs, idleMs }: Config["shutdown"]): Promise<number> {
    const { clock, left } = this.#environment;
    this.#ending = true;
    const { cut } = await drain(
      { deadlineMs: drainMs, idleMs },
      this.#everybody(services),
      clock,
      this.#observer({}, left),
    );
    return cut + this.#cutMeanwhile;
  }

  /** Resets every connection, at once; resolves when they are closed, or soon. */
  async force(): Promise<void> {
    this.#environment.registry.endAll("forced");
    await closedWithin(this.#everybody([]), this.#environment.clock, forcedWithinMs);
  }

  #everybody(services: readonly Service[]): DrainGroup {
    const { active, registry } = this.#environment;
    const removed = this.#removed;
    return {
      // A removed one may be closing still, for those in its queue.
      listeners: [...services, ...removed.keys()].map(({ listener }) => listener),
      get active() {
        return active.count;
      },
      async whenEmpty() {
        await Promise.all(removed.values());
        await active.whenZero();
      },
      beginDrain(idleMs) {
        for (const service of [...services, ...removed.keys()]) service.beginDrain(idleMs);
      },
      endAll: (end, beforeEach) => registry.endAll(end, beforeEach),
    };
  }

  #observer(what: object, tellLeft: (connections: number) => void): DrainObserver {
    const { log } = this.#environment;
    return {
      left: (connections, remainingMs) => {
        const remaining_ms = remainingMs === undefined ? null : Math.round(remainingMs);
        log.info({ ...what, connections, remaining_ms }, "draining");
        tellLeft(connections);
      },
      cut: ({ id, client, context, target, endpoint }) =>
        log.warn(
          {
            id,
            listener: context.listener,
            client,
            backend: target?.backend.name ?? null,
            endpoint: endpoint?.name ?? null,
          },
          "cut: the drain deadline has passed",
        ),
    };
  }
}
