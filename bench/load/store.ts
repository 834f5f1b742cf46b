/** bench/results.json: the last measurement of each load, by its name. A run replaces the loads it measured and no others. */
import type { Machine } from "./machine.ts";
import { haproxyName, type SluiceBuild, spliceName } from "./peer.ts";
import { type Cell, medianOf, ratioOf } from "./statistics.ts";
import { judgeAll } from "./targets.ts";

/** A peer as the report names it. */
export interface StoredPeer {
  readonly name: string;
  readonly version: string;
  readonly remark?: string | undefined;
  readonly sluice?: SluiceBuild | undefined;
}

/** One run of the benchmark, as it is kept with each load that it measured. */
export interface Measured {
  readonly command: string;
  /** Of the run, in ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  readonly peers: readonly StoredPeer[];
  /** What was not measured, each with the reason. */
  readonly leftOut: readonly string[];
  /** Of the kind `idle`. */
  readonly idleConnections: number;
}

/** One load: the run it was measured in, and all samples. */
export interface StoredLoad extends Measured {
  readonly rounds: number;
  /** Of each measurement. */
  readonly seconds: number;
  readonly cells: readonly Cell[];
}

/** All there is, by the names of the loads. */
export type Store = ReadonlyMap<string, StoredLoad>;

/** Reads the file's text; empty text is an empty store. Fails when it is no results file, which must not be overwritten. */
export function parseStore(text: string): Store {
  if (text.trim() === "") return new Map();
  const found = parseObject(text);
  if (Array.isArray(found["cells"])) return convertSingleRun(found as unknown as SingleRun);
  const loads: unknown = found["loads"];
  if (typeof loads !== "object" || loads === null) throw new Error('found neither "loads" nor "cells"');
  return new Map(Object.entries(loads as Record<string, StoredLoad>));
}

/** What was there with what is new; of both, what is new. Loads that are not in `known` any more are dropped. */
export function mergeStores(before: Store, fresh: Store, known: readonly string[]): Store {
  return new Map(
    known.flatMap((name) => {
      const load = fresh.get(name) ?? before.get(name);
      return load === undefined ? [] : [[name, load] as const];
    }),
  );
}

/** The file's text: all samples, and for programs medians, ratios and verdicts, which nobody reads back. */
export function renderStore(store: Store): string {
  const loads = [...store].map(([name, load]) => {
    const cells = load.cells.map((cell) => ({ ...cell, figures: summary(cell, load.cells) }));
    return [name, { ...load, cells }] as const;
  });
  const verdicts = judgeAll(store).map(({ target, load, contender, reference, found, verdict }) => {
    const { figure, bound, value } = target;
    return { load, contender, figure, bound, value, times: reference, found, verdict };
  });
  return `${JSON.stringify({ loads: Object.fromEntries(loads), targets: verdicts }, null, 2)}\n`;
}

function summary(cell: Cell, cells: readonly Cell[]): object {
  const figures = new Set(
    cell.samples.flatMap((sample) => Object.keys(sample.figures) as (keyof typeof sample.figures)[]),
  );
  const to = (name: string): Cell | undefined => cells.find(({ contender }) => contender === name);
  return Object.fromEntries(
    [...figures].map((figure) => [
      figure,
      {
        median: medianOf(cell, figure),
        toHaproxy: ratioOf(cell, to(haproxyName), figure),
        toSplice: ratioOf(cell, to(spliceName), figure),
      },
    ]),
  );
}

function parseObject(text: string): Record<string, unknown> {
  const found: unknown = JSON.parse(text);
  if (typeof found !== "object" || found === null) throw new Error("found no JSON object");
  return found as Record<string, unknown>;
}

/** How the file was before it kept loads of several runs. */
interface SingleRun extends Measured {
  readonly rounds: number;
  readonly seconds: number;
  readonly cells: readonly (Cell & { readonly load: string })[];
}

function convertSingleRun({ cells, ...run }: SingleRun): Store {
  const peers = run.peers.map(({ name, version }): StoredPeer => {
    // It said of builds only which command started them.
    const isBuild = version.endsWith(")");
    return { name, version, sluice: isBuild ? { build: name, variant: "default" } : undefined };
  });
  const { command, startedAt, machine, leftOut, idleConnections, rounds, seconds } = run;
  const about = { command, startedAt, machine, peers, leftOut, idleConnections, rounds, seconds };
  return new Map(
    [...new Set(cells.map((cell) => cell.load))].map((name) => {
      const own = cells.filter((cell) => cell.load === name);
      return [name, { ...about, cells: own.map(({ contender, samples }) => ({ contender, samples })) }];
    }),
  );
}
