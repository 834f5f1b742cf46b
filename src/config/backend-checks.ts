/** What no key of a backend can check alone: checks that can't work, weights that leave nothing. */
import { parseHost, parsePath } from "../backend/health/http-request.ts";
import type { Draft, Findings } from "./check.ts";
import type { Path } from "./diagnostic.ts";
import { found } from "./found.ts";
import type { Config } from "./schema.ts";

type BackendDraft = Draft<Config>["backends"] extends (infer One)[] | undefined ? One : never;

/** Adds the problems and warnings of all backends. */
export function checkBackends(draft: Draft<Config>, { problems, warnings }: Findings): void {
  for (const [index, backend] of (draft.backends ?? []).entries()) {
    const path = ["backend", index];
    if (backend?.eject?.forMs === 0) {
      const message = 'found "0s", wanted a duration above zero; leave [backend.eject] out for none';
      problems.push({ path: [...path, "eject", "for"], at: "value", message });
    }
    checkHealth(backend, (key, message) => problems.push({ path: [...path, "health", key], at: "value", message }));
    const { endpoints = [] } = backend ?? {};
    if (endpoints.length > 0 && endpoints.every((endpoint) => endpoint?.weight === 0)) {
      warnings.push({
        path: [...path, "endpoints"],
        at: "value",
        message: "every endpoint has weight 0: no client can be served",
      });
    }
    if (
      backend?.tls?.verify === true &&
      backend.tls.serverName === "" &&
      endpoints.some((one) => one?.address?.kind === "unix")
    ) {
      problems.push({
        path: [...path, "tls"],
        at: "key",
        message: "a Unix socket has no name to verify, wanted server_name, or verify = false",
      });
    }
    for (const { key, wanted } of idleHealthKeys(backend)) {
      warnings.push({
        path: [...path, "health", key],
        at: "value",
        message: `does nothing without type = "${wanted}"`,
      });
    }
    if (backend?.tls?.proxyHeader === "inside" && backend.sendProxy === "off") {
      warnings.push({
        path: [...path, "tls", "proxy_header"],
        at: "value",
        message: "does nothing without send_proxy",
      });
    }
    if (backend?.health?.type === "http" && backend.tls?.alpn?.includes("h2") === true) {
      warnings.push({
        path: [...path, "health", "type"],
        at: "value",
        message: "an endpoint that agrees on h2 answers no HTTP/1 check: every check of it will be bad",
      });
    }
    if (backend?.onDown === "close" && backend.health === undefined) {
      warnings.push({
        path: [...path, "on_down"],
        at: "value",
        message: 'without [backend.health] no endpoint is ever found down: "close" does nothing',
      });
    }
  }
}

function checkHealth(backend: BackendDraft | undefined, problem: (key: Path[number], message: string) => void): void {
  const health = backend?.health;
  if (health === undefined) return;
  const { type, intervalMs, timeoutMs, send, expect, path, host } = health;
  if (intervalMs === 0)
    problem("interval", 'found "0s", wanted a duration above zero; leave [backend.health] out for no checks');
  if (timeoutMs === 0) problem("timeout", 'found "0s", wanted a duration above zero');
  if (type === "exchange" && send?.byteLength === 0 && expect?.byteLength === 0) {
    problem("type", 'an exchange needs something to send or to expect; wanted send or expect, or type = "tcp"');
  }
  if (type !== "http") return;
  for (const [key, parsed, text] of [
    ["path", path === undefined ? undefined : parsePath(path), path],
    ["host", host === undefined ? undefined : parseHost(host), host],
  ] as const) {
    if (parsed !== undefined && !parsed.ok) problem(key, found(parsed.wanted)({ input: text }));
  }
}

/** Keys of the checks that say something their type does not ask for. */
function idleHealthKeys(backend: BackendDraft | undefined): { key: string; wanted: string }[] {
  const health = backend?.health;
  if (health?.type === undefined) return [];
  const { type, path = "/", host = "", status = statusDefault, send, expect } = health;
  const says = { path: path !== "/", host: host !== "", status: status !== statusDefault };
  const exchanges = { send: (send?.byteLength ?? 0) > 0, expect: (expect?.byteLength ?? 0) > 0 };
  const idle = (keys: Record<string, boolean>, wanted: string) =>
    type === wanted ? [] : Object.keys(keys).flatMap((key) => (keys[key] === true ? [{ key, wanted }] : []));
  return [...idle(says, "http"), ...idle(exchanges, "exchange")];
}

/** The default of `status`: it may stand anywhere, as every default may. */
const statusDefault = "200-399";
