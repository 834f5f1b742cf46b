/**
 * One end of a TCP connection with explicit control: what is sent, when it is read, how it ends, and how the other
 * side ended it. `connect` makes a client; `listen` in backend.ts accepts.
 *
 * Every wait is bounded and fails with a sentence that says what was awaited and what was seen.
 */
import type { Socket, SocketHandler } from "bun";
import { sendUrgent, setReceiveBuffer } from "./libc.ts";
import { Payload, PayloadCheck } from "./payload.ts";
import { PATIENCE_MS, Waiting } from "./until.ts";

/** Where to: a port of 127.0.0.1, another host's, or a Unix socket. */
export type Target = number | { host: string; port: number } | { unix: string };

/** How a connection behaves from its first moment on. */
export interface PeerOptions {
  /** True: nothing is read before `resumeReading`. */
  paused?: boolean;
  /** SO_RCVBUF, set as soon as the connection is there: a small one fills soon. Linux doubles it. */
  receiveBufferBytes?: number;
  /** How many of the first bytes received are kept for `bytes`, `text` and `read`. Default: 1 MiB. */
  keptBytesMax?: number;
}

/** How the other side ended its direction. The code of a reset: ECONNRESET; EPIPE after its FIN; ETIMEDOUT. */
export type Ending = { how: "finished" } | { how: "reset"; code: string };

/**
 * Connects, and resolves once the connection is made. What the test has not ended itself is reset at the end of its
 * scope. Rejects with an error that has the kernel's `code`, or when `withinMs` is over.
 */
export async function connect(
  target: Target,
  { localAddress, withinMs = PATIENCE_MS, ...options }: PeerOptions & { localAddress?: string; withinMs?: number } = {},
): Promise<Peer> {
  const name = targetName(target);
  const peer = new Peer(`client of ${name}`, options);
  const address =
    typeof target === "number" ? { hostname: "127.0.0.1", port: target } : "unix" in target ? target : hostPort(target);
  Bun.connect<Peer>({
    ...address,
    // Not in Bun's types, but it works (1.4.5).
    ...(localAddress === undefined ? {} : { localAddress }),
    allowHalfOpen: true,
    data: peer,
    socket: { ...peerHandler, open: (socket) => peer.opened(socket) },
  } as Parameters<typeof Bun.connect<Peer>>[0]).catch((error: unknown) => peer.connectFailed(name, error));
  try {
    await peer.connected(name, withinMs);
  } catch (error) {
    // A connect that is under way cannot be called back: should it still succeed, it is ended there.
    peer.reset();
    throw error;
  }
  return peer;
}

/** Thrown by what was to be sent or awaited on a connection that has ended. */
export class ConnectionOver extends Error {}

interface Job {
  /** `undefined`: the FIN. */
  source: Uint8Array | Payload | undefined;
  offset: number;
}

/** One end of a connection. */
export class Peer {
  readonly name: string;
  /** Bytes received and delivered to this program. */
  received = 0;
  /** Bytes that the kernel has taken. */
  sent = 0;
  readonly #options: PeerOptions;
  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #waiting = new Waiting();
  readonly #jobs: Job[] = [];
  #socket: Socket<Peer> | undefined;
  #connectError: Error | undefined;
  #ending: Ending | undefined;
  /** How this side has left: a FIN alone leaves reading as it is. */
  #left: "no" | "finished" | "closed" | "reset" = "no";
  /** True once the socket is gone, both directions and the descriptor. */
  #gone = false;
  #kept = new Uint8Array(0);
  #keptLength = 0;
  #readOffset = 0;
  #check: { check: PayloadCheck; from: number } | undefined;
  #queue: Uint8Array[] | undefined;

  constructor(name: string, options: PeerOptions) {
    this.name = name;
    this.#options = options;
  }

  /** The port of this end. */
  get localPort(): number {
    return this.#open().localPort;
  }

  /** How the other side has ended its direction; `undefined` while it has not. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /**
   * Sends after what is queued already; resolves when the kernel has taken every byte, rejects when the connection
   * ends before. A test may leave it unawaited: then nothing is reported here.
   */
  send(source: Uint8Array | string | Payload, withinMs?: number): Promise<void> {
    const job = { source: typeof source === "string" ? new TextEncoder().encode(source) : source, offset: 0 };
    return this.#do(job, () => `${this.name} to have sent ${job.source.length} bytes`, withinMs);
  }

  /** Half-close: the FIN goes out after what is queued; reading goes on. */
  finish(withinMs?: number): Promise<void> {
    return this.#do({ source: undefined, offset: 0 }, () => `${this.name} to have sent its FIN`, withinMs);
  }

  /** Sends one byte as TCP urgent data, behind what the kernel has taken so far; `sent` does not count it. */
  sendUrgent(): void {
    sendUrgent(this.#fd());
  }

  /** RST, at once; what the kernel has not sent yet is lost. */
  reset(): void {
    this.#leave("reset");
  }

  /** Closes both directions: FIN, or RST by the kernel when something received has not been read. */
  close(): void {
    this.#leave("closed");
  }

  /** Leaves everything to the kernel's receive buffer: once that is full, the other side can send no more. */
  pauseReading(): void {
    this.#open().pause();
  }

  resumeReading(): void {
    this.#open().resume();
  }

  /** Resolves when at least `count` bytes have been received since the beginning. */
  receivedBytes(count: number, withinMs?: number): Promise<void> {
    return this.#hold(() => this.received >= count, `to receive ${count} bytes`, withinMs);
  }

  /** The next `length` bytes after those that `read` gave before. */
  async read(length: number, withinMs?: number): Promise<Uint8Array> {
    const start = this.#readOffset;
    this.#readOffset += length;
    await this.receivedBytes(start + length, withinMs);
    this.#assertKept(start + length);
    return this.#kept.slice(start, start + length);
  }

  /** Everything received so far; throws when that is more than is kept. */
  bytes(): Uint8Array {
    this.#assertKept(this.received);
    return this.#kept.slice(0, this.#keptLength);
  }

  /** Everything received so far, as UTF-8. */
  text(): string {
    return new TextDecoder().decode(this.bytes());
  }

  /** SHA-256 of everything received so far, in hexadecimal. */
  sha256(): string {
    return this.#hash.copy().digest("hex");
  }

  /**
   * Expects that the stream, from its byte `from` on, is this payload and nothing else; from now on a wrong byte fails
   * every wait. Resolves when all of it has come. Call it before more than `keptBytesMax` have been received.
   */
  receivedPayload(
    expected: Payload,
    { from = 0, withinMs = 2 * PATIENCE_MS }: { from?: number; withinMs?: number } = {},
  ): Promise<void> {
    this.#assertKept(this.received);
    const check = new PayloadCheck(expected);
    this.#check = { check, from };
    check.take(this.#kept.subarray(Math.min(from, this.#keptLength), this.#keptLength));
    const what = `to receive ${expected.length} bytes of payload (seed ${expected.seed})`;
    return this.#hold(() => check.complete, what, withinMs);
  }

  /** What is received from now on, chunk by chunk; not faster than it is taken. It ends with the other side's end. */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const queue: Uint8Array[] = [];
    if (this.#keptLength > 0) queue.push(this.bytes());
    this.#queue = queue;
    const ended = (): boolean => this.#ending !== undefined || this.#gone;
    while (true) {
      const chunk = queue.shift();
      if (chunk !== undefined) {
        yield chunk;
        continue;
      }
      if (ended()) return;
      this.#socket?.resume();
      await this.#waiting.hold(
        () => queue.length > 0 || ended(),
        () => "a chunk",
        Infinity,
      );
    }
  }

  /** Resolves when the other side's FIN has been read; rejects when it resets instead. */
  finished(withinMs?: number): Promise<void> {
    return this.#hold(() => this.#ending?.how === "finished", "to see a FIN", withinMs);
  }

  /** Resolves with the error code when the other side has reset the connection, be it after its FIN. */
  wasReset(withinMs?: number): Promise<string> {
    return this.#await(() => (this.#ending?.how === "reset" ? this.#ending.code : undefined), "to be reset", withinMs);
  }

  /** Resolves with the way in which the other side ended its direction, whichever that is. */
  closed(withinMs?: number): Promise<Ending> {
    return this.#await(() => this.#ending, "to be closed by the other side", withinMs);
  }

  /** Resolves when nothing is left of the connection here: both directions ended, the descriptor closed. */
  gone(withinMs?: number): Promise<void> {
    return this.#waiting.hold(
      () => this.#gone,
      () => `${this.name} to be gone: ${this.describe()}`,
      withinMs,
    );
  }

  /** What this end has seen so far, for messages. */
  describe(): string {
    const ended =
      this.#ending === undefined
        ? "the other side has not ended it"
        : this.#ending.how === "finished"
          ? "the other side's FIN was seen"
          : `the other side reset it (${this.#ending.code})`;
    const left = {
      no: "",
      finished: ", this side has finished",
      closed: ", this side closed it",
      reset: ", this side reset it",
    };
    return `received ${this.received} bytes, sent ${this.sent}, ${ended}${left[this.#left]}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    await this.gone();
  }

  // What follows is for connect, listen and the socket handler.

  /** The connection is there. One that was given up meanwhile is ended at once. */
  opened(socket: Socket<Peer>): void {
    this.#socket = socket;
    if (this.#left === "reset") {
      socket.terminate();
      return;
    }
    if (this.#options.paused === true) socket.pause();
    if (this.#options.receiveBufferBytes !== undefined) setReceiveBuffer(this.#fd(), this.#options.receiveBufferBytes);
    this.#waiting.changed();
  }

  connectFailed(target: string, error: unknown): void {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    // It was made, and reset before Bun looked: to the other side it was a connection (Bun 1.4.5).
    if (code === "ECONNRESET") this.#ending = { how: "reset", code };
    else this.#connectError = Object.assign(new Error(`cannot connect to ${target}: ${code}`), { code });
    this.#gone = true;
    this.#waiting.changed();
  }

  /** Resolves when the connection is there, or was; rejects when it could not be made. */
  connected(target: string, withinMs: number): Promise<void> {
    const isConnected = (): boolean => {
      if (this.#connectError !== undefined) throw this.#connectError;
      return this.#socket !== undefined || this.#ending !== undefined;
    };
    return this.#waiting.hold(isConnected, () => `the connection to ${target}: no answer`, withinMs);
  }

  dataArrived(chunk: Uint8Array): void {
    const before = this.received;
    this.received += chunk.length;
    this.#hash.update(chunk);
    this.#keep(chunk);
    this.#check?.check.take(chunk.subarray(Math.max(0, Math.min(chunk.length, this.#check.from - before))));
    if (this.#queue !== undefined) {
      this.#queue.push(chunk);
      this.#socket?.pause();
    }
    this.#waiting.changed();
  }

  finArrived(): void {
    this.#ending ??= { how: "finished" };
    this.#waiting.changed();
  }

  writable(): void {
    this.#flush();
    this.#waiting.changed();
  }

  closedWith(error: (Error & { code?: string }) | undefined): void {
    this.#gone = true;
    if (this.#left !== "closed" && this.#left !== "reset") {
      // Without an error it is the FIN that came after ours: Bun has no `end` event for it (1.4.5).
      if (error === undefined) this.#ending ??= { how: "finished" };
      else if (this.#ending?.how !== "reset") this.#ending = { how: "reset", code: error.code ?? error.message };
    }
    this.#waiting.changed();
  }

  #do(job: Job, what: () => string, withinMs?: number): Promise<void> {
    this.#jobs.push(job);
    if (this.#jobs.length === 1) this.#flush();
    const isDone = (): boolean => {
      if (!this.#jobs.includes(job)) return true;
      if (this.#gone || this.#left !== "no" || this.#ending?.how === "reset") throw this.#over(what());
      return false;
    };
    const soFar = (): string => `${what()}: ${job.offset} of them were taken; ${this.describe()}`;
    return this.#waiting.hold(isDone, soFar, withinMs);
  }

  #flush(): void {
    while (this.#jobs.length > 0 && this.#left === "no" && !this.#gone && this.#ending?.how !== "reset") {
      const job = this.#jobs[0]!;
      if (job.source === undefined) {
        this.#jobs.shift();
        this.#left = "finished";
        this.#open().shutdown();
        break;
      }
      const { source } = job;
      while (job.offset < source.length) {
        const piece = source instanceof Payload ? source.slice(job.offset, PIECE_BYTES) : source.subarray(job.offset);
        const taken = this.#open().write(piece);
        if (taken < 0) return this.#writeFailed();
        job.offset += taken;
        this.sent += taken;
        if (taken < piece.length) return;
      }
      this.#jobs.shift();
    }
  }

  /**
   * The kernel has the connection in error, which on an open socket means a reset, and Bun keeps the code for itself:
   * it is what Linux gives in this state (net/ipv4/tcp_input.c, tcp_reset). What had arrived before is still delivered
   * and `close` follows, on a paused socket only after resume (Bun 1.4.5).
   */
  #writeFailed(): void {
    this.#ending = { how: "reset", code: this.#ending === undefined ? "ECONNRESET" : "EPIPE" };
    this.#open().resume();
    this.#waiting.changed();
  }

  #leave(how: "closed" | "reset"): void {
    if (this.#gone || this.#left === "closed" || this.#left === "reset") return;
    this.#left = how;
    if (how === "reset") this.#socket?.terminate();
    else this.#socket?.end();
    this.#waiting.changed();
  }

  #hold(condition: () => boolean, what: string, withinMs?: number): Promise<void> {
    const held = this.#await(() => condition() || undefined, what, withinMs).then(() => {});
    held.catch(() => {});
    return held;
  }

  #await<T>(look: () => T | undefined, what: string, withinMs?: number): Promise<T> {
    const lookOrFail = (): T | undefined => {
      if (this.#check?.check.mismatch !== undefined)
        throw new Error(`${this.name} received ${this.#check.check.mismatch}`);
      const found = look();
      if (found !== undefined) return found;
      const hopeless = this.#gone || (this.#ending?.how === "finished" && what !== "to be reset");
      if (hopeless) throw this.#over(`${this.name} ${what}`);
      return undefined;
    };
    return this.#waiting.wait(lookOrFail, () => `${this.name} ${what}: ${this.describe()}`, withinMs);
  }

  #over(what: string): ConnectionOver {
    return new ConnectionOver(`waited for ${what}, but that cannot happen any more: ${this.describe()}`);
  }

  #open(): Socket<Peer> {
    if (this.#socket === undefined) throw new Error(`${this.name} is not connected`);
    return this.#socket;
  }

  /** Bun's types do not have `fd`, the runtime does. */
  #fd(): number {
    return (this.#open() as unknown as { fd: number }).fd;
  }

  #keep(chunk: Uint8Array): void {
    const room = (this.#options.keptBytesMax ?? 1024 * 1024) - this.#keptLength;
    const kept = chunk.subarray(0, Math.min(chunk.length, room));
    if (this.#keptLength + kept.length > this.#kept.length) {
      const larger = new Uint8Array(Math.max(1024, this.#kept.length * 2, this.#keptLength + kept.length));
      larger.set(this.#kept.subarray(0, this.#keptLength));
      this.#kept = larger;
    }
    this.#kept.set(kept, this.#keptLength);
    this.#keptLength += kept.length;
  }

  #assertKept(count: number): void {
    if (count > this.#keptLength) {
      throw new Error(`${this.name} has received ${this.received} bytes and kept only the first ${this.#keptLength}`);
    }
  }
}

/** What every socket of a peer is given; its `data` is the peer. */
export const peerHandler: SocketHandler<Peer, "uint8array"> = {
  binaryType: "uint8array",
  data: (socket, chunk) => socket.data.dataArrived(chunk),
  end: (socket) => socket.data.finArrived(),
  drain: (socket) => socket.data.writable(),
  close: (socket, error) => socket.data.closedWith(error),
  // The promise of Bun.connect rejects as well, which is where it is dealt with.
  connectError: () => {},
};

const PIECE_BYTES = 256 * 1024;

function hostPort({ host, port }: { host: string; port: number }): { hostname: string; port: number } {
  return { hostname: host, port };
}

function targetName(target: Target): string {
  if (typeof target === "number") return `127.0.0.1:${target}`;
  if ("unix" in target) return `unix:${target.unix}`;
  return target.host.includes(":") ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}
