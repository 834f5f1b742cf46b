/**
 * A container without a container engine. It is entered as an engine does it: namespaces of its own for processes, mounts, IPC and
 * host name, a read-only root, chroot, a user that is not root, no capability, no way to get one; the program is process 1. The
 * network is the machine's own, as with `--network host`.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuiltImage } from "./container-image.ts";
import type { Image } from "./dockerfile.ts";
import { startSluice, type Sluice } from "./sluice.ts";
import { PATIENCE_MS, until } from "./until.ts";

/**
 * Whether namespaces and mounts can't be made here: that takes root with CAP_SYS_ADMIN, which whoever tries the repository need
 * not be. In CI nothing may be missing: there the test runs, and fails with what the kernel says.
 */
export function lacksPrivileges(): boolean {
  const capSysAdmin = 1n << 21n;
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (
    process.env["CI"] !== "true" && (process.getuid!() !== 0 || (BigInt(`0x${capabilities}`) & capSysAdmin) === 0n)
  );
}

/** What an engine is told besides the image. */
export interface ContainerOptions {
  /** What is mounted at /etc/sluice. */
  readonly config: string;
  /** In the place of the image's own command. */
  readonly command?: readonly string[];
  /** On top of the image's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Lines of /etc/hosts. */
  readonly hosts?: string;
}

/** Starts a container and does not wait for what is in it. */
export async function startContainer(
  { image, folder, root }: BuiltImage,
  { config, command = image.command, env = {}, hosts = "" }: ContainerOptions,
): Promise<Container> {
  const mounts = mkdtempSync(join(folder, "mounts-"));
  mkdirSync(join(mounts, "sluice"));
  writeFileSync(join(mounts, "sluice", "config.toml"), config);
  writeFileSync(join(mounts, "hosts"), `127.0.0.1 localhost\n${hosts}\n`);
  const variables = Object.entries({ ...image.env, ...env }).map(([name, value]) => `${name}=${value}`);
  const namespaces = "unshare --mount --pid --ipc --uts --fork --kill-child".split(" ");
  // The three that chroot itself needs are lost with the change of the user.
  const rights = "setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid".split(" ");
  const chroot = [systemFile("chroot"), `--userspec=${image.user}`, root];
  const program = await startSluice({
    command: namespaces.concat(
      ["sh", "-euc", enter, "sh", root, mounts],
      rights,
      ["env", "-i"],
      variables,
      chroot,
      image.entrypoint,
    ),
    args: command,
    env: { PATH: systemPath() },
  });
  return new Container(program, image, variables);
}

/** Debian keeps what is for root out of a user's PATH. */
function systemPath(): string {
  return `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
}

function systemFile(name: string): string {
  const found = Bun.which(name, { PATH: systemPath() });
  if (found === null) throw new Error(`there is no ${name}: it is in coreutils or util-linux of every Debian`);
  return found;
}

/** What an engine mounts, in namespaces that are there already: the last thing is to run what follows the two folders. */
const enter = `
root=$1 mounts=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o nosuid,noexec,mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro,nosuid,noexec "$root/dev"
mount --bind "$mounts/sluice" "$root/etc/sluice"
mount -o remount,bind,ro,nosuid,nodev "$root/etc/sluice"
mount --bind "$mounts/hosts" "$root/etc/hosts"
mount -o remount,bind,ro,nosuid,nodev "$root/etc/hosts"
mount -o remount,bind,ro,nosuid,nodev "$root"
exec "$@"
`;

/** A container that was started. At the end of its scope it is killed. */
export class Container {
  /** Its output and its end; not its signals, which have to go to the process inside. */
  readonly program: Sluice;
  readonly #image: Image;
  readonly #variables: readonly string[];
  #pid: number | undefined = undefined;

  constructor(program: Sluice, image: Image, variables: readonly string[]) {
    this.program = program;
    this.#image = image;
    this.#variables = variables;
  }

  /** The process that is process 1 inside, by its number outside; resolves when it runs the image's executable. */
  async pid(): Promise<number> {
    const [executable = ""] = this.#image.entrypoint;
    await until(
      () => {
        if (!existsSync(`/proc/${this.program.pid}`)) throw new Error(this.program.describe());
        const pid = this.#child();
        if (pid > 0 && linkWhere(`/proc/${pid}/exe`).endsWith(`/root${executable}`)) this.#pid = pid;
        return this.#pid !== undefined;
      },
      () => `${executable} to be run: ${this.program.describe()}`,
    );
    return this.#pid!;
  }

  /** A field of its /proc/PID/status, `CapEff`. */
  async status(field: string): Promise<string> {
    const status = readWhere(`/proc/${await this.pid()}/status`);
    return new RegExp(`^${field}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1] ?? "";
  }

  /** What it has mounted: the options of the mount itself, by place. */
  async mounts(): Promise<Map<string, string[]>> {
    const lines = readWhere(`/proc/${await this.pid()}/mountinfo`)
      .trim()
      .split("\n");
    return new Map(lines.map((line) => line.split(" ")).map((fields) => [fields[4]!, fields[5]!.split(",")]));
  }

  /** Sends a signal to process 1, as an engine does. From then on it may end. */
  async signal(name: NodeJS.Signals): Promise<void> {
    process.kill(await this.pid(), name);
  }

  /** Resolves when process 1 has a handler for a signal: what comes before is lost, since it is process 1. */
  async handles(number: number): Promise<void> {
    await until(
      async () => ((BigInt(`0x${await this.status("SigCgt")}`) >> BigInt(number - 1)) & 1n) === 1n,
      () => `a handler for signal ${number}: ${this.program.describe()}`,
    );
  }

  /** Runs another command inside, as `docker exec` does and as the health check is run. */
  async exec(command: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const [uid = "", gid = ""] = this.#image.user.split(":");
    const inside = [`--target=${await this.pid()}`, "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"];
    const child = Bun.spawn(
      [
        "env",
        "-i",
        ...this.#variables,
        systemFile("nsenter"),
        ...inside,
        `--setuid=${uid}`,
        `--setgid=${gid}`,
        ...command,
      ],
      { stdout: "pipe", stderr: "pipe", timeout: PATIENCE_MS, killSignal: "SIGKILL" },
    );
    const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    return { code, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // That its parent dies would kill it, had it not changed its user (prctl(2), PR_SET_PDEATHSIG).
    const pid = this.#child();
    if (pid > 0) {
      // From here on it is asked to end.
      void this.program.exited().catch(() => {});
      process.kill(pid, "SIGKILL");
    }
    await this.program[Symbol.asyncDispose]();
  }

  /** The only child of unshare, by its number outside; 0 when there is none. */
  #child(): number {
    const { pid } = this.program;
    return Number(readWhere(`/proc/${pid}/task/${pid}/children`).trim().split(" ")[0]);
  }
}

/** Empty when the process has gone. */
function readWhere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function linkWhere(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
