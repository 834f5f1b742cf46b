/** What a key's value may be: a valibot schema from the file's form to the program's, and how it is written in a variable, in TOML and in the reference. */
import * as v from "valibot";
import {
  type Address,
  type EndpointAddress,
  formatAddress,
  parseAddress,
  parseEndpointAddress,
} from "../core/address.ts";
import { formatCidr, parseCidr } from "../core/cidr.ts";
import { didYouMean } from "../core/did-you-mean.ts";
import { DURATION_MS_MAX, DURATION_PATTERN, formatDurationMs, parseDurationMs } from "../core/duration.ts";
import type { Parsed } from "../core/result.ts";
import { found, foundSecret } from "./found.ts";
import type { TomlValue } from "./toml-text.ts";

/** What is appended to a key's name inside the program: milliseconds, or nothing. */
export type Unit = "" | "Ms";

/** One sort of value. The output of `schema` is what the program sees. */
export interface Kind<Schema extends v.GenericSchema = v.GenericSchema, U extends Unit = Unit> {
  readonly schema: Schema;
  readonly unit: U;
  /** The sort's name in the reference, in Markdown. */
  readonly says: string;
  /** From the text of an environment variable to the file's form; text that does not fit stays text, for the schema to refuse. */
  fromText(text: string): unknown;
  /** From the program's form back to the file's. */
  toToml(value: v.InferOutput<Schema>): TomlValue;
  /** True for a value that no message and no printed configuration may show. */
  readonly secret?: true;
}

/** true or false. */
export function boolean() {
  return kind(v.boolean(found("true or false")), "", "`true` or `false`", {
    fromText: (text) => (text === "true" ? true : text === "false" ? false : text),
  });
}

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number) {
  const wanted = found(`a whole number from ${count(min)} to ${count(max)}`);
  const schema = v.pipe(v.number(wanted), v.integer(wanted), v.minValue(min, wanted), v.maxValue(max, wanted));
  return kind(schema, "", `whole number, ${count(min)} … ${count(max)}`, { fromText: numberFromText });
}

/** A number from `min` to `max`, with or without a fraction. */
export function fraction(min: number, max: number) {
  const wanted = found(`a number from ${min} to ${max}`);
  const schema = v.pipe(v.number(wanted), v.minValue(min, wanted), v.maxValue(max, wanted));
  return kind(schema, "", `number, ${min} … ${max}`, {
    fromText: (text) => (/^[0-9]+(?:\.[0-9]+)?$/.test(text) ? Number(text) : text),
  });
}

/** A number of processes, or "auto". */
export function workers() {
  const wanted = found(`a whole number from 1 to 1_024, or "auto"`);
  const number = v.pipe(v.number(wanted), v.integer(wanted), v.minValue(1, wanted), v.maxValue(1024, wanted));
  // "auto" becomes NaN, which is never the default; whoever builds workers decides what it is.
  const schema = v.pipe(v.union([number, v.literal("auto", wanted)], wanted), v.transform(Number));
  return kind(schema, "", "whole number, 1 … 1_024, or `auto`", {
    fromText: numberFromText,
    toToml: (count) => (Number.isNaN(count) ? "auto" : count),
  });
}

/** One word of a closed set. */
export function oneOf<const Word extends string>(words: readonly Word[]) {
  const says = (quote: string) => words.map((word) => `${quote}${word}${quote}`).join(", ");
  const wanted = `one of ${says('"')}`;
  const schema = v.picklist(words, (issue) => {
    const hint = typeof issue.input === "string" ? didYouMean(issue.input, words) : "";
    return `${found(wanted)(issue)}${hint}`;
  });
  return kind(schema, "", says("`"), {});
}

/** Text of any sort. */
export function text(says = "text") {
  return kind(v.string(found("text in quotes")), "", says, {});
}

/** The name of a listener or a backend, which also becomes a part of variables and a label of metrics. */
export function name() {
  const schema = v.pipe(
    v.string(found(NAME_WANTED)),
    v.regex(NAME_PATTERN, (issue) => `${found(NAME_WANTED)(issue)}`),
  );
  return kind(schema, "", "name", {});
}

/** Letters, digits, "-" and "_", beginning with a letter or a digit, at most 64. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const NAME_WANTED = `a name of at most 64 letters, digits, "-" and "_" that begins with a letter or a digit`;

/** A secret of printable characters without spaces; "" is none. Its messages never show the value. */
export function secret() {
  const wanted = foundSecret("printable ASCII characters without spaces, at most 4_096");
  const schema = v.pipe(v.string(wanted), v.regex(/^[\x21-\x7e]{0,4096}$/, wanted));
  return { ...kind(schema, "", "text (secret)", {}), secret: true } as const;
}

/** A duration, in milliseconds inside the program: a multiple of `stepMs`, at most `maxMs`. */
export function duration(limits: { stepMs: number; maxMs: number } = { stepMs: 1, maxMs: DURATION_MS_MAX }) {
  const parse = (text: string): Parsed<number> => {
    const parsed = parseDurationMs(text);
    if (!parsed.ok || (parsed.value <= limits.maxMs && parsed.value % limits.stepMs === 0)) return parsed;
    const [step, most] = [formatDurationMs(limits.stepMs), formatDurationMs(limits.maxMs)];
    return { ok: false, wanted: `a duration in steps of "${step}", at most "${most}"` };
  };
  const metadata = { pattern: DURATION_PATTERN.source };
  const schema = parsedText(`a duration such as "250ms", "5s", "1m30s" or "1h"`, metadata, parse);
  return kind(schema, "Ms", "duration", { toToml: formatDurationMs });
}

/** An address to listen on. A port alone means every IPv4 address; port 0 takes a free port. */
export function listenAddress() {
  const parse = (text: string): Parsed<Address> => {
    const parsed = parseAddress(text);
    if (!parsed.ok || parsed.value.kind === "unix" || parsed.value.host !== "") return parsed;
    return { ok: true, value: { ...parsed.value, host: "0.0.0.0" } };
  };
  const metadata = { examples: ["127.0.0.1:8080", ":8080", "[::1]:8080", "unix:/run/x.sock"] };
  const schema = parsedText(`an address such as "127.0.0.1:8080", ":8080" or "[::]:8080"`, metadata, parse);
  return kind(schema, "", "address", { toToml: formatAddress });
}

/** An address to connect to: a host and a port, the path of a Unix socket, or the name of a service. */
export function endpointAddress() {
  const wanted = `an address such as "127.0.0.1:9000" or "name:9000"`;
  const parse = (text: string): Parsed<EndpointAddress> => {
    const parsed = parseEndpointAddress(text);
    if (!parsed.ok || parsed.value.kind !== "tcp") return parsed;
    if (parsed.value.host === "") return { ok: false, wanted: `a host before the port, such as "127.0.0.1${text}"` };
    if (parsed.value.port === 0) return { ok: false, wanted: "a port from 1 to 65535" };
    return parsed;
  };
  const metadata = {
    examples: ["127.0.0.1:9000", "[::1]:9000", "name:9000", "unix:/run/x.sock", "srv:_pg._tcp.example.com"],
  };
  return kind(parsedText(wanted, metadata, parse), "", "address", { toToml: formatAddress });
}

/** Networks and single addresses. Each mistake in the list is a problem of its own. */
export function cidrList() {
  const wanted = `a network such as "10.0.0.0/8" or "2001:db8::/32"`;
  const cidr = parsedText(wanted, { examples: ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"] }, parseCidr);
  return kind(v.array(cidr, found(`a list, such as ["10.0.0.0/8"]`)), "", "list of CIDRs", {
    fromText: listFromText,
    toToml: (cidrs) => cidrs.map(formatCidr),
  });
}

/** Permissions of a file, octal digits in quotes; the number inside the program. */
export function fileMode() {
  const wanted = `a file mode of three octal digits such as "0660"`;
  const parse = (text: string): Parsed<number> =>
    FILE_MODE_PATTERN.test(text) ? { ok: true, value: Number.parseInt(text, 8) } : { ok: false, wanted };
  const schema = parsedText(wanted, { pattern: FILE_MODE_PATTERN.source }, parse);
  return kind(schema, "", "file mode", { toToml: (mode) => `0${mode.toString(8).padStart(3, "0")}` });
}

/** Read, write and execute for the owner, the group and the others; no set-user-ID and its like. */
const FILE_MODE_PATTERN = /^0?[0-7]{3}$/;

/** A list of `entry`, given as its short text or as a table, with at least one element. */
export function listOf<Short extends v.GenericSchema, Long extends v.GenericSchema>(
  wanted: string,
  says: string,
  short: Short,
  long: Long,
  toToml: (value: v.InferOutput<Short> | v.InferOutput<Long>) => TomlValue,
) {
  const item = v.union([short, long], found(`${wanted}, or a table with its address`));
  const list = v.pipe(
    v.array(item, found(`a list, such as [${wanted.slice(wanted.indexOf('"'))}]`)),
    v.minLength(1, `found an empty list, wanted at least one, such as [${wanted.slice(wanted.indexOf('"'))}]`),
  );
  return kind(list, "", says, { fromText: listFromText, toToml: (values) => values.map((value) => toToml(value)) });
}

/** Makes a kind; what is left out of `texts` is as for text. */
export function kind<Schema extends v.GenericSchema, U extends Unit>(
  schema: Schema,
  unit: U,
  says: string,
  texts: { fromText?: (text: string) => unknown; toToml?: (value: v.InferOutput<Schema>) => TomlValue },
): Kind<Schema, U> {
  return {
    schema,
    unit,
    says,
    fromText: texts.fromText ?? ((text) => text),
    toToml: texts.toToml ?? ((value) => value as TomlValue),
  };
}

/** Text that a parser of ours reads; `metadata` goes to the JSON Schema as it is. */
export function parsedText<T>(wanted: string, metadata: Record<string, unknown>, parse: (text: string) => Parsed<T>) {
  return v.pipe(
    v.string(found(wanted)),
    v.metadata(metadata),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      const parsed = parse(dataset.value);
      if (parsed.ok) return parsed.value;
      addIssue({ message: found(parsed.wanted)({ input: dataset.value }) });
      return NEVER;
    }),
  );
}

/** Digits, with "_" between them as in TOML; anything else stays text. */
function numberFromText(text: string): unknown {
  return /^-?[0-9]+(?:_[0-9]+)*$/.test(text) ? Number(text.replaceAll("_", "")) : text;
}

/** A list from the text of a variable: its items are separated by commas. */
export function listFromText(text: string): unknown {
  return text.trim() === "" ? [] : text.split(",").map((item) => item.trim());
}

function count(value: number): string {
  return value.toLocaleString("en-US").replaceAll(",", "_");
}
