/** Backends and their endpoints, and the buttons that take an endpoint out and bring it back. */
import { sayAnswer } from "./dialogs.ts";
import { byId, element, setAttribute, setText } from "./dom.ts";
import { count } from "./format.ts";
import { ask } from "./server.ts";
import type { BackendShown, EndpointShown } from "./shown.ts";
import { badgeColumn, buttonColumn, type Column, figureColumn, Table, type Tone } from "./table.ts";

/** Endpoints shown of a backend; of more it is said how many there are. */
const endpointsMax = 500;

/** The backends of a status, each with a table of its own. */
export class Backends {
  readonly #root = byId("backends", HTMLDivElement);
  readonly #shown = new Map<string, BackendCard>();

  show(backends: readonly BackendShown[]): void {
    const gone = new Set(this.#shown.keys());
    for (const backend of backends) {
      gone.delete(backend.name);
      let card = this.#shown.get(backend.name);
      if (card === undefined) {
        this.#shown.set(backend.name, (card = new BackendCard(backend.name)));
        this.#root.append(card.root);
      }
      card.show(backend);
    }
    for (const name of gone) {
      this.#shown.get(name)!.root.remove();
      this.#shown.delete(name);
    }
  }
}

class BackendCard {
  readonly root: HTMLElement;
  readonly #badge = element("span", { class: "badge" });
  readonly #sums = element("span", { class: "note" });
  readonly #table: Table<EndpointShown>;

  constructor(name: string) {
    this.#table = new Table(`Endpoints of ${name}`, columns(name), ({ address }) => address, "no endpoint");
    const head = element("div", { class: "bar" }, element("h3", {}, name), this.#badge, this.#sums);
    this.root = element("section", { class: "sheet", "aria-label": `Backend ${name}` }, head, this.#table.root);
  }

  show({ available, endpoints }: BackendShown): void {
    setText(this.#badge, available ? "available" : "unavailable");
    setAttribute(this.#badge, "class", `badge ${available ? "good" : "bad"}`);
    const serving = endpoints.filter((endpoint) => isServing(endpoint)).length;
    const active = endpoints.reduce((sum, { connections_active }) => sum + connections_active, 0);
    const left = endpoints.length - endpointsMax;
    const more = left > 0 ? `, ${count(left)} of them not shown` : "";
    setText(this.#sums, `${count(serving)} of ${count(endpoints.length)} in rotation${more} · ${count(active)} open`);
    this.#table.show(endpoints.slice(0, endpointsMax));
  }
}

/** Whether it may get clients. */
function isServing({ health, ejected, state, weight }: EndpointShown): boolean {
  return health !== "down" && !ejected && state === "ready" && weight > 0;
}

function columns(backend: string): readonly Column<EndpointShown>[] {
  return [
    { title: "Endpoint", kind: "text", fill: fillName },
    badgeColumn("Health", healthOf),
    badgeColumn("Operator", ({ state }) => ({ text: state, tone: state === "ready" ? "plain" : "warn" })),
    figureColumn("Open", ({ connections_active }) => count(connections_active)),
    figureColumn("Total", ({ connections_total }) => count(connections_total)),
    figureColumn("Weight", ({ weight }) => count(weight)),
    figureColumn("Failures", ({ connect_failures_total }) => count(connect_failures_total)),
    figureColumn("Ejections", ({ ejections_total }) => count(ejections_total)),
    buttonColumn("Drain or bring back", (endpoint) => changeButton(backend, endpoint)),
  ];
}

/** Where it is dialled; below, the name it is configured by, when that is another one, and whether it is a backup. */
function fillName(cell: HTMLTableCellElement, { address, configured, backup }: EndpointShown): void {
  const name = cell.querySelector("span") ?? cell.appendChild(element("span", { class: "name" }));
  setText(name, address);
  const more = [configured === address ? "" : configured, backup ? "backup" : ""].filter((text) => text !== "");
  const note = cell.querySelector("small") ?? cell.appendChild(element("small", { class: "note" }));
  setText(note, more.join(" · "));
}

function healthOf({ health, ejected }: EndpointShown): { text: string; tone: Tone } {
  if (health === "down") return { text: "down", tone: "bad" };
  if (ejected) return { text: "ejected", tone: "bad" };
  return health === "up" ? { text: "up", tone: "good" } : { text: "not checked", tone: "plain" };
}

function changeButton(backend: string, { address, state }: EndpointShown) {
  const drains = state === "ready";
  return {
    text: drains ? "Drain" : "Bring back",
    label: `${drains ? "Drain" : "Bring back"} ${address} of ${backend}`,
    press: async () => {
      const path = `backends/${encodeURIComponent(backend)}/endpoints/${encodeURIComponent(address)}`;
      const answer = await ask(path, "PUT", { state: drains ? "drain" : "ready" });
      const done = drains
        ? `${address} of ${backend} gets no new connections; those it has go on`
        : `${address} of ${backend} may get connections again`;
      sayAnswer(answer, done, `${address} of ${backend} was not changed`);
    },
  };
}
