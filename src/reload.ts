/** Reloads: from the configuration as its file is now to the one in force, at once or not at all. */
import type { ReloadOutcome } from "./admin/admin-port.ts";
import type { Composition } from "./composition/composition.ts";
import { boundConflicts } from "./config/bound-conflicts.ts";
import { diffConfig, keepFixed, type ConfigDiff } from "./config/diff.ts";
import type { Config } from "./config/schema.ts";
import { unreachable } from "./core/assert.ts";
import { SluiceError } from "./core/error.ts";
import type { Service } from "./listener/service.ts";
import type { Log } from "./telemetry/log.ts";

/** Reads the configuration as at start. Never rejects. */
export type Reread = () => Promise<
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] }
>;

/** The program, as far as a reload changes it. */
export interface ReloadHost {
  /** The configuration in force. */
  readonly config: Config;
  readonly composition: Composition | undefined;
  /** Resolves when the program has started, or will not any more. */
  readonly started: Promise<void>;
  /** Why nothing can be reloaded any more; `undefined` when it can. */
  readonly refusal: string | undefined;
  /** Aborted when nobody wants a reload any more. */
  readonly abort: AbortSignal;
  /** Takes what is not the composition's: the configuration is in force from now on. */
  adopt(config: Config, diff: ConfigDiff, services: ServiceChanges): void;
}

/** What has become of services. */
export interface ServiceChanges {
  /** They have begun to listen. */
  readonly opened: readonly Service[];
  /** They accept no more, and are to be drained. */
  readonly leaving: readonly Service[];
}

/** Who hears of reloads. */
export interface ReloadObserver {
  began(): void;
  /** However it went. */
  ended(): void;
}

/** One for the program. Reloads come one after the other; who asks during one gets the next, which all who ask share. */
export class Reloader {
  /** What became of them. */
  readonly counts: Record<ReloadOutcome["kind"], number> = { applied: 0, invalid: 0, refused: 0 };

  readonly #host: ReloadHost;
  readonly #reread: Reread | undefined;
  readonly #log: Log;
  readonly #observer: ReloadObserver;
  #underWay: Promise<ReloadOutcome> | undefined = undefined;
  #next: Promise<ReloadOutcome> | undefined = undefined;

  /** `reread` is `undefined` where the configuration comes from no file. */
  constructor(host: ReloadHost, reread: Reread | undefined, log: Log, observer: ReloadObserver) {
    this.#host = host;
    this.#reread = reread;
    this.#log = log;
    this.#observer = observer;
  }

  /** Reloads, and writes what came of it to the log; `by` is who asked. Never rejects. */
  reload(by: string): Promise<ReloadOutcome> {
    // First: the one under way may be over while the next has not begun.
    if (this.#next !== undefined) return this.#next;
    if (this.#underWay === undefined) return this.#begin(by);
    // What was read by the one under way may be older than this wish.
    this.#next = this.#underWay.then(() => this.#begin(by));
    return this.#next;
  }

  #begin(by: string): Promise<ReloadOutcome> {
    this.#next = undefined;
    this.#underWay = this.#reload().then((outcome) => {
      this.#underWay = undefined;
      this.counts[outcome.kind]++;
      this.#tell(by, outcome);
      return outcome;
    });
    return this.#underWay;
  }

  async #reload(): Promise<ReloadOutcome> {
    // What has been read for the start may be older than this wish.
    await this.#host.started;
    const { refusal } = this.#host;
    if (refusal !== undefined) return { kind: "refused", why: refusal };
    if (this.#reread === undefined) return { kind: "refused", why: "the configuration comes from no file" };
    this.#observer.began();
    try {
      return await this.#apply(this.#reread);
    } catch (error) {
      if (error instanceof SluiceError) return { kind: "invalid", problems: [error.message] };
      this.#log.error({ error }, "internal error: a reload failed");
      return { kind: "invalid", problems: ["internal error; the log has it"] };
    } finally {
      this.#observer.ended();
    }
  }

  async #apply(reread: Reread): Promise<ReloadOutcome> {
    const read = await reread();
    // What is forwarded has its turn before the rest, which takes as long again.
    await new Promise((settle) => setImmediate(settle));
    if (!read.ok) return { kind: "invalid", problems: read.problems };
    const before = this.#host.config;
    const diff = diffConfig(before, read.config);
    const config = keepFixed(before, read.config);
    const conflicts = boundConflicts(before, config);
    if (conflicts.length > 0) return { kind: "invalid", problems: conflicts };
    const composition = this.#host.composition!;
    const prepared = await composition.prepare(config, this.#host.abort);
    const applied = this.#host.refusal === undefined ? composition.apply(prepared) : undefined;
    if (applied?.ok !== true) {
      composition.abandon(prepared);
      if (applied !== undefined) return { kind: "invalid", problems: applied.problems };
      return { kind: "refused", why: this.#host.refusal! };
    }
    this.#host.adopt(config, diff, applied);
    return {
      kind: "applied",
      changes: [...diff.changes, ...applied.changes],
      needRestart: diff.needRestart,
      warnings: [...read.warnings, ...applied.warnings],
    };
  }

  #tell(by: string, outcome: ReloadOutcome): void {
    switch (outcome.kind) {
      case "applied": {
        const { changes, needRestart, warnings } = outcome;
        return this.#log.info({ by, changes, need_restart: needRestart, warnings }, "configuration reloaded");
      }
      case "invalid":
        return this.#log.error({ by, problems: outcome.problems }, "configuration not reloaded: nothing has changed");
      case "refused":
        return this.#log.warn({ by, why: outcome.why }, "configuration not reloaded: nothing has changed");
      default:
        return unreachable(outcome);
    }
  }
}
