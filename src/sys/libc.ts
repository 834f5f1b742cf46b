/**
 * The C library, as far as Bun's own sockets do not reach: the only home of `bun:ffi`.
 *
 * Linux with glibc only. Elsewhere `libc` is `undefined` and `libcMissing` says why; every caller has an answer for
 * that. Functions return what the kernel returned; where that was a failure, `-errno` (as the kernel itself counts),
 * so that no caller has to read `errno` in time.
 */
import { dlopen, ptr, read, type Pointer } from "bun:ffi";
import { constants } from "node:os";
import { ipText } from "../core/ip.ts";

/** What of the C library sluice uses. Descriptors are plain numbers; results below zero are `-errno`. */
export interface Libc {
  /** A second descriptor for the same open file (close-on-exec, lowest free number). */
  dup(fd: number): number;
  /** Closes a descriptor that Bun does not own. */
  close(fd: number): number;
  /** Keeps a descriptor from programs that this one starts (FD_CLOEXEC). */
  closeOnExec(fd: number): number;
  /** `struct sockaddr_in` or `sockaddr_in6` of an IP address; `undefined` when `host` is not one. */
  socketAddress(host: string, port: number): Uint8Array | undefined;
  /** `struct sockaddr_un` of a path of at most 107 bytes. */
  unixAddress(path: string): Uint8Array;
  /** The same of an abstract name (unix(7)), without the zero in front, of at most 107 bytes. */
  abstractAddress(name: string): Uint8Array;
  /** Sends one datagram to a Unix socket, never waiting: `-EAGAIN` when its queue is full. */
  sendDatagram(address: Uint8Array, bytes: Uint8Array): number;
  /**
   * Opens a non-blocking stream socket and begins to connect it.
   * Returns the descriptor, for a connection that is under way or already made; that of a Unix socket always is.
   * `address` is what `socketAddress` or `unixAddress` made.
   */
  connectBegin(address: Uint8Array): number;
  /** Opens a non-blocking stream socket and binds it to such an address. Nobody can connect before `listen`. */
  bind(address: Uint8Array): number;
  /** `setsockopt` with an `int` value. */
  setOption(fd: number, level: number, option: number, value: number): number;
  /** `getsockopt` with an `int` value; the value, which for the options used here is never negative. */
  getOption(fd: number, level: number, option: number): number;
  /** Makes a bound socket listen, or a listening one listen again, with another bound of its accept queue. */
  listen(fd: number, backlog: number): number;
  /** Connections in the accept queue of a listening socket: made by the kernel, not yet taken by us. */
  acceptQueueLength(fd: number): number;
  /** Whether somebody is in the accept queue of a listening socket: all that can be asked of a Unix socket. */
  connectionsWaiting(fd: number): boolean;
  /** Makes a listening socket ignore new SYN segments, while handshakes that have begun complete. */
  refuseNewHandshakes(fd: number): number;
  /** Takes that back. */
  acceptNewHandshakes(fd: number): number;
  /**
   * Address and port of a socket's peer, `"127.0.0.1:50412"` (IPv4 inside IPv6 too) or `"[::1]:50412"`; for a Unix socket
   * `"unix:"` and the peer's path, which clients seldom have. `undefined` for one that is not connected any more.
   */
  peerOf(fd: number): string | undefined;
  /** The same of the socket's own end; `undefined` for a descriptor that is none of a socket. */
  localOf(fd: number): string | undefined;
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
  /** Whether `close` of the last descriptor throws away what was not sent and resets (SO_LINGER with 0 seconds). */
  resetOnClose(fd: number, reset: boolean): number;
  /** Sends FIN behind what was written; reading goes on. */
  finish(fd: number): number;
  /** The time of the monotonic clock in whole microseconds, as other programs of this machine read it. */
  monotonicUs(): number;

  // What moves bytes inside the kernel. Memory is named by its address, so that a call allocates nothing.

  /** Where an array's memory is. The caller keeps the array for as long as the address is used. */
  addressOf(memory: ArrayBufferView): number;
  /** A counter that wakes an epoll when it is signalled: eventfd(2), non-blocking. */
  eventfd(): number;
  /** Reads up to `bytes` bytes of a socket to `address`, without waiting; 0 = its peer has finished. */
  receive(fd: number, address: number, bytes: number): number;
  /** Writes to a socket what is at `address`, without waiting; how much it took. */
  send(fd: number, address: number, bytes: number): number;
  /** Writes to a pipe what is at `address`; how much it took. */
  write(fd: number, address: number, bytes: number): number;
  /** Adds one to an eventfd's counter. */
  signal(eventfd: number): number;
  /** Sets an eventfd's counter back to zero. */
  unsignal(eventfd: number): number;
  /** Makes a non-blocking pipe; writes its reading and its writing descriptor, two 32-bit words, to `address`. */
  pipe(address: number): number;
  /** Asks for another capacity of a pipe, in bytes; returns what it became, or `-EPERM` beyond the user's quota. */
  setPipeBytes(fd: number, bytes: number): number;
  /** The capacity of a pipe, in bytes. */
  pipeBytes(fd: number): number;
  /** Moves up to `bytes` bytes between a pipe and a socket, or two pipes, without waiting: splice(2). */
  splice(from: number, to: number, bytes: number): number;
  /** Two connected local sockets; writes their descriptors, two 32-bit words, to `address`. */
  socketPair(address: number): number;
  /** Makes an epoll. */
  epollCreate(): number;
  /** Watches a descriptor; the event, `struct epoll_event`, is at `address`. */
  epollAdd(epoll: number, fd: number, address: number): number;
  /** Watches a descriptor for something else. */
  epollModify(epoll: number, fd: number, address: number): number;
  /** Watches a descriptor no longer. */
  epollRemove(epoll: number, fd: number): number;
  /** Waits for events, `timeoutMs` at most (-1 = for ever), and writes up to `count` of them to `address`. */
  epollWait(epoll: number, address: number, count: number, timeoutMs: number): number;
  /** Writes the time of the monotonic clock to `address`: seconds and nanoseconds, 64 bits each. */
  monotonicTime(address: number): number;
}

// Values of the kernel's interface (asm-generic; the same on x86-64 and arm64).
/** socket(7). */
export const SOL_SOCKET = 1;
/** socket(7). */
export const SO_KEEPALIVE = 9;
/** socket(7): stream, datagram and others; only to be read, like the three below. */
export const SO_TYPE = 3;
/** socket(7): the error that waits at a socket; reading it takes it. */
export const SO_ERROR = 4;
/** socket(7): whether it listens. */
export const SO_ACCEPTCONN = 30;
/** socket(7). */
export const SO_PROTOCOL = 38;
/** socket(7): the address family. */
export const SO_DOMAIN = 39;
/** tcp(7): the level of the options below. */
export const IPPROTO_TCP = 6;
/** tcp(7): seconds of silence before the first probe. */
export const TCP_KEEPIDLE = 4;
/** tcp(7): seconds between probes. */
export const TCP_KEEPINTVL = 5;
/** tcp(7): probes without an answer before the peer is dead. */
export const TCP_KEEPCNT = 6;
/** tcp(7): what the kernel knows of a connection; only to be read. */
export const TCP_INFO = 11;
const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
/** ip(7). */
export const AF_INET = 2;
/** ipv6(7). */
export const AF_INET6 = 10;
/** unix(7). */
export const AF_UNIX = 1;
/** socket(2). */
export const SOCK_STREAM = 1;
/** socket(2). */
export const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const F_DUPFD_CLOEXEC = 1030;
const SO_LINGER = 13;
const SIOCOUTQ = 0x5411;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_MORE = 0x8000;
const POLLIN = 0x1;
const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLRDHUP = 0x2000;
const EFD_NONBLOCK_CLOEXEC = 0o2004000;
const O_NONBLOCK_CLOEXEC = 0o2004000;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const SHUT_WR = 1;
const CLOCK_MONOTONIC = 1;
const EINPROGRESS = 115;

const signatures = {
  __errno_location: { args: [], returns: "ptr" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  inet_pton: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  // Of `ssize_t` the lower half is enough: nothing here moves 2 GiB at once.
  read: { args: ["i32", "ptr", "u64"], returns: "i32" },
  write: { args: ["i32", "ptr", "u64"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  splice: { args: ["i32", "ptr", "i32", "ptr", "u64", "u32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
} as const;

/**
 * Native memory for arguments. `ptr()` of a small typed array dangles once the JIT tiers up unless the array was made
 * over an ArrayBuffer of its own (Bun 1.4.5, bun#32055), and it roots nothing: this module keeps both for good.
 */
const scratch = new Uint8Array(new ArrayBuffer(512));
const scratchWords = new Int32Array(scratch.buffer);
const scratchLength = new Uint32Array(new ArrayBuffer(8));
/** `struct pollfd`: i32 descriptor, i16 events wanted, i16 events found. */
const pollWords = new Int32Array(new ArrayBuffer(256 * 8));
/** What `signal` writes. */
const one = new BigUint64Array(new ArrayBuffer(8)).fill(1n);

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

/** The socket address in `scratch`, of `scratchLength` bytes, as text; `undefined` for a family that is none of ours. */
function nameText(): string | undefined {
  // All begin with u16 family (as the machine counts, little-endian), those of IP go on with u16 port (big-endian).
  const port = (scratch[2]! << 8) | scratch[3]!;
  switch (scratch[0]) {
    case AF_INET: // sockaddr_in: 4 bytes of address at 4.
      return `${scratch[4]!}.${scratch[5]!}.${scratch[6]!}.${scratch[7]!}:${port}`;
    case AF_INET6: {
      // sockaddr_in6: 16 bytes of address at 8.
      const host = ipText(scratch, 8);
      return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    }
    case AF_UNIX: {
      // sockaddr_un: a path at 2, with or without its closing zero; nothing for a socket without a name. A zero in front
      // makes it an abstract name (unix(7)), which is written with "@".
      const path = new TextDecoder().decode(scratch.subarray(2, scratchLength[0]!));
      return `unix:${path.replace(/\0$/, "").replaceAll("\0", "@")}`;
    }
    default:
      return undefined;
  }
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

    const openSocket = (address: Uint8Array): number =>
      result(symbols.socket(address[0]!, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));

    const libc: Libc = {
      dup: (fd) => result(symbols.fcntl(fd, F_DUPFD_CLOEXEC, 0)),
      close: (fd) => result(symbols.close(fd)),
      closeOnExec: (fd) => result(symbols.fcntl(fd, F_SETFD, FD_CLOEXEC)),
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
      unixAddress(path) {
        // sockaddr_un: u16 family, then the path and its closing zero.
        const bytes = new TextEncoder().encode(path);
        const address = new Uint8Array(new ArrayBuffer(2 + bytes.byteLength + 1));
        new DataView(address.buffer).setUint16(0, AF_UNIX, true);
        address.set(bytes, 2);
        return address;
      },
      abstractAddress(name) {
        // The name ends with the address, and begins with a zero (unix(7)).
        const bytes = new TextEncoder().encode(name);
        const address = new Uint8Array(new ArrayBuffer(2 + 1 + bytes.byteLength));
        new DataView(address.buffer).setUint16(0, AF_UNIX, true);
        address.set(bytes, 3);
        return address;
      },
      sendDatagram(address, bytes) {
        const fd = result(symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (fd < 0) return fd;
        const sent = result(symbols.sendto(fd, bytes, bytes.byteLength, MSG_NOSIGNAL, address, address.byteLength));
        symbols.close(fd);
        return sent;
      },
      connectBegin(address) {
        const fd = openSocket(address);
        if (fd < 0) return fd;
        const connected = result(symbols.connect(fd, address, address.byteLength));
        if (connected === 0 || connected === -EINPROGRESS) return fd;
        symbols.close(fd);
        return connected;
      },
      bind(address) {
        const fd = openSocket(address);
        if (fd < 0) return fd;
        const bound = result(symbols.bind(fd, address, address.byteLength));
        if (bound === 0) return fd;
        symbols.close(fd);
        return bound;
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
      // The value is not looked at, but there has to be one.
      acceptNewHandshakes: (fd) => result(symbols.setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, scratch, 4)),
      connectionsWaiting(fd) {
        pollWords[0] = fd;
        pollWords[1] = POLLIN;
        return symbols.poll(pollWords, 1, 0) > 0 && ((pollWords[1]! >>> 16) & POLLIN) !== 0;
      },
      peerOf(fd) {
        scratchLength[0] = scratch.byteLength;
        return symbols.getpeername(fd, scratch, scratchLength) < 0 ? undefined : nameText();
      },
      localOf(fd) {
        scratchLength[0] = scratch.byteLength;
        return symbols.getsockname(fd, scratch, scratchLength) < 0 ? undefined : nameText();
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
      resetOnClose(fd, reset) {
        // struct linger: whether it is on, and the seconds to wait.
        scratchWords[0] = reset ? 1 : 0;
        scratchWords[1] = 0;
        return result(symbols.setsockopt(fd, SOL_SOCKET, SO_LINGER, scratch, 8));
      },
      finish: (fd) => result(symbols.shutdown(fd, SHUT_WR)),
      monotonicUs() {
        // struct timespec: 64 bits of seconds, 64 bits of nanoseconds; of the former the lower half lasts 136 years.
        symbols.clock_gettime(CLOCK_MONOTONIC, scratch);
        return (scratchWords[0]! >>> 0) * 1_000_000 + Math.floor(scratchWords[2]! / 1000);
      },
      addressOf: (memory) => ptr(memory as NodeJS.TypedArray),
      eventfd: () => result(symbols.eventfd(0, EFD_NONBLOCK_CLOEXEC)),
      signal: (eventfd) => result(symbols.write(eventfd, one, 8)),
      unsignal: (eventfd) => result(symbols.read(eventfd, scratch, 8)),
      receive: (fd, address, bytes) => result(symbols.recv(fd, address as Pointer, bytes, MSG_DONTWAIT)),
      send: (fd, address, bytes) => result(symbols.send(fd, address as Pointer, bytes, MSG_DONTWAIT | MSG_NOSIGNAL)),
      write: (fd, address, bytes) => result(symbols.write(fd, address as Pointer, bytes)),
      pipe: (address) => result(symbols.pipe2(address as Pointer, O_NONBLOCK_CLOEXEC)),
      setPipeBytes: (fd, bytes) => result(symbols.fcntl(fd, F_SETPIPE_SZ, bytes)),
      pipeBytes: (fd) => result(symbols.fcntl(fd, F_GETPIPE_SZ, 0)),
      splice: (from, to, bytes) =>
        result(symbols.splice(from, null, to, null, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)),
      socketPair: (address) =>
        result(symbols.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, address as Pointer)),
      epollCreate: () => result(symbols.epoll_create1(EPOLL_CLOEXEC)),
      epollAdd: (epoll, fd, address) => result(symbols.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, address as Pointer)),
      epollModify: (epoll, fd, address) => result(symbols.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, address as Pointer)),
      epollRemove: (epoll, fd) => result(symbols.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, null)),
      epollWait: (epoll, address, count, timeoutMs) =>
        result(symbols.epoll_wait(epoll, address as Pointer, count, timeoutMs)),
      monotonicTime: (address) => result(symbols.clock_gettime(CLOCK_MONOTONIC, address as Pointer)),
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

/** Of two names for a number the first: EAGAIN, not EWOULDBLOCK. */
const errnoNames = new Map<number, string>(
  Object.entries(constants.errno)
    .toReversed()
    .map(([name, value]) => [value, name]),
);
