/** The dashboard: what comes from the event stream goes to the parts of the page. */
import type { Sample, Samples } from "../wire.ts";
import { Backends } from "./backends.ts";
import { Connections } from "./connections.ts";
import { Curves } from "./curves.ts";
import { byId, setAttribute, setText } from "./dom.ts";
import type { StreamEvent } from "./event-parser.ts";
import { Head } from "./head.ts";
import { Listeners } from "./listeners.ts";
import { follow } from "./live.ts";
import { wireReload } from "./reload.ts";
import type { StatusShown } from "./shown.ts";
import { askForToken } from "./token-form.ts";

const head = new Head();
const curves = new Curves();
const backends = new Backends();
const listeners = new Listeners();
const connections = new Connections();
const shown = byId("shown", HTMLDivElement);

wireReload();
void follow({ received, lost, tokenWanted });

function received({ name, data }: StreamEvent): void {
  switch (name) {
    case "history":
      return curves.load(data as Samples);
    case "sample":
      return curves.add(data as Sample);
    case "status":
      return showStatus(data as StatusShown);
    default:
    // A newer server may say more.
  }
}

function showStatus(status: StatusShown): void {
  if (shown.hidden) shown.hidden = false;
  head.show(status);
  backends.show(status.backends);
  listeners.show(status.listeners);
  connections.running = true;
}

function lost(why: string | undefined): void {
  connections.running = false;
  head.lost(why);
}

async function tokenWanted(): Promise<void> {
  connections.running = false;
  shown.hidden = true;
  byId("lost", HTMLParagraphElement).hidden = true;
  byId("actions", HTMLDivElement).hidden = true;
  const state = byId("state", HTMLSpanElement);
  setText(state, "token wanted");
  setAttribute(state, "class", "badge plain");
  document.title = "sluice";
  await askForToken();
  setText(state, "connecting");
}
