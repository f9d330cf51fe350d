/** The right to change an app: claimed from the registry, or doing without it while that is away. */

import type { App } from "./app.ts";
import { messageOf } from "./errors.ts";
import { isRegistryTrouble, type LifecycleContext } from "./lifecycle-context.ts";
import type { Claim } from "./registry/registry.ts";

/** Whether it runs as a child of another instance, so that its own provider here knows nothing of it. */
export function runsElsewhere({ peers, providerOf }: LifecycleContext, app: App): boolean {
  if (app.runsAt === null || app.runsAt === peers.self) return false;
  return providerOf(app).capabilities.runsApps === true;
}

/**
 * Whether this instance is the one that stores and tells what was seen of an app, so that it is told once. While the
 * registry is away nobody knows who that is, and everybody does.
 */
export function speaksFor(context: LifecycleContext, app: App): boolean {
  const { peers, providerOf } = context;
  if (providerOf(app).capabilities.runsApps === true) return !runsElsewhere(context, app);
  return peers.isLeader() || peers.state().trouble !== null;
}

/** The right to change an app. */
export interface AppClaim extends Omit<Claim, "release"> {
  /** Whether the store knows of it; otherwise nothing keeps another instance away. */
  readonly isStored: boolean;
  /** Gives the right back. Never rejects. */
  readonly release: () => Promise<void>;
}

/** The right to change an app; `null` while somebody else has it. Never rejects. */
export async function claimApp(context: LifecycleContext, app: App): Promise<AppClaim | null> {
  try {
    const claim = await context.registry.claim(app.ref, app.fence);
    if (claim === null) return null;
    const own = { isStored: true, release: () => releaseClaim(context, app, claim) };
    return { ...claim, ...own };
  } catch (error) {
    // Waking must still be tried while the store is away: the next fence in memory has to do. It is not
    // given back, as by then the store may have handed out the same one to another instance.
    const level = isRegistryTrouble(context) ? "debug" : "warn";
    context.log[level]({ app: app.key, reason: messageOf(error) }, "no claim could be stored");
    const { signal: lost } = new AbortController();
    return {
      ...{ fence: app.fence + 1, record: null, lost, isStored: false },
      isHeld: () => true,
      release: async () => undefined,
    };
  }
}

/**
 * Whether somebody else may change the app by now. While the registry is away a claim ends unrenewed, and nobody can know:
 * a wake goes on without it, as one does that begins then.
 */
export function isOvertaken(context: LifecycleContext, claim: Pick<Claim, "isHeld">): boolean {
  return !claim.isHeld() && !isRegistryTrouble(context);
}

/** Like the claim's `lost`, but for that. */
export function overtaken(context: LifecycleContext, { lost }: Pick<Claim, "lost">): AbortSignal {
  const controller = new AbortController();
  const onLost = () => {
    if (!isRegistryTrouble(context)) controller.abort(lost.reason);
  };
  if (lost.aborted) onLost();
  lost.addEventListener("abort", onLost, { once: true });
  return controller.signal;
}

/** Gives a claim back; a store that is away forgets it by itself. */
async function releaseClaim(context: LifecycleContext, app: App, claim: Claim): Promise<void> {
  try {
    await claim.release();
  } catch (error) {
    const level = isRegistryTrouble(context) ? "debug" : "warn";
    context.log[level]({ app: app.key, reason: messageOf(error) }, "a claim could not be released");
  }
}
