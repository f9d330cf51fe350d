/** A registry of our own that may fail (its disk is full, say): trouble is said once, told, and looked for the end of. */

import type { CancelTimer, Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Peers } from "../peers.ts";
import type { Registry } from "./registry.ts";

/** What is watched, and how. */
export interface WatchedRegistryDeps {
  readonly registry: Registry;
  /** Writes something that changes nothing. @throws Error while that is not possible */
  readonly tryWrite: () => void;
  /** What it is without trouble: nobody else has it. */
  readonly alone: Peers;
  readonly clock: Clock;
  readonly log: Log;
}

/** Shortest time between two lines that say so, ms: what comes and goes must not fill the log. */
const LINE_GAP_MS = 10 * 60_000;

/** How often it is tried whether a registry that failed works again, ms. */
const TRY_EVERY_MS = 2_000;

interface Context extends WatchedRegistryDeps {
  trouble: { readonly why: string; readonly sinceMs: number } | null;
  cancelTry: CancelTimer | null;
  isClosed: boolean;
  isSaid: boolean;
  saidMs: number;
  /** What to call when it works again. */
  onBack: () => void;
}

/**
 * The registry, and the peers that know of its trouble: from a failure on, and before whoever met it knows, until it can
 * be written again, no app may be put to sleep, since what brings it back could not be stored. The log has one line
 * when that begins and one when it ends, however many apps there are.
 */
export function createWatchedRegistry(deps: WatchedRegistryDeps): {
  readonly registry: Registry;
  readonly peers: Peers;
} {
  const context: Context = {
    ...deps,
    trouble: null,
    cancelTry: null,
    isClosed: false,
    isSaid: false,
    saidMs: Number.NEGATIVE_INFINITY,
    onBack: () => undefined,
  };
  return { registry: registryOf(context), peers: peersOf(context) };
}

function registryOf(context: Context): Registry {
  const { registry } = context;
  const watched = <T>(work: Promise<T>) => work.catch((error: unknown) => fail(context, error));
  return {
    load: () => watched(registry.load()),
    save: (record) => watched(registry.save(record)),
    remove: (ref) => watched(registry.remove(ref)),
    touch: (uses) => watched(registry.touch(uses)),
    claim: (ref, known) => watched(registry.claim(ref, known)),
    async close() {
      context.isClosed = true;
      context.cancelTry?.();
      context.cancelTry = null;
      await registry.close();
    },
  };
}

function peersOf(context: Context): Peers {
  return {
    ...context.alone,
    async join(listener) {
      context.onBack = () => listener.resync();
    },
    whyNotLeader: () => context.trouble && `the registry cannot be written: ${context.trouble.why}`,
    state: () => ({
      ...{ trouble: context.trouble?.why ?? null, sinceMs: context.trouble?.sinceMs ?? 0 },
      ...{ others: [], isLeader: true, leader: context.alone.self },
    }),
  };
}

/** @throws what it is given */
function fail(context: Context, error: unknown): never {
  const why = messageOf(error);
  if (context.trouble === null && !context.isClosed) {
    context.trouble = { why, sinceMs: context.clock.now() };
    say(context, why);
    tryLater(context);
  }
  throw error;
}

const NEXT =
  "make room, and let this user write the files in DATA_DIR; a damaged one is set aside with the next start";

function say(context: Context, why: string): void {
  const nowMs = context.clock.now();
  if (nowMs - context.saidMs < LINE_GAP_MS) return;
  context.isSaid = true;
  context.saidMs = nowMs;
  context.log.error(
    { reason: why, next: NEXT },
    "The registry cannot be written: apps are woken and served, and none is put to sleep until it can",
  );
}

/** Whether it works again is found out here alone: a small write may fit where the next one does not. */
function tryLater(context: Context): void {
  context.cancelTry = context.clock.after(TRY_EVERY_MS, () => {
    context.cancelTry = null;
    try {
      context.tryWrite();
    } catch {
      tryLater(context);
      return;
    }
    context.trouble = null;
    if (context.isSaid) context.log.info({}, "The registry can be written again");
    context.isSaid = false;
    context.onBack();
  });
}
