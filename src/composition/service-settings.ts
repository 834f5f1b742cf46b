/** From a listener's configuration to the settings of its service. */
import type { Config } from "../config/schema.ts";
import { CidrSet } from "../core/cidr.ts";
import type { ServiceSettings } from "../listener/service.ts";
import { Router } from "../routing/router.ts";
import type { Target } from "../session/target.ts";
import type { ServerCredentials } from "../tls/credentials.ts";
import { readServerCredentials } from "../tls/files.ts";
import type { Terminator } from "../tls/terminator.ts";
import { readFiles, type FilesRead } from "./files-read.ts";

/** A listener as configured. */
export type ListenerConfig = Config["listeners"][number];

/** What its clients are shown; `undefined` where they are spoken to in plain. */
export type ListenerFiles = FilesRead<ServerCredentials> | undefined;

/** Reads the TLS files of a listener. Throws a `SluiceError` (`tls_failed`). */
export function readListenerFiles({ name, tls }: ListenerConfig): ListenerFiles {
  if (tls === undefined) return undefined;
  return readFiles(`listener "${name}"`, tls, (read, nowMs) => readServerCredentials(tls, read, nowMs));
}

/** `targetOf` knows the target of every backend that is named. */
export function serviceSettings(
  config: ListenerConfig,
  tcp: Config["tcp"],
  terminator: Terminator | undefined,
  targetOf: (backend: string) => Target,
): ServiceSettings {
  const { name, listen, mode, connections, timeouts, backend, allow, deny, connectionsPerIp, ratePerIp } = config;
  const routes = config.routes.map((route) => ({ settings: route, target: targetOf(route.backend) }));
  const inspection = {
    header: config.acceptProxy === "required",
    tls: terminator,
    router: routes.length === 0 ? undefined : new Router(routes),
  };
  const asks = inspection.header || inspection.tls !== undefined || inspection.router !== undefined;
  return {
    listener: { name, address: listen, mode, connectionsMax: connections },
    timeouts,
    keepaliveMs: tcp.keepaliveMs,
    noDelay: tcp.noDelay,
    target: backend === "" ? undefined : targetOf(backend),
    inspection: asks ? inspection : undefined,
    clients: { allow: new CidrSet(allow), deny: new CidrSet(deny), connectionsPerIp, ratePerIp },
    trusted: new CidrSet(config.trusted),
  };
}
