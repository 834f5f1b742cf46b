/** What must not be in the repository, and what must agree in it: machine paths, registries, versions, links, tests. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import bunLock from "../../bun.lock";
import packageJson from "../../package.json";
import { countDeclaredTests } from "../../scripts/declared-tests.ts";

const root = join(import.meta.dir, "../..");
const files = repositoryFiles().map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
const npmLock = JSON.parse(textOf("package-lock.json")) as {
  packages: Record<string, NpmPackage>;
};
interface NpmPackage {
  version?: string;
  resolved?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}
const direct = { ...packageJson.dependencies, ...packageJson.devDependencies };

test("the files of the repository are found", () => {
  const paths = files.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(["package.json", "src/main.ts", "test/guards/architecture.test.ts"]));
  expect(paths.filter((path) => /(^|\/)(node_modules|dist)\//.test(path))).toEqual([]);
});

test("no file names a folder of somebody's machine", () => {
  const machinePath = /(?<![\w.*\]})-])\/(?:(?:home|Users)\/\w|(?:work|root|tmp)(?:\/|\b(?=["'`\s:,)])))/;
  expect(places(machinePath)).toEqual([]);
  // It finds what it is for.
  const found = ["work/main", "root/x", "home/me/x", "Users/me", "tmp/x", "tmp"].map((path) =>
    machinePath.test(`"/${path}"`),
  );
  expect(found).toEqual(Array(6).fill(true));
  expect(["https://x.org/work/", "./tmp/x", "../root/", "/workers/"].filter((text) => machinePath.test(text))).toEqual(
    [],
  );
});

describe("the lock files", () => {
  test("name no registry", () => {
    expect(Object.entries(npmLock.packages).filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    // The second element of a package in bun.lock is its registry, empty for the usual one.
    const packages = Object.values(bunLock.packages as Record<string, readonly unknown[]>);
    expect(packages.length).toBeGreaterThan(Object.keys(direct).length);
    expect(packages.filter((entry) => entry[1] !== "")).toEqual([]);
    expect(textOf("bun.lock")).not.toMatch(/https?:/);
    expect(
      files.filter(({ path }) => /(^|\/)\.npmrc$/.test(path)).filter(({ text }) => /registry\s*=/m.test(text)),
    ).toEqual([]);
  });

  test("have the direct dependencies in the very versions of package.json", () => {
    expect(Object.values(direct).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    const npm = Object.keys(direct).map((name) => [name, npmLock.packages[`node_modules/${name}`]?.version]);
    expect(Object.fromEntries(npm)).toEqual(direct);
    const packages = bunLock.packages as Record<string, readonly unknown[]>;
    const bun = Object.keys(direct).map((name) => [name, String(packages[name]?.[0]).slice(name.length + 1)]);
    expect(Object.fromEntries(bun)).toEqual(direct);
  });

  test("ask for what package.json asks for", () => {
    const { dependencies, devDependencies } = packageJson;
    expect(npmLock.packages[""]).toMatchObject({ dependencies, devDependencies });
    expect(bunLock.workspaces[""]).toMatchObject({ dependencies, devDependencies });
  });

  test("have every package in the same version, where both have it", () => {
    const packages = bunLock.packages as Record<string, readonly unknown[]>;
    const wrong: string[] = [];
    let compared = 0;
    for (const [folder, { version }] of Object.entries(npmLock.packages)) {
      const name = folder.replace(/^node_modules\//, "").replaceAll("/node_modules/", "/");
      const locked = packages[name]?.[0];
      if (locked === undefined || version === undefined) continue;
      compared++;
      if (!String(locked).endsWith(`@${version}`)) wrong.push(`${name}: ${version} for npm, ${String(locked)} for Bun`);
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(Object.keys(direct).length);
  });
});

test("the version of Bun is the same wherever it is written, and the one that runs", () => {
  const { engines, packageManager, devDependencies } = packageJson;
  const version = devDependencies.bun;
  expect({ types: devDependencies["bun-types"], engine: engines.bun, packageManager, running: Bun.version }).toEqual({
    types: version,
    engine: version,
    packageManager: `bun@${version}`,
    running: version,
  });
  const readme = textOf("README.md");
  const mentioned = [...readme.matchAll(/\bBun (?:v|version )?(\d+\.\d+\.\d+)/gi)].map((match) => match[1]!);
  expect(mentioned).not.toEqual([]);
  expect(mentioned.filter((other) => other !== version)).toEqual([]);
});

test("every relative link in a Markdown file leads to a file, and to a heading of it", () => {
  const markdown = files.filter(({ path }) => path.endsWith(".md"));
  expect(markdown.length).toBeGreaterThan(1);
  const broken: string[] = [];
  for (const { path, text } of markdown) {
    for (const link of linksIn(text)) {
      if (/^[a-z][a-z+.-]*:/i.test(link)) continue;
      const [target = "", heading] = link.split("#", 2);
      const file = target === "" ? path : relative(root, join(root, dirname(path), decodeURIComponent(target)));
      const full = join(root, file);
      if (target.startsWith("/") || file.startsWith("..") || !existsSync(full)) broken.push(`${path}: ${link}`);
      else if (heading !== undefined && file.endsWith(".md") && !headingsIn(readFileSync(full, "utf8")).has(heading)) {
        broken.push(`${path}: ${link} (no such heading)`);
      }
    }
  }
  expect(broken).toEqual([]);
});

test("the sources leave nothing for later in comments", () => {
  expect(places(/\b(?:TODO|FIXME|XXX|HACK)\b/, (path) => path.startsWith("src/"))).toEqual([]);
});

test("no test is left out or runs alone, but for want of a tool that CI installs", () => {
  const marked =
    /\b(?:test|it|describe)(?:\.\w+)*\.(?:skip|only|todo|skipIf(?!\(lacks\()|todoIf|if|failing)\b|\b(?:xit|xtest|xdescribe)\(|^\s*\.skipIf(?!\(lacks\()/;
  expect(codePlaces(marked)).toEqual([]);
  const left = [
    'test.skip("a", f)',
    'it.only("a", f)',
    "describe.todo()",
    "test.skipIf(true)(f)",
    "  .skipIf(true)(f)",
    "xit()",
  ];
  expect(left.filter((code) => !marked.test(withoutWords(code)))).toEqual([]);
});

test("no test waits for time to pass", () => {
  const timers = /(?<!\.)\bsetTimeout\(|\bsetInterval\(|\bBun\.sleep(?:Sync)?\(|timers\/promises|\bAtomics\.wait\(/;
  expect(codePlaces(timers)).toEqual([]);
});

/** Where a pattern is found: `path:line: the line`. */
function places(pattern: RegExp, wanted: (path: string) => boolean = () => true): string[] {
  return files
    .filter(({ path }) => wanted(path))
    .flatMap(({ path, text }) =>
      text
        .split("\n")
        .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])),
    );
}

test("reading code without its words leaves the code", () => {
  // Further in, a line may be part of a template.
  const atLineStart = (code: string): number =>
    [...code.matchAll(/^(?: {2})?test(?:\.concurrent)?(?:\.each|\.skipIf)?[(<]/gm)].length;
  const lost = files.filter(({ path, text }) => {
    if (!path.endsWith(".test.ts")) return false;
    const code = withoutWords(text);
    const declared = countDeclaredTests(code);
    return declared === 0 || declared < countDeclaredTests(text) || atLineStart(code) < atLineStart(text);
  });
  expect(lost.map(({ path }) => path)).toEqual([]);
  expect(withoutWords("a('b') + `c\n${d}` /* e */ + f(/g/) // h").replaceAll(" ", "")).toBe("a()+\n+f()");
});

/** The same in test files, without comments and what stands in quotes: a test may be about such things. */
function codePlaces(pattern: RegExp): string[] {
  const tests = files.filter(({ path }) => path.endsWith(".test.ts"));
  expect(tests.length).toBeGreaterThan(10);
  return tests.flatMap(({ path, text }) => {
    const lines = withoutWords(text).split("\n");
    return lines.flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : []));
  });
}

/** Comments, strings, templates and regular expressions become blanks; lines stay lines. */
function withoutWords(code: string): string {
  const words = new RegExp(
    [
      String.raw`\/\/.*|\/\*[^]*?\*\/`,
      String.raw`"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'`,
      "`(?:\\\\[^]|[^`\\\\])*`",
      String.raw`(?<=[=(,:;[!&|?{}>\n]\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^[/\\\n])+\/`,
    ].join("|"),
    "g",
  );
  return code.replace(words, (text) => text.replace(/[^\n]/g, " "));
}

function linksIn(markdown: string): string[] {
  const prose = markdown.replace(/^```[^]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  const inline = [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const references = [...prose.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm)];
  return [...inline, ...references].map((match) => match[1]!);
}

/** The names that GitHub gives to headings. */
function headingsIn(markdown: string): Set<string> {
  const names = new Set<string>();
  for (const [, text = ""] of markdown.replace(/^```[^]*?^```/gm, "").matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const plain = text.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const name = plain.replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-");
    for (let count = 0; ; count++) {
      const candidate = count === 0 ? name : `${name}-${count}`;
      if (names.has(candidate)) continue;
      names.add(candidate);
      break;
    }
  }
  return names;
}

/** What Git tracks; where there is no Git, all that it would not ignore. Only text of this project's own. */
function repositoryFiles(): string[] {
  const git = Bun.which("git");
  const tracked = git === null ? undefined : Bun.spawnSync([git, "-C", root, "ls-files", "-z"]);
  const paths =
    tracked?.exitCode === 0
      ? tracked.stdout.toString().split("\0").filter(Boolean)
      : [...new Bun.Glob("**/*").scanSync({ cwd: root, dot: true })].filter(
          (path) => !/(?:^|\/)(?:node_modules|dist|\.git|\.build)\/|\.(?:log|cpuprofile)$/.test(path),
        );
  const text = /(?:\.(?:ts|md|toml|json|lock|c|sh|yml|yaml|html|css|service)|^|\/[^./]+|\.[a-z]+ignore|\.npmrc|rc)$/;
  return paths.filter((path) => text.test(path) && existsSync(join(root, path)) && statSync(join(root, path)).isFile());
}

function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}
