/** Backends without sockets, for tests of who gets which client. */
import { Backend, type BackendSettings } from "../../src/backend/backend.ts";
import { Endpoint, type EndpointSettings } from "../../src/backend/endpoint.ts";
import type { Clock } from "../../src/core/clock.ts";

/** An endpoint that nobody dials: 10.0.0.`index`:80, of weight 1 and no backup unless said otherwise. */
export function endpointAt(index: number, settings: Partial<EndpointSettings> = {}): Endpoint {
  const address = { kind: "tcp" as const, host: `10.0.${index >> 8}.${index & 255}`, port: 80 };
  return new Endpoint(address, address, { weight: 1, backup: false, connectionsMax: 0, ...settings });
}

/** An endpoint of each weight. */
export function weighted(weights: readonly number[]): Endpoint[] {
  return weights.map((weight, index) => endpointAt(index, { weight }));
}

/** A backend with these endpoints; round robin without ejection unless said otherwise. */
export function backendWith(
  endpoints: readonly Endpoint[],
  clock: Clock,
  settings: Partial<BackendSettings> = {},
  random?: () => number,
): Backend {
  const defaults = { name: "app", balance: "round_robin", retries: 2, eject: undefined, onDown: "keep" } as const;
  const backend = new Backend({ ...defaults, ...settings }, clock, random);
  backend.setEndpoints(endpoints);
  return backend;
}

/** The address of client number `index`. */
export function clientHost(index: number): string {
  return `192.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

/** Numbers from 0 to below 1 that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
