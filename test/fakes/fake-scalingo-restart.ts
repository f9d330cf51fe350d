/** `POST /v1/apps/{app}/restart`: what the fake Scalingo demands of it, and what it holds against the client. */

import type { FakeAnswer } from "./fake-answer.ts";
import type { Call } from "./fake-platform.ts";
import { busyReason, restart } from "./fake-scalingo-app.ts";
import { invalid, notFound } from "./fake-scalingo-json.ts";
import type { ScalingoApp, World } from "./fake-scalingo-model.ts";
import { checkFields, checkJsonBody } from "./request-checks.ts";

/**
 * Restarts containers: 202 without a body, `Location` of the operation.
 * Source: Scalingo's API documentation, "Applications", "Restart an Application". What it does to an app that has
 * nothing to run is not documented: a client that asks for it has not looked.
 */
export function answerRestart(
  world: World,
  app: ScalingoApp,
  { call, locationOf }: { readonly call: Call; readonly locationOf: (id: string) => string },
): FakeAnswer {
  const types = scopeOf(app, call);
  if (types !== null && "status" in types) return types;
  const busy = busyReason(app);
  if (busy !== null) return invalid({ app: [busy] });
  const hasWork = [...app.formation].some(
    ([type, { amount }]) => amount > 0 && (types === null || types.includes(type)),
  );
  if (app.status === "new" || !hasWork) {
    call.violation("it restarts what has nothing to run");
    return invalid({ app: ["has no container"] });
  }
  const operation = restart(world, app, { types, isOurs: true });
  return { status: 202, headers: { Location: locationOf(operation.id) } };
}

/** The types of the containers to restart; `null`, as for an empty or missing scope: all of them. */
function scopeOf(app: ScalingoApp, call: Call): readonly string[] | null | FakeAnswer {
  const body = checkJsonBody(call) ?? {};
  checkFields(call, body, { where: "body", allowed: ["scope"] });
  const { scope = null } = body;
  if (scope === null) return null;
  if (!Array.isArray(scope) || scope.some((entry) => typeof entry !== "string")) {
    call.violation(`scope must be an array of process types: ${JSON.stringify(scope)}`);
    return invalid({ scope: ["is invalid"] });
  }
  // One container, `web-1`, or all of a type.
  const types = scope.map((entry: string) => entry.replace(/-\d+$/, ""));
  const stranger = types.find((type) => !app.formation.has(type));
  if (stranger === undefined) return types.length === 0 ? null : types;
  call.violation(`scope has a type that the app has not: ${stranger}`);
  return notFound("container_type");
}
