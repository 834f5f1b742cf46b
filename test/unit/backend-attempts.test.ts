/** Attempts of a session whose backend is changed while they are under way. */
import { describe, expect, test } from "bun:test";
import type { BackendSettings } from "../../src/backend/backend.ts";
import type { Dialer, DialOwner } from "../../src/backend/dial.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { Attempts, type Caller } from "../../src/session/attempts.ts";
import { backendWith, weighted } from "../support/balanced.ts";
import { FakeCheckDialer } from "../support/fake-check-dialer.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const usual: BackendSettings = { name: "app", balance: "round_robin", retries: 2, eject: undefined, onDown: "keep" };
const owner: DialOwner = { dialed: () => {}, dialFailed: () => {}, handlerFailed: () => {} };

class Harness implements Caller {
  readonly clock = new VirtualClock();
  readonly endpoints: readonly Endpoint[] = weighted([1, 1, 1]);
  readonly backend = backendWith(this.endpoints, this.clock, usual);
  readonly dialer = new FakeCheckDialer();
  /** How often the address of the client was asked for. */
  hostsAsked = 0;
  readonly attempts: Attempts;

  constructor() {
    const target = { backend: this.backend, sendProxy: "off", headerInsideTls: false, tls: undefined } as const;
    this.attempts = new Attempts(target, this, this.dialer as unknown as Dialer, this.clock);
  }

  get clientHost(): string {
    this.hostsAsked++;
    return "192.0.2.1";
  }

  proxyHeader(): Uint8Array {
    return new Uint8Array(0);
  }

  /** The attempt under way fails, and the session goes on. */
  failAndGoOn(): string {
    this.attempts.failed({ kind: "refused", code: "ECONNREFUSED" });
    return this.attempts.next(owner);
  }

  get active(): number[] {
    return this.endpoints.map(({ active }) => active);
  }
}

describe("attempts under way", () => {
  test("end with the last failure when there are fewer retries than were made by then", () => {
    const harness = new Harness();
    harness.attempts.next(owner);
    expect(harness.failAndGoOn()).toBe("under way");
    harness.backend.configure({ ...usual, retries: 0 });
    expect(harness.failAndGoOn()).toBe("connect_refused");
    expect([harness.attempts.count, ...harness.active]).toEqual([2, 0, 0, 0]);
  });

  test("go on further when there are more", () => {
    const harness = new Harness();
    harness.backend.configure({ ...usual, retries: 0 });
    harness.attempts.next(owner);
    harness.backend.configure({ ...usual, retries: 2 });
    expect([harness.failAndGoOn(), harness.failAndGoOn(), harness.failAndGoOn()]).toEqual([
      "under way",
      "under way",
      "connect_refused",
    ]);
    expect(new Set(harness.dialer.attempts.map(({ request }) => request.endpoint)).size).toBe(3);
  });

  test("choose the next endpoint by the policy of the moment, and find out the client for it", () => {
    const harness = new Harness();
    harness.attempts.next(owner);
    expect(harness.hostsAsked).toBe(0);
    harness.backend.configure({ ...usual, balance: "source_hash" });
    harness.failAndGoOn();
    expect(harness.hostsAsked).toBe(1);
  });

  test("give their endpoint back though it is a backup by now, or has left", () => {
    const harness = new Harness();
    harness.attempts.next(owner);
    const { endpoint } = harness.attempts;
    endpoint!.settings = { ...endpoint!.settings, backup: true };
    harness.backend.setEndpoints(harness.endpoints);
    harness.failAndGoOn();
    expect(endpoint!.active).toBe(0);
    harness.backend.setEndpoints([endpoint!]);
    expect(harness.failAndGoOn()).toBe("connect_refused");
    expect(harness.active).toEqual([0, 0, 0]);
  });

  test("to an endpoint that was taken out meanwhile are left alone, and no further one is made to it", () => {
    const harness = new Harness();
    harness.attempts.next(owner);
    for (const endpoint of harness.endpoints) harness.backend.setState(endpoint, "drain");
    expect(harness.active.toSorted()).toEqual([0, 0, 1]);
    harness.attempts.succeeded();
    expect(harness.attempts.endpoint!.connected).toBe(1);
    harness.attempts.giveBack();
    expect(harness.active).toEqual([0, 0, 0]);
  });

  test("count each failure with its reason, our own lack apart", () => {
    const harness = new Harness();
    harness.attempts.next(owner);
    const { endpoint } = harness.attempts;
    harness.attempts.failed({ kind: "local", code: "EMFILE" });
    harness.attempts.next(owner);
    const second = harness.attempts.endpoint!;
    harness.attempts.timedOut();
    expect([endpoint!.failures, ...endpoint!.failuresByReason]).toEqual([0, ["local", 1]]);
    expect([second.failures, ...second.failuresByReason]).toEqual([1, ["timeout", 1]]);
  });
});
