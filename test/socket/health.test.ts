/** Health checks of real endpoints: what each kind of check makes of each way to answer, and that nothing stays open. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../src/backend/backend.ts";
import { Dialer } from "../../src/backend/dial.ts";
import { Endpoint, type Health } from "../../src/backend/endpoint.ts";
import type { Outcome } from "../../src/backend/health/check.ts";
import { HealthChecks } from "../../src/backend/health/health-checks.ts";
import type { HealthSettings } from "../../src/backend/health/settings.ts";
import { parseAddress } from "../../src/core/address.ts";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import { listen, type ConnectionHandler } from "../support/backend.ts";
import { tcpSockets } from "../support/descriptors.ts";
import { backendOf, patientChecks } from "../support/fake-check-dialer.ts";
import { watchLeaks } from "../support/leaks.ts";
import type { Peer } from "../support/peer.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

watchLeaks();

const encoder = new TextEncoder();
const { tcp: patient, http, ping } = patientChecks;
/** Both ways to dial: with a descriptor of our own, and with `Bun.connect` and an address. */
const ways = [
  { way: "by descriptor", portable: false },
  { way: "portably", portable: true },
];

function endpointOf(text: string, portable = false): Endpoint {
  const address = parseAddress(text);
  if (!address.ok) throw new Error(`${text} is no address`);
  const endpoint = new Endpoint(address.value, address.value, { weight: 1, backup: false, connectionsMax: 0 });
  return portable ? Object.assign(endpoint, { socketAddress: undefined }) : endpoint;
}

/** Checks of endpoints that have begun; stopped at the end of their scope. */
class Running implements AsyncDisposable {
  readonly dialer = new Dialer();
  readonly backend: Backend;
  readonly checks: HealthChecks;
  readonly started: Promise<void>;
  /** "up → down: status 503". */
  readonly changes: string[] = [];

  constructor(endpoints: readonly Endpoint[], settings: HealthSettings, clock: Clock = systemClock) {
    this.backend = backendOf(clock, ...endpoints);
    this.checks = new HealthChecks(this.backend, settings, this.dialer, undefined, clock, () => 0.5, {
      onChange: (_, from, to, why) => this.changes.push(`${from} → ${to}: ${why}`),
      onMistake(_, error) {
        throw error;
      },
    });
    this.started = this.checks.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.checks.stop();
    await this.started;
    expect(this.dialer.pending).toBe(0);
  }
}

/** What a first check came to, and what the endpoint is then. */
interface Found extends Outcome {
  readonly health: Health;
}

const good = (why: string): Found => ({ result: "good", why, health: "up" });
const bad = (why: string): Found => ({ result: "bad", why, health: "down" });

function found({ checks }: Running, endpoint: Endpoint): Found {
  const { result, why } = checks.counts(endpoint)!.last!;
  return { result, why, health: endpoint.health };
}

/** The first check of an endpoint. */
async function firstCheck(address: string, settings: HealthSettings, portable = false): Promise<Found> {
  const endpoint = endpointOf(address, portable);
  await using running = new Running([endpoint], settings);
  await running.started;
  return found(running, endpoint);
}

/** The first check of an endpoint, whose time is over once `ready` has resolved. */
async function overdueCheck(address: string, settings: HealthSettings, ready: () => Promise<unknown>): Promise<Found> {
  const clock = new VirtualClock();
  const endpoint = endpointOf(address);
  await using running = new Running([endpoint], settings, clock);
  await ready();
  expect(running.checks.counts(endpoint)!.last).toBeUndefined();
  await clock.advance(settings.timeoutMs);
  return found(running, endpoint);
}

/** Resolves when everything that was sent to or from this port has been read. */
async function allRead(port: number): Promise<void> {
  await until(
    () =>
      tcpSockets(port).every(
        ({ state, sendQueueBytes, receiveQueueBytes }) =>
          state === "LISTEN" || (sendQueueBytes === 0 && receiveQueueBytes === 0),
      ),
    "everything to be read",
  );
}

/** Answers as soon as the request has come whole. */
function answering(answer: string, then: (peer: Peer) => void | Promise<void> = () => {}): ConnectionHandler {
  return async (peer) => {
    await until(
      () => peer.text().endsWith("\r\n\r\n"),
      () => `a request: ${peer.text()}`,
    );
    await peer.send(answer);
    await then(peer);
  };
}

for (const { way, portable } of ways) {
  describe(`${way}, tcp`, () => {
    test("an endpoint that accepts is good; it is sent nothing and sees a reset", async () => {
      await using backend = await listen();
      expect(await firstCheck(backend.address, patient, portable)).toEqual(good("connected"));
      const peer = await backend.accepted();
      expect(await peer.wasReset()).toBe("ECONNRESET");
      expect(peer.received).toBe(0);
    });

    test("a port that nobody listens on is bad", async () => {
      using refused = refusedPort();
      expect(await firstCheck(refused.address, patient, portable)).toEqual(bad("connection refused"));
    });

    test("a check leaves no connection in TIME_WAIT or any other state", async () => {
      await using backend = await listen();
      expect(await firstCheck(backend.address, patient, portable)).toEqual(good("connected"));
      await (await backend.accepted()).gone();
      await until(
        () => tcpSockets(backend.port).every(({ state }) => state === "LISTEN"),
        () =>
          `only the listener to be left: ${tcpSockets(backend.port)
            .map(({ state }) => state)
            .join(", ")}`,
      );
    });
  });
}

describe("tcp", () => {
  test("a host that does not answer is bad when the time is over, and its attempt is taken back", async () => {
    await using host = await silentHost();
    const attempted = (): Promise<void> => until(() => host.attempts() === 1, "the SYN to be sent");
    expect(await overdueCheck(host.address, patient, attempted)).toEqual(bad("no connection within 10s"));
    await until(() => host.attempts() === 0, "the SYN to be repeated no more");
  });

  test("an endpoint that speaks first, or finishes at once, is good all the same", async () => {
    await using chatty = await listen((peer) => peer.send("220 hello\r\n"));
    expect(await firstCheck(chatty.address, patient)).toEqual(good("connected"));
    await using brief = await listen((peer) => peer.finish());
    expect(await firstCheck(brief.address, patient)).toEqual(good("connected"));
  });

  test("IPv6 and Unix sockets are checked as well", async () => {
    await using six = await listen(undefined, { host: "::1" });
    expect(await firstCheck(six.address, patient)).toEqual(good("connected"));
    const folder = mkdtempSync(join(tmpdir(), "sluice-health-"));
    try {
      const path = join(folder, "app.sock");
      await using unix = await listen(
        answering("HTTP/1.1 200 OK\r\n\r\n", (peer) => peer.finish()),
        { unix: path },
      );
      for (const { portable } of ways) {
        expect(await firstCheck(unix.address, patient, portable)).toEqual(good("connected"));
        expect(await firstCheck(unix.address, http, portable)).toEqual(good("status 200"));
        expect(await firstCheck(`${unix.address}.none`, http, portable)).toEqual(bad("connection refused (ENOENT)"));
      }
      expect(unix.connections[1]!.text()).toContain("\r\nHost: localhost\r\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("the header that says the connection is ours comes before everything else", async () => {
    const header = encoder.encode("PROXY UNKNOWN\r\n");
    await using backend = await listen(answering("HTTP/1.1 200 OK\r\n\r\n", (peer) => peer.finish()));
    expect(await firstCheck(backend.address, { ...http, header })).toEqual(good("status 200"));
    expect((await backend.accepted()).text()).toStartWith("PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n");
  });
});

describe("http", () => {
  test("a good status is good, and the endpoint gets the whole request", async () => {
    await using backend = await listen(answering("HTTP/1.1 200 OK\r\n\r\n", (peer) => peer.finish()));
    expect(await firstCheck(backend.address, http)).toEqual(good("status 200"));
    const peer = await backend.accepted();
    expect(peer.text()).toBe(
      `GET /healthz HTTP/1.1\r\nHost: ${backend.address}\r\nUser-Agent: sluice-health\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
    );
  });

  test("an answer is read out after its verdict, and finished after the endpoint", async () => {
    await using backend = await listen(answering("HTTP/1.1 200 OK\r\n"));
    const endpoint = endpointOf(backend.address);
    await using running = new Running([endpoint], http);
    await running.started;
    expect(found(running, endpoint)).toEqual(good("status 200"));
    const peer = await backend.accepted();
    const body = "x".repeat(50_000);
    await peer.send(`Content-Length: ${body.length}\r\n\r\n${body}`);
    await allRead(backend.port);
    expect(peer.ending).toBeUndefined();
    await peer.finish();
    expect(await peer.closed()).toEqual({ how: "finished" });
    await peer.gone();
  });

  test("an answer that never ends is cut off with a reset", async () => {
    const endless: ConnectionHandler = answering("HTTP/1.1 200 OK\r\n\r\n", async (peer) => {
      for (;;) await peer.send("x".repeat(10_000), Infinity);
    });
    await using backend = await listen(endless);
    await using running = new Running([endpointOf(backend.address)], http);
    await running.started;
    expect(["ECONNRESET", "EPIPE"]).toContain(await (await backend.accepted()).wasReset());
  });

  test("an endpoint that keeps the connection open is left when the time is over", async () => {
    await using backend = await listen(answering("HTTP/1.1 200 OK\r\n\r\n"));
    const clock = new VirtualClock();
    const endpoint = endpointOf(backend.address);
    await using running = new Running([endpoint], http, clock);
    await running.started;
    const peer = await backend.accepted();
    await allRead(backend.port);
    expect(peer.ending).toBeUndefined();
    await clock.advance(http.timeoutMs);
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(found(running, endpoint)).toEqual(good("status 200"));
  });

  test.each([
    ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"],
    ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"],
    ["HTTP/1.1 100 Continue\r\n\r\n", "status 100"],
    ["SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP/1"],
    ["\0\0\0\0", "the answer is not HTTP/1"],
    [`HTTP/1.1 200 ${"x".repeat(70_000)}\r\n`, "the answer is not HTTP/1"],
  ])("%j is bad", async (answer, why) => {
    await using backend = await listen(answering(answer.slice(0, 80_000)));
    expect(await firstCheck(backend.address, http)).toEqual(bad(why));
  });

  test("a port that nobody listens on is bad", async () => {
    using refused = refusedPort();
    expect(await firstCheck(refused.address, http)).toEqual(bad("connection refused"));
  });

  test("silence is bad when the time is over, and part of a status line too", async () => {
    await using silent = await listen();
    const asked = async (): Promise<unknown> => (await silent.accepted()).receivedBytes(1);
    expect(await overdueCheck(silent.address, http, asked)).toEqual(bad("no answer within 10s"));
    expect(await silent.connections[0]!.wasReset()).toBe("ECONNRESET");
    await using partial = await listen(answering("HTTP/1.1 200 O"));
    const answered = async (): Promise<void> => {
      const peer = await partial.accepted();
      await until(() => peer.sent > 0, "a beginning of an answer");
      await allRead(partial.port);
    };
    expect(await overdueCheck(partial.address, http, answered)).toEqual(bad("no complete answer within 10s"));
  });

  test.each([
    ["", "closed without an answer"],
    ["HTTP/1.1 200", "closed in the middle of the answer"],
    ["HTTP/1.1 200 OK\r", "closed in the middle of the answer"],
  ])("a FIN after %j is bad", async (answer, why) => {
    await using backend = await listen(answering(answer, (peer) => peer.finish()));
    expect(await firstCheck(backend.address, http)).toEqual(bad(why));
  });

  test("a reset is bad, be it before or in the middle of an answer", async () => {
    for (const answer of ["", "HTTP/1.1 200"]) {
      await using backend = await listen(answering(answer, (peer) => peer.reset()));
      expect(await firstCheck(backend.address, http)).toEqual(bad("connection reset"));
    }
  });

  test("an endpoint that has answered before it resets has answered", async () => {
    await using backend = await listen(
      answering("HTTP/1.1 200 OK\r\n\r\n", async (peer) => {
        await allRead(backend.port);
        peer.reset();
      }),
    );
    expect(await firstCheck(backend.address, http)).toEqual(good("status 200"));
  });

  test("an answer that comes byte by byte is good", async () => {
    await using backend = await listen(
      answering("", async (peer) => {
        for (const byte of "HTTP/1.1 204 No Content\r\n") {
          await peer.send(byte);
          // Each in a segment of its own.
          await allRead(backend.port);
        }
        await peer.send("\r\n");
        await peer.finish();
      }),
    );
    // On a busy machine the kernel's table of sockets is long, and it is read for each byte.
    expect(await firstCheck(backend.address, { ...http, timeoutMs: 25_000 })).toEqual(good("status 204"));
  });

  test("a real server of HTTP is judged by what it answers for the path and the host", async () => {
    const asked: string[] = [];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname, host } = new URL(request.url);
        asked.push(`${request.method} ${host}${pathname} ${request.headers.get("user-agent")}`);
        return new Response("fine\n", { status: pathname === "/healthz" ? 200 : 500 });
      },
    });
    const address = `127.0.0.1:${server.port}`;
    expect(await firstCheck(address, http)).toEqual(good("status 200"));
    expect(await firstCheck(address, { ...http, path: "/" })).toEqual(bad("status 500"));
    expect(await firstCheck(address, { ...http, host: "app.example" })).toEqual(good("status 200"));
    expect(asked).toEqual([
      `GET ${address}/healthz sluice-health`,
      `GET ${address}/ sluice-health`,
      "GET app.example/healthz sluice-health",
    ]);
    await server.stop(true);
  });
});

describe("exchange", () => {
  /** Answers to PING. */
  const redis: ConnectionHandler = async (peer) => {
    await until(
      () => peer.text() === "PING\r\n",
      () => `a PING: ${peer.text()}`,
    );
    await peer.send("+PONG\r\n");
  };

  test("the expected answer is good, and the endpoint sees a reset", async () => {
    await using backend = await listen(redis);
    expect(await firstCheck(backend.address, ping)).toEqual(good("the expected answer"));
    expect(await (await backend.accepted()).wasReset()).toBe("ECONNRESET");
  });

  test("an endpoint that speaks first is good without being sent anything", async () => {
    await using backend = await listen((peer) => peer.send("220 mail ESMTP\r\n"));
    const settings = { ...ping, send: new Uint8Array(0), expect: encoder.encode("220 ") };
    expect(await firstCheck(backend.address, settings)).toEqual(good("the expected answer"));
    const peer = await backend.accepted();
    await peer.wasReset();
    expect(peer.received).toBe(0);
  });

  test("bytes that are no text are sent and compared as they are", async () => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    await using backend = await listen(async (peer) => {
      await peer.send((await peer.read(256)).toReversed());
    });
    expect(await firstCheck(backend.address, { ...ping, send: all, expect: all.toReversed() })).toEqual(
      good("the expected answer"),
    );
  });

  test("another answer is bad with its first byte that differs, however long the endpoint goes on", async () => {
    await using backend = await listen((peer) => peer.send("+PORT"));
    expect(await firstCheck(backend.address, ping)).toEqual(bad('unexpected answer "+PORT"'));
  });

  test("silence and half an answer are bad when the time is over", async () => {
    await using silent = await listen();
    const asked = async (): Promise<unknown> => (await silent.accepted()).receivedBytes(6);
    expect(await overdueCheck(silent.address, ping, asked)).toEqual(bad("no answer within 10s"));
    await using half = await listen((peer) => peer.send("+PO"));
    const answered = async (): Promise<void> => {
      await (await half.accepted()).receivedBytes(6);
      await allRead(half.port);
    };
    expect(await overdueCheck(half.address, ping, answered)).toEqual(bad("no complete answer within 10s"));
  });

  test("a FIN or a reset before the answer is whole is bad", async () => {
    await using finishing = await listen((peer) => peer.finish());
    expect(await firstCheck(finishing.address, ping)).toEqual(bad("closed without an answer"));
    await using halfway = await listen(async (peer) => {
      await peer.send("+PO");
      await peer.finish();
    });
    expect(await firstCheck(halfway.address, ping)).toEqual(bad("closed in the middle of the answer"));
    await using resetting = await listen(async (peer) => {
      await peer.read(6);
      peer.reset();
    });
    expect(await firstCheck(resetting.address, ping)).toEqual(bad("connection reset"));
  });

  test("an answer that comes byte by byte is good", async () => {
    await using backend = await listen(async (peer) => {
      for (const byte of "+PONG") {
        await peer.send(byte);
        await allRead(backend.port);
      }
    });
    expect(await firstCheck(backend.address, ping)).toEqual(good("the expected answer"));
  });

  test("that expects nothing is good when all is taken, which then arrives whole, before a FIN", async () => {
    const send = new Uint8Array(2_000_000).fill(7);
    await using backend = await listen();
    expect(await firstCheck(backend.address, { ...ping, send, expect: new Uint8Array(0) })).toEqual(good("taken"));
    const peer = await backend.accepted();
    await peer.finished();
    expect(peer.received).toBe(send.length);
  });

  test("that expects nothing is bad when the endpoint does not take it all", async () => {
    const send = new Uint8Array(20_000_000);
    await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 10_000 });
    const settings = { ...ping, send, expect: new Uint8Array(0) };
    expect(await overdueCheck(backend.address, settings, () => backend.accepted())).toEqual(
      bad("what is sent was not taken within 10s"),
    );
  });
});

describe("over time", () => {
  test("an endpoint goes down after so many bad checks and up after so many good ones", async () => {
    let answer = "+PONG";
    const answers: string[] = [];
    await using backend = await listen(async (peer) => {
      answers.push(answer);
      await peer.send(answer);
    });
    const endpoint = endpointOf(backend.address);
    await using running = new Running([endpoint], { ...ping, intervalMs: 10, rise: 2, fall: 3 });
    await running.started;
    expect(endpoint.health).toBe("up");
    answer = "-ERR";
    await until(() => endpoint.health === "down", "the endpoint to be down");
    const { bad: bads } = running.checks.counts(endpoint)!;
    answer = "+PONG";
    await until(() => endpoint.health === "up", "the endpoint to be up");
    expect(running.changes).toEqual([
      "unknown → up: the expected answer",
      'up → down: unexpected answer "-ERR"',
      "down → up: the expected answer",
    ]);
    expect(bads).toBeGreaterThanOrEqual(3);
    expect(answers.slice(-2)).toEqual(["+PONG", "+PONG"]);
  });

  test("stopping in the middle of a check ends its connection with a reset", async () => {
    await using backend = await listen();
    const endpoint = endpointOf(backend.address);
    await using running = new Running([endpoint], ping);
    const peer = await backend.accepted();
    await peer.read(6);
    running.checks.stop();
    await running.started;
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(endpoint.health).toBe("unknown");
  });

  test("removing an endpoint in the middle of a check ends its connection", async () => {
    await using backend = await listen();
    await using running = new Running([endpointOf(backend.address)], ping);
    const peer = await backend.accepted();
    await peer.read(6);
    running.backend.setEndpoints([]);
    await running.started;
    expect(await peer.wasReset()).toBe("ECONNRESET");
  });

  test("three hundred endpoints are known at the start, after one connection each", async () => {
    await using backend = await listen((peer) => peer.send("+PONG"));
    const endpoints = Array.from({ length: 300 }, () => endpointOf(backend.address));
    await using running = new Running(endpoints, ping);
    await running.started;
    expect(endpoints.every(({ health }) => health === "up")).toBe(true);
    expect(backend.connections.length).toBe(300);
  });
});
