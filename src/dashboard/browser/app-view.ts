/** The page of one app: how it is now, and everything that is known of it. */

import type { AppDetails, AppSummary } from "../../admin/views.ts";
import type { AdminCalls } from "./admin-calls.ts";
import { CallError } from "./admin-calls.ts";
import {
  createNowCard,
  createSettingsCard,
  createTargetsCard,
  createTrafficCard,
  createWakesCard,
} from "./app-cards.ts";
import type { BrowserClock } from "./browser-clock.ts";
import { h, setAttribute, setText } from "./dom.ts";
import type { Model } from "./model.ts";
import { createOrderButtons } from "./order-buttons.ts";
import type { Orders } from "./orders.ts";
import { LIST_ADDRESS } from "./places.ts";
import { createStateBadge } from "./state-badge.ts";
import { sinceOf, stateOf } from "./states.ts";
import { createTimeMark } from "./time-mark.ts";
import { createTimeline } from "./timeline.ts";
import { wholeText } from "./words.ts";

/** The page of one app. */
export interface AppView {
  readonly element: HTMLElement;
  readonly title: HTMLElement;
  /** Shows another app; `null`: none, and nothing is asked any more. */
  open(key: string | null): void;
  draw(): void;
  tick(): void;
}

/** What the page is made of. */
export interface AppViewDeps {
  readonly calls: Pick<AdminCalls, "details">;
  readonly clock: BrowserClock;
  readonly model: Model;
  readonly orders: Orders;
}

/** After a change the details are asked for at once, then at most so often, ms. */
const ASK_EVERY_MS = 1000;
/** Some of them change without a word on the stream, ms. */
const ASK_AGAIN_MS = 10_000;

/** Nothing is open yet. */
export function createAppView(deps: AppViewDeps): AppView {
  const { clock, model, orders } = deps;
  const head = createHead(orders);
  const cards = [
    createNowCard(),
    createTrafficCard(),
    createWakesCard(),
    createTargetsCard(),
    createSettingsCard(),
  ];
  const timeline = createTimeline();
  const problem = h("p", { class: "empty", role: "status" });
  const body = h(
    "div",
    { class: "app-body" },
    h("div", { class: "cards" }, ...cards.map(({ element }) => element)),
    timeline.element,
  );
  const element = h("div", { class: "app-page" }, head.element, problem, body);
  let key: string | null = null;
  let details: AppDetails | null = null;
  let why: string | null = null;
  const show = () => {
    const row = key === null ? null : model.byKey(key);
    setText(head.title, key ?? "");
    setText(problem, why ?? (details === null ? "Loading…" : ""));
    setAttribute(problem, "hidden", details !== null && why === null);
    setAttribute(body, "hidden", details === null);
    const nowMs = clock.now();
    head.show(row ?? details, nowMs);
    if (details === null) return;
    // The stream is ahead of the details.
    const app = row === null ? details : { ...details, ...row };
    for (const card of [...cards, timeline]) card.show(app, nowMs);
  };
  const asking = createAsking(deps.calls, (answer) => {
    why = typeof answer === "string" ? answer : null;
    if (typeof answer !== "string") details = answer;
    show();
  });
  let seen: AppSummary | null = null;
  return {
    element,
    title: head.title,
    open(next) {
      key = next;
      details = null;
      why = null;
      seen = null;
      asking.about(next);
      if (next !== null) show();
    },
    draw() {
      if (key === null) return;
      const row = model.byKey(key);
      if (row !== seen && (seen !== null || why !== null)) asking.soon();
      seen = row;
      show();
    },
    tick: () => key !== null && show(),
  };
}

function createHead(orders: Orders) {
  const badge = createStateBadge();
  const since = createTimeMark(true);
  const title = h("h1", { tabindex: -1 });
  const origin = h("span", { class: "origin" });
  const buttons = createOrderButtons(orders);
  const element = h(
    "div",
    { class: "app-head" },
    h("a", { class: "back", href: LIST_ADDRESS }, "← All apps"),
    h("div", { class: "app-title" }, title, origin),
    h("div", { class: "app-state" }, badge.element, since.element),
    buttons.element,
  );
  return {
    element,
    title,
    show(app: AppSummary | null, nowMs: number) {
      for (const part of [badge.element, since.element, buttons.element]) {
        setAttribute(part, "hidden", app === null);
      }
      if (app === null) return;
      badge.show(stateOf(app));
      since.show(`for ${wholeText(Math.max(0, nowMs - Date.parse(sinceOf(app))))}`, sinceOf(app));
      setText(origin, app.id === app.key ? app.provider : `${app.provider} · ${app.id}`);
      buttons.show(app);
    },
  };
}

/** Asks for the details of one app, one question at a time. @param onAnswer a string says why there is none */
function createAsking(
  calls: Pick<AdminCalls, "details">,
  onAnswer: (answer: AppDetails | string) => void,
) {
  let controller = new AbortController();
  let timer = 0;
  let askedMs = 0;
  const plan = (key: string, waitMs: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => void ask(key), waitMs);
  };
  const ask = async (key: string) => {
    const { signal } = controller;
    askedMs = performance.now();
    try {
      const answer = await calls.details(key, signal);
      if (!signal.aborted) onAnswer(answer);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (!signal.aborted) onAnswer(error.message);
    }
    if (!signal.aborted) plan(key, ASK_AGAIN_MS);
  };
  let about: string | null = null;
  return {
    about(key: string | null) {
      controller.abort();
      controller = new AbortController();
      clearTimeout(timer);
      about = key;
      if (key !== null) void ask(key);
    },
    soon() {
      if (about !== null) plan(about, Math.max(100, askedMs + ASK_EVERY_MS - performance.now()));
    },
  };
}
