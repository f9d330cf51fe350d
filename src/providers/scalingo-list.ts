/** The apps of all regions of a Scalingo account, in one call per region. */

import { messageOf } from "../errors.ts";
import type { Urgency } from "./platform-api.ts";
import type { Listing } from "./provider.ts";
import { idOf, type ScalingoContext, withUnmanaged } from "./scalingo-context.ts";
import { observationOf, readApps, type ScalingoApp } from "./scalingo-state.ts";

/** The list of all regions. */
export interface RegionLists {
  /**
   * A region that fails keeps the apps that it had, in an unknown state, so that the others' still come and go.
   * @throws ProviderError when a region fails that has not answered yet (nobody knows what it has), or when all fail
   */
  fetch(signal: AbortSignal): Promise<readonly Listing[]>;
}

interface State {
  readonly context: ScalingoContext;
  /** What each region listed last. */
  readonly listed: Map<string, readonly Listing[]>;
}

/** Makes the list; nothing is sent yet. */
export function createRegionLists(context: ScalingoContext): RegionLists {
  const state: State = { context, listed: new Map() };
  return { fetch: (signal) => fetchAll(state, signal) };
}

async function fetchAll(state: State, signal: AbortSignal): Promise<readonly Listing[]> {
  const { regions } = state.context.config;
  const settled = await Promise.allSettled(
    regions.map((region) => fetchRegion(state.context, { region, urgency: "sweep", signal })),
  );
  const lists = settled.map((result, index) => {
    const region = regions[index] ?? "";
    if (result.status === "rejected") return rememberedOf(state, region, result.reason);
    const listings = result.value.map((app) => listingOf(state.context, region, app));
    state.listed.set(region, listings);
    return listings;
  });
  const failure = settled.find((result) => result.status === "rejected");
  if (failure !== undefined && settled.every((result) => result.status === "rejected")) {
    throw failure.reason;
  }
  forgetOthers(state.context, lists.flat());
  return lists.flat();
}

function rememberedOf(state: State, region: string, error: unknown): readonly Listing[] {
  const before = state.listed.get(region);
  if (before === undefined) throw error;
  const reason = messageOf(error);
  return before.map((listing) => ({
    ...listing,
    observation: { phase: "unknown", target: listing.observation?.target ?? null, reason },
  }));
}

function forgetOthers({ known, unmanaged }: ScalingoContext, listings: readonly Listing[]): void {
  const ids = new Set(listings.map(({ id }) => id));
  for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
  for (const id of unmanaged.keys()) if (!ids.has(id)) unmanaged.delete(id);
}

/** The apps of one region, each once. */
export async function fetchRegion(
  context: ScalingoContext,
  order: { readonly region: string; readonly urgency: Urgency; readonly signal: AbortSignal },
): Promise<readonly ScalingoApp[]> {
  const { region, urgency, signal } = order;
  const answer = await context.api.send(region, {
    what: `list the apps of ${region}`,
    method: "GET",
    path: "/v1/apps",
    urgency,
    signal,
  });
  const apps = readApps(answer.body);
  return [...new Map(apps.map((app) => [app.id, app])).values()];
}

function listingOf(context: ScalingoContext, region: string, app: ScalingoApp): Listing {
  const id = idOf(region, app);
  const seen = observationOf(app, null);
  context.known.set(id, { name: app.name, phase: seen.phase });
  return {
    id,
    key: app.name,
    ...(context.config.regions.length > 1 ? { aliases: [`${app.name}-${region}`] } : {}),
    observation: withUnmanaged(context, id, seen),
    sleepsByItself: false,
  };
}
