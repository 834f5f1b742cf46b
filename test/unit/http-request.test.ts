/** The head of an HTTP/1 request: what is read from it, at which byte something else is seen, and what is refused. */
import { describe, expect, test } from "bun:test";
import {
  type HttpRequest,
  httpRequestBytesMax,
  peekHttpRequest,
  peekRequestTarget,
} from "../../src/protocol/http-request.ts";
import { firstInvalid, peekWhole } from "../support/peek-laws.ts";

const requests = { peek: peekHttpRequest, bytesMax: httpRequestBytesMax };
const targets = { peek: peekRequestTarget, bytesMax: httpRequestBytesMax };
/** The next request, which has nothing to do with the first. */
const behind = ascii("\r\nGET /second HTTP/1.1\r\nHost: second.example\r\n\r\n");

describe("a request line", () => {
  const rows: [line: string, target: HttpRequest][] = [
    ["GET / HTTP/1.1\r\n", { method: "GET", path: "/", host: undefined }],
    ["GET / HTTP/1.0\n", { method: "GET", path: "/", host: undefined }],
    ["GET / HTTP/1.2\r\n", { method: "GET", path: "/", host: undefined }],
    ["\r\nGET / HTTP/1.1\r\n", { method: "GET", path: "/", host: undefined }],
    ["\r\n\n\r\nGET / HTTP/1.1\r\n", { method: "GET", path: "/", host: undefined }],
    ["VERSION-CONTROL /a HTTP/1.1\r\n", { method: "VERSION-CONTROL", path: "/a", host: undefined }],
    ["M_X /a HTTP/1.1\r\n", { method: "M_X", path: "/a", host: undefined }],
    ["GET /a/b?c=/d&e HTTP/1.1\r\n", { method: "GET", path: "/a/b", host: undefined }],
    ["GET /a#b?c HTTP/1.1\r\n", { method: "GET", path: "/a", host: undefined }],
    ["GET /?a HTTP/1.1\r\n", { method: "GET", path: "/", host: undefined }],
    ["GET //a//../%2E%2e/%41 HTTP/1.1\r\n", { method: "GET", path: "//a//../%2E%2e/%41", host: undefined }],
    ["GET /*:@http://x HTTP/1.1\r\n", { method: "GET", path: "/*:@http://x", host: undefined }],
    [
      `GET /!"$&'()+,;<=>[\\]^\`{|}~ HTTP/1.1\r\n`,
      { method: "GET", path: `/!"$&'()+,;<=>[\\]^\`{|}~`, host: undefined },
    ],
    ["GET /gr\xc3\xbc\xc3\x9fe HTTP/1.1\r\n", { method: "GET", path: "/grüße", host: undefined }],
    ["GET /\xff\xc3 HTTP/1.1\r\n", { method: "GET", path: "/\ufffd\ufffd", host: undefined }],
    ["OPTIONS * HTTP/1.1\r\n", { method: "OPTIONS", path: "*", host: undefined }],
    ["OPTIONS /a HTTP/1.1\r\n", { method: "OPTIONS", path: "/a", host: undefined }],
    ["CONNECT Example.com:443 HTTP/1.1\r\n", { method: "CONNECT", path: "", host: "example.com" }],
    ["CONNECT [2001:DB8::1]:443 HTTP/1.1\r\n", { method: "CONNECT", path: "", host: "2001:db8::1" }],
    ["GET http://Example.com/A?b HTTP/1.1\r\n", { method: "GET", path: "/A", host: "example.com" }],
    ["GET HTTPS://example.com.:8443/a HTTP/1.1\r\n", { method: "GET", path: "/a", host: "example.com" }],
    ["GET http://example.com HTTP/1.1\r\n", { method: "GET", path: "/", host: "example.com" }],
    ["GET http://example.com?a/b HTTP/1.1\r\n", { method: "GET", path: "/", host: "example.com" }],
    ["GET http://example.com#a HTTP/1.1\r\n", { method: "GET", path: "/", host: "example.com" }],
    ["GET ws+x.1-y://h/z HTTP/1.1\r\n", { method: "GET", path: "/z", host: "h" }],
    ["GET http://[::FFFF:192.0.2.1]:80/ HTTP/1.1\r\n", { method: "GET", path: "/", host: "192.0.2.1" }],
    [`GET /${"a".repeat(9000)} HTTP/1.1\r\n`, { method: "GET", path: `/${"a".repeat(9000)}`, host: undefined }],
  ];
  test.each(rows)("%j", (line, target) => {
    expect(peekWhole(targets, ascii(line), behind)).toEqual(target);
    // A head has to have an end.
    expect(peekHttpRequest(ascii(line))).toEqual({ kind: "more" });
    expect(peekWhole(requests, ascii(`${line}\r\n`), behind)).toEqual(target);
  });
});

describe("the fields say which host", () => {
  const rows: [fields: string, host: string | undefined][] = [
    ["", undefined],
    ["Accept: */*\r\n", undefined],
    ["Host: example.com\r\n", "example.com"],
    ["host:example.com\r\n", "example.com"],
    ["hOsT: \t example.com \t \r\n", "example.com"],
    ["Host: example.com\n", "example.com"],
    ["Accept: */*\r\nHost: example.com\r\nX: y\r\n", "example.com"],
    ["Host: EXAMPLE.Com:8080\r\n", "example.com"],
    ["Host: example.com.\r\n", "example.com"],
    ["Host: example.com.:80\r\n", "example.com"],
    ["Host: example.com:\r\n", "example.com"],
    ["Host: 192.0.2.1:80\r\n", "192.0.2.1"],
    ["Host: [2001:DB8:0::1]\r\n", "2001:db8::1"],
    ["Host: [::1]:65535\r\n", "::1"],
    ["Host: [::ffff:192.0.2.1]\r\n", "192.0.2.1"],
    ["Host: my_host\r\n", "my_host"],
    ["Host: %2Fvar%2Frun\r\n", "%2fvar%2frun"],
    ["Host: a-._~%\r\n", "a-._~%"],
    ["Host:\r\n", undefined],
    ["Host: \r\nHost:\r\n", undefined],
    ["Host: example.com\r\nhost: EXAMPLE.com\r\n", "example.com"],
    ["Host: [::1]\r\nHost: [0::1]\r\n", "::1"],
    ["X-Host: a.example\r\nHosts: b.example\r\nHos: c.example\r\n", undefined],
    ["X: \x80\xff\ty\r\nHost: example.com\r\n", "example.com"],
    ["!#$%&'*+-.^_`|~09: x\r\nHost: example.com\r\n", "example.com"],
    [`Host: ${"a".repeat(255)}\r\n`, "a".repeat(255)],
    [`${"X: y\r\n".repeat(500)}Host: example.com\r\n`, "example.com"],
  ];
  test.each(rows)("%j", (fields, host) => {
    const head = ascii(`GET /a HTTP/1.1\r\n${fields}\r\n`);
    expect(peekWhole(requests, head, behind)).toEqual({ method: "GET", path: "/a", host });
    // An absolute target has the word, whatever the field says (RFC 9112 section 3.2.2).
    const absolute = ascii(`GET http://target.example/a HTTP/1.1\r\n${fields}\r\n`);
    expect(peekWhole(requests, absolute, behind)).toEqual({ method: "GET", path: "/a", host: "target.example" });
  });

  test("in lines that end with a bare LF too", () => {
    const head = ascii("\nGET /a HTTP/1.1\nHost: example.com\nAccept: */*\n\n");
    expect(peekWhole(requests, head, behind)).toEqual({ method: "GET", path: "/a", host: "example.com" });
  });
});

describe("what is no HTTP/1 is seen at its first wrong byte", () => {
  const notHttp = "not HTTP";
  const notHttp1 = "not HTTP/1";
  const target = "a wrong target of an HTTP request";
  // A stroke stands behind that byte.
  const rows: [marked: string, why: string][] = [
    ["\x16|\x03\x01\x02\x00\x01", notHttp],
    ["\0|\0\0", notHttp],
    ["SSH-2|.0-OpenSSH_9.2\r\n", notHttp],
    ["g|et / HTTP/1.1", notHttp],
    [" |GET / HTTP/1.1", notHttp],
    ["\t|", notHttp],
    ["*|1\r\n$4\r\nPING\r\n", notHttp],
    ["\rG|ET", notHttp],
    ["\r\n\r\n\0|\r\nQUIT\n", notHttp],
    ["GET\t|/", notHttp],
    ["GET\r|\n", notHttp],
    ["QUIT\n|", notHttp],
    [`${"A".repeat(33)}|`, notHttp],
    ["PRI |* HTTP/2.0\r\n\r\nSM\r\n\r\n", notHttp1],
    ["PROXY TCP4 |1.2.3.4", target],
    ["GET  |/ HTTP/1.1", target],
    ["GET *|", target],
    ["OPTIONS *x|", target],
    ["GET ?|", target],
    ["GET a/|b", target],
    ["GET 1|", target],
    ["MAIL FROM:<|a@b.example>", target],
    ["GET http:/x|", target],
    ["GET http:///a |", target],
    ["GET http:// |", target],
    ["GET http:/ |", target],
    ["GET http |", target],
    ["GET http://user@example.com/ |", target],
    ["GET http://example.com:65536/ |", target],
    ["GET http://example.com:8x/ |", target],
    ["GET http://[::1/ |", target],
    ["GET http://[fe80::1%25eth0]/ |", target],
    ['GET http://a"b/ |', target],
    ["CONNECT / |", target],
    ["CONNECT example.com |", target],
    ["CONNECT example.com: |", target],
    ["CONNECT :443 |", target],
    ["CONNECT http://example.com:443/ |", target],
    ["GET /\r|\n", notHttp],
    ["HELO mail.example.com\r|\n", notHttp],
    ["GET /\t|", notHttp],
    ["GET /\0|", notHttp],
    ["GET /\x7f|", notHttp],
    ["GET /  |HTTP/1.1", notHttp1],
    ["GET / h|ttp/1.1", notHttp1],
    ["GET / HTTP/2|", notHttp1],
    ["GET / HTTP/1,|", notHttp1],
    ["GET / HTTP/1.x|", notHttp1],
    ["GET / HTTP/1.\r|", notHttp1],
    ["GET / HTTP/1.1 |\r\n", notHttp1],
    ["GET / HTTP/1.10|\r\n", notHttp1],
    ["GET / HTTP/1.1\rx|", notHttp1],
    ["GET /a b| HTTP/1.1\r\n", notHttp1],
  ];
  test.each(rows)("%j", (marked, why) => {
    const wrong = { bytes: marked.indexOf("|"), why };
    const input = ascii(marked.replace("|", ""));
    expect(firstInvalid(targets, input)).toEqual(wrong);
    expect(firstInvalid(requests, input)).toEqual(wrong);
  });
});

describe("a field with a mistake is seen at its first wrong byte", () => {
  const malformed = "a malformed field of an HTTP request";
  const noHost = "a Host field that is no host";
  const differ = "two Host fields that differ";
  const rows: [marked: string, why: string][] = [
    ["Host |: example.com\r\n", malformed],
    ["Host\t|: example.com\r\n", malformed],
    [" |Host: example.com\r\n", malformed],
    ["X: y\r\n |folded\r\n", malformed],
    ["X: y\r\n\t|folded\r\n", malformed],
    [":| x\r\n", malformed],
    ["Host\r|\n", malformed],
    ["X(|: y\r\n", malformed],
    ["X\xe4|: y\r\n", malformed],
    ["X: y\rz|\r\n", malformed],
    ["X: y\r\r|\n", malformed],
    ["X: \0|\r\n", malformed],
    ["X: \x1b|\r\n", malformed],
    ["X: \x7f|\r\n", malformed],
    ["\rX|: y\r\n", malformed],
    ["Host: a b\r\n|", noHost],
    ["Host: a/b\r\n|", noHost],
    ["Host: a@b\r\n|", noHost],
    ["Host: a,b\r\n|", noHost],
    ["Host: a:b\r\n|", noHost],
    ["Host: a:65536\r\n|", noHost],
    ["Host: a:-1\r\n|", noHost],
    ["Host: a:80:80\r\n|", noHost],
    ["Host: ::1\r\n|", noHost],
    ["Host: [::1\r\n|", noHost],
    ["Host: [::1]x\r\n|", noHost],
    ["Host: [::g]\r\n|", noHost],
    ["Host: [1.2.3.4]\r\n|", noHost],
    ["Host: [v1.x]\r\n|", noHost],
    ["Host: [fe80::1%25eth0]\r\n|", noHost],
    ["Host: b\xfccher.example\r\n|", noHost],
    [`Host: ${"a".repeat(256)}\r\n|`, noHost],
    ["Host: a\r\nHost: b\r\n|", differ],
    ["Host: a\r\nhost: a:80\r\n|", differ],
    ["Host: a\r\nHost:\r\n|", differ],
    ["Host: a\r\nX: y\r\nHost: a\r\nHost: c\r\n|", differ],
  ];
  test.each(rows)("%j", (marked, why) => {
    for (const line of ["GET / HTTP/1.1\r\n", "GET http://target.example/ HTTP/1.1\n"]) {
      const input = ascii(`${line}${marked.replace("|", "")}\r\n`);
      expect(firstInvalid(requests, input)).toEqual({ bytes: line.length + marked.indexOf("|"), why });
      expect(peekRequestTarget(input)).toMatchObject({ kind: "done", bytes: line.length });
    }
  });
});

test("a head may have 16 KiB, and not one byte more", () => {
  const headOf = (bytes: number, start: string): Uint8Array =>
    ascii(`${start}${"x".repeat(bytes - start.length - 4)}\r\n\r\n`);
  const fits = headOf(httpRequestBytesMax, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
  expect(fits.length).toBe(httpRequestBytesMax);
  const value = { method: "GET", path: "/", host: "a" };
  expect(peekWhole(requests, fits, behind)).toEqual(value);
  const tooLong = headOf(httpRequestBytesMax + 1, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
  const why = `the head of an HTTP request of more than ${httpRequestBytesMax} bytes`;
  expect(firstInvalid(requests, tooLong)).toEqual({ bytes: httpRequestBytesMax, why });
  expect(peekRequestTarget(tooLong)).toMatchObject({ kind: "done", bytes: 16 });
});

test.each([
  ["empty lines", "\r\n"],
  ["a path", "GET /aaaa"],
  ["a query", "GET /?aa&"],
  ["an absolute target", "GET http://a/a"],
  ["a host", "CONNECT aaaa"],
])("a request line of 16 KiB of %s is refused at the last of them", (_, start) => {
  const input = ascii(start.padEnd(httpRequestBytesMax + 10, start.slice(-2)));
  const why = `an HTTP request line of more than ${httpRequestBytesMax} bytes`;
  expect(firstInvalid(targets, input)).toEqual({ bytes: httpRequestBytesMax, why });
  expect(peekHttpRequest(input)).toEqual({ kind: "invalid", why });
});

function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}
