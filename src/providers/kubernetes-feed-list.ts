/** Lists of one feed: whoever asks at the same time shares one. */

import { throwIfAborted, unlessAborted } from "./abortable.ts";
import type { ListOrder, WholeList } from "./kubernetes-api.ts";
import type { ReadOrder } from "./kubernetes-feed.ts";
import { type FeedState, nameOf, newest } from "./kubernetes-feed-state.ts";
import { objectKeyOf, objectNameOf } from "./kubernetes-json.ts";
import type { Urgency } from "./platform-api.ts";
import { ProviderError } from "./provider.ts";

/** Lists of one urgency, one after the other. */
export interface Turns<T> {
  /** Fulfilled at the end of all that have begun or wait; never rejects. */
  busy: Promise<unknown>;
  /** One that has not begun: whoever asks may share it. */
  next: Listing<T> | null;
}

interface Listing<T> {
  readonly result: Promise<readonly T[]>;
  /** Aborted when nobody waits for it any more. */
  readonly end: AbortController;
  waiting: number;
}

/** Nobody lists. */
export function noTurns<T>(): Turns<T> {
  return { busy: Promise.resolve(), next: null };
}

/**
 * Apps that are woken at the same moment ask for the same: while one list is on its way, all who ask share the next.
 * So nobody is told what was so before they asked.
 * @throws ProviderError as a list call
 */
export async function listTogether<T>(
  state: FeedState<T>,
  order: ReadOrder,
): Promise<readonly T[]> {
  const { urgency, signal } = order;
  const what = `listing the ${nameOf(state)}`;
  throwIfAborted(signal, what);
  const turns = state.turns[urgency];
  const listing = turns.next ?? queueList(state, urgency);
  listing.waiting += 1;
  try {
    return await unlessAborted(listing.result, signal, what);
  } finally {
    listing.waiting -= 1;
    if (listing.waiting === 0) {
      if (turns.next === listing) turns.next = null;
      listing.end.abort(new Error("nobody waits for it any more"));
    }
  }
}

function queueList<T>(state: FeedState<T>, urgency: Urgency): Listing<T> {
  const turns = state.turns[urgency];
  const { busy } = turns;
  const end = new AbortController();
  const inTurn = async () => {
    await busy;
    if (turns.next === listing) turns.next = null;
    return await list(state, { urgency, signal: end.signal });
  };
  const result = inTurn();
  const listing: Listing<T> = { result, end, waiting: 0 };
  turns.next = listing;
  turns.busy = result.catch(() => undefined);
  return listing;
}

async function list<T>(state: FeedState<T>, order: ReadOrder): Promise<readonly T[]> {
  state.asked += 1;
  const question = state.asked;
  const what = `list the ${nameOf(state)}`;
  const { items, resourceVersion } = await listWhole(state, { ...order, what, path: state.path });
  // Passed over, it would count as deleted.
  if (items.some((object) => objectNameOf(object) === null)) {
    throw new ProviderError("protocol", `could not ${what}: an object in it has no name`);
  }
  const listed = items.flatMap((object) => entryOf(state, object) ?? []);
  if (question > state.answered) {
    state.answered = question;
    state.items = new Map(listed.map(([key, item]) => [key, newest(state, item, key)]));
    // A watch may have told of more by now: it begins again from here, and tells it once more.
    state.version = resourceVersion;
    state.relisted.abort(new Error("listed anew"));
    state.relisted = new AbortController();
  }
  return listed.map(([key, item]) => state.items.get(key) ?? item);
}

function entryOf<T>({ kind }: FeedState<T>, object: unknown): [readonly [string, T]] | null {
  const named = objectNameOf(object);
  const item = kind.read(object);
  return named === null || item === null ? null : [[objectKeyOf(named), item]];
}

/** A list, which shows whether it is the watch alone that fails. Where nothing works, the calls say so. */
async function listWhole<T>(state: FeedState<T>, order: ListOrder): Promise<WholeList> {
  let whole: WholeList;
  try {
    whole = await state.api.list(order);
  } catch (error) {
    state.isUnlisted = true;
    throw error;
  }
  const { failing, isUnlisted } = state;
  state.isUnlisted = false;
  // What has failed with all else tries again at once, and may work.
  if (isUnlisted) state.failing = null;
  else if (failing !== null) state.watchReport.fails(nameOf(state), failing);
  return whole;
}
