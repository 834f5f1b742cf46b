/** The lines of the log, as written to a file. */
import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLog, type Log, type LogSettings } from "../../src/telemetry/log.ts";
import { until } from "../support/until.ts";

const plain: LogSettings = { level: "info", format: "json", access: true };

/** A log into a file, and what is in it once it is flushed. */
class FileLog {
  readonly log: Log;
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-log-"));
  readonly #path = join(this.#folder, "log");
  readonly #fd = openSync(this.#path, "w");

  constructor(settings: Partial<LogSettings> = {}, isTerminal = false) {
    this.log = openLog({ ...plain, ...settings }, isTerminal, this.#fd);
  }

  async text(): Promise<string> {
    await this.log.flush();
    return readFileSync(this.#path, "utf8");
  }

  async lines(): Promise<Record<string, unknown>[]> {
    const lines = (await this.text()).trimEnd();
    return lines === "" ? [] : lines.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.#folder, { recursive: true });
  }
}

test("a line is level, time, fields in their order, message", async () => {
  using file = new FileLog();
  file.log.info({ zulu: 1, alpha: "a", nothing: null }, "it happened");
  const text = await file.text();
  expect(text).toMatch(
    /^\{"level":"info","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","zulu":1,"alpha":"a","nothing":null,"msg":"it happened"\}\n$/,
  );
});

test("an access record is a line of level info with the message connection", async () => {
  using file = new FileLog();
  file.log.access({ id: 7, end: "client_finished" });
  expect(await file.lines()).toEqual([
    { level: "info", time: expect.any(String), id: 7, end: "client_finished", msg: "connection" },
  ]);
});

test("an access record is written as any other line would be: same fields, same order, same text", async () => {
  using file = new FileLog();
  const record = {
    id: 7,
    client: "[::1]:5",
    endpoint: null,
    duration_ms: 0.25,
    listener: 'ü "quoted" \\ \n \u2028',
    end: "lifetime",
  };
  file.log.access(record);
  file.log.info(record, "connection");
  const [access, other] = (await file.text()).trimEnd().split("\n");
  const withoutTime = (line: string): string => line.replace(/"time":"[^"]*"/, '"time":""');
  expect(withoutTime(access!)).toBe(withoutTime(other!));
  expect(access).toMatch(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/);
});

test("a time that an access record repeats is the present one", async () => {
  using file = new FileLog();
  file.log.access({ id: 1 });
  const before = Date.now();
  await until(() => Date.now() > before, "the next millisecond");
  file.log.access({ id: 2 });
  const [, second] = await file.lines();
  expect(Date.parse(second!["time"] as string)).toBeGreaterThan(before);
});

test("the time of an access record is that of the record, however much later its line is written", async () => {
  using file = new FileLog();
  const before = Date.now();
  file.log.access({ id: 1 });
  const after = Date.now();
  await until(() => Date.now() > after + 1, "a later millisecond");
  const [line] = await file.lines();
  const time = Date.parse(line!["time"] as string);
  expect(time).toBeGreaterThanOrEqual(before);
  expect(time).toBeLessThanOrEqual(after);
});

test("access records and other lines are in the order in which they were written", async () => {
  using file = new FileLog();
  for (let index = 0; index < 2_000; index += 2) {
    file.log.access({ index });
    file.log.info({ index: index + 1 }, "a line");
  }
  const lines = await file.lines();
  expect(lines.map((line) => line["index"])).toEqual(Array.from({ length: 2_000 }, (_, index) => index));
});

test("what comes from outside stays within its line", async () => {
  using file = new FileLog();
  file.log.info({ text: 'line\nbreak "quoted" \\ \u0000 \u2028 ü' }, "hostile");
  const lines = await file.lines();
  expect(lines.length).toBe(1);
  expect(lines[0]!["text"]).toBe('line\nbreak "quoted" \\ \u0000 \u2028 ü');
});

test("an error is written with its stack, its code and its cause", async () => {
  using file = new FileLog();
  const error = Object.assign(new Error("it broke", { cause: new TypeError("because of this") }), { code: "broken" });
  file.log.error({ id: 1, error }, "failed");
  const [line] = await file.lines();
  expect(line).toMatchObject({ level: "error", id: 1, msg: "failed" });
  const written = line!["error"] as Record<string, string>;
  expect(written).toMatchObject({ type: "Error", code: "broken" });
  expect(written["message"]).toStartWith("it broke");
  expect(written["stack"]).toContain("log.test.ts");
  expect(JSON.stringify(written)).toContain("because of this");
});

describe("levels", () => {
  test.each([
    ["debug", ["debug", "info", "warn", "error"]],
    ["info", ["info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["error", ["error"]],
  ] as const)("at %s these are written: %p", async (level, written) => {
    using file = new FileLog({ level });
    for (const each of ["debug", "info", "warn", "error"] as const) file.log[each]({}, "a line");
    expect((await file.lines()).map((line) => line["level"])).toEqual([...written]);
  });

  test.each([
    ["debug", true, true],
    ["info", true, true],
    ["warn", true, false],
    ["info", false, false],
  ] as const)("at level %s with access = %p, records are made: %p", (level, access, recorded) => {
    using file = new FileLog({ level, access });
    expect(file.log.recordsAccess).toBe(recorded);
  });
});

describe("changed while it is open", () => {
  test("the level holds from the next line on", async () => {
    using file = new FileLog({ level: "warn" });
    file.log.debug({}, "before");
    file.log.configure({ level: "debug", access: true });
    file.log.debug({}, "between");
    file.log.configure({ level: "error", access: true });
    file.log.warn({}, "after");
    expect((await file.lines()).map((line) => line["msg"])).toEqual(["between"]);
  });

  test("whether records are to be written follows level and access", () => {
    using file = new FileLog({ level: "info", access: false });
    const { log } = file;
    const recorded = (level: LogSettings["level"], access: boolean): boolean => {
      log.configure({ level, access });
      return log.recordsAccess;
    };
    expect(log.recordsAccess).toBe(false);
    expect(recorded("info", true)).toBe(true);
    expect(recorded("warn", true)).toBe(false);
    expect(recorded("debug", true)).toBe(true);
    expect(recorded("debug", false)).toBe(false);
  });

  test("the format stays", async () => {
    using file = new FileLog({ format: "pretty" });
    file.log.configure({ level: "debug", access: true });
    file.log.debug({}, "a line");
    expect(await file.text()).toContain("DEBUG: a line");
  });
});

describe("format", () => {
  test("auto is JSON where no terminal is, and for people on a terminal, in colour", async () => {
    using machine = new FileLog({ format: "auto" }, false);
    machine.log.info({ a: 1 }, "hello");
    expect(await machine.text()).toStartWith('{"level":"info"');
    using person = new FileLog({ format: "auto" }, true);
    person.log.info({ a: 1 }, "hello");
    const text = await person.text();
    expect(text).toContain("hello");
    expect(text).toContain("\u001b[");
    expect(text).not.toStartWith("{");
  });

  test("json stays JSON on a terminal", async () => {
    using file = new FileLog({ format: "json" }, true);
    file.log.info({ a: 1 }, "hello");
    expect(await file.lines()).toMatchObject([{ a: 1, msg: "hello" }]);
  });

  test("pretty is one line each, with the fields behind the message", async () => {
    using file = new FileLog({ format: "pretty" }, false);
    file.log.warn({ a: 1, b: "two" }, "first");
    file.log.info({}, "second");
    expect((await file.text()).replaceAll(/\d/g, "0")).toBe(
      '[00:00:00.000] WARN: first {"a":0,"b":"two"}\n[00:00:00.000] INFO: second\n',
    );
  });
});

test("ten thousand lines are all there after a flush, in their order", async () => {
  using file = new FileLog();
  for (let index = 0; index < 10_000; index++) file.log.info({ index }, "a line");
  const lines = await file.lines();
  expect(lines.map((line) => line["index"])).toEqual(Array.from({ length: 10_000 }, (_, index) => index));
});
