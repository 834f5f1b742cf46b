/** What a parser says of the bytes that have arrived so far. */

/**
 * Parsers of this room look at the beginning of a connection and never consume it. They keep no state: when more bytes
 * have arrived they are called again, with all of them. They never throw, whatever the bytes.
 */
export type Peek<T> =
  /** It is there, whole; `bytes` is how long it is. */
  | { readonly kind: "done"; readonly value: T; readonly bytes: number }
  /** So far it is a valid beginning. */
  | { readonly kind: "more" }
  /** It will never become one; `why` says so in a few words, for a log. */
  | { readonly kind: "invalid"; readonly why: string };

/** The one answer that has nothing to tell. */
export const more: Peek<never> = { kind: "more" };
