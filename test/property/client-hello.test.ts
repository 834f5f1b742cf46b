import { expect, test } from "bun:test";
import fc from "fast-check";
import { clientHelloBytesMax, peekClientHello } from "../../src/protocol/client-hello.ts";
import { alpn, extension, helloMessage, inRecords, serverName } from "../support/client-hello.ts";
import { changed } from "../support/changed-bytes.ts";
import { peekLawfully, peekWhole } from "../support/peek-laws.ts";

const parser = { peek: peekClientHello, bytesMax: clientHelloBytesMax };

const label = fc.string({ unit: fc.constantFrom(..."abcxyzABCXYZ019-_"), minLength: 1, maxLength: 63 });
const name = fc
  .array(label, { minLength: 1, maxLength: 4 })
  .map((labels) => `${labels.join(".").slice(0, 250)}.example`)
  .filter((text) => !text.includes(".."));
const protocol = fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 255 });
const unknown = fc
  .tuple(fc.integer({ min: 17, max: 0xffff }), fc.uint8Array({ maxLength: 1500 }))
  .map(([type, body]) => extension(type, body));

/** A hello that is right, with what has to be read from it. */
const hello = fc
  .record({
    serverName: fc.option(name, { nil: undefined }),
    finalDot: fc.boolean(),
    alpn: fc.array(protocol, { maxLength: 4 }),
    unknown: fc.array(unknown, { maxLength: 5 }),
    places: fc.tuple(fc.nat(), fc.nat()),
    session: fc.uint8Array({ maxLength: 32 }),
    cipherSuites: fc.integer({ min: 1, max: 40 }),
    sizes: fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 6 }),
  })
  .map((parts) => {
    const extensions = [...parts.unknown];
    const insert = (place: number, body: Uint8Array): void => {
      extensions.splice(place % (extensions.length + 1), 0, body);
    };
    if (parts.serverName !== undefined) {
      insert(parts.places[0], serverName(`${parts.serverName}${parts.finalDot ? "." : ""}`));
    }
    if (parts.alpn.length > 0) insert(parts.places[1], alpn(...parts.alpn));
    const cipherSuites = new Uint8Array(2 * parts.cipherSuites);
    return {
      bytes: inRecords(helloMessage({ extensions, session: parts.session, cipherSuites }), ...parts.sizes),
      value: { serverName: parts.serverName?.toLowerCase(), alpn: parts.alpn },
    };
  });

test("whatever a ClientHello has in it and however it is split, it is read, and none of its beginnings is", () => {
  fc.assert(
    fc.property(hello, fc.uint8Array({ maxLength: 50 }), ({ bytes, value }, behind) => {
      expect(peekWhole(parser, bytes, behind)).toEqual(value);
    }),
    { numRuns: 200 },
  );
});

test("of changed ClientHellos, all beginnings say the same as the whole, and 16 KiB are always decided", () => {
  fc.assert(
    fc.property(changed(hello.map(({ bytes }) => bytes)), fc.nat(), (bytes, cut) => {
      peekLawfully(parser, bytes, cut % (bytes.length + 1));
      const long = new Uint8Array(clientHelloBytesMax);
      long.set(bytes.subarray(0, long.length));
      peekLawfully(parser, long, cut % (long.length + 1));
    }),
    { numRuns: 3000 },
  );
});

test("what is read of a changed ClientHello is still a name and protocols", () => {
  fc.assert(
    fc.property(changed(hello.map(({ bytes }) => bytes)), (bytes) => {
      const peek = peekClientHello(bytes);
      if (peek.kind !== "done") return;
      expect(peek.value.serverName ?? "a").toMatch(/^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/);
      for (const offered of peek.value.alpn) expect(offered).toMatch(/^[\0-\xff]{1,255}$/);
    }),
    { numRuns: 3000 },
  );
});
