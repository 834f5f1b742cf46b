/** `sluice top`: what a running sluice does, live in a terminal, or line by line over a pipe. */
import { adminDefault, adminPlace } from "./admin-place.ts";
import { AdminClient } from "./admin-client.ts";
import { parseOptions, type Command } from "./command.ts";
import { durationOption } from "./health.ts";
import { UsageError } from "./surroundings.ts";

/** Between two looks when nobody says otherwise. */
const intervalDefault = "1s";
/** The shortest time between two looks: what is shown should not be of its own making. */
const intervalMinMs = 100;

/** See its help. */
export const top: Command = {
  name: "top",
  usage: "sluice top [--admin URL] [--config FILE] [--token-file FILE] [--interval DURATION] [--once]",
  help: `Shows what the admin server tells, live: q or Ctrl+C ends it, o changes the order of the connections. Over a pipe it
writes a line for each interval instead, fields as name=value, "-" where a value is not known:

  time state uptime_s active new_per_s ended_per_s bytes_to_backend_per_s bytes_to_client_per_s
  endpoints endpoints_out connect_failures_total connections_total

endpoints_out get no clients: down, ejected or taken out; the state is "unreachable" while there is no answer.

  --admin URL           where the admin server is: 127.0.0.1:9900, [::1]:9900, https://name/path
                        (default: $SLUICE_ADMIN_LISTEN, else admin.listen of the configuration file,
                        else ${adminDefault}); a wildcard address is asked on loopback
  --config FILE         the configuration (default: $SLUICE_CONFIG, else config.toml if there is one);
                        with --admin it is read only when it is given
  --token-file FILE     the bearer token, where one is needed (default: $SLUICE_ADMIN_TOKEN or
                        $SLUICE_ADMIN_TOKEN_FILE, else admin.token of the configuration file)
  --interval DURATION   between two looks (${intervalDefault}), at least ${intervalMinMs}ms
  --once                end after what two looks have shown

With NO_COLOR set there are no colours. Proxies of the environment (HTTP_PROXY) are not used.
Exit codes: 0 ended by a key, by a signal or because nobody reads any more, 1 no answer at the beginning,
2 wrong usage.`,
  async execute(args, surroundings) {
    const options = {
      admin: { type: "string" },
      config: { type: "string" },
      "token-file": { type: "string" },
      interval: { type: "string" },
      once: { type: "boolean" },
    } as const;
    const { values } = parseOptions(args, options, 0);
    const intervalMs = durationOption("--interval", values.interval ?? intervalDefault);
    if (intervalMs < intervalMinMs) {
      throw new UsageError(`option "--interval": found "${values.interval}", wanted at least ${intervalMinMs}ms`);
    }
    const signals = surroundings.signals();
    const { url, token } = await adminPlace(values, surroundings, { needsToken: true });
    const client = new AdminClient(url, token);
    // Loaded where it is wanted: the proxy does without.
    const { watchTop } = await import("./top/watch.ts");
    return watchTop({ client, intervalMs, once: values.once === true }, signals, surroundings);
  },
};
