/** Runs the proxy with a configuration until its end, and turns that end into an exit code: for run, forward and demo. */
import { App } from "../app.ts";
import type { Config } from "../config/schema.ts";
import { systemClock } from "../core/clock.ts";
import { SluiceError } from "../core/error.ts";
import { serviceManager } from "../lifecycle/service-manager.ts";
import { signalExitCode, type Signals } from "../lifecycle/signals.ts";
import { inheritedSockets } from "../listener/inherited-sockets.ts";
import type { Reread } from "../reload.ts";
import { descriptorLimit } from "../sys/descriptor-limit.ts";
import { monotonicUs, notifySocket } from "../sys/notify-socket.ts";
import { describeReason } from "../telemetry/lifecycle-log.ts";
import { openLog, type Log } from "../telemetry/log.ts";
import { exitCodes, type CommandSurroundings } from "./surroundings.ts";
import { version } from "./version.ts";

/** How long the last log lines may take when nobody reads them. */
const flushTimeoutMs = 1_000;

/** What a command may add. */
export interface ServeOptions {
  /** Called once everything listens. */
  readonly started?: (app: App) => void;
  /** Reads the configuration again; left out where it comes from no file. */
  readonly reread?: Reread;
}

/** Returns the exit code. */
export async function serve(
  config: Config,
  signals: Signals,
  surroundings: CommandSurroundings,
  { started = () => {}, reread }: ServeOptions = {},
): Promise<number> {
  const log = openLog(config.log, surroundings.isTerminal);
  const { env } = surroundings;
  const inherited = passedSockets(surroundings);
  if (inherited === undefined) return exitCodes.failed;
  const manager = serviceManager(env, process.pid, systemClock, {
    send: notifySocket,
    monotonicUs,
    failed: (why) => log.warn({ why }, "cannot tell the service manager"),
  });
  const given = { clock: systemClock, log, version, env, fdLimit: descriptorLimit(), inherited, manager };
  const app = new App(config, { ...given, reread, started });
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
        void app.reloader.reload("SIGHUP");
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
  manager.close();
  await Promise.race([log.flush(), new Promise((settle) => setTimeout(settle, flushTimeoutMs))]);
  return code;
}

/** Says why they can't be used, and returns nothing then. */
function passedSockets({ env, err }: CommandSurroundings): ReturnType<typeof inheritedSockets> | undefined {
  try {
    return inheritedSockets(env, process.pid);
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    err(`sluice: ${error.message}\n`);
    return undefined;
  }
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
