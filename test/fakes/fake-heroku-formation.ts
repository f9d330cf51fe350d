/**
 * `PATCH /apps/{app}/formation`: what the fake Heroku demands of it, and what it holds against the
 * client.
 */

import { type FakeAnswer, json } from "./fake-answer.ts";
import { scale } from "./fake-heroku-dyno.ts";
import {
  badRequest,
  formationJson,
  invalid,
  notFound,
  refused,
  SINGLE_SIZES,
  SIZES,
} from "./fake-heroku-json.ts";
import type { Change, HerokuApp, World } from "./fake-heroku-model.ts";
import { isDeploying } from "./fake-heroku-release.ts";
import type { Call } from "./fake-platform.ts";
import { checkFields, checkJsonBody, fieldsOf } from "./request-checks.ts";

/**
 * Entries of a Procfile that are no services: they run when the platform or somebody asks for it.
 */
const NOT_SERVICES = ["console", "rake", "release"];

/** What a test allows. */
export interface ScaleRules {
  /** Scaling an app that Heroku itself puts to sleep is no violation. */
  readonly mayScaleEco: boolean;
  /** `id` of the refusal of a second Eco or Basic dyno. */
  readonly limitErrorId: string;
}

export function answerScale(
  world: World,
  app: HerokuApp,
  { call, rules }: { readonly call: Call; readonly rules: ScaleRules },
): FakeAnswer {
  const changes = changesOf(call);
  if ("status" in changes) return changes;
  const refusal = refusalOf(app, changes, rules);
  if (refusal !== null) return refusal;
  noteMistakes(app, changes, { call, rules });
  scale(world, app, changes);
  const entries = [...app.processTypes.values()];
  const changed = entries.filter(({ type }) => changes.some((change) => change.type === type));
  return json(changed.map((entry) => formationJson(app, entry)));
}

function refusalOf(
  app: HerokuApp,
  changes: readonly Change[],
  rules: ScaleRules,
): FakeAnswer | null {
  for (const { type, quantity, size } of changes) {
    const entry = app.processTypes.get(type);
    if (entry === undefined) return notFound(`that process type (${type})`);
    const wanted = size === "" ? entry.size : size;
    if (quantity > 1 && SINGLE_SIZES.includes(wanted)) {
      const message = `Cannot update to more than 1 ${wanted} size dynos per process type.`;
      return invalid(message, rules.limitErrorId);
    }
  }
  const isGrowing = changes.some(({ type, quantity }) => quantity > quantityOf(app, type));
  return app.refusal?.calls === "scale-up" && isGrowing ? refused(app.refusal.id) : null;
}

function quantityOf(app: HerokuApp, type: string): number {
  return app.processTypes.get(type)?.quantity ?? 0;
}

function noteMistakes(
  app: HerokuApp,
  changes: readonly Change[],
  { call, rules }: { readonly call: Call; readonly rules: ScaleRules },
): void {
  for (const { type, quantity } of changes) {
    if (quantity > 0 && NOT_SERVICES.includes(type)) call.violation(`${type} is no service`);
  }
  const isShrinking = changes.some(({ type, quantity }) => quantity < quantityOf(app, type));
  if (!isShrinking) return;
  if (isDeploying(app)) call.violation("it scales down while a deployment runs");
  const isEco = app.processTypes.get("web")?.size === "Eco";
  if (isEco && !rules.mayScaleEco) {
    call.violation("it scales down an app that the platform puts to sleep by itself");
  }
}

/**
 * The wanted changes, or the platform's refusal of a body that makes no sense: a violation each
 * time.
 */
function changesOf(call: Call): Change[] | FakeAnswer {
  const body = checkJsonBody(call);
  if (body === null) return badRequest();
  checkFields(call, body, { where: "body", allowed: ["updates"] });
  const { updates } = body;
  if (!Array.isArray(updates) || updates.length === 0) {
    call.violation("updates must be an array with something in it");
    return invalid("No updates specified.");
  }
  const changes: Change[] = [];
  for (const [index, value] of updates.entries()) {
    const change = changeOf(call, value, `updates[${index}]`);
    if ("status" in change) return change;
    if (changes.some(({ type }) => type === change.type)) {
      call.violation(`${change.type} stands twice in updates`);
    }
    changes.push(change);
  }
  return changes;
}

function changeOf(call: Call, value: unknown, where: string): Change | FakeAnswer {
  const fields = fieldsOf(value) ?? {};
  checkFields(call, fields, { where, allowed: ["type", "quantity", "dyno_size"] });
  const { type, quantity, dyno_size } = fields;
  const refuse = (field: string, what: string): FakeAnswer => {
    call.violation(`${where}.${field} ${what}: ${JSON.stringify(fields[field])}`);
    return invalid(`${field} ${what}.`);
  };
  if (typeof type !== "string" || type === "") return refuse("type", "must be a process type");
  if (typeof quantity !== "number" || !Number.isInteger(quantity) || quantity < 0) {
    return refuse("quantity", "must be a whole number");
  }
  const size = dyno_size === undefined ? "" : sizeOf(dyno_size);
  return size === null ? refuse("dyno_size", "must be a dyno size") : { type, quantity, size };
}

/** @param value `{ "name": … }` or `{ "id": … }` */
function sizeOf(value: unknown): string | null {
  const { name, id } = fieldsOf(value) ?? {};
  return Object.keys(SIZES).find((size) => size === name || SIZES[size] === id) ?? null;
}
