/** The button that has the configuration read again, and what it says. */
import { type Part, showOutcome } from "./dialogs.ts";
import { byId } from "./dom.ts";
import { ask } from "./server.ts";

/** Makes the button work. */
export function wireReload(): void {
  const button = byId("reload", HTMLButtonElement);
  button.onclick = async () => {
    button.disabled = true;
    const answer = await ask("reload", "POST");
    button.disabled = false;
    const { title, parts } = described(answer.body, answer.ok ? undefined : answer.why);
    showOutcome(title, parts);
  };
}

function described(body: unknown, why: string | undefined): { title: string; parts: readonly Part[] } {
  const problems = linesOf(body, "problems");
  if (problems.length > 0) {
    return { title: "Nothing was changed", parts: [{ text: "The configuration is not valid:", lines: problems }] };
  }
  if (why !== undefined) return { title: "Nothing was changed", parts: [{ text: `${why}.` }] };
  const changes = linesOf(body, "changes");
  const needRestart = linesOf(body, "need_restart");
  const warnings = linesOf(body, "warnings");
  const parts: Part[] = [];
  if (changes.length > 0) parts.push({ text: "This holds from now on:", lines: changes });
  if (needRestart.length > 0) parts.push({ text: "This holds only after a restart:", lines: needRestart });
  if (warnings.length > 0) parts.push({ text: "Worth a look:", lines: warnings });
  if (changes.length + needRestart.length === 0) parts.unshift({ text: "The configuration is what it was." });
  return { title: changes.length > 0 ? "Reloaded" : "Nothing has changed", parts };
}

/** A list of lines in an answer; none where there is no such thing. */
function linesOf(body: unknown, key: string): string[] {
  if (typeof body !== "object" || body === null) return [];
  const list = (body as Record<string, unknown>)[key];
  return Array.isArray(list) ? list.map(String) : [];
}
