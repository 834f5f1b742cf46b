/** The settings of a plain service: a free port of 127.0.0.1, generous timeouts, no limit, nothing asked of a client. */
import { Backend } from "../../src/backend/backend.ts";
import { Endpoint } from "../../src/backend/endpoint.ts";
import { CidrSet } from "../../src/core/cidr.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { ListenerSettings } from "../../src/listener/listener.ts";
import type { ServiceSettings } from "../../src/listener/service.ts";
import type { SessionTimeouts } from "../../src/session/deadlines.ts";
import type { Target } from "../../src/session/target.ts";

/** Timeouts that no test lives to see. */
export const generousTimeouts: SessionTimeouts = {
  connectMs: 60_000,
  responseMs: 0,
  idleMs: 3_600_000,
  halfClosedMs: 60_000,
  lifetimeMs: 0,
  inspectMs: 60_000,
};

/** A free port of 127.0.0.1. */
export function listenerSettings(name: string, host = "127.0.0.1", port = 0): ListenerSettings {
  return { name, address: { kind: "tcp", host, port }, mode: 0o660, connectionsMax: 0 };
}

/** A service called `name` in front of `target`, and how it differs from the plain one. */
export function serviceSettings(
  name: string,
  target: Target,
  others: Partial<Omit<ServiceSettings, "timeouts">> & { readonly timeouts?: Partial<SessionTimeouts> } = {},
): ServiceSettings {
  return {
    listener: listenerSettings(name),
    keepaliveMs: 0,
    noDelay: true,
    target,
    inspection: undefined,
    clients: { allow: new CidrSet([]), deny: new CidrSet([]), connectionsPerIp: 0, ratePerIp: 0 },
    trusted: new CidrSet([]),
    ...others,
    timeouts: { ...generousTimeouts, ...others.timeouts },
  };
}

/** A target of one backend that is spoken to in plain. */
export function plainTarget(backend: Backend): Target {
  return { backend, sendProxy: "off", headerInsideTls: false, tls: undefined };
}

/** The backend "app" with one endpoint on this port of 127.0.0.1, which is tried once. */
export function oneEndpoint(port: number): Backend {
  const settings = { name: "app", balance: "round_robin", retries: 0, eject: undefined, onDown: "keep" } as const;
  const backend = new Backend(settings, systemClock);
  const address = { kind: "tcp", host: "127.0.0.1", port } as const;
  backend.setEndpoints([new Endpoint(address, address, { weight: 1, backup: false, connectionsMax: 0 })]);
  return backend;
}
