/** The TLS files of a listener or a backend, read; and whether they are other ones than before. */
import { readTextFile } from "../config/load.ts";
import { SluiceError } from "../core/error.ts";
import type { Loaded } from "../tls/credentials.ts";
import type { ReadText } from "../tls/files.ts";

/** Something read from files. */
export interface FilesRead<T> {
  readonly value: T;
  /** The same for the same settings and contents. */
  readonly digest: bigint;
}

/**
 * Reads credentials with `load`. The files were checked with the configuration; they may have changed since, and then it
 * throws a `SluiceError` (`tls_failed`) that names `of`.
 */
export function readFiles<T>(
  of: string,
  settings: object,
  load: (read: ReadText, nowMs: number) => Loaded<T>,
): FilesRead<T> {
  let digest = Bun.hash.wyhash(JSON.stringify(settings));
  const read: ReadText = (path) => {
    const text = readTextFile(path);
    digest = Bun.hash.wyhash(JSON.stringify([path, text]), digest);
    return text;
  };
  const loaded = load(read, Date.now());
  if (loaded.ok) return { value: loaded.value, digest };
  throw new SluiceError("tls_failed", `cannot use the TLS files of ${of}: ${loaded.problems.join("; ")}`, {
    source: "config",
  });
}
