/** Handshakes without a session around them: both ends of a connection in the hands of a test. */
import { socketHandlers, type ProxySocket, type Receiver } from "../../src/forward/receiver.ts";
import { peekClientHello } from "../../src/protocol/client-hello.ts";
import type { ClientCredentials } from "../../src/tls/credentials.ts";
import type { Handshake, HandshakeOwner, SecuredFacts } from "../../src/tls/handshake.ts";
import { Originator } from "../../src/tls/originator.ts";
import { listen } from "./backend.ts";
import { clientCredentials, terminatorOf, type ClientOptions, type ServerOptions } from "./tls.ts";
import { until } from "./until.ts";
import type { Wire } from "./wire.ts";

/** One end of a connection under TLS: whom its handshake and then its socket tell, and what. */
export class End implements HandshakeOwner, Receiver {
  readonly told: string[] = [];
  facts: SecuredFacts | undefined = undefined;
  socket: ProxySocket | undefined = undefined;
  plain: ProxySocket | undefined = undefined;
  handshake: Handshake | undefined = undefined;
  /** What is done when its socket takes bytes again. */
  onWritable: () => void = () => {};
  readonly #chunks: Uint8Array[] = [];

  constructor(
    readonly name: "client" | "server",
    readonly onSecured: ((end: End) => void) | undefined,
  ) {}

  /** What its socket received. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.bytes.toString();
  }

  secured(socket: ProxySocket, facts: SecuredFacts): void {
    this.told.push("secured");
    this.socket = socket;
    this.facts = facts;
    socket.data = this;
    this.onSecured?.(this);
  }

  handshakeFailed(reason: string): void {
    this.told.push(`handshakeFailed ${reason}`);
  }

  handshakeClosed(): void {
    this.told.push("handshakeClosed");
  }

  handlerFailed(error: Error): void {
    this.told.push(`handlerFailed ${error.message}`);
  }

  received(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
  }

  closed(error: Error | undefined): void {
    const code = (error as { code?: string } | undefined)?.code;
    this.told.push(`closed with ${code ?? error?.message ?? "nothing"}`);
  }

  finished(): void {
    this.told.push("finished");
  }

  writable(): void {
    this.onWritable();
  }

  opened(): void {}
  failed(): void {}
}

/** Makes handshakes. At the end of its scope all connections are reset. */
export class Handshakes {
  readonly #ends: End[] = [];
  readonly #listeners: { stop(closeConnections: boolean): void }[] = [];

  /** Both ends of a connection, once each has heard something. */
  async meet(
    client: ClientOptions,
    server: ServerOptions,
    onSecured?: (end: End) => void,
    wire?: Wire,
  ): Promise<{ server: End; client: End }> {
    const accepted = new End("server", onSecured);
    this.#ends.push(accepted);
    const terminator = terminatorOf(server);
    const port = this.#listen((plain, bytes) => {
      const peek = peekClientHello(bytes);
      if (peek.kind !== "done") return;
      accepted.plain = plain;
      accepted.handshake = terminator.begin(plain, bytes, peek.value, accepted);
    });
    const dialed = this.dial(wire?.to(port) ?? port, clientCredentials(client), undefined, onSecured);
    await until(
      () => accepted.told.length > 0 && dialed.told.length > 0,
      () => `both to be told: ${accepted.told.join()} and ${dialed.told.join()}`,
    );
    return { server: accepted, client: dialed };
  }

  /** Dials and begins a handshake as soon as the socket is open. */
  dial(
    port: number,
    credentials: ClientCredentials,
    before: (plain: ProxySocket) => void = () => {},
    onSecured?: (end: End) => void,
  ): End {
    const end = new End("client", onSecured);
    this.#ends.push(end);
    const originator = new Originator(credentials);
    const data: Receiver = {
      ...ignored,
      opened(plain) {
        before(plain);
        end.plain = plain;
        end.handshake = originator.begin(plain, "127.0.0.1", end);
      },
    };
    void Bun.connect<Receiver>({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      data,
      socket: socketHandlers,
    } as never);
    return end;
  }

  /** The ClientHello that a client with these credentials sends. */
  async helloOf(credentials: ClientCredentials): Promise<Uint8Array> {
    await using taker = await listen();
    const client = this.dial(taker.port, credentials);
    const peer = await taker.accepted();
    await until(() => peekClientHello(peer.bytes()).kind === "done", "a ClientHello");
    client.handshake!.cancel();
    return peer.bytes();
  }

  #listen(advance: (plain: ProxySocket, bytes: Uint8Array) => void): number {
    const data: Receiver = {
      ...ignored,
      opened(plain) {
        let bytes = Buffer.alloc(0);
        plain.data = {
          ...ignored,
          received(chunk) {
            bytes = Buffer.concat([bytes, chunk]);
            advance(plain, bytes);
          },
        };
      },
    };
    const listener = Bun.listen<Receiver>({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      data,
      socket: socketHandlers,
    } as never);
    this.#listeners.push(listener);
    return listener.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) end.handshake?.cancel();
    for (const listener of this.#listeners) listener.stop(true);
    await until(
      () => this.#ends.every(({ socket }) => socket === undefined || socket.fd < 0),
      "all sockets to be closed",
    );
  }
}

const ignored: Receiver = { opened() {}, received() {}, finished() {}, writable() {}, closed() {}, failed() {} };
