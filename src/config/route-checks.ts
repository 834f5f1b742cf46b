/** What no key of a route can check alone: values that depend on its key, routes that can never decide. */
import { parseCondition, type RouteSettings } from "../routing/route.ts";
import type { ConditionKey } from "../routing/condition.ts";
import { impossibleRoutes, shadowedRoutes } from "../routing/shadow.ts";
import type { Draft, Findings } from "./check.ts";
import { found } from "./found.ts";
import type { Config } from "./schema.ts";

/** The conditions, as the program and as the file calls them. */
const conditions = [
  ["pathPrefix", "path_prefix"],
  ["host", "host"],
  ["sni", "sni"],
  ["alpn", "alpn"],
  ["prefix", "prefix"],
] as const satisfies readonly (readonly [keyof RouteSettings, ConditionKey])[];

/** Adds the problems and warnings of all routes. A value that was invalid is missing in `draft`, and asks nothing. */
export function checkRoutes(draft: Draft<Config>, { problems, warnings }: Findings): void {
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    let complete = true;
    const routes = (listener?.routes ?? []).map((route): RouteSettings => {
      const values = conditions.map(([key]) => route?.[key]);
      complete &&= !values.includes(undefined);
      const [pathPrefix = "", host = "", sni = "", alpn = "", prefix = ""] = values;
      return { pathPrefix, host, sni, alpn, prefix };
    });
    const before = problems.length;
    for (const [position, route] of routes.entries()) {
      for (const [key, tomlKey] of conditions) {
        const text = route[key];
        const parsed = text === "" ? undefined : parseCondition(tomlKey, text);
        if (parsed === undefined || parsed.ok) continue;
        const message = found(parsed.wanted)({ input: text });
        problems.push({ path: ["listener", index, "route", position, tomlKey], at: "value", message });
      }
    }
    // What a route asks that does not read is not known.
    if (!complete || problems.length > before) continue;
    const surroundings = { terminatesTls: listener?.tls !== undefined };
    for (const { index: position, by } of shadowedRoutes(routes, surroundings)) {
      const message = `this route never decides: route.${by}, which comes first, takes all that it would`;
      warnings.push({ path: ["listener", index, "route", position], at: "key", message });
    }
    for (const { index: position, why } of impossibleRoutes(routes, surroundings)) {
      warnings.push({
        path: ["listener", index, "route", position],
        at: "key",
        message: `this route never decides: ${why}`,
      });
    }
  }
}
