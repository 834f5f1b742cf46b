/** Listeners of the real process through a reload: who keeps a socket, who takes one over, and that all of it happens or nothing. */
import { expect, test } from "bun:test";
import { lstatSync } from "node:fs";
import type { Status } from "../../src/admin/status.ts";
import { echo, listen } from "../support/backend.ts";
import { countDescriptors, tcpSockets } from "../support/descriptors.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { until } from "../support/until.ts";

test("an address that is taken fails the whole reload: nothing of it is in force, and nothing is left open", async () => {
  await using backend = await listen(echo);
  await using taken = await listen(echo);
  await using proxy = await startSluice({ config: config({ web: "127.0.0.1:0" }, backend.address) });
  await proxy.ready();
  const descriptors = countDescriptors(proxy.pid);
  const listeners = { early: "127.0.0.1:0", web: "127.0.0.1:0", late: taken.address };
  const line = await proxy.reload(config(listeners, "127.0.0.9:9", '[timeouts]\nidle = "50ms"'));
  expect(line).toMatchObject({ level: "error", msg: "configuration not reloaded: nothing has changed" });
  expect(line["problems"]).toEqual([
    `cannot bind listener "late" to ${taken.address}: the address is in use by another socket (EADDRINUSE); ` +
      "choose another port, or stop what listens there",
  ]);
  await until(() => countDescriptors(proxy.pid) === descriptors, "as many descriptors as before");
  const { listeners: found, backends, reloads } = await status(proxy);
  expect(found.map(({ name }) => name)).toEqual(["web"]);
  expect(backends.map(({ endpoints }) => endpoints.map(({ address }) => address))).toEqual([[backend.address]]);
  expect(reloads).toEqual({ applied: 0, invalid: 1, refused: 0 });
  expect(proxy.log.filter(({ msg, listener }) => msg === "listening" && listener === "early")).toEqual([]);
  await using client = await connect(await proxy.port("web"));
  await exchange(client, "still the old one");
  expect([backend.connections.length, taken.connections.length]).toEqual([1, 0]);
});

test("a listener that is called otherwise takes the socket over, with those who wait in its queue", async () => {
  await using backend = await listen(echo);
  const limit = "[limits]\nconnections = 1";
  await using proxy = await startSluice({ config: config({ web: "127.0.0.1:0" }, backend.address, limit) });
  const port = await proxy.port("web");
  await using first = await connect(port);
  await exchange(first, "served");
  await using waiting = await connect(port);
  await waiting.send("waits");
  const line = await proxy.reload(config({ shop: "127.0.0.1:0" }, backend.address, limit));
  expect(line).toMatchObject({ changes: ["listener.web: removed", "listener.shop: added"] });
  expect(await proxy.port("shop")).toBe(port);
  await exchange(first, "served on");
  await first.finish();
  await first.finished();
  await waiting.receivedBytes(5);
  await waiting.finish();
  await waiting.finished();
  expect(waiting.text()).toBe("waits");
  const records = await proxy.recorded(2);
  expect(records.map(({ listener, end }) => `${listener} ${end}`)).toEqual([
    "web client_finished",
    "shop client_finished",
  ]);
});

test("two listeners change their addresses, and each goes on under its own name", async () => {
  await using one = await listen(named("one "));
  await using two = await listen(named("two "));
  const text = (a: string, b: string): string => `
[admin]
listen = "127.0.0.1:0"
[[listener]]
name = "a"
listen = "${a}"
backend = "one"
[[listener]]
name = "b"
listen = "${b}"
backend = "two"
[[backend]]
name = "one"
endpoints = ["${one.address}"]
[[backend]]
name = "two"
endpoints = ["${two.address}"]`;
  // On an address that no other test uses.
  const [first, second] = ["127.0.4.1:8001", "127.0.4.1:8002"] as const;
  await using proxy = await startSluice({ config: text(first, second) });
  await proxy.ready();
  await using before = await connect({ host: "127.0.4.1", port: 8001 });
  await before.receivedBytes(4);
  await proxy.reload(text(second, first));
  await using after = await connect({ host: "127.0.4.1", port: 8001 });
  await after.receivedBytes(4);
  expect([before.text(), after.text()]).toEqual(["one ", "two "]);
  expect((await status(proxy)).listeners).toMatchObject([
    { name: "a", address: second },
    { name: "b", address: first },
    // Its connection goes on.
    { name: "a", address: first, removed: true, connections_active: 1 },
  ]);
  await exchange(before, "as before");
});

test("a listener at another address refuses at the old one; its session drains, and its sums go on", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config({ web: "127.0.0.1:0" }, backend.address) });
  const port = await proxy.port("web");
  await using client = await connect(port);
  await exchange(client, "before");
  await proxy.reload(config({ web: "127.0.0.2:0" }, backend.address));
  await until(() => !tcpSockets(port).some(({ state }) => state === "LISTEN"), "the old address to be given up");
  await expect(connect(port)).rejects.toThrow("ECONNREFUSED");
  const moved = proxy.log.findLast(({ msg, listener }) => msg === "listening" && listener === "web")!;
  const [host, at] = String(moved["address"]).split(":");
  await using other = await connect({ host: host!, port: Number(at) });
  await exchange(other, "there");
  await exchange(client, "before and after");
  for (const peer of [client, other]) {
    await peer.finish();
    await peer.finished();
  }
  await proxy.logged(({ msg }) => msg === "a listener that was removed is drained", "the end of the drain");
  expect((await status(proxy)).listeners).toMatchObject([
    { name: "web", removed: false, connections_active: 0, connections_total: 2, bytes_to_client: 21 },
  ]);
});

test("a removed listener's sessions are cut when shutdown.drain is over, and the others notice nothing", async () => {
  await using backend = await listen(echo);
  const shutdown = '[shutdown]\ndrain = "300ms"';
  const both = config({ stays: "127.0.0.1:0", goes: "127.0.0.1:0" }, backend.address, shutdown);
  await using proxy = await startSluice({ config: both });
  await using stays = await connect(await proxy.port("stays"));
  await using goes = await connect(await proxy.port("goes"));
  await exchange(stays, "one");
  await exchange(goes, "two");
  await proxy.reload(config({ stays: "127.0.0.1:0" }, backend.address, shutdown));
  expect(await goes.wasReset()).toBe("ECONNRESET");
  await exchange(stays, "one and on");
  const [record] = await proxy.recorded(1);
  expect(record).toMatchObject({ listener: "goes", end: "drain_deadline" });
  proxy.signal("SIGTERM");
  await stays.finish();
  await stays.finished();
  // What a reload has cut is not the shutdown's.
  expect((await proxy.exited()).code).toBe(0);
});

test("a higher limit lets in at once who waits, a lower one lets nobody in until enough have gone", async () => {
  await using backend = await listen(echo);
  const limited = (connections: number): string =>
    config({ web: "127.0.0.1:0" }, backend.address, `[limits]\nconnections = ${connections}`);
  await using proxy = await startSluice({ config: limited(1) });
  const port = await proxy.port("web");
  const clients: Peer[] = [];
  for (let index = 0; index < 4; index++) {
    const client = await connect(port);
    clients.push(client);
    await client.send(`client ${index}`);
  }
  await clients[0]!.receivedBytes(8);
  expect(backend.connections.length).toBe(1);
  await proxy.reload(limited(3));
  for (const client of clients.slice(1, 3)) await client.receivedBytes(8);
  expect(backend.connections.length).toBe(3);
  await proxy.reload(limited(1));
  for (const client of clients.slice(0, 2)) {
    await client.finish();
    await client.finished();
  }
  expect((await status(proxy)).listeners).toMatchObject([{ paused: true, connections_active: 1 }]);
  expect(backend.connections.length).toBe(3);
  await clients[2]!.finish();
  await clients[3]!.receivedBytes(8);
  expect(backend.connections.length).toBe(4);
  for (const client of clients) await client[Symbol.asyncDispose]();
});

test("the mode of a Unix socket changes at its file, which stays", async () => {
  await using backend = await listen(echo);
  using folder = socketFolder();
  const path = folder.path("web.sock");
  const withMode = (mode: string): string =>
    config({ web: `unix:${path}` }, backend.address).replace('name = "web"', `name = "web"\nmode = "${mode}"`);
  await using proxy = await startSluice({ config: withMode("0600") });
  await proxy.ready();
  const made = lstatSync(path);
  expect(made.mode & 0o777).toBe(0o600);
  await proxy.reload(withMode("0666"));
  const changed = lstatSync(path);
  expect([changed.mode & 0o777, changed.ino]).toEqual([0o666, made.ino]);
  await using client = await connect({ unix: path });
  await exchange(client, "by the same file");
});

// Support

/** Listeners in front of the backend "app", an admin server, and whatever else. */
function config(listeners: Readonly<Record<string, string>>, endpoint: string, others = ""): string {
  const written = Object.entries(listeners).map(
    ([name, address]) => `[[listener]]\nname = "${name}"\nlisten = "${address}"\nbackend = "app"\n`,
  );
  return `${others}\n[admin]\nlisten = "127.0.0.1:0"\n${written.join("")}[[backend]]\nname = "app"\nendpoints = ["${endpoint}"]\n`;
}

async function status(proxy: Sluice): Promise<Status> {
  return (await fetch(`${await proxy.adminUrl()}/status`)).json() as Promise<Status>;
}

/** Sends what an echo has not been sent yet of `text`, and waits until all of it is back. */
async function exchange(client: Peer, text: string): Promise<void> {
  const sent = client.bytes().length;
  await client.send(text.slice(sent));
  await client.receivedBytes(text.length);
}

/** Says its name, then echoes. */
function named(name: string): (peer: Peer) => Promise<void> {
  return async (peer) => {
    await peer.send(name);
    await echo(peer);
  };
}
