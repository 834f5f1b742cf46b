/** A question that is sent again while there is no answer. */
import { expect, test } from "bun:test";
import { askAgain, type Sending } from "../../src/backend/names/ask-again.ts";
import type { Asking, Reply } from "../../src/backend/names/name-server.ts";
import { failed, found, none, ScriptedNameServer } from "../support/scripted-name-server.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

class Setup {
  readonly clock = new VirtualClock();
  readonly server = new ScriptedNameServer();
  readonly asking: Asking<string> = askAgain(() => this.#send(), this.clock);
  answering = false;
  reply: Reply<string> | "under way" = "under way";

  constructor() {
    void this.asking.reply.then((reply) => {
      this.reply = reply;
    });
  }

  async answer(sending: number, reply: Reply<string>): Promise<void> {
    this.server.asked[sending]!.answer(reply);
    await this.clock.advance(0);
  }

  #send(): Sending<string> {
    const answering = (): boolean => this.answering;
    return {
      ...this.server.addresses("db.test", 4),
      get answering() {
        return answering();
      },
    };
  }

  /** Which sendings were given up. */
  get givenUp(): boolean[] {
    return this.server.asked.map(({ cancelled }) => cancelled);
  }
}

for (const reply of [found("10.0.0.1"), none, failed()] as const) {
  test(`an answer (${reply.kind}) to the first sending is the answer, and nothing is left`, async () => {
    const setup = new Setup();
    await setup.answer(0, reply);
    expect(setup.reply).toEqual(reply);
    expect(setup.clock.pendingTimers).toBe(0);
    expect(setup.givenUp).toEqual([true]);
  });
}

test("it is sent after a second and after two more, three times in all; each time what was sent before is given up", async () => {
  const setup = new Setup();
  await setup.clock.advance(999);
  expect(setup.givenUp).toEqual([false]);
  await setup.clock.advance(1);
  expect(setup.givenUp).toEqual([true, false]);
  await setup.clock.advance(1_999);
  expect(setup.givenUp).toEqual([true, false]);
  await setup.clock.advance(1);
  expect(setup.givenUp).toEqual([true, true, false]);
  await setup.clock.advance(60_000);
  expect(setup.givenUp).toEqual([true, true, false]);
  expect(setup.reply).toBe("under way");
  expect(setup.clock.pendingTimers).toBe(0);
  await setup.answer(2, found("10.0.0.1"));
  expect(setup.reply).toEqual(found("10.0.0.1"));
});

test("it is not sent again while the answer is on its way", async () => {
  const setup = new Setup();
  setup.answering = true;
  await setup.clock.advance(10_000);
  expect(setup.givenUp).toEqual([false]);
  expect(setup.clock.pendingTimers).toBe(0);
  await setup.answer(0, found("10.0.0.1"));
  expect(setup.reply).toEqual(found("10.0.0.1"));
});

test("that what was given up has failed is no answer", async () => {
  const setup = new Setup();
  await setup.clock.advance(1_000);
  expect(setup.reply).toBe("under way");
  await setup.answer(1, none);
  expect(setup.reply).toEqual(none);
});

test("it can be given up, once, and is not sent again", async () => {
  const setup = new Setup();
  setup.asking.cancel();
  setup.asking.cancel();
  await setup.clock.advance(10_000);
  expect(setup.reply).toMatchObject({ kind: "failed" });
  expect(setup.givenUp).toEqual([true]);
  expect(setup.clock.pendingTimers).toBe(0);
});

test("giving it up when it is answered has no effect", async () => {
  const setup = new Setup();
  await setup.answer(0, found("10.0.0.1"));
  setup.asking.cancel();
  await setup.clock.advance(0);
  expect(setup.reply).toEqual(found("10.0.0.1"));
});
