/** `POST /v1/apps/{app}/scale`: what the fake Scalingo demands of it, and what it holds against the client. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Call } from "./fake-platform.ts";
import { busyReason, changesNothing, scale } from "./fake-scalingo-app.ts";
import { isDeploying } from "./fake-scalingo-deployment.ts";
import {
  formationJson,
  invalid,
  noChange,
  notFound,
  paymentRequired,
  SIZES,
} from "./fake-scalingo-json.ts";
import type { Change, ScalingoApp, World } from "./fake-scalingo-model.ts";
import { checkFields, checkJsonBody, fieldsOf } from "./request-checks.ts";

/** Hard limit of the platform for one process type. */
const AMOUNT_MAX = 10;

/** What the platform leaves open, and what a test allows. */
export interface ScaleRules {
  /** A client may scale types that have an enabled autoscaler. */
  readonly mayDisableAutoscalers: boolean;
  /** A busy app that has the wanted formation already says so (400) rather than that it is busy (422). */
  readonly saysNoChangeFirst: boolean;
  /** URL of the operation, for `Location`. */
  readonly locationOf: (operationId: string) => string;
}

export function answerScale(
  world: World,
  app: ScalingoApp,
  { call, rules }: { readonly call: Call; readonly rules: ScaleRules },
): FakeAnswer {
  const changes = changesOf(call);
  if ("status" in changes) return changes;
  const refusal = refusalOf(app, changes, rules);
  if (refusal !== null) return refusal;
  noteMistakes(app, changes, { call, rules });
  const operation = scale(world, app, { changes, isOurs: true });
  if (operation === null) return json(formationJson(app));
  return json(formationJson(app), 202, { Location: rules.locationOf(operation.id) });
}

function refusalOf(
  app: ScalingoApp,
  changes: readonly Change[],
  rules: ScaleRules,
): FakeAnswer | null {
  if (changes.some(({ name }) => !app.formation.has(name))) return notFound("container_type");
  const isNoChange = changesNothing(app, changes);
  if (isNoChange && rules.saysNoChangeFirst) return noChange();
  const busy = busyReason(app);
  if (busy !== null) return invalid({ app: [busy] });
  if (isNoChange) return noChange();
  const isGrowing = changes.some(
    ({ name, amount }) => amount > (app.formation.get(name)?.amount ?? 0),
  );
  return app.isBlocked && isGrowing ? paymentRequired() : null;
}

function noteMistakes(
  app: ScalingoApp,
  changes: readonly Change[],
  { call, rules }: { readonly call: Call; readonly rules: ScaleRules },
): void {
  for (const { type, disabled } of app.autoscalers) {
    if (disabled || rules.mayDisableAutoscalers) continue;
    if (changes.some(({ name }) => name === type)) {
      call.violation(`it disables the autoscaler of ${type}`);
    }
  }
  const isShrinking = changes.some(
    ({ name, amount }) => amount < (app.formation.get(name)?.amount ?? 0),
  );
  if (isShrinking && isDeploying(app)) call.violation("it scales down while a deployment runs");
}

/** The wanted changes, or the platform's refusal of a body that makes no sense: a violation each time. */
function changesOf(call: Call): Change[] | FakeAnswer {
  const body = checkJsonBody(call);
  if (body === null) return json({ error: "There was a problem in the JSON you submitted" }, 400);
  checkFields(call, body, { where: "body", allowed: ["containers"] });
  const { containers } = body;
  if (!Array.isArray(containers) || containers.length === 0) {
    call.violation("containers must be an array with something in it");
    return invalid({ containers: ["missing field"] });
  }
  const changes: Change[] = [];
  for (const [index, value] of containers.entries()) {
    const change = changeOf(call, value, `containers[${index}]`);
    if ("status" in change) return change;
    if (changes.some(({ name }) => name === change.name)) {
      call.violation(`${change.name} stands twice in containers`);
    }
    changes.push(change);
  }
  return changes;
}

function changeOf(call: Call, value: unknown, where: string): Change | FakeAnswer {
  const fields = fieldsOf(value) ?? {};
  checkFields(call, fields, { where, allowed: ["name", "amount", "size"] });
  const { name, amount, size = "" } = fields;
  const refuse = (field: string, what: string): FakeAnswer => {
    call.violation(`${where}.${field} ${what}: ${JSON.stringify(fields[field])}`);
    return invalid({ [field]: [what] });
  };
  if (typeof name !== "string" || name === "") return refuse("name", "must be a process type");
  if (typeof amount !== "number" || !Number.isInteger(amount) || amount < 0) {
    return refuse("amount", "must be a whole number");
  }
  if (amount > AMOUNT_MAX) return refuse("amount", `must be at most ${AMOUNT_MAX}`);
  if (typeof size !== "string" || (size !== "" && !(size in SIZES))) {
    return refuse("size", "must be a container size");
  }
  return { name, amount, size };
}
