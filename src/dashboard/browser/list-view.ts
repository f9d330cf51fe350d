/** The list of all apps: only rows that can be seen are in the page where there are many. */

import type { AppSummary } from "../../admin/views.ts";
import type { BrowserClock } from "./browser-clock.ts";
import { h, setAttribute, setChildren, setText } from "./dom.ts";
import { createListRow, type ListRow } from "./list-row.ts";
import { idOf, type Model } from "./model.ts";
import type { Orders } from "./orders.ts";
import { type ListWish, type SortName, WISH_ALL, wantedApps } from "./rows.ts";
import { numberText } from "./words.ts";

/** The list. */
export interface ListView {
  readonly element: HTMLElement;
  wish(): ListWish;
  setWish(change: Partial<ListWish>): void;
  /** Brings everything up to date. */
  draw(): void;
  tick(): void;
  /** Focuses the row of an app, if it is shown. */
  focusApp(key: string): void;
}

/** What the list is made of. */
export interface ListViewDeps {
  readonly model: Model;
  readonly orders: Orders;
  readonly clock: BrowserClock;
  readonly onWish: (wish: ListWish) => void;
}

/** Up to so many, all rows are in the page: the browser's own search finds them. */
const WHOLE_MAX = 150;
/** Rows beyond each edge of the window. */
const MARGIN = 8;

const COLUMNS: readonly (readonly [title: string, sort: SortName | null])[] = [
  ["State", "phase"],
  ["App", "key"],
  ["Why", null],
  ["Sleeps in", "sleepsAt"],
  ["Last wake", null],
  ["Last 24 h", null],
  ["Orders", null],
];

interface Context extends ListViewDeps {
  readonly body: HTMLElement;
  readonly table: HTMLElement;
  readonly empty: HTMLElement;
  readonly rows: Map<string, ListRow>;
  /** What a row shows, by its id. */
  readonly shown: Map<string, AppSummary>;
  wish: ListWish;
  wanted: readonly AppSummary[];
  /** The order is to be made anew, whatever somebody points at. */
  isOrderDue: boolean;
  rowHeight: number;
}

/** Shows nothing yet. */
export function createListView(deps: ListViewDeps): ListView {
  const body = h("div", { role: "rowgroup", class: "rows" });
  const table = h("div", { role: "table", class: "list", "aria-label": "Apps" });
  const empty = h("p", { class: "empty", role: "status" });
  const context: Context = {
    ...deps,
    body,
    table,
    empty,
    rows: new Map(),
    shown: new Map(),
    wish: WISH_ALL,
    wanted: [],
    isOrderDue: true,
    rowHeight: 0,
  };
  const setWish = (change: Partial<ListWish>) => {
    context.wish = { ...context.wish, ...change };
    context.isOrderDue = true;
    deps.onWish(context.wish);
    draw(context);
  };
  const heads = COLUMNS.map(([title, sort]) =>
    headOf(title, sort, () => sort !== null && setWish({ sort })),
  );
  table.append(
    h(
      "div",
      { role: "rowgroup", class: "head" },
      h("div", { role: "row", class: "row" }, ...heads),
    ),
    body,
  );
  const element = h("div", { class: "list-room" }, table, empty);
  addEventListener("scroll", () => drawWindow(context), { passive: true });
  addEventListener("resize", () => {
    context.rowHeight = 0;
    drawWindow(context);
  });
  body.addEventListener("keydown", (event) => onKey(context, event));
  return {
    element,
    setWish,
    wish: () => context.wish,
    draw() {
      for (const [index, [, sort]] of COLUMNS.entries()) {
        const isSorted = sort === context.wish.sort;
        if (sort !== null)
          setAttribute(heads[index] ?? body, "aria-sort", isSorted ? "ascending" : "none");
      }
      draw(context);
    },
    tick() {
      const nowMs = deps.clock.now();
      for (const row of context.rows.values()) row.tick(nowMs);
    },
    focusApp: (key) => focusApp(context, key),
  };
}

function headOf(title: string, sort: SortName | null, onClick: () => void): HTMLElement {
  if (sort === null) {
    // Buttons say themselves what they are.
    const words = title === "Orders" ? h("span", { class: "unseen" }, title) : title;
    return h("div", { role: "columnheader" }, words);
  }
  const button = h("button", { type: "button", class: "bare", onclick: onClick }, title);
  return h("div", { role: "columnheader", "aria-sort": "none" }, button);
}

function draw(context: Context): void {
  const { empty, model, table } = context;
  context.wanted = wantedNow(context);
  const { length } = context.wanted;
  setAttribute(table, "aria-rowcount", length + 1);
  setAttribute(table, "hidden", length === 0);
  setText(empty, length > 0 ? "" : emptyText(context));
  setAttribute(empty, "hidden", length > 0);
  setAttribute(table, "data-count", numberText(length));
  if (model.connection().kind === "connecting" && model.apps.size === 0) setText(empty, "Loading…");
  drawWindow(context);
}

function emptyText({ model, wish }: Context): string {
  if (model.apps.size === 0)
    return "There is no app yet: what Paastis finds appears here by itself.";
  const searched = wish.search.trim() === "" ? "" : ` “${wish.search.trim()}”`;
  return `No app fits${searched}. Escape in the search field shows all.`;
}

/** Nothing moves away under somebody's pointer or focus: rows keep their places until it has left. */
function wantedNow(context: Context): readonly AppSummary[] {
  const { body, isOrderDue, model, wanted, wish } = context;
  const fresh = wantedApps(model.apps.values(), wish);
  const isHeld = !isOrderDue && wish.sort !== "key" && body.matches(":hover, :focus-within");
  context.isOrderDue = false;
  if (!isHeld) return fresh;
  const byId = new Map(fresh.map((app) => [idOf(app), app]));
  const kept = wanted.flatMap((app) => {
    const now = byId.get(idOf(app));
    byId.delete(idOf(app));
    return now ?? [];
  });
  return [...kept, ...byId.values()];
}

function drawWindow(context: Context): void {
  const { body, wanted } = context;
  if (!body.isConnected || body.offsetParent === null) return;
  const [from, to] = windowOf(context);
  const needed = new Map(wanted.slice(from, to).map((app, step) => [idOf(app), from + step]));
  const aside = focusedElsewhere(context, needed);
  if (aside !== null) needed.set(aside.id, aside.index);
  const indices = [...needed].toSorted(([, a], [, b]) => a - b);
  const spare = spareRows(context, needed);
  const elements = indices.map(([id, index]) => {
    const { element } = rowFor(context, { id, index, spare });
    element.classList.toggle("aside", id === aside?.id);
    return element;
  });
  placeRows(body, elements);
}

/** Rows of apps that are not shown any more: others can have them, which is cheaper than to make new ones. */
function spareRows(context: Context, needed: ReadonlyMap<string, number>): ListRow[] {
  const { rows, shown } = context;
  const spare: ListRow[] = [];
  for (const [id, row] of rows) {
    if (needed.has(id)) continue;
    rows.delete(id);
    shown.delete(id);
    if (!row.element.contains(document.activeElement)) spare.push(row);
  }
  return spare;
}

function rowFor(
  { clock, orders, rows, shown, wanted }: Context,
  { id, index, spare }: { readonly id: string; readonly index: number; readonly spare: ListRow[] },
): ListRow {
  const row = rows.get(id) ?? spare.pop() ?? createListRow(orders);
  rows.set(id, row);
  const app = wanted[index];
  if (app !== undefined && shown.get(id) !== app) {
    row.show(app, clock.now());
    shown.set(id, app);
  }
  // The first row has the titles.
  row.place(index + 2);
  return row;
}

function placeRows(body: HTMLElement, elements: readonly HTMLElement[]): void {
  const focused = document.activeElement;
  const focusedRow = [...body.children].findIndex((row) => row.contains(focused));
  setChildren(body, elements);
  if (focusedRow === -1 || focused === document.activeElement) return;
  // An element that is moved loses the focus; of one that is gone, the next row takes it.
  const name = elements[Math.min(focusedRow, elements.length - 1)]?.querySelector(".name");
  const next = focused?.isConnected === true ? focused : name;
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}

/** The rows from `from` to before `to` are needed; the others' room is left empty. */
function windowOf(context: Context): readonly [from: number, to: number] {
  const { body, model, wanted } = context;
  const { length } = wanted;
  if (model.apps.size <= WHOLE_MAX) {
    body.style.height = "";
    body.style.paddingTop = "";
    return [0, length];
  }
  if (context.rowHeight === 0) {
    context.rowHeight =
      Number.parseFloat(getComputedStyle(body).getPropertyValue("--row-px")) || 56;
  }
  const { rowHeight } = context;
  const top = -body.getBoundingClientRect().top;
  const first = Math.floor(top / rowHeight) - MARGIN;
  const from = Math.max(0, Math.min(first, length - 1));
  const to = Math.min(length, Math.ceil((top + innerHeight) / rowHeight) + MARGIN);
  body.style.height = `${length * rowHeight}px`;
  body.style.paddingTop = `${from * rowHeight}px`;
  return [from, Math.max(from, to)];
}

/** A row that has the focus stays, wherever the window has gone; `null`: it is among those that are needed anyway. */
function focusedElsewhere(
  { body, rows, wanted }: Context,
  needed: ReadonlyMap<string, number>,
): { readonly id: string; readonly index: number } | null {
  if (!body.contains(document.activeElement)) return null;
  const id = [...rows].find(([, { element }]) => element.contains(document.activeElement))?.[0];
  if (id === undefined || needed.has(id)) return null;
  const index = wanted.findIndex((app) => idOf(app) === id);
  return index === -1 ? null : { id, index };
}

function onKey(context: Context, event: KeyboardEvent): void {
  const { wanted } = context;
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const row = (event.target as Element).closest(".row");
  const key = row?.querySelector(".name")?.textContent;
  const at = wanted.findIndex((app) => app.key === key);
  const page = Math.max(1, Math.floor(innerHeight / (context.rowHeight || 56)) - 3);
  const to = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + page,
    PageUp: at - page,
    Home: 0,
    End: wanted.length - 1,
  }[event.key];
  if (to === undefined || at === -1) return;
  event.preventDefault();
  const app = wanted[Math.max(0, Math.min(to, wanted.length - 1))];
  if (app !== undefined) focusApp(context, app.key);
}

function focusApp(context: Context, key: string): void {
  const { body, model, rows, rowHeight, wanted } = context;
  const isWhole = model.apps.size <= WHOLE_MAX;
  const index = wanted.findIndex((app) => app.key === key);
  const app = wanted[index];
  if (app === undefined) return;
  if (!isWhole) {
    const top = body.getBoundingClientRect().top + index * rowHeight;
    const isSeen = top > 0 && top + rowHeight < innerHeight;
    if (!isSeen) scrollBy({ top: top - innerHeight / 2, behavior: "instant" });
    drawWindow(context);
  }
  const name = rows.get(idOf(app))?.element.querySelector<HTMLElement>(".name");
  name?.focus({ preventScroll: !isWhole });
  // Which row is kept for the focus has changed.
  drawWindow(context);
}
