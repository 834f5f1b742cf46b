/** Why an address could not be bound, in words for whoever has to do something about it. */
import { SluiceError } from "./error.ts";

/** `what` is what was to listen, `listener "web"`; `cause` what Bun threw. */
export function listenError(what: string, address: string, cause: unknown): SluiceError {
  const code = String((cause as { code?: unknown } | null)?.code ?? "");
  return new SluiceError("listen_failed", `cannot bind ${what} to ${address}: ${explain(code, cause)}`, {
    source: "config",
    cause,
  });
}

function explain(code: string, cause: unknown): string {
  switch (code) {
    case "EADDRINUSE":
      return "the address is in use by another socket (EADDRINUSE); choose another port, or stop what listens there";
    case "EACCES":
      return "permission denied (EACCES); ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case "EADDRNOTAVAIL":
      return "this machine has no such address (EADDRNOTAVAIL)";
    case "ENOTFOUND":
    case "":
      // Of a name without an answer Bun 1.4.5 throws an error with this code, or with none.
      return "the host name can't be resolved; write an IP address";
    default:
      return `${code}: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
