/**
 * The single executable, built with the very command of package.json, and run where it was not made: its sources and
 * packages are gone, and the folder it runs in would like to change what it does.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json";
import { echo, listen } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { Payload } from "../support/payload.ts";
import { runSluice, startSluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

const root = join(import.meta.dir, "../..");
const buildTimeoutMs = 60_000;

/** Where the copy of the sources is while it is built; removed before the first test. */
let sources: string;
/** An otherwise empty folder with the executable alone, and the one it runs in. */
let home: string;
let executable: string;
let hostile: string;
let marker: string;

beforeAll(async () => {
  sources = mkdtempSync(join(tmpdir(), "sluice-sources-"));
  home = mkdtempSync(join(tmpdir(), "sluice-home-"));
  executable = join(home, "sluice");
  for (const entry of ["src", "package.json", "tsconfig.json"])
    cpSync(join(root, entry), join(sources, entry), { recursive: true });
  // Copied, not linked: nothing that the executable could find again.
  for (const folder of productionPackages()) cpSync(join(root, folder), join(sources, folder), { recursive: true });
  const build = Bun.spawn([process.execPath, "run", "build"], { cwd: sources, stdout: "pipe", stderr: "pipe" });
  const [code, said] = await Promise.all([build.exited, build.stderr.text()]);
  if (code !== 0) throw new Error(`the build ended with code ${code}: ${said}`);
  renameSync(join(sources, "dist", "sluice"), executable);
  rmSync(sources, { recursive: true });

  hostile = join(home, "hostile");
  marker = join(hostile, "preload-was-run");
  mkdirSync(hostile);
  const preload = `require("node:fs").writeFileSync(${JSON.stringify(marker)}, ""); process.exit(9);`;
  writeFileSync(join(hostile, "preload.js"), preload);
  writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./preload.js"]\n[run]\npreload = ["./preload.js"]\n');
  for (const name of [".env", ".env.local", ".env.production", ".env.development"]) {
    writeFileSync(join(hostile, name), "SLUICE_LOG_LEVEL=bogus\nSLUICE_NOTHING=1\n");
  }
  writeFileSync(join(hostile, "package.json"), '{ "name": "hostile", "version": "9.9.9", "type": "commonjs" }');
  writeFileSync(join(hostile, "tsconfig.json"), "{ broken");
}, buildTimeoutMs);

afterAll(() => {
  rmSync(home, { recursive: true });
});

test("the hostile folder would do harm to a program that reads it", async () => {
  const script = join(home, "script.js");
  writeFileSync(script, "console.log(process.env.SLUICE_LOG_LEVEL)");
  const run = Bun.spawn([process.execPath, script], { cwd: hostile, env: {}, stdout: "pipe" });
  expect(await run.exited).toBe(9);
  expect(existsSync(marker)).toBe(true);
  rmSync(marker);
});

test("it says the same version as the sources do", async () => {
  const [compiled, source] = await Promise.all([
    runSluice(["--version"], { command: [executable], cwd: hostile }),
    runSluice(["--version"]),
  ]);
  expect(compiled).toEqual(source);
  expect(compiled.stdout).toStartWith(`sluice ${packageJson.version} `);
});

test("it forwards, is ready and stops like the program in the tree, whatever lies in its folder", async () => {
  await using backend = await listen(echo);
  const config = join(home, "config.toml");
  writeFileSync(
    config,
    `[limits]
connections = 100

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
  );
  await using proxy = await startSluice({ args: ["--config", config], command: [executable], cwd: hostile });
  await proxy.ready();
  await using client = await connect(await proxy.port("web"));
  const payload = new Payload(1, 2_000_000);
  const echoed = client.receivedPayload(payload);
  await client.send(payload);
  await client.finish();
  await echoed;
  await client.finished();
  const ready = await fetch(`${await proxy.adminUrl()}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([200, '{"ready":true}']);
  // The dashboard is made when the executable is: it has all of it.
  const script = await fetch(`${await proxy.adminUrl()}/dashboard/main.js`);
  expect([script.status, script.headers.get("content-type")]).toEqual([200, "text/javascript; charset=utf-8"]);
  expect((await script.text()).length).toBeGreaterThan(50_000);
  expect(openFiles(proxy.pid).filter((path) => path.startsWith(root) || path.startsWith(sources))).toEqual([]);
  proxy.signal("SIGTERM");
  expect(await proxy.exited()).toMatchObject({ code: 0, signal: null });
  expect(proxy.stderr).toBe("");
  expect(proxy.log.map(({ msg, level }) => `${level} ${msg}`)).toEqual([
    "info listening",
    "info listening",
    "info ready",
    "info connection",
    "info shutting down",
    "info stopped",
  ]);
  expect(proxy.records()).toMatchObject([
    { end: "client_finished", bytes_to_backend: payload.length, bytes_to_client: payload.length },
  ]);
  expect(existsSync(marker)).toBe(false);
});

test("its pretty log, its schema and its messages need nothing from outside either", async () => {
  const options = { command: [executable], cwd: hostile };
  const [schema, mistake] = await Promise.all([
    runSluice(["schema"], options),
    runSluice(["check", "--config", "bunfig.toml"], options),
  ]);
  expect(schema).toEqual(await runSluice(["schema"]));
  expect(mistake.code).toBe(2);
  expect(mistake.stderr).toContain('\nbunfig.toml:1:1 preload: unknown key "preload"');
  await using pretty = await startSluice({
    ...options,
    args: ["forward", "--log-format=pretty", "127.0.0.1:0", "127.0.0.1:1", "--connections=10"],
  });
  await until(
    () => pretty.stdout.includes("INFO: ready"),
    () => pretty.describe(),
  );
  pretty.signal("SIGTERM");
  expect((await pretty.exited()).code).toBe(0);
  expect(pretty.stdout).toMatch(/INFO: stopped \{.*"code":0\}\s*$/);
  expect(existsSync(marker)).toBe(false);
});

/** The folders of the packages that the program itself needs, as npm's lock file has them. */
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; peer?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([folder, { dev, optional, peer }]) => folder !== "" && !dev && !optional && !peer)
    .map(([folder]) => folder);
}

/** What a process has open or mapped. */
function openFiles(pid: number): string[] {
  const mapped = [...readFileSync(`/proc/${pid}/maps`, "utf8").matchAll(/ (\/.*)$/gm)].map((match) => match[1]!);
  const opened = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  expect(mapped).toContain(executable);
  return [...new Set([...mapped, ...opened])];
}
