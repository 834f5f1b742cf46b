/** What `sluice top` shows: a look at the program, and how fast its figures have grown since the one before. */
import type { ConnectionReading, EndpointReading, ListenerReading, Reading } from "./reading.ts";

/** Rates are for a second; `undefined` where there is nothing to compare with. */
export type Rate = number | undefined;

/** One look, with rates. */
export interface Snapshot {
  readonly reading: Reading;
  /** New connections, and ended ones. */
  readonly newRate: Rate;
  readonly endedRate: Rate;
  readonly toBackendRate: Rate;
  readonly toClientRate: Rate;
  readonly listeners: readonly ListenerSnapshot[];
  readonly endpoints: readonly EndpointSnapshot[];
  /** The ends that have occurred, the most frequent first. */
  readonly ended: readonly { readonly end: string; readonly count: number; readonly rate: Rate }[];
  readonly connections: readonly ConnectionSnapshot[];
}

/** Of a listener. */
export interface ListenerSnapshot extends ListenerReading {
  readonly newRate: Rate;
  readonly toBackendRate: Rate;
  readonly toClientRate: Rate;
}

/** Of an endpoint. */
export interface EndpointSnapshot extends EndpointReading {
  readonly newRate: Rate;
  readonly failureRate: Rate;
}

/** Of an open connection. */
export interface ConnectionSnapshot extends ConnectionReading {
  readonly toBackendRate: Rate;
  readonly toClientRate: Rate;
}

/** Compares two looks; without one before, or with one at another process, there are no rates. */
export function snapshot(before: Reading | undefined, now: Reading): Snapshot {
  const same = before !== undefined && before.pid === now.pid && before.uptimeMs < now.uptimeMs ? before : undefined;
  // The program's own clock: when an answer arrives says little about when its figures were taken.
  const seconds = same === undefined ? 0 : (now.uptimeMs - same.uptimeMs) / 1000;
  /** What is not in the look before has begun since, with zero. A total that shrinks belongs to another of the same name. */
  const rate = (from: number | undefined, to: number): Rate => {
    if (same === undefined) return undefined;
    return (from === undefined || from > to ? to : to - from) / seconds;
  };
  const listenersBefore = byKey(same?.listeners, ({ name }) => name);
  const endpointsBefore = byKey(same?.endpoints, endpointKey);
  const connectionsBefore = byKey(same?.connections?.listed, ({ id }) => id);
  const ofListener = (listener: ListenerReading): ListenerSnapshot => {
    const old = listenersBefore.get(listener.name);
    return {
      ...listener,
      newRate: rate(old?.total, listener.total),
      toBackendRate: rate(old?.toBackend, listener.toBackend),
      toClientRate: rate(old?.toClient, listener.toClient),
    };
  };
  const ofEndpoint = (endpoint: EndpointReading): EndpointSnapshot => {
    const old = endpointsBefore.get(endpointKey(endpoint));
    return {
      ...endpoint,
      newRate: rate(old?.total, endpoint.total),
      failureRate: rate(old?.failures, endpoint.failures),
    };
  };
  const ofConnection = (connection: ConnectionReading): ConnectionSnapshot => {
    const old = connectionsBefore.get(connection.id);
    // One that was open before and was not listed has moved an unknown part of its bytes since.
    const unknown = old === undefined && connection.ageMs > seconds * 1000;
    return {
      ...connection,
      toBackendRate: unknown ? undefined : rate(old?.toBackend, connection.toBackend),
      toClientRate: unknown ? undefined : rate(old?.toClient, connection.toClient),
    };
  };
  const sum = (rates: readonly Rate[]): Rate =>
    same === undefined ? undefined : rates.reduce<number>((total, one) => total + (one ?? 0), 0);
  const listeners = now.listeners.map(ofListener);
  const ended = [...now.ended]
    .filter(([, count]) => count > 0)
    .map(([end, count]) => ({ end, count, rate: rate(same?.ended.get(end), count) }))
    .toSorted((a, b) => b.count - a.count);
  return {
    reading: now,
    newRate: sum(listeners.map(({ newRate }) => newRate)),
    endedRate: sum(ended.map((one) => one.rate)),
    toBackendRate: sum(listeners.map(({ toBackendRate }) => toBackendRate)),
    toClientRate: sum(listeners.map(({ toClientRate }) => toClientRate)),
    listeners,
    endpoints: now.endpoints.map(ofEndpoint),
    ended,
    connections: (now.connections?.listed ?? []).map(ofConnection),
  };
}

function endpointKey({ backend, address }: EndpointReading): string {
  return `${backend} ${address}`;
}

function byKey<T, K>(all: readonly T[] | undefined, key: (of: T) => K): ReadonlyMap<K, T> {
  return new Map((all ?? []).map((one) => [key(one), one]));
}
