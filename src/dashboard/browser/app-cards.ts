/** The cards on an app's page. */

import type { AppDetails, ShownSetting } from "../../admin/views.ts";
import { decisionText, sleepsInText, usersText, wakeOutcomeText, whyText } from "./app-words.ts";
import { type Card, cardOf, createFacts } from "./card.ts";
import { h, setAttribute, setChildren, setText } from "./dom.ts";
import { createLargeChart } from "./large-chart.ts";
import { createTimeMark, type TimeMark } from "./time-mark.ts";
import { agoText, countdownText, durationText, numberText, shareText, wholeText } from "./words.ts";

/** Why it is as it is, who holds it, and what comes next. */
export function createNowCard(): Card {
  const why = h("p", { class: "lead" });
  const facts = createFacts();
  const marks = createMarks();
  return {
    element: cardOf("now", "Now", why, facts.element),
    show(app, nowMs) {
      setText(why, whyText(app, nowMs));
      setAttribute(why, "data-bad", app.phase === "failed");
      const sleepsIn = sleepsInText(app, nowMs);
      const { keptAwakeUntil, lastUsed } = app;
      facts.show([
        ["Held by", holdersText(app)],
        ["Sleeps in", sleepsIn === null ? "–" : marks.of("sleeps", sleepsIn, app.next.sleepsAt)],
        [
          "A sweep would",
          app.next.sleep ? "put it to sleep" : `leave it: it ${decisionText(app, nowMs)}`,
        ],
        [
          "Last used",
          lastUsed === null
            ? "–"
            : marks.of("used", agoText(Date.parse(lastUsed), nowMs), lastUsed),
        ],
        ...(keptAwakeUntil === null
          ? []
          : [
              [
                "Kept awake",
                marks.of(
                  "kept",
                  `for ${wholeText(Date.parse(keptAwakeUntil) - nowMs)}`,
                  keptAwakeUntil,
                ),
              ] as const,
            ]),
        ...listed("Wakes with it", app.links),
        ...listed("Held awake by", app.linkedFrom),
        ...(app.runsAt === null ? [] : [["Runs at", app.runsAt] as const]),
      ]);
    },
  };
}

function listed(name: string, keys: readonly string[]): (readonly [string, string])[] {
  return keys.length === 0 ? [] : [[name, keys.join(", ")]];
}

function holdersText(app: AppDetails): string {
  if (app.holders.length === 0) return usersText(app) || "nobody";
  return app.holders
    .map(({ count, kind }) => (count === 1 ? kind : `${numberText(count)} × ${kind}`))
    .join(", ");
}

/** Time marks by name, made once: a focus within stays where it is. */
function createMarks() {
  const marks = new Map<string, TimeMark>();
  return {
    of(name: string, text: string, iso: string | null): HTMLElement {
      const mark = marks.get(name) ?? createTimeMark(true);
      marks.set(name, mark);
      mark.show(text, iso);
      return mark.element;
    },
  };
}

/** Requests over a day, and how they were answered. */
export function createTrafficCard(): Card {
  const chart = createLargeChart();
  const facts = createFacts();
  return {
    element: cardOf("traffic", "Requests, last 24 hours", chart.element, facts.element),
    show(app, nowMs) {
      chart.show(app.activity, nowMs);
      facts.show([
        ["Since Paastis started", numberText(app.requests)],
        ...Object.entries(app.statuses).map(
          ([status, count]) => [`Answered ${status}`, countOf(count, app.requests)] as const,
        ),
      ]);
    },
  };
}

function countOf(count: number, all: number): string {
  return all === 0 || count === 0
    ? numberText(count)
    : `${numberText(count)} (${shareText(count / all)})`;
}

/** How long its wakes take. */
export function createWakesCard(): Card {
  const facts = createFacts();
  const bars = h("ol", {
    class: "wakes",
    "aria-label": "Durations of the newest wakes, oldest first",
  });
  const marks = createMarks();
  let shown: readonly number[] = [];
  return {
    element: cardOf("wakes", "Wakes", facts.element, bars),
    show(app, nowMs) {
      const { lastWake, wakes } = app;
      facts.show([
        ["Median", wakes.medianMs === null ? "–" : durationText(wakes.medianMs)],
        ["95th percentile", wakes.p95Ms === null ? "–" : durationText(wakes.p95Ms)],
        [
          "Last wake",
          lastWake === null
            ? "none known"
            : marks.of(
                "last",
                `${wakeOutcomeText(lastWake, nowMs)}, ${agoText(Date.parse(lastWake.at), nowMs)}`,
                lastWake.at,
              ),
        ],
        ...(lastWake === null ? [] : [["Because of", lastWake.cause] as const]),
        ...(lastWake === null || lastWake.failure === null
          ? []
          : [["It failed", lastWake.failure] as const]),
      ]);
      if (shown.join() === wakes.historyMs.join()) return;
      shown = wakes.historyMs;
      setAttribute(bars, "hidden", shown.length < 2);
      setChildren(
        bars,
        shown.map((ms) => wakeBar(ms, Math.max(...shown))),
      );
    },
  };
}

function wakeBar(ms: number, longestMs: number): HTMLElement {
  const bar = h("i");
  bar.style.height = `${Math.max(6, Math.round((ms / longestMs) * 100))}%`;
  return h(
    "li",
    { title: durationText(ms) },
    bar,
    h("span", { class: "unseen" }, durationText(ms)),
  );
}

/** Where its requests go, and where they went before. */
export function createTargetsCard(): Card {
  const facts = createFacts();
  const marks = createMarks();
  return {
    element: cardOf("targets", "Target and switches", facts.element),
    show(app, nowMs) {
      const { active, draining, rollback } = app.targets;
      const left = (iso: string) => countdownText(Date.parse(iso) - nowMs);
      facts.show([
        ["Requests go to", active ?? app.target ?? "–"],
        ...draining.map(
          ({ address, until }, index) =>
            [
              index === 0 ? "Draining" : `Draining (${index + 1})`,
              marks.of(`drain ${address}`, `${address}, cut in ${left(until)}`, until),
            ] as const,
        ),
        ...(rollback === null
          ? []
          : [
              [
                "Can be rolled back",
                marks.of("back", `to ${rollback.to}, for ${left(rollback.until)}`, rollback.until),
              ] as const,
            ]),
        ["Last switch", switchText(app.lastSwitch, nowMs, marks)],
        ...(app.snapshot === null || app.snapshot === undefined
          ? []
          : [["Snapshot", snapshotText(app.snapshot)] as const]),
      ]);
    },
  };
}

function switchText(
  last: unknown,
  nowMs: number,
  marks: ReturnType<typeof createMarks>,
): string | Node {
  if (typeof last !== "object" || last === null) return "none";
  // As the older endpoints show switches.
  const { at, from, reason, to } = last as Readonly<Record<string, string | number | null>>;
  const way = from === null || from === undefined ? `to ${to}` : `from ${from} to ${to}`;
  if (typeof at !== "string") return way;
  return marks.of("switch", `${way}, ${reason}, ${agoText(Date.parse(at), nowMs)}`, at);
}

function snapshotText(snapshot: unknown): string {
  if (typeof snapshot !== "object" || snapshot === null) return String(snapshot);
  return Object.entries(snapshot)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");
}

/** Every setting, and what it comes from; those that somebody gave come first. */
export function createSettingsCard(): Card {
  const body = h("tbody");
  const table = h(
    "table",
    {},
    h(
      "thead",
      {},
      h("tr", {}, ...["Setting", "Value", "From"].map((title) => h("th", { scope: "col" }, title))),
    ),
    body,
  );
  // What is wider than its card is scrolled, by keyboard as well.
  const room = h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Settings" },
    table,
  );
  let shown = "";
  return {
    element: cardOf("settings", "Settings", room),
    show({ settings }) {
      const now = JSON.stringify(settings);
      if (now === shown) return;
      shown = now;
      const given = settings.filter(({ from }) => from !== "default");
      const others = settings.filter(({ from }) => from === "default");
      setChildren(body, [...given, ...others].map(settingRow));
    },
  };
}

function settingRow({ from, name, value }: ShownSetting): HTMLElement {
  return h(
    "tr",
    { class: from === "default" ? "quiet" : null },
    h("th", { scope: "row" }, h("code", {}, name)),
    h("td", {}, valueText(value)),
    h("td", {}, from === "apps" ? "its own entry" : from),
  );
}

function valueText(value: ShownSetting["value"]): string {
  if (value === null) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "object") return value.length === 0 ? "none" : value.join("; ");
  return String(value);
}
