/** The condition `sni`: the server name of the ClientHello (RFC 6066 section 3). */
import type { Parsed } from "../core/result.ts";
import { clientHelloBytesMax } from "../protocol/client-hello.ts";
import { type Condition, type Judgement, undone } from "./condition.ts";
import type { Reading } from "./reading.ts";
import { NamePattern } from "./name-pattern.ts";

/** Takes TLS clients that ask for a name that fits a pattern. One that asks for none fits none. */
export class ServerName implements Condition {
  readonly key = "sni";
  readonly text: string;
  readonly peekBytesMax = clientHelloBytesMax;
  readonly #pattern: NamePattern;

  private constructor(text: string, pattern: NamePattern) {
    this.text = text;
    this.#pattern = pattern;
  }

  /** Reads the value of the key: a name, or "*." and a name. Addresses are not sent as server names (RFC 6066). */
  static parse(text: string): Parsed<ServerName> {
    const pattern = NamePattern.parse(text, { addresses: false });
    return pattern.ok ? { ok: true, value: new ServerName(text, pattern.value) } : pattern;
  }

  judge(reading: Reading): Judgement {
    const hello = reading.hello();
    if (hello.kind !== "done") return undone(hello);
    const { serverName } = hello.value;
    return serverName !== undefined && this.#pattern.matches(serverName) ? "yes" : "no";
  }

  covers(other: Condition): boolean {
    return other instanceof ServerName && this.#pattern.covers(other.#pattern);
  }
}
