/** Routes in tests: settings with what is asked only, and a router whose targets are their places. */
import type { ClientHello } from "../../src/protocol/client-hello.ts";
import type { RouteSettings } from "../../src/routing/route.ts";
import { Router } from "../../src/routing/router.ts";

/** A route's settings; what is left out asks nothing. */
export function settings(asked: Partial<RouteSettings>): RouteSettings {
  return { pathPrefix: "", host: "", sni: "", alpn: "", prefix: "", ...asked };
}

/** A router for these routes. */
export function routerOf(routes: readonly Partial<RouteSettings>[]): Router<number> {
  return new Router(routes.map((asked, index) => ({ settings: settings(asked), target: index })));
}

/** Where an opening goes: the index of a route, "none" or "more". */
export type Way = number | "none" | "more";

/** The way of the bytes so far; text is UTF-8. */
export function wayOf(
  router: Router<number>,
  bytes: Uint8Array | string,
  { final = false, hello }: { final?: boolean; hello?: ClientHello } = {},
): Way {
  const verdict = router.decide({ bytes: typeof bytes === "string" ? Buffer.from(bytes) : bytes, final, hello });
  return verdict.kind === "route" ? verdict.route.target : verdict.kind;
}
