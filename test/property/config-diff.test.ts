/** The difference of two configurations: every key of the declaration one by one, and random pairs. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Key, type Members, outputName } from "../../src/config/declaration.ts";
import { type ConfigDiff, diffConfig, keepFixed } from "../../src/config/diff.ts";
import { diffLists } from "../../src/config/list-diff.ts";
import { type Config, declaration } from "../../src/config/schema.ts";
import { loadValue, randomFile } from "../support/random-config.ts";

/** A configuration in which every table of the declaration is there. */
function full(): Config {
  const loaded = loadValue({
    listener: [
      {
        name: "web",
        listen: ":8080",
        backend: "app",
        tls: { cert: ["a.pem", "b.pem"], key: ["tls/a key", "tls/b key"] },
        route: [
          { path_prefix: "/one", backend: "app" },
          { path_prefix: "/two", backend: "app" },
        ],
      },
      { name: "other", listen: ":8081", backend: "app", timeouts: { connect: "1s", idle: "2h" } },
    ],
    backend: [
      {
        name: "app",
        endpoints: ["10.0.0.1:80", { address: "unix:/run/x.sock", weight: 2 }],
        tls: { cert: "client.pem", key: "tls/client key", server_name: "app.test" },
        health: {},
        eject: {},
      },
    ],
    admin: { listen: "127.0.0.1:9900", token: "hunter2" },
    tracing: { otlp: "http://127.0.0.1:4318", headers: { "x-api-key": "hunter2" } },
  });
  if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join("\n"));
  return loaded.config;
}

const nothing: ConfigDiff = {
  changes: [],
  needRestart: [],
  listeners: { added: [], removed: [], changed: [] },
  backends: { added: [], removed: [], changed: [] },
  tables: new Set(),
};

/** A place in the configuration: names of the program, indices of entries. */
type Place = readonly (string | number)[];

interface Leaf {
  /** As a line calls it. */
  readonly path: string;
  readonly place: Place;
  readonly key: Key;
  /** The table at the top that it is in. */
  readonly table: string;
}

/** Every key of the first entry of every table, elements included. */
function leavesOf(members: Members, values: unknown, path = "", place: Place = []): Leaf[] {
  return Object.entries(members).flatMap(([name, member]) => {
    const inside = outputName(name, member);
    const at = path === "" ? name : `${path}.${name}`;
    const value = (values as Record<string, unknown>)[inside];
    const here = [...place, inside];
    const table = at.split(".")[0]!;
    if (member.sort === "key" && member.element === undefined) return [{ path: at, place: here, key: member, table }];
    const first = Array.isArray(value) ? value[0] : value;
    if (first === undefined) throw new Error(`${at} is not in the full configuration`);
    if (member.sort === "key") {
      return leavesOf(member.element!, first, at, [...here, 0]).map((leaf) =>
        // What an endpoint is called by makes it another one.
        ({ ...leaf, path: leaf.key.fallback === undefined ? at : leaf.path.replace(at, `${at}: "10.0.0.1:80"`) }),
      );
    }
    if (member.sort !== "tables") return leavesOf(member.members, first, at, here);
    const called = Object.hasOwn(member.members, "name") ? (first as { name: string }).name : "0";
    return leavesOf(member.members, first, `${at}.${called}`, [...here, 0]);
  });
}

/** Another value of the same sort. */
function another(value: unknown): unknown {
  if (typeof value === "string") return `${value}x`;
  if (typeof value === "number") return value + 1;
  if (typeof value === "boolean") return !value;
  if (value instanceof Uint8Array) return new Uint8Array([...value, 7]);
  if (Array.isArray(value)) return value.length === 0 ? [] : value.slice(1);
  const entries = Object.entries(value as object);
  const [name, inside] = entries.findLast(([key]) => key !== "kind")!;
  return { ...(value as object), [name]: another(inside) };
}

function at(config: unknown, place: Place): unknown {
  return place.reduce<unknown>((value, step) => (value as Record<string | number, unknown>)[step], config);
}

/** `config` is changed; lists that are empty get what their key has for an example. */
function change(config: Config, { place, key }: Leaf): void {
  const holder = at(config, place.slice(0, -1)) as Record<string | number, unknown>;
  const name = place.at(-1)!;
  const old = holder[name];
  holder[name] = Array.isArray(old) && old.length === 0 ? [elementFor(key)] : another(old);
}

/** Something to put into an empty list of this key. */
function elementFor(key: Key): unknown {
  const samples: Record<string, unknown> = {
    "list of CIDRs": { kind: "ipv4", address: "10.0.0.0", bits: 8 },
    "list of protocols": "h2",
    "list of addresses": { host: "127.0.0.1", port: 53 },
  };
  const sample = samples[key.kind.says];
  if (sample === undefined) throw new Error(`nothing to put into a ${key.kind.says}`);
  return sample;
}

const leaves = leavesOf(declaration, full());

describe("a change of one key alone", () => {
  test("can be tried for every key that there is", () => {
    expect(leaves.length).toBeGreaterThan(75);
    expect(new Set(leaves.map(({ path }) => path)).size).toBe(leaves.length);
  });

  test.each(leaves.filter(({ path }) => !path.endsWith(".name")).map((leaf) => [leaf.path, leaf] as const))(
    "is found, and nothing else: %s",
    (path, leaf) => {
      const [before, after] = [full(), full()];
      change(after, leaf);
      if (leaf.table === "timeouts") {
        // As it is read: a listener without its own has the global one.
        const name = leaf.place.at(-1) as keyof Config["timeouts"];
        for (const listener of after.listeners) {
          if (listener.timeouts[name] === before.timeouts[name]) listener.timeouts[name] = after.timeouts[name];
        }
      }
      const diff = diffConfig(before, after);
      const said = leaf.key.startOnly ? diff.needRestart : diff.changes;
      const other = leaf.key.startOnly ? diff.changes : diff.needRestart;
      expect(other).toEqual([]);
      // Another address is another endpoint.
      const replaced = path === "backend.app.endpoints";
      expect(said).toHaveLength(replaced ? 2 : 1);
      for (const line of said) expect(line).toStartWith(`${path}: `);
      expect(said[0]!.includes("hunter2")).toBe(false);
      if (leaf.key.startOnly) {
        expect(said[0]).toEndWith(": takes effect at the next start");
        expect(diff).toEqual({ ...nothing, needRestart: said });
        expect(keepFixed(before, after)).toEqual(before);
        return;
      }
      if (leaf.key.kind.secret) expect(said).toEqual([`${path}: changed`]);
      else if (!replaced) expect(said[0]).toMatch(/: .+ → .+$/);
      expect(keepFixed(before, after)).toEqual(after);
      const [listener, backend] = [leaf.table === "listener", leaf.table === "backend"];
      const follow = leaf.table === "timeouts";
      const own = ["connectMs", "idleMs"].includes(String(leaf.place.at(-1)));
      expect(diff.listeners.changed).toEqual(listener ? ["web"] : follow ? (own ? ["web"] : ["web", "other"]) : []);
      expect(diff.backends.changed).toEqual(backend ? ["app"] : []);
      expect([...diff.tables] as string[]).toEqual(listener || backend || follow ? [] : [leaf.table]);
    },
  );

  test("of a table that is there or not, is found as that", () => {
    const optional = leaves.map(({ place }) => place.slice(0, -1)).filter((place) => isOptional(place));
    const places = new Map(optional.map((place) => [JSON.stringify(place), place]));
    const lines = [...places.values()].flatMap((place) => {
      const [before, after] = [full(), full()];
      (at(after, place.slice(0, -1)) as Record<string | number, unknown>)[place.at(-1)!] = undefined;
      const [off, on] = [diffConfig(before, after), diffConfig(after, before)];
      return [...off.changes, ...off.needRestart, ...on.changes, ...on.needRestart];
    });
    expect(lines).toEqual([
      "listener.web.tls: removed",
      "listener.web.tls: added",
      "backend.app.tls: removed",
      "backend.app.tls: added",
      "backend.app.health: removed",
      "backend.app.health: added",
      "backend.app.eject: removed",
      "backend.app.eject: added",
      "admin: removed: takes effect at the next start",
      "admin: added: takes effect at the next start",
      "tracing: removed",
      "tracing: added",
    ]);
  });
});

test("what is read at start only stands in tables that a reload can leave as they are", () => {
  const wrong: string[] = [];
  const visit = (members: Members, path: string, within: boolean): void => {
    for (const [name, member] of Object.entries(members)) {
      if (member.sort !== "key") visit(member.members, `${path}${name}.`, within || member.sort === "tables");
      else if (within && member.startOnly) wrong.push(path + name);
    }
  };
  visit(declaration, "", false);
  expect(wrong).toEqual([]);
  // ConfigDiff.tables leaves this table out, because nothing of it changes.
  expect(Object.values(declaration.forwarding.members).every((member) => "startOnly" in member)).toBe(true);
});

test("nothing differs from itself, whatever the order of listeners and backends", () => {
  forEachPair(100, (config) => {
    expect(diffConfig(config, structuredClone(config))).toEqual(nothing);
    const turned = {
      ...config,
      listeners: config.listeners.toReversed(),
      backends: config.backends.toReversed(),
    };
    expect(diffConfig(config, turned)).toEqual(nothing);
  });
});

test("what is said of two configurations holds: applied, only what needs a start is left, and that is said again", () => {
  let [changed, restarts] = [0, 0];
  forEachPair(300, (before, after) => {
    const diff = diffConfig(before, after);
    const inForce = keepFixed(before, after);
    changed += Number(diff.changes.length > 0);
    restarts += Number(diff.needRestart.length > 0);
    expect(diffConfig(inForce, after)).toEqual({ ...nothing, needRestart: diff.needRestart });
    expect(diffConfig(before, inForce)).toEqual({ ...diff, needRestart: [] });
    // And nothing is left out.
    if (diff.changes.length === 0) expect(sorted(inForce)).toEqual(sorted(before));
    if (diff.needRestart.length === 0) expect(inForce).toEqual(after);
    for (const line of [...diff.changes, ...diff.needRestart]) {
      expect(line).toMatch(/^[a-z_]+[A-Za-z0-9_.-]*: [^\p{Cc}\u2028\u2029]+$/u);
      expect(line.length).toBeLessThan(1500);
    }
    expect(new Set(diff.changes).size).toBe(diff.changes.length);
    // Nobody is in two lists, and a change of something has a line.
    for (const { added, removed, changed: other } of [diff.listeners, diff.backends]) {
      const named = [...added, ...removed, ...other];
      expect(new Set(named).size).toBe(named.length);
    }
    for (const table of diff.tables) {
      expect(diff.changes.some((line) => line.startsWith(`${table}.`) || line.startsWith(`${table}: `))).toBe(true);
    }
    // Back again.
    const back = diffConfig(after, before);
    expect(back.listeners.added.toSorted()).toEqual(diff.listeners.removed.toSorted());
    expect(back.backends.changed.toSorted()).toEqual(diff.backends.changed.toSorted());
    expect(back.needRestart.length > 0 || diff.needRestart.length === 0).toBe(true);
  });
  expect([changed > 100, restarts > 50]).toEqual([true, true]);
});

test("a list's difference leads from the one list to the other, with as few moves as there can be", () => {
  const list = fc.array(fc.constantFrom(..."abcdefg"), { maxLength: 9 });
  fc.assert(
    fc.property(list, list, (before, after) => {
      const { added, removed, stayed } = diffLists(before, after, (item) => item);
      const rebuilt: string[] = [];
      for (const { item, at: place } of added) rebuilt[place] = item;
      for (const { after: item, to } of stayed) rebuilt[to] = item;
      expect(rebuilt).toEqual(after);
      expect([...removed.map((one) => one.at), ...stayed.map((one) => one.from)].toSorted((a, b) => a - b)).toEqual([
        ...before.keys(),
      ]);
      expect(stayed.every((one) => before[one.from] === one.after)).toBe(true);
      const places = stayed.map(({ from }) => from);
      const unmoved = stayed.filter(({ moved }) => !moved).map(({ from }) => from);
      expect(unmoved).toEqual(unmoved.toSorted((a, b) => a - b));
      expect(unmoved).toHaveLength(longestRiseLength(places));
    }),
    { numRuns: 500 },
  );
});

/** The plain way, in quadratic time. */
function longestRiseLength(numbers: readonly number[]): number {
  const lengths: number[] = [];
  for (const [index, number] of numbers.entries()) {
    lengths.push(1 + Math.max(0, ...lengths.filter((_, other) => numbers[other]! < number).slice(0, index)));
  }
  return Math.max(0, ...lengths);
}

/** Calls `check` with pairs of valid configurations, of which many share names. */
function forEachPair(runs: number, check: (before: Config, after: Config) => void): void {
  let valid = 0;
  fc.assert(
    fc.property(randomFile, randomFile, fc.boolean(), (one, two, related) => {
      // Related ones differ in everything but listeners and backends.
      const { listener, backend } = one;
      const [before, after] = [loadValue(one), loadValue(related ? { ...two, listener, backend } : two)];
      if (!before.ok || !after.ok) return;
      valid++;
      check(before.config, after.config);
    }),
    { numRuns: runs },
  );
  expect(valid).toBeGreaterThan(runs / 5);
}

function sorted(config: Config): Config {
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  return {
    ...config,
    listeners: config.listeners.toSorted(byName),
    backends: config.backends.toSorted(byName),
  };
}

/** Whether a place is a table that turns something on by being there. */
function isOptional(place: Place): boolean {
  let members: Members = declaration;
  for (const [index, step] of place.entries()) {
    if (typeof step === "number") continue;
    const found = Object.entries(members).find(([name, member]) => outputName(name, member) === step);
    if (found === undefined || found[1].sort === "key") return false;
    if (index === place.length - 1) return found[1].sort === "optional table";
    members = found[1].members;
  }
  return false;
}
