/** Asserting our own mistakes. Bytes from outside are never asserted: they are rejected and counted. */

/** Throws when something that we hold to be impossible has happened; `mistake` says what. */
export function assert(holds: boolean, mistake: string): asserts holds {
  if (!holds) throw new Error(`assertion failed: ${mistake}`);
}

/** For the `default` of an exhaustive switch: does not compile when a member is missing. */
export function unreachable(value: never): never {
  throw new Error(`assertion failed: unexpected ${String(value)}`);
}
