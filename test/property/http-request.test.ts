import { expect, test } from "bun:test";
import fc from "fast-check";
import { httpRequestBytesMax, peekHttpRequest, peekRequestTarget } from "../../src/protocol/http-request.ts";
import { changed } from "../support/changed-bytes.ts";
import { httpHead } from "../support/http-heads.ts";
import { peekLawfully, peekWhole } from "../support/peek-laws.ts";

const requests = { peek: peekHttpRequest, bytesMax: httpRequestBytesMax };
const targets = { peek: peekRequestTarget, bytesMax: httpRequestBytesMax };

test("whatever a head has in it, it is read, and none of its beginnings is", () => {
  fc.assert(
    fc.property(
      httpHead,
      fc.uint8Array({ maxLength: 30 }),
      ({ line, head, method, path, targetHost, host }, behind) => {
        expect(peekWhole(targets, line, behind)).toEqual({ method, path, host: targetHost });
        expect(peekWhole(requests, head, behind)).toEqual({ method, path, host });
      },
    ),
    { numRuns: 500 },
  );
});

test("of changed heads, all beginnings say the same as the whole, and 16 KiB are always decided", () => {
  fc.assert(
    fc.property(changed(httpHead.map(({ head }) => head)), fc.nat(), fc.nat(255), (bytes, cut, filling) => {
      for (const parser of [requests, targets]) {
        peekLawfully(parser, bytes, cut % (bytes.length + 1));
        const long = new Uint8Array(httpRequestBytesMax).fill(filling);
        long.set(bytes);
        peekLawfully(parser, long, cut % (long.length + 1));
      }
    }),
    { numRuns: 2000 },
  );
});

test("the request line says of a whole head what the head says of itself", () => {
  fc.assert(
    fc.property(changed(httpHead.map(({ head }) => head)), (bytes) => {
      const request = peekHttpRequest(bytes);
      const target = peekRequestTarget(bytes);
      if (request.kind === "done") {
        if (target.kind !== "done") throw new Error(`the line is ${target.kind}`);
        expect(target.bytes).toBeLessThan(request.bytes);
        expect({ ...request.value, host: target.value.host ?? request.value.host }).toEqual(request.value);
        expect(target.value).toMatchObject({ method: request.value.method, path: request.value.path });
      } else if (target.kind !== "done") expect(request).toEqual(target);
    }),
    { numRuns: 3000 },
  );
});

test("what is read of a changed head is still a method, a path and a host", () => {
  fc.assert(
    fc.property(changed(httpHead.map(({ head }) => head)), (bytes) => {
      const request = peekHttpRequest(bytes);
      if (request.kind !== "done") return;
      expect(request.value.method).toMatch(/^[A-Z_-]{1,32}$/);
      expect(request.value.path).toMatch(/^(?:\/[^\0- ?#\x7f]*|\*|)$/);
      expect(request.value.host ?? "a").toMatch(/^(?:[a-z0-9._~%-]{1,255}|[0-9a-f:.]{2,39})$/);
    }),
    { numRuns: 3000 },
  );
});
