/** What the program has, the documents have: commands, options, codes, signals, keys, words, fields, paths. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Members } from "../../src/config/declaration.ts";
import { configurationReference } from "../../src/config/load.ts";
import { declaration } from "../../src/config/schema.ts";
import { adminPaths } from "../../src/admin/admin-server.ts";
import { exitCodes } from "../../src/cli/surroundings.ts";
import { signalExitCode } from "../../src/lifecycle/signals.ts";
import { ENDS } from "../../src/session/end.ts";
import { rejectedRecord } from "../../src/session/record.ts";

const root = join(import.meta.dir, "../..");

describe("README.md", () => {
  test("names every command; every option of one is there or in docs/operations.md", async () => {
    const commands = await commandModules();
    expect(commands.length).toBeGreaterThan(4);
    const readme = textOf("README.md");
    const both = `${readme}\n${textOf("docs/operations.md")}`;
    const names = commands.map(({ name }) => `sluice ${name}`);
    const options = commands.flatMap(({ usage, help }) => optionsIn(`${usage}\n${help}`));
    expect(names.filter((name) => !hasWord(readme, name))).toEqual([]);
    const missing = new Set([...options, "--version", "--help"].filter((option) => !hasWord(both, option)));
    expect([...missing]).toEqual([]);
  });

  test("names no command and no option of sluice that there is not", async () => {
    const commands = await commandModules();
    const names = new Set([...commands.map(({ name }) => name), "help"]);
    const options = commands.flatMap(({ usage, help }) => optionsIn(`${usage}\n${help}`));
    const known = new Set([...options, "--version", "--help", "-v", "-h"]);
    const wrong: string[] = [];
    for (const file of ["README.md", "docs/operations.md"]) {
      for (const line of commandLines(textOf(file))) {
        const [word = ""] = line;
        if (/^[a-z]+$/.test(word) && !names.has(word)) wrong.push(`${file}: sluice ${word}`);
        for (const option of line.filter((part) => part.startsWith("-"))) {
          if (!known.has(option.replace(/=.*/, ""))) wrong.push(`${file}: ${option}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test("has a table with every exit code", () => {
    const rows = [...textOf("README.md").matchAll(/^\|.*\|$/gm)].flatMap(([row]) => row.split("|"));
    const cells = rows.filter((cell) => /^[\s\d,/`*]*\d[\s\d,/`*]*$/.test(cell));
    const codes = [...Object.values(exitCodes), signalExitCode("SIGINT"), signalExitCode("SIGTERM")];
    expect(codes.filter((code) => !cells.some((cell) => hasWord(cell, String(code))))).toEqual([]);
  });

  test("names every signal that is handled", () => {
    const readme = textOf("README.md");
    const handled = [...textOf("src/lifecycle/signals.ts").matchAll(/"(SIG[A-Z0-9]+)"/g)].map((match) => match[1]!);
    expect(new Set(handled).size).toBeGreaterThan(3);
    expect([...new Set(handled)].filter((signal) => !hasWord(readme, signal))).toEqual([]);
  });

  test("names every table of the configuration", () => {
    const readme = textOf("README.md");
    const tables = Object.keys(declaration);
    expect(tables.length).toBeGreaterThan(7);
    expect(tables.filter((name) => !readme.includes(`[${name}]`))).toEqual([]);
  });

  test("has the two commands to try it and to test it, with npm and with Bun", () => {
    const readme = textOf("README.md");
    const commands = ["npm install", "npm run demo", "npm test", "npm start", "bun install", "bun run demo"];
    expect(commands.filter((command) => !readme.includes(command))).toEqual([]);
  });
});

test("CHANGELOG.md has an entry for the version of package.json", () => {
  const { version } = JSON.parse(textOf("package.json")) as { version: string };
  expect(textOf("CHANGELOG.md")).toMatch(new RegExp(`^## \\[?v?${version.replaceAll(".", "\\.")}\\b`, "m"));
});

describe("docs/configuration.md", () => {
  test("is what the schema generates: bun run docs", () => {
    expect(textOf("docs/configuration.md")).toBe(configurationReference());
  });

  test("has a section for every table and a row for every key", () => {
    const sections = new Map<string, string>();
    for (const [, title = "", text = ""] of textOf("docs/configuration.md").matchAll(/^#+ (.+)\n((?:(?!#).*\n)*)/gm)) {
      // `[limits]` or `[[listener]]`; an element of a list keeps its words.
      sections.set(/^`\[+([^\]]+)\]+`$/.exec(title)?.[1] ?? title, text);
    }
    const missing: string[] = [];
    const visit = (members: Members, path: string): void => {
      for (const [name, member] of Object.entries(members)) {
        const inside = path === "" ? name : `${path}.${name}`;
        if (member.sort === "key") {
          if (!sections.get(path)?.includes(`| \`${name}\` `)) missing.push(inside);
          if (member.element !== undefined) visit(member.element, `An element of \`${inside}\``);
        } else if (member.sort === "overrides") {
          if (!sections.has(inside)) missing.push(inside);
        } else {
          visit(member.members, inside);
        }
      }
    };
    visit(declaration, "");
    expect(missing).toEqual([]);
  });
});

describe("docs/operations.md", () => {
  test("explains every end word", () => {
    const page = textOf("docs/operations.md");
    expect(Object.keys(ENDS).length).toBeGreaterThan(10);
    expect(Object.keys(ENDS).filter((end) => !hasCode(page, end))).toEqual([]);
  });

  test("explains every field of the access record", () => {
    const page = textOf("docs/operations.md");
    const fields = Object.keys(rejectedRecord(1, "web", "127.0.0.1:1", "limit_connections"));
    expect(fields.length).toBeGreaterThan(10);
    expect([...fields, "time", "level", "msg"].filter((field) => !hasCode(page, field))).toEqual([]);
  });

  test("names every path of the admin server", () => {
    const page = textOf("docs/operations.md");
    const paths = adminPaths;
    const codes = new Set([...page.matchAll(/`(?:[A-Z]+ )?(\/[^`\s?]*)[^`\n]*`/g)].map((match) => match[1]));
    expect(paths).toEqual(expect.arrayContaining(["/livez", "/readyz", "/status", "/shutdown"]));
    expect(paths.filter((path) => !codes.has(path))).toEqual([]);
  });

  test("explains every field of /connections", () => {
    const page = textOf("docs/operations.md");
    const [, connection = ""] = /interface ConnectionStatus \{([^}]*)\}/.exec(textOf("src/admin/admin-port.ts")) ?? [];
    const fields = [...connection.matchAll(/readonly (\w+):/g)].map((match) => match[1]!);
    expect(fields).toEqual(expect.arrayContaining(["id", "age_ms", "engine"]));
    expect(fields.filter((field) => !hasCode(page, field))).toEqual([]);
  });

  test("explains every field of /status", () => {
    const page = textOf("docs/operations.md");
    // Fields are snake_case; what is not belongs to the program.
    const declared = [...textOf("src/admin/status.ts").matchAll(/\breadonly (\w+): /g)].map((match) => match[1]!);
    const fields = declared.filter((name) => name === name.toLowerCase());
    expect(fields).toEqual(expect.arrayContaining(["uptime_ms", "listeners", "backends", "ended"]));
    expect([...new Set(fields)].filter((field) => !hasCode(page, field))).toEqual([]);
  });
});

/** What a command says of itself; see src/cli/command.ts. */
interface Said {
  name: string;
  usage: string;
  help: string;
}

/** The commands, wherever in src/cli they are exported. */
async function commandModules(): Promise<Said[]> {
  const files = [...new Bun.Glob("*.ts").scanSync(join(root, "src/cli"))];
  const modules = await Promise.all(files.map((file) => import(join(root, "src/cli", file)) as Promise<object>));
  const exported = modules.flatMap((module) => Object.values(module) as unknown[]);
  return exported.filter((value): value is Said => typeof value === "object" && value !== null && "execute" in value);
}

function optionsIn(text: string): string[] {
  return [...new Set([...text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map((match) => match[0]))];
}

/** The arguments of the calls of sluice in code blocks and spans, up to the end of the line, a comment or a pipe. */
function commandLines(markdown: string): string[][] {
  const code = [...markdown.matchAll(/^```\w*\n([^]*?)^```/gm), ...markdown.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)];
  const lines = code.flatMap((match) => match[1]!.replaceAll("\\\n", " ").split("\n"));
  return lines.flatMap((line) => {
    const call = /^(?:\$ )?(?:\S*\/)?sluice ([^#|>&;]*)/.exec(line.trim());
    return call === null ? [] : [call[1]!.trim().split(/\s+/)];
  });
}

/** Whether a word stands in a text by itself, not as a part of a longer one. */
function hasWord(text: string, word: string): boolean {
  return new RegExp(`(?<![\\w/-])${word.replace(/[/.]/g, "\\$&")}(?![\\w/-])`).test(text);
}

/** Whether a word stands in a text as code. */
function hasCode(text: string, word: string): boolean {
  return new RegExp(`\`[^\`\\n]*(?<!\\w)${word}(?!\\w)[^\`\\n]*\``).test(text);
}

function textOf(path: string): string {
  const file = join(root, path);
  expect({ path, exists: existsSync(file) }).toEqual({ path, exists: true });
  return readFileSync(file, "utf8");
}
