/** Writing the log: in blocks, in order, beside a reader that stalls or goes away. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogOutput } from "../../src/telemetry/log-output.ts";
import { settled, until } from "../support/until.ts";

const asItIs = (line: string): string => line;

test("what was written is with the reader after a flush, in order", async () => {
  using pipe = new Pipe();
  const output = new LogOutput(pipe.writeFd, asItIs);
  for (let index = 0; index < 100; index++) output.write(`line ${index}\n`);
  await output.flush();
  expect(pipe.read()).toBe(Array.from({ length: 100 }, (_, index) => `line ${index}\n`).join(""));
});

test("a line goes out by itself, soon, without a flush", async () => {
  using pipe = new Pipe();
  new LogOutput(pipe.writeFd, asItIs).write("by itself\n");
  let text = "";
  await until(() => (text += pipe.read()) !== "", "the line");
  expect(text).toBe("by itself\n");
});

test("lines are made readable when they are written, each once", async () => {
  using pipe = new Pipe();
  const rendered: string[] = [];
  const output = new LogOutput(pipe.writeFd, (line) => {
    rendered.push(line);
    return `<${line.trimEnd()}>\n`;
  });
  output.write("a\n");
  output.write("b\n");
  expect(rendered).toEqual([]);
  await output.flush();
  expect(rendered).toEqual(["a\n", "b\n"]);
  expect(pipe.read()).toBe("<a>\n<b>\n");
});

test("a record becomes a line when it is written, in its place among the others", async () => {
  using pipe = new Pipe();
  const rendered: string[] = [];
  const output = new LogOutput(pipe.writeFd, (line) => {
    rendered.push(line);
    return line;
  });
  output.write("first\n");
  output.record({ id: 7 });
  output.write("last\n");
  expect(rendered).toEqual([]);
  await output.flush();
  const withoutTime = pipe.read().replace(/"time":"[^"]+"/, '"time":""');
  expect(withoutTime).toBe('first\n{"level":"info","time":"","id":7,"msg":"connection"}\nlast\n');
  expect(rendered.length).toBe(3);
});

test("a record goes out by itself, soon, without a flush", async () => {
  using pipe = new Pipe();
  new LogOutput(pipe.writeFd, asItIs).record({ id: 7 });
  let text = "";
  await until(() => (text += pipe.read()) !== "", "the line");
  expect(text).toEndWith('"id":7,"msg":"connection"}\n');
});

test("beside a reader that stalls, records wait as lines do, and what is beyond is dropped and told in its place", async () => {
  using pipe = new Pipe();
  const output = new LogOutput(pipe.writeFd, asItIs);
  // More than the pipe holds: the reader stalls at once. Then 8 MiB of 400 characters each.
  output.write(`${"x".repeat(200_000)}\n`);
  const accepted = Math.ceil((8 * 1024 * 1024) / 400);
  for (let id = 0; id < accepted + 100; id++) output.record({ id });
  expect(output.dropped).toBe(100);
  const flushed = output.flush();
  const lines = await pipe.readLines(accepted + 2);
  await flushed;
  output.record({ id: "afterwards" });
  await output.flush();
  lines.push(...(await pipe.readLines(1)));
  const ids = lines.slice(1).map((line) => (JSON.parse(line) as Record<string, unknown>)["id"]);
  expect(ids.slice(0, accepted)).toEqual(Array.from({ length: accepted }, (_, id) => id));
  expect(JSON.parse(lines[accepted + 1]!)).toMatchObject({ lines: 100, level: "warn" });
  expect(ids[accepted + 1]).toBe("afterwards");
  expect(output.dropped).toBe(100);
});

test("however much waits for a reader that had stalled, no more than a block of it is made at a time", async () => {
  using pipe = new Pipe();
  let inTurn = 0;
  let mostInTurn = 0;
  const output = new LogOutput(pipe.writeFd, (line) => {
    if (inTurn++ === 0) queueMicrotask(() => (inTurn = 0));
    mostInTurn = Math.max(mostInTurn, inTurn);
    return line;
  });
  output.write(`${"x".repeat(200_000)}\n`);
  for (let id = 0; id < 2_000; id++) output.record({ id });
  const flushed = output.flush();
  expect((await pipe.readLines(2_001)).length).toBe(2_001);
  await flushed;
  // 64 KiB of 400 characters each.
  expect(mostInTurn).toBe(164);
});

test("bytes beyond ASCII are written whole, whatever piece of them the pipe takes", async () => {
  using pipe = new Pipe();
  const output = new LogOutput(pipe.writeFd, asItIs);
  const line = `${"ü€𝄞".repeat(20_000)}\n`;
  output.write(line);
  const flushed = output.flush();
  let bytes = Buffer.alloc(0);
  await until(() => {
    bytes = Buffer.concat([bytes, pipe.readBytes()]);
    return bytes.length >= Buffer.byteLength(line);
  }, "all bytes");
  await flushed;
  expect(bytes.toString("utf8") === line).toBe(true);
});

test.each(["blocks", "refuses"] as const)(
  "beside a reader that stalls, on a pipe that then %s, 8 MiB wait and what is beyond is dropped and told",
  async (full) => {
    using pipe = new Pipe(full);
    const output = new LogOutput(pipe.writeFd, asItIs);
    // 64 KiB each: the first is a block at once, 128 more may wait.
    const line = (index: number): string => `${String(index).padStart(65_535, "0")}\n`;
    const accepted = 129;
    for (let index = 0; index < accepted; index++) output.write(line(index));
    expect(output.dropped).toBe(0);
    for (let index = 0; index < 10; index++) output.write(line(accepted + index));
    expect(output.dropped).toBe(10);
    const flushed = output.flush();
    const lines = await pipe.readLines(accepted + 1);
    await flushed;
    expect(lines.slice(0, accepted).map(Number)).toEqual(Array.from({ length: accepted }, (_, index) => index));
    const { time, ...told } = JSON.parse(lines[accepted]!) as Record<string, unknown>;
    expect(told).toEqual({ level: "warn", lines: 10, msg: "log lines dropped: nobody reads the log" });
    expect(String(time)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    // The reader is back, and nothing more is lost.
    output.write("afterwards\n");
    await output.flush();
    expect(pipe.read()).toBe("afterwards\n");
    expect(output.dropped).toBe(10);
  },
);

test("a line that came while a block could not be written goes out behind it, without a flush or a further line", async () => {
  using pipe = new Pipe("refuses");
  const output = new LogOutput(pipe.writeFd, asItIs);
  output.write(`${"x".repeat(200_000)}\n`);
  output.write("late\n");
  // Longer than lines are held back, with the pipe full all the while.
  await settled(() => output.dropped, "the output", { quietMs: 250 });
  let text = "";
  await until(() => (text += pipe.read()).endsWith("late\n"), "the late line");
  expect(text.length).toBe(200_001 + 5);
});

test("when the reader has gone, writing goes on without one, and a flush does not wait", async () => {
  using pipe = new Pipe();
  const output = new LogOutput(pipe.writeFd, asItIs);
  output.write("heard\n");
  await output.flush();
  pipe.closeReader();
  for (let index = 0; index < 1_000; index++) output.write("unheard\n");
  await output.flush();
  output.write("unheard\n");
  await output.flush();
  expect(output.dropped).toBe(0);
});

test("a flush with nothing to write resolves", async () => {
  using pipe = new Pipe();
  await new LogOutput(pipe.writeFd, asItIs).flush();
  expect(pipe.read()).toBe("");
});

/** A pipe with both its ends here. Once it is full (64 KiB), a write to it blocks its thread or is refused (EAGAIN). */
class Pipe {
  readonly writeFd: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-pipe-"));
  readonly #bytes = Buffer.alloc(64 * 1024);
  #readFd: number;

  constructor(full: "blocks" | "refuses" = "blocks") {
    const path = join(this.#folder, "pipe");
    const { exitCode } = Bun.spawnSync(["mkfifo", path]);
    if (exitCode !== 0) throw new Error(`cannot make a pipe at ${path}`);
    this.#readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.writeFd = openSync(path, constants.O_WRONLY | (full === "refuses" ? constants.O_NONBLOCK : 0));
  }

  /** What is there now. */
  readBytes(): Buffer {
    const chunks: Buffer[] = [];
    for (;;) {
      try {
        const count = readSync(this.#readFd, this.#bytes);
        if (count === 0) break;
        chunks.push(Buffer.from(this.#bytes.subarray(0, count)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") break;
        throw error;
      }
    }
    return Buffer.concat(chunks);
  }

  read(): string {
    return this.readBytes().toString("utf8");
  }

  async readLines(count: number): Promise<string[]> {
    const chunks: Buffer[] = [];
    let ends = 0;
    await until(
      () => {
        const bytes = this.readBytes();
        chunks.push(bytes);
        for (const byte of bytes) if (byte === 10) ends++;
        return ends >= count;
      },
      () => `${count} lines: ${ends} came`,
    );
    return Buffer.concat(chunks).toString("utf8").trimEnd().split("\n");
  }

  closeReader(): void {
    if (this.#readFd >= 0) closeSync(this.#readFd);
    this.#readFd = -1;
  }

  [Symbol.dispose](): void {
    this.closeReader();
    closeSync(this.writeFd);
    rmSync(this.#folder, { recursive: true });
  }
}
