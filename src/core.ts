/** The part that decides, composed: from the table of apps to the handler that engines call. */

import { withAccessLog } from "./access-log.ts";
import type { Activity } from "./activity.ts";
import { createActivity } from "./activity.ts";
import type { AdminEntry } from "./admin-entry.ts";
import { createAdminEntry, NO_ADMIN_ENTRY } from "./admin-entry.ts";
import { createAnswers } from "./answers.ts";
import type { App, Policy } from "./app.ts";
import { createSchedules, forcedSleep } from "./app-schedule.ts";
import type { AppTable } from "./app-table.ts";
import { createAppTable } from "./app-table.ts";
import { type AskBusy, createAskBusy, withBusyCheck } from "./busy.ts";
import type { Clock } from "./clock.ts";
import type { AdminConfig, Config, HoldLimits } from "./config.ts";
import { createDoubts } from "./doubts.ts";
import { createEarlyRequests, type EarlyRequests } from "./early-requests.ts";
import type { RequestHandler } from "./engines/engine.ts";
import type { AnswerCode } from "./errors.ts";
import type { EventBus } from "./events.ts";
import { createFailureReferences } from "./failure-references.ts";
import type { DownAnswer, Probe } from "./health.ts";
import type { HookRunner } from "./hooks.ts";
import type { Sweeper } from "./idle.ts";
import { createSweeper } from "./idle.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { createLifecycle } from "./lifecycle.ts";
import type { LifecycleDeps } from "./lifecycle-context.ts";
import type { Log } from "./log.ts";
import { countedSweeper, type SweepCounts } from "./metrics/sweep-counts.ts";
import { OWN_LOOK, type ThemeSource } from "./pages/look.ts";
import { noPeers, type Peers } from "./peers.ts";
import type { Provider } from "./providers/provider.ts";
import type { Reconciler } from "./reconcile.ts";
import { createReconciler } from "./reconcile.ts";
import type { Registry } from "./registry/registry.ts";
import { createRouter } from "./router.ts";
import type { SeatRule } from "./seats.ts";
import { createServer } from "./server.ts";
import type { Gate } from "./wake.ts";
import { createGate } from "./wake.ts";
import { warmAhead } from "./warm-ahead.ts";

/** Everything the core needs from outside: a test hands in its own world. */
export interface CoreDeps {
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly registry: Registry;
  /** The other instances that share it. Left out: there are none. */
  readonly peers?: Peers;
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
  /** Each request has a line in the log. Left out: none has. */
  readonly logsRequests?: boolean;
  /** Why an app must stay as it is for now, whoever uses it. Left out: for no reason of that kind. */
  readonly whyKept?: (app: App) => string | null;
  /** Asks apps whether they are busy. Left out: over HTTP. */
  readonly askBusy?: AskBusy;
  /** What pages look like. Left out: as Paastis' own. */
  readonly theme?: ThemeSource;
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
  readonly sweeps: SweepCounts;
  /** Answers to requests that led to no app, by code. */
  readonly strays: ReadonlyMap<AnswerCode, number>;
  readonly gate: Gate;
  readonly handler: RequestHandler;
  /**
   * Whether requests are well placed here: the first lists are there, or were given up, and the program is not about to
   * end. That Redis or a database is away is no reason: apps that are up are served without, and every instance would
   * say so at once.
   */
  readonly isReady: () => boolean;
  /** Wakes apps ahead of their windows of `keep_awake`, until the returned function is called. */
  warmAhead(): () => void;
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
  const peers = deps.peers ?? noPeers("alone");
  const scheduleAt = createSchedules();
  const references = createFailureReferences(deps.events);
  const lifecycle = createLifecycle({
    ...deps,
    referenceOf: references.of,
    hooks: busyHooks(deps),
    peers,
    activity,
    providerOf,
    probe: probeBy(deps, downAnswerOf),
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
    isSpeaker: () => peers.isLeader() || peers.state().trouble !== null,
    isRegistryAway: () => peers.state().trouble !== null,
  });
  const { run, troubleOf, completeness, wasAsked } = reconciler;
  const whyNotOurs = (app: App) => whyLeftToOthers(app, peers, providerOf(app));
  const swept = { table, lifecycle, reconcile: run, troubleOf, providerOf, whyNotOurs, scheduleAt };
  const { sweeper, sweeps } = countedSweeper(createSweeper({ ...deps, ...swept }), clock);
  const forced = (app: App) => forcedSleep(app, { scheduleAt, wallMs: clock.wallMs() });
  const gate = createGate({ ...deps, lifecycle, activity, references, forcedSleep: forced });
  const early = createEarlyRequests(clock, deps.hold);
  const strays = new Map<AnswerCode, number>();
  const isReady = () => !deps.isStopping() && completeness() !== "starting";
  const handler = createServer({
    ...deps,
    ...{ router, gate, early, lifecycle, activity, downAnswerOf, completeness, wasAsked },
    doubts: createDoubts({ ...deps, providerOf }),
    isRestartedByOthers: (app) => providerOf(app).capabilities.isRestartedByOthers === true,
    admin: adminEntry(deps, { table, reconciler, isReady }),
    verboseErrors: deps.verboseErrors === true,
    answers: createAnswers(deps.theme ?? OWN_LOOK),
    strays,
  });
  const endNotices = watch(providers, { table, lifecycle, reconciler });
  const unwatch = () => {
    endNotices();
    reconciler.close();
  };
  const parts = { table, activity, lifecycle, reconciler, sweeper, sweeps, strays };
  return {
    ...parts,
    handler: deps.logsRequests === true ? withAccessLog({ ...deps, handler }) : handler,
    gate: withEarly(gate, early),
    isReady,
    warmAhead: () => warmAhead({ clock, apps: table.all, lifecycle, scheduleAt, whyNotOurs }),
    unwatch,
  };
}

/** Who waits for the first lists waits like anybody else. */
function withEarly(gate: Gate, early: EarlyRequests): Gate {
  return {
    ...gate,
    held: () => gate.held() + early.count(),
    refuseHeld() {
      gate.refuseHeld();
      early.admitAll();
    },
  };
}

function probeBy(
  { probe }: CoreDeps,
  downAnswerOf: (app: App) => DownAnswer | null,
): LifecycleDeps["probe"] {
  return (app, target, signal) => {
    const { policy } = app;
    const isDown = downAnswerOf(app);
    const isDownAnswer: DownAnswer | null =
      isDown === null ? null : (status, header) => isDown(status, header, app.ref.id);
    return probe({ target, check: policy.health, trust: policy, isDownAnswer, signal });
  };
}

/** Before an app is stopped it is asked whether it is busy. */
function busyHooks({ askBusy, clock, hooks, log }: CoreDeps): HookRunner {
  return withBusyCheck(hooks, {
    ask: askBusy ?? createAskBusy({ fetch, clock }),
    clock,
    onGivenUp: (app, why) =>
      log.warn({ app: app.key, reason: why }, "is put to sleep all the same"),
  });
}

/** An app that runs as a child of an instance is that one's; all others are the leader's. */
function whyLeftToOthers({ runsAt }: App, peers: Peers, provider: Provider): string | null {
  if (provider.capabilities.runsApps !== true) return peers.whyNotLeader();
  if (runsAt !== null && runsAt !== peers.self) return `runs at another instance, ${runsAt}`;
  const { trouble } = peers.state();
  return trouble === null ? null : `stays as it is without the registry: ${trouble}`;
}

/** Without a configuration every path is an app's. */
function adminEntry(
  deps: CoreDeps,
  { table, reconciler, isReady }: Pick<Core, "isReady" | "reconciler" | "table">,
): AdminEntry {
  if (deps.admin === undefined) return NO_ADMIN_ENTRY;
  return createAdminEntry({
    config: deps.admin,
    now: deps.clock.now,
    log: deps.log,
    isAppLabel: (label) => table.byKey(deps.keyOf(label)) !== null,
    hasDefaultApp: deps.defaultKey !== null,
    isSettled: () => reconciler.completeness() !== "starting",
    isReady,
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
