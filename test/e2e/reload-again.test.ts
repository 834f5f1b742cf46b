/** Reload after reload: what one takes out the next brings back, and at the end of it all everything adds up. */
import { expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { onFreePorts } from "../support/free-ports.ts";
import {
  adminText,
  backendText,
  endOf,
  freePort,
  listenerText,
  Operated,
  roundTrip,
  visit,
} from "../support/operated.ts";
import { connect, type Peer } from "../support/peer.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { until } from "../support/until.ts";

test("a listener that was removed by mistake comes back at once, at the same address, though it is still being closed", async () => {
  await using app = await listen(echo);
  const rest = `${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  const port = await freePort();
  const both = `${rest}${listenerText("shop", "app", "", `127.0.0.1:${port}`)}`;
  await using proxy = await Operated.start(both);
  await using before = await visit(port);
  for (const [text, change] of [
    [rest, "removed"],
    [both, "added"],
  ] as const) {
    proxy.program.rewriteConfig(text);
    expect(await proxy.ask("POST", "/reload")).toMatchObject({
      code: 200,
      body: { changes: [`listener.shop: ${change}`] },
    });
  }
  await using after = await visit(port, "after");
  await roundTrip(before, "both");
  await endOf(before);
  await endOf(after);
  const records = await proxy.program.recorded(2);
  expect(records.map(({ listener, end }) => `${String(listener)} ${String(end)}`)).toEqual([
    "shop client_finished",
    "shop client_finished",
  ]);
});

test("clients in the queue of a removed listener that is full are served when there is room, by whoever has its address then", async () => {
  await using app = await listen(echo);
  const limits = "[limits]\nconnections = 1\n";
  const rest = `${limits}${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  const port = await freePort();
  const both = `${rest}${listenerText("shop", "app", "", `127.0.0.1:${port}`)}`;
  await using proxy = await Operated.start(both);
  await using holder = await visit(await proxy.port("web"));
  await using waiting = await connect(port);
  await waiting.send("waits");
  expect(await proxy.program.reload(rest)).toMatchObject({ changes: ["listener.shop: removed"] });
  expect(await proxy.program.reload(both)).toMatchObject({ changes: ["listener.shop: added"] });
  await endOf(holder);
  await waiting.receivedBytes(5);
  await endOf(waiting);
  await using later = await visit(port, "later");
  await endOf(later);
  expect((await proxy.program.recorded(3)).map(({ listener }) => listener)).toEqual(["web", "shop", "shop"]);
});

test("a Unix socket comes back as well, and those who wait at the old one are served by the old one", async () => {
  await using app = await listen(echo);
  using folder = socketFolder();
  const path = folder.path("shop.sock");
  const limits = "[limits]\nconnections = 1\n";
  const rest = `${limits}${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  const both = `${rest}${listenerText("shop", "app", "", `unix:${path}`)}`;
  await using proxy = await Operated.start(both);
  await using holder = await visit(await proxy.port("web"));
  await using waiting = await connect({ unix: path });
  await waiting.send("waits");
  await proxy.program.reload(rest);
  expect(await proxy.program.reload(both)).toMatchObject({ changes: ["listener.shop: added"] });
  await using after = await connect({ unix: path });
  await after.send("after");
  await endOf(holder);
  const served = async (client: Peer): Promise<void> => {
    await client.receivedBytes(5);
    await endOf(client);
  };
  await Promise.all([served(waiting), served(after)]);
  expect((await proxy.program.recorded(3)).map(({ end }) => end)).toEqual(Array(3).fill("client_finished"));
});

test("a hundred signals with another file before each end with what the last file says", async () => {
  await using app = await listen(echo);
  const port = await freePort();
  const text = (turn: number): string =>
    `[limits]\nconnections = ${1_000 + turn}\n${listenerText("web", "app", `connections = ${turn}`)}` +
    `${turn % 2 === 1 ? listenerText("odd", "app", "", `127.0.0.1:${port}`) : ""}` +
    `${backendText(
      "app",
      [{ weight: turn, address: app.address }].map(
        ({ address, weight }) => `{ address = "${address}", weight = ${weight} }`,
      ),
    )}${adminText}`;
  await using proxy = await Operated.start(text(1));
  await using open = await visit(await proxy.port("web"));
  for (let turn = 2; turn <= 101; turn++) {
    proxy.program.rewriteConfig(text(turn));
    proxy.program.signal("SIGHUP");
    // So that not all are one.
    if (turn % 10 === 0) await proxy.status();
  }
  await until(async () => (await proxy.status()).limits.connections === 1_101, "the last limit");
  const { listeners, backends, reloads } = await proxy.status();
  expect(listeners.filter(({ removed }) => !removed).map(({ name }) => name)).toEqual(["web", "odd"]);
  expect(backends[0]!.endpoints).toMatchObject([{ address: app.address, weight: 101, connections_active: 1 }]);
  expect(reloads).toMatchObject({ invalid: 0, refused: 0 });
  await using odd = await visit(port);
  await roundTrip(open, "still here");
  await roundTrip(odd, "here");
});

test("connections of a removed listener that are cut while the program ends count for its exit code", async () => {
  await using app = await listen(echo);
  const rest = `[shutdown]\ndrain = "500ms"\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(`${rest}${listenerText("old", "app")}`);
  await using cut = await visit(await proxy.port("old"));
  await proxy.program.reload(rest);
  proxy.program.signal("SIGTERM");
  await cut.wasReset();
  expect((await proxy.program.exited()).code).toBe(3);
  expect((await proxy.program.recorded(1))[0]).toMatchObject({ listener: "old", end: "drain_deadline" });
  expect(proxy.program.log.at(-1)).toMatchObject({ msg: "stopped", cut: 1, code: 3 });
});

test("when the drain deadline has passed nobody is accepted any more, not from the queue of a removed listener either", async () => {
  await using app = await listen(echo);
  const rest = (drain: string): string =>
    `[shutdown]\ndrain = "${drain}"\n[limits]\nconnections = 1\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(`${rest("0s")}${listenerText("old", "app")}`);
  await using holder = await visit(await proxy.port("web"));
  await using waiting = await connect(await proxy.port("old"));
  await waiting.send("waits");
  // It drains without a deadline; the program ends with one.
  await proxy.program.reload(rest("0s"));
  await proxy.program.reload(rest("400ms"));
  proxy.program.signal("SIGTERM");
  await holder.wasReset();
  await waiting.closed();
  const { code } = await proxy.program.exited();
  expect(code).toBe(3);
  expect(app.connections).toHaveLength(1);
  expect((await proxy.program.recorded(1)).map(({ end }) => end)).toEqual(["drain_deadline"]);
});

test("a connection that is open when the access log is switched on is not recorded with a client that nobody knows", async () => {
  await using app = await listen(echo);
  const text = (access: boolean): string =>
    `[log]\naccess = ${access}\n${listenerText("web", "app")}${backendText("app", [app.address])}${adminText}`;
  await using proxy = await Operated.start(text(false));
  await using before = await visit(await proxy.port("web"));
  await proxy.program.reload(text(true));
  await endOf(before);
  await until(async () => (await proxy.status()).ended.client_finished === 1, "the end of the first");
  await using after = await visit(await proxy.port("web"));
  const name = `127.0.0.1:${after.localPort}`;
  await endOf(after);
  await proxy.program.logged(({ client }) => client === name, "the record of the second");
  expect(proxy.program.records().map(({ client }) => client)).not.toContain("unknown");
});

test.each([1, 2, 3])(
  "random configurations, one after the other under load (%d): figures are the sums of the records, and nothing stays behind",
  async (seed) => {
    await using app = await listen(echo);
    await using other = await listen(echo);
    const random = randomOf(seed);
    const names = ["a", "b", "c"] as const;
    const ports = await onFreePorts(names, (free) => Promise.resolve(free));
    const text = (): string => {
      const kept = names.filter((_, index) => index === 0 || random() < 0.6);
      const listeners = kept.map((name, index) => {
        // Names and addresses change hands.
        const at = random() < 0.2 && kept.length === 3 ? names[(index + 1) % 3]! : name;
        return { name, at };
      });
      const free = new Set(listeners.map(({ at }) => at)).size === listeners.length;
      const backends = random() < 0.5 ? ["one", "two"] : ["one"];
      const pick = (): string => backends[Math.floor(random() * backends.length)]!;
      const written = listeners.map(({ name, at }) => {
        const keys = [
          random() < 0.3 ? `connections_per_ip = ${4 + Math.floor(random() * 8)}` : "",
          random() < 0.2 ? `connections = ${3 + Math.floor(random() * 5)}` : "",
          random() < 0.3 ? `[[listener.route]]\nprefix = "GO"\nbackend = "${pick()}"` : "",
        ];
        return listenerText(name, pick(), keys.join("\n"), `127.0.0.1:${ports[free ? at : name]}`);
      });
      const endpoints = random() < 0.5 ? [app.address, other.address] : [other.address];
      const health = random() < 0.3 ? '[backend.health]\ntype = "tcp"\ninterval = "50ms"\n' : "";
      const overflow = random() < 0.3 ? "reject" : "queue";
      const limits = `[limits]\nconnections = ${8 + Math.floor(random() * 30)}\noverflow = "${overflow}"\n`;
      return (
        `${limits}[shutdown]\ndrain = "2s"\n${written.join("")}` +
        `${backends.map((name) => backendText(name, endpoints, health)).join("")}${adminText}`
      );
    };
    await using proxy = await Operated.start(text());
    await proxy.metric("sluice_ready");
    let running = true;
    const clients = Array.from({ length: 12 }, async (_, index) => {
      for (let count = 0; running && count < 2_000; count++) {
        const name = names[(index + count) % names.length]!;
        const client = await connect(ports[name], { withinMs: 3_000 }).catch(() => undefined);
        if (client === undefined) continue;
        await client.send("GO and go on").catch(() => {});
        await client.receivedBytes(12, 500).catch(() => {});
        if (count % 4 === 0) client.reset();
        else await client.finish().catch(() => {});
        await client.gone(1_000).catch(() => client.reset());
      }
    });
    const refused: unknown[] = [];
    for (let turn = 0; turn < 25; turn++) {
      const line = await proxy.program.reload(text());
      if (line.level === "error") refused.push(line["problems"]);
    }
    running = false;
    await Promise.all(clients);
    expect(refused).toEqual([]);
    const isOver = async (): Promise<boolean> => (await proxy.status()).connections_active === 0;
    await until(isOver, "all connections to be over");
    const connections = await proxy.metric("sluice_connections_total");
    const bytes = await proxy.metric("sluice_bytes_total");
    const seconds = await proxy.metric("sluice_connection_seconds");
    let total = 0;
    for (const count of connections.values()) total += count;
    const records = await proxy.program.recorded(total);
    expect(records).toHaveLength(total);
    expect(total).toBeGreaterThan(50);
    const counted = new Map<string, number>();
    const moved = new Map<string, number>();
    const add = (map: Map<string, number>, key: string, count: number): void =>
      void map.set(key, (map.get(key) ?? 0) + count);
    for (const { listener, backend, end, ...record } of records) {
      add(counted, `listener="${String(listener)}",backend="${String(backend ?? "")}",end="${String(end)}"`, 1);
      for (const way of ["to_backend", "to_client"]) {
        add(moved, `listener="${String(listener)}",direction="${way}"`, Number(record[`bytes_${way}`]));
      }
    }
    expect(sorted(connections)).toEqual(sorted(counted));
    expect(sorted(bytes)).toEqual(sorted(new Map([...moved].filter(([, count]) => count > 0))));
    expect(seconds.size).toBeGreaterThan(0);
    expect([...(await proxy.metric("sluice_connections_active"))]).toEqual([]);
    expect([...(await proxy.metric("sluice_endpoint_connections_active"))]).toEqual([]);
    expect(proxy.program.log.filter(({ level }) => level === "error")).toEqual([]);
    // Every address is free, or has the listener that is configured.
    const { listeners } = await proxy.status();
    for (const { address, paused } of listeners) expect([address, paused]).toEqual([address, false]);
    proxy.program.signal("SIGTERM");
    expect((await proxy.program.exited()).code).toBe(0);
  },
);

// Support

/** Numbers from 0 to below 1 that depend on the seed alone (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sorted(map: ReadonlyMap<string, number>): [string, number][] {
  return [...map].toSorted(([one], [other]) => (one < other ? -1 : 1));
}
