import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

describe("the system clock", () => {
  test("calls back once, not before the delay is over", async () => {
    const beganMs = systemClock.nowMs();
    await after(12.9);
    expect(systemClock.nowMs() - beganMs).toBeGreaterThanOrEqual(12.9);
  });

  test("does not call back when the timer was cleared, and clearing it again is harmless", async () => {
    let calls = 0;
    const timer = systemClock.setTimer(() => calls++, 1);
    systemClock.clearTimer(timer);
    systemClock.clearTimer(timer);
    await after(10);
    expect(calls).toBe(0);
  });

  test("waits for a delay beyond what setTimeout takes, in place of firing at once", async () => {
    let calls = 0;
    const timer = systemClock.setTimer(() => calls++, 2 ** 31 + 1);
    await after(20);
    systemClock.clearTimer(timer);
    expect(calls).toBe(0);
  });

  test("ticks until the ticker is cleared, also from within a tick", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let ticks = 0;
    const ticker = systemClock.setTicker(() => {
      ticks += 1;
      if (ticks === 3) systemClock.clearTimer(ticker);
      if (ticks === 3) resolve();
    }, 2);
    await held(promise);
    await after(10);
    expect(ticks).toBe(3);
  });

  test("keeps the process running for a timer that holds it, and for no other timer and no ticker", async () => {
    expect(await outputOf(`systemClock.setTimer(() => console.log("fired"), 20, "holds_process")`)).toBe("fired\n");
    expect(await outputOf(`systemClock.setTimer(() => console.log("fired"), 20)`)).toBe("");
    expect(await outputOf(`systemClock.setTicker(() => console.log("ticked"), 20)`)).toBe("");
  });
});

describe("the virtual clock", () => {
  test("runs timers at their own moments, in order, and promise reactions in between", async () => {
    const clock = new VirtualClock();
    const beganMs = clock.nowMs();
    const trace: string[] = [];
    const note = (what: string) => trace.push(`${clock.nowMs() - beganMs} ${what}`);
    clock.setTimer(() => note("late"), 30);
    clock.setTimer(() => {
      note("early");
      void Promise.resolve()
        .then(() => {})
        .then(() => note("reaction"));
      clock.setTimer(() => note("set by early"), 5);
    }, 10);
    clock.setTimer(() => note("early too"), 10);
    clock.setTimer(() => note("beyond"), 31);
    await clock.advance(30);
    expect(trace).toEqual(["10 early", "10 reaction", "10 early too", "15 set by early", "30 late"]);
    expect(clock.nowMs() - beganMs).toBe(30);
    expect(clock.pendingTimers).toBe(1);
  });

  test("runs late what fell due in a stall, and does not make up for missed ticks", async () => {
    const clock = new VirtualClock();
    const beganMs = clock.nowMs();
    const ticks: number[] = [];
    const ticker = clock.setTicker(() => ticks.push(clock.nowMs() - beganMs), 10);
    clock.stall(35);
    await clock.advance(20);
    clock.clearTimer(ticker);
    await clock.advance(100);
    expect(ticks).toEqual([35, 45, 55]);
    expect(clock.pendingTimers).toBe(0);
  });
});

function after(ms: number): Promise<void> {
  return new Promise((resolve) => systemClock.setTimer(resolve, ms, "holds_process"));
}

/** Waits for a promise that only something that does not hold the process will resolve. */
async function held(promise: Promise<void>): Promise<void> {
  const holder = systemClock.setTimer(() => {}, 10_000, "holds_process");
  await promise;
  systemClock.clearTimer(holder);
}

/** What a process prints that runs this statement and then has nothing else to do. */
async function outputOf(statement: string): Promise<string> {
  const script = `import { systemClock } from "./src/core/clock.ts"; ${statement};`;
  await using child = Bun.spawn([process.execPath, "-e", script], {
    cwd: join(import.meta.dir, "../.."),
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await child.stdout.text();
  expect(await child.exited).toBe(0);
  return output;
}
