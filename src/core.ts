/** The part that decides, composed: from the table of apps to the handler that engines call. */

import type { Activity } from "./activity.ts";
import { createActivity } from "./activity.ts";
import type { AdminEntry } from "./admin-entry.ts";
import { createAdminEntry } from "./admin-entry.ts";
import type { App, Policy } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import { createAppTable } from "./app-table.ts";
import type { Clock } from "./clock.ts";
import type { AdminConfig, Config, HoldLimits } from "./config.ts";
import { createDoubts } from "./doubts.ts";
import { createEarlyRequests } from "./early-requests.ts";
import type { RequestHandler } from "./engines/engine.ts";
import type { EventBus } from "./events.ts";
import type { DownAnswer, Probe } from "./health.ts";
import type { HookRunner } from "./hooks.ts";
import type { Sweeper } from "./idle.ts";
import { createSweeper } from "./idle.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { createLifecycle } from "./lifecycle.ts";
import type { Log } from "./log.ts";
import type { Provider } from "./providers/provider.ts";
import type { Reconciler } from "./reconcile.ts";
import { createReconciler } from "./reconcile.ts";
import type { Registry } from "./registry/registry.ts";
import { createRouter } from "./router.ts";
import type { SeatRule } from "./seats.ts";
import { createServer } from "./server.ts";
import type { Gate } from "./wake.ts";
import { createGate } from "./wake.ts";

/** Everything the core needs from outside: a test hands in its own world. */
export interface CoreDeps {
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly registry: Registry;
  readonly providers: readonly Provider[];
  readonly events: EventBus;
  readonly hooks: HookRunner;
  readonly probe: Probe;
  readonly policyOf: (app: Pick<App, "key" | "ref" | "settings">) => Policy;
  /** What the rules say about a key that several apps want. Left out: they say nothing. */
  readonly seatRuleOf?: (key: string) => SeatRule | null;
  /** The key a Host's first label stands for. */
  readonly keyOf: (label: string) => string;
  readonly defaultKey: string | null;
  readonly hold: HoldLimits;
  /** Who is shown the last output of an app that failed. */
  readonly showAppOutput: Config["showAppOutput"];
  readonly isStopping: () => boolean;
  /** Takes requests for the admin endpoints. Left out: there are none. */
  readonly admin?: AdminConfig;
  /** Clients read why a request could not be forwarded, and where to. Left out: they do not. */
  readonly verboseErrors?: boolean;
  /** Why an app must stay as it is for now, whoever uses it. Left out: for no reason of that kind. */
  readonly whyKept?: (app: App) => string | null;
  /** Called when apps came, went, or got other keys or policies. */
  readonly onApps?: () => void;
}

/** The core's parts, as the rest of the program uses them. */
export interface Core {
  readonly table: AppTable;
  readonly activity: Activity;
  readonly lifecycle: Lifecycle;
  readonly reconciler: Reconciler;
  readonly sweeper: Sweeper;
  readonly gate: Gate;
  readonly handler: RequestHandler;
  /** Stops asking the providers for their apps, and listening to them. */
  unwatch(): void;
}

/** Nothing is asked, listened on or started yet, but for what providers report by themselves. */
export function createCore(deps: CoreDeps): Core {
  const { clock, providers } = deps;
  const table = createAppTable();
  const activity = createActivity(clock);
  const providerOf = providerLookup(providers);
  const downAnswerOf = (app: App) => providerOf(app).isDownAnswer ?? null;
  const lifecycle = createLifecycle({
    ...deps,
    activity,
    providerOf,
    probe: (app, target, signal) => {
      const { policy } = app;
      const isDown = downAnswerOf(app);
      const isDownAnswer: DownAnswer | null =
        isDown === null ? null : (status, header) => isDown(status, header, app.ref.id);
      return deps.probe({ target, check: policy.health, trust: policy, isDownAnswer, signal });
    },
    isListed: (app) => table.byRef(app.ref) !== null,
    isReachable: (app) => table.byKey(app.key) === app,
    onMissing: ({ ref }) => reconciler.askSoon(ref.provider),
  });
  const router = createRouter<App>({ ...deps, find: table.byKey });
  const reconciler = createReconciler({
    ...deps,
    table,
    lifecycle,
    activity,
    onChange() {
      router.reset();
      deps.onApps?.();
    },
    onAsked: () => early.look(),
  });
  const { run, troubleOf, completeness, wasAsked } = reconciler;
  const sweeper = createSweeper({
    ...deps,
    table,
    lifecycle,
    reconcile: run,
    troubleOf,
    providerOf,
  });
  const gate = createGate({ ...deps, lifecycle, activity });
  const early = createEarlyRequests(clock, deps.hold);
  const handler = createServer({
    ...deps,
    router,
    gate,
    lifecycle,
    activity,
    downAnswerOf,
    doubts: createDoubts({ ...deps, providerOf }),
    isRestartedByOthers: (app) => providerOf(app).capabilities.isRestartedByOthers === true,
    completeness,
    wasAsked,
    early,
    admin: adminEntry(deps, table),
    verboseErrors: deps.verboseErrors === true,
  });
  const endNotices = watch(providers, { table, lifecycle, reconciler });
  const unwatch = () => {
    endNotices();
    reconciler.close();
  };
  const held = () => gate.held() + early.count();
  const refuseHeld = () => {
    gate.refuseHeld();
    early.admitAll();
  };
  const parts = { table, activity, lifecycle, reconciler, sweeper, handler };
  return { ...parts, gate: { ...gate, held, refuseHeld }, unwatch };
}

/** Without a configuration every path is an app's. */
function adminEntry(deps: CoreDeps, table: AppTable): AdminEntry {
  if (deps.admin === undefined) return { admit: () => null, isOurs: () => false };
  return createAdminEntry({
    config: deps.admin,
    now: deps.clock.now,
    isAppLabel: (label) => table.byKey(deps.keyOf(label)) !== null,
  });
}

function providerLookup(providers: readonly Provider[]): (app: App) => Provider {
  const byName = new Map(providers.map((provider) => [provider.name, provider]));
  return (app) => {
    const provider = byName.get(app.ref.provider);
    if (provider === undefined) throw new Error(`${app.key} needs provider ${app.ref.provider}`);
    return provider;
  };
}

/** What providers notice by themselves corrects what we hold, as it happens. */
function watch(
  providers: readonly Provider[],
  { table, lifecycle, reconciler }: Pick<Core, "table" | "lifecycle" | "reconciler">,
): () => void {
  const ends = providers.map((provider) =>
    provider.watch?.({
      notice({ id, observation }) {
        const app = table.byRef({ provider: provider.name, id });
        if (app !== null) lifecycle.observe(app, { observation });
      },
      listAgain: () => reconciler.askSoon(provider.name),
    }),
  );
  return () => {
    for (const end of ends) end?.();
  };
}
