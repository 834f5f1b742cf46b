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
import { dirname, join } from "node:path";
import { packages } from "../support/programs.ts";

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

test("installs from Debian what is missing, and only that, and has no server of a package started", async () => {
  const present = ["curl", "nginx", "node", "redis-cli", "redis-server", "setpriv", "ssh"];
  using machine = new Machine({ test: "echo '1 passed, 0 failed'", present, files: [] });
  const { code } = await machine.run();
  const missing = ["socat", "wrk", "openssl", "haproxy", "libnginx-mod-stream", "postgresql", "postgresql-client"];
  const added = "chromium prometheus tmux util-linux coreutils mount";
  const install = `install -y --no-install-recommends ${missing.join(" ")} openssh-server gcc libc6-dev ${added}`;
  expect(machine.calls("apt-get")).toEqual(["update", install]);
  expect(machine.calls("policy-rc.d")).toEqual(["101"]);
  expect(machine.read(policy)).toBeUndefined();
  expect(code).toBe(0);
});

test("installs every package that a test has a program from", async () => {
  using machine = new Machine({ test: "echo '1 passed, 0 failed'", present: [], files: [] });
  await machine.run();
  const installed = new Set(machine.calls("apt-get").at(-1)!.split(" "));
  expect(Object.values(packages).filter((name) => !installed.has(name))).toEqual([]);
});

test("leaves alone what says already whether servers may start, and fails when nothing can be installed", async () => {
  const install = "exit 100";
  using machine = new Machine({ test: "echo '1 passed, 0 failed'", present: [], files: [policy], aptGet: install });
  const { code } = await machine.run();
  expect(machine.read(policy)).toBe("#!/bin/sh\n");
  expect(machine.calls("policy-rc.d")).toEqual(["0"]);
  expect(machine.calls("npm")).toEqual([]);
  expect(code).toBe(100);
});

test("takes away what it said of servers when nothing can be installed", async () => {
  using machine = new Machine({ test: "echo '1 passed, 0 failed'", present: [], aptGet: "exit 100" });
  const { code } = await machine.run();
  expect(machine.read(policy)).toBeUndefined();
  expect(code).toBe(100);
});

/** Decides with its exit code whether servers that are installed are started; 101 is no (Debian's policy-rc.d). */
const policy = "/usr/sbin/policy-rc.d";

/** What a machine is, if nothing else is said: everything is there. */
const complete = {
  present: [
    "cc",
    "curl",
    "haproxy",
    "nginx",
    "node",
    "openssl",
    "psql",
    "redis-cli",
    "redis-server",
    "setpriv",
    "socat",
    "ssh",
    "sshd",
    "wrk",
  ],
  files: ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib/postgresql/15/bin/postgres"],
  install: "true",
  aptGet: "true",
};

/** A folder with .ci/run in it, and a PATH that has nothing but what is named here. */
class Machine {
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-ci-"));

  /**
   * `install`, `test` and `aptGet`: what npm's commands and apt-get's `install` do, in the language of the shell. `present`:
   * which other commands there are; `files`: which files of the system.
   */
  constructor(parts: Partial<typeof complete> & { test: string }) {
    const { install, test, aptGet, present, files } = { ...complete, ...parts };
    for (const name of [".ci", "bin", "system/usr/sbin"]) mkdirSync(join(this.#folder, name), { recursive: true });
    for (const file of files) {
      mkdirSync(dirname(this.#fileOf(file)), { recursive: true });
      writeFileSync(this.#fileOf(file), "#!/bin/sh\n", { mode: 0o755 });
    }
    copyFileSync(join(import.meta.dir, "../../.ci/run"), join(this.#folder, ".ci/run"));
    this.#command("npm", `case "$1" in install) ${install} ;; test) ${test} ;; esac`);
    const asks = `"$CI_SYSTEM_ROOT${policy}" && code=$? || code=$?; echo $code >>"$CALLS/policy-rc.d.calls"`;
    this.#command("apt-get", `[[ $1 == install ]] || exit 0; ${asks}; ${aptGet}`);
    for (const name of present) this.#command(name, "true");
    for (const name of ["bash", "cat", "chmod", "dirname", "grep", "mktemp", "rm", "tail", "tee"]) {
      symlinkSync(Bun.which(name)!, join(this.#folder, "bin", name));
    }
  }

  async run(): Promise<{ code: number | null; lines: string[] }> {
    const child = Bun.spawn([join(this.#folder, "bin/bash"), join(this.#folder, ".ci/run")], {
      env: {
        PATH: join(this.#folder, "bin"),
        TMPDIR: tmpdir(),
        CALLS: this.#folder,
        CI_SYSTEM_ROOT: this.#fileOf(""),
      },
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

  /** A file of the system; `undefined` where there is none. */
  read(file: string): string | undefined {
    return existsSync(this.#fileOf(file)) ? readFileSync(this.#fileOf(file), "utf8") : undefined;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }

  #fileOf(file: string): string {
    return join(this.#folder, "system", file);
  }

  #command(name: string, body: string): void {
    const script = `#!${Bun.which("bash")}\necho "$*" >>"$CALLS/${name}.calls"\n${body}\n`;
    writeFileSync(join(this.#folder, "bin", name), script, { mode: 0o755 });
  }
}
