/** The image of deploy/Dockerfile, built and entered without a container engine: see test/support/container-image.ts and container.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json";
import { echo, listen, type Backend } from "../support/backend.ts";
import { buildImage, type BuiltImage } from "../support/container-image.ts";
import { lacksPrivileges, startContainer, type Container } from "../support/container.ts";
import { onFreePorts } from "../support/free-ports.ts";
import { Payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { lacks } from "../support/programs.ts";

const buildTimeoutMs = 90_000;
/** The configuration that is delivered with it. */
const config = readFileSync(join(import.meta.dir, "../../deploy/compose/config.toml"), "utf8");
const sigTerm = 15;

let built: BuiltImage;

beforeAll(async () => {
  built = await buildImage();
}, buildTimeoutMs);

afterAll(() => {
  built[Symbol.dispose]();
});

test("the image has the executable and the C library that its base has, and nothing else", () => {
  expect(built.missingLibraries).toEqual([]);
  expect(built.files()).toEqual([...built.libraries, "/etc/hosts", "/etc/resolv.conf", "/sluice"].toSorted());
});

test.skipIf(lacks("setpriv") || lacksPrivileges())(
  "process 1 is not root, has no capability and cannot get one, and all of its file system is read-only",
  async () => {
    await using backend = await listen(echo);
    await using container = await startReady(backend);
    expect((await container.status("NSpid")).split(/\s+/).at(-1)).toBe("1");
    const [uid, gid] = built.image.user.split(":");
    expect(await container.status("Uid")).toBe([uid, uid, uid, uid].join("\t"));
    expect(await container.status("Gid")).toBe([gid, gid, gid, gid].join("\t"));
    expect(await container.status("Groups")).toBe("");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) expect(await container.status(set)).toMatch(/^0+$/);
    expect(await container.status("NoNewPrivs")).toBe("1");
    const mounts = await container.mounts();
    const writable = [...mounts].filter(([place, options]) => !options.includes("ro") && !place.startsWith("/dev/"));
    // The kernel's own, where nothing is kept.
    expect(writable.map(([place]) => place)).toEqual(["/proc"]);
    expect([...mounts.keys()]).toEqual(expect.arrayContaining(["/", "/proc", "/dev", "/etc/sluice"]));
  },
);

test.skipIf(lacks("setpriv") || lacksPrivileges())(
  "it forwards to a name, is healthy, and at SIGTERM lets a connection end before it does",
  async () => {
    await using backend = await listen(echo);
    await using container = await startReady(backend);
    const { program } = container;
    const port = await program.port("web");
    await using client = await connect(port);
    const payload = new Payload(1, 2_000_000);
    const echoed = client.receivedPayload(payload);
    await client.send(payload);
    await client.finish();
    await echoed;
    await client.finished();
    expect(await container.exec(["/sluice", "--version"])).toMatchObject({
      code: 0,
      stdout: `sluice ${packageJson.version} (Bun ${packageJson.devDependencies.bun})\n`,
    });
    expect(await container.exec(built.image.healthcheck)).toMatchObject({ code: 0, stderr: "" });
    // What is loaded at first use is in the executable as well.
    const metrics = await fetch(`${await program.adminUrl()}/metrics`);
    expect([metrics.status, await metrics.text()]).toEqual([200, expect.stringContaining("\nsluice_ready 1\n")]);
    const dashboard = await fetch(`${await program.adminUrl()}/`);
    expect([dashboard.status, await dashboard.text()]).toEqual([200, expect.stringContaining("<html")]);
    // Handled as well: process 1 is not ended by them.
    await container.signal("SIGHUP");
    await container.signal("SIGUSR2");

    await using last = await connect(port);
    await last.send("x");
    await last.receivedBytes(1);
    await container.signal("SIGTERM");
    await program.logged(({ msg }) => msg === "draining", "the drain");
    expect(await container.exec(built.image.healthcheck)).toMatchObject({ code: 1 });
    const answer = new Payload(2, 100_000);
    const answered = last.receivedPayload(answer, { from: 1 });
    await last.send(answer);
    await last.finish();
    await answered;
    await last.finished();
    expect(await program.exited()).toMatchObject({ code: 0, signal: null });
    // The one that this test has brought about: its check is none of HTTP.
    expect(program.stderr).toMatch(/^warning: \S+ backend\.app\.health\.path: .*\n$/);
    expect(program.records()).toMatchObject([
      { end: "client_finished", bytes_to_client: payload.length },
      { end: "client_finished", bytes_to_client: 1 + answer.length },
    ]);
  },
);

test.skipIf(lacks("setpriv") || lacksPrivileges())(
  "a connection that is still open when the drain is over is cut, and the code is 3",
  async () => {
    await using backend = await listen(echo);
    await using container = await startReady(backend, { SLUICE_SHUTDOWN_DRAIN: "100ms" });
    await using client = await connect(await container.program.port("web"));
    await client.send("x");
    await client.receivedBytes(1);
    await container.signal("SIGTERM");
    await client.wasReset();
    expect(await container.program.exited()).toMatchObject({ code: 3, signal: null });
    expect(container.program.records()).toMatchObject([{ end: "drain_deadline" }]);
  },
);

test.skipIf(lacks("setpriv") || lacksPrivileges())(
  "a SIGTERM that comes before it is ready, and a second one, end process 1 as they would any other",
  async () => {
    await using backend = await listen(echo);
    await using early = await start(backend, 0);
    await early.handles(sigTerm);
    await early.signal("SIGTERM");
    expect(await early.program.exited()).toMatchObject({ code: 0, signal: null });

    await using twice = await startReady(backend);
    await using client = await connect(await twice.program.port("web"));
    await client.send("x");
    await client.receivedBytes(1);
    await twice.signal("SIGTERM");
    await twice.program.logged(({ msg }) => msg === "draining", "the drain");
    await twice.signal("SIGTERM");
    await client.wasReset();
    expect(await twice.program.exited()).toMatchObject({ code: 143, signal: null });
  },
);

test.skipIf(lacks("setpriv") || lacksPrivileges())(
  "what is wrong with the configuration is its last word",
  async () => {
    await using container = await startContainer(built, { config, env: { SLUICE_SHUTDOWN_DRAIN: "soon" } });
    expect(await container.program.exited()).toMatchObject({ code: 2 });
    expect(container.program.stderr).toContain("SLUICE_SHUTDOWN_DRAIN");
    // The token of an admin server that others reach is never optional.
    expect(container.program.stderr).toContain("SLUICE_ADMIN_TOKEN_FILE");
  },
);

/** Starts it on ports that are free, with one backend that it knows by name. */
function start(backend: Backend, adminPort: number, env: Record<string, string> = {}): Promise<Container> {
  return startContainer(built, {
    config,
    hosts: "127.0.0.1 app-1",
    env: {
      SLUICE_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
      SLUICE_LISTENER_WEB_LISTEN: "127.0.0.1:0",
      SLUICE_BACKEND_APP_ENDPOINTS: `app-1:${backend.port}`,
      // The backend here is none for HTTP.
      SLUICE_BACKEND_APP_HEALTH_TYPE: "tcp",
      SLUICE_LIMITS_CONNECTIONS: "100",
      SLUICE_SHUTDOWN_DELAY: "0s",
      ...env,
    },
  });
}

/** The same, and waits until it is ready. The health check asks a port that has to be known before. */
async function startReady(backend: Backend, env: Record<string, string> = {}): Promise<Container> {
  return onFreePorts(["admin"], async ({ admin }) => {
    const container = await start(backend, admin, env);
    try {
      await container.program.ready();
      await container.pid();
      return container;
    } catch (error) {
      const taken = container.program.stderr.includes("address is in use");
      await container.program.exited().catch(() => {});
      await container[Symbol.asyncDispose]();
      if (taken) return undefined;
      throw error;
    }
  });
}
