/** The builds of sluice that are measured, each with its configurations. */
import { join } from "node:path";
import { type PeerRow, readVersion, type Scope, type Variant } from "./peer.ts";

/** What is added to the configuration of a build, and what that is for. */
const variants: readonly {
  readonly variant: Variant;
  readonly scope: Scope;
  readonly remark?: string;
  readonly log: readonly string[];
  readonly lines: readonly string[];
}[] = [
  { variant: "default", scope: { soaks: true }, log: ['level = "error"', "access = false"], lines: [] },
  {
    variant: "copy",
    scope: { usual: ["bulk", "mixed"] },
    log: ['level = "error"', "access = false"],
    lines: ["[forwarding]", 'engine = "copy"'],
  },
  {
    variant: "log",
    scope: { able: ["connect"] },
    remark: "access log on, written to a file",
    log: ['level = "info"', 'format = "json"', "access = true"],
    lines: [],
  },
];

/** A row for each configuration of each build, given as name → command. */
export function sluiceRows(builds: ReadonlyMap<string, string>): PeerRow[] {
  return [...builds].flatMap(([build, command]) => {
    const words = command.trim().split(/\s+/);
    // The Bun that runs this also runs sluice, whatever is on PATH.
    if (words[0] === "bun") words[0] = process.execPath;
    return variants.map(({ variant, scope, remark, log, lines }): PeerRow => {
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
              const all = [
                "[log]",
                ...log,
                "[limits]",
                `connections = ${connections}`,
                ...lines,
                "[[listener]]",
                'name = "bench"',
                `listen = "127.0.0.1:${port}"`,
                'backend = "bench"',
                "[[backend]]",
                'name = "bench"',
                `endpoints = ["127.0.0.1:${backendPort}"]`,
              ];
              await Bun.write(file, `${all.join("\n")}\n`);
              return [...words, "run", "--config", file];
            },
          };
        },
      };
    });
  });
}
