/** The real process under a service manager: sockets that it is given, and what it tells of itself. */
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { libc } from "../../src/sys/libc.ts";
import { echo, listen } from "../support/backend.ts";
import { bindLoopback, closeDescriptor, listenOn } from "../support/libc.ts";
import { listenForNotifications } from "../support/notify-socket.ts";
import { connect } from "../support/peer.ts";
import { lacks } from "../support/programs.ts";
import { Sluice, SLUICE, startSluice } from "../support/sluice.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { until } from "../support/until.ts";

/** Only the process itself knows its number: the shell becomes it. */
const activated = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", ...SLUICE];

test("a listener takes over the socket of its name, with who waits at it, and leaves it to the next one", async () => {
  await using backend = await listen(echo);
  using web = new Listening();
  const options = {
    config: config(backend.address, { web: `127.0.0.1:${web.port}`, api: "127.0.0.1:0" }),
    command: activated,
    descriptors: [web.fd],
    env: { LISTEN_FDS: "1", LISTEN_FDNAMES: "web" },
  };
  // Before anybody accepts.
  await using early = await connect(web.port);
  await early.send("early");
  {
    await using proxy = await startSluice(options);
    await proxy.ready();
    expect([await proxy.port("web"), await proxy.port("api")]).toEqual([web.port, expect.any(Number)]);
    await early.receivedBytes(5);
    await using other = await connect(await proxy.port("api"));
    await other.send("ping");
    await other.receivedBytes(4);
    await other.finish();
    await other.finished();
    await early.finish();
    await early.finished();
    proxy.signal("SIGTERM");
    expect(await proxy.exited()).toMatchObject({ code: 0 });
  }
  // Nobody accepts, and nobody is refused: the socket is still the manager's.
  await using waiting = await connect(web.port);
  await waiting.send("waiting");
  await using next = await startSluice(options);
  await next.ready();
  await waiting.receivedBytes(7);
  next.signal("SIGTERM");
  await waiting.finish();
  await waiting.finished();
  expect(await next.exited()).toMatchObject({ code: 0 });
});

test("a Unix socket is taken over as well, and its file stays where it is", async () => {
  await using backend = await listen(echo);
  using folder = socketFolder();
  const path = folder.path("web");
  const fd = libc!.bind(libc!.unixAddress(path));
  expect(libc!.listen(fd, 10)).toBe(0);
  await using proxy = await startSluice({
    config: config(backend.address, { web: `unix:${path}` }),
    command: activated,
    descriptors: [fd],
    env: { LISTEN_FDS: "1", LISTEN_FDNAMES: "web" },
  });
  await proxy.ready();
  expect(await proxy.address("web")).toBe(`unix:${path}`);
  {
    await using client = await connect({ unix: path });
    await client.send("hello");
    await client.receivedBytes(5);
    await client.finish();
    await client.finished();
  }
  proxy.signal("SIGTERM");
  expect(await proxy.exited()).toMatchObject({ code: 0 });
  await using queued = await connect({ unix: path });
  await queued.send("x");
  closeDescriptor(fd);
});

test("a socket elsewhere than configured is used all the same, and told", async () => {
  await using backend = await listen(echo);
  using web = new Listening();
  await using proxy = await startSluice({
    config: config(backend.address, { web: "127.0.0.1:1" }),
    command: activated,
    descriptors: [web.fd],
    env: { LISTEN_FDS: "1", LISTEN_FDNAMES: "web" },
  });
  await proxy.ready();
  const address = `127.0.0.1:${web.port}`;
  expect(await proxy.address("web")).toBe(address);
  const told = await proxy.logged((line) => line["configured"] !== undefined, "a warning");
  expect(told).toMatchObject({ level: "warn", listener: "web", address, configured: "127.0.0.1:1" });
});

test("sockets that can't be used end the start, with a sentence", async () => {
  await using backend = await listen(echo);
  using web = new Listening();
  const bound = bindLoopback();
  const file = openSync("/dev/null", "r");
  const cases: [descriptors: number[], env: Record<string, string>, said: string][] = [
    [[web.fd], { LISTEN_FDS: "1", LISTEN_FDNAMES: "wbe" }, `named "wbe", wanted the name of a listener ("web")`],
    [[web.fd], { LISTEN_FDS: "1", LISTEN_FDNAMES: "admin" }, "the admin server can't take a socket over"],
    [[web.fd], { LISTEN_FDS: "1" }, "LISTEN_FDNAMES is not set"],
    [[web.fd, web.fd], { LISTEN_FDS: "2", LISTEN_FDNAMES: "web:web" }, 'are both named "web"'],
    [[bound.fd], { LISTEN_FDS: "1", LISTEN_FDNAMES: "web" }, 'descriptor 3 ("web") does not listen'],
    [[file], { LISTEN_FDS: "1", LISTEN_FDNAMES: "web" }, 'descriptor 3 ("web") is no socket'],
  ];
  for (const [descriptors, env, said] of cases) {
    await using proxy = new Sluice({
      config: config(backend.address, { web: "127.0.0.1:0" }),
      command: activated,
      descriptors,
      env,
    });
    const { code } = await proxy.exited();
    expect({ env, code, stderr: proxy.stderr }).toEqual({
      env,
      code: 1,
      stderr: expect.stringContaining(said) as string,
    });
  }
  closeDescriptor(bound.fd);
  closeSync(file);
});

test("the sockets of another process are left alone", async () => {
  await using backend = await listen(echo);
  using web = new Listening();
  await using proxy = await startSluice({
    config: config(backend.address, { web: "127.0.0.1:0" }),
    descriptors: [web.fd],
    env: { LISTEN_PID: "1", LISTEN_FDS: "1", LISTEN_FDNAMES: "web" },
  });
  await proxy.ready();
  expect(await proxy.port("web")).not.toBe(web.port);
});

test.skipIf(lacks("socat"))("a service manager hears that it is ready, reloads, lives and stops", async () => {
  await using backend = await listen(echo);
  await using manager = await listenForNotifications({ abstract: true });
  const text = config(backend.address, { web: "127.0.0.1:0" });
  await using proxy = await startSluice({
    config: text,
    env: { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: "100000" },
  });
  await manager.told("READY=1");
  await proxy.ready();
  await until(() => manager.lines.filter((line) => line === "WATCHDOG=1").length > 2, "signs of life");
  proxy.signal("SIGHUP");
  await manager.told(/^MONOTONIC_USEC=\d+$/);
  await until(() => manager.lines.filter((line) => line === "READY=1").length === 2, "the end of the reload");
  // An open connection, so that there is something to wait for.
  await using client = await connect(await proxy.port("web"));
  await client.send("x");
  await client.receivedBytes(1);
  proxy.signal("SIGTERM");
  await manager.told("STOPPING=1");
  await client.finish();
  expect(await proxy.exited()).toMatchObject({ code: 0 });
  const told = manager.lines.filter((line) => !/^(?:WATCHDOG|MONOTONIC_USEC|STATUS)=/.test(line));
  expect(told).toEqual(["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]);
});

test.skipIf(lacks("socat"))("a program that can't start does not say that it is ready", async () => {
  await using manager = await listenForNotifications();
  using web = new Listening();
  await using proxy = new Sluice({
    config: config("127.0.0.1:1", { web: `127.0.0.1:${web.port}` }),
    env: { NOTIFY_SOCKET: manager.address },
  });
  expect(await proxy.exited()).toMatchObject({ code: 1 });
  expect(manager.lines).not.toContain("READY=1");
});

test("a manager that is gone is told of in the log, and holds nothing up", async () => {
  await using backend = await listen(echo);
  using folder = socketFolder();
  await using proxy = await startSluice({
    config: config(backend.address, { web: "127.0.0.1:0" }),
    env: { NOTIFY_SOCKET: folder.path("gone") },
  });
  await proxy.ready();
  const told = await proxy.logged((line) => String(line["why"]).includes("ENOENT"), "a warning");
  expect(told.level).toBe("warn");
  proxy.signal("SIGTERM");
  expect(await proxy.exited()).toMatchObject({ code: 0 });
});

function config(backend: string, listeners: Readonly<Record<string, string>>): string {
  const tables = Object.entries(listeners).map(
    ([name, address]) => `[[listener]]\nname = "${name}"\nlisten = "${address}"\nbackend = "app"\n`,
  );
  return `${tables.join("")}[[backend]]\nname = "app"\nendpoints = ["${backend}"]\n`;
}

/** A listening socket that nobody accepts from, as a service manager holds it. */
class Listening {
  readonly fd: number;
  readonly port: number;

  constructor() {
    ({ fd: this.fd, port: this.port } = bindLoopback());
    listenOn(this.fd, 10);
  }

  [Symbol.dispose](): void {
    closeDescriptor(this.fd);
  }
}
