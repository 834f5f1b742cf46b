/** Open connections: listed, searched, closed. */
import { didYouMean } from "../core/did-you-mean.ts";
import type { AdminPort, ConnectionStatus } from "./admin-port.ts";
import { shortened } from "./access.ts";

/** How many are listed when nobody says otherwise, and at most. */
const limitDefault = 1_000;
const limitMax = 100_000;
/** A longer search is refused. */
const searchCharsMax = 200;
/** After so long the event loop has its turn, because it forwards bytes as well. */
const turnMs = 1;

/**
 * `GET /connections?search=TEXT&limit=N`: the oldest `limit` of those that match, oldest first. With ten thousand open it
 * is made in many turns of the event loop, so that it shows connections of slightly different moments. One is made at a
 * time, whoever asks; who has left (`signal`) when it is his turn gets none.
 */
export async function listConnections(port: AdminPort, query: URLSearchParams, signal: AbortSignal): Promise<Response> {
  const problems: string[] = [];
  const asked = readQuery(query, problems);
  if (problems.length > 0) return Response.json({ error: problems.join("; "), problems }, { status: 400 });
  const before = making.get(port);
  const done = Promise.withResolvers<void>();
  making.set(port, done.promise);
  try {
    await before;
    return signal.aborted ? new Response(null, { status: 499 }) : await list(port, asked);
  } finally {
    done.resolve();
  }
}

/** The last list that was asked for, by program: it resolves when that is made. */
const making = new WeakMap<AdminPort, Promise<void>>();

async function list(port: AdminPort, { words, limit }: Asked): Promise<Response> {
  const shown: string[] = [];
  let total = 0;
  let matching = 0;
  let sinceMs = performance.now();
  for (const connection of port.connections()) {
    total++;
    if (matches(connection, words) && ++matching <= limit) shown.push(JSON.stringify(connection));
    if (performance.now() - sinceMs < turnMs) continue;
    await new Promise((resolve) => void setImmediate(resolve));
    sinceMs = performance.now();
  }
  const body = `{"total":${total},"matching":${matching},"connections":[${shown.join(",")}]}`;
  return new Response(body, { headers: { "content-type": "application/json;charset=utf-8" } });
}

/** `DELETE /connections/ID`. */
export function closeConnection(port: AdminPort, text: string): Response {
  if (!/^\d+$/.test(text)) {
    const error = `found ${JSON.stringify(shortened(text))}, wanted the id of a connection, such as 17`;
    return Response.json({ error }, { status: 400 });
  }
  const id = Number(text);
  if (Number.isSafeInteger(id) && port.closeConnection(id)) return Response.json({ closed: id });
  return Response.json({ error: `no open connection has the id ${shortened(text)}` }, { status: 404 });
}

interface Asked {
  readonly words: readonly string[];
  readonly limit: number;
}

/** What is not understood is not left out: somebody would take the answer for another one. */
function readQuery(query: URLSearchParams, problems: string[]): Asked {
  const known = ["search", "limit"];
  for (const name of new Set(query.keys())) {
    if (!known.includes(name)) {
      problems.push(`no such parameter: ${shortened(name)}${didYouMean(name, known)}, wanted search or limit`);
    } else if (query.getAll(name).length > 1) problems.push(`${name}: given more than once`);
  }
  const search = query.get("search") ?? "";
  if (search.length > searchCharsMax) {
    problems.push(`search: found ${search.length} characters, wanted at most ${searchCharsMax}`);
  }
  const limitText = query.get("limit") ?? String(limitDefault);
  const limit = Number(limitText);
  if (!/^\d{1,9}$/.test(limitText) || limit > limitMax) {
    const found = JSON.stringify(shortened(limitText));
    problems.push(`limit: found ${found}, wanted a whole number from 0 to ${limitMax}`);
  }
  return { words: search.toLowerCase().split(/\s+/).filter(Boolean), limit };
}

/** Whether each word is the id, or a part of what can be searched. */
function matches(connection: ConnectionStatus, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const { id, client, listener, backend, endpoint, route, sni } = connection;
  // No word has a line break.
  const text = [client, listener, backend, endpoint, route, sni].join("\n").toLowerCase();
  return words.every((word) => text.includes(word) || word === String(id));
}
