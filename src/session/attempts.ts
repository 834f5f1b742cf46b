/** The attempts of a session to reach its backend: which endpoint is next, what is taken for it, how the last one failed. */
import type { Dial, Dialer, DialOwner } from "../backend/dial.ts";
import type { DialFailure } from "../backend/dial-failure.ts";
import type { Endpoint } from "../backend/endpoint.ts";
import { assert, unreachable } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { End } from "./end.ts";
import { roundMs } from "./record.ts";
import type { Target } from "./target.ts";

/** Of the client: what its backend asks for. */
export interface Caller {
  /** Its IP address. Costs a system call when it is asked for the first time. */
  readonly clientHost: string;
  /** The PROXY header that tells of it; asked for at most once. */
  proxyHeader(target: Target): Uint8Array;
}

/** An attempt that is over. Times are those of the program's clock. */
export interface FinishedAttempt {
  readonly endpoint: Endpoint;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** `"given_up"`: the session ended meanwhile. */
  readonly outcome: "connected" | "given_up" | DialFailure["kind"];
  /** What it failed for, in the system's or TLS's words. */
  readonly reason: string | undefined;
}

/** One for each session, from the moment its backend is known. */
export class Attempts {
  /** Endpoints tried. */
  count = 0;
  /** The endpoint of the last attempt. */
  endpoint: Endpoint | undefined = undefined;
  /** When the last attempt began. */
  sinceMs = 0;
  /** How long the successful attempt took; `null` while there is none. */
  connectMs: number | null = null;
  /** Attempts that had no answer in time. */
  timeouts = 0;

  readonly #target: Target;
  readonly #caller: Caller;
  readonly #dialer: Dialer;
  readonly #clock: Clock;
  /** Endpoints that have failed, and how; made at the first one. */
  #tried: Endpoint[] | undefined = undefined;
  #failed: FinishedAttempt[] | undefined = undefined;
  /** When the last attempt was given up. */
  #givenUpAtMs: number | undefined = undefined;
  /** The PROXY header; `undefined` where none is sent, or before the first attempt. */
  #header: Uint8Array | undefined = undefined;
  /** The attempt under way. */
  #dial: Dial | undefined = undefined;
  #lastFailure: DialFailure | undefined = undefined;
  /** Whether `endpoint` counts this session among its active ones. */
  #holdsEndpoint = false;

  constructor(target: Target, caller: Caller, dialer: Dialer, clock: Clock) {
    this.#target = target;
    this.#caller = caller;
    this.#dialer = dialer;
    this.#clock = clock;
  }

  /** Tries endpoints until an attempt is under way; when none is left to try, the word for that. */
  next(owner: DialOwner): "under way" | End {
    const { backend, sendProxy, tls, headerInsideTls } = this.#target;
    for (;;) {
      if (this.count > backend.settings.retries) return this.#end!;
      const endpoint = backend.take(backend.goesByClient ? this.#caller.clientHost : "", this.#tried ?? none);
      if (typeof endpoint === "string") return this.#end ?? endpoint;
      this.endpoint = endpoint;
      this.#holdsEndpoint = true;
      this.count++;
      this.sinceMs = this.#clock.nowMs();
      if (sendProxy !== "off") this.#header ??= this.#caller.proxyHeader(this.#target);
      const begun = this.#dialer.begin({ endpoint, header: this.#header, headerInsideTls, tls }, owner);
      if ("cancel" in begun) {
        this.#dial = begun;
        return "under way";
      }
      this.failed(begun);
    }
  }

  /** The attempt under way has brought a connection, which keeps its endpoint until `giveBack`. */
  succeeded(): void {
    this.#dial = undefined;
    this.#target.backend.succeeded(this.endpoint!);
    this.connectMs = roundMs(this.#clock.nowMs() - this.sinceMs);
  }

  /** The attempt under way has failed. */
  failed(failure: DialFailure): void {
    this.#dial = undefined;
    this.#lastFailure = failure;
    this.#target.backend.failed(this.endpoint!, failure.kind);
    if (failure.kind === "timeout") this.timeouts++;
    this.#tried ??= [];
    this.#tried.push(this.endpoint!);
    this.#failed ??= [];
    this.#failed.push({
      endpoint: this.endpoint!,
      sinceMs: this.sinceMs,
      untilMs: this.#clock.nowMs(),
      outcome: failure.kind,
      reason: failure.code,
    });
    this.giveBack();
  }

  /** Those that are over, in their order. */
  get finished(): readonly FinishedAttempt[] {
    const failed = this.#failed ?? [];
    if (this.endpoint === undefined || failed.length === this.count) return failed;
    const last = { endpoint: this.endpoint, sinceMs: this.sinceMs, reason: undefined };
    if (this.connectMs !== null) {
      return [...failed, { ...last, untilMs: this.sinceMs + this.connectMs, outcome: "connected" }];
    }
    if (this.#givenUpAtMs === undefined) return failed;
    return [...failed, { ...last, untilMs: this.#givenUpAtMs, outcome: "given_up" }];
  }

  /** Takes back the attempt under way, because it took too long. */
  timedOut(): void {
    assert(this.#dial !== undefined, "an attempt timed out that was not under way");
    this.#dial.cancel();
    this.failed({ kind: "timeout", code: "ETIMEDOUT" });
  }

  /** Nobody waits for a connection, or has one, any more. */
  giveUp(): void {
    this.giveBack();
    this.#givenUpAtMs = this.#clock.nowMs();
    this.#dial?.cancel();
    this.#dial = undefined;
  }

  /** The session needs its endpoint no longer. */
  giveBack(): void {
    if (!this.#holdsEndpoint) return;
    this.#holdsEndpoint = false;
    this.#target.backend.giveBack(this.endpoint!);
  }

  /** What the last attempt failed for, in the system's or TLS's words; `undefined` when none has failed. */
  get reason(): string | undefined {
    return this.#lastFailure?.code;
  }

  /** The word for a session whose last attempt failed; `undefined` when it made none. */
  get #end(): End | undefined {
    const kind = this.#lastFailure?.kind;
    switch (kind) {
      case "refused":
        return "connect_refused";
      case "timeout":
        return "connect_timeout";
      case "tls":
        return "tls_failed";
      case "unreachable":
      case "local":
        return "connect_failed";
      case undefined:
        return undefined;
      default:
        return unreachable(kind);
    }
  }
}

/** The endpoints tried by a session that has tried none. */
const none: readonly Endpoint[] = [];
