/** Writes the tables of docs/metrics.md: `bun src/admin/metrics/write-reference.ts`. */
import { withMetricTables } from "./reference.ts";

const page = new URL("../../../docs/metrics.md", import.meta.url);
await Bun.write(page, withMetricTables(await Bun.file(page).text()));
