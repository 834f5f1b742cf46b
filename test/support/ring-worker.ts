/** A thread that answers the messages of one ring with those of another, waiting for neither side's lock. */
import { Ring } from "../../src/forward/splice/ring.ts";

declare const self: Worker;

/** What a test hands to the thread: the memory of both rings, and how many messages are to be answered. */
export interface RingTask {
  /** Written by the test. */
  readonly questions: SharedArrayBuffer;
  /** Written by the thread: the same messages in the same order, with `c` set to `a - b`. */
  readonly answers: SharedArrayBuffer;
  readonly answersCapacity: number;
  readonly count: number;
}

self.onmessage = async ({ data }: MessageEvent<RingTask>) => {
  const questions = new Ring(new Int32Array(data.questions));
  const answers = new Ring(new Int32Array(data.answers));
  const read = new Int32Array(data.answers, 0, 1);
  const first = Atomics.load(read, 0);
  for (let done = 0; done < data.count;) {
    if (!questions.next()) {
      answers.wake();
      await questions.whenWritten();
      continue;
    }
    // The rings of the engine never fill up; this one may: then wait for the test to read.
    while (((first + done - Atomics.load(read, 0)) | 0) >= data.answersCapacity) answers.wake();
    answers.push(questions.kind, questions.a, questions.b, (questions.a - questions.b) | 0);
    done++;
  }
  answers.wake();
  self.postMessage("done");
};
