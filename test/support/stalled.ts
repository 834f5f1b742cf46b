/** What a half looks like whose reader has stopped, on each engine; and what it looks like once everything has moved. */
import { expect } from "bun:test";
import { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import type { Engine, Half } from "../../src/forward/forwarder.ts";
import { stepBytes } from "../../src/forward/splice/loop.ts";
import { openingBytesMax } from "../../src/session/opening.ts";
import { until } from "./until.ts";

/** The most that Bun reads at once (1.4.5): one chunk. */
export const chunkBytesMax = 524_288;

/** The most that one half holds: what did not fit of an opening or a chunk; what is moved into a pipe at once. */
export const heldBytesMax: Readonly<Record<Engine, number>> = {
  copy: openingBytesMax + chunkBytesMax,
  splice: stepBytes,
};

/** How long nothing may move, with bytes in the pipe, until a spliced half counts as stalled: nothing else tells. */
const quietMs = 60;

/** Answers whether a half is stalled, each time it is asked; `undefined` is no half yet. */
export function stallWatch(half: () => Half | undefined): () => boolean {
  let moved = -1;
  let sinceMs = performance.now();
  return () => {
    const now = half();
    if (now === undefined) return false;
    if (now instanceof CopyHalf && now.state === "open") return now.paused;
    if (now.bytes !== moved || now.queuedBytes === 0) {
      moved = now.bytes;
      sinceMs = performance.now();
    }
    return performance.now() - sinceMs >= quietMs;
  };
}

/** Resolves when the half holds bytes that its sink does not take. */
export async function stalled(half: () => Half | undefined): Promise<void> {
  await until(stallWatch(half), () => `a half to be stalled: it holds ${half()?.queuedBytes} bytes`);
}

/** A half that waits for its reader holds something, and no more than one chunk, or one pipe full. */
export function expectStalled(half: Half): void {
  expect(half.queuedBytes).toBeGreaterThan(0);
  if (half instanceof CopyHalf) {
    expect(half.paused).toBe(true);
    expect(half.queuedBytes).toBeLessThanOrEqual(chunkBytesMax);
    expect(half.pauses).toBe(half.resumes + 1);
  } else expect(half.queuedBytes).toBeLessThanOrEqual(stepBytes);
}

/** Resolves when a half that was stalled holds nothing any more. */
export async function expectFlowing(half: () => Half): Promise<void> {
  // The Worker of the splice engine writes it down just after the sink has the bytes.
  await until(
    () => half().queuedBytes === 0,
    () => `a half to hold nothing: it holds ${half().queuedBytes} bytes`,
  );
  const now = half();
  if (!(now instanceof CopyHalf)) return;
  expect(now.paused).toBe(false);
  expect(now.pauses).toBeGreaterThanOrEqual(1);
  expect(now.resumes).toBe(now.pauses);
}

/** A half that has nothing to do with the stall of the other. */
export function expectNeverStalled(half: Half): void {
  expect(half.queuedBytes).toBe(0);
  if (half instanceof CopyHalf) expect(half.pauses).toBe(0);
}
