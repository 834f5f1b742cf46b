/**
 * A service: a listener with what is behind it. Makes sessions of the clients it takes, and keeps their sums.
 */
import type { Dialer } from "../backend/dial.ts";
import { splitAddress } from "../core/address.ts";
import type { CidrSet } from "../core/cidr.ts";
import type { Clock } from "../core/clock.ts";
import type { TimerWheel } from "../core/timer-wheel.ts";
import { nobody, type ProxySocket } from "../forward/receiver.ts";
import type { Mover, SessionContext } from "../session/context.ts";
import type { SessionTimeouts } from "../session/deadlines.ts";
import type { End } from "../session/end.ts";
import type { InspectionSettings } from "../session/inspection.ts";
import { clientAddress, rejectedRecord, type AccessRecord } from "../session/record.ts";
import type { SessionRegistry } from "../session/registry.ts";
import { Session } from "../session/session.ts";
import type { Target } from "../session/target.ts";
import type { Admission } from "./admission.ts";
import { ClientRules, type ClientRuleSettings, type Refusal } from "./client-rules.ts";
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

/** What a service is configured with. */
export interface ServiceSettings {
  readonly listener: ListenerSettings;
  readonly timeouts: SessionTimeouts;
  readonly keepaliveMs: number;
  readonly noDelay: boolean;
  /** Where connections go that no route sends elsewhere. */
  readonly target: Target | undefined;
  readonly inspection: InspectionSettings | undefined;
  readonly clients: ClientRuleSettings;
  /** Who may send a PROXY header, where one is expected; empty = any peer. */
  readonly trusted: CidrSet;
}

/** Lives as long as the program. */
export class Service implements Acceptor {
  readonly listener: Listener;
  readonly settings: ServiceSettings;
  /** Connections that ended since start, by reason. */
  readonly ended = new Map<End, number>();
  /** Bytes of the sessions that have ended. */
  readonly endedBytes = { toBackend: 0, toClient: 0 };
  /** Clients whose first bytes did not decide their route within `timeouts.inspect`, or were not there at all. */
  inspectTimeouts = 0;

  readonly #environment: ServiceEnvironment;
  readonly #context: SessionContext;
  readonly #rules: ClientRules;
  /** Whether clients are known by their sockets; else by the PROXY header that comes first. */
  readonly #knowsClients: boolean;
  /** The addresses of the sessions that count for `connections_per_ip`. */
  readonly #hosts = new Map<Session, string>();

  constructor(settings: ServiceSettings, environment: ServiceEnvironment) {
    const { clock, wheel, dialer, registry, admission } = environment;
    this.settings = settings;
    this.#environment = environment;
    this.#rules = new ClientRules(settings.clients);
    this.#knowsClients = settings.inspection?.header !== true;
    this.listener = new Listener(settings.listener, admission, this, clock);
    this.#context = {
      listener: settings.listener.name,
      target: settings.target,
      inspection: settings.inspection,
      timeouts: settings.timeouts,
      keepaliveMs: settings.keepaliveMs,
      noDelay: settings.noDelay,
      recorded: environment.access !== undefined,
      clock,
      wheel,
      dialer,
      registry,
      mover: environment.mover,
      identified: (session) => this.#admit(session, session.clientHost),
      undecided: () => {
        this.inspectTimeouts++;
      },
      closed: (session) => this.#closed(session),
      internalError: (session, error) => environment.internalError(error, session),
    };
  }

  accepted(listener: Listener, socket: ProxySocket): void {
    const { trusted } = this.settings;
    if (this.#knowsClients ? !this.#rules.any : trusted.empty) return new Session(this.#context, socket).begin();
    const host = splitAddress(clientAddress(socket))?.host ?? "";
    const refusal = this.#knowsClients ? this.#refusal(host) : trusted.has(host) ? undefined : "denied";
    if (refusal !== undefined) {
      this.#reject(listener, socket, refusal);
      socket.data = nobody;
      socket.terminate();
      return listener.giveBack();
    }
    const session = new Session(this.#context, socket);
    if (this.#knowsClients) this.#hosts.set(session, host);
    session.begin();
  }

  rejected(listener: Listener, socket: ProxySocket, end: End): void {
    this.#reject(listener, socket, end);
  }

  #reject(listener: Listener, socket: ProxySocket, end: End): void {
    this.#count(end);
    const { access, registry } = this.#environment;
    access?.(rejectedRecord(registry.nextId(), listener.name, socket, end));
  }

  #refusal(host: string): Refusal | undefined {
    return this.#rules.admit(host, this.#environment.clock.nowMs());
  }

  /** Takes the client of a session, once its PROXY header has said who that is. */
  #admit(session: Session, host: string): Refusal | undefined {
    const refusal = this.#refusal(host);
    if (refusal === undefined) this.#hosts.set(session, host);
    return refusal;
  }

  /** Drops what is remembered of clients and needed no longer. To be called now and then. */
  forgetClients(): void {
    this.#rules.forget(this.#environment.clock.nowMs());
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
      this.#forgetHost(session);
      // Last: this may wake who waits for the last session, or let the next one in.
      this.listener.giveBack();
    }
  }

  #forgetHost(session: Session): void {
    const host = this.#hosts.get(session);
    if (host === undefined) return;
    this.#hosts.delete(session);
    this.#rules.giveBack(host);
  }

  #count(end: End): void {
    this.ended.set(end, (this.ended.get(end) ?? 0) + 1);
  }
}
