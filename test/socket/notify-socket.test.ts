/** Messages to a service manager, over a real datagram socket that socat reads. */
import { expect, test } from "bun:test";
import { monotonicUs, notifySocket } from "../../src/sys/notify-socket.ts";
import { listenForNotifications } from "../support/notify-socket.ts";
import { lacks } from "../support/programs.ts";
import { socketFolder } from "../support/socket-folder.ts";

test.skipIf(lacks("socat"))("a message arrives whole, at a path and at an abstract name", async () => {
  for (const abstract of [false, true]) {
    await using manager = await listenForNotifications({ abstract });
    expect(notifySocket(manager.address, "READY=1\nSTATUS=größer\n")).toEqual({ kind: "sent" });
    await manager.told("STATUS=größer");
    expect(manager.lines).toEqual(["READY=1", "STATUS=größer"]);
  }
});

test("what can't be told is an outcome with its reason", () => {
  using folder = socketFolder();
  const none = folder.path("none");
  expect(notifySocket(none, "READY=1\n")).toEqual({ kind: "failed", why: `cannot write to ${none}: ENOENT` });
  for (const socket of ["vsock:2:1234", "relative", `/${"x".repeat(200)}`]) {
    const why = `NOTIFY_SOCKET is "${socket}", wanted a path or an abstract name of a Unix socket`;
    expect(notifySocket(socket, "READY=1\n")).toEqual({ kind: "failed", why });
  }
});

test.skipIf(lacks("socat"))("a manager that does not read is not waited for", async () => {
  await using manager = await listenForNotifications();
  manager.suspend();
  const outcomes = new Set<string>();
  // The queue of a socket holds net.unix.max_dgram_qlen messages.
  for (let count = 0; count < 10_000 && !outcomes.has("full"); count++) {
    outcomes.add(notifySocket(manager.address, "STATUS=x\n").kind);
  }
  expect([...outcomes]).toEqual(["sent", "full"]);
});

test("the clock is that of the whole machine", async () => {
  // Since the machine was started (proc_uptime(5)), in seconds with two decimals; a suspended machine has slept meanwhile.
  const uptimeUs = Number((await Bun.file("/proc/uptime").text()).split(" ")[0]) * 1e6;
  const first = monotonicUs()!;
  expect(Number.isInteger(first)).toBe(true);
  expect(first).toBeLessThan(uptimeUs + 60e6);
  expect(monotonicUs()!).toBeGreaterThanOrEqual(first);
});
