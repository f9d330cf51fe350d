/** One watch after the other, so that whoever follows a feed is told of every change. */

import { sleep } from "../clock.ts";
import { eitherOf } from "./either-signal.ts";
import type { FeedFollower } from "./kubernetes-feed.ts";
import { type FeedState, nameOf, newest, REFUSED_MS } from "./kubernetes-feed-state.ts";
import { objectKeyOf, objectNameOf } from "./kubernetes-json.ts";
import { type WatchEnd, type WatchEvent, watchOnce } from "./kubernetes-stream.ts";

/** How long the cluster is asked to go on with one watch, s; up to a minute more, so that not all end together. */
const WATCH_SECONDS = 240;
/** Longest pause between two watches that go well, ms. */
const PAUSE_MS = 1_000;
/** Between two that fail, ms: doubles from the first to the last. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_LAST_MS = 30_000;
/** The cluster does not end a watch so soon: something on the way does, ms. */
const SHORT_MS = 5_000;
/** So many in a row are worth a line in the log, if lists work. */
const FAILURES_TOLD = 3;
/** How long a watch waits for somebody to read before it asks for that, ms. */
const NUDGE_MS = 30_000;

/** Watches until the signal aborts, beginning with the first list. Never rejects. */
export async function follow<T>(state: FeedState<T>, follower: FeedFollower<T>): Promise<void> {
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
async function untilListed<T>(state: FeedState<T>, follower: FeedFollower<T>): Promise<void> {
  const { clock } = state;
  const restMs = state.refusedUntilMs - clock.now();
  await wait(state, follower, restMs > 0 ? restMs : NUDGE_MS);
  if (state.version === null && clock.now() >= state.refusedUntilMs) follower.onGap();
}

/** @throws the signal's reason, also that of a list which ends the wait */
async function wait<T>(
  { clock, relisted }: FeedState<T>,
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

async function watchOn<T>(state: FeedState<T>, follower: FeedFollower<T>): Promise<WatchEnd> {
  const { clock, random, version, relisted, watchReport } = state;
  const either = eitherOf([follower.signal, relisted.signal]);
  try {
    return await watchOnce(state, {
      path: state.path,
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

function take<T>(state: FeedState<T>, { onChange }: FeedFollower<T>, event: WatchEvent): void {
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
  state: FeedState<T>,
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
