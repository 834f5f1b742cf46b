/** Times by address: what was set is there, whatever the table had to do to keep it. */
import { expect, test } from "bun:test";
import { TimesByAddress } from "../../src/listener/times-by-address.ts";

const seed = { low: 1, high: 2 };

/** Neighbours, as addresses of a network are. */
function neighbour(index: number): Uint32Array {
  return Uint32Array.of(0, 0, 0xffff, 0x0a000000 + index);
}

function set(times: TimesByAddress, address: Uint32Array, time: number): void {
  times.set(address, times.hash(address), time);
}

function get(times: TimesByAddress, address: Uint32Array): number {
  return times.get(address, times.hash(address));
}

test("an empty one has nothing, and takes little", () => {
  const times = new TimesByAddress(seed);
  expect([get(times, neighbour(1)), times.addresses]).toEqual([0, 0]);
  expect(times.bytes).toBeLessThan(16 * 1024);
});

test("a time that is set again is another time of the same address", () => {
  const times = new TimesByAddress(seed);
  set(times, neighbour(1), 5);
  set(times, neighbour(1), 7);
  expect([get(times, neighbour(1)), get(times, neighbour(2)), times.addresses]).toEqual([7, 0, 1]);
});

test("addresses that differ in any of their words are different ones", () => {
  const times = new TimesByAddress(seed);
  const addresses = [0, 1, 2, 3].flatMap((word) =>
    [1, 0x80000000].map((value) => Uint32Array.of(0, 0, 0, 0).fill(value, word, word + 1)),
  );
  addresses.push(Uint32Array.of(0, 0, 0, 0));
  for (const [index, address] of addresses.entries()) set(times, address, index + 1);
  expect(addresses.map((address) => get(times, address))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(times.addresses).toBe(9);
});

test("a hundred thousand addresses are all there, before and after each was set anew, and nobody else is", () => {
  const times = new TimesByAddress(seed);
  const count = 100_000;
  for (let index = 0; index < count; index++) set(times, neighbour(index), index + 1);
  expect(times.addresses).toBe(count);
  for (let index = 0; index < count; index += 2) set(times, neighbour(index), index + 0.5);
  expect(times.addresses).toBe(count);
  const wrong: number[] = [];
  for (let index = 0; index < count; index++) {
    if (get(times, neighbour(index)) !== (index % 2 === 0 ? index + 0.5 : index + 1)) wrong.push(index);
  }
  for (let index = count; index < 2 * count; index++) if (get(times, neighbour(index)) !== 0) wrong.push(index);
  expect(wrong).toEqual([]);
});

test("it grows with its addresses, to less than 50 bytes for each of them", () => {
  const times = new TimesByAddress(seed);
  for (let index = 0; index < 500_000; index++) {
    set(times, neighbour(index), 1);
    if (index === 10_000) expect(times.bytes).toBeLessThan(10_000 * 70);
  }
  expect(times.bytes).toBeLessThan(500_000 * 50);
});
