/** Who asks for a reload, and when: one at a time, and nobody's wish is lost. */
import { expect, test } from "bun:test";
import type { Log } from "../../src/telemetry/log.ts";
import { Reloader, type ReloadHost, type Reread } from "../../src/reload.ts";

test("those who ask during a reload share the next one, which begins when the first is over", async () => {
  const reads = new Reads();
  const reloader = reads.reloader();
  const first = reloader.reload("one");
  const [second, third] = [reloader.reload("two"), reloader.reload("three")];
  expect(second).toBe(third);
  expect(await first).toEqual({ kind: "invalid", problems: ["read 1"] });
  expect(await second).toEqual({ kind: "invalid", problems: ["read 2"] });
  expect([reads.count, reads.atOnceMax]).toEqual([2, 1]);
  expect(reads.told).toEqual(["one", "two"]);
  expect(reloader.counts).toEqual({ applied: 0, invalid: 2, refused: 0 });
});

test("who asks at the very end of a reload shares the next one as well: there are never two at once", async () => {
  const reads = new Reads();
  const reloader = reads.reloader();
  const first = reloader.reload("one");
  const late = first.then(() => reloader.reload("late"));
  const second = reloader.reload("two");
  expect(await late).toEqual({ kind: "invalid", problems: ["read 2"] });
  await second;
  expect([reads.count, reads.atOnceMax]).toEqual([2, 1]);
});

test("a reload that fails by a mistake of our own is told, and the next one is not held up", async () => {
  const reads = new Reads(() => {
    throw new Error("a mistake");
  });
  const reloader = reads.reloader();
  const outcome = { kind: "invalid", problems: ["internal error; the log has it"] } as const;
  expect(await Promise.all([reloader.reload("one"), reloader.reload("two")])).toEqual([outcome, outcome]);
  expect(reads.mistakes).toHaveLength(2);
});

/** A configuration that is never valid, and how often it was read. */
class Reads {
  count = 0;
  atOnceMax = 0;
  readonly told: unknown[] = [];
  readonly mistakes: unknown[] = [];
  readonly #reading: () => void;
  #atOnce = 0;

  constructor(reading: () => void = () => {}) {
    this.#reading = reading;
  }

  reloader(): Reloader {
    const host = { started: Promise.resolve(), refusal: undefined } as ReloadHost;
    const log = {
      error: ({ by, error }: { by?: unknown; error?: unknown }) => {
        if (error !== undefined) this.mistakes.push(error);
        else this.told.push(by);
      },
    } as unknown as Log;
    return new Reloader(host, this.#read, log, { began() {}, ended() {} });
  }

  readonly #read: Reread = async () => {
    this.#reading();
    this.count++;
    const problems = [`read ${this.count}`];
    this.atOnceMax = Math.max(this.atOnceMax, ++this.#atOnce);
    await new Promise((resolve) => void setImmediate(resolve));
    this.#atOnce--;
    return { ok: false, problems };
  };
}
