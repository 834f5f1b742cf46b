/** The machine's addresses, for the check of endpoints that lead back to a listener. */
import { expect, test } from "bun:test";
import { localHosts } from "../../src/cli/configuration.ts";

test("the machine's own addresses are those of its interfaces", () => {
  expect(localHosts()).toContain("127.0.0.1");
});

test("a system that does not tell them has none, and is no reason to fail", () => {
  const refuses = (): never => {
    throw new Error("A system error occurred: getifaddrs returned an error");
  };
  expect(localHosts(refuses)).toEqual([]);
});
