/** The condition `alpn`: a protocol that the ClientHello offers (RFC 7301). */
import type { Parsed } from "../core/result.ts";
import { clientHelloBytesMax } from "../protocol/client-hello.ts";
import { type Condition, type Judgement, undone } from "./condition.ts";
import type { Reading } from "./reading.ts";

/** Takes TLS clients that offer the protocol, at whatever place of their list. */
export class ApplicationProtocol implements Condition {
  readonly key = "alpn";
  readonly text: string;
  readonly peekBytesMax = clientHelloBytesMax;

  private constructor(text: string) {
    this.text = text;
  }

  /** Reads the value of the key: one name, of at most 255 bytes (RFC 7301 section 3.1). */
  static parse(text: string): Parsed<ApplicationProtocol> {
    if (/^[!-+\--~]{1,255}$/.test(text)) return { ok: true, value: new ApplicationProtocol(text) };
    return { ok: false, wanted: 'the name of one protocol, such as "h2" or "http/1.1"' };
  }

  judge(reading: Reading): Judgement {
    const hello = reading.hello();
    if (hello.kind !== "done") return undone(hello);
    return hello.value.alpn.includes(this.text) ? "yes" : "no";
  }

  covers(other: Condition): boolean {
    return other instanceof ApplicationProtocol && this.text === other.text;
  }
}
