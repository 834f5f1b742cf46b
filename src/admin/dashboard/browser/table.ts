/** Tables that are brought up to date in place, so that focus and selection stay where they are. On a phone rows are cards. */
import { element, setAttribute, setText } from "./dom.ts";

/** A column: what a cell of it shows of an item. */
export interface Column<T> {
  readonly title: string;
  /** Figures are aligned to the right; an action has no title on a card. */
  readonly kind: "text" | "badges" | "figure" | "action";
  /** Fills a cell, which may have been filled before. */
  fill(cell: HTMLTableCellElement, item: T): void;
}

/** A table of items that come and go. */
export class Table<T> {
  readonly root: HTMLTableElement;
  readonly #body = element("tbody", { role: "rowgroup" });
  readonly #columns: readonly Column<T>[];
  readonly #keyOf: (item: T) => string;
  readonly #rows = new Map<string, HTMLTableRowElement>();
  readonly #empty: HTMLTableRowElement;

  /** `keyOf` tells items apart; `empty` is said where there are none. */
  constructor(label: string, columns: readonly Column<T>[], keyOf: (item: T) => string, empty: string) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    const titles = columns.map(({ title, kind }) => {
      const shown = kind === "action" ? element("span", { class: "unseen" }, title) : title;
      return element("th", { scope: "col", role: "columnheader", class: kind }, shown);
    });
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...titles));
    // As cards they are no table to the browser any more; the roles keep them one.
    this.root = element("table", { role: "table", "aria-label": label }, head, this.#body);
    const cell = element("td", { role: "cell", colspan: String(columns.length), class: "empty" }, empty);
    this.#empty = element("tr", { role: "row" }, cell);
  }

  /** Shows these, in this order. */
  show(items: readonly T[]): void {
    const gone = new Set(this.#rows.keys());
    let at = this.#body.firstChild;
    for (const item of items) {
      const key = this.#keyOf(item);
      gone.delete(key);
      let row = this.#rows.get(key);
      if (row === undefined) this.#rows.set(key, (row = this.#newRow()));
      for (const [index, column] of this.#columns.entries()) column.fill(row.cells[index]!, item);
      // A row that stands where it should is not touched: moving it would take the focus away.
      if (row === at) at = at.nextSibling;
      else this.#body.insertBefore(row, at);
    }
    for (const key of gone) {
      this.#rows.get(key)!.remove();
      this.#rows.delete(key);
    }
    if (items.length > 0) this.#empty.remove();
    else if (this.#empty.parentNode === null) this.#body.append(this.#empty);
  }

  #newRow(): HTMLTableRowElement {
    const cells = this.#columns.map(({ title, kind }) =>
      element("td", { role: "cell", class: kind, ...(kind === "action" ? {} : { "data-title": title }) }),
    );
    return element("tr", { role: "row" }, ...cells);
  }
}

/** A column of plain text. */
export function textColumn<T>(title: string, text: (item: T) => string): Column<T> {
  return { title, kind: "text", fill: (cell, item) => setText(cell, text(item)) };
}

/** A column of figures. */
export function figureColumn<T>(title: string, text: (item: T) => string): Column<T> {
  return { title, kind: "figure", fill: (cell, item) => setText(cell, text(item)) };
}

/** A column of words in colours. The word says it all: the colour is for the quick look. */
export function badgeColumn<T>(title: string, badge: (item: T) => { text: string; tone: Tone }): Column<T> {
  return {
    title,
    kind: "badges",
    fill: (cell, item) => {
      const { text, tone } = badge(item);
      const shown = cell.querySelector("span") ?? cell.appendChild(element("span"));
      setAttribute(shown, "class", `badge ${tone}`);
      setText(shown, text);
    },
  };
}

/** How a badge looks. */
export type Tone = "good" | "bad" | "warn" | "plain";

/** A column with a button; `label` is what a screen reader says of it. `undefined`: there is none. */
export function buttonColumn<T>(
  title: string,
  button: (item: T) => { text: string; label: string; press: () => void } | undefined,
): Column<T> {
  return {
    title,
    kind: "action",
    fill: (cell, item) => {
      const wanted = button(item);
      if (wanted === undefined) return cell.replaceChildren();
      const shown =
        cell.querySelector("button") ?? cell.appendChild(element("button", { type: "button", class: "small" }));
      setText(shown, wanted.text);
      setAttribute(shown, "aria-label", wanted.label);
      shown.onclick = wanted.press;
    },
  };
}
