/** Looking at the engine: its apps, how each is, and where it answers. */

import type { Target } from "../app.ts";
import { inspectContainer, listContainers } from "./docker-calls.ts";
import type { DockerContext } from "./docker-context.ts";
import { type DockerApp, groupContainers, type Member } from "./docker-groups.ts";
import { type Container, type ContainerDetails, isDetailed } from "./docker-json.ts";
import {
  neededNow,
  needsIn,
  type Serving,
  servingByLabel,
  servingByPorts,
} from "./docker-order.ts";
import { combine, type MemberState, needsDetails, stateOf } from "./docker-state.ts";
import { type Found, findTarget, networkFor, networkHostOf } from "./docker-target.ts";
import { type Observation, ProviderError } from "./provider.ts";

/** All apps there are, by id, in one call. @throws ProviderError */
export async function readApps(
  context: DockerContext,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, DockerApp>> {
  const apps = groupContainers(await listContainers(context.api, signal));
  context.memory.seen(apps);
  for (const { id, key, problems } of apps) {
    for (const problem of problems) warnOnce(context, { id, key }, problem);
  }
  return new Map(apps.map((app) => [app.id, app]));
}

/** Says it in the log, once for each app. */
export function warnOnce(
  { log, memory }: DockerContext,
  { id, key }: Pick<DockerApp, "id" | "key">,
  problem: string,
): void {
  if (memory.isNews(id, problem)) log.warn({ app: key, provider: "docker" }, problem);
}

/** One app as it is now. @throws ProviderError `not-found` when none of its containers exists */
export async function findApp(
  context: DockerContext,
  id: string,
  signal: AbortSignal,
): Promise<DockerApp> {
  const app = (await readApps(context, signal)).get(id);
  if (app !== undefined) return app;
  const key = context.memory.known(id)?.key;
  const what =
    key === undefined ? `there is no app ${id} on the engine` : `the containers of ${key} are gone`;
  throw new ProviderError("not-found", what);
}

/**
 * The same app with a fresh look at each container: for some time after a change, lists show what was before it. Source:
 * moby `daemon/monitor.go` tells that a container has died, and only later changes the table that lists are made from.
 * @throws ProviderError
 */
export async function lookCloser(
  context: DockerContext,
  app: DockerApp,
  signal: AbortSignal,
): Promise<DockerApp> {
  const members = await Promise.all(
    app.members.map(async (member) => {
      const now = await look(context, member.container, signal);
      return { ...member, container: now ?? goneFrom(member.container) };
    }),
  );
  return { ...app, members };
}

/** A container that is no longer there. */
export function goneFrom(container: Container): Container {
  return { ...container, status: "removing" };
}

/** Who serves an app; the ports of its containers are looked at where only they can tell. @throws ProviderError */
export async function findServing(
  context: DockerContext,
  app: DockerApp,
  signal: AbortSignal,
): Promise<Serving> {
  const byLabel = servingByLabel(app);
  if (byLabel !== null) return byLabel;
  const { config, memory } = context;
  await Promise.all(
    app.members.map(async ({ container }) => {
      if (memory.fixedOf(container.id) === null) await look(context, container, signal);
    }),
  );
  return servingByPorts(
    app,
    ({ container }) => memory.fixedOf(container.id)?.ports ?? container.ports,
    ({ marks }) => networkFor(marks, config) !== null,
  );
}

/** A fresh look at one container; `null`: it is gone. @throws ProviderError */
export async function look(
  { api, memory }: DockerContext,
  container: Pick<Container, "id" | "name">,
  signal: AbortSignal,
): Promise<ContainerDetails | null> {
  const details = await inspectContainer(api, container, signal);
  if (details !== null) memory.looked(details);
  return details;
}

/** How many apps are looked at the same time. */
const AT_ONCE_MAX = 8;

/**
 * How each of these apps is, by id.
 * @param order.isCloser with a look at each container
 * @throws ProviderError
 */
export async function observeApps(
  context: DockerContext,
  apps: Iterable<DockerApp>,
  { isCloser, signal }: { readonly isCloser: boolean; readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, Observation>> {
  const observations = new Map<string, Observation>();
  const queue = [...apps];
  const workOff = async () => {
    for (let app = queue.shift(); app !== undefined; app = queue.shift()) {
      const now = isCloser ? await lookCloser(context, app, signal) : app;
      observations.set(app.id, await observeApp(context, now, signal));
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE_MAX }, workOff));
  } finally {
    // When one look fails, nobody waits for the others.
    queue.length = 0;
  }
  return observations;
}

/** How an app is: what its list says, and looks at containers of which it says too little. @throws ProviderError */
export async function observeApp(
  context: DockerContext,
  app: DockerApp,
  signal: AbortSignal,
): Promise<Observation> {
  const serving = await findServing(context, app, signal);
  if (serving.kind === "unclear") return leftAlone(context, app, serving.why);
  const { member } = serving;
  const names = neededNow(member, needsIn(app, member));
  const needed = names.flatMap((name) => app.members.find((one) => one.name === name) ?? []);
  const ordered = [member, ...needed.filter((one) => one !== member)];
  const states = await Promise.all(
    ordered.map((one) => stateOfMember(context, one, { isServing: one === member, signal })),
  );
  const seen = combine(states);
  const isUp = seen.phase === "awake" || seen.phase === "waking";
  if (!isUp || member.container.status !== "running") return { ...seen, target: null };
  const found = await locate(context, member, signal);
  if (found === null) return { phase: "asleep", target: null, reason: "its container is gone" };
  if (found.kind === "none") {
    return leftAlone(context, app, `container ${member.container.name}: ${found.why}`);
  }
  const { target } = found;
  const { id: containerId } = member.container;
  if (context.memory.knowledgeOf(containerId).isBooting) {
    const path = app.settings.health ?? null;
    context.readiness.ask({ appId: app.id, containerId, target, path });
  }
  return { ...seen, target };
}

/** It runs, or not, and nobody can be led to it. */
function leftAlone(context: DockerContext, app: DockerApp, why: string): Observation {
  warnOnce(context, app, `cannot be reached: ${why}`);
  return { phase: "unmanaged", target: null, reason: why };
}

async function stateOfMember(
  context: DockerContext,
  { container }: Member,
  { isServing, signal }: { readonly isServing: boolean; readonly signal: AbortSignal },
): Promise<MemberState> {
  const { memory } = context;
  const known = memory.knowledgeOf(container.id);
  // Nobody but the serving one is asked over HTTP.
  const knowledge = { ...known, isBooting: isServing && known.isBooting };
  if (isDetailed(container) || !needsDetails(container, knowledge)) {
    return stateOf(container, knowledge);
  }
  const ending = memory.endingOf(container);
  const details = ending ?? (await look(context, container, signal)) ?? goneFrom(container);
  return stateOf(details, knowledge);
}

/**
 * Where a container that is up answers; `null`: it is gone. What a list leaves out is looked at.
 * @throws ProviderError
 */
async function locate(
  context: DockerContext,
  { container, marks }: Member,
  signal: AbortSignal,
): Promise<Found | null> {
  const listed = await locateAs(context, { container, marks }, signal);
  if (listed.kind === "target") return listed;
  const details = await look(context, container, signal);
  return details === null ? null : await locateAs(context, { container: details, marks }, signal);
}

async function locateAs(
  context: DockerContext,
  { container, marks }: Pick<Member, "container" | "marks">,
  signal: AbortSignal,
): Promise<Found> {
  const { config } = context;
  const hostId = networkHostOf(container);
  if (hostId === null) return findTarget({ container, marks, config, host: null });
  const host = await look(context, { id: hostId, name: hostId.slice(0, 12) }, signal);
  if (host !== null) return findTarget({ container, marks, config, host });
  return { kind: "none", why: `it uses the network of container ${hostId}, which is gone` };
}

/**
 * Where an app answers that has just been brought up, as a look at its serving member says.
 * @throws ProviderError `failed` when nobody can tell
 */
export async function targetNow(
  context: DockerContext,
  app: DockerApp,
  { member, signal }: { readonly member: Member; readonly signal: AbortSignal },
): Promise<Target> {
  const found = await locateAs(context, member, signal);
  if (found.kind === "target") return found.target;
  const why = `container ${member.container.name}: ${found.why}`;
  warnOnce(context, app, `cannot be reached: ${why}`);
  throw new ProviderError("failed", `${app.key} cannot be reached: ${why}`);
}
