/** What reading durations and addresses costs: `bun bench/micro/parse.bench.ts`. */
import { bench, do_not_optimize, group, run } from "mitata";
import { formatAddress, parseAddress } from "../../src/core/address.ts";
import { formatDurationMs, parseDurationMs } from "../../src/core/duration.ts";

group("durations", () => {
  for (const text of ["0s", "250ms", "1h2m3s4ms", "five seconds"]) {
    bench(`parse "${text}"`, () => do_not_optimize(parseDurationMs(text)));
  }
  bench("format 1h2m3s4ms", () => do_not_optimize(formatDurationMs(3_723_004)));
});

group("addresses", () => {
  for (const text of [":80", "127.0.0.1:8080", "[2001:db8::1]:443", "db-1.example.com:5432", "127.0.0.1"]) {
    bench(`parse "${text}"`, () => do_not_optimize(parseAddress(text)));
  }
  bench("format [2001:db8::1]:443", () =>
    do_not_optimize(formatAddress({ kind: "tcp", host: "2001:db8::1", port: 443 })),
  );
});

await run();
