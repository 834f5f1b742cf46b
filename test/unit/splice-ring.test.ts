/** The ring of messages between the two threads of the splice engine. */
import { describe, expect, test } from "bun:test";
import { Ring } from "../../src/forward/splice/ring.ts";
import type { RingTask } from "../support/ring-worker.ts";
import { until } from "../support/until.ts";

/** Memory for a ring whose counters stand at `count`: so many messages were written and read before. */
function memory(capacity: number, count = 0): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer(Ring.words(capacity) * 4));
  words[0] = words[1] = count | 0;
  return words;
}

function read(ring: Ring): number[] | undefined {
  return ring.next() ? [ring.kind, ring.a, ring.b, ring.c] : undefined;
}

describe("messages", () => {
  test("they come out in their order, whole, each once; an empty ring has none", () => {
    const words = memory(4);
    const [writer, reader] = [new Ring(words), new Ring(words)];
    expect(read(reader)).toBeUndefined();
    writer.push(1, 2, 3, 4);
    writer.push(-1, 2 ** 31 - 1, -(2 ** 31), 0);
    expect(read(reader)).toEqual([1, 2, 3, 4]);
    writer.push(5, 6, 7, 8);
    expect(read(reader)).toEqual([-1, 2 ** 31 - 1, -(2 ** 31), 0]);
    expect(read(reader)).toEqual([5, 6, 7, 8]);
    expect(read(reader)).toBeUndefined();
    // What was read stays until the next one.
    expect([reader.kind, reader.a, reader.b, reader.c]).toEqual([5, 6, 7, 8]);
  });

  test.each([1, 2, 8, 64])("a ring for %d takes as many, and one more is an error that changes nothing", (capacity) => {
    const words = memory(capacity);
    const ring = new Ring(words);
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < capacity; index++) ring.push(round, index, 0, 0);
      const before = [...words];
      expect(() => ring.push(99, 99, 99, 99)).toThrow("a ring of messages has overflowed");
      expect([...words]).toEqual(before);
      for (let index = 0; index < capacity; index++) expect(read(ring)).toEqual([round, index, 0, 0]);
      expect(read(ring)).toBeUndefined();
    }
  });

  test.each([
    ["2³¹", 2 ** 31],
    ["2³²", 2 ** 32],
    ["zero, from below", 0],
  ])("the counters go past %s: order, emptiness and overflow stay what they were", (_, at) => {
    const capacity = 8;
    const words = memory(capacity, at - 20);
    const ring = new Ring(words);
    let written = 0;
    let seen = 0;
    // Never in step with the capacity, and full every now and then.
    for (let round = 0; round < 20; round++) {
      const fill = round % 4 === 0 ? capacity : (round % capacity) + 1;
      while (written - seen < fill) ring.push(7, written++, 0, 0);
      if (fill === capacity) expect(() => ring.push(0, 0, 0, 0)).toThrow("overflowed");
      while (seen < written - (round % 3)) expect(read(ring)).toEqual([7, seen++, 0, 0]);
    }
    while (seen < written) expect(read(ring)).toEqual([7, seen++, 0, 0]);
    expect(read(ring)).toBeUndefined();
    expect(written).toBeGreaterThan(40);
    expect(words[1]).toBe((at - 20 + written) | 0);
  });

  test("a capacity that is no power of two is an error", () => {
    expect(() => new Ring(memory(3))).toThrow("the capacity of a ring is no power of two");
  });
});

describe("waiting", () => {
  test("with something to read it is over at once; else with a wake, and not before", async () => {
    const words = memory(4);
    const [writer, reader] = [new Ring(words), new Ring(words)];
    let woken = 0;
    const wait = (): void => void reader.whenWritten().then(() => woken++);
    writer.push(1, 0, 0, 0);
    await reader.whenWritten();
    expect(read(reader)).toEqual([1, 0, 0, 0]);
    wait();
    writer.push(2, 0, 0, 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(woken).toBe(0);
    writer.wake();
    await until(() => woken === 1, "the wake-up");
    expect(read(reader)).toEqual([2, 0, 0, 0]);
    // Anybody may wake who waits, though nothing was written.
    wait();
    reader.wake();
    await until(() => woken === 2, "the wake-up without a message");
    expect(read(reader)).toBeUndefined();
  });
});

test("two threads exchange 1,000,000 messages, each in its order, while both counters go past 2³¹", async () => {
  const count = 1_000_000;
  const capacity = 1024;
  const [questions, answers] = [memory(capacity, 2 ** 31 - 1000), memory(capacity, 2 ** 31 - 500_000)];
  const worker = new Worker(new URL("../support/ring-worker.ts", import.meta.url).href);
  const over = Promise.withResolvers<void>();
  worker.onmessage = () => over.resolve();
  worker.onerror = (event) => over.reject(event.error ?? new Error(event.message));
  worker.postMessage({
    questions: questions.buffer,
    answers: answers.buffer,
    answersCapacity: capacity,
    count,
  } satisfies RingTask);
  const [asking, hearing] = [new Ring(questions), new Ring(answers)];
  let asked = 0;
  let heard = 0;
  while (heard < count) {
    // As many as surely find room: what was asked and not answered may not have been read.
    while (asked < count && asked - heard < capacity) {
      asking.push(asked % 7, asked, asked * 3, 0);
      asked++;
    }
    asking.wake();
    while (hearing.next()) {
      const isRight =
        hearing.kind === heard % 7 && hearing.a === heard && hearing.b === heard * 3 && hearing.c === -2 * heard;
      if (!isRight) throw new Error(`message ${heard}: ${hearing.kind} ${hearing.a} ${hearing.b} ${hearing.c}`);
      heard++;
    }
    // With an answer to everything it is our turn to ask.
    if (heard < asked) await hearing.whenWritten();
  }
  await over.promise;
  expect(hearing.next()).toBe(false);
  expect([questions[0], questions[1]]).toEqual(Array(2).fill((2 ** 31 - 1000 + count) | 0));
  worker.terminate();
});
