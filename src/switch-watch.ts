/** Watches the active target, and takes a switch back while its rollback window is open. */

import { targetOf } from "./app.ts";
import { durationText } from "./durations.ts";
import { messageOf } from "./errors.ts";
import type { Cause } from "./events.ts";
import { runSwitch, sawWhat } from "./switch.ts";
import { activeAddress, type Desk, type SwitchContext, tell, update } from "./switch-context.ts";
import { type GateLook, lookOnce } from "./switch-gate.ts";
import { afterTime, type RollbackWindow } from "./switch-record.ts";
import { judgeTraffic, type Tally } from "./switch-verdict.ts";

/** How often the requests to a new target are judged, ms. */
const JUDGE_EVERY_MS = 500;
/** Who restarts a new version in its place is done by then, ms; and who waits for it still waits. */
const UNREACHABLE_MS = 4000;
/** A target that fails only now must not hide behind what went well before: so far back its requests count alone, ms. */
const RECENT_MS = 10_000;

/** Looks at the app's target again and again. @returns how to end that */
export function watchApp(context: SwitchContext, desk: Desk): () => void {
  const ends = [
    every(
      context,
      () => context.policyOf(desk.app).checkEveryMs,
      () => check(context, desk),
    ),
    every(context, () => JUDGE_EVERY_MS, createJudge(context, desk)),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** Calls `work` again and again, at even times, and never before it has settled. */
function every(
  context: SwitchContext,
  pauseMs: () => number,
  work: () => Promise<void>,
): () => void {
  let isOver = false;
  let cancel = plan(pauseMs());
  function plan(delayMs: number) {
    return context.clock.after(delayMs, () => {
      const beganMs = context.clock.now();
      context.later(
        work()
          .catch((error) =>
            context.log.error({ reason: messageOf(error) }, "a watch broke: please report it"),
          )
          .then(() => {
            const spentMs = context.clock.now() - beganMs;
            if (!isOver) cancel = plan(Math.max(0, pauseMs() - spentMs));
          }),
      );
    });
  }
  return () => {
    isOver = true;
    cancel();
  };
}

/** What a look at the active target saw. */
export interface ActiveLook {
  readonly address: string;
  readonly isHealthy: boolean;
  readonly look: GateLook;
}

/**
 * One look at the active target, of which nothing follows, so that whoever asks often changes nothing.
 * @returns `null` when nobody knows where it is, or a switch has overtaken it
 */
export async function lookAtActive(context: SwitchContext, desk: Desk): Promise<ActiveLook | null> {
  const address = activeAddress(desk);
  if (address === null) return null;
  const { gate } = context.policyOf(desk.app);
  const { clock, fetch } = context;
  const { signal } = desk.over;
  const { isHealthy, look } = await lookOnce(targetOf(address), gate, { clock, fetch, signal });
  if (signal.aborted || activeAddress(desk) !== address) return null;
  Object.assign(desk.health, { isOk: isHealthy, checkedMs: clock.now(), look });
  return { address, isHealthy, look };
}

/** One look of the watch: those that fail are counted, and end in a rollback. */
async function check(context: SwitchContext, desk: Desk): Promise<void> {
  const seen = await lookAtActive(context, desk);
  if (seen === null) return;
  const { address, isHealthy, look } = seen;
  const { health, app } = desk;
  const policy = context.policyOf(app);
  const failsBefore = health.fails;
  health.fails = isHealthy ? 0 : health.fails + 1;
  const cause = { kind: "outside", detail: `health check of ${address}` } as const;
  if (isHealthy && failsBefore >= policy.failsMax)
    tell(context, desk, { name: "APP_HEALTHY", cause });
  // Nobody else finds out that it is back until somebody asks.
  if (isHealthy && app.state.kind === "failed") void context.lifecycle.wake(app, cause);
  if (health.fails < policy.failsMax) return;
  const reason = `${inARow(health.fails)}, the last: ${sawWhat(look)}`;
  if (health.fails === policy.failsMax)
    tell(context, desk, { name: "APP_UNHEALTHY", cause, reason });
  await rollBack(context, desk, { why: reason });
}

function inARow(fails: number): string {
  return fails === 1 ? "a health check failed" : `${fails} health checks in a row failed`;
}

/** Judges the requests of the last seconds, and all since the switch. */
function createJudge(context: SwitchContext, desk: Desk): () => Promise<void> {
  let seen: { readonly atMs: number; readonly address: string; readonly tally: Tally }[] = [];
  return async () => {
    forgetWhatIsOver(context, desk);
    const { watched } = desk.app.traffic;
    const { window } = desk.record;
    if (watched === null || window === null) {
      seen = [];
      return;
    }
    const nowMs = context.clock.now();
    const unreachable = whyUnreachable(desk, nowMs);
    if (unreachable !== null) {
      await rollBack(context, desk, { why: unreachable });
      return;
    }
    const { address, requests, errors } = watched;
    seen = seen.filter((one) => one.address === address && nowMs - one.atMs <= RECENT_MS);
    const oldest = seen[0]?.tally ?? { requests: 0, errors: 0 };
    seen.push({ atMs: nowMs, address, tally: { requests, errors } });
    const recent = { requests: requests - oldest.requests, errors: errors - oldest.errors };
    const policy = context.policyOf(desk.app);
    for (const since of [{ requests, errors }, recent]) {
      const verdict = judgeTraffic({ before: window.before, since, thresholds: policy.traffic });
      if (!verdict.rollBack) continue;
      await rollBack(context, desk, { why: verdict.why });
      return;
    }
  };
}

/**
 * Requests that wait for a target that takes no connection are in no tally, and have given up before slow health checks
 * have failed often enough. @returns `null`: it can be reached, or nobody has waited for long
 */
function whyUnreachable({ app, versions }: Desk, nowMs: number): string | null {
  // What Paastis starts itself tells when it ends, and may take longer to start.
  if (versions !== null || app.waiting === 0 || app.state.kind !== "waking") return null;
  const waitedMs = nowMs - app.state.sinceMs;
  if (waitedMs < UNREACHABLE_MS) return null;
  return `requests have waited ${durationText(waitedMs)} for it, which takes no connection`;
}

/** After the window the old target is forgotten. A rollback that has begun by then may still end. */
function forgetWhatIsOver(context: SwitchContext, desk: Desk): void {
  const { app, record, running } = desk;
  const isGoingBack = running !== null && running.to === record.window?.back;
  const nowMs = context.clock.now();
  const next = afterTime(record, isGoingBack ? Math.min(nowMs, record.window.untilMs - 1) : nowMs);
  if (next === record) return;
  desk.record = next;
  context.settle(desk);
  // Who reads the file later reckons the same, so that it may come to nothing.
  context.later(update(context, desk, { change: (now) => ({ ...now }) }).catch(() => undefined));
  if (record.window === null || next.window !== null) return;
  app.traffic.watched = null;
  context.log.info({ app: app.key, target: activeAddress(desk) }, "the switch is kept");
}

/** Takes the newest switch back if that is possible. @returns whether it was */
export async function rollBack(
  context: SwitchContext,
  desk: Desk,
  grounds: { readonly why: string },
): Promise<boolean> {
  const { window, lastSwitch } = desk.record;
  if (window === null || !mayRollBack(context, desk)) return false;
  if (!(await isWorthTrying(context, desk, window))) return false;
  const cause: Cause = { kind: "command", detail: "the new target fails" };
  const callOff = new AbortController();
  const over = runSwitch(context, desk, {
    target: targetOf(window.back),
    reason: "rollback",
    cause,
    idempotencyKey: null,
    evidence: grounds.why,
    callOff: callOff.signal,
  });
  const attempt = { callOff, over };
  desk.rollback = attempt;
  const outcome = await over;
  if (desk.rollback === attempt) desk.rollback = null;
  if (outcome.kind === "switched") return true;
  if (desk.over.signal.aborted || callOff.signal.aborted) return false;
  // Another instance is about it, or was: as long as the window is open, that is looked at again.
  if (outcome.kind === "busy" || desk.record.lastSwitch?.id !== lastSwitch?.id) return false;
  const why =
    outcome.kind === "unhealthy"
      ? `${window.back} is not healthy either: ${sawWhat(outcome.look)}`
      : outcome.kind;
  if (!isToldOnce(desk, window.untilMs)) return false;
  tell(context, desk, {
    name: "APP_ROLLBACK_FAILED",
    cause,
    reason: `${grounds.why}; ${why}`,
    details: { back: window.back },
  });
  return false;
}

/** Whether there is a way back now, and nobody is about to switch. */
export function mayRollBack({ clock }: SwitchContext, { record, running }: Desk): boolean {
  const { window } = record;
  return window !== null && window.untilMs > clock.now() && running === null;
}

/** Where there was no way back, whoever switches to another target by hand must not find a rollback under way. */
async function isWorthTrying(
  context: SwitchContext,
  desk: Desk,
  window: RollbackWindow,
): Promise<boolean> {
  if (desk.toldNoWayBackMs !== window.untilMs) return true;
  const { clock, fetch } = context;
  const { gate } = context.policyOf(desk.app);
  const { signal } = desk.over;
  const seen = await lookOnce(targetOf(window.back), gate, { clock, fetch, signal });
  return seen.isHealthy && desk.record.window === window && mayRollBack(context, desk);
}

/** It is tried again as long as the window is open, and said once. */
function isToldOnce(desk: Desk, untilMs: number): boolean {
  if (desk.toldNoWayBackMs === untilMs) return false;
  desk.toldNoWayBackMs = untilMs;
  return true;
}
