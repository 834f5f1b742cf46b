/** .ci/run, on a project whose npm and apt-get are stand-ins: what it installs, what it takes for a success, its last line. */
import { expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

test("installs what the README says, tests with CI set and nothing to read, and ends with the runner's line, once", async () => {
  using machine = new Machine({ test: "echo \"CI is $CI, read: $(cat)\"; echo '12 passed, 0 failed'" });
  const { code, lines } = await machine.run();
  expect(machine.calls("npm")).toEqual(["install", "test"]);
  expect(lines).toContain("CI is true, read: ");
  expect(lines.filter((line) => line === "12 passed, 0 failed").length).toBe(1);
  expect(lines.at(-1)).toBe("12 passed, 0 failed");
  expect(code).toBe(0);
});

test("hands on the failure of the tests, and says their line last, whatever npm adds", async () => {
  using machine = new Machine({ test: "echo '11 passed, 1 failed'; echo 'npm error code 1' >&2; exit 1" });
  const { code, lines } = await machine.run();
  expect(lines.slice(-2)).toEqual(["npm error code 1", "11 passed, 1 failed"]);
  expect(code).toBe(1);
});

test.each([
  ["no test ran", "echo '0 passed, 0 failed'", "0 passed, 0 failed"],
  ["a test failed", "echo '3 passed, 1 failed'", "3 passed, 1 failed"],
  ["there is no such line", "echo 'all is well'", "all is well"],
])("fails although npm test ended with code 0, when %s", async (_, test, lastLine) => {
  using machine = new Machine({ test });
  const { code, lines } = await machine.run();
  expect(lines.at(-1)).toBe(lastLine);
  expect(code).toBe(1);
});

test("fails before the tests when npm install does", async () => {
  using machine = new Machine({ install: "exit 7", test: "echo '12 passed, 0 failed'" });
  const { code } = await machine.run();
  expect(machine.calls("npm")).toEqual(["install"]);
  expect(code).toBe(7);
});

test("installs from Debian what is missing, and only that", async () => {
  using machine = new Machine({ test: "echo '1 passed, 0 failed'" }, ["curl", "redis-server", "redis-cli"]);
  const { code } = await machine.run();
  const [update, install] = machine.calls("apt-get");
  expect(update).toBe("update");
  expect(install).toBe("install -y --no-install-recommends socat wrk gcc libc6-dev");
  expect(code).toBe(0);
});

/** A folder with .ci/run in it, and a PATH that has nothing but what is named here. */
class Machine {
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-ci-"));

  /** `npm`: what its commands do, in the language of the shell. `present`: what else is installed. */
  constructor(
    npm: { install?: string; test: string },
    present: readonly string[] = ["cc", "curl", "redis-cli", "redis-server", "socat", "wrk"],
  ) {
    for (const name of [".ci", "bin"]) mkdirSync(join(this.#folder, name));
    copyFileSync(join(import.meta.dir, "../../.ci/run"), join(this.#folder, ".ci/run"));
    this.#command("npm", `case "$1" in install) ${npm.install ?? "true"} ;; test) ${npm.test} ;; esac`);
    this.#command("apt-get", "true");
    for (const name of present) this.#command(name, "true");
    for (const name of ["bash", "cat", "dirname", "grep", "mktemp", "rm", "tail", "tee"]) {
      symlinkSync(Bun.which(name)!, join(this.#folder, "bin", name));
    }
  }

  async run(): Promise<{ code: number | null; lines: string[] }> {
    const child = Bun.spawn([join(this.#folder, "bin/bash"), join(this.#folder, ".ci/run")], {
      env: { PATH: join(this.#folder, "bin"), CALLS: this.#folder },
      cwd: tmpdir(),
      stdin: Buffer.from("typed by somebody"),
      stdout: "pipe",
      stderr: "ignore",
    });
    const [stdout] = await Promise.all([child.stdout.text(), child.exited]);
    return { code: child.exitCode, lines: stdout.trimEnd().split("\n") };
  }

  /** The arguments that a stand-in was called with, a line each time. */
  calls(name: string): string[] {
    const file = join(this.#folder, `${name}.calls`);
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }

  #command(name: string, body: string): void {
    const script = `#!${Bun.which("bash")}\necho "$*" >>"$CALLS/${name}.calls"\n${body}\n`;
    writeFileSync(join(this.#folder, "bin", name), script, { mode: 0o755 });
  }
}
