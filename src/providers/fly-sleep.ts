/** Putting to sleep on Fly.io: the machines that run, each with a call of its own. */

import type { Snapshot } from "../app.ts";
import type { AppOrder, FlyApi } from "./fly-api.ts";
import { type FlyContext, freshLook, lookAt, spoil } from "./fly-context.ts";
import { type FlyJob, goOn, untouchedMember } from "./fly-job.ts";
import type { FlyMachine } from "./fly-json.ts";
import { idsOf, isComing, isPassing, snapshotOf } from "./fly-state.ts";
import { ProviderError, type Step } from "./provider.ts";

/** Between two looks, ms. Source: Fly.io's documentation: one call a second of a kind for one app. */
const POLL_MS = 1_000;
/** So long a machine may look as it did although a call was accepted, ms. */
const SHOWS_MS = 10_000;

/**
 * The machines that run, and those that an earlier sleep has left down.
 * @throws ProviderError `busy` while it is deployed; `invalid` when it is not to be put to sleep
 */
export async function takeSnapshot(context: FlyContext, order: AppOrder): Promise<Snapshot> {
  const { machines, observation, sleepsByItself } = await lookAt(context, order);
  const { phase, reason = `it is ${phase}` } = observation;
  if (phase === "deploying" || phase === "waking") {
    throw new ProviderError("busy", `${order.name} is being started or deployed: ${reason}`);
  }
  if (phase !== "awake" && phase !== "asleep" && phase !== "stopping") {
    throw new ProviderError("invalid", reason);
  }
  if (sleepsByItself) {
    throw new ProviderError("invalid", "Fly.io stops and starts its machines by itself");
  }
  const [first] = machines.filter(isComing);
  const { api, config, owed } = context;
  if (first === undefined) return snapshotOf(machines, { mode: config.sleepMode, owed: new Set() });
  // Whoever deploys holds all machines, also while none of them is replaced. A stop would be refused.
  if (await api.isLeased(order, first)) {
    throw new ProviderError("busy", `${order.name} is being deployed: somebody holds its machines`);
  }
  const left = owed.get(order.name) ?? new Set();
  return snapshotOf(machines, { mode: config.sleepMode, owed: left });
}

/** Takes down what the snapshot says to run, whatever has changed since. */
export async function sleep(
  context: FlyContext,
  order: AppOrder,
  snapshot: Snapshot,
): Promise<Step> {
  return await context.sleeping.during(order.name, async () => {
    const { clock, owed } = context;
    const { machines } = await freshLook(context, order);
    const remembered = idsOf(snapshot);
    const isOurs = (id: string) => remembered === null || remembered.includes(id);
    const ours = machines.filter((machine) => isOurs(machine.id));
    const running = ours.filter(isComing);
    if (running.length === 0 && !ours.some(isPassing)) return { done: true, target: null };
    owed.set(order.name, new Set(remembered ?? running.map(({ id }) => id)));
    const suspends = snapshot.kind === "members" && snapshot.mode === "suspend";
    spoil(context, order.name);
    await takeAllDown(context, order, { running, suspends });
    const members = ours.map(({ id }) => untouchedMember(id));
    return goOn({ goal: "sleep", sinceMs: clock.now(), waitsFor: "", members }, POLL_MS);
  });
}

/** All are tried: those that could not be taken down keep the app up, until the next sleep. */
async function takeAllDown(
  context: FlyContext,
  order: AppOrder,
  { running, suspends }: Pick<Going, "suspends"> & { readonly running: readonly FlyMachine[] },
): Promise<void> {
  const results = await Promise.allSettled(
    running.map((machine) => takeDown(context, order, { machine, suspends })),
  );
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}

interface Going {
  readonly machine: FlyMachine;
  readonly suspends: boolean;
}

/** A call whose answer was lost is made again only where the machine shows that it was not carried out. */
async function takeDown(
  context: FlyContext,
  order: AppOrder,
  { machine, suspends }: Going,
): Promise<void> {
  const { api } = context;
  if (!suspends) return await api.stop(order, machine);
  try {
    await suspendOrStop(api, order, machine);
  } catch (error) {
    if (!(error instanceof ProviderError && error.isUncertain)) throw error;
    if (await isStillUp(context, order, machine)) await suspendOrStop(api, order, machine);
  }
}

/** Not every machine can be suspended: too much memory, swap, a schedule, an old host. Stopping always works. */
async function suspendOrStop(api: FlyApi, order: AppOrder, machine: FlyMachine): Promise<void> {
  try {
    await api.suspend(order, machine);
  } catch (error) {
    const cannot = error instanceof ProviderError && CANNOT.includes(error.kind);
    if (!cannot || error.isUncertain) throw error;
    await api.stop(order, machine);
  }
}

/** How the platform says that a machine cannot be suspended. */
const CANNOT: readonly string[] = ["invalid", "forbidden"];

async function isStillUp(
  context: FlyContext,
  order: AppOrder,
  { id }: FlyMachine,
): Promise<boolean> {
  const { machines } = await lookAt(context, order);
  return machines.some((machine) => machine.id === id && isComing(machine));
}

/** @throws ProviderError `failed` when somebody has started one of them anew */
export async function goOnSleeping(
  context: FlyContext,
  order: AppOrder,
  job: FlyJob,
): Promise<Step> {
  return await context.sleeping.during(order.name, async () => {
    const { machines } = await lookAt(context, order);
    const ours = machines.filter(({ id }) => job.members.some((member) => member.id === id));
    if (!ours.some((machine) => isComing(machine) || isPassing(machine))) {
      context.owed.delete(order.name);
      context.ended.add(order.name);
      return { done: true, target: null };
    }
    const isLate = context.clock.now() - job.sinceMs >= SHOWS_MS;
    if (!isLate || !ours.some(isComing)) return goOn(job, POLL_MS);
    const message = `a machine of ${order.name} runs although it was stopped: somebody has started it anew`;
    throw new ProviderError("failed", message);
  });
}
