/** A route: what it asks of an opening, and where connections go that fit. */
import { assert, unreachable } from "../core/assert.ts";
import type { Parsed } from "../core/result.ts";
import { ApplicationProtocol } from "./application-protocol.ts";
import type { Condition, ConditionKey, Judgement } from "./condition.ts";
import type { Reading } from "./reading.ts";
import { OpeningPrefix } from "./opening-prefix.ts";
import { PathPrefix } from "./path-prefix.ts";
import { RequestHost } from "./request-host.ts";
import { ServerName } from "./server-name.ts";

/** A route's conditions as the configuration has them; "" asks nothing. All of them have to fit. */
export interface RouteSettings {
  readonly pathPrefix: string;
  readonly host: string;
  readonly sni: string;
  readonly alpn: string;
  /** Text with escapes for bytes. */
  readonly prefix: string;
}

/** Longer values are cut in a route's name. */
const valueCharsMax = 64;

/** One route of a listener. `Target` is the backend. */
export class Route<Target> {
  /** Its place among the listener's routes, from 0. */
  readonly index: number;
  /** How the access record names it: `path_prefix=/api host=*.example.com`. */
  readonly name: string;
  readonly target: Target;
  /** The cheapest to judge first. */
  readonly conditions: readonly Condition[];

  /** `settings` have been checked: each reads with {@link parseCondition}. */
  constructor(index: number, settings: RouteSettings, target: Target) {
    this.index = index;
    this.target = target;
    this.name = nameOf(settings);
    const conditions = parseConditions(settings);
    assert(conditions !== undefined, `the route ${this.name} had to be refused`);
    this.conditions = conditions;
  }

  /** All conditions together. */
  judge(reading: Reading): Judgement {
    let judgement: Judgement = "yes";
    for (const condition of this.conditions) {
      const one = condition.judge(reading);
      if (one === "no") return "no";
      if (one === "unknown") judgement = "unknown";
    }
    return judgement;
  }
}

/** Reads the value of one key of a route, which is not "". */
export function parseCondition(key: ConditionKey, text: string): Parsed<Condition> {
  switch (key) {
    case "path_prefix":
      return PathPrefix.parse(text);
    case "host":
      return RequestHost.parse(text);
    case "sni":
      return ServerName.parse(text);
    case "alpn":
      return ApplicationProtocol.parse(text);
    case "prefix":
      return OpeningPrefix.parse(text);
    default:
      return unreachable(key);
  }
}

/** The conditions of a route, the cheapest to judge first; `undefined` when one of the values does not read. */
export function parseConditions(settings: RouteSettings): readonly Condition[] | undefined {
  const conditions: Condition[] = [];
  for (const [key, text] of asked(settings)) {
    const condition = parseCondition(key, text);
    if (!condition.ok) return undefined;
    conditions.push(condition.value);
  }
  return conditions;
}

/** What is asked; the bytes that cost nothing to look at come first. */
function asked(settings: RouteSettings): (readonly [ConditionKey, string])[] {
  const all: (readonly [ConditionKey, string])[] = [
    ["prefix", settings.prefix],
    ["path_prefix", settings.pathPrefix],
    ["host", settings.host],
    ["sni", settings.sni],
    ["alpn", settings.alpn],
  ];
  return all.filter(([, text]) => text !== "");
}

/** "any" for a route that asks nothing. */
function nameOf(settings: RouteSettings): string {
  const parts = asked(settings).map(([key, text]) => `${key}=${shown(text)}`);
  return parts.length === 0 ? "any" : parts.join(" ");
}

/** In one line and one word: what a log or a terminal could misread is escaped. */
function shown(text: string): string {
  const cut = text.length > valueCharsMax ? `${text.slice(0, valueCharsMax - 1)}…` : text;
  return cut.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Zs}\p{Cs}]/gu,
    (character) => `\\u${character.codePointAt(0)?.toString(16).padStart(4, "0")}`,
  );
}
