/** What a peer is: a proxy that is compared, and which loads it is measured for. The peers are in peers.ts. */
import { join } from "node:path";
import type { Load } from "./load.ts";

/** Where one proxy of one measurement listens and forwards to. */
export interface Setup {
  /** A folder of its own, which is removed afterwards. */
  readonly folder: string;
  readonly port: number;
  readonly backendPort: number;
  /** Connections it must take at once. */
  readonly connections: number;
}

/** Which configuration of sluice. */
export type Variant =
  /** No table `[forwarding]`, nothing written and nobody watching. */
  | "default"
  /** That engine. */
  | "copy"
  /** The access log on. */
  | "log"
  /** Metrics scraped every second, and the dashboard open. */
  | "watched"
  /** One connection in a hundred traced. */
  | "traced";

/** What a configuration of sluice belongs to; the targets go by it. */
export interface SluiceBuild {
  /** Contender with the default configuration of the same build. */
  readonly build: string;
  readonly variant: Variant;
}

/**
 * The loads a peer is measured for. Each list holds beginnings of their names; absent = all.
 * `able`: it can do no others · `usual`: unless `--proxy` names it · `quick`: so too, in a quick run · `soaks`: also when
 * only the kind `soak` is named and not the peer.
 */
export interface Scope {
  readonly able?: readonly string[];
  readonly usual?: readonly string[];
  readonly quick?: readonly string[];
  readonly soaks?: true;
}

/** A row of the table of peers. */
export interface PeerRow {
  readonly name: string;
  readonly scope: Scope;
  /** Said in the report, such as why it is not measured for all loads. */
  readonly remark?: string | undefined;
  /** Absent for what is no sluice. */
  readonly sluice?: SluiceBuild | undefined;
  /** Looks for it on this machine. */
  find(): Found | { readonly leftOut: string };
}

/** What there is of a peer on this machine. */
export interface Found {
  readonly version: string;
  /** Writes its configuration. */
  prepare(setup: Setup): Promise<Prepared>;
}

/** How a peer is run. */
export interface Prepared {
  /** Runs it in the foreground with one thread. */
  readonly command: string[];
  /** What runs beside it, from its start to its end, on the core of the generator. */
  readonly beside?: string[] | undefined;
}

/** A peer that was found. */
export interface Peer extends Omit<PeerRow, "find">, Found {}

/** How a peer came into the run. */
export interface Chosen {
  /** Whether `--proxy` names it. */
  readonly named: boolean;
  readonly quick: boolean;
}

/** The peer most ratios refer to. */
export const haproxyName = "haproxy";
/** The same with splicing, which the engines that splice are compared with. */
export const spliceName = "haproxy-splice";

/** The root of the repository, where commands are run. */
export const repository = join(import.meta.dir, "../..");

/** Whether a peer is measured for a load. */
export function isMeasured(scope: Scope, load: Pick<Load, "name" | "onlyWhenNamed">, chosen: Chosen): boolean {
  if (!covers(scope.able, load)) return false;
  if (chosen.named) return true;
  if (load.onlyWhenNamed) return scope.soaks === true;
  return covers(scope.usual, load) && (!chosen.quick || covers(scope.quick, load));
}

/** What `pattern` finds in the output of a command; undefined when it can't be run, fails or says something else. */
export function readVersion(command: string[], pattern: RegExp): string | undefined {
  return pattern.exec(capture(command))?.[1];
}

/** Both outputs of a command; empty when it can't be run or fails. */
export function capture(command: string[]): string {
  if (Bun.which(command[0] ?? "", { cwd: repository }) === null) return "";
  const ran = Bun.spawnSync(command, { cwd: repository, stdin: "ignore", timeout: 10_000 });
  return ran.success ? ran.stdout.toString() + ran.stderr.toString() : "";
}

function covers(beginnings: readonly string[] | undefined, load: Pick<Load, "name">): boolean {
  return beginnings === undefined || beginnings.some((beginning) => load.name.startsWith(beginning));
}
