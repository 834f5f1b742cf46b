/** One question to several DNS servers. */
import { expect, test } from "bun:test";
import { askInTurn, type Round } from "../../src/backend/names/ask-in-turn.ts";
import type { Reply } from "../../src/backend/names/name-server.ts";
import { failed, found, none, ScriptedNameServer } from "../support/scripted-name-server.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

class Setup {
  readonly clock = new VirtualClock();
  readonly servers: readonly ScriptedNameServer[];
  readonly round: Round<string>;
  reply: Reply<string> | undefined | "under way" = "under way";

  constructor(count: number) {
    this.servers = Array.from({ length: count }, () => new ScriptedNameServer());
    this.round = askInTurn(this.servers, (server) => server.addresses("db.test", 4), this.clock, 5_000);
    void this.round.reply.then((reply) => {
      this.reply = reply;
    });
  }

  /** How often each server was asked. */
  get asked(): number[] {
    return this.servers.map(({ asked }) => asked.length);
  }

  async answer(server: number, reply: Reply<string>): Promise<void> {
    this.servers[server]!.asked[0]!.answer(reply);
    await this.clock.advance(0);
  }

  /** Nothing is left: no timer, and no question that was not answered or taken back. */
  expectOver(): void {
    expect(this.clock.pendingTimers).toBe(0);
    expect(this.servers.flatMap(({ asked }) => asked).filter(({ cancelled }) => !cancelled)).toEqual([]);
  }
}

test("the first server is asked, and its answer is taken", async () => {
  const setup = new Setup(3);
  expect(setup.asked).toEqual([1, 0, 0]);
  await setup.answer(0, found("10.0.0.1"));
  expect(setup.reply).toEqual(found("10.0.0.1"));
  expect(setup.asked).toEqual([1, 0, 0]);
  setup.expectOver();
});

test("that there is nothing is an answer too", async () => {
  const setup = new Setup(2);
  await setup.answer(0, none);
  expect(setup.reply).toEqual(none);
  expect(setup.asked).toEqual([1, 0]);
  setup.expectOver();
});

test("when a server fails the next one is asked at once", async () => {
  const setup = new Setup(3);
  await setup.answer(0, failed());
  expect(setup.asked).toEqual([1, 1, 0]);
  await setup.answer(1, failed("REFUSED"));
  expect(setup.asked).toEqual([1, 1, 1]);
  await setup.answer(2, found("10.0.0.3"));
  expect(setup.reply).toEqual(found("10.0.0.3"));
  setup.expectOver();
});

test("when a server is silent the next one is asked after a second, and the first answer of any counts", async () => {
  const setup = new Setup(3);
  await setup.clock.advance(999);
  expect(setup.asked).toEqual([1, 0, 0]);
  await setup.clock.advance(1);
  expect(setup.asked).toEqual([1, 1, 0]);
  await setup.clock.advance(1_000);
  expect(setup.asked).toEqual([1, 1, 1]);
  await setup.answer(0, found("10.0.0.1"));
  expect(setup.reply).toEqual(found("10.0.0.1"));
  setup.expectOver();
});

test("a server that fails after the next one was asked hurries nobody", async () => {
  const setup = new Setup(3);
  await setup.clock.advance(1_000);
  await setup.answer(0, failed());
  expect(setup.asked).toEqual([1, 1, 0]);
  await setup.clock.advance(1_000);
  expect(setup.asked).toEqual([1, 1, 1]);
});

test("when all have failed it is known at once, with the last reason", async () => {
  const setup = new Setup(2);
  await setup.answer(0, failed("SERVFAIL"));
  await setup.answer(1, failed("REFUSED"));
  expect(setup.reply).toEqual(failed("REFUSED"));
  setup.expectOver();
});

test("when nobody answers it is over at the deadline, to the millisecond", async () => {
  const setup = new Setup(2);
  await setup.clock.advance(4_999);
  expect(setup.reply).toBe("under way");
  await setup.clock.advance(1);
  expect(setup.reply).toBeUndefined();
  expect(setup.asked).toEqual([1, 1]);
  setup.expectOver();
});

test("a question that is given up is over at once; one that is answered stays so", async () => {
  const setup = new Setup(2);
  await setup.clock.advance(1_000);
  setup.round.cancel();
  await setup.clock.advance(0);
  expect(setup.reply).toBeUndefined();
  setup.expectOver();
  const answered = new Setup(1);
  await answered.answer(0, found("10.0.0.1"));
  answered.round.cancel();
  await answered.clock.advance(0);
  expect(answered.reply).toEqual(found("10.0.0.1"));
});

test("of many servers the last one has its time as well", async () => {
  const setup = new Setup(9);
  await setup.clock.advance(4_500);
  expect(setup.asked).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1]);
  await setup.answer(8, found("10.0.0.9"));
  expect(setup.reply).toEqual(found("10.0.0.9"));
  setup.expectOver();
});
