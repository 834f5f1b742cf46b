/**
 * A service: a listener with the backend behind it. Makes sessions of what is accepted, and keeps their sums.
 */
import type { Backend } from "../backend/backend.ts";
import type { Dialer } from "../backend/dial.ts";
import type { Clock } from "../core/clock.ts";
import type { TimerWheel } from "../core/timer-wheel.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import type { SessionTimeouts } from "../session/deadlines.ts";
import type { End } from "../session/end.ts";
import { rejectedRecord, type AccessRecord } from "../session/record.ts";
import type { SessionRegistry } from "../session/registry.ts";
import { Session, type Mover, type SessionContext } from "../session/session.ts";
import type { Admission } from "./admission.ts";
import { Listener, type Acceptor, type ListenerSettings } from "./listener.ts";

/** What all services of the program share. */
export interface ServiceEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly dialer: Dialer;
  readonly registry: SessionRegistry;
  readonly admission: Admission;
  /** Takes over bulk sessions; `undefined` where all stay with the copy engine. */
  readonly mover?: Mover | undefined;
  /** Takes access records; `undefined` when none are written. */
  readonly access: ((record: AccessRecord) => void) | undefined;
  /** A mistake of our own; `session` is what it cost. */
  internalError(error: Error, session: Session | undefined): void;
}

/** What a service is configured with, its backend aside. */
export interface ServiceSettings {
  readonly listener: ListenerSettings;
  readonly timeouts: SessionTimeouts;
  readonly keepaliveMs: number;
  readonly noDelay: boolean;
}

/** Lives as long as the program. */
export class Service implements Acceptor {
  readonly listener: Listener;
  readonly backend: Backend;
  /** Connections that ended since start, by reason. */
  readonly ended = new Map<End, number>();
  /** Bytes of the sessions that have ended. */
  readonly endedBytes = { toBackend: 0, toClient: 0 };

  readonly #environment: ServiceEnvironment;
  readonly #context: SessionContext;

  constructor(settings: ServiceSettings, backend: Backend, environment: ServiceEnvironment) {
    const { clock, wheel, dialer, registry, admission } = environment;
    this.backend = backend;
    this.#environment = environment;
    this.listener = new Listener(settings.listener, admission, this, clock);
    this.#context = {
      listener: settings.listener.name,
      backend,
      timeouts: settings.timeouts,
      keepaliveMs: settings.keepaliveMs,
      noDelay: settings.noDelay,
      recorded: environment.access !== undefined,
      clock,
      wheel,
      dialer,
      registry,
      mover: environment.mover,
      closed: (session) => this.#closed(session),
      internalError: (session, error) => environment.internalError(error, session),
    };
  }

  accepted(_listener: Listener, socket: ProxySocket): void {
    new Session(this.#context, socket).begin();
  }

  rejected(listener: Listener, socket: ProxySocket): void {
    this.#count("limit_connections");
    const { access, registry } = this.#environment;
    access?.(rejectedRecord(registry.nextId(), listener.name, socket, "limit_connections"));
  }

  failed(_listener: Listener, error: Error): void {
    this.#environment.internalError(error, undefined);
  }

  /** Bytes of all sessions, ended and open. */
  bytes(): { readonly toBackend: number; readonly toClient: number } {
    let { toBackend, toClient } = this.endedBytes;
    for (const session of this.#environment.registry.open) {
      if (session.context !== this.#context) continue;
      toBackend += session.bytesToBackend;
      toClient += session.bytesToClient;
    }
    return { toBackend, toClient };
  }

  #closed(session: Session): void {
    this.endedBytes.toBackend += session.bytesToBackend;
    this.endedBytes.toClient += session.bytesToClient;
    this.#count(session.end!);
    try {
      this.#environment.access?.(session.record());
    } finally {
      // Last: this may wake who waits for the last session, or let the next one in.
      this.listener.giveBack();
    }
  }

  #count(end: End): void {
    this.ended.set(end, (this.ended.get(end) ?? 0) + 1);
  }
}
