/** The endpoints of the fake Fly.io. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Access } from "./fake-fly-access.ts";
import { appJson, machineJson, refused } from "./fake-fly-json.ts";
import {
  type FlyApp,
  type Machine,
  type MachineState,
  start,
  stop,
  suspend,
  type World,
} from "./fake-fly-model.ts";
import type { Call, Route } from "./fake-platform.ts";
import { checkJsonBody, checkNoBody, checkQuery } from "./request-checks.ts";

/** What the platform leaves open. */
export interface FlyRules {
  /** A start of what runs: 200 or 412. */
  readonly startOfStarted: "accepted" | "refused";
  /** The status of a start that its host has no room for. */
  readonly noRoomStatus: number;
  /** Whether a `failed` machine can be started. */
  readonly startsFailed: boolean;
}

/** Everything that the fake knows. */
export interface State {
  readonly rules: FlyRules;
  readonly access: Access;
  readonly apps: Set<FlyApp>;
  readonly world: World;
  /** Calls that wait for a machine. */
  readonly waiting: Set<() => void>;
}

const MACHINE = "/v1/apps/:app/machines/:machine";

/** All of them. */
export function flyRoutes(state: State): Route[] {
  return [
    {
      kind: "apps.list",
      method: "GET",
      path: "/v1/apps",
      answer(call) {
        checkQuery(call, ["org_slug"]);
        const org = call.query.get("org_slug");
        if (org === null) return refused(400, "org_slug is required");
        const apps = [...state.apps].filter((app) => app.org === org);
        return json({ total_apps: apps.length, apps: apps.map(appJson) });
      },
    },
    appRoute(state, "apps.read", "", (_, app) => json(appJson(app))),
    appRoute(state, "certificates.list", "/certificates", (_, { certificates }) =>
      json({
        certificates: certificates.map((hostname) => ({ hostname, status: "active" })),
        total_count: certificates.length,
      }),
    ),
    appRoute(state, "machines.list", "/machines", (_, { machines }) =>
      json(machines.map(machineJson)),
    ),
    machineRoute(state, { kind: "machines.read", method: "GET", below: "" }, (call, machine) => {
      checkQuery(call);
      return json(machineJson(machine));
    }),
    machineRoute(state, { kind: "lease", method: "GET", below: "/lease" }, (call, machine) => {
      checkQuery(call);
      return answerLease(machine);
    }),
    changeRoute(state, "start", answerStart),
    changeRoute(state, "stop", answerStop),
    changeRoute(state, "suspend", answerSuspend),
    waitRoute(state),
  ];
}

function appRoute(
  state: State,
  kind: string,
  below: string,
  answer: (call: Call, app: FlyApp) => FakeAnswer,
): Route {
  return {
    kind,
    method: "GET",
    path: `/v1/apps/:app${below}`,
    answer(call) {
      checkQuery(call);
      const app = findApp(state, call.params.app ?? "");
      return app === null ? noApp() : answer(call, app);
    },
  };
}

interface MachineRoute {
  readonly kind: string;
  readonly method: string;
  readonly below: string;
}

function machineRoute(
  state: State,
  { kind, method, below }: MachineRoute,
  answer: (call: Call, machine: Machine) => FakeAnswer,
): Route {
  return {
    kind,
    method,
    path: `${MACHINE}${below}`,
    answer(call) {
      const app = findApp(state, call.params.app ?? "");
      if (app === null) return noApp();
      const machine = app.machines.find(({ id }) => id === call.params.machine);
      return machine === undefined ? refused(404, "machine not found") : answer(call, machine);
    },
  };
}

/** A change that a lease of somebody else keeps from being made. */
function changeRoute(
  state: State,
  kind: "start" | "stop" | "suspend",
  answer: (state: State, call: Call, machine: Machine) => FakeAnswer,
): Route {
  return machineRoute(state, { kind, method: "POST", below: `/${kind}` }, (call, machine) => {
    checkQuery(call);
    const { leaseNonce } = machine;
    if (leaseNonce !== null && call.headers.get("fly-machine-lease-nonce") !== leaseNonce) {
      return refused(409, `lease currently held by flyctl, expires in 13s`);
    }
    return answer(state, call, machine);
  });
}

function answerLease({ leaseNonce: nonce, updatedAtMs }: Machine): FakeAnswer {
  if (nonce === null) return json({ status: "error", message: "lease not found" }, 404);
  const expires_at = Math.floor(updatedAtMs / 1000) + 13;
  return json({ status: "success", data: { nonce, expires_at, owner: "flyctl", version: "" } });
}

function answerStart({ world, rules }: State, call: Call, machine: Machine): FakeAnswer {
  checkNoBody(call);
  const { state } = machine;
  const isUp = state === "started" || state === "starting";
  if (isUp && rules.startOfStarted === "accepted") return startedFrom(state);
  const startable: readonly MachineState[] = ["created", "stopped", "suspended"];
  const mayStart = startable.includes(state) || (state === "failed" && rules.startsFailed);
  if (!mayStart) return refused(412, `unable to start machine from current state: '${state}'`);
  if (!start(world, machine)) {
    const words = "insufficient resources available to fulfill request";
    return refused(rules.noRoomStatus, words, "insufficient_capacity");
  }
  return startedFrom(state);
}

function startedFrom(previous: MachineState): FakeAnswer {
  return json({ previous_state: previous, migrated: false, new_host: "" });
}

function answerStop({ world }: State, call: Call, machine: Machine): FakeAnswer {
  checkJsonBody(call);
  noteDeployment(call, machine);
  const running: readonly MachineState[] = ["started", "starting", "suspended"];
  if (running.includes(machine.state)) stop(world, machine);
  return json({ ok: true });
}

function answerSuspend({ world }: State, call: Call, machine: Machine): FakeAnswer {
  checkNoBody(call);
  noteDeployment(call, machine);
  const { state, suspendRefusal } = machine;
  if (suspendRefusal !== null) return refused(suspendRefusal, "machine cannot be suspended");
  if (state !== "started" && state !== "suspended") {
    return refused(412, `unable to suspend machine from current state: '${state}'`);
  }
  if (state === "started") suspend(world, machine);
  return json({ ok: true });
}

/** A proxy that starts and stops machines by itself must not be worked against. */
function noteDeployment(call: Call, machine: Machine): void {
  const { autostop, autostart, isScheduled, isDestroyedAtEnd } = machine;
  if (isScheduled) call.violation("its schedule starts it, and it ends by itself");
  if (isDestroyedAtEnd) call.violation("it would be destroyed");
  if (autostop !== "off" && autostop !== false && autostart) {
    call.violation("Fly.io's proxy stops this machine by itself");
  }
}

/** The longest that the official client asks for. */
const WAIT_SECONDS_MAX = 60;
const WAITABLE = ["started", "stopped", "suspended", "destroyed"];

function waitRoute(state: State): Route {
  const { world, waiting } = state;
  const machineOf = ({ params }: Call) =>
    findApp(state, params.app ?? "")?.machines.find(({ id }) => id === params.machine);
  const isThere = (call: Call) => machineOf(call)?.state === call.query.get("state");
  return {
    ...machineRoute(state, { kind: "wait", method: "GET", below: "/wait" }, (call) => {
      checkQuery(call, ["state", "timeout", "instance_id", "version", "from_event_id"]);
      const wanted = call.query.get("state") ?? "started";
      if (!WAITABLE.includes(wanted)) return refused(400, `unknown state ${wanted}`);
      if (Number(call.query.get("timeout")) > WAIT_SECONDS_MAX) call.violation("waits too long");
      if (wanted === "stopped" && !call.query.has("instance_id")) {
        return refused(400, "instance_id is required to wait for stopped");
      }
      return isThere(call) ? json({ ok: true }) : refused(408, "deadline_exceeded");
    }),
    hold(call) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => {
        if (!isThere(call) && machineOf(call) !== undefined) return;
        cancel();
        waiting.delete(look);
        resolve();
      };
      const timeoutMs = Number(call.query.get("timeout") ?? WAIT_SECONDS_MAX) * 1000;
      const cancel = world.later(timeoutMs, () => {
        waiting.delete(look);
        resolve();
      });
      waiting.add(look);
      look();
      return promise;
    },
  };
}

/** `null`: there is none such. */
export function findApp({ apps }: State, name: string): FlyApp | null {
  for (const app of apps) if (app.name === name) return app;
  return null;
}

function noApp(): FakeAnswer {
  return refused(404, "Could not find App");
}
