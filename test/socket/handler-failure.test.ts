/** A mistake of our own in any handler costs the session in which it happens, and no other. */
import { expect, test } from "bun:test";
import { Dialer, type Dial, type DialOwner, type DialRequest } from "../../src/backend/dial.ts";
import type { DialFailure } from "../../src/backend/dial-failure.ts";
import type { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import type { ProxySocket } from "../../src/forward/receiver.ts";
import type { Session } from "../../src/session/session.ts";
import { listen } from "../support/backend.ts";
import { engineAfterMove, onEveryEngine, type EngineUnderTest } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { refusedPort } from "../support/unreachable.ts";
import { settled, until } from "../support/until.ts";

const mistake = new Error("a mistake of our own");

function fail(): never {
  throw mistake;
}

/** The one error that a test has provoked; takes it out, so that the proxy's end does not complain of it. */
function expectOneMistake(proxy: TestProxy): void {
  expect(proxy.internalErrors.splice(0)).toEqual([mistake]);
}

/** A session that goes on beside the one that fails: before the failure some bytes, after it all the others. */
async function bystander(proxy: TestProxy, accepted: () => Promise<Peer>): Promise<() => Promise<void>> {
  const client = await connect(proxy.port);
  const peer = await accepted();
  const [upload, download] = [payload(1, 3_000_000), payload(2, 3_000_000)];
  const arrived = [peer.receivedPayload(upload), client.receivedPayload(download)];
  const half = 1_500_000;
  void client.send(upload.slice(0, half));
  void peer.send(download.slice(0, half));
  await Promise.all([peer.receivedBytes(1), client.receivedBytes(1)]);
  return async () => {
    void client.send(upload.slice(half, half));
    void peer.send(download.slice(half, half));
    await Promise.all(arrived);
    await client.finish();
    await peer.finished();
    await peer.finish();
    await client.finished();
    await client.gone();
    await until(() => proxy.records.some(({ id }) => id === 1), "the record of the bystander");
    expect(proxy.records.find(({ id }) => id === 1)).toMatchObject({
      bytes_to_backend: 3_000_000,
      bytes_to_client: 3_000_000,
      end: "client_finished",
    });
  };
}

/** The session with this id, once it forwards. */
async function forwarding(proxy: TestProxy, id: number): Promise<Session> {
  const find = (): Session | undefined => proxy.sessions.find((session) => session.id === id);
  await until(() => find()?.phase === "forwarding", `session ${id} to forward`);
  return find()!;
}

/** The halves of a session that the copy engine forwards. */
function halvesOf(session: Session): Pick<CopyForwarder, "toBackend" | "toClient"> {
  return session.forwarder as CopyForwarder;
}

/** Where a handler of a session that forwards may fail. */
interface FailurePoint {
  readonly name: string;
  /** Makes it fail. */
  inject(session: Session): void;
  /** Makes it happen. */
  provoke(client: Peer, peer: Peer): void | Promise<void>;
  /** Who is left to be reset. */
  readonly survivors: "both" | "client" | "backend";
}

/** What a session is told by its forwarder, whichever engine is behind it. */
const failurePoints: readonly FailurePoint[] = [
  {
    name: "the client's first byte",
    inject: (session) => (session.firstBytesMoved = fail),
    provoke: (client) => void client.send("x"),
    survivors: "both",
  },
  {
    name: "the backend's first byte",
    inject: (session) => (session.firstBytesMoved = fail),
    provoke: (_client, peer) => void peer.send("x"),
    survivors: "both",
  },
  {
    name: "the end of a source",
    inject: (session) => (session.sourceFinished = fail),
    provoke: (_client, peer) => void peer.finish(),
    survivors: "both",
  },
  {
    name: "the end of a half",
    inject: (session) => (session.halfEnded = fail),
    provoke: (client) => void client.finish(),
    survivors: "both",
  },
  {
    name: "a reset",
    inject: (session) => (session.sourceReset = fail),
    provoke: (_client, peer) => peer.reset(),
    survivors: "client",
  },
];

/** The handlers of sockets, which the copy engine alone has: of a spliced session Bun knows no socket. */
const socketFailurePoints: readonly FailurePoint[] = [
  {
    name: "bytes of the client",
    inject: (session) => (halvesOf(session).toBackend.received = fail),
    provoke: (client) => void client.send("x"),
    survivors: "both",
  },
  {
    name: "bytes of the backend",
    inject: (session) => (halvesOf(session).toClient.received = fail),
    provoke: (_client, peer) => void peer.send("x"),
    survivors: "both",
  },
  {
    name: "the client's FIN",
    inject: (session) => (halvesOf(session).toBackend.finished = fail),
    provoke: (client) => void client.finish(),
    survivors: "both",
  },
  {
    name: "the backend's FIN",
    inject: (session) => (halvesOf(session).toClient.finished = fail),
    provoke: (_client, peer) => void peer.finish(),
    survivors: "both",
  },
  {
    name: "the close of the client's socket",
    inject: (session) => (halvesOf(session).toBackend.closed = fail),
    provoke: (client) => client.reset(),
    survivors: "backend",
  },
  {
    name: "the close of the backend's socket",
    inject: (session) => (halvesOf(session).toClient.closed = fail),
    provoke: (_client, peer) => peer.reset(),
    survivors: "client",
  },
  {
    name: "a refused write",
    inject: (session) => (session.sourceReset = fail),
    provoke: async (client, peer) => {
      await client.send("warm");
      await peer.receivedBytes(4);
      // One turn of the event loop brings the proxy both, the bytes first.
      void client.send("into the reset");
      peer.reset();
    },
    survivors: "client",
  },
];

/** Has a session fail at one point, beside one that goes on. */
async function failsAlone({ inject, provoke, survivors }: FailurePoint, engine: EngineUnderTest): Promise<void> {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { engine });
  const finishBystander = await bystander(proxy, () => backend.accepted());
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  const session = await forwarding(proxy, 2);
  inject(session);
  await provoke(client, peer);
  if (survivors !== "backend") await client.wasReset();
  if (survivors !== "client") await peer.wasReset();
  await until(() => proxy.records.length === 1, "the record");
  expect(proxy.records[0]).toMatchObject({ id: 2, attempts: 1, end: "internal_error" });
  // Where no byte had come, `auto` has not moved it.
  if (engine !== "auto") expect(proxy.records[0]!.engine).toBe(engine);
  expectOneMistake(proxy);
  await finishBystander();
  expect(proxy.records[1]!.engine).toBe(engineAfterMove[engine]);
}

onEveryEngine((engine) => {
  for (const point of failurePoints) {
    test(`a mistake at ${point.name} resets that session, is reported once, and costs no other`, () =>
      failsAlone(point, engine));
  }

  test("a mistake at the first byte of a session that has moved before costs that session alone", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    const finishBystander = await bystander(proxy, () => backend.accepted());
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    const session = await forwarding(proxy, 2);
    await client.send("question");
    await peer.receivedBytes(8);
    expect(session.forwarder!.engine).toBe(engineAfterMove[engine]);
    // Not of the question: a spliced session may hear of it later than its reader.
    session.firstBytesMoved = (half) => (half === session.forwarder!.toClient ? fail() : undefined);
    await peer.send("answer");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      id: 2,
      bytes_to_backend: 8,
      bytes_to_client: 6,
      engine: engineAfterMove[engine],
      end: "internal_error",
    });
    expectOneMistake(proxy);
    await finishBystander();
  });

  test("a mistake in a timer resets that session and costs no other, whose timers go on", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { idleMs: 300 } });
    await using other = await connect(proxy.port);
    await using client = await connect(proxy.port);
    const peers = [await backend.accepted(), await backend.accepted()];
    const session = await forwarding(proxy, 2);
    await Promise.all([client.send("x"), other.send("x")]);
    await Promise.all(peers.map((peer) => peer.receivedBytes(1)));
    session.expired = fail;
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await other.wasReset()).toBe("ECONNRESET");
    await Promise.all(peers.map((peer) => peer.wasReset()));
    await proxy.recorded(2);
    expect(new Map(proxy.records.map(({ id, end }) => [id, end]))).toEqual(
      new Map([
        [1, "idle_timeout"],
        [2, "internal_error"],
      ]),
    );
    expect(proxy.records.map((record) => record.engine)).toEqual(Array(2).fill(engineAfterMove[engine]));
    expectOneMistake(proxy);
  });

  test("a second mistake, while the first one is dealt with, leaves nothing open, whoever moves the bytes", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    const session = await forwarding(proxy, 1);
    session.firstBytesMoved = fail;
    session.sourceClosed = fail;
    session.connectionsClosed = fail;
    await client.send("x");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 1, end: "internal_error" });
    const reported = proxy.internalErrors.splice(0);
    expect(reported.length).toBeGreaterThanOrEqual(2);
    expect(new Set(reported)).toEqual(new Set([mistake]));
  });

  test("a record that can't be made is reported, and the permit is given back all the same", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    await using peer = await backend.accepted();
    const session = await forwarding(proxy, 1);
    await client.send("x");
    await peer.receivedBytes(1);
    expect(session.forwarder!.engine).toBe(engineAfterMove[engine]);
    const record = session.record();
    session.record = fail;
    await client.finish();
    await peer.finished();
    await peer.finish();
    await client.finished();
    await until(() => proxy.internalErrors.length > 0, "the mistake to be reported");
    expectOneMistake(proxy);
    await proxy.idle();
    // The only connection without one: the proxy's end counts them.
    expect(proxy.records).toEqual([]);
    proxy.records.push(record);
  });

  if (engine === "copy") return;

  test("a mistake when a session is about to be taken over resets that session and costs no other", async () => {
    const dialer = new SabotagedDialer();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, dialer });
    const finishBystander = await bystander(proxy, () => backend.accepted());
    // On `splice` it is to be taken over before a byte comes.
    dialer.beforeDialed = () => (proxy.sessions.find(({ id }) => id === 2)!.moveWanted = fail);
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    if (engine === "auto") {
      await forwarding(proxy, 2);
      await client.send("x");
    }
    expect(await client.wasReset()).toBe("ECONNRESET");
    await peer.closed();
    expect(await proxy.recorded()).toMatchObject({ id: 2, engine: "copy", end: "internal_error" });
    expectOneMistake(proxy);
    await finishBystander();
  });
});

// The copy engine alone.

for (const point of socketFailurePoints) {
  test(`a mistake at ${point.name} resets that session, is reported once, and costs no other`, () =>
    failsAlone(point, "copy"));
}

test("a mistake when a socket is writable resets that session and costs no other", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  const finishBystander = await bystander(proxy, async () => {
    const peer = await backend.accepted();
    peer.resumeReading();
    return peer;
  });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  void client.send(payload(3, 50_000_000));
  await settled(() => client.sent, "the client to be stopped");
  const session = await forwarding(proxy, 2);
  halvesOf(session).toClient.writable = fail;
  peer.resumeReading();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ id: 2, end: "internal_error" });
  expectOneMistake(proxy);
  await finishBystander();
});

test("a second mistake, while the first one is dealt with, leaves nothing open", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  const { toBackend, toClient } = halvesOf(await forwarding(proxy, 1));
  toBackend.received = fail;
  toBackend.closed = fail;
  toClient.closed = fail;
  await client.send("x");
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 0, end: "internal_error" });
  const reported = proxy.internalErrors.splice(0);
  expect(reported.length).toBeGreaterThanOrEqual(1);
  expect(new Set(reported)).toEqual(new Set([mistake]));
});

// Before there is a forwarder.

test("a mistake while a connection is accepted resets it and costs no other", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  const finishBystander = await bystander(proxy, () => backend.accepted());
  proxy.backend.take = fail;
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    id: 2,
    endpoint: null,
    attempts: 0,
    engine: null,
    end: "internal_error",
  });
  expectOneMistake(proxy);
  await finishBystander();
});

test("a mistake before the session of an accepted connection is complete gives its permit back", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  proxy.registry.nextId = fail;
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ attempts: 0, end: "internal_error" });
  expectOneMistake(proxy);
  expect(backend.connections.length).toBe(0);
});

test("a mistake at early bytes resets that session and takes its dial back", async () => {
  const dialer = new HeldDialer();
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { dialer });
  await using client = await connect(proxy.port);
  await dialer.holds(1);
  proxy.sessions[0]!.opening!.received = fail;
  await client.send("early");
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ attempts: 1, engine: null, end: "internal_error" });
  expect(dialer.cancelled).toBe(1);
  expectOneMistake(proxy);
  expect(backend.connections.length).toBe(0);
});

test("a mistake at an early FIN, or at an early reset, ends that session", async () => {
  const dialer = new HeldDialer();
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { dialer });
  await using finishing = await connect(proxy.port);
  await dialer.holds(1);
  proxy.sessions[0]!.opening!.finished = fail;
  await finishing.finish();
  await finishing.wasReset();
  expect(await proxy.recorded()).toMatchObject({ id: 1, attempts: 1, engine: null, end: "internal_error" });
  expectOneMistake(proxy);

  await using resetting = await connect(proxy.port);
  await dialer.holds(1);
  proxy.sessions[0]!.opening!.closed = fail;
  resetting.reset();
  expect(await proxy.recorded(2)).toMatchObject({ id: 2, attempts: 1, engine: null, end: "internal_error" });
  expectOneMistake(proxy);
  expect(dialer.cancelled).toBe(2);
});

for (const portable of [false, true]) {
  const way = portable ? "portably" : "by descriptor";

  test(`${way}: a mistake when a dial is done closes both sockets`, async () => {
    const dialer = new SabotagedDialer();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { dialer, portable, settings: { noDelay: false } });
    const finishBystander = await bystander(proxy, () => backend.accepted());
    // The session fails after it has taken the socket over and before bytes can move.
    dialer.beforeDialed = (socket) => (socket.setNoDelay = fail);
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ id: 2, attempts: 1, end: "internal_error" });
    const peer = await backend.accepted();
    await peer.closed();
    expect(peer.received).toBe(0);
    expectOneMistake(proxy);
    await finishBystander();
  });

  test(`${way}: a mistake when a dial is done, before the session knows of it, closes both sockets`, async () => {
    const dialer = new SabotagedDialer();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { dialer, portable });
    dialer.beforeDialed = fail;
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ attempts: 1, engine: null, end: "internal_error" });
    const peer = await backend.accepted();
    await peer.closed();
    expectOneMistake(proxy);
  });

  test(`${way}: a mistake when a dial has failed resets the client`, async () => {
    using refused = refusedPort();
    const dialer = new SabotagedDialer();
    await using proxy = startProxy(refused.port, { dialer, portable });
    dialer.beforeDialFailed = fail;
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ attempts: 1, engine: null, end: "internal_error" });
    expectOneMistake(proxy);
  });

  test(`${way}: a mistake when a further attempt begins resets the client`, async () => {
    using refused = refusedPort();
    const dialer = new SabotagedDialer();
    await using backend = await listen();
    await using proxy = startProxy([refused.port, backend.port], { dialer, portable });
    dialer.beforeBegin = () => {
      if (dialer.begun === 2) fail();
    };
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      endpoint: backend.address,
      attempts: 2,
      engine: null,
      end: "internal_error",
    });
    expectOneMistake(proxy);
    expect(backend.connections.length).toBe(0);
  });
}

test("a mistake when the first attempt begins resets the client and costs no other", async () => {
  const dialer = new SabotagedDialer();
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { dialer });
  const finishBystander = await bystander(proxy, () => backend.accepted());
  dialer.beforeBegin = fail;
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ id: 2, attempts: 1, engine: null, end: "internal_error" });
  expectOneMistake(proxy);
  await finishBystander();
});

test("a mistake that is no Error is reported as one", async () => {
  using refused = refusedPort();
  const dialer = new SabotagedDialer();
  await using proxy = startProxy(refused.port, { dialer, portable: true });
  dialer.beforeDialFailed = () => {
    throw "just words";
  };
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ attempts: 1, end: "internal_error" });
  expect(proxy.internalErrors.splice(0)).toEqual([new Error("just words")]);
});

test("a mistake while early bytes are handed on closes both sockets", async () => {
  const dialer = new HeldDialer();
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { dialer });
  await using client = await connect(proxy.port);
  await dialer.holds(1);
  await client.send("early");
  await until(() => proxy.sessions[0]!.heldBytes === 5, "the early bytes to be read");
  proxy.sessions[0]!.firstBytesMoved = fail;
  dialer.release();
  expect(await client.wasReset()).toBe("ECONNRESET");
  const peer = await backend.accepted();
  await peer.closed();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 5, engine: "copy", end: "internal_error" });
  expectOneMistake(proxy);
});

/** A dialer in which a test can have something fail. */
class SabotagedDialer extends Dialer {
  begun = 0;
  beforeBegin: () => void = () => {};
  beforeDialed: (socket: ProxySocket) => void = () => {};
  beforeDialFailed: () => void = () => {};

  override begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
    this.begun++;
    this.beforeBegin();
    return super.begin(request, {
      dialed: (socket) => {
        this.beforeDialed(socket);
        owner.dialed(socket);
      },
      dialFailed: (failure) => {
        this.beforeDialFailed();
        owner.dialFailed(failure);
      },
      handlerFailed: (error) => owner.handlerFailed(error),
    });
  }
}
