/** Brings the containers of an app up, each after what it needs. */

import type { Snapshot } from "../app.ts";
import { sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { throwIfAborted } from "./abortable.ts";
import { bringUp, untilEnough, untilRunning } from "./docker-bring-up.ts";
import type { DockerContext } from "./docker-context.ts";
import type { DockerApp, Member } from "./docker-groups.ts";
import type { Container } from "./docker-json.ts";
import { findApp, findServing, readApps, targetNow } from "./docker-look.ts";
import { RECREATION_MS, REPLACEMENT_MS_MAX } from "./docker-memory.ts";
import { type Needs, needsIn, toWake } from "./docker-order.ts";
import { takeDown } from "./docker-sleep.ts";
import { ProviderError, type Step } from "./provider.ts";

/** How often it is looked whether an app is there again, ms. */
const RECREATION_LOOK_MS = 100;

/** Brings up what the snapshot names, or everything. @throws ProviderError */
export async function wakeInTurn(
  context: DockerContext,
  id: string,
  { snapshot, signal }: { readonly snapshot: Snapshot | null; readonly signal: AbortSignal },
): Promise<Step> {
  const app = await untilSettled(context, id, signal);
  const found = await findServing(context, app, signal);
  if (found.kind === "unclear") {
    throw new ProviderError("failed", `${app.key} cannot be reached: ${found.why}`);
  }
  const serving = found.member;
  const needs = needsIn(app, serving);
  const names = toWake(app, { serving, needs, snapshot });
  const plan: Plan = { app, names, needs, started: [], signal };
  try {
    const up = await bringAllUp(context, plan);
    const container = await untilRunning(
      context,
      up.get(serving.name) ?? serving.container,
      signal,
    );
    const target = await targetNow(context, app, { member: { ...serving, container }, signal });
    return { done: true, target };
  } catch (error) {
    if (!signal.aborted && isFinal(error)) await takeDownAgain(context, plan);
    throw error;
  }
}

/** Not one after which the wake is tried again. */
function isFinal(error: unknown): boolean {
  return error instanceof ProviderError && error.kind === "failed";
}

/** An app that is just being re-created is waited for. @throws ProviderError `not-found` when it does not come back */
async function untilSettled(
  context: DockerContext,
  id: string,
  signal: AbortSignal,
): Promise<DockerApp> {
  const { clock, memory } = context;
  const beganMs = clock.now();
  for (;;) {
    const app = (await readApps(context, signal)).get(id);
    const isLate = clock.now() - beganMs >= REPLACEMENT_MS_MAX;
    if (app !== undefined && (!app.isReplaced || isLate)) return app;
    const goneMs = memory.known(id)?.goneMs ?? null;
    const mayComeBack = goneMs !== null && clock.now() - goneMs < RECREATION_MS;
    if (app === undefined && !mayComeBack) return await findApp(context, id, signal);
    await pause(context, { signal, what: `waking ${id}, which is being re-created,` });
  }
}

async function pause(
  { clock }: DockerContext,
  { signal, what }: { readonly signal: AbortSignal; readonly what: string },
): Promise<void> {
  try {
    await sleep(clock, RECREATION_LOOK_MS, signal);
  } catch (error) {
    throwIfAborted(signal, what);
    throw error;
  }
}

/** What one wake brings up. */
interface Plan {
  readonly app: DockerApp;
  /** In order. */
  readonly names: readonly string[];
  readonly needs: Needs;
  /** Containers that were down before; grows. When the wake fails they are stopped again: nobody else would. */
  readonly started: Container[];
  readonly signal: AbortSignal;
}

/**
 * Everything that needs nothing of each other comes up at the same time. Settles when nothing of it goes on.
 * @returns each member's container, which may be a successor of the one that was listed
 */
async function bringAllUp(
  context: DockerContext,
  plan: Plan,
): Promise<ReadonlyMap<string, Container>> {
  const failing = new AbortController();
  const signal = AbortSignal.any([plan.signal, failing.signal]);
  const ups = new Map<string, Promise<Container>>();
  for (const name of plan.names) {
    const member = plan.app.members.find((one) => one.name === name);
    if (member === undefined) continue;
    const up = bringUpAfterNeeds(context, plan, { member, ups: new Map(ups), signal });
    up.catch((error: unknown) => failing.abort(error));
    ups.set(name, up);
  }
  await Promise.allSettled(ups.values());
  if (failing.signal.aborted) throw failing.signal.reason;
  return new Map(await Promise.all([...ups].map(async ([name, up]) => [name, await up] as const)));
}

async function bringUpAfterNeeds(
  context: DockerContext,
  plan: Plan,
  work: {
    readonly member: Member;
    /** Members that come before this one. */
    readonly ups: ReadonlyMap<string, Promise<Container>>;
    /** Aborts also when another member cannot be brought up. */
    readonly signal: AbortSignal;
  },
): Promise<Container> {
  const { app, needs, started } = plan;
  const { member, signal } = work;
  await Promise.all(
    (needs.get(member.name) ?? []).map(async (need) => {
      const container = await work.ups.get(need.member);
      if (container === undefined) return;
      await untilEnough(context, container, { condition: need.condition, signal });
    }),
  );
  throwIfAborted(signal, `waking ${app.key}`);
  // From here on only the whole wake can be given up: half a call may have been heard.
  const { container, isStarted } = await bringUp(context, app.id, {
    member,
    isJob: [...needs.values()].flat().some(isJobNeed(member.name)),
    signal: plan.signal,
  });
  if (isStarted) started.push(container);
  return container;
}

/** Whether a need is for a member to have come to its end. */
function isJobNeed(name: string): (need: { member: string; condition: string }) => boolean {
  return ({ member, condition }) => member === name && condition === "completed";
}

async function takeDownAgain(
  context: DockerContext,
  { app: { mode }, signal, started }: Plan,
): Promise<void> {
  for (const container of started.toReversed()) {
    try {
      await takeDown(context, { ...container, status: "running" }, { mode, signal });
    } catch (error) {
      const reason = messageOf(error);
      context.log.warn(
        { provider: "docker", reason },
        `container ${container.name} could not be stopped again after a wake that failed`,
      );
    }
  }
}
