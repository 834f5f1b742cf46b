/** A process in which a million different addresses connect within a second. It says what that cost, in bytes, as JSON. */
import { readFileSync } from "node:fs";
import { RatePerIp } from "../../src/listener/rate-per-ip.ts";
import { settled } from "./until.ts";

const addresses = 1_000_000;

function residentBytes(): number {
  return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
}

/** What is in use once the garbage, most of it the addresses' texts, is gone. */
async function inUse(): Promise<number> {
  Bun.gc(true);
  return settled(() => Math.round(residentBytes() / 2 ** 20), "the memory in use", { quietMs: 100 }).then(
    (mib) => mib * 2 ** 20,
  );
}

// The compiler's work is not the table's.
const warmUp = new RatePerIp(5);
for (let index = 0; index < 50_000; index++) warmUp.take(`10.${index >> 8}.${index & 255}.1`, 1000 + index / 100);
warmUp.forget(1e6);

const rate = new RatePerIp(5);
const before = await inUse();
let refused = 0;
for (let index = 0; index < addresses; index++) {
  const host = `2001:db8:${(index >> 16).toString(16)}:${(index & 0xffff).toString(16)}::1`;
  if (!rate.take(host, 1000 + index / 2000)) refused++;
}
const remembered = rate.addresses;
const during = await inUse();
rate.forget(10_000);
const after = await inUse();
const took = { took: during - before, left: after - before };
process.stdout.write(`${JSON.stringify({ refused, remembered, forgotten: rate.addresses === 0, ...took })}\n`);
