/** The runner behind `npm test`, run on small projects: what it must notice, and what it says at the end. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { countDeclaredTests } from "../../scripts/declared-tests.ts";
import { readClosing, readReport } from "../../scripts/test-report.ts";

const repository = join(import.meta.dir, "../..");
const imports = 'import { expect, test } from "bun:test";\n';
const passing = `${imports}test("one", () => expect(1).toBe(1));\ntest("two", () => expect(2).toBe(2));\n`;

describe("the runner", () => {
  test("ends with the count of what passed, code 0", async () => {
    using project = new Project({ "test/a.test.ts": passing, "test/deep/b.test.ts": passing });
    const { code, lines } = await project.run();
    expect(lines.at(-1)).toBe("4 passed, 0 failed");
    expect(failures(lines)).toEqual([]);
    expect(code).toBe(0);
  });

  test("repeats the tests, each time with a seed of its own, and ends with the sum", async () => {
    using project = new Project({ "test/a.test.ts": passing });
    const { code, lines } = await project.run("--times", "3");
    const seeds = lines.flatMap((line) => /^tests +run \d of 3, seed (\d+)$/.exec(line)?.[1] ?? []);
    expect(new Set(seeds).size).toBe(3);
    expect(lines.at(-1)).toBe("6 passed, 0 failed");
    expect(code).toBe(0);
  });

  test("fails when a test does", async () => {
    using project = new Project({ "test/a.test.ts": `${passing}test("wrong", () => expect(1).toBe(2));\n` });
    const { code, lines } = await project.run();
    expect(failures(lines)).toEqual(["1 of 3 tests failed"]);
    expect(lines.at(-1)).toBe("2 passed, 1 failed");
    expect(code).toBe(1);
  });

  test("fails when one of several runs did, and says which", async () => {
    // The first run leaves a mark that the second trips over.
    const once = `${imports}test("once", async () => {
      const mark = Bun.file("mark");
      const isFirst = !(await mark.exists());
      await Bun.write(mark, "x");
      expect(isFirst).toBe(true);
    });\n`;
    using project = new Project({ "test/a.test.ts": once });
    const { code, lines } = await project.run("--times", "2");
    expect(failures(lines)).toEqual(["run 2 of 2: 1 of 1 tests failed"]);
    expect(lines.at(-1)).toBe("1 passed, 1 failed");
    expect(code).toBe(1);
  });

  test("counts an error outside of any test as failed", async () => {
    const broken = `${imports}test("never", () => {});\nthrow new Error("while loading");\n`;
    using project = new Project({ "test/a.test.ts": passing, "test/broken.test.ts": broken });
    const { code, lines } = await project.run();
    expect(failures(lines)).toEqual(["1 of 3 tests failed", "test/broken.test.ts declares 1 tests, 0 ran"]);
    expect(lines.at(-1)).toBe("2 passed, 1 failed");
    expect(code).toBe(1);
  });

  test("fails when a test ends the process with code 0", async () => {
    const exiting = `${imports}test("first", () => {});\ntest("leaves", () => process.exit(0));\n`;
    using alone = new Project({ "test/exiting.test.ts": exiting });
    const { code, lines } = await alone.run();
    expect(failures(lines)).toEqual([
      "bun test came to no closing line (exit code 0): does a test, or what it calls, end the process?",
    ]);
    expect(lines.filter((line) => line.includes("passed"))).toEqual([]);
    expect(code).toBe(1);

    using among = new Project({ "test/a.test.ts": passing, "test/exiting.test.ts": exiting });
    const amongOthers = await among.run();
    expect(failures(amongOthers.lines)).not.toEqual([]);
    expect(amongOthers.code).toBe(1);
  });

  test("fails when the process crashes, and gives the same count everywhere", async () => {
    // What was over before the crash is in Bun's report, and not in its closing lines.
    const crashing = `${imports}for (const index of [1, 2, 3]) {
      test("test " + index, async () => {
        await Bun.sleep(100);
        if (index === 2) process.kill(process.pid, "SIGKILL");
        await Bun.sleep(100);
      });
    }\n`;
    using project = new Project({ "test/a.test.ts": passing, "test/crashing.test.ts": crashing });
    const { code, lines } = await project.run();
    expect(failures(lines)).toEqual(["1 of 3 tests failed"]);
    expect(lines.at(-1)).toBe("2 passed, 1 failed");
    expect(code).toBe(1);
  });

  test("fails when there is no test in the files, and when there is no file", async () => {
    using empty = new Project({ "test/a.test.ts": "export {};\n" });
    const withoutTests = await empty.run();
    expect(failures(withoutTests.lines)).toEqual(["no test ran"]);
    expect(withoutTests.lines.at(-1)).toBe("0 passed, 0 failed");
    expect(withoutTests.code).toBe(1);

    using none = new Project({ "test/support.ts": passing });
    const withoutFiles = await none.run();
    expect(failures(withoutFiles.lines)).toEqual(["no test ran: there is no file of tests"]);
    expect(withoutFiles.code).toBe(1);
  });

  test("fails when fewer ran than a file declares, wherever the file lies", async () => {
    const conditional = `${imports}if (process.platform === "amiga") test("never", () => {});\ntest("here", () => {});\n`;
    using project = new Project({
      "bunfig.toml": '[test]\nroot = "test"\n',
      "test/conditional.test.ts": conditional,
      "test/fine.test.ts": passing,
      "src/lost.test.ts": passing,
    });
    const { code, lines } = await project.run();
    expect(failures(lines)).toEqual([
      "src/lost.test.ts declares 2 tests, 0 ran",
      "test/conditional.test.ts declares 2 tests, 1 ran",
    ]);
    expect(lines.at(-1)).toBe("3 passed, 0 failed");
    expect(code).toBe(1);
  });

  test("names what was skipped or is still to be written, and fails for it in CI", async () => {
    const lazy = `${imports}import { describe } from "bun:test";
      describe("a <group>", () => test.skip('says "no"', () => {}));
      test.todo("later");
      test("here", () => {});\n`;
    using project = new Project({ "test/lazy.test.ts": lazy });
    const skipped = ['skipped: test/lazy.test.ts: a <group> > says "no"', "skipped: test/lazy.test.ts: later"];

    const inCi = await project.inCi();
    expect(failures(inCi.lines).toSorted()).toEqual(skipped);
    expect(inCi.lines.at(-1)).toBe("1 passed, 0 failed");
    expect(inCi.code).toBe(1);

    const elsewhere = await project.run();
    expect(elsewhere.lines.filter((line) => line.startsWith("skipped: ")).toSorted()).toEqual(skipped);
    expect(failures(elsewhere.lines)).toEqual([]);
    expect(elsewhere.code).toBe(0);
  });

  test("does not take .only for the whole", async () => {
    using project = new Project({ "test/a.test.ts": `${passing}test.only("alone", () => {});\n` });
    const { code, lines } = await project.run();
    expect(failures(lines)).toEqual(["test/a.test.ts declares 3 tests, 1 ran"]);
    expect(code).toBe(1);
  });

  test("checks types, format and lint before the tests, and runs these all the same", async () => {
    const files = {
      ".gitignore": "node_modules\n",
      "tsconfig.json": '{ "compilerOptions": { "strict": true }, "include": ["src"] }\n',
      "test/a.test.ts": passing,
    };
    using clean = new Project({ ...files, "src/a.ts": "export const one: number = 1;\n" });
    const ok = await clean.runWithChecks();
    expect(ok.lines.filter((line) => /^\w+ +ok /.test(line)).map((line) => line.split(" ")[0])).toEqual([
      "types",
      "format",
      "lint",
      "tests",
    ]);
    expect(ok.lines.at(-1)).toBe("2 passed, 0 failed");
    expect(ok.code).toBe(0);

    using unclean = new Project({ ...files, "src/a.ts": 'export const one: number   = "1";\ndebugger;\n' });
    const { code, lines } = await unclean.runWithChecks();
    expect(failures(lines)).toEqual(["types: exit code 1", "format: exit code 1", "lint: exit code 1"]);
    expect(lines.at(-1)).toBe("2 passed, 0 failed");
    expect(code).toBe(1);
  });

  test("gives the tests a folder for their temporary files, where others pass through, and removes it each time", async () => {
    const leaving = `${imports}import { mkdirSync, statSync, writeFileSync } from "node:fs";
      import { tmpdir } from "node:os";
      import { dirname } from "node:path";
      test("leaves files", () => {
        mkdirSync(tmpdir() + "/deep/er", { recursive: true });
        writeFileSync(tmpdir() + "/deep/er/file", "left");
        for (const path of [dirname(tmpdir()), tmpdir()]) expect(statSync(path).mode & 0o7777).toBe(0o711);
        console.log("its folder is " + tmpdir());
      });\n`;
    using project = new Project({ "test/a.test.ts": leaving });
    const { lines, code } = await project.run("--times", "2");
    const folders = lines.flatMap((line) => /^its folder is (.*)$/.exec(line)?.[1] ?? []);
    expect(new Set(folders).size).toBe(2);
    // The path of a Unix socket has 107 bytes at most.
    for (const folder of folders) {
      expect(folder).toStartWith(project.temporary);
      expect(folder.length - project.temporary.length).toBeLessThan(30);
    }
    expect(project.left()).toEqual([]);
    expect(code).toBe(0);
  });

  test.each([
    ["fail", "expect(1).toBe(2)"],
    ["end the process", "process.exit(0)"],
    ["crash", 'process.kill(process.pid, "SIGKILL")'],
  ])("leaves nothing of tests that %s", async (_, end) => {
    const leaving = `${imports}import { mkdtempSync } from "node:fs";
      import { tmpdir } from "node:os";
      test("leaves a folder", () => {
        mkdtempSync(tmpdir() + "/left-");
        ${end};
      });\n`;
    using project = new Project({ "test/a.test.ts": leaving });
    const { code } = await project.run();
    expect(project.left()).toEqual([]);
    expect(code).toBe(1);
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "ended by %s it ends the tests and what they have started, and leaves nothing of them",
    async (signal) => {
      // What is started holds the output of the tests, to whose end the runner listens.
      const hanging = `${imports}import { mkdtempSync } from "node:fs";
        import { tmpdir } from "node:os";
        test("hangs", async () => {
          mkdtempSync(tmpdir() + "/left-");
          Bun.spawn(["sleep", "1000"], { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
          console.log("it hangs");
          await new Promise(() => {});
        }, 1_000_000);\n`;
      using project = new Project({ "test/a.test.ts": hanging });
      await using run = project.start("--times", "2");
      const reader = run.stdout.pipeThrough(new TextDecoderStream()).getReader();
      let output = "";
      while (!output.includes("it hangs\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`it ended: ${output}`);
        output += value;
      }
      run.kill(signal);
      await run.exited;
      expect(run.signalCode).toBe(signal);
      expect(project.left()).toEqual([]);
    },
  );

  test("refuses a number of runs that is none", async () => {
    using project = new Project({ "test/a.test.ts": passing });
    const { code, output } = await project.run("--times", "0");
    expect(output).toContain("--times 0: expected a number from 1 on");
    expect(code).toBe(1);
  });
});

describe("counting declared tests", () => {
  test.each([
    ['test("a", () => {});\n  it("b", () => {});', 2],
    ['test.skip("a", () => {}); test.todo("b"); it.only("c", () => {});', 3],
    ['test.each([1, 2, 3])("a %d", () => {});', 1],
    ['test.each<[string, Map<string, number>]>([["a", 1]])("a", () => {});', 1],
    ["test.each`a | b\n${1} | ${2}`('a', () => {});", 1],
    ['test.skipIf(process.platform === "win32")("a", () => {});', 1],
    ['for (const x of xs) test(x, () => {}); if (y) test("y", () => {});', 2],
    ['test\n  .failing\n  ("a", () => {});', 1],
    ['pattern.test("a"); object.it("b"); $test("c"); latest("d"); function test(x) {} new Test("e");', 0],
    ['// test("a")\n/* test("b")\n test("c") */ const x = 1;', 0],
    [`const a = 'test("a")', b = "it('b')", c = "\\"test(";`, 0],
    ['const a = `test("a") ${b(`c`)} test("d")`; test("e", () => {});', 1],
    ['const a = /test("/; test("b", () => {}); x.replace(/["\'`]/g, () => /[/"]/.test(y)); test("c", () => {});', 2],
    ['const half = a / b; test("c", () => {}); const quarter = half / 2;', 1],
    ['const url = "http://host"; test("a", () => {});', 1],
    ["", 0],
  ])("of %j: %i", (source, count) => {
    expect(countDeclaredTests(source)).toBe(count);
  });
});

describe("reading what bun test says", () => {
  test("the closing lines are the last of their kind", () => {
    const output =
      " 7 pass\n 7 fail\nRan 14 tests across 1 file.\nand then\n 12 pass\n 1 skip\n 3 fail\n 20 expect() calls\n";
    expect(readClosing(`${output}Ran 16 tests across 3 files. [1.00s]\n`)).toEqual({ passed: 12, failed: 3 });
    expect(readClosing(" 12 pass\n 0 fail\n")).toBeUndefined();
    expect(readClosing("")).toBeUndefined();
  });

  test("the report has what ran of each file, and the names of what was skipped", () => {
    const report = `<testsuite name="a.test.ts"><testcase name="fine" classname="" file="a.test.ts" />
      <testcase name="wrong" classname="group" file="a.test.ts"><failure message="no"/></testcase>
      <testcase name="a &lt;b&gt; &quot;c&quot; &amp;lt;" classname="group" file="b.test.ts"><skipped /></testcase></testsuite>`;
    const { ran, skipped } = readReport(report);
    expect([...ran]).toEqual([["a.test.ts", 2]]);
    expect([...skipped]).toEqual([["b.test.ts", ['group > a <b> "c" &lt;']]]);
    expect(readReport("")).toEqual({ ran: new Map(), skipped: new Map() });
  });
});

/** A project of a few files in a folder of its own, and another folder for temporary files. */
class Project {
  readonly folder = mkdtempSync(join(tmpdir(), "sluice-runner-"));
  readonly temporary = mkdtempSync(join(tmpdir(), "sluice-runner-"));

  constructor(files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(files)) {
      const file = join(this.folder, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }

  /** Runs its tests. */
  run(...args: string[]): Promise<Run> {
    return this.#run(["--only-tests", ...args]);
  }

  /** Runs its tests where nothing may be skipped. */
  inCi(): Promise<Run> {
    return this.#run(["--only-tests"], { CI: "true" });
  }

  /** Runs its tests after the checks, with the tools of this repository. */
  runWithChecks(): Promise<Run> {
    mkdirSync(join(this.folder, "node_modules"));
    symlinkSync(join(repository, "node_modules/oxlint"), join(this.folder, "node_modules/oxlint"));
    return this.#run([]);
  }

  /** Begins to run its tests. */
  start(...args: string[]): Bun.ReadableSubprocess {
    return this.#start(["--only-tests", ...args]);
  }

  /** Temporary files that are there. */
  left(): string[] {
    return readdirSync(this.temporary);
  }

  async #run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Run> {
    const child = this.#start(args, env);
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code: child.exitCode, lines: stdout.trimEnd().split("\n"), output: stdout + stderr };
  }

  #start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Bun.ReadableSubprocess {
    const { PATH = "", HOME = "" } = process.env;
    return Bun.spawn([process.execPath, join(repository, "scripts/test.ts"), "--root", this.folder, ...args], {
      env: { PATH, HOME, TMPDIR: this.temporary, ...env },
      cwd: this.folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
    rmSync(this.temporary, { recursive: true });
  }
}

interface Run {
  code: number | null;
  /** Of standard output. */
  lines: string[];
  output: string;
}

/** What the runner says is wrong. */
function failures(lines: readonly string[]): string[] {
  return lines.flatMap((line) => /^FAILED: (.*)$/.exec(line)?.[1] ?? []);
}
