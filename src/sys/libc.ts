/**
 * The C library, as far as Bun's own sockets do not reach: the only home of `bun:ffi`.
 *
 * Linux with glibc only. Elsewhere `libc` is `undefined` and `libcMissing` says why; every caller has an answer for
 * that. Functions return what the kernel returned; where that was a failure, `-errno` (as the kernel itself counts),
 * so that no caller has to read `errno` in time.
 */
import { dlopen, ptr, read } from "bun:ffi";
import { constants } from "node:os";

/** What of the C library sluice uses. Descriptors are plain numbers; results below zero are `-errno`. */
export interface Libc {
  /** A second descriptor for the same open file (close-on-exec, lowest free number). */
  dup(fd: number): number;
  /** Closes a descriptor that Bun does not own. */
  close(fd: number): number;
  /** `struct sockaddr_in` or `sockaddr_in6` of an IP address; `undefined` when `host` is not one. */
  socketAddress(host: string, port: number): Uint8Array | undefined;
  /**
   * Opens a non-blocking TCP socket and begins to connect it.
   * Returns the descriptor, for a connection that is under way or already made.
   * `address` is what `socketAddress` made.
   */
  connectBegin(address: Uint8Array): number;
  /** `setsockopt` with an `int` value. */
  setOption(fd: number, level: number, option: number, value: number): number;
  /** `getsockopt` with an `int` value; the value, which for the options used here is never negative. */
  getOption(fd: number, level: number, option: number): number;
  /** Makes a listening socket listen again, with another bound of its accept queue. */
  listen(fd: number, backlog: number): number;
  /** Connections in the accept queue of a listening socket: made by the kernel, not yet taken by us. */
  acceptQueueLength(fd: number): number;
  /** Makes a listening socket ignore new SYN segments, while handshakes that have begun complete. */
  refuseNewHandshakes(fd: number): number;
  /**
   * Address and port of the peer of an IPv4 socket, `"127.0.0.1:50412"`; `undefined` for another family and for a socket
   * that is not connected any more.
   */
  peerOf(fd: number): string | undefined;
  /**
   * Looks at the first `count` (256 at most) of these descriptors of TCP sockets, and puts 1 in the place of each whose
   * peer has sent FIN and is not known to have reset, 0 in that of the others.
   */
  finsArrived(fds: Int32Array, count: number): void;
  /**
   * Writes to a socket, never waiting; returns how many bytes were taken. What is taken may be held back for up to 200 ms
   * to share a segment with what comes next (`MSG_MORE`): only for when something is known to come.
   */
  sendMore(fd: number, bytes: Uint8Array): number;
  /** Bytes that were written to a TCP socket and that its peer has not acknowledged yet. */
  unacknowledgedBytes(fd: number): number;
}

// Values of the kernel's interface (asm-generic; the same on x86-64 and arm64).
/** socket(7). */
export const SOL_SOCKET = 1;
/** socket(7). */
export const SO_KEEPALIVE = 9;
/** tcp(7): the level of the options below. */
export const IPPROTO_TCP = 6;
/** tcp(7): seconds of silence before the first probe. */
export const TCP_KEEPIDLE = 4;
/** tcp(7): seconds between probes. */
export const TCP_KEEPINTVL = 5;
/** tcp(7): probes without an answer before the peer is dead. */
export const TCP_KEEPCNT = 6;
const SO_ATTACH_FILTER = 26;
const TCP_INFO = 11;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const F_DUPFD_CLOEXEC = 1030;
const SIOCOUTQ = 0x5411;
const EINPROGRESS = 115;
const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLRDHUP = 0x2000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_MORE = 0x8000;

const signatures = {
  __errno_location: { args: [], returns: "ptr" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  inet_pton: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
} as const;

/**
 * Native memory for arguments. `ptr()` of a small typed array dangles once the JIT tiers up unless the array was made
 * over an ArrayBuffer of its own (Bun 1.4.5, bun#32055), and it roots nothing: this module keeps both for good.
 */
const scratch = new Uint8Array(new ArrayBuffer(512));
const scratchWords = new Int32Array(scratch.buffer);
/** `struct pollfd`: i32 descriptor, i16 events wanted, i16 events found. */
const pollWords = new Int32Array(new ArrayBuffer(256 * 8));
const scratchLength = new Uint32Array(new ArrayBuffer(8));

/**
 * A classic BPF program over the TCP header: segments with SYN and without ACK are dropped, all others pass.
 * Each instruction is `struct sock_filter`: u16 code, u8 jump if true, u8 jump if false, u32 operand (linux/filter.h).
 */
const synFilter = new Uint8Array(new ArrayBuffer(5 * 8));
const synFilterProgram = new Uint8Array(new ArrayBuffer(16));
function encodeSynFilter(): void {
  const view = new DataView(synFilter.buffer);
  const instructions: readonly (readonly [code: number, ifTrue: number, ifFalse: number, operand: number])[] = [
    [0x30, 0, 0, 13], // load the byte of flags (RFC 9293, section 3.1)
    [0x54, 0, 0, 0x12], // keep SYN and ACK
    [0x15, 0, 1, 0x02], // SYN alone?
    [0x06, 0, 0, 0], // drop
    [0x06, 0, 0, 0xffffffff], // pass
  ];
  instructions.forEach(([code, ifTrue, ifFalse, operand], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setUint32(index * 8 + 4, operand, true);
  });
  const program = new DataView(synFilterProgram.buffer);
  program.setUint16(0, instructions.length, true);
  program.setBigUint64(8, BigInt(ptr(synFilter)), true);
}

function load(): { libc: Libc; missing: undefined } | { libc: undefined; missing: string } {
  if (process.platform !== "linux") return { libc: undefined, missing: `this is ${process.platform}, not Linux` };
  try {
    const { symbols } = dlopen("libc.so.6", signatures);
    const errnoAt = symbols.__errno_location();
    if (errnoAt === null) return { libc: undefined, missing: "__errno_location gave no address" };
    encodeSynFilter();
    // Read as the very next statement after the call that failed: nothing else may run in between.
    const result = (returned: number): number => (returned >= 0 ? returned : -read.i32(errnoAt, 0));

    const libc: Libc = {
      dup: (fd) => result(symbols.fcntl(fd, F_DUPFD_CLOEXEC, 0)),
      close: (fd) => result(symbols.close(fd)),
      socketAddress(host, port) {
        // sockaddr_in: u16 family, u16 port, u32 address; sockaddr_in6: u16, u16, u32 flow, 16 bytes, u32 scope.
        const family = host.includes(":") ? AF_INET6 : AF_INET;
        const address = new Uint8Array(new ArrayBuffer(family === AF_INET6 ? 28 : 16));
        const text = new Uint8Array(new ArrayBuffer(host.length + 1));
        new TextEncoder().encodeInto(host, text);
        if (symbols.inet_pton(family, text, scratch) !== 1) return undefined;
        const view = new DataView(address.buffer);
        view.setUint16(0, family, true);
        view.setUint16(2, port, false);
        address.set(scratch.subarray(0, family === AF_INET6 ? 16 : 4), family === AF_INET6 ? 8 : 4);
        return address;
      },
      connectBegin(address) {
        const family = address[0] === AF_INET6 ? AF_INET6 : AF_INET;
        const fd = result(symbols.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (fd < 0) return fd;
        const connected = result(symbols.connect(fd, address, address.byteLength));
        if (connected === 0 || connected === -EINPROGRESS) return fd;
        symbols.close(fd);
        return connected;
      },
      setOption(fd, level, option, value) {
        scratchWords[0] = value;
        return result(symbols.setsockopt(fd, level, option, scratch, 4));
      },
      getOption(fd, level, option) {
        scratchLength[0] = 4;
        const failed = result(symbols.getsockopt(fd, level, option, scratch, scratchLength));
        return failed < 0 ? failed : scratchWords[0]!;
      },
      listen: (fd, backlog) => result(symbols.listen(fd, backlog)),
      acceptQueueLength(fd) {
        scratchLength[0] = scratch.byteLength;
        const failed = result(symbols.getsockopt(fd, IPPROTO_TCP, TCP_INFO, scratch, scratchLength));
        // struct tcp_info (linux/tcp.h): 8 bytes of flags, then words; tcpi_unacked is the fifth. On a listening
        // socket the kernel puts the length of the accept queue there (net/ipv4/tcp.c, tcp_get_info).
        return failed < 0 ? failed : scratchWords[6]!;
      },
      refuseNewHandshakes: (fd) =>
        result(symbols.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, synFilterProgram, synFilterProgram.byteLength)),
      peerOf(fd) {
        scratchLength[0] = scratch.byteLength;
        if (symbols.getpeername(fd, scratch, scratchLength) < 0 || scratch[0] !== AF_INET) return undefined;
        // sockaddr_in: u16 family (as the machine counts, little-endian), u16 port (big-endian), 4 bytes of address.
        const port = (scratch[2]! << 8) | scratch[3]!;
        return `${scratch[4]!}.${scratch[5]!}.${scratch[6]!}.${scratch[7]!}:${port}`;
      },
      finsArrived(fds, count) {
        for (let index = 0; index < count; index++) {
          pollWords[2 * index] = fds[index]!;
          pollWords[2 * index + 1] = POLLRDHUP;
        }
        const failed = symbols.poll(pollWords, count, 0) < 0;
        for (let index = 0; index < count; index++) {
          const found = failed ? 0 : pollWords[2 * index + 1]! >>> 16;
          fds[index] = (found & (POLLRDHUP | POLLERR | POLLHUP)) === POLLRDHUP ? 1 : 0;
        }
      },
      sendMore: (fd, bytes) =>
        result(symbols.send(fd, bytes, bytes.byteLength, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE)),
      unacknowledgedBytes(fd) {
        const failed = result(symbols.ioctl(fd, SIOCOUTQ, scratch));
        return failed < 0 ? failed : scratchWords[0]!;
      },
    };
    return { libc, missing: undefined };
  } catch (cause) {
    return { libc: undefined, missing: `libc.so.6 cannot be used: ${cause instanceof Error ? cause.message : cause}` };
  }
}

const loaded = load();

/** The C library, or `undefined` where there is none that we know. */
export const libc: Libc | undefined = loaded.libc;

/** Why `libc` is `undefined`, in words for an operator; `undefined` where it is there. */
export const libcMissing: string | undefined = loaded.missing;

/** The name of an error number, `111` → `"ECONNREFUSED"`; the number itself when it has no name here. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

const errnoNames = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
