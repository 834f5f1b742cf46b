/** The language in which the schema is written: keys, tables and lists of tables, each declared once, with its type, default and documentation. */
import * as v from "valibot";
import { describe, found } from "./found.ts";
import type { Kind } from "./kind.ts";
import { type TomlValue, tomlText } from "./toml-text.ts";

/** One key. Without a `fallback` it is required, and `example` shows a value. */
export interface Key<K extends Kind = Kind> {
  readonly sort: "key";
  readonly kind: K;
  readonly doc: string;
  readonly fallback: TomlValue | undefined;
  readonly example: TomlValue | undefined;
  /** The members of a list's elements, where they may be tables. */
  readonly element: Members | undefined;
  /** True for what is declared and documented, but not built: there is nothing but its default yet. */
  readonly planned?: true;
  /** True for what is decided when the program starts: a reload leaves it as it is. */
  readonly startOnly?: true;
}

/** A table; how it behaves when the file does not have it is its `sort`. */
export interface Table<M extends Members = Members, Sort extends TableSort = TableSort> {
  readonly sort: Sort;
  readonly doc: string;
  readonly members: M;
  readonly schema: v.GenericSchema<unknown, Record<string, unknown>>;
}

/**
 * - `table`: absent means all its defaults.
 * - `optional table`: absent means off.
 * - `tables`: any number of entries (`[[listener]]`), absent means none.
 * - `overrides`: in an entry, absent keys are taken from the top-level table of the same name.
 */
export type TableSort = "table" | "optional table" | "tables" | "overrides";

/** What may stand under a name in a table. */
export type Member = Key | Table;
/** The names of a table, as in the file. */
export interface Members {
  readonly [tomlName: string]: Member;
}

/** A key with a default, in the file's form. */
export function key<K extends Kind>(kind: K, fallback: TomlValue, doc: string): Key<K> {
  return { sort: "key", kind, doc, fallback, example: undefined, element: undefined };
}

/** A key that must be given; the example is what a message proposes to add. */
export function required<K extends Kind>(kind: K, example: TomlValue, doc: string, element?: Members): Key<K> {
  return { sort: "key", kind, doc, fallback: undefined, example, element };
}

/** A table that is always there: absent means its defaults. */
export function table<M extends Members>(doc: string, members: M): Table<M, "table"> {
  return { sort: "table", doc, members, schema: schemaOf(members) };
}

/** A table that turns something on by being there. */
export function optionalTable<M extends Members>(doc: string, members: M): Table<M, "optional table"> {
  return { sort: "optional table", doc, members, schema: schemaOf(members) };
}

/** A list of tables, written `[[name]]`. */
export function tables<M extends Members>(doc: string, members: M): Table<M, "tables"> {
  return { sort: "tables", doc, members, schema: schemaOf(members) };
}

/** The same keys as a top-level table, without its defaults. */
export function overrides<M extends Members>(doc: string, of: Table<M, "table">): Table<M, "overrides"> {
  const entries = Object.entries(of.members).map(([name, member]) => [name, v.optional(memberSchema(name, member))]);
  return {
    sort: "overrides",
    doc,
    members: of.members,
    schema: v.strictObject(Object.fromEntries(entries), tableMessage),
  };
}

/** Marks what is not built: anything but its default is refused as not supported yet. Building it removes this one word. */
export function planned<M extends Key>(member: M): M & { readonly planned: true } {
  return { ...member, planned: true };
}

/**
 * Marks what can't change while the program runs: what differs after a reload holds from the next start on. A table that
 * turns something on by being there, and has such a key, comes and goes with a start as well. Not for entries of lists.
 */
export function startOnly<M extends Key>(member: M): M & { readonly startOnly: true } {
  return { ...member, startOnly: true };
}

/** The valibot schema of a table: from the file's form to values, still under the file's names. */
export function schemaOf(members: Members): v.GenericSchema<unknown, Record<string, unknown>> {
  const entries: Record<string, v.GenericSchema> = {};
  for (const [name, member] of Object.entries(members)) {
    const schema = memberSchema(name, member);
    entries[name] = isRequired(member) ? schema : v.optional(schema, fallbackOf(member));
  }
  return v.strictObject(entries, tableMessage);
}

/** True for a key without a default. */
export function isRequired(member: Member): boolean {
  return member.sort === "key" && member.fallback === undefined;
}

function memberSchema(name: string, member: Member): v.GenericSchema {
  const schema =
    member.sort === "key" ? member.kind.schema : member.sort === "tables" ? listSchema(name, member) : member.schema;
  if (member.sort !== "key" || member.planned === undefined) return schema;
  const fallback = v.parse(schema, member.fallback);
  return v.pipe(
    schema,
    v.check(
      (value) => Bun.deepEquals(value, fallback),
      (issue) => notSupported(member, issue.input),
    ),
  );
}

function listSchema(name: string, member: Table): v.GenericSchema {
  return v.array(member.schema, found(`tables, each beginning with [[${name}]]`));
}

function fallbackOf(member: Member): unknown {
  if (member.sort === "key") return member.fallback;
  return member.sort === "table" || member.sort === "overrides" ? {} : member.sort === "tables" ? [] : undefined;
}

/** What is wrong with a value of something planned. */
export function notSupported({ fallback = "" }: Key, value: unknown): string {
  return `found ${describe(value)}, which is not supported yet, wanted the default, ${tomlText(fallback)}`;
}

/** valibot asks for one message for three things: a value that is no table, a missing key, an unknown key. Unknown keys are found elsewhere. */
function tableMessage(issue: v.BaseIssue<unknown>): string {
  return issue.expected === "Object" ? found("a table")(issue) : "is missing";
}

/* The program's types follow from the declaration: names in camelCase with their unit. */

/** What a table's keys become in the program. */
export type Output<M extends Members> = {
  -readonly [Name in keyof M & string as OutputName<Name, M[Name]>]: OutputValue<M[Name]>;
};

type OutputName<Name extends string, M> =
  M extends Key<infer K>
    ? `${Camel<Name>}${K["unit"]}`
    : M extends Table<Members, infer Sort>
      ? Sort extends "tables"
        ? `${Camel<Name>}s`
        : Camel<Name>
      : never;

type OutputValue<M> =
  M extends Key<infer K>
    ? v.InferOutput<K["schema"]>
    : M extends Table<infer Inner, infer Sort>
      ? Sort extends "tables"
        ? Output<Inner>[]
        : Sort extends "optional table"
          ? Output<Inner> | undefined
          : Output<Inner>
      : never;

type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;

/** The name of a member inside the program; the type {@link Output} says the same. */
export function outputName(tomlName: string, member: Member): string {
  const camel = tomlName.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return member.sort === "key" ? `${camel}${member.kind.unit}` : member.sort === "tables" ? `${camel}s` : camel;
}

/** True for tables whose entries have names; variables reach no others. */
export function hasNames(table: Table): boolean {
  return table.sort === "tables" && Object.hasOwn(table.members, "name");
}
