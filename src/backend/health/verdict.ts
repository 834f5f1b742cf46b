/** What is found of an endpoint by what it says, and of how the connection is left. */

/** How we leave a connection that has served its purpose. */
export type Leave =
  /**
   * RST: nothing of the connection stays behind on either side. A FIN of ours would leave a TIME_WAIT of 60 s here for
   * each check, and an endpoint that was only connected to has nothing to lose. (HAProxy does the same.)
   */
  | "reset"
  /** FIN, for what was sent and must arrive: a reset could overtake it. */
  | "finish"
  /** Read what still comes, within bounds, until the endpoint finishes, so that its writing does not fail. */
  | "read_out";

/** What a check has found. */
export interface Verdict {
  readonly good: boolean;
  /** In a few words, for a log: "status 503", "closed without an answer". */
  readonly why: string;
  readonly leave: Leave;
}

/** Judges an answer that arrives in pieces. */
export interface AnswerReader {
  /** Bytes looked at so far. */
  readonly bytes: number;
  /** The next piece, as long as there is no verdict: the verdict, or `undefined` while it is a good beginning. */
  take(chunk: Uint8Array): Verdict | undefined;
}

/** A good verdict. */
export function good(why: string, leave: Leave = "reset"): Verdict {
  return { good: true, why, leave };
}

/** A bad verdict. */
export function bad(why: string, leave: Leave = "reset"): Verdict {
  return { good: false, why, leave };
}
