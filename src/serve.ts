/** The composition root: builds everything from a `Config`, starts it, and stops it again. */

import { resolve } from "node:path";
import type { App, Policy } from "./app.ts";
import { openCertificates, type WatchedCertificate } from "./certificate.ts";
import { createSystemClock, keepAlive, sleep } from "./clock.ts";
import type { AppsConfig, Config } from "./config.ts";
import { watchConfigFile } from "./config-watch.ts";
import { type Core, createCore } from "./core.ts";
import { FIRST_LISTS_MS } from "./early-requests.ts";
import type { Engine } from "./engines/engine.ts";
import { closeQuietAtSleep } from "./engines/quiet-sockets.ts";
import { explanationOf, messageOf } from "./errors.ts";
import { logEvents } from "./event-log.ts";
import { createEventWriter } from "./event-store/event-writer.ts";
import type { EventBus } from "./events.ts";
import { createEventBus } from "./events.ts";
import { createProbe } from "./health.ts";
import type { HookRunner } from "./hooks.ts";
import { createHookRunner } from "./hooks.ts";
import { createLog } from "./log.ts";
import { createProviderCalls } from "./metrics/provider-calls.ts";
import { adviseWithoutApps } from "./no-app-yet.ts";
import { watchTheme } from "./pages/theme-watch.ts";
import { createPeerListener, letGoOfStopping } from "./peer-listener.ts";
import { type Base, close, type Declared, type Program, writeActivity } from "./program.ts";
import { createProviders } from "./providers/catalogue.ts";
import { untilReady } from "./redis/until-ready.ts";
import type { AppRecord } from "./registry/registry.ts";
import { guardAgainstRejections } from "./rejections.ts";
import { inherit } from "./restart/inheritance.ts";
import type { Predecessor } from "./restart/predecessor.ts";
import { removeForgotten } from "./restart/private-socket.ts";
import {
  giveWay,
  HURRY_MS,
  type Incumbent,
  prepareSuccessor,
  sayOtherPlace,
} from "./restart/restart.ts";
import { hearRestarts, type Restarts } from "./restart/restart-signal.ts";
import type { Image, Successor } from "./restart/successor.ts";
import { policyFor, resolveLabel, seatRuleFor } from "./rules.ts";
import { onSchedule } from "./schedule.ts";
import { attendApps, createSwitching } from "./serve-admin.ts";
import { createServiceNotifier } from "./service-notify.ts";
import { listenForSignals, type Signals } from "./signals.ts";
import { openStorage } from "./storage.ts";
import { openSwitchFiles } from "./switch-files.ts";
import { createWebhooks } from "./webhooks.ts";

/** How often uses of apps are written behind, ms. */
const ACTIVITY_EVERY_MS = 2000;

/** So long before everything is cut, who still waits for an app is told to come back, ms. */
const LAST_WORDS_MS = 1000;
/**
 * Runs until SIGTERM or SIGINT, then stops: no new connections, what is in flight finishes within
 * `SHUTDOWN_TIMEOUT_MS`, everything is stored. A second signal cuts what is left.
 * @param options.reload reads `paastis.yml` again; throws PaastisError `config_invalid`
 * @throws PaastisError `certificate_invalid`, `data_dir_in_use`, `listen_failed`, `config_invalid`
 */
export async function serve(
  options: Pick<Base, "config" | "given" | "reload" | "watchedFile" | "embedding"> & {
    /** How this program is started again. Left out: it is not. */
    readonly image?: Image;
    /** Whose place it takes. Left out: nobody's. */
    readonly predecessor?: Predecessor | null;
  },
): Promise<void> {
  const clock = createSystemClock();
  const log = createLog({ level: options.config.logLevel, stream: process.stdout, clock });
  const signals = options.embedding?.signals ?? listenForSignals();
  const restarts = hearRestarts(signals);
  const service = await createServiceNotifier({ manager: options.config.service, clock, log });
  const endGuard = options.embedding === undefined ? guardAgainstRejections(log) : () => undefined;
  const letGo = keepAlive();
  let certificates: WatchedCertificate | null = null;
  let program: Program | null = null;
  let hasGivenWay = false;
  try {
    const { tls } = options.config.listener;
    certificates = tls === null ? null : openCertificates({ ...tls, clock, log });
    const isStopping = signals.isToldToStop;
    const { image = null, predecessor = null } = options;
    const inheritance =
      predecessor === null ? null : await inherit(predecessor, resolve(options.config.dataDir));
    const base = { ...options, clock, log, isStopping, certificates, service, image, inheritance };
    program = await build(base);
    await restore(program);
    hasGivenWay = await run(program, signals, restarts);
  } finally {
    if (program !== null && !hasGivenWay) await close(program, signals.toldTwice);
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
  if (base.inheritance === null && dataDir !== null) removeForgotten(dataDir);
  const startToken = base.inheritance?.estate.startToken ?? null;
  const files = await openSwitchFiles(config, { clock, log, dataDir, live, redis, startToken });
  const activeOf = (key: string) => switching.board.activeOf(key);
  const tools = { clock, random, log, calls: createProviderCalls() };
  const inherited = base.inheritance?.children(instanceId, tools) ?? [];
  const deps = { config, declarations, activeOf, dataDir, instanceId, inherited, ...tools };
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
    ...{ dataDir, given: base.given, peers: storage.peers, webhooks },
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
async function restore(program: Program): Promise<void> {
  const { core, storage, switching, inheritance, log, clock } = program;
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
  const listener = createPeerListener(deps);
  inheritance?.heed(listener);
  await storage.peers.join(listener);
  if (inheritance !== null) goOnWaking(core, records);
}

/**
 * What waited for an app at the process before this one comes here. Its platform may say that it is up before it answers, so
 * whoever only notices that would send requests too early.
 */
function goOnWaking({ lifecycle, table }: Core, records: readonly AppRecord[]): void {
  const detail = "the process before this one had begun to wake it";
  for (const { phase, ref } of records) {
    const app = phase === "waking" ? table.byRef(ref) : null;
    if (app !== null) void lifecycle.wake(app, { kind: "start", detail });
  }
}

/** So long a start waits for a registry that others keep, ms. */
const FIRST_ANSWER_MS = 3000;

/** Asks the providers for the first time; one that is slow holds nobody up for long. */
async function listFirst({ core, clock }: Program): Promise<void> {
  const listed = core.reconciler.run({ kind: "start", detail: "Paastis started" });
  await Promise.race([listed, sleep(clock, FIRST_LISTS_MS)]);
}

/**
 * Listens until told to stop, then lets what is in flight finish.
 * @returns whether another process has taken our place, and all is done
 */
async function run(program: Program, signals: Signals, restarts: Restarts): Promise<boolean> {
  const { config, clock, log, core, inheritance } = program;
  const createEngine = await engineMaker(config.engine);
  const engine = createEngine({
    host: config.host,
    port: inheritance?.estate.port ?? config.port,
    ...(inheritance !== null && { inherited: inheritance.listener }),
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
  if (inheritance !== null) {
    sayOtherPlace(config, inheritance.estate, log);
    inheritance.sayListening();
  }
  await Promise.race([listFirst(program), signals.toldToStop]);
  if (!program.isStopping()) {
    sayReady(program, engine);
    program.service.ready();
    program.embedding?.onReady(engine.port);
  }
  const incumbent = { program, engine, signals, ends };
  const successor = await untilReplacedOrStopped(incumbent, restarts);
  if (successor !== null) {
    await giveWay(incumbent, successor);
    return true;
  }
  await stop(incumbent);
  return false;
}

/** Lets what is in flight finish, here and at the process before this one. */
async function stop({ program, engine, signals, ends }: Incumbent): Promise<void> {
  const { clock, config, core, inheritance, log } = program;
  program.service.stopping();
  for (const end of ends) end();
  const limit = config.shutdownTimeoutMs;
  log.info({ inFlight: engine.inFlight, limitMs: limit }, "stopping: what is in flight may finish");
  inheritance?.sayStopping(limit);
  const { refuseHeld } = core.gate;
  const cancelRefusal = clock.after(Math.max(0, limit - LAST_WORDS_MS), refuseHeld);
  const hurry = signals.toldTwice.then(() => {
    refuseHeld();
    return engine.stop(HURRY_MS);
  });
  const before = inheritance?.listener.over;
  await Promise.race([Promise.all([engine.stop(limit), before]), hurry]);
  cancelRefusal();
}

/** @returns who takes our place; `null`: we are told to stop */
async function untilReplacedOrStopped(
  incumbent: Incumbent,
  restarts: Restarts,
): Promise<Successor | null> {
  const { signals } = incumbent;
  const stopped = signals.toldToStop.then(() => null);
  for (;;) {
    const next = await Promise.race([restarts.told(), stopped]);
    if (next === null) return null;
    const successor = await prepareSuccessor(incumbent);
    restarts.forget();
    if (successor === null) continue;
    if (!signals.isToldToStop()) return successor;
    successor.kill();
    return null;
  }
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
