/**
 * A kernel of plain objects for the loop of the splice engine: connections, pipes and an edge-triggered epoll, with the
 * answers of Linux. Bytes are ranges of what their sender sent, so that a lost, doubled or swapped one throws at once,
 * and so does every use of a descriptor that is not open.
 */
import { constants } from "node:os";
import type { LoopCalls } from "../../src/forward/splice/loop.ts";
import type { FakeConnection, Range } from "./fake-connection.ts";
import { FakeEpoll } from "./fake-epoll.ts";

const { EAGAIN, EPIPE } = constants.errno;
/** A pipe: one range at most, since the loop fills only what is empty. */
export interface FakePipe {
  /** Descriptors; -1 once closed. */
  reading: number;
  writing: number;
  capacity: number;
  bytes: Range | undefined;
}

/** See the head of this file. */
export class FakeSpliceCalls extends FakeEpoll implements LoopCalls {
  /** Capacities that were asked for. */
  readonly sizesAsked: number[] = [];
  /** What a pipe holds that was not made larger. */
  pipeCapacity = 65_536;
  /** The most that one splice moves. */
  spliceMax = Infinity;
  readonly pipes = new Set<FakePipe>();
  /** What was received last, and where it is. */
  #buffer!: { readonly address: number; readonly bytes: Range };

  /** Pipes that hold bytes. */
  get filledPipes(): number {
    return [...this.pipes].filter(({ bytes }) => bytes !== undefined).length;
  }

  pipe(address: number): number {
    const failed = this.fails("pipe");
    if (failed !== undefined) {
      // What the kernel leaves behind is nobody's business.
      this.writeWords(address, [-7, -7]);
      return failed;
    }
    const pipe = { reading: this.newFd(), writing: this.newFd(), capacity: this.pipeCapacity, bytes: undefined };
    this.pipes.add(pipe);
    this.writeWords(address, [pipe.reading, pipe.writing]);
    return 0;
  }

  setPipeBytes(fd: number, bytes: number): number {
    const pipe = this.#pipe("writing", fd);
    this.sizesAsked.push(bytes);
    return this.fails("F_SETPIPE_SZ") ?? (pipe.capacity = bytes);
  }

  pipeBytes(fd: number): number {
    return this.#pipe("writing", fd).capacity;
  }

  close(fd: number): number {
    if (this.closeEpoll(fd)) return 0;
    const pipe = [...this.pipes].find(({ reading, writing }) => reading === fd || writing === fd);
    if (pipe === undefined || fd < 0) throw new Error(`${fd} is not open`);
    if (pipe.reading === fd) pipe.reading = -1;
    else pipe.writing = -1;
    if (pipe.reading + pipe.writing === -2) this.pipes.delete(pipe);
    return 0;
  }

  splice(from: number, to: number, bytes: number): number {
    if (bytes <= 0) throw new Error(`a splice of ${bytes} bytes`);
    const source = this.connections.get(from);
    return source === undefined
      ? this.#spliceOut(this.#pipe("reading", from), this.connectionAt(to), bytes)
      : this.#spliceIn(source, this.#pipe("writing", to), bytes);
  }

  #spliceIn(source: FakeConnection, pipe: FakePipe, bytes: number): number {
    const failed = this.fails("splice in");
    if (failed !== undefined) return failed;
    if (pipe.bytes !== undefined) throw new Error("bytes were put into a pipe that is not empty");
    const moved = Math.min(bytes, source.arrived - source.read, this.spliceMax, pipe.capacity);
    if (moved === 0 || source.urgent) return this.#noBytes(source);
    pipe.bytes = { sender: source, from: source.read, to: source.read + moved };
    source.read += moved;
    return moved;
  }

  receive(fd: number, address: number, bytes: number): number {
    const failed = this.fails("receive");
    if (failed !== undefined) return failed;
    const source = this.connectionAt(fd);
    source.urgent = false;
    const moved = Math.min(bytes, source.arrived - source.read);
    if (moved === 0) return this.#noBytes(source);
    this.#buffer = { address, bytes: { sender: source, from: source.read, to: source.read + moved } };
    source.read += moved;
    return moved;
  }

  send(fd: number, address: number, bytes: number): number {
    const failed = this.fails("send");
    if (failed !== undefined) return failed;
    const sink = this.connectionAt(fd);
    return this.#give(sink, this.#inBuffer(address, bytes));
  }

  write(fd: number, address: number, bytes: number): number {
    const pipe = this.#pipe("writing", fd);
    const failed = this.fails("write");
    if (failed !== undefined) return failed;
    if (pipe.bytes !== undefined) throw new Error("bytes were put into a pipe that is not empty");
    if (bytes > pipe.capacity) throw new Error(`${bytes} bytes were put into a pipe for ${pipe.capacity}`);
    pipe.bytes = this.#inBuffer(address, bytes);
    return bytes;
  }

  /** What was received to this place last. */
  #inBuffer(address: number, bytes: number): Range {
    const { sender, from, to } = this.#buffer.bytes;
    const start = from + address - this.#buffer.address;
    if (bytes <= 0 || start < from || start + bytes > to) throw new Error(`${bytes} bytes that nobody has received`);
    return { sender, from: start, to: start + bytes };
  }

  #noBytes(source: FakeConnection): number {
    if (source.error !== 0) return this.#takeError(source);
    return source.finished || source.broken ? 0 : -EAGAIN;
  }

  #spliceOut(pipe: FakePipe, sink: FakeConnection, bytes: number): number {
    const failed = this.fails("splice out");
    if (failed !== undefined) return failed;
    if (pipe.bytes === undefined) throw new Error("bytes were asked of an empty pipe");
    const { sender, from, to } = pipe.bytes;
    const moved = this.#give(sink, { sender, from, to: Math.min(to, from + bytes, from + this.spliceMax) });
    if (moved > 0) pipe.bytes = from + moved === to ? undefined : { sender, from: from + moved, to };
    return moved;
  }

  /** Gives a connection as much of a range as it takes. */
  #give(sink: FakeConnection, { sender, from, to }: Range): number {
    if (sink.error !== 0) return this.#takeError(sink);
    if (sink.broken || sink.finSent) return -EPIPE;
    const moved = Math.min(to - from, sink.room);
    if (moved > 0) sink.put({ sender, from, to: from + moved });
    else sink.awaitsRoom = true;
    return moved > 0 ? moved : -EAGAIN;
  }

  #takeError(connection: FakeConnection): number {
    const { error } = connection;
    connection.error = 0;
    return -error;
  }

  finish(fd: number): number {
    const connection = this.connectionAt(fd);
    if (connection.finSent) throw new Error(`${fd} was sent a second FIN`);
    connection.finSent = connection.changed = true;
    return 0;
  }

  #pipe(end: "reading" | "writing", fd: number): FakePipe {
    const found = [...this.pipes].find((pipe) => pipe[end] === fd);
    if (found === undefined || fd < 0) throw new Error(`${fd} is not the ${end} end of an open pipe`);
    return found;
  }
}
