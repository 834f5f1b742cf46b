/** Runs every benchmark of bench/micro, one process each: `bun run bench [PART OF A NAME]`. */
import { join } from "node:path";

const folder = join(import.meta.dir, "../bench/micro");
const wanted = process.argv[2] ?? "";
const names = [...new Bun.Glob("*.bench.ts").scanSync(folder)].filter((name) => name.includes(wanted)).toSorted();
if (names.length === 0) {
  console.error(`no benchmark in bench/micro has "${wanted}" in its name`);
  process.exit(2);
}
for (const name of names) {
  console.log(`\n${name}`);
  const run = Bun.spawnSync([process.execPath, join(folder, name)], { stdio: ["ignore", "inherit", "inherit"] });
  if (run.exitCode !== 0) process.exit(run.exitCode);
}
