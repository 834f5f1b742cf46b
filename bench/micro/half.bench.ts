/** What a half adds to the socket's own write, without a kernel: `bun bench/micro/half.bench.ts`. */
import { bench, group, run } from "mitata";
import { Forwarder } from "../../src/forward/forwarder.ts";
import type { HalfOwner } from "../../src/forward/half.ts";
import { nobody, type ProxySocket, type Receiver } from "../../src/forward/receiver.ts";

/** Takes everything, or `room` bytes of it. */
class Sink {
  data: Receiver = nobody;
  room = Infinity;
  pauses = 0;

  write(bytes: Uint8Array, _offset?: number, length = bytes.byteLength): number {
    const taken = length < this.room ? length : this.room;
    this.room -= taken;
    return taken;
  }

  pause(): void {
    this.pauses++;
  }

  resume(): void {
    this.pauses--;
  }
}

const owner: HalfOwner = {
  firstBytesMoved() {},
  sourceFinished() {},
  halfEnded() {},
  sourceClosed() {},
  sinkBroken() {},
  handlerFailed(error) {
    throw error;
  },
};

function forwarder(): { readonly client: Sink; readonly backend: Sink } {
  const client = new Sink();
  const backend = new Sink();
  new Forwarder(client as unknown as ProxySocket, backend as unknown as ProxySocket, owner, { nowMs: 1 });
  return { client, backend };
}

const small = new Uint8Array(64);
const large = new Uint8Array(524_288);

group("received", () => {
  const { client, backend } = forwarder();
  bench("for comparison: the sink's write alone", () => backend.write(small));
  bench("a chunk that is taken whole", () => client.data.received(small));
  bench("a spurious drain", () => backend.data.writable());
});

group("a chunk that does not fit", () => {
  for (const pieces of [1, 8]) {
    const { client, backend } = forwarder();
    const piece = large.byteLength / (pieces + 1);
    bench(`kept, and flushed in ${pieces} ${pieces === 1 ? "piece" : "pieces"}: pause, drain, resume`, () => {
      backend.room = piece;
      client.data.received(large);
      for (let flushed = 0; flushed < pieces; flushed++) {
        backend.room = piece + 1;
        backend.data.writable();
      }
    });
  }
});

group("a forwarder", () => {
  bench("made, for a new session", () => forwarder());
});

await run();
