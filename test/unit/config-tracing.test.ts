/** The keys of [tracing]: where traces go, with which headers, under which name; and that no secret of them is ever shown. */
import { describe, expect, test } from "bun:test";
import { printConfig } from "../../src/config/load.ts";
import { backendWith, ConfigFolder, configOf, fromValue, MINIMAL_TOML } from "../support/configuration.ts";

const otlp = "http://127.0.0.1:4318";
const withTracing = (keys: Record<string, unknown>) => ({ tracing: { otlp, ...keys } });

test("a table with the collector alone traces every connection under the program's name", () => {
  expect(configOf({ tracing: { otlp } }).tracing).toEqual({ otlp, sample: 1, service: "sluice", headers: {} });
  expect(configOf().tracing).toBeUndefined();
});

describe("the URL of the collector", () => {
  test.each([
    ["http://127.0.0.1:4318", "http://127.0.0.1:4318"],
    ["https://otlp.example.com", "https://otlp.example.com"],
    ["HTTP://[::1]:4318", "HTTP://[::1]:4318"],
    // A slash at its end says nothing: /v1/traces goes behind it.
    ["http://collector:4318/", "http://collector:4318"],
    ["https://example.com/my/collector//", "https://example.com/my/collector"],
  ])("%s is %s", (text, base) => {
    expect(configOf({ tracing: { otlp: text } }).tracing?.otlp).toBe(base);
    expect(URL.parse(`${base}/v1/traces`)?.pathname.endsWith("/v1/traces")).toBe(true);
  });

  const example = `wanted the URL of a collector such as "http://127.0.0.1:4318"`;
  const scheme = `wanted a URL with its scheme, such as "http://127.0.0.1:4318"`;
  const protocol = `wanted http:// or https:// (OTLP over HTTP), such as "http://127.0.0.1:4318"`;
  const headers = "what a collector asks for belongs into tracing.headers";
  test.each([
    [5, `found 5, ${example}`],
    ["", `found "", ${scheme}`],
    ["127.0.0.1:4318", `found "127.0.0.1:4318", ${scheme}`],
    ["localhost:4318", `found "localhost:4318", ${scheme}`],
    ["http:/host", `found "http:/host", ${scheme}`],
    ["grpc://host:4317", `found "grpc://host:4317", ${protocol}`],
    ["unix:///run/otlp.sock", `found "unix:///run/otlp.sock", ${protocol}`],
    ["http://", `found "http://", ${example}`],
    ["http:///path", `found "http:///path", ${example}`],
    ["http://:4318", `found "http://:4318", ${example}`],
    ["http://host:99999", `found "http://host:99999", ${example}`],
    ["http://host:0", `found "http://host:0", wanted a port from 1 to 65535`],
    ["http://a b/", `found "http://a b/", ${example}`],
    ["http://host\t/x", `found "http://host\\t/x", ${example}`],
    ["http://host\\x", `found "http://host\\\\x", ${example}`],
    ["http://höst/", `found "http://höst/", ${example}`],
    [
      "http://host/v1/traces",
      `found "http://host/v1/traces", wanted the URL without /v1/traces, which is appended to it`,
    ],
    [
      "http://host/b/v1/traces/",
      `found "http://host/b/v1/traces/", wanted the URL without /v1/traces, which is appended to it`,
    ],
    ["http://me:hunter2@host", `found a URL with a user or a password, wanted it without: ${headers}`],
    ["http://hunter2@host", `found a URL with a user or a password, wanted it without: ${headers}`],
    ["me:hunter2@host:4318", `found a URL with a user or a password, wanted it without: ${headers}`],
    ["https://host/?api_key=hunter2", `found a URL with a query or a fragment, wanted it without: ${headers}`],
    ["https://host/#hunter2", `found a URL with a query or a fragment, wanted it without: ${headers}`],
    [
      `http://host/${"x".repeat(2048)}`,
      `found a URL of more than 2048 characters, wanted the URL of a collector such as "http://127.0.0.1:4318"`,
    ],
  ])("%j is refused", (value, message) => {
    expect(fromValue({ tracing: { otlp: value } }).problems).toEqual([`tracing.otlp: ${message}`]);
  });

  test("at a listener of our own is a warning, and only then", () => {
    const warned = (listen: string, url: string, env: Record<string, string> = {}) =>
      fromValue(
        { listener: [{ name: "web", listen, backend: "app" }], ...backendWith({}), tracing: { otlp: url } },
        env,
      ).warnings;
    const message =
      'tracing.otlp: is the address of listener "web": sending traces makes connections that are traced in turn';
    expect(warned("127.0.0.1:4318", "http://127.0.0.1:4318")).toEqual([message]);
    expect(warned(":4318", "http://localhost:4318")).toEqual([message]);
    expect(warned("[::]:4318", "http://[::1]:4318/base")).toEqual([message]);
    expect(warned("127.0.0.1:80", "http://127.0.0.1")).toEqual([message]);
    expect(warned("127.0.0.1:443", "https://127.0.0.1")).toEqual([message]);
    expect(warned("127.0.0.1:4317", "http://127.0.0.1:4318")).toEqual([]);
    expect(warned("127.0.0.1:80", "https://127.0.0.1")).toEqual([]);
    expect(warned("127.0.0.2:4318", "http://127.0.0.1:4318")).toEqual([]);
    expect(warned("unix:/run/x.sock", "http://127.0.0.1:4318")).toEqual([]);
    expect(warned(":4318", "http://collector:4318")).toEqual([]);
  });
});

test("the share is a number from 0 to 1, and 0 traces nothing", () => {
  expect([0, 0.01, 1].map((sample) => configOf(withTracing({ sample })).tracing?.sample)).toEqual([0, 0.01, 1]);
  expect(configOf(withTracing({}), { SLUICE_TRACING_SAMPLE: "0.25" }).tracing?.sample).toBe(0.25);
  for (const sample of [-0.1, 1.1, "1"]) {
    expect(fromValue(withTracing({ sample })).problems).toEqual([
      `tracing.sample: found ${JSON.stringify(sample)}, wanted a number from 0 to 1`,
    ]);
  }
});

test("the service has a name of one line", () => {
  expect(configOf(withTracing({ service: "edge proxy é" })).tracing?.service).toBe("edge proxy é");
  for (const service of ["", "a\nb", "x".repeat(256)]) {
    expect(fromValue(withTracing({ service })).problems).toMatchObject([
      expect.stringMatching(/^tracing\.service: found .*, wanted a name of 1 to 255 characters/),
    ]);
  }
});

describe("headers", () => {
  test("stand in a table, in a variable as OTEL_EXPORTER_OTLP_HEADERS has them, or in a file", async () => {
    const headers = { "x-api-key": "hunter2", Authorization: "Basic aHVudGVy,Mg==" };
    expect(configOf(withTracing({ headers })).tracing?.headers).toEqual(headers);
    const text = " x-api-key = hunter2 ,Authorization=Basic%20aHVudGVy%2CMg==";
    expect(configOf(withTracing({}), { SLUICE_TRACING_HEADERS: text }).tracing?.headers).toEqual(headers);
    expect(configOf(withTracing({ headers }), { SLUICE_TRACING_HEADERS: "" }).tracing?.headers).toEqual({});
    await using folder = await ConfigFolder.open();
    const file = await folder.write("headers", `${text}\n`);
    expect(configOf(withTracing({}), { SLUICE_TRACING_HEADERS_FILE: file }).tracing?.headers).toEqual(headers);
    const { config } = await folder.load(`${MINIMAL_TOML}[tracing]\notlp = "${otlp}"\n[tracing.headers]\na = "b"\n`);
    expect(config?.tracing?.headers).toEqual({ a: "b" });
  });

  const table = 'wanted a table such as { x-api-key = "…" }, or x-api-key=… in a variable';
  const noName = 'found a name that no header has, wanted letters, digits and "-", at most 64';
  const notYours = (name: string) => `found "${name}", which is not for you to set, wanted it left out`;
  const noValue = (name: string, what: string) =>
    `"${name}": found ${what}, wanted printable ASCII characters, 1 to 4_096`;
  test.each<[unknown, string]>([
    ["hunter2", `found text, ${table}`],
    [["hunter2"], `found a list, ${table}`],
    [5, `found a number, ${table}`],
    [new Date(0), `found a date or time, ${table}`],
    [{ "hunter2 ": "x-api-key" }, noName],
    [{ "": "hunter2" }, noName],
    [{ [`x${"x".repeat(64)}`]: "hunter2" }, noName],
    [JSON.parse('{ "__proto__": "hunter2" }'), noName],
    [{ "Content-Type": "hunter2" }, notYours("Content-Type")],
    [{ host: "hunter2" }, notYours("host")],
    [{ "x-a": "hunter2", "X-A": "hunter2" }, 'found "X-A" twice, wanted each header once'],
    [{ "x-a": "hunter2\r\nx: y" }, noValue("x-a", "text with other characters")],
    [{ "x-a": "hunter2 " }, noValue("x-a", "text with other characters")],
    [{ "x-a": "" }, noValue("x-a", "text with other characters")],
    [{ "x-a": "h".repeat(4097) }, noValue("x-a", "text with other characters")],
    [{ "x-a": 5 }, noValue("x-a", "a number")],
    [{ "x-a": { b: "hunter2" } }, noValue("x-a", "a table")],
    [
      Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`x-${n}`, "hunter2"])),
      "found 33 headers, wanted at most 32",
    ],
  ])("%j are refused, and not shown", (headers, message) => {
    const { problems } = fromValue(withTracing({ headers }));
    expect(problems).toEqual([`tracing.headers: ${message}`]);
  });

  test.each(["hunter2", "a=hunter2,hunter2", "a=%hunter2", "a=hunter2,a=hunter2"])(
    "the text %j of a variable is refused, and not shown",
    (text) => {
      expect(fromValue(withTracing({}), { SLUICE_TRACING_HEADERS: text }).problems).toEqual([
        `SLUICE_TRACING_HEADERS tracing.headers: found text, ${table}`,
      ]);
    },
  );

  test("are masked where the configuration is printed; their names stay", () => {
    const printed = printConfig(configOf(withTracing({ headers: { "x-api-key": "hunter2", "x.tenant": "hunter2" } })));
    expect(printed).toContain('headers = { x-api-key = "********", "x.tenant" = "********" }\n');
    expect(printed).not.toContain("hunter2");
    expect(printConfig(configOf(withTracing({})))).toContain("headers = {}\n");
  });
});

test("what stands where the table belongs is not shown either", () => {
  expect(fromValue({ tracing: "hunter2" }).problems[0]).toBe("tracing: found text, wanted a table");
});
