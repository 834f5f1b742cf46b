/**
 * A listener: a bound address that accepts connections and makes sessions of them. The only home of `Bun.listen`.
 *
 * Accepting can be paused without resetting anybody: a second descriptor keeps the kernel's socket, and with it the
 * accept queue, while Bun gives up its own (`stop()` alone resets what is queued, Bun 1.4.5).
 */
import type { TCPSocketListener, TCPSocketListenOptions } from "bun";
import { formatAddress, splitAddress, type Address } from "../core/address.ts";
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { SluiceError } from "../core/error.ts";
import { listenError } from "../core/listen-error.ts";
import { nobody, socketHandlers, type ProxySocket, type Receiver } from "../forward/receiver.ts";
import { libc } from "../sys/libc.ts";
import type { Admission, Gate } from "./admission.ts";
import { listenUnix, type SocketFile } from "./unix-socket-file.ts";

/** Where to listen. */
export interface ListenerSettings {
  readonly name: string;
  /** Of TCP the host is `"0.0.0.0"`, `"127.0.0.1"`, `"::1"` or a name that the system knows; port 0 takes a free one. */
  readonly address: Address;
  /** The permissions of a Unix socket. */
  readonly mode: number;
  /** Connections at once; 0 = no limit of its own. */
  readonly connectionsMax: number;
}

/** What of its settings can change while it listens. */
export type ListenerLimits = Pick<ListenerSettings, "mode" | "connectionsMax">;

/** A listening socket that is taken over rather than made. Its accept queue comes with it. */
export interface HeldSocket {
  readonly fd: number;
  /** The file of a Unix socket, where it is ours to remove. */
  readonly file: SocketFile | undefined;
  /**
   * Whether a service manager holds it as well and goes on to do so: what waits in its queue when we stop is for who comes
   * after us.
   */
  readonly inherited: boolean;
}

/** Who takes over what a listener accepts. */
export interface Acceptor {
  /** A connection that was admitted; its permit is to be given back at its end. */
  accepted(listener: Listener, socket: ProxySocket): void;
  /** A connection beyond a limit; it is reset after this call. */
  rejected(listener: Listener, socket: ProxySocket, end: "limit_connections" | "limit_listener"): void;
  /** A handler threw before a session was there to take the blame. */
  failed(listener: Listener, error: Error): void;
}

/**
 * Connections that may wait in the accept queue; Bun's own bound is 512. The kernel lowers it to `net.core.somaxconn`.
 */
const acceptQueueMax = 4096;

/**
 * While closing: how long handshakes that had begun get to complete, and how often the accept queue is looked at. Its
 * length can be asked for, but nothing tells when it changes.
 */
const handshakeGraceMs = 100;
const queueCheckMs = 20;

/** Opened once and closed once; pauses and resumes in between as admission says. */
export class Listener implements Gate, Receiver {
  readonly name: string;
  /** Connections accepted since start, those beyond the limit included. */
  total = 0;
  /** Sessions open now. */
  active = 0;

  #settings: ListenerSettings;
  readonly #admission: Admission;
  readonly #acceptor: Acceptor;
  readonly #clock: Clock;
  #state: "new" | "accepting" | "paused" | "closed" = "new";
  /** Bun's listener; there while accepting. */
  #listener: TCPSocketListener<Receiver> | undefined = undefined;
  /** Our descriptor of the same kernel socket; there while paused. */
  #heldFd = -1;
  /** Where it is bound; as configured before it is. */
  #address: string;
  /** The file of a Unix socket. */
  #file: SocketFile | undefined = undefined;
  #inherited = false;
  /** Whether `close` was called: then only who takes over its socket keeps that from being closed. */
  #closing = false;
  /** Those who wait until it has no session. */
  #whenEmpty: (() => void)[] = [];

  constructor(settings: ListenerSettings, admission: Admission, acceptor: Acceptor, clock: Clock) {
    this.name = settings.name;
    this.#settings = settings;
    this.#address = formatAddress(settings.address);
    this.#admission = admission;
    this.#acceptor = acceptor;
    this.#clock = clock;
    admission.add(this);
  }

  /**
   * Binds, or takes over the socket that is given, and begins to accept. Throws a `SluiceError` (`listen_failed`) that says
   * what stood in the way.
   */
  open(held?: HeldSocket): void {
    assert(this.#state === "new", "a listener was opened twice");
    const { address } = this.#settings;
    try {
      if (held !== undefined) this.#takeOver(held);
      else if (address.kind === "unix") this.#openUnix(address.path);
      else this.#openTcp(address);
    } catch (error) {
      this.#leave();
      throw error;
    }
    this.#state = "accepting";
    if (this.#admission.full) this.pause();
  }

  #openTcp(address: Address & { kind: "tcp" }): void {
    const { host, port } = address;
    try {
      this.#listener = listenOn({ hostname: host, port }, this);
    } catch (cause) {
      throw listenError(`listener "${this.name}"`, formatAddress(address), cause);
    }
    this.#address = formatAddress({ ...address, port: this.#listener.port });
    libc?.listen(fdOf(this.#listener), acceptQueueMax);
  }

  #takeOver({ fd, file, inherited }: HeldSocket): void {
    const own = libc?.localOf(fd);
    try {
      this.#listener = listenOn({ fd }, this);
    } catch (cause) {
      throw listenError(`listener "${this.name}"`, own ?? `descriptor ${fd}`, cause);
    }
    this.#file = file;
    this.#inherited = inherited;
    if (own !== undefined) this.#address = this.#named(own);
    libc?.listen(fdOf(this.#listener), acceptQueueMax);
  }

  /** The address of a socket that was taken over: as it is configured where that is the same one, be it by a name. */
  #named(own: string): string {
    const { address } = this.#settings;
    const port = splitAddress(own)?.port;
    return address.kind === "tcp" && !this.#inherited && port !== undefined ? formatAddress({ ...address, port }) : own;
  }

  /** Bun would unlink the file whenever it gives up its socket (Bun 1.4.5), so the socket is made here. */
  #openUnix(path: string): void {
    const opened = listenUnix(path, this.#settings.mode, acceptQueueMax);
    if (!opened.ok) {
      const message = `cannot bind listener "${this.name}" to unix:${path}: ${opened.why}`;
      throw new SluiceError("listen_failed", message, { source: "config" });
    }
    this.#file = opened.file;
    try {
      this.#listener = listenOn({ fd: opened.fd }, this);
    } catch (cause) {
      opened.file.unlink();
      libc!.close(opened.fd);
      throw listenError(`listener "${this.name}"`, `unix:${path}`, cause);
    }
    libc!.listen(opened.fd, acceptQueueMax);
  }

  /** The address it is bound to, with the port that was taken. */
  get address(): string {
    return this.#address;
  }

  /** Holds from now on. Connections that are open beyond a lower limit go on. Returns what could not be done. */
  configure(limits: ListenerLimits): string | undefined {
    const modeChanged = limits.mode !== this.#settings.mode;
    this.#settings = { ...this.#settings, ...limits };
    if (!this.#admission.full) this.resume();
    return modeChanged ? this.setMode() : undefined;
  }

  /** Gives the file of a Unix socket the mode that is configured: one that was taken over has another's. Returns what could not be done. */
  setMode(): string | undefined {
    const failed = this.#file?.setMode(this.#settings.mode);
    return failed === undefined ? undefined : `the mode of ${this.#address} can't be set (${failed})`;
  }

  /** Whether connections are left in the accept queue for now. */
  get paused(): boolean {
    return this.#state === "paused";
  }

  opened(socket: ProxySocket): void {
    this.total++;
    // While it waits at its own limit nothing is accepted, so this is one that is to be told so.
    const full = this.#full;
    if (full || !this.#admission.admit()) {
      this.#acceptor.rejected(this, socket, full ? "limit_listener" : "limit_connections");
      socket.data = nobody;
      socket.terminate();
      return;
    }
    this.active++;
    if (this.#waits) this.pause();
    this.#acceptor.accepted(this, socket);
  }

  /** Whether it has as many connections as it may. */
  get #full(): boolean {
    const { connectionsMax } = this.#settings;
    return connectionsMax > 0 && this.active >= connectionsMax;
  }

  /** Whether that means that further ones are left in the queue. */
  get #waits(): boolean {
    return this.#full && this.#admission.overflow === "queue";
  }

  /** Gives back what was taken for a connection when it was accepted. */
  giveBack(): void {
    this.active--;
    this.#admission.giveBack();
    // The limit of all may have let it go on already.
    if (!this.#admission.full) this.resume();
    if (this.active === 0 && this.#whenEmpty.length > 0) for (const settle of this.#whenEmpty.splice(0)) settle();
  }

  /** Resolves when it has no session. Those that it takes meanwhile are waited for. */
  whenEmpty(): Promise<void> {
    return this.active === 0 ? Promise.resolve() : new Promise((settle) => void this.#whenEmpty.push(settle));
  }

  pause(): void {
    if (this.#state !== "accepting" || libc === undefined) return;
    const heldFd = libc.dup(fdOf(this.#listener!));
    // Without a descriptor to hold it by, the queue would be lost: rather go a little over the limit.
    if (heldFd < 0) return;
    this.#heldFd = heldFd;
    this.#state = "paused";
    this.#listener!.stop();
    this.#listener = undefined;
  }

  /** Goes on as far as its own limit goes, which another `overflow` may mean to wait from now on. */
  resume(): void {
    if (this.#waits) return this.pause();
    if (this.#state !== "paused") return;
    this.#state = "accepting";
    const fd = this.#heldFd;
    this.#heldFd = -1;
    this.#listener = listenOn({ fd }, this);
    // Bun listens on the descriptor anew, with its own bound (Bun 1.4.5).
    libc!.listen(fdOf(this.#listener), acceptQueueMax);
  }

  /**
   * Stops accepting for good. What the kernel has accepted is accepted first, as permits allow; new connections get no
   * answer meanwhile, and are refused from then on. Resolves when the socket is closed; `abort` closes it as it is.
   */
  async close(abort: AbortSignal): Promise<void> {
    if (this.#state === "new" || this.#state === "closed") return;
    this.#closing = true;
    if (this.#inherited) {
      // What is queued waits for whoever is given the socket next.
    } else if (libc === undefined) await this.#turn();
    else if (this.#file !== undefined) await this.#emptyUnixQueue(this.#file, abort);
    else await this.#emptyAcceptQueue(abort);
    this.#listener?.stop();
    this.#listener = undefined;
    if (this.#heldFd >= 0) libc!.close(this.#heldFd);
    this.#heldFd = -1;
    this.#leave();
  }

  #leave(): void {
    this.#state = "closed";
    this.#admission.remove(this);
  }

  /** Leaves new connections in the queue, to give its socket away or to go on; `false` when that can't be done. */
  hold(): boolean {
    this.pause();
    return this.paused;
  }

  /** After `hold`: goes on, as far as limits allow. */
  unhold(): void {
    if (!this.#admission.full) this.resume();
  }

  /**
   * Whether it has a socket that another listener could take over. That of TCP can be had until it is closed, and has its
   * address as long; that of Unix has lost its file by then, and the path is free.
   */
  get hasSocket(): boolean {
    if (this.#closing && (this.#file !== undefined || libc === undefined)) return false;
    return this.#state === "accepting" || this.#state === "paused";
  }

  /** After `hold`: gives its socket away, to a listener that takes its place. Accepts no more; nothing in the queue is lost. */
  release(): HeldSocket {
    assert(this.#state === "paused", "a listener was released that was not held");
    if (this.#closing) libc!.acceptNewHandshakes(this.#heldFd);
    const held = { fd: this.#heldFd, file: this.#file, inherited: this.#inherited };
    this.#heldFd = -1;
    this.#leave();
    return held;
  }

  async #emptyAcceptQueue(abort: AbortSignal): Promise<void> {
    libc!.refuseNewHandshakes(this.#fd());
    const beganMs = this.#clock.nowMs();
    while (!abort.aborted && this.hasSocket) {
      await this.#wait(queueCheckMs, abort);
      if (this.#clock.nowMs() - beganMs < handshakeGraceMs) continue;
      if (libc!.acceptQueueLength(this.#fd()) <= 0) return;
    }
  }

  /** Nobody finds the socket without its file, and there are no handshakes. */
  async #emptyUnixQueue(file: SocketFile, abort: AbortSignal): Promise<void> {
    file.unlink();
    while (!abort.aborted && libc!.connectionsWaiting(this.#fd())) await this.#wait(queueCheckMs, abort);
  }

  #fd(): number {
    return this.#listener === undefined ? this.#heldFd : fdOf(this.#listener);
  }

  #wait(ms: number, abort: AbortSignal): Promise<void> {
    return new Promise((settle) => {
      const done = (): void => {
        abort.removeEventListener("abort", done);
        this.#clock.clearTimer(timer);
        settle();
      };
      const timer = this.#clock.setTimer(done, ms, "holds_process");
      abort.addEventListener("abort", done);
    });
  }

  /** One turn of the event loop, in which what is queued is accepted; a small race remains (Bun 1.4.5). */
  #turn(): Promise<void> {
    return new Promise((settle) => setImmediate(settle));
  }

  failed(error: Error): void {
    this.#acceptor.failed(this, error);
  }

  /** A connection that was reset before a session took it over. */
  closed(): void {}

  writable(): void {}

  received(): void {
    assert(false, "bytes of an accepted socket came to its listener");
  }

  finished(): void {
    assert(false, "a FIN of an accepted socket came to its listener");
  }
}

/** A listener of Bun's; listening on a descriptor is missing in its types (Bun 1.4.5). */
function listenOn(
  where: { hostname: string; port: number } | { fd: number },
  listener: Listener,
): TCPSocketListener<Receiver> {
  const options: object = { ...where, allowHalfOpen: true, data: listener, socket: socketHandlers };
  return Bun.listen<Receiver>(options as TCPSocketListenOptions<Receiver>);
}

/** `fd` is missing in the types (Bun 1.4.5). */
function fdOf(listener: TCPSocketListener<Receiver>): number {
  return (listener as unknown as { readonly fd: number }).fd;
}
