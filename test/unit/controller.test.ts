import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Component, StartContext, StopReason } from "../../src/lifecycle/component.ts";
import { Controller, type StartOutcome } from "../../src/lifecycle/controller.ts";
import type { LifecycleEvent } from "../../src/lifecycle/event.ts";
import type { Outcome } from "../../src/lifecycle/outcome.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const sigterm: StopReason = { kind: "signal", signal: "SIGTERM" };
const hang = () => new Promise<never>(() => {});

/** A controller over components made of a few lines each, and a trace of all that happens, with the time. */
class Stage {
  readonly clock = new VirtualClock();
  readonly trace: string[] = [];
  readonly events: LifecycleEvent[] = [];
  readonly contexts = new Map<string, StartContext>();
  controller!: Controller;
  startOutcome: StartOutcome | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  readonly #beganMs = this.clock.nowMs();

  note(what: string): void {
    this.trace.push(`${this.clock.nowMs() - this.#beganMs} ${what}`);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.setTimer(resolve, ms));
  }

  component(name: string, parts: Partial<Component> = {}): Component {
    return {
      ...parts,
      name,
      start: (context) => {
        this.note(`start ${name}`);
        this.contexts.set(name, context);
        return parts.start?.(context);
      },
      stop: (reason) => {
        this.note(`stop ${name}`);
        return parts.stop?.(reason);
      },
    };
  }

  control(...components: Component[]): Controller {
    this.controller = new Controller(components, { clock: this.clock, observe: (event) => this.events.push(event) });
    void this.controller.wait().then((outcome) => {
      this.note("stopped");
      this.outcome = outcome;
    });
    return this.controller;
  }

  /** Starts, and lets all that needs no time happen. */
  async start(): Promise<void> {
    void this.controller.start().then((outcome) => {
      this.startOutcome = outcome;
      if (outcome.ok) this.note("running");
    });
    await this.clock.advance(0);
  }

  /** The end: the outcome is there, the start was told of it if it had not succeeded, and nothing is left behind. */
  ended(): Outcome {
    expect(this.controller.state).toBe("stopped");
    expect(this.clock.pendingTimers).toBe(0);
    if (this.outcome === undefined) throw new Error("wait() has not resolved");
    const ran = this.events.some((event) => event.kind === "running");
    expect(this.startOutcome).toEqual(ran ? { ok: true } : { ok: false, reason: this.outcome.reason });
    return this.outcome;
  }

  kinds(): string[] {
    return this.events.map((event) => ("name" in event ? `${event.kind} ${event.name}` : event.kind));
  }
}

describe("a life without trouble", () => {
  test("starts in order, each after the one before has started, and stops in reverse order", async () => {
    const stage = new Stage();
    const reasons: StopReason[] = [];
    const controller = stage.control(
      stage.component("log"),
      stage.component("admin", { start: () => stage.sleep(100), stop: () => stage.sleep(30) }),
      stage.component("listener", { stop: (reason) => void reasons.push(reason) }),
    );
    expect(controller.state).toBe("new");
    await stage.start();
    expect(controller.state).toBe("starting");
    await stage.clock.advance(500);
    expect(controller.state).toBe("running");
    controller.requestStop(sigterm);
    expect(controller.state).toBe("stopping");
    await stage.clock.advance(500);
    expect(stage.trace).toEqual([
      "0 start log",
      "0 start admin",
      "100 start listener",
      "100 running",
      "500 stop listener",
      "500 stop admin",
      "530 stop log",
      "530 stopped",
    ]);
    expect(reasons).toEqual([sigterm]);
    expect(stage.ended()).toEqual({ reason: sigterm, firstError: undefined, failures: [], abandoned: [] });
  });

  test("is told to the observer step by step, with durations", async () => {
    const stage = new Stage();
    const ready = { check: () => true, attempts: 1, backoffMs: 1, backoffMaxMs: 1, timeoutMs: 1 };
    const controller = stage.control(
      stage.component("a", { start: () => stage.sleep(20), ready }),
      stage.component("b", { stop: () => stage.sleep(5) }),
    );
    await stage.start();
    await stage.clock.advance(100);
    controller.requestStop(sigterm);
    await stage.clock.advance(100);
    expect(stage.events).toEqual([
      { kind: "starting", name: "a" },
      { kind: "started", name: "a", durationMs: 20 },
      { kind: "ready", name: "a", attempts: 1, durationMs: 0 },
      { kind: "starting", name: "b" },
      { kind: "started", name: "b", durationMs: 0 },
      { kind: "running", durationMs: 20 },
      { kind: "stop_requested", reason: sigterm },
      { kind: "stopping", name: "b" },
      { kind: "stopped", name: "b", durationMs: 5 },
      { kind: "stopping", name: "a" },
      { kind: "stopped", name: "a", durationMs: 0 },
      { kind: "finished", outcome: stage.ended(), durationMs: 5 },
    ]);
  });

  test("holds no timer while it runs, whatever the timeouts", async () => {
    const stage = new Stage();
    const ready = { check: () => true, attempts: 3, backoffMs: 10, backoffMaxMs: 10, timeoutMs: 50 };
    stage.control(stage.component("a", { startTimeoutMs: 100, stopTimeoutMs: 100, ready }));
    await stage.start();
    expect(stage.controller.state).toBe("running");
    expect(stage.clock.pendingTimers).toBe(0);
  });

  test("of no components at all runs and stops", async () => {
    const stage = new Stage();
    stage.control();
    await stage.start();
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(0);
    expect(stage.trace).toEqual(["0 running", "0 stopped"]);
    expect(stage.ended().reason).toBe(sigterm);
  });

  test("stops a component in a turn of its own, not inside the call that asked", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"));
    await stage.start();
    stage.controller.requestStop(sigterm);
    expect(stage.trace).toEqual(["0 start a", "0 running"]);
    await stage.clock.advance(0);
    expect(stage.trace.slice(2)).toEqual(["0 stop a", "0 stopped"]);
  });
});

describe("a readiness check", () => {
  test("is asked with a doubling, bounded pause until it says yes, and the next component waits for it", async () => {
    const stage = new Stage();
    let asked = 0;
    const check = () => {
      stage.note("check a");
      asked += 1;
      if (asked === 2) throw new Error("connection refused");
      return asked === 5;
    };
    stage.control(
      stage.component("a", { ready: { check, attempts: 9, backoffMs: 100, backoffMaxMs: 300, timeoutMs: 1000 } }),
      stage.component("b"),
    );
    await stage.start();
    await stage.clock.advance(5000);
    expect(stage.trace).toEqual([
      "0 start a",
      "0 check a",
      "100 check a",
      "300 check a",
      "600 check a",
      "900 check a",
      "900 start b",
      "900 running",
    ]);
    const attempts = { name: "a", kind: "not_ready_yet", attempts: 9 };
    expect(stage.events.slice(2, 7)).toEqual([
      { ...attempts, attempt: 1, pauseMs: 100, error: undefined },
      { ...attempts, attempt: 2, pauseMs: 200, error: new Error("connection refused") },
      { ...attempts, attempt: 3, pauseMs: 300, error: undefined },
      { ...attempts, attempt: 4, pauseMs: 300, error: undefined },
      { kind: "ready", name: "a", attempts: 5, durationMs: 900 },
    ] as LifecycleEvent[]);
  });

  test("that never says yes fails the start after the last attempt, and the component is stopped", async () => {
    const stage = new Stage();
    const check = async () => {
      stage.note("check b");
      throw new Error("connection refused");
    };
    stage.control(
      stage.component("a"),
      stage.component("b", { ready: { check, attempts: 3, backoffMs: 10, backoffMaxMs: 1000, timeoutMs: 50 } }),
      stage.component("c"),
    );
    await stage.start();
    await stage.clock.advance(1000);
    expect(stage.trace).toEqual([
      "0 start a",
      "0 start b",
      "0 check b",
      "10 check b",
      "30 check b",
      "30 stop b",
      "30 stop a",
      "30 stopped",
    ]);
    const { reason, firstError, failures } = stage.ended();
    expect(firstError?.message).toBe(
      'component "b" was not ready after 3 attempts; the last check failed: connection refused',
    );
    expect(reason).toEqual({ kind: "start_failed", name: "b", phase: "ready", error: firstError! });
    expect(failures).toEqual([{ name: "b", phase: "ready", error: firstError! }]);
  });

  test("that gives no answer counts as no after its timeout, is told, and is not listened to afterwards", async () => {
    const stage = new Stage();
    const signals: AbortSignal[] = [];
    const answers: ((answer: boolean) => void)[] = [];
    const check = (signal: AbortSignal) => {
      stage.note("check a");
      signals.push(signal);
      const { promise, resolve } = Promise.withResolvers<boolean>();
      answers.push(resolve);
      return promise;
    };
    stage.control(
      stage.component("a", { ready: { check, attempts: 2, backoffMs: 10, backoffMaxMs: 10, timeoutMs: 50 } }),
    );
    await stage.start();
    expect(signals[0]!.aborted).toBe(false);
    await stage.clock.advance(55);
    expect(signals[0]!.aborted).toBe(true);
    answers[0]!(true);
    await stage.clock.advance(100);
    expect(stage.trace).toEqual(["0 start a", "0 check a", "60 check a", "110 stop a", "110 stopped"]);
    expect(stage.ended().firstError?.message).toBe(
      'component "a" was not ready after 2 attempts; the last check failed: no answer within 50 ms',
    );
  });

  test("that just said no is named so in the error", async () => {
    const stage = new Stage();
    stage.control(
      stage.component("a", {
        ready: { check: () => false, attempts: 1, backoffMs: 10, backoffMaxMs: 10, timeoutMs: 50 },
      }),
    );
    await stage.start();
    expect(stage.ended().firstError?.message).toBe(
      'component "a" was not ready after 1 attempt; the last check said no',
    );
  });
});

describe("a component that does not start", () => {
  test("is not stopped; what had started is, in reverse order, and its error is the reason", async () => {
    const stage = new Stage();
    const error = new Error("address is in use");
    stage.control(
      stage.component("a"),
      stage.component("b"),
      stage.component("c", {
        start: async () => {
          await stage.sleep(10);
          throw error;
        },
      }),
      stage.component("d"),
    );
    await stage.start();
    await stage.clock.advance(100);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "0 start c", "10 stop b", "10 stop a", "10 stopped"]);
    const { reason, firstError, failures, abandoned } = stage.ended();
    expect(reason).toEqual({ kind: "start_failed", name: "c", phase: "start", error });
    expect(firstError).toBe(error);
    expect(failures).toEqual([{ name: "c", phase: "start", error }]);
    expect(abandoned).toEqual([]);
  });

  test("may throw at once, and something that is no Error", async () => {
    const stage = new Stage();
    stage.control(
      stage.component("a", {
        start: () => {
          throw "no such file";
        },
      }),
    );
    await stage.start();
    const { firstError } = stage.ended();
    expect(firstError).toBeInstanceOf(Error);
    expect(firstError?.message).toBe("no such file");
    expect(stage.trace).toEqual(["0 start a", "0 stopped"]);
  });

  test("within its timeout is told and abandoned, also if it gets there later", async () => {
    const stage = new Stage();
    stage.control(
      stage.component("a", { stop: () => stage.sleep(100) }),
      stage.component("b", { start: () => stage.sleep(80), startTimeoutMs: 50 }),
    );
    await stage.start();
    await stage.clock.advance(49);
    expect(stage.contexts.get("b")!.signal.aborted).toBe(false);
    await stage.clock.advance(1);
    expect(stage.startOutcome?.ok).toBe(false);
    expect(stage.controller.state).toBe("stopping");
    await stage.clock.advance(500);
    expect(stage.contexts.get("b")!.signal.aborted).toBe(true);
    expect(stage.contexts.get("a")!.signal.aborted).toBe(false);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "50 stop a", "150 stopped"]);
    const { firstError, abandoned, reason } = stage.ended();
    expect(firstError?.message).toBe('component "b" did not start within 50 ms');
    expect(reason).toEqual({ kind: "start_failed", name: "b", phase: "start", error: firstError! });
    expect(abandoned).toEqual(["b"]);
    expect(stage.kinds()).toContain("abandoned b");
  });
});

describe("a component that ends by itself", () => {
  test("with an error brings the program down in the usual order, itself included", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), stage.component("b"), stage.component("c"));
    await stage.start();
    const error = new Error("worker died");
    stage.contexts.get("b")!.ended(error);
    stage.contexts.get("b")!.ended(new Error("only the first call counts"));
    await stage.clock.advance(10);
    expect(stage.trace.slice(4)).toEqual(["0 stop c", "0 stop b", "0 stop a", "0 stopped"]);
    const { reason, firstError, failures } = stage.ended();
    expect(reason).toEqual({ kind: "component", name: "b", error });
    expect(firstError).toBe(error);
    expect(failures).toEqual([{ name: "b", phase: "run", error }]);
    expect(stage.kinds()).toContain("ended b");
  });

  test("without an error does so too, and leaves no error", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"));
    await stage.start();
    stage.contexts.get("a")!.ended();
    await stage.clock.advance(10);
    expect(stage.trace).toEqual(["0 start a", "0 running", "0 stop a", "0 stopped"]);
    expect(stage.ended()).toEqual({
      reason: { kind: "component", name: "a", error: undefined },
      firstError: undefined,
      failures: [],
      abandoned: [],
    });
  });

  test("while a later one starts ends the start-up", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), stage.component("b", { start: () => stage.sleep(100) }), stage.component("c"));
    await stage.start();
    await stage.clock.advance(40);
    const error = new Error("worker died");
    stage.contexts.get("a")!.ended(error);
    expect(stage.contexts.get("b")!.signal.aborted).toBe(true);
    await stage.clock.advance(100);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "100 stop b", "100 stop a", "100 stopped"]);
    expect(stage.ended().firstError).toBe(error);
  });

  test("within its own start is stopped once it has started", async () => {
    const stage = new Stage();
    stage.control(stage.component("a", { start: ({ ended }) => ended() }));
    await stage.start();
    expect(stage.trace).toEqual(["0 start a", "0 stop a", "0 stopped"]);
  });

  test("while everything stops is only of interest for its error, and not at all afterwards", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), stage.component("b"), stage.component("c", { stop: () => stage.sleep(100) }));
    await stage.start();
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(50);
    const error = new Error("worker died");
    stage.contexts.get("b")!.ended(error);
    stage.contexts.get("c")!.ended();
    await stage.clock.advance(100);
    const outcome = stage.ended();
    stage.contexts.get("a")!.ended(new Error("too late"));
    await stage.clock.advance(100);
    expect(outcome.reason).toBe(sigterm);
    expect(outcome.failures).toEqual([{ name: "b", phase: "run", error }]);
    expect(stage.kinds().filter((kind) => kind.startsWith("ended"))).toEqual(["ended b"]);
    expect(stage.trace.slice(4)).toEqual(["0 stop c", "100 stop b", "100 stop a", "100 stopped"]);
  });
});

describe("a stop", () => {
  test("that fails does not keep the others from being stopped, and all errors are kept in order", async () => {
    const stage = new Stage();
    const failing = (message: string) => ({
      stop: async () => {
        await stage.sleep(10);
        throw new Error(message);
      },
    });
    stage.control(stage.component("a", failing("a")), stage.component("b"), stage.component("c", failing("c")));
    await stage.start();
    const died = new Error("b");
    stage.contexts.get("b")!.ended(died);
    await stage.clock.advance(100);
    expect(stage.trace.slice(4)).toEqual(["0 stop c", "10 stop b", "10 stop a", "20 stopped"]);
    const { firstError, failures, abandoned } = stage.ended();
    expect(firstError).toBe(died);
    expect(failures.map(({ name, phase, error }) => `${name} ${phase} ${error.message}`)).toEqual([
      "b run b",
      "c stop c",
      "a stop a",
    ]);
    expect(abandoned).toEqual([]);
  });

  test("that takes too long is abandoned and recorded, and a late failure of it is ignored", async () => {
    const stage = new Stage();
    const late = async () => {
      await stage.sleep(150);
      throw new Error("too late");
    };
    stage.control(
      stage.component("a", { stop: () => stage.sleep(200), stopTimeoutMs: 201 }),
      stage.component("b", { stop: late, stopTimeoutMs: 100 }),
      stage.component("c", { stop: hang, stopTimeoutMs: 50 }),
    );
    await stage.start();
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(1000);
    expect(stage.trace.slice(4)).toEqual(["0 stop c", "50 stop b", "150 stop a", "350 stopped"]);
    const { abandoned, failures, firstError } = stage.ended();
    expect(abandoned).toEqual(["c", "b"]);
    expect(failures).toEqual([]);
    expect(firstError).toBeUndefined();
    expect(stage.events).toContainEqual({ kind: "abandoned", name: "c", phase: "stop", timeoutMs: 50 });
  });

  test("without a timeout is waited for as long as it takes", async () => {
    const stage = new Stage();
    stage.control(stage.component("a", { stop: () => stage.sleep(86_400_000) }));
    await stage.start();
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(86_399_999);
    expect(stage.controller.state).toBe("stopping");
    await stage.clock.advance(1);
    expect(stage.ended().abandoned).toEqual([]);
  });

  test("asked for again changes nothing: each component is stopped once and the first reason is kept", async () => {
    const stage = new Stage();
    stage.control(stage.component("a", { stop: () => stage.sleep(100) }));
    await stage.start();
    stage.controller.requestStop(sigterm);
    stage.controller.requestStop({ kind: "request", by: "admin" });
    await stage.clock.advance(50);
    stage.controller.requestStop({ kind: "request", by: "admin" });
    await stage.clock.advance(100);
    stage.controller.requestStop({ kind: "request", by: "admin" });
    await stage.clock.advance(100);
    expect(stage.trace).toEqual(["0 start a", "0 running", "0 stop a", "100 stopped"]);
    expect(stage.ended().reason).toBe(sigterm);
    expect(await stage.controller.wait()).toBe(stage.ended());
    expect(stage.kinds().filter((kind) => kind === "stop_requested")).toHaveLength(1);
  });
});

describe("a stop asked for while a component starts", () => {
  const tolerant = (stage: Stage): Component =>
    stage.component("b", {
      start: () => stage.sleep(100),
      startTimeoutMs: 500,
      ready: {
        check: () => (stage.note("check b"), true),
        attempts: 1,
        backoffMs: 1,
        backoffMaxMs: 1,
        timeoutMs: 1,
      },
    });
  const obedient = (stage: Stage): Component =>
    stage.component("b", {
      start: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    });

  test("is told to it; when it starts all the same it is stopped like the others, and not asked whether it is ready", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), tolerant(stage), stage.component("c"));
    await stage.start();
    await stage.clock.advance(40);
    stage.controller.requestStop(sigterm);
    expect(stage.contexts.get("b")!.signal.aborted).toBe(true);
    expect(stage.controller.state).toBe("stopping");
    await stage.clock.advance(1000);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "100 stop b", "100 stop a", "100 stopped"]);
    expect(stage.ended()).toEqual({ reason: sigterm, firstError: undefined, failures: [], abandoned: [] });
  });

  test("lets it give up: it is then not stopped, and giving up is no error", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), obedient(stage), stage.component("c"));
    await stage.start();
    await stage.clock.advance(40);
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(1000);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "40 stop a", "40 stopped"]);
    expect(stage.ended()).toEqual({ reason: sigterm, firstError: undefined, failures: [], abandoned: [] });
  });

  test("keeps an error of it that has another cause", async () => {
    const stage = new Stage();
    const error = new Error("address is in use");
    const failing = async () => {
      await stage.sleep(100);
      throw error;
    };
    stage.control(stage.component("a", { start: failing }));
    await stage.start();
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(1000);
    const outcome = stage.ended();
    expect(outcome.reason).toBe(sigterm);
    expect(outcome.failures).toEqual([{ name: "a", phase: "start", error }]);
  });

  test("waits for it no longer than its timeout, counted from its beginning", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), stage.component("b", { start: hang, startTimeoutMs: 100 }));
    await stage.start();
    await stage.clock.advance(40);
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(1000);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "100 stop a", "100 stopped"]);
    const { reason, abandoned, firstError } = stage.ended();
    expect(reason).toBe(sigterm);
    expect(abandoned).toEqual(["b"]);
    expect(firstError?.message).toBe('component "b" did not start within 100 ms');
  });

  test("by the observer, between two starts, ends the start-up there", async () => {
    const stage = new Stage();
    const controller = new Controller([stage.component("a"), stage.component("b")], {
      clock: stage.clock,
      observe: (event) => event.kind === "started" && controller.requestStop(sigterm),
    });
    expect(await controller.start()).toEqual({ ok: false, reason: sigterm });
    await controller.wait();
    expect(stage.trace).toEqual(["0 start a", "0 stop a"]);
    expect(stage.contexts.get("a")!.signal.aborted).toBe(false);
  });

  test("aborts no signal of a start that has settled", async () => {
    const stage = new Stage();
    stage.control(stage.component("a"), tolerant(stage));
    await stage.start();
    await stage.clock.advance(100);
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(100);
    expect(stage.contexts.get("a")!.signal.aborted).toBe(false);
    expect(stage.contexts.get("b")!.signal.aborted).toBe(false);
    stage.ended();
  });
});

describe("a stop asked for while readiness is waited for", () => {
  test("ends a pause between two attempts at once", async () => {
    const stage = new Stage();
    const check = () => (stage.note("check b"), false);
    stage.control(
      stage.component("a"),
      stage.component("b", { ready: { check, attempts: 9, backoffMs: 1000, backoffMaxMs: 1000, timeoutMs: 10 } }),
      stage.component("c"),
    );
    await stage.start();
    await stage.clock.advance(400);
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(5000);
    expect(stage.trace).toEqual(["0 start a", "0 start b", "0 check b", "400 stop b", "400 stop a", "400 stopped"]);
    expect(stage.ended()).toEqual({ reason: sigterm, firstError: undefined, failures: [], abandoned: [] });
  });

  test("ends an attempt in progress at once, tells it, and asks no more", async () => {
    const stage = new Stage();
    let asked: AbortSignal | undefined;
    const check = (signal: AbortSignal) => {
      stage.note("check a");
      asked = signal;
      return hang();
    };
    stage.control(
      stage.component("a", { ready: { check, attempts: 9, backoffMs: 10, backoffMaxMs: 10, timeoutMs: 1000 } }),
    );
    await stage.start();
    await stage.clock.advance(400);
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(5000);
    expect(asked?.aborted).toBe(true);
    expect(stage.trace).toEqual(["0 start a", "0 check a", "400 stop a", "400 stopped"]);
    stage.ended();
  });
});

describe("misuse throws:", () => {
  test("starting twice, also after the end", async () => {
    const stage = new Stage();
    stage.control();
    await stage.start();
    expect(() => stage.controller.start()).toThrow("cannot start: the controller is running, want new");
    stage.controller.requestStop(sigterm);
    await stage.clock.advance(0);
    expect(() => stage.controller.start()).toThrow("cannot start: the controller is stopped, want new");
  });

  test("stopping what was never started", () => {
    const stage = new Stage();
    stage.control();
    expect(() => stage.controller.requestStop(sigterm)).toThrow("cannot stop: the controller was never started");
    expect(stage.controller.state).toBe("new");
  });

  test("two components of one name, or a readiness check that is never asked", () => {
    const stage = new Stage();
    expect(() => stage.control(stage.component("a"), stage.component("a"))).toThrow('two components are named "a"');
    const ready = { check: () => true, attempts: 0, backoffMs: 1, backoffMaxMs: 1, timeoutMs: 1 };
    expect(() => stage.control(stage.component("a", { ready }))).toThrow(
      '"a" has 0 readiness attempts, want 1 or more',
    );
  });

  test("a component added to the list after the controller was made is none of its components", async () => {
    const stage = new Stage();
    const components = [stage.component("a")];
    const controller = new Controller(components, { clock: stage.clock });
    components.push(stage.component("b"));
    await controller.start();
    expect(stage.trace).toEqual(["0 start a"]);
  });
});

test("an observer that throws does not harm the life it observes, and what it threw is kept", async () => {
  const stage = new Stage();
  const controller = new Controller([stage.component("a")], {
    clock: stage.clock,
    observe: (event) => {
      if (event.kind === "started" || event.kind === "running") throw new Error(event.kind);
    },
  });
  expect(await controller.start()).toEqual({ ok: true });
  controller.requestStop(sigterm);
  const { failures } = await controller.wait();
  expect(stage.trace).toEqual(["0 start a", "0 stop a"]);
  expect(failures).toEqual([
    { name: "a", phase: "observe", error: new Error("started") },
    { name: "", phase: "observe", error: new Error("running") },
  ]);
});

test("a process with nothing to do but wait for a stop that hangs still gets to the end of it", async () => {
  const script = `
    import { systemClock } from "./src/core/clock.ts";
    import { Controller } from "./src/lifecycle/controller.ts";
    const hanging = { name: "a", start() {}, stop: () => new Promise(() => {}), stopTimeoutMs: 20 };
    const controller = new Controller([hanging], { clock: systemClock });
    void controller.wait().then(({ abandoned }) => console.log("abandoned", ...abandoned));
    void controller.start().then(() => controller.requestStop({ kind: "request", by: "test" }));`;
  await using child = Bun.spawn([process.execPath, "-e", script], {
    cwd: join(import.meta.dir, "../.."),
    stdout: "pipe",
    stderr: "inherit",
  });
  expect(await child.stdout.text()).toBe("abandoned a\n");
  expect(await child.exited).toBe(0);
});
