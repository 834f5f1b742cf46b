/**
 * A set of keys, certificates and rules that TLS connections are made with: BoringSSL's SSL_CTX, made once and shared by
 * all connections. Session tickets are encrypted with a key of its own, so it is kept for as long as sessions are to be
 * resumed.
 */
import type { SecureContextOptions } from "node:tls";

/** Opaque: Bun's own object. */
export type SecureContext = object & { readonly secureContext: unique symbol };

/** What it is made of, PEM texts. */
export interface SecureContextSettings {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Whom to trust. Left out: the authorities that Bun knows. */
  readonly ca?: string | undefined;
  /** Of a server: whether clients are asked for a certificate. One that is `required` ends a handshake that has none. */
  readonly clientCert?: "required" | "optional" | undefined;
}

/** Or what is wrong, in words. */
export function makeSecureContext(
  settings: SecureContextSettings,
): { ok: true; value: SecureContext } | { ok: false; found: string } {
  const { cert, key, ca, clientCert } = settings;
  const options: SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean } = {
    minVersion: "TLSv1.2",
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ca === undefined ? {} : { ca }),
    ...(clientCert === undefined ? {} : { requestCert: true, rejectUnauthorized: clientCert === "required" }),
  };
  // Loaded by who uses TLS: it takes memory (Bun 1.4.5).
  const { createSecureContext } = process.getBuiltinModule("node:tls");
  try {
    return { ok: true, value: createSecureContext(options).context as SecureContext };
  } catch (cause) {
    return { ok: false, found: cause instanceof Error ? cause.message : String(cause) };
  }
}
