/**
 * One coarse timer wheel for the deadlines of all sessions.
 *
 * Nodes hang in slots by their deadline; each tick looks only at the slots whose time has come. A node is part of its
 * owner, so arming, cancelling and ticking allocate nothing.
 */

import type { Clock, TimerHandle } from "./clock.ts";

/**
 * How often the wheel looks, and so how late a deadline may fire. The shortest timeout anyone sets is around 250 ms, of
 * which this is a fifth; its twenty wake-ups a second cost a process that does nothing else 0.2 % of a core (Bun 1.4.5).
 */
export const wheelTickMs = 50;

/**
 * Slots of the wheel, a power of two: one turn takes 51.2 s. A deadline beyond one turn stays in its slot and is passed
 * over once or twice a turn: 10,000 sessions with an idle timeout of an hour make about 400 such looks a second.
 */
const slotCount = 1024;

/**
 * A deadline. Its owner extends this class, or holds instances of a subclass, and hands it to one wheel.
 *
 * The fields belong to the wheel: an owner may read `deadlineMs`, and writes none.
 */
export abstract class TimerNode {
  /** When it fires, on the wheel's clock. Means something only while armed. */
  deadlineMs = 0;
  /** Neighbours in the list the node hangs in; the node itself while it hangs in none. */
  wheelNext: TimerNode = this;
  wheelPrevious: TimerNode = this;

  /** Whether it waits to fire. */
  get armed(): boolean {
    return this.wheelNext !== this;
  }

  /** The deadline has passed. The node is no longer armed and may be armed again from here. */
  abstract expired(): void;
}

/**
 * Fires deadlines of armed nodes: never early, late by at most one tick plus what the event loop is behind. Nodes that
 * come due in one tick fire in no promised order.
 */
export class TimerWheel {
  /**
   * The time of the last tick, or of the last `arm` if that was later: a field for hot code to read in place of the
   * clock. Behind by at most one tick plus what the event loop is behind while a node is armed; it stands still while
   * none is.
   */
  nowMs: number;
  /**
   * The time of the tick before the last one. A stamp taken from `nowMs` that is not older than this may have been taken
   * at any moment since: usually a tick ago at most, but much later when the event loop was held up in between.
   */
  previousTickMs: number;

  #lastTickMs: number;
  readonly #clock: Clock;
  readonly #onError: (error: unknown, node: TimerNode) => void;
  readonly #slots: readonly ListHead[];
  /** Nodes that are due in the present tick and have not fired yet. */
  readonly #due = new ListHead();
  /** The last tick that was looked at, counted from the clock's zero. Its slot may hold nodes due later in that tick. */
  #lastTick = 0;
  #size = 0;
  #state: WheelState = "idle";
  #ticker: TimerHandle | undefined = undefined;
  readonly #onTick: () => void;

  /**
   * @param onError gets what `expired()` of a node has thrown; the other nodes fire all the same. If it throws itself,
   *   that goes to the clock, and what was due fires in the next tick.
   */
  constructor(clock: Clock, onError: (error: unknown, node: TimerNode) => void) {
    this.nowMs = clock.nowMs();
    this.previousTickMs = this.nowMs;
    this.#lastTickMs = this.nowMs;
    this.#clock = clock;
    this.#onError = onError;
    this.#slots = Array.from({ length: slotCount }, () => new ListHead());
    this.#onTick = () => this.#tick();
  }

  /** Nodes armed now. */
  get size(): number {
    return this.#size;
  }

  /**
   * Makes `node` fire `delayMs` from now, in place of what it was armed for before. Reads the clock, so it suits an
   * event of a session, not every chunk: for those keep a time stamp from `nowMs`, and arm again for the rest when the
   * node fires.
   *
   * @throws RangeError when `delayMs` is negative or not finite.
   */
  arm(node: TimerNode, delayMs: number): void {
    if (!(delayMs >= 0 && delayMs < Infinity))
      throw new RangeError(`cannot arm a timer for ${delayMs} ms: want 0 or more`);
    this.nowMs = this.#clock.nowMs();
    if (node.armed) unlink(node);
    else this.#size += 1;
    if (this.#state === "idle") this.#startTicking();
    node.deadlineMs = this.nowMs + delayMs;
    append(this.#slotOf(Math.floor(node.deadlineMs / wheelTickMs)), node);
  }

  /** Makes sure that `node` does not fire. One that is not armed is left alone. */
  cancel(node: TimerNode): void {
    if (!node.armed) return;
    unlink(node);
    this.#size -= 1;
    if (this.#size === 0 && this.#state === "ticking") this.#stopTicking();
  }

  #startTicking(): void {
    this.#state = "ticking";
    this.previousTickMs = this.#lastTickMs = this.nowMs;
    this.#lastTick = Math.floor(this.nowMs / wheelTickMs);
    this.#ticker = this.#clock.setTicker(this.#onTick, wheelTickMs);
  }

  #stopTicking(): void {
    this.#state = "idle";
    if (this.#ticker !== undefined) this.#clock.clearTimer(this.#ticker);
    this.#ticker = undefined;
  }

  #tick(): void {
    this.nowMs = this.#clock.nowMs();
    this.previousTickMs = this.#lastTickMs;
    this.#lastTickMs = this.nowMs;
    this.#collectDue();
    this.#state = "firing";
    try {
      this.#fireDue();
    } finally {
      this.#state = "ticking";
      if (this.#size === 0) this.#stopTicking();
    }
  }

  /** Moves what is due to its own list first: whatever is armed while it fires can then only be for a later tick. */
  #collectDue(): void {
    const nowTick = Math.floor(this.nowMs / wheelTickMs);
    // After a stall longer than one turn, the last turn's worth of ticks covers every slot.
    const firstTick = Math.max(this.#lastTick, nowTick - slotCount + 1);
    for (let tick = firstTick; tick <= nowTick; tick += 1) {
      const slot = this.#slotOf(tick);
      let node = slot.wheelNext;
      while (node !== slot) {
        const next = node.wheelNext;
        if (node.deadlineMs <= this.nowMs) {
          unlink(node);
          append(this.#due, node);
        }
        node = next;
      }
    }
    this.#lastTick = nowTick;
  }

  /** Takes one node at a time from the front, since each may cancel or arm any other. */
  #fireDue(): void {
    while (this.#due.armed) {
      const node = this.#due.wheelNext;
      unlink(node);
      this.#size -= 1;
      try {
        node.expired();
      } catch (error) {
        this.#onError(error, node);
      }
    }
  }

  /** The mask is exact for any whole number of ticks: conversion to 32 bits keeps the lowest ones. */
  #slotOf(tick: number): ListHead {
    return this.#slots[tick & (slotCount - 1)]!;
  }
}

/**
 * - `idle`: nothing is armed and there is no ticker.
 * - `ticking`: at least one node is armed.
 * - `firing`: inside a tick; the ticker stays until its end, even if the last node goes, since it may come back.
 */
type WheelState = "idle" | "ticking" | "firing";

/** The fixed point of a circular list of nodes; alone in it when the list is empty. */
class ListHead extends TimerNode {
  override expired(): void {
    throw new Error("the head of a timer list was fired: this is a bug in the timer wheel");
  }
}

function append(head: ListHead, node: TimerNode): void {
  const last = head.wheelPrevious;
  node.wheelPrevious = last;
  node.wheelNext = head;
  last.wheelNext = node;
  head.wheelPrevious = node;
}

function unlink(node: TimerNode): void {
  node.wheelPrevious.wheelNext = node.wheelNext;
  node.wheelNext.wheelPrevious = node.wheelPrevious;
  node.wheelNext = node;
  node.wheelPrevious = node;
}
