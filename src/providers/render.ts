/** The provider of web services on Render. */

import { throwIfAborted } from "./abortable.ts";
import type { Urgency } from "./platform-api.ts";
import { jobOf } from "./platform-job.ts";
import { createSleeping } from "./platform-sleeping.ts";
import {
  type AccountReport,
  type Listing,
  type Observation,
  type Provider,
  ProviderError,
} from "./provider.ts";
import { type AppOrder, createRenderApi, type RenderDeps } from "./render-api.ts";
import { lookAt, note, type RenderContext } from "./render-context.ts";
import type { RenderService } from "./render-json.ts";
import { listedObservationOf } from "./render-state.ts";
import { callOff, follow, refuseDeploying, sleep, wake } from "./render-steps.ts";
import { slugOf } from "./slug.ts";

/** A resume is a deploy, which may build anew. Source: types of Render's API, `deploy.trigger`. */
const WAKE_TIMEOUT_MS = 15 * 60_000;
/** Looks and calls before the stop included. */
const SLEEP_TIMEOUT_MS = 10 * 60_000;
/** So long a failure is believed that no list shows, ms. */
const FAILURE_FOR_MS = 10 * 60_000;

/** Nothing is sent before the first call. */
export function createRenderProvider(deps: RenderDeps): Provider {
  const { config, clock } = deps;
  const api = createRenderApi(deps);
  const context: RenderContext = {
    ...{ config, clock, api, names: new Map(), targets: new Map(), seen: new Map() },
    ...{ sleeping: createSleeping(clock), stops: new Map(), recalled: new Map() },
  };
  const orderOf = (id: string, urgency: Urgency, signal: AbortSignal): AppOrder => {
    const name = context.names.get(id) ?? id;
    throwIfAborted(signal, `asking Render about ${name}`);
    return { id, name, urgency, signal };
  };
  return {
    name: "render",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      sleepAfterFailedWake: false,
      snapshotLooks: true,
      wakeJoins: true,
    },
    list: (signal) => list(context, signal),
    async observe(id, signal) {
      // Its own domain may be another one by now.
      context.targets.delete(id);
      return (await lookAt(context, orderOf(id, urgencyOfLook(context, id), signal))).observation;
    },
    async takeSnapshot(id, signal) {
      await refuseUnlessFree(context, orderOf(id, "sleep", signal));
      return { kind: "none" };
    },
    wake: async (id, _snapshot, signal) => await wake(context, orderOf(id, "wake", signal)),
    recallWake: (id, begunMs) => void context.recalled.set(id, begunMs),
    sleep: async (id, _snapshot, signal) => await sleep(context, orderOf(id, "sleep", signal)),
    callOff: (id) => callOff(context, id),
    async poll(id, operation, signal) {
      return await follow(context, orderOf(id, jobOf(operation).goal, signal), operation);
    },
    isDownAnswer,
    check: (signal) => check(context, signal),
    quotaLeft: () => api.remaining,
    async close() {
      api.close();
    },
  };
}

/**
 * A page of Render's router, which says in a header what it did instead of asking the service: 503 `suspend-by-user`,
 * 404 `no-server`, 502 `dynamic-paid-error`. That is not documented, but seen by many; where it is missing, the list
 * shows that the service is suspended.
 */
function isDownAnswer(status: number, header: (name: string) => string | null): boolean {
  const word = header("x-render-routing");
  return word !== null && (status >= 400 || word.startsWith("suspend"));
}

/** Somebody waits for a service that is waking; one that was up is looked at before it is put to sleep. */
function urgencyOfLook({ seen }: RenderContext, id: string): Urgency {
  switch (seen.get(id)?.observation.phase) {
    case "waking":
      return "wake";
    case "awake":
      return "sleep";
    default:
      return "sweep";
  }
}

/** @throws ProviderError `busy` while it is deployed; `invalid` when it is not to be put to sleep */
async function refuseUnlessFree(context: RenderContext, order: AppOrder): Promise<void> {
  const { service, observation } = await lookAt(context, order);
  const { phase, reason = `it is ${phase}` } = observation;
  refuseDeploying(order, phase);
  if (phase !== "awake" && phase !== "asleep") throw new ProviderError("invalid", reason);
  if (service.isFree && phase === "awake") {
    const why = "it runs on a free instance, which Render stops and starts by itself";
    throw new ProviderError("invalid", why);
  }
}

/** What is remembered of services that are gone goes with them. */
async function list(context: RenderContext, signal: AbortSignal): Promise<readonly Listing[]> {
  throwIfAborted(signal, "listing the services on Render");
  const { api, names, targets, seen, recalled } = context;
  const services = await api.fetchServices({ urgency: "sweep", signal });
  const ids = new Set(services.map(({ id }) => id));
  for (const memory of [names, targets, seen, recalled]) {
    for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
  }
  for (const { id, name } of services) names.set(id, name);
  return services.map((service) => listingOf(context, service));
}

function listingOf(context: RenderContext, service: RenderService): Listing {
  const { id, name, slug, isFree, isSuspended } = service;
  const target = service.target ?? context.targets.get(id) ?? null;
  const key = slugOf(name) || id;
  return {
    id,
    key,
    ...(slug === "" || slug === key ? {} : { aliases: [slug] }),
    observation: listed(context, { ...service, target }),
    target,
    // One that is suspended does not come back by itself, whatever it runs on.
    sleepsByItself: isFree && !isSuspended,
  };
}

/** The list does not say that a service is being deployed, or did not come back: who was not up was looked at. */
function listed(context: RenderContext, service: RenderService): Observation | null {
  const { clock, seen } = context;
  const observation = listedObservationOf(service);
  const before = seen.get(service.id);
  if (observation.phase !== "awake") {
    note(context, service.id, observation);
    return observation;
  }
  if (before?.observation.phase === "failed" && clock.now() - before.atMs < FAILURE_FOR_MS) {
    return before.observation;
  }
  const isUp = before === undefined || before.observation.phase === "awake";
  return isUp && service.target !== null ? observation : null;
}

async function check(
  { api }: RenderContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const services = await api.fetchServices({ urgency: "wake", signal });
  const owners = [...new Set(services.map(({ ownerId }) => ownerId))].filter((id) => id !== "");
  const account = owners.join(", ") || "(no service says whose it is)";
  return [{ account, region: null, apps: services.length, remaining: api.remaining }];
}
