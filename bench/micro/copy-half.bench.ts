/** What a half of the copy engine adds to the socket's own write, without a kernel: `bun bench/micro/copy-half.bench.ts`. */
import { bench, group, run } from "mitata";
import { autoMove, neverMove, type MoveRule } from "../../src/forward/move-rule.ts";
import { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import { endTurn } from "../../src/forward/copy/turn.ts";
import type { ForwarderOwner } from "../../src/forward/forwarder.ts";
import { nobody, type ProxySocket, type Receiver } from "../../src/forward/receiver.ts";

/** Takes everything, or `room` bytes of it. */
class Sink {
  data: Receiver = nobody;
  room = Infinity;
  pauses = 0;
  /** No descriptor: nothing of the system can be asked of it. */
  readonly fd = -1;

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

const owner: ForwarderOwner = {
  firstBytesMoved() {},
  sourceFinished() {},
  halfEnded() {},
  sourceClosed() {},
  sourceReset() {},
  connectionsClosed() {},
  moveWanted() {},
  engineFailed() {},
  handlerFailed(error) {
    throw error;
  },
};

function forwarder(rule: MoveRule = neverMove): { readonly client: Sink; readonly backend: Sink } {
  const client = new Sink();
  const backend = new Sink();
  new CopyForwarder(client as unknown as ProxySocket, backend as unknown as ProxySocket, owner, { nowMs: 1 }, rule);
  return { client, backend };
}

const small = new Uint8Array(64);
/** Larger than what is put off to the end of a turn. */
const medium = new Uint8Array(8_192);
const large = new Uint8Array(524_288);

group("received", () => {
  const { client, backend } = forwarder();
  const watched = forwarder(autoMove);
  bench("for comparison: the sink's write alone", () => backend.write(small));
  bench("a chunk that is written at once", () => client.data.received(medium));
  bench("the same, while it is watched for bulk", () => watched.client.data.received(medium));
  bench("a small chunk, and the end of its turn", () => {
    client.data.received(small);
    endTurn();
  });
  bench("the same, while it is watched for bulk", () => {
    watched.client.data.received(small);
    endTurn();
  });
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
