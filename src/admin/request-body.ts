/** The body of a request, read as JSON: bounded in length and in time, whatever its content type is said to be. */
import type { Clock } from "../core/clock.ts";

/** Longer bodies are refused with 413. What is asked for here has a hundred bytes. */
export const bodyBytesMax = 4_096;
/** A body that is not complete by then is given up with 408: Bun's own limit is per silence, and switched off (http-server.ts). */
export const bodyWithinMs = 5_000;

/** The value, or the status code of a refusal and what to say. */
export type Body =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly status: 400 | 408 | 413; readonly error: string };

/**
 * Reads it. The content type is not looked at: there is only one that could be meant, `curl --data` calls everything a
 * form, and what keeps other sites from sending forms here is `access.ts`.
 */
export async function readJson(request: Request, clock: Clock): Promise<Body> {
  if (Number(request.headers.get("content-length") ?? 0) > bodyBytesMax) return tooLong;
  const bytes = await readBytes(request, clock);
  if (!(bytes instanceof Uint8Array)) return bytes;
  try {
    return { ok: true, value: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) };
  } catch (error) {
    return { ok: false, status: 400, error: `the body is no JSON: ${explain(error)}` };
  }
}

/** What a client does is never thrown: it may leave, or send broken chunks, in the middle. */
async function readBytes(request: Request, clock: Clock): Promise<Uint8Array | Body> {
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  const late = Promise.withResolvers<"late">();
  const timer = clock.setTimer(() => late.resolve("late"), bodyWithinMs);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const read = await Promise.race([reader.read(), late.promise]);
      if (read === "late") return tooSlow;
      if (read.done) return Buffer.concat(chunks);
      length += read.value.byteLength;
      if (length > bodyBytesMax) return tooLong;
      chunks.push(read.value);
    }
  } catch {
    return notWhole;
  } finally {
    clock.clearTimer(timer);
    // After the end this does nothing; before it, the rest is thrown away.
    reader.cancel().catch(() => {});
  }
}

const tooLong: Body = { ok: false, status: 413, error: `the body is too long: at most ${bodyBytesMax} bytes are read` };
const tooSlow: Body = { ok: false, status: 408, error: `the body was not complete within ${bodyWithinMs / 1_000} s` };
const notWhole: Body = { ok: false, status: 400, error: "the body did not arrive whole" };

function explain(error: unknown): string {
  return error instanceof SyntaxError ? error.message : "it is not UTF-8";
}
