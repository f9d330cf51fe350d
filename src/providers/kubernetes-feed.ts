/** All objects of one kind in one namespace, or in the whole cluster: listed, then watched. */

import { type Clock, sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import { eitherOf } from "./either-signal.ts";
import type { KubernetesApi, ListOrder } from "./kubernetes-api.ts";
import { objectKeyOf, objectNameOf } from "./kubernetes-json.ts";
import { type WatchEnd, type WatchEvent, watchOnce } from "./kubernetes-stream.ts";
import type { WatchReport } from "./kubernetes-watch-report.ts";
import type { Urgency } from "./platform-api.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import { ProviderError } from "./provider.ts";

/** A kind of object. */
export interface FeedKind<T> {
  /** As it stands in URLs and roles: `deployments`. */
  readonly plural: string;
  /** `/api/v1`, `/apis/apps/v1`. */
  readonly group: string;
  /** What to keep of an object; `null`: nothing. */
  readonly read: (object: unknown) => T | null;
  /** Of two readings of the same object: whether `news` is the older one. */
  readonly isOlder?: (news: T, known: T) => boolean;
  /** What is wrong where these cannot be listed or watched; the rest works without. Left out: they are needed. */
  readonly without?: string;
}

/** One object came, changed (both are given) or went. */
export interface FeedChange<T> {
  readonly before: T | null;
  readonly after: T | null;
}

/** Who follows the changes. */
export interface FeedFollower<T> {
  readonly onChange: (change: FeedChange<T>) => void;
  /** What happened cannot be told one by one any more: somebody should read everything. */
  readonly onGap: () => void;
  readonly signal: AbortSignal;
}

/** Who reads, and how urgently. */
export type ReadOrder = Pick<ListOrder, "urgency" | "signal">;

/** Made by `createFeed`. */
export interface Feed<T> {
  /** `null`: the whole cluster. */
  readonly namespace: string | null;
  /**
   * Everything there is: as it was watched, while the watch can be trusted, otherwise as it is listed now.
   * @throws ProviderError as a list call; never `forbidden` or `not-found` where these are not needed
   */
  read(order: ReadOrder): Promise<readonly T[]>;
  /** Everything that was read or watched so far, by namespace and name; `null`: nothing was read yet. */
  readonly known: ReadonlyMap<string, T> | null;
  /** Somebody has read one object on its own. @returns what counts now: that, or what is known to be newer */
  accept(object: T, key: string): T;
  /** Watches until the signal aborts, beginning with the first read. Never rejects. */
  follow(follower: FeedFollower<T>): Promise<void>;
}

/** What feeds are made of. */
export interface FeedDeps {
  readonly api: KubernetesApi;
  /** Shared by all feeds. */
  readonly watchReport: WatchReport;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** How long the cluster is asked to go on with one watch, s; up to a minute more, so that not all end together. */
const WATCH_SECONDS = 240;
/** What is watched is trusted so long after the last word, ms. Bookmarks come about once a minute. */
const TRUST_MS = 90_000;
/** Longest pause between two watches that go well, ms. */
const PAUSE_MS = 1_000;
/** Between two that fail, ms: doubles from the first to the last. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_LAST_MS = 30_000;
/** The cluster does not end a watch so soon: something on the way does, ms. */
const SHORT_MS = 5_000;
/** So many in a row are worth a line in the log, if lists work. */
const FAILURES_TOLD = 3;
/** How long nothing is asked that is not allowed, ms. */
const REFUSED_MS = 10 * 60_000;
/** How long a watch waits for somebody to read before it asks for that, ms. */
const NUDGE_MS = 30_000;

interface State<T> extends FeedDeps {
  readonly kind: FeedKind<T>;
  readonly namespace: string | null;
  items: Map<string, T>;
  /** Up to where everything is known; `null`: nothing is. */
  version: string | null;
  /** When the watch last said something, ms since the epoch. */
  heardMs: number;
  /** Aborted and replaced by each list: a watch goes on from there. */
  relisted: AbortController;
  refusedUntilMs: number;
  /** How many lists were begun, and which of them the newest was that has ended. */
  asked: number;
  answered: number;
  /** Why the watch has failed several times in a row; `null`: it has not. */
  failing: string | null;
  readonly unlisted: Condition;
  readonly turns: Readonly<Record<Urgency, Turns<T>>>;
}

/** Lists of one urgency, one after the other. */
interface Turns<T> {
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

/** Nothing is asked before the first read. */
export function createFeed<T>(
  deps: FeedDeps,
  kind: FeedKind<T>,
  namespace: string | null,
): Feed<T> {
  const { clock, log } = deps;
  const fields = { provider: "kubernetes", kind: kind.plural, ...(namespace && { namespace }) };
  const state: State<T> = {
    ...deps,
    kind,
    namespace,
    items: new Map(),
    version: null,
    heardMs: Number.NEGATIVE_INFINITY,
    relisted: new AbortController(),
    refusedUntilMs: Number.NEGATIVE_INFINITY,
    asked: 0,
    answered: 0,
    failing: null,
    turns: { wake: noTurns(), sweep: noTurns(), sleep: noTurns() },
    unlisted: createCondition({ bad: log.warn, good: log.info, fields, clock }),
  };
  return {
    namespace,
    read: (order) => read(state, order),
    get known() {
      return state.answered === 0 && clock.now() >= state.refusedUntilMs ? null : state.items;
    },
    accept: (object, key) => accept(state, object, key),
    follow: (follower) => follow(state, follower),
  };
}

function noTurns<T>(): Turns<T> {
  return { busy: Promise.resolve(), next: null };
}

/** What a feed is about, for people. */
function nameOf<T>({ kind, namespace }: State<T>): string {
  return `${kind.plural} of ${namespace ?? "the cluster"}`;
}

function pathOf<T>({ kind, namespace }: State<T>): string {
  const scope = namespace === null ? "" : `namespaces/${encodeURIComponent(namespace)}/`;
  return `${kind.group}/${scope}${kind.plural}`;
}

async function read<T>(state: State<T>, order: ReadOrder): Promise<readonly T[]> {
  const { clock, kind, unlisted } = state;
  if (clock.now() - state.heardMs < TRUST_MS) return [...state.items.values()];
  if (kind.without !== undefined && clock.now() < state.refusedUntilMs) return [];
  try {
    const listed = await listTogether(state, order);
    unlisted.end(`${kind.plural} can be listed again`);
    return listed;
  } catch (error) {
    if (kind.without === undefined || !isRefusal(error)) throw error;
    state.refusedUntilMs = clock.now() + REFUSED_MS;
    unlisted.begin(`${messageOf(error)}; ${kind.without}`);
    return [];
  }
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof ProviderError)) return false;
  return error.kind === "forbidden" || error.kind === "not-found";
}

/**
 * Apps that are woken at the same moment ask for the same: while one list is on its way, all who ask share the next.
 * So nobody is told what was so before they asked.
 */
async function listTogether<T>(state: State<T>, order: ReadOrder): Promise<readonly T[]> {
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

function queueList<T>(state: State<T>, urgency: Urgency): Listing<T> {
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

async function list<T>(state: State<T>, order: ReadOrder): Promise<readonly T[]> {
  const { api } = state;
  state.asked += 1;
  const question = state.asked;
  const what = `list the ${nameOf(state)}`;
  const { items, resourceVersion } = await api.list({ ...order, what, path: pathOf(state) });
  // Where nothing works, the calls say so.
  if (state.failing !== null) state.watchReport.fails(nameOf(state), state.failing);
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

function entryOf<T>({ kind }: State<T>, object: unknown): [readonly [string, T]] | null {
  const named = objectNameOf(object);
  const item = kind.read(object);
  return named === null || item === null ? null : [[objectKeyOf(named), item]];
}

function newest<T>({ items, kind }: State<T>, news: T, key: string): T {
  const known = items.get(key);
  return known !== undefined && kind.isOlder?.(news, known) === true ? known : news;
}

function accept<T>(state: State<T>, object: T, key: string): T {
  const counts = newest(state, object, key);
  state.items.set(key, counts);
  return counts;
}

async function follow<T>(state: State<T>, follower: FeedFollower<T>): Promise<void> {
  const { clock } = state;
  const { signal } = follower;
  let failures = 0;
  while (!signal.aborted) {
    const { relisted } = state;
    const beganMs = clock.now();
    try {
      if (state.version === null) {
        await untilListed(state, follower);
        continue;
      }
      const end = await watchOn(state, follower);
      const isShort = clock.now() - beganMs < SHORT_MS;
      // One that had gone stale is begun anew; one that is stale from the first moment on does not work.
      const isFailure = end.kind === "failed" || (end.kind !== "refused" && isShort);
      const before = isShort ? failures : 0;
      failures = isFailure ? before + 1 : 0;
      await pauseAfter(state, follower, { end, failures });
    } catch (error) {
      // Somebody has listed, or nobody follows any more: nothing else ends a wait.
      if (!signal.aborted && !relisted.signal.aborted) throw error;
    }
  }
  state.heardMs = Number.NEGATIVE_INFINITY;
}

/** Waits for somebody to read; now and then asks for that. */
async function untilListed<T>(state: State<T>, follower: FeedFollower<T>): Promise<void> {
  const { clock } = state;
  const restMs = state.refusedUntilMs - clock.now();
  await wait(state, follower, restMs > 0 ? restMs : NUDGE_MS);
  if (state.version === null && clock.now() >= state.refusedUntilMs) follower.onGap();
}

/** @throws the signal's reason, also that of a list which ends the wait */
async function wait<T>(
  { clock, relisted }: State<T>,
  { signal }: FeedFollower<T>,
  delayMs: number,
): Promise<void> {
  const either = eitherOf([signal, relisted.signal]);
  try {
    await sleep(clock, delayMs, either.signal);
  } finally {
    either.end();
  }
}

async function watchOn<T>(state: State<T>, follower: FeedFollower<T>): Promise<WatchEnd> {
  const { clock, random, version, relisted, watchReport } = state;
  const either = eitherOf([follower.signal, relisted.signal]);
  try {
    return await watchOnce(state, {
      path: pathOf(state),
      version: version ?? "",
      seconds: WATCH_SECONDS + Math.floor(random() * 60),
      signal: either.signal,
      onOpen() {
        state.heardMs = clock.now();
        state.failing = null;
        watchReport.works(nameOf(state));
      },
      onEvent(event) {
        state.heardMs = clock.now();
        take(state, follower, event);
      },
    });
  } finally {
    either.end();
  }
}

function take<T>(state: State<T>, { onChange }: FeedFollower<T>, event: WatchEvent): void {
  if (event.version !== "") state.version = event.version;
  if (event.kind === "bookmark") return;
  const named = objectNameOf(event.object);
  if (named === null) return;
  const key = objectKeyOf(named);
  const before = state.items.get(key) ?? null;
  const item = event.kind === "deleted" ? null : state.kind.read(event.object);
  if (item === null) {
    state.items.delete(key);
    if (before !== null) onChange({ before, after: null });
    return;
  }
  // An event from before what somebody has read meanwhile.
  if (newest(state, item, key) !== item) return;
  state.items.set(key, item);
  onChange({ before, after: item });
}

/** Why a watch does not work that ends so soon again and again. */
const WHYS = {
  over: "something on the way cuts the connection",
  expired: "the cluster forgets at once what it listed",
} as const;

async function pauseAfter<T>(
  state: State<T>,
  follower: FeedFollower<T>,
  { end, failures }: { readonly end: WatchEnd; readonly failures: number },
): Promise<void> {
  const { random, clock, watchReport } = state;
  if (end.kind === "over" && failures === 0) {
    return await wait(state, follower, random() * PAUSE_MS);
  }
  state.heardMs = Number.NEGATIVE_INFINITY;
  if (end.kind === "refused") {
    watchReport.fails(nameOf(state), end.why);
    return await sleep(clock, REFUSED_MS, follower.signal);
  }
  if (end.kind === "expired") {
    state.version = null;
    follower.onGap();
    if (failures <= 1) return;
  }
  const why = end.kind === "failed" ? end.why : WHYS[end.kind];
  const askedMs = end.kind === "failed" ? end.retryAfterMs : 0;
  if (failures >= FAILURES_TOLD) state.failing = why;
  const wholeMs = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, 10));
  const ownMs = wholeMs * (0.5 + random() / 2);
  // A list that succeeds meanwhile shows that the cluster answers again.
  if (askedMs === 0 && end.kind === "failed") return await wait(state, follower, ownMs);
  await sleep(clock, Math.max(ownMs, askedMs), follower.signal);
}
