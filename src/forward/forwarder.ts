/** The copy engine: moves the bytes of one session between its two sockets, as two halves. */
import { Half, type CoarseClock, type HalfOwner } from "./half.ts";
import type { ProxySocket } from "./receiver.ts";

/** Who moves the bytes of a session; the word in records and `/status`. */
export type Engine = "copy";

/** Owned by a session from the moment both sockets are there. */
export class Forwarder {
  readonly engine: Engine = "copy";
  /** Reads from the client, writes to the backend. */
  readonly toBackend: Half;
  /** Reads from the backend, writes to the client. */
  readonly toClient: Half;

  /** From here on the events of both sockets go to the halves. */
  constructor(client: ProxySocket, backend: ProxySocket, owner: HalfOwner, clock: CoarseClock) {
    this.toBackend = new Half(client, backend, owner, clock);
    this.toClient = new Half(backend, client, owner, clock);
    this.toBackend.opposite = this.toClient;
    this.toClient.opposite = this.toBackend;
    client.data = this.toBackend;
    backend.data = this.toClient;
  }

  /** When bytes last moved in either direction, in ms of the coarse clock. */
  get activeAtMs(): number {
    return Math.max(this.toBackend.activeAtMs, this.toClient.activeAtMs);
  }
}
