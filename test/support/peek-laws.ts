/** What holds for every parser of src/protocol, whatever the bytes. */
import type { Peek } from "../../src/protocol/peek.ts";

/** A parser with its bound. */
export interface Parser<T> {
  readonly peek: (bytes: Uint8Array) => Peek<T>;
  /** With so many bytes it has to decide. */
  readonly bytesMax: number;
}

/** Thrown when a law is broken. */
export class BrokenLaw extends Error {}

/**
 * Parses the bytes, and the first `cut` of them, and holds both answers against each other: what is done or invalid stays
 * so, with the same length, whatever follows; what wants more wanted more before. Returns the answer to all the bytes.
 */
export function peekLawfully<T>({ peek, bytesMax }: Parser<T>, bytes: Uint8Array, cut: number): Peek<T> {
  const whole = peek(bytes);
  checkOne(whole, bytes.length, bytesMax);
  if (cut >= bytes.length) return whole;
  const part = peek(bytes.subarray(0, cut));
  checkOne(part, cut, bytesMax);
  if (part.kind !== "more" && part.kind !== whole.kind) {
    throw new BrokenLaw(`${part.kind} after ${cut} bytes, ${whole.kind} after ${bytes.length}`);
  }
  if (whole.kind !== "done") return whole;
  if (part.kind === "more" && cut >= whole.bytes)
    throw new BrokenLaw(`more after ${cut} bytes, done are ${whole.bytes}`);
  if (part.kind === "done" && part.bytes !== whole.bytes) {
    throw new BrokenLaw(`${part.bytes} bytes done after ${cut} bytes, ${whole.bytes} after ${bytes.length}`);
  }
  return whole;
}

/** Every prefix of a whole input wants more; whole, it is done to the last byte, and so it is with anything behind it. Returns its value. */
export function peekWhole<T>({ peek, bytesMax }: Parser<T>, input: Uint8Array, behind: Uint8Array): T {
  for (let length = 0; length < input.length; length++) {
    const { kind } = peek(input.subarray(0, length));
    if (kind !== "more") throw new BrokenLaw(`${kind} after ${length} of ${input.length} bytes`);
  }
  const done = peekLawfully({ peek, bytesMax }, input, 0);
  const followed = peek(Buffer.concat([input, behind]));
  for (const answer of [done, followed]) {
    if (answer.kind !== "done") throw new BrokenLaw(`a whole input is ${JSON.stringify(answer)}`);
    if (answer.bytes !== input.length) throw new BrokenLaw(`${answer.bytes} of ${input.length} bytes are taken`);
  }
  if (!Bun.deepEquals(done, followed)) throw new BrokenLaw("what follows an input changes its value");
  return (done as { value: T }).value;
}

/** After how many bytes an input is told to be invalid, and why; `undefined` when it never is. */
export function firstInvalid<T>({ peek }: Parser<T>, input: Uint8Array): { bytes: number; why: string } | undefined {
  for (let length = 0; length <= input.length; length++) {
    const answer = peek(input.subarray(0, length));
    if (answer.kind === "invalid") return { bytes: length, why: answer.why };
  }
  return undefined;
}

function checkOne(answer: Peek<unknown>, length: number, bytesMax: number): void {
  switch (answer.kind) {
    case "done":
      if (Number.isInteger(answer.bytes) && answer.bytes > 0 && answer.bytes <= Math.min(length, bytesMax)) return;
      throw new BrokenLaw(`${answer.bytes} bytes done of ${length}, at most ${bytesMax}`);
    case "more":
      if (length < bytesMax) return;
      throw new BrokenLaw(`more after ${length} bytes, at most ${bytesMax}`);
    case "invalid":
      if (answer.why !== "") return;
      throw new BrokenLaw("invalid without a reason");
  }
}
