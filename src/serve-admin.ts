/** The part of the composition root for switches and admin endpoints. */

import { type AppsWatch, createAppsWatch } from "./admin/apps-watch.ts";
import { type AdminListener, listenForAdmin } from "./admin/listen.ts";
import { createWithoutSecrets } from "./admin/own-secrets.ts";
import { createTokenCheck } from "./admin/secret.ts";
import { sayStartToken } from "./admin/start-token.ts";
import { type App, addressOf } from "./app.ts";
import type { Clock } from "./clock.ts";
import type { AdminConfig, AppsConfig, Config } from "./config.ts";
import type { Core } from "./core.ts";
import type { Engine } from "./engines/engine.ts";
import { messageOf } from "./errors.ts";
import type { EventStore } from "./event-store/event-store.ts";
import type { EventWriter } from "./event-store/event-writer.ts";
import type { EventBus } from "./events.ts";
import type { WithoutSecrets } from "./headers.ts";
import type { Log } from "./log.ts";
import { createMetrics } from "./metrics/metrics.ts";
import type { ProviderCalls } from "./metrics/provider-calls.ts";
import type { Peers } from "./peers.ts";
import type { Provider } from "./providers/provider.ts";
import { storesState } from "./stores-state.ts";
import type { SwitchFiles } from "./switch-files.ts";
import { type SwitchPolicy, switchPolicyFor } from "./switch-policy.ts";
import { createSwitchboard, type Switchboard } from "./switchboard.ts";
import type { Webhooks } from "./webhooks.ts";

/** Everything about switches that a running program has. */
export interface Switching {
  readonly admin: AdminConfig;
  /** Takes from headers what no app may see. */
  readonly withoutSecrets: WithoutSecrets;
  readonly board: Switchboard;
  readonly policyOf: (app: App) => SwitchPolicy;
  /** An app is about to be stopped: its quiet connections are closed. */
  closeQuiet(app: App): void;
  /** What other instances have stored of switches may have been missed, or lost. */
  resync(): void;
  /** What is kept about apps for operators. */
  readonly watch: AppsWatch;
  /** Answers the admin endpoints from here on. @throws PaastisError `listen_failed` */
  listen(engine: Engine): Promise<void>;
  /** Who follows what happens is let go: the program is about to stop. */
  endStreams(): void;
  /** Nothing is carried any more. */
  close(): Promise<void>;
}

/** What the switchboard is built from. */
export interface SwitchingDeps {
  readonly config: Config;
  readonly files: SwitchFiles;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly events: EventBus;
  readonly eventStore: EventStore;
  readonly writer: EventWriter;
  readonly peers: Peers;
  /** `null`: no file can be written. */
  readonly dataDir: string | null;
  readonly core: Core;
  readonly providers: readonly Provider[];
  /** Counts their calls. */
  readonly calls: ProviderCalls;
  /** Tells others of events. Left out: nothing is said of it. */
  readonly webhooks?: Pick<Webhooks, "state">;
  /** What `paastis.yml` says now. */
  readonly live: { readonly apps: AppsConfig };
  /** Variables that have a value, by the name it was given by; secrets without their value. */
  readonly given: ReadonlyMap<string, string>;
}

/** Nothing is watched yet, and nothing listens. */
export function createSwitching(deps: SwitchingDeps): Switching {
  const { config, files, clock, core, log } = deps;
  const startedMs = clock.now();
  let engine: Engine | null = null;
  let listener: AdminListener | null = null;
  const policyOf = (app: App) => switchPolicyOf(deps, app);
  const board = createSwitchboard({
    ...deps,
    lifecycle: core.lifecycle,
    store: files.store,
    policyOf,
    versionsOf: ({ ref }) =>
      deps.providers.find(({ name }) => name === ref.provider)?.versions ?? null,
    fetch,
    newId: () => crypto.randomUUID(),
    onPause: (app) => core.gate.resumed(app),
    carrier: () => engine?.carrier ?? null,
  });
  const watch = watchApps(deps, board);
  const stopping = new AbortController();
  const stores = () => storesState({ ...deps, startedMs });
  const metrics = createMetrics({ ...deps, stores, engine: () => engine });
  const admin = whenAsked(async () => {
    const { createAdminApp } = await import("./admin/app.ts");
    return createAdminApp({
      access: { isReady: core.isReady, isToken: createTokenCheck(files.admin) },
      aboutApps: {
        ...{ ...deps, switchboard: board, watch, stopping: stopping.signal },
        carried: (app, target) => engine?.carrier.carried(app, addressOf(target)) ?? null,
      },
      switchboard: board,
      apps: () => core.table.all(),
      findApp: (key) => core.table.byKey(key),
      soleApp: config.admin.soleApp,
      policyOf,
      ownPort: () => engine?.port ?? null,
      now: clock.now,
      startedMs,
      isFast: config.insight.isFast,
      upstreamSockets: () => (config.insight.showsUpstream ? (engine?.upstreamSockets ?? 0) : null),
      stores,
      prometheus: metrics.answer,
      ...(deps.webhooks !== undefined && { webhooks: deps.webhooks.state }),
      providers: () =>
        config.providers.map((name) => ({ name, trouble: core.reconciler.troubleOf(name) })),
      log,
    });
  });
  const handle = config.admin.systemToken === null ? admin : withSystemApi(deps, admin);
  return {
    admin: files.admin,
    withoutSecrets: createWithoutSecrets(files.admin),
    board,
    policyOf,
    watch,
    endStreams: () => stopping.abort(),
    resync: files.resync,
    closeQuiet: (app) => engine?.closeQuiet(app),
    async listen(started) {
      engine = started;
      listener = await listenAt(files, handle, { clock, log });
      if (!files.isTokenKnown)
        sayStartToken({ admin: files.admin, config, port: started.port, log });
    },
    async close() {
      engine = null;
      stopping.abort();
      metrics.close();
      await listener?.close();
      await watch.close();
      await board.close();
      await files.close();
    },
  };
}

/** Without a registry that lasts nothing else is written where nobody said so. */
function watchApps(
  { clock, config, core, dataDir, events, eventStore, log }: SwitchingDeps,
  board: Switchboard,
): AppsWatch {
  return createAppsWatch({
    ...{ clock, events, eventStore, log },
    apps: core.table.all,
    appOf: core.table.byRef,
    price: config.price,
    folder: config.registryType === "in-memory" ? null : dataDir,
    resume: (app) => board.setPause(app, null, { kind: "command", detail: "its pause is over" }),
  });
}

/** Without a socket that nobody named, apps are served all the same. */
async function listenAt(
  { admin, isSocketNamed }: SwitchFiles,
  handle: (request: Request) => Promise<Response>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<AdminListener | null> {
  const { socketPath } = admin;
  if (socketPath === null) return null;
  try {
    return await listenForAdmin({ socketPath, handle, clock });
  } catch (error) {
    if (isSocketNamed) throw error;
    const next = "set ADMIN_UNIX_SOCKET to a path where it can be made";
    log.warn(
      { socket: socketPath, reason: messageOf(error), next },
      "the admin endpoints cannot be reached: their socket cannot be made",
    );
    return null;
  }
}

type Answering = (request: Request) => Promise<Response>;

/** Made with the first request: to load the framework takes a fifth of the time that a whole start needs. */
function whenAsked(make: () => Promise<Answering>): Answering {
  let made: Promise<Answering> | null = null;
  return async (request) => {
    made ??= make();
    return await (await made)(request);
  };
}

/** One socket for both: their paths differ. */
function withSystemApi(
  { clock, core, eventStore, log }: SwitchingDeps,
  admin: Answering,
): Answering {
  const { table, reconciler } = core;
  return whenAsked(async () => {
    const { createSystemApp, isSystemRequest } = await import("./admin/system-app.ts");
    const system = createSystemApp({
      apps: table.known,
      isReachable: (app) => table.byKey(app.key) === app,
      factsOf: reconciler.factsOf,
      forget: reconciler.forget,
      events: eventStore,
      now: clock.now,
      log,
    });
    return (request) => (isSystemRequest(request) ? system(request) : admin(request));
  });
}

/** Tells who looks after apps which there are. */
export function attendApps(
  { table }: Core,
  ...attentive: readonly { attend(apps: readonly App[]): void }[]
): void {
  for (const one of attentive) one.attend(table.all());
}

function switchPolicyOf({ config, live }: SwitchingDeps, { key, ref }: App): SwitchPolicy {
  const { apps, rules } = live.apps;
  const entry = apps.find((one) => one.provider === ref.provider && one.key === key);
  const declared = entry?.settings.switching ?? null;
  return switchPolicyFor({ key, declared }, { rules, defaults: config.switches });
}
