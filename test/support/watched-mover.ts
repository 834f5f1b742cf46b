/** A mover that keeps what it saw of each session when it took it over. */
import type { MoveRule, MoveReason } from "../../src/forward/move-rule.ts";
import type { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import type { Forwarder, ForwarderOwner, HalfState } from "../../src/forward/forwarder.ts";
import type { SpliceEngine } from "../../src/forward/splice/engine.ts";
import type { Mover } from "../../src/session/context.ts";

/** Figures of a session at the moment it was taken over. Bytes are those that the sink had taken. */
export interface Move {
  readonly why: MoveReason;
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
  readonly states: readonly [toBackend: HalfState, toClient: HalfState];
  /** Bytes that were read and not passed on: they would be lost. */
  readonly queuedBytes: number;
  /** Whether a source was stopped at that moment. */
  readonly paused: boolean;
}

/** Takes sessions over by `rule`. */
export class WatchedMover implements Mover {
  /** Sessions taken over, in their order. */
  readonly moves: Move[] = [];
  /** How often a session was there to be taken and was not. */
  refusals = 0;
  readonly rule: MoveRule;
  readonly #engine: SpliceEngine;

  constructor(engine: SpliceEngine, rule: MoveRule) {
    this.#engine = engine;
    this.rule = rule;
  }

  take(forwarder: CopyForwarder, owner: ForwarderOwner, why: MoveReason): Forwarder | undefined {
    const { toBackend, toClient } = forwarder;
    const move: Move = {
      why,
      bytesToBackend: toBackend.bytes,
      bytesToClient: toClient.bytes,
      states: [toBackend.state, toClient.state],
      queuedBytes: toBackend.queuedBytes + toClient.queuedBytes,
      paused: toBackend.paused || toClient.paused,
    };
    const taken = this.#engine.take(forwarder, owner, why);
    if (taken === undefined) this.refusals++;
    else this.moves.push(move);
    return taken;
  }
}
