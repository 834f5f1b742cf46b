/** Terminators and originators with certificates of the tests, and two proxies with TLS between them. */
import {
  loadClientCredentials,
  loadServerCredentials,
  type ClientCredentials,
  type ClientTlsSettings,
  type Loaded,
  type ServerCredentials,
} from "../../src/tls/credentials.ts";
import { Originator } from "../../src/tls/originator.ts";
import { Terminator } from "../../src/tls/terminator.ts";
import { certificate, type CertificateName } from "./certificates.ts";
import { startProxy, type ProxyOptions, type TestProxy } from "./proxy.ts";

/** How a server differs from one that shows `a`, asks for nothing and agrees on no protocol. */
export interface ServerOptions {
  readonly certificates?: readonly CertificateName[];
  readonly clientCa?: CertificateName;
  readonly clientCert?: "required" | "optional";
  readonly alpn?: readonly string[];
}

/** How a client differs from one that wants a.test of the authority `ca`, and shows nothing. */
export interface ClientOptions extends Partial<Pick<ClientTlsSettings, "verify" | "alpn">> {
  /** `null`: the host that is dialed. */
  readonly serverName?: string | null;
  readonly ca?: CertificateName;
  readonly certificate?: CertificateName;
}

/** Loads what a server shows. */
export function serverCredentials(options: ServerOptions = {}): ServerCredentials {
  const { certificates = ["a"], clientCa, clientCert = "required", alpn = [] } = options;
  const settings = {
    certificates: certificates.map((name) => certificate(name)),
    clientCa: clientCa === undefined ? undefined : certificate(clientCa).cert,
    clientCert,
    alpn,
  };
  return loaded(loadServerCredentials(settings, Date.now()));
}

/** Loads what a client shows and trusts. */
export function clientCredentials(options: ClientOptions = {}): ClientCredentials {
  const { serverName = "a.test", ca = "ca", verify = true, alpn = [] } = options;
  const own = options.certificate === undefined ? undefined : certificate(options.certificate);
  const settings = {
    serverName: serverName ?? undefined,
    ca: certificate(ca).cert,
    cert: own?.cert,
    key: own?.key,
    verify,
    alpn,
  };
  return loaded(loadClientCredentials(settings, Date.now()));
}

/** Ends TLS as a server with these options. */
export function terminatorOf(options?: ServerOptions): Terminator {
  return new Terminator(serverCredentials(options));
}

/** Speaks TLS as a client with these options. */
export function originatorOf(options?: ClientOptions): Originator {
  return new Originator(clientCredentials(options));
}

function loaded<T>(result: Loaded<T>): T {
  if (!result.ok) throw new Error(`credentials of the tests: ${result.problems.join("; ")}`);
  return result.value;
}

/** Two proxies in a row: what arrives in plain at `front` goes under TLS to `back`, and from there in plain to the backend. */
export interface TlsHop {
  readonly front: TestProxy;
  readonly back: TestProxy;
  /** Where clients connect. */
  readonly port: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** `between` may put something between the two: it is given the port of `back` and gives the port to dial instead. */
export function startTlsHop(
  backendPort: number,
  options: ProxyOptions = {},
  between: (port: number) => number = (port) => port,
): TlsHop {
  const back = startProxy(backendPort, { ...options, terminator: terminatorOf() });
  const front = startProxy(between(back.port), { ...options, originator: originatorOf() });
  return {
    front,
    back,
    port: front.port,
    async [Symbol.asyncDispose]() {
      await front[Symbol.asyncDispose]();
      await back[Symbol.asyncDispose]();
    },
  };
}
