/** A PostgreSQL server of a test's own, with TLS, in a temporary folder. */
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificate } from "./certificates.ts";
import { onFreePorts } from "./free-ports.ts";
import { call, start, unprivileged, type Program } from "./programs.ts";

/** One that can be ended and started again. Everybody may connect from this machine, as user `postgres`. */
export class Postgres implements AsyncDisposable {
  /** As an endpoint is written. */
  readonly address: string;
  readonly #port: number;
  readonly #folder: string;
  #server: Program;

  private constructor(folder: string, port: number, server: Program) {
    this.#folder = folder;
    this.#port = port;
    this.address = `127.0.0.1:${port}`;
    this.#server = server;
  }

  /** Makes the files of a database, and starts a server for it. */
  static async start(certificate: Certificate): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), "sluice-postgres-"));
    const user = unprivileged();
    chownSync(folder, user.uid, user.gid);
    const data = join(folder, "data");
    const encoding = ["--encoding=UTF8", "--locale=C"];
    const options = ["--auth=trust", "--no-sync", "--no-instructions", ...encoding];
    await call("initdb", ["-D", data, "-U", "postgres", ...options], "", { user, cwd: folder });
    for (const kind of ["cert", "key"] as const) {
      const file = join(folder, kind);
      writeFileSync(file, certificate[kind], { mode: 0o600 });
      chownSync(file, user.uid, user.gid);
    }
    return onFreePorts(["tcp"], async ({ tcp }) => {
      const server = await serve(folder, tcp);
      return server === undefined ? undefined : new Postgres(folder, tcp, server);
    });
  }

  /** Ends it at once: every connection is cut. */
  async cut(): Promise<void> {
    this.#server.signal("SIGQUIT");
    await this.#server.exited();
  }

  /** Starts it again, where it was. */
  async again(): Promise<void> {
    const server = await serve(this.#folder, this.#port);
    if (server === undefined) throw new Error(`port ${this.#port} was taken meanwhile`);
    this.#server = server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

/** `undefined`: the port is taken. */
async function serve(folder: string, port: number): Promise<Program | undefined> {
  const settings = {
    listen_addresses: "127.0.0.1",
    port: `${port}`,
    unix_socket_directories: "",
    fsync: "off",
    ssl: "on",
    ssl_cert_file: join(folder, "cert"),
    ssl_key_file: join(folder, "key"),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  // SIGQUIT: at once, and nothing of it stays behind in shared memory.
  const server = start("postgres", ["-D", join(folder, "data"), ...options], {
    user: unprivileged(),
    cwd: folder,
    endWith: "SIGQUIT",
  });
  const output = await server.says(/ready to accept connections|Address already in use/);
  if (output.includes("ready to accept")) return server;
  await server[Symbol.asyncDispose]();
  return undefined;
}
