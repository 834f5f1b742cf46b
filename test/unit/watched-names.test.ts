/** When names are asked for again, and what their observer hears. */
import { describe, expect, test } from "bun:test";
import { addressSet, formatName, type Name, type ResolvedAddress } from "../../src/backend/names/name.ts";
import type { Answer, NameResolver } from "../../src/backend/names/resolver.ts";
import { WatchedNames } from "../../src/backend/names/watched-names.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const db: Name = { kind: "host", host: "db.test", port: 5432 };
const web: Name = { kind: "host", host: "web.test", port: 80 };
const noServer: Answer = { ok: false, why: "no server" };

function addresses(...hosts: string[]): readonly ResolvedAddress[] {
  const rest = { port: 5432, priority: 0, weight: undefined, target: "db.test" };
  return addressSet(hosts.map((host) => ({ host, ...rest })));
}

function ok(...hosts: string[]): Answer {
  return { ok: true, addresses: addresses(...hosts) };
}

/** Answers at once with what it has for a name; without it the question waits for `answer`. */
class ScriptedResolver implements NameResolver {
  /** "db.test:5432 at 0 ms", counted from the beginning of the test. */
  readonly asked: string[] = [];
  readonly answers = new Map<Name, Answer>();
  readonly #waiting: { readonly name: Name; readonly settle: (answer: Answer) => void }[] = [];
  readonly #clock: VirtualClock;
  readonly #startMs: number;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
    this.#startMs = clock.nowMs();
  }

  resolve(name: Name): Promise<Answer> {
    this.asked.push(`${formatName(name)} at ${Math.round(this.#clock.nowMs() - this.#startMs)} ms`);
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const answer = this.answers.get(name);
    if (answer === undefined) this.#waiting.push({ name, settle: resolve });
    else resolve(answer);
    return promise;
  }

  async answer(name: Name, answer: Answer): Promise<void> {
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.name === name) waiting.settle(answer);
      else this.#waiting.push(waiting);
    }
    await this.#clock.advance(0);
  }
}

class Setup {
  readonly clock = new VirtualClock();
  readonly resolver = new ScriptedResolver(this.clock);
  /** What the observer heard since it was last looked at, one sentence each. */
  readonly #heard: string[] = [];
  readonly names: WatchedNames;
  started = false;

  /** 0.5 is the middle: no jitter. */
  constructor(names: readonly Name[], resolveMs: number, random = 0.5) {
    const told = (found: readonly ResolvedAddress[]): string => found.map(({ host }) => host).join(" ");
    const observer = {
      changed: (name: Name, found: readonly ResolvedAddress[]) =>
        void this.#heard.push(`${formatName(name)} is ${told(found)}`),
      failed: (name: Name, why: string, kept: number) =>
        void this.#heard.push(`${formatName(name)} failed: ${why}, ${kept} kept`),
      recovered: (name: Name, found: readonly ResolvedAddress[]) =>
        void this.#heard.push(`${formatName(name)} is ${told(found)} again`),
    };
    this.names = new WatchedNames(names, resolveMs, this.resolver, this.clock, observer, () => random);
  }

  async start(): Promise<void> {
    void this.names.start().then(() => {
      this.started = true;
    });
    await this.clock.advance(0);
  }

  heard(): string[] {
    return this.#heard.splice(0);
  }
}

/** When questions came, in ms from the beginning of the test. */
function questionsMs(setup: Setup): number[] {
  return setup.resolver.asked.map((question) => Number(/ (\d+) ms/.exec(question)![1]));
}

describe("the start", () => {
  test("is over when every name has answered or failed once", async () => {
    const setup = new Setup([db, web], 30_000);
    await setup.start();
    expect(setup.resolver.asked).toEqual(["db.test:5432 at 0 ms", "web.test:80 at 0 ms"]);
    await setup.resolver.answer(db, ok("10.0.0.1"));
    expect([setup.started, setup.heard()]).toEqual([false, ["db.test:5432 is 10.0.0.1"]]);
    await setup.resolver.answer(web, noServer);
    expect([setup.started, setup.heard()]).toEqual([true, ["web.test:80 failed: no server, 0 kept"]]);
  });

  test("has nothing to wait for without names", async () => {
    const setup = new Setup([], 30_000);
    await setup.start();
    expect(setup.started).toBe(true);
    expect(setup.clock.pendingTimers).toBe(0);
  });
});

describe("a name that is resolved", () => {
  test("is asked for again each `resolve` after the answer, and told only when its addresses have changed", async () => {
    const setup = new Setup([db], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1", "10.0.0.2"));
    await setup.start();
    setup.resolver.answers.set(db, ok("10.0.0.2", "10.0.0.1"));
    await setup.clock.advance(30_000);
    setup.resolver.answers.set(db, ok("10.0.0.2", "10.0.0.3"));
    await setup.clock.advance(30_000);
    setup.resolver.answers.delete(db);
    await setup.clock.advance(40_000);
    await setup.resolver.answer(db, ok("10.0.0.2"));
    await setup.clock.advance(30_000);
    // The answer to the fourth question took 10 s.
    expect(questionsMs(setup)).toEqual([0, 30_000, 60_000, 90_000, 130_000]);
    expect(setup.heard()).toEqual([
      "db.test:5432 is 10.0.0.1 10.0.0.2",
      "db.test:5432 is 10.0.0.2 10.0.0.3",
      "db.test:5432 is 10.0.0.2",
    ]);
  });

  test("keeps its addresses while it fails, which is told once, and so is the end of it", async () => {
    const setup = new Setup([db], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1", "10.0.0.2"));
    await setup.start();
    setup.heard();
    setup.resolver.answers.set(db, noServer);
    await setup.clock.advance(90_000);
    expect(setup.resolver.asked).toHaveLength(4);
    expect(setup.heard()).toEqual(["db.test:5432 failed: no server, 2 kept"]);
    expect(setup.names.addressesOf(db)).toEqual(addresses("10.0.0.1", "10.0.0.2"));
    setup.resolver.answers.set(db, ok("10.0.0.1", "10.0.0.2"));
    await setup.clock.advance(60_000);
    expect(setup.heard()).toEqual(["db.test:5432 is 10.0.0.1 10.0.0.2 again"]);
    setup.resolver.answers.set(db, noServer);
    await setup.clock.advance(30_000);
    setup.resolver.answers.set(db, ok("10.0.0.3"));
    await setup.clock.advance(30_000);
    expect(setup.heard()).toEqual(["db.test:5432 failed: no server, 2 kept", "db.test:5432 is 10.0.0.3"]);
  });

  test("is not asked for again when `resolve` is 0", async () => {
    const setup = new Setup([db], 0);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.start();
    await setup.clock.advance(86_400_000);
    expect(setup.resolver.asked).toEqual(["db.test:5432 at 0 ms"]);
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("is asked for by itself: another one that hangs holds nothing up", async () => {
    const setup = new Setup([db, web], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.start();
    await setup.clock.advance(60_000);
    expect(setup.started).toBe(false);
    expect(setup.resolver.asked.filter((question) => question.startsWith("db"))).toHaveLength(3);
    expect(setup.resolver.asked.filter((question) => question.startsWith("web"))).toHaveLength(1);
  });
});

describe("a name that has never been resolved", () => {
  test("is asked for again after 1, 2, 4 … s up to `resolve`, then each `resolve`", async () => {
    const setup = new Setup([db], 10_000);
    setup.resolver.answers.set(db, noServer);
    await setup.start();
    await setup.clock.advance(35_000);
    expect(questionsMs(setup)).toEqual([0, 1_000, 3_000, 7_000, 15_000, 25_000, 35_000]);
    expect(setup.heard()).toEqual(["db.test:5432 failed: no server, 0 kept"]);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.clock.advance(10_000);
    expect(setup.heard()).toEqual(["db.test:5432 is 10.0.0.1"]);
  });

  test("is asked for no later than `resolve`, when that is shorter", async () => {
    const setup = new Setup([db], 200);
    setup.resolver.answers.set(db, noServer);
    await setup.start();
    await setup.clock.advance(600);
    expect(questionsMs(setup)).toEqual([0, 200, 400, 600]);
  });

  test("is asked for up to each 30 s when `resolve` is 0, until it is resolved", async () => {
    const setup = new Setup([db], 0);
    setup.resolver.answers.set(db, noServer);
    await setup.start();
    await setup.clock.advance(91_000);
    expect(questionsMs(setup)).toEqual([0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000]);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.clock.advance(86_400_000);
    expect(setup.resolver.asked).toHaveLength(9);
    expect(setup.clock.pendingTimers).toBe(0);
  });
});

describe("waits", () => {
  test("are up to 10 % shorter or longer", async () => {
    for (const [random, waitMs] of [
      [0, 27_000],
      [0.25, 28_500],
      [1, 33_000],
    ] as const) {
      const setup = new Setup([db], 30_000, random);
      setup.resolver.answers.set(db, ok("10.0.0.1"));
      await setup.start();
      await setup.clock.advance(waitMs - 1);
      expect(setup.resolver.asked).toHaveLength(1);
      await setup.clock.advance(1);
      expect(setup.resolver.asked).toHaveLength(2);
    }
  });

  test("before further attempts are as well", async () => {
    const setup = new Setup([db], 30_000, 0);
    setup.resolver.answers.set(db, noServer);
    await setup.start();
    await setup.clock.advance(2_700);
    expect(questionsMs(setup)).toEqual([0, 900, 2_700]);
  });
});

describe("the stop", () => {
  test("leaves no timer", async () => {
    const setup = new Setup([db, web], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    setup.resolver.answers.set(web, noServer);
    await setup.start();
    setup.names.stop();
    expect(setup.clock.pendingTimers).toBe(0);
    await setup.clock.advance(60_000);
    expect(setup.resolver.asked).toHaveLength(2);
  });

  test("ends a start that waits, and what comes afterwards is not told", async () => {
    const setup = new Setup([db], 30_000);
    await setup.start();
    setup.names.stop();
    await setup.clock.advance(0);
    expect(setup.started).toBe(true);
    await setup.resolver.answer(db, ok("10.0.0.1"));
    expect([setup.heard(), setup.clock.pendingTimers]).toEqual([[], 0]);
  });

  test("by the observer, in the middle of an answer, leaves no timer either", async () => {
    const clock = new VirtualClock();
    const resolver = new ScriptedResolver(clock);
    resolver.answers.set(db, ok("10.0.0.1"));
    const stop = (): void => names.stop();
    const names = new WatchedNames([db], 30_000, resolver, clock, { changed: stop, failed: stop, recovered: stop });
    await names.start();
    await clock.advance(0);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("another configuration", () => {
  test("leaves names that stay alone: answers, waits and questions under way", async () => {
    const setup = new Setup([db, web], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.start();
    setup.heard();
    await setup.clock.advance(20_000);
    // Another configuration has other objects for the same names.
    setup.names.configure([{ ...web }, { ...db }, { ...db }], 30_000, new Map());
    await setup.start();
    expect([setup.resolver.asked.length, setup.heard()]).toEqual([2, []]);
    await setup.resolver.answer(web, ok("10.0.0.9"));
    expect(setup.heard()).toEqual(["web.test:80 is 10.0.0.9"]);
    await setup.clock.advance(10_000);
    expect(questionsMs(setup)).toEqual([0, 0, 30_000]);
  });

  test("asks no more for names that have left, which nobody waits for and nothing is told of", async () => {
    const setup = new Setup([db, web], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.start();
    expect(setup.started).toBe(false);
    setup.heard();
    setup.names.configure([], 30_000, new Map());
    await setup.clock.advance(0);
    expect([setup.started, setup.clock.pendingTimers]).toEqual([true, 0]);
    await setup.resolver.answer(web, ok("10.0.0.9"));
    await setup.clock.advance(60_000);
    expect([setup.heard(), setup.resolver.asked.length]).toEqual([[], 2]);
    expect([setup.names.has(db), setup.names.addressesOf(db)]).toEqual([false, undefined]);
  });

  test("begins new names with what was learnt of them, from the start, and the next question comes after a wait", async () => {
    const setup = new Setup([], 30_000);
    await setup.start();
    setup.names.configure(
      [db, web],
      30_000,
      new Map([
        ["db.test:5432", ok("10.0.0.1")],
        ["web.test:80", noServer],
      ]),
    );
    expect([setup.heard(), setup.names.addressesOf(db)]).toEqual([[], addresses("10.0.0.1")]);
    await setup.start();
    expect(setup.heard()).toEqual(["db.test:5432 is 10.0.0.1", "web.test:80 failed: no server, 0 kept"]);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    setup.resolver.answers.set(web, noServer);
    await setup.clock.advance(30_000);
    expect(setup.resolver.asked.filter((question) => question.startsWith("db"))).toEqual(["db.test:5432 at 30000 ms"]);
    expect(setup.resolver.asked.filter((question) => question.startsWith("web")).slice(0, 3)).toEqual([
      "web.test:80 at 1000 ms",
      "web.test:80 at 3000 ms",
      "web.test:80 at 7000 ms",
    ]);
    expect(setup.heard()).toEqual([]);
    setup.names.stop();
  });

  test("asks at once for new names of which nothing was learnt", async () => {
    const setup = new Setup([db], 30_000);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.start();
    await setup.clock.advance(5_000);
    setup.names.configure([db, web], 30_000, new Map());
    await setup.start();
    expect(setup.resolver.asked).toEqual(["db.test:5432 at 0 ms", "web.test:80 at 5000 ms"]);
    setup.names.stop();
  });

  test("with another `resolve` counts that from the last answer, and asks at once where it is over", async () => {
    for (const [resolveMs, questions] of [
      [60_000, [0, 60_000]],
      [25_000, [0, 25_000]],
      [5_000, [0, 20_000, 25_000, 30_000]],
      [0, [0]],
    ] as const) {
      const setup = new Setup([db], 30_000);
      setup.resolver.answers.set(db, ok("10.0.0.1"));
      await setup.start();
      await setup.clock.advance(20_000);
      setup.names.configure([db], resolveMs, new Map());
      await setup.clock.advance(10_000);
      if (resolveMs === 60_000) await setup.clock.advance(30_000);
      expect(questionsMs(setup)).toEqual([...questions]);
      expect(setup.clock.pendingTimers).toBe(resolveMs === 0 ? 0 : 1);
      setup.names.stop();
      expect(setup.clock.pendingTimers).toBe(0);
    }
  });

  test("with a `resolve` after none asks again", async () => {
    const setup = new Setup([db], 0);
    setup.resolver.answers.set(db, ok("10.0.0.1"));
    await setup.start();
    await setup.clock.advance(10_000);
    setup.names.configure([db], 30_000, new Map());
    await setup.clock.advance(20_000);
    expect(questionsMs(setup)).toEqual([0, 30_000]);
    setup.names.stop();
  });

  test("does not make further attempts for a name that has never been resolved any rarer", async () => {
    const setup = new Setup([db], 60_000);
    setup.resolver.answers.set(db, noServer);
    await setup.start();
    for (const resolveMs of [50_000, 40_000, 30_000]) setup.names.configure([db], resolveMs, new Map());
    await setup.clock.advance(7_000);
    expect(questionsMs(setup)).toEqual([0, 1_000, 3_000, 7_000]);
    setup.names.stop();
  });

  test("with another `resolve` while a question is under way holds from its answer on", async () => {
    const setup = new Setup([db], 30_000);
    await setup.start();
    setup.names.configure([db], 10_000, new Map());
    expect(setup.clock.pendingTimers).toBe(0);
    await setup.resolver.answer(db, ok("10.0.0.1"));
    await setup.clock.advance(10_000);
    expect(questionsMs(setup)).toEqual([0, 10_000]);
    setup.names.stop();
  });
});

test("what a name stands for can be asked, by whatever object", async () => {
  const setup = new Setup([db], 30_000);
  expect(setup.names.addressesOf(db)).toBeUndefined();
  setup.resolver.answers.set(db, ok("10.0.0.1"));
  await setup.start();
  expect(setup.names.addressesOf(db)).toEqual(addresses("10.0.0.1"));
  expect(setup.names.addressesOf({ ...db })).toEqual(addresses("10.0.0.1"));
  expect([setup.names.has({ ...db }), setup.names.has(web)]).toEqual([true, false]);
  expect(setup.names.addressesOf(web)).toBeUndefined();
});
