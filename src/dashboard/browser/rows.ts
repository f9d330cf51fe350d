/** Which apps the list shows, and in which order. Pure. */

import type { AppSummary, ShownPhase } from "../../admin/views.ts";
import { PHASES } from "./states.ts";

/** What the list can be sorted by. */
export type SortName = "key" | "phase" | "lastUsed" | "sleepsAt";

/** What somebody wants to see. */
export interface ListWish {
  /** Words, in any case: each must be found in key, id or provider. */
  readonly search: string;
  /** `null`: all. */
  readonly phase: ShownPhase | "paused" | null;
  readonly provider: string | null;
  readonly sort: SortName;
}

/** Everything, by name. */
export const WISH_ALL: ListWish = { search: "", phase: null, provider: null, sort: "key" };

/** How many apps there are of each kind. */
export type Counts = Readonly<Record<ShownPhase | "all" | "paused", number>>;

/** The apps that fit, in order. */
export function wantedApps(apps: Iterable<AppSummary>, wish: ListWish): readonly AppSummary[] {
  const words = wish.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found: AppSummary[] = [];
  for (const app of apps) if (fits(app, wish, words)) found.push(app);
  return found.sort((a, b) => compare(a, b, wish.sort) || byText(a.key, b.key));
}

function fits(app: AppSummary, { phase, provider }: ListWish, words: readonly string[]): boolean {
  if (phase === "paused" ? app.pause === null : phase !== null && app.phase !== phase) return false;
  if (provider !== null && app.provider !== provider) return false;
  if (words.length === 0) return true;
  const text = `${app.key} ${app.id} ${app.provider}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function compare(a: AppSummary, b: AppSummary, sort: SortName): number {
  switch (sort) {
    case "key":
      return 0;
    case "phase":
      return PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase);
    case "lastUsed":
      // Who is in use now comes first; who never was, last.
      return byText(usedText(b), usedText(a));
    case "sleepsAt":
      return byText(a.next.sleepsAt ?? "~", b.next.sleepsAt ?? "~");
  }
}

function usedText({ idleSince, lastUsed }: AppSummary): string {
  return idleSince === null ? "~" : (lastUsed ?? "");
}

/** By code units: times of one form sort by time. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Of all apps, whatever is filtered. */
export function countsOf(apps: Iterable<AppSummary>): Counts {
  const counts = {
    all: 0,
    failed: 0,
    waking: 0,
    awake: 0,
    draining: 0,
    stopping: 0,
    asleep: 0,
    unknown: 0,
    paused: 0,
  };
  for (const { pause, phase } of apps) {
    counts.all += 1;
    counts[phase] += 1;
    if (pause !== null) counts.paused += 1;
  }
  return counts;
}

/** Every provider that has apps, in order. */
export function providersOf(apps: Iterable<AppSummary>): readonly string[] {
  return [...new Set([...apps].map(({ provider }) => provider))].sort();
}
