/** openssl and curl as clients over TLS that trust the authority of the tests, and no other; openssl as a server. */
import { certificate, type CertificateName } from "./certificates.ts";
import { start, type Program } from "./programs.ts";

/** What openssl is called with, to connect to this port of 127.0.0.1. */
export function opensslClient(port: number): string[] {
  return ["s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", certificate("ca").certFile, "-verify_return_error"];
}

/** What curl is called with before it is given a URL of this name and port, which are at 127.0.0.1. */
export function curlClient(port: number, name = "a.test"): string[] {
  return ["-q", "-sS", "--cacert", certificate("ca").certFile, "--resolve", `${name}:${port}:127.0.0.1`];
}

/** `openssl s_server`; it ends with its scope. */
export interface OpensslServer extends AsyncDisposable {
  readonly port: number;
  readonly program: Program;
}

/** Starts it at a free port of 127.0.0.1, with this certificate. */
export async function startOpensslServer(
  shown: CertificateName,
  ...options: readonly string[]
): Promise<OpensslServer> {
  const { certFile, keyFile } = certificate(shown);
  const program = start("openssl", [
    "s_server",
    "-accept",
    "127.0.0.1:0",
    "-cert",
    certFile,
    "-key",
    keyFile,
    ...options,
  ]);
  const [, port] = /^ACCEPT \S+:(\d+)\n/m.exec(await program.says(/^ACCEPT \S+\n/m))!;
  return { port: Number(port), program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}
