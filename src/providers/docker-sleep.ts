/** Takes the containers of an app down, and remembers before which of them were up. */

import type { Snapshot } from "../app.ts";
import { changeContainer, stopContainer } from "./docker-calls.ts";
import type { DockerContext } from "./docker-context.ts";
import { type EngineRefusal, failureOf } from "./docker-errors.ts";
import type { DockerApp } from "./docker-groups.ts";
import type { Container } from "./docker-json.ts";
import type { SleepMode } from "./docker-labels.ts";
import { findApp, findServing, look, lookCloser } from "./docker-look.ts";
import { needsIn, toSleep } from "./docker-order.ts";
import { ProviderError, type Step } from "./provider.ts";

const UP: ReadonlySet<string> = new Set(["running", "restarting", "stopping"]);
/** The engine needs so long for each container beyond what that gets, ms. */
const STOP_MARGIN_MS = 15_000;

/** The members that are up, and how a sleep takes them down. @throws ProviderError `busy` while it is re-created */
export async function snapshotOf(
  context: DockerContext,
  id: string,
  signal: AbortSignal,
): Promise<Snapshot> {
  const app = await findClosely(context, id, signal);
  if (app.isReplaced) {
    throw new ProviderError(
      "busy",
      `${app.key} is being re-created: its old containers are there still`,
    );
  }
  const up = app.members.filter(({ container }) => UP.has(container.status));
  const times = await Promise.all(
    up.map(({ container }) => stopTimeoutOf(context, container, signal)),
  );
  context.memory.stopTakes(times.reduce((sum, timeMs) => sum + timeMs + STOP_MARGIN_MS, 0));
  return { kind: "members", ids: up.map(({ name }) => name), mode: app.mode };
}

async function findClosely(
  context: DockerContext,
  id: string,
  signal: AbortSignal,
): Promise<DockerApp> {
  return await lookCloser(context, await findApp(context, id, signal), signal);
}

/** What the configuration gives it, or what its owner does when that is more: databases need their time. */
async function stopTimeoutOf(
  context: DockerContext,
  container: Container,
  signal: AbortSignal,
): Promise<number> {
  const { config, memory } = context;
  const fixed = memory.fixedOf(container.id) ?? (await look(context, container, signal));
  return Math.max(config.stopTimeoutMs, fixed?.stopTimeoutMs ?? 0);
}

/** Stops or pauses what the snapshot names, one after the other. @throws ProviderError */
export async function sleepInTurn(
  context: DockerContext,
  id: string,
  { snapshot, signal }: { readonly snapshot: Snapshot; readonly signal: AbortSignal },
): Promise<Step> {
  const app = await findClosely(context, id, signal);
  const found = await findServing(context, app, signal);
  const serving = found.kind === "member" ? found.member : null;
  const needs = serving === null ? new Map() : needsIn(app, serving);
  const names = toSleep(app, { serving, needs, snapshot });
  const isPaused = snapshot.kind === "members" ? snapshot.mode === "pause" : app.mode === "pause";
  for (const name of names) {
    const member = app.members.find((one) => one.name === name);
    if (member !== undefined) {
      await takeDown(context, member.container, { mode: isPaused ? "pause" : "stop", signal });
    }
  }
  return { done: true, target: null };
}

/** Safe to repeat. @throws ProviderError when it is still up */
export async function takeDown(
  context: DockerContext,
  container: Container,
  { mode, signal }: { readonly mode: SleepMode; readonly signal: AbortSignal },
): Promise<void> {
  if (!UP.has(container.status)) return;
  const { api, memory } = context;
  // The engine does not pause what it is about to start anew.
  const change = mode === "pause" && container.status === "running" ? "pause" : "stop";
  let changed: Awaited<ReturnType<typeof stopContainer>>;
  if (change === "pause") {
    changed = await changeContainer(api, "pause", { container, signal });
  } else {
    const stopTimeoutMs = await stopTimeoutOf(context, container, signal);
    memory.endsOnPurpose(container.id);
    changed = await stopContainer(api, container, { stopTimeoutMs, signal });
  }
  if (typeof changed === "string") return;
  await acceptIfDown(context, container, { change, refusal: changed, signal });
}

/** Somebody else may have been faster, or it has ended by itself. */
async function acceptIfDown(
  context: DockerContext,
  container: Container,
  refused: {
    readonly change: "stop" | "pause";
    readonly refusal: EngineRefusal;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { change, refusal, signal } = refused;
  const now = await look(context, container, signal);
  if (now === null || !UP.has(now.status)) return;
  if (change === "pause" && now.status === "restarting") {
    await takeDown(context, now, { mode: "stop", signal });
    return;
  }
  context.memory.started(container.id);
  throw failureOf(`${change} container ${container.name}`, refusal, context.api.address);
}
