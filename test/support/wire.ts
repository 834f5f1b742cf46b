/** A wire between two ends of a connection: what goes over it can be seen and altered. */
import { listen } from "./backend.ts";
import { connect, type Peer } from "./peer.ts";

/** Passes on what comes, and the FIN behind it. */
export interface Wire extends AsyncDisposable {
  /** Leads to this port from now on; returns the port where it begins. */
  to(port: number): number;
  /** All bytes that came to it, in both directions. */
  seen(): Buffer;
  /** Makes of what comes from the side that connected what is passed on, in so many writes. */
  alter: (chunk: Uint8Array) => readonly Uint8Array[];
}

/** Begins at a free port. */
export async function startWire(): Promise<Wire> {
  let target = 0;
  const chunks: Uint8Array[] = [];
  const pass = async (from: Peer, to: Peer, altered: (chunk: Uint8Array) => readonly Uint8Array[]): Promise<void> => {
    for await (const chunk of from.chunks()) {
      chunks.push(chunk);
      for (const piece of altered(chunk)) await to.send(piece);
    }
    await to.finish();
  };
  const near = await listen(async (peer) => {
    await using onward = await connect(target);
    await Promise.all([pass(peer, onward, (chunk) => wire.alter(chunk)), pass(onward, peer, (chunk) => [chunk])]);
  });
  const wire: Wire = {
    to(port) {
      target = port;
      return near.port;
    },
    seen: () => Buffer.concat(chunks),
    alter: (chunk) => [chunk],
    [Symbol.asyncDispose]: () => near[Symbol.asyncDispose](),
  };
  return wire;
}
