import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Clock, TimerHandle } from "../../src/core/clock.ts";
import type { Component } from "../../src/lifecycle/component.ts";
import { Controller } from "../../src/lifecycle/controller.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** How a start, a stop or an attempt goes: how long it takes, undefined for ever, and whether it then fails. */
interface Work {
  readonly takesMs: number | undefined;
  readonly fails: boolean;
}

interface Plan {
  readonly start: Work;
  readonly givesUp: boolean;
  readonly stop: Work;
  /** Undefined = no check; otherwise the attempts that say no before the first yes. */
  readonly readyAfter: number | undefined;
  readonly attempt: Work;
  /** When it ends by itself, from its start on; undefined = never. */
  readonly endsAfterMs: number | undefined;
  readonly endsWithError: boolean;
}

const startTimeoutMs = 100;
/** Not a whole number: no work takes exactly as long, which could go either way. */
const stopTimeoutMs = 150.5;
const attempts = 3;

const work: fc.Arbitrary<Work> = fc.record({
  takesMs: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.nat(90) },
    { weight: 1, arbitrary: fc.integer({ min: 101, max: 400 }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  ),
  fails: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});
const plan: fc.Arbitrary<Plan> = fc.record({
  start: work,
  givesUp: fc.boolean(),
  stop: work,
  readyAfter: fc.option(fc.nat(attempts), { nil: undefined, freq: 2 }),
  attempt: work,
  endsAfterMs: fc.option(fc.nat(600), { nil: undefined, freq: 1 }),
  endsWithError: fc.boolean(),
});

/** Counts the timers of the controller, apart from those the components in the test set on the same clock. */
class CountingClock implements Clock {
  readonly pending = new Set<TimerHandle>();

  constructor(readonly inner: VirtualClock) {}

  nowMs(): number {
    return this.inner.nowMs();
  }

  setTimer(fn: () => void, delayMs: number): TimerHandle {
    const timer = this.inner.setTimer(() => {
      this.pending.delete(timer);
      fn();
    }, delayMs);
    this.pending.add(timer);
    return timer;
  }

  setTicker(): TimerHandle {
    throw new Error("a controller needs no ticker");
  }

  clearTimer(handle: TimerHandle): void {
    this.pending.delete(handle);
    this.inner.clearTimer(handle);
  }
}

test("whatever the components do, those that started are stopped once, in reverse order, and then nothing runs", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(plan, { maxLength: 6 }), fc.nat(1500), async (plans, stopAtMs) => {
      const virtual = new VirtualClock();
      const clock = new CountingClock(virtual);
      const called: string[] = [];
      const started: string[] = [];
      const abandonedStarts = new Set<string>();
      const stopCalls: string[] = [];
      // Noted here and checked at the end: an exception in a component would just be one of its failures.
      const overlaps: string[] = [];
      let stopsRunning = 0;
      let startsRunning = 0;

      const perform = (label: string, { takesMs, fails }: Work, after: () => void = () => {}): Promise<void> => {
        called.push(label);
        return new Promise((resolve, reject) => {
          if (takesMs === undefined) return;
          virtual.setTimer(() => {
            after();
            if (fails) reject(new Error(label));
            else resolve();
          }, takesMs);
        });
      };

      const components = plans.map((plan, index): Component => {
        const name = `c${index}`;
        let asked = 0;
        return {
          name,
          startTimeoutMs,
          stopTimeoutMs,
          start: ({ signal, ended }) => {
            if (startsRunning + stopsRunning > 0) overlaps.push(`start ${name}`);
            startsRunning += 1;
            if (plan.endsAfterMs !== undefined) {
              virtual.setTimer(
                () => ended(plan.endsWithError ? new Error(`ended ${name}`) : undefined),
                plan.endsAfterMs,
              );
            }
            const starting = perform(`start ${name}`, plan.start);
            if (!plan.givesUp) return starting;
            const givenUp = new Promise<never>((_, reject) => {
              signal.addEventListener("abort", () => reject(signal.reason as Error));
            });
            return Promise.race([starting, givenUp]);
          },
          ready:
            plan.readyAfter === undefined
              ? undefined
              : {
                  attempts,
                  backoffMs: 5,
                  backoffMaxMs: 15,
                  timeoutMs: 50,
                  check: async () => {
                    asked += 1;
                    await perform(`check ${name}`, plan.attempt);
                    return asked > plan.readyAfter!;
                  },
                },
          stop: () => {
            if (startsRunning + stopsRunning > 0) overlaps.push(`stop ${name}`);
            stopsRunning += 1;
            stopCalls.push(name);
            return perform(`stop ${name}`, plan.stop);
          },
        };
      });

      const controller = new Controller(components, {
        clock,
        observe: (event) => {
          if (event.kind === "started") started.push(event.name);
          if (event.kind === "stopped" || (event.kind === "abandoned" && event.phase === "stop")) stopsRunning -= 1;
          if (event.kind === "failed" && event.failure.phase === "stop") stopsRunning -= 1;
          if (event.kind === "abandoned" && event.phase === "start") abandonedStarts.add(event.name);
          if (event.kind === "started" || (event.kind === "failed" && event.failure.phase === "start")) {
            startsRunning -= 1;
          }
          // A start that gave up when it was told to ends without a word.
          if (event.kind === "stopping" || event.kind === "finished") startsRunning = 0;
        },
      });

      let calledAtEnd: number | undefined;
      let timersAtEnd: number | undefined;
      void controller.start();
      void controller.wait().then(() => {
        calledAtEnd = called.length;
        timersAtEnd = clock.pending.size;
      });
      await virtual.advance(stopAtMs);
      controller.requestStop({ kind: "request", by: "test" });
      await virtual.advance(5000);

      expect(controller.state).toBe("stopped");
      const outcome = await controller.wait();
      expect(stopCalls).toEqual(started.toReversed());
      expect(overlaps).toEqual([]);
      expect(called.length).toBe(calledAtEnd!);
      expect(timersAtEnd).toBe(0);
      expect(virtual.pendingTimers).toBe(0);

      // What is known of the plans bounds what may have started, in which order, and what was abandoned.
      expect(started).toEqual(components.slice(0, started.length).map(({ name }) => name));
      for (const name of started) {
        const { start } = plans[Number(name.slice(1))]!;
        expect(start.fails).toBe(false);
        expect(start.takesMs!).toBeLessThanOrEqual(startTimeoutMs);
      }
      const slowStops = stopCalls.filter((name) => {
        const { takesMs } = plans[Number(name.slice(1))]!.stop;
        return takesMs === undefined || takesMs > stopTimeoutMs;
      });
      expect(outcome.abandoned).toEqual([...abandonedStarts, ...slowStops]);
      const failedStops = stopCalls.filter((name) => {
        const { stop } = plans[Number(name.slice(1))]!;
        return stop.fails && !slowStops.includes(name);
      });
      const failedPhase = (phase: string) => outcome.failures.filter((failure) => failure.phase === phase);
      expect(failedPhase("stop").map(({ name }) => name)).toEqual(failedStops);
      expect(failedPhase("observe")).toEqual([]);
      expect(outcome.firstError).toBe(outcome.failures[0]?.error);
    }),
    { numRuns: 300 },
  );
});
