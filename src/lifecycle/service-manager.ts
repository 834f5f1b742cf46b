/**
 * Tells a service manager how we are: ready, reloading, stopping, alive (sd_notify(3), Type=notify and Type=notify-reload of
 * systemd). Without NOTIFY_SOCKET in the environment nobody is told, and nothing is done.
 */
import type { Clock, TimerHandle } from "../core/clock.ts";

/** What a program says of its life, each when it happens. Nothing here fails or waits. */
export interface ServiceManager {
  /** Everything has started. From now on it also says regularly that it is alive, where that is asked for. */
  ready(): void;
  /** A reload begins; `reloaded` follows, whatever came of it. Nothing is said of one that a shutdown has overtaken. */
  reloading(): void;
  reloaded(): void;
  /** A shutdown has begun. */
  stopping(): void;
  /** A line for people, shown by `systemctl status`. */
  status(text: string): void;
  /** Says no more. */
  close(): void;
}

/** How messages get there. */
export interface NotifyCalls {
  /** Sends a message to what NOTIFY_SOCKET names, without waiting. */
  send(
    socket: string,
    message: string,
  ): { readonly kind: "sent" | "full" } | { readonly kind: "failed"; readonly why: string };
  /** Microseconds of the machine's monotonic clock; `undefined` where it can't be read. */
  monotonicUs(): number | undefined;
  /** Told once, of the first message that can't be sent. */
  failed(why: string): void;
}

/** How long a message that found a full queue waits for another try. */
const retryMs = 100;
/** Messages that wait for one; beyond that the oldest is dropped. */
const waitingMax = 32;
/** The longest status; the rest is left out, since a manager would drop the whole message. */
const statusCharsMax = 500;

/** The manager of this process, as the environment has it: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. */
export function serviceManager(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
  clock: Clock,
  calls: NotifyCalls,
): ServiceManager {
  const socket = env["NOTIFY_SOCKET"] ?? "";
  if (socket === "") return nobody;
  return new NotifiedManager(socket, watchdogMs(env, pid), clock, calls);
}

/** How often to say that we are alive; `undefined` when nobody asks. Half of what is allowed, as sd_watchdog_enabled(3) has it. */
function watchdogMs(env: Readonly<Record<string, string | undefined>>, pid: number): number | undefined {
  const { WATCHDOG_USEC: allowed, WATCHDOG_PID: of } = env;
  if (allowed === undefined || !/^[1-9][0-9]{0,15}$/.test(allowed)) return undefined;
  if (of !== undefined && of !== String(pid)) return undefined;
  return Math.max(1, Number(allowed) / 2000);
}

const nobody: ServiceManager = {
  ready() {},
  reloading() {},
  reloaded() {},
  stopping() {},
  status() {},
  close() {},
};

class NotifiedManager implements ServiceManager {
  readonly #socket: string;
  readonly #aliveMs: number | undefined;
  readonly #clock: Clock;
  readonly #calls: NotifyCalls;
  /** In their order; what waits is sent before what comes. */
  readonly #waiting: string[] = [];
  #retry: TimerHandle | undefined = undefined;
  #alive: TimerHandle | undefined = undefined;
  #lastStatus = "";
  #failureTold = false;
  #stopping = false;
  #closed = false;

  constructor(socket: string, aliveMs: number | undefined, clock: Clock, calls: NotifyCalls) {
    this.#socket = socket;
    this.#aliveMs = aliveMs;
    this.#clock = clock;
    this.#calls = calls;
  }

  ready(): void {
    this.#say("READY=1");
    if (this.#aliveMs === undefined || this.#alive !== undefined) return;
    this.#alive = this.#clock.setTicker(() => this.#sayAlive(), this.#aliveMs);
    this.#sayAlive();
  }

  reloading(): void {
    const us = this.#calls.monotonicUs();
    // Type=notify-reload takes a message without the time for none at all.
    this.#say(us === undefined ? "RELOADING=1" : `RELOADING=1\nMONOTONIC_USEC=${us}`);
  }

  reloaded(): void {
    if (!this.#stopping) this.#say("READY=1");
  }

  stopping(): void {
    this.#stopping = true;
    this.#say("STOPPING=1");
  }

  status(text: string): void {
    // A line end would begin another assignment.
    const line = text.replace(/\p{Cc}+/gu, " ").slice(0, statusCharsMax);
    if (line === this.#lastStatus) return;
    this.#lastStatus = line;
    this.#say(`STATUS=${line}`);
  }

  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    if (this.#retry !== undefined) this.#clock.clearTimer(this.#retry);
    if (this.#alive !== undefined) this.#clock.clearTimer(this.#alive);
  }

  /** One that does not get through now would be too late; the next one comes soon. */
  #sayAlive(): void {
    if (this.#waiting.length === 0) this.#send("WATCHDOG=1");
  }

  #say(message: string): void {
    if (this.#closed) return;
    if (this.#waiting.length === 0 && this.#send(message) !== "full") return;
    if (this.#waiting.length === waitingMax) this.#waiting.shift();
    this.#waiting.push(message);
    this.#retry ??= this.#clock.setTimer(() => this.#sayAgain(), retryMs);
  }

  #sayAgain(): void {
    this.#retry = undefined;
    while (this.#waiting.length > 0 && this.#send(this.#waiting[0]!) !== "full") this.#waiting.shift();
    if (this.#waiting.length > 0) this.#retry = this.#clock.setTimer(() => this.#sayAgain(), retryMs);
  }

  /** A message that can't be sent is lost; the next one is tried all the same. */
  #send(message: string): "sent" | "full" | "failed" {
    const sent = this.#calls.send(this.#socket, `${message}\n`);
    if (sent.kind === "failed" && !this.#failureTold) {
      this.#failureTold = true;
      this.#calls.failed(sent.why);
    }
    return sent.kind;
  }
}
