/** The timer wheel with 10,000 deadlines: `bun bench/micro/wheel.bench.ts`. */

import { bench, do_not_optimize, run } from "mitata";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { TimerNode, TimerWheel, wheelTickMs } from "../../src/core/timer-wheel.ts";

const nodeCount = 10_000;
const hourMs = 3_600_000;
/** So far ahead that no benchmark gets there, however many ticks it makes. */
const neverMs = 1e14;

class Deadline extends TimerNode {
  fired = 0;

  override expired(): void {
    this.fired += 1;
  }
}

/** A clock moved by the benchmark, whose one ticker runs when told to. */
class SteppedClock implements Clock {
  time = 1000;
  tick: () => void = () => {};

  nowMs(): number {
    return this.time;
  }

  setTimer(): object {
    throw new Error("the wheel sets no timers");
  }

  setTicker(fn: () => void): object {
    this.tick = fn;
    return this;
  }

  clearTimer(): void {
    this.tick = () => {};
  }

  step(): void {
    this.time += wheelTickMs;
    this.tick();
  }
}

function failOnError(error: unknown): never {
  throw error;
}

/** A wheel that holds `nodeCount` nodes, spread over a minute, which is more than one turn. */
function fullWheel(clock: Clock, delayMs: number): { wheel: TimerWheel; nodes: Deadline[] } {
  const wheel = new TimerWheel(clock, failOnError);
  const nodes = Array.from({ length: nodeCount }, () => new Deadline());
  for (const [index, node] of nodes.entries()) wheel.arm(node, delayMs + (index * 60_000) / nodeCount);
  return { wheel, nodes };
}

{
  const { wheel, nodes } = fullWheel(systemClock, hourMs);
  let next = 0;
  bench("arm again, one of 10,000 (reads the clock)", () => {
    wheel.arm(nodes[next]!, hourMs);
    next = (next + 1) % nodeCount;
  });
  const extra = new Deadline();
  bench("arm and cancel, beside 10,000", () => {
    wheel.arm(extra, 5000);
    wheel.cancel(extra);
  });
  bench("read the coarse time", () => do_not_optimize(wheel.nowMs));
}

{
  const wheel = new TimerWheel(systemClock, failOnError);
  const only = new Deadline();
  bench("arm and cancel the only one (starts and ends the ticker)", () => {
    wheel.arm(only, 5000);
    wheel.cancel(only);
  });
}

{
  const clock = new SteppedClock();
  fullWheel(clock, neverMs);
  bench("tick, 10,000 armed, none due (looks at about 20)", () => clock.step());
}

{
  const clock = new SteppedClock();
  const { wheel, nodes } = fullWheel(clock, neverMs);
  bench("fire and arm again all 10,000, in one tick", () => {
    for (const node of nodes) wheel.arm(node, 1);
    clock.step();
  });
}

bench("for comparison: performance.now()", () => do_not_optimize(performance.now()));
bench("for comparison: setTimeout and clearTimeout", () => clearTimeout(setTimeout(failOnError, 5000)));

await run();
