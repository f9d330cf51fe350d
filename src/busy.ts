/** Whether an app has something to do that no request shows: it is asked before a stop, or says so in its answers. */

import type { App, Target } from "./app.ts";
import { type Clock, deadline } from "./clock.ts";
import { connectionTrouble, type ProbeFetch } from "./health.ts";
import type { HookResult, HookRunner } from "./hooks.ts";
import { routeTo } from "./target-route.ts";

/** Where an app is asked: a path of its own, or an absolute URL that stands in the operator's file. */
export type BusyUrl = string;

/** What came of asking. */
export type BusyAnswer =
  | { readonly kind: "status"; readonly status: number }
  /** No answer, or none in time; `saw` for people. */
  | { readonly kind: "silence"; readonly saw: string };

/** What it means. */
export interface BusyVerdict {
  readonly isBusy: boolean;
  /** For people, to follow the app's name. */
  readonly why: string;
}

/** So often in a row no answer counts as busy: whoever works hard may be slow to say so. */
export const SILENCES_MAX = 3;

/** Pure. 200 is busy, every other status is not. @param silences how often in a row there was no answer, this one included */
export function busyVerdict(answer: BusyAnswer, silences: number, url: BusyUrl): BusyVerdict {
  if (answer.kind === "status") {
    const isBusy = answer.status === 200;
    return { isBusy, why: `is ${isBusy ? "" : "not "}busy: status ${answer.status} from ${url}` };
  }
  const isBusy = silences <= SILENCES_MAX;
  const rest = isBusy
    ? `which counts as busy ${SILENCES_MAX} times in a row`
    : `as ${SILENCES_MAX} times before, so that it no longer counts as busy`;
  return { isBusy, why: `did not say whether it is busy: ${answer.saw} (${url}), ${rest}` };
}

/** How long an app may take to say it, ms. */
const ASK_MS = 5000;

/** Asks an app. Never rejects. */
export type AskBusy = (
  question: { readonly url: BusyUrl; readonly target: Target; readonly app: App },
  signal?: AbortSignal,
) => Promise<BusyAnswer>;

/** Asks over HTTP: a path by the route that the app's requests take, redirects not followed. */
export function createAskBusy(deps: {
  readonly fetch: ProbeFetch;
  readonly clock: Clock;
}): AskBusy {
  return async ({ url, target, app }, parent) => {
    const isOwn = url.startsWith("/");
    const limit = deadline(deps.clock, ASK_MS, {
      reason: SILENT,
      ...(parent !== undefined && { parent }),
    });
    try {
      const response = await deps.fetch(isOwn ? target.origin + url : url, {
        headers: {
          ...(isOwn && { host: target.host }),
          "user-agent": "paastis-busy",
          accept: "*/*",
        },
        redirect: "manual",
        decompress: false,
        proxy: false,
        keepalive: false,
        ...(isOwn ? routeTo(target, app.policy) : {}),
        signal: limit.signal,
      });
      await response.body?.cancel();
      return { kind: "status", status: response.status };
    } catch (error) {
      const isLate = limit.signal.aborted;
      return { kind: "silence", saw: isLate ? SILENT : connectionTrouble(error).saw };
    } finally {
      limit.end();
    }
  };
}

const SILENT = `no answer within ${ASK_MS / 1000} s`;

/** How long after an app has said that it is busy it is not asked again, ms. */
export const BUSY_FOR_MS = 60_000;

/** What asking before stops needs. */
export interface BusyDeps {
  readonly ask: AskBusy;
  readonly clock: Pick<Clock, "now">;
  /** Called when an app that has not said whether it is busy is taken not to be. */
  readonly onGivenUp: (app: App, why: string) => void;
}

/**
 * Hooks that ask an app whether it is busy before its `beforeStop` runs: one that is says no like the hook would, and
 * is left alone for a minute.
 */
export function withBusyCheck(hooks: HookRunner, deps: BusyDeps): HookRunner {
  const silences = new WeakMap<App, number>();
  return {
    ...hooks,
    async run(name, call) {
      const { app, signal } = call;
      const url = app.policy.busyUrl;
      if (name !== "beforeStop" || url === null || app.lastTarget === null) {
        return hooks.run(name, call);
      }
      const answer = await deps.ask({ url, target: app.lastTarget, app }, signal);
      const count = answer.kind === "silence" ? (silences.get(app) ?? 0) + 1 : 0;
      const { isBusy, why } = busyVerdict(answer, count, url);
      silences.set(app, isBusy ? count : 0);
      if (isBusy) return noteBusy(app, why, deps.clock.now());
      if (answer.kind === "silence") deps.onGivenUp(app, why);
      return hooks.run(name, call);
    },
  };
}

function noteBusy(app: App, why: string, nowMs: number): HookResult {
  const untilMs = nowMs + BUSY_FOR_MS;
  // What it said of a longer time still holds.
  if (app.ownWord === null || app.ownWord.untilMs < untilMs) {
    app.ownWord = { saidMs: nowMs, untilMs, by: app.policy.busyUrl ?? "" };
  }
  return { ok: false, why: `it ${why}`, isBusy: true };
}

/** The header by which an app says how long it wants to stay awake. */
export const KEEP_AWAKE_HEADER = "keep-awake";

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Pure. `20m`, `1h30m`, or seconds without a unit, in ms; `null`: none of these. */
export function keepAwakeMs(text: string): number | null {
  const words = text.trim().toLowerCase();
  if (/^\d{1,9}$/.test(words)) return Number(words) * 1000;
  if (!/^(?:\d{1,9}[smhd])+$/.test(words)) return null;
  return [...words.matchAll(/(\d+)([smhd])/g)].reduce(
    (sum, [, count = "0", unit = "s"]) => sum + Number(count) * (UNITS[unit] ?? 0),
    0,
  );
}

/** An answer of the app has the header. The newest word counts; 0 takes an earlier one back. @param text its value */
export function noteKeepAwake(app: App, text: string, nowMs: number): void {
  const maxMs = app.policy.keepAwakeHeaderMaxMs;
  const askedMs = keepAwakeMs(text);
  if (maxMs === null || askedMs === null) return;
  const forMs = Math.min(askedMs, maxMs);
  app.ownWord =
    forMs === 0 ? null : { saidMs: nowMs, untilMs: nowMs + forMs, by: "its header Keep-Awake" };
}
