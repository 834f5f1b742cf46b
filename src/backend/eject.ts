/** Ejection: an endpoint that fails several times in a row is out of rotation for a while, longer each time. */

/** When an endpoint is ejected. */
export interface EjectSettings {
  /** Failures in a row that eject it. */
  readonly failures: number;
  /** For how long, the first time; each further time for twice as long. */
  readonly forMs: number;
}

/** No ejection is longer, unless the first one is; and the doubling is forgotten when none has been for as long. */
export const ejectionMsMax = 5 * 60_000;

/** What is known of one endpoint. Whether it may be ejected, being the last, is up to its backend. */
export class Ejection {
  /** Attempts that failed since the last success, or since the last ejection was over. */
  failuresInRow = 0;
  /** While it is ejected, when that is over; else `undefined`. */
  untilMs: number | undefined = undefined;
  /** Ejections that the next one is longer for. */
  #times = 0;
  #endedMs = -Infinity;

  /** Begins an ejection and returns how long it lasts. */
  begin(settings: EjectSettings, nowMs: number): number {
    if (nowMs - this.#endedMs >= ejectionMsMax) this.#times = 0;
    const forMs = Math.min(settings.forMs * 2 ** this.#times, Math.max(settings.forMs, ejectionMsMax));
    this.#times++;
    this.untilMs = nowMs + forMs;
    return forMs;
  }

  /** Ends the ejection, at its time or before. Failures are counted anew. */
  end(nowMs: number): void {
    this.untilMs = undefined;
    this.#endedMs = nowMs;
    this.failuresInRow = 0;
  }
}
