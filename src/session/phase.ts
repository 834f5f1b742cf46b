/**
 * A session's transitions, as one table: rows are where we are, columns what happened. A missing cell is a bug; a cell
 * that stays where it is, is a late event that is ignored on purpose. LIFECYCLE.md beside this file tells the story.
 */

/** Where a session is. */
export type Phase =
  /** Accepted; the route is not known yet. */
  | "inspecting"
  /** A backend is chosen; a connection to one of its endpoints is being opened. */
  | "dialing"
  /** Two sockets, two halves, bytes moving. */
  | "forwarding"
  /** The end is known; what had arrived is handed over and both sockets are being closed. */
  | "closing"
  /** Nothing is left: no socket, no timer, no count. */
  | "closed";

/** What happens to a session. */
export type SessionEvent =
  /** The backend is known. */
  | "routed"
  /** The backend socket is connected. */
  | "dialed"
  /** An attempt failed and a further endpoint is left to try. */
  | "dialFailed"
  /** Both halves have ended: a clean finish. */
  | "halvesEnded"
  /** A peer has reset: what it sent before is handed over, then the reset is passed on. */
  | "resetReceived"
  /** The session is to end for another reason; both connections are reset. */
  | "endRequested"
  /** Both descriptors are gone. */
  | "socketsClosed";

/** The table: `phases[where we are][what happened]` is where we are then. */
export const phases: Readonly<Record<Phase, Readonly<Partial<Record<SessionEvent, Phase>>>>> = {
  inspecting: { routed: "dialing", endRequested: "closing" },
  dialing: { dialed: "forwarding", dialFailed: "dialing", endRequested: "closing" },
  forwarding: { halvesEnded: "closing", resetReceived: "closing", endRequested: "closing" },
  // A dial is taken back before `closing` begins, so neither `dialed` nor `dialFailed` comes here. The classic leak, a
  // connect that completes after we gave up, is the dial's own to prevent (backend/dial.ts).
  closing: { endRequested: "closing", socketsClosed: "closed" },
  closed: { endRequested: "closed" },
};
