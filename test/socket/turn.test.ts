/** Small writes at the end of a turn, and the FIN that goes with them, on real sockets. */
import { expect, spyOn, test } from "bun:test";
import type { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import { libc } from "../../src/sys/libc.ts";
import { listen } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";

test("an answer with a FIN behind it is written to go with the FIN", async () => {
  using sendMore = spyOn(libc!, "sendMore");
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("question");
  await peer.receivedBytes(8);
  // Both are there when the proxy reads the first.
  void peer.send("answer");
  void peer.finish();
  await client.finished();
  expect(client.text()).toBe("answer");
  expect(sendMore.mock.results).toEqual([{ type: "return", value: 6 }]);
  await client.finish();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 8, bytes_to_client: 6, end: "backend_finished" });
});

test("an answer without a FIN behind it waits for nothing, and neither does any after the first", async () => {
  using sendMore = spyOn(libc!, "sendMore");
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("question");
  await peer.receivedBytes(8);
  await peer.send("answer");
  await client.receivedBytes(6);
  void peer.send(", and the rest");
  void peer.finish();
  await client.finished();
  expect(client.text()).toBe("answer, and the rest");
  expect(sendMore).not.toHaveBeenCalled();
});

test("a FIN is found where there is one, and none where a descriptor is gone", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("question");
  await peer.receivedBytes(8);
  const { toBackend, toClient } = proxy.sessions[0]!.forwarder as CopyForwarder;
  const fds = new Int32Array(new ArrayBuffer(12));
  const look = (): number[] => {
    fds.set([toBackend.source.fd, toClient.source.fd, -1]);
    libc!.finsArrived(fds, 3);
    return [...fds];
  };
  expect(look()).toEqual([0, 0, 0]);
  await peer.finish();
  await client.finished();
  expect(look()).toEqual([0, 1, 0]);
});

test("a backend that answers and resets in the turn that brings it a few bytes: the answer arrives, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("part one");
  await peer.receivedBytes(8);
  void client.send("part two");
  void peer.send("413 too large");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("413 too large");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_client: 13, end: "backend_reset" });
});
