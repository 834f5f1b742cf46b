/** What an operator does to the real process: looks at connections, ends them, takes endpoints out and back in, shuts down. */
import { describe, expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { certificate } from "../support/certificates.ts";
import { countDescriptors } from "../support/descriptors.ts";
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
import { startSluice } from "../support/sluice.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

const route = (backend: string): string => `[[listener.route]]\nprefix = "ROUTED"\nbackend = "${backend}"\n`;

describe("open connections", () => {
  test("are told of truly: who, where to, in which phase, how old, how silent, how much was moved, by whom", async () => {
    await using app = await listen(echo);
    await using slow = await silentHost();
    const text =
      `${listenerText("web", "app")}${listenerText("routed", "slow", route("app"))}` +
      `${backendText("app", [app.address])}${backendText("slow", [slow.address])}${adminText}`;
    await using proxy = await Operated.start(text);
    const [web, routed] = [await proxy.port("web"), await proxy.port("routed")];
    const began = performance.now();
    await using forwarding = await visit(web, "12345");
    await using inspecting = await connect(routed);
    await inspecting.send("ROU");
    await using dialing = await connect(routed);
    await dialing.send("nothing of it");
    await using taken = await connect(routed);
    await taken.send("ROUTED");
    await taken.receivedBytes(6);
    const phases = async (): Promise<string> => (await proxy.connections()).map(({ phase }) => phase).join();
    await until(async () => (await phases()) === "forwarding,inspecting,dialing,forwarding", "a session in each phase");
    const all = await proxy.connections();
    const passedMs = performance.now() - began;
    expect(all).toMatchObject([
      {
        id: 1,
        listener: "web",
        client: `127.0.0.1:${forwarding.localPort}`,
        backend: "app",
        endpoint: app.address,
        route: null,
        sni: null,
        phase: "forwarding",
        bytes_to_backend: 5,
        bytes_to_client: 5,
        engine: "copy",
      },
      {
        id: 2,
        listener: "routed",
        client: `127.0.0.1:${inspecting.localPort}`,
        backend: null,
        endpoint: null,
        route: null,
        phase: "inspecting",
        bytes_to_backend: 0,
        bytes_to_client: 0,
        engine: null,
      },
      { id: 3, backend: "slow", endpoint: slow.address, route: null, phase: "dialing", engine: null },
      { id: 4, backend: "app", endpoint: app.address, route: expect.stringContaining("ROUTED"), phase: "forwarding" },
    ]);
    for (const { age_ms: ageMs, idle_ms: idleMs } of all) {
      // The clock of what has moved has ticks of 50 ms.
      expect(idleMs).toBeLessThanOrEqual(ageMs + 51);
      expect(ageMs).toBeLessThanOrEqual(passedMs);
    }
    // The first grows and is heard of, the second is silent.
    await until(async () => (await proxy.connections())[1]!.idle_ms > 200, "the second to have been silent");
    await roundTrip(forwarding, "67890");
    const [first, second] = await proxy.connections();
    expect(first).toMatchObject({ bytes_to_backend: 10, bytes_to_client: 10 });
    expect(first!.idle_ms).toBeLessThan(second!.idle_ms);
    expect(first!.age_ms).toBeGreaterThan(all[0]!.age_ms);
    expect(second!.age_ms).toBeGreaterThanOrEqual(200);
  });

  test("of the splice engine have the bytes that it has moved, and their silence", async () => {
    await using app = await listen(echo);
    const text = `[forwarding]\nengine = "splice"\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
    await using proxy = await Operated.start(text);
    await using client = await visit(await proxy.port("web"), "12345");
    await until(async () => (await proxy.connections())[0]?.engine === "splice", "the session to be moved");
    await roundTrip(client, "67890");
    const bytes = async (): Promise<number[]> => {
      const [one] = await proxy.connections();
      return [one!.bytes_to_backend, one!.bytes_to_client];
    };
    await until(async () => (await bytes()).join() === "10,10", "its bytes to be counted");
    const [one] = await proxy.connections();
    await until(async () => (await proxy.connections())[0]!.idle_ms >= one!.idle_ms + 200, "its silence to be told");
    await roundTrip(client, "x");
    expect((await proxy.connections())[0]!.idle_ms).toBeLessThan(200);
  });

  test("over TLS have the name that was asked for, are found by it, and by all other words", async () => {
    await using app = await listen(echo);
    const { certFile, keyFile } = certificate("a");
    const tls = `tls = { cert = "${certFile}", key = "${keyFile}" }`;
    const text = `${listenerText("web", "app")}${listenerText("safe", "app", tls)}${backendText("app", [app.address])}${adminText}`;
    await using proxy = await Operated.start(text);
    await using plain = await visit(await proxy.port("web"));
    const secured = await Bun.connect({
      hostname: "127.0.0.1",
      port: await proxy.port("safe"),
      tls: { ca: certificate("ca").cert, serverName: "a.test" },
      socket: { handshake: (socket) => void socket.write("hello"), data() {} },
    });
    const find = async (query: string): Promise<number[]> => (await proxy.connections(query)).map(({ id }) => id);
    await until(
      async () => (await proxy.connections("?search=a.test"))[0]?.bytes_to_client === 5,
      "the session under TLS",
    );
    expect((await proxy.connections())[1]).toMatchObject({ listener: "safe", sni: "a.test", engine: "copy" });
    expect(await find("?search=A.TEST")).toEqual([2]);
    expect(await find("?search=safe%20127.0.0.1")).toEqual([2]);
    expect(await find("?search=safe+web")).toEqual([]);
    expect(await find("?search=app")).toEqual([1, 2]);
    expect(await find(`?search=${plain.localPort}`)).toEqual([1]);
    expect(await find("?search=2")).toContain(2);
    expect(await find("?limit=1")).toEqual([1]);
    expect(await proxy.ask("GET", "/connections?limit=0")).toEqual({
      code: 200,
      body: { total: 2, matching: 2, connections: [] },
    });
    expect((await proxy.ask("GET", "/connections?limit=1e3")).code).toBe(400);
    expect((await proxy.close(2)).code).toBe(200);
    expect((await proxy.program.recorded(1))[0]).toMatchObject({ id: 2, sni: "a.test", end: "closed_by_admin" });
    secured.end();
  });
});

describe("closing a connection resets both sides and gives everything back", () => {
  /** What is held on the way of a client, from the listener to where it stands. */
  const stations: readonly (readonly [where: string, scene: () => Promise<Scene>])[] = [
    ["while its header is read", () => inspected('accept_proxy = "required"', "PROXY TCP4 192.0.2.1 ", "inspecting")],
    ["while its route is looked for", () => inspected(route("app"), "ROU", "inspecting")],
    ["while its ClientHello is read", () => inspected(tlsKeys(), halfHello(), "inspecting")],
    ["while its TLS is agreed on", async () => shaking(await wholeHello())],
    ["while its endpoint is dialled", dialled],
    ["while it is copied", () => forwarded("copy")],
    ["while it is spliced", () => forwarded("splice")],
  ];

  test.each(stations)("%s", async (_, scene) => {
    await using held = await scene();
    const { proxy, client, backend, endpoint } = held;
    const descriptors = held.descriptorsBefore;
    const [open] = await proxy.connections();
    const { id } = open!;
    expect((await proxy.listener("web")).connections_active).toBe(1);
    if (endpoint !== undefined) expect(await proxy.endpoint("app", endpoint)).toMatchObject({ connections_active: 1 });
    expect(await proxy.close(id)).toEqual({ code: 200, body: { closed: id } });
    expect(await client.wasReset()).toBe("ECONNRESET");
    await backend?.wasReset();
    const [record] = await proxy.program.recorded(1);
    expect(record).toMatchObject({ id, end: "closed_by_admin", listener: "web" });
    const { connections_active: active, ended, listeners, backends } = await proxy.status();
    expect([active, ended]).toEqual([0, { closed_by_admin: 1 }]);
    expect(listeners).toMatchObject([{ connections_active: 0, connections_total: 1 }]);
    expect(backends[0]!.endpoints).toMatchObject([{ connections_active: 0 }]);
    expect(await proxy.close(id)).toEqual({ code: 404, body: { error: `no open connection has the id ${id}` } });
    expect(await proxy.connections()).toEqual([]);
    const metric = [...(await proxy.metric("sluice_connections_total"))];
    expect(metric).toEqual([[expect.stringContaining('end="closed_by_admin"'), 1]]);
    await until(
      () => countDescriptors(proxy.program.pid) <= descriptors,
      () => `${descriptors} descriptors as before: there are ${countDescriptors(proxy.program.pid)}`,
    );
  });

  test("while what its client sent before it reset is still handed over: that keeps its word for the end", async () => {
    await using app = await listen(undefined, { paused: true, receiveBufferBytes: 4_096 });
    const text = `${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
    await using proxy = await Operated.start(text);
    await using client = await connect(await proxy.port("web"));
    void client.send(new Uint8Array(8_000_000)).catch(() => {});
    const backend = await app.accepted();
    await until(async () => ((await proxy.connections())[0]?.bytes_to_backend ?? 0) > 0, "bytes to be moved");
    client.reset();
    await until(async () => (await proxy.connections())[0]?.phase === "closing", "the handover");
    expect((await proxy.close(1)).code).toBe(200);
    backend.resumeReading();
    await backend.wasReset();
    expect((await proxy.program.recorded(1))[0]).toMatchObject({ end: "client_reset" });
    expect((await proxy.close(1)).code).toBe(404);
  });

  test("an id that never was, or is none, is told so", async () => {
    await using app = await listen(echo);
    const text = `${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
    await using proxy = await Operated.start(text);
    await using client = await visit(await proxy.port("web"));
    for (const [id, code] of Object.entries({
      2: 404,
      0: 404,
      "99999999999999999999": 404,
      "-1": 400,
      x: 400,
      "1x": 400,
    })) {
      expect([id, (await proxy.ask("DELETE", `/connections/${id}`)).code]).toEqual([id, code]);
    }
    await roundTrip(client, "still there");
  });
});

describe("the state of an endpoint", () => {
  test("drain and weight change who gets the next 1,000 connections, exactly; what is open goes on", async () => {
    await using one = await listen(echo);
    await using two = await listen(echo);
    const text = `${listenerText("web", "app")}${backendText("app", [one.address, two.address])}${adminText}`;
    await using proxy = await Operated.start(text);
    const port = await proxy.port("web");
    await using held = await visit(port);
    await using other = await visit(port);
    const shares = async (): Promise<number[]> => {
      const before = [one, two].map(({ connections }) => connections.length);
      await visitOften(port, 1_000);
      return [one, two].map(({ connections }, index) => connections.length - before[index]!);
    };
    expect(await shares()).toEqual([500, 500]);
    expect((await proxy.put("app", one.address, { weight: 3 })).body).toMatchObject({ weight: 3, state: "ready" });
    expect(await shares()).toEqual([750, 250]);
    expect((await proxy.put("app", one.address, { state: "drain" })).body).toMatchObject({
      state: "drain",
      weight: 3,
      connections_active: 1,
    });
    expect(await shares()).toEqual([0, 1_000]);
    await roundTrip(held, "goes on");
    expect(await proxy.endpoint("app", one.address)).toMatchObject({ connections_active: 1, connections_total: 1_251 });
    // One that comes back begins with a part of its share.
    await proxy.put("app", one.address, { state: "ready" });
    const [back, rest] = await shares();
    expect(back).toBeGreaterThan(0);
    expect([back! < 750, back! + rest!]).toEqual([true, 1_000]);
    await proxy.put("app", one.address, { weight: 0 });
    expect(await shares()).toEqual([0, 1_000]);
    for (const client of [held, other]) await endOf(client);
    await until(async () => (await proxy.status()).connections_active === 0, "all to be over");
    const totals = (await proxy.status()).backends[0]!.endpoints.map((endpoint) => endpoint.connections_total);
    expect(totals).toEqual([one.connections.length, two.connections.length]);
  }, 60_000);

  test.each(["close", "keep"])('down with on_down = "%s" ends what is open, or does not', async (onDown) => {
    await using one = await listen(echo);
    await using two = await listen(echo);
    const keys = `balance = "first"\non_down = "${onDown}"`;
    const text = `${listenerText("web", "app")}${backendText("app", [one.address, two.address], keys)}${adminText}`;
    await using proxy = await Operated.start(text);
    const port = await proxy.port("web");
    await using held = await visit(port);
    expect((await proxy.put("app", one.address, { state: "down" })).body).toMatchObject({ state: "down" });
    if (onDown === "close") {
      await held.wasReset();
      await one.connections[0]!.wasReset();
      expect((await proxy.program.recorded(1))[0]).toMatchObject({ endpoint: one.address, end: "endpoint_down" });
      expect(await proxy.endpoint("app", one.address)).toMatchObject({ connections_active: 0, state: "down" });
    } else await roundTrip(held, "goes on");
    await using next = await visit(port);
    expect([one.connections.length, two.connections.length]).toEqual([1, 1]);
    await roundTrip(next, "elsewhere");
    // Out of the one state into another: what is open there now has nothing to do with it.
    await proxy.put("app", one.address, { state: "drain" });
    await proxy.put("app", two.address, { state: "drain" });
    await roundTrip(next, "goes on");
  });

  test("without any endpoint left clients end with no_endpoint, and the program is not ready, until one is back", async () => {
    await using one = await listen(echo);
    await using two = await listen(echo);
    const admin = `${adminText}ready_needs_backends = true\n`;
    const text = `${listenerText("web", "app")}${backendText("app", [one.address, two.address])}${admin}`;
    await using proxy = await Operated.start(text);
    const port = await proxy.port("web");
    const ready = async (): Promise<number> => (await proxy.ask("GET", "/readyz")).code;
    await proxy.put("app", one.address, { state: "drain" });
    expect(await ready()).toBe(200);
    await proxy.put("app", two.address, { state: "drain" });
    expect(await ready()).toBe(503);
    expect((await proxy.status()).backends).toMatchObject([{ name: "app", available: false }]);
    await refusedAt(port);
    expect((await proxy.program.recorded(1))[0]).toMatchObject({ end: "no_endpoint", backend: "app", endpoint: null });
    await proxy.put("app", two.address, { state: "ready" });
    expect(await ready()).toBe(200);
    await using client = await visit(port);
    await roundTrip(client, "served");
  });

  test("outlives reloads, and a weight does so until another one is configured", async () => {
    await using one = await listen(echo);
    await using two = await listen(echo);
    const text = (weight: number, keys = ""): string =>
      `${listenerText("web", "app")}${backendText("app", [`{ address = "${one.address}", weight = ${weight} }`, two.address], keys)}${adminText}`;
    await using proxy = await Operated.start(text(1));
    await proxy.put("app", one.address, { weight: 7 });
    await proxy.put("app", two.address, { state: "drain" });
    const told = async (): Promise<unknown[]> =>
      (await proxy.status()).backends[0]!.endpoints.map(({ address, state, weight }) => [address, state, weight]);
    const [first, second] = [one.address, two.address];
    await proxy.program.reload(text(1, "retries = 1"));
    expect(await told()).toEqual([
      [first, "ready", 7],
      [second, "drain", 1],
    ]);
    await proxy.program.reload(text(2, "retries = 1"));
    expect(await told()).toEqual([
      [first, "ready", 2],
      [second, "drain", 1],
    ]);
    // The same weight as configured is an override as well: it is gone with the next one that is configured.
    await proxy.put("app", one.address, { weight: 2 });
    await proxy.program.reload(text(5));
    expect(await told()).toEqual([
      [first, "ready", 5],
      [second, "drain", 1],
    ]);
    await using client = await visit(await proxy.port("web"));
    await roundTrip(client, "to the first");
    expect([one.connections.length, two.connections.length]).toEqual([1, 0]);
  });

  test("is reached under every kind of address, encoded or not", async () => {
    await using six = await listen(echo, { host: "::1" });
    using folder = socketFolder();
    const path = folder.path("an app.sock");
    await using unix = await listen(echo, { unix: path });
    await using four = await listen(echo);
    const addresses = [six.address, unix.address, four.address];
    const text = `${listenerText("web", "a-b_c")}${backendText("a-b_c", addresses)}${adminText}`;
    await using proxy = await Operated.start(text);
    const asked: Record<string, string[]> = {
      [six.address]: [six.address, encodeURIComponent(six.address)],
      [unix.address]: [encodeURIComponent(unix.address), unix.address.replaceAll(" ", "%20")],
      [four.address]: [four.address, encodeURIComponent(four.address)],
    };
    for (const [address, spellings] of Object.entries(asked)) {
      for (const [index, spelling] of spellings.entries()) {
        const weight = index + 2;
        const { code, body } = await proxy.put("a-b_c", spelling, { weight });
        expect([spelling, code, body["address"], body["weight"]]).toEqual([spelling, 200, address, weight]);
      }
    }
    for (const address of addresses) await proxy.put("%61-b_c", encodeURIComponent(address), { state: "drain" });
    const states = (await proxy.status()).backends[0]!.endpoints.map(({ state }) => state);
    expect(states).toEqual(["drain", "drain", "drain"]);
    expect((await proxy.put("a-b_c", "%zz", { weight: 1 })).code).toBe(400);
    expect((await proxy.put("other", four.address, { weight: 1 })).code).toBe(404);
  });
});

test("the token is needed for all of it, and another one that a reload brings holds at once", async () => {
  await using app = await listen(echo);
  const text = (token: string): string =>
    `${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}token = "${token}"\n`;
  await using proxy = await Operated.start(text("the-first-token"));
  await using client = await visit(await proxy.port("web"));
  const requests = [
    ["GET", "/status"],
    ["GET", "/connections"],
    ["DELETE", "/connections/1"],
    ["PUT", `/backends/app/endpoints/${app.address}`, { state: "down" }],
    ["POST", "/reload"],
    ["POST", "/shutdown"],
  ] as const;
  const refused = async (token: string): Promise<void> => {
    proxy.token = token;
    for (const [method, path, body] of requests) {
      expect([path, (await proxy.ask(method, path, body)).code]).toEqual([path, 401]);
    }
  };
  await refused("");
  await refused("the-second-token");
  const line = await proxy.program.reload(text("the-second-token"));
  expect(JSON.stringify(line)).not.toMatch(/the-(first|second)-token/);
  expect(line["changes"]).toHaveLength(1);
  await refused("the-first-token");
  expect(await proxy.ask("GET", "/readyz")).toMatchObject({ code: 200 });
  proxy.token = "the-second-token";
  expect((await proxy.ask("GET", "/status")).code).toBe(200);
  // Nothing was done for who was refused.
  expect(await proxy.endpoint("app", app.address)).toMatchObject({ state: "ready", connections_active: 1 });
  await roundTrip(client, "still there");
});

test("what comes from no file can't be reloaded: 409, and why", async () => {
  await using app = await listen(echo);
  await using proxy = await startSluice({
    args: ["forward", "--admin", "127.0.0.1:0", "--log-format", "json", "127.0.0.1:0", app.address],
  });
  await proxy.ready();
  const answer = await fetch(`${await proxy.adminUrl()}/reload`, { method: "POST" });
  const why = "the configuration comes from no file";
  expect([answer.status, await answer.json()]).toEqual([409, { result: "refused", error: why }]);
  proxy.signal("SIGHUP");
  const line = await proxy.logged(({ by }) => by === "SIGHUP", "what came of the signal");
  expect(line).toMatchObject({ level: "warn", why });
});

test("a drain tells how long it may still take, counting down from delay and drain to nothing", async () => {
  await using app = await listen(echo);
  const shutdown = '[shutdown]\ndelay = "300ms"\ndrain = "900ms"\n';
  await using proxy = await Operated.start(
    `${shutdown}${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`,
  );
  await using client = await visit(await proxy.port("web"));
  expect((await proxy.status()).shutdown).toBeNull();
  expect((await proxy.ask("POST", "/shutdown")).code).toBe(202);
  const seen: number[] = [];
  const resetting = client.wasReset();
  let isReset = false;
  void resetting.then(() => (isReset = true));
  while (!isReset) {
    const status = await proxy.status().catch(() => undefined);
    if (status === undefined) break;
    expect(status).toMatchObject({ state: "draining", ready: false });
    seen.push(status.shutdown!.remaining_ms!);
  }
  await resetting;
  expect(seen[0]).toBeGreaterThan(900);
  expect(seen[0]).toBeLessThanOrEqual(1_200);
  expect(seen).toEqual(seen.toSorted((a, b) => b - a));
  expect(seen.at(-1)).toBeLessThan(500);
  expect((await proxy.program.exited()).code).toBe(3);
});

test("a drain without a deadline says so", async () => {
  await using app = await listen(echo);
  await using proxy = await Operated.start(
    `[shutdown]\ndrain = "0s"\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`,
  );
  await using client = await visit(await proxy.port("web"));
  await proxy.ask("POST", "/shutdown");
  await until(async () => (await proxy.status()).shutdown !== null, "the drain");
  expect((await proxy.status()).shutdown).toEqual({ remaining_ms: null });
  expect((await proxy.ask("POST", "/shutdown")).code).toBe(202);
  await endOf(client);
  expect((await proxy.program.exited()).code).toBe(0);
});

test("under load all of it at once breaks nothing, and every figure is the sum of the records", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  await using three = await listen(echo);
  const endpoints = [one.address, two.address, three.address];
  const text = (turn: number): string =>
    `[timeouts]\nidle = "${turn + 10}s"\n${listenerText("web", "app")}${listenerText("side", "app", turn % 2 === 0 ? route("app") : "connections_per_ip = 500")}` +
    `${backendText("app", turn % 3 === 0 ? endpoints.slice(0, 2) : endpoints, `on_down = "${turn % 4 < 2 ? "close" : "keep"}"`)}${adminText}`;
  await using proxy = await Operated.start(text(1));
  const ports = [await proxy.port("web"), await proxy.port("side")];
  let running = true;
  const clients = Array.from({ length: 16 }, async (_, index) => {
    for (let count = 0; running && count < 2_000; count++) {
      // Whatever the operator does to it: it ends.
      const client = await connect(ports[(index + count) % 2]!).catch(() => undefined);
      if (client === undefined) continue;
      await client.send("ROUTED and more").catch(() => {});
      await client.receivedBytes(15, 300).catch(() => {});
      if (count % 3 === 0) client.reset();
      else await client.finish().catch(() => {});
      await client.gone(2_000).catch(() => client.reset());
    }
  });
  const states = ["drain", "down", "ready"] as const;
  for (let turn = 2; turn <= 40; turn++) {
    const address = endpoints[turn % 2]!;
    const open = await proxy.connections("?search=app&limit=5");
    await Promise.all([
      proxy.put("app", address, { state: states[turn % 3]!, weight: (turn % 4) + 1 }),
      ...open.map(({ id }) => proxy.close(id)),
      proxy.metric("sluice_connections_total"),
      turn % 4 === 0 ? proxy.program.reload(text(turn)) : proxy.status(),
    ]);
    await proxy.put("app", address, { state: "ready" });
  }
  running = false;
  await Promise.all(clients);
  await until(async () => (await proxy.status()).connections_active === 0, "all connections to be over");
  const status = await proxy.status();
  const total = status.listeners.reduce((sum, listener) => sum + listener.connections_total, 0);
  const records = await proxy.program.recorded(total);
  expect(records).toHaveLength(total);
  expect(total).toBeGreaterThan(100);
  const sum = (key: string, listener: string): number =>
    records.filter((record) => record["listener"] === listener).reduce((all, record) => all + Number(record[key]), 0);
  for (const { name, bytes_to_backend: toBackend, bytes_to_client: toClient } of status.listeners) {
    expect([name, toBackend, toClient]).toEqual([name, sum("bytes_to_backend", name), sum("bytes_to_client", name)]);
  }
  const counted: Record<string, number> = {};
  for (const { end } of records) counted[String(end)] = (counted[String(end)] ?? 0) + 1;
  expect(status.ended as Record<string, number>).toEqual(counted);
  expect(Object.keys(counted)).toContain("closed_by_admin");
  for (const endpoint of status.backends[0]!.endpoints) expect(endpoint.connections_active).toBe(0);
  expect(proxy.program.log.filter(({ level }) => level === "error")).toEqual([]);
}, 60_000);

// Support

/** A proxy with one connection in a certain place. */
class Scene {
  readonly stack = new AsyncDisposableStack();
  proxy!: Operated;
  client!: Peer;
  /** The other end, where there is one. */
  backend: Peer | undefined = undefined;
  /** The endpoint that it holds. */
  endpoint: string | undefined = undefined;
  /** Of the program, before it had the connection. */
  descriptorsBefore = 0;

  async open(config: string): Promise<void> {
    this.proxy = this.stack.use(await Operated.start(config));
    // What is loaded at the first request is loaded now.
    await this.proxy.metric("sluice_ready");
    this.descriptorsBefore = countDescriptors(this.proxy.program.pid);
    this.client = this.stack.use(await connect(await this.proxy.port("web")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack[Symbol.asyncDispose]();
  }
}

async function inspected(keys: string, says: Uint8Array | string, phase: string): Promise<Scene> {
  const scene = new Scene();
  const app = scene.stack.use(await listen(echo));
  await scene.open(`${listenerText("web", "app", keys)}${backendText("app", [app.address])}${adminText}`);
  await scene.client.send(says);
  await until(async () => (await scene.proxy.connections())[0]?.phase === phase, `the session to be ${phase}`);
  return scene;
}

/** The program has answered the ClientHello, and waits for the client. */
async function shaking(hello: Uint8Array): Promise<Scene> {
  const scene = await inspected(tlsKeys(), hello, "inspecting");
  await scene.client.receivedBytes(1_000);
  return scene;
}

async function dialled(): Promise<Scene> {
  const scene = new Scene();
  const slow = scene.stack.use(await silentHost());
  scene.endpoint = slow.address;
  await scene.open(`${listenerText("web", "app")}${backendText("app", [slow.address])}${adminText}`);
  await scene.client.send("hello");
  await until(async () => (await scene.proxy.connections())[0]?.phase === "dialing", "the session to dial");
  scene.stack.defer(() => until(() => slow.attempts() === 0, "the attempt to be taken back"));
  return scene;
}

async function forwarded(engine: "copy" | "splice"): Promise<Scene> {
  const scene = new Scene();
  const app = scene.stack.use(await listen(echo));
  scene.endpoint = app.address;
  await scene.open(
    `[forwarding]\nengine = "${engine}"\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`,
  );
  await roundTrip(scene.client, "hello");
  scene.backend = await app.accepted();
  await until(async () => (await scene.proxy.connections())[0]?.engine === engine, `the session to be with ${engine}`);
  return scene;
}

function tlsKeys(): string {
  const { certFile, keyFile } = certificate("a");
  return `tls = { cert = "${certFile}", key = "${keyFile}" }`;
}

/** The head of a TLS record with a ClientHello of 200 bytes, and a part of that. */
function halfHello(): Uint8Array {
  return Uint8Array.of(22, 3, 1, 0, 204, 1, 0, 0, 200, 3, 3, 1, 2, 3);
}

/** What a TLS client says first. */
async function wholeHello(): Promise<Uint8Array> {
  await using gate = await listen();
  const socket = { data() {}, error() {} };
  const client = await Bun.connect({ hostname: "127.0.0.1", port: gate.port, tls: { serverName: "a.test" }, socket });
  const peer = await gate.accepted();
  const head = await peer.read(5);
  await peer.receivedBytes(5 + head[3]! * 256 + head[4]!);
  client.terminate();
  return peer.bytes();
}

/** So many connections one after the other, on a few lines; each has a word echoed. */
async function visitOften(port: number, times: number): Promise<void> {
  let left = times;
  const line = async (): Promise<void> => {
    while (left-- > 0) {
      await using client = await visit(port);
      await endOf(client);
    }
  };
  await Promise.all(Array.from({ length: 8 }, line));
}
