import { describe, expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import type { CounterTask } from "../support/counter-worker.ts";

const threadCount = 4;
const rounds = 100_000;

describe("the counter of active connections", () => {
  test("says how many there are with each one taken and without each one given back", () => {
    const active = new ActiveConnections();
    expect(active.count).toBe(0);
    expect([active.take(), active.take(), active.take()]).toEqual([1, 2, 3]);
    expect([active.giveBack(), active.count, active.giveBack(), active.giveBack()]).toEqual([2, 2, 1, 0]);
    expect(active.count).toBe(0);
  });

  test("refuses to give back what was not taken, and stays at zero", () => {
    const active = new ActiveConnections();
    expect(() => active.giveBack()).toThrow("cannot give back a connection: 0 are open");
    expect(active.count).toBe(0);
    expect(active.take()).toBe(1);
  });

  test("is one count for all instances over the same memory", () => {
    const one = new ActiveConnections();
    const other = new ActiveConnections(one.shared);
    one.take();
    other.take();
    expect(one.count).toBe(2);
    one.giveBack();
    expect(one.giveBack()).toBe(0);
    expect(() => other.giveBack()).toThrow("cannot give back");
  });
});

describe("the wait for zero", () => {
  test("is over at once when nothing is open", async () => {
    await new ActiveConnections().whenZero();
  });

  test("is over for all who wait when the last connection is given back, and not before", async () => {
    const active = new ActiveConnections();
    active.take();
    active.take();
    let over = 0;
    const waits = [1, 2, 3].map(() => active.whenZero().then(() => (over += 1)));
    active.giveBack();
    await turn();
    expect(over).toBe(0);
    active.giveBack();
    await Promise.all(waits);
    expect(over).toBe(3);
  });

  test("goes on when a connection was taken again before the waiter woke up", async () => {
    const active = new ActiveConnections();
    active.take();
    let over = false;
    const wait = active.whenZero().then(() => (over = true));
    active.giveBack();
    active.take();
    await turn();
    await turn();
    expect(over).toBe(false);
    active.giveBack();
    await wait;
  });

  test("neither keeps a process running nor stops it from exiting", async () => {
    const script = `
      import { ActiveConnections } from "./src/stats/active-connections.ts";
      const active = new ActiveConnections();
      active.take();
      void active.whenZero().then(() => console.log("zero"));
      console.log("waiting");`;
    await using child = Bun.spawn([process.execPath, "-e", script], {
      cwd: join(import.meta.dir, "../.."),
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await child.stdout.text()).toBe("waiting\n");
    expect(await child.exited).toBe(0);
  });
});

describe("between threads", () => {
  test("no taking and no giving back is lost", async () => {
    await using threads = new Threads(threadCount);
    const active = new ActiveConnections();
    await threads.all({ shared: active.shared, what: "take", times: rounds });
    expect(active.count).toBe(threadCount * rounds);
    await threads.all({ shared: active.shared, what: "take_and_give_back", times: rounds });
    expect(active.count).toBe(threadCount * rounds);
    const zero = active.whenZero();
    await threads.all({ shared: active.shared, what: "give_back", times: rounds });
    expect(active.count).toBe(0);
    await zero;
  });

  test("the decrement that reaches zero in another thread wakes the waiter: it waits once and sets no timer", async () => {
    await using threads = new Threads(1);
    const active = new ActiveConnections();
    for (let taken = 0; taken < rounds; taken += 1) active.take();
    using waitAsync = spyOn(Atomics, "waitAsync");
    using timeout = spyOn(globalThis, "setTimeout");
    using interval = spyOn(globalThis, "setInterval");
    using immediate = spyOn(globalThis, "setImmediate");

    const zero = active.whenZero();
    const done = threads.all({ shared: active.shared, what: "give_back", times: rounds });
    await zero;
    expect(active.count).toBe(0);
    expect(waitAsync).toHaveBeenCalledTimes(1);
    expect(timeout).not.toHaveBeenCalled();
    expect(interval).not.toHaveBeenCalled();
    expect(immediate).not.toHaveBeenCalled();
    await done;
  });

  test("no wake-up is lost, however the waiting and the giving back fall together", async () => {
    await using threads = new Threads(2);
    const active = new ActiveConnections();
    for (let round = 0; round < 300; round += 1) {
      const each = 1 + (round % 7) * 20;
      for (let taken = 0; taken < 2 * each; taken += 1) active.take();
      const done = threads.all({ shared: active.shared, what: "give_back", times: each });
      // Begin to wait at different moments of the others' work.
      for (let spin = 0; spin < (round % 10) * 300; spin += 1) void active.count;
      await active.whenZero();
      expect(active.count).toBe(0);
      await done;
    }
  });
});

/** Lets everything that is due now happen. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Threads that work on a counter. */
class Threads implements AsyncDisposable {
  readonly #workers: readonly Worker[];

  constructor(count: number) {
    const script = new URL("../support/counter-worker.ts", import.meta.url);
    this.#workers = Array.from({ length: count }, () => new Worker(script));
  }

  /** Gives every thread the task; resolves when all are done, rejects when one has thrown. */
  async all(task: CounterTask): Promise<void> {
    await Promise.all(
      this.#workers.map((worker) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        worker.onmessage = () => resolve();
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(task);
        return promise;
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) worker.terminate();
  }
}
