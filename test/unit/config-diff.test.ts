/** What is said of the difference of two configurations, word by word. */
import { describe, expect, test } from "bun:test";
import { boundConflicts } from "../../src/config/bound-conflicts.ts";
import { diffConfig, keepFixed } from "../../src/config/diff.ts";
import { backendWith, configOf, listenerWith } from "../support/configuration.ts";

type Extra = Record<string, unknown>;

function changes(before: Extra, after: Extra): readonly string[] {
  const { changes: lines, needRestart } = diffConfig(configOf(before), configOf(after));
  expect(needRestart).toEqual([]);
  return lines;
}

function between(before: Extra, after: Extra) {
  return diffConfig(configOf(before), configOf(after));
}

describe("keys", () => {
  test("are said with both values, as the file has them", () => {
    const before = { limits: { connections: 12_345 }, tcp: { keepalive: "30s" }, resolver: { servers: ["::1"] } };
    const after = { limits: { connections: 20_000 }, tcp: { keepalive: "0s" }, log: { access: false } };
    expect(changes(before, after)).toEqual([
      "limits.connections: 12_345 → 20_000",
      'tcp.keepalive: "30s" → "0s"',
      'resolver.servers: ["[::1]:53"] → []',
      "log.access: true → false",
    ]);
    expect([...between(before, after).tables]).toEqual(["limits", "tcp", "resolver", "log"]);
  });

  test("of listeners and backends are said with the entry's name", () => {
    expect(
      changes(
        { ...listenerWith({ listen: ":80" }), ...backendWith({ balance: "first", resolve: "1m" }) },
        { ...listenerWith({ listen: "[::]:80", mode: "0660" }), ...backendWith({ health: { type: "tcp" } }) },
      ),
    ).toEqual([
      'listener.web.listen: "0.0.0.0:80" → "[::]:80"',
      'backend.app.balance: "first" → "round_robin"',
      'backend.app.resolve: "1m" → "30s"',
      "backend.app.health: added",
    ]);
  });

  test("that are secret are said to have changed, and how is not said", () => {
    const admin = (token: string) => ({ admin: { listen: "127.0.0.1:0", token } });
    const tracing = (key: string) => ({ tracing: { otlp: "http://h", headers: { "x-key": key } } });
    expect(changes(admin("hunter2"), admin("hunter3"))).toEqual(["admin.token: changed"]);
    expect(changes(admin("hunter2"), admin(""))).toEqual(["admin.token: changed"]);
    expect(changes(tracing("hunter2"), tracing("hunter3"))).toEqual(["tracing.headers: changed"]);
  });

  test("with long values are cut, with long lists said by what came and what went", () => {
    const networks = (from: number) =>
      listenerWith({ deny: Array.from({ length: 100 }, (_, index) => `10.0.${from + index}.0/24`) });
    expect(changes(networks(0), networks(1))).toEqual([
      'listener.web.deny: added "10.0.100.0/24"; removed "10.0.0.0/24"',
    ]);
    expect(changes(networks(0), listenerWith({}))[0]).toBe(
      `listener.web.deny: removed ${Array.from({ length: 8 }, (_, index) => `"10.0.${index}.0/24"`).join(", ")} and 92 more`,
    );
    const { deny } = networks(0).listener[0] as { deny: string[] };
    expect(changes(networks(0), listenerWith({ deny: deny.toReversed() }))).toEqual([
      "listener.web.deny: in another order",
    ]);
    const health = (path: string) => backendWith({ health: { type: "http", path } });
    const [line = ""] = changes(health("/"), health(`/${"x".repeat(500)}`));
    expect(line).toBe(`backend.app.health.path: "/" → "/${"x".repeat(117)}…`);
  });

  test("hold no character that could steer a terminal", () => {
    const service = (name: string) => ({ tracing: { otlp: "http://h", service: name } });
    const config = configOf(service("a"));
    const other = { ...config, tracing: { ...config.tracing!, service: "\u009b31m\u2028\n" } };
    expect(diffConfig(config, other).changes).toEqual(['tracing.service: "a" → "\\u009b31m\\u2028\\n"']);
  });
});

describe("listeners and backends", () => {
  const web = { name: "web", listen: ":1", backend: "app" };
  const app = { name: "app", endpoints: ["a:1"] };

  test("that come, go and change are named", () => {
    const before = {
      listener: [web, { ...web, name: "old", listen: ":2" }, { ...web, name: "same", listen: ":3" }],
      backend: [app, { name: "db", endpoints: ["b:1"] }],
    };
    const after = {
      listener: [
        { ...web, name: "same", listen: ":3" },
        { ...web, name: "api", listen: ":2" },
        { ...web, deny: ["::1"] },
      ],
      backend: [
        { ...app, retries: 3 },
        { name: "new", endpoints: ["b:1"] },
      ],
    };
    const diff = between(before, after);
    expect(diff).toEqual({
      changes: [
        "listener.old: removed",
        "listener.api: added",
        'listener.web.deny: [] → ["::1/128"]',
        "backend.db: removed",
        "backend.new: added",
        "backend.app.retries: 2 → 3",
      ],
      needRestart: [],
      listeners: { added: ["api"], removed: ["old"], changed: ["web"] },
      backends: { added: ["new"], removed: ["db"], changed: ["app"] },
      tables: new Set(),
    });
  });

  test("that are called by another name went and came", () => {
    const { listeners, changes: lines } = between({ listener: [web] }, { listener: [{ ...web, name: "www" }] });
    expect(listeners).toEqual({ added: ["www"], removed: ["web"], changed: [] });
    expect(lines).toEqual(["listener.web: removed", "listener.www: added"]);
  });
});

describe("timeouts", () => {
  const listeners = (web: Extra, api: Extra = {}) => ({
    listener: [
      { name: "web", listen: ":1", backend: "app", timeouts: web },
      { name: "api", listen: ":2", backend: "app", timeouts: api },
    ],
  });
  const global = (idle: string) => ({ timeouts: { idle, half_closed: "1m" } });

  test("of all are said once, and every listener has changed", () => {
    const diff = between({ ...listeners({}), ...global("1h") }, { ...listeners({}), ...global("5m") });
    expect(diff.changes).toEqual(['timeouts.idle: "1h" → "5m"']);
    expect(diff.listeners.changed).toEqual(["web", "api"]);
    expect([...diff.tables]).toEqual([]);
  });

  test("of all do not reach a listener with its own, which is said", () => {
    const own = listeners({ idle: "2h" });
    const diff = between({ ...own, ...global("1h") }, { ...own, ...global("5m") });
    expect(diff.changes).toEqual(['timeouts.idle: "1h" → "5m" (not on listener.web)']);
    expect(diff.listeners.changed).toEqual(["api"]);
  });

  test("of a listener are said where they are the listener's, by what holds there", () => {
    // Its own comes, changes, and goes.
    expect(changes({ ...listeners({}) }, listeners({ idle: "5m" }))).toEqual([
      'listener.web.timeouts.idle: "1h" → "5m"',
    ]);
    expect(changes(listeners({ idle: "5m" }), listeners({ idle: "6m" }))).toEqual([
      'listener.web.timeouts.idle: "5m" → "6m"',
    ]);
    expect(changes(listeners({ idle: "5m" }), listeners({}))).toEqual(['listener.web.timeouts.idle: "5m" → "1h"']);
    // What changes in both ways at once.
    expect(
      changes(
        { ...listeners({ idle: "2h" }, {}), ...global("1h") },
        { ...listeners({}, { idle: "7m" }), ...global("5m") },
      ),
    ).toEqual([
      'timeouts.idle: "1h" → "5m"',
      'listener.web.timeouts.idle: "2h" → "5m"',
      'listener.api.timeouts.idle: "1h" → "7m"',
    ]);
  });

  test("that a listener says again without changing them are no change", () => {
    expect(changes(listeners({}), listeners({ idle: "1h" }))).toEqual([]);
    // But then they stay when the global one changes.
    expect(changes({ ...listeners({}), ...global("1h") }, { ...listeners({ idle: "1h" }), ...global("5m") })).toEqual([
      'timeouts.idle: "1h" → "5m" (not on listener.web)',
    ]);
  });

  test("that many listeners have of their own do not make a long line", () => {
    const many = {
      listener: Array.from({ length: 50 }, (_, index) => ({
        name: `l${index}`,
        listen: `:${1000 + index}`,
        backend: "app",
        timeouts: { idle: "2h" },
      })),
    };
    const names = Array.from({ length: 8 }, (_, index) => `listener.l${index}`).join(", ");
    expect(changes({ ...many, ...global("1h") }, { ...many, ...global("5m") })).toEqual([
      `timeouts.idle: "1h" → "5m" (not on ${names} and 42 more)`,
    ]);
  });
});

describe("endpoints", () => {
  const endpoints = (...list: unknown[]) => backendWith({ endpoints: list });

  test("are told apart by their addresses", () => {
    const before = endpoints("10.0.0.1:80", "10.0.0.2:80", { address: "[::1]:80", weight: 2 });
    const after = endpoints({ address: "10.0.0.1:80", weight: 3, backup: true }, "[::1]:80", "10.0.0.3:80", {
      address: "unix:/run/x.sock",
      connections: 5,
    });
    expect(changes(before, after)).toEqual([
      'backend.app.endpoints: added "10.0.0.3:80", { address = "unix:/run/x.sock", weight = 1, backup = false, connections = 5 }',
      'backend.app.endpoints: removed "10.0.0.2:80"',
      'backend.app.endpoints: "10.0.0.1:80".weight: 1 → 3',
      'backend.app.endpoints: "10.0.0.1:80".backup: false → true',
      'backend.app.endpoints: "[::1]:80".weight: 2 → 1',
    ]);
  });

  test("in another order are a change: `first` goes by it", () => {
    const diff = between(endpoints("a:1", "b:1", "c:1"), endpoints("c:1", "a:1", "b:1"));
    expect(diff.changes).toEqual(["backend.app.endpoints: in another order"]);
    expect(diff.backends.changed).toEqual(["app"]);
    // One that is gone leaves the order as it was.
    expect(changes(endpoints("a:1", "b:1", "c:1"), endpoints("a:1", "c:1"))).toEqual([
      'backend.app.endpoints: removed "b:1"',
    ]);
  });

  test("by the hundred do not make hundreds of lines", () => {
    const many = (weight: number, from: number) =>
      endpoints(...Array.from({ length: 100 }, (_, index) => ({ address: `a${from + index}:1`, weight })));
    const lines = changes(many(2, 0), many(3, 50));
    expect(lines).toHaveLength(11);
    expect(lines[0]).toEndWith(" and 42 more");
    expect(lines[1]).toEndWith(" and 42 more");
    expect(lines[2]).toBe('backend.app.endpoints: "a50:1".weight: 2 → 3');
    expect(lines[10]).toBe("backend.app.endpoints: and 42 more changes");
  });
});

describe("routes", () => {
  const routes = (...list: string[]) =>
    listenerWith({
      route: list.map((text) => {
        const [path, backend = "app"] = text.split(" ");
        return { path_prefix: path, backend };
      }),
    });
  const route = (path: string) => `{ path_prefix = "${path}", backend = "app" }`;
  const at = "listener.web.route";

  test("are said with their place and what they ask, and only those that changed their order have moved", () => {
    expect(changes(routes("/a", "/b"), routes("/new", "/a", "/b"))).toEqual([`${at}.0: added: ${route("/new")}`]);
    expect(changes(routes("/a", "/b", "/c"), routes("/b", "/c"))).toEqual([`${at}.0: removed: ${route("/a")}`]);
    expect(changes(routes("/a", "/b", "/c", "/d"), routes("/d", "/a", "/b", "/c"))).toEqual([
      `${at}.0: moved from 3: ${route("/d")}`,
    ]);
  });

  test("that ask something else at the same place have changed", () => {
    expect(changes(routes("/a", "/b", "/c"), routes("/a", "/x", "/c"))).toEqual([`${at}.1.path_prefix: "/b" → "/x"`]);
  });

  test("that lead elsewhere have changed, wherever they are", () => {
    const backend = [
      { name: "app", endpoints: ["a:1"] },
      { name: "other", endpoints: ["b:1"] },
    ];
    expect(changes({ ...routes("/a", "/b"), backend }, { ...routes("/b other"), backend })).toEqual([
      `${at}.0: removed: ${route("/a")}`,
      `${at}.0.backend: "app" → "other"`,
    ]);
  });

  test("that ask the same twice are counted", () => {
    expect(changes(routes("/a", "/a"), routes("/a"))).toEqual([`${at}.1: removed: ${route("/a")}`]);
    expect(changes(routes("/a"), routes("/a", "/a"))).toEqual([`${at}.1: added: ${route("/a")}`]);
  });

  test("by the hundred do not make hundreds of lines, nor long ones", () => {
    const many = Array.from({ length: 100 }, (_, index) => `/${index}${"x".repeat(200)}`);
    const lines = changes(routes(), routes(...many));
    expect(lines).toHaveLength(9);
    expect(lines.at(-1)).toBe(`${at}: and 92 more changes`);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(170);
  });
});

describe("what needs a new start", () => {
  const later = ": takes effect at the next start";

  test("is said in a list of its own, and stays as it was", () => {
    const before = { forwarding: { engine: "copy" }, admin: { listen: ":1", token: "t" }, log: { format: "json" } };
    const after = {
      forwarding: { engine: "auto" },
      admin: { listen: ":2", token: "u" },
      log: { format: "pretty", level: "debug" },
    };
    const diff = between(before, after);
    expect(diff.needRestart).toEqual([
      `forwarding.engine: "copy" → "auto"${later}`,
      `admin.listen: "0.0.0.0:1" → "0.0.0.0:2"${later}`,
      `log.format: "json" → "pretty"${later}`,
    ]);
    expect(diff.changes).toEqual(["admin.token: changed", 'log.level: "info" → "debug"']);
    expect([...diff.tables]).toEqual(["admin", "log"]);
    expect(keepFixed(configOf(before), configOf(after))).toEqual(
      configOf({
        forwarding: { engine: "copy" },
        admin: { listen: ":1", token: "u" },
        log: { format: "json", level: "debug" },
      }),
    );
  });

  test("is the admin server as a whole, where it comes or goes", () => {
    const on = { admin: { listen: "127.0.0.1:1", ready_needs_backends: false } };
    const [off, added] = [between(on, {}), between({}, on)];
    expect([off.needRestart, added.needRestart]).toEqual([[`admin: removed${later}`], [`admin: added${later}`]]);
    expect([off.changes, added.changes, [...off.tables], [...added.tables]]).toEqual([[], [], [], []]);
    expect(keepFixed(configOf(on), configOf())).toEqual(configOf(on));
  });

  test("is said again by the next reload, as long as it differs", () => {
    const [first, second] = [configOf({ log: { format: "json" } }), configOf({ log: { format: "pretty" } })];
    const inForce = keepFixed(first, second);
    expect(diffConfig(inForce, second).needRestart).toEqual([`log.format: "json" → "pretty"${later}`]);
    expect(diffConfig(inForce, second).changes).toEqual([]);
    expect(diffConfig(inForce, first).needRestart).toEqual([]);
  });

  test("an address that stays keeps its token, which only the new one could do without", () => {
    const before = configOf({ admin: { listen: "0.0.0.0:1", token: "hunter2" } });
    const after = configOf({ admin: { listen: "127.0.0.1:1", ready_needs_backends: false } });
    const diff = diffConfig(before, after);
    expect(diff.needRestart).toEqual([
      `admin.listen: "0.0.0.0:1" → "127.0.0.1:1"${later}`,
      `admin.token: changed${later}`,
    ]);
    expect(diff.changes).toEqual(["admin.ready_needs_backends: true → false"]);
    expect(keepFixed(before, after).admin).toEqual({ ...before.admin!, readyNeedsBackends: false });
    // On loopback it may go.
    const loopback = configOf({ admin: { listen: "127.0.0.1:2", token: "hunter2" } });
    expect(diffConfig(loopback, after).changes).toContain("admin.token: changed");
  });

  test("is the number of workers, in whatever words", () => {
    const [before, after] = [configOf(), configOf()];
    after.forwarding.workers = Number.NaN;
    expect(diffConfig(before, after).needRestart).toEqual([`forwarding.workers: 1 → "auto"${later}`]);
  });
});

describe("an address that can't be had yet", () => {
  const at = (listen: string, name = "web") => ({ name, listen, backend: "app" });
  const conflicts = (before: Extra, after: Extra) => {
    const [old, wanted] = [configOf(before), configOf(after)];
    return boundConflicts(old, keepFixed(old, wanted));
  };
  const overlaps = (mine: string, theirs: string, name = "web") =>
    `listener.web.listen: ${mine} overlaps ${theirs}, which listener "${name}" has; wanted another port, or one reload that removes "${name}", and this one when it is drained`;

  test("overlaps one that is bound; the same one changes hands", () => {
    const [wide, local, six] = [":80", "127.0.0.1:80", "[::]:80"];
    expect(conflicts({ listener: [at(wide)] }, { listener: [at(local)] })).toEqual([overlaps(local, "0.0.0.0:80")]);
    expect(conflicts({ listener: [at(local)] }, { listener: [at(six)] })).toEqual([overlaps(six, local)]);
    expect(conflicts({ listener: [at(local, "old")] }, { listener: [at(wide)] })).toEqual([
      overlaps("0.0.0.0:80", local, "old"),
    ]);
    expect(conflicts({ listener: [at(local, "old")] }, { listener: [at(local)] })).toEqual([]);
    expect(conflicts({ listener: [at(local), at(":81", "b")] }, { listener: [at(":81"), at(local, "b")] })).toEqual([]);
    expect(conflicts({ listener: [at(local)] }, { listener: [at("127.0.0.2:80")] })).toEqual([]);
    expect(conflicts({ listener: [at(":0")] }, { listener: [at("127.0.0.1:0")] })).toEqual([]);
    expect(conflicts({ listener: [at("unix:/a")] }, { listener: [at("unix:/b")] })).toEqual([]);
  });

  test("is the one that the admin server still has", () => {
    const before = { listener: [at(":80")], admin: { listen: "127.0.0.1:9900" } };
    const stays = "the admin server, which stays there until the next start; wanted another port";
    const after = (listen: string) => ({ listener: [at(listen)], admin: { listen: "127.0.0.1:9901" } });
    expect(conflicts(before, after("127.0.0.1:9900"))).toEqual([
      `listener.web.listen: 127.0.0.1:9900 is that of ${stays}`,
    ]);
    expect(conflicts(before, after(":9900"))).toEqual([
      `listener.web.listen: 0.0.0.0:9900 overlaps 127.0.0.1:9900 of ${stays}`,
    ]);
    expect(conflicts(before, { listener: [at(":9900")] })).toHaveLength(1);
    expect(conflicts(before, { listener: [at(":9901")] })).toEqual([]);
    // The one that it will have is not taken yet, but the configuration as a whole must be able to start.
    expect(conflicts(before, { listener: [at(":80")], admin: { listen: "127.0.0.1:9901" } })).toEqual([]);
  });
});
