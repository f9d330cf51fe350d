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
  const missing = context.memory.seen(apps);
  if (missing.length > 0) context.onGone();
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
  const before = memory.looks.mark(container.id);
  const details = await inspectContainer(api, container, signal);
  if (details !== null) memory.looked(details, before);
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
    ordered.map((one) =>
      stateOfMember(context, one, { appId: app.id, isServing: one === member, signal }),
    ),
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
  about: { readonly appId: string; readonly isServing: boolean; readonly signal: AbortSignal },
): Promise<MemberState> {
  const { memory } = context;
  const known = memory.knowledgeOf(container.id);
  // Nobody but the serving one is asked over HTTP.
  const knowledge = { ...known, isBooting: about.isServing && known.isBooting };
  const stateNow = (details: ContainerDetails) => {
    const hadEnded = memory.hadEnded(about.appId, details);
    return stateOf(details, hadEnded ? { ...knowledge, isEndedOnPurpose: true } : knowledge);
  };
  if (isDetailed(container)) return stateNow(container);
  if (!needsDetails(container, knowledge)) return stateOf(container, knowledge);
  const remembered = memory.looks.detailsOf(container);
  const state = remembered === null ? null : stateNow(remembered);
  if (state !== null && !isPassing(state)) return state;
  const details = await look(context, container, about.signal);
  return details === null ? stateOf(goneFrom(container), knowledge) : stateNow(details);
}

/** Whether it will soon be another one. */
function isPassing({ phase }: MemberState): boolean {
  return phase === "waking" || phase === "stopping";
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
  const how = { isFresh: isDetailed(container), signal };
  const listed = await locateAs(context, { container, marks }, how);
  if (listed.kind === "target" || how.isFresh) return listed;
  const details = await detailsOf(context, container, signal);
  return details === null ? null : await locateAs(context, { container: details, marks }, how);
}

async function detailsOf(
  context: DockerContext,
  listed: Container,
  signal: AbortSignal,
): Promise<ContainerDetails | null> {
  return context.memory.looks.detailsOf(listed) ?? (await look(context, listed, signal));
}

/** `isFresh`: with a look at everything that counts, whatever was seen before. */
interface HowToLook {
  readonly isFresh: boolean;
  readonly signal: AbortSignal;
}

async function locateAs(
  context: DockerContext,
  { container, marks }: Pick<Member, "container" | "marks">,
  how: HowToLook,
): Promise<Found> {
  const { config } = context;
  const host = await networkHost(context, container, how);
  if (host === "its own") return findTarget({ container, marks, config, host: null });
  if (host !== null) return findTarget({ container, marks, config, host });
  return { kind: "none", why: hostIsGone(container) };
}

/** The container whose network this one uses; `null`: there is none any more. @throws ProviderError */
async function networkHost(
  context: DockerContext,
  guest: Container,
  { isFresh, signal }: HowToLook,
): Promise<ContainerDetails | "its own" | null> {
  const id = networkHostOf(guest);
  if (id === null) return "its own";
  const { looks } = context.memory;
  const remembered = isFresh ? undefined : looks.hostOf(guest.id);
  if (remembered !== undefined) return remembered;
  const host = await look(context, { id, name: shortId(id) }, signal);
  looks.sawHost(guest.id, host);
  return host;
}

/** Ids are 64 digits; a name is left as it is. */
function shortId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}

function hostIsGone(guest: Container): string {
  const host = shortId(networkHostOf(guest) ?? "");
  return `it uses the network of container ${host}, which does not exist any more: create ${guest.name} anew, with the network of one that does`;
}

/** Why a container has no network to come up in; `null`: nothing is wrong with that. @throws ProviderError */
export async function whyNoNetwork(
  context: DockerContext,
  container: Container,
  signal: AbortSignal,
): Promise<string | null> {
  const host = await networkHost(context, container, { isFresh: true, signal });
  if (host === "its own") return null;
  if (host === null) return hostIsGone(container);
  if (host.status === "running") return null;
  return `it uses the network of container ${host.name}, which is ${host.status}: start that first, or give both the same paastis.name`;
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
  const found = await locateAs(context, member, { isFresh: true, signal });
  if (found.kind === "target") return found.target;
  const why = `container ${member.container.name}: ${found.why}`;
  warnOnce(context, app, `cannot be reached: ${why}`);
  throw new ProviderError("failed", `${app.key} cannot be reached: ${why}`);
}
