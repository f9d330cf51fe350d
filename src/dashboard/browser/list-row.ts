/** One app in the list. */

import type { AppSummary } from "../../admin/views.ts";
import { sleepsInText, wakeOutcomeText, whyText } from "./app-words.ts";
import { h, setAttribute, setText } from "./dom.ts";
import { createOrderButtons } from "./order-buttons.ts";
import type { Orders } from "./orders.ts";
import { appAddress } from "./places.ts";
import { createSparkline } from "./sparkline.ts";
import { createStateBadge } from "./state-badge.ts";
import { sinceOf, stateOf } from "./states.ts";
import { createTimeMark } from "./time-mark.ts";
import { wholeText } from "./words.ts";

/** A row that can be brought up to date. */
export interface ListRow {
  readonly element: HTMLElement;
  /** @param nowMs the server's time */
  show(app: AppSummary, nowMs: number): void;
  /** Only what passes with the time. */
  tick(nowMs: number): void;
  /** @param index from 1, of all rows that fit */
  place(index: number): void;
}

/** Shows nothing yet. */
export function createListRow(orders: Orders): ListRow {
  const badge = createStateBadge();
  const since = createTimeMark();
  const name = h("a", { class: "name" });
  const origin = h("span", { class: "origin" });
  const why = h("span", { class: "why" });
  const sleeps = createTimeMark();
  const wake = createTimeMark();
  const cause = h("span", { class: "cause" });
  const spark = createSparkline();
  const buttons = createOrderButtons(orders);
  const cell = (kind: string, ...children: Node[]) =>
    h("div", { role: "cell", class: `cell ${kind}` }, ...children);
  const element = h(
    "div",
    { role: "row", class: "row" },
    cell("in-state", badge.element, since.element),
    cell("in-app", name, origin),
    cell("in-why", why),
    cell("in-sleeps", sleeps.element),
    cell("in-wake", wake.element, cause),
    cell("in-activity", spark.element),
    cell("in-orders", buttons.element),
  );
  let app: AppSummary | null = null;
  const tick = (nowMs: number) => {
    if (app === null) return;
    since.show(wholeText(Math.max(0, nowMs - Date.parse(sinceOf(app)))), sinceOf(app));
    setText(why, whyText(app, nowMs));
    const sleepsIn = sleepsInText(app, nowMs);
    sleeps.show(sleepsIn ?? "–", sleepsIn === null ? null : app.next.sleepsAt);
    setAttribute(sleeps.element, "data-none", sleepsIn === null);
    wake.show(
      app.lastWake === null ? "–" : wakeOutcomeText(app.lastWake, nowMs),
      app.lastWake?.at ?? null,
    );
  };
  return {
    element,
    tick,
    place: (index) => setAttribute(element, "aria-rowindex", index),
    show(next, nowMs) {
      app = next;
      badge.show(stateOf(next));
      setAttribute(element, "data-state", stateOf(next));
      setText(name, next.key);
      setAttribute(name, "href", appAddress(next.key));
      setText(origin, next.id === next.key ? next.provider : `${next.provider} · ${next.id}`);
      setText(cause, next.lastWake?.cause ?? "");
      setAttribute(
        wake.element,
        "data-bad",
        next.lastWake !== null && next.lastWake.failure !== null,
      );
      spark.show(next.activity, nowMs);
      buttons.show(next);
      tick(nowMs);
      setAttribute(why, "title", why.textContent);
      setAttribute(cause, "title", cause.textContent === "" ? null : cause.textContent);
    },
  };
}
