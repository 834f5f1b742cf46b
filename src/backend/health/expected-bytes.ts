/** Judges an answer by the bytes that it begins with. */
import { formatByteText } from "../../protocol/byte-text.ts";
import { bad, good, type AnswerReader, type Verdict } from "./verdict.ts";

/** How much of an unexpected answer is shown. */
const shownBytesMax = 32;

/** Bad from the first byte that differs; good with the last one that was expected, whatever follows. */
export class ExpectedBytes implements AnswerReader {
  bytes = 0;
  readonly #expected: Uint8Array;

  /** `expected` has at least one byte. */
  constructor(expected: Uint8Array) {
    this.#expected = expected;
  }

  take(chunk: Uint8Array): Verdict | undefined {
    const count = Math.min(chunk.length, this.#expected.length - this.bytes);
    for (let index = 0; index < count; index++) {
      if (chunk[index] !== this.#expected[this.bytes + index]) return this.#unexpected(chunk);
    }
    this.bytes += count;
    return this.bytes === this.#expected.length ? good("the expected answer") : undefined;
  }

  /** What came before this chunk is what was expected, so it need not have been kept. Of a stranger: shown as ASCII. */
  #unexpected(chunk: Uint8Array): Verdict {
    const answer = [...this.#expected.subarray(0, this.bytes), ...chunk.subarray(0, shownBytesMax + 1)];
    const shown = formatByteText(Uint8Array.from(answer.slice(0, shownBytesMax)));
    return bad(`unexpected answer "${shown}${answer.length > shownBytesMax ? "…" : ""}"`);
  }
}
