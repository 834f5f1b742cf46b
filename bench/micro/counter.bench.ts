/** The counter of active connections: `bun bench/micro/counter.bench.ts`. */

import { bench, do_not_optimize, run } from "mitata";
import { ActiveConnections } from "../../src/stats/active-connections.ts";

const busy = new ActiveConnections();
busy.take();
bench("take and give back, others open", () => {
  busy.take();
  do_not_optimize(busy.giveBack());
});

const quiet = new ActiveConnections();
bench("take and give back, down to zero each time", () => {
  quiet.take();
  do_not_optimize(quiet.giveBack());
});

bench("read the count", () => do_not_optimize(busy.count));

await run();
