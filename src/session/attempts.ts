/** The attempts of a session to reach its backend: which endpoint is next, what is taken for it, how the last one failed. */
import type { Backend } from "../backend/backend.ts";
import type { Dial, Dialer, DialFailure, DialOwner } from "../backend/dial.ts";
import type { Endpoint } from "../backend/endpoint.ts";
import { assert, unreachable } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { End } from "./end.ts";
import { roundMs } from "./record.ts";

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

  readonly #backend: Backend;
  readonly #dialer: Dialer;
  readonly #clock: Clock;
  readonly #startingPoint: number;
  /** The attempt under way. */
  #dial: Dial | undefined = undefined;
  #lastFailure: DialFailure | undefined = undefined;
  /** Whether `endpoint` counts this session among its active ones. */
  #holdsEndpoint = false;

  constructor(backend: Backend, dialer: Dialer, clock: Clock) {
    this.#backend = backend;
    this.#dialer = dialer;
    this.#clock = clock;
    this.#startingPoint = backend.startingPoint();
  }

  /** Tries endpoints until an attempt is under way; `false` when none is left to try. */
  next(owner: DialOwner): boolean {
    for (;;) {
      const endpoint = this.#backend.endpointFor(this.#startingPoint, this.count);
      if (endpoint === undefined) return false;
      this.#takeEndpoint(endpoint);
      this.count++;
      this.sinceMs = this.#clock.nowMs();
      const begun = this.#dialer.begin(endpoint, owner);
      if ("cancel" in begun) {
        this.#dial = begun;
        return true;
      }
      this.failed(begun);
    }
  }

  /** The attempt under way has brought a connection, which keeps its endpoint until `giveBack`. */
  succeeded(): void {
    this.#dial = undefined;
    this.endpoint!.connected++;
    this.connectMs = roundMs(this.#clock.nowMs() - this.sinceMs);
  }

  /** The attempt under way has failed. */
  failed(failure: DialFailure): void {
    this.#dial = undefined;
    this.#lastFailure = failure;
    // Our own lack of descriptors says nothing about the endpoint.
    if (failure.kind !== "local") this.endpoint!.failures++;
    this.giveBack();
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
    this.#dial?.cancel();
    this.#dial = undefined;
  }

  /** The session needs its endpoint no longer. */
  giveBack(): void {
    if (!this.#holdsEndpoint) return;
    this.#holdsEndpoint = false;
    this.endpoint!.active--;
  }

  /** The word for a session that found no endpoint: that of its last attempt. */
  get end(): End {
    const kind = this.#lastFailure?.kind;
    switch (kind) {
      case "refused":
        return "connect_refused";
      case "timeout":
        return "connect_timeout";
      case "unreachable":
      case "local":
      case undefined:
        return "connect_failed";
      default:
        return unreachable(kind);
    }
  }

  #takeEndpoint(endpoint: Endpoint): void {
    this.endpoint = endpoint;
    this.#holdsEndpoint = true;
    endpoint.active++;
  }
}
