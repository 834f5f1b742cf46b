/** `sluice forward`: a proxy without a file. */
import { configFromValue } from "../config/load.ts";
import { parseOptions, type Command } from "./command.ts";
import { inTypedWords, reportProblems, reportWarnings, systemFacts } from "./configuration.ts";
import { serve } from "./serve.ts";
import { exitCodes, UsageError } from "./surroundings.ts";

/** The options that stand for a key of the configuration; `number` is how its value is written there. */
const keys = {
  "connect-timeout": { table: "timeouts", key: "connect" },
  "response-timeout": { table: "timeouts", key: "response" },
  "idle-timeout": { table: "timeouts", key: "idle" },
  "half-closed-timeout": { table: "timeouts", key: "half_closed" },
  lifetime: { table: "timeouts", key: "lifetime" },
  connections: { table: "limits", key: "connections", number: true },
  overflow: { table: "limits", key: "overflow" },
  drain: { table: "shutdown", key: "drain" },
  delay: { table: "shutdown", key: "delay" },
  admin: { table: "admin", key: "listen" },
  "log-level": { table: "log", key: "level" },
  "log-format": { table: "log", key: "format" },
} as const satisfies Record<string, { table: string; key: string; number?: true }>;

/** The options that stand for a key of the backend. */
const backendKeys = { balance: "balance", retries: "retries", "send-proxy": "send_proxy" } as const;

/** What the listener and the backend are called in logs and metrics. */
const name = "forward";

/** See its help. */
export const forward: Command = {
  name: "forward",
  usage: "sluice forward [OPTIONS] LISTEN ENDPOINT...",
  help: `Listens on LISTEN and forwards to the ENDPOINTs, as in: sluice forward :8080 10.0.0.5:80 10.0.0.6:80

  --connect-timeout DURATION       each attempt to reach an endpoint (5s)
  --response-timeout DURATION      client bytes sent, not one byte back (off)
  --idle-timeout DURATION          no byte in either direction (1h)
  --half-closed-timeout DURATION   one side has finished, no byte in the other direction (1m)
  --lifetime DURATION              whole connection (off)
  --balance POLICY                 round_robin, least_connections, random_two, source_hash or first (round_robin)
  --retries N                      further endpoints tried when a connect fails (2)
  --send-proxy VERSION             send a PROXY protocol header: v1 or v2 (off)
  --connections N                  at once (10000)
  --overflow queue|reject          what happens beyond that (queue)
  --delay DURATION                 on shutdown: keep accepting for this long (off)
  --drain DURATION                 on shutdown: open connections may take this long (30s)
  --admin ADDRESS                  health and status over HTTP (none)
  --log-level LEVEL                debug, info, warn or error (info)
  --log-format FORMAT              auto, json or pretty (auto)
  --no-access-log                  no record for each connection

Durations are "250ms", "5s", "1m30s", "1h". SLUICE_ environment variables apply as well; what is typed beats them.
Exit codes as of sluice run.`,
  async execute(args, surroundings) {
    const options = { ...optionsOfKeys(), ...optionsOfBackendKeys(), "no-access-log": { type: "boolean" } } as const;
    const { values, positionals } = parseOptions(args, options, Infinity);
    const [listen, ...endpoints] = positionals;
    if (listen === undefined || endpoints.length === 0) {
      throw new UsageError("an address to listen on and at least one endpoint are needed");
    }
    const signals = surroundings.signals();
    const backend: Record<string, unknown> = { name, endpoints };
    const file: Record<string, Record<string, unknown>> & Record<string, unknown> = {};
    const env = { ...surroundings.env };
    const set = (table: string, key: string, value: unknown): void => {
      file[table] = { ...file[table], [key]: value };
      forget(env, table, key);
    };
    for (const [option, { table, key, ...form }] of Object.entries(keys)) {
      const value = values[option as keyof typeof keys];
      if (value !== undefined) set(table, key, "number" in form ? toNumber(value) : value);
    }
    if (values["no-access-log"] === true) set("log", "access", false);
    for (const [option, key] of Object.entries(backendKeys)) {
      const value = values[option as keyof typeof backendKeys];
      if (value === undefined) continue;
      backend[key] = toNumber(value);
      forget(env, `backend_${name}`, key);
    }
    forget(env, `listener_${name}`, "listen");
    forget(env, `backend_${name}`, "endpoints");
    const loaded = configFromValue(
      { ...file, listener: [{ name, listen, backend: name }], backend: [backend] },
      env,
      systemFacts(),
    );
    const typed = typedWords(endpoints.length);
    if (!loaded.ok) {
      reportProblems(inTypedWords(loaded.problems, typed), surroundings);
      return exitCodes.usage;
    }
    reportWarnings(inTypedWords(loaded.warnings, typed), surroundings);
    return serve(loaded.config, signals, surroundings);
  },
};

type KeyOptions = { readonly [Option in keyof typeof keys]: { readonly type: "string" } };

function optionsOfKeys(): KeyOptions {
  return Object.fromEntries(Object.keys(keys).map((option) => [option, { type: "string" }])) as unknown as KeyOptions;
}

function optionsOfBackendKeys(): { readonly [Option in keyof typeof backendKeys]: { readonly type: "string" } } {
  const options = Object.keys(backendKeys).map((option) => [option, { type: "string" }]);
  return Object.fromEntries(options) as ReturnType<typeof optionsOfBackendKeys>;
}

/** What the arguments are called, by the path of the key that they stand for. */
function typedWords(endpoints: number): Map<string, string> {
  const typed = new Map(Object.entries(keys).map(([option, { table, key }]) => [`${table}.${key}`, `--${option}`]));
  typed.set(`listener.${name}.listen`, "LISTEN");
  for (const [option, key] of Object.entries(backendKeys)) typed.set(`backend.${name}.${key}`, `--${option}`);
  for (let index = 0; index < endpoints; index++) {
    typed.set(`backend.${name}.endpoints.${index}`, `ENDPOINT ${index + 1}`);
  }
  return typed;
}

/** What was typed beats the variable for the same key. */
function forget(env: Record<string, string | undefined>, table: string, key: string): void {
  const variable = `SLUICE_${table}_${key}`.toUpperCase();
  delete env[variable];
  delete env[`${variable}_FILE`];
}

/** What is no number is left as it is: the configuration says what is wrong with it. */
function toNumber(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}
