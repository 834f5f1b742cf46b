/** A question that is sent again: datagrams get lost. */
import type { Clock, TimerHandle } from "../../core/clock.ts";
import type { Asking, Reply } from "./name-server.ts";

/** A question that was sent once. */
export interface Sending<T> extends Asking<T> {
  /** Whether the server is at it, as far as can be seen, so that there is no use in asking it again. */
  readonly answering: boolean;
}

/** A question is sent again when there is no answer after this, then after twice as long. */
const sendAgainMs = 1_000;
/** How often a question is sent to one server. What then? The deadline of the one who asks is over. */
const sendsMax = 3;

/**
 * Sends a question, each time anew by `send`, until there is an answer, which may be that it has failed, or one is on its
 * way. What was sent before is given up by that: a server that was too slow has its answer at hand by then.
 */
export function askAgain<T>(send: () => Sending<T>, clock: Clock): Asking<T> {
  const { promise, resolve: settle } = Promise.withResolvers<Reply<T>>();
  let last: Sending<T> | undefined;
  let timer: TimerHandle | undefined;
  let sends = 0;
  let over = false;

  const end = (reply: Reply<T>): void => {
    if (over) return;
    over = true;
    if (timer !== undefined) clock.clearTimer(timer);
    last?.cancel();
    settle(reply);
  };

  const next = (): void => {
    if (last?.answering === true) return;
    last?.cancel();
    const sent = send();
    last = sent;
    sends++;
    timer = sends < sendsMax ? clock.setTimer(next, sendAgainMs * 2 ** (sends - 1)) : undefined;
    void sent.reply.then((reply) => {
      if (sent === last) end(reply);
    });
  };

  next();
  return { reply: promise, cancel: () => end({ kind: "failed", why: "the question was given up" }) };
}
