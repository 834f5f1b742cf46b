/** A dialer without a network: attempts wait until the test says what they come to. */
import { Backend } from "../../src/backend/backend.ts";
import type { Dial, DialOwner, DialRequest } from "../../src/backend/dial.ts";
import type { DialFailure } from "../../src/backend/dial-failure.ts";
import { Endpoint } from "../../src/backend/endpoint.ts";
import type { CheckDialer } from "../../src/backend/health/check.ts";
import type { HealthSettings } from "../../src/backend/health/settings.ts";
import type { Clock } from "../../src/core/clock.ts";
import { nobody, type ProxySocket, type Receiver } from "../../src/forward/receiver.ts";

/** Checks by connecting, every 1,000 ms, for at most 400 ms. */
export const tcpChecks: HealthSettings = {
  type: "tcp",
  path: "/",
  host: "",
  status: [{ from: 200, to: 399 }],
  send: new Uint8Array(0),
  expect: new Uint8Array(0),
  intervalMs: 1_000,
  timeoutMs: 400,
  rise: 2,
  fall: 3,
  header: undefined,
  headerInsideTls: false,
};

const patient: HealthSettings = { ...tcpChecks, intervalMs: 60_000, timeoutMs: 10_000 };

/** Checks of real endpoints, once a minute, for at most ten seconds. */
export const patientChecks = {
  tcp: patient,
  http: { ...patient, type: "http", path: "/healthz" },
  ping: { ...patient, type: "exchange", send: Buffer.from("PING\r\n"), expect: Buffer.from("+PONG") },
} as const satisfies Record<string, HealthSettings>;

/** An endpoint at a port of 127.0.0.1, as if configured so. */
export function endpointAt(port: number): Endpoint {
  const address = { kind: "tcp", host: "127.0.0.1", port } as const;
  return new Endpoint(address, address, { weight: 1, backup: false, connectionsMax: 0 });
}

/** A backend with these endpoints. */
export function backendOf(clock: Clock, ...endpoints: Endpoint[]): Backend {
  const settings = { name: "app", balance: "round_robin", retries: 0, eject: undefined, onDown: "keep" } as const;
  const backend = new Backend(settings, clock);
  backend.setEndpoints(endpoints);
  return backend;
}

/** See above. */
export class FakeCheckDialer implements CheckDialer {
  /** Every attempt so far. */
  readonly attempts: FakeAttempt[] = [];
  /** What further attempts come to within `begin`; `"wait"`: the test says. An error is thrown. */
  atOnce: "wait" | DialFailure | Error = "wait";

  /** Attempts and connections that nobody has ended. */
  get open(): readonly FakeAttempt[] {
    return this.attempts.filter(({ state }) => state === "dialing" || state === "connected");
  }

  /** The last attempt. */
  get last(): FakeAttempt {
    const last = this.attempts.at(-1);
    if (last === undefined) throw new Error("nothing has been dialled");
    return last;
  }

  begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
    if (this.atOnce instanceof Error) throw this.atOnce;
    const attempt = new FakeAttempt(request, owner);
    this.attempts.push(attempt);
    if (this.atOnce === "wait") return attempt;
    attempt.state = "failed";
    return this.atOnce;
  }
}

/** One attempt, and the connection that it may become. */
export class FakeAttempt implements Dial {
  state: "dialing" | "failed" | "cancelled" | "connected" | "finished" | "reset" = "dialing";
  /** What was written to the connection. */
  written = "";
  /** Bytes that the connection takes; -1: a write tells of a reset. */
  room = Infinity;
  /** Who hears of the connection. */
  data: Receiver = nobody;

  constructor(
    readonly request: DialRequest,
    readonly owner: DialOwner,
  ) {}

  /** Connected; what was to be sent is in `written` by then. */
  connect(): this {
    if (this.state !== "dialing") throw new Error(`an attempt that is ${this.state} can't be connected`);
    this.state = "connected";
    this.owner.dialed(this as unknown as ProxySocket);
    return this;
  }

  fail(kind: DialFailure["kind"], code: string): void {
    if (this.state !== "dialing") throw new Error(`an attempt that is ${this.state} can't fail`);
    this.state = "failed";
    this.owner.dialFailed({ kind, code });
  }

  cancel(): void {
    this.state = "cancelled";
  }

  /** The endpoint sends this. Told as Bun does, which gives what a handler throws to the handler of errors. */
  answer(text: string): void {
    try {
      this.data.received(new TextEncoder().encode(text));
    } catch (error) {
      this.data.failed(error as Error);
    }
  }

  write(bytes: Uint8Array): number {
    if (this.room < 0) return -1;
    const taken = Math.min(this.room, bytes.length);
    this.written += new TextDecoder("latin1").decode(bytes.subarray(0, taken));
    this.room -= taken;
    return taken;
  }

  /** Bun tells of the close within the call (1.4.5). */
  close(): void {
    this.state = "finished";
    this.data.closed(undefined);
  }

  terminate(): void {
    this.state = "reset";
    this.data.closed(undefined);
  }
}
