/** What is compared: a table of proxies, how each is found, configured and started. A new peer is a new row. */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where one proxy of one measurement listens and forwards to. */
export interface Setup {
  /** A folder of its own, which is removed afterwards. */
  readonly folder: string;
  readonly port: number;
  readonly backendPort: number;
  /** Connections it must take at once. */
  readonly connections: number;
}

/** A proxy that was found on this machine. */
export interface Peer {
  readonly name: string;
  /** Whether the targets apply to it. */
  readonly isSluice: boolean;
  readonly version: string;
  /** Writes its configuration and returns the command that runs it in the foreground with one thread. */
  prepare(setup: Setup): Promise<string[]>;
}

/** A row of the table: a peer, or why it is left out. */
export interface PeerRow {
  readonly name: string;
  find(): Peer | { readonly leftOut: string };
}

/** The peer every ratio refers to. */
export const referenceName = "haproxy";

/** The root of the repository, where commands are run. */
export const repository = join(import.meta.dir, "../..");

/** The table: the peers, then each build of sluice as name → command. */
export function peerRows(builds: ReadonlyMap<string, string>): PeerRow[] {
  return [
    haproxy(referenceName, []),
    // `splice-auto` never spliced here (strace: 0 of 7,666 sends): it wants reads that fill the buffer. These two always do.
    haproxy("haproxy-splice", ["option splice-request", "option splice-response"]),
    nginx(),
    ...[...builds].map(([name, command]) => sluice(name, command)),
  ];
}

function haproxy(name: string, options: string[]): PeerRow {
  return {
    name,
    find() {
      const version = readVersion(["haproxy", "-v"], /version (\S+)/);
      if (version === undefined) return { leftOut: "haproxy is not on PATH" };
      return {
        name,
        isSluice: false,
        version,
        async prepare({ folder, port, backendPort, connections }) {
          const file = join(folder, "haproxy.cfg");
          const lines = [
            "global",
            "  nbthread 1",
            `  maxconn ${connections}`,
            // Otherwise it wants a quarter of maxconn, which does not fit the descriptor limit.
            "  maxpipes 200",
            "defaults",
            "  mode tcp",
            "  timeout connect 5s",
            "  timeout client 1h",
            "  timeout server 1h",
            ...options.map((option) => `  ${option}`),
            "frontend bench",
            `  bind 127.0.0.1:${port}`,
            "  default_backend bench",
            "backend bench",
            `  server bench 127.0.0.1:${backendPort}`,
          ];
          await Bun.write(file, `${lines.join("\n")}\n`);
          return ["haproxy", "-q", "-db", "-f", file];
        },
      };
    },
  };
}

function nginx(): PeerRow {
  return {
    name: "nginx",
    find() {
      const version = readVersion(["nginx", "-V"], /nginx\/(\S+)/);
      if (version === undefined) return { leftOut: "nginx is not on PATH" };
      const module = findStreamModule();
      if (module === undefined) return { leftOut: "nginx has no stream module (Debian: libnginx-mod-stream)" };
      return {
        name: "nginx",
        isSluice: false,
        version,
        async prepare({ folder, port, backendPort, connections }) {
          const file = join(folder, "nginx.conf");
          const lines = [
            ...(module === "built in" ? [] : [`load_module ${module};`]),
            "daemon off;",
            "worker_processes 1;",
            `worker_rlimit_nofile ${connections * 2 + 500};`,
            `pid ${join(folder, "nginx.pid")};`,
            "error_log stderr error;",
            `events { worker_connections ${connections * 2 + 100}; }`,
            "stream {",
            "  access_log off;",
            "  server {",
            `    listen 127.0.0.1:${port};`,
            `    proxy_pass 127.0.0.1:${backendPort};`,
            "    proxy_timeout 1h;",
            // The others forward a half-close by themselves; the load "bulk up" ends with one. Since 1.21.4.
            "    proxy_half_close on;",
            "  }",
            "}",
          ];
          await Bun.write(file, `${lines.join("\n")}\n`);
          return ["nginx", "-p", folder, "-c", file, "-e", "stderr"];
        },
      };
    },
  };
}

/** Path of the dynamic stream module, "built in", or undefined when there is none. */
function findStreamModule(): string | undefined {
  const built = capture(["nginx", "-V"]);
  if (/--with-stream(\s|$)/.test(built)) return "built in";
  const prefix = /--prefix=(\S+)/.exec(built)?.[1] ?? "/usr";
  const path = join(/--modules-path=(\S+)/.exec(built)?.[1] ?? join(prefix, "modules"), "ngx_stream_module.so");
  return existsSync(path) ? path : undefined;
}

function sluice(name: string, command: string): PeerRow {
  const words = command.trim().split(/\s+/);
  // The Bun that runs this also runs sluice, whatever is on PATH.
  if (words[0] === "bun") words[0] = process.execPath;
  return {
    name,
    find() {
      const version = readVersion([...words, "--version"], /(\d+\.\d+\.\d+\S*)/);
      if (version === undefined) return { leftOut: `"${command} --version" printed no version` };
      return {
        name,
        isSluice: true,
        version: `${version} (${command})`,
        async prepare({ folder, port, backendPort, connections }) {
          const file = join(folder, "config.toml");
          const lines = [
            "[log]",
            'level = "error"',
            "access = false",
            "[limits]",
            `connections = ${connections}`,
            "[[listener]]",
            'name = "bench"',
            `listen = "127.0.0.1:${port}"`,
            'backend = "bench"',
            "[[backend]]",
            'name = "bench"',
            `endpoints = ["127.0.0.1:${backendPort}"]`,
          ];
          await Bun.write(file, `${lines.join("\n")}\n`);
          return [...words, "run", "--config", file];
        },
      };
    },
  };
}

function readVersion(command: string[], pattern: RegExp): string | undefined {
  return pattern.exec(capture(command))?.[1];
}

/** Both outputs of a command; empty when it can't be run or fails. */
function capture(command: string[]): string {
  if (Bun.which(command[0] ?? "", { cwd: repository }) === null) return "";
  const ran = Bun.spawnSync(command, { cwd: repository, stdin: "ignore", timeout: 10_000 });
  return ran.success ? ran.stdout.toString() + ran.stderr.toString() : "";
}
