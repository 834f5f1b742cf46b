/** The choice among the endpoints of a tier: which policies there are. */
import { unreachable } from "../../core/assert.ts";
import type { Candidates } from "./candidates.ts";
import { First } from "./first.ts";
import { LeastConnections } from "./least-connections.ts";
import { RandomTwo } from "./random-two.ts";
import { RoundRobin } from "./round-robin.ts";
import { SourceHash } from "./source-hash.ts";

/** How an endpoint is chosen. Weight 0 takes an endpoint out in every policy. */
export type Balance =
  /** In turns, each as often as its weight says, spread evenly. */
  | "round_robin"
  /** The one with the fewest sessions for its weight; among equals, in turns. */
  | "least_connections"
  /** Two are drawn by weight, and the one with fewer sessions for its weight is taken. */
  | "random_two"
  /** By the client's address: the same client gets the same endpoint as long as that can be had. */
  | "source_hash"
  /** The first in the order of the configuration that can be had; weights say nothing else here. */
  | "first";

/** One for each tier. Picks allocate nothing. */
export interface Balancer {
  /** A slot that is open, or −1 when none is. `clientHost` is the client's IP address. */
  pick(clientHost: string): number;
  /** To be told of each slot after it was picked, and when it is opened or closed or its load or share changes. */
  changed?(slot: number): void;
}

/** A balancer of this policy; `random` gives numbers from 0 to below 1. */
export function balancerFor(balance: Balance, candidates: Candidates, random: () => number): Balancer {
  switch (balance) {
    case "round_robin":
      return new RoundRobin(candidates);
    case "least_connections":
      return new LeastConnections(candidates);
    case "random_two":
      return new RandomTwo(candidates, random);
    case "source_hash":
      return new SourceHash(candidates);
    case "first":
      return new First(candidates);
    default:
      return unreachable(balance);
  }
}
