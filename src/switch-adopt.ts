/** Takes over what another instance has stored: requests go there, what went to the old target drains, pauses apply. */

import type { Pause } from "./app.ts";
import { knownOutcomes, swap } from "./switch.ts";
import { type Desk, type SwitchContext, upAddress } from "./switch-context.ts";
import { afterTime, isSamePause, type SwitchRecord } from "./switch-record.ts";

/** Nothing is told of it: the other instance has told it. Safe to repeat. */
export function adopt(context: SwitchContext, desk: Desk): void {
  if (!desk.hasNews || desk.over.signal.aborted) return;
  desk.hasNews = false;
  const stored = context.store.recordOf(desk.app.key);
  if (stored === desk.seen) return;
  desk.seen = stored;
  // What runs here is known here best.
  if (desk.versions !== null) desk.record = { ...desk.record, pause: stored.pause };
  else adoptTarget(context, desk, stored);
  applyPause(context, desk);
  context.settle(desk);
}

/** Makes the pause of an app's record count. */
export function applyPause({ lifecycle, onPause }: SwitchContext, { app, record }: Desk): void {
  const before: Pause | null = app.pause;
  const { pause } = record;
  app.pause = pause;
  if (isSamePause(before, pause)) return;
  // A sleep that has begun would land while somebody works on the app.
  if (pause !== null) lifecycle.cancelDrain(app, "it is paused");
  onPause(app);
}

function adoptTarget(context: SwitchContext, desk: Desk, stored: SwitchRecord): void {
  const { app, health, record: before } = desk;
  const { active, lastSwitch: entry } = stored;
  const nowMs = context.clock.now();
  const record = afterTime(stored, nowMs);
  const drains = [...record.drains, ...drainsOf(context, desk, record)];
  desk.record = { ...record, drains };
  for (const [key, known] of knownOutcomes(record)) desk.outcomes.set(key, known);
  if (record.window === null) app.traffic.watched = null;
  if (entry === null || entry.id === before.lastSwitch?.id || active !== entry.to) return;
  desk.rollback?.callOff.abort(new Error("another instance has switched it"));
  const fields = { app: app.key, target: active, switch: entry.id, reason: entry.reason };
  context.log.info(fields, "another instance has switched it");
  swap(context, desk, entry);
  // Nobody has looked from here.
  Object.assign(health, { isOk: null, checkedMs: null, look: null });
}

/** What goes to targets that the other instance knows nothing of, or whose time is over there. */
function drainsOf({ clock, policyOf }: SwitchContext, desk: Desk, record: SwitchRecord) {
  const { app } = desk;
  const isOther = (address: string) =>
    address !== record.active && record.drains.every((one) => one.address !== address);
  const nowMs = clock.now();
  const going = desk.record.drains.filter(
    ({ address, untilMs }) => isOther(address) && untilMs > nowMs,
  );
  const own = upAddress(app);
  const isKnown = own === null || going.some(({ address }) => address === own);
  // Where nothing says where it is, it stays.
  if (isKnown || !isOther(own) || record.active === null) return going;
  return [...going, { address: own, untilMs: nowMs + policyOf(app).drainMs }];
}
