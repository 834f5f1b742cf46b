/** What a million addresses cost, as the kernel counts a process's memory. */
import { expect, test } from "bun:test";
import { join } from "node:path";

test("a million different addresses within a second take less than 100 MB, and leave none of it behind", async () => {
  const flood = Bun.spawn([process.execPath, join(import.meta.dir, "../support/rate-flood.ts")], { stderr: "inherit" });
  const found = JSON.parse(await flood.stdout.text());
  expect(found).toMatchObject({ refused: 0, remembered: 1_000_000, forgotten: true });
  expect(found.took).toBeLessThan(100e6);
  expect(found.left).toBeLessThan(25e6);
});
