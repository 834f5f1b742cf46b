/** Two hundred reloads under load: no connection fails, and nothing is left of the configurations that were. */
import { expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { openDescriptors, residentBytes, tcpSocketsOf } from "../support/descriptors.ts";
import { watchLeaks } from "../support/leaks.ts";
import { connect } from "../support/peer.ts";
import { ReloadingSluice } from "../support/reloading.ts";
import { settled, until } from "../support/until.ts";

watchLeaks();

const reloads = 200;
/** Everything has been there once, and the runtime's heap has its size. */
const warmUp = 60;
/**
 * How much more memory may be resident after the last reload than after the warm-up. Each configuration has 4,000 networks,
 * so that 140 of them, kept alone, are more than this; from run to run the heap of the runtime differs by less.
 */
const grownBytesMax = 24e6;
/** Clients that connect, talk and leave, again and again, as long as the reloads go on. */
const clients = 8;

test("200 reloads under load: no connection fails, and neither memory nor descriptors grow", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  const file = (turn: number) => configuration(turn, one.address, two.address);
  await using proxy = await ReloadingSluice.start(file(0));
  const port = await proxy.program.port("web");
  // Whatever is opened once and kept is open by now.
  for (const turn of [1, 2]) {
    await proxy.rewrite(file(turn));
    await proxy.hangUp();
    await visit(port, "first");
  }
  await settledAlone(proxy.pid);
  const descriptors = kindsOf(proxy.pid);
  await using long = await connect(port);

  let working = true;
  let served = 0;
  const failures: unknown[] = [];
  const client = async (number: number) => {
    for (let turn = 0; working; turn++) {
      try {
        await visit(port, `client ${number}, visit ${turn}, ${"x".repeat((turn * 977) % 20_000)}`);
        served++;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const load = Array.from({ length: clients }, (_, number) => client(number));

  const residentAfter: number[] = [];
  for (let turn = 3; turn <= reloads + 2; turn++) {
    const before = served;
    await proxy.rewrite(file(turn));
    if (turn % 2 === 0) expect((await proxy.hangUp())["changes"]).not.toEqual([]);
    else expect(await proxy.post()).toMatchObject({ status: 200, body: { result: "applied", need_restart: [] } });
    await long.send("still there ");
    // The load goes on between any two of them.
    await until(() => served > before + 1, "the load to go on");
    residentAfter.push(residentBytes(proxy.pid));
  }
  working = false;
  await Promise.all(load);
  expect(failures).toEqual([]);
  expect(served).toBeGreaterThan(reloads * 2);
  // The session that saw them all has lost nothing.
  await long.finish();
  await long.finished();
  expect(long.text()).toBe("still there ".repeat(reloads));
  const status = await proxy.status();
  expect(status).toMatchObject({ reloads: { applied: reloads + 2, invalid: 0, refused: 0 } });
  const ends = new Set((await proxy.program.recorded(served + 3)).map(({ end }) => end));
  expect([...ends]).toEqual(["client_finished"]);

  // The least of twenty: garbage comes and goes.
  const [warm, last] = [residentAfter.slice(warmUp - 20, warmUp), residentAfter.slice(-20)];
  expect(Math.min(...last) - Math.min(...warm)).toBeLessThan(grownBytesMax);

  // Nobody is connected any more, and the configuration has as many listeners as it had then.
  await settledAlone(proxy.pid);
  expect(kindsOf(proxy.pid)).toEqual(descriptors);
}, 120_000);

/** Connects, sends, has it back, and leaves. */
async function visit(port: number, text: string): Promise<void> {
  await using client = await connect(port);
  await client.send(text);
  await client.finish();
  await client.finished();
  if (client.text() !== text) throw new Error(`${client.name} sent ${text.length} bytes, and got others back`);
}

/** Each differs from the one before in all that can change, but not in the listener of the load, nor in who may come. */
function configuration(turn: number, one: string, two: string): string {
  const odd = turn % 2 === 1;
  const routes = Array.from(
    { length: 20 },
    (_, index) => `[[listener.route]]\nprefix = "nobody ${odd ? index : index + 1}"\nbackend = "spare${index % 10}"`,
  );
  const networks = Array.from({ length: 4000 }, (_, index) => `"10.${index >> 8}.${index & 255}.${odd ? 0 : 128}/25"`);
  const spares = Array.from(
    { length: 10 },
    (_, index) => `[[backend]]\nname = "spare${index}"\nendpoints = ["127.0.0.1:${odd ? 1 : 2}", "127.0.0.1:3"]`,
  );
  const endpoints = [`{ address = "${one}", weight = ${1 + (turn % 7)} }`, ...(odd ? [`"${two}"`] : [])];
  return `
[limits]
connections = ${1000 + (turn % 5)}
[timeouts]
idle = "${30 + (turn % 3)}m"
[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
connections = ${odd ? 0 : 900}
deny = [${networks.join(", ")}]
${routes.join("\n")}
${odd ? '[[listener]]\nname = "comes-and-goes"\nlisten = "127.0.0.1:0"\nbackend = "gone"' : ""}
[[backend]]
name = "app"
endpoints = [${endpoints.join(", ")}]
balance = "${odd ? "least_connections" : "round_robin"}"
${odd ? "" : '[backend.health]\ninterval = "1h"'}
${odd ? '[[backend]]\nname = "gone"\nendpoints = ["127.0.0.1:4"]\n[backend.health]\ninterval = "1h"' : ""}
${spares.join("\n")}
[admin]
listen = "127.0.0.1:0"
`;
}

/** Resolves when the process has no connection any more, and its descriptors stay as they are. */
async function settledAlone(pid: number): Promise<void> {
  await until(() => tcpSocketsOf(pid).every(({ state }) => state === "LISTEN"), "the last connection to be gone");
  await settled(() => openDescriptors(pid).length, "the descriptors");
}

/** How many descriptors of each kind are open; sockets and pipes without their numbers. */
function kindsOf(pid: number): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const { target } of openDescriptors(pid)) {
    const kind = target.replace(/:\[\d+\]$/, "");
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
}
