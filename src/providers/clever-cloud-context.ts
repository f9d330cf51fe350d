/** What the functions of the Clever Cloud provider share: the API, and what is known of each app. */

import type { Target } from "../app.ts";
import { unlessAborted } from "./abortable.ts";
import type { AppPlace, Asked, CleverCloudApi, CleverCloudDeps } from "./clever-cloud-api.ts";
import type { Order } from "./clever-cloud-decision.ts";
import type { AppDetail } from "./clever-cloud-json.ts";
import { type Standing, standingOf, standingOfState, type View } from "./clever-cloud-state.ts";
import { targetOfVhosts } from "./clever-cloud-target.ts";
import { type Phase, ProviderError } from "./provider.ts";

/** What is known of one app. */
export interface Known extends AppPlace {
  /** `null`: it was never read in full. */
  detail: Detail | null;
  /** `null`: it was in no list. */
  name: string | null;
  /** What a look found that no list says; `null`: lists say the same. */
  finding: Finding | null;
  /** Wakes and sleeps of ours that are not through. */
  wake: Order | null;
  sleep: Order | null;
  /** When an earlier run began a wake whose end it did not see, ms; `null`: none, or it was taken up. */
  recalledMs: number | null;
  /** Settles once whoever looks at it and changes it is through. Never rejects. */
  turn: Promise<void>;
}

/** What only an app's full description says. */
export interface Detail {
  readonly target: Target | null;
  readonly isForeign: boolean;
  readonly createdMs: number | null;
}

/** What is believed of an app for a while, as long as its own word stays the same. */
export interface Finding extends Standing {
  /** The app's own word. */
  readonly state: string;
  readonly untilMs: number;
}

/** State of one provider. */
export interface CleverCloudContext extends CleverCloudDeps {
  readonly api: CleverCloudApi;
  readonly apps: Map<string, Known>;
  /** Owner -> when their apps were last asked for in full, ms; whether or not that went well. */
  readonly ownersAskedMs: Map<string, number>;
  /** See `keysOf`. */
  holders: ReadonlyMap<string, string>;
}

/** An app's id: the API knows no app without its owner. */
export function idOf(ownerId: string, appId: string): string {
  return `${ownerId}/${appId}`;
}

const ID = /^([^/]+)\/([^/]+)$/;

/** Whether an app of ours can have this id. */
export function isId(id: string): boolean {
  return ID.test(id);
}

/** What is known of an app; made when first asked for. @throws ProviderError `not-found` when the id cannot be one */
export function knownOf(context: CleverCloudContext, id: string): Known {
  const known = context.apps.get(id);
  if (known !== undefined) return known;
  const [, ownerId, appId] = ID.exec(id) ?? [];
  if (ownerId === undefined || appId === undefined) {
    throw new ProviderError("not-found", `Clever Cloud has no app ${id}: ids are <owner>/<app>`);
  }
  const made: Known = {
    ownerId,
    appId,
    get label() {
      return made.name === null ? id : `${made.name} (${appId})`;
    },
    detail: null,
    name: null,
    finding: null,
    wake: null,
    sleep: null,
    recalledMs: null,
    turn: Promise.resolve(),
  };
  context.apps.set(id, made);
  return made;
}

/** Remembers what an app's full description says. */
export function learnDetail(known: Known, app: AppDetail): void {
  const target = targetOfVhosts(app.appId, app.vhosts);
  known.detail = { target, isForeign: app.isForeign, createdMs: app.createdMs };
}

/** One fresh and complete look, in as few calls as its state allows: one to three. */
export async function lookAt(
  context: CleverCloudContext,
  known: Known,
  asked: Asked,
): Promise<View> {
  return await completeLook(context, known, { app: await readApp(context, known, asked), asked });
}

/** The first call of a look. An app that is gone is forgotten. */
export async function readApp(
  context: CleverCloudContext,
  known: Known,
  asked: Asked,
): Promise<AppDetail> {
  try {
    const app = await context.api.app(known, asked);
    learnDetail(known, app);
    return app;
  } catch (error) {
    const isGone = error instanceof ProviderError && error.kind === "not-found";
    if (isGone) context.apps.delete(idOf(known.ownerId, known.appId));
    throw error;
  }
}

/** The rest of a look, after its first call. */
export async function completeLook(
  context: CleverCloudContext,
  known: Known,
  look: { readonly app: AppDetail; readonly asked: Asked },
): Promise<View> {
  const view = await readRest(context, known, look);
  const standing = standingOf(view);
  const untilMs = context.clock.now() + FINDING_FOR_MS;
  known.finding = HIDDEN_PHASES.has(standing.phase)
    ? { ...standing, state: view.app.state, untilMs }
    : null;
  return view;
}

/** A list says that such an app is up, or comes up: whoever believed that would look again with every list. */
const HIDDEN_PHASES: ReadonlySet<Phase> = new Set<Phase>(["failed", "unknown", "unmanaged"]);
const FINDING_FOR_MS = 10 * 60_000;

async function readRest(
  { api }: CleverCloudContext,
  known: Known,
  { app, asked }: { readonly app: AppDetail; readonly asked: Asked },
): Promise<View> {
  if (app.isForeign || standingOfState(app.state) !== null) {
    return { app, newest: null, instances: [] };
  }
  // Nothing of it is up, by its own word: only how its deployment goes matters.
  const isComing = app.state === "WANTS_TO_BE_UP";
  const [newest, instances] = await Promise.all([
    api.newestDeployment(known, asked),
    isComing ? [] : api.instances(known, asked),
  ]);
  return { app, newest, instances };
}

/** Does `work` once everybody who came before is through: who looks and then acts must be alone. */
export async function inTurn<T>(
  known: Known,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const before = known.turn;
  const { promise, resolve } = Promise.withResolvers<void>();
  known.turn = before.then(() => promise);
  try {
    await unlessAborted(before, signal, `waiting for another call about ${known.label}`);
    return await work();
  } finally {
    resolve();
  }
}
