/** What a sweep would do, with what an app would say if it were asked: it is asked, and nothing is done. */

import type { App } from "../app.ts";
import { type AskBusy, busyVerdict } from "../busy.ts";
import type { Config } from "../config.ts";
import type { SweepEntry } from "../idle.ts";
import type { SweepAnswer } from "./views.ts";

/** What it needs. */
export interface PlanDeps {
  readonly config: Pick<Config, "hooks">;
  readonly askBusy: AskBusy;
}

/** So many are asked at the same time. */
const ASKED_MAX = 20;

/** In their order. Never rejects. */
export async function plannedSleeps(
  deps: PlanDeps,
  entries: readonly SweepEntry[],
): Promise<SweepAnswer> {
  const shown: SweepAnswer["entries"][number][] = [];
  for (let first = 0; first < entries.length; first += ASKED_MAX) {
    const some = entries.slice(first, first + ASKED_MAX);
    shown.push(...(await Promise.all(some.map((entry) => plannedSleep(deps, entry)))));
  }
  return { dryRun: true, entries: shown };
}

async function plannedSleep(deps: PlanDeps, entry: SweepEntry) {
  const { app } = entry;
  const who = { app: app.key, provider: app.ref.provider };
  const busy = entry.sleep ? await whyBusy(deps, app) : null;
  if (busy !== null) return { ...who, sleep: false, why: busy };
  const veto = entry.sleep && hasHook(deps, app) ? ", unless its hook before_stop says no" : "";
  return { ...who, sleep: entry.sleep, why: entry.why + veto };
}

/** Whoever does not answer counts as busy at first. */
async function whyBusy({ askBusy }: PlanDeps, app: App): Promise<string | null> {
  const url = app.policy.busyUrl;
  if (url === null || app.lastTarget === null) return null;
  const answer = await askBusy({ url, target: app.lastTarget, app });
  const { isBusy, why } = busyVerdict(answer, 1, withoutQuery(url));
  return isBusy ? why : null;
}

function hasHook({ config }: PlanDeps, { policy }: App): boolean {
  return (policy.hooks?.beforeStop ?? config.hooks.beforeStop ?? null) !== null;
}

/** What may keep an app awake although a sweep would put it to sleep, to follow the reason; empty: nothing. */
export function exceptionText({ policy }: Pick<App, "policy">): string {
  return policy.busyUrl === null ? "" : `, unless ${withoutQuery(policy.busyUrl)} says it is busy`;
}

/** What comes after `?` may be a secret. */
function withoutQuery(url: string): string {
  const query = url.indexOf("?");
  return query === -1 ? url : `${url.slice(0, query)}?…`;
}
