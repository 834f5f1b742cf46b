/** Judges an HTTP answer by its status line (RFC 9112 section 4), and looks at nothing beyond. */
import { includesStatus, type StatusRanges } from "./status-ranges.ts";
import { bad, good, type AnswerReader, type Verdict } from "./verdict.ts";

/** The longest status line, its end included; a longer one is no answer of HTTP. */
export const statusLineBytesMax = 1_024;

/** `HTTP/1.` digit blank and the three digits of the status: what stands where. */
const prefix = new TextEncoder().encode("HTTP/1.");
const minorAt = prefix.length;
const blankAt = minorAt + 1;
const statusAt = blankAt + 1;
const statusEnd = statusAt + 3;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const blank = 0x20;

/**
 * Strict in what matters, and byte by byte, so that something else than HTTP is found out by its first byte. As a client
 * may, it takes a line feed alone for the end of the line (RFC 9112 section 2.2), and a missing blank behind the status,
 * which servers leave out with the phrase. An interim answer (1xx) is judged like any other: nothing has asked for one.
 */
export class StatusLine implements AnswerReader {
  bytes = 0;
  readonly #healthy: StatusRanges;
  #status = 0;
  /** The byte before was a carriage return, which only the end of the line may follow. */
  #returned = false;

  constructor(healthy: StatusRanges) {
    this.#healthy = healthy;
  }

  take(chunk: Uint8Array): Verdict | undefined {
    for (const byte of chunk) {
      if (this.bytes >= statusLineBytesMax) return notHttp;
      const at = this.bytes++;
      if (at >= statusEnd && byte === lineFeed) return this.#judge();
      if (!this.#fits(at, byte)) return notHttp;
    }
    return undefined;
  }

  #fits(at: number, byte: number): boolean {
    if (at < minorAt) return byte === prefix[at];
    if (at === minorAt) return isDigit(byte);
    if (at === blankAt) return byte === blank;
    if (at < statusEnd) {
      this.#status = this.#status * 10 + byte - 0x30;
      return isDigit(byte);
    }
    if (this.#returned) return false;
    this.#returned = byte === carriageReturn;
    return this.#returned || (at === statusEnd ? byte === blank : isPhrase(byte));
  }

  #judge(): Verdict {
    const why = `status ${String(this.#status).padStart(3, "0")}`;
    return includesStatus(this.#healthy, this.#status) ? good(why, "read_out") : bad(why, "read_out");
  }
}

const notHttp = bad("the answer is not HTTP/1");

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Of the reason phrase: tab, blank, what is visible, and what is not ASCII. */
function isPhrase(byte: number): boolean {
  return byte === 0x09 || (byte >= blank && byte !== 0x7f);
}
