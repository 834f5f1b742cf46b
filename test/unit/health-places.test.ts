/** The places that checks share. */
import { expect, test } from "bun:test";
import { Places, type PlaceTaker } from "../../src/backend/health/places.ts";

/** Remembers who was given a place, in order. */
function takers(count: number, placed: string[], then: (name: string) => void = () => {}): PlaceTaker[] {
  return Array.from({ length: count }, (_, index) => ({
    placed() {
      placed.push(`${index}`);
      then(`${index}`);
    },
  }));
}

test("as many as there are places begin at once, the others in their order as places are given back", () => {
  const places = new Places(2);
  const placed: string[] = [];
  for (const taker of takers(5, placed)) places.ask(taker);
  expect({ placed, taken: places.taken, waiting: places.waiting }).toEqual({
    placed: ["0", "1"],
    taken: 2,
    waiting: 3,
  });
  places.giveBack();
  expect(placed).toEqual(["0", "1", "2"]);
  places.giveBack();
  places.giveBack();
  expect({ placed, taken: places.taken, waiting: places.waiting }).toEqual({
    placed: ["0", "1", "2", "3", "4"],
    taken: 2,
    waiting: 0,
  });
  places.giveBack();
  places.giveBack();
  expect(places.taken).toBe(0);
});

test("who no longer waits is passed over", () => {
  const places = new Places(1);
  const placed: string[] = [];
  const all = takers(3, placed);
  for (const taker of all) places.ask(taker);
  places.leave(all[1]!);
  places.giveBack();
  expect(placed).toEqual(["0", "2"]);
  places.leave(all[0]!);
  expect(places.taken).toBe(1);
});

test("a hundred thousand that give their place back within the call do not pile up on the stack", () => {
  const places = new Places(1);
  const placed: string[] = [];
  const [first, ...others] = takers(100_000, placed, (name) => {
    if (name !== "0") places.giveBack();
  });
  places.ask(first!);
  for (const taker of others) places.ask(taker);
  expect(placed).toEqual(["0"]);
  places.giveBack();
  expect(placed.length).toBe(100_000);
  expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: 0, waiting: 0 });
});

test("who asks again when placed comes again, behind the others", () => {
  const places = new Places(1);
  const order: string[] = [];
  const eager: PlaceTaker = {
    placed() {
      order.push("eager");
      places.giveBack();
      if (order.length < 4) places.ask(eager);
    },
  };
  const [other] = takers(1, order, () => places.giveBack());
  const holder = { placed() {} };
  places.ask(holder);
  places.ask(eager);
  places.ask(other!);
  places.giveBack();
  expect(order).toEqual(["eager", "0", "eager", "eager"]);
});

test("a taker that fails costs its own place and nobody else's", () => {
  const places = new Places(2);
  const placed: string[] = [];
  const failing: PlaceTaker = {
    placed() {
      throw new Error("mistake");
    },
  };
  expect(() => places.ask(failing)).toThrow("mistake");
  for (const taker of takers(2, placed)) places.ask(taker);
  expect({ placed, taken: places.taken }).toEqual({ placed: ["0"], taken: 2 });
});

test("a place that nobody had can't be given back", () => {
  expect(() => new Places(1).giveBack()).toThrow("assertion failed");
});
