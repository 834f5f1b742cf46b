/** The files of the dashboard, as the admin server answers them. Imported when somebody first asks for one. */
import { pageFiles } from "./page.ts" with { type: "macro" };

/** What a browser lets the page do: its own files and its own server, nothing else, and no markup that brings code. */
export const dashboardPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** A file and its content type. */
export interface DashboardAsset {
  readonly body: string;
  readonly type: string;
}

/** The file of a path: `/` is the page, the rest is below `/dashboard/`. `undefined` where there is none. */
export async function dashboardAsset(path: string): Promise<DashboardAsset | undefined> {
  const body = files.get(path);
  return body === undefined ? undefined : { body, type: typeOf(path) };
}

const files: ReadonlyMap<string, string> = new Map(Object.entries(pageFiles()));

function typeOf(path: string): string {
  if (path.endsWith(".js")) return "text/javascript; charset=utf-8";
  if (path.endsWith(".css")) return "text/css; charset=utf-8";
  return path.endsWith(".svg") ? "image/svg+xml" : "text/html; charset=utf-8";
}
