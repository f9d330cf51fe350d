/** What a test does to an environment on the fake Upsun, in the console, by a push, or as fate. */

import type { FakeRouter } from "./fake-router.ts";
import {
  type Activity,
  addActivity,
  type Condition,
  type Environment,
  endActivity,
  goesOn,
  type Outcome,
  type Project,
} from "./fake-upsun-model.ts";
import { labelOf, type State, urlOf } from "./fake-upsun-routes.ts";

export interface NewEnvironment {
  /** Default `abcdefgh1234567`; made when there is none. */
  readonly project?: string;
  /** Of the project; default `org-1`. */
  readonly organization?: string;
  /** Default `active`. */
  readonly condition?: Condition;
  /** Default `development`. */
  readonly type?: string;
  /** Default true: the operation is offered. */
  readonly canPause?: boolean;
  /** Default true. */
  readonly hasRoute?: boolean;
  /** Default 1. */
  readonly instances?: number;
}

/** A handle on one environment. */
export interface UpsunControl {
  /** `<project>/<branch>`. */
  readonly id: string;
  readonly branch: string;
  readonly projectId: string;
  /** What it is, beneath what goes on with it. */
  readonly condition: Condition;
  /** Newest first. */
  readonly activities: readonly Activity[];
  /** Where it answers, with a slash at its end. */
  readonly url: string;
  readonly instances: number;
  /** Requests that its app has answered itself. */
  readonly requests: number;
  /** How the activities to come end, one after the other; then well. */
  nextActivities(...outcomes: readonly Outcome[]): void;
  /** Somebody pauses or resumes it in the console; that takes its time. */
  pause(): void;
  resume(): void;
  /** As if it had been so for long. */
  set(condition: Condition): void;
  /** A push, or another activity: it goes on until `endActivity`. */
  beginActivity(type?: string): void;
  /** Ends the oldest activity that goes on. @throws when none does */
  endActivity(outcome?: Exclude<Outcome, "hangs">): void;
}

/** Adds an environment. @throws when the project has one of this name */
export function createEnvironment(
  state: State,
  branch: string,
  options: NewEnvironment,
): Environment {
  const project = projectFor(state, options);
  const isTaken = [...state.environments].some(
    (one) => one.project === project && one.id === branch,
  );
  if (isTaken) throw new Error(`${branch} is there already`);
  const { condition = "active" } = options;
  const environment: Environment = {
    project,
    id: branch,
    machineName: `${branch.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}-${hashOf(branch)}`,
    activities: [],
    outcomes: [],
    type: options.type ?? "development",
    condition,
    shown: condition,
    canPause: options.canPause ?? true,
    hasRoute: options.hasRoute ?? true,
    routerLagsUntilMs: 0,
    instances: options.instances ?? 1,
  };
  state.environments.add(environment);
  return environment;
}

function projectFor({ projects, organizations }: State, options: NewEnvironment): Project {
  const { project: id = "abcdefgh1234567", organization = "org-1" } = options;
  organizations.add(organization);
  for (const known of projects) if (known.id === id) return known;
  const project = { id, organizationId: organization, title: `Project ${id}`, isForbidden: false };
  projects.add(project);
  return project;
}

/** Seven characters, as the platform makes them of a branch. */
function hashOf(branch: string): string {
  return new Bun.CryptoHasher("sha256").update(branch).digest("hex").slice(0, 7);
}

export function controlOf(
  { world }: State,
  environment: Environment,
  router: FakeRouter,
): UpsunControl {
  return {
    id: `${environment.project.id}/${environment.id}`,
    branch: environment.id,
    projectId: environment.project.id,
    get condition() {
      return environment.condition;
    },
    activities: environment.activities,
    url: urlOf(environment, router),
    instances: environment.instances,
    get requests() {
      return router.appRequests(router.hostOf(labelOf(environment)));
    },
    nextActivities: (...outcomes) => void environment.outcomes.push(...outcomes),
    pause: () => void addActivity(world, environment, { type: "environment.pause" }),
    resume: () => void addActivity(world, environment, { type: "environment.resume" }),
    set(condition) {
      environment.condition = condition;
      environment.shown = condition;
      world.changed();
    },
    beginActivity: (type = "environment.push") =>
      void addActivity(world, environment, { type, outcome: "hangs" }),
    endActivity(outcome = "success") {
      const activity = environment.activities.findLast(goesOn);
      if (activity === undefined) throw new Error(`nothing goes on with ${environment.id}`);
      endActivity(world, environment, { activity, outcome });
    },
  };
}
