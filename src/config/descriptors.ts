/** limits.connections against the limit of file descriptors: a number that somebody wrote must fit, the default makes itself fit. */

/** What the configuration must fit into. */
export interface SystemFacts {
  /** How many file descriptors the process may have at most (the hard limit; it raises the soft one itself). */
  fdLimit: number;
  /** How many of them are kept for everything that is not a session. */
  fdReserve: number;
  /** How many more the splice engine may need; absent where it can't be used. */
  spliceFds?: number;
  /** True where it needs them whatever the configuration says: it runs already. */
  splices?: boolean;
  /** The addresses of this machine; those of loopback need not be among them. */
  localHosts?: readonly string[];
}

/**
 * What becomes of a number of connections:
 * - `fits`: it stays.
 * - `lowered`: nobody wrote it, and fewer will do; the message is a warning.
 * - `too many`: the message is a problem.
 */
export type Fit =
  { kind: "fits" } | { kind: "lowered"; connections: number; message: string } | { kind: "too many"; message: string };

/** A session's file descriptors: the client's socket and the backend's. */
const FDS_PER_SESSION = 2;

/** `written` says whether the file or the environment has the number. */
export function fitConnections(connections: number, written: boolean, { fdLimit, fdReserve }: SystemFacts): Fit {
  const needed = connections * FDS_PER_SESSION + fdReserve;
  if (needed <= fdLimit) return { kind: "fits" };
  const fits = Math.floor((fdLimit - fdReserve) / FDS_PER_SESSION);
  const each = `${FDS_PER_SESSION} each and ${fdReserve} in reserve`;
  const how = "(ulimit -Hn, LimitNOFILE= in systemd)";
  if (written || fits < 1) {
    const raise = `raise the limit to ${needed} ${how}`;
    const change = fits < 1 ? raise : `set limits.connections to at most ${fits}, or ${raise}`;
    const message = `${connections} connections need ${needed} file descriptors (${each}), found a limit of ${fdLimit}: ${change}`;
    return { kind: "too many", message };
  }
  const message = `lowered from ${connections} to ${fits}: the limit of ${fdLimit} file descriptors leaves room for that many (${each}); raise it ${how} or set limits.connections yourself`;
  return { kind: "lowered", connections: fits, message };
}
