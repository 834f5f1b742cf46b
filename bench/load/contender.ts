/** Something that clients connect to during a measurement: a proxy that is started for it, or the backend itself. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type ChildOptions,
  freePort,
  howEnded,
  lastLines,
  type SilentChild,
  startSilent,
  stop,
  waitUntilReady,
} from "./child.ts";
import type { Load } from "./load.ts";
import type { Limits, Placement } from "./machine.ts";
import { type Peer, repository } from "./peer.ts";

/** A contender of one load. `start` of one that runs changes nothing. */
export interface Contender {
  readonly name: string;
  start(): Promise<{ port: number; pid: number | undefined; fresh: boolean }>;
  stop(): Promise<void>;
  /** How it ended without being asked to; undefined while it runs. */
  death(): Promise<string | undefined>;
}

/** What a proxy is started with. */
export interface Place {
  readonly placement: Placement;
  readonly limits: Limits;
  /** Temporary folder for configurations and logs. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** The contender without a proxy. */
export const directName = "direct";

/** Clients connect to the backend. */
export class Direct implements Contender {
  readonly name = directName;
  readonly #port: number;
  #fresh = true;

  constructor(port: number) {
    this.#port = port;
  }

  start(): ReturnType<Contender["start"]> {
    const fresh = this.#fresh;
    this.#fresh = false;
    return Promise.resolve({ port: this.#port, pid: undefined, fresh });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  death(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

/** Clients connect to a proxy, which runs from the first measurement to the last one unless each wants a fresh one. */
export class StartedProxy implements Contender {
  readonly name: string;
  readonly #peer: Peer;
  readonly #load: Load;
  readonly #backendPort: number;
  readonly #place: Place;
  #running: { child: SilentChild; beside: SilentChild | undefined; options: ChildOptions; port: number } | undefined;

  constructor(peer: Peer, load: Load, backendPort: number, place: Place) {
    this.name = peer.name;
    this.#peer = peer;
    this.#load = load;
    this.#backendPort = backendPort;
    this.#place = place;
  }

  async start(): ReturnType<Contender["start"]> {
    if (this.#running !== undefined) return { port: this.#running.port, pid: this.#running.child.pid, fresh: false };
    const { placement, limits, signal } = this.#place;
    const port = await freePort();
    const folder = join(this.#place.folder, `${this.#load.kind}-${this.name}-${port}`);
    await mkdir(folder, { recursive: true });
    const connections = limits.proxyConnections;
    const { command, beside } = await this.#peer.prepare({ folder, port, backendPort: this.#backendPort, connections });
    const options: ChildOptions = {
      name: this.name,
      command,
      core: placement.proxy,
      directory: repository,
      logFile: join(folder, "output.log"),
      signal,
    };
    const child = startSilent(options);
    const companion =
      beside &&
      startSilent({ ...options, command: beside, core: placement.generator, logFile: join(folder, "beside.log") });
    this.#running = { child, beside: companion, options, port };
    try {
      await waitUntilReady(child, port, options);
    } catch (error) {
      await this.stop();
      throw error;
    }
    return { port, pid: child.pid, fresh: true };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    await stop(running.child);
    if (running.beside !== undefined) await stop(running.beside);
  }

  async death(): Promise<string | undefined> {
    if (this.#running === undefined) return undefined;
    const { child, options } = this.#running;
    const how = howEnded(child);
    return how && `${this.name} ended under load with ${how}${await lastLines(options.logFile)}`;
  }
}
