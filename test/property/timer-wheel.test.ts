import { expect, test } from "bun:test";
import fc from "fast-check";
import { TimerNode, TimerWheel, wheelTickMs } from "../../src/core/timer-wheel.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const nodeCount = 6;

/** What a node does when it fires, besides being noted. */
type Reaction =
  | { readonly kind: "nothing" }
  | { readonly kind: "throw" }
  | { readonly kind: "arm"; readonly node: number; readonly delayMs: number }
  | { readonly kind: "cancel"; readonly node: number };

type Command =
  | { readonly kind: "arm"; readonly node: number; readonly delayMs: number; readonly reaction: Reaction }
  | { readonly kind: "cancel"; readonly node: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "stall"; readonly ms: number };

const node = fc.nat(nodeCount - 1);
const delayMs = fc.oneof(
  fc.nat(300),
  fc.double({ min: 0, max: 300, noNaN: true }),
  fc.integer({ min: 51_000, max: 103_000 }),
  fc.integer({ min: 0, max: 5 * 86_400_000 }),
);
const reaction: fc.Arbitrary<Reaction> = fc.oneof(
  fc.constant({ kind: "nothing" } as const),
  fc.constant({ kind: "throw" } as const),
  fc.record({ kind: fc.constant("arm" as const), node, delayMs }),
  fc.record({ kind: fc.constant("cancel" as const), node }),
);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("arm" as const), node, delayMs, reaction }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), node }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("advance" as const),
      ms: fc.oneof(fc.nat(200), fc.double({ min: 0, max: 200, noNaN: true }), fc.nat(4000)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("stall" as const), ms: fc.oneof(fc.nat(500), fc.nat(6 * 86_400_000)) }),
  },
);

/** The wheel beside the naive thing it stands for: a list of deadlines. Each firing is checked against the list. */
class Harness {
  readonly clock = new VirtualClock();
  readonly wheel = new TimerWheel(this.clock, (error, thrower) => this.#thrown.push([error, thrower]));
  readonly nodes = Array.from({ length: nodeCount }, (_, index) => new ModelledNode(this, index));
  readonly #deadlines = new Map<number, number>();
  readonly #thrown: [unknown, TimerNode][] = [];
  #throwsWanted = 0;
  /** How late a firing may be now: one tick, and the stall that has just been. */
  #latenessMaxMs = wheelTickMs;

  async run(step: Command): Promise<void> {
    switch (step.kind) {
      case "arm":
        this.nodes[step.node]!.reaction = step.reaction;
        this.#arm(step.node, step.delayMs);
        break;
      case "cancel":
        this.#cancel(step.node);
        break;
      case "advance":
        await this.clock.advance(step.ms);
        break;
      case "stall":
        this.clock.stall(step.ms);
        this.#latenessMaxMs = wheelTickMs + step.ms;
        await this.clock.advance(0);
        this.#latenessMaxMs = wheelTickMs;
        break;
    }
    this.#check();
  }

  fired(index: number): void {
    const deadlineMs = this.#deadlines.get(index);
    if (deadlineMs === undefined) throw new Error(`node ${index} fired although it is not armed`);
    this.#deadlines.delete(index);
    const latenessMs = this.clock.nowMs() - deadlineMs;
    // The deadline is a sum of two doubles, and so is the time of the tick: hence the allowance.
    if (latenessMs < 0 || latenessMs > this.#latenessMaxMs + 1e-6) {
      throw new Error(`node ${index} fired ${latenessMs} ms after its deadline`);
    }
    const { reaction } = this.nodes[index]!;
    switch (reaction.kind) {
      case "nothing":
        return;
      case "throw":
        this.#throwsWanted += 1;
        throw reaction;
      case "arm":
        // Only once, so that every run comes to an end.
        this.nodes[index]!.reaction = { kind: "nothing" };
        return this.#arm(reaction.node, reaction.delayMs);
      case "cancel":
        return this.#cancel(reaction.node);
    }
  }

  /** After all that was armed has had its time, nothing is left, of the wheel's or of the clock's. */
  async runOut(): Promise<void> {
    for (let turn = 0; this.wheel.size > 0 && turn < 4 * nodeCount; turn += 1) {
      await this.run({ kind: "stall", ms: 6 * 86_400_000 });
      await this.run({ kind: "advance", ms: wheelTickMs });
    }
    expect(this.#deadlines.size).toBe(0);
    expect(this.wheel.size).toBe(0);
    expect(this.clock.pendingTimers).toBe(0);
  }

  #arm(index: number, delay: number): void {
    this.#deadlines.set(index, this.clock.nowMs() + delay);
    this.wheel.arm(this.nodes[index]!, delay);
  }

  #cancel(index: number): void {
    this.#deadlines.delete(index);
    this.wheel.cancel(this.nodes[index]!);
  }

  #check(): void {
    expect(this.wheel.size).toBe(this.#deadlines.size);
    expect(this.clock.pendingTimers).toBe(this.#deadlines.size === 0 ? 0 : 1);
    for (const { index, armed, deadlineMs } of this.nodes) {
      const wantedMs = this.#deadlines.get(index);
      expect(armed).toBe(wantedMs !== undefined);
      if (wantedMs === undefined) continue;
      expect(deadlineMs).toBe(wantedMs);
      expect(this.clock.nowMs() - wantedMs).toBeLessThanOrEqual(wheelTickMs + 1e-6);
    }
    // What expired() has thrown was caught here, a failed check included: only the wanted throws may be among it.
    for (const [error] of this.#thrown) if (error instanceof Error) throw error;
    expect(this.#thrown.length).toBe(this.#throwsWanted);
  }
}

class ModelledNode extends TimerNode {
  reaction: Reaction = { kind: "nothing" };

  constructor(
    readonly harness: Harness,
    readonly index: number,
  ) {
    super();
  }

  override expired(): void {
    this.harness.fired(this.index);
  }
}

test("whatever is armed, cancelled, thrown and stalled, the wheel does what a list of deadlines would", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
      const harness = new Harness();
      for (const step of commands) await harness.run(step);
      await harness.runOut();
    }),
    { numRuns: 500 },
  );
});
