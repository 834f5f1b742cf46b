/** One check of one endpoint: dial, say what is to be said, judge the answer, leave. */
import { assert, unreachable } from "../../core/assert.ts";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import { formatDurationMs } from "../../core/duration.ts";
import { nobody, type ProxySocket, type Receiver } from "../../forward/receiver.ts";
import type { Dial, DialOwner, DialRequest } from "../dial.ts";
import type { DialFailure } from "../dial-failure.ts";
import type { Script } from "./script.ts";
import { bad, type AnswerReader, type Leave, type Verdict } from "./verdict.ts";

/** What of the dialer checks use. */
export interface CheckDialer {
  /** Begins an attempt; a failure that is known at once is returned and not told to the owner. */
  begin(request: DialRequest, owner: DialOwner): Dial | DialFailure;
}

/** What a check came to. */
export interface Outcome {
  readonly result:
    /** The endpoint did what it was asked to. */
    | "good"
    /** It did not. */
    | "bad"
    /** We could not ask, for lack of something of our own: says nothing of the endpoint. */
    | "inconclusive";
  /** In a few words, for a log: "status 200", "connection refused", "no answer within 1s". */
  readonly why: string;
}

/** Whom a check tells. The first two are not called after `cancel`, not even when that comes while one is running. */
export interface CheckOwner {
  /** What it came to; once. */
  judged(outcome: Outcome): void;
  /** Its connection is gone; once, after `judged`, often at once. */
  over(): void;
  /** A mistake of our own, be it one of the owner. Without a verdict so far the check is inconclusive. */
  mistaken(error: Error): void;
}

/** What every check of an endpoint needs. */
export interface CheckSetup {
  readonly request: DialRequest;
  readonly script: Script;
  readonly dialer: CheckDialer;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Where a check is. */
type Phase =
  | "dialing"
  /** There is a connection and no verdict. */
  | "talking"
  /** There is a verdict; the rest of the answer is read out. */
  | "leaving"
  /** Nothing is left but to tell the owner. */
  | "over"
  /** The owner is told no more. */
  | "cancelled";

/** How much of an answer is read out after its verdict; one that is longer is cut off with a reset. */
export const readOutBytesMax = 65_536;

/** See above. Lasts for `timeoutMs` at most. */
export class Check implements DialOwner, Receiver {
  readonly #setup: CheckSetup;
  readonly #owner: CheckOwner;
  readonly #reader: AnswerReader | undefined;
  #phase: Phase = "dialing";
  #dial: Dial | undefined = undefined;
  #socket: ProxySocket | undefined = undefined;
  #timer: TimerHandle | undefined = undefined;
  /** How much of the script has been sent. */
  #sent = 0;
  /** A write has failed: the endpoint has reset. */
  #broken = false;
  #readOutBytes = 0;

  constructor(setup: CheckSetup, owner: CheckOwner) {
    this.#setup = setup;
    this.#owner = owner;
    const { judge } = setup.script;
    this.#reader = typeof judge === "function" ? judge() : undefined;
  }

  /** Begins, once. The owner may be told within the call. */
  begin(): void {
    const { clock, timeoutMs } = this.#setup;
    this.#timer = clock.setTimer(() => this.#guarded(() => this.#overdue()), timeoutMs);
    this.#guarded(() => this.#begin());
  }

  /** Takes it back: nothing of it is left, and its owner hears nothing more. */
  cancel(): void {
    if (this.#phase === "dialing") this.#dial?.cancel();
    this.#close("reset");
    this.#phase = "cancelled";
  }

  dialed(socket: ProxySocket): void {
    assert(this.#phase === "dialing", "a check was given a connection that it did not wait for");
    this.#phase = "talking";
    this.#socket = socket;
    socket.data = this;
    this.#send();
  }

  dialFailed(failure: DialFailure): void {
    this.#end(failureOutcome(failure));
  }

  received(chunk: Uint8Array): void {
    if (this.#phase === "leaving") return this.#readOut(chunk);
    const verdict = this.#reader?.take(chunk);
    if (verdict !== undefined) this.#judge(verdict);
  }

  finished(): void {
    if (this.#phase === "leaving") return this.#leave("finish");
    this.#judge(bad(this.#broken ? resetWords : this.#closedWords()));
  }

  writable(): void {
    if (this.#phase === "talking" && !this.#broken) this.#send();
  }

  closed(error: Error | undefined): void {
    if (this.#phase === "leaving") return this.#leave("reset");
    this.#judge(bad(error !== undefined || this.#broken ? resetWords : this.#closedWords()));
  }

  opened(): void {
    assert(false, "a check was told that its connection is open, which it was");
  }

  failed(error: Error): void {
    this.handlerFailed(error);
  }

  handlerFailed(error: Error): void {
    if (this.#phase === "dialing") this.#dial?.cancel();
    this.#owner.mistaken(error);
    if (this.#phase === "leaving") this.#leave("reset");
    else if (!this.#isOver) this.#end({ result: "inconclusive", why: `a mistake of ours: ${error.message}` });
  }

  #begin(): void {
    const begun = this.#setup.dialer.begin(this.#setup.request, this);
    if ("cancel" in begun) this.#dial = begun;
    else this.dialFailed(begun);
  }

  #send(): void {
    const { send, judge } = this.#setup.script;
    if (this.#sent < send.length) {
      const taken = this.#socket!.write(send.subarray(this.#sent));
      // What the endpoint had sent before it reset is still told, and then the end (Bun 1.4.5): it may be an answer.
      if (taken < 0) this.#broken = true;
      else this.#sent += taken;
    }
    if (this.#sent === send.length && typeof judge !== "function") this.#judge(judge);
  }

  #overdue(): void {
    switch (this.#phase) {
      case "dialing":
        this.#dial?.cancel();
        return this.#end({ result: "bad", why: `no connection within ${this.#timeoutText()}` });
      case "talking":
        return this.#judge(bad(`${this.#missingWords()} within ${this.#timeoutText()}`));
      case "leaving":
        return this.#leave("reset");
      case "over":
      case "cancelled":
        return assert(false, "a check that is over has timed out");
      default:
        return unreachable(this.#phase);
    }
  }

  #judge({ good, why, leave }: Verdict): void {
    const outcome: Outcome = { result: good ? "good" : "bad", why };
    if (leave !== "read_out") return this.#end(outcome, leave);
    this.#phase = "leaving";
    this.#guarded(() => this.#owner.judged(outcome));
  }

  #readOut(chunk: Uint8Array): void {
    this.#readOutBytes += chunk.length;
    if (this.#readOutBytes > readOutBytesMax) this.#leave("reset");
  }

  #leave(how: Leave): void {
    this.#close(how);
    this.#owner.over();
  }

  /** Where no handler of a socket catches it, or none of ours any more: a mistake of ours costs this check and no more. */
  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.handlerFailed(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Closes first: whatever the owner does then, nothing is left open. */
  #end(outcome: Outcome, leave: Leave = "reset"): void {
    this.#close(leave);
    this.#guarded(() => this.#owner.judged(outcome));
    if (this.#phase !== "cancelled") this.#owner.over();
  }

  #close(how: Leave): void {
    if (this.#isOver) return;
    this.#phase = "over";
    this.#setup.clock.clearTimer(this.#timer!);
    const socket = this.#socket;
    if (socket === undefined) return;
    // What is told within these calls, or by a dial that has handed over, is no news.
    socket.data = nobody;
    if (how === "finish") socket.close();
    else socket.terminate();
  }

  get #isOver(): boolean {
    return this.#phase === "over" || this.#phase === "cancelled";
  }

  #missingWords(): string {
    if (this.#reader === undefined) return "what is sent was not taken";
    return this.#reader.bytes > 0 ? "no complete answer" : "no answer";
  }

  #closedWords(): string {
    if (this.#reader === undefined) return "closed before it had taken what is sent";
    return this.#reader.bytes > 0 ? "closed in the middle of the answer" : "closed without an answer";
  }

  #timeoutText(): string {
    return formatDurationMs(this.#setup.timeoutMs);
  }
}

const resetWords = "connection reset";

function failureOutcome({ kind, code }: DialFailure): Outcome {
  switch (kind) {
    case "refused":
      return { result: "bad", why: code === "ECONNREFUSED" ? "connection refused" : `connection refused (${code})` };
    case "timeout":
      return { result: "bad", why: `no connection (${code})` };
    case "unreachable":
      return { result: "bad", why: code === "ECONNRESET" ? resetWords : `unreachable (${code})` };
    case "tls":
      return { result: "bad", why: `TLS handshake failed: ${code}` };
    case "local":
      return { result: "inconclusive", why: `cannot connect: ${code}` };
    default:
      return unreachable(kind);
  }
}
