/** Certificates as files hold them: PEM (RFC 7468), one or more, and what they say. */
import { X509Certificate } from "node:crypto";

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[^]*?-----END \1-----/g;

/** All certificates of a text, in its order; or what is wrong with it, in words. Blocks of other kinds are passed over. */
export function readCertificates(
  pem: string,
): { ok: true; value: readonly X509Certificate[] } | { ok: false; found: string } {
  const certificates: X509Certificate[] = [];
  for (const [block, kind] of pem.matchAll(pemBlock)) {
    if (kind !== "CERTIFICATE" && kind !== "X509 CERTIFICATE" && kind !== "TRUSTED CERTIFICATE") continue;
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return { ok: false, found: `certificate ${certificates.length + 1} in it cannot be parsed` };
    }
  }
  return certificates.length === 0 ? { ok: false, found: "no certificate in it" } : { ok: true, value: certificates };
}

/**
 * The host names that a certificate is for, in lower case; of wildcards those that stand for one whole first label. From
 * the alternative names; from the common name only where there are none (RFC 6125, section 6.4.4).
 */
export function namesOf(certificate: X509Certificate): readonly string[] {
  const alternatives = certificate.subjectAltName;
  const names = alternatives === undefined ? commonNames(certificate.subject) : dnsNames(alternatives);
  return names.map((name) => name.toLowerCase()).filter((name) => hostName.test(name));
}

/** The subject in one line, "CN=client one, O=Example". */
export function subjectOf(certificate: X509Certificate): string {
  return certificate.subject.trim().split("\n").join(", ");
}

/** Whether a certificate is past its time or before it, in words; `undefined` while it is valid. */
export function validityProblem(certificate: X509Certificate, nowMs: number): string | undefined {
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  if (nowMs > to.getTime()) return `expired on ${to.toISOString()}`;
  return nowMs < from.getTime() ? `is not valid before ${from.toISOString()}` : undefined;
}

const hostName = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

/** An entry with a comma, a quote or the like in it stands in quotes, so that it can't pass for two. */
const alternativeName = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g;

function dnsNames(alternatives: string): string[] {
  return [...alternatives.matchAll(alternativeName)].filter(([, kind]) => kind === "DNS").map(([, , name]) => name!);
}

function commonNames(subject: string | undefined): string[] {
  return (subject ?? "")
    .split("\n")
    .filter((line) => line.startsWith("CN="))
    .map((line) => line.slice(3));
}
