/** The command line of the real process: what each command prints, where it reads from, what it refuses, how it exits. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json";
import { echo, listen } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { runSluice, SLUICE, startSluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

const commands = ["run", "check", "forward", "demo", "schema", "health", "top"];

test.each(["--version", "-v"])("%s says the version of the program and of its runtime", async (option) => {
  const stdout = `sluice ${packageJson.version} (Bun ${Bun.version})\n`;
  expect(await runSluice([option])).toEqual({ code: 0, stdout, stderr: "" });
});

test("help, --help and -h list the commands", async () => {
  const [word, long, short] = await Promise.all(["help", "--help", "-h"].map((arg) => runSluice([arg])));
  expect(word).toMatchObject({ code: 0, stderr: "" });
  expect(word!.stdout).toStartWith(`sluice ${packageJson.version}: `);
  expect([...word!.stdout.matchAll(/^ {2}(\w+) {2,}\w/gm)].map((match) => match[1])).toEqual(commands);
  expect([long, short]).toEqual([word!, word!]);
});

test.each(commands)("help %s, and its own --help and -h, say what it does", async (command) => {
  const asked = [
    ["help", command],
    [command, "--help"],
    [command, "-h"],
  ];
  const [word, long, short] = await Promise.all(asked.map((args) => runSluice(args)));
  expect(word).toMatchObject({ code: 0, stderr: "" });
  expect(word!.stdout).toMatch(command === "run" ? /^usage: sluice \[run\]/ : new RegExp(`^usage: sluice ${command}`));
  expect(word!.stdout.split("\n").length).toBeGreaterThan(3);
  expect([long, short]).toEqual([word!, word!]);
});

test.each<[readonly string[], string]>([
  [["chekc"], 'unknown command "chekc" (did you mean "check"?)'],
  [["frward", ":80"], 'unknown command "frward" (did you mean "forward"?)'],
  [["config.toml"], 'unknown command "config.toml"'],
  [["help", "dmeo"], 'unknown command "dmeo" (did you mean "demo"?)'],
  [["help", "run", "check"], 'unexpected argument "check"'],
  [["--confg", "x"], 'unknown option "--confg" (did you mean "--config"?)'],
  [["check", "--pritn"], 'unknown option "--pritn" (did you mean "--print"?)'],
  [["run", "--print"], 'unknown option "--print"'],
  [["check", "-c", "x"], 'unknown option "-c"'],
  [["run", "--config"], 'option "--config" needs a value'],
  [["run", "--config="], 'option "--config" needs a value'],
  [["check", "--config", "--print"], 'option "--config" needs a value (one that begins with "-": --config=VALUE)'],
  [["check", "--print=yes"], 'option "--print" takes no value'],
  [["forward", "--retries", "-1"], 'option "--retries" needs a value (one that begins with "-": --retries=VALUE)'],
  [["run", "x"], 'unexpected argument "x"'],
  [["check", "x", "y"], 'unexpected argument "x"'],
  [["demo", "x"], 'unexpected argument "x"'],
  [["schema", "x"], 'unexpected argument "x"'],
  [["forward"], "an address to listen on and at least one endpoint are needed"],
  [["forward", ":0"], "an address to listen on and at least one endpoint are needed"],
])("%j is refused with a sentence and exit code 2", async (args, message) => {
  const { code, stdout, stderr } = await runSluice(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toBe(`sluice: ${message}\nTry "sluice help".\n`);
});

test.concurrent.each<[readonly string[], Record<string, string>, string]>([
  [[], {}, "from_folder"],
  [["run"], {}, "from_folder"],
  [["run", "--config", "option.toml"], {}, "from_option"],
  [["--config=option.toml"], {}, "from_option"],
  [[], { SLUICE_CONFIG: "variable.toml" }, "from_variable"],
  [["run", "--config", "option.toml"], { SLUICE_CONFIG: "variable.toml" }, "from_option"],
])("sluice %j with %j runs what it is told %s", async (args, env, listener) => {
  using folder = new Folder();
  await using backend = await listen(echo);
  for (const [file, name] of [
    ["config.toml", "from_folder"],
    ["option.toml", "from_option"],
    ["variable.toml", "from_variable"],
  ] as const) {
    folder.write(file, config(backend.address).replace(`"web"`, `"${name}"`));
  }
  await using proxy = await startSluice({ args, env, cwd: folder.path });
  await using client = await connect(await proxy.port(listener));
  await client.send("through");
  await client.finish();
  await client.finished();
  expect(client.text()).toBe("through");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
});

test("an empty SLUICE_CONFIG is refused by its name", async () => {
  for (const command of ["run", "check"]) {
    expect(await runSluice([command], { env: { SLUICE_CONFIG: "" } })).toEqual({
      code: 2,
      stdout: "",
      stderr: 'sluice: SLUICE_CONFIG is empty, wanted the path of a file\nTry "sluice help".\n',
    });
  }
});

test("check says that a configuration is valid without binding anything", async () => {
  using folder = new Folder();
  await using backend = await listen(echo);
  await using other = await listen(echo);
  const file = folder.write("good.toml", config(other.address).replace("127.0.0.1:0", backend.address));
  expect(await runSluice(["check", "--config", file])).toEqual({ code: 0, stdout: `${file}: valid\n`, stderr: "" });
});

test("check and run report every problem of the file and the environment, each on a line with its place", async () => {
  using folder = new Folder();
  folder.write(
    "config.toml",
    `[timeouts]
conect = "5s"
idle = "10"

[[listener]]
name = "web"
listen = "127.0.0.1:99999"
backend = "ap"

[[backend]]
name = "app"
endpoints = ["127.0.0.1"]
`,
  );
  const env = { SLUICE_LOG_LEVEL: "loud", SLUICE_LIMIT_CONNECTIONS: "5" };
  const stderr = `config.toml:2:1 timeouts.conect: unknown key "conect" (did you mean "connect"?)
config.toml:3:8 timeouts.idle: found "10", wanted a duration with its unit, such as "10s" or "10ms"
config.toml:7:10 listener.web.listen: found "127.0.0.1:99999", wanted an address with a port from 0 to 65535, such as "127.0.0.1:80", "[::1]:80" or "name:80"
config.toml:8:11 listener.web.backend: unknown backend "ap" (did you mean "app"?)
config.toml:12:14 backend.app.endpoints.0: found "127.0.0.1", wanted an address with a port, such as "127.0.0.1:80"
SLUICE_LIMIT_CONNECTIONS: unknown variable (did you mean "SLUICE_LIMITS_CONNECTIONS"?)
SLUICE_LOG_LEVEL log.level: found "loud", wanted one of "debug", "info", "warn", "error"
sluice: the configuration is not valid: 7 problems
`;
  for (const command of ["check", "run"]) {
    expect(await runSluice([command], { cwd: folder.path, env })).toEqual({ code: 2, stdout: "", stderr });
  }
});

test("check --print shows defaults and variables, masks secrets, and what it prints is the same again", async () => {
  using folder = new Folder();
  folder.write("config.toml", `${config("127.0.0.1:9000")}[admin]\nlisten = "127.0.0.1:9900"\n`);
  const env = { SLUICE_TIMEOUTS_IDLE: "7m", SLUICE_ADMIN_TOKEN: "very-secret" };
  const printed = await runSluice(["check", "--print"], { cwd: folder.path, env });
  expect(printed).toMatchObject({ code: 0, stderr: "" });
  expect(printed.stdout).toContain('\nidle = "7m"\n');
  expect(printed.stdout).toContain('\nconnect = "5s"\n');
  expect(printed.stdout).toContain('\ntoken = "********"\n');
  expect(printed.stdout).not.toContain("very-secret");
  folder.write("again.toml", printed.stdout);
  expect(await runSluice(["check", "--print", "--config", "again.toml"], { cwd: folder.path })).toEqual(printed);
});

test("schema writes a JSON Schema with every table of the configuration that ships", async () => {
  const { code, stdout, stderr } = await runSluice(["schema"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const schema = JSON.parse(stdout) as { $schema: string; type: string; properties: Record<string, object> };
  expect(schema).toMatchObject({ $schema: expect.stringContaining("json-schema.org"), type: "object" });
  const shipped = readFileSync(new URL("../../config.toml", import.meta.url), "utf8");
  const tables = [...shipped.matchAll(/^\[+(\w+)\]+/gm)].map((match) => match[1]!);
  expect(tables.length).toBeGreaterThan(5);
  expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(tables));
});

test("the configuration that ships is valid", async () => {
  const shipped = new URL("../../config.toml", import.meta.url).pathname;
  expect(await runSluice(["check", "--config", shipped])).toMatchObject({ code: 0, stdout: `${shipped}: valid\n` });
});

test("exit codes: 0 drained, 1 not started, 2 not valid, 3 cut at the deadline, 130 and 143 a second signal", async () => {
  await using backend = await listen(echo);
  const exit = async (text: string, ...signals: NodeJS.Signals[]): Promise<number | null> => {
    await using proxy = await startSluice({ config: text });
    if (signals.length === 0) return (await proxy.exited()).code;
    await using client = await connect(await proxy.port("web"));
    await client.send("x");
    await client.receivedBytes(1);
    proxy.signal(signals[0]!);
    if (signals.length === 1 && !text.includes("drain =")) client.reset();
    await proxy.logged(({ msg }) => msg === "draining" || msg === "stopped", "the drain, or its end");
    if (signals[1] !== undefined) proxy.signal(signals[1]);
    return (await proxy.exited()).code;
  };
  const good = config(backend.address);
  await using other = await listen(echo);
  expect(
    await Promise.all([
      exit(good, "SIGTERM"),
      exit(good.replace("127.0.0.1:0", other.address)),
      exit(good.replace(`backend = "app"`, "")),
      exit(`${good}\n[shutdown]\ndrain = "50ms"`, "SIGTERM"),
      exit(good, "SIGTERM", "SIGINT"),
      exit(good, "SIGINT", "SIGTERM"),
    ]),
  ).toEqual([0, 1, 2, 3, 130, 143]);
});

test("a full pipe that does not block loses nothing of what is said", async () => {
  using folder = new Folder();
  const keys = Array.from({ length: 5_000 }, (_, index) => `nothing${index} = 1`);
  const file = folder.write("bad.toml", `${keys.join("\n")}\n${config("127.0.0.1:9000")}`);
  using pipe = new Pipe(folder);
  // Whoever starts a process makes such a pipe block first, Bun too (1.4.5): it is undone here.
  const unblock = ["perl", "-MFcntl", "-e", "fcntl(STDERR, F_SETFL, O_NONBLOCK) or die; exec @ARGV or die"];
  const command = [...unblock, ...SLUICE, "check", "--config", file];
  await using child = Bun.spawn(command, { env: {}, stderr: pipe.writeFd });
  await until(() => bytesWritten(child.pid) >= pipeBytes, "the pipe to be full");
  let text = "";
  await until(
    () => {
      text += pipe.read();
      return text.endsWith("problems\n") || child.exitCode !== null;
    },
    () => `the last line: ${text.slice(-300)}`,
  );
  expect(await child.exited).toBe(2);
  expect(text.split("\n").filter((line) => /bad\.toml:\d+:1 nothing\d+: unknown key/.test(line)).length).toBe(5_000);
  expect(text).toEndWith("sluice: the configuration is not valid: 5000 problems\n");
});

test("a reader that has gone is nobody's loss", async () => {
  using folder = new Folder();
  using pipe = new Pipe(folder);
  pipe.closeReader();
  await using child = Bun.spawn([...SLUICE, "schema"], { env: {}, stdout: pipe.writeFd, stderr: "pipe" });
  expect(await child.stderr.text()).toBe("");
  expect(await child.exited).toBe(0);
});

test("output that cannot be written is a sentence and exit code 1", async () => {
  await using child = Bun.spawn([...SLUICE, "schema"], { env: {}, stdout: Bun.file("/dev/full"), stderr: "pipe" });
  expect(await child.stderr.text()).toBe("sluice: cannot write to standard output: ENOSPC\n");
  expect(await child.exited).toBe(1);
});

/** A folder of its own, removed at the end. */
class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "sluice-cli-"));

  write(name: string, text: string): string {
    const file = join(this.path, name);
    writeFileSync(file, text);
    return file;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** What a pipe holds (pipe(7)). */
const pipeBytes = 65_536;

class Pipe {
  readonly writeFd: number;
  #readFd: number | undefined;

  constructor(folder: Folder) {
    const path = join(folder.path, "pipe");
    const { exitCode } = Bun.spawnSync(["mkfifo", path]);
    if (exitCode !== 0) throw new Error(`cannot make a pipe at ${path}`);
    this.#readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.writeFd = openSync(path, constants.O_WRONLY);
  }

  /** What is there; "" when nothing is. */
  read(): string {
    const bytes = Buffer.alloc(pipeBytes);
    try {
      return bytes.toString("utf8", 0, readSync(this.#readFd!, bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
      throw error;
    }
  }

  closeReader(): void {
    if (this.#readFd !== undefined) closeSync(this.#readFd);
    this.#readFd = undefined;
  }

  [Symbol.dispose](): void {
    this.closeReader();
    closeSync(this.writeFd);
  }
}

/** How many bytes a process has written, to whatever (proc_pid_io(5)). */
function bytesWritten(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}

function config(endpoint: string): string {
  return `[limits]
connections = 100

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]
`;
}
