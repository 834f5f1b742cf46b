/** The metrics of the real process against its access records: after a thousand connections of every end, to the byte. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timeoutKinds } from "../../src/admin/figures.ts";
import { ENDS, type End } from "../../src/session/end.ts";
import type { ConnectionStatus } from "../../src/admin/admin-port.ts";
import { durationBoundsMs } from "../../src/stats/histogram.ts";
import { echo, listen, type Backend } from "../support/backend.ts";
import { certificate } from "../support/certificates.ts";
import { readExposition, type Family } from "../support/exposition.ts";
import { ConnectionOver, connect, type Peer } from "../support/peer.ts";
import { call, lacks } from "../support/programs.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

const patienceMs = 90_000;
const connections = 1_000;
/** At once; some of them wait for timeouts most of the time. */
const workers = 24;
const limit = 120;

type Families = ReadonlyMap<string, Family>;

test(
  "after 1,000 connections of every end, counters and histograms are the sums of the access records",
  async () => {
    await using stack = new AsyncDisposableStack();
    const scene = await openScene(stack);
    const { proxy, kinds } = scene;
    const random = seeded(5);
    const names = Object.keys(kinds);
    let left = connections;
    let over = false;
    const watching = neverDown(scene, () => over);
    watching.catch(() => {});
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        // Each at least once, then any.
        const name = names[left] ?? names[Math.floor(random() * names.length)]!;
        await kinds[name]!(random);
      }
    };
    await Promise.all(Array.from({ length: workers }, worker));

    // Some of the places are taken by connections that have moved bytes, then all of them are.
    const open = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const client = stack.use(await connect(scene.ports["web"]!));
        await client.send(new Uint8Array(index * 1_000 + 1));
        await client.receivedBytes(index * 1_000 + 1);
        return client;
      }),
    );
    await settledRecords(proxy, scene.url);
    const openBytes = open.reduce((sum, { sent }) => sum + sent, 0);
    const during = await compare(scene, { web: { count: open.length, toBackend: openBytes, toClient: openBytes } });
    expect(sumOf(during, "sluice_forwarding_engine_connections")).toBe(open.length);
    expect(sumOf(during, "sluice_endpoint_connections_active")).toBe(open.length);
    while (open.length < limit) open.push(stack.use(await connect(scene.ports["web"]!)));
    await until(
      async () => sumOf(await scrape(scene.url), "sluice_connections_active") === limit,
      "all places to be taken",
    );
    for (let more = 0; more < 5; more++) await visit(scene.ports["web"]!, (client) => client.closed());
    for (const client of open) await client.finish();
    for (const client of open) await client.finished();
    over = true;
    expect(await watching).toBeGreaterThan(5);

    await settledRecords(proxy, scene.url);
    const after = await compare(scene, {});
    const records = proxy.records();
    expect(records.length).toBeGreaterThanOrEqual(connections);
    // Those that are missing end the process, or its listener, as well.
    const absent: readonly End[] = ["forced", "internal_error", "drain_idle", "drain_deadline"];
    const wanted = Object.keys(ENDS).filter((end) => !absent.includes(end as End));
    expect([...new Set(records.map(({ end }) => String(end)))].toSorted()).toEqual(wanted.toSorted());
    expect(new Set(records.map(({ engine }) => engine))).toEqual(new Set([null, "copy", "splice"]));
    const reasons = after.get("sluice_connect_failures_total")!.samples.map(({ labels }) => labels);
    expect(Object.fromEntries(reasons.map(({ backend, reason }) => [backend, reason]))).toMatchObject({
      dead: "refused",
      silent: "timeout",
      unreachable: "unreachable",
      retried: "refused",
      "no-tls": "tls",
    });
    // What the clients of the listener for clean ends have sent, they and the endpoint know by themselves.
    const clean = bytesOf(after, "clean");
    expect(clean).toEqual({ toBackend: scene.cleanBytes.toBackend, toClient: scene.cleanBytes.toClient });
    expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  },
  patienceMs,
);

describe("of a listener that a reload has removed", () => {
  test(
    "the sums stay, and those that its drain has ended are among them",
    async () => {
      await using stack = new AsyncDisposableStack();
      const server = stack.use(await listen(echo));
      const folder = mkdtempSync(join(tmpdir(), "sluice-metrics-"));
      stack.defer(() => rmSync(folder, { recursive: true }));
      const file = join(folder, "config.toml");
      const head = `[admin]\nlisten = "127.0.0.1:0"\n[shutdown]\ndrain = "1s"\nidle = "250ms"\n`;
      const listener = (name: string): string =>
        `[[listener]]\nname = "${name}"\nlisten = "127.0.0.1:0"\nbackend = "${name}-app"\n`;
      const backend = (name: string): string =>
        `[[backend]]\nname = "${name}-app"\nendpoints = ["${server.address}"]\n`;
      const of = (...names: readonly string[]): string =>
        [head, ...names.map(listener), ...names.map(backend)].join("\n");
      writeFileSync(file, of("stays", "goes"));
      const proxy = stack.use(await startSluice({ args: ["run", "--config", file] }));
      const url = await proxy.adminUrl();
      const goes = await proxy.port("goes");
      const done = stack.use(await connect(goes));
      await done.send("done");
      await done.finish();
      await done.finished();
      const silent = stack.use(await connect(goes));
      const busy = stack.use(await connect(goes));
      for (const client of [silent, busy]) {
        await client.send("hello");
        await client.receivedBytes(5);
      }
      writeFileSync(file, of("stays"));
      const reload = await fetch(`${url}/reload`, { method: "POST", keepalive: false });
      expect(reload.status).toBe(200);
      const talking = (async () => {
        while (busy.ending === undefined) await busy.send(".").then(() => new Promise(setImmediate));
      })().catch(() => {});
      expect(await silent.wasReset()).toBe("ECONNRESET");
      const meanwhile = await scrape(url);
      expect(counts(meanwhile, "sluice_connections_active")).toMatchObject({ goes: 1 });
      expect(await busy.wasReset()).toBe("ECONNRESET");
      await talking;
      await settledRecords(proxy, url);
      const families = await compare({ url, proxy }, {});
      expect(counts(families, "sluice_connections_total")).toEqual({
        "goes goes-app client_finished": 1,
        "goes goes-app drain_idle": 1,
        "goes goes-app drain_deadline": 1,
      });
      expect(counts(families, "sluice_timeouts_total")).toMatchObject({ drain_idle: 1 });
      expect(counts(families, "sluice_reloads_total")).toEqual({ applied: 1, invalid: 0, refused: 0 });
    },
    patienceMs,
  );
});

test.skipIf(lacks("promtool"))("promtool finds nothing to say of what a process answers", async () => {
  await using server = await listen(echo);
  const config = `[admin]\nlisten = "127.0.0.1:0"\n[[listener]]\nname = "web"\nlisten = "127.0.0.1:0"\nbackend = "app"
[[backend]]\nname = "app"\nendpoints = ["${server.address}"]\n[backend.health]\ntype = "tcp"`;
  await using proxy = await startSluice({ config });
  await visit(await proxy.port("web"), async (client) => {
    await client.finish();
    await client.finished();
  });
  await proxy.recorded(1);
  const response = await fetch(`${await proxy.adminUrl()}/metrics`, { keepalive: false });
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const { stdout, stderr } = await call("promtool", ["check", "metrics"], await response.text());
  expect({ stdout, stderr }).toEqual({ stdout: "", stderr: "" });
});

// What is compared.

/** What open connections of a listener add to its records. */
type Open = Readonly<Record<string, { count: number; toBackend: number; toClient: number }>>;

/** Expects everything that follows from the access records to be in the metrics, exactly, and nothing else. */
async function compare(
  { url, proxy }: { readonly url: string; readonly proxy: Sluice },
  open: Open,
): Promise<Families> {
  const families = await scrape(url);
  const records = proxy.records().map((record) => record as unknown as Recorded);
  const refused = ["denied", "limit_connections", "limit_listener", "limit_per_ip", "limit_rate"];
  const rejected = records.filter(({ end }) => refused.includes(end));
  const wanted = {
    ended: tally(records.map(({ listener, backend, end }) => [`${listener} ${backend ?? ""} ${end}`, 1])),
    rejected: tally(rejected.map(({ listener, end }) => [`${listener} ${end}`, 1])),
    bytes: tally([
      ...records.flatMap(({ listener, bytes_to_backend: toBackend, bytes_to_client: toClient }) => [
        [`${listener} to_backend`, toBackend] as const,
        [`${listener} to_client`, toClient] as const,
      ]),
      ...Object.entries(open).flatMap(([listener, { toBackend, toClient }]) => [
        [`${listener} to_backend`, toBackend] as const,
        [`${listener} to_client`, toClient] as const,
      ]),
    ]),
    retries: tally(records.map(({ backend, attempts }) => [backend ?? "", Math.max(0, attempts - 1)])),
    failures: tally(
      records.map(({ backend, attempts, connect_ms: connectMs }) => [
        backend ?? "",
        attempts - (connectMs === null ? 0 : 1),
      ]),
    ),
    timeouts: timeoutsIn(records),
    durations: histograms(records.map(({ listener, duration_ms: ms }) => [listener, ms])),
    connects: histograms(records.map(({ backend, connect_ms: ms }) => [backend, ms])),
    firstBytes: histograms(records.map(({ backend, first_byte_ms: ms }) => [backend, ms])),
  };
  const failures = families.get("sluice_connect_failures_total")!.samples;
  const found = {
    ended: counts(families, "sluice_connections_total"),
    rejected: counts(families, "sluice_connections_rejected_total"),
    bytes: notZero(counts(families, "sluice_bytes_total")),
    retries: notZero(counts(families, "sluice_retries_total")),
    failures: tally(failures.map(({ labels, value }) => [labels["backend"]!, value])),
    timeouts: counts(families, "sluice_timeouts_total"),
    durations: histogramsIn(families, "sluice_connection_seconds"),
    connects: histogramsIn(families, "sluice_connect_seconds"),
    firstBytes: histogramsIn(families, "sluice_first_byte_seconds"),
  };
  // Of open connections only how many there are is known: they have connected, and have had their first byte.
  const openCount = Object.values(open).reduce((sum, { count }) => sum + count, 0);
  if (openCount > 0) {
    for (const name of ["connects", "firstBytes"] as const) {
      expect(countOf(found[name])).toBe(countOf(wanted[name]) + openCount);
      found[name] = wanted[name];
    }
  }
  expect(found).toEqual(wanted);
  const active = Object.entries(open).map(([listener, { count }]) => [listener, count]);
  expect(notZero(counts(families, "sluice_connections_active"))).toEqual(Object.fromEntries(active));
  if (active.length === 0) {
    expect(sumOf(families, "sluice_forwarding_engine_connections")).toBe(0);
    expect(sumOf(families, "sluice_endpoint_connections_active")).toBe(0);
  }
  return families;
}

/** The fields of an access record that metrics are about. */
interface Recorded {
  readonly listener: string;
  readonly backend: string | null;
  readonly route: string | null;
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
  readonly connect_ms: number | null;
  readonly first_byte_ms: number | null;
  readonly duration_ms: number;
  readonly attempts: number;
  readonly end: End;
}

/** Every endpoint that is mute to connects is the only one of its backend, and `undecided` takes only such clients. */
function timeoutsIn(records: readonly Recorded[]): Record<string, number> {
  const ends: Partial<Record<End, (typeof timeoutKinds)[number]>> = {
    connect_timeout: "connect",
    response_timeout: "response",
    idle_timeout: "idle",
    half_closed_timeout: "half_closed",
    lifetime: "lifetime",
    inspect_timeout: "inspect",
    drain_idle: "drain_idle",
  };
  const none = timeoutKinds.map((kind) => [kind, 0] as const);
  const ended = records.flatMap(({ end }) => (ends[end] === undefined ? [] : [[ends[end], 1] as const]));
  const undecided = records.flatMap(({ listener }) => (listener === "undecided" ? [["inspect", 1] as const] : []));
  return { ...Object.fromEntries(none), ...tally([...ended, ...undecided]) };
}

interface PlainHistogram {
  readonly buckets: readonly number[];
  readonly sumMicros: number;
}

/** As records tell them; those without a name or a duration are in none. */
function histograms(
  durations: readonly (readonly [name: string | null, ms: number | null])[],
): Record<string, PlainHistogram> {
  const all: Record<string, PlainHistogram> = {};
  for (const name of new Set(durations.map(([of]) => of))) {
    const own = durations.flatMap(([of, ms]) => (of === name && ms !== null ? [ms] : []));
    if (name === null || own.length === 0) continue;
    const buckets = [...durationBoundsMs, Infinity].map((bound) => own.filter((ms) => ms <= bound).length);
    all[name] = { buckets, sumMicros: own.reduce((sum, ms) => sum + Math.round(ms * 1_000), 0) };
  }
  return all;
}

/** As metrics tell them, without those in which nothing is; a count that is not that of the last bucket is an error. */
function countOf(histograms: Readonly<Record<string, PlainHistogram>>): number {
  return Object.values(histograms).reduce((sum, { buckets }) => sum + buckets.at(-1)!, 0);
}

function histogramsIn(families: Families, name: string): Record<string, PlainHistogram> {
  const all: Record<string, PlainHistogram> = {};
  const { samples } = families.get(name)!;
  const perSeries = durationBoundsMs.length + 3;
  for (let first = 0; first < samples.length; first += perSeries) {
    const buckets = samples.slice(first, first + perSeries - 2).map(({ value }) => value);
    const [sum, count] = samples.slice(first + perSeries - 2, first + perSeries);
    expect(count!.value).toBe(buckets.at(-1)!);
    if (count!.value === 0) continue;
    all[Object.values(sum!.labels).join(" ")] = { buckets, sumMicros: Math.round(sum!.value * 1e6) };
  }
  return all;
}

function tally(entries: readonly (readonly [name: string, count: number])[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, count] of entries) sums[name] = (sums[name] ?? 0) + count;
  return notZero(sums);
}

function notZero(sums: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(sums).filter(([, value]) => value !== 0));
}

/** The series of a metric by the values of their labels. */
function counts(families: Families, name: string): Record<string, number> {
  const { samples } = families.get(name)!;
  return Object.fromEntries(samples.map(({ labels, value }) => [Object.values(labels).join(" "), value]));
}

function sumOf(families: Families, name: string): number {
  return families.get(name)!.samples.reduce((sum, { value }) => sum + value, 0);
}

function bytesOf(families: Families, listener: string): { toBackend: number; toClient: number } {
  const bytes = counts(families, "sluice_bytes_total");
  return { toBackend: bytes[`${listener} to_backend`]!, toClient: bytes[`${listener} to_client`]! };
}

async function scrape(url: string): Promise<Families> {
  const response = await fetch(`${url}/metrics`, { keepalive: false });
  expect(response.status).toBe(200);
  return readExposition(await response.text());
}

/** Resolves when there are as many records as connections have ended; they are written in blocks. */
async function settledRecords(proxy: Sluice, url: string): Promise<void> {
  let seen = "";
  await until(
    async () => {
      const ended = sumOf(await scrape(url), "sluice_connections_total");
      seen = `${ended} have ended, ${proxy.records().length} have a record`;
      return ended === proxy.records().length;
    },
    () => `as many records as ends: ${seen}`,
  );
}

/** Scrapes again and again: no counter, nor any part of a histogram, may ever go down. Resolves with the number of scrapes. */
async function neverDown({ url }: { readonly url: string }, over: () => boolean): Promise<number> {
  const last = new Map<string, number>();
  let scrapes = 0;
  for (; !over() && scrapes < 2_000; scrapes++) {
    const down: string[] = [];
    for (const { type, samples } of (await scrape(url)).values()) {
      if (type === "gauge") continue;
      for (const { name, labels, value } of samples) {
        const series = `${name} ${Object.values(labels).join(" ")}`;
        const before = last.get(series) ?? 0;
        if (value < before) down.push(`${series}: ${before}, then ${value}`);
        last.set(series, value);
      }
    }
    expect(down).toEqual([]);
    await until(() => true, "a turn");
  }
  return scrapes;
}

// Where it happens.

/** Provokes an end; which one a client gets when many come at once is for the records to say. */
type Kind = (random: () => number) => Promise<void>;

interface Scene {
  readonly proxy: Sluice;
  /** Of the admin server. */
  readonly url: string;
  readonly ports: Readonly<Record<string, number>>;
  readonly kinds: Readonly<Record<string, Kind>>;
  /** What the listener `clean` has passed on. */
  readonly cleanBytes: { toBackend: number; toClient: number };
}

/** The backend of each, or what stands in for it; the name of a listener is that of its backend where nothing else is said. */
async function openScene(stack: AsyncDisposableStack): Promise<Scene> {
  const server = async (handler?: (peer: Peer) => void | Promise<void>): Promise<Backend> =>
    stack.use(await listen(handler));
  const echoes = await server(echo);
  const gives = await server(async (peer) => {
    await peer.send("welcome");
    await peer.finish();
  });
  const resets = await server(async (peer) => {
    await peer.receivedBytes(1);
    peer.reset();
  });
  const mute = await server();
  const dead = stack.use(refusedPort());
  const silent = stack.use(await silentHost());
  const { certFile, keyFile } = certificate("a");
  const tls = `[listener.tls]\ncert = "${certFile}"\nkey = "${keyFile}"`;
  const parts: string[] = [];
  const names: string[] = [];
  const backend = (name: string, endpoints: readonly unknown[], more = ""): void => {
    const list = endpoints.map((one) => (typeof one === "string" ? `"${one}"` : String((one as [string])[0])));
    parts.push(`[[backend]]\nname = "${name}"\nendpoints = [${list.join(", ")}]\n${more}`);
  };
  const listener = (name: string, to: string | undefined, more = ""): void => {
    names.push(name);
    const target = to === undefined ? "" : `backend = "${to}"\n`;
    parts.push(`[[listener]]\nname = "${name}"\nlisten = "127.0.0.1:0"\n${target}${more}`);
  };
  backend("app", [echoes.address]);
  backend("gives", [gives.address]);
  backend("resets", [resets.address]);
  backend("mute", [mute.address]);
  backend("dead", [dead.address]);
  backend("silent", [silent.address]);
  // ENOTDIR.
  backend("unreachable", ["unix:/dev/null/x"]);
  backend("nobody", [[`{ address = "${echoes.address}", weight = 0 }`]]);
  backend("full", [[`{ address = "${echoes.address}", connections = 1 }`]]);
  backend("retried", [dead.address, echoes.address], "[backend.eject]\nfailures = 1_000");
  backend("no-tls", [gives.address], "[backend.tls]\nverify = false");
  backend("leaves", [echoes.address], 'on_down = "close"');
  listener("web", "app");
  listener("clean", "app");
  for (const name of ["gives", "resets", "dead", "silent", "unreachable", "nobody", "full", "retried"])
    listener(name, name);
  listener("no-tls", "no-tls");
  listener("leaves", "leaves");
  listener("response", "mute", '[listener.timeouts]\nresponse = "120ms"');
  listener("idle", "mute", '[listener.timeouts]\nidle = "120ms"\nhalf_closed = "120ms"');
  listener("half", "mute", '[listener.timeouts]\nhalf_closed = "120ms"');
  listener("lifetime", "mute", '[listener.timeouts]\nconnect = "100ms"\nlifetime = "150ms"\ninspect = "100ms"');
  listener("header", "app", 'accept_proxy = "required"\n[listener.timeouts]\ninspect = "150ms"');
  listener("distrusts", "app", 'accept_proxy = "required"\ntrusted = ["192.0.2.0/24"]');
  listener("denies", "app", 'deny = ["127.0.0.0/8"]');
  listener("tls", "app", tls);
  listener("one", "app", "connections = 1");
  listener("per-ip", "app", "connections_per_ip = 1");
  listener("rate", "app", "rate_per_ip = 1");
  listener("routes", undefined, '[[listener.route]]\nprefix = "A"\nbackend = "app"');
  listener(
    "undecided",
    "gives",
    '[listener.timeouts]\ninspect = "120ms"\n[[listener.route]]\nprefix = "A"\nbackend = "app"',
  );
  const head = `[admin]\nlisten = "127.0.0.1:0"\nready_needs_backends = false\n[limits]\nconnections = ${limit}\noverflow = "reject"\n[timeouts]\nconnect = "500ms"`;
  const proxy = stack.use(await startSluice({ config: [head, ...parts].join("\n\n") }));
  await proxy.ready();
  const ports: Record<string, number> = {};
  for (const name of names) ports[name] = await proxy.port(name);
  const url = await proxy.adminUrl();
  const cleanBytes = { toBackend: 0, toClient: 0 };
  return { proxy, url, ports, cleanBytes, kinds: kindsOf({ ports, url, cleanBytes, leaving: echoes.address }) };
}

interface KindsOf extends Pick<Scene, "ports" | "url" | "cleanBytes"> {
  readonly leaving: string;
}

function kindsOf({ ports, url, cleanBytes, leaving }: KindsOf): Record<string, Kind> {
  const closed = async (client: Peer): Promise<void> => void (await client.closed());
  const at = (listener: string, act: (client: Peer, random: () => number) => Promise<void>): Kind => {
    return (random) => visit(ports[listener]!, (client) => act(client, random));
  };
  const saying = (text: string): ((client: Peer) => Promise<void>) => {
    return async (client) => {
      await client.send(text);
      await client.closed();
    };
  };
  const finishing = async (client: Peer): Promise<void> => {
    await client.finish();
    await client.closed();
  };
  /** One of them at most is let in, so one at least is closed. */
  const crowd = (listener: string): Kind => {
    return async () => {
      const port = ports[listener]!;
      const clients = (await Promise.all([1, 2, 3, 4].map(() => connect(port).catch(() => undefined)))).filter(
        (client) => client !== undefined,
      );
      // One that was reset before it was there is not among them.
      if (clients.length === 4) await Promise.race(clients.map((client) => client.closed()));
      for (const client of clients) {
        await client.finish().catch(() => {});
        await client.closed();
        await client[Symbol.asyncDispose]();
      }
    };
  };
  let leaves: Promise<void> = Promise.resolve();
  const change = async (state: string): Promise<void> => {
    const path = `${url}/backends/leaves/endpoints/${encodeURIComponent(leaving)}`;
    const response = await fetch(path, { method: "PUT", body: JSON.stringify({ state }), keepalive: false });
    expect({ state, answer: response.status }).toEqual({ state, answer: 200 });
  };
  return {
    clientFinished: at("clean", async (client, random) => {
      const size = sizeOf(random);
      await client.send(new Uint8Array(size));
      await client.finish();
      await client.finished();
      expect(client.received).toBe(size);
      cleanBytes.toBackend += size;
      cleanBytes.toClient += size;
    }),
    backendFinished: at("gives", finishing),
    clientReset: at("web", async (client, random) => {
      await client.send(new Uint8Array(sizeOf(random)));
      await client.receivedBytes(1);
    }),
    backendReset: at("resets", saying("x".repeat(1_000))),
    refused: at("dead", closed),
    connectTimeout: at("silent", closed),
    unreachable: at("unreachable", closed),
    noEndpoint: at("nobody", closed),
    full: crowd("full"),
    retried: at("retried", finishing),
    noTls: at("no-tls", saying("hello")),
    response: at("response", saying("anybody there?")),
    idle: at("idle", closed),
    halfClosed: at("half", finishing),
    lifetime: at("lifetime", closed),
    header: at("header", async (client, random) => {
      await client.send("PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n");
      await client.send(new Uint8Array(sizeOf(random)));
      await finishing(client);
    }),
    headerInvalid: at("header", saying("GET / HTTP/1.1\r\n\r\n")),
    headerLate: at("header", saying("PROXY TCP4")),
    headerUnfinished: at("header", async (client) => {
      await client.send("PROXY TCP4");
      await finishing(client);
    }),
    distrusted: at("distrusts", closed),
    denied: at("denies", closed),
    tlsFailed: at("tls", saying("this is no ClientHello, whoever looks at it\r\n")),
    limitListener: crowd("one"),
    limitPerIp: crowd("per-ip"),
    limitRate: crowd("rate"),
    route: at("routes", async (client) => {
      await client.send("A");
      await finishing(client);
    }),
    noRoute: at("routes", saying("B")),
    undecided: at("undecided", finishWhenFinished),
    closedByAdmin: at("web", async (client) => {
      await client.send("x");
      await client.receivedBytes(1);
      const found = await fetch(`${url}/connections?search=127.0.0.1:${client.localPort}`, { keepalive: false });
      const { connections: listed } = (await found.json()) as { connections: ConnectionStatus[] };
      // A client of another listener may have the same port.
      const own = `127.0.0.1:${client.localPort}`;
      const { id } = listed.find((one) => one.listener === "web" && one.client === own)!;
      const closed = await fetch(`${url}/connections/${id}`, { method: "DELETE", keepalive: false });
      expect(await closed.json()).toEqual({ closed: id });
      expect(await client.wasReset()).toBe("ECONNRESET");
    }),
    endpointDown: (random) => {
      // One after the other: else one finds the endpoint down that another has taken down.
      leaves = leaves.then(() =>
        at("leaves", async (client) => {
          await client.send("x");
          await client.receivedBytes(1);
          await change("down");
          expect(await client.wasReset()).toBe("ECONNRESET");
          await change("ready");
        })(random),
      );
      return leaves;
    },
  };
}

async function finishWhenFinished(client: Peer): Promise<void> {
  await client.finished();
  await client.finish();
}

/** Mostly little, now and then so much that the connection is moved to the splice engine. */
function sizeOf(random: () => number): number {
  const kind = random();
  if (kind < 0.8) return 1 + Math.floor(random() * 3_000);
  return kind < 0.95 ? Math.floor(random() * 300_000) + 1 : 4 * 2 ** 20 + Math.floor(random() * 100_000);
}

/** A connection from its beginning to its end; that it was over sooner than expected is for its record to say. */
async function visit(port: number, act: (client: Peer) => Promise<unknown>): Promise<void> {
  const client = await connect(port).catch((error: { code?: string }) => {
    if (error.code !== "ECONNRESET") throw error;
  });
  if (client === undefined) return;
  try {
    await act(client);
  } catch (error) {
    if (!(error instanceof ConnectionOver)) throw error;
  } finally {
    await client[Symbol.asyncDispose]();
  }
}

/** Numbers from 0 to below 1, the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
