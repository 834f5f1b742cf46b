/**
 * What is shown to peers and what they are verified with, loaded from PEM texts: checked as far as can be without a peer,
 * and made ready for handshakes.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import { encodeProtocols } from "./alpn.ts";
import { namesOf, readCertificates, subjectOf, validityProblem } from "./certificate.ts";
import { makeSecureContext, type SecureContext, type SecureContextSettings } from "./secure-context.ts";
import { ServerNames } from "./server-names.ts";

/** What a server shows and asks for. PEM texts. */
export interface ServerTlsSettings {
  /** Certificates with their chains behind them, and their keys. The first one answers unknown names and clients without a name. */
  readonly certificates: readonly { readonly cert: string; readonly key: string }[];
  /** Whose clients are trusted; `undefined` asks for no certificate. */
  readonly clientCa: string | undefined;
  /** Whether a client may come without one. */
  readonly clientCert: "required" | "optional";
  /** Application protocols, the best one first. Empty: none is agreed on. */
  readonly alpn: readonly string[];
}

/** What a client shows and asks for. PEM texts. */
export interface ClientTlsSettings {
  /** The name to ask for and to verify; `undefined` takes the host that was dialed. */
  readonly serverName: string | undefined;
  /** Whose servers are trusted; `undefined`: the authorities that Bun knows. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Whether the server's certificate has to be valid and for the name. */
  readonly verify: boolean;
  /** Application protocols, the best one first. Empty: none is offered. */
  readonly alpn: readonly string[];
}

/** What a terminator works with. */
export interface ServerCredentials {
  /** Answers unknown names, and clients without one. */
  readonly first: SecureContext;
  readonly byName: ServerNames<SecureContext>;
  /** Whether clients are asked for a certificate. */
  readonly clientCert: "required" | "optional" | "none";
  /** As it is sent; empty: none is agreed on. */
  readonly alpn: Buffer;
}

/** What an originator works with. */
export interface ClientCredentials {
  readonly context: SecureContext;
  readonly serverName: string | undefined;
  readonly verify: boolean;
  /** As it is sent; empty: none is offered. */
  readonly alpn: Buffer;
}

/** What loading gives: the credentials and what is doubtful about them, or everything that is wrong. In words. */
export type Loaded<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Checks and loads what a listener shows. `nowMs`: the time of day; a certificate that is past its time is only warned of. */
export function loadServerCredentials(settings: ServerTlsSettings, nowMs: number): Loaded<ServerCredentials> {
  const report = new Report(nowMs);
  const { certificates, clientCa } = settings;
  const clientCert = clientCa === undefined ? undefined : settings.clientCert;
  if (certificates.length === 0) report.problem("no certificate");
  const alpn = report.protocols(settings.alpn);
  if (clientCa !== undefined) report.authorities("the authority for clients", clientCa);
  const byName = new ServerNames<SecureContext>();
  let first: SecureContext | undefined;
  for (const [index, { cert, key }] of certificates.entries()) {
    const who = certificates.length === 1 ? "the certificate" : `certificate ${index + 1}`;
    const leaf = report.pair(who, cert, key);
    if (leaf === undefined || report.failed) continue;
    const context = report.context(who, { cert, key, ca: clientCa, clientCert });
    if (context === undefined) continue;
    first ??= context;
    for (const name of namesOf(leaf)) byName.add(name, context);
  }
  return report.loaded(() => ({ first: first!, byName, clientCert: clientCert ?? "none", alpn: alpn! }));
}

/** Checks and loads what a backend's endpoints are shown and verified with. */
export function loadClientCredentials(settings: ClientTlsSettings, nowMs: number): Loaded<ClientCredentials> {
  const report = new Report(nowMs);
  const { serverName, ca, cert, key, verify } = settings;
  const alpn = report.protocols(settings.alpn);
  if (ca !== undefined) report.authorities("the authority", ca);
  if (cert !== undefined && key !== undefined) report.pair("the certificate", cert, key);
  else if (cert !== undefined) report.problem("a certificate without its key");
  else if (key !== undefined) report.problem("a key without its certificate");
  const context = report.failed ? undefined : report.context("TLS", { cert, key, ca });
  return report.loaded(() => ({ context: context!, serverName, verify, alpn: alpn! }));
}

/** Collects what is wrong and what is doubtful. */
class Report {
  readonly #problems: string[] = [];
  readonly #warnings: string[] = [];
  readonly #nowMs: number;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  get failed(): boolean {
    return this.#problems.length > 0;
  }

  problem(words: string): undefined {
    this.#problems.push(words);
  }

  /** The result; `value` is asked for only when nothing is wrong. */
  loaded<T>(value: () => T): Loaded<T> {
    if (this.failed) return { ok: false, problems: this.#problems };
    return { ok: true, value: value(), warnings: this.#warnings };
  }

  protocols(names: readonly string[]): Buffer | undefined {
    const encoded = encodeProtocols(names);
    return encoded.ok ? encoded.value : this.problem(`found ${encoded.found}`);
  }

  /** Looks at the certificates of authorities. */
  authorities(who: string, pem: string): void {
    for (const certificate of this.#certificates(who, pem) ?? []) {
      this.#checkValidity(`${who} (${subjectOf(certificate)})`, certificate);
    }
  }

  /** Looks at a certificate with its chain and at its key. Returns the certificate itself when they belong together. */
  pair(who: string, cert: string, key: string): X509Certificate | undefined {
    const chain = this.#certificates(who, cert);
    const privateKey = this.#key(who, key);
    if (chain === undefined || privateKey === undefined) return undefined;
    for (const certificate of chain) this.#checkValidity(`${who} (${subjectOf(certificate)})`, certificate);
    const [leaf] = chain;
    return leaf!.checkPrivateKey(privateKey)
      ? leaf
      : this.problem(`${who}: the key does not belong to the certificate`);
  }

  context(who: string, settings: SecureContextSettings): SecureContext | undefined {
    const made = makeSecureContext(settings);
    return made.ok ? made.value : this.problem(`${who} cannot be used: ${made.found}`);
  }

  #certificates(who: string, pem: string): readonly X509Certificate[] | undefined {
    const read = readCertificates(pem);
    return read.ok ? read.value : this.problem(`${who}: found ${read.found}`);
  }

  #key(who: string, pem: string): KeyObject | undefined {
    if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
      return this.problem(`${who}: found a key that is encrypted, wanted one without a passphrase`);
    }
    try {
      return createPrivateKey(pem);
    } catch {
      return this.problem(`${who}: found no private key (PEM) in the key's file`);
    }
  }

  #checkValidity(who: string, certificate: X509Certificate): void {
    const problem = validityProblem(certificate, this.#nowMs);
    if (problem !== undefined) this.#warnings.push(`${who} ${problem}`);
  }
}
