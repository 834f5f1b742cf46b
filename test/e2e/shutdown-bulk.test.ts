/** A graceful shutdown while bulk is on its way: what `auto` has moved by the time of the signal. */
import { describe, expect, test } from "bun:test";
import { listen, type Backend } from "../support/backend.ts";
import { engineAfterMove, engineBeforeMove, engines, workerRuns, type EngineUnderTest } from "../support/engines.ts";
import { payload, type Payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { settled, until } from "../support/until.ts";

/** A bound for what happens at once, on a machine that has other things to do. */
const atOnceMs = 500;

const draining = ({ msg }: LogLine): boolean => msg === "draining";

describe.each([...engines])("engine %s:", (engine) => {
  test("a download and an upload that are held up by their readers at SIGTERM complete, to the last byte", async () => {
    const [download, upload] = [payload(1, 80_000_000), payload(2, 80_000_000)];
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "30s"`) });
    await using loading = await bulk(proxy, engine, backend, "client", download);
    await using storing = await bulk(proxy, engine, backend, "backend", upload);
    proxy.signal("SIGTERM");
    await proxy.logged(draining, "the drain");
    for (const { reader, arrived } of [loading, storing]) {
      expect(reader.ending).toBeUndefined();
      reader.resumeReading();
      await arrived;
    }
    for (const { reader, writer } of [loading, storing]) {
      await writer.finish();
      await reader.finished();
      await reader.finish();
      await writer.finished();
    }
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.records().map(figures)).toEqual([
      ["backend_finished", 0, 80_000_000, engineAfterMove[engine]],
      ["client_finished", 80_000_000, 0, engineAfterMove[engine]],
    ]);
    expect(proxy.log.at(-1)).toMatchObject({ msg: "stopped", cut: 0, code: 0 });
  });

  test("at the deadline bulk is cut as well: the peers are reset, and the records have what was taken, to the byte", async () => {
    const [download, upload] = [payload(1, 12_000_000), payload(2, 12_000_000)];
    const endless = payload(3, 80_000_000);
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "400ms"`) });
    const port = await proxy.port("web");
    // All of what came has arrived.
    await using client = await connect(port);
    const peer = await backend.accepted();
    for (const [reader, writer, flow] of [
      [client, peer, download],
      [peer, client, upload],
    ] as const) {
      const arrived = reader.receivedPayload(flow);
      await writer.send(flow);
      await arrived;
      await workerRuns(engine, proxy.pid);
    }
    // More has come than its reader takes.
    await using stuck = await bulk(proxy, engine, backend, "client", endless);
    proxy.signal("SIGTERM");
    const { code, afterMs } = await proxy.exited();
    expect(code).toBe(3);
    expect(afterMs).toBeGreaterThanOrEqual(400);
    expect(afterMs).toBeLessThan(400 + atOnceMs);
    expect([await client.wasReset(), await peer.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
    expect(await stuck.writer.wasReset()).toBe("ECONNRESET");
    stuck.reader.resumeReading();
    expect(await stuck.reader.wasReset()).toBe("ECONNRESET");
    const [whole, part] = proxy.records();
    expect(figures(whole!)).toEqual(["drain_deadline", 12_000_000, 12_000_000, engineAfterMove[engine]]);
    expect(part).toMatchObject({ end: "drain_deadline", bytes_to_backend: 0, engine: engineAfterMove[engine] });
    // A reset throws away what the kernel still held for the reader, never what the reader's own kernel has.
    expect(Number(part!["bytes_to_client"])).toBeGreaterThanOrEqual(stuck.reader.received);
    expect(Number(part!["bytes_to_client"])).toBeLessThan(stuck.writer.sent);
    expect(proxy.log.filter(({ msg }) => msg === "cut: the drain deadline has passed").map(({ id }) => id)).toEqual([
      1, 2,
    ]);
    expect(proxy.log.at(-1)).toMatchObject({ msg: "stopped", cut: 2, code: 3 });
    expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("a second signal resets every connection at once, and each has its record; the exit code is 128 and the signal", async () => {
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "1h"`) });
    const port = await proxy.port("web");
    await using silent = await connect(port);
    const silentPeer = await backend.accepted();
    await using stuck = await bulk(proxy, engine, backend, "client", payload(1, 80_000_000));
    proxy.signal("SIGTERM");
    await proxy.logged(draining, "the drain");
    proxy.signal("SIGTERM");
    const { code, signal, afterMs } = await proxy.exited();
    expect([code, signal]).toEqual([143, null]);
    expect(afterMs).toBeLessThan(atOnceMs);
    for (const peer of [silent, silentPeer, stuck.writer]) expect(await peer.wasReset()).toBe("ECONNRESET");
    stuck.reader.resumeReading();
    expect(await stuck.reader.wasReset()).toBe("ECONNRESET");
    const records = proxy.records();
    expect(records.map(({ id, end }) => [id, end])).toEqual([
      [1, "forced"],
      [2, "forced"],
    ]);
    expect(figures(records[0]!)).toEqual(["forced", 0, 0, engineBeforeMove[engine]]);
    expect(records[1]).toMatchObject({ bytes_to_backend: 0, engine: engineAfterMove[engine] });
    expect(Number(records[1]!["bytes_to_client"])).toBeGreaterThanOrEqual(stuck.reader.received);
    expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("with shutdown.idle bulk that its reader holds up ends with drain_idle, and bulk that moves is waited for", async () => {
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend.address, engine, `idle = "1s"\ndrain = "20s"`) });
    await using stuck = await bulk(proxy, engine, backend, "client", payload(1, 80_000_000));
    await using slow = await bulk(proxy, engine, backend, "client", payload(2, 80_000_000));
    proxy.signal("SIGTERM");
    // A little of it at a time, until the other one has been ended: nothing but that tells how long it takes.
    await until(async () => {
      const before = slow.reader.received;
      slow.reader.resumeReading();
      if (before < 70_000_000) {
        await slow.reader.receivedBytes(before + 1);
        slow.reader.pauseReading();
      }
      return stuck.writer.ending !== undefined;
    }, "the connection that stands still to be ended");
    expect(stuck.writer.ending).toEqual({ how: "reset", code: "ECONNRESET" });
    slow.reader.resumeReading();
    await slow.arrived;
    await slow.writer.finish();
    await slow.reader.finished();
    await slow.reader.finish();
    await slow.writer.finished();
    expect((await proxy.exited()).code).toBe(0);
    const [ended, finished] = proxy.records();
    expect(ended).toMatchObject({ id: 1, end: "drain_idle", engine: engineAfterMove[engine] });
    expect(figures(finished!)).toEqual(["backend_finished", 0, 80_000_000, engineAfterMove[engine]]);
  });
});

/** A flow through the program that its reader has stopped, with more on its way than all buffers hold. */
interface Bulk extends AsyncDisposable {
  readonly reader: Peer;
  readonly writer: Peer;
  /** Resolves when the whole payload has been received. */
  readonly arrived: Promise<void>;
}

/** Lets bytes flow to a reader until there can be no doubt that they are bulk, and then stops it. */
async function bulk(
  proxy: Sluice,
  engine: EngineUnderTest,
  backend: Backend,
  readerIs: "client" | "backend",
  flow: Payload,
): Promise<Bulk> {
  const client = await connect(await proxy.port("web"), { keptBytesMax: 0 });
  const peer = await backend.accepted();
  const [reader, writer] = readerIs === "client" ? [client, peer] : [peer, client];
  const arrived = reader.receivedPayload(flow, { withinMs: 30_000 });
  writer.send(flow, 30_000).catch(() => {});
  await reader.receivedBytes(4_000_000);
  reader.pauseReading();
  await workerRuns(engine, proxy.pid);
  reader.resumeReading();
  await reader.receivedBytes(reader.received + 8_000_000);
  reader.pauseReading();
  await settled(() => writer.sent, "the writer to be stopped");
  expect(writer.sent).toBeLessThan(flow.length);
  return { reader, writer, arrived, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}

/** Of an access record: why it ended, its bytes to the backend and to the client, and who moved them. */
function figures(record: LogLine): unknown[] {
  return [record["end"], record["bytes_to_backend"], record["bytes_to_client"], record["engine"]];
}

function config(endpoint: string, engine: EngineUnderTest, shutdown: string): string {
  return `
[forwarding]
engine = "${engine}"

[shutdown]
${shutdown}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]
`;
}
