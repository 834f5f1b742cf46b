/** `sluice health`: asks a running sluice whether it is ready, for the health checks of containers. */
import { parseDurationMs } from "../core/duration.ts";
import { AdminClient } from "./admin-client.ts";
import { adminDefault, adminPlace } from "./admin-place.ts";
import { parseOptions, type Command } from "./command.ts";
import { exitCodes, UsageError } from "./surroundings.ts";

/** How long an answer may take when nobody says otherwise. */
const timeoutDefault = "2s";

/** See its help. */
export const health: Command = {
  name: "health",
  usage: "sluice health [--admin URL] [--config FILE] [--timeout DURATION]",
  help: `Asks the admin server for /readyz and says in one line what was found. No token is needed.

  --admin URL          where the admin server is: 127.0.0.1:9900, [::1]:9900, http://name:9900
                       (default: $SLUICE_ADMIN_LISTEN, else admin.listen of the configuration file,
                       else ${adminDefault}); a wildcard address is asked on loopback
  --config FILE        the configuration (default: $SLUICE_CONFIG, else config.toml if there is one);
                       read only where it is needed to know the address
  --timeout DURATION   how long the answer may take (${timeoutDefault})

Exit codes: 0 ready (200), 1 anything else, 2 wrong usage or a configuration without [admin].`,
  async execute(args, surroundings) {
    const options = { admin: { type: "string" }, config: { type: "string" }, timeout: { type: "string" } } as const;
    const { values } = parseOptions(args, options, 0);
    const timeoutMs = durationOption("--timeout", values.timeout ?? timeoutDefault);
    const { url } = await adminPlace(values, surroundings, { needsToken: false });
    const answer = await new AdminClient(url).get("/readyz", { timeoutMs, body: false });
    if (answer.kind === "failed") {
      surroundings.err(`sluice: cannot ask ${url}/readyz: ${answer.why}\n`);
      return exitCodes.failed;
    }
    switch (answer.status) {
      case 200:
        surroundings.out("ready\n");
        return exitCodes.done;
      case 503:
        surroundings.err(`sluice: not ready: ${url}/readyz answered 503\n`);
        return exitCodes.failed;
      default:
        surroundings.err(
          `sluice: ${url}/readyz answered ${answer.status}, wanted 200 or 503; is this the admin server of sluice?\n`,
        );
        return exitCodes.failed;
    }
  },
};

/** Reads a duration above zero, in milliseconds. Throws a `UsageError`. */
export function durationOption(option: string, text: string): number {
  const duration = parseDurationMs(text);
  if (!duration.ok) throw new UsageError(`option "${option}": found "${text}", wanted ${duration.wanted}`);
  if (duration.value === 0) throw new UsageError(`option "${option}": found "${text}", wanted more than nothing`);
  return duration.value;
}
