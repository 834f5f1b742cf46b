/** A plain HTTP server on an address. The only home of `Bun.serve`. */
import type { Server } from "bun";
import { formatAddress } from "../core/address.ts";
import { listenError } from "../core/listen-error.ts";

/**
 * How long a connection may be silent before and between requests, and how long an answer may wait for its reader.
 * A head that is not complete is given up by Bun after 12 s, however it trickles in (Bun 1.4.5).
 */
const idleSeconds = 10;

/** A server that listens. */
export interface HttpServer {
  /** Where it listens, with the port that was taken. */
  readonly address: string;
  /**
   * Stops listening and closes connections at once, event streams and answers under way included. One that has sent
   * nothing yet is left to its timeout, and holds up nothing (Bun 1.4.5).
   */
  stop(): Promise<void>;
}

/**
 * Serves HTTP with `answer`; port 0 takes a free one. `name` is for messages. An answer may take as long as it likes,
 * and so may a body of type text/event-stream; how much of a request's body is read is up to `answer`: what it does not
 * read is thrown away as it comes. Throws a `SluiceError` (`listen_failed`) when the address can't be bound.
 */
export function serveHttp(
  name: string,
  { host, port }: { readonly host: string; readonly port: number },
  answer: (request: Request) => Response | Promise<Response>,
): HttpServer {
  let server: Server<undefined>;
  try {
    server = Bun.serve({
      hostname: host,
      port,
      development: false,
      idleTimeout: idleSeconds,
      // Bun answers what is longer without a body, and closes the connection: `answer` can say what is wrong.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: (request, self) => withPatience(self, request, answer(request)),
      error: () => new Response(null, { status: 500 }),
    });
  } catch (cause) {
    throw listenError(`the ${name}`, formatAddress({ kind: "tcp", host, port }), cause);
  }
  return {
    address: formatAddress({ kind: "tcp", host, port: server.port ?? port }),
    stop: () => server.stop(true),
  };
}

/**
 * Keeps the idle timeout off while an answer is being made, and off an event stream: it would cut both, whatever is sent
 * meanwhile (Bun 1.4.5). It belongs to the connection, so that it is set again for a reader that reads nothing, and for
 * what comes next.
 */
function withPatience(
  server: Server<undefined>,
  request: Request,
  answered: Response | Promise<Response>,
): Response | Promise<Response> {
  if (!(answered instanceof Promise)) return answered;
  server.timeout(request, 0);
  return answered.then((response) => {
    const streams = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    if (!streams) server.timeout(request, idleSeconds);
    return response;
  });
}
