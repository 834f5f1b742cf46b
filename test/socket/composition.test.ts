/** A composition that becomes another one: what a reload leaves behind in what all of them share. */
import { expect, test } from "bun:test";
import { Dialer } from "../../src/backend/dial.ts";
import { Composition } from "../../src/composition/composition.ts";
import { configFromValue } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission, type Gate } from "../../src/listener/admission.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import type { Log } from "../../src/telemetry/log.ts";
import { listen } from "../support/backend.ts";
import { watchLeaks } from "../support/leaks.ts";
import { recordsInto } from "../support/records.ts";

watchLeaks();

test("reloads that fail for an address, and those that are applied, leave no listener behind in the admission", async () => {
  await using taken = await listen();
  await using composed = await Composed.start(config({ web: "127.0.0.1:0" }));
  expect(composed.admission.gates).toBe(1);
  for (let turn = 0; turn < 5; turn++) {
    expect(await composed.reload(config({ web: "127.0.0.1:0", early: "127.0.0.1:0", late: taken.address }))).toBe(
      false,
    );
  }
  expect(composed.admission.gates).toBe(1);
  for (let turn = 0; turn < 5; turn++) {
    expect(await composed.reload(config({ web: "127.0.0.1:0", [`other${turn}`]: "127.0.0.1:0" }))).toBe(true);
  }
  expect(composed.admission.gates).toBe(2);
});

test("a reload leaves nothing at the signal that would end it, which lives as long as the program", async () => {
  await using composed = await Composed.start(config({ web: "127.0.0.1:0" }));
  let listeners = 0;
  const { signal } = composed.abort;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  for (let turn = 0; turn < 3; turn++) await composed.reload(config({ web: "127.0.0.1:0" }));
  expect(listeners).toBe(0);
});

/** Counts its gates. */
class CountingAdmission extends Admission {
  gates = 0;

  override add(gate: Gate): void {
    this.gates++;
    super.add(gate);
  }

  override remove(gate: Gate): void {
    this.gates--;
    super.remove(gate);
  }
}

/** A composition that listens, and goes on from configuration to configuration as a reload does it. */
class Composed {
  readonly abort = new AbortController();
  readonly admission = new CountingAdmission(new ActiveConnections(), 100, "queue");
  readonly #composition: Composition;

  private constructor(first: Config) {
    const log = new Proxy({}, { get: () => () => {} }) as Log;
    const wheel = new TimerWheel(systemClock, (error) => {
      throw error;
    });
    this.#composition = new Composition(first, {
      clock: systemClock,
      log,
      wheel,
      dialer: new Dialer(),
      registry: new SessionRegistry(),
      admission: this.admission,
      traffic: new Traffic(),
      records: recordsInto([]),
      internalError: (error) => {
        throw error;
      },
    });
  }

  static async start(first: Config): Promise<Composed> {
    const composed = new Composed(first);
    await composed.#composition.start();
    for (const { listener } of composed.#composition.services) listener.open();
    return composed;
  }

  /** Whether it could be applied. */
  async reload(next: Config): Promise<boolean> {
    const prepared = await this.#composition.prepare(next, this.abort.signal);
    const applied = this.#composition.apply(prepared);
    if (!applied.ok) this.#composition.abandon(prepared);
    else for (const { listener } of applied.leaving) await listener.close(AbortSignal.abort());
    return applied.ok;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { listener } of this.#composition.services) await listener.close(AbortSignal.abort());
    this.#composition.stop();
  }
}

function config(listeners: Readonly<Record<string, string>>): Config {
  const value = {
    limits: { connections: 100 },
    listener: Object.entries(listeners).map(([name, address]) => ({ name, listen: address, backend: "app" })),
    backend: [{ name: "app", endpoints: ["127.0.0.1:9"] }],
  };
  const loaded = configFromValue(value, {}, { fdLimit: 10_000, fdReserve: 64 });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}
