/** The copy engine: moves the bytes of one session between its two Bun sockets, as two halves. */
import { neverMove, type MoveRule } from "../move-rule.ts";
import type { CoarseClock, Forwarder, ForwarderOwner, Half } from "../forwarder.ts";
import { keepAlive } from "../keepalive.ts";
import { nobody, type ProxySocket } from "../receiver.ts";
import { CopyHalf } from "./copy-half.ts";

/** See `Forwarder`. Owned by its session. */
export class CopyForwarder implements Forwarder {
  readonly engine = "copy";
  readonly toBackend: CopyHalf;
  readonly toClient: CopyHalf;

  /** Whether both descriptors carry the very bytes that are forwarded. */
  readonly #plain: boolean;

  /** From here on the events of both sockets go to the halves. */
  constructor(client: ProxySocket, backend: ProxySocket, owner: ForwarderOwner, clock: CoarseClock, rule: MoveRule) {
    this.#plain = client.overTls !== true && backend.overTls !== true;
    const moveRule = this.#plain ? rule : neverMove;
    this.toBackend = new CopyHalf(client, backend, owner, clock, moveRule);
    this.toClient = new CopyHalf(backend, client, owner, clock, moveRule);
    this.toBackend.opposite = this.toClient;
    this.toClient.opposite = this.toBackend;
    // The client of a Unix socket may have sent all and closed it before there was a backend.
    this.toBackend.sourceGone = client.fd < 0;
    client.data = this.toBackend;
    backend.data = this.toClient;
  }

  get activeAtMs(): number {
    return Math.max(this.toBackend.activeAtMs, this.toClient.activeAtMs);
  }

  get closed(): boolean {
    return this.toBackend.sourceGone && this.toClient.sourceGone;
  }

  finishSink(half: Half): void {
    this.#own(half).sink.shutdown();
  }

  handOver(half: Half): void {
    const own = this.#own(half);
    own.opposite.discard();
    // While its socket is still there (a write to it failed), what it sent before is still to be read.
    if (own.sourceGone) own.endWhenEmpty();
  }

  /** `sourceClosed` is told within the calls. */
  close(how: "finish" | "reset"): void {
    this.toBackend.discard();
    this.toClient.discard();
    this.toBackend.closeSource(how);
    this.toClient.closeSource(how);
  }

  keepAlive(idleMs: number): void {
    for (const { source, sourceGone } of [this.toBackend, this.toClient]) {
      if (!sourceGone) keepAlive(source.fd, idleMs, source);
    }
  }

  /** Whether both sockets are there and plain, and nothing is queued: then another engine can take over. */
  get movable(): boolean {
    if (!this.#plain) return false;
    const { toBackend, toClient } = this;
    return toBackend.queuedBytes === 0 && toClient.queuedBytes === 0 && !toBackend.sourceGone && !toClient.sourceGone;
  }

  /** Closes the sockets without a word to the peers, who are somebody else's now: both descriptors were duplicated. */
  letGo(): void {
    for (const half of [this.toBackend, this.toClient]) {
      half.discard();
      half.source.data = nobody;
      // Any other way to close would send FIN (Bun 1.4.5). This one only marks the socket for a reset, which nothing
      // triggers while a duplicate is open.
      half.source.terminate();
    }
  }

  #own(half: Half): CopyHalf {
    return half === this.toBackend ? this.toBackend : this.toClient;
  }
}
