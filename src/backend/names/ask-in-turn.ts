/** One question to several DNS servers: the first is asked first, the others help out. */
import type { Clock, TimerHandle } from "../../core/clock.ts";
import type { Asking, NameServer, Reply } from "./name-server.ts";

/** A question to several servers. */
export interface Round<T> {
  /** `failed` when all servers have, `undefined` when there was no answer in time or the question was given up. Never rejects. */
  readonly reply: Promise<Reply<T> | undefined>;
  /** Gives the question up; no effect when it is answered. */
  cancel(): void;
}

/** How long a server may be silent before the next one is asked as well; less when there are many servers. */
const patienceMs = 1_000;

/**
 * Asks the first server; the next one as soon as a server fails, or has been silent for a while. What was asked is not
 * given up by this: the first answer counts, and "there is nothing" is an answer. Ends after `withinMs` at the latest.
 */
export function askInTurn<T>(
  servers: readonly NameServer[],
  ask: (server: NameServer) => Asking<T>,
  clock: Clock,
  withinMs: number,
): Round<T> {
  const { promise, resolve: settle } = Promise.withResolvers<Reply<T> | undefined>();
  // The last server is to have as much time as the others.
  const stepMs = Math.min(patienceMs, withinMs / (servers.length + 1));
  const asked: Asking<T>[] = [];
  let failures = 0;
  let over = false;
  let step: TimerHandle | undefined;
  const deadline = clock.setTimer(() => end(undefined), withinMs);

  const end = (reply: Reply<T> | undefined): void => {
    if (over) return;
    over = true;
    clock.clearTimer(deadline);
    if (step !== undefined) clock.clearTimer(step);
    for (const asking of asked) asking.cancel();
    settle(reply);
  };

  const answered = (reply: Reply<T>, wasLast: boolean): void => {
    if (over) return;
    if (reply.kind !== "failed") return end(reply);
    failures++;
    if (failures === servers.length) end(reply);
    else if (wasLast) askNext();
  };

  const askNext = (): void => {
    if (step !== undefined) clock.clearTimer(step);
    const server = servers[asked.length];
    if (server === undefined) return;
    const asking = ask(server);
    asked.push(asking);
    if (asked.length < servers.length) step = clock.setTimer(askNext, stepMs);
    void asking.reply.then((reply) => answered(reply, asking === asked.at(-1)));
  };

  askNext();
  return { reply: promise, cancel: () => end(undefined) };
}
