/** Whether this system can splice: tried out once, on the main thread, with a byte through a pipe between two sockets. */
import { errnoName, libc, libcMissing, type Libc } from "../../sys/libc.ts";

/** Why splicing can't work here, in words for an operator; `undefined` where it works. */
export function spliceMissing(calls: Libc | undefined = libc): string | undefined {
  if (calls === undefined) return libcMissing ?? "there is no C library";
  const opened: number[] = [];
  try {
    const keep = (fd: number, action: string): number => {
      if (fd < 0) throw new Refused(action, -fd);
      opened.push(fd);
      return fd;
    };
    const memory = new Int32Array(new ArrayBuffer(16));
    const address = calls.addressOf(memory);
    const pair = (failed: number, action: string): readonly [number, number] => {
      if (failed < 0) throw new Refused(action, -failed);
      opened.push(memory[0]!, memory[1]!);
      return [memory[0]!, memory[1]!];
    };
    const wakeFd = keep(calls.eventfd(), "eventfd");
    const epoll = keep(calls.epollCreate(), "epoll_create");
    if (calls.epollAdd(epoll, wakeFd, address) < 0) throw new Refused("epoll_ctl", 0);
    const [reading, writing] = pair(calls.pipe(address), "pipe");
    const [near, far] = pair(calls.socketPair(address), "socketpair");
    // Eight bytes, an eventfd's one: what they say does not matter.
    if (calls.signal(far) !== 8) throw new Refused("write", 0);
    const taken = calls.splice(near, writing, 8);
    if (taken !== 8) throw new Refused("splice from a socket", Math.max(0, -taken));
    const given = calls.splice(reading, near, 8);
    if (given !== 8) throw new Refused("splice to a socket", Math.max(0, -given));
    return undefined;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return error.message;
  } finally {
    for (const fd of opened) calls.close(fd);
  }
}

class Refused extends Error {
  constructor(action: string, errno: number) {
    super(`the system refuses ${action}${errno === 0 ? "" : ` (${errnoName(errno)})`}`);
  }
}
