/** Reloads that meet something else: a shutdown, limits, sessions in every phase. What was begun goes on as it began, and is given back once. */
import { expect, test } from "bun:test";
import { lstatSync } from "node:fs";
import { echo, listen } from "../support/backend.ts";
import { certificate } from "../support/certificates.ts";
import { dnsServer } from "../support/dns-server.ts";
import {
  adminText,
  backendText,
  endOf,
  listenerText,
  Operated,
  refusedAt,
  roundTrip,
  visit,
} from "../support/operated.ts";
import { connect, type Peer } from "../support/peer.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

// Sockets that change hands, or come back.

test("a Unix socket that is taken over by another listener gets the mode that is configured for it", async () => {
  await using app = await listen(echo);
  using folder = socketFolder();
  const path = folder.path("web.sock");
  const text = (name: string, mode: string): string =>
    `${listenerText(name, "app", `mode = "${mode}"`, `unix:${path}`)}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(text("web", "0666"));
  const made = lstatSync(path);
  expect(made.mode & 0o777).toBe(0o666);
  await proxy.program.reload(text("shop", "0600"));
  const taken = lstatSync(path);
  expect([taken.mode & 0o777, taken.ino]).toEqual([0o600, made.ino]);
  await using client = await connect({ unix: path });
  await roundTrip(client, "by the same file");
});

// Limits.

test.each([
  ["reject", "queue"],
  ["queue", "reject"],
] as const)(
  "overflow that goes from %s to %s holds at once for a listener that is at its own limit",
  async (from, to) => {
    await using app = await listen(echo);
    const text = (overflow: string): string =>
      `[limits]\noverflow = "${overflow}"\n${listenerText("web", "app", "connections = 1")}${backendText("app", [app.address])}${adminText}`;
    await using proxy = await Operated.start(text(from));
    const port = await proxy.port("web");
    await using holder = await visit(port);
    await proxy.program.reload(text(to));
    expect((await proxy.listener("web")).paused).toBe(to === "queue");
    if (to === "reject") {
      await refusedAt(port);
      expect((await proxy.program.recorded(1))[0]).toMatchObject({ end: "limit_listener" });
      return;
    }
    await using next = await connect(port);
    await next.send("waits");
    await endOf(holder);
    await next.receivedBytes(5);
    await endOf(next);
    expect((await proxy.program.recorded(2)).map(({ end }) => end)).toEqual(["client_finished", "client_finished"]);
  },
);

test("connections_per_ip that goes on, off and on again counts those that it has counted, and gives each back once", async () => {
  await using app = await listen(echo);
  const text = (perIp: number): string =>
    `${listenerText("web", "app", `connections_per_ip = ${perIp}`)}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(text(0));
  const port = await proxy.port("web");
  await using uncounted = await visit(port);
  await proxy.program.reload(text(2));
  await using first = await visit(port);
  await proxy.program.reload(text(0));
  await using second = await visit(port);
  await using third = await visit(port);
  await proxy.program.reload(text(2));
  // Three are counted, which is beyond the limit.
  await refusedAt(port);
  for (const client of [uncounted, first, second]) await endOf(client);
  await proxy.program.recorded(4);
  await using fourth = await visit(port);
  await refusedAt(port);
  for (const client of [third, fourth]) await endOf(client);
  const records = await proxy.program.recorded(7);
  expect(records.filter(({ end }) => end === "limit_per_ip")).toHaveLength(2);
  expect(records.filter(({ end }) => end === "client_finished")).toHaveLength(5);
  expect(proxy.program.log.filter(({ level }) => level === "error")).toEqual([]);
});

// Shutdowns.

test("a shutdown waits for no name that a reload asks for", async () => {
  await using app = await listen(echo);
  using dns = await dnsServer();
  dns.fail("hangs.test", "silent");
  const resolver = `[resolver]\nservers = ["${dns.address}"]\n`;
  const rest = `${resolver}${listenerText("web", "app")}${adminText}`;
  await using proxy = await Operated.start(`${rest}${backendText("app", [app.address])}`);
  await using open = await visit(await proxy.port("web"));
  const more = backendText("new", ["hangs.test:80"]);
  proxy.program.rewriteConfig(`${rest}${backendText("app", [app.address, "hangs.test:81"])}${more}`);
  const asked = proxy.ask("POST", "/reload");
  await dns.wasAsked("hangs.test");
  await roundTrip(open, "served meanwhile");
  proxy.program.signal("SIGTERM");
  expect(await asked).toEqual({ code: 409, body: { result: "refused", error: "the program is about to end" } });
  await endOf(open);
  const { code, afterMs } = await proxy.program.exited();
  expect(code).toBe(0);
  // A question may take 5 s.
  expect(afterMs).toBeLessThan(2_000);
});

test("a shutdown waits for no check of an endpoint that a reload adds", async () => {
  await using app = await listen(echo);
  await using mute = await listen();
  const rest = `${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(rest);
  await using open = await visit(await proxy.port("web"));
  const health = '[backend.health]\ntype = "exchange"\nexpect = "never"\ninterval = "20s"\ntimeout = "20s"\n';
  proxy.program.rewriteConfig(`${rest}${backendText("new", [mute.address], health)}`);
  const asked = proxy.ask("POST", "/reload");
  const check = await mute.accepted();
  await roundTrip(open, "served meanwhile");
  expect((await proxy.ask("POST", "/shutdown")).code).toBe(202);
  expect(await asked).toMatchObject({ code: 409, body: { result: "refused" } });
  await check.closed();
  await endOf(open);
  const { code, afterMs } = await proxy.program.exited();
  expect([code, afterMs < 5_000]).toEqual([0, true]);
  expect(proxy.program.stderr).not.toContain("rror");
});

test("a listener that is removed and a shutdown right after it: both queues are served, and the program ends as it should", async () => {
  await using app = await listen(echo);
  const rest = `${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(`${rest}${listenerText("old", "app")}`);
  const [web, old] = [await proxy.port("web"), await proxy.port("old")];
  await using one = await visit(web);
  await using two = await visit(old);
  proxy.program.rewriteConfig(rest);
  proxy.program.signal("SIGHUP");
  await proxy.program.logged(({ by }) => by === "SIGHUP", "the reload");
  proxy.program.signal("SIGTERM");
  await roundTrip(one, "one goes on");
  await roundTrip(two, "two goes on");
  await endOf(two);
  await endOf(one);
  const { code, afterMs } = await proxy.program.exited();
  expect([code, afterMs < 2_000]).toEqual([0, true]);
  expect(proxy.program.log.filter(({ level }) => level !== "info")).toEqual([]);
});

test.each([0, 1, 2, 3, 4, 5])(
  "signals to reload around one to end (after %d of them) change nothing about the end",
  async (before) => {
    await using app = await listen(echo);
    const text = (turn: number): string =>
      `[timeouts]\nidle = "${turn + 10}s"\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}` +
      (turn % 2 === 0 ? listenerText("odd", "app") : "");
    await using proxy = await Operated.start(text(0));
    await using client = await visit(await proxy.port("web"));
    await using odd = await visit(await proxy.port("odd"));
    for (let turn = 1; turn <= 8; turn++) {
      if (turn === before + 1) proxy.program.signal("SIGTERM");
      proxy.program.rewriteConfig(text(turn));
      proxy.program.signal("SIGHUP");
      if (turn % 2 === 0) await proxy.status();
    }
    await roundTrip(client, "still there");
    await roundTrip(odd, "as well");
    await endOf(odd);
    await endOf(client);
    const { code, afterMs } = await proxy.program.exited();
    expect([code, afterMs < 3_000]).toEqual([0, true]);
    expect(proxy.program.stderr).not.toContain("rror");
    const { log } = proxy.program;
    expect(log.filter(({ level }) => level === "error")).toEqual([]);
    const ending = log.slice(log.findIndex(({ msg }) => msg === "shutting down"));
    expect(ending.filter(({ by }) => by === "SIGHUP")).not.toEqual([]);
    for (const line of ending.filter(({ by }) => by === "SIGHUP")) {
      expect(line).toMatchObject({ level: "warn", why: "the program is about to end" });
    }
    expect((await proxy.program.recorded(2)).map(({ end }) => end)).toEqual(["client_finished", "client_finished"]);
  },
);

// Sessions in every phase.

test("sessions that dial to a backend that is removed are served by it, and it is forgotten", async () => {
  await using app = await listen(echo);
  await using slow = await silentHost();
  const keys = "retries = 0";
  const rest = `${backendText("app", [app.address])}${adminText}`;
  const before = `${listenerText("web", "slow")}${backendText("slow", [slow.address], keys)}${rest}`;
  await using proxy = await Operated.start(before);
  const port = await proxy.port("web");
  await using client = await connect(port);
  await client.send("to the old one");
  await until(async () => (await proxy.connections())[0]?.phase === "dialing", "the session to dial");
  await proxy.program.reload(`${listenerText("web", "app")}${rest}`);
  expect((await proxy.status()).backends.map(({ name }) => name)).toEqual(["app"]);
  expect(await proxy.connections()).toMatchObject([{ phase: "dialing", backend: "slow", endpoint: slow.address }]);
  await using young = await visit(port, "to the new one");
  await slow.open(echo);
  await client.receivedBytes(14);
  await endOf(client);
  await endOf(young);
  expect((await proxy.program.recorded(2)).map(({ backend, end }) => [backend, end])).toEqual([
    ["slow", "client_finished"],
    ["app", "client_finished"],
  ]);
  expect((await proxy.status()).connections_active).toBe(0);
});

test("an endpoint that is removed while sessions dial to it gives back what they have taken when it comes again", async () => {
  await using app = await listen(echo);
  await using slow = await silentHost();
  const text = (...endpoints: string[]): string =>
    `${listenerText("web", "app")}${backendText("app", endpoints, 'balance = "first"\nretries = 1')}${adminText}[timeouts]\nconnect = "2s"\n`;
  await using proxy = await Operated.start(text(slow.address, app.address));
  const port = await proxy.port("web");
  await using one = await connect(port);
  await one.send("one");
  await until(async () => (await proxy.endpoint("app", slow.address)).connections_active === 1, "a dial");
  await proxy.program.reload(text(app.address));
  await proxy.program.reload(text(slow.address, app.address));
  expect(await proxy.endpoint("app", slow.address)).toMatchObject({ connections_active: 1 });
  expect((await proxy.close(1)).code).toBe(200);
  await one.wasReset();
  expect(await proxy.endpoint("app", slow.address)).toMatchObject({ connections_active: 0 });
  expect((await proxy.program.recorded(1))[0]).toMatchObject({ end: "closed_by_admin", attempts: 1 });
  await until(() => slow.attempts() === 0, "the attempt to be taken back");
});

test("routes, TLS and PROXY headers that change while a client is inspected hold for the next one", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  const rest = `${backendText("one", [one.address])}${backendText("two", [two.address])}${adminText}`;
  const route = (backend: string): string => `[[listener.route]]\nprefix = "ROUTED"\nbackend = "${backend}"\n`;
  const header = 'accept_proxy = "required"\n';
  await using proxy = await Operated.start(`${listenerText("web", "one", `${header}${route("two")}`)}${rest}`);
  const port = await proxy.port("web");
  // Half of a header, and half of what decides.
  await using inHeader = await connect(port);
  await inHeader.send("PROXY TCP4 192.0.2.1 ");
  await using inRoute = await connect(port);
  await inRoute.send("PROXY TCP4 192.0.2.2 192.0.2.9 1000 80\r\nROU");
  const inspecting = async (): Promise<boolean> => {
    const open = await proxy.connections();
    return open.length === 2 && open[1]!.client === "192.0.2.2:1000";
  };
  await until(inspecting, "the second header to be read");
  // Both backends change places, and nobody is asked for a header.
  await proxy.program.reload(`${listenerText("web", "two", route("one"))}${rest}`);
  await using young = await connect(port);
  await roundTrip(young, "ROUTED to the new one");
  await inHeader.send("192.0.2.9 1000 80\r\nROUTED");
  await inHeader.receivedBytes(6);
  await inRoute.send("TED");
  await inRoute.receivedBytes(6);
  for (const client of [young, inHeader, inRoute]) await endOf(client);
  const records = (await proxy.program.recorded(3)).toSorted((a, b) => Number(a["id"]) - Number(b["id"]));
  expect(records.map(({ client, backend, end }) => [client, backend, end])).toEqual([
    ["192.0.2.1:1000", "two", "client_finished"],
    ["192.0.2.2:1000", "two", "client_finished"],
    [expect.stringContaining("127.0.0.1:"), "one", "client_finished"],
  ]);
});

test("rules that come while a client's header is read hold for it, and what it takes is given back once", async () => {
  await using app = await listen(echo);
  const text = (keys: string): string =>
    `${listenerText("web", "app", `accept_proxy = "required"\n${keys}`)}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(text(""));
  const port = await proxy.port("web");
  await using first = await connect(port);
  await first.send("PROXY TCP4 192.0.2.1 ");
  await using second = await connect(port);
  await second.send("PROXY TCP4 192.0.2.1 ");
  await until(async () => (await proxy.connections()).length === 2, "both to be accepted");
  await proxy.program.reload(text("connections_per_ip = 1"));
  await first.send("192.0.2.9 1000 80\r\nhello");
  await first.receivedBytes(5);
  await second.send("192.0.2.9 1001 80\r\nhello");
  await second.wasReset();
  // Out of the configuration with one that is counted.
  await proxy.program.reload(text(""));
  await endOf(first);
  expect((await proxy.program.recorded(2)).map(({ client, end }) => [client, end])).toEqual([
    ["192.0.2.1:1001", "limit_per_ip"],
    ["192.0.2.1:1000", "client_finished"],
  ]);
  expect(proxy.program.log.filter(({ level }) => level === "error")).toEqual([]);
});

test("TLS that is switched off and on again: a handshake under way completes, and each client gets what was in force when it came", async () => {
  await using app = await listen(echo);
  const { certFile, keyFile } = certificate("a");
  const { cert: ca } = certificate("ca");
  const text = (tls: boolean): string =>
    `${listenerText("web", "app", tls ? `tls = { cert = "${certFile}", key = "${keyFile}" }` : "")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(text(true));
  const port = await proxy.port("web");
  await using gate = await listen();
  // Its ClientHello is held up here until the reload is over.
  const slow = tlsClient(gate.port, ca);
  const between = await gate.accepted();
  await using onward = await connect(port);
  await between.receivedBytes(100);
  await onward.send(between.bytes().slice(0, 50));
  await until(async () => (await proxy.connections())[0]?.phase === "inspecting", "the handshake to begin");
  await proxy.program.reload(text(false));
  await using plain = await visit(port, "in plain");
  void relay(onward, between);
  void relay(between, onward, 50);
  expect(await slow).toBe("echoed");
  await proxy.program.reload(text(true));
  expect(await tlsClient(port, ca)).toBe("echoed");
  await endOf(plain);
  const records = await proxy.program.recorded(3);
  expect(records.map(({ end }) => end).toSorted()).toEqual(["client_finished", "client_finished", "client_finished"]);
});

test("TLS to an endpoint that is switched off and on again: a handshake under way completes, and the next connection is in plain", async () => {
  await using plain = await listen(echo);
  const { cert, key } = certificate("a");
  const under = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert, key },
    socket: { data: (socket, chunk) => void socket.write(chunk), end: (socket) => void socket.end() },
  });
  using _ = { [Symbol.dispose]: () => under.stop(true) };
  // Between the proxy and the endpoint; holds the handshake up until the reload is over.
  await using gate = await listen();
  const tls = `tls = { ca = "${certificate("ca").certFile}", server_name = "a.test" }`;
  const text = (address: string, keys: string): string =>
    `${listenerText("web", "app")}${backendText("app", [address], keys)}${adminText}`;
  await using proxy = await Operated.start(text(gate.address, tls));
  const port = await proxy.port("web");
  await using client = await connect(port);
  await client.send("under TLS");
  const between = await gate.accepted();
  await between.receivedBytes(100);
  expect(await proxy.connections()).toMatchObject([{ phase: "dialing", endpoint: gate.address }]);
  await proxy.program.reload(text(plain.address, ""));
  await using next = await visit(port, "in plain");
  await using onward = await connect(under.port);
  void relay(between, onward);
  void relay(onward, between);
  await client.receivedBytes(9);
  expect(client.text()).toBe("under TLS");
  await proxy.program.reload(text(`127.0.0.1:${under.port}`, tls));
  await using last = await visit(port, "under TLS again");
  for (const peer of [client, next, last]) await endOf(peer);
  const records = (await proxy.program.recorded(3)).toSorted((one, other) => Number(one["id"]) - Number(other["id"]));
  expect(records.map(({ endpoint, end }) => [endpoint, end])).toEqual([
    [gate.address, "client_finished"],
    [plain.address, "client_finished"],
    [`127.0.0.1:${under.port}`, "client_finished"],
  ]);
});

test("sessions in the splice engine go on through reloads, and those of a removed listener are drained from there", async () => {
  await using app = await listen(echo);
  const engine = '[forwarding]\nengine = "splice"\n[shutdown]\ndrain = "600ms"\n';
  const rest = (idle: string): string =>
    `${engine}[timeouts]\nidle = "${idle}"\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(`${rest("1h")}${listenerText("old", "app")}`);
  await using stays = await visit(await proxy.port("web"));
  await using goes = await visit(await proxy.port("old"));
  const engines = async (): Promise<unknown[]> => (await proxy.connections()).map((one) => one.engine);
  await until(async () => (await engines()).join() === "splice,splice", "both to be moved");
  await proxy.program.reload(rest("2h"));
  expect((await proxy.status()).listeners.map(({ name, removed }) => [name, removed])).toEqual([
    ["web", false],
    ["old", true],
  ]);
  await roundTrip(goes, "until the deadline");
  await goes.wasReset();
  await roundTrip(stays, "and on");
  await proxy.program.reload(rest("3h"));
  await roundTrip(stays, "and on");
  await endOf(stays);
  expect((await proxy.program.recorded(2)).map(({ listener, engine: by, end }) => [listener, by, end])).toEqual([
    ["old", "splice", "drain_deadline"],
    ["web", "splice", "client_finished"],
  ]);
  expect((await proxy.status()).listeners).toMatchObject([{ name: "web", connections_active: 0 }]);
});

// Support

/** Sends a word under TLS and resolves with "echoed" when it is back and both sides have finished. */
function tlsClient(port: number, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      tls: { ca, serverName: "a.test" },
      socket: {
        handshake: (socket, agreed, error) => {
          if (agreed) socket.write("word");
          else reject(error ?? new Error("no handshake"));
        },
        data: (socket, chunk) => {
          text += chunk.toString();
          if (text === "word") socket.end();
        },
        close: () => resolve(text === "word" ? "echoed" : `closed after ${JSON.stringify(text)}`),
        connectError: (_, error) => reject(error),
      },
    }).catch(reject);
  });
}

/** Passes on what has come, from byte `from` on, and what comes; then the FIN. */
async function relay(source: Peer, sink: Peer, from = 0): Promise<void> {
  let skip = from;
  try {
    for await (const chunk of source.chunks()) {
      const rest = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - rest.length;
      if (rest.length > 0) await sink.send(rest);
    }
    await sink.finish();
  } catch {
    // One of both ends has gone; the test sees what became of it.
  }
}
