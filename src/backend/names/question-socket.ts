/**
 * Sockets of c-ares, which gives out none: found among the descriptors of this process. Nothing here changes a socket but
 * `takeError`.
 */
import { IPPROTO_TCP, libc, SO_ERROR, SO_TYPE, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, TCP_INFO } from "../../sys/libc.ts";

/** A connected socket over IP. */
export interface QuestionSocket {
  readonly fd: number;
  readonly over: Transport;
  readonly own: string;
  readonly peer: string;
}

type Transport = "udp" | "tcp";

/** What no two sockets have in common at a time. */
export function keyOf({ over, own, peer }: QuestionSocket): string {
  return `${over} ${own} ${peer}`;
}

/** Where c-ares' socket has another number than expected, since another thread opened or closed something meanwhile. */
const searchedAbove = 64;
const searchedBelow = 1_024;

/** The states of a connection that nothing more comes from (include/net/tcp_states.h): it was reset, or a FIN has come. */
const tcpClose = 7;
const tcpCloseWait = 8;

/** The descriptor that is given out next, if no other thread gets it; `undefined` when there is none, or no C library. */
export function nextDescriptor(): number | undefined {
  const fd = libc?.eventfd() ?? -1;
  if (fd < 0) return undefined;
  libc!.close(fd);
  return fd;
}

/** The socket at the expected descriptor or near it that a question was just sent from; `others` are the keys of those that it is not. */
export function datagramSocketNear(expected: number, others: ReadonlySet<string>): QuestionSocket | undefined {
  return near(expected, searchedBelow, "udp", (socket) => !others.has(keyOf(socket)));
}

/** A TCP connection to this peer near this descriptor, one that is not known as another's. */
export function connectionNear({ fd, peer }: QuestionSocket, others: ReadonlySet<string>): QuestionSocket | undefined {
  return near(fd, searchedAbove, "tcp", (it) => it.peer === peer && !others.has(keyOf(it)));
}

/** Whether the socket is still there: its descriptor may be somebody else's by now. */
export function isOpen(socket: QuestionSocket): boolean {
  const there = socketAt(socket.fd, socket.over);
  return there !== undefined && keyOf(there) === keyOf(socket);
}

/** The number of the error that waits at a socket, and no longer does (socket(7)); 0: none. */
export function takeError({ fd }: QuestionSocket): number {
  return libc!.getOption(fd, SOL_SOCKET, SO_ERROR);
}

/** The state of a connection, as far as it matters; `gone` when somebody else has its descriptor, or nobody. */
export function connectionState(connection: QuestionSocket): "open" | "ended" | "gone" {
  // The first byte of struct tcp_info (linux/tcp.h) is the state. A connection that was reset has no peer any more.
  const state = libc!.getOption(connection.fd, IPPROTO_TCP, TCP_INFO);
  if (state >= 0 && (state & 0xff) === tcpClose) return "ended";
  if (!isOpen(connection)) return "gone";
  return (state & 0xff) === tcpCloseWait ? "ended" : "open";
}

function near(
  expected: number,
  below: number,
  over: Transport,
  accepts: (socket: QuestionSocket) => boolean,
): QuestionSocket | undefined {
  for (let fd = expected; fd <= expected + searchedAbove; fd++) {
    const socket = socketAt(fd, over);
    if (socket !== undefined && accepts(socket)) return socket;
  }
  for (let fd = expected - 1; fd >= Math.max(0, expected - below); fd--) {
    const socket = socketAt(fd, over);
    if (socket !== undefined && accepts(socket)) return socket;
  }
  return undefined;
}

/** The connected socket that a descriptor is of, if it is such a one. */
function socketAt(fd: number, over: Transport): QuestionSocket | undefined {
  if (libc!.getOption(fd, SOL_SOCKET, SO_TYPE) !== (over === "udp" ? SOCK_DGRAM : SOCK_STREAM)) return undefined;
  const peer = libc!.peerOf(fd);
  if (peer === undefined || peer.startsWith("unix:")) return undefined;
  const own = libc!.localOf(fd);
  return own === undefined ? undefined : { fd, over, own, peer };
}
