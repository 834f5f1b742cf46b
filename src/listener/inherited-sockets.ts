/**
 * Listening sockets that a service manager has opened for us: socket activation as systemd does it, sd_listen_fds(3). They
 * are the descriptors from 3 on; LISTEN_FDS says how many, LISTEN_FDNAMES what they are called, LISTEN_PID whom they are
 * for. A listener gets the one that has its name.
 */
import { canonicalHost, formatAddress, splitAddress, type Address } from "../core/address.ts";
import { SluiceError } from "../core/error.ts";
import * as sys from "../sys/libc.ts";
import type { HeldSocket } from "./listener.ts";

/** A socket that was passed to us, and that a listener can take over. */
export interface InheritedSocket {
  readonly name: string;
  readonly fd: number;
  /** Where it is bound: `"127.0.0.1:80"`, `"[::]:80"`, `"unix:/run/x.sock"`. */
  readonly address: string;
}

/** What becomes of them. */
export interface Inheritance {
  /** What each listener takes over, by its name; the others open their own. */
  readonly held: ReadonlyMap<string, HeldSocket>;
  /** The listeners that are bound elsewhere than their `listen` says: where their sockets were opened. */
  readonly elsewhere: readonly { readonly listener: string; readonly address: string; readonly configured: string }[];
}

/** The first descriptor that is passed (SD_LISTEN_FDS_START). */
const firstFd = 3;
/** The most sockets that are taken; nobody has meant more of them. */
const socketsMax = 1_000;

/** What the C library is asked of the descriptors. */
type Calls = Pick<sys.Libc, "getOption" | "localOf" | "closeOnExec">;

/**
 * The sockets that were passed to the process `pid`, by name. Empty when there are none, or when they were passed to another
 * process, whose environment this one has. Programs that we start do not get them.
 *
 * Throws a `SluiceError` (`listen_failed`) when the variables do not fit together, and for a descriptor that is not a
 * listening stream socket of TCP or Unix.
 */
export function inheritedSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
  calls: Calls | undefined = sys.libc,
): ReadonlyMap<string, InheritedSocket> {
  const { LISTEN_PID: owner, LISTEN_FDS: count, LISTEN_FDNAMES: names } = env;
  if (owner === undefined || count === undefined) return new Map();
  if (numberIn("LISTEN_PID", owner) !== pid) return new Map();
  const fds = numberIn("LISTEN_FDS", count);
  if (fds === 0) return new Map();
  if (fds > socketsMax) throw refused(`LISTEN_FDS is ${fds}, wanted at most ${socketsMax}`);
  if (names === undefined) {
    throw refused("LISTEN_FDNAMES is not set, wanted the name of a listener for each socket (FileDescriptorName=)");
  }
  const named = names.split(":");
  if (named.length !== fds) {
    throw refused(`LISTEN_FDNAMES has ${named.length} names ("${names}") for ${fds} descriptors, wanted one for each`);
  }
  if (calls === undefined) throw refused(`it takes the C library: ${sys.libcMissing ?? "it is not used"}`);
  const sockets = new Map<string, InheritedSocket>();
  for (const [index, name] of named.entries()) {
    const fd = firstFd + index;
    const wrong = whyUnusable(fd, calls);
    if (wrong !== undefined) throw refused(`descriptor ${fd} ("${name}") ${wrong}`);
    calls.closeOnExec(fd);
    const address = calls.localOf(fd) ?? `descriptor ${fd}`;
    const other = sockets.get(name);
    if (other !== undefined) {
      const both = `${other.address} and ${address} are both named "${name}"`;
      throw refused(`${both}, wanted one for each listener: a socket unit of its own with FileDescriptorName=`);
    }
    sockets.set(name, { name, fd, address });
  }
  return sockets;
}

/**
 * Gives each socket to the listener of its name. Throws a `SluiceError` (`listen_failed`) for one that no listener is named
 * like: its clients would wait for ever.
 */
export function assignSockets(
  sockets: ReadonlyMap<string, InheritedSocket>,
  listeners: readonly { readonly name: string; readonly listen: Address }[],
): Inheritance {
  const held = new Map<string, HeldSocket>();
  const elsewhere: { listener: string; address: string; configured: string }[] = [];
  for (const { name, fd, address } of sockets.values()) {
    const listener = listeners.find((one) => one.name === name);
    if (listener === undefined) throw refused(noListener(name, address, listeners));
    if (!isSamePlace(listener.listen, address)) {
      elsewhere.push({ listener: name, address, configured: formatAddress(listener.listen) });
    }
    held.set(name, { fd, file: undefined, inherited: true });
  }
  return { held, elsewhere };
}

function noListener(name: string, address: string, listeners: readonly { readonly name: string }[]): string {
  if (name === "admin") {
    // Bun.serve passes over a descriptor that it is given, and takes port 3000 (Bun 1.4.5).
    return `${address} is named "admin", and the admin server can't take a socket over, wanted admin.listen for it`;
  }
  const names = listeners.map((one) => `"${one.name}"`).join(", ");
  return `${address} is named "${name}", wanted the name of a listener (${names}): FileDescriptorName= in the socket unit`;
}

/** Whether a socket is where a listener is to listen, as far as that can be told: not of a host name, nor of port 0. */
function isSamePlace(wanted: Address, found: string): boolean {
  if (wanted.kind === "unix") return found === formatAddress(wanted);
  const at = splitAddress(found);
  if (at === undefined) return false;
  if (wanted.port !== 0 && wanted.port !== at.port) return false;
  const [host, own] = [canonicalHost(wanted.host), canonicalHost(at.host)];
  // `ListenStream=80` is [::]:80, which takes IPv4 as well; what is written ":80" here is 0.0.0.0:80.
  const everywhere = (one: string): boolean => one === "0.0.0.0" || one === "::" || one === "";
  return host === own || (everywhere(host) && everywhere(own)) || !/^[0-9.]*$|:/.test(host);
}

/** What is wrong with a descriptor; `undefined` for one that can be listened on. Completes a sentence. */
function whyUnusable(fd: number, calls: Calls): string | undefined {
  const option = (name: number): number => calls.getOption(fd, sys.SOL_SOCKET, name);
  const type = option(sys.SO_TYPE);
  if (type < 0) return sys.errnoName(-type) === "EBADF" ? "is not open" : "is no socket";
  const family = option(sys.SO_DOMAIN);
  const isTcp = (family === sys.AF_INET || family === sys.AF_INET6) && option(sys.SO_PROTOCOL) === sys.IPPROTO_TCP;
  const isStream = type === sys.SOCK_STREAM && (isTcp || family === sys.AF_UNIX);
  if (!isStream) return "is no stream socket of TCP or Unix (ListenStream=)";
  return option(sys.SO_ACCEPTCONN) === 1 ? undefined : "does not listen (Accept=no is wanted in the socket unit)";
}

/** A number that a service manager has written. */
function numberIn(variable: string, text: string): number {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  throw refused(`${variable} is "${text}", wanted a number`);
}

function refused(why: string): SluiceError {
  return new SluiceError("listen_failed", `cannot take over the sockets of the service manager: ${why}`, {
    source: "system",
  });
}
