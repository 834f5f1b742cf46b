/** One check: what it sends, what it makes of each thing that can happen, how it leaves, and that it is over once. */
import { describe, expect, test } from "bun:test";
import { Check, readOutBytesMax, type CheckOwner, type Outcome } from "../../src/backend/health/check.ts";
import { scriptFor } from "../../src/backend/health/script.ts";
import type { HealthSettings } from "../../src/backend/health/settings.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import type { Originator } from "../../src/tls/originator.ts";
import { endpointAt, FakeCheckDialer, tcpChecks, type FakeAttempt } from "../support/fake-check-dialer.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const http: HealthSettings = { ...tcpChecks, type: "http", path: "/up" };
const ping: HealthSettings = { ...tcpChecks, type: "exchange", send: bytes("PING\r\n"), expect: bytes("+PONG") };
const greeting: HealthSettings = { ...ping, send: new Uint8Array(0), expect: bytes("220 ") };
const sendOnly: HealthSettings = { ...ping, expect: new Uint8Array(0) };

/** Never asked anything: what matters is that it is there. */
const someTls = {} as Originator;

/** One check with all that it does. */
class Harness implements CheckOwner {
  readonly clock = new VirtualClock();
  readonly dialer = new FakeCheckDialer();
  /** What the owner was told, in order; a verdict as "good: why". */
  readonly told: string[] = [];
  /** Called with each thing that is told. */
  onTold: (what: string) => void = () => {};
  readonly check: Check;

  constructor(
    settings: HealthSettings,
    { endpoint = endpointAt(8080), tls }: { endpoint?: Endpoint; tls?: Originator } = {},
  ) {
    const script = scriptFor(settings, endpoint, tls !== undefined);
    const { header, headerInsideTls, timeoutMs } = settings;
    const request = { endpoint, header, headerInsideTls, tls };
    this.check = new Check({ request, script, dialer: this.dialer, clock: this.clock, timeoutMs }, this);
  }

  /** Begins, and has the connection made. */
  connected(room = Infinity): FakeAttempt {
    this.check.begin();
    this.dialer.last.room = room;
    return this.dialer.last.connect();
  }

  judged({ result, why }: Outcome): void {
    this.#tell(`${result}: ${why}`);
  }

  over(): void {
    this.#tell("over");
  }

  mistaken(error: Error): void {
    this.#tell(`mistaken: ${error.message}`);
  }

  /** It is over, left in this way, and no timer is left of it. */
  expectOver(told: string, state: FakeAttempt["state"]): void {
    expect(this.told).toEqual([told, "over"]);
    expect(this.dialer.last.state).toBe(state);
    expect(this.clock.pendingTimers).toBe(0);
  }

  #tell(what: string): void {
    this.told.push(what);
    this.onTold(what);
  }
}

describe("connecting", () => {
  test("a tcp check is good once it is connected, sends nothing, and leaves with a reset", () => {
    const harness = new Harness(tcpChecks);
    const { written } = harness.connected();
    expect(written).toBe("");
    harness.expectOver("good: connected", "reset");
  });

  test.each([
    ["refused", "ECONNREFUSED", "bad: connection refused"],
    ["refused", "ENOENT", "bad: connection refused (ENOENT)"],
    ["timeout", "ETIMEDOUT", "bad: no connection (ETIMEDOUT)"],
    ["unreachable", "EHOSTUNREACH", "bad: unreachable (EHOSTUNREACH)"],
    ["unreachable", "ECONNRESET", "bad: connection reset"],
    ["tls", "certificate has expired", "bad: TLS handshake failed: certificate has expired"],
    ["local", "EMFILE", "inconclusive: cannot connect: EMFILE"],
  ] as const)("a dial that fails with %p, %p is %p", (kind, code, told) => {
    for (const when of ["at once", "later"]) {
      const harness = new Harness(http);
      if (when === "at once") harness.dialer.atOnce = { kind, code };
      harness.check.begin();
      if (when === "later") harness.dialer.last.fail(kind, code);
      harness.expectOver(told, "failed");
    }
  });

  test("a dial that lasts as long as a whole check may is taken back and bad", async () => {
    const harness = new Harness(http);
    harness.check.begin();
    await harness.clock.advance(399);
    expect(harness.told).toEqual([]);
    await harness.clock.advance(1);
    harness.expectOver("bad: no connection within 400ms", "cancelled");
  });

  test("the endpoint, the header and TLS are the dialer's business", () => {
    const endpoint = endpointAt(8080);
    const header = bytes("PROXY UNKNOWN\r\n");
    for (const headerInsideTls of [false, true]) {
      const harness = new Harness({ ...ping, header, headerInsideTls }, { endpoint, tls: someTls });
      expect(harness.connected().written).toBe("PING\r\n");
      expect(harness.dialer.last.request).toEqual({ endpoint, header, headerInsideTls, tls: someTls });
    }
  });
});

describe("http", () => {
  test("asks the endpoint by its own name, or by the configured one", () => {
    expect(new Harness(http).connected().written).toStartWith("GET /up HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n");
    expect(new Harness(http, { endpoint: endpointAt(443), tls: someTls }).connected().written).toContain(
      "\r\nHost: 127.0.0.1\r\n",
    );
    expect(new Harness({ ...http, host: "app" }).connected().written).toContain("\r\nHost: app\r\n");
  });

  test("has its verdict with the status line, reads the rest out, and finishes after the endpoint", () => {
    const harness = new Harness(http);
    const connection = harness.connected();
    connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    expect(harness.told).toEqual(["good: status 200"]);
    connection.answer("\r\nok");
    expect(connection.state).toBe("connected");
    connection.data.finished();
    harness.expectOver("good: status 200", "finished");
  });

  test("a bad status is read out as well", () => {
    const harness = new Harness(http);
    const connection = harness.connected();
    connection.answer("HTTP/1.1 503 Sorry\r\n\r\n");
    expect(harness.told).toEqual(["bad: status 503"]);
    connection.data.finished();
    harness.expectOver("bad: status 503", "finished");
  });

  test("an endpoint that goes on for ever is cut off, by bytes and by time", async () => {
    const long = new Harness(http);
    const stream = long.connected();
    stream.answer("HTTP/1.1 200 OK\r\n");
    stream.answer("x".repeat(readOutBytesMax));
    expect(stream.state).toBe("connected");
    stream.answer("x");
    long.expectOver("good: status 200", "reset");

    const open = new Harness(http);
    open.connected().answer("HTTP/1.1 200 OK\r\n\r\n");
    await open.clock.advance(399);
    expect(open.told).toEqual(["good: status 200"]);
    await open.clock.advance(1);
    open.expectOver("good: status 200", "reset");
  });

  test("a reset behind the status line changes nothing", () => {
    const harness = new Harness(http);
    const connection = harness.connected();
    connection.answer("HTTP/1.1 200 OK\r\n");
    connection.data.closed(new Error("ECONNRESET"));
    expect(harness.told).toEqual(["good: status 200", "over"]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("something else than HTTP is bad at its first byte, and left with a reset", () => {
    const harness = new Harness(http);
    harness.connected().answer("S");
    harness.expectOver("bad: the answer is not HTTP/1", "reset");
  });

  test.each([
    ["", "no answer within 400ms"],
    ["HTTP/1.1 20", "no complete answer within 400ms"],
  ])("after %p and silence it is bad when its time is over, counted from the dial", async (answer, why) => {
    const harness = new Harness(http);
    harness.check.begin();
    await harness.clock.advance(300);
    harness.dialer.last.connect().answer(answer);
    await harness.clock.advance(99);
    expect(harness.told).toEqual([]);
    await harness.clock.advance(1);
    harness.expectOver(`bad: ${why}`, "reset");
  });

  test.each([
    ["", "closed without an answer"],
    ["HTTP/1.1 200 OK", "closed in the middle of the answer"],
  ])("after %p a FIN is bad", (answer, why) => {
    for (const how of ["finished", "closed"] as const) {
      const harness = new Harness(http);
      const connection = harness.connected();
      connection.answer(answer);
      if (how === "finished") connection.data.finished();
      else connection.data.closed(undefined);
      harness.expectOver(`bad: ${why}`, "reset");
    }
  });

  test("a reset is bad, whatever came before", () => {
    const harness = new Harness(http);
    const connection = harness.connected();
    connection.answer("HTTP/1.1 200 OK");
    connection.data.closed(new Error("ECONNRESET"));
    harness.expectOver("bad: connection reset", "reset");
  });

  test("a request that is taken in pieces is sent whole and once", () => {
    const whole = new Harness(http).connected().written;
    const harness = new Harness(http);
    const connection = harness.connected(0);
    expect(connection.written).toBe("");
    while (connection.written.length < whole.length) {
      connection.room = 10;
      connection.data.writable();
    }
    connection.room = Infinity;
    connection.data.writable();
    expect(connection.written).toBe(whole);
    connection.answer("HTTP/1.1 200 OK\r\n");
    connection.data.writable();
    expect(connection.written).toBe(whole);
    expect(harness.told).toEqual(["good: status 200"]);
  });

  test("a write that tells of a reset is no verdict yet: an answer may lie there", () => {
    const answered = new Harness(http);
    answered.connected(-1).answer("HTTP/1.1 200 OK\r\n");
    expect(answered.told).toEqual(["good: status 200"]);

    for (const how of ["finished", "closed"] as const) {
      const harness = new Harness(http);
      const connection = harness.connected(-1);
      connection.room = Infinity;
      connection.data.writable();
      expect(connection.written).toBe("");
      if (how === "finished") connection.data.finished();
      else connection.data.closed(undefined);
      harness.expectOver("bad: connection reset", "reset");
    }
  });
});

describe("exchange", () => {
  test("is good with the last expected byte, which may come alone", () => {
    const harness = new Harness(ping);
    const connection = harness.connected();
    expect(connection.written).toBe("PING\r\n");
    for (const byte of "+PON") connection.answer(byte);
    expect(harness.told).toEqual([]);
    connection.answer("G\r\n");
    harness.expectOver("good: the expected answer", "reset");
  });

  test("is bad with the first byte that differs", () => {
    const harness = new Harness(ping);
    const connection = harness.connected();
    connection.answer("+");
    connection.answer("O");
    harness.expectOver('bad: unexpected answer "+O"', "reset");
  });

  test("may wait for an endpoint that speaks first", () => {
    const harness = new Harness(greeting);
    const connection = harness.connected();
    expect(connection.written).toBe("");
    connection.answer("220 mail.example.com ESMTP\r\n");
    harness.expectOver("good: the expected answer", "reset");
  });

  test("does not wait until everything is sent when the answer is there", () => {
    const harness = new Harness(ping);
    harness.connected(3).answer("+PONG");
    harness.expectOver("good: the expected answer", "reset");
  });

  test("that expects nothing is good once everything is taken, and leaves with a FIN behind it", async () => {
    const harness = new Harness(sendOnly);
    const connection = harness.connected(4);
    connection.answer("whatever");
    expect(harness.told).toEqual([]);
    connection.room = Infinity;
    connection.data.writable();
    expect(connection.written).toBe("PING\r\n");
    harness.expectOver("good: taken", "finished");
  });

  test("that expects nothing is bad when the endpoint closes before, or does not take it", async () => {
    const closed = new Harness(sendOnly);
    closed.connected(4).data.finished();
    closed.expectOver("bad: closed before it had taken what is sent", "reset");
    const stuck = new Harness(sendOnly);
    stuck.connected(4);
    await stuck.clock.advance(400);
    stuck.expectOver("bad: what is sent was not taken within 400ms", "reset");
  });

  test("that neither sends nor expects is a tcp check", () => {
    const harness = new Harness({ ...sendOnly, send: new Uint8Array(0) });
    harness.connected();
    harness.expectOver("good: connected", "reset");
  });
});

describe("cancelling", () => {
  test("a dial takes it back, and nothing is told", () => {
    const harness = new Harness(http);
    harness.check.begin();
    harness.check.cancel();
    expect(harness.told).toEqual([]);
    expect(harness.dialer.last.state).toBe("cancelled");
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("a connection resets it, before and after the verdict, and nothing more is told", () => {
    for (const answer of ["", "HTTP/1.1 200 OK\r\n"]) {
      const harness = new Harness(http);
      const connection = harness.connected();
      connection.answer(answer);
      const before = [...harness.told];
      harness.check.cancel();
      connection.answer("HTTP/1.1 200 OK\r\n");
      connection.data.finished();
      connection.data.writable();
      expect(harness.told).toEqual(before);
      expect(connection.state).toBe("reset");
      expect(harness.clock.pendingTimers).toBe(0);
    }
  });

  test("while the verdict is told, it is the last thing told", () => {
    for (const answer of ["HTTP/1.1 200 OK\r\n", "garbage"]) {
      const harness = new Harness(http);
      const connection = harness.connected();
      harness.onTold = () => harness.check.cancel();
      connection.answer(answer);
      expect(harness.told.length).toBe(1);
      expect(connection.state).toBe("reset");
      expect(harness.clock.pendingTimers).toBe(0);
    }
  });
});

describe("a mistake of ours", () => {
  test("in the dialer makes the check inconclusive", () => {
    const harness = new Harness(http);
    harness.dialer.atOnce = new Error("mistake");
    harness.check.begin();
    expect(harness.told).toEqual(["mistaken: mistake", "inconclusive: a mistake of ours: mistake", "over"]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("in a handler before the verdict does so too, and nothing is left open", () => {
    for (const phase of ["dialing", "talking"]) {
      const harness = new Harness(http);
      harness.check.begin();
      if (phase === "talking") harness.dialer.last.connect();
      harness.check.handlerFailed(new Error("mistake"));
      expect(harness.told).toEqual(["mistaken: mistake", "inconclusive: a mistake of ours: mistake", "over"]);
      expect(harness.dialer.open).toEqual([]);
      expect(harness.clock.pendingTimers).toBe(0);
    }
  });

  test.each(["HTTP/1.1 200 OK\r\n", "garbage"])("of the owner, told of %p, ends the check all the same", (answer) => {
    const harness = new Harness(http);
    const connection = harness.connected();
    harness.onTold = (what) => {
      if (!what.startsWith("mistaken") && what !== "over") throw new Error("mistake");
    };
    connection.answer(answer);
    expect(harness.told).toEqual([expect.stringMatching(/^(good|bad)/), "mistaken: mistake", "over"]);
    expect(connection.state).toBe("reset");
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("of the owner, told that the time is over, stays here", async () => {
    const harness = new Harness(http);
    harness.connected();
    harness.onTold = (what) => {
      if (what.startsWith("bad")) throw new Error("mistake");
    };
    await harness.clock.advance(400);
    expect(harness.told).toEqual(["bad: no answer within 400ms", "mistaken: mistake", "over"]);
  });
});
