/**
 * Who a client is and where it connected to: what its socket says, or what the PROXY header in front of its bytes said.
 * Also what our own PROXY header tells a backend.
 */
import { formatAddress, splitAddress } from "../core/address.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import type { HostPort, ProxyHeader } from "../protocol/proxy-header.ts";
import { writeProxyHeaderV1 } from "../protocol/proxy-header-v1.ts";
import { writeProxyHeaderV2 } from "../protocol/proxy-header-v2.ts";
import type { SecuredFacts } from "../tls/handshake.ts";
import { libc } from "../sys/libc.ts";
import type { Caller } from "./attempts.ts";
import { clientAddress } from "./record.ts";
import type { Target } from "./target.ts";

/** Owned by its session. */
export class Identity implements Caller {
  /** The server name that the client asked for by TLS; `undefined` where none was seen. */
  serverName: string | undefined = undefined;
  /** The subject of the client's certificate, where one was verified. */
  clientName: string | undefined = undefined;

  #socket: ProxySocket;
  #client = "";
  /** The application protocol agreed on with the client. */
  #alpn: string | undefined = undefined;
  #carried: ProxyHeader | undefined = undefined;

  constructor(socket: ProxySocket) {
    this.#socket = socket;
  }

  /** Address and port of the client, `"127.0.0.1:50412"`. Asked for the first time while its socket is open, it stays known. */
  get client(): string {
    if (this.#client === "") this.#client = clientAddress(this.#socket);
    return this.#client;
  }

  /** IP address of the client; `""` where it has none. */
  get clientHost(): string {
    return splitAddress(this.client)?.host ?? "";
  }

  /** From now on the client is who the header says; one that says nothing changes nothing. */
  carriedBy(header: ProxyHeader): void {
    this.#carried = header;
    const { source, authority, alpn } = header;
    if (source !== undefined) this.#client = formatAddress({ kind: "tcp", ...source });
    this.serverName ??= authority;
    this.#alpn ??= alpn;
  }

  /** From now on the client's socket is this one. What its handshake has established beats what a header said. */
  secured(socket: ProxySocket, { clientName, alpn }: SecuredFacts): void {
    this.#socket = socket;
    this.clientName = clientName;
    if (alpn !== undefined) this.#alpn = alpn;
  }

  proxyHeader({ sendProxy }: Target): Uint8Array {
    const { source, destination } = this.#carried ?? noHeader;
    const from = source ?? splitAddress(this.client);
    const to = source === undefined ? this.#destination : destination;
    if (sendProxy === "v1") return writeProxyHeaderV1(from, to);
    return writeProxyHeaderV2(from, to, { authority: this.serverName, alpn: this.#alpn });
  }

  /** Where the client connected to, as our own socket says. */
  get #destination(): HostPort | undefined {
    const own = libc?.localOf(this.#socket.fd);
    if (own !== undefined) return splitAddress(own);
    const { localAddress: host, localPort: port }: { localAddress: string | undefined; localPort: number } =
      this.#socket;
    return host === undefined ? undefined : { host, port };
  }
}

const noHeader = { source: undefined, destination: undefined };
