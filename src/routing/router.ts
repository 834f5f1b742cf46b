/** The router of a listener: which route an opening takes. The first that fits decides, once per connection. */
import type { ClientHello } from "../protocol/client-hello.ts";
import { asksForTls } from "./condition.ts";
import { Reading } from "./reading.ts";
import { Route, type RouteSettings } from "./route.ts";

/** What is known of an opening. */
export interface Clues {
  /** The opening so far: the application's bytes, without a PROXY header and outside of TLS that ends here. */
  readonly bytes: Uint8Array;
  /** Whether nothing more will come, because of a timeout, a FIN or a bound: what is unknown by then does not fit. */
  readonly final: boolean;
  /** The ClientHello of a TLS session that ends here; then the bytes are not looked at for one. */
  readonly hello: ClientHello | undefined;
}

/** What an opening's clues lead to. `sni` is the server name, if it is known and any route asks for `sni` or `alpn`. */
export type Verdict<Target> =
  /** The connection takes this route. */
  | { readonly kind: "route"; readonly route: Route<Target>; readonly sni: string | undefined }
  /** Further bytes are needed. */
  | { readonly kind: "more" }
  /** No route fits, and none will. */
  | { readonly kind: "none"; readonly sni: string | undefined };

const more = { kind: "more" } as const;

/** Keeps no state of a connection: with more bytes it is asked again, with all of them. A decision does not change by bytes that follow. */
export class Router<Target> {
  /** With this many bytes of an opening there is a decision, because the parsers have bounds; what follows changes nothing. */
  readonly peekBytesMax: number;
  /** In their order. */
  readonly routes: readonly Route<Target>[];
  readonly #asksForTls: boolean;

  /** The settings have been checked with `parseCondition`. */
  constructor(routes: readonly { readonly settings: RouteSettings; readonly target: Target }[]) {
    this.routes = routes.map(({ settings, target }, index) => new Route(index, settings, target));
    const conditions = this.routes.flatMap((route) => route.conditions);
    this.peekBytesMax = Math.max(0, ...conditions.map((condition) => condition.peekBytesMax));
    this.#asksForTls = conditions.some(asksForTls);
  }

  /** The first route that fits, as soon as no earlier one can fit any more. */
  decide(clues: Clues): Verdict<Target> {
    const reading = new Reading(clues.bytes, clues.hello);
    for (const route of this.routes) {
      const judgement = route.judge(reading);
      if (judgement === "yes") return { kind: "route", route, sni: this.#serverName(reading) };
      if (judgement === "unknown" && !clues.final) return more;
    }
    return { kind: "none", sni: this.#serverName(reading) };
  }

  #serverName(reading: Reading): string | undefined {
    if (!this.#asksForTls) return undefined;
    const hello = reading.hello();
    return hello.kind === "done" ? hello.value.serverName : undefined;
  }
}
