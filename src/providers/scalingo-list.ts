/** The apps of all regions of a Scalingo account, in one call per region. */

import type { Log } from "../log.ts";
import type { Urgency } from "./platform-api.ts";
import { createPartLists, type PartLists } from "./platform-parts.ts";
import type { Listing } from "./provider.ts";
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

/** Makes the list; nothing is sent yet. */
export function createRegionLists(context: ScalingoContext, log: Log): RegionLists {
  const { config, clock } = context;
  const { regions } = config;
  const parts = createPartLists({ provider: "scalingo", noun: "region", clock, log });
  return {
    async fetch(signal) {
      const listings = await parts.fetch(regions, async (region) => {
        const apps = await fetchRegion(context, { region, urgency: "sweep", signal });
        return apps.map((app) => listingOf(context, region, app));
      });
      forgetOthers(context, parts, listings);
      return listings;
    },
    whyUnlisted: (id) => parts.whySilent(regionIn(id)),
    isWhole: () => regions.every(parts.isKnown),
  };
}

function forgetOthers(
  { known, unmanaged }: ScalingoContext,
  parts: PartLists,
  listings: readonly Listing[],
): void {
  const ids = new Set(listings.map(({ id }) => id));
  for (const memory of [known, unmanaged]) {
    for (const id of memory.keys()) {
      if (!ids.has(id) && parts.whySilent(regionIn(id)) === null) memory.delete(id);
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
    facts: { ...app.facts, region },
    sleepsByItself: false,
  };
}
