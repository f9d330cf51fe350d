/** What has lately happened to a container, for those who did not hear it. */

import { deadline } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { throwIfAborted } from "./abortable.ts";
import { filtersOf } from "./docker-calls.ts";
import type { DockerContext } from "./docker-context.ts";
import { type ContainerEvent, linesOf, readEvent } from "./docker-events.ts";
import type { Container } from "./docker-json.ts";

/** So far back the engine is asked, ms: hardly a stop takes longer. */
const PAST_MS = 120_000;
/** How long it may take to answer, ms: some engines look it up in the journal of the system. */
const PATIENCE_MS = 1_000;

/**
 * Whether somebody has told a container to end, which it has not yet; `false` when the engine cannot say.
 * @throws ProviderError `failed` when `signal` aborts
 */
export async function isToldToEnd(
  context: DockerContext,
  container: Container,
  signal: AbortSignal,
): Promise<boolean> {
  const what = `asking what has happened to container ${container.name}`;
  const limit = deadline(context.clock, PATIENCE_MS, { reason: new Error(what), parent: signal });
  try {
    const kinds = await recentKinds(context, container, limit.signal);
    const last = kinds.findLast((kind) => kind !== "changed" && kind !== "listed");
    return last === "told-to-end";
  } catch (error) {
    throwIfAborted(signal, what);
    // Then it is taken as it looks: up.
    context.log.debug({ provider: "docker", reason: messageOf(error) }, "the past is not known");
    return false;
  } finally {
    limit.end();
  }
}

/** Oldest first. */
async function recentKinds(
  { api, clock }: DockerContext,
  { id, name }: Container,
  signal: AbortSignal,
): Promise<readonly ContainerEvent["kind"][]> {
  const filters = filtersOf({ type: ["container"], container: [id] });
  const nowMs = clock.wallMs();
  const [since, until] = [nowMs - PAST_MS, nowMs].map((timeMs) => (timeMs / 1000).toFixed(3));
  const response = await api.open({
    what: `ask what has happened to container ${name}`,
    method: "GET",
    path: `/events?since=${since}&until=${until}&filters=${filters}`,
    timeoutMs: PATIENCE_MS * 2,
    signal,
  });
  const kinds: ContainerEvent["kind"][] = [];
  if (response.body === null) return kinds;
  for await (const line of linesOf(response.body)) {
    const event = readEvent(line);
    if (event !== null) kinds.push(event.kind);
  }
  return kinds;
}
