/** What sessions set on their sockets, on every engine: keepalive at a certain age, and TCP_NODELAY. */
import { expect, test } from "bun:test";
import { keepaliveAfterMs } from "../../src/session/session.ts";
import {
  IPPROTO_TCP,
  libc,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
} from "../../src/sys/libc.ts";
import { echo, listen } from "../support/backend.ts";
import { ClockedProxy } from "../support/clocked-proxy.ts";
import { openDescriptors, tcpSocketsOf } from "../support/descriptors.ts";
import { engineAfterMove, engineBeforeMove, onEveryEngine } from "../support/engines.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** linux/tcp.h */
const TCP_NODELAY = 1;

onEveryEngine((engine) => {
  // On `auto` the first bytes move the session: with them before that age, the splice engine sets keepalive; with them
  // after it, what the copy engine has set stays.
  test.each(["before", "after"])(
    "a session that has reached a certain age gets keepalive on both sockets: tcp.keepalive, then three probes; bytes come %s that",
    async (bytesCome) => {
      const clock = new VirtualClock();
      await using backend = await listen();
      await using proxy = new ClockedProxy(clock, backend.port, { engine, keepaliveMs: 30_000 });
      await using client = await connect(proxy.port);
      const peer = await backend.accepted();
      await proxy.forwarding();
      const move = async (): Promise<void> => {
        await client.send("x");
        await peer.receivedBytes(1);
      };
      const figures = (): number[][] =>
        proxySockets(proxy.port, client, backend.port).map((fd) => [
          option(fd, SOL_SOCKET, SO_KEEPALIVE),
          option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
          option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
          option(fd, IPPROTO_TCP, TCP_KEEPCNT),
        ]);
      if (bytesCome === "before") await move();
      await clock.advance(keepaliveAfterMs - 1);
      expect(figures().map(([on]) => on)).toEqual([0, 0]);
      await clock.advance(51);
      const whoSetsIt = bytesCome === "before" ? engineAfterMove[engine] : engineBeforeMove[engine];
      expect(proxy.session.forwarder!.engine).toBe(whoSetsIt);
      const probed = [
        [1, 30, 10, 3],
        [1, 30, 10, 3],
      ];
      expect(figures()).toEqual(probed);
      if (bytesCome === "after") await move();
      expect(figures()).toEqual(probed);
      client.reset();
      await until(() => proxy.records.length === 1, "the access record");
      expect(proxy.records[0]).toMatchObject({ end: "client_reset", engine: engineAfterMove[engine] });
      expect(clock.pendingTimers).toBe(0);
    },
  );

  test("a session that is still dialling at that age gets keepalive once it forwards", async () => {
    const clock = new VirtualClock();
    await using host = await silentHost();
    await using proxy = new ClockedProxy(clock, host.port, { engine, keepaliveMs: 30_000 });
    await using client = await connect(proxy.port);
    await until(() => host.attempts() === 1, "the attempt");
    await clock.advance(keepaliveAfterMs + 100);
    const backend = await host.open();
    await backend.accepted();
    await proxy.forwarding();
    await clock.advance(100);
    const sockets = proxySockets(proxy.port, client, backend.port);
    expect(sockets.map((fd) => option(fd, SOL_SOCKET, SO_KEEPALIVE))).toEqual([1, 1]);
  });

  test("with tcp.keepalive off, sockets are not probed at any age", async () => {
    const clock = new VirtualClock();
    await using backend = await listen();
    await using proxy = new ClockedProxy(clock, backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send("x");
    await peer.receivedBytes(1);
    await clock.advance(60_000);
    const sockets = proxySockets(proxy.port, client, backend.port);
    expect(sockets.map((fd) => option(fd, SOL_SOCKET, SO_KEEPALIVE))).toEqual([0, 0]);
    expect(proxy.session.forwarder!.engine).toBe(engineAfterMove[engine]);
  });

  test.each([true, false])("tcp.no_delay = %p is what both sockets have", async (noDelay) => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, settings: { noDelay } });
    await using client = await connect(proxy.port);
    await proxy.forwarding();
    await client.send("through");
    await client.receivedBytes(7);
    const sockets = proxySockets(proxy.port, client, backend.port);
    expect(sockets.map((fd) => option(fd, IPPROTO_TCP, TCP_NODELAY))).toEqual(noDelay ? [1, 1] : [0, 0]);
    expect(proxy.sessions[0]!.forwarder!.engine).toBe(engineAfterMove[engine]);
  });
});

/** The descriptors of the proxy's two sockets of the only session: the client's side and the backend's. */
function proxySockets(proxyPort: number, client: Peer, backendPort: number): number[] {
  const sockets = tcpSocketsOf();
  const toClient = sockets.find((it) => it.localPort === proxyPort && it.remotePort === client.localPort);
  const toBackend = sockets.find((it) => it.remotePort === backendPort);
  return [toClient, toBackend].map((socket) => {
    const found = openDescriptors().find(({ target }) => target === `socket:[${socket?.inode}]`);
    if (found === undefined) throw new Error(`a socket of the proxy was not found: ${JSON.stringify(socket)}`);
    return found.fd;
  });
}

function option(fd: number, level: number, name: number): number {
  return libc!.getOption(fd, level, name);
}
