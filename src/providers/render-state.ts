/** From a service and its newest deploy to a phase: Render has no field that says whether it runs. Pure. */

import type { Target } from "../app.ts";
import { safeText } from "./platform-quote.ts";
import type { Observation } from "./provider.ts";
import type { RenderDeploy, RenderService } from "./render-json.ts";

/** How far a deploy is; `other`: it says nothing about what runs now. */
export type DeployProgress = "under-way" | "live" | "failed" | "other";

const UNDER_WAY: readonly string[] = [
  "created",
  "queued",
  "build_in_progress",
  "pre_deploy_in_progress",
  "update_in_progress",
];
const FAILED: readonly string[] = [
  "build_failed",
  "update_failed",
  "pre_deploy_failed",
  "canceled",
];

/** A word that we do not know is `other`. */
export function progressOf({ status }: RenderDeploy): DeployProgress {
  if (status === "live") return "live";
  if (UNDER_WAY.includes(status)) return "under-way";
  return FAILED.includes(status) ? "failed" : "other";
}

/** What began the deploy was a resume: nothing served before it. */
export function isResume({ trigger }: RenderDeploy): boolean {
  return trigger === "service_resumed";
}

/** Why nothing that we do brings it up; `null` when nothing is in its way. */
export function whyBlocked(service: RenderService): string | null {
  const { isMaintained, isSuspended, parentName, suspenders } = service;
  if (isMaintained) return "it is in maintenance mode on Render: end that there";
  const others = suspenders.filter((who) => who !== "user");
  if (!isSuspended || others.length === 0) return null;
  if (others.every((who) => who === "parent_service")) {
    return `it follows ${safeText(parentName) || "another service"} on Render, which is suspended: resume that`;
  }
  return `Render has suspended it (${safeText(others.join(", "))}): a resume does not bring it back`;
}

/** As the list shows it, which says nothing about deploys. */
export function listedObservationOf(service: RenderService): Observation {
  const { isSuspended, oddWord, target } = service;
  const blocked = whyBlocked(service);
  if (blocked !== null) return { phase: "blocked", target, reason: blocked };
  if (oddWord !== "") {
    return { phase: "unknown", target, reason: `Render says that it is "${safeText(oddWord)}"` };
  }
  return { phase: isSuspended ? "asleep" : "awake", target };
}

/** @param deploy the newest; `null`: it was never deployed */
export function observationOf(service: RenderService, deploy: RenderDeploy | null): Observation {
  const listed = listedObservationOf(service);
  if (listed.phase !== "awake") return listed;
  const { target } = listed;
  if (deploy === null) return { phase: "failed", target, reason: "it was never deployed" };
  return runningObservation(deploy, target);
}

function runningObservation(deploy: RenderDeploy, target: Target | null): Observation {
  const reason = `Render says of its newest deploy: ${safeText(deploy.status)}`;
  switch (progressOf(deploy)) {
    case "live":
      return { phase: "awake", target };
    case "under-way":
      return { phase: isResume(deploy) ? "waking" : "deploying", target, reason };
    case "failed":
      // Of any other deploy that fails, the version before it goes on serving.
      if (!isResume(deploy)) return { phase: "awake", target };
      return { phase: "failed", target, reason: `${reason}; ${DEPLOY_ANEW}` };
    case "other":
      return { phase: "unknown", target, reason };
  }
}

/** What helps when a resume has failed: it is not suspended any more, so that it cannot be resumed once more. */
export const DEPLOY_ANEW = "deploy it anew on Render";
