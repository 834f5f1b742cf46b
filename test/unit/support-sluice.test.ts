/** The support that runs the real program: what it reads of it, and that it says so when the program is gone. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { echo, listen } from "../support/backend.ts";
import { tcpSocketsOf } from "../support/descriptors.ts";
import { connect } from "../support/peer.ts";
import { runSluice, startSluice, type Sluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

describe("the program of this tree", () => {
  test("starts with a configuration, tells its ports, records what it forwards, and ends by a signal", async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({
      config: `
        [[listener]]
        name = "web"
        listen = "127.0.0.1:0"
        backend = "app"
        [[backend]]
        name = "app"
        endpoints = ["${backend.address}"]
        [admin]
        listen = "127.0.0.1:0"
      `,
    });
    await proxy.ready();
    const port = await proxy.port("web");
    expect(await proxy.address("web")).toBe(`127.0.0.1:${port}`);
    const listening = tcpSocketsOf(proxy.pid).filter(({ state }) => state === "LISTEN");
    expect(listening.map(({ localPort }) => localPort)).toContain(port);
    expect((await fetch(`${await proxy.adminUrl()}/livez`, { keepalive: false })).status).toBe(200);

    expect(proxy.records()).toEqual([]);
    for (const text of ["first", "and second"]) {
      await using client = await connect(port);
      await client.send(text);
      await client.finish();
      await client.finished();
      expect(client.text()).toBe(text);
    }
    const records = await proxy.recorded(2);
    expect(records.map((record) => record["bytes_to_backend"]).toSorted()).toEqual([10, 5]);
    expect(records.map(({ msg, level }) => `${level} ${msg}`)).toEqual(["info connection", "info connection"]);

    proxy.signal("SIGTERM");
    expect(await proxy.exited()).toMatchObject({ code: 0, signal: null });
    expect(proxy.log.at(-1)?.msg).toBe("stopped");
  });

  test("runs a short command to its end", async () => {
    const version = await runSluice(["--version"]);
    expect(version).toEqual({ code: 0, stdout: expect.stringMatching(/^sluice \d/), stderr: "" });
    const unknown = await runSluice(["flood"]);
    expect(unknown).toEqual({ code: 2, stdout: "", stderr: expect.stringContaining('unknown command "flood"') });
  });
});

describe("a process", () => {
  test("gets an empty folder, and of the environment only what is harmless and what the test gives", async () => {
    process.env["SLUICE_LOG_LEVEL"] = "error";
    process.env["BUN_OPTIONS"] = "--silent";
    try {
      const { stdout } = await runSluice([], {
        command: script(`console.log(JSON.stringify({ env: process.env, cwd: process.cwd() }))`),
        env: { SLUICE_CONFIG: "here" },
      });
      const { env, cwd } = JSON.parse(stdout) as { env: Record<string, string>; cwd: string };
      const harmless = new Set(["PATH", "HOME", "TMPDIR", "LANG"]);
      expect(Object.keys(env).filter((name) => !harmless.has(name))).toEqual(["SLUICE_CONFIG"]);
      expect(env["SLUICE_CONFIG"]).toBe("here");
      expect(cwd).toContain("sluice-test-");
      expect(existsSync(cwd)).toBe(false);
    } finally {
      delete process.env["SLUICE_LOG_LEVEL"];
      delete process.env["BUN_OPTIONS"];
    }
  });

  test("gets its standard input, folder and arguments as the test says", async () => {
    const { code, stdout, stderr } = await runSluice(["a", "b c"], {
      command: script(`
        console.log(process.argv.slice(1).join("|"), process.cwd());
        console.error(await Bun.stdin.text());
        process.exit(5);
      `),
      stdin: "typed\n",
      cwd: import.meta.dir,
    });
    expect([code, stdout, stderr]).toEqual([5, `a|b c ${import.meta.dir}\n`, "typed\n\n"]);
  });

  test("that does not end within its time is killed, and what it said is told", async () => {
    const command = script(`console.log(process.pid); console.error("working"); setInterval(() => {}, 1000)`);
    const error = await failure(runSluice([], { command, withinMs: 500 }));
    expect(error.message).toStartWith("waited 0.5 s for the end of the process: process ");
    expect(error.message).toContain("working");
    const pid = Number(/last of standard output: \n(\d+)/.exec(error.message)?.[1]);
    expect(isRunning(pid)).toBe(false);
  });
});

describe("the log", () => {
  test("is read line by line, however the lines come, and what is no JSON object is left out", async () => {
    await using program = await start(`
      process.on("SIGUSR2", () => process.stdout.write(bytes.subarray(cut)));
      const bytes = new TextEncoder().encode('words {\\n{"level":"info","msg":"grün"}\\n{ broken\\n{"level":"warn","msg":"last"}\\n');
      // In the middle of a character.
      const cut = bytes.indexOf(0xc3) + 1;
      process.stdout.write(bytes.subarray(0, cut));
      setInterval(() => {}, 1000);
    `);
    await until(() => program.stdout.includes("gr"), "the first half");
    expect(program.log).toEqual([]);
    program.signal("SIGUSR2");
    const last = await program.logged(({ msg }) => msg === "last", "the last line");
    expect(last).toEqual({ level: "warn", msg: "last" });
    expect(program.log.map(({ msg }) => msg)).toEqual(["grün", "last"]);
    expect(program.stdout).toBe('words {\n{"level":"info","msg":"grün"}\n{ broken\n{"level":"warn","msg":"last"}\n');
  });

  test("gives a line that has been written already, the first of several", async () => {
    await using program = await start(`
      for (const n of [1, 2, 3]) console.log(JSON.stringify({ level: "info", msg: "n", n }));
      setInterval(() => {}, 1000);
    `);
    await until(() => program.log.length === 3, "three lines");
    expect((await program.logged(({ msg }) => msg === "n", "a line"))["n"]).toBe(1);
  });

  test("a wait in vain says for what, and what was written", async () => {
    await using program = await start(`console.error("thinking"); setInterval(() => {}, 1000)`);
    await until(() => program.stderr !== "", "a word");
    const error = await failure(program.logged(() => false, "the impossible", 20));
    expect(error.message).toStartWith("waited 0.02 s for the impossible: process ");
    expect(error.message).toContain("runs; standard error: \nthinking\n");
  });

  test("a wait ends as soon as the process does, with its code and what it said", async () => {
    await using program = await start(`console.error("no port left"); process.exit(3)`);
    const waits = [program.ready(), program.port("web"), program.recorded(1)];
    for (const wait of waits) {
      const { message } = await failure(wait);
      expect(message).toContain("ended with code 3");
      expect(message).toContain("no port left");
    }
    expect((await program.exited()).code).toBe(3);
  });
});

describe("the end of a process", () => {
  test("has its code, and the time since the last signal", async () => {
    await using program = await start(`
      process.on("SIGUSR2", () => console.log('{"level":"info","msg":"usr2"}'));
      process.on("SIGTERM", () => process.exit(4));
      console.log('{"level":"info","msg":"ready"}');
    	setInterval(() => {}, 1000);
    `);
    await program.ready();
    const firstMs = performance.now();
    program.signal("SIGUSR2");
    await program.logged(({ msg }) => msg === "usr2", "the answer to SIGUSR2");
    await until(() => performance.now() - firstMs > 100, "some time to pass");
    const secondMs = performance.now();
    program.signal("SIGTERM");
    const { code, signal, afterMs } = await program.exited();
    expect([code, signal]).toEqual([4, null]);
    expect(afterMs).toBeGreaterThan(0);
    expect(afterMs).toBeLessThanOrEqual(performance.now() - secondMs);
  });

  test("by a signal has its name and no code", async () => {
    await using program = await start(`setInterval(() => {}, 1000)`);
    program.signal("SIGKILL");
    expect(await program.exited()).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("comes after all that it wrote, however much", async () => {
    await using program = await start(`
      const line = JSON.stringify({ level: "info", msg: "connection", pad: "x".repeat(1000) }) + "\\n";
      require("node:fs").writeSync(1, line.repeat(500));
      process.exit(0);
    `);
    await program.exited();
    expect(program.records().length).toBe(500);
  });

  test("that is not awaited and not asked for fails the scope, by a code or by a signal", async () => {
    for (const [end, word] of [
      ["process.exit(0)", "code 0"],
      ['process.kill(process.pid, "SIGSEGV")', "SIGSEGV"],
    ] as const) {
      const program = await start(`console.error("oh"); ${end}`);
      await until(() => !isRunning(program.pid), "the end");
      await failure(program.ready());
      const { message } = await failure(program[Symbol.asyncDispose]());
      expect(message).toStartWith("nobody asked the program to end, but process");
      expect(message).toContain(word);
      expect(message).toContain("oh");
    }
  });

  test("is no failure of the scope when the test asked for it", async () => {
    const awaited = await start(`process.exit(1)`);
    await awaited.exited();
    await awaited[Symbol.asyncDispose]();
    const signalled = await start(`setInterval(() => {}, 1000)`);
    signalled.signal("SIGTERM");
    await until(() => !isRunning(signalled.pid), "the end");
    await signalled[Symbol.asyncDispose]();
  });

  test("is not hidden by a signal that comes too late", async () => {
    const program = await start(`process.exit(9)`);
    await failure(program.ready());
    expect(() => program.signal("SIGTERM")).toThrow("cannot send SIGTERM: process");
    const { message } = await failure(program[Symbol.asyncDispose]());
    expect(message).toContain("ended with code 9");
  });

  test("comes with the scope, also to a process that ignores SIGTERM, and takes its folder along", async () => {
    let program: Sluice;
    let folder: string;
    {
      await using scoped = await start(`
        process.on("SIGTERM", () => {});
        console.log(JSON.stringify({ level: "info", msg: "ready", folder: process.cwd() }));
        setInterval(() => {}, 1000);
      `);
      program = scoped;
      await program.ready();
      folder = String(program.log[0]?.["folder"]);
      expect(readdirSync(folder)).toEqual([]);
      program.signal("SIGTERM");
    }
    expect(isRunning(program.pid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });
});

/** Runs a script in place of the program. */
function start(source: string): Promise<Sluice> {
  return startSluice({ args: [], command: script(source) });
}

function script(source: string): readonly string[] {
  return [process.execPath, "-e", source];
}

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** What a promise is rejected with. */
async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("expected a failure");
}
