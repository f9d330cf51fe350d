/** When providers are asked for their apps, in whose turn, and what is said when one does not answer. */

import type { App, AppState } from "./app.ts";
import type { CancelTimer, Clock } from "./clock.ts";
import { deadline, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { Log } from "./log.ts";
import type { Listing, Provider } from "./providers/provider.ts";
import { ProviderError, troubleOf } from "./providers/provider.ts";

/** What one provider listed. */
export interface ListAnswer {
  /** Each app once. */
  readonly listings: readonly Listing[];
  /** How its apps were when the list was asked for. */
  readonly states: ReadonlyMap<App, AppState>;
  readonly cause: Cause;
  /** The provider's first since the start. The log names its apps in one line. */
  readonly isFirst: boolean;
}

/** How far the asking is. `stuck`: some provider, or a part of one, has not answered yet, and nobody knows when it will. */
export type Completeness = "complete" | "starting" | "stuck";

/** Asks providers for their apps. */
export interface ProviderLists {
  /** Asks every provider once. Never rejects. */
  askAll(cause: Cause): Promise<void>;
  /** Asks one provider soon. However often it is said, it is asked once. */
  askSoon(provider: string): void;
  /** Whether every provider has answered at least once, and every part of it, or what keeps them from it. */
  completeness(): Completeness;
  /** Whether a provider has answered, or failed to, at least once. */
  wasAsked(provider: string): boolean;
  /** Why the latest list of a provider failed; `null` when it did not. */
  troubleOf(provider: string): string | null;
}

/** Everything asking needs from outside. */
export interface ProviderListsDeps {
  /** In the order in which they get keys. */
  readonly providers: readonly Provider[];
  readonly clock: Clock;
  readonly log: Log;
  /** How the apps of a provider are now. */
  readonly statesOf: (provider: Provider) => ReadonlyMap<App, AppState>;
  /**
   * Takes over a list. One that was asked for before another that was taken over is dropped.
   * @returns how many of its apps nobody knew before
   */
  readonly onList: (provider: Provider, answer: ListAnswer) => Promise<number>;
  /** Called whenever a provider was asked, whether or not it answered. Left out: nobody wants to know. */
  readonly onAsked?: () => void;
  /** Ends all asking. */
  readonly signal: AbortSignal;
}

interface ListsContext extends ProviderListsDeps {
  readonly startedMs: number;
  readonly said: Map<string, Said>;
  /** What settles after the first answer or failure of each. */
  readonly turns: ReadonlyMap<Provider, PromiseWithResolvers<void>>;
  readonly answered: Set<string>;
  /** Those of which every part has answered at least once. */
  readonly whole: Set<string>;
  readonly troubles: Map<string, string>;
  /** How often providers were asked so far. */
  asked: number;
  /** Per provider: which of these questions the newest list answers that was taken over. */
  readonly newest: Map<string, number>;
  /** Per provider: when it was last asked, ms since the epoch. */
  readonly askedMs: Map<string, number>;
  /** Providers that will be asked soon. */
  readonly soon: Map<string, CancelTimer>;
}

/** What the log has about the lists of one provider. */
interface Said {
  /** Kinds of failures since the last list that came: one line each, however their words alternate. */
  readonly kinds: Set<string>;
  /** When it last began to fail, ms since the epoch. */
  readonly sinceMs: number;
}

/** Longest a list call may take, ms. */
const LIST_TIMEOUT_MS = 60_000;
/** So long what a provider lists waits, at first, for those that come before it, ms. */
const TURN_MAX_MS = 10_000;
/** When a provider is asked that was to be asked soon, and how long after the last time at least, ms. */
const SOON_MS = 1000;
const SOON_PAUSE_MS = 15_000;
/** So long after the start a provider that has not answered is no longer one that is about to, ms. */
const STARTING_MS = 30_000;
/** Shortest time between two lines that say that lists begin to fail, ms: what comes and goes must not fill the log. */
const LINE_GAP_MS = 10 * 60_000;

/** Nobody has been asked yet. */
export function createProviderLists(deps: ProviderListsDeps): ProviderLists {
  const { providers, signal } = deps;
  const context: ListsContext = {
    ...deps,
    startedMs: deps.clock.now(),
    said: new Map(),
    turns: new Map(providers.map((provider) => [provider, Promise.withResolvers<void>()])),
    answered: new Set(),
    whole: new Set(),
    troubles: new Map(),
    asked: 0,
    newest: new Map(),
    askedMs: new Map(),
    soon: new Map(),
  };
  const endSoon = () => {
    for (const cancel of context.soon.values()) cancel();
  };
  signal.addEventListener("abort", endSoon, { once: true });
  return {
    async askAll(cause) {
      await Promise.all(providers.map((provider) => ask(context, provider, cause)));
    },
    askSoon: (provider) => askSoon(context, provider),
    completeness: () => completeness(context),
    wasAsked: (provider) => context.answered.has(provider) || context.troubles.has(provider),
    troubleOf: (provider) => context.troubles.get(provider) ?? null,
  };
}

function completeness({
  answered,
  clock,
  providers,
  startedMs,
  troubles,
  whole,
}: ListsContext): Completeness {
  const open = providers.filter(({ name }) => !whole.has(name));
  if (open.length === 0) return "complete";
  const isLate = clock.now() - startedMs >= STARTING_MS;
  const isStuck = ({ name }: Provider) => troubles.has(name) || answered.has(name);
  return isLate || open.some(isStuck) ? "stuck" : "starting";
}

async function ask(context: ListsContext, provider: Provider, cause: Cause): Promise<void> {
  const { clock, signal, newest } = context;
  if (signal.aborted) return;
  // A list is a picture of some moment since it was asked for: what happened meanwhile may be newer.
  const states = context.statesOf(provider);
  context.asked += 1;
  const question = context.asked;
  context.askedMs.set(provider.name, clock.now());
  const limit = deadline(clock, LIST_TIMEOUT_MS, {
    reason: new Error(`no answer within ${LIST_TIMEOUT_MS / 1000} s`),
    parent: signal,
  });
  try {
    const listings = eachOnce(await provider.list(limit.signal));
    await untilItsTurn(context, provider);
    if (signal.aborted || question < (newest.get(provider.name) ?? 0)) return;
    newest.set(provider.name, question);
    recovered(context, provider);
    const isFirst = !context.answered.has(provider.name);
    const added = await context.onList(provider, { listings, states, cause, isFirst });
    context.answered.add(provider.name);
    if (provider.isWhole?.() !== false) context.whole.add(provider.name);
    if (isFirst) sayFound(context, provider, { apps: listings.length, added });
  } catch (error) {
    if (!signal.aborted) inTrouble(context, provider, error);
  } finally {
    limit.end();
    context.turns.get(provider)?.resolve();
    context.onAsked?.();
  }
}

/** Keys must not depend on who answers first: the first list waits for the providers that come before. */
async function untilItsTurn(context: ListsContext, provider: Provider): Promise<void> {
  if (context.answered.has(provider.name)) return;
  const { clock, providers, turns } = context;
  const earlier = providers.slice(0, providers.indexOf(provider));
  const over = new AbortController();
  const patience = sleep(clock, TURN_MAX_MS, AbortSignal.any([over.signal, context.signal]));
  const theirs = Promise.all(earlier.map((one) => turns.get(one)?.promise));
  await Promise.race([theirs, patience.catch(() => undefined)]);
  over.abort();
}

/** Dozens of apps that are found at once are one piece of news. */
function sayFound(
  { log }: ListsContext,
  { name, capabilities }: Provider,
  { apps, added }: { readonly apps: number; readonly added: number },
): void {
  if (apps === 0 && capabilities.listsDeclaredApps) return;
  const count = `${apps === 0 ? "no" : apps} ${apps === 1 ? "app" : "apps"}`;
  const where = capabilities.listsDeclaredApps ? `of provider ${name}` : `on ${name}`;
  const news = added === 0 || added === apps ? "" : `, ${added} of them for the first time`;
  log.info({ provider: name, apps, new: added }, `found ${count} ${where}${news}`);
}

const CANNOT_LIST =
  "cannot list its apps: until it does, what is known stays, and nothing of it is put to sleep";

/** One line for each kind of failure until a list comes. What the log has from elsewhere already is not said again. */
function inTrouble(context: ListsContext, { name }: Provider, error: unknown): void {
  const { clock, log, said, troubles } = context;
  const reason = messageOf(error);
  troubles.set(name, reason);
  const before = said.get(name);
  const isFlapping = before?.kinds.size === 0 && clock.now() - before.sinceMs < LINE_GAP_MS;
  const kind = kindOf(error);
  const trouble = troubleOf(error);
  const isKnown = trouble?.isKnown() === true;
  if (!isKnown && !isFlapping) trouble?.takeOver();
  if (isKnown || isFlapping || before?.kinds.has(kind) === true) {
    log.debug({ provider: name, reason }, CANNOT_LIST);
    return;
  }
  const isNew = before === undefined || before.kinds.size === 0;
  if (isNew) said.set(name, { kinds: new Set([kind]), sinceMs: clock.now() });
  else before.kinds.add(kind);
  log.warn({ provider: name, reason }, CANNOT_LIST);
}

/** Whether it could not be reached, answered "unavailable" or ran into a time-out is all the same trouble. */
function kindOf(error: unknown): string {
  if (!(error instanceof ProviderError)) return "unavailable";
  return error.kind === "network" || error.kind === "failed" ? "unavailable" : error.kind;
}

function recovered(context: ListsContext, { name }: Provider): void {
  const { answered, log, said, troubles } = context;
  troubles.delete(name);
  const before = said.get(name);
  if (before === undefined || before.kinds.size === 0) return;
  before.kinds.clear();
  // Of the first list the log says what was found.
  if (answered.has(name)) log.info({ provider: name }, "lists its apps again");
}

function askSoon(context: ListsContext, name: string): void {
  const { clock, soon, signal } = context;
  const provider = context.providers.find((one) => one.name === name);
  if (provider === undefined || soon.has(name) || signal.aborted) return;
  const { listPauseMs = SOON_PAUSE_MS } = provider.capabilities;
  const nextMs = (context.askedMs.get(name) ?? 0) + listPauseMs;
  const work = () => {
    soon.delete(name);
    void ask(context, provider, { kind: "outside", detail: `something has changed on ${name}` });
  };
  soon.set(name, clock.after(Math.max(Math.min(SOON_MS, listPauseMs), nextMs - clock.now()), work));
}

/** A list that names an app twice, as one whose pages shifted does, is believed the first time. */
function eachOnce(listings: readonly Listing[]): readonly Listing[] {
  const byId = new Map<string, Listing>();
  for (const listing of listings) if (!byId.has(listing.id)) byId.set(listing.id, listing);
  return [...byId.values()];
}
