/**
 * The log: JSON lines, or the same made readable for a terminal. One line for each event of the program, and one access
 * record for each connection, at its end. Field names are snake_case; `level`, `time` (ISO 8601, UTC) and `msg` are in all.
 */
import pino from "pino";
import { prettyFactory } from "pino-pretty";
import { LogOutput } from "./log-output.ts";

/** As in the configuration. */
export interface LogSettings {
  readonly level: "debug" | "info" | "warn" | "error";
  /** `"auto"`: readable when the log goes to a terminal. */
  readonly format: "auto" | "json" | "pretty";
  /** Whether connections are recorded, at level info. */
  readonly access: boolean;
}

/** What of the settings can change while the log is open. */
export type LiveLogSettings = Pick<LogSettings, "level" | "access">;

/** What the program writes its log with. */
export interface Log {
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  /** For our own mistakes and what an operator has to act on; never for what a client does. */
  readonly error: LogMethod;
  /** Whether access records are to be written at present: with `log.access` off, or a level above info, none has to be made. */
  readonly recordsAccess: boolean;
  /** Writes the access record of a connection; it must not change any more. */
  access(record: object): void;
  /** Holds from the next line on. */
  configure(settings: LiveLogSettings): void;
  /** Resolves when everything is written. */
  flush(): Promise<void>;
}

/** `fields` are data, `message` is a constant sentence to search for. An `error` field gets its stack written. */
export type LogMethod = (fields: object, message: string) => void;

/** Opens the log on descriptor `fd` (1, standard output, unless a test says otherwise). */
export function openLog(settings: LogSettings, isTerminal: boolean, fd = 1): Log {
  const pretty = settings.format === "pretty" || (settings.format === "auto" && isTerminal);
  const output = new LogOutput(fd, pretty ? prettyRenderer(isTerminal) : (line) => line);
  const logger = pino(
    {
      level: settings.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      errorKey: "error",
    },
    output,
  );
  let recordsAccess = false;
  const configure = ({ level, access }: LiveLogSettings): void => {
    logger.level = level;
    recordsAccess = access && logger.isLevelEnabled("info");
  };
  configure(settings);
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    get recordsAccess() {
      return recordsAccess;
    },
    access: (record) => output.record(record),
    configure,
    flush: () => output.flush(),
  };
}

function prettyRenderer(colorize: boolean): (line: string) => string {
  const render = prettyFactory({ colorize, singleLine: true, translateTime: "SYS:HH:MM:ss.l" });
  return (line) => render(line) ?? line;
}
