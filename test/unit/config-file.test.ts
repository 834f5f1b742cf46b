/** The configuration as a file: what bytes it may have, what cannot be read, and that every problem has its line and column. */
import { describe, expect, test } from "bun:test";
import { symlink } from "node:fs/promises";
import { CONFIG_BYTES_MAX } from "../../src/config/load.ts";
import { ConfigFolder, configOf, MINIMAL_TOML } from "../support/configuration.ts";

/** As root everything can be read, but this: the kernel lets nobody read it. */
const UNREADABLE = "/proc/sys/vm/drop_caches";
const TABLES = "forwarding, limits, shutdown, timeouts, tcp, listener, backend, resolver, admin, log, tracing";
const NO_LISTENER =
  'config.toml listener: no listener is configured, wanted at least one: [[listener]] with name = "web", listen = "127.0.0.1:8080", backend = "app", and [[backend]] with name = "app", endpoints = ["127.0.0.1:9000"]';
const CONNECTIONS = "wanted a whole number from 1 to 10_000_000";
const DURATION = 'wanted a duration such as "250ms", "5s", "1m30s" or "1h"';

/** The lines for a file of the minimal configuration and then `text`, whose first line is line 9. */
async function problemsAfterMinimal(text: string): Promise<string[]> {
  return problemsOf(MINIMAL_TOML + text);
}

async function problemsOf(content: string | Uint8Array): Promise<string[]> {
  await using folder = await ConfigFolder.open();
  return (await folder.load(content)).problems;
}

describe("a file that is accepted", () => {
  const commented = MINIMAL_TOML.replaceAll("\n", "   # a comment\n");
  const rows: [what: string, content: string][] = [
    ["with LF", MINIMAL_TOML],
    ["with CRLF", MINIMAL_TOML.replaceAll("\n", "\r\n")],
    ["with comments and LF", commented],
    ["with comments and CRLF", `# first\r\n${commented.replaceAll("\n", "\r\n")}# last\r\n`],
    ["with both sorts of line ends", MINIMAL_TOML.replace("\n", "\r\n")],
    ["without a line end at its end", MINIMAL_TOML.trimEnd()],
    ["with a BOM", `\ufeff${MINIMAL_TOML}`],
    ["with a BOM and CRLF", `\ufeff${MINIMAL_TOML.replaceAll("\n", "\r\n")}`],
    ["with comments in other scripts", `# ünïcödé 漢字 🦥\n${MINIMAL_TOML}`],
    ["with tabs", MINIMAL_TOML.replaceAll(" = ", "\t=\t")],
    [
      "as inline tables",
      'listener = [{ name = "web", listen = "127.0.0.1:8080", backend = "app" }]\nbackend = [{ name = "app", endpoints = ["127.0.0.1:9000"] }]\n',
    ],
    ["with literal and escaped strings", MINIMAL_TOML.replaceAll('"web"', "'web'").replaceAll('"app"', '"\\u0061pp"')],
    ["with tables that are empty", `[limits]\n[timeouts]\n${MINIMAL_TOML}`],
    ["of exactly 1 MiB", MINIMAL_TOML + "#".repeat(CONFIG_BYTES_MAX - MINIMAL_TOML.length)],
  ];
  test.each(rows)("%s", async (_what, content) => {
    await using folder = await ConfigFolder.open();
    expect(await folder.load(content)).toEqual({ config: configOf(), problems: [], warnings: [] });
  });

  test("numbers in every notation, durations and addresses as text", async () => {
    await using folder = await ConfigFolder.open();
    for (const written of ["256", "2_5_6", "+256", "0x100", "0o400", "0b1_0000_0000", "256.0", "2.56e2"]) {
      const loaded = await folder.load(`${MINIMAL_TOML}[limits]\nconnections = ${written}\n`);
      expect([written, loaded.config?.limits.connections]).toEqual([written, 256]);
    }
  });

  test("through a symbolic link, and from what is no regular file", async () => {
    await using folder = await ConfigFolder.open();
    await folder.write("real.toml", MINIMAL_TOML);
    await symlink("real.toml", folder.at("link.toml"));
    expect((await folder.loadFile(folder.at("link.toml"))).config).toEqual(configOf());
    expect((await folder.loadFile("/dev/null")).problems).toEqual([NO_LISTENER.replace("config.toml", "/dev/null")]);
  });

  test("a warning has its place", async () => {
    await using folder = await ConfigFolder.open();
    const loaded = await folder.load(`${MINIMAL_TOML}\n[[backend]]\nname = "old"\nendpoints = ["a:1"]\n`);
    expect(loaded.warnings).toEqual(['config.toml:10:1 backend.old: no listener uses the backend "old"']);
  });

  test("a default that is lowered stands nowhere", async () => {
    await using folder = await ConfigFolder.open();
    const env = { SLUICE_LIMITS_OVERFLOW: "reject" };
    const loaded = await folder.load(`${MINIMAL_TOML}[limits]\n`, env, { fdLimit: 1024, fdReserve: 64 });
    expect(loaded.warnings).toEqual([
      "limits.connections: lowered from 10000 to 480: the limit of 1024 file descriptors leaves room for that many (2 each and 64 in reserve); raise it (ulimit -Hn, LimitNOFILE= in systemd) or set limits.connections yourself",
    ]);
    expect(loaded.config?.limits).toEqual({ connections: 480, overflow: "reject" });
  });

  test("a written number that does not fit has its place", async () => {
    await using folder = await ConfigFolder.open();
    const loaded = await folder.load(
      `${MINIMAL_TOML}[limits]\nconnections = 481\n`,
      {},
      { fdLimit: 1024, fdReserve: 64 },
    );
    expect(loaded.problems).toEqual([
      "config.toml:10:15 limits.connections: 481 connections need 1026 file descriptors (2 each and 64 in reserve), found a limit of 1024: set limits.connections to at most 480, or raise the limit to 1026 (ulimit -Hn, LimitNOFILE= in systemd)",
    ]);
  });
});

describe("a file without content", () => {
  const rows: [what: string, content: string][] = [
    ["nothing", ""],
    ["a BOM", "\ufeff"],
    ["line ends", "\r\n\n\r\n"],
    ["comments", "# nothing\n# here"],
  ];
  test.each(rows)("%s", async (_what, content) => {
    expect(await problemsOf(content)).toEqual([NO_LISTENER]);
  });
});

describe("a file that cannot be read", () => {
  test("is named with the reason", async () => {
    await using folder = await ConfigFolder.open();
    await folder.write("file", "x");
    const rows: [name: string, reason: string][] = [
      ["none.toml", "no such file"],
      ["none/config.toml", "no such file"],
      ["file/config.toml", "a part of its path is not a directory"],
      ["x".repeat(256), "its path is too long"],
    ];
    for (const [name, reason] of rows) {
      expect((await folder.loadFile(folder.at(name))).problems).toEqual([
        `${name}: cannot read the configuration: ${reason}`,
      ]);
    }
    expect((await folder.loadFile(folder.at("."))).problems).toEqual([
      `${folder.at(".")}: cannot read the configuration: it is a directory, wanted a file`,
    ]);
    expect((await folder.loadFile(UNREADABLE)).problems).toEqual([
      `${UNREADABLE}: cannot read the configuration: permission denied`,
    ]);
    expect((await folder.loadFile("")).problems).toEqual(["cannot read the configuration: no such file"]);
  });

  test("whose links run in a circle gives the system's word for it", async () => {
    await using folder = await ConfigFolder.open();
    await symlink("loop.toml", folder.at("loop.toml"));
    expect((await folder.loadFile(folder.at("loop.toml"))).problems).toEqual([
      "loop.toml: cannot read the configuration: ELOOP",
    ]);
  });

  const TOO_LARGE = "cannot read the configuration: found more than 1024 KiB, wanted at most that";

  test("is larger than 1 MiB: by one byte, ten times, without an end", async () => {
    await using folder = await ConfigFolder.open();
    for (const bytes of [CONFIG_BYTES_MAX + 1, 10 * 1024 * 1024]) {
      expect((await folder.load(Buffer.alloc(bytes, "# comment\n"))).problems).toEqual([`config.toml: ${TOO_LARGE}`]);
    }
    expect((await folder.loadFile("/dev/zero")).problems).toEqual([`/dev/zero: ${TOO_LARGE}`]);
  });

  const notUtf8: [what: string, bytes: number[] | Buffer, place: string][] = [
    ["a byte that never occurs", [0x61, 0x0a, 0x62, 0xff, 0x0a], "2:2"],
    ["Latin-1", Buffer.from("# für\nx = 1\n", "latin1"), "1:4"],
    ["a character cut off by the end", [0x61, 0x0a, 0xc3, 0xa4, 0xe2, 0x82], "2:2"],
    ["a character cut off by another", [0x61, 0x0a, 0x62, 0xef, 0xbf, 0x41], "2:2"],
    ["a byte behind a BOM", [0xef, 0xbb, 0xbf, 0x62, 0xff], "1:2"],
    ["an overlong encoding", [0xc0, 0x80], "1:1"],
    ["a surrogate", [0x0a, 0x0a, 0xed, 0xa0, 0x80], "3:1"],
    ["UTF-16", Buffer.from("\ufeffx = 1\n", "utf16le"), "1:1"],
    ["a replacement character, which is one, and then a byte that is none", [0xef, 0xbf, 0xbd, 0xff], "1:2"],
  ];
  test.each(notUtf8)("is not UTF-8: %s", async (_what, bytes, place) => {
    expect(await problemsOf(new Uint8Array(bytes))).toEqual([
      `config.toml:${place}: found bytes that are not UTF-8, wanted UTF-8 text`,
    ]);
  });
});

describe("broken TOML has one line, with the place of the mistake and what was wanted there", () => {
  const VALUE = 'wanted a value: "text" in quotes, a number, true, false, a [list] or a { table }';
  const END = "wanted the end of the line (text needs quotes)";
  const EOL = "found the end of the line";
  const EOF = "found the end of the file";
  const CLOSING = 'wanted a comma or the closing "]" or "}"';
  const ESCAPE = 'wanted one of b, t, n, f, r, ", \\, u, U, or x and two hexadecimal digits, after a "\\"';
  const NUMBER = "wanted a digit, as in 10_000, 0.5 or 1e6 (text needs quotes)";
  const DATE = "wanted a date or time, or text in quotes";
  const rows: [text: string, place: string, message: string][] = [
    ["x", "1:2", `${EOL}, wanted "=" after the key`],
    ["x y = 1", "1:3", 'found "y", wanted "=" after the key'],
    ["= 1", "1:1", 'found "=", wanted a key or a [table]'],
    ["]", "1:1", 'found "]", wanted a key or a [table]'],
    ["é = 1", "1:1", 'found "é", wanted a key or a [table]'],
    ["🦥 = 1", "1:1", 'found "🦥", wanted a key or a [table]'],
    ["x =", "1:4", `${EOL}, ${VALUE}`],
    ["x == 1", "1:4", `found "=", ${VALUE}`],
    ["x = yes", "1:5", `found "y", ${VALUE}`],
    ["x = \u0000", "1:5", `found "\\u0000", ${VALUE}`],
    ["x = tru", "1:8", `${EOL}, wanted true or false (text needs quotes)`],
    ["x = 'a", "1:7", `${EOL}, wanted the closing quote on the same line`],
    ['x = "a', "1:7", `${EOL}, wanted the closing quote on the same line`],
    ['x = """a', "2:1", `${EOF}, wanted the three closing quotes`],
    ["x = '''a", "2:1", `${EOF}, wanted the three closing quotes`],
    ['x = "\\q"', "1:7", `found "q", ${ESCAPE}`],
    ['x = "a\u0001"', "1:7", 'found "\\u0001", wanted an escape for it, such as \\t or \\u0000'],
    ["x = 1 2", "1:7", `found "2", ${END}`],
    ["x = 127.0.0.1:80", "1:10", `found ".", ${END}`],
    ["x = 'a' y = 1", "1:9", `found "y", ${END}`],
    ["x = 5s", "1:6", `found "s", ${END}`],
    ["x = 01", "1:7", `${EOL}, wanted a date, or a number without a zero in front`],
    ["x = 1__0", "1:7", `found "_", ${NUMBER}`],
    ["x = -", "1:6", `${EOL}, ${NUMBER}`],
    ["x = 0x", "1:7", `${EOL}, ${NUMBER}`],
    ["x = 12:3", "1:9", `${EOL}, ${DATE}`],
    ["[x", "1:3", `${EOL}, wanted "]" after the name of the table`],
    ["[[x]", "1:5", `${EOL}, wanted "]" after the name of the table`],
    ["x = [1", "2:1", `${EOF}, ${CLOSING}`],
    ["x = [1 2]", "1:8", `found "2", ${CLOSING}`],
    ["x = {a = 1", "1:11", `${EOL}, ${CLOSING}`],
    ["x = {a=1,}", "1:10", 'found "}", wanted a further key after the comma'],
  ];
  test.each(rows)("%j", async (text, place, message) => {
    expect(await problemsOf(`${text}\n`)).toEqual([`config.toml:${place}: not valid TOML: ${message}`]);
  });

  test("below other lines, with CRLF and a BOM alike", async () => {
    const text = `\ufeff# comment\n${MINIMAL_TOML}x = yes\n`;
    const line = `config.toml:10:5: not valid TOML: found "y", ${VALUE}`;
    expect(await problemsOf(text)).toEqual([line]);
    expect(await problemsOf(text.replaceAll("\n", "\r\n"))).toEqual([line]);
  });

  test("a carriage return that ends no line", async () => {
    expect(await problemsOf("a = 1\rb = 2\n")).toEqual([
      "config.toml:1:6: found a carriage return without a line feed, wanted LF or CRLF line ends",
    ]);
  });

  const twice: [text: string, place: string][] = [
    ["[limits]\nconnections = 1\nconnections = 2", "11:1"],
    ["[limits]\nconnections = 1\n[limits]", "11:2"],
    ["[limits]\nconnections = 1\nconnections.x = 2", "11:1"],
    ["[listener]\nname = 1", "9:2"],
    ["[limits]\n[[limits]]", "10:3"],
  ];
  test.each(twice)("defined a second time: %j", async (text, place) => {
    expect(await problemsAfterMinimal(text)).toEqual([
      `config.toml:${place}: not valid TOML: this key or table is defined a second time, wanted it once`,
    ]);
  });

  test("no more than one character of a value is repeated: it may be a secret", async () => {
    const rows = ["qzjq2", '"qzjq2', "'qzjq2", '"qzjq\\2"', '"qz\njq2"', "[qzjq2]", "{ qzjq2 }", '"a" qzjq2'];
    for (const written of rows) {
      for (const text of [`[admin]\ntoken = ${written}\n`, `# \\u\n[admin]\ntoken = ${written}\n`]) {
        const [line = "", ...more] = await problemsOf(text);
        expect({ written, more, place: /^config\.toml:[234]:[0-9]+: not valid TOML: /.test(line) }).toEqual({
          written,
          more: [],
          place: true,
        });
        expect(line).not.toMatch(/[qzj]{2}/);
      }
    }
  });
});

describe("hostile keys", () => {
  const inherited = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"];
  const before = [Reflect.ownKeys(Object), Reflect.ownKeys(Object.prototype)];

  test.each(inherited)("%s is an unknown key in every place, and changes nothing", async (name) => {
    const rows: [text: string, place: string][] = [
      [`[limits]\n${name} = 1`, "10:1"],
      [`[limits]\n${name}.x = 1`, "10:1"],
      [`[limits]\n"${name}" = 1`, "10:1"],
      [`[limits]\n'${name}' = 1`, "10:1"],
      [`[limits]\n${name} = { x = 1 }`, "10:1"],
      [`[${name}]\nx = 1`, "9:2"],
      [`[[${name}]]\nx = 1`, "9:3"],
      [`[limits.${name}]\nx = 1`, "9:9"],
      [`[limits]\nx = [{ y = { ${name} = 1 } }]`, "10:14"],
    ];
    for (const [text, place] of rows) {
      expect(await problemsAfterMinimal(text)).toEqual([`config.toml:${place} ${name}: unknown key "${name}"`]);
    }
    expect([Reflect.ownKeys(Object), Reflect.ownKeys(Object.prototype)]).toEqual(before);
  });

  test("an escape hides none of them", async () => {
    expect(await problemsAfterMinimal('"\\u005f_proto__" = { x = 1 }')).toEqual([
      'config.toml:9:1 __proto__: unknown key "__proto__"',
    ]);
    expect(await problemsAfterMinimal('"\\U00000063onstructor".x = 1')).toEqual([
      'config.toml:9:1 constructor: unknown key "constructor"',
    ]);
  });

  test("prototype, and such names as values, are nothing special", async () => {
    expect(await problemsAfterMinimal("[limits]\nprototype = 1")).toEqual([
      'config.toml:10:1 limits.prototype: unknown key "prototype", wanted one of connections, overflow',
    ]);
    await using folder = await ConfigFolder.open();
    const { config } = await folder.load(
      MINIMAL_TOML.replaceAll('"app"', '"constructor"').replaceAll('"web"', '"toString"'),
    );
    expect([config?.listeners[0]?.name, config?.listeners[0]?.backend, config?.backends[0]?.name]).toEqual([
      "toString",
      "constructor",
      "constructor",
    ]);
  });

  test("an empty one, one in quotes, and one that steers terminals", async () => {
    expect(await problemsAfterMinimal('[limits]\n"" = 1\n"a b" = 1\n"\\u001b[2J" = 1')).toEqual([
      'config.toml:10:1 limits."": unknown key "", wanted one of connections, overflow',
      'config.toml:11:1 limits."a b": unknown key "a b", wanted one of connections, overflow',
      'config.toml:12:1 limits."\\u001b[2J": unknown key "\\u001b[2J", wanted one of connections, overflow',
    ]);
  });
});

describe("hostile values", () => {
  const TOO_LARGE = `limits.connections: found a number that is too large, ${CONNECTIONS}`;
  const numbers: [written: string, message: string][] = [
    ["9007199254740993", TOO_LARGE],
    ["9223372036854775807", TOO_LARGE],
    ["-9223372036854775808", TOO_LARGE],
    ["99999999999999999999999", TOO_LARGE],
    ["9".repeat(100_000), TOO_LARGE],
    ["0xffffffffffffffff", TOO_LARGE],
    ["1e400", `limits.connections: found Infinity, ${CONNECTIONS}`],
    ["-inf", `limits.connections: found -Infinity, ${CONNECTIONS}`],
    ["nan", `limits.connections: found NaN, ${CONNECTIONS}`],
    ["10000000000", `limits.connections: found 10000000000, ${CONNECTIONS}`],
  ];
  test.each(numbers.map(([written, message]) => [written.slice(0, 24), written, message] as const))(
    "the number %s",
    async (_start, written, message) => {
      expect(await problemsAfterMinimal(`[limits]\nconnections = ${written}\n`)).toEqual([
        `config.toml:10:15 ${message}`,
      ]);
    },
  );

  const dates = [
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "1979-05-27T07:32:00+01:00",
    "1979-05-27T07:32:00",
    "1979-05-27 07:32:00.5",
    "07:32:00.5",
  ];
  test.each(dates)("the date %s", async (date) => {
    expect(await problemsAfterMinimal(`[limits]\nconnections = ${date}\n[timeouts]\nidle = ${date}\n`)).toEqual([
      `config.toml:10:15 limits.connections: found a date or time, ${CONNECTIONS}`,
      `config.toml:12:8 timeouts.idle: found a date or time, ${DURATION}`,
    ]);
  });

  test("a date where a table belongs, and one among endpoints", async () => {
    expect(
      await problemsOf(`limits = 1979-05-27\n${MINIMAL_TOML.replace('"127.0.0.1:9000"', "1979-05-27T07:32:00Z")}`),
    ).toEqual([
      "config.toml:1:10 limits: found a date or time, wanted a table",
      "config.toml:9:14 backend.app.endpoints.0: found a date or time, wanted text in quotes or a table",
    ]);
  });

  const misread: [text: string, place: string][] = [
    ["idle = 07:32:00\nconnect = '5s'", "10:8"],
    ["idle = [07:32:00]", "10:9"],
    ["idle = [1979-05-27]", "10:9"],
    ["idle = [1979-05-27T07:32:00Z , 07:32:00]", "10:32"],
    ["idle = { a = 07:32:00}\nconnect = 07:32:00.5", "10:14"],
  ];
  test.each(misread)("a date that the parser reads wrongly is named where it stands: %j", async (text, place) => {
    expect(await problemsAfterMinimal(`[timeouts]\n${text}\n`)).toEqual([
      `config.toml:${place}: found a date or time, which no key takes (text needs quotes)`,
    ]);
  });

  test.each(["1979-13-45", "1979-13-45T00:00:00Z", "25:00:00.1"])("%s does not exist", async (date) => {
    expect(await problemsAfterMinimal(`[limits]\nconnections = ${date}\n`)).toEqual([
      "config.toml:10:15: not valid TOML: found a date or time that does not exist",
    ]);
  });

  const depth = 100_000;
  const deep: [what: string, text: string, lines: string[]][] = [
    [
      "a list that closes",
      `[limits]\nconnections = ${"[".repeat(depth)}${"]".repeat(depth)}\n`,
      // Too deep for the positions of values: its table is what can be shown.
      [`config.toml:9:1 limits.connections: found a list, ${CONNECTIONS}`],
    ],
    [
      "a list that does not close",
      `[limits]\nconnections = ${"[".repeat(depth)}\n`,
      ['config.toml:11:1: not valid TOML: found the end of the file, wanted a comma or the closing "]" or "}"'],
    ],
    [
      "a list of moderate depth",
      `[limits]\nconnections = ${"[".repeat(100)}${"]".repeat(100)}\n`,
      [`config.toml:10:15 limits.connections: found a list, ${CONNECTIONS}`],
    ],
    [
      "inline tables",
      `[limits]\nconnections = ${"{a=".repeat(depth)}1${"}".repeat(depth)}\n`,
      [`config.toml:9:1 limits.connections: found a table, ${CONNECTIONS}`],
    ],
    [
      "a dotted key",
      `[limits]\n${"a.".repeat(depth)}a = 1\n`,
      ['config.toml:10:1 limits.a: unknown key "a", wanted one of connections, overflow'],
    ],
    ["a table", `[${"a.".repeat(depth)}a]\n`, [`config.toml:9:1 a: unknown key "a", wanted one of ${TABLES}`]],
    [
      "a list where names have to be looked at",
      `[limits]\nconstructor = ${"[".repeat(depth)}${"]".repeat(depth)}\n`,
      ["config.toml:1:1: not valid configuration: values are nested too deeply"],
    ],
  ];
  test.each(deep)("nested deeply: %s", async (_what, text, lines) => {
    expect(await problemsAfterMinimal(text)).toEqual(lines);
  });
});

describe("line and column", () => {
  test("of keys, values, elements and headers, in the order of the file", async () => {
    const text = `# line 1
limts = { }
tcp = { no_delay = 1, keepaliv = "5s" }
shutdown.drain = 5
[limits]
  connections   =   "x"   # comment
"overflow" = 'drop'
[[listener]]
name = "web"
listen = "x"
backend = "ap"
[listener.timeouts]
idle = "60"
idel = "5s"
[[listener]]
name = "b"
[[backend]]
name = "app"
endpoints = [
  "a:1",
  { address = "b", wieght = 1 },
  "a:1",
]
[backend.health]
type = "htp"
[backend.eject]
failures = 0
[admin]
token = "hunter 2"
[tracing]
[resolver]
servers = ["127.0.0.1",
  "dns"]
[[listener]]
name = "c"
listen = "127.0.0.1:1"
allow = ["10.0.0.1/8"]
[listener.tls]
cert = [
  "a.pem",
  5 ]
[[listener.route]]
host = "*"
backend = "app"
[[listener.route]]
bakend = "app"
backend = "ap"
`;
    const lines = [
      'config.toml:2:1 limts: unknown key "limts" (did you mean "limits"?)',
      "config.toml:3:20 tcp.no_delay: found 1, wanted true or false",
      'config.toml:3:23 tcp.keepaliv: unknown key "keepaliv" (did you mean "keepalive"?)',
      `config.toml:4:18 shutdown.drain: found 5, ${DURATION}`,
      `config.toml:6:21 limits.connections: found "x", ${CONNECTIONS}`,
      'config.toml:7:14 limits.overflow: found "drop", wanted one of "queue", "reject"',
      'config.toml:10:10 listener.web.listen: found "x", wanted an address with a port, such as "x:80"',
      'config.toml:11:11 listener.web.backend: unknown backend "ap" (did you mean "app"?)',
      'config.toml:13:8 listener.web.timeouts.idle: found "60", wanted a duration with its unit, such as "60s" or "60ms"',
      'config.toml:14:1 listener.web.timeouts.idel: unknown key "idel" (did you mean "idle"?)',
      'config.toml:15:1 listener.b.listen: is missing, wanted for example listen = "127.0.0.1:8080"',
      'config.toml:15:1 listener.b.backend: is missing, wanted for example backend = "app"',
      'config.toml:21:15 backend.app.endpoints.1.address: found "b", wanted an address with a port, such as "b:80"',
      'config.toml:21:20 backend.app.endpoints.1.wieght: unknown key "wieght" (did you mean "weight"?)',
      "config.toml:22:3 backend.app.endpoints.2: the endpoint a:1 is listed twice, wanted each once",
      'config.toml:25:8 backend.app.health.type: found "htp", wanted one of "tcp", "http", "exchange" (did you mean "http"?)',
      "config.toml:27:12 backend.app.eject.failures: found 0, wanted a whole number from 1 to 1_000",
      'config.toml:28:1 admin.listen: is missing, wanted for example listen = "127.0.0.1:9900"',
      "config.toml:29:9 admin.token: found text with other characters, wanted printable ASCII characters without spaces, at most 4_096",
      'config.toml:30:1 tracing.otlp: is missing, wanted for example otlp = "http://127.0.0.1:4318"',
      'config.toml:33:3 resolver.servers.1: found "dns", wanted an IP address with or without a port, such as "127.0.0.1:5353"',
      'config.toml:37:10 listener.c.allow.0: found "10.0.0.1/8", wanted a network address, such as "10.0.0.0/8", or "10.0.0.1" for this address alone',
      'config.toml:38:1 listener.c.tls.key: is missing, wanted for example key = "key.pem"',
      'config.toml:41:3 listener.c.tls.cert.1: found 5, wanted the path of a file such as "cert.pem"',
      'config.toml:43:8 listener.c.route.0.host: found "*", wanted a name, or "*." and a name for all its subdomains, such as "example.com" or "*.example.com"',
      'config.toml:46:1 listener.c.route.1.bakend: unknown key "bakend" (did you mean "backend"?)',
      'config.toml:47:11 listener.c.route.1.backend: unknown backend "ap" (did you mean "app"?)',
    ];
    expect(await problemsOf(text)).toEqual(lines);
    expect(await problemsOf(`\ufeff${text.replaceAll("\n", "\r\n")}`)).toEqual(lines);
  });

  test("count characters, not bytes", async () => {
    expect(await problemsOf('"ä漢" = "ö", x\n')).toEqual([
      'config.toml:1:11: not valid TOML: found ",", wanted the end of the line (text needs quotes)',
    ]);
    expect(await problemsAfterMinimal('tcp = { "ä" = "ö", no_delay = 1 }\n')).toEqual([
      'config.toml:9:1 backend.app.tcp: unknown key "tcp", wanted one of name, endpoints, balance, retries, send_proxy, resolve, on_down, tls, health, eject',
    ]);
    expect(await problemsOf(`tcp = { "ä" = "ö", no_delay = 1 }\n${MINIMAL_TOML}`)).toEqual([
      'config.toml:1:9 tcp."ä": unknown key "ä", wanted one of no_delay, keepalive',
      "config.toml:1:31 tcp.no_delay: found 1, wanted true or false",
    ]);
  });

  test("what is missing in an entry that an inline table gives stands at the entry", async () => {
    expect(await problemsOf('listener = [\n  { name = "web" },\n]\n')).toEqual([
      'config.toml:2:3 listener.web.listen: is missing, wanted for example listen = "127.0.0.1:8080"',
      'config.toml:2:3 listener.web.backend: is missing, wanted for example backend = "app"',
    ]);
  });

  test("a table stands where it is mentioned first", async () => {
    expect(await problemsAfterMinimal('[admin.x]\ny = 1\n[admin]\ntoken = "t"\n')).toEqual([
      'config.toml:9:1 admin.x: unknown key "x", wanted one of listen, token, ready_needs_backends',
      'config.toml:9:1 admin.listen: is missing, wanted for example listen = "127.0.0.1:9900"',
    ]);
  });

  test("a file's name is shown as it was given, on one harmless line", async () => {
    await using folder = await ConfigFolder.open();
    const path = await folder.write("a b\n\u001b[2J.toml", "x = 1\n");
    const { problems } = await folder.loadFile(path);
    expect(problems).toEqual([
      NO_LISTENER.replace("config.toml", "a b\\u000a\\u001b[2J.toml"),
      `a b\\u000a\\u001b[2J.toml:1:1 x: unknown key "x", wanted one of ${TABLES}`,
    ]);
  });
});
