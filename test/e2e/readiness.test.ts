/** Readiness of the real process, as an orchestrator that asks all the time sees it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { echo, listen } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { pollReadiness } from "../support/readiness.ts";
import { startSluice } from "../support/sluice.ts";

test("every readiness path is seen as not ready, then true, then false, then refused, and nothing else", async () => {
  await using backend = await listen(echo);
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  await using readyz = pollReadiness(`${url}/readyz`);
  await using ready = pollReadiness(`${url}/ready`);
  await using apiReady = pollReadiness(`${url}/api/ready`);
  const pollers = [readyz, ready, apiReady];
  for (const poller of pollers) await poller.sees("refused");
  await using proxy = await startSluice({ config: config(backend.address, port) });
  for (const poller of pollers) await poller.sees("true");
  await using client = await connect(await proxy.port("web"));
  await client.send("x");
  await client.receivedBytes(1);
  proxy.signal("SIGTERM");
  for (const poller of pollers) await poller.sees("false");
  await client.finish();
  await client.finished();
  expect((await proxy.exited()).code).toBe(0);
  for (const poller of pollers) await poller.sees("refused");
  for (const { sequence } of pollers) {
    // While it starts it may be asked before it listens only, or after that as well. Where it stops, a question that is
    // under way gets no whole answer.
    expect(sequence.join(" ")).toMatch(/^refused (false )?true false (broken )?refused$/);
  }
});

test("while draining the process is alive and says so, is not ready, and its status says draining", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address, 0) });
  await proxy.ready();
  const url = `http://${await proxy.address("admin")}`;
  expect(await ask(`${url}/livez`)).toEqual([200, '{"live":true}']);
  expect(await ask(`${url}/readyz`)).toEqual([200, '{"ready":true}']);
  expect(JSON.parse((await ask(`${url}/status`))[1])).toMatchObject({ state: "ready", connections_active: 0 });
  await using client = await connect(await proxy.port("web"));
  await client.send("x");
  await client.receivedBytes(1);
  proxy.signal("SIGTERM");
  await proxy.logged(({ msg }) => msg === "draining", "the drain");
  expect(await ask(`${url}/livez`)).toEqual([200, '{"live":true}']);
  for (const path of ["/readyz", "/ready", "/api/ready"]) {
    expect(await ask(`${url}${path}`)).toEqual([503, '{"ready":false}']);
  }
  expect(JSON.parse((await ask(`${url}/status`))[1])).toMatchObject({ state: "draining", connections_active: 1 });
  await client.finish();
  await client.finished();
  expect((await proxy.exited()).code).toBe(0);
});

test("during shutdown.delay the answer is not ready from its first moment to its last", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address, 0, `delay = "300ms"`) });
  await proxy.ready();
  await using poller = pollReadiness(`http://${await proxy.address("admin")}/readyz`, { everyMs: 1 });
  await poller.sees("true");
  proxy.signal("SIGTERM");
  const [change, { code, afterMs }] = await Promise.all([poller.sees("false"), proxy.exited()]);
  const refused = await poller.sees("refused");
  expect(code).toBe(0);
  expect(afterMs).toBeGreaterThanOrEqual(300);
  expect(refused.atMs - change.atMs).toBeGreaterThan(250);
  expect(poller.sequence.filter((seen) => seen !== "broken")).toEqual(["true", "false", "refused"]);
});

async function ask(url: string): Promise<[number, string]> {
  const response = await fetch(url, { keepalive: false });
  return [response.status, await response.text()];
}

/** A port that is free and that the kernel gives to nobody who asks for any: it is outside of that range. */
function freePort(): number {
  const range = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
  const lowest = Number(range.split(/\s+/)[0]);
  for (let tries = 0; tries < 100; tries++) {
    const port = 10_000 + Math.floor(Math.random() * (lowest - 10_000));
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop();
      return port;
    } catch {
      // Somebody has it.
    }
  }
  throw new Error(`no free port below ${lowest} was found`);
}

function config(endpoint: string, adminPort: number, shutdown = ""): string {
  return `
[limits]
connections = 100

[shutdown]
${shutdown}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]

[admin]
listen = "127.0.0.1:${adminPort}"
`;
}
