/** The Worker of the splice engine: gets the shared memory, and runs the loop until it is told to stop. */
import { libc, libcMissing } from "../../sys/libc.ts";
import { Arena } from "./arena.ts";
import { SpliceLoop } from "./loop.ts";

/** The one message that the Worker gets. */
export interface SpliceWorkerStart {
  readonly shared: SharedArrayBuffer;
  readonly sessionsMax: number;
  /** The eventfd that is signalled after a command. */
  readonly wakeFd: number;
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<SpliceWorkerStart>) => {
  try {
    if (libc === undefined) throw new Error(libcMissing);
    new SpliceLoop(new Arena(data.sessionsMax, data.shared), libc, data.wakeFd).run();
  } catch (mistake) {
    // Its end tells the main thread to take everything back; the reason has to be sent (Bun 1.4.5).
    self.postMessage(mistake);
    throw mistake;
  }
  self.onmessage = null;
};
