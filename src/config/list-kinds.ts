/** Kinds of values with a parser of their own behind them: bytes, files, protocols, servers, status codes. */
import * as v from "valibot";
import { parseStatusRanges } from "../backend/health/status-ranges.ts";
import { formatAddress, isIp, parseAddress } from "../core/address.ts";
import type { Parsed } from "../core/result.ts";
import { formatByteText, parseByteText } from "../protocol/byte-text.ts";
import { ApplicationProtocol } from "../routing/application-protocol.ts";
import { found } from "./found.ts";
import { kind, listFromText, parsedText } from "./kind.ts";

/** Bytes, written as text with `\x..` escapes. */
export function byteText() {
  return kind(parsedText("text, with \\x.. for other bytes", {}, parseByteText), "", "text with `\\x..` escapes", {
    toToml: formatByteText,
  });
}

/** The path of a file; "" is none. */
export function file(example: string) {
  return kind(filePath(`the path of a file such as "${example}"`), "", "file", {});
}

/** The path of one file, or a list of paths. */
export function fileList(example: string) {
  const wanted = `the path of a file such as "${example}"`;
  const wantedAny = `${wanted}, or a list of paths`;
  const path = v.pipe(filePath(wanted), v.nonEmpty(found(wanted)));
  const paths = v.pipe(v.array(path), v.minLength(1, `found an empty list, wanted ${wantedAny}`));
  const schema = v.pipe(
    v.union([path, paths], found(wantedAny)),
    v.transform((value): readonly string[] => (typeof value === "string" ? [value] : value)),
  );
  return kind(schema, "", "file, or list of files", {
    // A variable may name several, with commas between them.
    fromText: (text) => (text.includes(",") ? listFromText(text) : text),
    toToml: (value) => (value.length === 1 ? value[0]! : value),
  });
}

/** A longer path names no file (PATH_MAX, Linux). */
const PATH_CHARS_MAX = 4096;

/** Who gives what a file holds instead of its path may have given a private key: no message repeats such a value. */
function filePath(wanted: string) {
  return v.pipe(
    v.string(found(wanted)),
    v.check(
      (text) => text.length <= PATH_CHARS_MAX && !/[\0\r\n]|-----BEGIN /.test(text),
      `found text that is no path, wanted ${wanted}`,
    ),
  );
}

/** Names of application protocols (ALPN), the best first. */
export function protocolList() {
  const wanted = `the name of one protocol, such as "h2" or "http/1.1"`;
  const parse = (text: string): Parsed<string> => {
    const parsed = ApplicationProtocol.parse(text);
    return parsed.ok ? { ok: true, value: text } : parsed;
  };
  const protocol = parsedText(wanted, { examples: ["h2", "http/1.1"] }, parse);
  return kind(v.array(protocol, found(`a list, such as ["h2", "http/1.1"]`)), "", "list of protocols", {
    fromText: listFromText,
  });
}

/** The name, or the IP address, that a certificate is for; "" is none. */
export function serverName() {
  const wanted = `a name such as "db.example.com", or an IP address without a port`;
  const parse = (text: string): Parsed<string> => {
    const parsed = parseAddress(`${text}:0`);
    const isName = parsed.ok && parsed.value.kind === "tcp" && parsed.value.host === text;
    return isName || isIp(text) ? { ok: true, value: text } : { ok: false, wanted };
  };
  return kind(parsedText(wanted, { examples: ["db.example.com"] }, parse), "", "name, or IP address", {});
}

/** DNS servers; without a port it is 53. */
export function serverList() {
  const parse = (text: string): Parsed<{ readonly host: string; readonly port: number }> => {
    const alone = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
    if (isIp(alone)) return { ok: true, value: { host: alone, port: 53 } };
    const parsed = parseAddress(text);
    const wanted = `an IP address with or without a port, such as "127.0.0.1:5353"`;
    if (!parsed.ok || parsed.value.kind !== "tcp" || !isIp(parsed.value.host) || parsed.value.port === 0) {
      return { ok: false, wanted };
    }
    return { ok: true, value: { host: parsed.value.host, port: parsed.value.port } };
  };
  const server = parsedText(`an IP address such as "127.0.0.1:5353"`, { examples: ["127.0.0.1:5353"] }, parse);
  return kind(v.array(server, found(`a list, such as ["127.0.0.1:5353"]`)), "", "list of addresses", {
    fromText: listFromText,
    toToml: (servers) => servers.map((value) => formatAddress({ kind: "tcp", ...value })),
  });
}

/** HTTP status codes, `"200-299,404"`; stays text. */
export function statusRanges() {
  const parse = (text: string): Parsed<string> => {
    const parsed = parseStatusRanges(text);
    return parsed.ok ? { ok: true, value: text } : parsed;
  };
  return kind(parsedText(`status codes such as "200-399"`, { examples: ["200-399"] }, parse), "", "status codes", {});
}
