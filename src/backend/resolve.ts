/**
 * Names of endpoints to addresses, by ourselves: Bun would dial up to four addresses of a name at once, and its
 * `getaddrinfo` shares two threads with all file access (Bun 1.4.5). For now a name is resolved once, at start.
 */
import { isIp, type Address } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { DialAddress } from "./endpoint.ts";

/** How long one name may take. */
const resolveTimeoutMs = 5_000;

/** What became of a name. */
export type Resolved =
  | { readonly ok: true; readonly address: DialAddress }
  /** `why` is what the resolver said, in words. */
  | { readonly ok: false; readonly why: string };

/** The first address of a name, IPv4 before IPv6; an IP address is its own answer. */
export async function resolve(address: Address & { kind: "tcp" }, clock: Clock): Promise<Resolved> {
  if (isIp(address.host)) return { ok: true, address };
  let timer: ReturnType<Clock["setTimer"]> | undefined;
  const overdue = new Promise<Resolved>((settle) => {
    const why = `no answer within ${resolveTimeoutMs / 1000} s`;
    timer = clock.setTimer(() => settle({ ok: false, why }), resolveTimeoutMs);
  });
  try {
    return await Promise.race([lookup(address), overdue]);
  } finally {
    clock.clearTimer(timer!);
  }
}

async function lookup(address: Address & { kind: "tcp" }): Promise<Resolved> {
  try {
    const answers = await Bun.dns.lookup(address.host, { backend: "c-ares" });
    const first = answers.find((answer) => answer.family === 4) ?? answers[0];
    if (first === undefined) return { ok: false, why: "the name has no address" };
    return { ok: true, address: { host: first.address, port: address.port } };
  } catch (cause) {
    return { ok: false, why: describe(cause) };
  }
}

function describe(cause: unknown): string {
  const code = (cause as { code?: unknown } | null)?.code;
  if (typeof code !== "string") return cause instanceof Error ? cause.message : String(cause);
  if (code === "DNS_ENOTFOUND" || code === "DNS_ENODATA") return `no such name (${code})`;
  return code;
}
