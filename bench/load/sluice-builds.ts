/** The builds of sluice that are measured, each with its configurations. */
import { join } from "node:path";
import { freePort } from "./child.ts";
import { type PeerRow, readVersion, type Scope, type Variant } from "./peer.ts";

const quiet = ['level = "error"', "access = false"];

/** What is added to the configuration of a build, and what that is for. */
const variants: readonly {
  readonly variant: Variant;
  readonly scope: Scope;
  readonly remark?: string;
  readonly log: readonly string[];
  /** `port` is one that is free, for what runs beside it or is asked by it. */
  lines(port: number): readonly string[];
  beside?(port: number): readonly string[];
}[] = [
  { variant: "default", scope: { soaks: true }, log: quiet, lines: () => [] },
  {
    variant: "copy",
    scope: { usual: ["bulk", "mixed"] },
    log: quiet,
    lines: () => ["[forwarding]", 'engine = "copy"'],
  },
  {
    variant: "log",
    scope: { able: ["connect"] },
    remark: "access log on, written to a file",
    log: ['level = "info"', 'format = "json"', "access = true"],
    lines: () => [],
  },
  {
    variant: "watched",
    scope: { usual: ["bulk down, 1", "ping-pong 64 B, 64 ", "connect"], quick: [] },
    remark: "metrics scraped every second, the dashboard open",
    log: quiet,
    lines: (port) => ["[admin]", `listen = "127.0.0.1:${port}"`],
    beside: (port) => ["watch", `http://127.0.0.1:${port}`],
  },
  {
    variant: "traced",
    scope: { able: ["connect"], quick: [] },
    remark: "one connection in a hundred traced",
    log: quiet,
    lines: (port) => ["[tracing]", `otlp = "http://127.0.0.1:${port}"`, "sample = 0.01"],
    beside: (port) => ["collect", String(port)],
  },
];

/** A row for each configuration of each build, given as name → command. */
export function sluiceRows(builds: ReadonlyMap<string, string>): PeerRow[] {
  return [...builds].flatMap(([build, command]) => {
    const words = command.trim().split(/\s+/);
    // The Bun that runs this also runs sluice, whatever is on PATH.
    if (words[0] === "bun") words[0] = process.execPath;
    return variants.map(({ variant, scope, remark, log, lines, beside }): PeerRow => {
      return {
        name: variant === "default" ? build : `${build}-${variant}`,
        scope,
        remark,
        sluice: { build, variant },
        find() {
          const version = readVersion([...words, "--version"], /(\d+\.\d+\.\d+\S*)/);
          if (version === undefined) return { leftOut: `"${command} --version" printed no version` };
          return {
            version: `${version} (${command})`,
            async prepare({ folder, port, backendPort, connections }) {
              const file = join(folder, "config.toml");
              const other = await freePort();
              const all = [
                "[log]",
                ...log,
                "[limits]",
                `connections = ${connections}`,
                ...lines(other),
                "[[listener]]",
                'name = "bench"',
                `listen = "127.0.0.1:${port}"`,
                'backend = "bench"',
                "[[backend]]",
                'name = "bench"',
                `endpoints = ["127.0.0.1:${backendPort}"]`,
              ];
              await Bun.write(file, `${all.join("\n")}\n`);
              const helper = join(import.meta.dir, "beside.ts");
              return {
                command: [...words, "run", "--config", file],
                beside: beside && [process.execPath, helper, ...beside(other)],
              };
            },
          };
        },
      };
    });
  });
}
