/** Loading the configuration: the one place of this room that reads files, and the functions that other rooms use. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { assemble, type Assembled, variableProblems } from "./assemble.ts";
import type { SystemFacts } from "./descriptors.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Environment, ReadValueFile } from "./environment.ts";
import { positionsIn } from "./positions.ts";
import { parseToml } from "./toml.ts";

export type { SystemFacts } from "./descriptors.ts";
export { type Diagnostic, formatDiagnostic } from "./diagnostic.ts";
export { configJsonSchema } from "./json-schema.ts";
export { printConfig } from "./print.ts";
export { configurationReference } from "./reference.ts";

/** The largest configuration file; a larger one is refused before it is parsed. */
export const CONFIG_BYTES_MAX = 1024 * 1024;
/** The largest file that a key names, such as a bundle of authorities; a larger one is refused. */
const NAMED_FILE_BYTES_MAX = 4 * 1024 * 1024;
/** The largest file that a …_FILE variable may name; a larger one is refused. */
export const VALUE_FILE_BYTES_MAX = 64 * 1024;

/** The first piece that is read of a file; most have no more. */
const FIRST_PIECE_BYTES = 16 * 1024;

/**
 * When a file is read:
 * - `at start`: it may be a pipe, such as what a shell has behind `<(…)`; whoever writes it is waited for.
 * - `again`: connections are open that must not wait, and a pipe that has been read is empty: pipes and terminals are refused.
 */
export type ReadingTime = "at start" | "again";

/**
 * Reads a file and the environment. `file` is shown in diagnostics as it is given. When the file cannot be used at all, what is
 * wrong with the environment is reported with it.
 */
export async function loadConfig(
  file: string,
  env: Environment,
  system: SystemFacts,
  when: ReadingTime = "at start",
): Promise<Assembled> {
  const readValueFile = valueFileReader(when);
  const read = readText(file, CONFIG_BYTES_MAX, when);
  if (!read.ok) {
    const source =
      read.at === undefined ? ({ kind: "whole file", file } as const) : ({ kind: "file", file, ...read.at } as const);
    const message = read.at === undefined ? `cannot read the configuration: ${read.found}` : read.found;
    return unusable({ source, path: "", message }, env, readValueFile);
  }
  const parsed = parseToml(read.text);
  if (!parsed.ok) {
    const { line, column, name, message } = parsed;
    return unusable({ source: { kind: "file", file, line, column }, path: name, message }, env, readValueFile);
  }
  return assemble(parsed.value, env, system, positionsIn(file, read.text), readValueFile, readTextFile);
}

/** The same for values that are already there, in the form that the file has; diagnostics have no file then. */
export function configFromValue(value: unknown, env: Environment, system: SystemFacts): Assembled {
  return assemble(value, env, system, () => ({ kind: "program" }), valueFileReader("at start"), readTextFile);
}

function unusable(problem: Diagnostic, env: Environment, readValueFile: ReadValueFile): Assembled {
  return { ok: false, problems: [problem, ...variableProblems(env, readValueFile)] };
}

function valueFileReader(when: ReadingTime): ReadValueFile {
  return (path) => withoutPlace(readText(path, VALUE_FILE_BYTES_MAX, when));
}

/** Reads a file of text that the configuration names, such as a certificate; `found` says in words why not. It is read more than once, so that it is no pipe. */
export function readTextFile(path: string, bytesMax = NAMED_FILE_BYTES_MAX): ReturnType<ReadValueFile> {
  return withoutPlace(readText(path, bytesMax, "again"));
}

function withoutPlace(read: ReadText): ReturnType<ReadValueFile> {
  return read.ok ? read : { ok: false, found: read.found };
}

type ReadText = { ok: true; text: string } | { ok: false; found: string; at?: { line: number; column: number } };

/** Reads at most `bytesMax` bytes of UTF-8, from anything that can be read: its size is nothing that a pipe or a device could tell. */
function readText(path: string, bytesMax: number, when: ReadingTime): ReadText {
  let bytes: Buffer = Buffer.allocUnsafe(Math.min(FIRST_PIECE_BYTES, bytesMax + 1));
  let length = 0;
  try {
    // Whether it is a pipe is known once it is open; without O_NONBLOCK that would wait for a writer.
    const fd = openSync(path, constants.O_RDONLY | (when === "again" ? constants.O_NONBLOCK : 0));
    try {
      if (when === "again" && fstatSync(fd).isFIFO())
        return { ok: false, found: "it is a pipe, wanted a file that can be read again" };
      while (length <= bytesMax) {
        if (length === bytes.length) bytes = grown(bytes, bytesMax + 1);
        const count = readSync(fd, bytes, length, bytes.length - length, null);
        if (count === 0) break;
        length += count;
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return { ok: false, found: inWords(error) };
  }
  if (length > bytesMax) return { ok: false, found: `found more than ${bytesMax / 1024} KiB, wanted at most that` };
  const read = bytes.subarray(0, length);
  try {
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(read) };
  } catch {
    return { ok: false, found: "found bytes that are not UTF-8, wanted UTF-8 text", at: firstInvalid(read) };
  }
}

function grown(bytes: Buffer, lengthMax: number): Buffer {
  const larger = Buffer.allocUnsafe(Math.min(2 * bytes.length, lengthMax));
  larger.set(bytes);
  return larger;
}

/** Line and column behind the longest beginning that is UTF-8; a streaming decoder leaves out a last character that is cut off. */
function firstInvalid(bytes: Buffer): { line: number; column: number } {
  const beginning = (length: number): string | undefined => {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length), { stream: true });
    } catch {
      return undefined;
    }
  };
  // `valid` bytes decode, `invalid` bytes do not.
  let [valid, invalid] = [0, bytes.length + 1];
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (beginning(middle) === undefined) invalid = middle;
    else valid = middle;
  }
  const lines = (beginning(valid) ?? "").split("\n");
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

function inWords(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EISDIR":
      return "it is a directory, wanted a file";
    case "ENOTDIR":
      return "a part of its path is not a directory";
    case "EAGAIN":
      return "there is nothing to read from it now, wanted a file that can be read again";
    case "ENAMETOOLONG":
      return "its path is too long";
    default:
      return code === "" ? "it cannot be opened" : code;
  }
}
