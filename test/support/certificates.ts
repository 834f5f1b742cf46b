/**
 * Certificates for tests, made by openssl when they are asked for the first time, and files of them for programs that want
 * files. They live in a temporary folder of this process, which nobody here removes, since `bun test` does not tell of its
 * end (Bun 1.4.5): it is scripts/test.ts that removes all temporary files of a run.
 */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileOf } from "./programs.ts";

/** A certificate and its key, as PEM texts and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** The names of those there are, and what they are for. */
export type CertificateName =
  /** The authority of all but `stranger` and `selfSigned`. */
  | "ca"
  /** Of a server: a.test and 127.0.0.1. */
  | "a"
  /** As `a`, with another key: what replaces it. */
  | "a2"
  /** Of a server: every name one label below b.test, and no address. */
  | "b"
  /** Of a server, with a common name and no alternative names: c.test. */
  | "c"
  /** Of a client: "client one", of the organisation "Example". */
  | "client"
  /** As `a`, and past its time since 2021. */
  | "expired"
  /** Another authority. */
  | "otherCa"
  /** As `a`, by the other authority. */
  | "stranger"
  /** Of a client, by the other authority. */
  | "strangeClient";

/** Makes a certificate, or gives the one that has been made. */
export function certificate(name: CertificateName): Certificate {
  let made = certificates.get(name);
  if (made === undefined) certificates.set(name, (made = make(name)));
  return made;
}

const certificates = new Map<CertificateName, Certificate>();

interface Request {
  readonly subject: string;
  /** Lines of an OpenSSL extension section. */
  readonly extensions: string;
  /** `undefined`: it signs itself. */
  readonly issuer?: CertificateName;
  /** First and last moment, as OpenSSL writes them; thirty days from now if left out. */
  readonly validity?: readonly [string, string];
}

const authority = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n";
const requests: Readonly<Record<CertificateName, Request>> = {
  ca: { subject: "/CN=Test authority", extensions: authority },
  a: { subject: "/CN=a.test", extensions: "subjectAltName=DNS:a.test,IP:127.0.0.1\n", issuer: "ca" },
  a2: { subject: "/CN=a.test", extensions: "subjectAltName=DNS:a.test,IP:127.0.0.1\n", issuer: "ca" },
  b: { subject: "/CN=not the name", extensions: "subjectAltName=DNS:*.b.test\n", issuer: "ca" },
  c: { subject: "/CN=C.test", extensions: "extendedKeyUsage=serverAuth\n", issuer: "ca" },
  client: { subject: "/O=Example/CN=client one", extensions: "extendedKeyUsage=clientAuth\n", issuer: "ca" },
  expired: {
    subject: "/CN=a.test",
    extensions: "subjectAltName=DNS:a.test,IP:127.0.0.1\n",
    issuer: "ca",
    validity: ["20200101000000Z", "20210101000000Z"],
  },
  otherCa: { subject: "/CN=Other authority", extensions: authority },
  stranger: { subject: "/CN=a.test", extensions: "subjectAltName=DNS:a.test,IP:127.0.0.1\n", issuer: "otherCa" },
  strangeClient: { subject: "/CN=client two", extensions: "extendedKeyUsage=clientAuth\n", issuer: "otherCa" },
};

let folder: string | undefined;

function ownFolder(): string {
  return (folder ??= mkdtempSync(join(tmpdir(), "sluice-certificates-")));
}

function make(name: CertificateName): Certificate {
  const { subject, extensions, issuer, validity } = requests[name];
  const path = (suffix: string): string => join(ownFolder(), `${name}.${suffix}`);
  const [certFile, keyFile] = [path("pem"), path("key")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", ...curve, "-subj", subject, "-keyout", keyFile, "-out", path("csr"));
  const signer = issuer === undefined ? undefined : certificate(issuer);
  // Only `openssl ca` takes dates (OpenSSL 3.0), and it wants its records in files.
  writeFileSync(path("index"), "");
  writeFileSync(path("conf"), authorityConfiguration(path("index"), extensions));
  const by =
    signer === undefined ? ["-selfsign", "-keyfile", keyFile] : ["-cert", signer.certFile, "-keyfile", signer.keyFile];
  const dates = validity === undefined ? ["-days", "30"] : ["-startdate", validity[0], "-enddate", validity[1]];
  openssl("ca", "-batch", "-notext", "-config", path("conf"), ...by, ...dates, "-in", path("csr"), "-out", certFile);
  return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8"), certFile, keyFile };
}

function authorityConfiguration(database: string, extensions: string): string {
  return `[ca]
default_ca=own
[own]
database=${database}
new_certs_dir=${ownFolder()}
rand_serial=yes
default_md=sha256
policy=any
x509_extensions=extensions
unique_subject=no
[any]
commonName=supplied
organizationName=optional
[extensions]
${extensions}`;
}

function openssl(...args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync([fileOf("openssl"), ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${args.join(" ")} exited with ${exitCode}: ${stderr.toString()}`);
}
