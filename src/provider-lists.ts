/** When providers are asked for their apps, in whose turn, and what is said when one does not answer. */

import type { App, AppState } from "./app.ts";
import type { CancelTimer, Clock } from "./clock.ts";
import { deadline, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import type { LastSaid } from "./last-said.ts";
import { createLastSaid, withoutFigures } from "./last-said.ts";
import type { Log } from "./log.ts";
import type { Listing, Provider } from "./providers/provider.ts";

/** What one provider listed. */
export interface ListAnswer {
  /** Each app once. */
  readonly listings: readonly Listing[];
  /** How its apps were when the list was asked for. */
  readonly states: ReadonlyMap<App, AppState>;
  readonly cause: Cause;
}

/** Asks providers for their apps. */
export interface ProviderLists {
  /** Asks every provider once. Never rejects. */
  askAll(cause: Cause): Promise<void>;
  /** Asks one provider soon. However often it is said, it is asked once. */
  askSoon(provider: string): void;
  /** Whether every provider has answered at least once. */
  isComplete(): boolean;
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
  /** Takes over a list. One that was asked for before another that was taken over is dropped. */
  readonly onList: (provider: Provider, answer: ListAnswer) => Promise<void>;
  /** Ends all asking. */
  readonly signal: AbortSignal;
}

interface ListsContext extends ProviderListsDeps {
  readonly said: LastSaid;
  /** What settles after the first answer or failure of each. */
  readonly turns: ReadonlyMap<Provider, PromiseWithResolvers<void>>;
  readonly answered: Set<string>;
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

/** Longest a list call may take, ms. */
const LIST_TIMEOUT_MS = 60_000;
/** So long what a provider lists waits, at first, for those that come before it, ms. */
const TURN_MAX_MS = 10_000;
/** When a provider is asked that was to be asked soon, and how long after the last time at least, ms. */
const SOON_MS = 1000;
const SOON_PAUSE_MS = 15_000;

/** Nobody has been asked yet. */
export function createProviderLists(deps: ProviderListsDeps): ProviderLists {
  const { providers, signal } = deps;
  const context: ListsContext = {
    ...deps,
    said: createLastSaid(),
    turns: new Map(providers.map((provider) => [provider, Promise.withResolvers<void>()])),
    answered: new Set(),
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
    isComplete: () => context.answered.size === providers.length,
    troubleOf: (provider) => context.troubles.get(provider) ?? null,
  };
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
    await context.onList(provider, { listings, states, cause });
    context.answered.add(provider.name);
  } catch (error) {
    if (!signal.aborted) inTrouble(context, provider, messageOf(error));
  } finally {
    limit.end();
    context.turns.get(provider)?.resolve();
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

function inTrouble({ troubles, said, log }: ListsContext, { name }: Provider, reason: string) {
  troubles.set(name, reason);
  if (!said.isNews(name, withoutFigures(reason))) return;
  const until = "until it does, what is known stays, and nothing of it is put to sleep";
  log.warn({ provider: name, reason }, `cannot list its apps: ${until}`);
}

function recovered({ troubles, said, log }: ListsContext, { name }: Provider): void {
  troubles.delete(name);
  if (said.isOver(name)) log.info({ provider: name }, "lists its apps again");
}

function askSoon(context: ListsContext, name: string): void {
  const { clock, soon, signal } = context;
  const provider = context.providers.find((one) => one.name === name);
  if (provider === undefined || soon.has(name) || signal.aborted) return;
  const nextMs = (context.askedMs.get(name) ?? 0) + SOON_PAUSE_MS;
  const work = () => {
    soon.delete(name);
    void ask(context, provider, { kind: "outside", detail: "an app seems to be gone" });
  };
  soon.set(name, clock.after(Math.max(SOON_MS, nextMs - clock.now()), work));
}

/** A list that names an app twice, as one whose pages shifted does, is believed the first time. */
function eachOnce(listings: readonly Listing[]): readonly Listing[] {
  const byId = new Map<string, Listing>();
  for (const listing of listings) if (!byId.has(listing.id)) byId.set(listing.id, listing);
  return [...byId.values()];
}
