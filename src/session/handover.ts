/**
 * The last of a peer that has reset: what it had sent is handed over to the other side before the reset is passed on.
 *
 * A reset throws away what the kernel still holds for the receiver (SO_LINGER 0), so it has to wait until the receiver's
 * kernel has acknowledged all of it. Nothing tells when that is so: it is looked at every `handoverCheckMs`, and given
 * up when nothing moves any more.
 */
import type { Half } from "../forward/forwarder.ts";
import { libc } from "../sys/libc.ts";

/** How often unacknowledged bytes are looked at; a reset is passed on at most this much later than it could be. */
export const handoverCheckMs = 50;

/** How long nothing may move where `timeouts.half_closed` is off. */
export const stalledMaxMs = 60_000;

/** Owned by a session that is closing because one of its peers has reset. */
export class Handover {
  #leftBytes = Infinity;
  #emptyBefore = false;
  #movedAtMs: number;

  readonly #stalledMs: number;

  constructor(
    /** From the peer that has reset, to the one that has not. */
    readonly half: Half,
    /** How long nothing may move; 0 = a bound of our own. */
    stalledMs: number,
    nowMs: number,
  ) {
    this.#stalledMs = stalledMs === 0 ? stalledMaxMs : stalledMs;
    this.#movedAtMs = nowMs;
  }

  /** Whether everything has arrived, or nothing more will: now the reset may be passed on. */
  over(nowMs: number): boolean {
    const { half } = this;
    // Where the kernel can't be asked, what it has taken counts as delivered.
    const unacknowledged = libc === undefined ? 0 : Math.max(0, libc.unacknowledgedBytes(half.sinkFd));
    const leftBytes = half.queuedBytes + unacknowledged;
    if (half.state === "ended" && leftBytes === 0) {
      // What our own memory held for the sink has reached the kernel by the next look, and is seen there.
      if (!half.sinkBuffers || this.#emptyBefore) return true;
      this.#emptyBefore = true;
    } else {
      this.#emptyBefore = false;
    }
    if (leftBytes !== this.#leftBytes) {
      this.#leftBytes = leftBytes;
      this.#movedAtMs = nowMs;
    }
    return nowMs - this.#movedAtMs >= this.#stalledMs;
  }
}
