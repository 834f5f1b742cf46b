/** Why a handshake came to nothing, in a few words for a log. */

/** The code of Bun's error for a certificate that is good, and for another name. */
export const wrongName = "ERR_TLS_CERT_ALTNAME_INVALID";

/** What Bun's error says, without the names of functions and libraries around it. */
export function reasonOf(refusal: Error | null): string {
  if (refusal === null) return "the handshake failed";
  switch (codeOf(refusal)) {
    case "EPROTO":
      // "error:10000133:SSL routines:OPENSSL_internal:NO_APPLICATION_PROTOCOL"
      return refusal.message
        .slice(refusal.message.lastIndexOf(":") + 1)
        .toLowerCase()
        .replaceAll("_", " ");
    case wrongName: {
      const { reason } = refusal as { reason?: unknown };
      return typeof reason === "string" ? reason : refusal.message;
    }
    default:
      return refusal.message;
  }
}

/** The code of an error of Bun's, "EPROTO". */
export function codeOf(error: Error | null): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
