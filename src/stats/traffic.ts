/** What went through the program since its start, by listener and by backend. Sums outlive the listeners and backends of a reload. */
import { DurationHistogram } from "./histogram.ts";

/** Of one listener. */
export class ListenerTraffic {
  /** Connections that were taken or refused. */
  accepted = 0;
  /** Connections that ended: by backend (`""` where there was none), then by end. */
  readonly ended = new Map<string, Map<string, number>>();
  /** Bytes of the connections that ended. */
  endedBytesToBackend = 0;
  endedBytesToClient = 0;
  /** How long the connections lasted. */
  readonly durations = new DurationHistogram();
  /** Clients whose first bytes did not come, or decided nothing, within `timeouts.inspect`: those served all the same too. */
  inspectTimeouts = 0;

  /** Counts the end of a connection. */
  end(backend: string, end: string): void {
    let ends = this.ended.get(backend);
    if (ends === undefined) this.ended.set(backend, (ends = new Map()));
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
}

/** Of one backend. */
export class BackendTraffic {
  /** How long the attempts took that brought a connection. */
  readonly connects = new DurationHistogram();
  /** From accept to the first byte to the client. */
  readonly firstBytes = new DurationHistogram();
  /** Attempts beyond the first of a connection. */
  retries = 0;
  /** Attempts given up after `timeouts.connect`. */
  connectTimeouts = 0;
}

/** One for the program. */
export class Traffic {
  readonly listeners = new Map<string, ListenerTraffic>();
  readonly backends = new Map<string, BackendTraffic>();

  /** The sums of a listener, which begin when it is first asked for. */
  listener(name: string): ListenerTraffic {
    return getOrMake(this.listeners, name, () => new ListenerTraffic());
  }

  /** A listener that never was: it could not be bound. */
  forgetListener(name: string): void {
    this.listeners.delete(name);
  }

  /** The sums of a backend, likewise. */
  backend(name: string): BackendTraffic {
    return getOrMake(this.backends, name, () => new BackendTraffic());
  }
}

function getOrMake<T>(map: Map<string, T>, name: string, make: () => T): T {
  let found = map.get(name);
  if (found === undefined) map.set(name, (found = make()));
  return found;
}
