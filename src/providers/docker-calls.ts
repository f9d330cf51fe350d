/** The calls that apps need of an engine: list, look, start, stop, pause, unpause. */

import type { EngineAnswer, EngineApi } from "./docker-api.ts";
import { type EngineRefusal, failureOf } from "./docker-errors.ts";
import {
  type Container,
  type ContainerDetails,
  readContainer,
  readContainers,
} from "./docker-json.ts";
import { ENABLED } from "./docker-labels.ts";

/** How long a call that only reads may take, ms. */
const READ_TIMEOUT_MS = 15_000;
/** How long it may take to start, pause or unpause a container, ms: many at once keep an engine busy. */
const CHANGE_TIMEOUT_MS = 60_000;
/** How long a stop may take beyond what the container gets, ms: it is killed then, and waited for again. */
const STOP_MARGIN_MS = 30_000;

/** Every container that is opted in, those that are down too, in one call. @throws ProviderError */
export async function listContainers(
  api: EngineApi,
  signal: AbortSignal,
): Promise<readonly Container[]> {
  const what = "list its containers";
  const filters = filtersOf({ label: [ENABLED] });
  const path = `/containers/json?all=true&filters=${filters}`;
  const answer = await api.send({ what, method: "GET", path, timeoutMs: READ_TIMEOUT_MS, signal });
  return readContainers(bodyOf(api, what, answer));
}

/** As the engine takes them in a query. */
export function filtersOf(filters: Readonly<Record<string, readonly string[]>>): string {
  return encodeURIComponent(JSON.stringify(filters));
}

/** A fresh look at a container; `null`: there is none. @throws ProviderError */
export async function inspectContainer(
  api: EngineApi,
  { id, name }: Pick<Container, "id" | "name">,
  signal: AbortSignal,
): Promise<ContainerDetails | null> {
  const what = `look at container ${name}`;
  const path = `/containers/${encodeURIComponent(id)}/json`;
  const answer = await api.send({ what, method: "GET", path, timeoutMs: READ_TIMEOUT_MS, signal });
  if (answer.kind === "refused" && answer.status === 404) return null;
  return readContainer(bodyOf(api, what, answer));
}

/** What the engine is, for people: `Docker 27.5.1`, `Podman Engine 4.3.1`. @throws ProviderError */
export async function askVersion(api: EngineApi, signal: AbortSignal): Promise<unknown> {
  const what = "ask the engine for its version";
  const path = "/version";
  const answer = await api.send({ what, method: "GET", path, timeoutMs: READ_TIMEOUT_MS, signal });
  return bodyOf(api, what, answer);
}

function bodyOf(api: EngineApi, what: string, answer: EngineAnswer): unknown {
  if (answer.kind === "refused") throw failureOf(what, answer, api.address);
  return answer.body;
}

/** What can be done to a container. */
export type Change = "start" | "pause" | "unpause";

/** How a change went: `already` is no proof, as the container may be about to end. */
export type Changed = "done" | "already" | EngineRefusal;

/** @throws ProviderError when there is no answer; with `isUncertain` it may have been done */
export async function changeContainer(
  api: EngineApi,
  change: Change,
  { container, signal }: { readonly container: Container; readonly signal: AbortSignal },
): Promise<Changed> {
  const what = `${change} container ${container.name}`;
  const path = `/containers/${encodeURIComponent(container.id)}/${change}`;
  const timeoutMs = CHANGE_TIMEOUT_MS;
  return changedOf(await api.send({ what, method: "POST", path, timeoutMs, signal }));
}

/** Waits until it has stopped, or was killed for not doing so in `stopTimeoutMs`. @throws ProviderError */
export async function stopContainer(
  api: EngineApi,
  container: Container,
  { stopTimeoutMs, signal }: { readonly stopTimeoutMs: number; readonly signal: AbortSignal },
): Promise<Changed> {
  const seconds = Math.ceil(stopTimeoutMs / 1000);
  const answer = await api.send({
    what: `stop container ${container.name}`,
    method: "POST",
    path: `/containers/${encodeURIComponent(container.id)}/stop?t=${seconds}`,
    timeoutMs: seconds * 1000 + STOP_MARGIN_MS,
    signal,
  });
  return changedOf(answer);
}

function changedOf(answer: EngineAnswer): Changed {
  if (answer.kind === "refused") return answer;
  return answer.status === 304 ? "already" : "done";
}
