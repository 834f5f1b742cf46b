/** Rolling updates of the real program under load, as Kubernetes makes them: the new one up and ready, then the old one away. */
import { expect, test } from "bun:test";
import { KubeEndpoints } from "../support/kube-endpoints.ts";
import { Application, Clients, startGeneration } from "../support/rollout.ts";
import { until } from "../support/until.ts";

const rollouts = 20;
const clientsAtOnce = 4;
/** A pod that says it is not ready gets new connections for up to 2 × 20 + 60 ms more, and some: `delay` is well above that. */
const probes = { everyMs: 20, failures: 2, lagMs: 60 };
const delay = "800ms";
/** Requests that a generation answers at least before the next one comes. */
const servedMin = 20;

test(`not one request fails in ${rollouts} rollouts, and those that were under way end with the old generation`, async () => {
  await using application = new Application();
  const { address } = await application.backend;
  await using endpoints = new KubeEndpoints(probes);
  await using scope = new AsyncDisposableStack();
  let old = await startGeneration(0, address, delay);
  scope.use(old.program);
  endpoints.watch(old.pod);
  await endpoints.lists(old.pod);
  await using clients = new Clients(endpoints, clientsAtOnce);
  for (let number = 1; number <= rollouts; number++) {
    const next = await startGeneration(number, address, delay);
    scope.use(next.program);
    endpoints.watch(next.pod);
    await endpoints.lists(next.pod);
    await clients.moreFrom(old.pod, servedMin);
    const long = clients.request("hold", old.pod);
    await until(() => application.held === 1, "the long request to be half answered");

    const served = clients.servedBy(old.pod);
    old.program.signal("SIGTERM");
    await endpoints.drops(old.pod);
    // It went on serving those who did not know yet.
    expect(clients.servedBy(old.pod)).toBeGreaterThan(served);
    await old.program.logged(({ msg }) => msg === "draining", "the drain");
    await clients.moreFrom(next.pod, servedMin);
    application.release();
    await long;

    expect(await old.program.exited()).toMatchObject({ code: 0, signal: null });
    await endpoints.forget(old.pod);
    expect(old.program.stderr).toBe("");
    expect(old.program.records().length).toBe(clients.servedBy(old.pod));
    old = next;
  }
  await clients.stop();
  expect(clients.failures).toEqual([]);
  expect([...clients.served.values()].filter((count) => count < servedMin)).toEqual([]);
  expect(clients.served.size).toBe(rollouts + 1);
}, 180_000);

test("without a delay the requests of those who do not know yet fail: the clients here would notice", async () => {
  await using application = new Application();
  const { address } = await application.backend;
  await using endpoints = new KubeEndpoints(probes);
  await using old = (await startGeneration(0, address, "0s")).program;
  const pod = { name: "old", port: await old.port("web"), readiness: `${await old.adminUrl()}/readyz` };
  endpoints.watch(pod);
  await endpoints.lists(pod);
  await using clients = new Clients(endpoints, 0);
  await clients.request("quick");
  old.signal("SIGTERM");
  expect((await old.exited()).code).toBe(0);
  // One that was told before.
  await clients.request("quick", pod);
  expect([clients.servedBy(pod), clients.failures.length]).toEqual([1, 1]);
  expect(clients.failures[0]).toContain("cannot connect");
});
