/** What is asked before something is done that can't be undone, and what came of things. */
import { byId, element, setText } from "./dom.ts";
import type { Answer } from "./server.ts";

/** How long a short message is shown. */
const saidMs = 8_000;
let saidTimer: ReturnType<typeof setTimeout> | undefined;

/** Says in a line what was done, or why it was not. */
export function say(text: string, tone: "plain" | "bad" = "plain"): void {
  const said = byId("said", HTMLParagraphElement);
  setText(said, text);
  said.classList.toggle("bad", tone === "bad");
  said.hidden = false;
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => (said.hidden = true), saidMs);
}

/** Says what came of a request. */
export function sayAnswer(answer: Answer, done: string, failed: string): void {
  if (answer.ok) say(done);
  else say(`${failed}: ${answer.why}`, "bad");
}

/** Asks; resolves with whether it is to be done. Escape and anything but the button mean no. */
export function confirmed(title: string, text: string, yes: string): Promise<boolean> {
  const dialog = byId("ask", HTMLDialogElement);
  setText(byId("ask-title", HTMLHeadingElement), title);
  setText(byId("ask-text", HTMLParagraphElement), text);
  const button = byId("ask-yes", HTMLButtonElement);
  setText(button, yes);
  return new Promise((resolve) => {
    dialog.returnValue = "";
    button.onclick = () => dialog.close("yes");
    byId("ask-no", HTMLButtonElement).onclick = () => dialog.close("no");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
    byId("ask-no", HTMLButtonElement).focus();
  });
}

/** A paragraph, and perhaps lines below it. */
export interface Part {
  readonly text: string;
  readonly lines?: readonly string[];
}

/** Shows what came of something at length. */
export function showOutcome(title: string, parts: readonly Part[]): void {
  const dialog = byId("outcome", HTMLDialogElement);
  setText(byId("outcome-title", HTMLHeadingElement), title);
  const shown = parts.flatMap(({ text, lines = [] }) => {
    const items = lines.map((line) => element("li", {}, element("code", {}, line)));
    return items.length === 0 ? [element("p", {}, text)] : [element("p", {}, text), element("ul", {}, ...items)];
  });
  byId("outcome-text", HTMLDivElement).replaceChildren(...shown);
  byId("outcome-close", HTMLButtonElement).onclick = () => dialog.close();
  if (!dialog.open) dialog.showModal();
}
