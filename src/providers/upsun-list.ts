/** The environments of all projects of an account on Upsun: one call per project. */

import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import { type Listing, ProviderError } from "./provider.ts";
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
   * A project that the account may not see any more is left out, so that the others' environments still come and go.
   * @throws ProviderError when none can be listed, or the platform does not answer
   */
  fetch(asked: Asked): Promise<readonly Listing[]>;
  /** Why the newest list cannot know of this environment: Upsun does not show its project. `null`: it does. */
  whyUnlisted(id: string): string | null;
}

interface State {
  readonly context: UpsunContext;
  readonly log: Log;
  projects: { readonly ids: readonly string[]; readonly untilMs: number } | null;
  /** Projects that the account may not see, and why. */
  readonly refused: Map<string, string>;
  readonly conditions: Map<string, Condition>;
}

/** Makes the list; nothing is sent yet. */
export function createProjectLists(context: UpsunContext, log: Log): ProjectLists {
  const state: State = {
    context,
    log,
    projects: null,
    refused: new Map(),
    conditions: new Map(),
  };
  return {
    fetch: (asked) => fetchAll(state, asked),
    whyUnlisted: (id) => state.refused.get(id.split("/", 1)[0] ?? "") ?? null,
  };
}

async function fetchAll(state: State, asked: Asked): Promise<readonly Listing[]> {
  const { context } = state;
  const projects = await projectsOf(state, asked);
  const results = await Promise.allSettled(
    projects.map((id) => context.api.fetchEnvironments(id, asked)),
  );
  let failure: unknown = null;
  for (const [index, id] of projects.entries()) {
    const reason = note(state, id, results[index]);
    if (reason !== null && !isRefusal(reason)) throw reason;
    failure ??= reason;
  }
  const lists = results.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  if (lists.length === 0 && failure !== null) throw failure;
  const environments = lists.flat().filter(({ status }) => status !== "deleting");
  forgetOthers(context, environments);
  return environments.map((environment) => listingOf(context, environment));
}

async function projectsOf(state: State, asked: Asked): Promise<readonly string[]> {
  const { api, clock, config } = state.context;
  if (config.projects !== null) return config.projects;
  if (state.projects !== null && clock.now() < state.projects.untilMs) return state.projects.ids;
  const { id } = await api.fetchUser(asked);
  const ids = await api.fetchProjects(id, asked);
  state.projects = { ids, untilMs: clock.now() + PROJECTS_FOR_MS };
  // Who is not in the account any more is gone, and not hidden.
  for (const known of state.refused.keys()) if (!ids.includes(known)) state.refused.delete(known);
  return ids;
}

/** Missing projects are refused like those that the account may not see. Source: Upsun's API. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof ProviderError && (error.kind === "forbidden" || error.kind === "not-found")
  );
}

/** @returns what went wrong; `null`: nothing */
function note(
  state: State,
  id: string,
  result: PromiseSettledResult<unknown> | undefined,
): unknown {
  const { refused } = state;
  if (result?.status !== "rejected") {
    refused.delete(id);
    state.conditions.get(id)?.end("the project is listed again");
    return null;
  }
  const { reason } = result;
  if (!isRefusal(reason)) return reason;
  // It may be gone: the account's own list of projects tells, once.
  if (!refused.has(id)) state.projects = null;
  refused.set(id, messageOf(reason));
  conditionOf(state, id).begin(`${messageOf(reason)}; its environments stay as they are`);
  return reason;
}

function conditionOf({ conditions, context, log }: State, project: string): Condition {
  const known = conditions.get(project);
  if (known !== undefined) return known;
  const fields = { provider: "upsun", project };
  const { clock } = context;
  const made = createCondition({ bad: log.warn, good: log.info, fields, clock });
  conditions.set(project, made);
  return made;
}

function forgetOthers(context: UpsunContext, environments: readonly UpsunEnvironment[]): void {
  const ids = new Set(environments.map(ownIdOf));
  for (const memory of [context.targets, context.phases, context.looked]) {
    for (const id of memory.keys()) if (!ids.has(id)) memory.delete(id);
  }
}

function ownIdOf({ projectId, id }: UpsunEnvironment): string {
  return idOf({ projectId, environmentId: id });
}

/** Branches of one name are in many projects: what is unique is the name that Upsun makes of it. */
function listingOf({ targets }: UpsunContext, environment: UpsunEnvironment): Listing {
  const { projectId, id, machineName, status } = environment;
  const key = slugOf(id) || slugOf(machineName) || slugOf(projectId);
  const unique = slugOf(`${machineName || id}-${projectId}`);
  const target = environment.target ?? targets.get(ownIdOf(environment)) ?? null;
  // What goes on with one that is busy, and where one answers, the list may not say: then it is looked at.
  const isUnsaid = status === "dirty" || (status === "active" && target === null);
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
