/** One look at a running program: asks for its figures, and says in words what stood in the way. */
import type { AdminAnswer, AdminClient } from "../admin-client.ts";
import { reading, type Reading } from "./reading.ts";
import { harmless } from "./text.ts";

/** What a look has brought; `why` is harmless text. */
export type Look =
  { readonly kind: "seen"; readonly reading: Reading } | { readonly kind: "failed"; readonly why: string };

/** How long the answers of a look may take. */
const lookTimeoutMs = 5_000;

/** The connections that are asked for, the oldest first; of more than that the busiest may be missing. */
const connectionsListedMax = 1_000;

/** Looks at the program; `withConnections`, at those that are open too. Never rejects. */
export async function look(client: AdminClient, withConnections: boolean): Promise<Look> {
  const question = { timeoutMs: lookTimeoutMs, body: true };
  const [status, connections] = await Promise.all([
    client.get("/status", question),
    withConnections ? client.get(`/connections?limit=${connectionsListedMax}`, question) : undefined,
  ]);
  if (status.kind === "failed") return { kind: "failed", why: harmless(status.why) };
  if (status.status !== 200) return { kind: "failed", why: refusalText(status.status) };
  const read = reading(status.body, bodyOf(connections));
  return read === undefined ? { kind: "failed", why: notSluice } : { kind: "seen", reading: read };
}

const notSluice = "what answers there is not the admin server of sluice";

function bodyOf(answer: AdminAnswer | undefined): string | undefined {
  return answer?.kind === "answered" && answer.status === 200 ? answer.body : undefined;
}

function refusalText(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return `the token is missing or wrong (${status}); wanted --token-file FILE or SLUICE_ADMIN_TOKEN_FILE`;
    case 404:
      return notSluice;
    default:
      return `/status answered ${status}, wanted 200`;
  }
}
