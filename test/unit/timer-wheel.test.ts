import { describe, expect, spyOn, test } from "bun:test";
import { TimerNode, TimerWheel, wheelTickMs } from "../../src/core/timer-wheel.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const secondMs = 1000;
const dayMs = 86_400 * secondMs;

/** Notes when it fires, then does what the test wants. */
class Probe extends TimerNode {
  readonly firedMs: number[] = [];

  constructor(
    readonly clock: VirtualClock,
    readonly onExpired: (probe: Probe) => void = () => {},
  ) {
    super();
  }

  override expired(): void {
    this.firedMs.push(this.clock.nowMs());
    this.onExpired(this);
  }
}

function failOnError(error: unknown): never {
  throw error;
}

function setUp(onError: (error: unknown, node: TimerNode) => void = failOnError) {
  const clock = new VirtualClock();
  return { clock, wheel: new TimerWheel(clock, onError), beganMs: clock.nowMs() };
}

describe("a deadline", () => {
  test("fires once, never early, at most one tick late, wherever it falls between two ticks", async () => {
    const { clock, wheel } = setUp();
    await clock.advance(17.5);
    const anchor = new Probe(clock);
    wheel.arm(anchor, dayMs);
    for (let delayMs = 0; delayMs <= 3 * wheelTickMs; delayMs += 3.25) {
      await clock.advance(7);
      const probe = new Probe(clock);
      wheel.arm(probe, delayMs);
      const wantedMs = clock.nowMs() + delayMs;
      expect(probe.deadlineMs).toBe(wantedMs);
      await clock.advance(delayMs + 2 * wheelTickMs);
      expect(probe.firedMs).toHaveLength(1);
      expect(probe.firedMs[0]!).toBeGreaterThanOrEqual(wantedMs);
      expect(probe.firedMs[0]! - wantedMs).toBeLessThanOrEqual(wheelTickMs);
      expect(probe.armed).toBe(false);
    }
    wheel.cancel(anchor);
  });

  test("is moved later and earlier by arming again", async () => {
    const { clock, wheel, beganMs } = setUp();
    const later = new Probe(clock);
    const earlier = new Probe(clock);
    wheel.arm(later, 100);
    wheel.arm(earlier, 10_000);
    await clock.advance(50);
    wheel.arm(later, 1000);
    wheel.arm(earlier, 100);
    expect(wheel.size).toBe(2);
    await clock.advance(20_000);
    expect(later.firedMs).toEqual([beganMs + 1050]);
    expect(earlier.firedMs).toEqual([beganMs + 150]);
  });

  test("does not fire once cancelled, and cancelling again or without arming is harmless", async () => {
    const { clock, wheel } = setUp();
    const probe = new Probe(clock);
    wheel.cancel(probe);
    wheel.arm(probe, 100);
    wheel.cancel(probe);
    wheel.cancel(probe);
    expect(wheel.size).toBe(0);
    expect(probe.armed).toBe(false);
    await clock.advance(1000);
    expect(probe.firedMs).toEqual([]);
  });

  test("beyond one turn of the wheel fires in its own turn", async () => {
    const { clock, wheel, beganMs } = setUp();
    const probe = new Probe(clock);
    wheel.arm(probe, 170 * secondMs + 20);
    await clock.advance(170 * secondMs);
    expect(probe.firedMs).toEqual([]);
    await clock.advance(100);
    expect(probe.firedMs).toEqual([beganMs + 170 * secondMs + wheelTickMs]);
  });

  test("days away, or years, fires then", async () => {
    for (const delayMs of [3 * dayMs, 30 * dayMs, 365_000 * dayMs]) {
      const { clock, wheel, beganMs } = setUp();
      const probe = new Probe(clock);
      wheel.arm(probe, delayMs);
      clock.stall(delayMs - 1020);
      await clock.advance(1000);
      expect(probe.firedMs).toEqual([]);
      await clock.advance(100);
      expect(probe.firedMs).toHaveLength(1);
      expect(probe.firedMs[0]! - (beganMs + delayMs)).toBeWithin(0, wheelTickMs + 1);
    }
  });

  test("that is negative, infinite or not a number is refused, and what was armed stays so", async () => {
    const { clock, wheel, beganMs } = setUp();
    const probe = new Probe(clock);
    wheel.arm(probe, 100);
    for (const delayMs of [-1, Infinity, NaN]) {
      expect(() => wheel.arm(probe, delayMs)).toThrow(`cannot arm a timer for ${delayMs} ms: want 0 or more`);
    }
    await clock.advance(200);
    expect(probe.firedMs).toEqual([beganMs + 100]);
  });
});

describe("the ticker", () => {
  test("exists only while a node is armed, and only once", async () => {
    const { clock, wheel } = setUp();
    const probes = Array.from({ length: 100 }, () => new Probe(clock));
    expect(clock.pendingTimers).toBe(0);
    for (const probe of probes) wheel.arm(probe, 100);
    expect(clock.pendingTimers).toBe(1);
    expect(wheel.size).toBe(100);
    for (const probe of probes.slice(1)) wheel.cancel(probe);
    expect(clock.pendingTimers).toBe(1);
    wheel.cancel(probes[0]!);
    expect(clock.pendingTimers).toBe(0);

    wheel.arm(probes[0]!, 100);
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(200);
    expect(probes[0]!.firedMs).toHaveLength(1);
    expect(wheel.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  test("goes on, the same one, when the only node goes and comes back in a tick, and ends when it goes", async () => {
    const { clock, wheel, beganMs } = setUp();
    using setTicker = spyOn(clock, "setTicker");
    const probe = new Probe(clock, () => {
      wheel.arm(probe, 100);
      wheel.cancel(probe);
      if (probe.firedMs.length < 3) wheel.arm(probe, 100);
    });
    wheel.arm(probe, 100);
    await clock.advance(1000);
    expect(probe.firedMs.map((ms) => ms - beganMs)).toEqual([100, 200, 300]);
    expect(setTicker).toHaveBeenCalledTimes(1);
    expect(clock.pendingTimers).toBe(0);
  });

  test("moves the coarse time, which stands still while nothing is armed and is right again after the next arm", async () => {
    const { clock, wheel, beganMs } = setUp();
    const probe = new Probe(clock);
    expect(wheel.nowMs).toBe(beganMs);
    await clock.advance(500);
    expect(wheel.nowMs).toBe(beganMs);
    wheel.arm(probe, 10_000);
    expect(wheel.nowMs).toBe(beganMs + 500);
    for (let tick = 1; tick <= 3; tick += 1) {
      await clock.advance(wheelTickMs);
      expect(wheel.nowMs).toBe(beganMs + 500 + tick * wheelTickMs);
    }
    wheel.cancel(probe);
  });
});

describe("after a stall of the event loop", () => {
  test("all that is due fires at the first tick, and nothing else does", async () => {
    const { clock, wheel } = setUp();
    const probes = Array.from({ length: 300 }, () => new Probe(clock));
    for (const [index, probe] of probes.entries()) wheel.arm(probe, index * secondMs + 500);
    clock.stall(200 * secondMs);
    await clock.advance(0);
    expect(probes.map((probe) => probe.firedMs.length)).toEqual(probes.map((_, index) => (index < 200 ? 1 : 0)));
    await clock.advance(100 * secondMs);
    expect(probes.every((probe) => probe.firedMs.length === 1)).toBe(true);
    for (const [index, probe] of probes.entries()) {
      if (index < 200) continue;
      expect(probe.firedMs[0]! - probe.deadlineMs).toBeWithin(0, wheelTickMs + 1);
    }
  });

  test("of a thousand years it looks at each slot once, not at each tick missed", async () => {
    const { clock, wheel } = setUp();
    const due = new Probe(clock);
    const notDue = new Probe(clock);
    wheel.arm(due, 365_000 * dayMs - 1);
    wheel.arm(notDue, 365_000 * dayMs + 1);
    clock.stall(365_000 * dayMs);
    await clock.advance(0);
    expect(due.firedMs).toHaveLength(1);
    expect(notDue.firedMs).toEqual([]);
    await clock.advance(wheelTickMs);
    expect(notDue.firedMs).toHaveLength(1);
  });

  test("a node armed before the first tick is measured from the true time, not from the stale one", async () => {
    const { clock, wheel, beganMs } = setUp();
    wheel.arm(new Probe(clock), 10_000);
    const probe = new Probe(clock);
    clock.stall(900);
    wheel.arm(probe, 500);
    await clock.advance(1000);
    expect(probe.firedMs[0]! - (beganMs + 900)).toBeWithin(500, 500 + wheelTickMs + 1);
  });
});

describe("within expired()", () => {
  test("a neighbour due in the same tick can be cancelled", async () => {
    const { clock, wheel } = setUp();
    const probes: Probe[] = Array.from({ length: 3 }, () => new Probe(clock, cancelOthers));
    function cancelOthers(self: Probe): void {
      for (const probe of probes) if (probe !== self) wheel.cancel(probe);
    }
    for (const probe of probes) wheel.arm(probe, 100);
    await clock.advance(1000);
    expect(probes.flatMap((probe) => probe.firedMs)).toHaveLength(1);
    expect(wheel.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  test("a neighbour due in the same tick can be put off", async () => {
    const { clock, wheel, beganMs } = setUp();
    const neighbour = new Probe(clock);
    wheel.arm(new Probe(clock, () => wheel.arm(neighbour, 300)), 100);
    wheel.arm(neighbour, 100);
    await clock.advance(1000);
    expect(neighbour.firedMs).toEqual([beganMs + 400]);
  });

  test("what is armed for no delay at all fires in the next tick, so that it can't hold up this one", async () => {
    const { clock, wheel, beganMs } = setUp();
    const probe: Probe = new Probe(clock, () => probe.firedMs.length < 3 && wheel.arm(probe, 0));
    wheel.arm(probe, 0);
    await clock.advance(1000);
    expect(probe.firedMs.map((ms) => ms - beganMs)).toEqual([wheelTickMs, 2 * wheelTickMs, 3 * wheelTickMs]);
  });

  test("an exception is reported with its node and loses no other node", async () => {
    const reported: [unknown, TimerNode][] = [];
    const { clock, wheel } = setUp((error, node) => reported.push([error, node]));
    const mistake = new Error("mistake");
    const bad = new Probe(clock, () => {
      throw mistake;
    });
    const before = new Probe(clock);
    const after = new Probe(clock);
    for (const probe of [before, bad, after]) wheel.arm(probe, 100);
    await clock.advance(100);
    expect(reported).toEqual([[mistake, bad]]);
    expect([before, bad, after].map((probe) => probe.firedMs.length)).toEqual([1, 1, 1]);
    expect(clock.pendingTimers).toBe(0);

    wheel.arm(bad, 100);
    await clock.advance(100);
    expect(reported).toHaveLength(2);
  });

  test("an exception that even the report throws on reaches the clock, and the other nodes fire a tick later", async () => {
    const { clock, wheel, beganMs } = setUp(failOnError);
    const bad = new Probe(clock, () => {
      throw new Error("mistake");
    });
    const after = new Probe(clock);
    wheel.arm(bad, 100);
    wheel.arm(after, 100);
    await expect(clock.advance(100)).rejects.toThrow("mistake");
    await clock.advance(100);
    expect(after.firedMs).toEqual([beganMs + 100 + wheelTickMs]);
    expect(wheel.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });
});
