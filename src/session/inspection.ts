/**
 * The inspection: what must be known of a client before its backend is. Its PROXY header comes first, then its TLS
 * handshake, then the bytes that its route depends on; a listener asks for any of them, or for none.
 *
 * The header and the handshake are ours and end here. The rest is only looked at.
 */
import { assert, unreachable } from "../core/assert.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import { peekClientHello, type ClientHello } from "../protocol/client-hello.ts";
import { peekProxyHeader, type ProxyHeader } from "../protocol/proxy-header.ts";
import type { Route } from "../routing/route.ts";
import type { Router } from "../routing/router.ts";
import type { Handshake, HandshakeOwner, SecuredFacts } from "../tls/handshake.ts";
import type { Terminator } from "../tls/terminator.ts";
import type { End } from "./end.ts";
import { Opening, type OpeningOwner } from "./opening.ts";
import type { Target } from "./target.ts";

/** What a listener asks of its clients. */
export interface InspectionSettings {
  /** Whether a PROXY header comes first. */
  readonly header: boolean;
  /** Ends TLS here; `undefined` where the bytes are passed on as they are. */
  readonly tls: Terminator | undefined;
  /** Chooses by what the client says first; `undefined` where all go to one target. */
  readonly router: Router<Target> | undefined;
}

/** Whom an inspection tells; the session. */
export interface InspectionOwner extends OpeningOwner {
  /** The client asks for this server name by TLS. */
  named(serverName: string): void;
  /** The header is there. */
  identified(header: ProxyHeader): void;
  /** From here on the client is this socket. */
  secured(socket: ProxySocket, facts: SecuredFacts): void;
  /** Everything is known; `route` is `undefined` where none matched. The inspection is over. */
  inspected(route: Route<Target> | undefined): void;
  /** The client can't be served; `reason` in a few words, for the log. The inspection is over. */
  inspectionFailed(end: End, reason: string | undefined): void;
}

/** Where an inspection is. */
type Stage =
  /** The PROXY header is read. */
  | "header"
  /** The ClientHello is read. */
  | "hello"
  /** TLS is being agreed on; the bytes are not ours. */
  | "handshake"
  /** The opening is looked at for a route. */
  | "route"
  | "over";

/** One for each session of a listener that asks for something. */
export class Inspection implements HandshakeOwner {
  /** What the client has said, and the inspection has not taken. Another one once TLS is agreed on. */
  opening: Opening;

  readonly #settings: InspectionSettings;
  readonly #owner: InspectionOwner;
  #client: ProxySocket;
  #stage: Stage;
  #hello: ClientHello | undefined = undefined;
  #handshake: Handshake | undefined = undefined;

  constructor(settings: InspectionSettings, client: ProxySocket, opening: Opening, owner: InspectionOwner) {
    this.#settings = settings;
    this.#client = client;
    this.#owner = owner;
    this.opening = opening;
    this.#stage = settings.header ? "header" : this.#stageAfterHeader;
  }

  /** Looks at the opening again: it has grown, or the client has finished. */
  advance(): void {
    for (;;) {
      const stage = this.#stage;
      this.#look(this.opening.clientFinished);
      if (this.#stage === stage) return;
    }
  }

  /** `timeouts.inspect` is over: what is there has to do. */
  timedOut(): void {
    if (this.#stage === "route") this.#chooseRoute(true);
    else this.#fail("inspect_timeout", undefined);
  }

  /** Ends it. A connection that is in the hands of a handshake is reset: the client's own socket is none any more. */
  cancel(): void {
    if (this.#stage === "handshake") this.#handshake?.cancel();
    this.#stage = "over";
  }

  #look(final: boolean): void {
    switch (this.#stage) {
      case "header":
        return this.#readHeader(final);
      case "hello":
        return this.#readHello(final);
      case "route":
        return this.#chooseRoute(final);
      case "handshake":
      case "over":
        return;
      default:
        return unreachable(this.#stage);
    }
  }

  get #stageAfterHeader(): Stage {
    return this.#settings.tls === undefined ? "route" : "hello";
  }

  #readHeader(final: boolean): void {
    const peek = peekProxyHeader(this.opening.peek());
    if (peek.kind === "invalid") return this.#fail("proxy_header_invalid", peek.why);
    if (peek.kind === "more")
      return final ? this.#fail("inspect_failed", "finished before its PROXY header") : undefined;
    this.opening.consume(peek.bytes);
    this.#stage = this.#stageAfterHeader;
    this.#owner.identified(peek.value);
  }

  #readHello(final: boolean): void {
    const bytes = this.opening.peek();
    const peek = peekClientHello(bytes);
    if (peek.kind === "invalid") return this.#fail("tls_failed", peek.why);
    if (final) return this.#fail("inspect_failed", "finished before its TLS handshake");
    if (peek.kind === "more") return;
    this.#hello = peek.value;
    if (peek.value.serverName !== undefined) this.#owner.named(peek.value.serverName);
    this.#stage = "handshake";
    this.opening.resume();
    this.#handshake = this.#settings.tls!.begin(this.#client, bytes, peek.value, this);
  }

  secured(socket: ProxySocket, facts: SecuredFacts): void {
    assert(this.#stage === "handshake", "a handshake was completed that was not under way");
    this.#client = socket;
    this.opening = new Opening(socket, this.#owner);
    socket.data = this.opening;
    this.#stage = "route";
    this.#owner.secured(socket, facts);
    this.advance();
  }

  handshakeFailed(reason: string): void {
    this.#fail("tls_failed", reason);
  }

  handshakeClosed(): void {
    this.#stage = "over";
    this.#owner.clientClosed();
  }

  handlerFailed(error: Error): void {
    this.#owner.handlerFailed(error);
  }

  #chooseRoute(final: boolean): void {
    const { router } = this.#settings;
    if (router === undefined) return this.#chosen(undefined);
    const verdict = router.decide({ bytes: this.opening.peek(), final, hello: this.#hello });
    if (verdict.kind === "more") return;
    if (verdict.sni !== undefined) this.#owner.named(verdict.sni);
    this.#chosen(verdict.kind === "route" ? verdict.route : undefined);
  }

  #chosen(route: Route<Target> | undefined): void {
    this.#stage = "over";
    this.#owner.inspected(route);
  }

  #fail(end: End, reason: string | undefined): void {
    this.cancel();
    this.#owner.inspectionFailed(end, reason);
  }
}
