/** What follows from an app's record: whether it is watched, which versions live on, and what the end of one means. */

import { type App, addressOf } from "./app.ts";
import { type Desk, type SwitchContext, upAddress, type VersionEnd } from "./switch-context.ts";
import { mayRollBack, rollBack, watchApp } from "./switch-watch.ts";

/**
 * Makes what happens fit the record. An app that sleeps is watched only while it can be switched back: there is nothing
 * to look at otherwise. Its old versions end when nobody may need them any more. Safe to repeat.
 */
export function settle(context: SwitchContext, desk: Desk): void {
  const { app, record, versions } = desk;
  if (desk.over.signal.aborted) return;
  if (isWatchedAlways(app) || (versions !== null && record.window !== null)) {
    desk.endWatch ??= watchApp(context, desk);
  } else {
    desk.endWatch?.();
    desk.endWatch = null;
  }
  const back = record.window === null ? [] : [record.window.back];
  const draining = record.drains
    .filter(({ untilMs }) => untilMs > context.clock.now())
    .map(({ address }) => address);
  void versions?.endFormer(app.ref.id, new Set([...back, ...draining]));
}

/** Of apps that somebody else starts nobody else knows how they are. */
function isWatchedAlways({ ref }: App): boolean {
  return ref.provider === "ports";
}

/**
 * Requests went to a version that has ended: the switch to it is taken back at once, however few they were. Until that
 * is decided nobody else is told, so that who finds the version gone waits rather than being sent away.
 */
export function hasEnded(context: SwitchContext, desk: Desk, end: VersionEnd): boolean {
  if (desk.over.signal.aborted || !mayRollBack(context, desk)) return false;
  context.later(takeBack(context, desk, end));
  return true;
}

async function takeBack(context: SwitchContext, desk: Desk, end: VersionEnd): Promise<void> {
  const { app } = desk;
  const { target, reason } = end;
  const isBack = await rollBack(context, desk, { why: `the new version ${reason}` });
  // Somebody may have woken it again meanwhile.
  if (isBack || upAddress(app) !== addressOf(target)) return;
  context.lifecycle.observe(app, { observation: { phase: "failed", target: null, reason } });
}
