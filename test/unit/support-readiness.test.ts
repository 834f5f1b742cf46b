/** The poller of readiness: what an orchestrator would have seen, in order, each answer told apart from the others. */
import { expect, test } from "bun:test";
import { listen } from "../support/backend.ts";
import type { Peer } from "../support/peer.ts";
import { pollReadiness } from "../support/readiness.ts";
import { refusedPort } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

const ready = http("200 OK", '{"ready":true}');
const notReady = http("503 Service Unavailable", '{"ready":false}');

test("sees a whole life, each state once however often it is asked for", async () => {
  using place = refusedPort();
  const url = `http://${place.address}/readyz`;
  await using before = pollReadiness(url);
  await before.sees("refused");

  let answer = notReady;
  const server = await listen((peer) => reply(peer, answer));
  await using poller = pollReadiness(`http://${server.address}/readyz`);
  for (const [next, seen] of [
    [notReady, "false"],
    [ready, "true"],
    [notReady, "false"],
  ] as const) {
    answer = next;
    await poller.sees(seen);
    const asked = server.connections.length;
    await until(() => server.connections.length >= asked + 3, "three more questions");
  }
  await server[Symbol.asyncDispose]();
  await poller.sees("refused");
  await poller.stop();
  // Between the last answer and the first refusal a question may find the server on its way out.
  expect(poller.sequence.filter((seen) => seen !== "broken")).toEqual(["false", "true", "false", "refused"]);
  const times = poller.changes.map(({ atMs }) => atMs);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(times[0]).toBeGreaterThan(0);
});

test.each([
  ["true", ready],
  ["true", http("200 OK", '{"ready":true}\n')],
  ["false", notReady],
  ["odd", http("200 OK", '{"ready":false}')],
  ["odd", http("503 Service Unavailable", '{"ready":true}')],
  ["odd", http("200 OK", "")],
  ["odd", http("404 Not Found", '{"ready":true}')],
  ["odd", http("500 Internal Server Error", '{"ready":false}')],
  ["broken", ""],
  ["broken", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"],
  ["broken", "what?\r\n\r\n"],
] as const)("sees %s in the answer %j", async (seen, answer) => {
  await using server = await listen((peer) => reply(peer, answer));
  await using poller = pollReadiness(`http://${server.address}/readyz`);
  expect((await poller.sees(seen)).seen).toBe(seen);
  await until(() => server.connections.length >= 3, "three questions");
  expect(poller.sequence).toEqual([seen]);
});

test("sees a reset without an answer as broken", async () => {
  await using server = await listen(async (peer) => {
    await peer.receivedBytes(1);
    peer.reset();
  });
  await using poller = pollReadiness(`http://${server.address}/`);
  await poller.sees("broken");
  expect(poller.sequence).toEqual(["broken"]);
});

test("asks for the path, and on a new connection each time", async () => {
  await using server = await listen((peer) => reply(peer, ready));
  await using poller = pollReadiness(`http://${server.address}/api/ready`);
  await until(() => server.connections.length >= 3, "three questions");
  await poller.stop();
  const heads = server.connections.map((connection) => connection.text());
  for (const head of heads) expect(head).toStartWith("GET /api/ready HTTP/1.1\r\n");
  for (const head of heads) expect(head.match(/GET /g)?.length).toBe(1);
});

test("tells what was seen before from what is seen now", async () => {
  let answer = ready;
  await using server = await listen((peer) => reply(peer, answer));
  await using poller = pollReadiness(`http://${server.address}/`);
  const first = await poller.sees("true");
  answer = notReady;
  await poller.sees("false");
  expect(await poller.saw("true")).toEqual(first);
  await expect(poller.sees("true", 30)).rejects.toThrow("to be seen as true: seen so far: true, false");
  await expect(poller.saw("refused", 30)).rejects.toThrow("to have been seen as refused: seen so far: true, false");
  await poller.sees("false");
});

test("asks no more once it is stopped", async () => {
  await using server = await listen((peer) => reply(peer, ready));
  const poller = pollReadiness(`http://${server.address}/`, { everyMs: 0 });
  await poller.sees("true");
  await poller.stop();
  const asked = server.connections.length;
  await using other = pollReadiness(`http://${server.address}/`, { everyMs: 0 });
  await until(() => server.connections.length >= asked + 20, "twenty questions of another poller");
  const { changes } = other;
  await other.stop();
  expect(changes.length).toBe(1);
  expect(poller.sequence).toEqual(["true"]);
});

function http(status: string, body: string): string {
  return `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}

/** Answers the one question of a connection and closes it. */
async function reply(peer: Peer, answer: string): Promise<void> {
  await until(() => peer.text().endsWith("\r\n\r\n"), "the end of the head");
  await peer.send(answer);
  await peer.finish();
  await peer.closed();
  peer.close();
}
