/** Making and changing elements. What comes from outside only ever becomes text. */

/** The element of the page with this id, which must be of this kind: both are ours. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** A new element with attributes and children; strings among these are text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Sets the text of an element; one that says so already is left alone, so that nothing is laid out anew. */
export function setText(of: HTMLElement, text: string): void {
  if (of.textContent !== text) of.textContent = text;
}

/** Sets an attribute likewise. */
export function setAttribute(of: HTMLElement, name: string, value: string): void {
  if (of.getAttribute(name) !== value) of.setAttribute(name, value);
}
