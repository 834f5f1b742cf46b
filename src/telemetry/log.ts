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

/** What the program writes its log with. */
export interface Log {
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  /** For our own mistakes and what an operator has to act on; never for what a client does. */
  readonly error: LogMethod;
  /** Whether access records are written: with `log.access` off, or a level above info, none has to be made. */
  readonly recordsAccess: boolean;
  /** Writes the access record of a connection. */
  access(record: object): void;
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
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    recordsAccess: settings.access && logger.isLevelEnabled("info"),
    access: (record) => output.write(accessLine(record)),
    flush: () => output.flush(),
  };
}

function prettyRenderer(colorize: boolean): (line: string) => string {
  const render = prettyFactory({ colorize, singleLine: true, translateTime: "SYS:HH:MM:ss.l" });
  return (line) => render(line) ?? line;
}

/**
 * What pino would write for a record, at a third of its price: there is one line for every connection, and its fields
 * are our own, so none of them needs a serializer.
 */
function accessLine(record: object): string {
  const fields = JSON.stringify(record).slice(1, -1);
  return `{"level":"info","time":"${isoTime()}",${fields},"msg":"connection"}\n`;
}

let isoTimeMs = NaN;
let isoTimeText = "";

/** The time as in all lines. Many connections end in one millisecond, and its text costs more than all else of a line. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== isoTimeMs) {
    isoTimeMs = nowMs;
    isoTimeText = new Date(nowMs).toISOString();
  }
  return isoTimeText;
}
