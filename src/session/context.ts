/** What a session is given by its listener: shared by all that are accepted until a reload brings another one. */
import type { Dialer } from "../backend/dial.ts";
import type { Clock } from "../core/clock.ts";
import type { TimerWheel } from "../core/timer-wheel.ts";
import type { CopyForwarder } from "../forward/copy/copy-forwarder.ts";
import type { Forwarder, ForwarderOwner } from "../forward/forwarder.ts";
import type { MoveReason, MoveRule } from "../forward/move-rule.ts";
import type { SessionTimeouts } from "./deadlines.ts";
import type { End } from "./end.ts";
import type { InspectionSettings } from "./inspection.ts";
import type { SessionRegistry } from "./registry.ts";
import type { Session } from "./session.ts";
import type { Target } from "./target.ts";

/** What the sessions of one listener share. */
export interface SessionContext {
  readonly listener: string;
  /** Where sessions go that no route sends elsewhere; `undefined` where those are ended. */
  readonly target: Target | undefined;
  /** What is asked of a client before its target is known; `undefined` where nothing is. */
  readonly inspection: InspectionSettings | undefined;
  readonly timeouts: SessionTimeouts;
  /** Silence after which TCP keepalive probes a peer, in ms; 0 = never. */
  readonly keepaliveMs: number;
  /** Whether small writes are sent at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** Whether access records are written at present. */
  readonly recordsAccess: boolean;
  /** Whether the session that begins is to be traced. */
  samplesTrace(): boolean;
  /** The same object in all contexts of one listener. */
  readonly draining: Draining;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly dialer: Dialer;
  readonly registry: SessionRegistry;
  /** Takes over sessions that show to be bulk; `undefined` where all stay with the copy engine. */
  readonly mover: Mover | undefined;
  /** A PROXY header has said who the client is; the end of the session where that client is not welcome. */
  identified(session: Session): End | undefined;
  /** A client's bytes did not decide its route within `timeouts.inspect`. */
  undecided(): void;
  /** An attempt has brought a connection. */
  connected(session: Session): void;
  /** The first byte has gone to the client, so long after it was accepted. */
  answered(session: Session, firstByteMs: number): void;
  /** Called once, when nothing is left of the session: gives back what was taken for it at accept. */
  closed(session: Session): void;
  /** A mistake of our own in a handler of this session, which ends it. */
  internalError(session: Session, error: Error): void;
}

/** What a drain has changed for the sessions of a listener. */
export interface Draining {
  /** Silence that ends a session, in ms; 0 = none, or no drain. */
  idleMs: number;
}

/** An engine that can take over from the copy engine, and when it is to. */
export interface Mover {
  readonly rule: MoveRule;
  /**
   * Takes the connections of a forwarder that is `movable`; `undefined` when it can't take any now. From then on the
   * owner hears of them from the forwarder returned.
   */
  take(forwarder: CopyForwarder, owner: ForwarderOwner, why: MoveReason): Forwarder | undefined;
}
