/**
 * Listening on a Unix socket: its file, who may connect, and what was left there by somebody else.
 *
 * The socket is made here and given to Bun as a descriptor, because Bun unlinks the file of its own whenever it stops
 * listening, to pause as well (Bun 1.4.5). What makes it safe against others who start at the same time:
 *
 * - bind(2) makes the file or fails: two never get the same one.
 * - The mode is set between bind and listen. Until `listen` the kernel refuses everybody, so nobody gets in under another
 *   mode. The umask would be the whole process's.
 * - A file that nobody listens on is stale. Between another's bind and its listen it looks so, too; who loses its file
 *   in that moment finds out after its own listen and gives up.
 * - Only a file that is still the same one is unlinked, be it a stale one or our own. Its inode alone does not tell: the
 *   next file may get the same number at once. When it was made does, where the file system says so.
 */
import { chmodSync, lstatSync, unlinkSync, type BigIntStats } from "node:fs";
import { errnoName, libc, libcMissing, type Libc } from "../sys/libc.ts";

/** What became of listening; `why` is in words for an operator. */
export type UnixListening =
  { readonly ok: true; readonly fd: number; readonly file: SocketFile } | { readonly ok: false; readonly why: string };

/** Whether a path is free to be bound; `why` not, in words for an operator. */
export type Claim = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** The file of a socket of ours. Its owner and group are those of the process. */
export class SocketFile {
  readonly path: string;
  readonly #made: BigIntStats;

  /** Of the file that is there now, just made. */
  constructor(path: string) {
    this.path = path;
    this.#made = lstatSync(path, { bigint: true });
  }

  /** Whether the path still leads to this file. */
  get isThere(): boolean {
    const found = statOf(this.path);
    return typeof found === "object" && isSame(found, this.#made);
  }

  /** Sets who may connect, if it is still there; the system's word for what went wrong, else `undefined`. */
  setMode(mode: number): string | undefined {
    return this.isThere ? attempt(() => chmodSync(this.path, mode)) : undefined;
  }

  /** Removes it, if it is still there: new clients find nobody, those that wait in the accept queue stay there. */
  unlink(): void {
    if (this.isThere) attempt(() => unlinkSync(this.path));
  }
}

/**
 * Listens at `path`, in place of a stale socket file if there is one. `mode` are the file's permissions: who may write
 * may connect. The descriptor is the caller's, and does not unlink the file when it is closed.
 */
export function listenUnix(
  path: string,
  mode: number,
  acceptQueueMax: number,
  calls: Libc | null = libc ?? null,
): UnixListening {
  if (calls === null) return { ok: false, why: `it takes the C library: ${libcMissing ?? "it is not used"}` };
  const address = calls.unixAddress(path);
  let fd = calls.bind(address);
  if (fd === -EADDRINUSE) {
    const claimed = claimSocketFile(path, calls);
    if (!claimed.ok) return claimed;
    fd = calls.bind(address);
  }
  if (fd < 0) return { ok: false, why: whyNotBound(errnoName(-fd)) };
  let file: SocketFile | undefined;
  const failed = attempt(() => {
    file = new SocketFile(path);
    chmodSync(path, mode);
  });
  const listening = failed === undefined ? calls.listen(fd, acceptQueueMax) : 0;
  if (file !== undefined && failed === undefined && listening === 0 && file.isThere) return { ok: true, fd, file };
  calls.close(fd);
  file?.unlink();
  if (listening < 0) return { ok: false, why: errnoName(-listening) };
  if (failed === undefined || failed === "ENOENT") return { ok: false, why: takenMeanwhile };
  return { ok: false, why: `its mode can't be set (${failed})` };
}

/**
 * Frees a path on which nobody listens: removes a stale socket file. Whatever else is there stays as it is and is the
 * reason why not. Whether somebody listens is found out by connecting: who does so sees a connection that is closed at
 * once.
 */
export function claimSocketFile(path: string, calls: Libc | null = libc ?? null): Claim {
  const there = statOf(path);
  if (typeof there === "string") return { ok: false, why: whyNotBound(there) };
  if (there === undefined) return { ok: true };
  if (!there.isSocket()) return { ok: false, why: `${sortOf(there)} is there, which is left alone` };
  if (calls === null) {
    const unknown = "a socket file is there, and without the C library nobody can tell whether it is in use";
    return { ok: false, why: `${unknown}; remove it if it is not` };
  }
  const found = probe(path, calls);
  if (found !== "stale") return { ok: false, why: found };
  const now = statOf(path);
  if (now === undefined) return { ok: true };
  if (typeof now === "string" || !isSame(now, there)) return { ok: false, why: takenMeanwhile };
  const failed = attempt(() => unlinkSync(path));
  if (failed === undefined || failed === "ENOENT") return { ok: true };
  return { ok: false, why: `a stale socket file is there and can't be removed (${failed})` };
}

/** Whether nobody listens on a socket file; else why it can't be had. */
function probe(path: string, calls: Libc): string {
  const fd = calls.connectBegin(calls.unixAddress(path));
  if (fd >= 0) calls.close(fd);
  const code = fd >= 0 ? "" : errnoName(-fd);
  switch (code) {
    case "ECONNREFUSED":
    // Somebody else has removed it meanwhile.
    case "ENOENT":
      return "stale";
    case "":
    // Its accept queue is full.
    case "EAGAIN":
    // It is no stream socket (unix(7)).
    case "EPROTOTYPE":
      return "the socket is in use by another program; choose another path, or stop what listens there";
    case "EACCES":
      return "a socket file is there, and permission is denied to find out whether it is in use (EACCES)";
    default:
      return `a socket file is there, and whether it is in use can't be found out (${code})`;
  }
}

const takenMeanwhile = "another program has taken the path at the same moment";

const EADDRINUSE = 98;

/** What bind(2) and lstat(2) say, for whoever has to do something about it. */
function whyNotBound(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return takenMeanwhile;
    case "ENOENT":
      return "its folder does not exist (ENOENT)";
    case "ENOTDIR":
      return "a part of its path is no folder (ENOTDIR)";
    case "EACCES":
    case "EPERM":
      return `permission denied (${code}); the folder must be writable for the user that sluice runs as`;
    case "EROFS":
      return "the file system is read-only (EROFS)";
    default:
      return code;
  }
}

/** What is there, without following a link: `undefined` for nothing, the error's code when it can't be known. */
function statOf(path: string): BigIntStats | string | undefined {
  let found: BigIntStats | undefined;
  const failed = attempt(() => {
    found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  });
  return failed ?? found;
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.birthtimeNs === b.birthtimeNs;
}

function sortOf(found: BigIntStats): string {
  if (found.isFile()) return "a file";
  if (found.isDirectory()) return "a folder";
  return found.isSymbolicLink() ? "a symbolic link" : "something that is no socket";
}

/** Does it, and returns the system's word for what went wrong; `undefined` when it went well. */
function attempt(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    const code = (error as { code?: unknown } | null)?.code;
    if (typeof code === "string") return code;
    throw error;
  }
}
