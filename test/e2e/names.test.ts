/** Names of endpoints in the real process, asked of a DNS server of the test: they come, change, fail and hang. */
import { expect, test } from "bun:test";
import { listen, type Backend } from "../support/backend.ts";
import { a, aaaa, dnsServer, srv, type DnsServer } from "../support/dns-server.ts";
import { connect, type Peer } from "../support/peer.ts";
import { pollReadiness } from "../support/readiness.ts";
import { startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

test("each address of a name is an endpoint: the record has the address, /status the name as well", async () => {
  using dns = await dnsServer();
  await using servers = await Servers.on("127.0.0.2", "127.0.0.3", "::1");
  dns.set("app.test", a("127.0.0.3"), aaaa("::1"), a("127.0.0.2"));
  await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`) });
  const port = await proxy.port("web");
  expect(await hosts(port, 6)).toEqual({ "127.0.0.2": 2, "127.0.0.3": 2, "::1": 2 });
  const endpoints = servers.addresses("127.0.0.2", "127.0.0.3", "::1");
  const records = await proxy.recorded(6);
  expect(records.map(({ endpoint }) => endpoint).toSorted()).toEqual([...endpoints, ...endpoints].toSorted());
  expect(await known(proxy)).toMatchObject(
    endpoints.map((address) => ({ address, configured: `app.test:${servers.port}`, connections_total: 2 })),
  );
  expect(resolved(proxy)).toMatchObject([
    { level: "info", backend: "app", name: `app.test:${servers.port}`, addresses: endpoints },
  ]);
});

test("addresses come and go with the answers, and open connections to one that has gone go on", async () => {
  using dns = await dnsServer();
  await using servers = await Servers.on("127.0.0.2", "127.0.0.3", "127.0.0.4");
  dns.set("app.test", a("127.0.0.2"), a("127.0.0.3"));
  await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`) });
  const port = await proxy.port("web");
  await using first = await stay(port);
  await using second = await stay(port);
  const held = [first, second];
  const host = (client: Peer): string => client.text().split(" ")[0]!;
  expect(held.map(host).toSorted()).toEqual(["127.0.0.2", "127.0.0.3"]);
  dns.set("app.test", a("127.0.0.3"), a("127.0.0.4"));
  await until(() => resolved(proxy).length === 2, "the change to be noticed");
  expect(resolved(proxy)[1]).toMatchObject({ addresses: servers.addresses("127.0.0.3", "127.0.0.4") });
  expect(await hosts(port, 4)).toEqual({ "127.0.0.3": 2, "127.0.0.4": 2 });
  expect((await known(proxy)).map(({ address }) => address)).toEqual(servers.addresses("127.0.0.3", "127.0.0.4"));
  for (const client of held) {
    await client.send("and on");
    await client.receivedBytes(client.received + 6);
    await client.finish();
    await client.finished();
    expect(client.text()).toBe(`${host(client)} and on`);
  }
  expect(new Set((await proxy.recorded(6)).map(({ end }) => end))).toEqual(new Set(["client_finished"]));
});

test.each(["nxdomain", "nodata", "servfail", "refused", "garbage"] as const)(
  "an answer that fails (%s) leaves the addresses as they are; the log says so once, and when it is over",
  async (how) => {
    using dns = await dnsServer();
    await using servers = await Servers.on("127.0.0.2", "127.0.0.3");
    dns.set("app.test", a("127.0.0.2"), a("127.0.0.3"));
    await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`) });
    const port = await proxy.port("web");
    await proxy.ready();
    dns.fail("app.test", how);
    dns.forget();
    await dns.wasAsked("app.test", 4, "A");
    expect(await hosts(port, 4)).toEqual({ "127.0.0.2": 2, "127.0.0.3": 2 });
    const failures = (): LogLine[] => proxy.log.filter(({ msg }) => msg === "cannot resolve a name");
    await until(() => failures().length > 0, "the failure to be told");
    expect(failures()).toMatchObject([{ level: "warn", backend: "app", name: `app.test:${servers.port}`, kept: 2 }]);
    dns.fail("app.test", undefined);
    await until(() => resolved(proxy).length === 2, "the recovery to be told");
    expect(resolved(proxy)[1]).toMatchObject({ addresses: servers.addresses("127.0.0.2", "127.0.0.3") });
    dns.forget();
    await dns.wasAsked("app.test", 2, "A");
    expect(failures()).toHaveLength(1);
    expect(resolved(proxy)).toHaveLength(2);
  },
);

test("one family that fails keeps its addresses while the other one changes", async () => {
  using dns = await dnsServer();
  await using servers = await Servers.on("127.0.0.2", "127.0.0.3", "::1");
  dns.set("app.test", a("127.0.0.2"), aaaa("::1"));
  await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`) });
  await proxy.ready();
  dns.fail("app.test", "servfail", "AAAA");
  dns.set("app.test", a("127.0.0.3"));
  await until(() => resolved(proxy).length === 2, "the change to be noticed");
  expect(resolved(proxy)[1]).toMatchObject({ addresses: servers.addresses("127.0.0.3", "::1") });
  expect(await hosts(await proxy.port("web"), 2)).toEqual({ "127.0.0.3": 1, "::1": 1 });
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
});

test("the addresses of a name are checked before anything listens, and those that come later as well", async () => {
  using dns = await dnsServer();
  await using servers = await Servers.on("127.0.0.2");
  dns.set("app.test", a("127.0.0.2"), a("127.0.0.3"));
  const health = '[backend.health]\ntype = "tcp"\ninterval = "50ms"\nfall = 1';
  await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`, health) });
  const port = await proxy.port("web");
  expect(await hosts(port, 6)).toEqual({ "127.0.0.2": 6 });
  expect((await proxy.recorded(6)).map(({ attempts }) => attempts)).toEqual(Array(6).fill(1));
  dns.set("app.test", a("127.0.0.2"), a("127.0.0.4"));
  const down = ({ msg, endpoint }: LogLine): boolean =>
    msg === "endpoint down" && endpoint === `127.0.0.4:${servers.port}`;
  expect(await proxy.logged(down, "the new address to be down")).toMatchObject({ why: "connection refused" });
  expect(await hosts(port, 2)).toEqual({ "127.0.0.2": 2 });
  expect(await known(proxy)).toMatchObject([
    { health: "up", checks: { bad: 0 } },
    { health: "down", checks: { good: 0 } },
  ]);
});

test("a name that can't be resolved at start does not stop the start: not ready and no endpoint until there is an answer", async () => {
  using dns = await dnsServer();
  await using servers = await Servers.on("127.0.0.2");
  await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`) });
  await proxy.ready();
  const port = await proxy.port("web");
  await using readiness = pollReadiness(`${await proxy.adminUrl()}/readyz`);
  await readiness.sees("false");
  expect(await ask(port)).toBe("reset");
  expect(await proxy.recorded(1)).toMatchObject([{ end: "no_endpoint", endpoint: null, attempts: 0 }]);
  expect(await known(proxy)).toEqual([]);
  dns.set("app.test", a("127.0.0.2"));
  await readiness.sees("true");
  expect(await ask(port)).toBe("127.0.0.2");
  expect(readiness.sequence).toEqual(["false", "true"]);
  await until(() => resolved(proxy).length > 0, "the answer to be told");
  const told = proxy.log.filter(({ name }) => name === `app.test:${servers.port}`);
  expect(told).toMatchObject([
    { level: "warn", msg: "cannot resolve a name", why: "there is no such name, or it has no address", kept: 0 },
    { level: "info", msg: "name resolved", addresses: servers.addresses("127.0.0.2") },
  ]);
});

test("SRV records give ports, weights and backups", async () => {
  using dns = await dnsServer();
  await using heavy = await Servers.on("127.0.0.2");
  await using light = await Servers.on("127.0.0.3");
  await using backup = await Servers.on("127.0.0.4");
  dns.set(
    "_app._tcp.test",
    srv("light.test", light.port, { priority: 1, weight: 10 }),
    srv("backup.test", backup.port, { priority: 2, weight: 5 }),
    srv("heavy.test", heavy.port, { priority: 1, weight: 30 }),
  );
  dns.set("heavy.test", a("127.0.0.2"));
  dns.set("light.test", a("127.0.0.3"));
  dns.set("backup.test", a("127.0.0.4"));
  await using proxy = await startSluice({ config: config(dns, "srv:_app._tcp.test") });
  const port = await proxy.port("web");
  expect(await hosts(port, 40)).toEqual({ "127.0.0.2": 30, "127.0.0.3": 10 });
  const configured = "srv:_app._tcp.test";
  expect(await known(proxy)).toMatchObject([
    { address: `127.0.0.2:${heavy.port}`, configured, weight: 30, backup: false },
    { address: `127.0.0.3:${light.port}`, configured, weight: 10, backup: false },
    { address: `127.0.0.4:${backup.port}`, configured, weight: 5, backup: true },
  ]);
  heavy.stopListening();
  light.stopListening();
  expect(await ask(port)).toBe("127.0.0.4");
  expect((await proxy.recorded(41)).at(-1)).toMatchObject({ attempts: 3, endpoint: `127.0.0.4:${backup.port}` });
  // The backup becomes the best when the others are no longer there.
  dns.set("_app._tcp.test", srv("backup.test", backup.port, { priority: 2, weight: 5 }));
  await until(() => resolved(proxy).length === 2, "the change to be noticed");
  expect(await known(proxy)).toMatchObject([{ address: `127.0.0.4:${backup.port}`, weight: 5, backup: false }]);
  expect(await ask(port)).toBe("127.0.0.4");
  expect((await proxy.recorded(42)).at(-1)).toMatchObject({ attempts: 1 });
});

test("a DNS server that hangs delays the start by its deadline and no more, and all is well when it answers", async () => {
  using dns = await dnsServer();
  await using servers = await Servers.on("127.0.0.2");
  dns.set("app.test", a("127.0.0.2"));
  dns.fail("app.test", "held");
  await using proxy = await startSluice({ config: config(dns, `app.test:${servers.port}`) });
  const url = await proxy.adminUrl();
  await using readiness = pollReadiness(`${url}/readyz`);
  await readiness.sees("false");
  await proxy.ready(8_000);
  const failure = proxy.log.find(({ msg }) => msg === "cannot resolve a name");
  expect(failure).toMatchObject({ why: "no answer within 5 s", kept: 0 });
  expect(Number(proxy.log.find(({ msg }) => msg === "ready")!["duration_ms"])).toBeLessThan(6_000);
  dns.release("app.test");
  await readiness.sees("true");
  expect(await ask(await proxy.port("web"))).toBe("127.0.0.2");
});

test("a shutdown does not wait for a DNS server that hangs, be it during the start", async () => {
  using dns = await dnsServer();
  dns.fail("app.test", "silent");
  await using proxy = await startSluice({ config: config(dns, "app.test:80") });
  await dns.wasAsked("app.test", 2);
  proxy.signal("SIGTERM");
  const { code, afterMs } = await proxy.exited();
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(2_000);
});

/** Servers on one port of several addresses. Each says its address to clients, and then what they say. */
class Servers {
  readonly port: number;
  readonly #backends: Backend[];

  private constructor(backends: Backend[]) {
    this.port = backends[0]!.port;
    this.#backends = backends;
  }

  static async on(...addresses: readonly string[]): Promise<Servers> {
    for (let turn = 1; ; turn++) {
      const backends: Backend[] = [];
      try {
        for (const host of addresses) {
          backends.push(await listen((peer) => converse(peer, host), { host, port: backends[0]?.port ?? 0 }));
        }
        return new Servers(backends);
      } catch (error) {
        // Somebody has this port at one of the other addresses.
        for (const backend of backends) backend.stopListening();
        if (turn === 10) throw error;
      }
    }
  }

  /** As endpoints are written. */
  addresses(...hosts: readonly string[]): string[] {
    return hosts.map((host) => (host.includes(":") ? `[${host}]:${this.port}` : `${host}:${this.port}`));
  }

  stopListening(): void {
    for (const backend of this.#backends) backend.stopListening();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const backend of this.#backends) await backend[Symbol.asyncDispose]();
  }
}

async function converse(peer: Peer, host: string): Promise<void> {
  await peer.send(`${host} `);
  for await (const chunk of peer.chunks()) await peer.send(chunk);
  await peer.finish();
}

/** A client that stays: it has been told who its server is. */
async function stay(port: number): Promise<Peer> {
  const client = await connect(port);
  await until(() => client.received > 0 && client.text().endsWith(" "), "the name of the server");
  return client;
}

/** Connects and gives the address that is answered, or "reset". */
async function ask(port: number): Promise<string> {
  const connecting = connect(port);
  // A reset may be faster than the news that it is connected.
  const connected = await connecting.catch((error: { code?: string }) => error.code);
  if (connected === "ECONNRESET") return "reset";
  await using client = connected as Peer;
  void client.finish();
  const { how } = await client.closed();
  return how === "reset" ? "reset" : client.text().trimEnd();
}

/** How often each address is answered to so many clients, one after the other. */
async function hosts(port: number, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < count; turn++) {
    const host = await ask(port);
    counts[host] = (counts[host] ?? 0) + 1;
  }
  return counts;
}

function resolved(proxy: Sluice): LogLine[] {
  return proxy.log.filter(({ msg }) => msg === "name resolved");
}

/** The endpoints in /status. */
async function known(proxy: Sluice): Promise<readonly { readonly address: string }[]> {
  const response = await fetch(`${await proxy.adminUrl()}/status`, { keepalive: false });
  return ((await response.json()) as { backends: { endpoints: { address: string }[] }[] }).backends[0]!.endpoints;
}

/** One listener, and one backend whose endpoint is this name. */
function config(dns: DnsServer, name: string, backend = ""): string {
  return `
[resolver]
servers = ["${dns.address}"]

[admin]
listen = "127.0.0.1:0"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${name}"]
resolve = "100ms"
${backend}
`;
}
