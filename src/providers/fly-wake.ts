/** Waking on Fly.io: the machines that ran before, each with a call of its own. */

import type { Snapshot } from "../app.ts";
import type { AppOrder } from "./fly-api.ts";
import { type FlyContext, freshLook, lookAt, spoil } from "./fly-context.ts";
import { type FlyJob, type FlyMember, goOn, startedMember, untouchedMember } from "./fly-job.ts";
import type { FlyMachine } from "./fly-json.ts";
import {
  endedBecause,
  idsOf,
  isComing,
  isPassing,
  isServing,
  isStartable,
  sparesFor,
  targetOfApp,
  wantedMachines,
} from "./fly-state.ts";
import { ProviderError, type Step } from "./provider.ts";

/** Between two looks, ms. Source: Fly.io's documentation: one call a second of a kind for one app. */
const POLL_MS = 1_000;
/** So long an app that is up already waits for machines that have to end before they can be started again, ms. */
const SETTLES_MS = 10_000;

/**
 * Starts the machines that ran before. One for which its host has no room is replaced by a spare.
 * @throws ProviderError `failed` when none of them can be started, or all have ended
 */
export async function wake(
  context: FlyContext,
  order: AppOrder,
  snapshot: Snapshot | null,
): Promise<Step> {
  const job: FlyJob = { goal: "wake", sinceMs: context.clock.now(), waitsFor: "", members: [] };
  if (context.sleeping.has(order.name)) {
    const ids = snapshot === null ? null : idsOf(snapshot);
    return goOn({ ...job, members: (ids ?? []).map(untouchedMember) }, POLL_MS);
  }
  const last = await freshLook(context, order);
  // That it is up must be seen now; of what is down the start itself tells whether that is true.
  const isUp = last.machines.some(isComing);
  const { machines } = isUp ? await lookAt(context, order) : last;
  const wanted = wantedMachines(machines, snapshot);
  return await bringUp(context, order, { job, machines, wanted });
}

/** Waits for a machine that starts, looks, and starts what has to be started by now. */
export async function goOnWaking(context: FlyContext, order: AppOrder, job: FlyJob): Promise<Step> {
  if (context.sleeping.has(order.name)) return goOn(job, POLL_MS);
  if (job.waitsFor !== "") await context.api.waitForStart(order, job.waitsFor);
  const { machines } = await lookAt(context, order);
  const ours = machines.filter(({ id }) => job.members.some((member) => member.id === id));
  // A deployment has replaced them: whatever there is now is brought up.
  const isServed = ours.some((machine) => machine.isServed);
  const wanted = isServed ? ours : [...wantedMachines(machines, null), ...ours];
  return await bringUp(context, order, { job, machines, wanted });
}

/** What there is, and what of it is to be up. */
interface Plan {
  readonly job: FlyJob;
  readonly machines: readonly FlyMachine[];
  readonly wanted: readonly FlyMachine[];
}

async function bringUp(context: FlyContext, order: AppOrder, plan: Plan): Promise<Step> {
  const { job, machines, wanted } = plan;
  if (wanted.length === 0) {
    throw new ProviderError("failed", `${order.name} has no machine on Fly.io that takes requests`);
  }
  const { members, failure } = await startAll(context, order, plan);
  const elapsedMs = context.clock.now() - job.sinceMs;
  const isSettling = wanted.some(isPassing) && elapsedMs < SETTLES_MS;
  if (wanted.some(isServing) && !isSettling) return done(context, order);
  // One machine that runs serves everybody; workers alone serve nobody.
  const isServed = (id: string) => machines.find((one) => one.id === id)?.isServed === true;
  if (!members.some(({ id }) => isServed(id))) throw failure;
  // From here on the app's own address decides, until the wake's time is up.
  const isUp = wanted.some((machine) => machine.isServed && isComing(machine));
  if (elapsedMs > context.config.operationTimeoutMs && isUp) {
    return done(context, order);
  }
  const startedNow = members.find(
    (member) => !job.members.includes(member) && member.endedMs !== null,
  );
  const starting = wanted.find(({ state }) => state === "starting");
  const waitsFor = startedNow?.id ?? starting?.id ?? "";
  return goOn({ ...job, members, waitsFor }, startedNow === undefined ? POLL_MS : 0);
}

function done({ config, owed }: FlyContext, { name }: AppOrder): Step {
  owed.delete(name);
  return { done: true, target: targetOfApp(config.appUrl, name) };
}

/** Starts what is down; those that have ended, or cannot be started, are not followed any more. */
async function startAll(
  context: FlyContext,
  order: AppOrder,
  { job, machines, wanted }: Plan,
): Promise<{ readonly members: readonly FlyMember[]; readonly failure: unknown }> {
  spoil(context, order.name);
  const spares = new Set(machines.filter((machine) => !wanted.includes(machine)));
  const results = await Promise.allSettled(
    wanted.map(async (machine) => {
      const member = job.members.find(({ id }) => id === machine.id) ?? untouchedMember(machine.id);
      if (!hasToBeStarted(order, machine, member)) return member;
      return await startOrSpare(context, order, { machine, spares });
    }),
  );
  return {
    members: results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])),
    failure: results.find((result) => result.status === "rejected")?.reason,
  };
}

/** @throws ProviderError `failed` when it was started, and has ended or failed since */
function hasToBeStarted({ name }: AppOrder, machine: FlyMachine, member: FlyMember): boolean {
  const { endedMs } = member;
  const { exit, state } = machine;
  if (state === "launch_failed" || (state === "failed" && endedMs !== null)) {
    throw new ProviderError("failed", `Fly.io could not start ${name}: its machine is ${state}`);
  }
  if (!isStartable(machine)) return false;
  if (endedMs === null) return true;
  // It may not be seen yet that it was started.
  if (exit === null || exit.atMs <= endedMs) return false;
  if (!exit.isByItself) return true;
  throw new ProviderError("failed", `${name} could not be started: ${endedBecause(exit)}`);
}

/** @param spares who is taken is taken out */
async function startOrSpare(
  { api }: FlyContext,
  order: AppOrder,
  { machine, spares }: { readonly machine: FlyMachine; readonly spares: Set<FlyMachine> },
): Promise<FlyMember> {
  let why = "";
  for (const candidate of [machine, ...sparesFor([...spares], machine)]) {
    // Another one may have taken it meanwhile.
    if (candidate !== machine && !spares.delete(candidate)) continue;
    const answer = await api.start(order, candidate);
    if (answer === "started") return startedMember(candidate);
    // It is between two states, or in the hands of somebody: it is tried again when that is over.
    if (answer === "busy" && candidate.state !== "failed") return untouchedMember(candidate.id);
    why ||= answer === "no-room" ? "its host has no room for it" : `it is ${candidate.state}`;
  }
  const message = `could not start a machine of ${order.name}: ${why}, and there is no other that could be started`;
  throw new ProviderError("failed", message);
}
