/** Looks at apps one by one, where a provider's list does not say how they are: seldom, and a few at a time. */

import type { App } from "./app.ts";
import { isInTransit, refKey } from "./app.ts";
import type { Clock } from "./clock.ts";
import { deadline } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { LastSaid } from "./last-said.ts";
import { createLastSaid, withoutFigures } from "./last-said.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Phase, Provider, ProviderErrorKind } from "./providers/provider.ts";
import { ProviderError, troubleOf } from "./providers/provider.ts";

/** How many apps of which nobody knows how they are one run looks at. */
export const UNKNOWN_LOOKS_MAX = 20;
/** How many of those that were looked at before. */
export const KNOWN_LOOKS_MAX = 5;
/** What is known of an app is looked at again when it is older, ms. */
export const KNOWN_FOR_MS = 60 * 60_000;
/** How long an app that could not be looked at is left alone, ms. */
export const FAILED_LOOK_PAUSE_MS = 5 * 60_000;
/** How many looks go on at the same time. */
const AT_ONCE_MAX = 3;
/** Longest one look may take, ms. */
const LOOK_TIMEOUT_MS = 60_000;

/** What the latest look at an app gave. */
export interface Looked {
  /** When it began, ms since the epoch; `null`: never. */
  readonly triedMs: number | null;
  /** When one last came to something, ms since the epoch, and what it saw. */
  readonly seen: { readonly atMs: number; readonly phase: Phase } | null;
}

/** Looks at apps. */
export interface Looks {
  /**
   * Begins to look at those whose turn it is, behind everybody's back: nobody waits for it, and it never throws.
   * Does nothing while an earlier round of this provider goes on.
   * @param apps those that the newest list says nothing about
   */
  begin(provider: Provider, apps: readonly App[]): void;
}

/** Everything looking needs from outside. */
export interface LooksDeps {
  readonly lifecycle: Pick<Lifecycle, "observe">;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the app can be asked for at all. */
  readonly isSeated: (app: App) => boolean;
  /** Ends all looks. */
  readonly signal: AbortSignal;
}

interface LooksContext extends LooksDeps {
  readonly looked: WeakMap<App, Looked>;
  readonly busy: Set<string>;
  readonly said: LastSaid;
}

/** Nothing was looked at yet. */
export function createLooks(deps: LooksDeps): Looks {
  const context: LooksContext = {
    ...deps,
    looked: new WeakMap(),
    busy: new Set(),
    said: createLastSaid(),
  };
  return {
    begin(provider, apps) {
      if (context.busy.has(provider.name) || context.signal.aborted) return;
      const queue = chooseLooks(
        apps.filter(context.isSeated).map((app) => ({ app, ...lookedOf(context, app) })),
        { nowMs: context.clock.now(), listHasState: provider.capabilities.listHasState },
      );
      if (queue.length > 0) void work(context, provider, [...queue]);
    },
  };
}

const NEVER: Looked = { triedMs: null, seen: null };

function lookedOf({ looked }: LooksContext, app: App): Looked {
  return looked.get(app) ?? NEVER;
}

/**
 * Whose turn it is, the most urgent first. Pure. Where lists usually say how apps are, those that one says nothing
 * about are looked at every time; otherwise those that nobody knows about, and a few of those that are not fresh.
 */
export function chooseLooks(
  candidates: readonly (Looked & { readonly app: App })[],
  facts: { readonly nowMs: number; readonly listHasState: boolean },
): readonly App[] {
  const { nowMs, listHasState } = facts;
  const open = candidates.filter(({ app }) => !isInTransit(app.state));
  const isUrgent = (one: Looked & { readonly app: App }) => listHasState || isUnknown(one);
  const urgent = open
    .filter((one) => isUrgent(one) && !hasJustFailed(one, nowMs))
    .toSorted((a, b) => (a.triedMs ?? 0) - (b.triedMs ?? 0));
  const stale = open
    .filter((one) => !isUrgent(one) && nowMs - freshMs(one) > KNOWN_FOR_MS)
    .toSorted((a, b) => freshMs(a) - freshMs(b));
  const chosen = [...urgent.slice(0, UNKNOWN_LOOKS_MAX), ...stale.slice(0, KNOWN_LOOKS_MAX)];
  return chosen.map(({ app }) => app);
}

const PASSING_PHASES: ReadonlySet<Phase> = new Set<Phase>(["deploying", "waking", "stopping"]);

/** Nobody has looked since the state is unknown, or what was seen will soon be over. */
function isUnknown({ app, seen }: Looked & { readonly app: App }): boolean {
  if (seen !== null && PASSING_PHASES.has(seen.phase)) return true;
  return app.state.kind === "unknown" && (seen === null || seen.atMs < app.state.sinceMs);
}

function hasJustFailed({ triedMs, seen }: Looked, nowMs: number): boolean {
  const hasFailed = triedMs !== null && (seen === null || seen.atMs < triedMs);
  return hasFailed && nowMs - triedMs < FAILED_LOOK_PAUSE_MS;
}

/** When something was last known, or at least tried. */
function freshMs({ app, triedMs, seen }: Looked & { readonly app: App }): number {
  return Math.max(app.state.sinceMs, triedMs ?? 0, seen?.atMs ?? 0);
}

/** Several take from one queue; what they could not do, the next round chooses again. */
async function work(context: LooksContext, provider: Provider, queue: App[]): Promise<void> {
  context.busy.add(provider.name);
  try {
    await Promise.all(Array.from({ length: AT_ONCE_MAX }, () => workOff(context, provider, queue)));
  } finally {
    context.busy.delete(provider.name);
  }
}

async function workOff(context: LooksContext, provider: Provider, queue: App[]): Promise<void> {
  for (let app = queue.shift(); app !== undefined; app = queue.shift()) {
    if (context.signal.aborted) return;
    const isFutile = await lookAt(context, provider, app);
    if (isFutile) queue.length = 0;
  }
}

/** Failures that the next app would meet as well. */
const GENERAL_KINDS: ReadonlySet<ProviderErrorKind> = new Set<ProviderErrorKind>([
  "auth",
  "network",
  "rate-limited",
  "unavailable",
]);

/** @returns whether it makes no sense to go on with other apps now. Never rejects. */
async function lookAt(context: LooksContext, provider: Provider, app: App): Promise<boolean> {
  const { clock, looked, said } = context;
  const since = app.state;
  const atMs = clock.now();
  looked.set(app, { ...lookedOf(context, app), triedMs: atMs });
  const limit = deadline(clock, LOOK_TIMEOUT_MS, {
    reason: new Error(`no answer within ${LOOK_TIMEOUT_MS / 1000} s`),
    parent: context.signal,
  });
  try {
    const observation = await provider.observe(app.ref.id, limit.signal);
    looked.set(app, { triedMs: atMs, seen: { atMs, phase: observation.phase } });
    context.lifecycle.observe(app, { observation, since });
    said.isOver(provider.name);
    said.isOver(refKey(app.ref));
    return false;
  } catch (error) {
    if (context.signal.aborted) return true;
    const isGeneral = error instanceof ProviderError && GENERAL_KINDS.has(error.kind);
    const fields = { provider: provider.name, app: app.key, reason: messageOf(error) };
    const isNews = isNewsOf(said, { app, error, isGeneral });
    const message = "could not be observed: it is looked at again later";
    context.log[isNews ? "warn" : "debug"](fields, message);
    return isGeneral;
  } finally {
    limit.end();
  }
}

/** What all apps of a provider meet is one piece of news, and none where the log has it already. */
function isNewsOf(
  said: LastSaid,
  failed: { readonly app: App; readonly error: unknown; readonly isGeneral: boolean },
): boolean {
  const { app, error, isGeneral } = failed;
  if (troubleOf(error)?.isKnown() === true) return false;
  const isNewsOfApp = said.isNews(refKey(app.ref), withoutFigures(messageOf(error)));
  return isGeneral ? said.isNews(app.ref.provider, "bad") && isNewsOfApp : isNewsOfApp;
}
