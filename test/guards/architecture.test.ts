/** The house of ARCHITECTURE.md: which room may import which, and what has one home only. */
import { expect, test } from "bun:test";
import { join, relative } from "node:path";

const root = join(import.meta.dir, "../..");

/** The rooms that each room may import, itself aside. What stands at the top of src is a room of its own. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["cli", "lifecycle"],
  cli: ["app.ts", "admin", "config", "core", "forward", "lifecycle", "listener", "reload.ts", "sys", "telemetry"],
  "app.ts": [
    "admin",
    "backend",
    "composition",
    "config",
    "control.ts",
    "core",
    "drains.ts",
    "forward",
    "lifecycle",
    "listener",
    "records.ts",
    "reload.ts",
    "session",
    "splicing.ts",
    "stats",
    "sys",
    "telemetry",
  ],
  "control.ts": ["admin", "composition", "config", "core", "listener", "reload.ts", "session", "stats", "sys"],
  "drains.ts": ["config", "core", "listener", "session", "stats", "telemetry"],
  "splicing.ts": ["config", "core", "forward", "lifecycle", "telemetry"],
  "records.ts": ["config", "core", "listener", "session", "telemetry"],
  "reload.ts": ["admin", "composition", "config", "core", "listener", "telemetry"],
  composition: ["backend", "config", "core", "listener", "protocol", "routing", "session", "telemetry", "tls"],
  admin: ["backend", "core", "listener", "session", "stats"],
  listener: ["backend", "core", "forward", "session", "stats", "sys"],
  session: ["backend", "core", "forward", "protocol", "routing", "sys", "tls"],
  backend: ["core", "forward", "protocol", "sys", "tls"],
  tls: ["core", "forward", "protocol", "sys"],
  routing: ["core", "protocol"],
  forward: ["core", "sys"],
  protocol: ["core"],
  // The parsers behind the values of its keys: what a run would refuse is refused by `sluice check`.
  config: ["backend", "core", "protocol", "routing", "tls"],
  lifecycle: ["core"],
  telemetry: ["core", "lifecycle"],
  stats: ["core"],
  sys: ["core"],
  core: [],
};

/** What only one file may mention. */
const homes: readonly { readonly what: string; readonly pattern: RegExp; readonly home: string }[] = [
  { what: "Bun.listen", pattern: /\bBun\.listen\b/, home: "listener/listener.ts" },
  { what: "Bun.connect", pattern: /\bBun\.connect\b/, home: "backend/dial.ts" },
  { what: "Bun.serve", pattern: /\bBun\.serve\b/, home: "admin/http-server.ts" },
  { what: "bun:ffi", pattern: /["']bun:ffi["']/, home: "sys/libc.ts" },
  { what: "process.exit", pattern: /\bprocess\.exit\b/, home: "main.ts" },
  { what: "process.env", pattern: /\b(?:process|Bun)\.env\b/, home: "main.ts" },
  { what: "process.on", pattern: /\bprocess\.on(?:ce)?\(/, home: "lifecycle/signals.ts" },
];

const transpiler = new Bun.Transpiler({ loader: "ts" });
const files = await Promise.all(
  [...new Bun.Glob("**/*.ts").scanSync(join(root, "src"))].map(async (path) => {
    const text = (await Bun.file(join(root, "src", path)).text()).replace(/^#!.*\n/, "");
    return { path, text, code: withoutComments(text) };
  }),
);

test("there are files in every room of the table, and in no other", () => {
  const rooms = new Set(files.map(({ path }) => roomOf(path)));
  expect([...rooms].toSorted()).toEqual(Object.keys(mayImport).toSorted());
});

test("imports run one way", () => {
  const wrong: string[] = [];
  for (const { path, text } of files) {
    const room = roomOf(path);
    for (const imported of importsOf(path, text)) {
      const target = roomOf(imported);
      if (target !== room && !mayImport[room]!.includes(target)) wrong.push(`${path} imports ${imported}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("the table itself does not run in a circle", () => {
  const visit = (room: string, above: readonly string[]): void => {
    expect(above).not.toContain(room);
    for (const next of mayImport[room]!) visit(next, [...above, room]);
  };
  for (const room of Object.keys(mayImport)) visit(room, []);
});

for (const { what, pattern, home } of homes) {
  test(`${what} has one home: src/${home}`, () => {
    expect(files.filter(({ code }) => pattern.test(code)).map(({ path }) => path)).toEqual([home]);
  });
}

test("nothing is written to the console", () => {
  expect(files.filter(({ code }) => /\bconsole\./.test(code)).map(({ path }) => path)).toEqual([]);
});

test("every file begins with the sentence that says what it is", () => {
  expect(files.filter(({ text }) => !text.startsWith("/**")).map(({ path }) => path)).toEqual([]);
});

test("every export has a doc comment", () => {
  const bare: string[] = [];
  for (const { path, text } of files) {
    const lines = text.split("\n");
    const seen = new Set<string>();
    lines.forEach((line, index) => {
      const declared = /^export (?:async |abstract )?(?:function\*? |class |interface |type |const |let )(\w+)/;
      const name = declared.exec(line)?.[1];
      // The first of several overloads speaks for all.
      if (name === undefined || seen.has(name)) return;
      seen.add(name);
      if (!lines[index - 1]?.endsWith("*/")) bare.push(`${path}: ${name}`);
    });
  }
  expect(bare).toEqual([]);
});

test("the hot path neither waits nor logs nor makes closures and strings", () => {
  for (const path of [
    "forward/copy/copy-half.ts",
    "forward/copy/turn.ts",
    "forward/receiver.ts",
    "forward/splice/loop.ts",
  ]) {
    const { code } = files.find((file) => file.path === path)!;
    expect({ path, found: code.match(/\bawait\b|\basync\b|=>\s*\{|\.\.\.|`|\blog\b/g) }).toEqual({ path, found: null });
  }
});

/** The room of a file: its first folder, or the file itself at the top. */
function roomOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : path;
}

/** The files of ours that a file imports, types included: `scanImports` sees values only. */
function importsOf(path: string, text: string): string[] {
  const values = transpiler.scanImports(text).map((found) => found.path);
  const types = [...text.matchAll(/^(?:import|export) type [^;]*? from "(\.[^"]+)";/gm)].map((match) => match[1]!);
  const folder = join(root, "src", path, "..");
  return [...new Set([...values, ...types])]
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => relative(join(root, "src"), join(folder, specifier)))
    .filter((target) => !target.startsWith(".."));
}

/** Comments may name what code may not. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}
