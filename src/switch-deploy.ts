/** One deployment: the app is started anew beside the version that runs, and the switch goes there. */

import { addressOf } from "./app.ts";
import { sleep } from "./clock.ts";
import { durationText } from "./durations.ts";
import { messageOf } from "./errors.ts";
import { ProviderError, type Version, type Versions } from "./providers/provider.ts";
import { runOnce, type SwitchOrder, saveThenSwap, sawWhat } from "./switch.ts";
import { statusesText } from "./switch-answers.ts";
import type { Desk, SwitchContext, SwitchOutcome } from "./switch-context.ts";
import { NEW_VERSION, tell, upAddress } from "./switch-context.ts";
import { type GateResult, passGate } from "./switch-gate.ts";
import { refusedBecauseOver, runLocked, type Turn } from "./switch-lock.ts";

/** What a deployment is asked for with. */
export type DeployOrder = Pick<SwitchOrder, "cause" | "idempotencyKey">;

interface Deployment extends DeployOrder {
  readonly context: SwitchContext;
  readonly desk: Desk;
  readonly versions: Versions;
  readonly turn: Turn;
}

/** How often an app that is being stopped is looked at, and for how long at most, ms. */
const STOPPING_LOOK_EVERY_MS = 50;
const STOPPING_MS_MAX = 120_000;

/**
 * Starts the new version, waits until it is healthy, and moves the app there. What fails before that leaves everything
 * as it was. An app that sleeps is awake then, and has no way back. The hooks before and after a start do not run: the
 * app does not start, for whoever uses it, and a hook that no new version may start without belongs into its command.
 * Never rejects.
 */
export function runDeploy(
  context: SwitchContext,
  desk: Desk,
  order: DeployOrder,
): Promise<SwitchOutcome> {
  const { app, versions } = desk;
  if (versions === null) {
    const why = `${app.key} is an app of ${app.ref.provider}, whose new versions somebody else starts: only apps of provider process can be deployed`;
    return Promise.resolve({ kind: "impossible", why });
  }
  const work = (turn: Turn) => deploy({ context, desk, versions, turn, ...order });
  const asked = { key: order.idempotencyKey, to: NEW_VERSION };
  return runOnce(desk, asked, () =>
    runLocked(context, desk, { ...asked, cause: order.cause, work }),
  );
}

async function deploy(deployment: Deployment): Promise<SwitchOutcome> {
  const { context, desk, versions, turn } = deployment;
  const { app } = desk;
  const { signal } = desk.over;
  // From here on no stop can begin; one that has begun must end before the app can be anywhere else.
  context.lifecycle.cancelDrain(app, "a new version of it is started");
  if (!(await isStoppedSoon(context, desk))) {
    const why = "it is being put to sleep: try again in a moment";
    return signal.aborted ? refusedBecauseOver(desk) : { kind: "refused", why };
  }
  let version: Version;
  try {
    version = await versions.begin(app.ref.id, signal);
  } catch (error) {
    return signal.aborted ? refusedBecauseOver(desk) : notBegun(deployment, error);
  }
  desk.running = { ...turn.running, to: addressOf(version.target) };
  try {
    return await moveTo(deployment, version);
  } finally {
    await endUnlessAdopted(deployment, version);
  }
}

/** @returns false when it was still being stopped at the end of all patience */
async function isStoppedSoon({ clock }: SwitchContext, { app, over }: Desk): Promise<boolean> {
  const untilMs = clock.now() + STOPPING_MS_MAX;
  while (app.state.kind === "stopping" && clock.now() < untilMs && !over.signal.aborted) {
    await sleep(clock, STOPPING_LOOK_EVERY_MS, over.signal).catch(() => undefined);
  }
  return app.state.kind !== "stopping";
}

async function moveTo(deployment: Deployment, version: Version): Promise<SwitchOutcome> {
  const { context, desk, turn, cause, idempotencyKey } = deployment;
  const { app } = desk;
  const { target } = version;
  const { clock, fetch } = context;
  const end: { why: string | null } = { why: null };
  const ended = new AbortController();
  void version.ended.then((why) => {
    end.why = why;
    ended.abort(new Error(why));
  });
  const signal = AbortSignal.any([desk.over.signal, ended.signal]);
  const gate = await passGate(target, context.policyOf(app).gate, { clock, fetch, signal });
  if (desk.over.signal.aborted) return refusedBecauseOver(desk);
  if (end.why !== null || !gate.isHealthy) {
    return notHealthy(deployment, { version, gate, end: end.why });
  }
  const order = { target, reason: "deploy", cause, idempotencyKey, turn } as const;
  return await saveThenSwap(context, desk, { order, from: upAddress(app), look: gate.last });
}

async function endUnlessAdopted({ context, desk }: Deployment, version: Version): Promise<void> {
  // At the end of the program its provider ends everything.
  if (context.closing.signal.aborted) return;
  try {
    await version.end();
  } catch (error) {
    context.log.error(
      { app: desk.app.key, reason: messageOf(error) },
      "a new version that was not taken over cannot be ended",
    );
  }
}

function notBegun(deployment: Deployment, error: unknown): SwitchOutcome {
  const why = messageOf(error);
  if (error instanceof ProviderError && error.kind === "invalid") {
    return { kind: "impossible", why };
  }
  tellRefused(deployment, why, {});
  return { kind: "start-failed", why, gate: null, output: "" };
}

function notHealthy(
  deployment: Deployment,
  seen: { readonly version: Version; readonly gate: GateResult; readonly end: string | null },
): SwitchOutcome {
  const { context, desk } = deployment;
  const { version, gate, end } = seen;
  const { path, timeoutMs, statuses } = context.policyOf(desk.app).gate;
  const wanted = statusesText(statuses);
  const why =
    end === null
      ? `The new version did not respond with ${wanted} at ${path} within ${durationText(timeoutMs)}`
      : `The new version ${end}, before it was healthy at ${path}`;
  const { last, looks } = gate;
  tellRefused(deployment, end === null ? `${why}: ${sawWhat(last)}` : why, {
    to: addressOf(version.target),
    looks,
  });
  // What ended was not found wanting by the gate, which was called off.
  return { kind: "start-failed", why, gate: end === null ? gate : null, output: version.output() };
}

function tellRefused(
  { context, desk, cause }: Deployment,
  reason: string,
  details: Readonly<Record<string, string | number>>,
): void {
  tell(context, desk, { name: "APP_SWITCH_REFUSED", cause, reason, details });
}
