/** Health checks over TLS: the handshake belongs to the check, and the rest goes through it. */
import { describe, expect, test } from "bun:test";
import type { Socket, SocketHandler } from "bun";
import { Dialer } from "../../src/backend/dial.ts";
import type { Outcome } from "../../src/backend/health/check.ts";
import { HealthChecks } from "../../src/backend/health/health-checks.ts";
import type { HealthSettings } from "../../src/backend/health/settings.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { Originator } from "../../src/tls/originator.ts";
import { listen } from "../support/backend.ts";
import { certificate } from "../support/certificates.ts";
import { backendOf, endpointAt, patientChecks } from "../support/fake-check-dialer.ts";
import { watchLeaks } from "../support/leaks.ts";
import { lacks } from "../support/programs.ts";
import { originatorOf } from "../support/tls.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

watchLeaks();

const encoder = new TextEncoder();
const { tcp: patient, http, ping } = patientChecks;

/** Trusts this authority and no other. The server's is "ca". */
function trusting(ca: "ca" | "otherCa" = "ca", serverName: string | null = null): Originator {
  return originatorOf({ ca, serverName });
}

/** What the servers here show: a.test and 127.0.0.1. */
function serverTls(): { cert: string; key: string } {
  const { cert, key } = certificate("a");
  return { cert, key };
}

/** A connection of a server over TLS. */
interface Accepted {
  readonly socket: Socket<Accepted>;
  text: string;
  how: "open" | "finished" | "closed" | "reset";
}

/** A server over TLS that answers what `answer` makes of what it got so far. */
class TlsServer implements Disposable {
  readonly accepted: Accepted[] = [];
  readonly #listener: { readonly port: number; stop(closeOpen: boolean): void };

  constructor(answer: (connection: Accepted) => void) {
    const socket: SocketHandler<Accepted | undefined> = {
      open: (opened) => {
        const connection: Accepted = { socket: opened as Socket<Accepted>, text: "", how: "open" };
        opened.data = connection;
        this.accepted.push(connection);
      },
      data({ data: connection }, chunk) {
        connection!.text += chunk.toString("latin1");
        answer(connection!);
      },
      end({ data: connection }) {
        if (connection !== undefined) connection.how = "finished";
      },
      close({ data: connection }, error) {
        // Of a handshake that came to nothing only this is told (Bun 1.4.5).
        if (connection === undefined) return;
        if (error !== undefined) connection.how = "reset";
        else if (connection.how === "open") connection.how = "closed";
      },
    };
    const listen = Bun.listen as unknown as (options: object) => { port: number; stop(closeOpen: boolean): void };
    this.#listener = listen({ hostname: "127.0.0.1", port: 0, tls: serverTls(), allowHalfOpen: true, socket });
  }

  get port(): number {
    return this.#listener.port;
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}

/** The first check of an endpoint, and then as many more as `count` says. */
async function lastCheck(port: number, settings: HealthSettings, tls: Originator, count = 1): Promise<Outcome> {
  const endpoint = endpointAt(port);
  const dialer = new Dialer();
  const backend = backendOf(systemClock, endpoint);
  const checks = new HealthChecks(backend, settings, dialer, tls, systemClock, () => 0);
  try {
    await checks.start();
    await until(() => {
      const { good, bad, inconclusive } = checks.counts(endpoint)!;
      return good + bad + inconclusive >= count;
    }, `${count} checks`);
    const { result, why } = checks.counts(endpoint)!.last!;
    return { result, why };
  } finally {
    checks.stop();
    expect(dialer.pending).toBe(0);
  }
}

const good = (why: string): Outcome => ({ result: "good", why });
const bad = (why: string): Outcome => ({ result: "bad", why });

function pong(connection: Accepted): void {
  if (connection.text.endsWith("PING\r\n")) connection.socket.write("+PONG\r\n");
}

describe("over TLS", () => {
  test.skipIf(lacks("openssl"))("a tcp check is good once hands are shaken", async () => {
    using server = new TlsServer(() => {});
    expect(await lastCheck(server.port, patient, trusting())).toEqual(good("connected"));
    expect(await lastCheck(server.port, patient, trusting("ca", "a.test"))).toEqual(good("connected"));
  });

  test.skipIf(lacks("openssl"))("a certificate that is not trusted, or for another name, is bad", async () => {
    using server = new TlsServer(() => {});
    for (const tls of [trusting("otherCa"), trusting("ca", "other.test")]) {
      const { result, why } = await lastCheck(server.port, patient, tls);
      expect({ result, why: why.slice(0, 22) }).toEqual(bad("TLS handshake failed: "));
      expect(why.length).toBeGreaterThan(25);
    }
  });

  test.skipIf(lacks("openssl"))("an endpoint that speaks something else, finishes or resets is bad", async () => {
    const tls = trusting();
    await using plain = await listen((peer) => peer.send("220 mail.example.com ESMTP\r\n"));
    expect((await lastCheck(plain.port, patient, tls)).why).toStartWith("TLS handshake failed: ");
    await using finishing = await listen((peer) => peer.finish());
    expect(await lastCheck(finishing.port, patient, tls)).toEqual(bad("connection reset"));
    await using resetting = await listen(async (peer) => {
      await peer.receivedBytes(1);
      peer.reset();
    });
    expect(await lastCheck(resetting.port, patient, tls)).toEqual(bad("connection reset"));
  });

  test.skipIf(lacks("openssl"))(
    "an endpoint that is silent in the handshake is bad when the time is over",
    async () => {
      await using backend = await listen();
      const clock = new VirtualClock();
      const endpoint = endpointAt(backend.port);
      const dialer = new Dialer();
      const tls = trusting();
      const checks = new HealthChecks(backendOf(clock, endpoint), patient, dialer, tls, clock, () => 0.5);
      const started = checks.start();
      const peer = await backend.accepted();
      await peer.receivedBytes(100);
      await clock.advance(patient.timeoutMs);
      await started;
      expect(checks.counts(endpoint)!.last).toMatchObject(bad("no connection within 10s"));
      await peer.closed();
      checks.stop();
      expect(dialer.pending).toBe(0);
    },
  );

  test.skipIf(lacks("openssl"))("an exchange goes through it, and the server sees the connection end", async () => {
    using server = new TlsServer(pong);
    expect(await lastCheck(server.port, ping, trusting())).toEqual(good("the expected answer"));
    expect(server.accepted.map(({ text }) => text)).toEqual(["PING\r\n"]);
    await until(
      () => server.accepted[0]!.how === "reset",
      () => `a reset: ${server.accepted[0]!.how}`,
    );
  });

  test.skipIf(lacks("openssl"))("an exchange that only sends has its bytes arrive, and then the end", async () => {
    using server = new TlsServer(() => {});
    const send = new Uint8Array(300_000).fill(0x61);
    const settings = { ...ping, send, expect: new Uint8Array(0) };
    expect(await lastCheck(server.port, settings, trusting())).toEqual(good("taken"));
    await until(
      () => server.accepted[0]?.how === "finished",
      () => `an end: ${server.accepted[0]?.how}`,
    );
    expect(server.accepted[0]!.text.length).toBe(send.length);
    server.accepted[0]!.socket.end();
  });

  test.skipIf(lacks("openssl"))("an end or a reset before the answer is whole is bad", async () => {
    const tls = trusting();
    using finishing = new TlsServer(({ socket }) => {
      socket.write("+PO");
      socket.end();
    });
    expect(await lastCheck(finishing.port, ping, tls)).toEqual(bad("closed in the middle of the answer"));
    using resetting = new TlsServer(({ socket }) => socket.terminate());
    expect(await lastCheck(resetting.port, ping, tls)).toEqual(bad("connection reset"));
  });

  test.skipIf(lacks("openssl"))("the header goes in front of the bytes where it belongs inside", async () => {
    using server = new TlsServer(pong);
    const settings = { ...ping, header: encoder.encode("PROXY UNKNOWN\r\n"), headerInsideTls: true };
    expect(await lastCheck(server.port, settings, trusting())).toEqual(good("the expected answer"));
    expect(server.accepted.map(({ text }) => text)).toEqual(["PROXY UNKNOWN\r\nPING\r\n"]);
  });

  test.skipIf(lacks("openssl"))("a server of HTTPS is judged by its status, again and again", async () => {
    const hosts: (string | null)[] = [];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls: serverTls(),
      fetch(request) {
        hosts.push(request.headers.get("host"));
        return new Response("fine\n", { status: new URL(request.url).pathname === "/healthz" ? 200 : 500 });
      },
    });
    const tls = trusting();
    const port = server.port!;
    // The second and third resume the session of the first.
    expect(await lastCheck(port, { ...http, intervalMs: 10 }, tls, 3)).toEqual(good("status 200"));
    expect(await lastCheck(port, { ...http, path: "/" }, tls)).toEqual(bad("status 500"));
    expect(hosts.length).toBeGreaterThanOrEqual(4);
    expect(new Set(hosts)).toEqual(new Set([`127.0.0.1:${port}`]));
    await server.stop(true);
  });
});
