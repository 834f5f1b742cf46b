/** A UDP port that refuses, as one does where nobody listens; and nobody else can come to have it meanwhile. */

/** Whatever is sent there is answered by the kernel: ICMP, port unreachable. */
export interface RefusingServer extends Disposable {
  readonly host: string;
  readonly port: number;
  /** As `resolver.servers` takes it. */
  readonly address: string;
}

/** Holds a port, a free one unless it is named, with a socket that is connected to a peer: nobody else's datagrams are for it. */
export async function refusingServer(host: "127.0.0.1" | "::1" = "127.0.0.1", wanted = 0): Promise<RefusingServer> {
  // Port 9 is "discard"; nothing is ever sent there.
  const socket = await Bun.udpSocket({ hostname: host, port: wanted, connect: { hostname: host, port: 9 } });
  const { port } = socket;
  return {
    host,
    port,
    address: host === "::1" ? `[::1]:${port}` : `127.0.0.1:${port}`,
    [Symbol.dispose]: () => socket.close(),
  };
}
