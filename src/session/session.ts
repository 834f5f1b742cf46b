/**
 * A session: one client connection from accept to the moment both sockets are closed. LIFECYCLE.md tells its story.
 *
 * `#apply` is that life: it alone changes the phase. What happens to the sockets comes from their receivers (the
 * opening, the dial, the halves) and is turned into one of its events.
 */
import type { DialOwner } from "../backend/dial.ts";
import type { DialFailure } from "../backend/dial-failure.ts";
import type { Endpoint } from "../backend/endpoint.ts";
import { assert, unreachable } from "../core/assert.ts";
import { TimerNode, wheelTickMs } from "../core/timer-wheel.ts";
import { neverMove, type MoveReason } from "../forward/move-rule.ts";
import { CopyForwarder } from "../forward/copy/copy-forwarder.ts";
import type { Forwarder, ForwarderOwner, Half } from "../forward/forwarder.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import type { ProxyHeader } from "../protocol/proxy-header.ts";
import type { Route } from "../routing/route.ts";
import type { SecuredFacts } from "../tls/handshake.ts";
import { Attempts } from "./attempts.ts";
import type { SessionContext } from "./context.ts";
import { nextDeadlineMs, overdue, type SessionFigures } from "./deadlines.ts";
import type { End } from "./end.ts";
import { Handover, handoverCheckMs, stalledMaxMs } from "./handover.ts";
import { Identity } from "./identity.ts";
import { Inspection, type InspectionOwner } from "./inspection.ts";
import { Opening } from "./opening.ts";
import { phases, type Phase, type SessionEvent } from "./phase.ts";
import { roundMs, type AccessRecord } from "./record.ts";
import type { Target } from "./target.ts";

/** What exists only in one phase. */
type State =
  /** `inspection` is there where something is asked of the client. */
  | { readonly phase: "inspecting"; readonly opening: Opening; readonly inspection: Inspection | undefined }
  | { readonly phase: "dialing"; readonly opening: Opening }
  | { readonly phase: "forwarding"; readonly forwarder: Forwarder }
  /** `handover`: what a peer that has reset had sent is still on its way. */
  | { readonly phase: "closing"; readonly handover: Handover | undefined }
  | { readonly phase: "closed" };

/** The age at which a session gets keepalive: most are over by then and save eight system calls. */
export const keepaliveAfterMs = 5_000;

/** While nothing is timed, the wheel is kept turning: its clock dates the activity of the halves. */
const untimedCheckMs = 3_600_000;

/** Made by a service for an accepted socket; nobody else holds on to it. */
export class Session extends TimerNode implements InspectionOwner, DialOwner, ForwarderOwner, SessionFigures {
  readonly id: number;
  readonly context: SessionContext;
  readonly acceptedAtMs: number;
  /** Whether it was to have an access record, or a trace, when it was accepted: then its client is known. */
  readonly recorded: boolean;
  readonly traced: boolean;
  /** Why it ended; set once, the first wins. */
  end: End | undefined = undefined;
  unansweredSinceMs: number | undefined = undefined;
  halfClosedSinceMs: number | undefined = undefined;

  #state: State;
  /** The client until there is a forwarder; `null` when its descriptor is gone. */
  #client: ProxySocket | null;
  readonly #identity: Identity;
  /** Where it goes; `undefined` before that is known. */
  #target: Target | undefined = undefined;
  #route: Route<Target> | undefined = undefined;
  /** Why it could not be served, for the log. */
  #reason: string | undefined = undefined;
  /** The forwarder, kept after forwarding for its byte counts. */
  #forwarder: Forwarder | undefined = undefined;
  /** Which side finished first. */
  #finishedFirst: "client" | "backend" | undefined = undefined;
  /** The peer that has reset, as the half that reads from it. */
  #resetBy: Half | undefined = undefined;
  /** The attempts to reach the backend, kept for their figures. */
  #attempts: Attempts | undefined = undefined;
  #firstByteMs: number | null = null;
  /** How long it lasted, once it is over. */
  #durationMs: number | undefined = undefined;
  /** When the client last sent something, while inspecting. */
  #heardAtMs: number;
  /** When keepalive is due; `Infinity` once it is set, or when it is off. */
  #keepaliveAtMs: number;

  /** Takes over an accepted socket; `begin` sets it going. */
  constructor(context: SessionContext, client: ProxySocket) {
    super();
    // First of all: from here on a mistake is this session's, and what the listener took for it is given back.
    this.context = context;
    this.recorded = context.recordsAccess;
    this.traced = context.samplesTrace();
    this.#client = client;
    const opening = new Opening(client, this);
    client.data = opening;
    this.#state = { phase: "inspecting", opening, inspection: undefined };
    this.#identity = new Identity(client);
    this.id = context.registry.nextId();
    this.acceptedAtMs = this.#heardAtMs = context.clock.nowMs();
    this.#keepaliveAtMs = context.keepaliveMs === 0 ? Infinity : this.acceptedAtMs + keepaliveAfterMs;
    if (this.recorded || this.traced) void this.#identity.client;
    context.registry.add(this);
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  /** Address and port of the client, `"127.0.0.1:50412"`. */
  get client(): string {
    return this.#identity.client;
  }

  /** IP address of the client. */
  get clientHost(): string {
    return this.#identity.clientHost;
  }

  /** Where it goes; `undefined` before that is known. */
  get target(): Target | undefined {
    return this.#target;
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
    if (state.phase === "inspecting") return state.inspection?.opening ?? state.opening;
    return state.phase === "dialing" ? state.opening : undefined;
  }

  /** The mover of its bytes; `undefined` before there is one. Kept after the end, for its figures. */
  get forwarder(): Forwarder | undefined {
    return this.#forwarder;
  }

  /** How long nothing has moved, in ms. */
  get idleMs(): number {
    const nowMs = this.context.clock.nowMs();
    return Math.max(0, nowMs - (this.activeAtMs ?? this.attemptSinceMs ?? this.acceptedAtMs));
  }

  /** Bytes that arrived and are kept in our own memory, until a peer takes them. */
  get heldBytes(): number {
    if (this.opening !== undefined) return this.opening.bytes;
    return (this.#forwarder?.toBackend.queuedBytes ?? 0) + (this.#forwarder?.toClient.queuedBytes ?? 0);
  }

  /** A listener that asks for nothing never waits for a byte. */
  begin(): void {
    const client = this.#client!;
    const { noDelay, inspection, target } = this.context;
    if (!noDelay) client.setNoDelay(false);
    if (inspection === undefined) {
      this.#target = target;
      return this.#apply("routed");
    }
    assert(this.#state.phase === "inspecting", "a session was begun twice");
    const { opening } = this.#state;
    this.#state = { phase: "inspecting", opening, inspection: new Inspection(inspection, client, opening, this) };
    this.deadlinesChanged();
  }

  /** Ends the session for `end`, at once. A reason that was given before stays. */
  requestEnd(end: End): void {
    this.end ??= end;
    this.#apply("endRequested");
  }

  /** Its attempts to reach an endpoint; `undefined` before the first. */
  get attempts(): Attempts | undefined {
    return this.#attempts;
  }

  /** From accept to the end, or to now, in ms. */
  get durationMs(): number {
    return this.#durationMs ?? roundMs(this.context.clock.nowMs() - this.acceptedAtMs);
  }

  /** What was counted and measured, for the log; complete once the session is closed. */
  record(): AccessRecord {
    return {
      id: this.id,
      listener: this.context.listener,
      client: this.client,
      backend: this.#target?.backend.name ?? null,
      endpoint: this.endpoint?.name ?? null,
      route: this.#route?.name ?? null,
      sni: this.#identity.serverName ?? null,
      bytes_to_backend: this.bytesToBackend,
      bytes_to_client: this.bytesToClient,
      connect_ms: this.#attempts?.connectMs ?? null,
      first_byte_ms: this.#firstByteMs,
      duration_ms: this.durationMs,
      attempts: this.#attempts?.count ?? 0,
      engine: this.#forwarder?.engine ?? null,
      end: this.end!,
      // Left out of the log where there is nothing to say.
      reason: this.#reason ?? (this.#attempts?.connectMs === null ? this.#attempts.reason : undefined),
      client_cert: this.#identity.clientName,
    };
  }

  /** Applies one event: a session's life, from top to bottom. */
  #apply(event: SessionEvent): void {
    const state = this.#state;
    assert(phases[state.phase][event] !== undefined, `a session that is ${state.phase} got the event ${event}`);
    switch (event) {
      case "routed":
        assert(state.phase === "inspecting", "routed twice");
        this.#attempts = new Attempts(this.#target!, this.#identity, this.context.dialer, this.context.clock);
        return this.#dial(state.inspection?.opening ?? state.opening);
      case "dialFailed":
        assert(state.phase === "dialing", "a dial failed outside dialing");
        return this.#dial(state.opening);
      case "dialed":
        assert(state.phase === "dialing", "dialed outside dialing");
        return this.#forward(state.opening);
      case "halvesEnded":
        this.end ??= this.#finishedFirst === "backend" ? "backend_finished" : "client_finished";
        this.#state = { phase: "closing", handover: undefined };
        this.#closeConnections("finish");
        return this.#boundClosing();
      case "resetReceived":
        assert(state.phase === "forwarding", "a reset was received outside forwarding");
        return this.#handOver(this.#resetBy!);
      case "endRequested":
        if (state.phase === "closed") return;
        if (state.phase === "inspecting") state.inspection?.cancel();
        if (state.phase === "dialing") this.#attempts!.giveUp();
        this.#state = { phase: "closing", handover: undefined };
        return this.#closeConnections("reset");
      case "socketsClosed":
        this.#durationMs = this.durationMs;
        this.#state = { phase: "closed" };
        this.#attempts?.giveBack();
        this.context.wheel.cancel(this);
        this.context.registry.remove(this);
        return this.context.closed(this);
      default:
        return unreachable(event);
    }
  }

  // Inspecting.

  openingChanged(): void {
    if (this.#state.phase !== "inspecting" || this.#state.inspection === undefined) return;
    this.#heardAtMs = this.context.clock.nowMs();
    this.#state.inspection.advance();
  }

  identified(header: ProxyHeader): void {
    this.#identity.carriedBy(header);
    const end = this.context.identified(this);
    if (end !== undefined) this.requestEnd(end);
  }

  named(serverName: string): void {
    this.#identity.serverName = serverName;
  }

  secured(socket: ProxySocket, facts: SecuredFacts): void {
    this.#client = socket;
    this.#identity.secured(socket, facts);
  }

  inspected(route: Route<Target> | undefined): void {
    this.#route = route;
    this.#target = route?.target ?? this.context.target;
    if (this.#target === undefined) this.requestEnd("no_route");
    else this.#apply("routed");
  }

  inspectionFailed(end: End, reason: string | undefined): void {
    this.#reason = reason;
    this.requestEnd(end);
  }

  // Dialing.

  #dial(opening: Opening): void {
    this.#state = { phase: "dialing", opening };
    const next = this.#attempts!.next(this);
    if (next === "under way") this.deadlinesChanged();
    else this.requestEnd(next);
  }

  dialed(socket: ProxySocket): void {
    this.#attempts!.succeeded();
    const { mover, wheel, noDelay } = this.context;
    // First: from here on the socket is closed with the session, whatever fails.
    this.#forwarder = new CopyForwarder(this.#client!, socket, this, wheel, mover?.rule ?? neverMove);
    this.context.connected(this);
    if (!noDelay) socket.setNoDelay(false);
    this.#apply("dialed");
    // It went down while it was dialled.
    const { settings } = this.#target!.backend;
    if (settings.onDown === "close" && this.endpoint!.isDown) this.requestEnd("endpoint_down");
  }

  dialFailed(failure: DialFailure): void {
    this.#attempts!.failed(failure);
    this.#apply("dialFailed");
  }

  clientClosed(): void {
    this.#client = null;
    if (this.#state.phase === "closing") this.#connectionClosed();
    else this.requestEnd("client_reset");
  }

  // Forwarding.

  /** Hands the opening on, whole, and lets the bytes run. */
  #forward(opening: Opening): void {
    const { toBackend } = this.#forwarder as CopyForwarder;
    this.#state = { phase: "forwarding", forwarder: this.#forwarder! };
    this.deadlinesChanged();
    toBackend.begin(opening.chunks, opening.paused);
    if (opening.clientFinished) toBackend.finished();
    // Not at once: the event that told of the backend may still have bytes of it for the half.
    if (this.context.mover?.rule.bytes === 0) queueMicrotask(() => this.#moveNow());
  }

  /** No socket's handler is above it, so a mistake has to be caught here. */
  #moveNow(): void {
    try {
      this.moveWanted("bulk");
    } catch (mistake) {
      this.handlerFailed(mistake instanceof Error ? mistake : new Error(String(mistake)));
    }
  }

  moveWanted(why: MoveReason): void {
    const { mover } = this.context;
    const forwarder = this.#forwarder;
    if (this.#state.phase !== "forwarding" || !(forwarder instanceof CopyForwarder) || !forwarder.movable) return;
    // While there is somebody to ask.
    void this.client;
    const taken = mover!.take(forwarder, this, why);
    if (taken === undefined) return;
    this.#forwarder = taken;
    this.#state = { phase: "forwarding", forwarder: taken };
  }

  firstBytesMoved(half: Half): void {
    const { toBackend, toClient } = this.#forwarder!;
    if (half === toClient) {
      this.#firstByteMs = roundMs(this.context.clock.nowMs() - this.acceptedAtMs);
      this.unansweredSinceMs = undefined;
      this.context.answered(this, this.#firstByteMs);
    } else if (half === toBackend && toClient.bytes === 0 && this.context.timeouts.responseMs !== 0) {
      this.unansweredSinceMs = this.context.clock.nowMs();
      this.deadlinesChanged();
    }
  }

  sourceFinished(half: Half): void {
    this.#finishedFirst ??= half === this.#forwarder!.toBackend ? "client" : "backend";
  }

  halfEnded(half: Half): void {
    if (this.#state.phase === "closing") return this.#handoverMoved();
    if (half.opposite.state === "ended") return this.#apply("halvesEnded");
    this.#forwarder!.finishSink(half);
    this.halfClosedSinceMs = this.context.clock.nowMs();
    this.deadlinesChanged();
  }

  sourceClosed(half: Half): void {
    if (this.#state.phase === "closing") {
      const { handover } = this.#state;
      if (handover === undefined) return this.#connectionClosed();
      // The survivor is gone as well: there is nobody left to hand anything to.
      if (handover.half !== half) return this.#apply("endRequested");
      return this.#forwarder!.handOver(half);
    }
    this.sourceReset(half);
  }

  connectionsClosed(): void {
    this.#connectionClosed();
  }

  handlerFailed(error: Error): void {
    this.context.internalError(this, error);
    this.requestEnd("internal_error");
  }

  engineFailed(): void {
    this.requestEnd("internal_error");
  }

  // Closing.

  sourceReset(half: Half): void {
    // Both peers are gone: nothing is left to hand over.
    if (this.#state.phase === "closing") return this.#apply("endRequested");
    this.#resetBy = half;
    this.end ??= half === this.#forwarder!.toBackend ? "client_reset" : "backend_reset";
    this.#apply("resetReceived");
  }

  /** Hands over what a peer sent before it reset; then the reset is passed on. */
  #handOver(half: Half): void {
    const { clock, timeouts } = this.context;
    this.#state = { phase: "closing", handover: new Handover(half, timeouts.halfClosedMs, clock.nowMs()) };
    this.#forwarder!.handOver(half);
    this.#handoverMoved();
  }

  /** Passes the reset on when it is time to, or looks again later. */
  #handoverMoved(): void {
    if (this.#state.phase !== "closing" || this.#state.handover === undefined) return;
    if (this.#state.handover.over(this.context.clock.nowMs())) this.#apply("endRequested");
    else this.context.wheel.arm(this, handoverCheckMs);
  }

  /** Closes what is still open: with a FIN after all bytes, or with a reset. */
  #closeConnections(how: "finish" | "reset"): void {
    if (this.#forwarder !== undefined) this.#forwarder.close(how);
    else this.#client?.terminate();
    this.#connectionClosed();
  }

  /** Under TLS the last bytes may wait in our own memory, for a peer that reads slowly; not longer than it may be silent. */
  #boundClosing(): void {
    if (this.#state.phase !== "closing") return;
    const { wheel, timeouts } = this.context;
    wheel.arm(this, timeouts.halfClosedMs === 0 ? stalledMaxMs : timeouts.halfClosedMs);
  }

  #connectionClosed(): void {
    if (this.#state.phase !== "closing") return;
    const open =
      this.#forwarder === undefined ? this.#client !== null && this.#client.fd >= 0 : !this.#forwarder.closed;
    if (!open) this.#apply("socketsClosed");
  }

  // Time.

  get inspectingSinceMs(): number | undefined {
    return this.#state.phase === "inspecting" && this.#state.inspection !== undefined ? this.acceptedAtMs : undefined;
  }

  get attemptSinceMs(): number | undefined {
    return this.#state.phase === "dialing" ? this.#attempts!.sinceMs : undefined;
  }

  get activeAtMs(): number | undefined {
    if (this.inspectingSinceMs !== undefined) return this.#heardAtMs;
    if (this.#state.phase !== "forwarding") return undefined;
    // The halves are stamped with the wheel's clock, which is a tick behind, or more when the event loop was held up.
    const { activeAtMs } = this.#state.forwarder;
    const { nowMs, previousTickMs } = this.context.wheel;
    return activeAtMs >= previousTickMs ? nowMs : activeAtMs + wheelTickMs;
  }

  get drainIdleMs(): number {
    return this.context.draining.idleMs;
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
    if (end === "inspect_timeout") return this.#inspectionTimedOut();
    if (end !== "connect_timeout") return this.requestEnd(end);
    this.#attempts!.timedOut();
    this.#apply("dialFailed");
  }

  #inspectionTimedOut(): void {
    assert(this.#state.phase === "inspecting", "an inspection timed out that was over");
    this.context.undecided();
    this.#state.inspection!.timedOut();
  }

  #keepAlive(): void {
    this.#keepaliveAtMs = Infinity;
    this.#forwarder!.keepAlive(this.context.keepaliveMs);
  }
}
