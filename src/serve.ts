/** The composition root: builds everything from a `Config`, starts it, and stops it again. */

import type { App, Policy } from "./app.ts";
import { openCertificates, type WatchedCertificate } from "./certificate.ts";
import type { Clock } from "./clock.ts";
import { createSystemClock, keepAlive, sleep } from "./clock.ts";
import type { AppsConfig, Config } from "./config.ts";
import { watchConfigFile } from "./config-watch.ts";
import type { Core } from "./core.ts";
import { createCore } from "./core.ts";
import { FIRST_LISTS_MS } from "./early-requests.ts";
import type { Embedding } from "./embedding.ts";
import type { Engine } from "./engines/engine.ts";
import { closeQuietAtSleep } from "./engines/quiet-sockets.ts";
import { explanationOf, messageOf } from "./errors.ts";
import { logEvents } from "./event-log.ts";
import type { EventWriter } from "./event-store/event-writer.ts";
import { createEventWriter } from "./event-store/event-writer.ts";
import type { EventBus } from "./events.ts";
import { createEventBus } from "./events.ts";
import { handOver } from "./hand-over.ts";
import { createProbe } from "./health.ts";
import type { HookRunner } from "./hooks.ts";
import { createHookRunner } from "./hooks.ts";
import type { Log } from "./log.ts";
import { createLog } from "./log.ts";
import { createProviderCalls } from "./metrics/provider-calls.ts";
import { adviseWithoutApps } from "./no-app-yet.ts";
import { type WatchedTheme, watchTheme } from "./pages/theme-watch.ts";
import { createPeerListener, letGoOfStopping } from "./peer-listener.ts";
import { createProviders } from "./providers/catalogue.ts";
import type { Provider } from "./providers/provider.ts";
import { untilReady } from "./redis/until-ready.ts";
import { guardAgainstRejections } from "./rejections.ts";
import { policyFor, resolveLabel, seatRuleFor } from "./rules.ts";
import { onSchedule } from "./schedule.ts";
import { attendApps, createSwitching, type Switching } from "./serve-admin.ts";
import { createServiceNotifier, type ServiceNotifier } from "./service-notify.ts";
import { listenForSignals } from "./signals.ts";
import type { Storage } from "./storage.ts";
import { openStorage } from "./storage.ts";
import { openSwitchFiles } from "./switch-files.ts";
import { createWebhooks, type Webhooks } from "./webhooks.ts";

/** How often uses of apps are written behind, ms. */
const ACTIVITY_EVERY_MS = 2000;

/** So long before everything is cut, who still waits for an app is told to come back, ms. */
const LAST_WORDS_MS = 1000;
/** What a second signal leaves for answers on their way, ms. */
const HURRY_MS = 100;

/** What the program was started with, and the tools everything is made of. */
interface Base {
  readonly config: Config;
  /** Reads `paastis.yml` again. */
  readonly reload: () => AppsConfig;
  /** Where that file is, or would be; absolute. */
  readonly watchedFile: string;
  /** Variables that have a value, by the name it was given by; secrets without their value. */
  readonly given: ReadonlyMap<string, string>;
  readonly clock: Clock;
  readonly log: Log;
  readonly isStopping: () => boolean;
  /** For TLS with clients; `null`: plain HTTP. */
  readonly certificates: WatchedCertificate | null;
  /** Tells whoever started this as a service. */
  readonly service: ServiceNotifier;
  /** Left out: it is the whole process. */
  readonly embedding?: Embedding;
}

/** Declarations by provider and key: asked for every app whenever the file is read. */
type Declared = ReadonlyMap<string, AppsConfig["apps"][number]>;

/** A running program. */
interface Program extends Base {
  /** What `paastis.yml` says now. */
  apps: AppsConfig;
  /** The declarations of `apps`, as `byRef` has them; replaced together with it. */
  declared: Declared;
  readonly storage: Storage;
  readonly providers: readonly Provider[];
  readonly events: EventBus;
  readonly writer: EventWriter;
  readonly hooks: HookRunner;
  readonly webhooks: Webhooks;
  /** What pages look like; `null`: as Paastis' own. */
  readonly theme: WatchedTheme | null;
  readonly core: Core;
  readonly switching: Switching;
}

/**
 * Runs until SIGTERM or SIGINT, then stops: no new connections, what is in flight finishes within
 * `SHUTDOWN_TIMEOUT_MS`, everything is stored. A second signal cuts what is left.
 * @param options.reload reads `paastis.yml` again; throws PaastisError `config_invalid`
 * @throws PaastisError `certificate_invalid`, `data_dir_in_use`, `listen_failed`, `config_invalid`
 */
export async function serve(
  options: Pick<Base, "config" | "given" | "reload" | "watchedFile" | "embedding">,
): Promise<void> {
  const clock = createSystemClock();
  const log = createLog({ level: options.config.logLevel, stream: process.stdout, clock });
  const signals = options.embedding?.signals ?? listenForSignals();
  const service = await createServiceNotifier({ manager: options.config.service, clock, log });
  const endGuard = options.embedding === undefined ? guardAgainstRejections(log) : () => undefined;
  const letGo = keepAlive();
  let certificates: WatchedCertificate | null = null;
  let program: Program | null = null;
  try {
    const { tls } = options.config.listener;
    certificates = tls === null ? null : openCertificates({ ...tls, clock, log });
    const isStopping = signals.isToldToStop;
    program = await build({ ...options, clock, log, isStopping, certificates, service });
    await restore(program);
    await run(program, signals);
  } finally {
    if (program !== null) await close(program, signals.toldTwice);
    certificates?.end();
    service.end();
    signals.end();
    endGuard();
    letGo();
  }
}

/** Opens the storage and composes everything; nothing listens yet. */
async function build(base: Base): Promise<Program> {
  const { config, clock, log } = base;
  const random = Math.random;
  const storage = await openStorage({ config, clock, random, log });
  // Read through this object by everything that must see a reload.
  const live = { apps: config.apps, declared: byRef(config.apps) };
  const { dataDir, instanceId } = storage;
  const declarations = () => live.apps.apps;
  const { redis } = storage;
  const files = await openSwitchFiles(config, { clock, log, dataDir, live, redis });
  const activeOf = (key: string) => switching.board.activeOf(key);
  const tools = { clock, random, log, calls: createProviderCalls() };
  const deps = { config, declarations, activeOf, dataDir, instanceId, ...tools };
  const providers = [...(base.embedding?.providers ?? []), ...(await createProviders(deps))];
  const events = createEventBus({
    now: clock.wallMs,
    random,
    onListenerError: (error) => log.error({ reason: messageOf(error) }, "an event listener failed"),
  });
  const writer = createEventWriter({ store: storage.events, log, clock });
  // Stored first: what the log has said must not be lost when the program is killed the moment after.
  events.subscribe(writer.write);
  events.subscribe(logEvents(log));
  const hooks = createHooks(base, events);
  const webhooks = createWebhooks({ ...tools, webhooks: config.webhooks, events, fetch });
  const theme = config.pages === null ? null : watchTheme({ ...config.pages, clock, log });
  const core = createCore({
    ...tools,
    registry: storage.registry,
    peers: storage.peers,
    providers,
    events,
    hooks,
    probe: createProbe(fetch),
    policyOf: (app) => policyOf(config, live, app),
    seatRuleOf: (key) => seatRuleFor(key, live.apps.rules),
    keyOf: (label) => resolveLabel(label, live.apps.rules),
    defaultKey: config.defaultApp,
    hold: config.hold,
    showAppOutput: config.showAppOutput,
    ...(theme !== null && { theme }),
    isStopping: base.isStopping,
    admin: files.admin,
    ...config.insight,
    whyKept: (app) => switching.board.whyAwake(app),
    onApps: () => attendApps(core, switching.board, switching.watch),
  });
  const switching = createSwitching({
    ...{ ...tools, config, files, events, writer, core, providers, live },
    ...{ dataDir, given: base.given, peers: storage.peers },
    eventStore: storage.events,
  });
  const parts = { storage, providers, events, writer, hooks, webhooks, theme, core, switching };
  return Object.assign(live, { ...base, ...parts });
}

function createHooks(base: Base, events: EventBus): HookRunner {
  const { config, clock, log } = base;
  return createHookRunner({
    commands: config.hooks,
    environment: config.childEnvironment,
    clock,
    log,
    onFailure(name, { app, reason }, why) {
      const cause = { kind: "command", detail: `hook ${name}: ${reason}` } as const;
      events.emit({ name: "HOOK_FAILED", app: app.key, ref: app.ref, cause, reason: why });
    },
  });
}

function byRef({ apps }: AppsConfig): Declared {
  return new Map(apps.map((entry) => [`${entry.provider}/${entry.key}`, entry]));
}

function policyOf(
  config: Config,
  { apps, declared }: Pick<Program, "apps" | "declared">,
  app: Pick<App, "key" | "ref" | "settings">,
): Policy {
  const settings = declared.get(`${app.ref.provider}/${app.key}`)?.settings ?? null;
  const subject = { key: app.key, declared: settings, labelled: app.settings };
  return policyFor(subject, { ...config, rules: apps.rules });
}

/** Takes up what an earlier run knew, or the other instances do. */
async function restore({ core, storage, switching, log, clock }: Program): Promise<void> {
  if (storage.redis !== null) await untilReady(storage.redis, clock, FIRST_ANSWER_MS);
  const { records, unreadable } = await storage.loadFirst();
  for (const { what, why } of unreadable) {
    log.warn({ record: what, reason: why }, "a stored record cannot be read and is left out");
  }
  core.reconciler.restore(records);
  if (storage.redis !== null) letGoOfStopping(core, records);
  const { askSoon } = core.reconciler;
  const { resync: onResync, closeQuiet: onLetGo } = switching;
  const deps = { ...core, ...storage, askSoon, onResync, onLetGo, clock, log };
  await storage.peers.join(createPeerListener(deps));
}

/** So long a start waits for a registry that others keep, ms. */
const FIRST_ANSWER_MS = 3000;

/** Asks the providers for the first time; one that is slow holds nobody up for long. */
async function listFirst({ core, clock }: Program): Promise<void> {
  const listed = core.reconciler.run({ kind: "start", detail: "Paastis started" });
  await Promise.race([listed, sleep(clock, FIRST_LISTS_MS)]);
}

/** Listens until told to stop, then lets what is in flight finish. */
async function run(program: Program, signals: ReturnType<typeof listenForSignals>): Promise<void> {
  const { config, clock, log, core } = program;
  const createEngine = await engineMaker(config.engine);
  const engine = createEngine({
    host: config.host,
    port: config.port,
    handler: core.handler,
    clock,
    log,
    limits: config.listener,
    certificates: program.certificates,
    upstream: config.upstream,
    forwarded: config.forwarded,
    newRequestId: () => crypto.randomUUID(),
    withoutSecrets: program.switching.withoutSecrets,
  });
  const ends = [
    onSchedule({ expression: config.sweepCron, clock, work: () => void core.sweeper.sweep() }),
    everyActivity(program),
    core.warmAhead(),
    program.switching.endStreams,
    closeQuietAtSleep({
      events: program.events,
      appOf: core.table.byRef,
      closeQuiet: engine.closeQuiet,
    }),
    signals.onHangup(() => reload(program)),
    watchConfigFile({ file: program.watchedFile, clock, log, onChange: () => reload(program) }),
  ];
  await program.switching.listen(engine);
  await Promise.race([listFirst(program), signals.toldToStop]);
  if (!program.isStopping()) {
    sayReady(program, engine);
    program.service.ready();
    program.embedding?.onReady(engine.port);
  }
  await signals.toldToStop;
  program.service.stopping();
  for (const end of ends) end();
  const limit = config.shutdownTimeoutMs;
  log.info({ inFlight: engine.inFlight, limitMs: limit }, "stopping: what is in flight may finish");
  const { refuseHeld } = core.gate;
  const cancelRefusal = clock.after(Math.max(0, limit - LAST_WORDS_MS), refuseHeld);
  const hurry = signals.toldTwice.then(() => {
    refuseHeld();
    return engine.stop(HURRY_MS);
  });
  await Promise.race([engine.stop(limit), hurry]);
  cancelRefusal();
}

/** Only the one that is wanted is loaded. */
async function engineMaker(engine: Config["engine"]) {
  return engine === "socket"
    ? (await import("./engines/socket.ts")).createSocketEngine
    : (await import("./engines/fetch.ts")).createFetchEngine;
}

function sayReady({ log, config, core, providers, watchedFile }: Program, engine: Engine): void {
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  const scheme = config.listener.tls === null ? "http" : "https";
  const address = `${scheme}://${host}:${engine.port}`;
  const fields = { address, apps: core.table.all().length, providers: config.providers.join(", ") };
  log.info(fields, `listening on ${address}`);
  if (fields.apps > 0) return;
  const platforms = providers
    .filter(({ capabilities }) => !capabilities.listsDeclaredApps)
    .map(({ name }) => name);
  const { isWarning, message, next } = adviseWithoutApps({
    platforms,
    completeness: core.reconciler.completeness(),
    hasFile: config.file !== null,
  });
  const file = platforms.length === 0 ? { file: watchedFile } : {};
  log[isWarning ? "warn" : "info"]({ ...file, next }, message);
}

/** With other instances, the heartbeat writes them. */
function everyActivity(program: Program): () => void {
  if (program.storage.redis !== null) return () => undefined;
  let cancel = plan();
  function plan() {
    return program.clock.after(ACTIVITY_EVERY_MS, () => {
      cancel = plan();
      void writeActivity(program);
    });
  }
  return () => cancel();
}

async function writeActivity({ storage, core, log }: Program): Promise<void> {
  const uses = core.activity.takeUses();
  if (uses.length === 0) return;
  try {
    await storage.registry.touch(uses);
  } catch (error) {
    // Of trouble with the whole registry the log has a line already.
    const level = storage.peers.state().trouble === null ? "warn" : "debug";
    log[level]({ reason: messageOf(error) }, "the last uses of apps could not be stored");
  }
}

function reload(program: Program): void {
  program.service.reloading();
  readAgain(program);
  program.service.ready();
}

/** A broken file changes nothing: what was read before stays. */
function readAgain(program: Program): void {
  const { core, log } = program;
  try {
    program.apps = program.reload();
    program.declared = byRef(program.apps);
  } catch (error) {
    const { why, next } = explanationOf(error);
    const fields = { reason: why.trimEnd(), ...(next === "" ? {} : { next }) };
    log.error(fields, "paastis.yml is not taken over: apps and rules stay as they were");
    return;
  }
  core.reconciler.applyPolicies();
  void core.reconciler.run({ kind: "reload", detail: "paastis.yml has changed" });
  log.info(
    { apps: program.apps.apps.length, rules: program.apps.rules.length },
    "paastis.yml read",
  );
}

/** Ends everything in the order of the arrows: who uses something ends before it. */
async function close(program: Program, toldTwice: Promise<void>): Promise<void> {
  const { core, providers, hooks, storage, writer, log } = program;
  void toldTwice.then(() => hurryUp(providers, log));
  core.unwatch();
  program.theme?.end();
  await program.switching.close();
  await handOver({ ...program, ...storage, table: core.table });
  const lifecycle = core.lifecycle.close();
  await Promise.all(providers.map((provider) => provider.close()));
  await lifecycle;
  await hooks.close();
  await writeActivity(program);
  await Promise.all([program.webhooks.close(toldTwice), writer.close()]);
  await storage.close();
  log.info({}, "stopped");
}

async function hurryUp(providers: readonly Provider[], log: Log): Promise<void> {
  try {
    await Promise.all(providers.map((provider) => provider.hurry?.()));
  } catch (error) {
    log.warn({ reason: messageOf(error) }, "could not cut short what is being stopped");
  }
}
