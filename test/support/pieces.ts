/** Sends bytes in pieces that a proxy reads one by one: the cuts of a stream, for certain. */
import type { Peer } from "./peer.ts";
import type { TestProxy } from "./proxy.ts";
import { until } from "./until.ts";

/** A way to cut bytes. */
export interface Way {
  readonly way: string;
  cut(bytes: Uint8Array): readonly Uint8Array[];
}

/** All there are: in one piece, in two, in as many as there are bytes. */
export const ways: readonly Way[] = [
  { way: "at once", cut: (bytes) => [bytes] },
  { way: "in two segments", cut: (bytes) => cutAt(bytes, Math.ceil(bytes.length / 2)) },
  { way: "byte by byte", cut: (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte)) },
];

/** The bytes in two pieces, the first of `length` bytes. */
export function cutAt(bytes: Uint8Array, length: number): readonly Uint8Array[] {
  return [bytes.subarray(0, length), bytes.subarray(length)];
}

/**
 * Sends the pieces over the only session of the proxy, each when the one before has been read, and calls `eachRead` with
 * how many bytes have been by then. Nobody else may send meanwhile; `headerBytes` of them are the proxy's own and go nowhere.
 */
export async function sendPieces(
  proxy: TestProxy,
  client: Peer,
  pieces: readonly Uint8Array[],
  { headerBytes = 0, eachRead }: { headerBytes?: number; eachRead?: (bytes: number) => void } = {},
): Promise<void> {
  let sentBytes = 0;
  for (const piece of pieces) {
    await client.send(piece);
    sentBytes += piece.length;
    const wanted = sentBytes;
    // What is in the opening, and what was passed on; a header that is whole is in neither.
    const read = (): number => (proxy.sessions[0]?.heldBytes ?? 0) + (proxy.sessions[0]?.bytesToBackend ?? 0);
    await until(
      () => read() === wanted || read() + headerBytes === wanted,
      () => `${wanted} bytes to be read: ${read()} are held or passed on`,
    );
    eachRead?.(wanted);
  }
}
