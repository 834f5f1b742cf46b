/** Reloads of the real process: what changes, what does not notice, what is refused, and that nothing is lost or kept. */
import { expect, test } from "bun:test";
import { type Backend, echo, listen } from "../support/backend.ts";
import { watchLeaks } from "../support/leaks.ts";
import {
  adminText as admin,
  backendText,
  endOf,
  listenerText as listener,
  refusedAt,
  roundTrip,
} from "../support/operated.ts";
import { connect } from "../support/peer.ts";
import { ReloadingSluice } from "../support/reloading.ts";
import { until } from "../support/until.ts";

watchLeaks();

function backend(name: string, endpoints: readonly (Backend | string)[], keys = ""): string {
  return backendText(
    name,
    endpoints.map((one) => (typeof one === "string" ? one : one.address)),
    keys,
  );
}

/** The `end` of the record of each of these listeners' connections, in the order of their ends. */
async function endsOf({ program }: ReloadingSluice, count: number): Promise<unknown[]> {
  return (await program.recorded(count)).map((record) => record["end"]);
}

test("another idle timeout holds for new sessions; those that are open keep theirs", async () => {
  await using app = await listen(echo);
  const rest = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(rest);
  const port = await proxy.program.port("web");
  await using old = await connect(port);
  await roundTrip(old, "before");
  await proxy.rewrite(`${rest}[timeouts]\nidle = "300ms"\nhalf_closed = "0s"\n`);
  expect(await proxy.hangUp()).toMatchObject({
    level: "info",
    msg: "configuration reloaded",
    by: "SIGHUP",
    changes: ['timeouts.idle: "1h" → "300ms"', 'timeouts.half_closed: "1m" → "0s"'],
    need_restart: [],
  });
  await using young = await connect(port);
  await roundTrip(young, "after");
  // The new one is silent for longer than it may; the old one was so before.
  await young.wasReset();
  await roundTrip(old, "still there");
  await endOf(old);
  expect(await endsOf(proxy, 2)).toEqual(["idle_timeout", "client_finished"]);
});

test("a file that says the same changes nothing, in whatever order it says it", async () => {
  await using app = await listen(echo);
  const [web, api] = [listener("web", "app"), listener("api", "app")];
  await using proxy = await ReloadingSluice.start(`${web}${api}${backend("app", [app])}${admin}`);
  const ports = [await proxy.program.port("web"), await proxy.program.port("api")];
  await proxy.rewrite(`# said anew\n${admin}${backend("app", [app])}[timeouts]\nidle = "60m"\n${api}${web}`);
  const { status, body } = await proxy.post();
  expect([status, body]).toEqual([
    200,
    { result: "applied", changes: [], need_restart: [], warnings: expect.any(Array) },
  ]);
  for (const port of ports) {
    await using client = await connect(port);
    await roundTrip(client, "here");
  }
  expect(proxy.program.log.filter(({ msg }) => msg === "listening").length).toBe(3);
});

test("a listener that is new accepts, and the sessions of the others do not notice", async () => {
  await using app = await listen(echo);
  await using other = await listen(echo);
  const before = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(before);
  await using old = await connect(await proxy.program.port("web"));
  await roundTrip(old, "before");
  await proxy.rewrite(`${before}${listener("api", "new")}${backend("new", [other])}`);
  const { status, body } = await proxy.post();
  expect([status, body["changes"], body["need_restart"]]).toEqual([
    200,
    ["listener.api: added", "backend.new: added"],
    [],
  ]);
  await using client = await connect(await proxy.program.port("api"));
  await roundTrip(client, "through the new one");
  expect(other.connections.length).toBe(1);
  await roundTrip(old, "still there");
});

test("a listener that is removed accepts no more; its session goes on to its own end, and that is said", async () => {
  await using app = await listen(echo);
  const rest = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(`${rest}${listener("old", "app")}`);
  const port = await proxy.program.port("old");
  await using client = await connect(port);
  await roundTrip(client, "before");
  await proxy.rewrite(rest);
  expect(await proxy.hangUp()).toMatchObject({ changes: ["listener.old: removed"] });
  await until(() => refuses(port), "the port to refuse connections");
  await roundTrip(client, "it goes on");
  const isDrained = ({ msg }: { msg: string }) => msg === "a listener that was removed is drained";
  expect(proxy.program.log.some(isDrained)).toBe(false);
  await endOf(client);
  const line = await proxy.program.logged(isDrained, "the end of the drain");
  expect(line).toMatchObject({ listener: "old", cut: 0 });
  expect(await endsOf(proxy, 1)).toEqual(["client_finished"]);
});

test("what is left of a removed listener is cut at the drain deadline; nobody else is", async () => {
  await using app = await listen(echo);
  const rest = `[shutdown]\ndrain = "300ms"\n${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(`${rest}${listener("old", "app")}`);
  await using stays = await connect(await proxy.program.port("web"));
  await using cut = await connect(await proxy.program.port("old"));
  await roundTrip(stays, "one");
  await roundTrip(cut, "two");
  await proxy.rewrite(rest);
  await proxy.hangUp();
  await cut.wasReset();
  expect(await endsOf(proxy, 1)).toEqual(["drain_deadline"]);
  await roundTrip(stays, "still there");
  proxy.program.signal("SIGTERM");
  await endOf(stays);
  expect((await proxy.program.exited()).code).toBe(0);
});

test("an endpoint that is taken out gets no new session, and finishes those that it has", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  const rest = `${listener("web", "app")}${admin}`;
  const keys = 'balance = "first"';
  await using proxy = await ReloadingSluice.start(`${rest}${backend("app", [one, two], keys)}`);
  const port = await proxy.program.port("web");
  await using old = await connect(port);
  await roundTrip(old, "before");
  expect([one.connections.length, two.connections.length]).toEqual([1, 0]);
  await proxy.rewrite(`${rest}${backend("app", [two], keys)}`);
  const { body } = await proxy.post();
  expect(body["changes"]).toEqual([`backend.app.endpoints: removed "${one.address}"`]);
  for (let count = 0; count < 5; count++) {
    await using client = await connect(port);
    await roundTrip(client, `new ${count}`);
    await endOf(client);
  }
  expect([one.connections.length, two.connections.length]).toEqual([1, 5]);
  await roundTrip(old, "it goes on");
  await endOf(old);
  const records = await proxy.program.recorded(6);
  expect(records.map(({ endpoint, end }) => [endpoint, end])).toEqual([
    ...Array.from({ length: 5 }, () => [two.address, "client_finished"]),
    [one.address, "client_finished"],
  ]);
});

test("other routes, another default backend and other rules hold for new sessions", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  const rest = `${backend("one", [one])}${backend("two", [two])}${admin}`;
  const route = '[[listener.route]]\nprefix = "ROUTED"\nbackend = "two"\n';
  await using proxy = await ReloadingSluice.start(`${listener("web", "one")}${rest}`);
  const port = await proxy.program.port("web");
  const to = async (word: string) => {
    const before = [one.connections.length, two.connections.length];
    await using client = await connect(port);
    await roundTrip(client, word);
    await endOf(client);
    return one.connections.length > before[0]! ? "one" : two.connections.length > before[1]! ? "two" : "nobody";
  };
  expect(await to("ROUTED?")).toBe("one");
  await proxy.rewrite(`${listener("web", "one", route)}${rest}`);
  expect((await proxy.post()).body["changes"]).toEqual([
    'listener.web.route.0: added: { prefix = "ROUTED", backend = "two" }',
  ]);
  expect([await to("ROUTED?"), await to("not routed")]).toEqual(["two", "one"]);
  await proxy.rewrite(`${listener("web", "two", 'deny = ["127.0.0.1"]')}${rest}`);
  await proxy.post();
  await refusedAt(port);
  expect((await endsOf(proxy, 4)).at(-1)).toBe("denied");
});

test("a file that is not valid changes nothing, and every problem of it is told, in the log and in the answer", async () => {
  await using app = await listen(echo);
  const good = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(good);
  const port = await proxy.program.port("web");
  await using client = await connect(port);
  await roundTrip(client, "before");
  const bad = `[timeouts]\nidle = "60"\n${good}[limits]\nconections = 5\n`;
  await proxy.rewrite(`${bad}${listener("new", "ap")}`);
  const problems = [
    'config.toml:2:8 timeouts.idle: found "60", wanted a duration with its unit, such as "60s" or "60ms"',
    'config.toml:15:1 limits.conections: unknown key "conections" (did you mean "connections"?)',
    'config.toml:19:11 listener.new.backend: unknown backend "ap" (did you mean "app"?)',
  ];
  const { status, body } = await proxy.post();
  expect([status, body["result"], proxy.withoutFolder(body["problems"])]).toEqual([422, "invalid", problems]);
  const line = await proxy.hangUp();
  expect(line).toMatchObject({ level: "error", msg: "configuration not reloaded: nothing has changed", by: "SIGHUP" });
  expect(proxy.withoutFolder(line["problems"])).toEqual(problems);
  await proxy.rewrite("listen = [");
  expect(proxy.withoutFolder((await proxy.post()).body["problems"])).toHaveLength(1);
  await roundTrip(client, "still there");
  await using young = await connect(port);
  await roundTrip(young, "and new ones");
  expect(await proxy.status()).toMatchObject({ state: "ready", reloads: { applied: 0, invalid: 3 } });
  // And the next one that is valid is taken.
  await proxy.rewrite(good);
  expect((await proxy.post()).status).toBe(200);
});

test("an address that somebody else has makes the whole configuration fail: nothing of it is applied", async () => {
  await using app = await listen(echo);
  await using taken = await listen();
  const before = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(before);
  const port = await proxy.program.port("web");
  const more = `${listener("api", "app")}${listener("busy", "app", "", taken.address)}`;
  await proxy.rewrite(`${before}[timeouts]\nidle = "200ms"\nhalf_closed = "0s"\n${more}`);
  const { status, body } = await proxy.post();
  expect([status, body["result"]]).toEqual([422, "invalid"]);
  expect(body["problems"]).toEqual([
    expect.stringContaining(`cannot bind listener "busy" to ${taken.address}: the address is in use`),
  ]);
  expect(proxy.program.log.filter(({ msg }) => msg === "listening").map((line) => line["listener"])).toEqual([
    "admin",
    "web",
  ]);
  // The timeout is not in force: the first would have reset this one while the second is served.
  await using client = await connect(port);
  await roundTrip(client, "before");
  await proxy.rewrite(`${before}[timeouts]\nidle = "200ms"\nhalf_closed = "0s"\n`);
  expect((await proxy.post()).body["changes"]).toEqual([
    'timeouts.idle: "1h" → "200ms"',
    'timeouts.half_closed: "1m" → "0s"',
  ]);
  await using young = await connect(port);
  await roundTrip(young, "after");
  await young.wasReset();
  await roundTrip(client, "still there");
});

test("what can't change while it runs is said each time, and all else of the same file is applied", async () => {
  await using app = await listen(echo);
  const rest = `${listener("web", "app")}${backend("app", [app])}`;
  await using proxy = await ReloadingSluice.start(`${rest}${admin}`);
  const url = await proxy.program.adminUrl();
  const other = `[forwarding]\nengine = "copy"\n[log]\nformat = "pretty"\naccess = false\n[admin]\nlisten = "127.0.0.2:0"\n`;
  await proxy.rewrite(`${rest}${other}`);
  const later = [
    'forwarding.engine: "auto" → "copy": takes effect at the next start',
    'admin.listen: "127.0.0.1:0" → "127.0.0.2:0": takes effect at the next start',
    'log.format: "auto" → "pretty": takes effect at the next start',
  ];
  const line = await proxy.hangUp();
  expect([line["changes"], line["need_restart"]]).toEqual([["log.access: true → false"], later]);
  const { body } = await proxy.post();
  expect([body["changes"], body["need_restart"]]).toEqual([[], later]);
  await using client = await connect(await proxy.program.port("web"));
  await roundTrip(client, "no record");
  await endOf(client);
  // The table is not there any more: that too is for the next start, and the server is where it was.
  await proxy.rewrite(rest);
  expect(await proxy.post()).toMatchObject({
    status: 200,
    body: { changes: ["log.access: false → true"], need_restart: ["admin: removed: takes effect at the next start"] },
  });
  expect(await proxy.program.adminUrl()).toBe(url);
  await using second = await connect(await proxy.program.port("web"));
  await roundTrip(second, "a record");
  await endOf(second);
  expect((await proxy.program.recorded(1)).length).toBe(1);
});

test("signals that come in a burst are all answered, and the last file is the one in force", async () => {
  await using app = await listen(echo);
  const rest = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(rest);
  for (let count = 1; count <= 20; count++) {
    await proxy.rewrite(`${rest}[limits]\nconnections = ${count}\n`);
    proxy.program.signal("SIGHUP");
  }
  const limit = async () => ((await proxy.status())["limits"] as { connections: number }).connections;
  await until(async () => (await limit()) === 20, "the last limit");
});

test("a shutdown that was asked for is not held up: a reload is refused", async () => {
  await using app = await listen(echo);
  const rest = `${listener("web", "app")}${backend("app", [app])}${admin}`;
  await using proxy = await ReloadingSluice.start(rest);
  await using client = await connect(await proxy.program.port("web"));
  await roundTrip(client, "before");
  proxy.program.signal("SIGTERM");
  await proxy.program.logged(({ msg }) => msg === "shutting down", "the shutdown");
  await proxy.rewrite(`${rest}${listener("new", "app")}`);
  expect(await proxy.post()).toMatchObject({ status: 409, body: { result: "refused", error: expect.any(String) } });
  await endOf(client);
  expect((await proxy.program.exited()).code).toBe(0);
});

async function refuses(port: number): Promise<boolean> {
  try {
    await using client = await connect(port);
    client.reset();
    return false;
  } catch (error) {
    return (error as { code?: string }).code === "ECONNREFUSED";
  }
}
