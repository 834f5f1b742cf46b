/** The watch for leaks, in files of tests that leak: which of their tests fail, and with what sentence. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const support = join(import.meta.dir, "../support");

test("a test that leaves a socket or a file open fails, and spoils none of the others", async () => {
  const { results, output } = await run(`
    import { openSync } from "node:fs";
    watchLeaks({ withinMs: 100 });
    const serve = () => Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const kept = [];
    test("clean", () => serve().stop());
    test("leaks two sockets", () => kept.push(serve(), serve()));
    test("clean after it", () => serve().stop());
    test("leaks a file", () => kept.push(openSync("leaks.test.ts")));
    test("clean after that", () => serve().stop());
    test("closes what others left", () => kept[0].stop());
  `);
  expect(results).toEqual([
    ["pass", "clean"],
    ["fail", "leaks two sockets"],
    ["pass", "clean after it"],
    ["fail", "leaks a file"],
    ["pass", "clean after that"],
    ["pass", "closes what others left"],
  ]);
  expect(output).toContain("waited 0.1 s for the descriptors to be as before the test: 2 more of socket");
  expect(output).toMatch(/the descriptors to be as before the test: 1 more of \/.*leaks\.test\.ts/);
});

test("what is closed a little later is no leak", async () => {
  const { results } = await run(`
    watchLeaks();
    test("closes late", () => {
      const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      setTimeout(() => listener.stop(), 200);
    });
  `);
  expect(results).toEqual([["pass", "closes late"]]);
});

test("what the runtime opens once, for threads, processes and requests, is no leak", async () => {
  const { results } = await run(`
    import { readFile } from "node:fs/promises";
    watchLeaks({ withinMs: 1000 });
    test("runs a process", async () => {
      expect(await Bun.spawn(["true"]).exited).toBe(0);
    });
    test("reads a file on a thread", async () => {
      expect((await readFile("leaks.test.ts")).length).toBeGreaterThan(0);
    });
    test("asks a server", async () => {
      const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("yes") });
      expect(await (await fetch(server.url, { keepalive: false })).text()).toBe("yes");
      await server.stop(true);
    });
    test("resolves a name", async () => {
      expect((await Bun.dns.lookup("localhost")).length).toBeGreaterThan(0);
    });
  `);
  expect(results.map(([result]) => result)).toEqual(["pass", "pass", "pass", "pass"]);
});

test("what else must hold is asked after each test, or after the one that wants it", async () => {
  const { results, output } = await run(`
    const watch = watchLeaks({ withinMs: 50 });
    let active = 0;
    watch.alsoHolds("no connection to be active", () => active === 0, () => active + " are");
    test("clean", () => {});
    test("leaves one", () => {
      active = 1;
    });
    test("still there", () => {});
    test("gives it back, soon", () => {
      setTimeout(() => (active = 0), 10);
    });
    let once = 0;
    test("wants more", () => {
      watch.alsoHolds("to be asked", () => {
        once++;
        return once > 2;
      });
    });
    test("is not asked what another wanted", () => expect(once).toBe(3));
  `);
  expect(results).toEqual([
    ["pass", "clean"],
    ["fail", "leaves one"],
    ["fail", "still there"],
    ["pass", "gives it back, soon"],
    ["pass", "wants more"],
    ["pass", "is not asked what another wanted"],
  ]);
  expect(output).toContain("waited 0.05 s for no connection to be active after the test: 1 are");
});

test("all that is wrong is told at once", async () => {
  const { results, output } = await run(`
    const watch = watchLeaks({ withinMs: 50 });
    test("leaks and more", () => {
      Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      watch.alsoHolds("the sun to shine", () => false);
    });
  `);
  expect(results).toEqual([["fail", "leaks and more"]]);
  expect(output).toContain("waited 0.05 s for the sun to shine after the test");
  expect(output).toContain("1 more of socket");
});

test("its tests have longer than the runner gives otherwise, so that a wait in vain can say what it was for", async () => {
  const vain = `
    import { until } from "${support}/until.ts";
    test("waits in vain", () => until(() => false, "godot", 200));
  `;
  const without = await run(vain, "--timeout=100");
  expect(without.results).toEqual([["fail", "waits in vain"]]);
  expect(without.output).not.toContain("waited 0.2 s for godot");
  const watched = await run(`watchLeaks(); ${vain}`, "--timeout=100");
  expect(watched.results).toEqual([["fail", "waits in vain"]]);
  expect(watched.output).toContain("waited 0.2 s for godot");
});

/** Runs a file of tests; the results in the order in which they came. */
async function run(
  source: string,
  ...args: string[]
): Promise<{ results: [result: string, name: string][]; output: string }> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-leaks-"));
  try {
    const imports = `import { expect, test } from "bun:test"; import { watchLeaks } from "${support}/leaks.ts";\n`;
    writeFileSync(join(folder, "leaks.test.ts"), imports + source);
    const { PATH = "", HOME = "" } = process.env;
    const child = Bun.spawn([process.execPath, "test", ...args], {
      cwd: folder,
      env: { PATH, HOME },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    const output = stdout + stderr;
    // After the closing words "N tests failed:" Bun repeats those that did.
    const [whileRunning = ""] = output.split(/^\d+ tests? failed:$/m);
    const lines = [...whileRunning.matchAll(/^\((pass|fail)\) (.*?)(?: \[[\d.]+ms\])?$/gm)];
    return { results: lines.map(([, result = "", name = ""]) => [result, name]), output };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
