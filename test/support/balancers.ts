/** haproxy and nginx as peers: each with a configuration of a few lines, in a folder of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificate } from "./certificates.ts";
import { onFreePorts, type Ports } from "./free-ports.ts";
import { fileOf, start, type Program } from "./programs.ts";
import { until } from "./until.ts";

/** One that runs until its scope ends. */
export interface Balancer<Name extends string> extends AsyncDisposable {
  /** The ports that its configuration uses, by the names they were asked for with. */
  readonly ports: Ports<Name>;
  readonly program: Program;
}

/** What a configuration is made of. */
export interface Pieces<Name extends string> {
  readonly ports: Ports<Name>;
  /** A file with a certificate and its key, as haproxy wants them. */
  bundle(certificate: Certificate): string;
}

/**
 * Starts haproxy and resolves when it listens everywhere. `sections` are its frontends and backends; the log and the
 * timeouts are there already.
 */
export function startHaproxy<Name extends string>(
  names: readonly Name[],
  sections: (pieces: Pieces<Name>) => string,
): Promise<Balancer<Name>> {
  return run("haproxy", names, (pieces, folder) => {
    const file = join(folder, "haproxy.cfg");
    writeFileSync(file, haproxyConfiguration(folder, sections(pieces)));
    // One process in the foreground, whose end is the end of it.
    return ["-db", "-f", file];
  });
}

/** Starts nginx and resolves when it listens everywhere. `contexts` are its `http` and its `stream`, as far as there are any. */
export function startNginx<Name extends string>(
  names: readonly Name[],
  contexts: (pieces: Pieces<Name>) => { http?: string; stream?: string },
): Promise<Balancer<Name>> {
  return run("nginx", names, (pieces, folder) => {
    const file = join(folder, "nginx.conf");
    writeFileSync(file, nginxConfiguration(folder, contexts(pieces)));
    return ["-p", folder, "-e", "stderr", "-c", file];
  });
}

function run<Name extends string>(
  program: "haproxy" | "nginx",
  names: readonly Name[],
  prepare: (pieces: Pieces<Name>, folder: string) => readonly string[],
): Promise<Balancer<Name>> {
  return onFreePorts(names, async (ports) => {
    const folder = mkdtempSync(join(tmpdir(), `sluice-${program}-`));
    const args = prepare({ ports, bundle: (certificate) => bundle(folder, certificate) }, folder);
    const running = start(program, args);
    const end = async (): Promise<void> => {
      await running[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    };
    const answers = (): Promise<boolean> => isReady(join(folder, "ready"));
    await until(
      async () => running.ended || (await answers()),
      () => `an answer of ${running.describe()}`,
    );
    if (!running.ended) return { ports, program: running, [Symbol.asyncDispose]: end };
    const { output } = running;
    await end();
    if (/address already in use|cannot bind socket/i.test(output)) return undefined;
    throw new Error(`${program} did not start: ${output}`);
  });
}

async function isReady(unix: string): Promise<boolean> {
  try {
    return (await fetch("http://ready/", { unix })).ok;
  } catch {
    return false;
  }
}

function bundle(folder: string, { cert, key, certFile }: Certificate): string {
  const file = join(folder, `${certFile.slice(certFile.lastIndexOf("/") + 1)}.bundle`);
  writeFileSync(file, cert + key, { mode: 0o600 });
  return file;
}

function haproxyConfiguration(folder: string, sections: string): string {
  return `
global
  log stdout format raw local0
  maxconn 200

defaults
  log global
  option dontlognull
  timeout connect 5s
  timeout client 30s
  timeout server 30s

${sections}

frontend ready
  bind unix@${join(folder, "ready")}
  mode http
  http-request return status 200
`;
}

function nginxConfiguration(folder: string, { http = "", stream }: { http?: string; stream?: string }): string {
  return `
# One process, under our own user.
daemon off;
master_process off;
pid ${join(folder, "pid")};
${stream === undefined ? "" : `load_module ${fileOf("ngx_stream_module.so")};`}
events { worker_connections 200; }
http {
  access_log off;
${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `  ${name}_temp_path ${join(folder, name)};`).join("\n")}
${http}
  server {
    listen unix:${join(folder, "ready")};
    location / { return 200 "ready"; }
  }
}
${stream === undefined ? "" : `stream {\n${stream}\n}`}
`;
}
