/** Asking the admin server, with the token that this tab has been given. */

const tokenKey = "sluice-token";
/** Where the browser lets us keep nothing, it lasts as long as the page. */
let tokenHere: string | undefined;

/** What an operator may do on this page came to. */
export type Answer =
  { readonly ok: true; readonly body: unknown } | { readonly ok: false; readonly why: string; readonly body: unknown };

/** The token of this tab. */
export function token(): string | undefined {
  try {
    return tokenHere ?? sessionStorage.getItem(tokenKey) ?? undefined;
  } catch {
    return tokenHere;
  }
}

/** Keeps a token until the tab is closed. */
export function keepToken(text: string): void {
  tokenHere = text;
  try {
    sessionStorage.setItem(tokenKey, text);
  } catch {
    // It is in `tokenHere`.
  }
}

/** Forgets the token, which the server has refused. */
export function forgetToken(): void {
  tokenHere = undefined;
  try {
    sessionStorage.removeItem(tokenKey);
  } catch {
    // Nothing was kept.
  }
}

/** A request with the token. Paths are relative, so that the page works behind a prefix. */
export function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const bearer = token();
  // What is no header can't be the token: the server says so.
  if (bearer !== undefined && /^[\x21-\x7e]+$/.test(bearer)) headers.set("authorization", `Bearer ${bearer}`);
  return fetch(path, { ...init, headers, cache: "no-store", credentials: "same-origin", redirect: "error" });
}

/** Asks for something that is answered in JSON. Never rejects. */
export async function ask(path: string, method: string, content?: unknown): Promise<Answer> {
  try {
    const init: RequestInit = content === undefined ? { method } : { method, body: JSON.stringify(content) };
    if (content !== undefined) init.headers = { "content-type": "application/json" };
    const response = await request(path, init);
    const body = (await response.json().catch(() => undefined)) as unknown;
    if (response.ok) return { ok: true, body };
    return { ok: false, why: errorOf(body) ?? `the admin server answered ${response.status}`, body };
  } catch {
    return { ok: false, why: "the admin server could not be reached", body: undefined };
  }
}

/** What the server says was wrong. */
export function errorOf(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
  return typeof body.error === "string" ? body.error : undefined;
}
