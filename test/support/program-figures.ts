/** The figures of a program that is not there: a test says what happens in it. */
import type { BackendFigures, ListenerFigures, ProgramFigures } from "../../src/admin/figures.ts";
import { BackendTraffic, ListenerTraffic } from "../../src/stats/traffic.ts";

/** Figures that a test changes, and that are read as the program's are. */
export class FiguresToChange {
  ready = true;
  readonly #listeners = new Map<string, ListenerToChange>();
  readonly #backends = new Map<string, BackendTraffic>();

  listener(name: string): ListenerToChange {
    let found = this.#listeners.get(name);
    if (found === undefined) this.#listeners.set(name, (found = new ListenerToChange()));
    return found;
  }

  backend(name: string): BackendTraffic {
    let found = this.#backends.get(name);
    if (found === undefined) this.#backends.set(name, (found = new BackendTraffic()));
    return found;
  }

  read(): ProgramFigures {
    return {
      ready: this.ready,
      state: "ready",
      drainRemainingMs: undefined,
      version: "0",
      listeners: [...this.#listeners].map(([name, listener]) => listener.read(name)),
      backends: [...this.#backends].map(([name, { connects, firstBytes, retries }]): BackendFigures => {
        return { name, connects, firstBytes, retries, endpoints: [] };
      }),
      timeouts: new Map(),
      engines: { copy: 0, splice: 0 },
      reloads: { applied: 0, invalid: 0, refused: 0 },
      traces: undefined,
      descriptors: { open: 0, max: 0 },
      connectionsMax: 0,
    };
  }
}

/** What happens at a listener. */
class ListenerToChange {
  readonly #traffic = new ListenerTraffic();
  #active = 0;

  open(count: number): void {
    this.#active += count;
  }

  /** Connections that were open end. */
  close(count: number, backend: string, end: string): void {
    this.#active -= count;
    this.end(backend, end, count);
  }

  /** Connections come and end. */
  end(backend: string, end: string, count: number): void {
    for (let one = 0; one < count; one++) this.#traffic.end(backend, end);
  }

  move(toBackend: number, toClient: number): void {
    this.#traffic.endedBytesToBackend += toBackend;
    this.#traffic.endedBytesToClient += toClient;
  }

  read(name: string): ListenerFigures {
    const { ended, endedBytesToBackend, endedBytesToClient, durations } = this.#traffic;
    return {
      name,
      active: this.#active,
      ended,
      bytesToBackend: endedBytesToBackend,
      bytesToClient: endedBytesToClient,
      durations,
    };
  }
}
