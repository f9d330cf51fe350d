/** What the state of containers means for an app. Pure. */

import { type Container, isDetailed } from "./docker-json.ts";
import type { Observation, Phase } from "./provider.ts";

/** Longest a wake takes by default, ms. */
export const WAKE_TIMEOUT_MS = 60_000;

/** A container that its restart policy has started so often will not come up by itself. */
const RESTARTS_MAX = 6;

/** Exit statuses of programs that somebody told to end: 128 and the number of SIGINT, SIGQUIT, SIGKILL, SIGTERM. */
const TOLD_TO_END = [130, 131, 137, 143];
const KILLED = 137;

/** What is known of a container besides what the engine says now. */
export interface Knowledge {
  /** Somebody ended it, we or others: whatever its exit status, it has not failed. */
  readonly isEndedOnPurpose: boolean;
  /** Somebody has told it to end, and it has not yet. */
  readonly isBeingEnded: boolean;
  /** It has just begun to run, and nobody has seen it answer. */
  readonly isBooting: boolean;
  readonly nowMs: number;
}

/** How one container is. */
export interface MemberState {
  readonly phase: Phase;
  readonly reason?: string;
}

/** Whether a list says too little of it. */
export function needsDetails(
  { status, exitCode, health }: Container,
  { isEndedOnPurpose }: Pick<Knowledge, "isEndedOnPurpose">,
): boolean {
  switch (status) {
    case "running":
      return health === "unhealthy" || health === "unknown";
    case "restarting":
      return true;
    case "exited": {
      if (isEndedOnPurpose || exitCode === 0) return false;
      // One that was killed may have been killed for its memory.
      return exitCode === null || exitCode === KILLED || !TOLD_TO_END.includes(exitCode);
    }
    default:
      return false;
  }
}

/** How a container is. Where a list says too little, that counts as the best it can mean. */
export function stateOf(container: Container, knowledge: Knowledge): MemberState {
  const { name, status } = container;
  switch (status) {
    case "running":
      return runningState(container, knowledge);
    case "stopping":
      return { phase: "stopping", reason: `container ${name} is being stopped` };
    case "restarting":
      return restartingState(container);
    case "exited":
      return exitedState(container, knowledge);
    case "created":
      return { phase: "asleep" };
    case "paused":
      return { phase: "asleep", reason: `container ${name} is paused` };
    case "removing":
      return { phase: "asleep", reason: `container ${name} is removed` };
    case "dead":
      return { phase: "failed", reason: `the engine could not remove container ${name}` };
    default:
      return { phase: "unknown", reason: `the engine says that container ${name} is "${status}"` };
  }
}

/** Unhealthy is what many are while they boot; later on they run all the same, and are used as they are. */
function runningState(
  container: Container,
  { isBeingEnded, isBooting, nowMs }: Knowledge,
): MemberState {
  const { health, name } = container;
  if (isBeingEnded) return { phase: "stopping", reason: `container ${name} is being stopped` };
  if (health === "starting") {
    return { phase: "waking", reason: `the healthcheck of container ${name} has not passed yet` };
  }
  if (health === "unhealthy") {
    const startedMs = isDetailed(container) ? container.startedMs : null;
    const isNew = startedMs === null || nowMs - startedMs <= WAKE_TIMEOUT_MS;
    const reason = `the healthcheck of container ${name} fails`;
    return { phase: isNew ? "waking" : "awake", reason };
  }
  if (!isBooting || health === "healthy") return { phase: "awake" };
  return { phase: "waking", reason: `container ${name} does not answer yet` };
}

function restartingState(container: Container): MemberState {
  const { name } = container;
  const restarts = isDetailed(container) ? container.restartCount : 0;
  if (restarts < RESTARTS_MAX) {
    return { phase: "waking", reason: `container ${name} is being started anew` };
  }
  const reason = `container ${name} ends again and again: ${restarts} times, the last time ${endOf(container)}`;
  return { phase: "failed", reason };
}

function exitedState(container: Container, { isEndedOnPurpose }: Knowledge): MemberState {
  if (container.exitCode === 0) return { phase: "asleep" };
  const reason = `container ${container.name} ended ${endOf(container)}`;
  return { phase: isEndedOnPurpose || isToldToEnd(container) ? "asleep" : "failed", reason };
}

function isToldToEnd(container: Container): boolean {
  const { exitCode } = container;
  if (isDetailed(container) && container.isOutOfMemory) return false;
  return exitCode === 0 || (exitCode !== null && TOLD_TO_END.includes(exitCode));
}

/** `with status 1`, and all that is known of why. */
export function endOf(container: Container): string {
  const { exitCode } = container;
  const status = exitCode === null ? "by itself" : `with status ${exitCode}`;
  if (!isDetailed(container)) return status;
  const memory = container.isOutOfMemory ? "killed, as it took more memory than it may" : "";
  return [status, memory, container.error].filter((part) => part !== "").join(": ");
}

/** What comes first counts most. */
const ORDER: readonly Phase[] = ["failed", "unknown", "stopping", "asleep", "waking"];

/**
 * How an app is.
 * @param states of all members that must be up, the serving one first
 */
export function combine(states: readonly MemberState[]): Pick<Observation, "phase" | "reason"> {
  for (const phase of ORDER) {
    const found = states.find((state) => state.phase === phase);
    if (found !== undefined) return found;
  }
  return states.find(({ reason }) => reason !== undefined) ?? { phase: "awake" };
}
