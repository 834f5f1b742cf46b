/** Open connections: listed as long as somebody can see them, searched, closed. */
import { confirmed, sayAnswer } from "./dialogs.ts";
import { byId, element, setText } from "./dom.ts";
import { bytes, count, duration } from "./format.ts";
import { ask } from "./server.ts";
import type { ConnectionShown, ConnectionsShown } from "./shown.ts";
import { buttonColumn, figureColumn, Table, textColumn } from "./table.ts";

/** Connections shown at once, the oldest; a search finds the others. On a phone each of them is a card. */
const shownMax = 100;
const cardsMax = 25;
const narrow = matchMedia("(max-width: 720px)");
/** How often they are asked for. The server goes through all of them each time. */
const everyMs = 2_000;
/** After the last key of a search. */
const typingMs = 200;
/** As the server has it. */
const searchCharsMax = 200;

/** The table of connections. It asks for them itself, since nobody wants thousands of them every second. */
export class Connections {
  readonly #search = byId("search", HTMLInputElement);
  readonly #count = byId("connections-count", HTMLSpanElement);
  readonly #table: Table<ConnectionShown>;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #inSight = false;
  #running = false;
  #asked = 0;

  constructor() {
    this.#table = new Table<ConnectionShown>(
      "Open connections",
      [
        figureColumn("Id", ({ id }) => String(id)),
        textColumn("Client", ({ client }) => client),
        textColumn("Listener", ({ listener }) => listener),
        { title: "Backend", kind: "text", fill: fillBackend },
        textColumn("State", ({ phase, engine }) => (engine === null ? phase : `${phase}, ${engine}`)),
        figureColumn("Age", ({ age_ms }) => duration(age_ms)),
        figureColumn("Idle", ({ idle_ms }) => duration(idle_ms)),
        figureColumn("To backend", ({ bytes_to_backend }) => bytes(bytes_to_backend)),
        figureColumn("To client", ({ bytes_to_client }) => bytes(bytes_to_client)),
        buttonColumn("Close", (connection) => ({
          text: "Close",
          label: `Close connection ${connection.id} of ${connection.client}`,
          press: () => void this.#close(connection),
        })),
      ],
      ({ id }) => String(id),
      "none",
    );
    const root = byId("connections", HTMLDivElement);
    root.append(this.#table.root);
    this.#search.maxLength = searchCharsMax;
    this.#search.addEventListener("input", () => this.#again(typingMs));
    new IntersectionObserver((entries) => {
      this.#inSight = entries.at(-1)!.isIntersecting;
      if (this.#inSight) this.#again(0);
    }).observe(root);
    document.addEventListener("visibilitychange", () => this.#again(0));
  }

  /** Asks again and again from now on, or no more. */
  set running(running: boolean) {
    if (running === this.#running) return;
    this.#running = running;
    this.#again(0);
  }

  #again(afterMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#running || !this.#inSight || document.hidden) return;
    this.#timer = setTimeout(() => void this.#refresh(), afterMs);
  }

  async #refresh(): Promise<void> {
    const asked = ++this.#asked;
    const query = new URLSearchParams({
      limit: String(narrow.matches ? cardsMax : shownMax),
      search: this.#search.value.trim(),
    });
    const answer = await ask(`connections?${query}`, "GET");
    // Somebody has typed on meanwhile: another answer is on its way.
    if (asked !== this.#asked) return;
    if (answer.ok) this.#show(answer.body as ConnectionsShown);
    this.#again(everyMs);
  }

  #show({ total, matching, connections }: ConnectionsShown): void {
    this.#table.show(connections);
    const found =
      this.#search.value.trim() === "" ? `${count(total)} open` : `${count(matching)} of ${count(total)} found`;
    const left = matching > connections.length ? `, the oldest ${count(connections.length)} shown` : "";
    setText(this.#count, `${found}${left}`);
  }

  async #close({ id, client, listener, backend }: ConnectionShown): Promise<void> {
    const what = `Connection ${id} of ${client}, from ${listener} to ${backend ?? "no backend yet"}, is reset.`;
    if (!(await confirmed("Close this connection?", what, "Close connection"))) return;
    sayAnswer(
      await ask(`connections/${id}`, "DELETE"),
      `connection ${id} was closed`,
      `connection ${id} was not closed`,
    );
    this.#again(0);
  }
}

/** The backend and the endpoint; below, by which route and which server name it came there. */
function fillBackend(cell: HTMLTableCellElement, { backend, endpoint, route, sni }: ConnectionShown): void {
  const name = cell.querySelector("span") ?? cell.appendChild(element("span", { class: "name" }));
  setText(name, backend === null ? "–" : endpoint === null ? backend : `${backend} → ${endpoint}`);
  const note = cell.querySelector("small") ?? cell.appendChild(element("small", { class: "note" }));
  setText(note, [sni === null ? "" : `SNI ${sni}`, route ?? ""].filter((text) => text !== "").join(" · "));
}
