/** A redis-server that keeps nothing. */
import { tmpdir } from "node:os";
import { onFreePorts } from "./free-ports.ts";
import { start } from "./programs.ts";

/** Runs until its scope ends. */
export interface Redis extends AsyncDisposable {
  /** As an endpoint is written. */
  readonly address: string;
}

/** Resolves when it accepts connections. */
export function startRedis(): Promise<Redis> {
  return onFreePorts(["tcp"], async ({ tcp }) => {
    const options = { port: `${tcp}`, bind: "127.0.0.1", save: "", appendonly: "no", dir: tmpdir() };
    const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, value]);
    const server = start("redis-server", args);
    const output = await server.says(/Ready to accept connections|Address already in use/);
    if (output.includes("Ready to accept")) {
      return { address: `127.0.0.1:${tcp}`, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
    }
    await server[Symbol.asyncDispose]();
    return undefined;
  });
}
