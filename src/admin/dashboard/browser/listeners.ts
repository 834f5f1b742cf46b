/** The listeners of a status. */
import { byId } from "./dom.ts";
import { bytes, count } from "./format.ts";
import type { ListenerShown } from "./shown.ts";
import { badgeColumn, figureColumn, Table, textColumn } from "./table.ts";

/** The table of listeners. */
export class Listeners {
  readonly #table = new Table<ListenerShown>(
    "Listeners",
    [
      textColumn("Listener", ({ name }) => name),
      textColumn("Address", ({ address }) => address),
      textColumn("Backend", backendsOf),
      badgeColumn("State", ({ paused, removed }) =>
        removed
          ? { text: "removed", tone: "warn" }
          : paused
            ? { text: "at its limit", tone: "warn" }
            : { text: "accepting", tone: "good" },
      ),
      figureColumn("Open", ({ connections_active }) => count(connections_active)),
      figureColumn("Total", ({ connections_total }) => count(connections_total)),
      figureColumn("To backend", ({ bytes_to_backend }) => bytes(bytes_to_backend)),
      figureColumn("To client", ({ bytes_to_client }) => bytes(bytes_to_client)),
    ],
    // One that was removed may still drain beside its successor.
    ({ name, address, removed }) => `${name}\n${address}\n${removed}`,
    "no listener yet",
  );

  constructor() {
    byId("listeners", HTMLDivElement).append(this.#table.root);
  }

  show(listeners: readonly ListenerShown[]): void {
    this.#table.show(listeners);
  }
}

/** Its own backend, and those of its routes. */
function backendsOf({ backend, routes }: ListenerShown): string {
  const own = backend ?? "none";
  if (routes.length === 0) return own;
  return `${own} · ${count(routes.length)} ${routes.length === 1 ? "route" : "routes"}`;
}
