/** Backends of the real process: checked, ejected, tried again, chosen by their policy, while their endpoints come and go. */
import { describe, expect, test } from "bun:test";
import { listen, type Backend } from "../support/backend.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { connect, type Peer } from "../support/peer.ts";
import { pollReadiness } from "../support/readiness.ts";
import { SLUICE, startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { settled, until } from "../support/until.ts";

/** Checks by type, and what the log calls a bad one of the endpoint that is meant. */
const checks = {
  tcp: { more: "", spoil: (server: Server) => server.leave(), why: "connection refused" },
  http: {
    more: 'path = "/healthz"\nstatus = "200"',
    spoil: (server: Server) => server.become("ill"),
    why: "status 503",
  },
  exchange: {
    more: 'send = "PING\\r\\n"\nexpect = "+PONG"',
    spoil: (server: Server) => server.become("ill"),
    why: 'unexpected answer "-BUSY\\r\\n"',
  },
} as const;

describe("active checks", () => {
  test.each(["tcp", "http", "exchange"] as const)(
    "type %s: an endpoint that fails them gets no clients until they are good again; the log and /status say so",
    async (type) => {
      await using a = await Server.open("a");
      await using b = await Server.open("b");
      const { more, spoil, why } = checks[type];
      await using proxy = await startSluice({ config: config([a, b], health(type, more)) });
      const port = await proxy.port("web");
      expect(await names(port, 6)).toEqual({ a: 3, b: 3 });
      await spoil(b);
      expect(await told(proxy, "endpoint down", b)).toMatchObject({
        level: "warn",
        backend: "app",
        why,
      });
      const before = b.clients;
      expect(await names(port, 20)).toEqual({ a: 20 });
      expect(b.clients).toBe(before);
      const status = await backendStatus(proxy);
      expect(status).toMatchObject({
        available: true,
        endpoints: [{ health: "up" }, { health: "down", ejected: false }],
      });
      expect(status.endpoints[1]!.checks.bad).toBeGreaterThanOrEqual(2);
      await b.comeBack();
      expect(await told(proxy, "endpoint up", b)).toMatchObject({ level: "info", backend: "app" });
      await until(async () => (await ask(port)) === "b", "b to be given a client");
      expect((await backendStatus(proxy)).endpoints[1]).toMatchObject({ health: "up" });
      // No client has noticed anything: none was sent to b in vain.
      expect(proxy.records().filter(({ end, attempts }) => end !== "client_finished" || attempts !== 1)).toEqual([]);
    },
  );

  test("the first ones are over before anything listens: an endpoint that is ill or mute never gets a client", async () => {
    await using a = await Server.open("a");
    await using ill = await Server.open("ill");
    await using mute = await Server.open("mute");
    await Promise.all([ill.become("ill"), mute.become("mute")]);
    await using proxy = await startSluice({
      config: config([ill, a, mute], health("http", 'interval = "1h"\ntimeout = "300ms"')),
    });
    const port = await proxy.port("web");
    expect(await names(port, 10)).toEqual({ a: 10 });
    expect([ill.clients, mute.clients]).toEqual([0, 0]);
    const lines = proxy.log.filter(({ msg, listener }) => msg === "endpoint down" || listener === "web");
    expect(lines.slice(0, 3)).toMatchObject([
      { msg: "endpoint down", endpoint: ill.address, why: "status 503" },
      { msg: "endpoint down", endpoint: mute.address, why: "no answer within 300ms" },
      { msg: "listening", listener: "web" },
    ]);
  });

  test("a shutdown does not wait for the first ones", async () => {
    await using mute = await Server.open("mute");
    await mute.become("mute");
    await using proxy = await startSluice({ config: config([mute], health("http", 'timeout = "30s"')) });
    await until(() => mute.checks === 1, "the first check");
    proxy.signal("SIGTERM");
    const { code, afterMs } = await proxy.exited();
    expect(code).toBe(0);
    expect(afterMs).toBeLessThan(2_000);
    expect(proxy.log.map(({ msg }) => msg)).not.toContain("ready");
  });

  test.each([true, false])(
    "with all endpoints down clients are refused at once, and with ready_needs_backends = %p readiness says so or does not",
    async (needs) => {
      await using a = await Server.open("a");
      await a.leave();
      const admin = `ready_needs_backends = ${needs}`;
      await using proxy = await startSluice({ config: config([a], health("tcp"), { admin }) });
      await proxy.ready();
      const port = await proxy.port("web");
      await using readiness = pollReadiness(`${await proxy.adminUrl()}/readyz`);
      await readiness.sees(needs ? "false" : "true");
      expect(await ask(port)).toBe("reset");
      expect((await backendStatus(proxy)).available).toBe(false);
      await a.comeBack();
      await told(proxy, "endpoint up", a);
      await readiness.sees("true");
      expect(await ask(port)).toBe("a");
      await a.leave();
      await told(proxy, "endpoint down", a, 2);
      if (needs) await readiness.sees("false");
      expect(await ask(port)).toBe("reset");
      expect(await proxy.recorded(3)).toMatchObject([
        { end: "no_endpoint", backend: "app", endpoint: null, attempts: 0, connect_ms: null },
        { end: "client_finished", endpoint: a.address, attempts: 1 },
        { end: "no_endpoint", backend: "app", endpoint: null, attempts: 0, connect_ms: null },
      ]);
      expect(readiness.sequence).toEqual(needs ? ["false", "true", "false"] : ["true"]);
    },
  );

  test.each(["copy", "splice"])(
    'on_down = "close" ends the open connections of that endpoint and of no other, with engine %s',
    async (engine) => {
      await using a = await Server.open("a");
      await using b = await Server.open("b");
      const backend = `on_down = "close"\n${health("http")}`;
      await using proxy = await startSluice({ config: config([a, b], backend, { engine }) });
      await using held = await hold(await proxy.port("web"), 6);
      await b.become("ill");
      const records = await proxy.recorded(3);
      expect(records).toMatchObject(
        Array(3).fill({ end: "endpoint_down", endpoint: b.address, engine, bytes_to_client: 1 }),
      );
      for (const client of held.named("b")) expect(await client.wasReset()).toBe("ECONNRESET");
      for (const client of held.named("a")) await echoes(client);
      expect(proxy.records()).toHaveLength(3);
    },
  );

  test('on_down = "keep" leaves the open connections as they are', async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using proxy = await startSluice({ config: config([a, b], health("http")) });
    await using held = await hold(await proxy.port("web"), 4);
    await b.become("ill");
    await told(proxy, "endpoint down", b);
    for (const client of held.clients) await echoes(client);
    expect((await backendStatus(proxy)).endpoints).toMatchObject([
      { connections_active: 2 },
      { connections_active: 2 },
    ]);
    expect(proxy.records()).toEqual([]);
  });
});

describe("ejection", () => {
  test("failures in a row take an endpoint out of rotation for a while, twice as long the next time, and it returns", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await b.leave();
    const backend = '[backend.eject]\nfailures = 3\nfor = "300ms"';
    await using proxy = await startSluice({ config: config([a, b], backend) });
    const port = await proxy.port("web");
    const ejections = (): LogLine[] => proxy.log.filter(({ msg }) => msg === "endpoint ejected: it failed too often");
    await until(
      async () => {
        expect(await ask(port)).toBe("a");
        return ejections().length === 2;
      },
      () => `b to be ejected twice: ${JSON.stringify(ejections())}`,
    );
    expect(ejections()).toMatchObject([
      { level: "warn", backend: "app", endpoint: b.address, for_ms: 300 },
      { level: "warn", backend: "app", endpoint: b.address, for_ms: 600 },
    ]);
    // Three clients each time found out; the record of the third is written behind the line.
    const retried = (until: LogLine): number =>
      proxy.log.slice(0, proxy.log.indexOf(until)).filter(({ attempts }) => attempts === 2).length;
    expect(ejections().map(retried)).toEqual([2, 5]);
    await b.comeBack();
    await until(async () => (await ask(port)) === "b", "b to be given a client");
    expect(proxy.log.filter(({ msg }) => msg === "endpoint back in rotation")).toMatchObject([
      { level: "info", backend: "app", endpoint: b.address },
      { level: "info", backend: "app", endpoint: b.address },
    ]);
    expect((await backendStatus(proxy)).endpoints).toMatchObject([
      { connect_failures_total: 0 },
      { connect_failures_total: 6, connections_total: 1, ejected: false },
    ]);
  });

  test("the last endpoint in rotation is never ejected", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await Promise.all([a.leave(), b.leave()]);
    const backend = 'balance = "first"\n[backend.eject]\nfailures = 2\nfor = "1h"';
    await using proxy = await startSluice({ config: config([b, a], backend) });
    const port = await proxy.port("web");
    expect(await names(port, 10)).toEqual({ reset: 10 });
    const records = await proxy.recorded(10);
    expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["connect_refused"]));
    expect(records.map((record) => record["attempts"])).toEqual([2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect((await backendStatus(proxy)).endpoints).toMatchObject([{ ejected: true }, { ejected: false }]);
    await a.comeBack();
    expect(await names(port, 3)).toEqual({ a: 3 });
  });

  test("a good check ends it before its time", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    // Bad checks alone would take a minute to find it down.
    const backend = `${health("tcp", "fall = 100", "600ms")}\n[backend.eject]\nfailures = 1\nfor = "1h"`;
    await using proxy = await startSluice({ config: config([a, b], backend) });
    const port = await proxy.port("web");
    await b.leave();
    expect(await names(port, 5)).toEqual({ a: 5 });
    await told(proxy, "endpoint ejected: it failed too often", b);
    await b.comeBack();
    await told(proxy, "endpoint back in rotation", b);
    await until(async () => (await ask(port)) === "b", "b to be given a client");
    expect(proxy.log.filter(({ msg }) => msg === "endpoint down")).toEqual([]);
  });
});

describe("attempts", () => {
  test.each([
    [0, 1, "reset"],
    [2, 3, "reset"],
    [3, 4, "d"],
  ])(
    "with retries = %i there are up to %i of them, and the opening arrives once",
    async (retries, attempts, answer) => {
      const servers = await Promise.all(["a", "b", "c", "d"].map((name) => Server.open(name)));
      await using stack = new AsyncDisposableStack();
      for (const server of servers) stack.use(server);
      for (const server of servers.slice(0, 3)) await server.leave();
      await using proxy = await startSluice({ config: config(servers, `balance = "first"\nretries = ${retries}`) });
      expect(await ask(await proxy.port("web"))).toBe(answer);
      const [record] = await proxy.recorded(1);
      expect(record).toMatchObject(
        answer === "reset"
          ? {
              end: "connect_refused",
              attempts,
              endpoint: servers[attempts - 1]!.address,
              reason: "ECONNREFUSED",
              bytes_to_backend: 0,
            }
          : {
              end: "client_finished",
              attempts,
              endpoint: servers[3]!.address,
              bytes_to_backend: 3,
              bytes_to_client: 1,
            },
      );
      expect(servers[3]!.clients).toBe(answer === "reset" ? 0 : 1);
    },
  );

  test("two of three endpoints come and go while 200 clients connect: every one is served", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using c = await Server.open("c");
    await using proxy = await startSluice({
      config: config([a, b, c], `${health("tcp", "", "100ms")}\n[backend.eject]\nfailures = 2\nfor = "200ms"`),
    });
    const port = await proxy.port("web");
    const answers: string[] = [];
    // A server goes while nobody talks to it: who is connected to it already would rightly be reset with it.
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        [b, c].map((server, index) => ((round >> index) % 2 === 0 ? server.leave() : server.comeBack())),
      );
      answers.push(...(await Promise.all(Array.from({ length: 20 }, () => ask(port)))));
      if (round % 3 === 2) await told(proxy, "endpoint down", b);
    }
    expect(answers).toHaveLength(200);
    expect(answers).not.toContain("reset");
    expect(new Set(answers)).toContain("a");
    expect([a, b, c].reduce((sum, { clients }) => sum + clients, 0)).toBe(200);
    const records = await proxy.recorded(200);
    expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["client_finished"]));
    expect(records.some((record) => Number(record["attempts"]) > 1)).toBe(true);
  });

  test("those that fail for want of descriptors of our own count against nobody, and neither do such checks", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    const backend = `${health("tcp", "", "20ms")}\n[backend.eject]\nfailures = 1\nfor = "1h"`;
    await using proxy = await startSluice({
      config: config([a, b], backend, { engine: "copy", listener: route, limits: "connections = 20" }),
      command: ["bash", "-c", 'ulimit -n 256; exec "$@"', "bash", ...SLUICE],
    });
    const port = await proxy.port("web");
    // They are inside, and not connected to a backend before they have said something.
    await using clients = await together(10, port);
    await until(async () => (await status(proxy)).connections_active === 10, "the clients to be inside");
    const admin = await proxy.port("admin");
    const full = (): boolean => countDescriptors(proxy.pid) === 256;
    await using idle = await together(256, admin);
    await until(full, () => `the last descriptor to be taken: there are ${countDescriptors(proxy.pid)}`);
    await settled(() => a.checks + b.checks, "the checks, which can't be made any more,");
    for (const client of clients.clients) void client.send("who");
    // The descriptor of one that was ended may do for the next one.
    const endings = await Promise.all(clients.clients.map((client) => client.closed()));
    for (const connection of idle.clients) connection.reset();
    for (const client of clients.clients) client.reset();
    const failed = (await proxy.recorded(10)).filter(({ end }) => end === "connect_failed");
    expect(failed.length).toBeGreaterThan(0);
    expect(failed).toMatchObject(
      Array(endings.filter(({ how }) => how === "reset").length).fill({ reason: "EMFILE", attempts: 2 }),
    );
    const checksBefore = a.checks;
    await until(() => a.checks > checksBefore, "the checks to go on");
    expect(await backendStatus(proxy)).toMatchObject({
      available: true,
      endpoints: Array(2).fill({ health: "up", ejected: false, connect_failures_total: 0, checks: { bad: 0 } }),
    });
    expect(Object.keys(await names(port, 4)).toSorted()).toEqual(["a", "b"]);
    expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  });
});

describe("choosing", () => {
  test("weights count, and weight 0 means none", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using c = await Server.open("c");
    await using proxy = await startSluice({ config: config([a.with("weight = 3"), b, c.with("weight = 0")]) });
    expect(await names(await proxy.port("web"), 40)).toEqual({ a: 30, b: 10 });
  });

  test("least_connections goes where the fewest are", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using proxy = await startSluice({ config: config([a, b], 'balance = "least_connections"') });
    const port = await proxy.port("web");
    await using first = await hold(port, 6);
    expect([first.named("a").length, first.named("b").length]).toEqual([3, 3]);
    for (const client of first.named("b")) client.reset();
    await proxy.recorded(3);
    await using second = await hold(port, 3);
    expect(second.named("b")).toHaveLength(3);
  });

  test("source_hash keeps a client with its endpoint, also when another one goes", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using c = await Server.open("c");
    await using proxy = await startSluice({ config: config([a, b, c], `balance = "source_hash"\n${health("tcp")}`) });
    const port = await proxy.port("web");
    const clients = Array.from({ length: 30 }, (_, index) => `127.0.1.${index + 1}`);
    const chosen = (): Promise<string[]> => Promise.all(clients.map((host) => ask(port, host)));
    const before = await chosen();
    expect(await chosen()).toEqual(before);
    expect(new Set(before)).toEqual(new Set(["a", "b", "c"]));
    await c.leave();
    await told(proxy, "endpoint down", c);
    const after = await chosen();
    const moved = clients.filter((_, index) => before[index] !== after[index]);
    expect(moved.length).toBeGreaterThanOrEqual(before.filter((name) => name === "c").length);
    expect(after).not.toContain("c");
    expect(moved.length).toBeLessThan(clients.length / 2 + before.filter((name) => name === "c").length);
  });

  test("backups get clients when nobody else can be reached, and not when the others are merely full", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using proxy = await startSluice({ config: config([a.with("connections = 2"), b.with("backup = true")]) });
    const port = await proxy.port("web");
    await using held = await hold(port, 2);
    expect(held.named("a")).toHaveLength(2);
    expect(await ask(port)).toBe("reset");
    held.clients[0]!.reset();
    await proxy.recorded(2);
    expect(await ask(port)).toBe("a");
    await a.leave();
    expect(await ask(port)).toBe("b");
    expect((await proxy.recorded(4)).map(({ end, attempts }) => `${end} ${attempts}`)).toEqual([
      "limit_endpoint 0",
      "client_reset 1",
      "client_finished 1",
      "client_finished 2",
    ]);
  });

  test("a full endpoint is passed over", async () => {
    await using a = await Server.open("a");
    await using b = await Server.open("b");
    await using proxy = await startSluice({ config: config([a.with("connections = 1"), b.with("connections = 3")]) });
    const port = await proxy.port("web");
    await using held = await hold(port, 4);
    expect([held.named("a").length, held.named("b").length]).toEqual([1, 3]);
    expect(await ask(port)).toBe("reset");
    expect(await proxy.recorded(1)).toMatchObject([{ end: "limit_endpoint", endpoint: null, attempts: 0 }]);
  });
});

/** A server at an address of its own, which it can leave and come back to. It says its name to clients, and answers checks. */
class Server {
  readonly name: string;
  /** Where it is, as an endpoint is written. */
  readonly address: string;
  /** Those that said something that no check says. */
  clients = 0;
  /** Connections that are none of `clients`, or have said nothing yet. */
  checks = 0;
  readonly #runs: Backend[];
  #mood: "well" | "ill" | "mute" = "well";

  private constructor(name: string, first: Backend) {
    this.name = name;
    this.address = first.address;
    this.#runs = [first];
  }

  static async open(name: string): Promise<Server> {
    const server: Server = new Server(name, await listen((peer) => server.#serve(peer), { host: nextHost() }));
    return server;
  }

  /** As an endpoint with further settings. */
  with(settings: string): string {
    return `{ address = "${this.address}", ${settings} }`;
  }

  /** Nobody can connect any more; open connections stay. */
  async leave(): Promise<void> {
    this.#runs.at(-1)!.stopListening();
  }

  /** It listens where it did, and is well. */
  async comeBack(): Promise<void> {
    const [host, port] = this.address.split(":");
    await this.leave();
    this.#runs.push(await listen((peer) => this.#serve(peer), { host: host!, port: Number(port) }));
    this.#mood = "well";
  }

  /** Ill: it says so to checks. Mute: it says nothing to them. Clients are served. */
  async become(mood: "ill" | "mute"): Promise<void> {
    this.#mood = mood;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs) await run[Symbol.asyncDispose]();
  }

  async #serve(peer: Peer): Promise<void> {
    this.checks++;
    const [first] = await peer.read(1);
    const [isWell, isMute] = [this.#mood === "well", this.#mood === "mute"];
    switch (String.fromCharCode(first!)) {
      case "G":
        if (!isMute) await peer.send(`HTTP/1.1 ${isWell ? "200 OK" : "503 Unavailable"}\r\nContent-Length: 0\r\n\r\n`);
        return isMute ? undefined : peer.finish();
      case "P":
        if (!isMute) await peer.send(isWell ? "+PONG\r\n" : "-BUSY\r\n");
        return;
      case "w":
        this.#client();
        await peer.send(this.name);
        return peer.finish();
      default:
        this.#client();
        await peer.send(this.name);
        await peer.receivedBytes(5, Infinity);
        await peer.send("!");
    }
  }

  #client(): void {
    this.checks--;
    this.clients++;
  }
}

let hosts = 0;

/** A host of loopback that is nobody else's: a port that a server has left must not be given to another program. */
function nextHost(): string {
  const { pid } = process;
  return `127.${64 + (pid & 63)}.${(pid >> 6) & 255}.${++hosts}`;
}

/** Connects, says something, and gives the name that is answered, or "reset". */
async function ask(port: number, localAddress?: string): Promise<string> {
  const connecting = connect(port, localAddress === undefined ? {} : { localAddress });
  // A reset may be faster than the news that it is connected.
  const connected = await connecting.catch((error: { code?: string }) => error.code);
  if (connected === "ECONNRESET") return "reset";
  await using client = connected as Peer;
  void client.send("who");
  void client.finish();
  const { how } = await client.closed();
  return how === "reset" ? "reset" : client.text();
}

/** How often each name is answered to so many clients, one after the other. */
async function names(port: number, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < count; turn++) {
    const name = await ask(port);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Clients that stay: each has been told the name of its server. */
async function hold(port: number, count: number): Promise<Held> {
  const held = new Held();
  for (let turn = 0; turn < count; turn++) {
    const client = await connect(port);
    held.clients.push(client);
    await client.send("stay");
    await client.receivedBytes(1);
  }
  return held;
}

/** Clients that say nothing. */
async function together(count: number, port: number): Promise<Held> {
  const held = new Held();
  held.clients.push(...(await Promise.all(Array.from({ length: count }, () => connect(port)))));
  return held;
}

/** See `hold`. */
class Held {
  readonly clients: Peer[] = [];

  /** Those of one server. */
  named(name: string): Peer[] {
    return this.clients.filter((client) => client.text().startsWith(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) await client[Symbol.asyncDispose]();
  }
}

/** One that stayed is still talked to. */
async function echoes(client: Peer): Promise<void> {
  await client.send("?");
  await client.receivedBytes(2);
}

/** Resolves with the line of the log that says this of a server, be it for the second time. */
async function told(proxy: Sluice, msg: string, { address, name }: Server, times = 1): Promise<LogLine> {
  const lines = (): LogLine[] => proxy.log.filter((line) => line.msg === msg && line["endpoint"] === address);
  await until(
    () => lines().length >= times,
    () => `"${msg}" of ${name}, ${times} times: ${proxy.describe()}`,
  );
  return lines()[times - 1]!;
}

interface BackendStatus {
  readonly available: boolean;
  readonly endpoints: readonly { readonly checks: { readonly good: number; readonly bad: number } }[];
}

async function status(proxy: Sluice): Promise<{ connections_active: number; backends: readonly BackendStatus[] }> {
  const response = await fetch(`${await proxy.adminUrl()}/status`, { keepalive: false });
  return (await response.json()) as Awaited<ReturnType<typeof status>>;
}

async function backendStatus(proxy: Sluice): Promise<BackendStatus> {
  return (await status(proxy)).backends[0]!;
}

/** Checks that come often. */
function health(type: keyof typeof checks, more: string = checks[type].more, interval = "50ms"): string {
  const every = more.includes("interval") ? "" : `interval = "${interval}"\n`;
  return `[backend.health]\ntype = "${type}"\n${every}rise = 2\n${more.includes("fall") ? "" : "fall = 2\n"}${more}`;
}

/** Of a listener: it has to hear something before it knows where to go. */
const route = '[[listener.route]]\nprefix = "never"\nbackend = "app"';

/** One listener and one backend. */
function config(
  endpoints: readonly (Server | string)[],
  backend = "",
  { engine = "auto", admin = "", listener = "", limits = "" } = {},
): string {
  const list = endpoints.map((endpoint) => (typeof endpoint === "string" ? endpoint : `"${endpoint.address}"`));
  return `
[forwarding]
engine = "${engine}"

[limits]
${limits}

[admin]
listen = "127.0.0.1:0"
${admin}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
${listener}

[[backend]]
name = "app"
endpoints = [${list.join(", ")}]
${backend}
`;
}
