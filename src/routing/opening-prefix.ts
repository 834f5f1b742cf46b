/** The condition `prefix`: the first bytes, of any protocol. */
import type { Parsed } from "../core/result.ts";
import { parseByteText } from "../protocol/byte-text.ts";
import { agrees } from "../protocol/octets.ts";
import type { Condition, Judgement } from "./condition.ts";
import type { Reading } from "./reading.ts";

/** The longest prefix in bytes; a longer one is refused. */
const prefixBytesMax = 1024;

/** Takes openings that begin with these bytes. */
export class OpeningPrefix implements Condition {
  readonly key = "prefix";
  readonly text: string;
  readonly peekBytesMax: number;
  readonly bytes: Uint8Array;

  private constructor(text: string, bytes: Uint8Array) {
    this.text = text;
    this.bytes = bytes;
    this.peekBytesMax = bytes.byteLength;
  }

  /** Reads the value of the key: text with escapes for bytes. */
  static parse(text: string): Parsed<OpeningPrefix> {
    const bytes = parseByteText(text);
    if (!bytes.ok) return bytes;
    const found = bytes.value.byteLength;
    if (found > 0 && found <= prefixBytesMax) return { ok: true, value: new OpeningPrefix(text, bytes.value) };
    return { ok: false, wanted: `1 to ${prefixBytesMax} bytes, such as "SSH-2.0"` };
  }

  judge(reading: Reading): Judgement {
    if (!agrees(reading.bytes, 0, this.bytes)) return "no";
    return reading.bytes.byteLength >= this.bytes.byteLength ? "yes" : "unknown";
  }

  covers(other: Condition): boolean {
    if (!(other instanceof OpeningPrefix)) return false;
    return this.bytes.every((byte, at) => byte === other.bytes[at]);
  }
}
