/** What the splice engine's parts cost: system calls through bun:ffi, and messages between its threads. */
import { bench, group, run } from "mitata";
import { Arena } from "../../src/forward/splice/arena.ts";
import { libc } from "../../src/sys/libc.ts";

if (libc === undefined) throw new Error("this benchmark needs Linux with glibc");
const calls = libc;

const words = new Int32Array(new ArrayBuffer(16));
const address = calls.addressOf(words);
calls.pipe(address);
const [reading, writing] = [words[0]!, words[1]!];
calls.setPipeBytes(writing, 1024 * 1024);
calls.socketPair(address);
const [near, far] = [words[0]!, words[1]!];

group("a system call from TypeScript", () => {
  bench("clock_gettime, which does not enter the kernel", () => calls.monotonicTime(address));
  bench("splice from an empty socket: EAGAIN", () => calls.splice(near, writing, 1024 * 1024));
  bench("8 bytes: write, splice to a pipe, splice to a socket, read", () => {
    calls.signal(far);
    calls.splice(near, writing, 8);
    calls.splice(reading, near, 8);
    calls.unsignal(far);
  });
});

group("a message between the threads", () => {
  const { commands } = new Arena(16);
  bench("written and read", () => {
    commands.push(1, 2, 0, 0);
    commands.next();
  });
});

await run();
