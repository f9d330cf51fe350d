/** Every app that a Clever Cloud credential may see, at one or two calls a list. */

import { messageOf } from "../errors.ts";
import type { Asked } from "./clever-cloud-api.ts";
import {
  type CleverCloudContext,
  idOf,
  type Known,
  knownOf,
  learnDetail,
} from "./clever-cloud-context.ts";
import type { Order } from "./clever-cloud-decision.ts";
import type { Owner, SummaryApp } from "./clever-cloud-json.ts";
import { keysOf } from "./clever-cloud-keys.ts";
import { listedPhase, type Standing } from "./clever-cloud-state.ts";
import type { Listing } from "./provider.ts";
import { aliasOf } from "./slug.ts";

/** Addresses may change: the apps of an owner are read anew when what is known of them is older, ms. */
const DETAILS_FOR_MS = 60 * 60_000;
/** An owner whose newest apps are not known in full is not asked more often, ms. */
const DETAILS_GAP_MS = 60_000;

/** No wake or sleep is followed for longer, ms. */
const CHANGES_FOR_MS = 30 * 60_000;

/**
 * The summary has every app's state, but neither its address nor its kind. Those come from a second call that reads
 * the apps of one owner in full, the one whose turn it is: so a list is two calls at most however many owners there
 * are, and soon one. An app whose address is not known yet is `awake` without a target.
 * @throws ProviderError when the summary cannot be had; the second call may fail
 */
export async function listApps(
  context: CleverCloudContext,
  signal: AbortSignal,
): Promise<readonly Listing[]> {
  const asked: Asked = { urgency: "sweep", signal };
  const owners = await context.api.summary(asked);
  const listed = new Map(
    owners.flatMap(({ apps }) => apps).map((app) => [note(context, app), app] as const),
  );
  forgetOthers(context, new Set(listed.keys()));
  const owner = ownerToAsk(context, owners);
  if (owner !== null) await readDetails(context, owner, asked);
  return listingsOf(context, listed, new Map(owners.map(({ id, name }) => [id, name])));
}

function note(context: CleverCloudContext, app: SummaryApp): Known {
  const known = knownOf(context, idOf(app.ownerId, app.appId));
  known.name = app.name || null;
  if (known.finding?.state !== app.state) known.finding = null;
  return known;
}

/** What is not listed is forgotten, but for what is being changed just now: a list may be older than that. */
function forgetOthers(context: CleverCloudContext, listed: ReadonlySet<Known>): void {
  const nowMs = context.clock.now();
  const isRecent = (order: Order | null) =>
    order !== null && nowMs - order.begunMs < CHANGES_FOR_MS;
  for (const [id, known] of context.apps) {
    if (listed.has(known) || isRecent(known.wake) || isRecent(known.sleep)) continue;
    context.apps.delete(id);
  }
}

/** Whose apps are to be read in full; `null`: nobody's. Who was never asked comes first, then who waits longest. */
function ownerToAsk(context: CleverCloudContext, owners: readonly Owner[]): Owner | null {
  const nowMs = context.clock.now();
  const askedMs = ({ id }: Owner) => context.ownersAskedMs.get(id) ?? Number.NEGATIVE_INFINITY;
  const waiting = owners.filter((owner) => {
    if (owner.apps.length === 0) return false;
    const isPartial = owner.apps.some(
      ({ ownerId, appId }) => context.apps.get(idOf(ownerId, appId))?.detail === null,
    );
    return nowMs - askedMs(owner) >= (isPartial ? DETAILS_GAP_MS : DETAILS_FOR_MS);
  });
  return waiting.toSorted((one, other) => askedMs(one) - askedMs(other))[0] ?? null;
}

async function readDetails(context: CleverCloudContext, owner: Owner, asked: Asked): Promise<void> {
  context.ownersAskedMs.set(owner.id, context.clock.now());
  try {
    for (const app of await context.api.appsOf(owner, asked)) {
      const known = context.apps.get(idOf(owner.id, app.appId));
      if (known !== undefined) learnDetail(known, app);
    }
  } catch (error) {
    if (asked.signal.aborted) throw error;
    const fields = { provider: "clever-cloud", owner: owner.name, reason: messageOf(error) };
    context.log.debug(fields, "the addresses of its apps could not be read: later again");
  }
}

function listingsOf(
  context: CleverCloudContext,
  listed: ReadonlyMap<Known, SummaryApp>,
  ownerNames: ReadonlyMap<string, string>,
): readonly Listing[] {
  const ours = [...listed].filter(([known]) => known.detail?.isForeign !== true);
  const named = ours.map(([known, app]) => nameOf(context, known, app));
  const { keyed, holders } = keysOf(named, context.holders);
  context.holders = holders;
  return keyed.map(({ app: { known, id, state, name }, key }) => {
    const alias = aliasOf(known.appId);
    const owner = ownerNames.get(known.ownerId) ?? "";
    return {
      id,
      key,
      label: owner === "" ? known.label : `${name} of ${owner}`,
      aliases: alias === key ? [] : [alias],
      observation: {
        ...standingIn(context, known, state),
        target: known.detail?.target ?? null,
      },
      sleepsByItself: false,
    };
  });
}

/** @param state the app's own word in the summary */
function standingIn({ clock }: CleverCloudContext, { finding }: Known, state: string): Standing {
  if (finding === null || finding.untilMs < clock.now()) return listedPhase(state);
  const { phase, reason } = finding;
  return { phase, ...(reason === undefined ? {} : { reason }) };
}

function nameOf({ ownersAskedMs }: CleverCloudContext, known: Known, app: SummaryApp) {
  const wasAsked = known.detail !== null || ownersAskedMs.has(app.ownerId);
  return {
    id: idOf(app.ownerId, app.appId),
    appId: app.appId,
    name: app.name,
    createdMs: known.detail?.createdMs ?? (wasAsked ? Infinity : null),
    state: app.state,
    known,
  };
}
