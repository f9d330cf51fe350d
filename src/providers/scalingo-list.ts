/** The apps of all regions of a Scalingo account, in one call per region. */

import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Urgency } from "./platform-api.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import { type Listing, type Trouble, troubleOf } from "./provider.ts";
import { idOf, regionIn, type ScalingoContext, withUnmanaged } from "./scalingo-context.ts";
import { observationOf, readApps, type ScalingoApp } from "./scalingo-state.ts";

/** The list of all regions. */
export interface RegionLists {
  /**
   * A region that fails keeps the apps that it had, in an unknown state, so that the others' still come and go.
   * @throws ProviderError when all regions fail
   */
  fetch(signal: AbortSignal): Promise<readonly Listing[]>;
  /** Why the newest list cannot know of this app: its region did not answer. `null`: it did. */
  whyUnlisted(id: string): string | null;
  /** Whether every region has answered at least once. */
  isWhole(): boolean;
}

interface State {
  readonly context: ScalingoContext;
  /** What each region listed last. */
  readonly listed: Map<string, readonly Listing[]>;
  /** Regions that did not answer the last time, and why. */
  readonly silent: Map<string, string>;
  /** What is wrong with the API of each of them, where that is known. */
  readonly troubles: Map<string, Trouble | null>;
  /** Says which regions those are, where others do answer. */
  readonly conditions: ReadonlyMap<string, Condition>;
}

/** Makes the list; nothing is sent yet. */
export function createRegionLists(context: ScalingoContext, log: Log): RegionLists {
  const { config, clock } = context;
  const conditionOf = (region: string) =>
    createCondition({
      bad: log.warn,
      good: log.info,
      fields: { provider: "scalingo", region },
      clock,
    });
  const state: State = {
    context,
    listed: new Map(),
    silent: new Map(),
    troubles: new Map(),
    conditions: new Map(config.regions.map((region) => [region, conditionOf(region)])),
  };
  return {
    fetch: (signal) => fetchAll(state, signal),
    whyUnlisted: (id) => state.silent.get(regionIn(id)) ?? null,
    isWhole: () => config.regions.every((region) => state.listed.has(region)),
  };
}

async function fetchAll(state: State, signal: AbortSignal): Promise<readonly Listing[]> {
  const { regions } = state.context.config;
  const settled = await Promise.allSettled(
    regions.map((region) => fetchRegion(state.context, { region, urgency: "sweep", signal })),
  );
  for (const [index, region] of regions.entries()) note(state, region, settled[index]);
  const failure = settled.find((result) => result.status === "rejected");
  // Whoever asked for the list says so.
  if (failure !== undefined && state.silent.size === regions.length) throw failure.reason;
  for (const region of regions) report(state, region);
  const listings = regions.flatMap((region) => listingsIn(state, region));
  forgetOthers(state, listings);
  return listings;
}

function note(
  { context, listed, silent, troubles }: State,
  region: string,
  result: PromiseSettledResult<readonly ScalingoApp[]> | undefined,
): void {
  if (result?.status !== "fulfilled") {
    silent.set(region, messageOf(result?.reason));
    troubles.set(region, troubleOf(result?.reason));
    return;
  }
  silent.delete(region);
  listed.set(
    region,
    result.value.map((app) => listingOf(context, region, app)),
  );
}

function report({ silent, conditions, troubles }: State, region: string): void {
  const why = silent.get(region);
  const until = "until it answers, what is known of them stays, and none of them is put to sleep";
  const condition = conditions.get(region);
  if (condition === undefined) return;
  if (why === undefined) {
    condition.end("lists the apps of this region again");
    return;
  }
  const trouble = troubles.get(region) ?? null;
  // The log has it already, unless it has it from here.
  if (trouble?.isKnown() === true && !condition.isKnown()) return;
  condition.begin(`cannot list the apps of this region (${why}): ${until}`);
  trouble?.takeOver();
}

/** Of a region that has never answered nobody knows the apps: those of an earlier run stay as they are. */
function listingsIn({ listed, silent }: State, region: string): readonly Listing[] {
  const listings = listed.get(region) ?? [];
  const reason = silent.get(region);
  if (reason === undefined) return listings;
  return listings.map((listing) => ({
    ...listing,
    observation: { phase: "unknown", target: listing.observation?.target ?? null, reason },
  }));
}

function forgetOthers({ context, silent }: State, listings: readonly Listing[]): void {
  const ids = new Set(listings.map(({ id }) => id));
  for (const memory of [context.known, context.unmanaged]) {
    for (const id of memory.keys()) {
      if (!ids.has(id) && !silent.has(regionIn(id))) memory.delete(id);
    }
  }
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
    label: `${app.name} in ${region}`,
    ...(context.config.regions.length > 1 ? { aliases: [`${app.name}-${region}`] } : {}),
    observation: withUnmanaged(context, id, seen),
    sleepsByItself: false,
  };
}
