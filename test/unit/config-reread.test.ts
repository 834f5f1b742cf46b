/** Reading the configuration again while the program runs: the same words as at start, nothing kept open, nothing waited for. */
import { expect, test } from "bun:test";
import { readdirSync, symlinkSync, unlinkSync } from "node:fs";
import { rereading, type Reread } from "../../src/cli/configuration.ts";
import { CONFIG_BYTES_MAX, loadConfig, readTextFile } from "../../src/config/load.ts";
import { ConfigFolder, MINIMAL_TOML, ROOMY } from "../support/configuration.ts";
import { selfSigned } from "../support/self-signed.ts";

const certificates = selfSigned("a");

function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").toSorted();
}

/** Problems without the folder that the files are in. */
function problemsOf(reread: Reread, folder: ConfigFolder): string[] {
  if (reread.ok) return [];
  return reread.problems.map((line) => line.replaceAll(folder.at("/"), ""));
}

test("the file is read anew each time, and so are the files that it and the environment name", async () => {
  await using folder = await ConfigFolder.open();
  const file = await folder.write("config.toml", `${MINIMAL_TOML}[admin]\nlisten = "127.0.0.1:0"\n`);
  const token = await folder.write("token", "one\n");
  const env: Record<string, string> = { SLUICE_ADMIN_TOKEN_FILE: token, SLUICE_TIMEOUTS_IDLE: "5m" };
  const reread = rereading(file, env, ROOMY, "copy");
  const first = await reread();
  expect(first.ok && [first.config.admin?.token, first.config.timeouts.idleMs, first.warnings]).toEqual([
    "one",
    300_000,
    [],
  ]);
  await folder.write("config.toml", `${MINIMAL_TOML}[admin]\nlisten = "127.0.0.1:0"\nready_needs_backends = false\n`);
  await folder.write("token", "two\n");
  // Variables are those that the process was started with.
  env["SLUICE_TIMEOUTS_IDLE"] = "6m";
  delete env["SLUICE_ADMIN_TOKEN_FILE"];
  const second = await reread();
  expect(second.ok && [second.config.admin, second.config.timeouts.idleMs]).toEqual([
    { listen: { kind: "tcp", host: "127.0.0.1", port: 0 }, token: "two", readyNeedsBackends: false },
    300_000,
  ]);
});

test("problems and warnings are the lines that are told at start, all of them", async () => {
  await using folder = await ConfigFolder.open();
  const file = await folder.write("config.toml", `${MINIMAL_TOML}[limits]\nconections = 5\n`);
  const reread = rereading(
    file,
    { SLUICE_TIMEOUTS_IDLE: "60", SLUICE_ADMIN_TOKEN_FILE: folder.at("none") },
    ROOMY,
    "copy",
  );
  expect(problemsOf(await reread(), folder)).toEqual([
    'config.toml:10:1 limits.conections: unknown key "conections" (did you mean "connections"?)',
    "SLUICE_ADMIN_TOKEN_FILE (none) admin.token: cannot read the value: no such file, wanted a readable file",
    'SLUICE_TIMEOUTS_IDLE timeouts.idle: found "60", wanted a duration with its unit, such as "60s" or "60ms"',
  ]);
  const other = await folder.write("other.toml", `${MINIMAL_TOML}[[backend]]\nname = "b"\nendpoints = ["a:1"]\n`);
  const warned = await rereading(other, {}, ROOMY, "copy")();
  expect(warned.ok && warned.warnings.map((line) => line.replace(folder.at("/"), ""))).toEqual([
    'other.toml:9:1 backend.b: no listener uses the backend "b"',
  ]);
  expect(problemsOf(await rereading(folder.at("gone.toml"), {}, ROOMY, "copy")(), folder)).toEqual([
    "gone.toml: cannot read the configuration: no such file",
  ]);
});

test("the limit of descriptors is the one of the start", async () => {
  await using folder = await ConfigFolder.open();
  const file = await folder.write("config.toml", MINIMAL_TOML);
  const reread = rereading(file, {}, { fdLimit: 1064, fdReserve: 64 }, "copy");
  for (let round = 0; round < 2; round++) {
    const read = await reread();
    expect(read.ok && [read.config.limits.connections, read.warnings.length]).toEqual([500, 1]);
  }
});

test("the engine that runs keeps its descriptors, whatever the file says of the next start", async () => {
  await using folder = await ConfigFolder.open();
  const system = { fdLimit: 1064, fdReserve: 64, spliceFds: 100 };
  const limits: unknown[] = [];
  for (const wanted of ["copy", "auto"]) {
    const file = await folder.write("config.toml", `${MINIMAL_TOML}[forwarding]\nengine = "${wanted}"\n`);
    for (const runs of ["copy", "auto"] as const) {
      const read = await rereading(file, {}, system, runs)();
      limits.push(read.ok && [wanted, runs, read.config.limits.connections]);
    }
  }
  expect(limits).toEqual([
    ["copy", "copy", 500],
    ["copy", "auto", 450],
    // It would not start again with more.
    ["auto", "copy", 450],
    ["auto", "auto", 450],
  ]);
});

test("a file that is put in the place of another, as Kubernetes does it, is the one that is read", async () => {
  await using folder = await ConfigFolder.open();
  await folder.write("one.toml", MINIMAL_TOML);
  await folder.write("two.toml", MINIMAL_TOML.replace("8080", "8081"));
  const file = folder.at("config.toml");
  const reread = rereading(file, {}, ROOMY, "copy");
  const ports: unknown[] = [];
  for (const target of ["one.toml", "two.toml"]) {
    symlinkSync(target, file);
    const read = await reread();
    ports.push(read.ok && read.config.listeners[0]?.listen);
    unlinkSync(file);
  }
  expect(ports).toMatchObject([{ port: 8080 }, { port: 8081 }]);
});

test("nobody is waited for: a pipe is refused, and /dev/null is an empty file", async () => {
  await using folder = await ConfigFolder.open();
  const pipe = folder.at("pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const why = "it is a pipe, wanted a file that can be read again";
  expect(problemsOf(await rereading(pipe, {}, ROOMY, "copy")(), folder)).toEqual([
    `pipe: cannot read the configuration: ${why}`,
  ]);
  const env = {
    SLUICE_LISTENER_WEB_LISTEN: ":0",
    SLUICE_LISTENER_WEB_BACKEND: "app",
    SLUICE_BACKEND_APP_ENDPOINTS: "a:1",
  };
  expect(await rereading("/dev/null", env, ROOMY, "copy")()).toMatchObject({ ok: true });
  const admin = { ...env, SLUICE_ADMIN_LISTEN: "127.0.0.1:0" };
  expect(
    problemsOf(await rereading("/dev/null", { ...admin, SLUICE_ADMIN_TOKEN_FILE: pipe }, ROOMY, "copy")(), folder),
  ).toEqual([`SLUICE_ADMIN_TOKEN_FILE (pipe) admin.token: cannot read the value: ${why}`]);
  // Certificates are read for the check and once more for use.
  expect(readTextFile(pipe)).toEqual({ ok: false, found: why });
});

test("at start a pipe is read to its end, in whatever pieces it comes", async () => {
  await using folder = await ConfigFolder.open();
  const pipe = folder.at("pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const filler = "#".repeat(40_000);
  await folder.write("source", `${filler}\n${MINIMAL_TOML}`);
  await using writer = Bun.spawn(["sh", "-c", "(head -c 20000 source; tail -c +20001 source) > pipe"], {
    cwd: folder.at(""),
  });
  const loaded = await folder.loadFile(pipe);
  expect(loaded).toMatchObject({ problems: [], config: { listeners: [{ name: "web" }] } });
  expect(await writer.exited).toBe(0);
});

test("a file may be as large as the limit, and not a byte larger", async () => {
  await using folder = await ConfigFolder.open();
  const filled = (bytes: number) => `${MINIMAL_TOML}#`.padEnd(bytes, "x");
  const file = await folder.write("config.toml", filled(CONFIG_BYTES_MAX));
  expect((await rereading(file, {}, ROOMY, "copy")()).ok).toBe(true);
  await folder.write("config.toml", filled(CONFIG_BYTES_MAX + 1));
  expect(problemsOf(await rereading(file, {}, ROOMY, "copy")(), folder)).toEqual([
    "config.toml: cannot read the configuration: found more than 1024 KiB, wanted at most that",
  ]);
});

test("however often and with whatever result, no descriptor stays open", async () => {
  await using folder = await ConfigFolder.open();
  const { certFile, keyFile } = certificates.a;
  const tls = `${MINIMAL_TOML.replace('backend = "app"', `backend = "app"\ntls = { cert = "${certFile}", key = "${keyFile}" }`)}`;
  const good = await folder.write("good.toml", tls);
  const bad = await folder.write("bad.toml", `${tls}[limits]\nconnections = "x"\n`);
  const noToml = await folder.write("no.toml", "x");
  const noText = await folder.write("binary.toml", new Uint8Array([0xff, 0xfe]));
  const files = [good, bad, noToml, noText, folder.at("none"), folder.at(""), "/dev/null"];
  const rereads = files.map((file) => rereading(file, { SLUICE_LOG_LEVEL: "debug" }, ROOMY, "copy"));
  const round = async () => {
    for (const reread of rereads) await reread();
    await loadConfig(good, {}, ROOMY);
  };
  await round();
  const before = openDescriptors();
  for (let count = 0; count < 20; count++) await round();
  expect(openDescriptors()).toEqual(before);
});
