/** The copy engine between sockets of which one is, or both are, under TLS: nothing may go past Bun to their descriptors. */
import { describe, expect, test } from "bun:test";
import { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import { autoMove, moveAtOnce } from "../../src/forward/move-rule.ts";
import { FakeForwarderOwner, FakeSocket } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

const small = payload(1, 100).bytes();
const large = payload(2, 500_000).bytes();

/** A socket with a descriptor that must not be used: there is none of this number. */
function socket(overTls: boolean): FakeSocket {
  return Object.assign(new FakeSocket(), overTls ? { fd: 1_000_000, overTls: true } : { fd: 1_000_000 });
}

for (const [clientTls, backendTls] of [
  [true, false],
  [false, true],
  [true, true],
] as const) {
  describe(`client ${clientTls ? "under TLS" : "in plain"}, backend ${backendTls ? "under TLS" : "in plain"}`, () => {
    test("no descriptor is looked at for a FIN, and the answer is written by Bun's own call", () => {
      const { client, backend, forwarder } = session(clientTls, backendTls);
      client.data.received(small);
      forwarder.toBackend.endOfTurn(false);
      expect(backend.bytes.length).toBe(100);
      backend.data.received(small);
      expect(forwarder.toClient.finFd).toBe(-1);
      // Nor where a FIN is said to follow.
      forwarder.toClient.endOfTurn(true);
      expect(Buffer.compare(client.bytes, small)).toBe(0);
    });

    test("it is never moved, and nobody is asked to move it", () => {
      for (const rule of [autoMove, moveAtOnce]) {
        const { client, backend, forwarder, owner } = session(clientTls, backendTls, rule);
        for (let read = 0; read < 200; read++) {
          client.data.received(large);
          backend.data.received(large);
        }
        expect(forwarder.toBackend.bytes).toBe(200 * large.length);
        expect(forwarder.movable).toBe(false);
        expect(new Set(owner.told)).toEqual(new Set(["firstBytesMoved"]));
      }
    });
  });
}

test("between plain sockets a descriptor is looked at, and the session is movable", () => {
  const { client, backend, forwarder } = session(false, false);
  client.data.received(small);
  forwarder.toBackend.endOfTurn(false);
  backend.data.received(small);
  expect(forwarder.toClient.finFd).toBe(1_000_000);
  forwarder.toClient.endOfTurn(false);
  expect(forwarder.movable).toBe(true);
});

function session(clientTls: boolean, backendTls: boolean, rule = autoMove) {
  const [client, backend] = [socket(clientTls), socket(backendTls)];
  const owner = new FakeForwarderOwner();
  const forwarder = new CopyForwarder(client.socket, backend.socket, owner, { nowMs: 100 }, rule);
  return { client, backend, owner, forwarder };
}
