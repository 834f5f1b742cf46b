/** A thread that takes and gives back connections on a counter shared with the test. */

import { ActiveConnections } from "../../src/stats/active-connections.ts";

declare const self: Worker;

/** What a test asks of the thread; it answers each with `done`, and an exception reaches the test as an error event. */
export interface CounterTask {
  readonly shared: SharedArrayBuffer;
  /** `take_and_give_back`: one of each, `times` over, so that at most one is open for this thread at any moment. */
  readonly what: "take" | "give_back" | "take_and_give_back";
  readonly times: number;
}

self.onmessage = ({ data }: MessageEvent<CounterTask>) => {
  const active = new ActiveConnections(data.shared);
  for (let done = 0; done < data.times; done += 1) {
    if (data.what !== "give_back") active.take();
    if (data.what !== "take") active.giveBack();
  }
  self.postMessage("done");
};
