/** The admin server on a real socket: broken HTTP, slow and silent clients, event streams, its end. */
import { describe, expect, test } from "bun:test";
import { connectionStatus, FakePort, ServedAdmin } from "../support/admin.ts";
import { connect, type Peer } from "../support/peer.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const local = "HTTP/1.1\r\nHost: 127.0.0.1\r\n";

/** Sends bytes and resolves with what came back until the other side ended it. */
async function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  await using peer = await connect(port);
  await peer.send(bytes);
  await peer.closed();
  return peer.text();
}

/** Waits for a whole answer to one request on a connection that stays open. */
async function answerOn(peer: Peer, request: string, ending: string): Promise<string> {
  const from = peer.text().length;
  await peer.send(request);
  await until(
    () => peer.text().slice(from).endsWith(ending),
    () => `an answer, after ${peer.text().slice(from)}`,
  );
  return peer.text().slice(from);
}

test("GET and HEAD have the same head, and HEAD no body", async () => {
  await using admin = new ServedAdmin(new FakePort());
  for (const path of ["/livez", "/status", "/connections", "/metrics", "/nothing"]) {
    const get = await fetch(`${admin.url}${path}`);
    const head = await fetch(`${admin.url}${path}`, { method: "HEAD" });
    const { date: _, "content-length": length, ...headers } = Object.fromEntries(get.headers);
    expect([path, head.status, await head.text()]).toEqual([path, get.status, ""]);
    expect(Object.fromEntries(head.headers)).toMatchObject(headers);
    expect(length).toBe(String((await get.bytes()).byteLength));
    // Metrics of the process are others each time.
    if (path !== "/metrics") expect(head.headers.get("content-length")).toBe(length!);
  }
});

describe("what is no HTTP", () => {
  test.each<[string, string | Uint8Array, string]>([
    ["rubbish", new Uint8Array(3_000).fill(0xff), "HTTP/1.1 400 "],
    ["a TLS handshake", new Uint8Array([22, 3, 1, 0, 100, 1, 0, 0, 96]), "HTTP/1.1 400 "],
    ["no Host", "GET /livez HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "],
    ["a wrong version", "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "],
    ["a method that there is not", `FOO /livez ${local}\r\n`, ""],
    ["a huge header", `GET /livez ${local}X: ${"a".repeat(100_000)}\r\n\r\n`, "HTTP/1.1 431 "],
    ["too many headers", `GET /livez ${local}${"X: a\r\n".repeat(500)}\r\n`, "HTTP/1.1 431 "],
    ["a path without a slash", `GET livez ${local}\r\n`, "HTTP/1.1 400 "],
    ["two lengths", `PUT /x ${local}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, "HTTP/1.1 400 "],
    [
      "a broken chunk",
      `PUT /backends/app/endpoints/x ${local}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      "HTTP/1.1 400 ",
    ],
  ])("(%s) ends its own connection and nothing else", async (_, bytes, answer) => {
    const port = new FakePort();
    await using admin = new ServedAdmin(port);
    await using other = await connect(admin.tcpPort);
    const received = await exchange(admin.tcpPort, bytes);
    expect(received.startsWith(answer) && (answer !== "" || received === "")).toBe(true);
    expect(await answerOn(other, `GET /livez ${local}\r\n`, '{"live":true}')).toStartWith("HTTP/1.1 200 ");
    expect([port.touched, admin.mistakes]).toEqual([0, []]);
  });
});

test("a Host that makes no URL is no mistake: probes are answered, the rest is refused", async () => {
  await using admin = new ServedAdmin(new FakePort());
  for (const host of ["[::1", "a b/c?", "x/status#", ":", "%zz", "\u00fc"]) {
    await using peer = await connect(admin.tcpPort);
    const probe = await answerOn(peer, `GET /livez?x HTTP/1.1\r\nHost: ${host}\r\n\r\n`, "}");
    expect([host, probe.slice(0, 13), probe.endsWith('{"live":true}')]).toEqual([host, "HTTP/1.1 200 ", true]);
    expect(await answerOn(peer, `GET /status HTTP/1.1\r\nHost: ${host}\r\n\r\n`, "}")).toStartWith("HTTP/1.1 403 ");
  }
  // HTTP/1.0 has none, and what looks like one in the path is not it.
  expect(await exchange(admin.tcpPort, "GET //evil.example/status HTTP/1.0\r\n\r\n")).toStartWith("HTTP/1.1 404 ");
  expect(await exchange(admin.tcpPort, "GET /status HTTP/1.0\r\n\r\n")).toStartWith("HTTP/1.1 200 ");
  expect(admin.mistakes).toEqual([]);
});

test("the Host counts, and not the one of a whole URL in the request line", async () => {
  await using admin = new ServedAdmin(new FakePort());
  await using peer = await connect(admin.tcpPort);
  const forged = "GET http://127.0.0.1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n";
  expect(await answerOn(peer, forged, "}")).toStartWith("HTTP/1.1 403 ");
});

describe("bodies", () => {
  const path = "/backends/app/endpoints/10.0.0.1:80";
  const fill = new Uint8Array(1 << 20).fill(0x20);

  test("of 64 MB are answered with 413 at once, said to be long or not, and are kept nowhere", async () => {
    const port = new FakePort();
    await using admin = new ServedAdmin(port);
    const heads = [`Content-Length: ${64 << 20}\r\n\r\n`, "Transfer-Encoding: chunked\r\n\r\n"];
    for (const head of heads) {
      await using peer = await connect(admin.tcpPort);
      await peer.send(`PUT ${path} ${local}${head}`);
      const chunk = head.startsWith("T") ? Buffer.concat([Buffer.from("100000\r\n"), fill, Buffer.from("\r\n")]) : fill;
      const before = process.memoryUsage.rss();
      // The server closes the connection in the middle of it.
      for (let sent = 0; sent < 64 && peer.ending === undefined; sent++) await peer.send(chunk).catch(() => {});
      await until(
        () => peer.text().includes("at most 4096 bytes are read"),
        () => `413, after ${peer.text()}`,
      );
      expect(peer.text()).toStartWith("HTTP/1.1 413 ");
      expect(process.memoryUsage.rss() - before).toBeLessThan(40e6);
    }
    expect([port.touched, admin.mistakes]).toEqual([0, []]);
  });

  test("that do not come hold up nobody, and are given up with 408", async () => {
    const port = new FakePort();
    await using admin = new ServedAdmin(port);
    await using slow = await connect(admin.tcpPort);
    await slow.send(`PUT ${path} ${local}Content-Length: 12\r\n\r\n{"weig`);
    expect((await fetch(`${admin.url}/livez`)).status).toBe(200);
    await slow.closed();
    expect(slow.text()).toStartWith("HTTP/1.1 408 ");
    expect(slow.text()).toEndWith('{"error":"the body was not complete within 5 s"}');
    expect([port.touched, admin.mistakes]).toEqual([0, []]);
  });

  test("that break off are nobody's mistake", async () => {
    const port = new FakePort();
    await using admin = new ServedAdmin(port);
    await using leaves = await connect(admin.tcpPort);
    await leaves.send(`PUT ${path} ${local}Content-Length: 12\r\n\r\n{"weig`);
    leaves.reset();
    expect((await fetch(`${admin.url}/livez`)).status).toBe(200);
    expect([port.touched, admin.mistakes]).toEqual([0, []]);
  });

  test("are read in pieces, after Expect: 100-continue as well, and another request may follow", async () => {
    const port = new FakePort();
    await using admin = new ServedAdmin(port);
    await using peer = await connect(admin.tcpPort);
    await peer.send(`PUT ${path} ${local}Content-Length: 12\r\nExpect: 100-continue\r\n\r\n`);
    await until(() => peer.text() === "HTTP/1.1 100 Continue\r\n\r\n", "100 Continue");
    await peer.send('{"weig');
    expect(await answerOn(peer, 'ht":7}', "}")).toContain("HTTP/1.1 200 ");
    expect(await answerOn(peer, `GET /livez ${local}\r\n`, '{"live":true}')).toContain("HTTP/1.1 200 ");
    expect(port.changes).toEqual([["app", "10.0.0.1:80", { weight: 7 }]]);
  });

  test("where none is wanted change nothing", async () => {
    const port = new FakePort();
    await using admin = new ServedAdmin(port);
    const body = "x".repeat(10_000);
    expect((await fetch(`${admin.url}/shutdown`, { method: "POST", body })).status).toBe(202);
    expect((await fetch(`${admin.url}/reload`, { method: "POST", body })).status).toBe(409);
  });
});

test("what is silent is closed, after an answer as well; what waits for its answer or reads events is not", async () => {
  const port = new FakePort();
  const reload = Promise.withResolvers<never>();
  port.reloading = () => reload.promise;
  await using admin = new ServedAdmin(port);
  await using silent = await connect(admin.tcpPort);
  await using half = await connect(admin.tcpPort);
  await using idle = await connect(admin.tcpPort);
  await using waiting = await connect(admin.tcpPort);
  await using viewer = await connect(admin.tcpPort);
  await viewer.send(`GET /events ${local}\r\n`);
  await half.send("GET /livez HTTP/1.1\r\nHost: ");
  await answerOn(idle, `GET /connections ${local}\r\n`, "]}");
  await waiting.send(`POST /reload ${local}\r\n`);
  // Bun's idle timeout is one of 10 s, counted in steps of 4 s; the one for heads has 12.
  await Promise.all([silent, half, idle].map((peer) => peer.closed(20_000)));
  expect([waiting.ending, silent.text(), half.text()]).toEqual([undefined, "", ""]);
  reload.resolve({ kind: "refused", why: "at last" } as never);
  await until(() => waiting.text().endsWith('{"result":"refused","error":"at last"}'), "the answer to the reload");
  // 10 s are over when the twelfth sample comes.
  await until(
    () => viewer.text().split("event: sample\n").length > 12,
    () => `12 samples: ${viewer.text()}`,
  );
  expect([viewer.ending, waiting.ending]).toEqual([undefined, undefined]);
});

describe("event streams", () => {
  test("have the headers of every answer, and are the last on their connection", async () => {
    await using admin = new ServedAdmin(new FakePort());
    await using viewer = await connect(admin.tcpPort);
    await viewer.send(`GET /events ${local}\r\n`);
    await until(() => viewer.text().includes("event: status\n"), "the first status");
    const [head = ""] = viewer.text().toLowerCase().split("\r\n\r\n");
    const headers = ["content-type: text/event-stream", "connection: close", "x-content-type-options: nosniff"];
    expect(headers.filter((header) => !head.includes(header))).toEqual([]);
    admin.endHistory();
    await viewer.closed();
  });

  test("keep little for a viewer that does not read, who may go on later", async () => {
    const clock = new VirtualClock();
    const port = new FakePort();
    // A status of 160 KB.
    port.backends = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, index) => [`backend-${index}`, ["10.0.0.1:80"]]),
    );
    await using admin = new ServedAdmin(port, { clock });
    await using viewer = await connect(admin.tcpPort, { paused: true, keptBytesMax: 30e6 });
    await viewer.send(`GET /events ${local}\r\n`);
    await until(() => port.statuses === 1, "the viewer");
    const before = process.memoryUsage.rss();
    // Half an hour of it would be 300 MB. What else there is in the process comes and goes by some tens.
    for (let second = 0; second < 1_800; second++) {
      await clock.advance(1_000);
      expect((await fetch(`${admin.url}/livez`)).status).toBe(200);
    }
    Bun.gc(true);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200e6);
    viewer.resumeReading();
    const samples = (): number => viewer.text().split("event: sample\n").length - 1;
    await until(
      () => samples() === 1_800,
      () => `1,800 samples: there are ${samples()}, in ${viewer.received} bytes`,
    );
    // Statuses were left out, samples were not.
    expect(viewer.received).toBeLessThan(20e6);
    expect([viewer.ending, admin.mistakes]).toEqual([undefined, []]);
  });

  test("do not hold up the end of the server, nor do answers under way and connections that said nothing", async () => {
    const port = new FakePort();
    port.reloading = () => new Promise(() => {});
    await using admin = new ServedAdmin(port);
    await using viewer = await connect(admin.tcpPort);
    await using silent = await connect(admin.tcpPort);
    await using waiting = await connect(admin.tcpPort);
    await viewer.send(`GET /events ${local}\r\n`);
    await waiting.send(`POST /reload ${local}\r\n`);
    await until(() => viewer.text().includes("event: status\n") && port.reloads === 1, "the stream and the reload");
    const beganMs = performance.now();
    await admin.stop();
    await Promise.all([viewer, waiting].map((peer) => peer.closed()));
    expect(performance.now() - beganMs).toBeLessThan(500);
    // Bun leaves the one that has sent nothing to its timeout (Bun 1.4.5).
    expect(silent.ending).toBeUndefined();
    expect(admin.mistakes).toEqual([]);
  });
});

test("10,000 connections are listed within the answer, while probes are answered in between", async () => {
  const port = new FakePort();
  port.open = Array.from({ length: 10_000 }, (_, index) => connectionStatus(index + 1));
  await using admin = new ServedAdmin(port);
  const [listed, probe] = await Promise.all([
    fetch(`${admin.url}/connections?limit=100000`),
    fetch(`${admin.url}/livez`),
  ]);
  const { total, connections } = (await listed.json()) as { total: number; connections: object[] };
  expect([total, connections.length, probe.status]).toEqual([10_000, 10_000, 200]);
});
