/** Certificates, keys and names, as files hold them. */
import { describe, expect, test } from "bun:test";
import type { X509Certificate } from "node:crypto";
import { encodeProtocols } from "../../src/tls/alpn.ts";
import { namesOf, readCertificates, subjectOf, validityProblem } from "../../src/tls/certificate.ts";
import {
  loadClientCredentials,
  loadServerCredentials,
  type ClientTlsSettings,
  type ServerTlsSettings,
} from "../../src/tls/credentials.ts";
import { reasonOf } from "../../src/tls/reason.ts";
import { certificate, type CertificateName } from "../support/certificates.ts";
import { lacks } from "../support/programs.ts";

function parsed(name: CertificateName): X509Certificate {
  const read = readCertificates(certificate(name).cert);
  if (!read.ok) throw new Error(read.found);
  return read.value[0]!;
}

describe("a certificate", () => {
  for (const [name, names] of [
    ["a", ["a.test"]],
    ["b", ["*.b.test"]],
    ["c", ["c.test"]],
    ["ca", []],
    ["client", []],
  ] as const) {
    test.skipIf(lacks("openssl"))(`"${name}" is for ${names.join() || "no host"}`, () => {
      expect(namesOf(parsed(name))).toEqual([...names]);
    });
  }

  for (const [alternatives, subject, names] of [
    ["DNS:A.test, IP Address:10.0.0.1, DNS:*.b.test, URI:http://c.test", "CN=d.test", ["a.test", "*.b.test"]],
    // A name with a comma in it can't pass for two (CVE-2021-44532).
    ['DNS:"evil.test, DNS:a.test", DNS:b.test', "", ["b.test"]],
    ['DNS:"a\\u0000.test"', "", []],
    ["DNS:*, DNS:a.*.test, DNS:*a.test, DNS:*.*.test, DNS:.a.test, DNS:a..test, DNS:a test", "", []],
    ["IP Address:10.0.0.1", "CN=d.test", []],
    [undefined, "C=DE\nO=Example\nCN=D.test", ["d.test"]],
    [undefined, "O=Example", []],
  ] as const) {
    test(`with ${JSON.stringify(alternatives)} and ${JSON.stringify(subject)} it is for ${JSON.stringify(names)}`, () => {
      const fields = { subjectAltName: alternatives, subject } as X509Certificate;
      expect(namesOf(fields)).toEqual([...names]);
    });
  }

  test.skipIf(lacks("openssl"))("tells its subject in one line, and whether it is valid", () => {
    expect(subjectOf(parsed("client")).split(", ").toSorted()).toEqual(["CN=client one", "O=Example"]);
    const nowMs = Date.now();
    expect(validityProblem(parsed("a"), nowMs)).toBeUndefined();
    expect(validityProblem(parsed("expired"), nowMs)).toBe("expired on 2021-01-01T00:00:00.000Z");
    expect(validityProblem(parsed("expired"), Date.UTC(2019, 0, 1))).toBe(
      "is not valid before 2020-01-01T00:00:00.000Z",
    );
    expect(validityProblem(parsed("expired"), Date.UTC(2020, 5, 1))).toBeUndefined();
  });

  test.skipIf(lacks("openssl"))("is read from among others, and from among keys", () => {
    const [a, b] = [certificate("a"), certificate("b")];
    const read = readCertificates(`a comment\n${a.key}\n${a.cert}${b.cert.replaceAll("\n", "\r\n")}`);
    expect(read.ok && read.value.map((found) => namesOf(found))).toEqual([["a.test"], ["*.b.test"]]);
    expect(readCertificates(a.key)).toEqual({ ok: false, found: "no certificate in it" });
    expect(readCertificates("")).toEqual({ ok: false, found: "no certificate in it" });
    const broken = a.cert.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA");
    expect(readCertificates(`${b.cert}${broken}`)).toEqual({
      ok: false,
      found: "certificate 2 in it cannot be parsed",
    });
  });
});

describe("a server's credentials", () => {
  const load = (settings: Partial<ServerTlsSettings>, nowMs = Date.now()): ReturnType<typeof loadServerCredentials> =>
    loadServerCredentials(
      { certificates: [certificate("a")], clientCa: undefined, clientCert: "required", alpn: [], ...settings },
      nowMs,
    );

  test.skipIf(lacks("openssl"))("answer to the names of each certificate, unknown ones get the first", () => {
    const loaded = load({ certificates: [certificate("a"), certificate("b"), certificate("a2")] });
    if (!loaded.ok) throw new Error(loaded.problems.join());
    const { first, byName, clientCert } = loaded.value;
    expect(byName.find("a.test")).toBe(first);
    expect(byName.find("x.b.test")).toBeDefined();
    expect(byName.find("x.b.test")).not.toBe(first);
    expect(byName.find("x.y.b.test")).toBeUndefined();
    expect(byName.find("b.test")).toBeUndefined();
    expect(byName.find("c.test")).toBeUndefined();
    expect(clientCert).toBe("none");
    expect(loaded.warnings).toEqual([]);
  });

  test.skipIf(lacks("openssl"))("ask for certificates where there is an authority for clients", () => {
    for (const clientCert of ["required", "optional"] as const) {
      const loaded = load({ clientCa: certificate("ca").cert, clientCert });
      expect(loaded.ok && loaded.value.clientCert).toBe(clientCert);
    }
  });

  test.skipIf(lacks("openssl"))("that are past their time are warned of, and work", () => {
    const loaded = load({ certificates: [certificate("expired")] });
    expect(loaded).toMatchObject({
      ok: true,
      warnings: ["the certificate (CN=a.test) expired on 2021-01-01T00:00:00.000Z"],
    });
  });

  test.skipIf(lacks("openssl"))("that can't work are refused, with everything that is wrong", () => {
    const [a, b] = [certificate("a"), certificate("b")];
    const certificates = [a, { cert: a.cert, key: b.key }, { cert: "x", key: "y" }, { cert: a.key, key: a.cert }];
    expect(load({ certificates, clientCa: "nothing", alpn: ["h2", ""] })).toEqual({
      ok: false,
      problems: [
        'found "" in alpn, wanted 1 to 255 bytes',
        "the authority for clients: found no certificate in it",
        "certificate 2: the key does not belong to the certificate",
        "certificate 3: found no certificate in it",
        "certificate 3: found no private key (PEM) in the key's file",
        "certificate 4: found no certificate in it",
        "certificate 4: found no private key (PEM) in the key's file",
      ],
    });
    expect(load({ certificates: [] })).toEqual({ ok: false, problems: ["no certificate"] });
  });

  test.skipIf(lacks("openssl"))("do not take a key that wants a passphrase", () => {
    const { cert } = certificate("a");
    const key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    expect(load({ certificates: [{ cert, key }] })).toEqual({
      ok: false,
      problems: ["the certificate: found a key that is encrypted, wanted one without a passphrase"],
    });
  });
});

describe("a client's credentials", () => {
  const load = (settings: Partial<ClientTlsSettings>): ReturnType<typeof loadClientCredentials> => {
    const none = { serverName: undefined, ca: undefined, cert: undefined, key: undefined, verify: true, alpn: [] };
    return loadClientCredentials({ ...none, ...settings }, Date.now());
  };

  test("can be empty: then the authorities that Bun knows are trusted", () => {
    expect(load({})).toMatchObject({ ok: true, warnings: [], value: { verify: true } });
  });

  test.skipIf(lacks("openssl"))("have an authority, a certificate and protocols", () => {
    const { cert, key } = certificate("client");
    const loaded = load({ ca: certificate("ca").cert, cert, key, alpn: ["h2", "http/1.1"] });
    expect(loaded).toMatchObject({ ok: true, warnings: [] });
    expect(loaded.ok && loaded.value.alpn.toString("latin1")).toBe("\x02h2\x08http/1.1");
  });

  test.skipIf(lacks("openssl"))("that can't work are refused, with everything that is wrong", () => {
    const { cert, key } = certificate("client");
    expect(load({ cert })).toEqual({ ok: false, problems: ["a certificate without its key"] });
    expect(load({ key })).toEqual({ ok: false, problems: ["a key without its certificate"] });
    expect(load({ cert, key: certificate("a").key, ca: "" })).toEqual({
      ok: false,
      problems: [
        "the authority: found no certificate in it",
        "the certificate: the key does not belong to the certificate",
      ],
    });
  });
});

describe("protocols", () => {
  test("are sent with their lengths", () => {
    expect(encodeProtocols([])).toEqual({ ok: true, value: Buffer.alloc(0) });
    expect(encodeProtocols(["h2", "é"])).toEqual({ ok: true, value: Buffer.from([2, 0x68, 0x32, 1, 0xe9]) });
    expect(encodeProtocols(["x".repeat(255)])).toMatchObject({ ok: true });
    expect(encodeProtocols(["x".repeat(256)])).toMatchObject({ ok: false });
    expect(encodeProtocols(["h2", ""])).toEqual({ ok: false, found: '"" in alpn, wanted 1 to 255 bytes' });
  });
});

describe("the reason of a failed handshake", () => {
  const failure = (message: string, fields: object): Error => Object.assign(new Error(message), fields);

  for (const [words, error] of [
    [
      "no application protocol",
      failure("error:10000133:SSL routines:OPENSSL_internal:NO_APPLICATION_PROTOCOL", { code: "EPROTO" }),
    ],
    [
      "Host: b.test. is not in it",
      failure("long", { code: "ERR_TLS_CERT_ALTNAME_INVALID", reason: "Host: b.test. is not in it" }),
    ],
    ["long", failure("long", { code: "ERR_TLS_CERT_ALTNAME_INVALID" })],
    ["certificate has expired", failure("certificate has expired", { code: "CERT_HAS_EXPIRED" })],
    ["the handshake failed", null],
  ] as const) {
    test(words, () => expect(reasonOf(error)).toBe(words));
  }
});
