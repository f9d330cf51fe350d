/** The environments of all projects of an account on Upsun: one call per project. */

import type { Log } from "../log.ts";
import { createPartLists, type PartLists } from "./platform-parts.ts";
import { type Listing, type Phase, ProviderError } from "./provider.ts";
import { slugOf } from "./slug.ts";
import type { Asked } from "./upsun-api.ts";
import { idOf, type UpsunContext } from "./upsun-context.ts";
import type { UpsunEnvironment } from "./upsun-json.ts";
import { observationOf } from "./upsun-state.ts";

/** How long it is believed which projects the account has, ms: they come and go seldom, and cost calls. */
const PROJECTS_FOR_MS = 10 * 60_000;

/** The list of all projects. */
export interface ProjectLists {
  /**
   * A project that cannot be listed keeps the environments that it had, in an unknown state, so that the others' still
   * come and go.
   * @throws ProviderError when none can be listed
   */
  fetch(asked: Asked): Promise<readonly Listing[]>;
  /** Why the newest list cannot know of this environment: its project could not be listed. `null`: it could. */
  whyUnlisted(id: string): string | null;
  /** Whether every project was listed at least once, but for those that turned out not to be ours to see. */
  isWhole(): boolean;
}

interface State {
  readonly context: UpsunContext;
  readonly parts: PartLists;
  projects: { readonly ids: readonly string[]; readonly untilMs: number } | null;
  /** Those that were asked for last. */
  asked: readonly string[];
  /** How often a project was refused in a row. */
  readonly refusals: Map<string, number>;
}

/** Makes the list; nothing is sent yet. */
export function createProjectLists(context: UpsunContext, log: Log): ProjectLists {
  const { clock } = context;
  const state: State = {
    context,
    parts: createPartLists({ provider: "upsun", noun: "project", clock, log }),
    projects: null,
    asked: [],
    refusals: new Map(),
  };
  return {
    fetch: (asked) => fetchAll(state, asked),
    whyUnlisted: (id) => state.parts.whySilent(id.split("/", 1)[0] ?? ""),
    isWhole: () => state.asked.every((id) => state.parts.isKnown(id) || isForeign(state, id)),
  };
}

async function fetchAll(state: State, asked: Asked): Promise<readonly Listing[]> {
  const { context, parts } = state;
  state.asked = await projectsOf(state, asked);
  try {
    const listings = await parts.fetch(state.asked, (id) => fetchProject(context, id, asked));
    forgetOthers(context, listings);
    return listings;
  } finally {
    for (const id of state.asked) countRefusal(state, id);
  }
}

async function fetchProject(
  context: UpsunContext,
  id: string,
  asked: Asked,
): Promise<readonly Listing[]> {
  const environments = await context.api.fetchEnvironments(id, asked);
  const present = environments.filter(({ status }) => status !== "deleting");
  return present.map((environment) => listingOf(context, environment));
}

async function projectsOf(state: State, asked: Asked): Promise<readonly string[]> {
  const { api, clock, config } = state.context;
  if (config.projects !== null) return config.projects;
  if (state.projects !== null && clock.now() < state.projects.untilMs) return state.projects.ids;
  const { id } = await api.fetchUser(asked);
  const ids = await api.fetchProjects(id, asked);
  state.projects = { ids, untilMs: clock.now() + PROJECTS_FOR_MS };
  // Who is not in the account any more is gone, and not hidden.
  for (const known of state.refusals.keys()) if (!ids.includes(known)) state.refusals.delete(known);
  return ids;
}

/** A project that is missing is refused like one that the account may not see. Source: Upsun's API. */
function countRefusal(state: State, id: string): void {
  const { parts, refusals } = state;
  const failure = parts.failureOf(id);
  if (failure === null) refusals.delete(id);
  const isRefused =
    failure instanceof ProviderError &&
    (failure.kind === "forbidden" || failure.kind === "not-found");
  if (!isRefused) return;
  // It may be gone: the account's own list of projects tells, once.
  if (!refusals.has(id)) state.projects = null;
  refusals.set(id, (refusals.get(id) ?? 0) + 1);
}

/** The account still names it, and may not see it: nothing of it is ours. What a person has named should be. */
function isForeign({ context, refusals }: State, id: string): boolean {
  return context.config.projects === null && (refusals.get(id) ?? 0) > 1;
}

function forgetOthers(context: UpsunContext, listings: readonly Listing[]): void {
  const ids = new Set(listings.map(({ id }) => id));
  for (const memory of [context.targets, context.phases, context.looked]) {
    for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
  }
}

function ownIdOf({ projectId, id }: UpsunEnvironment): string {
  return idOf({ projectId, environmentId: id });
}

/** Branches of one name are in many projects: what is unique is the name that Upsun makes of it. */
function listingOf({ targets, phases }: UpsunContext, environment: UpsunEnvironment): Listing {
  const { projectId, id, machineName, status } = environment;
  const key = slugOf(id) || slugOf(machineName) || slugOf(projectId);
  const unique = slugOf(`${machineName || id}-${projectId}`);
  const target = environment.target ?? targets.get(ownIdOf(environment)) ?? null;
  // What goes on with one that is busy, and where one answers, the list may not say: then it is looked at.
  const hasChanged = CHANGES.has(phases.get(ownIdOf(environment)) ?? "awake");
  const isUnknown = environment.target === null && (target === null || hasChanged);
  const isUnsaid = status === "dirty" || (status === "active" && isUnknown);
  return {
    id: ownIdOf(environment),
    key,
    label: `${key} in ${projectId}`,
    ...(unique === key ? {} : { aliases: [unique] }),
    observation: isUnsaid ? null : observationOf({ ...environment, target }, null),
    target,
    sleepsByItself: false,
  };
}

/** What may have brought other routes, once it is over. */
const CHANGES: ReadonlySet<Phase> = new Set<Phase>(["deploying", "waking"]);
