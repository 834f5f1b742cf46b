/** What the load benchmark measures: the command line, which peer for which load, how long it takes, and a soak's figures. */
import { describe, expect, test } from "bun:test";
import { loads } from "../../bench/load/kinds.ts";
import type { Point } from "../../bench/load/load.ts";
import { readOptions } from "../../bench/load/options.ts";
import type { Peer } from "../../bench/load/peer.ts";
import { peerRows } from "../../bench/load/peers.ts";
import { countMeasurements, estimateSeconds, fitQuick, peersOf, type Plan } from "../../bench/load/plan.ts";
import { renderMore } from "../../bench/load/process-usage.ts";
import { pointFigures } from "../../bench/load/soak.ts";

const builds = new Map([["sluice", "bun src/main.ts"]]);
const usual = ["haproxy", "haproxy-splice", "nginx"];

describe("the peers of a load", () => {
  test.each([
    ["bulk down, 1 flow", [...usual, "socat", "sluice", "sluice-copy", "sluice-watched"]],
    ["bulk down, 8 flows", [...usual, "sluice", "sluice-copy"]],
    ["ping-pong 64 B, 1 connection", [...usual, "sluice"]],
    ["ping-pong 64 B, 64 connections", [...usual, "socat", "sluice", "sluice-watched"]],
    ["ping-pong 64 B, 512 connections", [...usual, "sluice"]],
    ["ping-pong 16 KiB, 64 connections", [...usual, "sluice"]],
    ["connect, 32 at once", [...usual, "socat", "sluice", "sluice-log", "sluice-watched", "sluice-traced"]],
    ["mixed, 4 bulk flows and 16 ping-pong connections", [...usual, "sluice", "sluice-copy"]],
    ["idle", [...usual, "sluice"]],
    ["soak", ["sluice"]],
  ])("%s", (name, peers) => {
    expect(namesOf(plan({}), name)).toEqual(peers);
  });

  test("are those that --proxy names, wherever they can, and sluice-copy is then measured for every load", () => {
    const names = ["haproxy", "socat", "sluice-copy", "sluice-log"];
    const named = plan({ named: names, peers: plan({}).peers.filter((peer) => names.includes(peer.name)) });
    expect(namesOf(named, "soak")).toEqual(["haproxy", "sluice-copy"]);
    expect(namesOf(named, "ping-pong 64 B, 512 connections")).toEqual(["haproxy", "sluice-copy"]);
    expect(namesOf(named, "connect, 32 at once")).toEqual(["haproxy", "socat", "sluice-copy", "sluice-log"]);
  });

  test("in a quick run are those that the targets refer to", () => {
    const quick = plan({ quick: true });
    expect(namesOf(quick, "bulk up, 1 flow")).toEqual(["haproxy", "haproxy-splice", "sluice", "sluice-copy"]);
    expect(namesOf(quick, "connect, 32 at once")).toEqual(["haproxy", "sluice", "sluice-log"]);
  });
});

test("a quick run fits into two minutes with time to measure, and a plan says how long it takes", () => {
  const quick = fitQuick(plan({ quick: true, loads: loads.filter((load) => !load.onlyWhenNamed) }));
  expect(estimateSeconds(quick)).toBeLessThan(110);
  expect(quick.timing.seconds).toBeGreaterThanOrEqual(0.3);
  const soak = plan({ loads: loads.filter((load) => load.kind === "soak") });
  expect(countMeasurements(soak)).toBe(1);
  expect(estimateSeconds(soak)).toBeGreaterThan(600);
  expect(estimateSeconds(soak)).toBeLessThan(620);
});

describe("the command line", () => {
  test("is read", () => {
    const read = readOptions(["--kind", "soak, mixed", "--minutes", "0.5", "--proxy", "a-copy,a", "--sluice", "a=x y"]);
    expect(read).toMatchObject({ kinds: ["soak", "mixed"], minutes: 0.5, proxies: ["a-copy", "a"], write: true });
    expect([...read.builds]).toEqual([["a", "x y"]]);
  });

  test.each([
    [["--minutes", "0"], '--minutes: found "0", wanted a number above 0'],
    [["--kind", "soaking"], '--kind: found "soaking", wanted some of bulk, ping-pong, connect, mixed, idle, soak'],
    [["--sluice", "a=x", "--sluice", "a=y"], '--sluice names "a" twice'],
    [["--sluice", "a=x", "--sluice", "a-copy=y"], '"a-copy" is the name of another proxy of this run'],
    [["--sluice", "direct=x"], '"direct" is the name of another proxy of this run'],
    [["--fast"], "--help lists the options"],
  ])("%j is refused", (args, message) => {
    expect(() => readOptions(args)).toThrow(message);
  });
});

describe("the figures of a soak", () => {
  test("are medians of the third and of the last minute, and the descriptors at the end of each", () => {
    const points = series(300, (second) => (second <= 180 ? 50 : 50 + second / 100));
    expect(pointFigures(point(0, 40), points)).toEqual({
      residentStartMb: 40,
      residentThirdMb: 50,
      residentMb: 52.725,
      residentGrowth: 1.0545,
      descriptorsStart: 10,
      descriptorsThird: 190,
      descriptorsEnd: 310,
      connections: 300,
    });
  });

  test("have no third minute while there is none behind it", () => {
    const found = pointFigures(
      point(0, 40),
      series(180, () => 50),
    );
    expect(found).toEqual({
      residentStartMb: 40,
      residentMb: 50,
      descriptorsStart: 10,
      descriptorsEnd: 190,
      connections: 180,
    });
    expect(pointFigures(point(0, 40), [])).toEqual({ residentStartMb: 40, descriptorsStart: 10 });
  });

  test("name the descriptors that are left by their kind", () => {
    const before = new Map([
      ["socket", 3],
      ["file", 9],
    ]);
    const after = new Map([
      ["socket", 4],
      ["file", 8],
      ["pipe", 2],
    ]);
    expect(renderMore(before, after)).toBe("1 socket, 2 pipe");
    expect(renderMore(before, before)).toBe("");
  });
});

function plan(changes: Partial<Plan>): Plan {
  const peers = peerRows(builds).map((row): Peer => ({
    ...row,
    version: "1",
    prepare: () => Promise.resolve({ command: [] }),
  }));
  return { loads, peers, named: [], quick: false, rounds: 3, timing: { seconds: 3, minutes: 10 }, ...changes };
}

function namesOf(planned: Plan, name: string): string[] {
  const load = loads.find((one) => one.name === name);
  return load === undefined ? [`no load ${name}`] : peersOf(planned, load).map((peer) => peer.name);
}

function point(second: number, residentMb: number): Point {
  return { second, residentMb, descriptors: second + 10, connections: second };
}

/** Every five seconds, the last one at `end`. */
function series(end: number, residentMb: (second: number) => number): Point[] {
  return Array.from({ length: end / 5 }, (_, index) => point((index + 1) * 5, residentMb((index + 1) * 5)));
}
