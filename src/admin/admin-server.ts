/** The admin server: health and state for orchestrators and people, and a request to shut down. */
import { timingSafeEqual } from "node:crypto";
import type { Status } from "./status.ts";

/** What the admin server shows and asks for. */
export interface AdminPort {
  /** Whether new connections should be sent here. */
  readonly ready: boolean;
  status(): Status;
  /** Begins a graceful shutdown. */
  requestShutdown(): void;
}

/** What may be asked without a token: probes carry none. */
const open: ReadonlySet<string> = new Set(["/livez", "/readyz", "/ready", "/api/ready"]);

/** The methods of each path. */
const methods: Readonly<Record<string, readonly string[]>> = {
  "/livez": ["GET", "HEAD"],
  "/readyz": ["GET", "HEAD"],
  "/ready": ["GET", "HEAD"],
  "/api/ready": ["GET", "HEAD"],
  "/status": ["GET", "HEAD"],
  "/shutdown": ["POST"],
};

/** Answers one request. `token` is the bearer token wanted for all but probes; empty = none. */
export function answer(request: Request, port: AdminPort, token: string): Response {
  const path = new URL(request.url).pathname;
  const allowed = methods[path];
  if (allowed === undefined) return json(404, { error: `no such path: ${path}`, paths: Object.keys(methods) });
  if (!allowed.includes(request.method)) {
    return json(405, { error: `${path} takes ${allowed.join(", ")}` }, { allow: allowed.join(", ") });
  }
  if (token !== "" && !open.has(path) && !authorized(request, token)) {
    return json(
      401,
      { error: "a bearer token is needed: Authorization: Bearer TOKEN" },
      { "www-authenticate": "Bearer" },
    );
  }
  switch (path) {
    case "/livez":
      return json(200, { live: true });
    case "/status":
      return json(200, port.status());
    case "/shutdown":
      port.requestShutdown();
      return json(202, { state: "draining" });
    default:
      return json(port.ready ? 200 : 503, { ready: port.ready });
  }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
}

/** Compares digests, so that neither the time taken nor a difference in length tells anything of the token. */
function authorized(request: Request, token: string): boolean {
  const given = request.headers.get("authorization") ?? "";
  return timingSafeEqual(digest(given), digest(`Bearer ${token}`));
}

function digest(text: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(text).digest();
}
