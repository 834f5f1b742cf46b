/** Reaching an endpoint: failures, retries, and attempts that are taken back. */
import { expect, test } from "bun:test";
import { Dialer, type Dial, type DialOwner, type DialRequest } from "../../src/backend/dial.ts";
import type { DialFailure } from "../../src/backend/dial-failure.ts";
import { echo, listen } from "../support/backend.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { bindLoopback, closeDescriptor, listenOn } from "../support/libc.ts";
import { connect } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

/** Both ways to dial: with a descriptor of our own, and with `Bun.connect` and an address. */
const ways = [
  { way: "by descriptor", portable: false },
  { way: "portably", portable: true },
];

/** What each endpoint has counted, in their order. */
function counted(proxy: TestProxy): { connected: number; failures: number; active: number }[] {
  return proxy.backend.endpoints.map(({ connected, failures, active }) => ({ connected, failures, active }));
}

/** A dialer that can open nothing: no descriptor is left. */
class ExhaustedDialer extends Dialer {
  begun = 0;

  override begin(): DialFailure {
    this.begun++;
    return { kind: "local", code: "EMFILE" };
  }
}

for (const { way, portable } of ways) {
  test(`${way}: an endpoint that refuses ends the connection with connect_refused, at once`, async () => {
    using refused = refusedPort();
    await using proxy = startProxy(refused.port, { portable });
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.received).toBe(0);
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      endpoint: refused.address,
      bytes_to_backend: 0,
      bytes_to_client: 0,
      connect_ms: null,
      first_byte_ms: null,
      attempts: 1,
      engine: null,
      end: "connect_refused",
    });
    expect(record.duration_ms).toBeLessThan(1_000);
    expect(counted(proxy)).toEqual([{ connected: 0, failures: 1, active: 0 }]);
  });

  test(`${way}: retries go to the next endpoints in turn, and the client sees only its answer`, async () => {
    using first = refusedPort();
    using second = refusedPort();
    await using backend = await listen(echo);
    await using proxy = startProxy([first.port, second.port, backend.port], { portable });
    await using client = await connect(proxy.port);
    await client.send("hello");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("hello");
    expect(await proxy.recorded()).toMatchObject({
      endpoint: backend.address,
      bytes_to_backend: 5,
      bytes_to_client: 5,
      attempts: 3,
      engine: "copy",
      end: "client_finished",
    });
    expect(counted(proxy)).toEqual([
      { connected: 0, failures: 1, active: 0 },
      { connected: 0, failures: 1, active: 0 },
      { connected: 1, failures: 0, active: 0 },
    ]);
  });

  test(`${way}: every endpoint refuses: the record has all attempts and the last endpoint`, async () => {
    using first = refusedPort();
    using second = refusedPort();
    using third = refusedPort();
    await using proxy = startProxy([first.port, second.port, third.port], { portable });
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ endpoint: third.address, attempts: 3, end: "connect_refused" });
    expect(counted(proxy).map(({ failures }) => failures)).toEqual([1, 1, 1]);
  });

  test(`${way}: a client that resets while the dial is pending ends it`, async () => {
    await using host = await silentHost();
    await using proxy = startProxy(host.port, { portable });
    await using client = await connect(proxy.port);
    await until(() => host.attempts() === 1, "the SYN to be sent");
    expect(proxy.dialer.pending).toBe(1);
    expect(counted(proxy)).toEqual([{ connected: 0, failures: 0, active: 1 }]);
    client.reset();
    expect(await proxy.recorded()).toMatchObject({
      endpoint: host.address,
      connect_ms: null,
      attempts: 1,
      engine: null,
      end: "client_reset",
    });
    // Nothing is known against an endpoint that was given no time.
    expect(counted(proxy)).toEqual([{ connected: 0, failures: 0, active: 0 }]);
    expect(proxy.dialer.pending).toBe(0);
    if (!portable) {
      expect(host.attempts()).toBe(0);
      expect(proxy.dialer.abandoned).toBe(0);
      return;
    }
    // It can't be taken out of the kernel: it is counted until it is there, and then closed.
    expect(host.attempts()).toBe(1);
    expect(proxy.dialer.abandoned).toBe(1);
    const late = await (await host.open()).accepted();
    expect(await late.wasReset()).toBe("ECONNRESET");
    expect(late.received).toBe(0);
    await until(() => proxy.dialer.abandoned === 0, "the late socket to be closed");
    expect(counted(proxy)).toEqual([{ connected: 0, failures: 0, active: 0 }]);
  });

  test(`${way}: an endpoint that stays silent for timeouts.connect gives way to the next`, async () => {
    await using host = await silentHost();
    await using backend = await listen(echo);
    await using proxy = startProxy([host.port, backend.port], { portable, timeouts: { connectMs: 100 } });
    await using client = await connect(proxy.port);
    await client.send("hello");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("hello");
    expect(await proxy.recorded()).toMatchObject({ endpoint: backend.address, attempts: 2, end: "client_finished" });
    expect(counted(proxy)).toEqual([
      { connected: 0, failures: 1, active: 0 },
      { connected: 1, failures: 0, active: 0 },
    ]);
    if (!portable) return expect(host.attempts()).toBe(0);
    expect(proxy.dialer.abandoned).toBe(1);
    const late = await (await host.open()).accepted();
    expect(await late.wasReset()).toBe("ECONNRESET");
  });

  test(`${way}: what the backend sends and finishes at once, as it accepts, arrives`, async () => {
    await using backend = await listen((peer) => {
      void peer.send("welcome and goodbye");
      return peer.finish();
    });
    await using proxy = startProxy(backend.port, { portable });
    await using client = await connect(proxy.port);
    await client.finished();
    expect(client.text()).toBe("welcome and goodbye");
    await client.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 19,
      attempts: 1,
      end: "backend_finished",
    });
  });

  test(`${way}: what the backend sends before it resets at once, as it accepts, arrives before the reset`, async () => {
    await using backend = await listen(async (peer) => {
      await peer.send("go away");
      peer.reset();
    });
    await using proxy = startProxy(backend.port, { portable });
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("go away");
    expect(await proxy.recorded()).toMatchObject({ bytes_to_client: 7, attempts: 1, end: "backend_reset" });
    expect(counted(proxy)).toEqual([{ connected: 1, failures: 0, active: 0 }]);
  });

  test(`${way}: a backend that accepts and resets without a byte is a reset of the backend`, async () => {
    await using backend = await listen((peer) => peer.reset());
    await using proxy = startProxy(backend.port, { portable });
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ bytes_to_client: 0, attempts: 1, end: "backend_reset" });
  });

  test(`${way}: an endpoint that resets before its connection was noticed gives way to the next`, async () => {
    const { fd, port } = bindLoopback();
    listenOn(fd, 16);
    const dialer = new HeldDialer();
    await using backend = await listen(echo);
    await using proxy = startProxy([port, backend.port], { portable, dialer });
    await using client = await connect(proxy.port);
    await dialer.holds(1);
    // The kernel makes the connection within the call, and the closed listener resets it.
    dialer.release();
    closeDescriptor(fd);
    await dialer.holds(1);
    expect(counted(proxy)[0]).toEqual({ connected: 0, failures: 1, active: 0 });
    dialer.release();
    await client.send("hello");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("hello");
    expect(await proxy.recorded()).toMatchObject({ endpoint: backend.address, attempts: 2, end: "client_finished" });
  });

  test(`${way}: what the client sends before the dial is done arrives`, async () => {
    await using host = await silentHost();
    await using proxy = startProxy(host.port, { portable });
    await using client = await connect(proxy.port);
    await client.send("early");
    await client.finish();
    await until(() => proxy.sessions[0]?.heldBytes === 5, "the early bytes to be read");
    expect(host.attempts()).toBe(1);
    await host.open(echo);
    await client.finished();
    expect(client.text()).toBe("early");
    const record = await proxy.recorded();
    expect(record).toMatchObject({ bytes_to_backend: 5, bytes_to_client: 5, attempts: 1, end: "client_finished" });
    // Linux sends the SYN again after a second.
    expect(record.connect_ms!).toBeGreaterThan(500);
  });
}

test("no more attempts are made than `retries` allows, although endpoints are left", async () => {
  using first = refusedPort();
  using second = refusedPort();
  await using backend = await listen(echo);
  await using proxy = startProxy([first.port, second.port, backend.port], { retries: 1 });
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ endpoint: second.address, attempts: 2, end: "connect_refused" });
  expect(backend.connections.length).toBe(0);
});

test("no endpoint is tried twice, however many retries are allowed", async () => {
  using first = refusedPort();
  using second = refusedPort();
  await using proxy = startProxy([first.port, second.port], { retries: 9 });
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ endpoint: second.address, attempts: 2, end: "connect_refused" });
  expect(counted(proxy).map(({ failures }) => failures)).toEqual([1, 1]);
});

test("each connection begins with the next endpoint", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  await using proxy = startProxy([one.port, two.port]);
  for (let turn = 1; turn <= 4; turn++) {
    await using client = await connect(proxy.port);
    await client.finish();
    await client.finished();
    await proxy.recorded(turn);
  }
  expect(proxy.records.map(({ endpoint }) => endpoint)).toEqual([one.address, two.address, one.address, two.address]);
});

test("our own lack of descriptors counts against no endpoint", async () => {
  const dialer = new ExhaustedDialer();
  await using backend = await listen(echo);
  await using other = await listen(echo);
  await using proxy = startProxy([backend.port, other.port], { dialer });
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    endpoint: other.address,
    connect_ms: null,
    attempts: 2,
    engine: null,
    end: "connect_failed",
  });
  expect(dialer.begun).toBe(2);
  expect(counted(proxy)).toEqual([
    { connected: 0, failures: 0, active: 0 },
    { connected: 0, failures: 0, active: 0 },
  ]);
  expect(backend.connections.length + other.connections.length).toBe(0);
});

test("with too many abandoned attempts in the kernel, the portable dial begins no further one", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port, { portable: true });
  proxy.dialer.abandoned = 256;
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ attempts: 1, end: "connect_failed" });
  expect(counted(proxy)).toEqual([{ connected: 0, failures: 0, active: 0 }]);
  expect(backend.connections.length).toBe(0);
  proxy.dialer.abandoned = 0;
});

test("early bytes survive failed attempts and reach the endpoint that answers", async () => {
  using refused = refusedPort();
  const dialer = new HeldDialer();
  await using backend = await listen(echo);
  await using proxy = startProxy([refused.port, backend.port], { dialer });
  await using client = await connect(proxy.port);
  await dialer.holds(1);
  await client.send("early ");
  await until(() => proxy.sessions[0]!.heldBytes === 6, "the early bytes to be read");
  dialer.release();
  await dialer.holds(1);
  await client.send("and later");
  await client.finish();
  await until(() => proxy.sessions[0]!.heldBytes === 15, "the later bytes to be read");
  dialer.release();
  await client.finished();
  expect(client.text()).toBe("early and later");
  expect(await proxy.recorded()).toMatchObject({
    endpoint: backend.address,
    bytes_to_backend: 15,
    bytes_to_client: 15,
    attempts: 2,
    end: "client_finished",
  });
});

test("a client that resets between two attempts takes back the one that waits", async () => {
  using refused = refusedPort();
  const dialer = new HeldDialer();
  await using backend = await listen(echo);
  await using proxy = startProxy([refused.port, backend.port], { dialer });
  await using client = await connect(proxy.port);
  await dialer.holds(1);
  dialer.release();
  await dialer.holds(1);
  client.reset();
  expect(await proxy.recorded()).toMatchObject({ endpoint: backend.address, attempts: 2, end: "client_reset" });
  expect(dialer.cancelled).toBe(1);
  expect(backend.connections.length).toBe(0);
});

test("a failure that is known at once and one that comes later are the same to the session", async () => {
  using refused = refusedPort();
  await using backend = await listen(echo);
  const dialer = new (class extends Dialer {
    override begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
      if (request.endpoint.name === `127.0.0.1:${refused.port}`) return { kind: "refused", code: "ECONNREFUSED" };
      return super.begin(request, owner);
    }
  })();
  await using proxy = startProxy([refused.port, backend.port], { dialer });
  await using client = await connect(proxy.port);
  await client.send("hello");
  await client.finish();
  await client.finished();
  expect(client.text()).toBe("hello");
  expect(await proxy.recorded()).toMatchObject({ endpoint: backend.address, attempts: 2, end: "client_finished" });
  expect(counted(proxy)).toEqual([
    { connected: 0, failures: 1, active: 0 },
    { connected: 1, failures: 0, active: 0 },
  ]);
});
