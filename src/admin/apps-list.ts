/** A page of the list of apps: filtered, sorted, cut. Pure. */

import type { AppPage, AppSummary, ShownPhase } from "./views.ts";

/** What the list can be sorted by. */
export const SORTS = ["key", "phase", "lastUsed", "sleepsAt"] as const;

/** Which apps are wanted, and in which order. */
export interface ListWish {
  /** Found in key, id or provider, in any case. */
  readonly search: string;
  readonly phase: ShownPhase | null;
  readonly provider: string | null;
  readonly sort: (typeof SORTS)[number];
  /** From 1. */
  readonly page: number;
  readonly size: number;
}

/** What somebody looks at first comes first. */
const PHASE_ORDER: readonly ShownPhase[] = [
  "failed",
  "waking",
  "awake",
  "draining",
  "stopping",
  "unknown",
  "asleep",
];

/** A page beyond the last one is empty. */
export function pageOf(all: readonly AppSummary[], wish: ListWish): AppPage {
  const { page, size } = wish;
  const apps = all
    .filter((app) => fits(app, wish))
    .toSorted((a, b) => compare(a, b, wish.sort) || byText(a.key, b.key));
  return {
    apps: apps.slice((page - 1) * size, page * size),
    page,
    pages: Math.ceil(apps.length / size),
    total: apps.length,
  };
}

function fits(app: AppSummary, { phase, provider, search }: ListWish): boolean {
  if (phase !== null && app.phase !== phase) return false;
  if (provider !== null && app.provider !== provider) return false;
  const text = search.trim().toLowerCase();
  return [app.key, app.id, app.provider].some((one) => one.toLowerCase().includes(text));
}

function compare(a: AppSummary, b: AppSummary, sort: ListWish["sort"]): number {
  switch (sort) {
    case "key":
      return byText(a.key, b.key);
    case "phase":
      return PHASE_ORDER.indexOf(a.phase) - PHASE_ORDER.indexOf(b.phase);
    case "lastUsed":
      // Newest first; those that were never used last.
      return byText(b.lastUsed ?? "", a.lastUsed ?? "");
    case "sleepsAt":
      return byText(a.next.sleepsAt ?? "~", b.next.sleepsAt ?? "~");
  }
}

/** By code units: times of one form sort by time. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
