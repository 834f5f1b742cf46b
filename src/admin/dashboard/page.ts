/**
 * Makes the files of the dashboard: runs as a macro, when `assets.ts` is compiled (`bun build`) or first imported
 * (`bun src/main.ts`), so that an executable has them within and needs none of this.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The text of each file, by its path on the server. */
export function pageFiles(): Record<string, string> {
  const folder = join(import.meta.dir, "browser");
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const plotStyle = readFileSync(Bun.resolveSync("uplot/dist/uPlot.min.css", import.meta.dir), "utf8");
  return {
    "/": read("index.html"),
    "/dashboard/main.js": bundled(join(folder, "main.ts")),
    "/dashboard/style.css": `${plotStyle}\n${read("style.css")}`,
    "/dashboard/icon.svg": read("icon.svg"),
  };
}

/** In a process of its own: within a macro the bundler can't be called (Bun 1.4.5). No bunfig.toml of where we are is read. */
function bundled(entry: string): string {
  const command = [process.execPath, "build", entry, "--target=browser", "--format=esm", "--minify"];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: import.meta.dir, env: {} });
  if (exitCode !== 0) throw new Error(`cannot bundle the dashboard: ${stderr.toString()}`);
  return stdout.toString();
}
