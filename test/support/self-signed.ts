/**
 * Certificates that sign themselves, for tests that want files which load and no handshake: made here (RFC 5280 section
 * 4.1), so that such tests need no program.
 */
import { afterAll, beforeAll } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificate } from "./certificates.ts";

/** Makes certificates by their names, at the top of a test file: the files are there while its tests run. */
export function selfSigned<Name extends string>(...names: readonly Name[]): Readonly<Record<Name, Certificate>> {
  const folder = join(tmpdir(), `sluice-self-signed-${process.pid}-${++folders}`);
  const certificates = names.map((name, index) => make(name, index + 1, folder));
  beforeAll(() => {
    mkdirSync(folder);
    for (const { cert, key, certFile, keyFile } of certificates) {
      writeFileSync(certFile, cert);
      writeFileSync(keyFile, key);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  return Object.fromEntries(names.map((name, index) => [name, certificates[index]!])) as Record<Name, Certificate>;
}

let folders = 0;

function make(name: string, serial: number, folder: string): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const who = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(`${name}.test`)))));
  const alternativeName = sequence(der(0x82, Buffer.from(`${name}.test`)));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(serial)),
    SIGNED_SO,
    who,
    sequence(der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from("491231235959Z"))),
    who,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(sequence(ALTERNATIVE_NAME, der(0x04, alternativeName)))),
  );
  const whole = sequence(body, SIGNED_SO, der(0x03, Buffer.of(0), sign("sha256", body, privateKey)));
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    cert: ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n"),
    key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    certFile: join(folder, `${name}.pem`),
    keyFile: join(folder, `${name}.key`),
  };
}

/** A value in DER (ITU-T X.690 section 8.1): its tag, the length of its content in one to three bytes, the content. */
function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const { length } = Buffer.concat(content);
  const lengths = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...lengths), ...content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, ...parts);
}

/** 2.5.4.3 */
const COMMON_NAME = der(0x06, Buffer.of(0x55, 0x04, 0x03));
/** 2.5.29.17 */
const ALTERNATIVE_NAME = der(0x06, Buffer.of(0x55, 0x1d, 0x11));
/** ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758 section 3.2) */
const SIGNED_SO = sequence(der(0x06, Buffer.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)));
