/** A proxy with Unix sockets in front of it, behind it, or both. */
import { Backend, type ConnectionHandler } from "./backend.ts";
import { connect, type Peer, type Target } from "./peer.ts";
import { startProxy, type ProxyOptions, type TestProxy } from "./proxy.ts";
import { socketFolder, type SocketFolder } from "./socket-folder.ts";

/** Which side of the proxy is a Unix socket. */
export interface Sides {
  readonly client: "unix" | "tcp";
  readonly backend: "unix" | "tcp";
}

/** All of them in which there is one. */
export const allSides: readonly Sides[] = [
  { client: "unix", backend: "tcp" },
  { client: "tcp", backend: "unix" },
  { client: "unix", backend: "unix" },
];

/** A proxy with a backend behind it, each on a Unix socket or not. Clients are declared after it. */
export class Scene {
  readonly folder: SocketFolder = socketFolder();
  readonly backend: Backend;
  readonly proxy: TestProxy;
  /** Where clients connect to. */
  readonly target: Target;

  constructor({ client, backend }: Sides, options: ProxyOptions = {}, handler?: ConnectionHandler) {
    const [front, back] = [this.folder.path("front"), this.folder.path("back")];
    this.backend = new Backend(handler, backend === "unix" ? { unix: back } : {});
    this.proxy = startProxy(
      this.backend.address,
      client === "unix" ? { ...options, listen: `unix:${front}` } : options,
    );
    this.target = client === "unix" ? { unix: front } : this.proxy.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // In this order, and each whatever becomes of the others.
    await using all = new AsyncDisposableStack();
    all.use(this.folder);
    all.use(this.backend);
    all.use(this.proxy);
  }
}

/** Connects, and resolves when an echo has come back. */
export async function inside(target: Target): Promise<Peer> {
  const client = await connect(target);
  await client.send("in");
  await client.receivedBytes(2);
  return client;
}
