/** What states of containers mean, of one and of several that are one app. */

import { expect, test } from "bun:test";
import type { Container, ContainerDetails } from "../src/providers/docker-json.ts";
import {
  combine,
  endOf,
  type Knowledge,
  needsDetails,
  stateOf,
} from "../src/providers/docker-state.ts";
import { containerOf, detailsOf } from "./support/docker-containers.ts";

const NOW_MS = 1_700_000_100_000;

function knowing(fields: Partial<Knowledge> = {}): Knowledge {
  return {
    ...{ isEndedOnPurpose: false, isBeingEnded: false, isBooting: false, nowMs: NOW_MS },
    ...fields,
  };
}

test.each<[Partial<ContainerDetails>, Partial<Knowledge>, string]>([
  [{ status: "running", health: "none" }, {}, "awake"],
  [{ status: "running", health: "healthy" }, {}, "awake"],
  [{ status: "running", health: "starting" }, {}, "waking"],
  [{ status: "running", health: "unhealthy", startedMs: NOW_MS - 5_000 }, {}, "waking"],
  // It goes on: neither is it cut off from its requests, nor does it run for ever.
  [{ status: "running", health: "unhealthy", startedMs: NOW_MS - 61_000 }, {}, "awake"],
  [{ status: "running" }, { isBeingEnded: true }, "stopping"],
  [{ status: "running", health: "none" }, { isBooting: true }, "waking"],
  [{ status: "running", health: "healthy" }, { isBooting: true }, "awake"],
  [{ status: "stopping" }, {}, "stopping"],
  [{ status: "created" }, {}, "asleep"],
  [{ status: "paused" }, {}, "asleep"],
  [{ status: "removing" }, {}, "asleep"],
  [{ status: "dead" }, {}, "failed"],
  [{ status: "restarting", restartCount: 5 }, {}, "waking"],
  [{ status: "restarting", restartCount: 6, exitCode: 1 }, {}, "failed"],
  [{ status: "hibernating" }, {}, "unknown"],
  [{ status: "exited", exitCode: 0 }, {}, "asleep"],
  [{ status: "exited", exitCode: 130 }, {}, "asleep"],
  [{ status: "exited", exitCode: 137 }, {}, "asleep"],
  [{ status: "exited", exitCode: 143 }, {}, "asleep"],
  [{ status: "exited", exitCode: 137, isOutOfMemory: true }, {}, "failed"],
  [{ status: "exited", exitCode: 1 }, {}, "failed"],
  [{ status: "exited", exitCode: null }, {}, "failed"],
  [{ status: "exited", exitCode: 1 }, { isEndedOnPurpose: true }, "asleep"],
])("docker state: %j, %j is %s", (fields, knowledge, phase) => {
  expect(stateOf(detailsOf("demo", fields), knowing(knowledge)).phase).toBe(phase as "awake"); // One of the words above.
});

test.each<[Partial<Container>, boolean]>([
  [{ status: "running" }, false],
  [{ status: "running", health: "starting" }, false],
  [{ status: "running", health: "unhealthy" }, true],
  [{ status: "running", health: "unknown" }, true],
  [{ status: "restarting" }, true],
  [{ status: "exited", exitCode: 0 }, false],
  [{ status: "exited", exitCode: 143 }, false],
  // Killed, perhaps for its memory.
  [{ status: "exited", exitCode: 137 }, true],
  [{ status: "exited", exitCode: 2 }, true],
  [{ status: "exited", exitCode: null }, true],
  [{ status: "created" }, false],
])("docker state: a list with %j says too little: %p", (fields, isTooLittle) => {
  const container = containerOf("demo", fields);
  expect(needsDetails(container, { isEndedOnPurpose: false })).toBe(isTooLittle);
  if (fields.status === "exited") {
    expect(needsDetails(container, { isEndedOnPurpose: true })).toBe(false);
  }
});

test("docker state: a failure says which container, its status and all that the engine knows", () => {
  const details = { exitCode: 137, isOutOfMemory: true, error: "cgroup is gone" };
  expect(endOf(detailsOf("demo", details))).toBe(
    "with status 137: killed, as it took more memory than it may: cgroup is gone",
  );
  const { reason } = stateOf(detailsOf("demo", { status: "exited", exitCode: 3 }), knowing());
  expect(reason).toBe("container demo ended with status 3");
  const loop = detailsOf("demo", { status: "restarting", restartCount: 9, exitCode: 1 });
  expect(stateOf(loop, knowing()).reason).toContain("9 times, the last time with status 1");
});

test.each([
  [["awake", "awake"], "awake"],
  [["awake", "waking"], "waking"],
  [["waking", "asleep"], "asleep"],
  [["awake", "asleep"], "asleep"],
  [["stopping", "asleep"], "stopping"],
  [["awake", "unknown"], "unknown"],
  [["asleep", "failed"], "failed"],
] as const)("docker state: members that are %j make an app that is %s", (phases, phase) => {
  const states = phases.map((one) => ({ phase: one, reason: `it is ${one}` }));
  expect(combine(states)).toEqual({ phase, reason: `it is ${phase}` });
  expect(combine([])).toEqual({ phase: "awake" });
});
