/** Orders of the operator: asked about where they disturb somebody, carried out, confirmed, and taken back. */

import type { AppSummary } from "../../admin/views.ts";
import type { AdminCalls, Order } from "./admin-calls.ts";
import { CallError } from "./admin-calls.ts";
import { isInUse, usersText } from "./app-words.ts";
import type { BrowserClock } from "./browser-clock.ts";
import { askUser } from "./dialogs.ts";
import { h } from "./dom.ts";
import type { Model } from "./model.ts";
import type { Notice, Notices } from "./notices.ts";
import { exactText } from "./words.ts";

/** What can be ordered of an app. */
export interface Orders {
  wake(app: AppSummary): Promise<void>;
  /** Asks first where somebody uses it. */
  sleep(app: AppSummary): Promise<void>;
  keepAwake(app: AppSummary, duration: string): Promise<void>;
  /** Asks until when. */
  keepAwakeUntil(app: AppSummary): Promise<void>;
  /** Asks first: visitors have to wait. */
  pause(app: AppSummary): Promise<void>;
  resume(app: AppSummary): Promise<void>;
  /** Whether an order for the app is under way. */
  isBusy(key: string): boolean;
}

/** What orders are made of. */
export interface OrdersDeps {
  readonly calls: Pick<AdminCalls, "order">;
  readonly clock: BrowserClock;
  readonly model: Pick<Model, "byKey" | "onOrdered">;
  readonly notices: Pick<Notices, "show">;
}

/** So long the last requests of an app may take that is to sleep although it is used. */
const DRAIN = "2m";
const HOUR_MS = 3_600_000;

/** Nothing is ordered yet. */
export function createOrders(deps: OrdersDeps): Orders {
  const busy = new Set<string>();
  const give = async (app: AppSummary, order: Order, undo?: Notice["undo"]) => {
    if (busy.has(app.key)) return;
    busy.add(app.key);
    deps.model.onOrdered(app.key);
    try {
      const { message } = await deps.calls.order(app.key, order);
      const text = timesIn(message);
      deps.notices.show(undo === undefined ? { text } : { text, undo });
    } catch (error) {
      deps.notices.show(failureOf(app, error));
    } finally {
      busy.delete(app.key);
      deps.model.onOrdered(app.key);
    }
  };
  const orders: Orders = {
    isBusy: (key) => busy.has(key),
    wake: (app) => give(app, { kind: "wake" }),
    async sleep(app) {
      const wake = { word: "Wake it again", act: () => void orders.wake(app) };
      const now = deps.model.byKey(app.key) ?? app;
      if (!isInUse(now)) return give(app, { kind: "sleep" }, wake);
      if (await confirmSleep(now)) await give(app, { kind: "sleep", drain: DRAIN }, wake);
    },
    keepAwake(app, duration) {
      const act = () => void orders.keepAwake(app, "0");
      const undo = duration === "0" ? undefined : { word: "Undo", act };
      return give(app, { kind: "keep-awake", for: duration }, undo);
    },
    async keepAwakeUntil(app) {
      const until = await askUntil(app, deps.clock.now());
      const undo = { word: "Undo", act: () => void orders.keepAwake(app, "0") };
      if (until !== null) await give(app, { kind: "keep-awake", until }, undo);
    },
    async pause(app) {
      const duration = await askPause(deps.model.byKey(app.key) ?? app);
      const undo = { word: "Resume", act: () => void orders.resume(app) };
      if (duration === null) return;
      const span = duration === "" ? {} : { for: duration };
      await give(app, { kind: "pause", ...span }, undo);
    },
    resume: (app) => give(app, { kind: "resume" }),
  };
  return orders;
}

function failureOf(app: AppSummary, error: unknown): Notice {
  if (!(error instanceof CallError)) throw error;
  const more = error.remedy.replaceAll("`", "");
  const text = error.message.includes(app.key) ? error.message : `${app.key}: ${error.message}`;
  return { text, isBad: true, ...(more === "" ? {} : { more }) };
}

/** Answers name times as machines do. */
function timesIn(message: string): string {
  return message.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, exactText);
}

async function confirmSleep(app: AppSummary): Promise<boolean> {
  const answer = await askUser({
    title: `Put ${app.key} to sleep although it is in use?`,
    body: [
      h("p", {}, `It is used now: ${usersText(app)}.`),
      h(
        "p",
        {},
        "It sleeps when they are through. If they take longer than 2 minutes, it stays awake.",
      ),
    ],
    yes: "Put to sleep",
    isDangerous: true,
  });
  return answer !== null;
}

/** @returns a duration; empty: until it is resumed; `null`: not at all */
async function askPause(app: AppSummary): Promise<string | null> {
  const users = usersText(app);
  const option = (value: string, text: string) => h("option", { value }, text);
  const answer = await askUser({
    title: `Pause ${app.key}?`,
    body: [
      h(
        "p",
        {},
        "New requests wait instead of reaching it, and are told to come back when that takes too long.",
      ),
      users === "" ? null : h("p", {}, `It is used now: ${users}.`),
      h(
        "label",
        {},
        "For how long",
        h(
          "select",
          { name: "for" },
          option("", "Until it is resumed"),
          option("10m", "10 minutes"),
          option("1h", "1 hour"),
          option("8h", "8 hours"),
        ),
      ),
    ],
    yes: "Pause",
    isDangerous: true,
  });
  return answer === null ? null : String(answer.get("for"));
}

/** @returns ISO 8601; `null`: not at all */
async function askUntil(app: AppSummary, nowMs: number): Promise<string | null> {
  const answer = await askUser({
    title: `Keep ${app.key} awake until…`,
    body: [
      h(
        "label",
        {},
        "Day and time, by your clock",
        h("input", {
          type: "datetime-local",
          name: "until",
          required: true,
          min: inputTime(nowMs),
          value: inputTime(nowMs + 24 * HOUR_MS),
        }),
      ),
    ],
    yes: "Keep awake",
  });
  const given = answer?.get("until");
  return typeof given === "string" && given !== "" ? new Date(given).toISOString() : null;
}

/** `2026-11-03T14:30`, by the browser's zone. */
function inputTime(ms: number): string {
  const at = new Date(ms);
  const local = new Date(ms - at.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
