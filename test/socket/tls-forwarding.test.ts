/**
 * What forwarding promises, with TLS on the way: a client in plain, a proxy that speaks TLS to the next one, which ends it
 * and goes on in plain. So each test has a TLS socket as source and as sink, as server and as client.
 */
import { describe, expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { onEveryEngine } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { lacks } from "../support/programs.ts";
import { expectFlowing, expectNeverStalled, expectStalled, stalled } from "../support/stalled.ts";
import { startTlsHop, type TlsHop } from "../support/tls.ts";
import { settled, until } from "../support/until.ts";
import { startWire } from "../support/wire.ts";

/** More than all buffers on the way hold. */
const tooMuchBytes = 100_000_000;

/** Expects that both proxies recorded this. */
async function expectRecords(hop: TlsHop, expected: object): Promise<void> {
  expect(await hop.front.recorded()).toMatchObject(expected);
  expect(await hop.back.recorded()).toMatchObject({ ...expected, sni: "a.test" });
}

describe("finishing", () => {
  test.skipIf(lacks("openssl"))("a client that finishes first still gets its answer", async () => {
    await using backend = await listen();
    await using hop = startTlsHop(backend.port);
    await using client = await connect(hop.port);
    await client.send("question");
    await client.finish();
    const peer = await backend.accepted();
    await peer.finished();
    expect(peer.text()).toBe("question");
    expect(hop.front.sessions[0]!.phase).toBe("forwarding");
    expect(hop.back.sessions[0]!.halfClosedSinceMs).toBeNumber();

    await peer.send("answer");
    await client.receivedBytes(6);
    expect(client.text()).toBe("answer");
    expect(client.ending).toBeUndefined();
    await peer.finish();
    await client.finished();
    await expectRecords(hop, { bytes_to_backend: 8, bytes_to_client: 6, end: "client_finished" });
  });

  test.skipIf(lacks("openssl"))("a backend that finishes first still gets what the client says", async () => {
    await using backend = await listen();
    await using hop = startTlsHop(backend.port);
    await using client = await connect(hop.port);
    const peer = await backend.accepted();
    await peer.send("greeting");
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("greeting");
    const message = payload(1, 3_000_000);
    void client.send(message);
    await peer.receivedPayload(message);
    expect(peer.ending).toBeUndefined();
    await client.finish();
    await peer.finished();
    await expectRecords(hop, { bytes_to_backend: 3_000_000, bytes_to_client: 8, end: "backend_finished" });
  });

  test.skipIf(lacks("openssl"))("a FIN without a byte goes each way", async () => {
    await using backend = await listen();
    await using hop = startTlsHop(backend.port);
    await using client = await connect(hop.port);
    await client.finish();
    const peer = await backend.accepted();
    await peer.finished();
    await peer.finish();
    await client.finished();
    await expectRecords(hop, { bytes_to_backend: 0, bytes_to_client: 0, end: "client_finished" });
  });

  test.skipIf(lacks("openssl"))("an answer and a close at once: all of it arrives, then the FIN", async () => {
    const answer = payload(2, 4_000_000);
    await using backend = await listen(async (peer) => {
      await peer.read(4);
      await peer.send(answer);
      peer.close();
    });
    await using hop = startTlsHop(backend.port);
    await using client = await connect(hop.port, { paused: true });
    await client.send("GET\n");
    await settled(() => hop.back.sessions[0]?.bytesToClient, "the answer to be stuck", { quietMs: 50 });
    client.resumeReading();
    await client.receivedPayload(answer);
    await client.finished();
    await client.finish();
    await expectRecords(hop, { bytes_to_backend: 4, bytes_to_client: 4_000_000, end: "backend_finished" });
  });
});

describe("bytes", () => {
  test.skipIf(lacks("openssl"))("5 MB each way at once, then both finish", async () => {
    const [upload, download] = [payload(3, 5_000_000), payload(4, 5_000_000)];
    await using backend = await listen();
    await using hop = startTlsHop(backend.port);
    await using client = await connect(hop.port);
    const peer = await backend.accepted();
    void client.send(upload);
    void client.finish();
    void peer.send(download);
    void peer.finish();
    await Promise.all([peer.receivedPayload(upload), client.receivedPayload(download)]);
    await Promise.all([peer.finished(), client.finished()]);
    const { front, back } = hop;
    for (const record of [await front.recorded(), await back.recorded()]) {
      expect(record).toMatchObject({ bytes_to_backend: 5_000_000, bytes_to_client: 5_000_000 });
      expect(["client_finished", "backend_finished"]).toContain(record.end);
    }
  });

  test.skipIf(lacks("openssl"))("200 sessions at once, each with its own bytes", async () => {
    await using backend = await listen(echo);
    await using hop = startTlsHop(backend.port);
    const visit = async (seed: number): Promise<void> => {
      await using client = await connect(hop.port);
      const message = payload(seed, 1 + ((seed * 7919) % 200_000));
      void client.send(message);
      void client.finish();
      await client.receivedPayload(message);
      await client.finished();
    };
    await Promise.all(Array.from({ length: 200 }, (_, seed) => visit(seed)));
    await hop.front.recorded(200);
    await hop.back.recorded(200);
    const ends = new Set([...hop.front.records, ...hop.back.records].map(({ end }) => end));
    expect(ends).toEqual(new Set(["client_finished"]));
  });

  test.skipIf(lacks("openssl"))(
    "what is on the wire between them is no plaintext, though a FIN follows the answer at once",
    async () => {
      await using wire = await startWire();
      await using backend = await listen(async (peer) => {
        await peer.read(8);
        await peer.send("the secret answer");
        await peer.finish();
      });
      await using hop = startTlsHop(backend.port, {}, (port) => wire.to(port));
      for (let round = 1; round <= 20; round++) {
        await using client = await connect(hop.port);
        await client.send("question");
        await client.finished();
        expect(client.text()).toBe("the secret answer");
        await client.finish();
        await hop.back.recorded(round);
      }
      expect(wire.seen().length).toBeGreaterThan(20 * 500);
      expect(wire.seen().includes("secret")).toBe(false);
      expect(wire.seen().includes("question")).toBe(false);
    },
  );
});

describe("backpressure", () => {
  for (const reader of ["backend", "client"] as const) {
    test.skipIf(lacks("openssl"))(
      `a ${reader} that stops reading stops the other side; when it reads on, all arrives`,
      async () => {
        const message = payload(5, tooMuchBytes);
        await using backend = await listen();
        await using hop = startTlsHop(backend.port);
        await using client = await connect(hop.port);
        const peer = await backend.accepted();
        const [from, to] = reader === "backend" ? [client, peer] : [peer, client];
        const [stuck, free] =
          reader === "backend" ? (["toBackend", "toClient"] as const) : (["toClient", "toBackend"] as const);
        to.pauseReading();
        const sent = from.send(message);
        const stoppedAt = await settled(() => from.sent, "the sender to be stopped");
        expect(stoppedAt).toBeLessThan(tooMuchBytes);
        const sessions = [hop.front.sessions[0]!, hop.back.sessions[0]!];
        for (const session of sessions) {
          await stalled(() => session.forwarder?.[stuck]);
          expectStalled(session.forwarder![stuck]);
          expectNeverStalled(session.forwarder![free]);
        }
        // The other direction is not held up by it.
        await to.send("still here");
        await from.receivedBytes(10);
        expect(from.text()).toBe("still here");

        to.resumeReading();
        await to.receivedPayload(message);
        await sent;
        for (const session of sessions) await expectFlowing(() => session.forwarder![stuck]);
        await from.finish();
        await to.finished();
        await to.finish();
        await expectRecords(hop, {
          bytes_to_backend: reader === "backend" ? tooMuchBytes : 10,
          bytes_to_client: reader === "backend" ? 10 : tooMuchBytes,
          end: reader === "backend" ? "client_finished" : "backend_finished",
        });
      },
    );
  }

  test.skipIf(lacks("openssl"))("a session that stalls holds nobody else up", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using hop = startTlsHop(backend.port);
    await using stuck = await connect(hop.port);
    const stuckPeer = await backend.accepted();
    void stuck.send(payload(7, tooMuchBytes));
    await settled(() => stuck.sent, "the client to be stopped");
    // Bun keeps the ciphertext of one stuck socket apart; the others have to get by meanwhile.
    for (const seed of [8, 9, 10]) {
      await using other = await connect(hop.port);
      const peer = await backend.accepted();
      peer.resumeReading();
      const message = payload(seed, 5_000_000);
      void other.send(message);
      void other.finish();
      await peer.receivedPayload(message);
      await peer.finished();
      await peer.finish();
      await other.finished();
    }
    stuck.reset();
    stuckPeer.resumeReading();
    await hop.back.recorded(4);
    expect(hop.back.records.map(({ end }) => end)).toEqual([
      "client_finished",
      "client_finished",
      "client_finished",
      "client_reset",
    ]);
  });
});

describe("resets", () => {
  for (const by of ["client", "backend"] as const) {
    test.skipIf(lacks("openssl"))(
      `a reset of the ${by} arrives at the other side, after the bytes before it`,
      async () => {
        await using backend = await listen();
        await using hop = startTlsHop(backend.port);
        await using client = await connect(hop.port);
        const peer = await backend.accepted();
        await client.send("ping");
        await peer.receivedBytes(4);
        const [resetter, other] = by === "client" ? [client, peer] : [peer, client];
        const receivedBefore = other.received;
        const message = payload(11, 1_000_000);
        void resetter.send(message);
        await other.receivedPayload(message, { from: receivedBefore });
        resetter.reset();
        expect(await other.wasReset()).toBe("ECONNRESET");
        await expectRecords(hop, { end: `${by}_reset` });
      },
    );
  }

  test.skipIf(lacks("openssl"))(
    "a backend that resets under a client that reads late: every byte that had arrived, then the reset",
    async () => {
      const message = payload(12, 1_000_000);
      await using backend = await listen();
      await using hop = startTlsHop(backend.port);
      await using client = await connect(hop.port, { paused: true });
      const peer = await backend.accepted();
      await peer.send(message);
      await until(() => hop.back.sessions[0]?.bytesToClient === message.length, "all to be with the next proxy");
      peer.reset();
      await hop.back.recorded();
      client.resumeReading();
      await client.receivedPayload(message);
      expect(await client.wasReset()).toBe("ECONNRESET");
      await expectRecords(hop, { bytes_to_client: 1_000_000, end: "backend_reset" });
    },
  );

  test.skipIf(lacks("openssl"))("a session that is ended resets both connections", async () => {
    await using backend = await listen();
    await using hop = startTlsHop(backend.port);
    await using client = await connect(hop.port);
    const peer = await backend.accepted();
    await client.send("ping");
    await peer.receivedBytes(4);
    hop.back.sessions[0]!.requestEnd("forced");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(await hop.back.recorded()).toMatchObject({ end: "forced" });
    expect(await hop.front.recorded()).toMatchObject({ end: "backend_reset" });
  });
});

onEveryEngine((engine) => {
  test.skipIf(lacks("openssl"))("a session under TLS stays with the copy engine, however much it moves", async () => {
    const message = payload(13, 8_000_000);
    await using backend = await listen(echo);
    await using hop = startTlsHop(backend.port, { engine });
    await using client = await connect(hop.port);
    void client.send(message);
    void client.finish();
    await client.receivedPayload(message);
    await client.finished();
    await expectRecords(hop, { bytes_to_backend: 8_000_000, engine: "copy", end: "client_finished" });
  });
});
