/** The admin server: what it answers to which request. Health, figures and pages are read; a few things can be changed. */
import { unreachable } from "../core/assert.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { hostRefusal, shortened, siteRefusal, tokenRefusal, type Refusal } from "./access.ts";
import type { AdminPort } from "./admin-port.ts";
import { closeConnection, listConnections } from "./connections.ts";
import type { History } from "./dashboard/history.ts";
import { changeEndpoint } from "./endpoint-change.ts";

/** What it is told besides the program. */
export interface AdminOptions {
  /** The bearer token wanted for all but probes and the page itself; empty = none. */
  readonly token: string;
  /** What `/events` tells of the past. */
  readonly history: History;
  /** Limits how long a request's body may take. Default: the machine's. */
  readonly clock?: Clock;
  /** A handler has thrown, which is our own mistake: for the log, since the answer says nothing of it. */
  readonly onMistake?: (error: Error) => void;
}

/** A request that may be answered. */
interface Question extends AdminOptions {
  readonly request: Request;
  readonly port: AdminPort;
  readonly clock: Clock;
  readonly path: string;
  readonly query: URLSearchParams;
  /** What stands for the words in capitals of its route, as the path has it. */
  readonly parts: readonly string[];
}

type Answer = Response | Promise<Response>;
type Handler = (question: Question) => Answer;

interface Route {
  /** As it is documented. */
  readonly path: string;
  /** For a path with words in capitals. */
  readonly pattern?: RegExp;
  /**
   * - `all`: everybody may ask, whatever they call this server: a probe.
   * - `page`: a token is not needed, because it holds no data; the page asks for it.
   * - `token`: with the token, where there is one.
   */
  readonly for: "all" | "page" | "token";
  readonly handlers: ReadonlyMap<string, Handler>;
}

const routes: readonly Route[] = [
  { path: "/livez", for: "all", handlers: reading(() => Response.json({ live: true })) },
  { path: "/readyz", for: "all", handlers: reading(readiness) },
  { path: "/ready", for: "all", handlers: reading(readiness) },
  { path: "/api/ready", for: "all", handlers: reading(readiness) },
  { path: "/status", for: "token", handlers: reading(({ port }) => Response.json(port.status())) },
  { path: "/metrics", for: "token", handlers: reading(metrics) },
  { path: "/connections", for: "token", handlers: reading(connections) },
  {
    path: "/connections/ID",
    pattern: /^\/connections\/([^/]+)$/,
    for: "token",
    handlers: new Map([["DELETE", ({ port, parts }) => closeConnection(port, parts[0]!)]]),
  },
  {
    path: "/backends/NAME/endpoints/ADDRESS",
    // The path of a Unix socket may have slashes that are not encoded.
    pattern: /^\/backends\/([^/]+)\/endpoints\/(.+)$/,
    for: "token",
    handlers: new Map([
      ["PUT", ({ port, request, parts, clock }) => changeEndpoint(port, request, [parts[0]!, parts[1]!], clock)],
    ]),
  },
  { path: "/reload", for: "token", handlers: new Map([["POST", reload]]) },
  { path: "/shutdown", for: "token", handlers: new Map([["POST", shutdown]]) },
  // A stream has no HEAD: it would be one that nobody reads.
  { path: "/events", for: "token", handlers: new Map([["GET", events]]) },
  { path: "/", for: "page", handlers: reading(page) },
  { path: "/dashboard/*", pattern: /^\/dashboard\/.+$/, for: "page", handlers: reading(page) },
];

/** All paths that there are, as they are documented. */
export const adminPaths: readonly string[] = routes.map(({ path }) => path);

/** What keeps browsers from doing more with an answer than was meant; a page may bring a policy of its own. */
const securityHeaders: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Answers one request. Never throws and never rejects. */
export function answer(request: Request, port: AdminPort, options: AdminOptions): Answer {
  const failed = (error: unknown): Response => {
    options.onMistake?.(error instanceof Error ? error : new Error(String(error)));
    return secured(refused(500, { error: "a mistake in sluice: the log has it" }));
  };
  try {
    const answered = dispatch(request, port, options);
    return answered instanceof Promise ? answered.then(secured).catch(failed) : secured(answered);
  } catch (error) {
    return failed(error);
  }
}

function dispatch(request: Request, port: AdminPort, options: AdminOptions): Answer {
  const { path, query } = targetOf(request);
  const route = routes.find((one) => one.path === path || one.pattern?.test(path) === true);
  const { token } = options;
  const refusal = route?.for === "all" ? undefined : hostRefusal(request, token);
  if (refusal !== undefined) return refusing(refusal);
  if (route === undefined) {
    return refused(404, { error: `no such path: ${shortened(path)}`, paths: adminPaths });
  }
  const handler = route.handlers.get(request.method);
  if (handler === undefined) {
    const allowed = [...route.handlers.keys()].join(", ");
    return refused(405, { error: `${shortened(path)} takes ${allowed}` }, { allow: allowed });
  }
  const foreign = isRead(request.method) ? undefined : siteRefusal(request);
  const stranger = foreign ?? (route.for === "token" ? tokenRefusal(request, token) : undefined);
  if (stranger !== undefined) return refusing(stranger);
  const parts = route.pattern?.exec(path)?.slice(1) ?? [];
  return handler({ clock: systemClock, ...options, request, port, path, query, parts });
}

/**
 * Path and query of a request. Its URL is the path alone when there is no Host, or none that makes a URL (Bun 1.4.5), and
 * has host and path where there is: to cut is safer than to parse.
 */
function targetOf({ url }: Request): { path: string; query: URLSearchParams } {
  const [, path = "", query = ""] = /^(?:[a-z]+:\/\/[^/?#]*)?([^?#]*)\??([^#]*)/i.exec(url) ?? [];
  return { path, query: new URLSearchParams(query) };
}

/** A route that can be read only. */
function reading(handler: Handler): ReadonlyMap<string, Handler> {
  return new Map([
    ["GET", handler],
    ["HEAD", handler],
  ]);
}

function isRead(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

function refusing({ status, error }: NonNullable<Refusal>): Response {
  return refused(status, { error }, status === 401 ? { "www-authenticate": "Bearer" } : {});
}

function refused(status: number, body: object, headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json(body, { status, headers });
}

function secured(response: Response): Response {
  for (const [name, value] of Object.entries(securityHeaders)) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  return response;
}

// The handlers that are no files of their own.

function readiness({ port: { ready } }: Question): Response {
  return Response.json({ ready }, { status: ready ? 200 : 503 });
}

function connections({ port, query, request: { signal } }: Question): Promise<Response> {
  return listConnections(port, query, signal);
}

/** Begun before it is answered, so that nobody who has the answer finds the program ready. */
function shutdown({ port }: Question): Response {
  port.requestShutdown();
  return Response.json({ state: "draining" }, { status: 202 });
}

async function reload({ port }: Question): Promise<Response> {
  const outcome = await port.reload();
  switch (outcome.kind) {
    case "applied": {
      const { changes, needRestart, warnings } = outcome;
      return Response.json({ result: "applied", changes, need_restart: needRestart, warnings });
    }
    case "invalid":
      return Response.json({ result: "invalid", problems: outcome.problems }, { status: 422 });
    case "refused":
      return Response.json({ result: "refused", error: outcome.why }, { status: 409 });
    default:
      return unreachable(outcome);
  }
}

// What few programs are asked for is loaded when it is: it takes memory.

async function metrics({ port }: Question): Promise<Response> {
  const { exposition } = await import("./metrics/exposition.ts");
  const { body, type } = await exposition(port.figures());
  return new Response(body, { headers: { "content-type": type } });
}

async function events({ port, history, request: { signal } }: Question): Promise<Response> {
  const { eventStream } = await import("./dashboard/events.ts");
  const stream = eventStream(history, () => port.status(), signal);
  // The idle timeout stays off for its connection (http-server.ts), so nothing may come after it.
  stream.headers.set("connection", "close");
  return stream;
}

async function page({ path }: Question): Promise<Response> {
  const { dashboardAsset, dashboardPolicy } = await import("./dashboard/assets.ts");
  const asset = await dashboardAsset(path);
  if (asset === undefined) return refused(404, { error: `no such page: ${shortened(path)}` });
  const { body, type } = asset;
  return new Response(body, { headers: { "content-type": type, "content-security-policy": dashboardPolicy } });
}
