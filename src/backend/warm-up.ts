/**
 * Warm-up: an endpoint that returns gets a part of its share at first. One that comes and goes thus never takes many
 * clients with it, and one that has just started is not flooded.
 */

/** From the return to the full share. */
export const warmUpMs = 10_000;
/** The share grows in steps: 10 %, 20 %, … */
const steps = 10;
/** How long a step lasts. */
export const warmUpStepMs = warmUpMs / steps;

/** The part of its weight that counts, above 0 to 1, so long after its return. */
export function warmUpShare(sinceReturnMs: number): number {
  return Math.min(Math.floor(sinceReturnMs / warmUpStepMs) + 1, steps) / steps;
}
