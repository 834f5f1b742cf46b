/** Sees every Worker that the program makes while it is in scope, and can end them from outside. */

/** See the head of this file. */
export class SeenWorkers {
  /** Whether Workers made from now on hear nothing of what they are told. */
  deaf = false;
  /** In the order in which they were made, those that have ended included. */
  readonly all: Worker[] = [];
  readonly #original = globalThis.Worker;

  constructor() {
    const { all } = this;
    const isDeaf = (): boolean => this.deaf;
    globalThis.Worker = class extends this.#original {
      constructor(url: string | URL, options?: WorkerOptions) {
        super(url, options);
        all.push(this);
        if (isDeaf()) this.postMessage = () => {};
      }
    };
  }

  /** The one made last. */
  get last(): Worker {
    const last = this.all.at(-1);
    if (last === undefined) throw new Error("no Worker was made");
    return last;
  }

  [Symbol.dispose](): void {
    globalThis.Worker = this.#original;
  }
}
