/** What differs between two configurations, and what of it can't change while the program runs. */
import { isLoopback } from "../core/address.ts";
import { changeLines } from "./change-lines.ts";
import { type Members, outputName } from "./declaration.ts";
import { type Config, declaration } from "./schema.ts";

/** Two configurations compared: for people in lines, for the program in names. */
export interface ConfigDiff {
  /** What changes, a line each in the words of the file: `timeouts.idle: "1h" → "5m"`. */
  readonly changes: readonly string[];
  /** What differs and stays as it is until the program is started again, a line each that says so. */
  readonly needRestart: readonly string[];
  /** A listener is changed when anything of its own is, the timeouts included that it takes from the global ones. */
  readonly listeners: NameChanges;
  readonly backends: NameChanges;
  /** The tables of which something changes that is neither a listener's nor a backend's. */
  readonly tables: ReadonlySet<ChangedTable>;
}

/** Entries by their names; who is not named is as it was. */
export interface NameChanges {
  /** In the order of the new configuration. */
  readonly added: readonly string[];
  /** In the order of the old one. */
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** A table that changes as a whole. `[forwarding]` never does, and `[timeouts]` are the listeners'. */
export type ChangedTable = Exclude<keyof typeof declaration, "forwarding" | "timeouts" | "listener" | "backend">;

/** Compares what is in force with what is wanted. Equal configurations give nothing; the order of listeners and backends says nothing. */
export function diffConfig(before: Config, after: Config): ConfigDiff {
  const inForce = keepFixed(before, after);
  return {
    changes: changeLines(before, inForce),
    needRestart: changeLines(inForce, after).map((line) => `${line}: takes effect at the next start`),
    listeners: nameChanges(before.listeners, inForce.listeners),
    backends: nameChanges(before.backends, inForce.backends),
    tables: changedTables(before, inForce),
  };
}

/**
 * The configuration that is in force when `after` has been applied to a program that runs with `before`: all that can't change
 * while it runs stays as it was. Compared with `after` once more it gives what needs a new start, and nothing else.
 */
export function keepFixed(before: Config, after: Config): Config {
  const inForce = kept(declaration, before, after) as Config;
  const { admin } = inForce;
  if (admin === undefined || admin.token !== "" || isLoopback(admin.listen)) return inForce;
  // The new address would do without the token; the one that stays does not.
  return { ...inForce, admin: { ...admin, token: before.admin?.token ?? "" } };
}

type Values = Readonly<Record<string, unknown>>;

function kept(members: Members, before: object, after: object): Values {
  const [old, wanted] = [before as Values, after as Values];
  const inForce: Record<string, unknown> = { ...wanted };
  for (const [tomlName, member] of Object.entries(members)) {
    const name = outputName(tomlName, member);
    if (member.sort === "key") {
      if (member.startOnly) inForce[name] = old[name];
    } else if (member.sort !== "tables" && hasStartOnly(member.members)) {
      const [was, is] = [old[name], wanted[name]];
      inForce[name] = isTable(was) && isTable(is) ? kept(member.members, was, is) : was;
    }
  }
  return inForce;
}

function hasStartOnly(members: Members): boolean {
  return Object.values(members).some((member) =>
    member.sort === "key" ? member.startOnly : member.sort !== "tables" && hasStartOnly(member.members),
  );
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function nameChanges(before: readonly { name: string }[], after: readonly { name: string }[]): NameChanges {
  const old = new Map(before.map((entry) => [entry.name, entry]));
  const wanted = new Map(after.map((entry) => [entry.name, entry]));
  return {
    added: [...wanted.keys()].filter((name) => !old.has(name)),
    removed: [...old.keys()].filter((name) => !wanted.has(name)),
    changed: after.flatMap((entry) => {
      const was = old.get(entry.name);
      return was === undefined || Bun.deepEquals(was, entry) ? [] : [entry.name];
    }),
  };
}

function changedTables(before: Config, after: Config): ReadonlySet<ChangedTable> {
  const names = Object.keys(declaration).filter(isTableName);
  return new Set(names.filter((name) => !Bun.deepEquals(before[name], after[name])));
}

function isTableName(name: string): name is ChangedTable {
  return !["forwarding", "timeouts", "listener", "backend"].includes(name);
}
