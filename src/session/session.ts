/**
 * A session: one client connection from accept to the moment both sockets are closed. LIFECYCLE.md tells its story.
 *
 * `#apply` is that life: it alone changes the phase. What happens to the sockets comes from their receivers (the
 * opening, the dial, the halves) and is turned into one of its events.
 */
import type { Backend } from "../backend/backend.ts";
import type { Dialer, DialFailure, DialOwner } from "../backend/dial.ts";
import type { Endpoint } from "../backend/endpoint.ts";
import { assert, unreachable } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { TimerNode, wheelTickMs, type TimerWheel } from "../core/timer-wheel.ts";
import { Forwarder } from "../forward/forwarder.ts";
import type { Half, HalfOwner } from "../forward/half.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import { Attempts } from "./attempts.ts";
import { nextDeadlineMs, overdue, type SessionFigures, type SessionTimeouts } from "./deadlines.ts";
import type { End } from "./end.ts";
import { Handover, handoverCheckMs } from "./handover.ts";
import { keepAlive, keepaliveAfterMs } from "./keepalive.ts";
import { Opening, type OpeningOwner } from "./opening.ts";
import { phases, type Phase, type SessionEvent } from "./phase.ts";
import { clientAddress, roundMs, type AccessRecord } from "./record.ts";
import type { SessionRegistry } from "./registry.ts";

/** What the sessions of one listener share. */
export interface SessionContext {
  readonly listener: string;
  readonly backend: Backend;
  readonly timeouts: SessionTimeouts;
  /** Silence after which TCP keepalive probes a peer, in ms; 0 = never. */
  readonly keepaliveMs: number;
  /** Whether small writes are sent at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** Whether an access record is written: then the client's address is read while its socket is open. */
  readonly recorded: boolean;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly dialer: Dialer;
  readonly registry: SessionRegistry;
  /** Called once, when nothing is left of the session: gives back what was taken for it at accept. */
  closed(session: Session): void;
  /** A mistake of our own in a handler of this session, which ends it. */
  internalError(session: Session, error: Error): void;
}

/** What exists only in one phase. */
type State =
  | { readonly phase: "inspecting"; readonly opening: Opening }
  | { readonly phase: "dialing"; readonly opening: Opening }
  | { readonly phase: "forwarding"; readonly forwarder: Forwarder }
  /** `handover`: what a peer that has reset had sent is still on its way. */
  | { readonly phase: "closing"; readonly handover: Handover | undefined }
  | { readonly phase: "closed" };

/** While nothing is timed, the wheel is kept turning: its clock dates the activity of the halves. */
const untimedCheckMs = 3_600_000;

/** Made by a service for an accepted socket; nobody else holds on to it. */
export class Session extends TimerNode implements OpeningOwner, DialOwner, HalfOwner, SessionFigures {
  readonly id: number;
  readonly context: SessionContext;
  readonly acceptedAtMs: number;
  /** Why it ended; set once, the first wins. */
  end: End | undefined = undefined;
  unansweredSinceMs: number | undefined = undefined;
  halfClosedSinceMs: number | undefined = undefined;

  #state: State;
  /** `null` once its descriptor is gone. */
  #client: ProxySocket | null;
  /** `null` before the dial is done, and once its descriptor is gone. */
  #backend: ProxySocket | null = null;
  #clientAddress = "";
  /** The forwarder, kept after forwarding for its byte counts. */
  #forwarder: Forwarder | undefined = undefined;
  /** The half whose source finished first. */
  #finishedFirst: Half | undefined = undefined;
  /** The peer that has reset, as the half that reads from it. */
  #resetBy: Half | undefined = undefined;
  /** The attempts to reach the backend, kept for their figures. */
  #attempts: Attempts | undefined = undefined;
  #firstByteMs: number | null = null;
  /** When keepalive is due; `Infinity` once it is set, or when it is off. */
  #keepaliveAtMs: number;

  /** Takes over an accepted socket; `begin` sets it going. */
  constructor(context: SessionContext, client: ProxySocket) {
    super();
    // First of all: from here on a mistake is this session's, and what the listener took for it is given back.
    this.context = context;
    this.#client = client;
    const opening = new Opening(client, this);
    client.data = opening;
    this.#state = { phase: "inspecting", opening };
    this.id = context.registry.nextId();
    this.acceptedAtMs = context.clock.nowMs();
    this.#keepaliveAtMs = context.keepaliveMs === 0 ? Infinity : this.acceptedAtMs + keepaliveAfterMs;
    if (context.recorded) this.#clientAddress = clientAddress(client);
    context.registry.add(this);
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  /** Address and port of the client, `"127.0.0.1:50412"`. */
  get client(): string {
    if (this.#clientAddress === "" && this.#client !== null) this.#clientAddress = clientAddress(this.#client);
    return this.#clientAddress;
  }

  /** The endpoint of the last attempt. */
  get endpoint(): Endpoint | undefined {
    return this.#attempts?.endpoint;
  }

  /** Bytes that the backend's connection has taken so far. */
  get bytesToBackend(): number {
    return this.#forwarder?.toBackend.bytes ?? 0;
  }

  /** Bytes that the client's connection has taken so far. */
  get bytesToClient(): number {
    return this.#forwarder?.toClient.bytes ?? 0;
  }

  /** What the client sent before there was a backend to send it to; `undefined` once there is. */
  get opening(): Opening | undefined {
    const state = this.#state;
    return state.phase === "inspecting" || state.phase === "dialing" ? state.opening : undefined;
  }

  /** The mover of its bytes; `undefined` before there is one. Kept after the end, for its figures. */
  get forwarder(): Forwarder | undefined {
    return this.#forwarder;
  }

  /** Bytes that arrived and are kept in our own memory, until a peer takes them. */
  get heldBytes(): number {
    if (this.opening !== undefined) return this.opening.bytes;
    if (this.#forwarder === undefined) return 0;
    const { toBackend, toClient } = this.#forwarder;
    return toBackend.queuedBytes + toBackend.postponedBytes + toClient.queuedBytes + toClient.postponedBytes;
  }

  /** A listener without routes never waits for a byte. */
  begin(): void {
    if (!this.context.noDelay) this.#client!.setNoDelay(false);
    this.#apply("routed");
  }

  /** Ends the session for `end`, at once. A reason that was given before stays. */
  requestEnd(end: End): void {
    this.end ??= end;
    this.#apply("endRequested");
  }

  /** What was counted and measured, for the log; complete once the session is closed. */
  record(): AccessRecord {
    return {
      id: this.id,
      listener: this.context.listener,
      client: this.client,
      backend: this.context.backend.name,
      endpoint: this.endpoint?.name ?? null,
      bytes_to_backend: this.bytesToBackend,
      bytes_to_client: this.bytesToClient,
      connect_ms: this.#attempts?.connectMs ?? null,
      first_byte_ms: this.#firstByteMs,
      duration_ms: roundMs(this.context.clock.nowMs() - this.acceptedAtMs),
      attempts: this.#attempts?.count ?? 0,
      engine: this.#forwarder?.engine ?? null,
      end: this.end!,
    };
  }

  /** Applies one event: a session's life, from top to bottom. */
  #apply(event: SessionEvent): void {
    const state = this.#state;
    assert(phases[state.phase][event] !== undefined, `a session that is ${state.phase} got the event ${event}`);
    switch (event) {
      case "routed":
        assert(state.phase === "inspecting", "routed twice");
        this.#attempts = new Attempts(this.context.backend, this.context.dialer, this.context.clock);
        return this.#dial(state.opening);
      case "dialFailed":
        assert(state.phase === "dialing", "a dial failed outside dialing");
        return this.#dial(state.opening);
      case "dialed":
        assert(state.phase === "dialing", "dialed outside dialing");
        return this.#forward(state.opening);
      case "halvesEnded":
        this.end ??= this.#finishedFirst === this.#forwarder!.toClient ? "backend_finished" : "client_finished";
        this.#state = { phase: "closing", handover: undefined };
        return this.#closeSockets("finish");
      case "resetReceived":
        assert(state.phase === "forwarding", "a reset was received outside forwarding");
        return this.#handOver(this.#resetBy!);
      case "endRequested":
        if (state.phase === "closed") return;
        if (state.phase === "dialing") this.#attempts!.giveUp();
        // What is still to be written would only meet sockets that are closed.
        this.#forwarder?.toBackend.discard();
        this.#forwarder?.toClient.discard();
        this.#state = { phase: "closing", handover: undefined };
        return this.#closeSockets("reset");
      case "socketsClosed":
        this.#state = { phase: "closed" };
        this.#attempts?.giveBack();
        this.context.wheel.cancel(this);
        this.context.registry.remove(this);
        return this.context.closed(this);
      default:
        return unreachable(event);
    }
  }

  // Dialing.

  #dial(opening: Opening): void {
    this.#state = { phase: "dialing", opening };
    if (this.#attempts!.next(this)) this.deadlinesChanged();
    else this.requestEnd(this.#attempts!.end);
  }

  dialed(socket: ProxySocket): void {
    this.#attempts!.succeeded();
    this.#backend = socket;
    this.#apply("dialed");
  }

  dialFailed(failure: DialFailure): void {
    this.#attempts!.failed(failure);
    this.#apply("dialFailed");
  }

  clientClosed(): void {
    this.#client = null;
    if (this.#state.phase === "closing") this.#socketClosed();
    else this.requestEnd("client_reset");
  }

  // Forwarding.

  /** Hands the opening on, whole, and lets the bytes run. */
  #forward(opening: Opening): void {
    const client = this.#client!;
    const backend = this.#backend!;
    if (!this.context.noDelay) backend.setNoDelay(false);
    const forwarder = new Forwarder(client, backend, this, this.context.wheel);
    this.#forwarder = forwarder;
    this.#state = { phase: "forwarding", forwarder };
    this.deadlinesChanged();
    forwarder.toBackend.begin(opening.chunks, opening.paused);
    if (opening.clientFinished) forwarder.toBackend.finished();
  }

  firstBytesMoved(half: Half): void {
    const { toBackend, toClient } = this.#forwarder!;
    if (half === toClient) {
      this.#firstByteMs = roundMs(this.context.clock.nowMs() - this.acceptedAtMs);
      this.unansweredSinceMs = undefined;
    } else if (half === toBackend && toClient.bytes === 0 && this.context.timeouts.responseMs !== 0) {
      this.unansweredSinceMs = this.context.clock.nowMs();
      this.deadlinesChanged();
    }
  }

  sourceFinished(half: Half): void {
    this.#finishedFirst ??= half;
  }

  halfEnded(half: Half): void {
    if (this.#state.phase === "closing") return this.#handoverMoved();
    if (half.opposite.state === "ended") return this.#apply("halvesEnded");
    half.sink.shutdown();
    this.halfClosedSinceMs = this.context.clock.nowMs();
    this.deadlinesChanged();
  }

  sinkBroken(half: Half): void {
    this.#resetReceived(half.opposite);
  }

  sourceClosed(half: Half, error: Error | undefined): void {
    if (half === this.#forwarder!.toBackend) this.#client = null;
    else this.#backend = null;
    if (this.#state.phase === "closing") {
      const { handover } = this.#state;
      if (handover === undefined) return this.#socketClosed();
      // The survivor is gone as well: there is nobody left to hand anything to.
      if (handover.half !== half) return this.#apply("endRequested");
      return half.endWhenEmpty();
    }
    // A FIN that answers ours is told by `closed` alone (Bun 1.4.5).
    if (error === undefined && half.opposite.state === "ended") return half.finished();
    this.#resetReceived(half);
  }

  handlerFailed(error: Error): void {
    this.context.internalError(this, error);
    this.requestEnd("internal_error");
  }

  // Closing.

  /** The peer that `half` reads from has reset. */
  #resetReceived(half: Half): void {
    // Both peers are gone: nothing is left to hand over.
    if (this.#state.phase === "closing") return this.#apply("endRequested");
    this.#resetBy = half;
    this.end ??= half === this.#forwarder!.toBackend ? "client_reset" : "backend_reset";
    this.#apply("resetReceived");
  }

  /** Hands over what a peer sent before it reset; then the reset is passed on. */
  #handOver(half: Half): void {
    half.opposite.discard();
    const { clock, timeouts } = this.context;
    this.#state = { phase: "closing", handover: new Handover(half, timeouts.halfClosedMs, clock.nowMs()) };
    // While its socket is still there (a write to it failed), what it sent before is still to be read.
    const sourceGone = half === this.#forwarder!.toBackend ? this.#client === null : this.#backend === null;
    if (sourceGone) half.endWhenEmpty();
    this.#handoverMoved();
  }

  /** Passes the reset on when it is time to, or looks again later. */
  #handoverMoved(): void {
    if (this.#state.phase !== "closing" || this.#state.handover === undefined) return;
    if (this.#state.handover.over(this.context.clock.nowMs())) this.#apply("endRequested");
    else this.context.wheel.arm(this, handoverCheckMs);
  }

  /** Closes what is still open: with a FIN after all bytes, or with a reset. `closed` is told within the calls. */
  #closeSockets(how: "finish" | "reset"): void {
    const client = this.#client;
    const backend = this.#backend;
    if (how === "finish") {
      // `end()` would do the same with one system call more (Bun 1.4.5).
      client?.close();
      backend?.close();
    } else {
      client?.terminate();
      backend?.terminate();
    }
    // Where a mistake of ours kept `closed` from being told, the descriptor (-1 once closed) still tells.
    if (client !== null && client.fd < 0) this.#client = null;
    if (backend !== null && backend.fd < 0) this.#backend = null;
    this.#socketClosed();
  }

  #socketClosed(): void {
    if (this.#state.phase !== "closing" || this.#client !== null || this.#backend !== null) return;
    this.#apply("socketsClosed");
  }

  // Time.

  get attemptSinceMs(): number | undefined {
    return this.#state.phase === "dialing" ? this.#attempts!.sinceMs : undefined;
  }

  get activeAtMs(): number | undefined {
    if (this.#state.phase !== "forwarding") return undefined;
    // The halves are stamped with the wheel's clock, which is a tick behind, or more when the event loop was held up.
    const { activeAtMs } = this.#state.forwarder;
    const { nowMs, previousTickMs } = this.context.wheel;
    return activeAtMs >= previousTickMs ? nowMs : activeAtMs + wheelTickMs;
  }

  get drainIdleMs(): number {
    return this.context.registry.drainIdleMs;
  }

  /**
   * What the timeouts depend on has changed. The timer is moved only when it would fire too late: one that fires too
   * early finds nothing overdue and is set again, which most sessions do not live to see.
   */
  deadlinesChanged(): void {
    if (this.#state.phase === "closing" || this.#state.phase === "closed") return;
    const nowMs = this.context.clock.nowMs();
    const nextMs = Math.min(nextDeadlineMs(this.context.timeouts, this), this.#keepaliveAtMs, nowMs + untimedCheckMs);
    if (!this.armed || nextMs < this.deadlineMs) this.context.wheel.arm(this, Math.max(0, nextMs - nowMs));
  }

  override expired(): void {
    if (this.#state.phase === "closing") {
      // Without a handover sockets are closed at once, so one that is still there is stuck.
      return this.#state.handover === undefined ? this.#apply("endRequested") : this.#handoverMoved();
    }
    const nowMs = this.context.clock.nowMs();
    if (nowMs >= this.#keepaliveAtMs && this.#state.phase === "forwarding") this.#keepAlive();
    const end = overdue(this.context.timeouts, this, nowMs);
    if (end === undefined) return this.deadlinesChanged();
    if (end !== "connect_timeout") return this.requestEnd(end);
    this.#attempts!.timedOut();
    this.#apply("dialFailed");
  }

  #keepAlive(): void {
    this.#keepaliveAtMs = Infinity;
    if (this.#client !== null) keepAlive(this.#client, this.context.keepaliveMs);
    if (this.#backend !== null) keepAlive(this.#backend, this.context.keepaliveMs);
  }
}
