/** The two ends of a connection that the tests hold: what they see is what happened, and a wrong byte is noticed. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen, type Backend } from "../support/backend.ts";
import { tcpSockets } from "../support/descriptors.ts";
import { watchLeaks } from "../support/leaks.ts";
import { payload, PayloadCheck } from "../support/payload.ts";
import { connect, ConnectionOver, type Peer } from "../support/peer.ts";
import { settled, until } from "../support/until.ts";

const MiB = 1024 * 1024;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

watchLeaks();

describe("what is sent", () => {
  test("arrives byte for byte and in order, strings, bytes and payloads one after the other", async () => {
    await using pair = await Pair.open();
    const block = payload(1, 300_000);
    void pair.client.send("first ");
    void pair.client.send(new Uint8Array([0, 255, 10]));
    void pair.client.send(block);
    await pair.client.send("ü");
    const whole = Buffer.concat([ascii("first "), new Uint8Array([0, 255, 10]), block.bytes(), ascii("ü")]);
    await pair.server.receivedBytes(whole.length);
    expect(Buffer.from(pair.server.bytes()).equals(whole)).toBe(true);
    expect(pair.server.sha256()).toBe(new Bun.CryptoHasher("sha256").update(whole).digest("hex"));
    expect([pair.client.sent, pair.server.received]).toEqual([whole.length, whole.length]);
  });

  test("is read piece by piece", async () => {
    await using pair = await Pair.open();
    await pair.server.send("onetwothree");
    expect(await pair.client.read(3)).toEqual(ascii("one"));
    expect(await pair.client.read(3)).toEqual(ascii("two"));
    expect(await pair.client.read(5)).toEqual(ascii("three"));
    expect(pair.client.text()).toBe("onetwothree");
    await expect(pair.client.read(1, 20)).rejects.toThrow("to receive 12 bytes: received 11 bytes");
  });

  test("comes back from an echo, 20 MiB each way at once", async () => {
    await using backend = await listen(echo);
    await using client = await connect(backend.port);
    const block = payload(2, 20 * MiB);
    const received = client.receivedPayload(block);
    await client.send(block);
    await client.finish();
    await received;
    await client.finished();
    expect(client.sha256()).toBe(block.sha256());
  });

  test("is counted by what the kernel took, and fails when the connection ends before it is all gone", async () => {
    await using pair = await Pair.open({ paused: true });
    const sending = pair.client.send(payload(3, 64 * MiB));
    await settled(() => pair.client.sent, "the sender");
    pair.server.reset();
    await expect(sending).rejects.toThrow(ConnectionOver);
    expect(pair.client.sent).toBeLessThan(64 * MiB);
    await expect(pair.client.send("more")).rejects.toThrow("cannot happen any more");
  });

  test("beyond what is kept is still counted and hashed, and not given as if it were all", async () => {
    await using backend = await listen();
    await using client = await connect(backend.port, { keptBytesMax: 10 });
    const server = await backend.accepted();
    await server.send("0123456789a");
    await client.receivedBytes(11);
    expect(await client.read(10)).toEqual(ascii("0123456789"));
    expect(client.sha256()).toBe(new Bun.CryptoHasher("sha256").update("0123456789a").digest("hex"));
    const message = "has received 11 bytes and kept only the first 10";
    expect(() => client.bytes()).toThrow(message);
    expect(() => client.text()).toThrow(message);
    await expect(client.read(1)).rejects.toThrow(message);
  });
});

describe("a payload that is received", () => {
  test("after other bytes is checked from there on", async () => {
    await using pair = await Pair.open();
    const block = payload(10, 3 * MiB);
    await pair.server.send("HEAD");
    await pair.client.receivedBytes(2);
    const received = pair.client.receivedPayload(block, { from: 4 });
    await pair.server.send(block);
    await received;
    await pair.server.send("!");
    await expect(pair.client.receivedBytes(3 * MiB + 5)).rejects.toThrow("1 bytes more than the payload (seed 10");
  });

  test("that does not arrive whole fails the wait, by a wrong byte or by an early end", async () => {
    await using pair = await Pair.open();
    const block = payload(9, 10_000);
    const received = pair.client.receivedPayload(block);
    await pair.server.send(block.bytes().toReversed());
    await expect(received).rejects.toThrow("received byte 0 of the payload (seed 9, 10000 bytes)");

    await using other = await Pair.open();
    const cut = other.client.receivedPayload(block);
    await other.server.send(block.slice(0, 9_999));
    await other.server.finish();
    await expect(cut).rejects.toThrow("cannot happen any more: received 9999 bytes");
  });
});

describe("the end of a connection", () => {
  test("a FIN is a finish: the other direction goes on", async () => {
    await using pair = await Pair.open();
    await pair.client.send("question");
    await pair.client.finish();
    await pair.server.finished();
    expect(pair.server.text()).toBe("question");
    expect(pair.client.ending).toBeUndefined();
    await pair.server.send("answer");
    await pair.server.finish();
    expect(await pair.client.closed()).toEqual({ how: "finished" });
    expect(pair.client.text()).toBe("answer");
    await pair.client.gone();
    await pair.server.gone();
    expect([pair.client.ending, pair.server.ending]).toEqual([{ how: "finished" }, { how: "finished" }]);
  });

  test("a reset is a reset, and no finish", async () => {
    await using pair = await Pair.open();
    await pair.server.send("before");
    await pair.client.receivedBytes(6);
    const finished = pair.client.finished();
    pair.server.reset();
    expect(await pair.client.wasReset()).toBe("ECONNRESET");
    expect(await pair.client.closed()).toEqual({ how: "reset", code: "ECONNRESET" });
    await expect(finished).rejects.toThrow("to see a FIN");
    expect(pair.client.text()).toBe("before");
    await pair.client.gone();
  });

  test("a finish is no reset, however long it is waited for", async () => {
    await using pair = await Pair.open();
    await pair.server.finish();
    await pair.client.finished();
    await expect(pair.client.wasReset(30)).rejects.toThrow(
      "to be reset: received 0 bytes, sent 0, the other side's FIN was seen",
    );
    await pair.client.finish();
    await pair.client.gone();
    await expect(pair.client.wasReset()).rejects.toThrow("cannot happen any more");
  });

  test("a reset after a FIN is seen as well", async () => {
    await using pair = await Pair.open();
    await pair.server.finish();
    await pair.client.finished();
    pair.server.reset();
    expect(["EPIPE", "ECONNRESET"]).toContain(await pair.client.wasReset());
    expect(pair.client.ending?.how).toBe("reset");
  });

  test("a reset while it is paused is seen, with all that had arrived before it", async () => {
    await using pair = await Pair.open({ paused: true });
    await pair.client.send(payload(11, 100_000));
    await until(
      () => queuedAt(pair) === 100_000,
      () => `everything to be in the queue: ${queuedAt(pair)}`,
    );
    expect(pair.server.received).toBe(0);
    pair.client.reset();
    expect(await pair.server.wasReset()).toBe("ECONNRESET");
    await pair.server.gone();
    expect(pair.server.sha256()).toBe(payload(11, 100_000).sha256());
  });

  test("a reset that a write runs into is a reset, and leaves nothing open", async () => {
    await using pair = await Pair.open({ paused: true });
    const sending = pair.server.send(payload(12, 64 * MiB));
    pair.client.pauseReading();
    await settled(() => pair.server.sent, "the sender");
    pair.client.reset();
    await expect(sending).rejects.toThrow(ConnectionOver);
    expect(await pair.server.wasReset()).toBe("ECONNRESET");
    await pair.server.gone();
  });

  test("closing with bytes unread is a reset for the other side, without them a FIN", async () => {
    await using unread = await Pair.open({ paused: true });
    await unread.client.send("unread");
    await until(() => queuedAt(unread) === 6, "the bytes to be in the queue");
    unread.server.close();
    expect(await unread.client.closed()).toEqual({ how: "reset", code: "ECONNRESET" });

    await using read = await Pair.open();
    await read.client.send("read");
    await read.server.receivedBytes(4);
    read.server.close();
    expect(await read.client.closed()).toEqual({ how: "finished" });
  });

  test("comes with the scope as a reset, unless the test has ended it itself", async () => {
    await using backend = await listen();
    {
      await using client = await connect(backend.port);
      await client.send("x");
    }
    const left = await backend.accepted();
    expect(await left.wasReset()).toBe("ECONNRESET");
    {
      await using client = await connect(backend.port);
      client.close();
    }
    const closed = await backend.accepted();
    expect(await closed.closed()).toEqual({ how: "finished" });
  });
});

describe("a reader that stops", () => {
  test("stops the sender, and gets everything once it reads on", async () => {
    await using pair = await Pair.open({ paused: true, receiveBufferBytes: 64 * 1024 });
    const block = payload(13, 32 * MiB);
    const sending = pair.client.send(block);
    const stuckAt = await settled(() => pair.client.sent, "the sender");
    expect(stuckAt).toBeLessThan(16 * MiB);
    expect(pair.server.received).toBe(0);
    const received = pair.server.receivedPayload(block);
    pair.server.resumeReading();
    await sending;
    await received;
    expect(pair.server.sha256()).toBe(block.sha256());
  });

  test("may stop at any time, and sees a FIN only when it reads on", async () => {
    await using pair = await Pair.open();
    await pair.client.send("seen");
    await pair.server.receivedBytes(4);
    pair.server.pauseReading();
    await pair.client.send(" and unseen");
    await pair.client.finish();
    await until(() => queuedAt(pair) >= 11, "the bytes to be in the queue");
    expect([pair.server.text(), pair.server.ending]).toEqual(["seen", undefined]);
    pair.server.resumeReading();
    await pair.server.finished();
    expect(pair.server.text()).toBe("seen and unseen");
  });

  test("that takes chunk by chunk is not overrun", async () => {
    await using pair = await Pair.open({ paused: true });
    const block = payload(14, 64 * MiB);
    const sending = pair.client.send(block).then(() => pair.client.finish());
    const check = new PayloadCheck(block);
    let chunks = 0;
    for await (const chunk of pair.server.chunks()) {
      check.take(chunk);
      chunks++;
      // Held for a while, once: what comes meanwhile waits in the kernel.
      if (chunks === 2) await settled(() => pair.client.sent, "the sender");
      if (chunks === 2) expect(pair.server.received).toBeLessThan(4 * MiB);
    }
    await sending;
    expect([check.mismatch, check.complete]).toEqual([undefined, true]);
  });
});

describe("a backend", () => {
  test("hands out its connections in the order in which they came", async () => {
    await using backend = await listen();
    const clients = [await connect(backend.port), await connect(backend.port), await connect(backend.port)];
    const ports = [];
    for (const client of clients) {
      await client.send(String(client.localPort));
      const accepted = await backend.accepted();
      await accepted.receivedBytes(String(client.localPort).length);
      ports.push(Number(accepted.text()));
    }
    expect(ports).toEqual(clients.map(({ localPort }) => localPort));
    expect(backend.connections.length).toBe(3);
    await expect(backend.accepted(20)).rejects.toThrow(`connection 4 of backend ${backend.address}: 3 came`);
    for (const client of clients) await client[Symbol.asyncDispose]();
  });

  test("that stops listening keeps its connections and refuses further ones", async () => {
    await using backend = await listen(echo);
    await using client = await connect(backend.port);
    await backend.accepted();
    backend.stopListening();
    await expect(connect(backend.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await client.send("still here");
    expect(await client.read(10)).toEqual(ascii("still here"));
  });

  test("resets what is open at the end of its scope", async () => {
    const { client } = await (async () => {
      await using backend = await listen();
      const client = await connect(backend.port);
      await backend.accepted();
      return { client };
    })();
    expect(await client.wasReset()).toBe("ECONNRESET");
    await client[Symbol.asyncDispose]();
  });

  test("fails at the end of its scope with what its handler failed with, and not because a client left", async () => {
    const failing = await listen(async (peer) => {
      await peer.receivedBytes(1);
      throw new Error("no such thing");
    });
    await using client = await connect(failing.port);
    await client.send("x");
    await failing.accepted();
    await until(() => failing.connections[0]!.received === 1, "the byte");
    await expect(failing[Symbol.asyncDispose]()).rejects.toThrow("no such thing");

    await using left = await listen((peer) => peer.receivedBytes(10));
    await using leaving = await connect(left.port);
    await leaving.send("123");
    leaving.reset();
    await (await left.accepted()).gone();
  });

  test("listens on IPv6 and on a Unix socket as well, and says so in its address", async () => {
    await using six = await listen(echo, { host: "::1" });
    expect(six.address).toBe(`[::1]:${six.port}`);
    await using overSix = await connect({ host: "::1", port: six.port });
    await overSix.send("6");
    expect(await overSix.read(1)).toEqual(ascii("6"));

    const folder = mkdtempSync(join(tmpdir(), "sluice-peer-"));
    try {
      const path = join(folder, "socket");
      await using unix = await listen(echo, { unix: path });
      expect([unix.address, unix.port]).toEqual([`unix:${path}`, 0]);
      await using overUnix = await connect({ unix: path });
      await overUnix.send("u");
      expect(await overUnix.read(1)).toEqual(ascii("u"));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("a client comes from the address and port that it says", async () => {
  await using backend = await listen();
  await using client = await connect(backend.port, { localAddress: "127.0.0.9" });
  await backend.accepted();
  const socket = tcpSockets(client.localPort).find(({ localPort }) => localPort === client.localPort);
  expect(socket?.local).toBe(`127.0.0.9:${client.localPort}`);
});

/** A connection with both ends in hand; `options` are those of the server's end. */
class Pair implements AsyncDisposable {
  readonly backend: Backend;
  readonly client: Peer;
  readonly server: Peer;

  private constructor(backend: Backend, client: Peer, server: Peer) {
    this.backend = backend;
    this.client = client;
    this.server = server;
  }

  static async open(options: { paused?: boolean; receiveBufferBytes?: number } = {}): Promise<Pair> {
    const backend = await listen(undefined, options);
    const client = await connect(backend.port);
    return new Pair(backend, client, await backend.accepted());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.backend[Symbol.asyncDispose]();
  }
}

/** Bytes that wait in the kernel for the server's end to read them. */
function queuedAt({ backend, client }: Pair): number {
  const socket = tcpSockets(client.localPort).find(({ localPort }) => localPort === backend.port);
  return socket?.receiveQueueBytes ?? 0;
}
