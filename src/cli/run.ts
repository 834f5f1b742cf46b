/** `sluice run`: the proxy, as its configuration file says. */
import { loadConfig } from "../config/load.ts";
import { configFile, reportProblems, reportWarnings, rereading, systemFacts } from "./configuration.ts";
import { parseOptions, type Command } from "./command.ts";
import { serve } from "./serve.ts";
import { exitCodes } from "./surroundings.ts";

/** See its help. */
export const run: Command = {
  name: "run",
  usage: "sluice [run] [--config FILE]",
  help: `Runs the proxy until SIGTERM or SIGINT, then drains: readiness turns false, accepting goes on for
shutdown.delay, open connections may take up to shutdown.drain. A second signal ends it at once.

  --config FILE   the configuration (default: $SLUICE_CONFIG, else config.toml)

Exit codes: 0 drained, 1 could not start or died, 2 wrong usage or configuration, 3 connections were
cut at the drain deadline, 130/143 ended by a second SIGINT/SIGTERM.`,
  async execute(args, surroundings) {
    const { values } = parseOptions(args, { config: { type: "string" } }, 0);
    const signals = surroundings.signals();
    const file = configFile(values.config, surroundings);
    const system = systemFacts();
    const loaded = await loadConfig(file, surroundings.env, system);
    if (!loaded.ok) {
      reportProblems(loaded.problems, surroundings);
      return exitCodes.usage;
    }
    reportWarnings(loaded.warnings, surroundings);
    const { engine } = loaded.config.forwarding;
    return serve(loaded.config, signals, surroundings, { reread: rereading(file, surroundings.env, system, engine) });
  },
};
