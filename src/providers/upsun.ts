/** The provider of environments on Upsun, which are paused and resumed as a whole. */

import { throwIfAborted } from "./abortable.ts";
import type { Urgency } from "./platform-api.ts";
import { jobOf } from "./platform-job.ts";
import { createSleeping } from "./platform-sleeping.ts";
import { type AccountReport, type Observation, type Provider, ProviderError } from "./provider.ts";
import { type AppOrder, type Asked, createUpsunApi, type UpsunDeps } from "./upsun-api.ts";
import { idOf, locate, runningIn, type UpsunContext } from "./upsun-context.ts";
import { createProjectLists, type ProjectLists } from "./upsun-list.ts";
import { observationOf } from "./upsun-state.ts";
import { callOff, follow, refuseUnlessFree, sleep, wake } from "./upsun-steps.ts";

/** All apps and services of the environment start anew. Not documented: tens of seconds to minutes. */
const WAKE_TIMEOUT_MS = 10 * 60_000;
/** Looks and calls before the pause included. */
const SLEEP_TIMEOUT_MS = 10 * 60_000;

/** Nothing is sent before the first call. */
export function createUpsunProvider(deps: UpsunDeps): Provider {
  const { config, clock, log } = deps;
  const api = createUpsunApi(deps);
  const context: UpsunContext = {
    ...{ config, clock, api, sleeping: createSleeping(clock) },
    ...{ targets: new Map(), phases: new Map(), looked: new Map(), stops: new Map() },
  };
  const lists = createProjectLists(context, log);
  const orderOf = (id: string, urgency: Urgency, signal: AbortSignal): AppOrder => {
    throwIfAborted(signal, `asking Upsun about ${id}`);
    return { ...placeOf(id), urgency, signal };
  };
  return {
    name: "upsun",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
      snapshotLooks: true,
      wakeJoins: true,
    },
    async list(signal) {
      throwIfAborted(signal, "listing the environments on Upsun");
      return await lists.fetch({ urgency: "sweep", signal });
    },
    whyUnlisted: lists.whyUnlisted,
    isWhole: lists.isWhole,
    async observe(id, signal) {
      return await observe(context, orderOf(id, urgencyOfLook(context, id), signal));
    },
    async takeSnapshot(id, signal) {
      await refuseUnlessFree(context, orderOf(id, "sleep", signal));
      return { kind: "none" };
    },
    wake: async (id, _snapshot, signal) => await wake(context, orderOf(id, "wake", signal)),
    sleep: async (id, _snapshot, signal) => await sleep(context, orderOf(id, "sleep", signal)),
    callOff: (id) => callOff(context, id),
    async poll(id, operation, signal) {
      return await follow(context, orderOf(id, jobOf(operation).goal, signal), operation);
    },
    isDownAnswer,
    check: (signal) => check(context, lists, signal),
    async close() {
      api.close();
    },
  };
}

/** @throws ProviderError `not-found` when it is no id of ours */
function placeOf(id: string): Pick<AppOrder, "projectId" | "environmentId"> {
  const [, projectId, environmentId] = /^([^/]+)\/(.+)$/.exec(id) ?? [];
  if (projectId !== undefined && environmentId !== undefined) return { projectId, environmentId };
  throw new ProviderError("not-found", `there is no environment ${id} on Upsun`);
}

/**
 * Every route of a paused environment leads to a page on Upsun's own site. Source: Upsun, "Put your preview
 * environments on pause".
 */
function isDownAnswer(status: number, header: (name: string) => string | null): boolean {
  const { hostname } = URL.parse(header("location") ?? "") ?? { hostname: "" };
  const isOwnSite = /(?:^|\.)(?:upsun\.com|platform\.sh)$/.test(hostname);
  return status >= 300 && status < 400 && isOwnSite;
}

/** Somebody waits for what is waking; what was up is looked at before it is put to sleep. */
function urgencyOfLook({ phases }: UpsunContext, id: string): Urgency {
  const phase = phases.get(id);
  if (phase === "waking") return "wake";
  return phase === "awake" || phase === "stopping" ? "sleep" : "sweep";
}

/** One call; a second one for what is busy, and another for what does not say where it answers. */
async function observe(context: UpsunContext, order: AppOrder): Promise<Observation> {
  const { api, phases, targets } = context;
  const environment = await api.fetchEnvironment(order);
  const { status } = environment;
  const isBusy = status === "dirty";
  const running = isBusy ? runningIn(await api.fetchActivities(order)) : null;
  const seen = observationOf(environment, running);
  phases.set(idOf(order), seen.phase);
  if (seen.target !== null || (status !== "active" && !isBusy)) return seen;
  // Until it is through with what goes on, its routes are what they were.
  const known = isBusy ? targets.get(idOf(order)) : undefined;
  const target = known ?? (await locate(context, order, environment));
  if (target !== null) return { ...seen, target };
  const { reason } = seen;
  return { ...seen, reason: reason === undefined ? NOWHERE : `${reason}; ${NOWHERE}` };
}

const NOWHERE =
  "Upsun names no address of it: give it a route in its .upsun folder, or declare it in paastis.yml with its `targets`";

async function check(
  { api }: UpsunContext,
  lists: ProjectLists,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const asked: Asked = { urgency: "wake", signal };
  const { name } = await api.fetchUser(asked);
  const apps = (await lists.fetch(asked)).length;
  return [{ account: name, region: null, apps, remaining: null }];
}
