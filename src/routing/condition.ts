/** A condition of a route: one question about the opening of a connection. */
import type { Peek } from "../protocol/peek.ts";
import type { Reading } from "./reading.ts";

/** What an opening says to a condition. "yes" and "no" stay, whatever bytes follow. */
export type Judgement =
  /** It fits. */
  | "yes"
  /** It does not fit. */
  | "no"
  /** The bytes so far may still become either. */
  | "unknown";

/** The keys of a route that ask something, as the configuration spells them. */
export type ConditionKey = "path_prefix" | "host" | "sni" | "alpn" | "prefix";

/** One condition. All conditions of a route have to fit. */
export interface Condition {
  readonly key: ConditionKey;
  /** The value as the configuration has it. */
  readonly text: string;
  /** With this many bytes of an opening it is decided, or never will be. */
  readonly peekBytesMax: number;
  judge(reading: Reading): Judgement;
  /** Whether `other`, of the same key, asks at least as much: every opening that fits `other` fits this one too. */
  covers(other: Condition): boolean;
}

/** Whether it asks for an HTTP request. */
export function asksForHttp(condition: Condition): boolean {
  return condition.key === "path_prefix" || condition.key === "host";
}

/** Whether it asks for a ClientHello. */
export function asksForTls(condition: Condition): boolean {
  return condition.key === "sni" || condition.key === "alpn";
}

/** What a parser that is not done lets a condition say. */
export function undone(peek: Exclude<Peek<unknown>, { kind: "done" }>): Judgement {
  return peek.kind === "more" ? "unknown" : "no";
}
