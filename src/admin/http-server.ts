/** A plain HTTP server on an address. The only home of `Bun.serve`. */
import type { Server } from "bun";
import { formatAddress } from "../core/address.ts";
import { listenError } from "../core/listen-error.ts";

/** A server that listens. */
export interface HttpServer {
  /** Where it listens, with the port that was taken. */
  readonly address: string;
  /** Stops listening and closes connections; those with an answer under way first get it. */
  stop(): Promise<void>;
}

/**
 * Serves HTTP with `answer`; port 0 takes a free one. `name` is for messages.
 * Throws a `SluiceError` (`listen_failed`) when the address can't be bound.
 */
export function serveHttp(
  name: string,
  { host, port }: { readonly host: string; readonly port: number },
  answer: (request: Request) => Response | Promise<Response>,
): HttpServer {
  let server: Server<undefined>;
  try {
    server = Bun.serve({ hostname: host, port, fetch: answer, error: () => new Response(null, { status: 500 }) });
  } catch (cause) {
    throw listenError(`the ${name}`, formatAddress({ kind: "tcp", host, port }), cause);
  }
  return {
    address: formatAddress({ kind: "tcp", host, port: server.port ?? port }),
    stop: () => server.stop(true),
  };
}
