/**
 * What the tests need of the C library: sockets that Bun does not accept from, buffers of a chosen size, sizes of pipes.
 * It is the tests' own, apart from the program's, so that a mistake there does not hide itself here.
 */
import { dlopen, read } from "bun:ffi";

const { symbols } = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  accept: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
});

const AF_INET = 2;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SOCKADDR_IN_BYTES = 16;
const F_GETPIPE_SZ = 1032;
const MSG_OOB = 1;

// Native memory must not be a small typed array of its own (bun#32055), and nothing but this module keeps it alive.
const address = new Uint8Array(new ArrayBuffer(SOCKADDR_IN_BYTES));
const word = new Int32Array(new ArrayBuffer(8));

/** A TCP socket bound to a free port of 127.0.0.1, not listening. The caller closes it. */
export function bindLoopback(): { fd: number; port: number } {
  const fd = checked("socket", symbols.socket(AF_INET, SOCK_STREAM_CLOEXEC, 0));
  const view = new DataView(address.buffer);
  address.fill(0);
  view.setUint16(0, AF_INET, true);
  address.set([127, 0, 0, 1], 4);
  checked("bind", symbols.bind(fd, address, SOCKADDR_IN_BYTES));
  word[0] = SOCKADDR_IN_BYTES;
  checked("getsockname", symbols.getsockname(fd, address, word));
  return { fd, port: view.getUint16(2, false) };
}

/** Listens with room for `backlog` + 1 connections that nobody has accepted yet (Linux counts one more). */
export function listenOn(fd: number, backlog: number): void {
  checked("listen", symbols.listen(fd, backlog));
}

/** Accepts the connection that waits at a listening socket (and blocks while none does). The caller closes it. */
export function acceptOn(fd: number): number {
  return checked("accept", symbols.accept(fd, null, null));
}

/** Fixes the receive buffer; Linux doubles the number, and no longer grows the buffer by itself. */
export function setReceiveBuffer(fd: number, bytes: number): void {
  word[0] = bytes;
  checked("setsockopt", symbols.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, word, 4));
}

/** The capacity of a pipe in bytes. */
export function pipeCapacity(fd: number): number {
  return checked("fcntl", symbols.fcntl(fd, F_GETPIPE_SZ, 0));
}

/** Sends one byte, zero, as TCP urgent data. */
export function sendUrgent(fd: number): void {
  word[0] = 0;
  checked("send", symbols.send(fd, word, 1, MSG_OOB));
}

/** Closes a descriptor that Bun does not own. */
export function closeDescriptor(fd: number): void {
  checked("close", symbols.close(fd));
}

const errnoAt = symbols.__errno_location();

function checked(call: string, returned: number): number {
  if (returned < 0) throw new Error(`${call} failed with errno ${errnoAt === null ? "unknown" : read.i32(errnoAt, 0)}`);
  return returned;
}
