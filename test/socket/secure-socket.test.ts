/** A connection under TLS as a socket: who is told what of its handshake, and how it writes, finishes and closes. */
import { describe, expect, test } from "bun:test";
import { listen } from "../support/backend.ts";
import { Handshakes, type End } from "../support/handshakes.ts";
import { payload } from "../support/payload.ts";
import { lacks } from "../support/programs.ts";
import { clientCredentials } from "../support/tls.ts";
import { settled, until } from "../support/until.ts";
import { startWire } from "../support/wire.ts";

describe("whoever begins a handshake", () => {
  test.skipIf(lacks("openssl"))("hears of it once, and gets every byte that came with it or behind it", async () => {
    await using handshakes = new Handshakes();
    for (let round = 0; round < 20; round++) {
      const { server, client } = await handshakes.meet({}, {}, (end) => {
        // Said within `secured`: the first bytes leave with the last ones of the handshake.
        end.socket!.write(Buffer.from(`hello from ${end.name}`));
      });
      await until(() => server.text === "hello from client" && client.text === "hello from server", "the greetings");
      expect([...server.told, ...client.told]).toEqual(["secured", "secured"]);
    }
  });

  test.skipIf(lacks("openssl"))("has its ClientHello in as many pieces as it has bytes", async () => {
    await using handshakes = new Handshakes();
    await using wire = await startWire();
    wire.alter = (chunk) => Array.from(chunk, (byte) => Uint8Array.of(byte));
    const { server, client } = await handshakes.meet({}, {}, undefined, wire);
    expect([...server.told, ...client.told]).toEqual(["secured", "secured"]);
    client.socket!.write(Buffer.from("byte by byte"));
    await until(() => server.text === "byte by byte", "the bytes");
  });

  test.skipIf(lacks("openssl"))("has nothing to do with the socket it began with", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    for (const { plain, socket } of [server, client]) {
      expect(plain!.fd).toBe(-1);
      expect(socket!.fd).toBeGreaterThan(0);
      expect(socket!.overTls).toBe(true);
      expect(socket!.remoteAddress).toBe("127.0.0.1");
    }
    expect(server.socket!.remotePort).toBe(client.socket!.localPort);
  });

  test.skipIf(lacks("openssl"))("hears nothing after cancelling, and the peer is reset", async () => {
    await using handshakes = new Handshakes();
    await using silent = await listen();
    const client = handshakes.dial(silent.port, clientCredentials());
    const peer = await silent.accepted();
    await peer.receivedBytes(100);
    client.handshake!.cancel();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    client.handshake!.cancel();
    expect(client.told).toEqual([]);
  });

  test.skipIf(lacks("openssl"))("takes a connection back by cancelling, even after it was handed over", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    server.handshake!.cancel();
    await until(() => client.told.length === 2, "the client to be told");
    expect(client.told).toEqual(["secured", "closed with ECONNRESET"]);
    expect(server.told).toEqual(["secured"]);
    expect(server.socket!.fd).toBe(-1);
  });

  test.skipIf(lacks("openssl"))("hears that the connection is closed when it was before", async () => {
    await using handshakes = new Handshakes();
    await using silent = await listen();
    const client = handshakes.dial(silent.port, clientCredentials(), (plain) => plain.terminate());
    await until(() => client.told.length > 0, "the outcome");
    expect(client.told).toEqual(["handshakeClosed"]);
  });

  test.skipIf(lacks("openssl"))("hears of a handshake that can't even be begun, and the peer is reset", async () => {
    await using handshakes = new Handshakes();
    await using silent = await listen();
    const nonsense = { ...clientCredentials(), context: {} as never };
    const client = handshakes.dial(silent.port, nonsense);
    expect(await (await silent.accepted()).wasReset()).toBe("ECONNRESET");
    expect(client.told).toEqual([expect.stringContaining("handlerFailed")]);
  });

  test.skipIf(lacks("openssl"))("hears of its own mistake when it is told of the end", async () => {
    await using handshakes = new Handshakes();
    await using leaving = await listen((peer) => peer.reset());
    const client = handshakes.dial(leaving.port, clientCredentials());
    client.handshakeClosed = () => {
      throw new Error("a mistake of the test");
    };
    await until(() => client.told.length > 0, "the mistake to be told");
    expect(client.told).toEqual(["handlerFailed a mistake of the test"]);
  });

  test.skipIf(lacks("openssl"))("hears of its own mistake in `secured`, and can still cancel", async () => {
    await using handshakes = new Handshakes();
    const mistake = new Error("a mistake of the test");
    const { server, client } = await handshakes.meet({}, {}, (end) => {
      if (end.name === "server") throw mistake;
    });
    expect(server.told).toEqual(["secured", "handlerFailed a mistake of the test"]);
    server.handshake!.cancel();
    await until(() => client.told.length === 2, "the client to be told");
    expect(client.told).toEqual(["secured", "closed with ECONNRESET"]);
  });

  test.skipIf(lacks("openssl"))("is told of what breaks a connection as of a reset", async () => {
    await using handshakes = new Handshakes();
    await using wire = await startWire();
    const { server, client } = await handshakes.meet({}, {}, undefined, wire);
    wire.alter = (chunk) => [chunk.with(chunk.length - 1, chunk.at(-1)! ^ 1)];
    client.socket!.write(Buffer.from("never to be read"));
    await until(() => server.told.length === 2, "the server to be told");
    expect(server.told[1]).toStartWith("closed with");
    expect(server.told[1]).not.toBe("closed with nothing");
    expect(server.text).toBe("");
  });
});

describe("a secure socket", () => {
  const pieceBytes = 16 * 1024;

  /** Writes until nothing more is taken. Then some ciphertext has left the socket and not yet reached the kernel. */
  function fill(end: End): number {
    const endless = payload(1, 2 ** 30);
    let taken = 0;
    for (;;) {
      const written = end.socket!.write(endless.slice(taken, pieceBytes));
      taken += written;
      if (written < pieceBytes) return taken;
    }
  }

  test.skipIf(lacks("openssl"))("closes behind every byte, when a peer that was stopped reads on", async () => {
    await using handshakes = new Handshakes();
    for (let round = 0; round < 5; round++) {
      const { server, client } = await handshakes.meet({}, {});
      client.socket!.pause();
      const taken = fill(server);
      server.socket!.close();
      await settled(() => server.told.length, "nothing to happen", { quietMs: 30 });
      expect(server.told).toEqual(["secured"]);
      expect(server.socket!.fd).toBeGreaterThan(0);
      client.socket!.resume();
      await until(() => client.told.includes("finished"), "the client to be told");
      expect(Buffer.compare(client.bytes, payload(1, 2 ** 30).slice(0, taken))).toBe(0);
      await until(() => server.told.length === 2, "the server to be told");
      expect(server.told).toEqual(["secured", "closed with nothing"]);
      expect(server.socket!.fd).toBe(-1);
    }
  });

  test.skipIf(lacks("openssl"))("can be reset while it closes", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    client.socket!.pause();
    fill(server);
    server.socket!.close();
    expect(server.told).toEqual(["secured"]);
    server.socket!.terminate();
    expect(server.told).toEqual(["secured", "closed with nothing"]);
    expect(server.socket!.fd).toBe(-1);
    client.socket!.resume();
    await until(() => client.told.length === 2, "the client to be told");
    expect(client.told[1]).toBe("closed with ECONNRESET");
  });

  test.skipIf(lacks("openssl"))("closes at once when the kernel has everything", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    expect(server.socket!.write(Buffer.from("last words"))).toBe(10);
    server.socket!.close();
    expect(server.told).toEqual(["secured", "closed with nothing"]);
    expect(server.socket!.fd).toBe(-1);
    expect(server.socket!.write(Buffer.from("too late"))).toBeLessThan(0);
    await until(() => client.told.length === 2, "the client to be told");
    expect(client.told[1]).toBe("finished");
    expect(client.text).toBe("last words");
  });

  test.skipIf(lacks("openssl"))("says goodbye when it closes: a FIN alone would look like a truncation", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    client.socket!.shutdown();
    await until(() => server.told.includes("finished"), "the server to be told");
    server.socket!.write(Buffer.from("goodbye"));
    server.socket!.close();
    await until(() => client.told.length === 3, "the client to be told");
    expect(client.text).toBe("goodbye");
    // After our own close_notify a FIN without one is told by `close` alone (Bun 1.4.5).
    expect(client.told).toEqual(["secured", "finished", "closed with nothing"]);
  });

  test.skipIf(lacks("openssl"))("finishes behind every byte, and reads on", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    client.socket!.pause();
    const taken = fill(server);
    server.socket!.shutdown();
    client.socket!.write(Buffer.from("still here"));
    await until(() => server.text === "still here", "the server to read");
    client.socket!.resume();
    await until(() => client.told.includes("finished"), "the client to be told");
    expect(client.bytes.length).toBe(taken);
    client.socket!.write(Buffer.from(", and still"));
    client.socket!.close();
    await until(() => server.told.length >= 2, "the server to be told");
    expect(server.text).toBe("still here, and still");
    expect(server.told.at(-1)).toBe("closed with nothing");
  });

  test.skipIf(lacks("openssl"))("says when it takes bytes again, and takes them from an offset", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    client.socket!.pause();
    const message = payload(2, 8_000_000).bytes();
    let sent = 0;
    const write = (): void => {
      while (sent < message.length) {
        const written = server.socket!.write(message, sent, message.length - sent);
        sent += written;
        if (written === 0) return;
      }
    };
    server.onWritable = write;
    write();
    await settled(() => sent, "the server to be stopped", { quietMs: 30 });
    expect(sent).toBeLessThan(message.length);
    client.socket!.resume();
    await until(() => client.bytes.length === message.length, "all bytes");
    expect(Buffer.compare(client.bytes, message)).toBe(0);
  });

  test.skipIf(lacks("openssl"))("tells nothing while it is paused, and then everything in order", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    client.socket!.pause();
    server.socket!.write(Buffer.from("one, "));
    server.socket!.write(Buffer.from("two"));
    server.socket!.shutdown();
    await settled(() => client.told.length, "nothing to happen", { quietMs: 30 });
    expect(client.told).toEqual(["secured"]);
    expect(client.text).toBe("");
    client.socket!.resume();
    await until(() => client.told.length === 2, "the client to be told");
    expect(client.text).toBe("one, two");
    expect(client.told[1]).toBe("finished");
  });

  test.skipIf(lacks("openssl"))("tells of a reset, of what came before it first, though it was paused", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({}, {});
    client.socket!.pause();
    server.socket!.write(Buffer.from("last words"));
    await settled(() => client.told.length, "nothing to happen", { quietMs: 30 });
    server.socket!.terminate();
    await until(() => client.told.length === 2, "the client to be told");
    expect(client.told[1]).toBe("closed with ECONNRESET");
    expect(client.text).toBe("last words");
    expect(client.socket!.write(Buffer.from("nobody hears this"))).toBeLessThan(0);
  });
});
