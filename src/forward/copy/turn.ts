/**
 * What is put off to the end of the present turn of the event loop: small writes.
 *
 * A write wakes its receiver. Woken one by one between our reads, peers on a busy machine fall asleep again each time;
 * woken in one go they find each other running. And at the end of a turn it can be seen that a FIN follows what is to be
 * written, so that both leave in one segment.
 */
import { libc } from "../../sys/libc.ts";

/** Who puts something off. */
export interface Postponed {
  /** The descriptor to look at for a FIN before `endOfTurn`; -1 for none. */
  readonly finFd: number;
  /** Called once for each `postpone`. `finFollows`: at `finFd` a FIN has arrived, behind bytes that came since, if any. */
  endOfTurn(finFollows: boolean): void;
  /** `endOfTurn` threw. */
  failed(error: Error): void;
}

/** So many descriptors are looked at in one turn; what goes beyond is written without looking. */
const finFdsMax = 256;
/** Descriptors, and after the look 1 for each that has a FIN. */
const finFds = new Int32Array(new ArrayBuffer(4 * finFdsMax));
/** Which of the tasks each belongs to. */
const finTasks = new Int32Array(new ArrayBuffer(4 * finFdsMax));

let waiting: Postponed[] = [];
/** The list of the turn before, empty: two take turns, so that postponing allocates nothing. */
let spare: Postponed[] = [];

/** Has `task.endOfTurn` called when the events of this turn have been handled, in the order of these calls. */
export function postpone(task: Postponed): void {
  // An immediate runs before the loop waits for events again, and keeps it from waiting (Bun 1.4.5).
  if (waiting.push(task) === 1) setImmediate(endTurn);
}

/** Does what was put off; what is put off meanwhile is for the next turn. Called from outside by tests alone. */
export function endTurn(): void {
  const tasks = waiting;
  waiting = spare;
  const looked = lookForFins(tasks);
  let next = 0;
  for (let index = 0; index < tasks.length; index++) {
    const task = tasks[index]!;
    const finFollows = next < looked && finTasks[next] === index && finFds[next++] === 1;
    try {
      task.endOfTurn(finFollows);
    } catch (error) {
      task.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }
  tasks.length = 0;
  spare = tasks;
}

/** Fills both arrays; returns how many entries they have. */
function lookForFins(tasks: readonly Postponed[]): number {
  if (libc === undefined) return 0;
  let count = 0;
  for (let index = 0; index < tasks.length && count < finFdsMax; index++) {
    const { finFd } = tasks[index]!;
    if (finFd < 0) continue;
    finFds[count] = finFd;
    finTasks[count++] = index;
  }
  if (count > 0) libc.finsArrived(finFds, count);
  return count;
}
