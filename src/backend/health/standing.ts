/** Rise and fall: what a row of checks makes of an endpoint. */
import type { Health } from "../endpoint.ts";

/** Begins as `unknown`. The first result decides at once, later ones only when enough of them in a row agree. */
export class Standing {
  /** What the results so far have made of it. */
  health: Health = "unknown";
  #rise: number;
  #fall: number;
  /** Results in a row that speak against `health`. */
  #against = 0;

  /** `rise` good results in a row lead up, `fall` bad ones down; both at least 1. */
  constructor(rise: number, fall: number) {
    this.#rise = rise;
    this.#fall = fall;
  }

  /** Other numbers from now on; `health` stays, and the row that speaks against it begins anew. */
  configure(rise: number, fall: number): void {
    this.#rise = rise;
    this.#fall = fall;
    this.#against = 0;
  }

  /** Takes a result; answers whether it has changed `health`. */
  take(good: boolean): boolean {
    const says = good ? "up" : "down";
    if (says === this.health) {
      this.#against = 0;
      return false;
    }
    this.#against++;
    if (this.health !== "unknown" && this.#against < (good ? this.#rise : this.#fall)) return false;
    this.health = says;
    this.#against = 0;
    return true;
  }
}
