/** What went through the program, by listener and by backend. */
import { expect, test } from "bun:test";
import { Traffic } from "../../src/stats/traffic.ts";

/** The counts of a listener, as plain objects. */
function plain(ended: ReadonlyMap<string, ReadonlyMap<string, number>>): Record<string, Record<string, number>> {
  return Object.fromEntries([...ended].map(([backend, ends]) => [backend, Object.fromEntries(ends)]));
}

test("sums begin at nothing when they are first asked for, and are the same ones ever after", () => {
  const traffic = new Traffic();
  expect([traffic.listeners.size, traffic.backends.size]).toEqual([0, 0]);
  const web = traffic.listener("web");
  expect(plain(web.ended)).toEqual({});
  expect([web.accepted, web.endedBytesToBackend, web.endedBytesToClient, web.inspectTimeouts]).toEqual([0, 0, 0, 0]);
  const app = traffic.backend("app");
  expect([app.retries, app.connectTimeouts, app.connects.count, app.firstBytes.count]).toEqual([0, 0, 0, 0]);
  expect(traffic.listener("web")).toBe(web);
  expect(traffic.backend("app")).toBe(app);
  expect([[...traffic.listeners.keys()], [...traffic.backends.keys()]]).toEqual([["web"], ["app"]]);
});

test("a listener and a backend of the same name have sums of their own, and so have two listeners", () => {
  const traffic = new Traffic();
  traffic.listener("x").durations.add(1);
  traffic.backend("x").connects.add(1);
  traffic.backend("x").connects.add(1);
  expect(traffic.listener("x").durations.count).toBe(1);
  expect(traffic.backend("x").connects.count).toBe(2);
  expect(traffic.backend("x").firstBytes.count).toBe(0);
  expect(traffic.listener("y").durations.count).toBe(0);
});

test("ends are counted by backend and by end, those without a backend too", () => {
  const web = new Traffic().listener("web");
  web.end("app", "client_finished");
  web.end("app", "client_finished");
  web.end("app", "backend_reset");
  web.end("api", "client_finished");
  web.end("", "denied");
  expect(plain(web.ended)).toEqual({
    app: { client_finished: 2, backend_reset: 1 },
    api: { client_finished: 1 },
    "": { denied: 1 },
  });
});

test("names that objects have of themselves are names like any other", () => {
  const traffic = new Traffic();
  traffic.listener("constructor").end("__proto__", "forced");
  expect(traffic.listener("constructor").ended.get("__proto__")?.get("forced")).toBe(1);
});
