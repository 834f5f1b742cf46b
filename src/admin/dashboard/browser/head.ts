/** The head of the page: the state of the program, its drain, and whether what is shown is still true. */
import { confirmed, sayAnswer } from "./dialogs.ts";
import { byId, setAttribute, setText } from "./dom.ts";
import { count, duration } from "./format.ts";
import { ask } from "./server.ts";
import type { StatusShown } from "./shown.ts";
import type { Tone } from "./table.ts";

/** What the head says. */
export class Head {
  readonly #state = byId("state", HTMLSpanElement);
  readonly #drain = byId("drain", HTMLSpanElement);
  readonly #lost = byId("lost", HTMLParagraphElement);
  #lastMs: number | undefined = undefined;
  #draining = false;
  #ticker: ReturnType<typeof setInterval> | undefined = undefined;
  #active = 0;

  constructor() {
    byId("shutdown", HTMLButtonElement).onclick = () => void this.#shutDown();
  }

  show(status: StatusShown): void {
    this.#lastMs = Date.now();
    this.#active = status.connections_active;
    this.#draining = status.state === "draining";
    this.#found();
    const { text, tone } = stateOf(status);
    setText(this.#state, text);
    setAttribute(this.#state, "class", `badge ${tone}`);
    setText(this.#drain, drainOf(status));
    this.#drain.hidden = !this.#draining;
    setText(byId("open", HTMLElement), `${count(status.connections_active)} of ${count(status.limits.connections)}`);
    setText(byId("uptime", HTMLElement), duration(status.uptime_ms));
    setText(byId("version", HTMLElement), status.version);
    byId("facts", HTMLElement).hidden = false;
    byId("actions", HTMLElement).hidden = false;
    byId("shutdown", HTMLButtonElement).disabled = this.#draining;
    document.title = `${text} · ${count(status.connections_active)} open · sluice`;
  }

  /** The stream is gone; from now on it says how old everything is. */
  lost(why: string | undefined): void {
    clearInterval(this.#ticker);
    const what = this.#draining ? "Connection lost while it drained: it has probably ended." : "Connection lost.";
    setText(
      byId("lost-what", HTMLElement),
      `${why === undefined ? what : `The admin server says: ${why}.`} Trying again …`,
    );
    this.#showAge();
    this.#ticker = setInterval(() => this.#showAge(), 1_000);
    this.#lost.hidden = false;
    document.body.classList.add("stale");
    document.title = "connection lost · sluice";
    setText(this.#state, "unknown");
    setAttribute(this.#state, "class", "badge plain");
    this.#drain.hidden = true;
  }

  /** Apart from the rest, so that no screen reader says it every second. */
  #showAge(): void {
    const age = this.#lastMs === undefined ? "" : `What you see is ${duration(Date.now() - this.#lastMs)} old.`;
    setText(byId("lost-age", HTMLElement), age);
  }

  #found(): void {
    clearInterval(this.#ticker);
    this.#lost.hidden = true;
    document.body.classList.remove("stale");
  }

  async #shutDown(): Promise<void> {
    const open = this.#active === 1 ? "1 connection is" : `${count(this.#active)} connections are`;
    const what = `It stops accepting, waits for what is open (${open}) as long as shutdown.drain says, and ends.`;
    if (!(await confirmed("Shut sluice down?", what, "Shut down"))) return;
    sayAnswer(await ask("shutdown", "POST"), "the shutdown has begun", "it was not shut down");
  }
}

function stateOf({ state, ready }: StatusShown): { text: string; tone: Tone } {
  switch (state) {
    case "starting":
      return { text: "starting", tone: "warn" };
    case "draining":
      return { text: "draining", tone: "warn" };
    case "ready":
      return ready ? { text: "ready", tone: "good" } : { text: "not ready: a backend is unavailable", tone: "bad" };
  }
}

/** How many are left, and for how long. */
function drainOf({ shutdown, connections_active: active }: StatusShown): string {
  if (shutdown === null) return "";
  const left = active === 1 ? "1 connection left" : `${count(active)} connections left`;
  if (shutdown.remaining_ms === null) return `${left}, no deadline`;
  return `${left}, cut in ${duration(Math.ceil(shutdown.remaining_ms / 1_000) * 1_000)}`;
}
