/** Above the list: how many apps there are of each phase, search, filters and order. */

import { h, setAttribute, setChildren, setText } from "./dom.ts";
import type { ListView } from "./list-view.ts";
import type { Model } from "./model.ts";
import { type Counts, countsOf, providersOf, type SortName } from "./rows.ts";
import { stateIcon } from "./state-badge.ts";
import { PHASES, type ShownState, STATE_WORDS } from "./states.ts";
import { countText, numberText } from "./words.ts";

/** What stands above the list. */
export interface Toolbar {
  readonly element: HTMLElement;
  readonly search: HTMLInputElement;
  draw(): void;
}

const SORTS: readonly (readonly [name: SortName, words: string])[] = [
  ["key", "Sort by name"],
  ["phase", "Sort by state"],
  ["lastUsed", "Sort by last use"],
  ["sleepsAt", "Sort by next sleep"],
];

/** The kinds of apps that can be asked for; the rare ones are hidden while there are none. */
const KINDS = ["all", ...PHASES, "paused"] as const;
const ALWAYS: readonly string[] = ["all", "awake", "asleep", "failed"];
type Kind = (typeof KINDS)[number];

/** So long after the last key the number of apps found is read out, ms: not with every letter. */
const SAID_AFTER_MS = 700;

/** @param list what it filters */
export function createToolbar(model: Model, list: ListView): Toolbar {
  const search = createSearch(list);
  const chips = new Map(KINDS.map((kind) => [kind, createChip(kind, list)]));
  const counts = h("div", { class: "counts", role: "group", "aria-label": "Show apps by state" });
  const provider = createSelect("Provider", (value) =>
    list.setWish({ provider: value === "" ? null : value }),
  );
  const sort = createSelect("Order", (value) => {
    const known = SORTS.find(([name]) => name === value);
    if (known !== undefined) list.setWish({ sort: known[0] });
  });
  sort.show(SORTS, "key");
  const said = h("p", { class: "unseen", role: "status" });
  let timer = 0;
  const say = () => {
    clearTimeout(timer);
    timer = setTimeout(() => setText(said, `${foundText(list)} found`), SAID_AFTER_MS);
  };
  search.addEventListener("input", say);
  counts.addEventListener("click", say);
  const element = h(
    "div",
    { class: "toolbar" },
    counts,
    h(
      "div",
      { class: "filters" },
      h("label", { class: "search" }, h("span", { class: "unseen" }, "Search apps"), search),
      provider.element,
      sort.element,
    ),
    said,
  );
  return {
    element,
    search,
    draw() {
      const wish = list.wish();
      const numbers = countsOf(model.apps.values());
      const shown = KINDS.filter(
        (kind) => isShown(kind, numbers) || (wish.phase ?? "all") === kind,
      );
      for (const kind of shown)
        chips.get(kind)?.show(numbers[kind], (wish.phase ?? "all") === kind);
      setChildren(
        counts,
        shown.flatMap((kind) => chips.get(kind)?.element ?? []),
      );
      const names = providersOf(model.apps.values());
      provider.show(
        [["", "All providers"], ...names.map((name) => [name, name] as const)],
        wish.provider ?? "",
      );
      setAttribute(provider.element, "hidden", names.length < 2 && wish.provider === null);
      sort.show(SORTS, wish.sort);
      if (search.value !== wish.search) search.value = wish.search;
    },
  };
}

function isShown(kind: Kind, counts: Counts): boolean {
  return ALWAYS.includes(kind) || counts[kind] > 0;
}

function foundText(list: ListView): string {
  const count =
    Number(list.element.querySelector("[aria-rowcount]")?.getAttribute("aria-rowcount") ?? 1) - 1;
  return countText(count, "app");
}

function createSearch(list: ListView): HTMLInputElement {
  const search = h("input", {
    type: "search",
    placeholder: "Search apps",
    autocomplete: "off",
    spellcheck: "false",
    "aria-keyshortcuts": "/",
  });
  search.addEventListener("input", () => list.setWish({ search: search.value }));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.setWish({ search: "", phase: null, provider: null });
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    const first = list.element.querySelector(".rows .name")?.textContent;
    if (first !== undefined && first !== null) list.focusApp(first);
  });
  return search;
}

function createChip(kind: Kind, list: ListView) {
  const number = h("b");
  const word = kind === "all" ? "All" : STATE_WORDS[kind as ShownState];
  const onClick = () => {
    const phase = kind === "all" || list.wish().phase === kind ? null : kind;
    list.setWish({ phase });
  };
  const element = h(
    "button",
    { type: "button", class: "chip", onclick: onClick },
    kind === "all" ? null : stateIcon(kind),
    h("span", {}, word),
    number,
  );
  if (kind !== "all") element.dataset.state = kind;
  return {
    element,
    show(count: number, isPressed: boolean) {
      setText(number, numberText(count));
      setAttribute(element, "data-none", count === 0);
      setAttribute(element, "aria-pressed", isPressed ? "true" : "false");
    },
  };
}

function createSelect(label: string, onPick: (value: string) => void) {
  const select = h("select", { "aria-label": label });
  select.addEventListener("change", () => onPick(select.value));
  let shown = "";
  return {
    element: select,
    show(options: readonly (readonly [value: string, words: string])[], value: string) {
      const now = JSON.stringify(options);
      if (now !== shown) {
        shown = now;
        setChildren(
          select,
          options.map(([one, words]) => h("option", { value: one }, words)),
        );
      }
      if (select.value !== value) select.value = value;
    },
  };
}
