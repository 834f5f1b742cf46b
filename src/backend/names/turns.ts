/** A bound on what goes on at once: the others wait in line, the oldest first. */

/** Gives out turns. */
export class Turns {
  #free: number;
  readonly #line: (() => void)[] = [];

  constructor(max: number) {
    this.#free = max;
  }

  /** Runs `work` as soon as there is a turn, and gives the turn back when it has settled. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((called) => this.#line.push(called));
    try {
      return await work();
    } finally {
      const next = this.#line.shift();
      // The turn passes on as it is, so that nobody gets in between.
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
