/** Writes docs/configuration.md: `bun src/config/write-reference.ts`. */
import { configurationReference } from "./reference.ts";

await Bun.write(new URL("../../docs/configuration.md", import.meta.url), configurationReference());
