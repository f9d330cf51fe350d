/** What the fake Clever Cloud makes of calls that start, stop or cancel something. */

import type { FakeAnswer } from "./fake-answer.ts";
import {
  deploymentInProgress,
  endDeployment,
  lastDeploy,
  orderStart,
  orderStop,
  upInstances,
} from "./fake-clever-cloud-app.ts";
import { blocked, busy, message, neverDeployed, notFound } from "./fake-clever-cloud-json.ts";
import type { CleverApp, World } from "./fake-clever-cloud-model.ts";
import type { Call } from "./fake-platform.ts";
import { checkNoBody, checkQuery } from "./request-checks.ts";

/** What the platform leaves open, and what a test allows. */
export interface Ordering {
  /** A start of an app that is up, a redeployment, is no violation; default false. */
  readonly mayRedeploy?: boolean;
  /** The answer to a start says `deploymentId`; default true. */
  readonly saysDeploymentId?: boolean;
  /**
   * So long after a start whose deployment did not appear, another one is no violation; default a
   * minute.
   */
  readonly startPatienceMs?: number;
}

/** One order for one app. */
export interface Order {
  readonly world: World;
  readonly app: CleverApp;
  readonly call: Call;
  readonly rules: Ordering;
}

/** `POST …/instances`. Every one that is carried out begins a deployment, needed or not. */
export function answerStart(order: Order): FakeAnswer {
  const { world, app, call, rules } = order;
  checkQuery(call, ["useCache", "commit"]);
  checkNoBody(call);
  if (app.state === "MODERATED" || app.state === "DEFAULT_OF_PAYMENT") {
    return blocked(call.path, app.state);
  }
  if (!app.isDeployed) return neverDeployed(call.path);
  if (app.isStopping) {
    call.violation(`${app.name} is stopping: what a start does now is undefined`);
    return busy(call.path);
  }
  const objection = objectionToStart(order);
  if (objection !== null) call.violation(objection);
  const { uuid } = orderStart(world, app, "API");
  const more = (rules.saysDeploymentId ?? true) ? { deploymentId: uuid } : {};
  return message("The application has successfully been queued for redeploy", more);
}

function objectionToStart({ world, app, rules }: Order): string | null {
  const kind = unfit(app);
  if (kind !== null) return kind;
  const { startPatienceMs = 60_000, mayRedeploy = false } = rules;
  if (app.lostStartAtMs !== null) {
    const waitedMs = world.clock.now() - app.lostStartAtMs;
    if (waitedMs < startPatienceMs) {
      return `${app.name} was started ${waitedMs} ms ago: too early to conclude that nothing came of it`;
    }
  }
  if (mayRedeploy) return null;
  if (deploymentInProgress(app) !== null) {
    return `${app.name} is starting or being deployed: this cancels it and begins another deployment`;
  }
  return upInstances(app).length > 0 ? `${app.name} is up: this redeploys it` : null;
}

/** `DELETE …/instances`. Once more while it stops, or when it is down, does nothing. */
export function answerStop({ world, app, call }: Order): FakeAnswer {
  checkQuery(call);
  checkNoBody(call);
  if (app.state === "MODERATED" || app.state === "DEFAULT_OF_PAYMENT") {
    return blocked(call.path, app.state);
  }
  const done = message("The application has been stopped");
  if (app.isStopping) return done;
  if (deploymentInProgress(app) !== null) {
    call.violation(`${app.name} is starting or being deployed: what a stop does now is undefined`);
    return busy(call.path);
  }
  const objection = objectionToStop(app);
  if (objection !== null) call.violation(objection);
  if (app.state !== "SHOULD_BE_DOWN") orderStop(world, app, "API");
  return done;
}

function objectionToStop(app: CleverApp): string | null {
  const kind = unfit(app);
  if (kind !== null) return kind;
  return lastDeploy(app)?.state === "FAIL" && upInstances(app).length > 0
    ? `the last deployment of ${app.name} failed: it may not come back`
    : null;
}

function unfit({ name, lifetime, isArchived }: CleverApp): string | null {
  if (lifetime === "TASK") return `${name} is a task: it is not ours to start or stop`;
  return isArchived ? `${name} is archived: it is not ours to start or stop` : null;
}

/** `DELETE …/deployments/:deployment/instances`. */
export function answerCancel({ world, app, call }: Order): FakeAnswer {
  checkQuery(call);
  checkNoBody(call);
  const wanted = call.params.deployment;
  const deployment = app.deployments.find(
    ({ uuid, number }) => uuid === wanted || String(number) === wanted,
  );
  if (deployment === undefined) return notFound(call.path, "deployment");
  if (deployment !== deploymentInProgress(app) || app.isStopping) return busy(call.path);
  endDeployment(world, app, { deployment, outcome: "CANCELLED" });
  return message("The deployment has been cancelled");
}
