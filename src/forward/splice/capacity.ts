/** How many sessions the splice engine takes, and what descriptors that may cost. */

/** More are never taken: a pipe that holds bytes holds up to a mebibyte of the kernel's memory. */
const sessionsAtMost = 1024;

/** Sessions for a limit of descriptors: their pipes may take a sixteenth of it. Further sessions stay with the copy engine. */
export function spliceSessionsMax(fdLimit: number): number {
  return Math.max(1, Math.min(sessionsAtMost, Math.floor(fdLimit / 64)));
}

/**
 * Two ends of two pipes a session, when every reader has stalled; the loop's epoll and eventfd and the two of the Worker
 * itself (Bun 1.4.5); two while a session changes hands.
 */
export function spliceDescriptors(sessionsMax: number): number {
  return sessionsMax * 4 + 6;
}
