/** Brings one container up, whatever state it is in, and waits until it is far enough for those that need it. */

import { throwIfAborted } from "./abortable.ts";
import { type Change, changeContainer } from "./docker-calls.ts";
import type { Condition } from "./docker-compose.ts";
import type { DockerContext } from "./docker-context.ts";
import type { EngineRefusal } from "./docker-errors.ts";
import type { Member } from "./docker-groups.ts";
import { isToldToEnd } from "./docker-history.ts";
import type { Container, ContainerDetails } from "./docker-json.ts";
import { findApp, goneFrom, look, readApps, whyNoNetwork } from "./docker-look.ts";
import { RECREATION_MS, REPLACEMENT_MS_MAX } from "./docker-memory.ts";
import { endOf, stateOf } from "./docker-state.ts";
import { ProviderError } from "./provider.ts";

/** A container that is up. */
export interface BroughtUp {
  readonly container: Container;
  /** It was not before. */
  readonly isStarted: boolean;
}

/** What to bring up. */
export interface BringUpOrder {
  readonly member: Member;
  /** It is to come to its end: once it has, well, it is not started again. */
  readonly isJob: boolean;
  readonly signal: AbortSignal;
}

/** Shortest and longest pause between looks, ms. What the engine tells ends it early. */
const LOOK_FIRST_MS = 50;
const LOOK_LAST_MS = 1_000;
/** Longest that others wait for a container to be healthy, or to come to its end, ms. */
const ENOUGH_MS_MAX = 30 * 60_000;
/** More changes than these in one wake mean that somebody works against it. */
const CHANGES_MAX = 20;

/** Starts it, or unpauses it, or waits until that is possible. @throws ProviderError `failed` when the engine cannot */
export async function bringUp(
  context: DockerContext,
  appId: string,
  { member, isJob, signal }: BringUpOrder,
): Promise<BroughtUp> {
  let container = await lookAt(context, member.container, signal);
  // Its start would be answered with "already started", and then it would end.
  if (container.status === "running" && !context.memory.isInformed) {
    if (await isToldToEnd(context, container, signal)) context.memory.toldToEnd(container.id);
  }
  for (let changes = 0; changes < CHANGES_MAX; ) {
    const isOver = isJob && container.status === "exited" && container.exitCode === 0;
    const need = isOver ? "nothing" : needOf(context, container);
    if (need === "nothing") return { container, isStarted: false };
    if (need === "successor") {
      container = await successorOf(context, appId, { member, old: container, signal });
    } else if (need === "wait") {
      container = await lookLater(context, container, { delayMs: LOOK_FIRST_MS * 4, signal });
    } else {
      changes += 1;
      const now = await change(context, container, { change: need, tries: changes, signal });
      if (now === null) return { container, isStarted: true };
      container = now;
    }
  }
  const why = `somebody works against it: it is ${container.status} again and again`;
  throw new ProviderError("failed", `could not bring container ${container.name} up: ${why}`);
}

/** A container that was brought up, once it runs. @throws ProviderError `failed` when it has ended */
export async function untilRunning(
  context: DockerContext,
  container: Container,
  signal: AbortSignal,
): Promise<Container> {
  let now = await lookAt(context, container, signal);
  while (now.status === "restarting") {
    now = await lookLater(context, now, { delayMs: LOOK_FIRST_MS * 4, signal });
  }
  if (now.status === "running") return now;
  const { reason } = stateOf(now, context.memory.knowledgeOf(now.id));
  throw new ProviderError("failed", reason ?? `container ${now.name} is ${now.status}`);
}

function needOf(
  { memory }: DockerContext,
  { id, status }: Container,
): Change | "nothing" | "wait" | "successor" {
  switch (status) {
    case "running":
      // A start now would be answered with "already started".
      return memory.knowledgeOf(id).isBeingEnded ? "wait" : "nothing";
    case "restarting":
    case "stopping":
      return "wait";
    case "paused":
      return "unpause";
    case "removing":
    case "dead":
      return "successor";
    default:
      return "start";
  }
}

/** @returns the container as it is now, when the engine did not do it; `null`: it did */
async function change(
  context: DockerContext,
  container: Container,
  order: { readonly change: Change; readonly tries: number; readonly signal: AbortSignal },
): Promise<Container | null> {
  const { api, memory } = context;
  if (order.change === "start") memory.started(container.id);
  const changed = await changeContainer(api, order.change, { container, signal: order.signal });
  if (changed === "done") return null;
  const now = await lookAt(context, container, order.signal);
  if (changed === "already" || needOf(context, now) !== order.change) return now;
  // It is as it was.
  if (order.tries >= triesMax(changed)) {
    throw await refused(context, now, { ...order, refusal: changed });
  }
  const delayMs = Math.min(LOOK_FIRST_MS * 2 ** (order.tries + 1), LOOK_LAST_MS);
  return await lookLater(context, now, { delayMs, signal: order.signal });
}

/** How often an order is given that is refused like this. */
function triesMax({ status, words }: EngineRefusal): number {
  // Something else is under way with it, or with the container whose network it uses: that passes.
  if (status === 409) return BUSY_TRIES_MAX;
  return PORT_IN_USE.test(words) ? PORT_TRIES_MAX : 1;
}

/** With the pauses between them this takes some 10 s. */
const BUSY_TRIES_MAX = 12;
/**
 * A port that the engine chose itself is another one next time, and the old container of one that is re-created gives
 * its own back. Source: an engine 20.10, whose proxy and allocator each have words of their own.
 */
const PORT_IN_USE = /address already in use|port is already allocated/;
const PORT_TRIES_MAX = 3;

async function lookAt(
  context: DockerContext,
  container: Container,
  signal: AbortSignal,
): Promise<Container> {
  return (await look(context, container, signal)) ?? goneFrom(container);
}

/** Statuses of a proxy in front of an engine that is away. */
const AWAY: ReadonlySet<number> = new Set([429, 502, 503, 504]);

async function refused(
  context: DockerContext,
  container: Container,
  order: {
    readonly change: Change;
    readonly refusal: EngineRefusal;
    readonly signal: AbortSignal;
  },
): Promise<ProviderError> {
  const { status, words } = order.refusal;
  const missing = await whyNoNetwork(context, container, order.signal);
  const said = missing ?? (words === "" ? `status ${status}` : words);
  const message = `the engine could not ${order.change} container ${container.name}: ${said}`;
  if (AWAY.has(status)) return new ProviderError("unavailable", message);
  return new ProviderError(status === 403 ? "forbidden" : "failed", message);
}

/** Compose, and tools that update images, replace a container by another one with the same place or name. */
async function successorOf(
  context: DockerContext,
  appId: string,
  {
    member,
    old,
    signal,
  }: { readonly member: Member; readonly old: Container; readonly signal: AbortSignal },
): Promise<Container> {
  const { clock } = context;
  const what = `waking ${appId}`;
  const beganMs = clock.now();
  let missingMs: number | null = null;
  for (;;) {
    const app = (await readApps(context, signal)).get(appId);
    const now = app?.members.find(({ name }) => name === member.name)?.container;
    if (now !== undefined && now.id !== old.id) return now;
    missingMs = now === undefined ? (missingMs ?? clock.now()) : null;
    const untilMs = missingMs === null ? beganMs + REPLACEMENT_MS_MAX : missingMs + RECREATION_MS;
    if (clock.now() >= untilMs) break;
    await untilNudged(context, old, { delayMs: LOOK_FIRST_MS * 2, signal, what });
  }
  // With all of its containers gone it is no app any more.
  await findApp(context, appId, signal);
  const why = missingMs === null ? "the engine could not remove it" : "it was removed";
  throw new ProviderError("failed", `container ${old.name} cannot be started: ${why}`);
}

/** The container as it is after a while. @throws ProviderError `failed` when it ends again and again */
async function lookLater(
  context: DockerContext,
  container: Container,
  { delayMs, signal }: { readonly delayMs: number; readonly signal: AbortSignal },
): Promise<Container> {
  const { name, status } = container;
  const what = `waiting for container ${name}, which is ${status},`;
  await untilNudged(context, container, { delayMs, signal, what });
  const now = await lookAt(context, container, signal);
  if (now.status === "restarting") {
    const { phase, reason = "" } = stateOf(now, context.memory.knowledgeOf(now.id));
    if (phase === "failed") throw new ProviderError("failed", reason);
  }
  return now;
}

async function untilNudged(
  { nudges }: DockerContext,
  { id }: Container,
  wait: { readonly delayMs: number; readonly signal: AbortSignal; readonly what: string },
): Promise<void> {
  const { delayMs, signal, what } = wait;
  throwIfAborted(signal, what);
  try {
    await nudges.wait(id, delayMs, signal);
  } catch (error) {
    throwIfAborted(signal, what);
    throw error;
  }
}

const WAITING_FOR: Readonly<Record<Condition, string>> = {
  started: "to start",
  healthy: "to be healthy",
  completed: "to come to its end",
};

/** Waits until a container that was brought up is far enough for others. @throws ProviderError `failed` when it will not be */
export async function untilEnough(
  context: DockerContext,
  container: Container,
  { condition, signal }: { readonly condition: Condition; readonly signal: AbortSignal },
): Promise<void> {
  if (condition === "started") return;
  const untilMs = context.clock.now() + ENOUGH_MS_MAX;
  const what = `waiting for container ${container.name} ${WAITING_FOR[condition]}`;
  for (let delayMs = LOOK_FIRST_MS; ; delayMs = Math.min(delayMs * 1.5, LOOK_LAST_MS)) {
    const now = await look(context, container, signal);
    const verdict = now === null ? "it was removed" : verdictOn(now, condition);
    if (verdict === "enough") return;
    if (verdict !== "not yet" || context.clock.now() >= untilMs) {
      throw new ProviderError("failed", `${what} is in vain: ${verdict}`);
    }
    await untilNudged(context, container, { delayMs, signal, what });
  }
}

/** Pure. `enough`, `not yet`, or why it never will be. */
export function verdictOn(now: ContainerDetails, condition: Condition): string {
  const isEnded = now.status === "exited" || now.status === "dead";
  if (condition === "completed") {
    if (!isEnded) return "not yet";
    return now.exitCode === 0 ? "enough" : `it ended ${endOf(now)}`;
  }
  if (isEnded) return `it ended ${endOf(now)}`;
  if (now.status !== "running") return "not yet";
  // What nothing probes is as good as it will ever be.
  return now.health === "none" || now.health === "healthy" ? "enough" : "not yet";
}
