/** One run of inputs into one target. */
import { FuzzInput } from "./fuzz-input.ts";
import type { FuzzTarget } from "./fuzz-targets.ts";

/** How it went. */
export interface FuzzResult {
  readonly inputs: number;
  readonly seconds: number;
  /** How many inputs came to what. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The first input that broke something; the run ended there. */
  readonly failure: { readonly input: Uint8Array; readonly cut: number; readonly error: unknown } | undefined;
}

/** How often the clock is looked at, in inputs. */
const stride = 1024;

/** Tries inputs until `inputs` have been tried or `seconds` are over, whatever comes first. */
export function fuzz(target: FuzzTarget, limits: { inputs: number; seconds: number; seed: number }): FuzzResult {
  const source = new FuzzInput(target.seeds, target.bytesMax, limits.seed);
  const outcomes = new Map<string, number>();
  const startMs = performance.now();
  const seconds = (): number => (performance.now() - startMs) / 1000;
  for (let inputs = 0; inputs < limits.inputs; inputs++) {
    if (inputs % stride === 0 && seconds() >= limits.seconds)
      return { inputs, seconds: seconds(), outcomes, failure: undefined };
    const input = source.next();
    const cut = source.below(input.length + 1);
    try {
      const outcome = target.attempt(input, cut);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      const failure = { input: input.slice(), cut, error };
      return { inputs: inputs + 1, seconds: seconds(), outcomes, failure };
    }
  }
  return { inputs: limits.inputs, seconds: seconds(), outcomes, failure: undefined };
}
