/** The differences of two configurations in the words of the file, a line each; all that is in the declaration is compared. */
import { type Key, type Members, outputName, type Table } from "./declaration.ts";
import { oneLine } from "./diagnostic.ts";
import { diffLists } from "./list-diff.ts";
import { type Config, declaration } from "./schema.ts";
import { type TomlValue, tomlText } from "./toml-text.ts";

/** Longer values are cut in a line. */
const valueCharsMax = 120;
/** Of a list that has changed in more places, the first have lines, and one says how many more there are. */
const listLinesMax = 8;
/** Of a list of names or values in a line, the first are shown, and how many more there are. */
const namesShownMax = 8;

/**
 * `limits.connections: 100 → 200`, `backend.app.health: added`, `listener.web.route.1: removed: { … }`. Places in lists count from
 * 0, as in diagnostics; values are written as `sluice check --print` does; of a secret it is said that it has changed.
 * A listener's timeouts are compared as they hold there: when a global one changes, the line of that says which listeners it
 * does not reach, and a listener has a line of its own where its timeout changes in another way.
 */
export function changeLines(before: Config, after: Config): string[] {
  const listenersBefore = new Map(before.listeners.map((listener) => [listener.name, listener]));
  return tableLines("", declaration, before, after, { before, after, listenersBefore }).map(oneLine);
}

/** What the program sees of a table. */
type Values = Readonly<Record<string, unknown>>;
/** Both configurations as a whole. */
interface Wholes {
  readonly before: Config;
  readonly after: Config;
  readonly listenersBefore: ReadonlyMap<string, Config["listeners"][number]>;
}

function tableLines(path: string, members: Members, before: Values, after: Values, wholes: Wholes): string[] {
  return Object.entries(members).flatMap(([name, member]) => {
    const at = path === "" ? name : `${path}.${name}`;
    const inside = outputName(name, member);
    const [old, wanted] = [before[inside], after[inside]];
    if (Bun.deepEquals(old, wanted)) return [];
    switch (member.sort) {
      case "key":
        return keyLines(at, member, old, wanted).map((line) => line + reach(at, inside, wholes));
      case "table":
      case "optional table":
        if (old === undefined) return [`${at}: added`];
        if (wanted === undefined) return [`${at}: removed`];
        return tableLines(at, member.members, old as Values, wanted as Values, wholes);
      case "overrides":
        return overrideLines(at, name, member, old as Values, wanted as Values, wholes);
      case "tables":
        return Object.hasOwn(member.members, "name")
          ? namedLines(at, member, old as Values[], wanted as Values[], wholes)
          : listLines(at, member, old as Values[], wanted as Values[], wholes);
    }
  });
}

// Keys.

function keyLines(at: string, key: Key, old: unknown, wanted: unknown): string[] {
  if (key.kind.secret) return [`${at}: changed`];
  if (key.element !== undefined) return elementLines(at, key, key.element, old as Values[], wanted as Values[]);
  const [was, is] = [key.kind.toToml(old), key.kind.toToml(wanted)];
  const [wasText, isText] = [tomlText(was), tomlText(is)];
  if (Array.isArray(was) && Array.isArray(is) && Math.max(wasText.length, isText.length) > valueCharsMax) {
    return [`${at}: ${longListText(was, is)}`];
  }
  return [`${at}: ${cut(wasText)} → ${cut(isText)}`];
}

/** Of a list that is too long to be read twice: what came, and what went. */
function longListText(old: readonly TomlValue[], wanted: readonly TomlValue[]): string {
  const { added, removed } = diffLists(old.map(tomlText), wanted.map(tomlText), (text) => text);
  const parts = [
    ...(added.length > 0 ? [`added ${someOf(added.map(({ item }) => item))}`] : []),
    ...(removed.length > 0 ? [`removed ${someOf(removed.map(({ item }) => item))}`] : []),
  ];
  return parts.length === 0 ? "in another order" : parts.join("; ");
}

/** A list whose elements may be tables: each is called by its required key. */
function elementLines(at: string, key: Key, members: Members, old: Values[], wanted: Values[]): string[] {
  const calledBy = Object.entries(members).filter(
    ([, member]) => member.sort === "key" && member.fallback === undefined,
  );
  const called = (element: Values) =>
    calledBy.map(([name, member]) => valueText(name, member as Key, element)).join(" ");
  const { added, removed, stayed } = diffLists(old, wanted, called);
  const written = (elements: readonly { item: Values }[]) =>
    someOf((key.kind.toToml(elements.map(({ item }) => item)) as TomlValue[]).map(tomlText));
  const changed = stayed.flatMap(({ before, after }) =>
    Object.entries(members).flatMap(([name, member]) => {
      const inside = outputName(name, member);
      if (member.sort !== "key" || Bun.deepEquals(before[inside], after[inside])) return [];
      return keyLines(`${at}: ${called(after)}.${name}`, member, before[inside], after[inside]);
    }),
  );
  return [
    ...(added.length > 0 ? [`${at}: added ${written(added)}`] : []),
    ...(removed.length > 0 ? [`${at}: removed ${written(removed)}`] : []),
    ...firstOf(at, changed),
    ...(stayed.some(({ moved }) => moved) ? [`${at}: in another order`] : []),
  ];
}

// Timeouts, which listeners take from the global ones.

/** Whom the change of a global timeout does not reach. */
function reach(at: string, name: string, { after, listenersBefore }: Wholes): string {
  if (!at.startsWith("timeouts.")) return "";
  const unchanged = after.listeners.flatMap((listener) => {
    const was = listenersBefore.get(listener.name);
    return was !== undefined && valueIn(was.timeouts, name) === valueIn(listener.timeouts, name) ? [listener.name] : [];
  });
  return unchanged.length === 0 ? "" : ` (not on ${someOf(unchanged.map((one) => `listener.${one}`))})`;
}

/** The keys that change here in another way than the table they are taken from. */
function overrideLines(
  at: string,
  name: string,
  table: Table,
  old: Values,
  wanted: Values,
  { before, after }: Wholes,
): string[] {
  const [oldGlobals, globals] = [before, after].map((whole) => valueIn(whole, outputName(name, table)));
  return Object.entries(table.members).flatMap(([keyName, member]) => {
    const inside = outputName(keyName, member);
    const [was, is] = [old[inside], wanted[inside]];
    const follows = was === valueIn(oldGlobals, inside) && is === valueIn(globals, inside);
    return member.sort !== "key" || was === is || follows ? [] : keyLines(`${at}.${keyName}`, member, was, is);
  });
}

// Lists of tables.

function namedLines(at: string, table: Table, old: Values[], wanted: Values[], wholes: Wholes): string[] {
  const { added, removed, stayed } = diffLists(old, wanted, (entry) => String(entry["name"]));
  return [
    ...removed.map(({ item }) => `${at}.${String(item["name"])}: removed`),
    ...added.map(({ item }) => `${at}.${String(item["name"])}: added`),
    ...stayed.flatMap(({ before, after }) =>
      tableLines(`${at}.${String(after["name"])}`, table.members, before, after, wholes),
    ),
  ];
}

/**
 * Entries without names, in an order that matters: routes. Two are the same one when they ask for the same, whatever follows
 * from it; and where one went and another came at the same place, it has changed.
 */
function listLines(at: string, table: Table, old: Values[], wanted: Values[], wholes: Wholes): string[] {
  const asked = Object.entries(table.members).filter(
    ([, member]) => member.sort === "key" && member.fallback !== undefined,
  );
  const asking = (entry: Values) => JSON.stringify(asked.map(([name, member]) => entry[outputName(name, member)]));
  const { added, removed, stayed } = diffLists(old, wanted, asking);
  const replaced = new Map(removed.map(({ item, at: place }) => [place, item]));
  const news = added.filter((one) => !replaced.has(one.at));
  const places = new Set(added.map((one) => one.at));
  const entryLines = (place: number, before: Values, after: Values) =>
    tableLines(`${at}.${place}`, table.members, before, after, wholes);
  return firstOf(at, [
    ...removed
      .filter((one) => !places.has(one.at))
      .map((one) => `${at}.${one.at}: removed: ${entryText(table, one.item)}`),
    ...news.map((one) => `${at}.${one.at}: added: ${entryText(table, one.item)}`),
    ...added.flatMap((one) => {
      const before = replaced.get(one.at);
      return before === undefined ? [] : entryLines(one.at, before, one.item);
    }),
    ...stayed.flatMap(({ before, after, from, to, moved }) => {
      const lines = entryLines(to, before, after);
      if (moved) lines.unshift(`${at}.${to}: moved from ${from}: ${entryText(table, after)}`);
      return lines;
    }),
  ]);
}

/** `{ path_prefix = "/api/", backend = "api" }`: what differs from the defaults. */
function entryText(table: Table, entry: Values): string {
  const shown = Object.entries(table.members).flatMap(([name, member]) => {
    if (member.sort !== "key") return [];
    const written = member.kind.toToml(entry[outputName(name, member)]);
    return Bun.deepEquals(written, member.fallback) ? [] : [[name, written] as const];
  });
  return cut(tomlText(Object.fromEntries(shown)));
}

// Texts.

function valueText(name: string, key: Key, values: Values): string {
  return tomlText(key.kind.toToml(values[outputName(name, key)]));
}

function valueIn(values: unknown, name: string): unknown {
  return (values as Values)[name];
}

function cut(text: string): string {
  return text.length > valueCharsMax ? `${text.slice(0, valueCharsMax - 1)}…` : text;
}

function someOf(texts: readonly string[]): string {
  const more = texts.length - namesShownMax;
  const shown = texts.slice(0, namesShownMax).map(cut).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function firstOf(at: string, lines: readonly string[]): string[] {
  const more = lines.length - listLinesMax;
  return more > 0 ? [...lines.slice(0, listLinesMax), `${at}: and ${more} more changes`] : [...lines];
}
