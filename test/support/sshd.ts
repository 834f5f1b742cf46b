/** An sshd of a test's own, with keys of its own, in a temporary folder; and how ssh is called for it. */
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onFreePorts } from "./free-ports.ts";
import { attempt, call, start, unprivileged, type Called, type Program, type SystemUser } from "./programs.ts";

/** Runs until its scope ends. Whoever has its client key may do what its user may. */
export class Sshd implements AsyncDisposable {
  /** As an endpoint is written. */
  readonly address: string;
  readonly #folder: string;
  readonly #user: SystemUser;
  readonly #server: Program;

  private constructor(folder: string, user: SystemUser, port: number, server: Program) {
    this.address = `127.0.0.1:${port}`;
    this.#folder = folder;
    this.#user = user;
    this.#server = server;
  }

  /** Makes the keys and starts the server. */
  static async start(): Promise<Sshd> {
    const folder = mkdtempSync(join(tmpdir(), "sluice-sshd-"));
    // The server's user has to read its own files here, and no others.
    chmodSync(folder, 0o711);
    // Of root sshd would want a folder in /run.
    const user = unprivileged();
    const key = (name: string): string => join(folder, name);
    for (const name of ["host", "client"]) await call("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key(name)]);
    for (const name of ["host", "client.pub"]) chownSync(key(name), user.uid, user.gid);
    return onFreePorts(["tcp"], async ({ tcp }) => {
      const file = join(folder, "config");
      writeFileSync(file, configuration(key, tcp));
      const server = start("sshd", ["-D", "-e", "-f", file], { user, cwd: folder });
      const output = await server.says(/Server listening on|Address already in use/);
      if (output.includes("Server listening on")) return new Sshd(folder, user, tcp, server);
      await server[Symbol.asyncDispose]();
      return undefined;
    });
  }

  /** Runs a command there, through whatever listens on this port, which must turn out to be this server. */
  run(port: number, command: string, input?: Uint8Array): Promise<Called> {
    const key = (name: string): string => join(this.#folder, name);
    const hosts = key(`hosts-${port}`);
    writeFileSync(hosts, `[127.0.0.1]:${port} ${readFileSync(key("host.pub"), "utf8")}`);
    const options = [
      "BatchMode=yes",
      "IdentitiesOnly=yes",
      "StrictHostKeyChecking=yes",
      `UserKnownHostsFile=${hosts}`,
      "LogLevel=ERROR",
    ].flatMap((option) => ["-o", option]);
    const args = [
      "-F",
      "none",
      "-i",
      key("client"),
      "-p",
      `${port}`,
      ...options,
      `${this.#user.name}@127.0.0.1`,
      command,
    ];
    return attempt("ssh", args, input);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

function configuration(key: (name: string) => string, port: number): string {
  return `
ListenAddress 127.0.0.1
Port ${port}
HostKey ${key("host")}
AuthorizedKeysFile ${key("client.pub")}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
`;
}
