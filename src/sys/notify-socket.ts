/** The socket on which a service manager hears of our state (NOTIFY_SOCKET): a datagram for each message, sd_notify(3). */
import { errnoName, libc, libcMissing, type Libc } from "./libc.ts";

/** What became of a message. */
export type Notified =
  | { readonly kind: "sent" }
  /** Its queue is full: to be tried again. */
  | { readonly kind: "full" }
  /** It can't be told; `why` is in words for an operator. */
  | { readonly kind: "failed"; readonly why: string };

/** The longest path or name (sockaddr_un, less its closing zero). */
const nameBytesMax = 107;

/** Sends `text` to `socket`, a path or, with "@" in front, an abstract name. Never waits. */
export function notifySocket(socket: string, text: string, calls: Libc | undefined = libc): Notified {
  if (calls === undefined) return { kind: "failed", why: `it takes the C library: ${libcMissing ?? "it is not used"}` };
  const abstract = socket.startsWith("@");
  const known = abstract || socket.startsWith("/");
  if (!known || Buffer.byteLength(socket) > nameBytesMax) {
    return { kind: "failed", why: `NOTIFY_SOCKET is "${socket}", wanted a path or an abstract name of a Unix socket` };
  }
  const address = abstract ? calls.abstractAddress(socket.slice(1)) : calls.unixAddress(socket);
  const bytes = new Uint8Array(new ArrayBuffer(Buffer.byteLength(text)));
  new TextEncoder().encodeInto(text, bytes);
  const sent = calls.sendDatagram(address, bytes);
  if (sent >= 0) return { kind: "sent" };
  const code = errnoName(-sent);
  return code === "EAGAIN" ? { kind: "full" } : { kind: "failed", why: `cannot write to ${socket}: ${code}` };
}

/** Microseconds of the clock that service managers compare with (CLOCK_MONOTONIC); `undefined` without the C library. */
export function monotonicUs(): number | undefined {
  return libc?.monotonicUs();
}
