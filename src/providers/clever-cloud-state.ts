/** What Clever Cloud's words about an app come to: its own state, its newest deployment, its instances. */

import type { AppDetail, Deployment } from "./clever-cloud-json.ts";
import type { Observation, Phase } from "./provider.ts";

/** Everything that was read about one app at one moment. */
export interface View {
  readonly app: AppDetail;
  /** `null`: it has none. */
  readonly newest: Deployment | null;
  /** The state of each instance. */
  readonly instances: readonly string[];
}

/** What an app is, without where it answers. */
export type Standing = Pick<Observation, "phase" | "reason">;

/** Words of a deployment under way, of API v2 and v4. */
const UNDER_WAY = ["WIP", "TASK_RUNNING", "QUEUED", "WORK_IN_PROGRESS", "TASK_IN_PROGRESS"];
const SUCCEEDED = ["OK", "SUCCEEDED"];
const FAILED = ["FAIL", "FAILED"];
const CANCELLED = ["CANCELLED"];
/** Instances that are not up yet, and will be. */
const COMING = [
  "BOOTING",
  "STARTING",
  "DEPLOYING",
  "BUILDING",
  "READY",
  "MIGRATION_IN_PROGRESS",
  "TASK_IN_PROGRESS",
];
/** Instances that are no more. */
const OVER = ["GHOST", "DELETED"];

/** How far a deployment is. `unknown`: a word that we do not know. */
export type Progress = "none" | "under-way" | "ok" | "failed" | "cancelled" | "unknown";

/** Pure. */
export function progressOf(deployment: Deployment | null): Progress {
  if (deployment === null) return "none";
  const { state } = deployment;
  if (UNDER_WAY.includes(state)) return "under-way";
  if (SUCCEEDED.includes(state)) return "ok";
  if (FAILED.includes(state)) return "failed";
  return CANCELLED.includes(state) ? "cancelled" : "unknown";
}

/** Pure. Whether a deployment takes an app down, which the platform notes in the same list. */
export function isUndeploy(deployment: Deployment | null): boolean {
  return deployment?.action === "UNDEPLOY";
}

/** Pure. Whether an instance answers, and is meant to. */
export function isUp({ app, instances }: View): boolean {
  return app.state === "SHOULD_BE_UP" && instances.includes("UP");
}

/** Pure. As much as the app's own word says; `null`: its deployment and instances have to be asked for. */
export function standingOfState(state: string): Standing | null {
  switch (state) {
    case "SHOULD_BE_UP":
    case "SHOULD_BE_DOWN":
    case "WANTS_TO_BE_UP":
      return null;
    case "MODERATED":
      return {
        phase: "blocked",
        reason: "Clever Cloud has suspended it (MODERATED): ask its support why",
      };
    case "DEFAULT_OF_PAYMENT":
      return {
        phase: "blocked",
        reason: "its owner owes Clever Cloud money (DEFAULT_OF_PAYMENT): pay in the console",
      };
    default:
      return {
        phase: "unknown",
        reason: `Clever Cloud says it is "${state}", which this version of Paastis does not know`,
      };
  }
}

/** Pure. What the summary says: a deployment under way and one that failed cannot be told apart from it. */
export function listedPhase(state: string): Standing {
  switch (state) {
    case "SHOULD_BE_UP":
      return { phase: "awake" };
    case "SHOULD_BE_DOWN":
      return { phase: "asleep" };
    case "WANTS_TO_BE_UP":
      return { phase: "waking" };
    default:
      return standingOfState(state) ?? { phase: "unknown" };
  }
}

/** Pure. What an app is; the reason is for people. */
export function standingOf(view: View): Standing {
  const { app } = view;
  if (app.isForeign) {
    return { phase: "unmanaged", reason: "it runs a task and ends, or is archived" };
  }
  const known = standingOfState(app.state);
  if (known !== null) return known;
  if (app.state === "SHOULD_BE_DOWN") return { phase: phaseOfDown(view) };
  return app.state === "SHOULD_BE_UP" && isUp(view) ? standingOfUp(view) : standingOfComing(view);
}

function phaseOfDown({ newest, instances }: View): Phase {
  // Just after a start the app's own word is still the old one.
  if (progressOf(newest) === "under-way") return isUndeploy(newest) ? "stopping" : "waking";
  return instances.every((state) => OVER.includes(state)) ? "asleep" : "stopping";
}

function standingOfUp({ newest }: View): Standing {
  const progress = progressOf(newest);
  if (isUndeploy(newest)) return { phase: progress === "under-way" ? "stopping" : "awake" };
  switch (progress) {
    case "under-way":
      return { phase: "deploying", reason: `${called(newest)} is under way` };
    case "failed":
      return {
        phase: "unmanaged",
        reason: `${called(newest)} failed and an older version serves: once down it might not come back`,
      };
    case "unknown":
      return { phase: "unknown", reason: oddDeployment(newest) };
    default:
      return { phase: "awake" };
  }
}

/** It is to be up, and nothing answers. */
function standingOfComing({ app, newest, instances }: View): Standing {
  switch (progressOf(newest)) {
    case "under-way":
      return { phase: isUndeploy(newest) ? "stopping" : "waking" };
    case "failed":
    case "cancelled":
      return { phase: "failed", reason: whyEnded(newest) };
    case "unknown":
      return { phase: "unknown", reason: oddDeployment(newest) };
    default: {
      const isComing = instances.some((state) => COMING.includes(state));
      if (isComing || app.state === "WANTS_TO_BE_UP") return { phase: "waking" };
      if (instances.includes("STOPPING")) return { phase: "stopping" };
      const reason = "Clever Cloud says that it should be up, and lists no instance that is";
      return { phase: "unknown", reason };
    }
  }
}

/** Pure. For people: how a deployment that did not succeed ended. */
export function whyEnded(newest: Deployment | null): string {
  const how = progressOf(newest) === "cancelled" ? "was cancelled" : "failed";
  return `${called(newest)} ${how}: its logs in Clever Cloud's console say why`;
}

function oddDeployment(newest: Deployment | null): string {
  return `${called(newest)} is "${newest?.state}", which this version of Paastis does not know`;
}

function called(deployment: Deployment | null): string {
  const id = deployment?.id ?? "";
  return id.startsWith("deployment_") ? `its deployment ${id}` : `its deployment number ${id}`;
}
