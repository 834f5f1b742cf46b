/** The probe: says whether this system can splice, why not, and leaves nothing open. */
import { expect, test } from "bun:test";
import { spliceMissing } from "../../src/forward/splice/probe.ts";
import { libc, libcMissing, type Libc } from "../../src/sys/libc.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { errnos } from "../support/splice-harness.ts";

const real = libc!;
const ENOSYS = 38;

/** What is open, as a list to compare. */
function open(): string[] {
  return openDescriptors().map(({ fd, target }) => `${fd} ${target}`);
}

test("it works here, again and again, and leaves nothing open", () => {
  const before = open();
  for (let round = 0; round < 3; round++) expect(spliceMissing()).toBeUndefined();
  expect(open()).toEqual(before);
});

test("without the C library it says why there is none", () => {
  expect(libcMissing).toBeUndefined();
  // The parameter's default stands in for `undefined`, so this system's answer is given.
  expect(spliceMissing(undefined)).toBeUndefined();
});

/** The real library, but for one call: fails from its `nth` use on. */
function without(call: keyof Libc, failure: number, nth = 1): Libc {
  let uses = 0;
  const original = real[call] as (...args: unknown[]) => unknown;
  return { ...real, [call]: (...args: unknown[]) => (++uses >= nth ? failure : original(...args)) };
}

test.each<readonly [string, Libc, string]>([
  ["eventfd", without("eventfd", -errnos.EMFILE), "the system refuses eventfd (EMFILE)"],
  ["epoll_create", without("epollCreate", -errnos.ENFILE), "the system refuses epoll_create (ENFILE)"],
  ["epoll_ctl", without("epollAdd", -errnos.EPERM), "the system refuses epoll_ctl"],
  ["pipe", without("pipe", -errnos.EMFILE), "the system refuses pipe (EMFILE)"],
  ["socketpair", without("socketPair", -errnos.EPERM), "the system refuses socketpair (EPERM)"],
  ["write", without("signal", -errnos.EPIPE), "the system refuses write"],
  ["splice", without("splice", -ENOSYS), "the system refuses splice from a socket (ENOSYS)"],
  ["the second splice", without("splice", -errnos.EINVAL, 2), "the system refuses splice to a socket (EINVAL)"],
  ["a splice that moves less", without("splice", 3), "the system refuses splice from a socket"],
  ["a second splice that moves less", without("splice", 3, 2), "the system refuses splice to a socket"],
])("where %s is refused, it says so and leaves nothing open", (_, calls, sentence) => {
  const before = open();
  expect(spliceMissing(calls)).toStartWith(sentence);
  expect(open()).toEqual(before);
});

test("a mistake of ours is no refusal: it is thrown, and nothing is left open", () => {
  const before = open();
  const broken: Libc = {
    ...real,
    splice: () => {
      throw new Error("out of nowhere");
    },
  };
  expect(() => spliceMissing(broken)).toThrow("out of nowhere");
  expect(open()).toEqual(before);
});
