/**
 * Dialing: opening the backend socket. The only home of `Bun.connect`.
 *
 * Where there is a C library that we know, the socket is ours from the start: made and connected by it and then given
 * to Bun. So an attempt can be taken back (the descriptor is closed and the SYN no longer repeated) and a failure has
 * its true name. `Bun.connect` with an address offers neither: an attempt lives on for up to 135 s, and unreachable
 * networks or a full descriptor table are called ECONNREFUSED (Bun 1.4.5). It serves where there is no such library.
 */
import { constants } from "node:os";
import type { TCPSocketConnectOptions } from "bun";
import { assert } from "../core/assert.ts";
import { nobody, socketHandlers, type ProxySocket, type Receiver } from "../forward/receiver.ts";
import { errnoName, libc } from "../sys/libc.ts";
import type { Originator } from "../tls/originator.ts";
import { backlogFull, failureOf, type DialFailure } from "./dial-failure.ts";
import type { Endpoint } from "./endpoint.ts";
import { Introduction } from "./introduction.ts";

/** What to dial, and what is said before the connection is anybody's. */
export interface DialRequest {
  readonly endpoint: Endpoint;
  /** Written before anything else; a PROXY header. */
  readonly header: Uint8Array | undefined;
  /** Whether the header goes through TLS, as its first bytes, instead of in front of it. */
  readonly headerInsideTls?: boolean;
  /** Speaks TLS from there on. */
  readonly tls: Originator | undefined;
}

/** Whom a dial tells; the session. Exactly one of the two is called, once, and neither after `cancel`. */
export interface DialOwner {
  dialed(socket: ProxySocket): void;
  dialFailed(failure: DialFailure): void;
  handlerFailed(error: Error): void;
}

/** An attempt under way. */
export interface Dial {
  /** Takes the attempt back: its socket is closed, now or, where the system can't, when it turns up. */
  cancel(): void;
}

/** How many attempts that were taken back may linger in the kernel where they can't be cancelled (see above). */
const abandonedMax = 256;

/** Begins attempts, and counts those under way. */
export class Dialer {
  /** Attempts under way. */
  pending = 0;
  /** Attempts taken back that the kernel still makes. Always 0 where they can be cancelled. */
  abandoned = 0;

  /** Begins an attempt; a failure that is known at once is returned and not told to the owner. */
  begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
    const { endpoint, header, tls } = request;
    if (header === undefined && tls === undefined) return this.#connect(endpoint, owner);
    const introduction = new Introduction(request, owner);
    const begun = this.#connect(endpoint, introduction);
    if (!("cancel" in begun)) return begun;
    introduction.connecting = begun;
    return introduction;
  }

  #connect(endpoint: Endpoint, owner: DialOwner): Dial | DialFailure {
    if (endpoint.socketAddress === undefined) return this.#connectPortably(endpoint, owner);
    const fd = libc!.connectBegin(endpoint.socketAddress);
    if (fd < 0)
      return fd === -constants.errno.EAGAIN && endpoint.dialAddress.kind === "unix"
        ? backlogFull
        : failureOf(errnoName(-fd));
    const dial = new DescriptorDial(this, owner);
    options.fd = fd;
    options.data = dial;
    // Calls `opened` at once and fulfils its promise; what the connect comes to is told by `writable` or `closed`.
    void Bun.connect<Receiver>(options as object as TCPSocketConnectOptions<Receiver>);
    return dial;
  }

  #connectPortably(endpoint: Endpoint, owner: DialOwner): Dial | DialFailure {
    if (this.abandoned >= abandonedMax) return failureOf("EAGAIN");
    const dial = new PortableDial(this, owner);
    const { dialAddress } = endpoint;
    const where =
      dialAddress.kind === "unix" ? { unix: dialAddress.path } : { hostname: dialAddress.host, port: dialAddress.port };
    // A failure is told to the handler `connectError`; with one in place the rejection is silent (Bun 1.4.5).
    const connecting = { ...where, allowHalfOpen: true, data: dial, socket: socketHandlers };
    void Bun.connect<Receiver>(connecting as TCPSocketConnectOptions<Receiver>);
    return dial.begun();
  }
}

/** Options of `Bun.connect` for a descriptor, used again for every attempt: Bun reads them before it returns. */
const options: { fd: number; data: Receiver; allowHalfOpen: true; socket: typeof socketHandlers } = {
  fd: -1,
  data: nobody,
  allowHalfOpen: true,
  socket: socketHandlers,
};

/** An attempt whose socket is ours from the start. */
class DescriptorDial implements Dial, Receiver {
  readonly #dialer: Dialer;
  readonly #owner: DialOwner;
  #outcome: "pending" | "settled" = "pending";
  /** Set by `opened`, which Bun calls before `Bun.connect` returns. */
  #socket!: ProxySocket;

  constructor(dialer: Dialer, owner: DialOwner) {
    this.#dialer = dialer;
    this.#owner = owner;
    dialer.pending++;
  }

  cancel(): void {
    this.#settle();
    discard(this.#socket);
  }

  opened(socket: ProxySocket): void {
    this.#socket = socket;
  }

  /** The first event of a socket that could be connected; one that could not gets `closed` alone. */
  writable(): void {
    if (this.#settle()) this.#owner.dialed(this.#socket);
  }

  received(chunk: Uint8Array): void {
    this.writable();
    this.#socket.data.received(chunk);
  }

  finished(): void {
    this.writable();
    this.#socket.data.finished();
  }

  closed(error: Error | undefined): void {
    if (this.#settle()) this.#owner.dialFailed(failureOf(errorCode(error)));
  }

  failed(error: Error): void {
    this.#owner.handlerFailed(error);
  }

  /** Whether this is the outcome: an attempt has one. */
  #settle(): boolean {
    if (this.#outcome === "settled") return false;
    this.#outcome = "settled";
    this.#dialer.pending--;
    return true;
  }
}

/** An attempt of `Bun.connect` itself, whose socket is first seen when it is open. */
class PortableDial implements Dial, Receiver {
  readonly #dialer: Dialer;
  readonly #owner: DialOwner;
  #outcome: "pending" | "abandoned" | "settled" = "pending";
  #socket: ProxySocket | undefined = undefined;
  /** Whether `begin` has returned: before, a failure is its result and not told. */
  #begun = false;
  #failedAtOnce: DialFailure | undefined = undefined;

  constructor(dialer: Dialer, owner: DialOwner) {
    this.#dialer = dialer;
    this.#owner = owner;
    dialer.pending++;
  }

  /** What `begin` returns: a Unix socket's failure is told while `Bun.connect` is still running (Bun 1.4.5). */
  begun(): Dial | DialFailure {
    this.#begun = true;
    return this.#failedAtOnce ?? this;
  }

  cancel(): void {
    // Over already: the owner was told and failed.
    if (this.#outcome === "settled") return discard(this.#socket);
    assert(this.#outcome === "pending", "a dial was cancelled twice");
    this.#outcome = "abandoned";
    this.#dialer.pending--;
    this.#dialer.abandoned++;
  }

  opened(socket: ProxySocket): void {
    this.#socket = socket;
    if (this.#settle() === "pending") return this.#owner.dialed(socket);
    discard(socket);
  }

  closed(error: Error | undefined): void {
    if (this.#settle() !== "pending") return;
    const failed = failureOf(errorCode(error));
    if (this.#begun) this.#owner.dialFailed(failed);
    else this.#failedAtOnce = failed;
  }

  failed(error: Error): void {
    this.#owner.handlerFailed(error);
  }

  writable(): void {}

  received(): void {
    assert(false, "bytes came before the socket was open");
  }

  finished(): void {
    assert(false, "a FIN came before the socket was open");
  }

  /** Settles, and says what the outcome had been. */
  #settle(): "pending" | "abandoned" | "settled" {
    const before = this.#outcome;
    if (before === "pending") this.#dialer.pending--;
    if (before === "abandoned") this.#dialer.abandoned--;
    this.#outcome = "settled";
    return before;
  }
}

/** Closes a socket that nobody waits for any more. */
function discard(socket: ProxySocket | undefined): void {
  if (socket === undefined) return;
  socket.data = nobody;
  socket.terminate();
}

function errorCode(error: Error | undefined): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "ECONNRESET";
}
