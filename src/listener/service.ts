/**
 * A service: a listener with what is behind it. Makes sessions of the clients it takes, and keeps their sums.
 */
import type { Dialer } from "../backend/dial.ts";
import { splitAddress } from "../core/address.ts";
import type { CidrSet } from "../core/cidr.ts";
import type { Clock } from "../core/clock.ts";
import type { TimerWheel } from "../core/timer-wheel.ts";
import { nobody, type ProxySocket } from "../forward/receiver.ts";
import type { Draining, Mover, SessionContext } from "../session/context.ts";
import type { SessionTimeouts } from "../session/deadlines.ts";
import type { End } from "../session/end.ts";
import type { InspectionSettings } from "../session/inspection.ts";
import { clientAddress, rejectedRecord, type AccessRecord } from "../session/record.ts";
import type { SessionRegistry } from "../session/registry.ts";
import { Session } from "../session/session.ts";
import type { ListenerTraffic, Traffic } from "../stats/traffic.ts";
import type { Target } from "../session/target.ts";
import type { Admission } from "./admission.ts";
import { ClientRules, type ClientRuleSettings, type Refusal } from "./client-rules.ts";
import type { DrainGroup } from "./drain.ts";
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
  readonly traffic: Traffic;
  readonly records: RecordTaker;
  /** A mistake of our own; `session` is what it cost. */
  internalError(error: Error, session: Session | undefined): void;
}

/** Who writes down what became of connections. */
export interface RecordTaker {
  /** Whether access records are taken at present. */
  readonly recordsAccess: boolean;
  /** Takes the access record of a connection. */
  access(record: AccessRecord): void;
  /** Whether the connection that comes now is to be traced: throws the dice. */
  samplesTrace(): boolean;
  /** Takes a connection that is over, for a trace; `session` is `undefined` for one that was refused when it was accepted. */
  trace(record: AccessRecord, session: Session | undefined): void;
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

/** Lives as long as its listener is in the configuration, and then until its last session has ended. */
export class Service implements Acceptor, DrainGroup {
  readonly name: string;
  readonly listener: Listener;
  /** Outlives this service, where a reload brings another one of the same name. */
  readonly traffic: ListenerTraffic;

  readonly #environment: ServiceEnvironment;
  readonly #rules: ClientRules;
  readonly #draining: Draining = { idleMs: 0 };
  #settings: ServiceSettings;
  /** Of sessions that are accepted from now on. */
  #context: SessionContext;
  /** The addresses of the sessions that count for `connections_per_ip`. */
  readonly #hosts = new Map<Session, string>();

  constructor(settings: ServiceSettings, environment: ServiceEnvironment) {
    this.name = settings.listener.name;
    this.traffic = environment.traffic.listener(this.name);
    this.#settings = settings;
    this.#environment = environment;
    this.#rules = new ClientRules(settings.clients);
    this.listener = new Listener(settings.listener, environment.admission, this, environment.clock);
    this.#context = this.#contextOf(settings);
  }

  get settings(): ServiceSettings {
    return this.#settings;
  }

  /**
   * Holds for sessions from now on; those that are open go on as they are. Name and address of the listener are the same.
   * Returns what could not be done.
   */
  configure(settings: ServiceSettings): string | undefined {
    this.#settings = settings;
    this.#rules.configure(settings.clients);
    this.#context = this.#contextOf(settings);
    return this.listener.configure(settings.listener);
  }

  #contextOf(settings: ServiceSettings): SessionContext {
    const { clock, wheel, dialer, registry, mover, records, internalError } = this.#environment;
    return {
      listener: this.name,
      target: settings.target,
      inspection: settings.inspection,
      timeouts: settings.timeouts,
      keepaliveMs: settings.keepaliveMs,
      noDelay: settings.noDelay,
      get recordsAccess() {
        return records.recordsAccess;
      },
      samplesTrace: () => records.samplesTrace(),
      draining: this.#draining,
      clock,
      wheel,
      dialer,
      registry,
      mover,
      identified: (session) => this.#admit(session, session.clientHost),
      undecided: () => {
        this.traffic.inspectTimeouts++;
      },
      connected: ({ target, attempts }) =>
        this.#environment.traffic.backend(target!.backend.name).connects.add(attempts!.connectMs!),
      answered: ({ target }, firstByteMs) =>
        this.#environment.traffic.backend(target!.backend.name).firstBytes.add(firstByteMs),
      closed: (session) => this.#closed(session),
      internalError: (session, error) => internalError(error, session),
    };
  }

  /** Whether clients are known by their sockets; else by the PROXY header that comes first. */
  get #knowsClients(): boolean {
    return this.#settings.inspection?.header !== true;
  }

  accepted(listener: Listener, socket: ProxySocket): void {
    const { trusted } = this.#settings;
    this.traffic.accepted++;
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
    if (this.#knowsClients) this.#keepHost(session, host);
    session.begin();
  }

  rejected(listener: Listener, socket: ProxySocket, end: End): void {
    this.traffic.accepted++;
    this.#reject(listener, socket, end);
  }

  #reject(listener: Listener, socket: ProxySocket, end: End): void {
    const { records, registry } = this.#environment;
    const { recordsAccess } = records;
    const traced = records.samplesTrace();
    const client = recordsAccess || traced ? clientAddress(socket) : "";
    const record = rejectedRecord(registry.nextId(), listener.name, client, end);
    this.traffic.durations.add(record.duration_ms);
    this.traffic.end("", end);
    if (recordsAccess) records.access(record);
    if (traced) records.trace(record, undefined);
  }

  #refusal(host: string): Refusal | undefined {
    return this.#rules.admit(host, this.#environment.clock.nowMs());
  }

  /** Takes the client of a session, once its PROXY header has said who that is. */
  #admit(session: Session, host: string): Refusal | undefined {
    const refusal = this.#refusal(host);
    if (refusal === undefined) this.#keepHost(session, host);
    return refusal;
  }

  #keepHost(session: Session, host: string): void {
    if (this.#rules.countsConnections) this.#hosts.set(session, host);
  }

  /** Drops what is remembered of clients and needed no longer. To be called now and then. */
  forgetClients(): void {
    this.#rules.forget(this.#environment.clock.nowMs());
  }

  failed(_listener: Listener, error: Error): void {
    this.#environment.internalError(error, undefined);
  }

  // Draining, where a reload has taken the listener out of the configuration, and at shutdown.

  get listeners(): readonly Listener[] {
    return [this.listener];
  }

  get active(): number {
    return this.listener.active;
  }

  whenEmpty(): Promise<void> {
    return this.listener.whenEmpty();
  }

  beginDrain(idleMs: number): void {
    if (idleMs === 0) return;
    this.#draining.idleMs = idleMs;
    for (const session of this.#open()) session.deadlinesChanged();
  }

  endAll(end: End, beforeEach?: (session: Session) => void): void {
    this.#environment.registry.endAll(end, beforeEach, (session) => this.owns(session));
  }

  /** Whether it has accepted this session. */
  owns(session: Session): boolean {
    return session.context.draining === this.#draining;
  }

  *#open(): Iterable<Session> {
    for (const session of this.#environment.registry.open) if (this.owns(session)) yield session;
  }

  #closed(session: Session): void {
    try {
      this.#count(session);
      this.#record(session);
    } finally {
      this.#forgetHost(session);
      // Last: this may wake who waits for the last session, or let the next one in.
      this.listener.giveBack();
    }
  }

  /** Adds a session that is over to the sums: the figures are those of its access record. */
  #count(session: Session): void {
    const { traffic } = this;
    const { target, attempts } = session;
    traffic.endedBytesToBackend += session.bytesToBackend;
    traffic.endedBytesToClient += session.bytesToClient;
    traffic.durations.add(session.durationMs);
    traffic.end(target?.backend.name ?? "", session.end!);
    if (target === undefined || attempts === undefined) return;
    if (attempts.count <= 1 && attempts.timeouts === 0) return;
    const backend = this.#environment.traffic.backend(target.backend.name);
    if (attempts.count > 1) backend.retries += attempts.count - 1;
    backend.connectTimeouts += attempts.timeouts;
  }

  /** Writes down what is to be, as it was decided when it was accepted: whether its address is known. */
  #record(session: Session): void {
    const { records } = this.#environment;
    const { traced } = session;
    const recorded = session.recorded && records.recordsAccess;
    if (!recorded && !traced) return;
    const record = session.record();
    if (recorded) records.access(record);
    if (traced) records.trace(record, session);
  }

  #forgetHost(session: Session): void {
    const host = this.#hosts.get(session);
    if (host === undefined) return;
    this.#hosts.delete(session);
    this.#rules.giveBack(host);
  }
}
