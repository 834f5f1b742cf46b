/** What is compared: a table of proxies, how each is found, configured and started. A new peer is a new row. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { capture, haproxyName, type PeerRow, readVersion, type Scope, spliceName } from "./peer.ts";
import { sluiceRows } from "./sluice-builds.ts";

/** The table: the peers, then each build of sluice as name → command. */
export function peerRows(builds: ReadonlyMap<string, string>): PeerRow[] {
  return [
    haproxy(haproxyName, {}, []),
    // `splice-auto` never spliced here (strace: 0 of 7,666 sends): it wants reads that fill the buffer. These two always do.
    haproxy(spliceName, { quick: ["bulk", "mixed"] }, ["option splice-request", "option splice-response"]),
    nginx(),
    socat(),
    ...sluiceRows(builds),
  ];
}

function haproxy(name: string, scope: Scope, options: string[]): PeerRow {
  return {
    name,
    scope,
    find() {
      const version = readVersion(["haproxy", "-v"], /version (\S+)/);
      if (version === undefined) return { leftOut: "haproxy is not on PATH" };
      return {
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
          return { command: ["haproxy", "-q", "-db", "-f", file] };
        },
      };
    },
  };
}

function nginx(): PeerRow {
  return {
    name: "nginx",
    scope: { quick: [] },
    find() {
      const version = readVersion(["nginx", "-V"], /nginx\/(\S+)/);
      if (version === undefined) return { leftOut: "nginx is not on PATH" };
      const module = findStreamModule();
      if (module === undefined) return { leftOut: "nginx has no stream module (Debian: libnginx-mod-stream)" };
      return {
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
          return { command: ["nginx", "-p", folder, "-c", file, "-e", "stderr"] };
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

function socat(): PeerRow {
  return {
    name: "socat",
    scope: { able: ["bulk down, 1 flow", "bulk up, 1 flow", "ping-pong 64 B, 64 ", "connect"], quick: [] },
    remark: "a process for each connection, so it is left out where hundreds are open, and where flows compete",
    find() {
      const version = readVersion(["socat", "-V"], /socat version (\S+)/);
      if (version === undefined) return { leftOut: "socat is not on PATH" };
      return {
        version,
        prepare({ port, backendPort }) {
          // The queue of 5 it has by default would drop SYNs; of a half-close it waits half a second for the other side.
          const listen = `TCP4-LISTEN:${port},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay`;
          const command = ["socat", "-t", "30", listen, `TCP4:127.0.0.1:${backendPort},nodelay`];
          return Promise.resolve({ command });
        },
      };
    },
  };
}
