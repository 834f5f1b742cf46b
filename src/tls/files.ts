/** Credentials from the files that a configuration names, which are read anew whenever asked: at start and at a reload. */
import {
  loadClientCredentials,
  loadServerCredentials,
  type ClientCredentials,
  type Loaded,
  type ServerCredentials,
} from "./credentials.ts";

/** Reads a file of text; `found` says in words why not. */
export type ReadText = (path: string) => { ok: true; text: string } | { ok: false; found: string };

/** A listener's TLS, as configured. */
export interface ServerTlsFiles {
  /** Certificate chains, and their keys in the same order. */
  readonly cert: readonly string[];
  readonly key: readonly string[];
  /** "" asks for no certificate of the client. */
  readonly clientCa: string;
  readonly clientCert: "required" | "optional";
  readonly alpn: readonly string[];
}

/** A backend's TLS, as configured; "" where a file or name is not given. */
export interface ClientTlsFiles {
  readonly serverName: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly verify: boolean;
  readonly alpn: readonly string[];
}

/** What a listener shows to its clients; or every problem there is with it. */
export function readServerCredentials(files: ServerTlsFiles, read: ReadText, nowMs: number): Loaded<ServerCredentials> {
  const problems: string[] = [];
  if (files.cert.length !== files.key.length) {
    const [certs, keys] = [counted(files.cert.length, "certificate"), counted(files.key.length, "key")];
    problems.push(`found ${certs} and ${keys}, wanted a key for each certificate`);
  }
  const texts = new Texts(read, problems);
  const certificates = files.cert.map((cert, index) => ({
    cert: texts.of(cert),
    key: texts.of(files.key[index] ?? ""),
  }));
  const clientCa = optional(texts.of(files.clientCa));
  if (problems.length > 0) return { ok: false, problems };
  return loadServerCredentials({ certificates, clientCa, clientCert: files.clientCert, alpn: files.alpn }, nowMs);
}

/** What a backend's endpoints are shown, and how they are verified; or every problem there is with it. */
export function readClientCredentials(files: ClientTlsFiles, read: ReadText, nowMs: number): Loaded<ClientCredentials> {
  const problems: string[] = [];
  if ((files.cert === "") !== (files.key === "")) problems.push("found one of cert and key, wanted both or none");
  const texts = new Texts(read, problems);
  const [ca, cert, key] = [files.ca, files.cert, files.key].map((file) => optional(texts.of(file)));
  if (problems.length > 0) return { ok: false, problems };
  const { verify, alpn } = files;
  return loadClientCredentials({ serverName: optional(files.serverName), ca, cert, key, verify, alpn }, nowMs);
}

/** The files' texts, and what stands in the way of reading them. */
class Texts {
  readonly #read: ReadText;
  readonly #problems: string[];

  constructor(read: ReadText, problems: string[]) {
    this.#read = read;
    this.#problems = problems;
  }

  /** "" for no file, and for one that can't be read. */
  of(file: string): string {
    if (file === "") return "";
    const read = this.#read(file);
    if (read.ok) return read.text;
    this.#problems.push(`cannot read "${file}": ${read.found}`);
    return "";
  }
}

function optional(text: string): string | undefined {
  return text === "" ? undefined : text;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
