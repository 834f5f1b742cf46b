/** `sluice schema`: the configuration as JSON Schema, for editors. */
import { configJsonSchema } from "../config/load.ts";
import { parseOptions, type Command } from "./command.ts";
import { exitCodes } from "./surroundings.ts";

/** See its help. */
export const schema: Command = {
  name: "schema",
  usage: "sluice schema > sluice.schema.json",
  help: `Writes the JSON Schema of the configuration file to standard output. An editor with TOML support uses it to
complete and check keys: put "#:schema ./sluice.schema.json" in the first line of the file.`,
  async execute(args, { out }) {
    parseOptions(args, {}, 0);
    out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    return exitCodes.done;
  },
};
