/** What Linux knows of a process: its open descriptors, its sockets and their states, its time and its memory. */
import { readFileSync, readdirSync, readlinkSync } from "node:fs";

/** An open descriptor and what it is: `socket:[12345]`, `pipe:[123]`, `anon_inode:[eventpoll]`, `/path/of/a/file`. */
export interface Descriptor {
  fd: number;
  target: string;
}

/** Open descriptors, without the one that the look itself takes. */
export function openDescriptors(pid: number = process.pid): Descriptor[] {
  const folder = `/proc/${pid}/fd`;
  const descriptors: Descriptor[] = [];
  for (const name of readdirSync(folder)) {
    try {
      const target = readlinkSync(`${folder}/${name}`);
      if (!target.startsWith(`/proc/`) || !target.endsWith("/fd")) descriptors.push({ fd: Number(name), target });
    } catch {
      // It was closed since: it is the look's own, or somebody was quick.
    }
  }
  return descriptors.sort((a, b) => a.fd - b.fd);
}

/** How many descriptors are open. */
export function countDescriptors(pid: number = process.pid): number {
  return openDescriptors(pid).length;
}

/** The kernel's word for where a TCP socket is in its life (include/net/tcp_states.h). */
export type TcpState =
  | "ESTABLISHED"
  | "SYN_SENT"
  | "SYN_RECV"
  | "FIN_WAIT1"
  | "FIN_WAIT2"
  | "CLOSE"
  | "CLOSE_WAIT"
  | "LAST_ACK"
  | "LISTEN"
  | "CLOSING"
  | "NEW_SYN_RECV";

/** A TCP socket of this machine's network namespace. */
export interface TcpSocket {
  state: TcpState;
  /** `127.0.0.1:80`, `[::1]:80`. */
  local: string;
  remote: string;
  localPort: number;
  remotePort: number;
  /** Bytes written and not acknowledged. */
  sendQueueBytes: number;
  /** Bytes that wait to be read; for a listening socket the connections that wait to be accepted. */
  receiveQueueBytes: number;
  /** As in the target `socket:[INODE]` of a descriptor; 0 once no process has it. */
  inode: number;
}

/**
 * TCP sockets of every process, those with this local or remote port when one is given. Without TIME_WAIT: nobody has
 * such a socket any more, and a machine that just ran a benchmark has a hundred thousand of them.
 */
export function tcpSockets(port?: number): TcpSocket[] {
  const portText = port === undefined ? ":" : `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) =>
    readFileSync(table, "utf8")
      .split("\n")
      .slice(1)
      .filter((line) => line.includes(portText) && !line.includes(" 06 00000000:"))
      .map(parseSocket),
  );
}

/** The TCP sockets that a process has open. */
export function tcpSocketsOf(pid: number = process.pid): TcpSocket[] {
  const targets = new Set(openDescriptors(pid).map(({ target }) => target));
  return tcpSockets().filter(({ inode }) => targets.has(`socket:[${inode}]`));
}

/** Seconds of processor time, user and system, that a process has used; without its children. */
export function cpuSeconds(pid: number = process.pid): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the name in brackets, which may hold spaces and brackets itself. utime and stime are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

/** Bytes of memory that a process has resident. */
export function residentBytes(pid: number = process.pid): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`process ${pid} has no resident memory: it has ended`);
  return Number(kibibytes) * 1024;
}

/** USER_HZ: what the kernel counts in towards user space, on every architecture that Bun runs on. */
const CLOCK_TICKS_PER_SECOND = 100;

/** In the kernel's order, counted from 1. */
const STATES: readonly (TcpState | "TIME_WAIT")[] = [
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
];

/** A line of /proc/net/tcp: number, local, remote, state, send:receive queue, timers, …, inode (Documentation/networking/proc_net_tcp.rst). */
function parseSocket(line: string): TcpSocket {
  const fields = line.trim().split(/\s+/);
  const [local, remote, state, queues, inode] = [fields[1], fields[2], fields[3], fields[4], fields[9]];
  if (!local || !remote || !state || !queues || !inode) throw new Error(`cannot read a line of /proc/net/tcp: ${line}`);
  const name = STATES[parseInt(state, 16) - 1];
  if (name === undefined || name === "TIME_WAIT")
    throw new Error(`unknown TCP state ${state} in a line of /proc/net/tcp: ${line}`);
  const [sendQueue = "", receiveQueue = ""] = queues.split(":");
  const [at, to] = [parseAddress(local), parseAddress(remote)];
  return {
    state: name,
    local: at.text,
    remote: to.text,
    localPort: at.port,
    remotePort: to.port,
    sendQueueBytes: parseInt(sendQueue, 16),
    receiveQueueBytes: parseInt(receiveQueue, 16),
    inode: Number(inode),
  };
}

/** `0100007F:0050` → 127.0.0.1:80: 32-bit words in the machine's own (little-endian) order, the port in hexadecimal. */
function parseAddress(text: string): { text: string; port: number } {
  const [words = "", portText = ""] = text.split(":");
  const port = parseInt(portText, 16);
  const bytes = (words.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, "hex").reverse()]);
  if (bytes.length === 4) return { text: `${bytes.join(".")}:${port}`, port };
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[index * 2]! << 8) | bytes[index * 2 + 1]!).toString(16),
  );
  return { text: `[${new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1)}]:${port}`, port };
}
