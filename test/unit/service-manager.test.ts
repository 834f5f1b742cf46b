/** What a service manager is told, in which words, and what becomes of it when it does not listen. */
import { expect, test } from "bun:test";
import { serviceManager, type NotifyCalls } from "../../src/lifecycle/service-manager.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A manager that takes messages while it is willing to. */
class Heard implements NotifyCalls {
  readonly clock = new VirtualClock();
  readonly messages: string[] = [];
  readonly failures: string[] = [];
  answer: ReturnType<NotifyCalls["send"]> = { kind: "sent" };

  manager(env: Readonly<Record<string, string>> = {}): ReturnType<typeof serviceManager> {
    return serviceManager({ NOTIFY_SOCKET: "/run/notify", ...env }, 77, this.clock, this);
  }

  send(socket: string, message: string): ReturnType<NotifyCalls["send"]> {
    expect(socket).toBe("/run/notify");
    if (this.answer.kind === "sent") this.messages.push(message);
    return this.answer;
  }

  monotonicUs(): number {
    return 123_456_789;
  }

  failed(why: string): void {
    this.failures.push(why);
  }
}

test("a life is told in the words of sd_notify", () => {
  const heard = new Heard();
  const manager = heard.manager();
  manager.ready();
  manager.status("5 connections");
  manager.reloading();
  manager.reloaded();
  manager.stopping();
  manager.close();
  expect(heard.messages).toEqual([
    "READY=1\n",
    "STATUS=5 connections\n",
    "RELOADING=1\nMONOTONIC_USEC=123456789\n",
    "READY=1\n",
    "STOPPING=1\n",
  ]);
  expect(heard.clock.pendingTimers).toBe(0);
});

test("a reload that a shutdown has overtaken does not tell that it is ready again", () => {
  const heard = new Heard();
  const manager = heard.manager();
  manager.reloading();
  manager.stopping();
  manager.reloaded();
  manager.status("draining");
  expect(heard.messages.slice(1)).toEqual(["STOPPING=1\n", "STATUS=draining\n"]);
});

test("without NOTIFY_SOCKET nobody is told, whatever else is asked for", () => {
  const heard = new Heard();
  for (const socket of ["", undefined]) {
    const env = { ...(socket === undefined ? {} : { NOTIFY_SOCKET: socket }), WATCHDOG_USEC: "1000" };
    const manager = serviceManager(env, 77, heard.clock, heard);
    for (const say of ["ready", "reloading", "reloaded", "stopping", "close"] as const) manager[say]();
    manager.status("x");
  }
  expect(heard.messages).toEqual([]);
  expect(heard.clock.pendingTimers).toBe(0);
});

test("a status is one line, is told once, and is not too long for a message", () => {
  const heard = new Heard();
  const manager = heard.manager();
  manager.status("a\nREADY=1\r\n\0b");
  manager.status("a\nREADY=1\r\n\0b");
  manager.status("x".repeat(10_000));
  expect(heard.messages).toEqual(["STATUS=a READY=1 b\n", `STATUS=${"x".repeat(500)}\n`]);
});

test("the watchdog hears from us twice in the time it allows, from the moment we are ready until the end", async () => {
  const heard = new Heard();
  const manager = heard.manager({ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "77" });
  await heard.clock.advance(5_000);
  expect(heard.messages).toEqual([]);
  manager.ready();
  // A reload tells that it is ready, too.
  manager.reloaded();
  await heard.clock.advance(4_500);
  const alive = "WATCHDOG=1\n";
  expect(heard.messages).toEqual(["READY=1\n", alive, "READY=1\n", alive, alive, alive]);
  manager.close();
  await heard.clock.advance(60_000);
  expect(heard.messages.length).toBe(6);
  expect(heard.clock.pendingTimers).toBe(0);
});

test("a watchdog of another process, or none that can be understood, is none", async () => {
  for (const env of [
    { WATCHDOG_USEC: "3000000", WATCHDOG_PID: "78" },
    { WATCHDOG_USEC: "0" },
    { WATCHDOG_USEC: "soon" },
    { WATCHDOG_PID: "77" },
  ]) {
    const heard = new Heard();
    heard.manager(env as Record<string, string>).ready();
    await heard.clock.advance(60_000);
    expect(heard.messages).toEqual(["READY=1\n"]);
  }
});

test("what finds a full queue is told when there is room again, in its order; to be alive is not", async () => {
  const heard = new Heard();
  const manager = heard.manager({ WATCHDOG_USEC: "100000" });
  heard.answer = { kind: "full" };
  manager.ready();
  manager.status("one");
  await heard.clock.advance(1_000);
  expect(heard.messages).toEqual([]);
  heard.answer = { kind: "sent" };
  manager.stopping();
  expect(heard.messages).toEqual([]);
  await heard.clock.advance(100);
  expect(heard.messages.slice(0, 3)).toEqual(["READY=1\n", "STATUS=one\n", "STOPPING=1\n"]);
  manager.close();
  expect(heard.clock.pendingTimers).toBe(0);
});

test("a queue that stays full holds a bounded number of messages, the latest", async () => {
  const heard = new Heard();
  const manager = heard.manager();
  heard.answer = { kind: "full" };
  for (let count = 0; count < 1_000; count++) manager.status(`status ${count}`);
  heard.answer = { kind: "sent" };
  await heard.clock.advance(100);
  expect(heard.messages.length).toBe(32);
  expect(heard.messages.at(-1)).toBe("STATUS=status 999\n");
});

test("a manager that can't be told is said to be once, and tried again with the next message", () => {
  const heard = new Heard();
  const manager = heard.manager();
  heard.answer = { kind: "failed", why: "cannot write to /run/notify: ECONNREFUSED" };
  manager.ready();
  manager.stopping();
  expect(heard.failures).toEqual(["cannot write to /run/notify: ECONNREFUSED"]);
  heard.answer = { kind: "sent" };
  manager.status("heard");
  expect(heard.messages).toEqual(["STATUS=heard\n"]);
});
