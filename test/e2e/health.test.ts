/** `sluice health` of the real process: what it asks, where, for how long, and how it says what it found. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { health } from "../../src/cli/health.ts";
import { commandLine } from "../../src/cli/command-line.ts";
import type { CommandSurroundings } from "../../src/cli/surroundings.ts";
import { echo, listen } from "../support/backend.ts";
import { runSluice, startSluice } from "../support/sluice.ts";

const listener = (backend: string): string => `
[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
[[backend]]
name = "app"
endpoints = ["${backend}"]
`;

test("a proxy that is ready is healthy: by its address, by a URL, with a slash and with a path", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: `${listener(backend.address)}[admin]\nlisten = "127.0.0.1:0"` });
  await proxy.ready();
  const address = await proxy.address("admin");
  for (const url of [address, `http://${address}`, `http://${address}/`, `:${address.split(":")[1]}`]) {
    const { code, stdout, stderr } = await runSluice(["health", "--admin", url]);
    expect({ url, code, stdout, stderr }).toEqual({ url, code: 0, stdout: "ready\n", stderr: "" });
  }
});

test("a proxy whose backend is down is not ready, and one that has ended answers nothing", async () => {
  const down = await listen(echo);
  const health = `[backend.health]\ntype = "tcp"\ninterval = "100ms"\nfall = 1`;
  await using proxy = await startSluice({
    config: `${listener(down.address)}${health}\n[admin]\nlisten = "127.0.0.1:0"`,
  });
  await proxy.ready();
  const address = await proxy.address("admin");
  await down[Symbol.asyncDispose]();
  await proxy.logged((line) => line.msg === "endpoint down", "the endpoint to be found down");
  expect(await runSluice(["health", "--admin", address])).toEqual({
    code: 1,
    stdout: "",
    stderr: `sluice: not ready: http://${address}/readyz answered 503\n`,
  });
  proxy.signal("SIGTERM");
  await proxy.exited();
  expect(await runSluice(["health", "--admin", address])).toEqual({
    code: 1,
    stdout: "",
    stderr: `sluice: cannot ask http://${address}/readyz: connection refused; nothing listens there\n`,
  });
});

test("the address is found in the environment, then in the configuration, a wildcard on loopback", async () => {
  using server = new Answering(200);
  using elsewhere = new Answering(503);
  using folder = new Folder();
  const file = folder.write("other.toml", `[admin]\nlisten = "0.0.0.0:${server.port}"\ntoken = "secret"`);
  folder.write("config.toml", `[admin]\nlisten = ":${server.port}"`);
  const cases = [
    { env: { SLUICE_ADMIN_LISTEN: `0.0.0.0:${server.port}` } },
    { env: { SLUICE_ADMIN_LISTEN_FILE: folder.write("listen", `:${server.port}\n`) } },
    { env: { SLUICE_CONFIG: file } },
    { args: ["--config", file], env: { SLUICE_CONFIG: "there-is-none.toml" } },
    // The environment beats the file, as for the proxy itself.
    {
      args: ["--config", folder.write("beaten.toml", `[admin]\nlisten = "127.0.0.1:${elsewhere.port}"`)],
      env: { SLUICE_ADMIN_LISTEN: `:${server.port}` },
    },
    // Without any word of it: config.toml, where there is one.
    { cwd: folder.path },
    // A token that can't be read is of no interest.
    { cwd: folder.path, env: { SLUICE_ADMIN_TOKEN_FILE: "there-is-none" } },
    { args: ["--admin", `127.0.0.1:${server.port}`], env: { SLUICE_ADMIN_LISTEN: "nonsense" } },
    // Proxies of the environment are for other hosts.
    { cwd: folder.path, env: { HTTP_PROXY: `http://127.0.0.1:${elsewhere.port}`, http_proxy: "http://127.0.0.1:1" } },
  ];
  for (const { args = [], ...where } of cases) {
    const { code, stdout, stderr } = await runSluice(["health", "--timeout", "10s", ...args], where);
    expect({ args, where, code, stdout, stderr }).toEqual({ args, where, code: 0, stdout: "ready\n", stderr: "" });
  }
  expect(server.asked).toEqual(cases.map(() => ({ path: "/readyz", authorization: null })));
  expect(elsewhere.asked).toEqual([]);
});

test("nobody answers within the deadline: said so in time, whatever it is that hangs", async () => {
  // Accepts and says nothing; says half a head; says its head and goes on with a body for ever.
  await using silent = await listen(() => {});
  await using halfway = await listen((peer) => void peer.send("HTTP/1.1 200 OK\r\nX-A: b\r\n"));
  for (const address of [silent.address, halfway.address]) {
    const { code, stderr } = await runSluice(["health", "--admin", address, "--timeout", "300ms"]);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `sluice: cannot ask http://${address}/readyz: no answer within 300 ms\n`,
    });
  }
  await using endless = await listen((peer) => void peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"));
  expect((await runSluice(["health", "--admin", endless.address])).code).toBe(0);
});

test("whatever is no answer of an admin server is not healthy: redirects, other codes, other protocols", async () => {
  using ready = new Answering(200);
  using redirects = new Answering(302, { location: `http://127.0.0.1:${ready.port}/readyz` });
  using other = new Answering(404);
  for (const [server, status] of [
    [redirects, 302],
    [other, 404],
  ] as const) {
    const url = `http://127.0.0.1:${server.port}`;
    expect(await runSluice(["health", "--admin", url])).toEqual({
      code: 1,
      stdout: "",
      stderr: `sluice: ${url}/readyz answered ${status}, wanted 200 or 503; is this the admin server of sluice?\n`,
    });
  }
  expect(ready.asked).toEqual([]);
  await using ssh = await listen((peer) => void peer.send("SSH-2.0-OpenSSH_9.2\r\n"));
  await using closes = await listen((peer) => peer.finish());
  for (const { address } of [ssh, closes]) {
    const { code, stdout, stderr } = await runSluice(["health", "--admin", address]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^sluice: cannot ask http:\S+: [^\n]+\n$/);
  }
});

test("what can't be asked is wrong usage, in a sentence", async () => {
  using folder = new Folder();
  const none = folder.write("none.toml", `[log]\nlevel = "info"`);
  const random = folder.write("random.toml", `[admin]\nlisten = "127.0.0.1:0"`);
  const broken = folder.write("broken.toml", `[admin\n`);
  const cases: [args: string[], said: string, env?: Record<string, string>][] = [
    [["--config", none], `${none} has no admin server ([admin] with listen), wanted one, or --admin URL`],
    [["--config", random], `${random}: admin.listen: port 0 takes a free port, which only the log tells`],
    [["--config", broken], `${broken}:1:7`],
    [["--config", "gone.toml"], "gone.toml: cannot read the configuration: no such file"],
    [["--admin", "localhost"], `option "--admin": found "localhost", wanted an address with a port`],
    [["--admin", "ftp://localhost"], `option "--admin": found "ftp://localhost", wanted an address such as`],
    [["--admin", "unix:/run/x"], `option "--admin": found "unix:/run/x", wanted an address such as`],
    [["--admin", "http://me:pw@h:1"], `wanted a URL without a user, a query or a fragment`],
    [["--timeout", "5"], `option "--timeout": found "5", wanted a duration with its unit, such as "5s"`],
    [["--timeout", "0s"], `option "--timeout": found "0s", wanted more than nothing`],
    [["--timeuot", "1s"], `unknown option "--timeuot" (did you mean "--timeout"?)`],
    [[], `SLUICE_ADMIN_LISTEN: found "9900", wanted an address with a port`, { SLUICE_ADMIN_LISTEN: "9900" }],
    [[], "SLUICE_CONFIG is empty, wanted the path of a file", { SLUICE_CONFIG: "" }],
  ];
  const said = cases.map(async ([args, , env = {}]) => {
    const err: string[] = [];
    const surroundings = { env, out() {}, err: (text: string) => err.push(text) } as unknown as CommandSurroundings;
    return { args, code: await commandLine(["health", ...args], surroundings), said: err.join("") };
  });
  for (const [index, found] of (await Promise.all(said)).entries()) {
    const [args, wanted] = cases[index]!;
    expect(found).toEqual({ args, code: 2, said: expect.stringContaining(wanted) as string });
  }
});

test("its help tells every option, and where it looks", () => {
  for (const word of ["--admin", "--config", "--timeout", "$SLUICE_ADMIN_LISTEN", "http://127.0.0.1:9900"]) {
    expect(`${health.usage}\n${health.help}`).toContain(word);
  }
});

/** Answers every request alike, and notes what it was asked. */
class Answering {
  readonly asked: { path: string; authorization: string | null }[] = [];
  readonly port: number;
  readonly #server: Bun.Server<undefined>;

  constructor(status: number, headers: Record<string, string> = {}) {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => {
        this.asked.push({
          path: new URL(request.url).pathname,
          authorization: request.headers.get("authorization"),
        });
        return new Response("{}", { status, headers });
      },
    });
    this.port = this.#server.port!;
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true);
  }
}

/** A folder with files, removed at the end of its scope. */
class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "sluice-health-"));

  /** Returns its path. */
  write(name: string, text: string): string {
    const file = join(this.path, name);
    writeFileSync(file, text);
    return file;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}
