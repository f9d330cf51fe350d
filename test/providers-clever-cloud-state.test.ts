import { expect, test } from "bun:test";
import {
  type Circumstances,
  decideSleep,
  decideWake,
  type Order,
  pollAfterMs,
} from "../src/providers/clever-cloud-decision.ts";
import { listedPhase, standingOf, type View } from "../src/providers/clever-cloud-state.ts";

function view(
  state: string,
  deployment: string | null,
  instances: readonly string[] = [],
  changes: { readonly id?: string; readonly isForeign?: boolean } = {},
): View {
  const [word = "", action = "DEPLOY"] = (deployment ?? "").split(" ");
  const { id = "deployment_1", isForeign = false } = changes;
  return {
    app: { appId: "app_1", name: "demo", state, vhosts: [], isForeign, createdMs: null },
    newest: deployment === null ? null : { id, state: word, action },
    instances,
  };
}

/** App's word, newest deployment, instances -> phase. */
const STANDINGS: readonly (readonly [string, string | null, readonly string[], string])[] = [
  ["SHOULD_BE_DOWN", null, [], "asleep"],
  ["SHOULD_BE_DOWN", "OK", [], "asleep"],
  ["SHOULD_BE_DOWN", "OK UNDEPLOY", ["DELETED", "GHOST"], "asleep"],
  ["SHOULD_BE_DOWN", "FAIL", [], "asleep"],
  ["SHOULD_BE_DOWN", "OK", ["UP"], "stopping"],
  ["SHOULD_BE_DOWN", "OK", ["STOPPING"], "stopping"],
  ["SHOULD_BE_DOWN", "WIP UNDEPLOY", [], "stopping"],
  ["SHOULD_BE_DOWN", "WIP", [], "waking"],
  ["WANTS_TO_BE_UP", "WIP", [], "waking"],
  ["WANTS_TO_BE_UP", "QUEUED", [], "waking"],
  ["WANTS_TO_BE_UP", null, [], "waking"],
  ["WANTS_TO_BE_UP", "FAIL", [], "failed"],
  ["WANTS_TO_BE_UP", "FAILED", [], "failed"],
  ["WANTS_TO_BE_UP", "CANCELLED", [], "failed"],
  ["SHOULD_BE_UP", "OK", ["UP"], "awake"],
  ["SHOULD_BE_UP", "SUCCEEDED", ["UP", "BOOTING"], "awake"],
  ["SHOULD_BE_UP", null, ["UP"], "awake"],
  ["SHOULD_BE_UP", "CANCELLED", ["UP"], "awake"],
  ["SHOULD_BE_UP", "WIP", ["UP"], "deploying"],
  ["SHOULD_BE_UP", "WIP UPSCALE", ["UP"], "deploying"],
  ["SHOULD_BE_UP", "TASK_RUNNING", ["UP"], "deploying"],
  ["SHOULD_BE_UP", "WORK_IN_PROGRESS", ["UP"], "deploying"],
  ["SHOULD_BE_UP", "WIP UNDEPLOY", ["UP"], "stopping"],
  ["SHOULD_BE_UP", "FAIL", ["UP"], "unmanaged"],
  ["SHOULD_BE_UP", "WIP", ["BOOTING"], "waking"],
  ["SHOULD_BE_UP", "WIP", [], "waking"],
  ["SHOULD_BE_UP", "OK", ["READY"], "waking"],
  ["SHOULD_BE_UP", "FAIL", [], "failed"],
  ["SHOULD_BE_UP", "OK", ["STOPPING", "DELETED"], "stopping"],
  ["SHOULD_BE_UP", "OK", [], "unknown"],
  ["SHOULD_BE_UP", "PONDERING", ["UP"], "unknown"],
  ["MODERATED", null, [], "blocked"],
  ["DEFAULT_OF_PAYMENT", null, [], "blocked"],
  ["HALF_UP", "OK", ["UP"], "unknown"],
];

test.each(STANDINGS)("state: %s, deployment %s, instances %j is %s", (state, newest, up, phase) => {
  expect(standingOf(view(state, newest, up)).phase as string).toBe(phase);
});

test("state: whatever is not awake or asleep by itself says why, in words", () => {
  for (const [state, newest, up] of STANDINGS) {
    const { phase, reason } = standingOf(view(state, newest, up));
    const needsWords = ["failed", "blocked", "unknown", "unmanaged", "deploying"].includes(phase);
    if (needsWords) expect(reason).toMatch(/\w+ \w+/);
  }
  expect(standingOf(view("HALF_UP", null)).reason).toContain("HALF_UP");
  expect(standingOf(view("SHOULD_BE_UP", "PONDERING", ["UP"])).reason).toContain("PONDERING");
  expect(standingOf(view("SHOULD_BE_UP", "FAIL", ["UP"])).reason).toContain("deployment_1");
});

test("state: tasks and archived apps are none of ours", () => {
  const task = view("SHOULD_BE_UP", "OK", ["UP"], { isForeign: true });
  expect(standingOf(task).phase).toBe("unmanaged");
});

test("state: the summary's words alone", () => {
  const phases = ["SHOULD_BE_UP", "SHOULD_BE_DOWN", "WANTS_TO_BE_UP", "MODERATED", "NEW"].map(
    (state) => listedPhase(state).phase,
  );
  expect(phases).toEqual(["awake", "asleep", "waking", "blocked", "unknown"]);
});

function order(changes: Partial<Order> = {}): Order {
  return { begunMs: 0, writes: 0, writtenMs: 0, previousId: null, notBeforeMs: 0, ...changes };
}

function at(nowMs: number, one: Order, opposite: Order | null = null): Circumstances {
  return { order: one, opposite, nowMs, operationTimeoutMs: 60_000 };
}

const ASKED = order({ writes: 1, writtenMs: 1_000, previousId: "deployment_0" });
/** The same of a stop: no deployment has begun since. */
const STOP_ASKED = { ...ASKED, previousId: "deployment_1" };

function kindOf(decision: ReturnType<typeof decideWake>): string {
  return decision.kind === "fail" ? `fail ${decision.error}` : decision.kind;
}

/** What is seen, when, after what was ordered -> what comes next. */
const WAKES: readonly (readonly [string, View, Circumstances, string])[] = [
  ["asleep", view("SHOULD_BE_DOWN", "OK"), at(0, order()), "write"],
  ["failed before", view("WANTS_TO_BE_UP", "FAIL"), at(0, order()), "write"],
  ["up already", view("SHOULD_BE_UP", "OK", ["UP"]), at(0, order()), "done"],
  ["up, somebody deploys", view("SHOULD_BE_UP", "WIP", ["UP"]), at(0, order()), "done"],
  ["up, last deployment failed", view("SHOULD_BE_UP", "FAIL", ["UP"]), at(0, order()), "done"],
  ["up, odd deployment", view("SHOULD_BE_UP", "ODD", ["UP"]), at(0, order()), "done"],
  ["a deployment of somebody is coming", view("SHOULD_BE_DOWN", "WIP"), at(0, order()), "wait"],
  ["still stopping", view("SHOULD_BE_DOWN", "OK", ["STOPPING"]), at(0, order()), "wait"],
  [
    "stop ordered, not seen yet",
    view("SHOULD_BE_UP", "OK", ["UP"]),
    at(2_000, order(), ASKED),
    "wait",
  ],
  [
    "stop ordered long ago, and up",
    view("SHOULD_BE_UP", "OK", ["UP"]),
    at(62_000, order(), ASKED),
    "done",
  ],
  ["busy a moment ago", view("SHOULD_BE_DOWN", "OK"), at(10, order({ notBeforeMs: 50 })), "wait"],
  [
    "asked, nothing yet",
    view("SHOULD_BE_DOWN", "OK", [], { id: "deployment_0" }),
    at(60_999, ASKED),
    "wait",
  ],
  [
    "asked a minute ago, nothing yet",
    view("SHOULD_BE_DOWN", "OK", [], { id: "deployment_0" }),
    at(61_000, ASKED),
    "write",
  ],
  [
    "asked twice in vain",
    view("SHOULD_BE_DOWN", "OK", [], { id: "deployment_0" }),
    at(200_000, { ...ASKED, writes: 2, writtenMs: 100_000 }),
    "fail failed",
  ],
  [
    "asked, the stop's own deployment came late",
    view("SHOULD_BE_DOWN", "OK UNDEPLOY"),
    at(2_000, ASKED),
    "wait",
  ],
  [
    "ours is under way, an instance is up",
    view("SHOULD_BE_UP", "WIP", ["UP"]),
    at(5_000, ASKED),
    "wait",
  ],
  [
    "ours goes on for long, an instance is up",
    view("SHOULD_BE_UP", "WIP", ["UP"]),
    at(60_000, ASKED),
    "done",
  ],
  ["ours succeeded, instances lag", view("SHOULD_BE_UP", "OK", []), at(5_000, ASKED), "wait"],
  ["ours succeeded, its word lags", view("SHOULD_BE_DOWN", "OK", []), at(300_000, ASKED), "wait"],
  ["ours succeeded", view("SHOULD_BE_UP", "OK", ["UP"]), at(5_000, ASKED), "done"],
  ["ours failed", view("WANTS_TO_BE_UP", "FAIL"), at(5_000, ASKED), "fail failed"],
  ["ours failed, and it is down", view("SHOULD_BE_DOWN", "FAIL"), at(5_000, ASKED), "fail failed"],
  ["ours was cancelled", view("SHOULD_BE_DOWN", "CANCELLED"), at(5_000, ASKED), "fail failed"],
  ["should be up and is not", view("SHOULD_BE_UP", "OK"), at(59_000, order()), "wait"],
  [
    "should be up and is not for a minute",
    view("SHOULD_BE_UP", "OK"),
    at(60_000, order()),
    "write",
  ],
  ["a word nobody knows", view("HALF_UP", "OK"), at(1_000, order()), "wait"],
  ["a word nobody knows, for a minute", view("HALF_UP", "OK"), at(60_000, order()), "fail failed"],
  ["suspended", view("MODERATED", null), at(0, order()), "fail forbidden"],
  ["unpaid", view("DEFAULT_OF_PAYMENT", null), at(0, order()), "fail payment"],
  ["a task", view("SHOULD_BE_DOWN", "OK", [], { isForeign: true }), at(0, order()), "fail invalid"],
];

test.each(WAKES)("wake: %s", (_what, seen, circumstances, next) => {
  expect(kindOf(decideWake(seen, circumstances))).toBe(next);
});

const SLEEPS: readonly (readonly [string, View, Circumstances, string])[] = [
  ["awake", view("SHOULD_BE_UP", "OK", ["UP"]), at(0, order()), "write"],
  ["asleep already", view("SHOULD_BE_DOWN", "OK"), at(0, order()), "done"],
  ["stopping already", view("SHOULD_BE_DOWN", "OK", ["STOPPING"]), at(0, order()), "wait"],
  ["asked, and still up", view("SHOULD_BE_UP", "OK", ["UP"]), at(2_000, STOP_ASKED), "wait"],
  [
    "asked, and started anew by somebody",
    view("SHOULD_BE_UP", "OK", ["UP"], { id: "deployment_2" }),
    at(61_000, STOP_ASKED),
    "fail failed",
  ],
  [
    "asked a minute ago, and still up",
    view("SHOULD_BE_UP", "OK", ["UP"]),
    at(61_000, STOP_ASKED),
    "write",
  ],
  [
    "asked twice in vain",
    view("SHOULD_BE_UP", "OK", ["UP"]),
    at(200_000, { ...STOP_ASKED, writes: 2, writtenMs: 100_000 }),
    "fail failed",
  ],
  ["somebody deploys", view("SHOULD_BE_UP", "WIP", ["UP"]), at(0, order()), "fail busy"],
  ["coming up", view("WANTS_TO_BE_UP", "WIP"), at(0, order()), "fail busy"],
  ["last deployment failed", view("SHOULD_BE_UP", "FAIL", ["UP"]), at(0, order()), "fail invalid"],
  ["suspended", view("MODERATED", null), at(0, order()), "fail invalid"],
  ["a word nobody knows", view("HALF_UP", null), at(0, order()), "fail invalid"],
];

test.each(SLEEPS)("sleep: %s", (_what, seen, circumstances, next) => {
  expect(kindOf(decideSleep(seen, circumstances))).toBe(next);
});

test("poll: often at first, every 5 s in the end", () => {
  const delays = [0, 3_000, 12_000, 600_000].map((nowMs) => pollAfterMs(order(), nowMs));
  expect(delays).toEqual([1_000, 1_000, 4_000, 5_000]);
});
