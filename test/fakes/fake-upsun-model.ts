/** The nouns of the fake Upsun: projects, environments and their activities, and what happens to them over time. */

import type { Clock } from "../../src/clock.ts";

/** What an environment is, beneath what goes on with it. */
export type Condition = "active" | "paused" | "inactive" | "deleting";

/** `activity.state`, as documented. */
export type ActivityState =
  | "pending"
  | "scheduled"
  | "staged"
  | "in_progress"
  | "complete"
  | "cancelled";

/** How an activity ends. `hangs`: it never does. */
export type Outcome = "success" | "failure" | "cancelled" | "hangs";

export interface Activity {
  readonly id: string;
  /** `environment.pause`, `environment.resume`, `environment.push`, … */
  readonly type: string;
  readonly createdAtMs: number;
  readonly outcome: Outcome;
  state: ActivityState;
  result: "success" | "failure" | null;
  percent: number;
}

export interface Project {
  readonly id: string;
  readonly organizationId: string;
  readonly title: string;
  /** The account may not administer it: 403. */
  isForbidden: boolean;
}

export interface Environment {
  readonly project: Project;
  /** The name of its branch. */
  readonly id: string;
  readonly machineName: string;
  /** Newest first. */
  readonly activities: Activity[];
  /** How the activities that we begin end, one after the other; then well. */
  readonly outcomes: Outcome[];
  type: string;
  condition: Condition;
  /** As the API shows it, but for `dirty`. */
  shown: Condition;
  canPause: boolean;
  /** It has a primary route; else a redirection alone. */
  hasRoute: boolean;
  /** Until then the router shows what it showed before, by the fake's clock. */
  routerLagsUntilMs: number;
  /** Instances of its app: they stay through pauses. */
  instances: number;
}

/** What environments need of the platform around them. */
export interface World {
  readonly clock: Clock;
  readonly pendingMs: number;
  readonly activityMs: number;
  /** From the end of an activity until the environment's status follows. */
  readonly statusLagMs: number;
  readonly routerLagMs: number;
  nextId(): string;
  later(delayMs: number, action: () => void): void;
  /** What requests lead to may have changed. */
  changed(): void;
}

/** Whether an activity has not come to its end. */
export function goesOn({ state }: Activity): boolean {
  return state !== "complete" && state !== "cancelled";
}

/** Adds an activity; it begins when those before it have ended. */
export function addActivity(
  world: World,
  environment: Environment,
  { type, outcome }: { readonly type: string; readonly outcome?: Outcome },
): Activity {
  const activity: Activity = {
    id: world.nextId(),
    type,
    createdAtMs: world.clock.now(),
    outcome: outcome ?? environment.outcomes.shift() ?? "success",
    state: "pending",
    result: null,
    percent: 0,
  };
  const isFirst = !environment.activities.some(goesOn);
  environment.activities.unshift(activity);
  if (isFirst) world.later(world.pendingMs, () => begin(world, environment, activity));
  return activity;
}

function begin(world: World, environment: Environment, activity: Activity): void {
  if (activity.state !== "pending") return;
  activity.state = "in_progress";
  activity.percent = 20;
  const { outcome } = activity;
  if (outcome === "hangs") return;
  world.later(world.activityMs, () => endActivity(world, environment, { activity, outcome }));
}

/** Ends an activity now, and begins the one that waited for that. */
export function endActivity(
  world: World,
  environment: Environment,
  {
    activity,
    outcome,
  }: { readonly activity: Activity; readonly outcome: Exclude<Outcome, "hangs"> },
): void {
  if (!goesOn(activity)) return;
  activity.state = outcome === "cancelled" ? "cancelled" : "complete";
  activity.result = outcome === "cancelled" ? null : outcome;
  activity.percent = 100;
  if (outcome === "success") apply(world, environment, activity.type);
  const next = environment.activities.findLast(goesOn);
  if (next !== undefined) world.later(world.pendingMs, () => begin(world, environment, next));
  world.changed();
}

/** A push, too, brings back what was paused. */
function apply(world: World, environment: Environment, type: string): void {
  const before = environment.condition;
  environment.condition = type === "environment.pause" ? "paused" : "active";
  if (before === "paused" && environment.condition === "active") {
    environment.routerLagsUntilMs = world.clock.now() + world.routerLagMs;
    if (world.routerLagMs > 0) world.later(world.routerLagMs, world.changed);
  }
  const { condition } = environment;
  const show = () => {
    environment.shown = condition;
    world.changed();
  };
  if (world.statusLagMs === 0) show();
  else world.later(world.statusLagMs, show);
}
