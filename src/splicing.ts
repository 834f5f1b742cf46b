/** The splice engine in the program: whether there is one, when it is given sessions, its start and its end. */
import type { Config } from "./config/schema.ts";
import type { Clock } from "./core/clock.ts";
import { SluiceError } from "./core/error.ts";
import { autoMove, moveAtOnce } from "./forward/move-rule.ts";
import { spliceSessionsMax } from "./forward/splice/capacity.ts";
import { SpliceEngine } from "./forward/splice/engine.ts";
import { spliceMissing } from "./forward/splice/probe.ts";
import type { Component } from "./lifecycle/component.ts";
import type { Log } from "./telemetry/log.ts";

/** What it is given. */
export interface SplicingEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  readonly fdLimit: number;
}

/** How long the engine may take to stop; it has no connection any more. */
const stopTimeoutMs = 1_000;

/** `undefined` where it is not wanted or can't work. */
export function spliceEngine(
  { engine }: Config["forwarding"],
  { clock, log, fdLimit }: SplicingEnvironment,
): SpliceEngine | undefined {
  if (engine === "copy" || spliceMissing() !== undefined) return undefined;
  return new SpliceEngine({
    rule: engine === "auto" ? autoMove : moveAtOnce,
    sessionsMax: spliceSessionsMax(fdLimit),
    clock,
    workerDied: (error, connections) =>
      log.error({ error, connections }, "the splice engine has died: its connections are reset, a new one is started"),
  });
}

/** Moves bulk connections; one that is chosen by hand must work, and one that can't be is done without. */
export function spliceComponent(
  { engine }: Config["forwarding"],
  splice: SpliceEngine | undefined,
  log: Log,
): Component {
  return {
    name: "splice engine",
    start: async () => {
      const why = spliceMissing();
      if (engine === "splice") {
        if (why === undefined) return splice!.start();
        const message = `cannot use forwarding.engine = "splice": ${why}; "auto" does without where it must`;
        throw new SluiceError("splice_failed", message, { source: "system" });
      }
      // The Worker of `auto` is started when a session asks for it: many programs never see a bulk flow.
      if (why !== undefined) log.warn({ why }, "without splicing: every connection is copied");
    },
    stop: () => splice?.stop(),
    stopTimeoutMs,
  };
}
