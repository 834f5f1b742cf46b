/** Runs the proxy with a configuration until its end, and turns that end into an exit code: for run, forward and demo. */
import { App } from "../app.ts";
import type { Config } from "../config/schema.ts";
import { systemClock } from "../core/clock.ts";
import { SluiceError } from "../core/error.ts";
import { signalExitCode, type Signals } from "../lifecycle/signals.ts";
import { descriptorLimit } from "../sys/descriptor-limit.ts";
import { describeReason } from "../telemetry/lifecycle-log.ts";
import { openLog, type Log } from "../telemetry/log.ts";
import { exitCodes, type CommandSurroundings } from "./surroundings.ts";
import { version } from "./version.ts";

/** How long the last log lines may take when nobody reads them. */
const flushTimeoutMs = 1_000;

/** `started` is called once everything listens. */
export async function serve(
  config: Config,
  signals: Signals,
  surroundings: CommandSurroundings,
  started: (app: App) => void = () => {},
): Promise<number> {
  const log = openLog(config.log, surroundings.isTerminal);
  const app = new App(config, { clock: systemClock, log, version, fdLimit: descriptorLimit(), started });
  const work = app.run();
  const forced = new Promise<number>((settle) => {
    let asked = false;
    signals.receive({
      stop(signal) {
        if (!asked) {
          asked = true;
          return app.requestStop({ kind: "signal", signal });
        }
        log.warn({ reason: signal, connections: app.active.count }, "ending at once: a second signal");
        void app.force().then(() => settle(signalExitCode(signal)));
      },
      reload() {
        log.info({ signal: "SIGHUP" }, "reading the certificates again; all else is read at start only");
        app.reloadCertificates();
      },
      reserved(signal) {
        log.warn({ signal }, "nothing done: this signal is not supported yet");
      },
      uncaught(error) {
        log.error({ error }, "uncaught error: shutting down");
        app.requestStop({ kind: "component", name: "process", error });
      },
    });
  });
  const code = await Promise.race([work.then((end) => exitCode(end, log, surroundings)), forced]);
  await Promise.race([log.flush(), new Promise((settle) => setTimeout(settle, flushTimeoutMs))]);
  return code;
}

function exitCode({ outcome, cut }: Awaited<ReturnType<App["run"]>>, log: Log, { err }: CommandSurroundings): number {
  const { reason, failures } = outcome;
  if (reason.kind === "start_failed") {
    const { error } = reason;
    err(`sluice: ${error instanceof SluiceError ? error.message : (error.stack ?? error.message)}\n`);
    return exitCodes.failed;
  }
  const died = reason.kind === "component";
  const code = died
    ? exitCodes.failed
    : cut > 0
      ? exitCodes.cut
      : failures.length > 0
        ? exitCodes.failed
        : exitCodes.done;
  log.info({ reason: describeReason(reason), cut, code }, "stopped");
  return code;
}
