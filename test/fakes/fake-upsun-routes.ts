/** The endpoints of the fake Upsun. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Call, Route } from "./fake-platform.ts";
import type { FakeRouter } from "./fake-router.ts";
import type { Access } from "./fake-upsun-access.ts";
import {
  activityJson,
  deploymentJson,
  type ErrorForm,
  environmentJson,
  pageJson,
  projectJson,
  refused,
  type Telling,
} from "./fake-upsun-json.ts";
import {
  addActivity,
  type Environment,
  goesOn,
  type Project,
  type World,
} from "./fake-upsun-model.ts";
import { checkNoBody, checkQuery } from "./request-checks.ts";

/** What the platform leaves open. */
export interface UpsunRules extends Telling {
  readonly errorForm: ErrorForm;
  /** A pause of what is paused, or a resume of what is up: 202, or 400. */
  readonly repeats: "accepted" | "refused";
  /** The 202 has the activity that was begun. */
  readonly embedsActivities: boolean;
  /** The answer for a project that is not there. */
  readonly missingProject: 403 | 404;
  /** Entries of a page of projects or organizations, whatever is asked for. */
  readonly pageMax: number;
}

/** Everything that the fake knows. */
export interface State {
  readonly rules: UpsunRules;
  readonly access: Access;
  readonly organizations: Set<string>;
  readonly projects: Set<Project>;
  readonly environments: Set<Environment>;
  readonly world: World;
}

const USER = { id: "user-1", username: "ada", email: "ada@example.com" };
const ENVIRONMENT = "/projects/:project/environments/:environment";

/** All of them, but for the exchange of tokens. */
export function upsunRoutes(state: State, router: FakeRouter): Route[] {
  const toJson = (environment: Environment) =>
    environmentJson(environment, urlOf(environment, router), state.rules);
  return [
    get("users.me", "/users/me", () => json(USER)),
    {
      kind: "organizations.list",
      method: "GET",
      path: "/users/:user/organizations",
      answer: (call) =>
        page(
          state,
          call,
          [...state.organizations].map((id) => ({ id })),
        ),
    },
    {
      kind: "projects.list",
      method: "GET",
      path: "/organizations/:organization/projects",
      answer(call) {
        const mine = ({ organizationId }: Project) => organizationId === call.params.organization;
        return page(state, call, [...state.projects].filter(mine).map(projectJson));
      },
    },
    get("environments.list", "/projects/:project/environments", (call) =>
      withProject(state, call, (project) =>
        json([...state.environments].filter((one) => one.project === project).map(toJson)),
      ),
    ),
    get("environments.read", ENVIRONMENT, (call) =>
      withEnvironment(state, call, (environment) => json(toJson(environment))),
    ),
    get("deployments.current", `${ENVIRONMENT}/deployments/current`, (call) =>
      withEnvironment(state, call, (environment) =>
        environment.condition === "inactive"
          ? refused(404, "no deployment", state.rules.errorForm)
          : json(deploymentJson(environment, urlOf(environment, router))),
      ),
    ),
    ...activityRoutes(state),
    ...changeRoutes(state),
  ];
}

/** Where it answers, with a slash at its end. */
export function urlOf(environment: Environment, router: FakeRouter): string {
  return `${router.addressOf(labelOf(environment))}/`;
}

/** The first labels of its own hostname. */
export function labelOf({ machineName, project }: Environment): string {
  return `${machineName}-${project.id}.fr-3`;
}

function get(kind: string, path: string, answer: (call: Call) => FakeAnswer): Route {
  return {
    kind,
    method: "GET",
    path,
    answer(call) {
      checkQuery(call);
      return answer(call);
    },
  };
}

/** What stands behind `page[after]` is nobody's business but ours. */
function page({ rules }: State, call: Call, all: readonly object[]): FakeAnswer {
  checkQuery(call, ["page[size]", "page[after]"]);
  const size = Math.min(Number(call.query.get("page[size]") ?? 100), rules.pageMax);
  const from = Number(atob(call.query.get("page[after]") ?? btoa("0")));
  const items = all.slice(from, from + size);
  const isLast = from + size >= all.length;
  const after = encodeURIComponent(btoa(String(from + size)));
  const next = isLast ? null : `${call.path}?page%5Bsize%5D=${size}&page%5Bafter%5D=${after}`;
  return json(pageJson(items, { count: all.length, self: call.path, next }));
}

function activityRoutes(state: State): Route[] {
  return [
    get("activities.list", `${ENVIRONMENT}/activities`, (call) =>
      withEnvironment(state, call, (environment) =>
        json(environment.activities.map((one) => activityJson(environment, one))),
      ),
    ),
    get("activities.read", "/projects/:project/activities/:activity", (call) =>
      withProject(state, call, (project) => {
        for (const environment of state.environments) {
          const found = environment.activities.find(({ id }) => id === call.params.activity);
          if (environment.project === project && found !== undefined) {
            return json(activityJson(environment, found));
          }
        }
        return refused(404, "no such activity", state.rules.errorForm);
      }),
    ),
  ];
}

const VERBS = ["pause", "resume", "activate", "deactivate"] as const;

function changeRoutes(state: State): Route[] {
  return VERBS.map((verb) => ({
    kind: verb,
    method: "POST",
    path: `${ENVIRONMENT}/${verb}`,
    answer(call) {
      checkQuery(call);
      checkNoBody(call);
      return withEnvironment(state, call, (environment) =>
        change(state, call, { environment, verb }),
      );
    },
  }));
}

function change(
  { rules, world }: State,
  call: Call,
  {
    environment,
    verb,
  }: { readonly environment: Environment; readonly verb: (typeof VERBS)[number] },
): FakeAnswer {
  const { activities, canPause, condition, type } = environment;
  if (verb === "activate" || verb === "deactivate") {
    call.violation(verb === "deactivate" ? "that destroys all data" : "nobody asked for that");
    return refused(400, "not here", rules.errorForm);
  }
  if (type === "production") call.violation("it is a production environment");
  if (verb === "pause" && activities.some((one) => goesOn(one) && !isOurs(one.type))) {
    call.violation("something else goes on with it: it would be paused right after");
  }
  const isOffered = verb === "pause" ? condition === "active" && canPause : condition === "paused";
  if (!isOffered && rules.repeats === "refused") {
    return refused(400, `the operation ${verb} is not available`, rules.errorForm);
  }
  const activity = addActivity(world, environment, { type: `environment.${verb}` });
  const accepted = { status: "Accepted", code: 202 };
  if (!rules.embedsActivities) return json(accepted, 202);
  const embedded = { activities: [activityJson(environment, activity)] };
  return json({ ...accepted, _embedded: embedded }, 202);
}

function isOurs(type: string): boolean {
  return type === "environment.pause" || type === "environment.resume";
}

function withProject(
  { projects, rules }: State,
  call: Call,
  answer: (project: Project) => FakeAnswer,
): FakeAnswer {
  for (const project of projects) {
    if (project.id !== call.params.project) continue;
    return project.isForbidden ? refused(403, "Access denied", rules.errorForm) : answer(project);
  }
  return refused(rules.missingProject, "Access denied", rules.errorForm);
}

function withEnvironment(
  state: State,
  call: Call,
  answer: (environment: Environment) => FakeAnswer,
): FakeAnswer {
  return withProject(state, call, (project) => {
    for (const environment of state.environments) {
      const isMeant = environment.project === project && environment.id === call.params.environment;
      if (isMeant) return answer(environment);
    }
    return refused(404, "no such environment", state.rules.errorForm);
  });
}
