/** The condition `host`: whom the first HTTP/1 request is for, whatever its port. */
import type { Parsed } from "../core/result.ts";
import { httpRequestBytesMax } from "../protocol/http-request.ts";
import { type Condition, type Judgement, undone } from "./condition.ts";
import type { Reading } from "./reading.ts";
import { NamePattern } from "./name-pattern.ts";

/** Takes requests for hosts that fit a pattern. A request that names no host fits none. */
export class RequestHost implements Condition {
  readonly key = "host";
  readonly text: string;
  readonly peekBytesMax = httpRequestBytesMax;
  readonly #pattern: NamePattern;

  private constructor(text: string, pattern: NamePattern) {
    this.text = text;
    this.#pattern = pattern;
  }

  /** Reads the value of the key: a name, "*." and a name, or an address. */
  static parse(text: string): Parsed<RequestHost> {
    const pattern = NamePattern.parse(text, { addresses: true });
    return pattern.ok ? { ok: true, value: new RequestHost(text, pattern.value) } : pattern;
  }

  judge(reading: Reading): Judgement {
    const host = reading.host();
    if (host.kind !== "done") return undone(host);
    return this.#pattern.matches(host.value) ? "yes" : "no";
  }

  covers(other: Condition): boolean {
    return other instanceof RequestHost && this.#pattern.covers(other.#pattern);
  }
}
