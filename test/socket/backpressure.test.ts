/** A reader that stops stops its sender, at the cost of one chunk or one pipe; and the sum of many connections of every kind. */
import { expect, test } from "bun:test";
import { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import { listen } from "../support/backend.ts";
import { engineAfterMove, onEveryEngine } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect, ConnectionOver, type Peer } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { expectFlowing, expectStalled, expectNeverStalled, stalled } from "../support/stalled.ts";
import { settled, until } from "../support/until.ts";

/** More than all buffers between two peers hold. */
const tooMuchBytes = 50_000_000;

onEveryEngine((engine) => {
  test("a backend that stops reading stops the client; when it reads on, all 50 MB arrive", async () => {
    const upload = payload(1, tooMuchBytes);
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    const sent = client.send(upload);
    const stoppedAt = await settled(() => client.sent, "the client to be stopped");
    expect(stoppedAt).toBeLessThan(tooMuchBytes);
    const session = proxy.sessions[0]!;
    await stalled(() => session.forwarder?.toBackend);
    const { toBackend, toClient } = session.forwarder!;
    expectStalled(toBackend);
    expect(session.heldBytes).toBe(toBackend.queuedBytes);
    expectNeverStalled(toClient);
    // Whatever holds the bytes: nobody reads on.
    expect(client.sent).toBe(stoppedAt);

    peer.resumeReading();
    await peer.receivedPayload(upload);
    await sent;
    await expectFlowing(() => session.forwarder!.toBackend);
    await client.finish();
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: tooMuchBytes,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a client that stops reading stops the backend; when it reads on, all 50 MB arrive", async () => {
    const download = payload(2, tooMuchBytes);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    const peer = await backend.accepted();
    const sent = peer.send(download);
    const stoppedAt = await settled(() => peer.sent, "the backend to be stopped");
    expect(stoppedAt).toBeLessThan(tooMuchBytes);
    const session = proxy.sessions[0]!;
    await stalled(() => session.forwarder?.toClient);
    const { toBackend, toClient } = session.forwarder!;
    expectStalled(toClient);
    expectNeverStalled(toBackend);
    expect(peer.sent).toBe(stoppedAt);
    // The other direction is not held up by it.
    await client.send("still here");
    await peer.receivedBytes(10);
    expect(peer.text()).toBe("still here");

    client.resumeReading();
    await client.receivedPayload(download);
    await sent;
    await expectFlowing(() => session.forwarder!.toClient);
    await peer.finish();
    await client.finished();
    await client.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 10,
      bytes_to_client: tooMuchBytes,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("both stop reading at once: both are stopped, and 50 MB each way arrive when they read on", async () => {
    const [upload, download] = [payload(3, tooMuchBytes), payload(4, tooMuchBytes)];
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    const peer = await backend.accepted();
    const sent = [client.send(upload), peer.send(download)];
    await settled(() => client.sent + peer.sent, "both to be stopped");
    const session = proxy.sessions[0]!;
    await stalled(() => session.forwarder?.toBackend);
    await stalled(() => session.forwarder?.toClient);
    const { toBackend, toClient } = session.forwarder!;
    expectStalled(toBackend);
    expectStalled(toClient);
    expect(session.heldBytes).toBe(toBackend.queuedBytes + toClient.queuedBytes);

    const arrived = [peer.receivedPayload(upload), client.receivedPayload(download)];
    peer.resumeReading();
    client.resumeReading();
    await Promise.all([...arrived, ...sent]);
    await expectFlowing(() => session.forwarder!.toBackend);
    await expectFlowing(() => session.forwarder!.toClient);
    await client.finish();
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: tooMuchBytes,
      bytes_to_client: tooMuchBytes,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a reader that stops and goes on many times gets every byte, and is never owed more than a half may hold", async () => {
    const download = payload(5, tooMuchBytes);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { receiveBufferBytes: 65_536 });
    const peer = await backend.accepted();
    const arrived = client.receivedPayload(download);
    void peer.send(download);
    void peer.finish();
    await client.receivedBytes(1);
    const session = proxy.sessions[0]!;
    for (let stop = 1; stop <= 8; stop++) {
      client.pauseReading();
      await stalled(() => session.forwarder!.toClient);
      expectStalled(session.forwarder!.toClient);
      const before = client.received;
      client.resumeReading();
      await client.receivedBytes(Math.min(tooMuchBytes, before + 5_000_000));
    }
    await arrived;
    await client.finished();
    const { toClient } = session.forwarder!;
    if (toClient instanceof CopyHalf) {
      expect(toClient.pauses).toBeGreaterThanOrEqual(8);
      expect(toClient.resumes).toBe(toClient.pauses);
    }
    await client.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_client: tooMuchBytes,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("a session that stalls holds nobody else up", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using stuck = await connect(proxy.port);
    const stuckPeer = await backend.accepted();
    void stuck.send(payload(6, tooMuchBytes));
    await settled(() => stuck.sent, "the client to be stopped");

    await using other = await connect(proxy.port);
    const peer = await backend.accepted();
    peer.resumeReading();
    const message = payload(7, 5_000_000);
    void other.send(message);
    await peer.receivedPayload(message);
    await other.finish();
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      id: 2,
      bytes_to_backend: 5_000_000,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
    stuck.reset();
    stuckPeer.resumeReading();
    expect(await proxy.recorded(2)).toMatchObject({ id: 1, end: "client_reset" });
  });

  test("300 connections of every behaviour: each has its record, and those that end cleanly their every byte", async () => {
    const random = seeded(20_261);
    const served: Promise<void>[] = [];
    // A backend connection learns from its first byte which plan it belongs to.
    const plans = Array.from({ length: 300 }, (_, index) => makePlan(index, random));
    await using backend = await listen((peer) => {
      const done = serve(peer, plans);
      served.push(done);
      return done;
    });
    await using proxy = startProxy(backend.port, { engine });
    const outcomes = await Promise.all(plans.map((plan) => visit(proxy.port, plan)));
    await Promise.all(served);
    await proxy.recorded(300);
    await proxy.idle();

    expect(proxy.records.length).toBe(300);
    expect(new Set(proxy.records.map(({ id }) => id)).size).toBe(300);
    const byClient = new Map(proxy.records.map((record) => [record.client, record]));
    let cleanEnds = 0;
    for (const { client, plan, clean } of outcomes) {
      const record = byClient.get(client)!;
      expect(record.attempts).toBe(1);
      if (!clean) {
        expect(["client_reset", "backend_reset"]).toContain(record.end);
        continue;
      }
      cleanEnds++;
      expect(record).toMatchObject({
        bytes_to_backend: 2 + plan.uploadBytes,
        bytes_to_client: plan.downloadBytes,
      });
      expect(["client_finished", "backend_finished"]).toContain(record.end);
    }
    expect(cleanEnds).toBe(
      plans.filter(({ clientEnd, backendEnd }) => clientEnd === "finish" && backendEnd === "finish").length,
    );
    expect(cleanEnds).toBeGreaterThan(100);
    expect(cleanEnds).toBeLessThan(250);
    // The splice engine of the tests has places for 64 at once; the others of this crowd stay where they are.
    const spliced = proxy.records.filter((record) => record.engine === "splice").length;
    if (engine === "copy") expect(spliced).toBe(0);
    else expect(spliced).toBeGreaterThanOrEqual(64);
  });
});

/** What one connection of the crowd does. */
interface Plan {
  readonly index: number;
  readonly uploadBytes: number;
  readonly downloadBytes: number;
  /** Who stops reading for a while, and for how many looks of `until` (up to a tenth of a second). */
  readonly lateReader: "client" | "backend" | "nobody";
  readonly lateTurns: number;
  readonly clientEnd: "finish" | "reset";
  readonly backendEnd: "finish" | "reset";
  /** Whether the backend answers only after the client's FIN. */
  readonly waitsForFin: boolean;
}

function makePlan(index: number, random: () => number): Plan {
  const size = (): number => (random() < 0.1 ? 2_000_000 : random() < 0.3 ? 100_000 : 1_000) * random();
  return {
    index,
    uploadBytes: Math.floor(size()),
    downloadBytes: Math.floor(size()),
    lateReader: random() < 0.2 ? "client" : random() < 0.2 ? "backend" : "nobody",
    lateTurns: 1 + Math.floor(35 * random()),
    clientEnd: random() < 0.2 ? "reset" : "finish",
    backendEnd: random() < 0.2 ? "reset" : "finish",
    waitsForFin: random() < 0.4,
  };
}

/** The client's part. Clean when every byte and the FIN of the backend came. */
async function visit(port: number, plan: Plan): Promise<{ client: string; plan: Plan; clean: boolean }> {
  await using client = await connect(port, { paused: plan.lateReader === "client" });
  const name = `127.0.0.1:${client.localPort}`;
  let clean = false;
  try {
    await client.send(new Uint8Array([plan.index >> 8, plan.index & 255]));
    void client.send(payload(plan.index, plan.uploadBytes));
    if (plan.clientEnd === "reset") {
      await until(() => client.sent === 2 + plan.uploadBytes || client.ending !== undefined, "the upload to be sent");
      client.reset();
    } else {
      void client.finish();
      if (plan.lateReader === "client") {
        await turns(plan.lateTurns);
        client.resumeReading();
      }
      await client.receivedPayload(payload(1000 + plan.index, plan.downloadBytes));
      await client.finished();
      clean = true;
    }
  } catch (error) {
    if (!(error instanceof ConnectionOver)) throw error;
  }
  await client.gone();
  return { client: name, plan, clean };
}

/** The backend's part. */
async function serve(peer: Peer, plans: readonly Plan[]): Promise<void> {
  try {
    const [high, low] = await peer.read(2);
    const plan = plans[high! * 256 + low!]!;
    const uploaded = peer.receivedPayload(payload(plan.index, plan.uploadBytes), { from: 2 });
    if (plan.lateReader === "backend") {
      peer.pauseReading();
      await turns(plan.lateTurns);
      peer.resumeReading();
    }
    if (plan.waitsForFin && plan.clientEnd === "finish") await peer.finished();
    void peer.send(payload(1000 + plan.index, plan.downloadBytes));
    if (plan.backendEnd === "reset") {
      await until(() => peer.sent === plan.downloadBytes || peer.ending !== undefined, "the download to be sent");
      peer.reset();
    } else {
      await uploaded;
      await peer.finish();
    }
  } catch (error) {
    if (!(error instanceof ConnectionOver)) throw error;
  }
}

/** Lets others have their turns. */
async function turns(count: number): Promise<void> {
  let seen = 0;
  await until(() => ++seen > count, "the others to have had their turns");
}

/** Numbers from 0 to 1, the same ones for the same seed (xorshift32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
