/**
 * What the real process does with an operator's mistakes: one line that says where, what was found and what was wanted,
 * an exit code, and nothing left half-started. And with backends that do not do their part: nobody else notices.
 */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { dnsServer } from "../support/dns-server.ts";
import { connect } from "../support/peer.ts";
import { runSluice, SLUICE, startSluice } from "../support/sluice.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";

/** Resolvers of the system that answer nothing are given up soon. */
const impatient = { RES_OPTIONS: "timeout:1 attempts:1" };

test("a port in use: the listener, the address and the reason, exit code 1", async () => {
  await using taken = await listen();
  await startFails(
    config({ listen: taken.address }),
    `cannot bind listener "web" to ${taken.address}: the address is in use by another socket (EADDRINUSE); choose another port, or stop what listens there`,
  );
});

test("the admin server's port in use: the same, and no listener is opened", async () => {
  await using taken = await listen();
  const { log } = await startFails(
    `${config({})}\n[admin]\nlisten = "${taken.address}"\n`,
    new RegExp(`^cannot bind the admin server to ${taken.address}: .*EADDRINUSE`),
  );
  expect(log).toEqual([]);
});

test("a second listener that cannot be bound takes the first and the admin server with it", async () => {
  await using taken = await listen();
  await using held = await listen(echo);
  const second = `[[listener]]\nname = "second"\nlisten = "${taken.address}"\nbackend = "app"\n`;
  const text = `${config({ endpoint: held.address })}\n${second}\n[admin]\nlisten = "127.0.0.1:0"\n`;
  const { log, afterMs } = await startFails(text, new RegExp(`^cannot bind listener "second" to ${taken.address}: `));
  const addresses = log.filter(({ msg }) => msg === "listening");
  expect(addresses.map(({ listener }) => listener)).toEqual(["admin", "web"]);
  for (const { address } of addresses) {
    const port = Number(String(address).slice(String(address).lastIndexOf(":") + 1));
    expect(await connect(port).catch((error: { code: string }) => error.code)).toBe("ECONNREFUSED");
  }
  expect(log.filter(({ msg }) => msg === "ready" || msg === "connection")).toEqual([]);
  expect(afterMs).toBeLessThan(2_000);
});

test("a privileged port without the privilege: what is needed for it", async () => {
  await startFails(
    config({ listen: "127.0.0.1:81" }),
    'cannot bind listener "web" to 127.0.0.1:81: permission denied (EACCES); ports below 1024 need root or CAP_NET_BIND_SERVICE',
    without("net_bind_service"),
  );
});

test("an address that is not of this machine", async () => {
  await startFails(
    config({ listen: "192.0.2.1:0" }),
    'cannot bind listener "web" to 192.0.2.1:0: this machine has no such address (EADDRNOTAVAIL)',
  );
});

test("an unknown host to listen on", async () => {
  await startFails(
    config({ listen: "nothing.invalid:0" }),
    `cannot bind listener "web" to nothing.invalid:0: the host name can't be resolved; write an IP address`,
  );
});

test("an unknown host of an endpoint stops nothing: a line names the backend and the name, clients are told at once", async () => {
  await using dns = await dnsServer();
  const resolver = `\n[resolver]\nservers = ["${dns.address}"]\n`;
  await using proxy = await startSluice({ config: `${config({ endpoint: "nothing.test:9000" })}${resolver}` });
  await proxy.ready();
  const line = await proxy.logged(({ msg }) => msg === "cannot resolve a name", "a line about the name");
  expect(line).toMatchObject({ level: "warn", backend: "app", name: "nothing.test:9000", kept: 0 });
  await using client = await connect(await proxy.port("web"));
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded(1)).toMatchObject([{ end: "no_endpoint", attempts: 0, endpoint: null }]);
});

test("a secret that cannot be read or used: the variable, the file and the reason, never the secret", async () => {
  using folder = new Folder();
  const admin = `${config({})}\n[admin]\nlisten = "127.0.0.1:0"\n`;
  const refused = folder.write("refused", "s3cret");
  chmodSync(refused, 0);
  const folderFile = join(folder.path, "folder");
  mkdirSync(folderFile);
  const rows: readonly [string, string][] = [
    [join(folder.path, "missing"), "cannot read the value: no such file, wanted a readable file"],
    [refused, "cannot read the value: permission denied, wanted a readable file"],
    [folderFile, "cannot read the value: it is a directory, wanted a file"],
    [
      folder.write("spaces", "s3cret with spaces\n"),
      "found text with other characters, wanted printable ASCII characters without spaces, at most 4_096",
    ],
    [
      folder.write("lines", "s3cret\nof two lines\n"),
      "found text with other characters, wanted printable ASCII characters without spaces, at most 4_096",
    ],
    [
      folder.write("large", "s3cret".repeat(20_000)),
      "cannot read the value: found more than 64 KiB, wanted at most that",
    ],
  ];
  const file = folder.write("config.toml", admin);
  for (const [secretFile, message] of rows) {
    const { code, stdout, stderr } = await runSluice(["run", "--config", file], {
      command: without("dac_override", "dac_read_search"),
      env: { SLUICE_ADMIN_TOKEN_FILE: secretFile },
    });
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: "",
      stderr: `SLUICE_ADMIN_TOKEN_FILE (${secretFile}) admin.token: ${message}\nsluice: the configuration is not valid: 1 problem\n`,
    });
  }
});

test("a configuration that cannot be read as one: a line that says why, never a stack", async () => {
  using folder = new Folder();
  const unreadable = folder.write("unreadable.toml", config({}));
  chmodSync(unreadable, 0);
  const rows: readonly [string, RegExp][] = [
    [join(folder.path, "missing.toml"), /missing\.toml: cannot read the configuration: no such file$/m],
    [folder.path, /: cannot read the configuration: it is a directory, wanted a file$/m],
    [unreadable, /unreadable\.toml: cannot read the configuration: permission denied$/m],
    [folder.write("empty.toml", ""), /empty\.toml.* listener: no listener is configured, wanted at least one: /],
    [folder.write("large.toml", "# ten of them\n".repeat(750_000)), /found more than 1024 KiB, wanted at most that$/m],
    [folder.write("binary.toml", Buffer.from([0x61, 0x0a, 0xff])), /binary\.toml:2:1.*wanted UTF-8 text$/m],
    [folder.write("broken.toml", "[[listener]]\nname = \n"), /broken\.toml:2:\d+.*: /],
    [folder.write("proto.toml", "__proto__ = { a = 1 }\n"), /proto\.toml:1:1 __proto__: unknown key/],
    [folder.write("huge.toml", `limits.connections = ${"9".repeat(400)}\n`), /huge\.toml:1:\d+ limits\.connections: /],
    [folder.write("deep.toml", `a = ${"[".repeat(50_000)}\n`), /deep\.toml.*: /],
  ];
  for (const [file, wanted] of rows) {
    const options = { command: without("dac_override", "dac_read_search") };
    const { code, stdout, stderr } = await runSluice(["run", "--config", file], options);
    expect({ file, code, stdout }).toEqual({ file, code: 2, stdout: "" });
    expect(stderr).toMatch(wanted);
    expect(stderr).not.toMatch(stack);
    expect(stderr).toMatch(/\nsluice: the configuration is not valid: \d problems?\n$/);
    expect(stderr.length).toBeLessThan(1_000);
  }
});

test("CRLF and a byte order mark are no mistakes", async () => {
  using folder = new Folder();
  const file = folder.write("windows.toml", `\ufeff# a comment\r\n${config({}).replaceAll("\n", " # and one\r\n")}`);
  expect(await runSluice(["check", "--config", file])).toEqual({ code: 0, stdout: `${file}: valid\n`, stderr: "" });
});

test("more connections than there are descriptors for: the number to change", async () => {
  using folder = new Folder();
  const file = folder.write("config.toml", config({}).replace("connections = 100", "connections = 1_000"));
  const command = ["prlimit", "--nofile=512:512", ...SLUICE];
  const { code, stdout, stderr } = await runSluice(["run", "--config", file], { command });
  expect({ code, stdout, stderr }).toEqual({
    code: 2,
    stdout: "",
    stderr: `${file}:2:15 limits.connections: 1000 connections need 2102 file descriptors (2 each and 102 in reserve), found a limit of 512: set limits.connections to at most 205, or raise the limit to 2102 (ulimit -Hn, LimitNOFILE= in systemd)\nsluice: the configuration is not valid: 1 problem\n`,
  });
});

test("backends that refuse, reset, hang or stay silent: the client's connection ends with the word for it, others go on", async () => {
  await using good = await listen(echo);
  using refusing = refusedPort();
  await using resetting = await listen(async (peer) => {
    await peer.receivedBytes(1);
    peer.reset();
  });
  await using vanishing = await listen((peer) => peer.reset());
  await using hanging = await listen();
  await using silent = await silentHost();
  const backends = [
    ["good", good.address],
    ["refusing", refusing.address],
    ["resetting", resetting.address],
    ["vanishing", vanishing.address],
    ["hanging", hanging.address],
    ["silent", silent.address],
  ] as const;
  const text = `
[limits]
connections = 100

[timeouts]
connect = "300ms"
response = "300ms"
${backends.map(([name, address]) => `\n${listenerAndBackend(name, address)}`).join("")}`;
  await using proxy = await startSluice({ config: text });
  await proxy.ready();
  await using other = await connect(await proxy.port("good"));
  let echoed = 0;
  const goesOn = async (): Promise<void> => {
    await other.send("still here ");
    await other.receivedBytes((echoed += 11));
  };
  await goesOn();
  const ends = [
    ["refusing", "connect_refused"],
    ["resetting", "backend_reset"],
    // Reset before the connect was seen to have succeeded, or after: which of the two is up to the kernel.
    ["vanishing", /^(?:backend_reset|connect_failed)$/],
    ["hanging", "response_timeout"],
    ["silent", "connect_timeout"],
  ] as const;
  for (const [index, [name, end]] of ends.entries()) {
    const reset = sendAndBeReset(await proxy.port(name));
    await goesOn();
    expect(await reset).toBe("ECONNRESET");
    await goesOn();
    const record = (await proxy.recorded(index + 1)).at(-1)!;
    expect(record).toMatchObject({ listener: name, backend: name, bytes_to_client: 0 });
    expect(record["end"]).toEqual(typeof end === "string" ? end : expect.stringMatching(end));
    const leastMs = String(end).endsWith("_timeout") ? 299 : 0;
    expect(record["duration_ms"]).toBeGreaterThanOrEqual(leastMs);
    expect(record["duration_ms"]).toBeLessThan(leastMs + 500);
  }
  await other.finish();
  await other.finished();
  expect(other.text()).toBe("still here ".repeat(11));
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.records().at(-1)).toMatchObject({ listener: "good", end: "client_finished" });
  // What a backend does is nobody's error here.
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  expect(proxy.stderr).toBe("");
});

test("rubbish and resets from clients end their own connections, and are no error lines", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config({ endpoint: backend.address }) });
  const port = await proxy.port("web");
  const rubbish = crypto.getRandomValues(new Uint8Array(50_000));
  for (let round = 0; round < 3; round++) {
    await using client = await connect(port);
    await client.send(rubbish);
    await client.receivedBytes(1);
    client.reset();
  }
  await using after = await connect(port);
  await after.send("in order");
  await after.finish();
  await after.finished();
  expect(after.text()).toBe("in order");
  const records = await proxy.recorded(4);
  expect(records.map(({ end }) => end)).toEqual(["client_reset", "client_reset", "client_reset", "client_finished"]);
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  expect(proxy.stderr).toBe("");
});

/** How a connection ended that sent something: so soon, perhaps, that it had not been there for its client yet. */
async function sendAndBeReset(port: number): Promise<string> {
  try {
    await using client = await connect(port);
    void client.send("hello?");
    return await client.wasReset();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** A stack trace, as the runtime writes it. */
const stack = /^\s+at .*[:)]\d*\)?$/m;

/** Starts `run` with a configuration that cannot work, and expects one line, exit code 1, and nothing that got ready. */
async function startFails(text: string, message: string | RegExp, command: readonly string[] = SLUICE) {
  await using proxy = await startSluice({ config: text, command, env: impatient });
  const { code, signal, afterMs } = await proxy.exited();
  expect({ code, signal, stderr: proxy.stderr }).toEqual({ code: 1, signal: null, stderr: expect.any(String) });
  expect(proxy.stderr).toMatch(/^sluice: [^\n]+\n$/);
  const line = proxy.stderr.slice("sluice: ".length, -1);
  if (typeof message === "string") expect(line).toBe(message);
  else expect(line).toMatch(message);
  expect(proxy.stderr).not.toMatch(stack);
  expect(proxy.log.filter(({ msg, level }) => msg === "ready" || level !== "info")).toEqual([]);
  return { log: proxy.log, afterMs };
}

/** The program without some of root's privileges; who is not root has none of them. */
function without(...capabilities: readonly string[]): readonly string[] {
  if (process.getuid!() !== 0) return SLUICE;
  const dropped = capabilities.map((capability) => `-${capability}`).join(",");
  return ["setpriv", `--bounding-set=${dropped}`, `--inh-caps=${dropped}`, ...SLUICE];
}

function config({ listen = "127.0.0.1:0", endpoint = "127.0.0.1:9000" }): string {
  return `[limits]
connections = 100

${listenerAndBackend("web", endpoint, "app", listen)}`;
}

function listenerAndBackend(name: string, endpoint: string, backend = name, listen = "127.0.0.1:0"): string {
  return `[[listener]]
name = "${name}"
listen = "${listen}"
backend = "${backend}"

[[backend]]
name = "${backend}"
endpoints = ["${endpoint}"]
`;
}

/** A folder of its own, removed at the end. */
class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "sluice-bad-"));

  write(name: string, text: string | Uint8Array): string {
    const file = join(this.path, name);
    writeFileSync(file, text);
    return file;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}
