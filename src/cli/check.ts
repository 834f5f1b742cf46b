/** `sluice check`: validates everything that a run would. */
import { loadConfig, printConfig } from "../config/load.ts";
import { parseOptions, type Command } from "./command.ts";
import { configFile, reportProblems, systemFacts, reportWarnings } from "./configuration.ts";
import { exitCodes } from "./surroundings.ts";

/** See its help. */
export const check: Command = {
  name: "check",
  usage: "sluice check [--config FILE] [--print]",
  help: `Validates the configuration file and the SLUICE_ environment variables, and reports every problem at once.

  --config FILE   the configuration (default: $SLUICE_CONFIG, else config.toml)
  --print         write the effective configuration, defaults and environment included, secrets masked

Exit codes: 0 valid, 2 not valid.`,
  async execute(args, surroundings) {
    const options = { config: { type: "string" }, print: { type: "boolean" } } as const;
    const { values } = parseOptions(args, options, 0);
    const file = configFile(values.config, surroundings);
    const loaded = await loadConfig(file, surroundings.env, systemFacts());
    if (!loaded.ok) {
      reportProblems(loaded.problems, surroundings);
      return exitCodes.usage;
    }
    reportWarnings(loaded.warnings, surroundings);
    surroundings.out(values.print === true ? printConfig(loaded.config) : `${file}: valid\n`);
    return exitCodes.done;
  },
};
