/** `sluice top` of the real process: line by line over a pipe, and live in a terminal of tmux's. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { libc } from "../../src/sys/libc.ts";
import { echo, listen } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { lacks } from "../support/programs.ts";
import { runSluice, Sluice, SLUICE, startSluice } from "../support/sluice.ts";
import { startInTmux } from "../support/tmux.ts";
import { settled, until } from "../support/until.ts";

const token = "t0ken-of-the-admin-server";
const hostile = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\n";
let folder: string;
let tokenFile: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-top-"));
  tokenFile = join(folder, "token");
  writeFileSync(tokenFile, `${token}\n`);
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("over a pipe it writes a line for each interval, with what the proxy has done meanwhile", async () => {
  await using backend = await listen(echo);
  await using proxy = await startProxy(backend.address);
  await using top = await startSluice({ args: ["top", "--admin", await proxy.adminUrl(), "--interval", "100ms"] });
  await until(() => lines(top).length >= 2, "two lines");
  expect(lines(top)[0]).toMatch(
    /^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z state=ready uptime_s=\d+ active=0 new_per_s=0\.0 ended_per_s=0\.0 bytes_to_backend_per_s=0\.0 bytes_to_client_per_s=0\.0 endpoints=1 endpoints_out=0 connect_failures_total=0 connections_total=0$/,
  );
  await using client = await connect(await proxy.port("web"));
  await client.send("x".repeat(1000));
  await client.receivedBytes(1000);
  await until(
    () => lines(top).some((line) => line.includes(" active=1 ") && line.endsWith("connections_total=1")),
    "it",
  );
  // All of it is in the rates of the lines, whichever interval it fell into.
  const rates = lines(top).map((line) => Number(/ bytes_to_client_per_s=([\d.]+) /.exec(line)![1]));
  expect(Math.max(...rates)).toBeGreaterThan(1000);
  top.signal("SIGTERM");
  expect(await top.exited()).toMatchObject({ code: 0 });
  expect(top.stderr).toBe("");
});

test("a reader that goes ends it quietly, with code 0", async () => {
  using admin = new FakeAdmin();
  const command = [...SLUICE, "top", "--admin", admin.address, "--interval", "100ms"];
  await using reader = new Sluice({ command: ["sh", "-c", `"$@" | head -n 2; echo "$?"`, "sh"], args: command });
  expect((await reader.exited()).code).toBe(0);
  expect(lines(reader).map((line) => line.split("=")[0])).toEqual(["time", "time", "0"]);
  expect(reader.stderr).toBe("");
  // The code of the first in the pipe, which the shell does not tell.
  const first = `{ "$@"; echo "code $?" >&2; } | head -n 1`;
  await using code = new Sluice({ command: ["sh", "-c", first, "sh"], args: command });
  await code.exited();
  expect(code.stderr).toBe("code 0\n");
});

test("a signal ends it while its reader stands still and the pipe is full", async () => {
  using admin = new FakeAdmin();
  admin.stateChars = 500;
  const fifo = join(folder, "fifo");
  expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
  // Opened for both, so that neither side waits for the other.
  const fd = openSync(fifo, "r+");
  libc!.setPipeBytes(fd, 4096);
  const shell = ["sh", "-c", `exec "$@" > '${fifo}'`, "sh"];
  const args = [...SLUICE, "top", "--admin", admin.address, "--interval", "100ms"];
  await using stuck = new Sluice({ command: shell, args });
  await until(() => admin.looks > 3, "some looks");
  await settled(() => admin.looks, "the looks", { quietMs: 500 });
  stuck.signal("SIGTERM");
  expect(await stuck.exited()).toMatchObject({ code: 0 });
  closeSync(fd);
});

test("the token comes from an option, the environment or the configuration; it goes to no other server", async () => {
  using admin = new FakeAdmin({ token });
  const config = join(folder, "with-token.toml");
  writeFileSync(config, `[admin]\nlisten = "${admin.address}"\ntoken = "${token}"`);
  const at = ["--admin", admin.address];
  const granted = [
    { args: [...at, "--token-file", tokenFile], env: { SLUICE_ADMIN_TOKEN: "wrong" } },
    { args: at, env: { SLUICE_ADMIN_TOKEN: token } },
    { args: at, env: { SLUICE_ADMIN_TOKEN_FILE: tokenFile } },
    { args: ["--config", config], env: {} },
    { args: [], env: { SLUICE_CONFIG: config } },
    { args: [...at, "--config", config], env: {} },
    { args: ["--config", config], env: { SLUICE_ADMIN_LISTEN: admin.address } },
  ];
  for (const { args, env } of granted) {
    const { code, stdout, stderr } = await runSluice(["top", "--once", "--interval", "100ms", ...args], { env });
    expect({ args, env, code, stderr }).toEqual({ args, env, code: 0, stderr: "" });
    expect(stdout).toStartWith("time=");
  }
  const refused = {
    code: 1,
    stdout: "",
    stderr: `sluice: cannot watch http://${admin.address}: the token is missing or wrong (401); wanted --token-file FILE or SLUICE_ADMIN_TOKEN_FILE\n`,
  };
  for (const env of [{}, { SLUICE_ADMIN_TOKEN: "wrong" }, { SLUICE_CONFIG: config }]) {
    expect(await runSluice(["top", ...at], { env })).toEqual(refused);
  }
});

test("whatever is there at the beginning and no admin server of sluice is told, with code 1", async () => {
  using other = new FakeAdmin({ body: "<html>hello</html>" });
  await using silent = await listen((peer) => peer.finish());
  const gone = await listen(echo);
  await gone[Symbol.asyncDispose]();
  const cases: [address: string, said: string][] = [
    [other.address, "what answers there is not the admin server of sluice"],
    [silent.address, ""],
    [gone.address, "connection refused; nothing listens there"],
  ];
  for (const [address, said] of cases) {
    const { code, stdout, stderr } = await runSluice(["top", "--admin", address]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toStartWith(`sluice: cannot watch http://${address}: ${said}`);
    expect(stderr.split("\n").length).toBe(2);
  }
});

test("wrong usage is told in a sentence, with code 2", async () => {
  const cases: [args: string[], said: string, env?: Record<string, string>][] = [
    [["--interval", "10ms"], 'option "--interval": found "10ms", wanted at least 100ms'],
    [["--interval", "1"], 'option "--interval": found "1", wanted a duration with its unit'],
    [["--token-file", "gone"], "--token-file: cannot read gone: no such file"],
    [["--admin", ":1"], "the token can't be sent", { SLUICE_ADMIN_TOKEN: "two words" }],
    [["--admin", ":1"], "are both set", { SLUICE_ADMIN_TOKEN: "a", SLUICE_ADMIN_TOKEN_FILE: "b" }],
    [["extra"], 'unexpected argument "extra"'],
  ];
  for (const [args, said, env = {}] of cases) {
    const { code, stderr } = await runSluice(["top", ...args], { env });
    expect({ args, code, stderr }).toEqual({ args, code: 2, stderr: expect.stringContaining(said) as string });
  }
});

test("a connection that is lost is said to be, and asked for again until it is back", async () => {
  const admin = new FakeAdmin();
  const { port } = admin;
  await using top = await startSluice({ args: ["top", "--admin", admin.address, "--interval", "100ms"] });
  const state = (of: string) => (): boolean => lines(top).at(-1)?.includes(`state=${of} `) === true;
  await until(state("ready"), "a line");
  admin[Symbol.dispose]();
  await until(state("unreachable"), "a line that says that there is no answer");
  expect(lines(top).at(-1)).toMatch(/ uptime_s=- active=- .*connections_total=-$/);
  using _again = new FakeAdmin({ port });
  await until(state("ready"), "another one");
  top.signal("SIGINT");
  expect(await top.exited()).toMatchObject({ code: 0 });
  expect(top.stderr).toBe("");
});

test.skipIf(lacks("tmux"))(
  "in a terminal it shows the traffic of a proxy live, follows its size, and q leaves all as it was",
  async () => {
    await using backend = await listen(echo);
    await using proxy = await startProxy(backend.address);
    const url = await proxy.adminUrl();
    await using terminal = await startInTmux([...SLUICE, "top", "--admin", url, "--interval", "100ms"], {
      columns: 100,
      rows: 24,
    });
    const shown = await terminal.shows((screen) => screen.some((line) => /^app .* 0 /.test(line)), "the endpoints");
    expect(shown.length).toBe(24);
    expect(shown[0]).toMatch(/^sluice \d+\.\d+\.\d+ {2}ready {2}up \w+ {2}pid \d+$/);
    expect(shown.at(-1)).toBe(`q quit  o oldest first  ${url}`);
    expect([await terminal.knows("alternate_on"), await terminal.knows("cursor_flag")]).toEqual(["1", "0"]);
    await using client = await connect(await proxy.port("web"));
    await client.send("hello");
    await client.receivedBytes(5);
    await terminal.shows((screen) => screen[1]!.startsWith("connections 1 of "), "the connection");
    // Narrow: this line is as wide as the screen, and its last character is there.
    await terminal.resize({ columns: 43, rows: 12 });
    await terminal.shows(
      (screen) => screen.length === 12 && screen.includes("BACKEND  ENDPOINT         STATE      ACTIVE"),
      "less",
    );
    await terminal.resize({ columns: 100, rows: 24 });
    await terminal.shows((screen) => screen.length === 24 && screen[23]!.endsWith(url), "all again");
    // Keys that mean nothing are nothing, and an arrow is no letter.
    await terminal.press("x", "Up", "F1", "o");
    await terminal.shows((screen) => screen.at(-1)!.includes("o busiest first"), "the other order");
    await terminal.press("q");
    await expectAsBefore(terminal, 0);
  },
);

test.skipIf(lacks("tmux"))("a new size is drawn at once, and Ctrl+L draws all again", async () => {
  using admin = new FakeAdmin();
  const command = [...SLUICE, "top", "--admin", admin.address, "--interval", "1h"];
  await using terminal = await startInTmux(command, { columns: 100, rows: 24 });
  const whole =
    (rows: number) =>
    (screen: string[]): boolean =>
      screen.length === rows && screen[0]!.startsWith("sluice 9.9.9") && screen.at(-1)!.startsWith("q quit");
  await terminal.shows(whole(24), "the figures");
  await terminal.resize({ columns: 60, rows: 10 });
  await terminal.shows(whole(10), "the figures in a smaller one");
  await terminal.resize({ columns: 120, rows: 40 });
  await terminal.shows(whole(40), "the figures in a larger one");
  await terminal.erase();
  await terminal.shows((screen) => screen.every((line) => line === ""), "nothing");
  await terminal.press("C-l");
  await terminal.shows(whole(40), "the figures again");
});

test.skipIf(lacks("tmux"))("Ctrl+C, SIGTERM and SIGHUP end it as cleanly", async () => {
  using admin = new FakeAdmin();
  for (const how of ["C-c", "SIGTERM", "SIGHUP", "SIGINT"] as const) {
    const command = ["sh", "-c", `echo $$ > '${folder}/pid'; exec "$@"`, "sh", ...SLUICE, "top"];
    await using terminal = await startInTmux([...command, "--admin", admin.address], { columns: 80, rows: 24 });
    await terminal.shows((screen) => screen[0]!.startsWith("sluice "), "the figures");
    if (how === "C-c") await terminal.press(how);
    else process.kill(Number(await Bun.file(join(folder, "pid")).text()), how);
    await expectAsBefore(terminal, 0);
  }
});

test.skipIf(lacks("tmux"))(
  "foreign names can do nothing to the terminal; colours are those of states, and none with NO_COLOR",
  async () => {
    using admin = new FakeAdmin({ name: hostile });
    const command = [...SLUICE, "top", "--admin", admin.address, "--interval", "100ms"];
    {
      await using terminal = await startInTmux(command, { columns: 120, rows: 24 });
      const screen = await terminal.shows((lines) => lines.some((line) => line.includes("]0;owned")), "the name");
      expect(screen[0]).toStartWith("sluice 9.9.9  ready");
      expect(screen.filter((line) => line.includes("�]0;owned��[2J�[31mred��")).length).toBeGreaterThan(2);
      expect(await terminal.knows("pane_title")).not.toContain("owned");
      expect((await terminal.screen(true))[0]).toContain("\x1b[32mready");
    }
    await using plain = await startInTmux(command, { columns: 120, rows: 24 }, { NO_COLOR: "1" });
    await plain.shows((lines) => lines.some((line) => line.includes("]0;owned")), "the name");
    expect((await plain.screen(true)).join("")).not.toContain("\x1b");
  },
);

test.skipIf(lacks("tmux"))("a server that goes is said to be lost on the screen, and found again", async () => {
  const admin = new FakeAdmin();
  const { port } = admin;
  const command = [...SLUICE, "top", "--admin", admin.address, "--interval", "100ms"];
  await using terminal = await startInTmux(command, { columns: 100, rows: 24 });
  await terminal.shows((screen) => screen[0]!.startsWith("sluice 9.9.9  ready"), "the figures");
  admin[Symbol.dispose]();
  const lost = await terminal.shows((screen) => screen[0]!.startsWith("sluice 9.9.9  lost"), "the loss");
  expect(lost[1]).toMatch(/^no answer since the figures below: .*; trying again$/);
  using _again = new FakeAdmin({ port });
  await terminal.shows((screen) => screen[0]!.startsWith("sluice 9.9.9  ready"), "the figures again");
});

test.skipIf(lacks("tmux"))(
  "once in a terminal, and in one that can do nothing, it leaves what is there alone",
  async () => {
    using admin = new FakeAdmin();
    const command = [...SLUICE, "top", "--admin", admin.address, "--interval", "100ms", "--once"];
    for (const [env, first] of [
      [{}, "sluice 9.9.9  ready"],
      [{ TERM: "dumb" }, "time="],
    ] as const) {
      await using terminal = await startInTmux(command, { columns: 100, rows: 60 }, env);
      const screen = await terminal.shows((lines) => lines.some((line) => line.startsWith("ended with")), "its end");
      expect(screen.find((line) => line.startsWith(first))).toBeDefined();
      expect(screen).toContain("ended with 0");
      expect(await terminal.knows("alternate_on")).toBe("0");
    }
  },
);

/** The screen, the cursor, the wrapping and the keys are the shell's again. */
async function expectAsBefore(terminal: Awaited<ReturnType<typeof startInTmux>>, code: number): Promise<void> {
  const screen = await terminal.shows(
    (lines) => lines.some((line) => line.includes("icanon")),
    "the settings after its end",
  );
  expect(screen.slice(0, 2)).toEqual(["before", `ended with ${code}`]);
  expect(screen.join(" ")).toMatch(/(?<!-)icanon.*(?<!-)\becho\b/);
  const known = ["alternate_on", "cursor_flag", "wrap_flag"].map((variable) => terminal.knows(variable));
  expect(await Promise.all(known)).toEqual(["0", "1", "1"]);
}

function startProxy(backend: string): Promise<Sluice> {
  return startSluice({
    config: `
[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
[[backend]]
name = "app"
endpoints = ["${backend}"]
[admin]
listen = "127.0.0.1:0"
`,
  }).then((proxy) => proxy.ready());
}

function lines(program: Sluice): string[] {
  return program.stdout.split("\n").slice(0, -1);
}

/** Answers as the admin server does, with figures of its own. */
class FakeAdmin {
  readonly port: number;
  readonly address: string;
  looks = 0;
  /** A state as long as this, to fill pipes. */
  stateChars = 0;
  readonly #server: Bun.Server<undefined>;

  constructor({
    port = 0,
    token = "",
    name = "app",
    body,
  }: { port?: number; token?: string; name?: string; body?: string } = {}) {
    const status = (): object => ({
      version: "9.9.9",
      pid: 1,
      uptime_ms: 1000 + performance.now(),
      state: this.stateChars === 0 ? "ready" : "x".repeat(this.stateChars),
      connections_active: 1,
      limits: { connections: 100 },
      listeners: [{ name, address: "127.0.0.1:1", backend: name, connections_total: 1 }],
      backends: [{ name, endpoints: [{ address: "127.0.0.1:2", health: "up", state: "ready", weight: 1 }] }],
      ended: {},
    });
    const connections = { total: 1, connections: [{ id: 1, client: "127.0.0.1:3", sni: name, phase: "forwarding" }] };
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      fetch: (request) => {
        if (token !== "" && request.headers.get("authorization") !== `Bearer ${token}`) {
          return Response.json({ error: "a bearer token is needed" }, { status: 401 });
        }
        this.looks++;
        if (body !== undefined) return new Response(body);
        return Response.json(new URL(request.url).pathname === "/status" ? status() : connections);
      },
    });
    this.port = this.#server.port!;
    this.address = `127.0.0.1:${this.port}`;
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true);
  }
}
