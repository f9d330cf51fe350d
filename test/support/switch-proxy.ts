/** A whole proxy in this process with one app of provider ports, its switchboard and its admin endpoints. */

import { createAdminApp } from "../../src/admin/app.ts";
import { type AdminListener, listenForAdmin } from "../../src/admin/listen.ts";
import { createWithoutSecrets } from "../../src/admin/own-secrets.ts";
import { createTokenCheck } from "../../src/admin/secret.ts";
import type { App } from "../../src/app.ts";
import { targetOf } from "../../src/app.ts";
import { createSystemClock } from "../../src/clock.ts";
import type { AdminConfig } from "../../src/config.ts";
import { createCore } from "../../src/core.ts";
import type { Engine, EngineOptions } from "../../src/engines/engine.ts";
import { createSocketEngine } from "../../src/engines/socket.ts";
import { createEventBus, type PaastisEvent } from "../../src/events.ts";
import { createProbe } from "../../src/health.ts";
import { createPortsProvider } from "../../src/providers/ports.ts";
import type { RedisConnection } from "../../src/redis/connection.ts";
import { createRedisSwitchSpace } from "../../src/redis/switch-space.ts";
import { createMemoryRegistry } from "../../src/registry/memory.ts";
import { openStateFile } from "../../src/state-file.ts";
import type { ProviderState } from "../../src/stores-answer.ts";
import type { StoresState } from "../../src/stores-state.ts";
import type { SwitchPolicy } from "../../src/switch-policy.ts";
import { openSharedSwitchStore } from "../../src/switch-shared-store.ts";
import { openSwitchStore } from "../../src/switch-store.ts";
import { createSwitchboard, type Switchboard } from "../../src/switchboard.ts";
import type { WebhookState } from "../../src/webhook-queue.ts";
import { within } from "./pace.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { samplePolicy } from "./sample-app.ts";
import { tempDir } from "./temp-dir.ts";

export interface SwitchProxy extends AsyncDisposable {
  readonly port: number;
  readonly origin: string;
  readonly app: App;
  readonly board: Switchboard;
  readonly events: readonly PaastisEvent[];
  readonly lines: readonly LogLine[];
  readonly stateFile: string;
  /** Of the admin endpoints; empty: there is none. */
  readonly socketPath: string;
  /** Asks an admin endpoint, past whoever guards them. */
  admin(path: string, init?: RequestInit): Promise<Response>;
  /** The same by name of the event. */
  eventsNamed(name: string): readonly PaastisEvent[];
}

const policyNow = (): SwitchPolicy => ({
  gate: {
    path: "/health",
    method: "GET",
    host: null,
    statuses: [[200, 299]],
    successes: 1,
    // Busy as the machine may be, a target that is well passes.
    timeoutMs: within(500),
  },
  hosts: [],
  drain: "spread",
  drainMs: 2000,
  windowMs: 5000,
  checkEveryMs: 50,
  failsMax: 3,
  traffic: { requestsMin: 20, errorRateMin: 0.1, timesWorse: 2 },
});

/** Everything in memory, and well. */
function sampleStores(): StoresState {
  const store = { type: "in-memory", trouble: null, sinceMs: null };
  return {
    registry: { ...store, instance: "one", others: [], isLeader: true, leader: "one" },
    events: { ...store, waiting: 0, dropped: 0 },
  };
}

/** Its app is called `shop`, and answers on every host. */
export async function startSwitchProxy(options: {
  /** Where the app is declared to be. */
  readonly port: number;
  readonly policy?: Partial<SwitchPolicy>;
  readonly admin?: Partial<AdminConfig>;
  readonly holdMs?: number;
  readonly isFast?: boolean;
  /** Left out: all is well. */
  readonly stores?: StoresState;
  readonly providers?: readonly ProviderState[];
  readonly webhooks?: readonly WebhookState[];
  /** Where its switches are shared with other proxies. */
  readonly redis?: RedisConnection;
  /** Left out: the socket engine. */
  readonly createEngine?: (options: EngineOptions) => Engine;
}): Promise<SwitchProxy> {
  const clock = createSystemClock();
  const folder = tempDir();
  const { log, lines } = recordingLog();
  const events: PaastisEvent[] = [];
  const bus = createEventBus({ now: clock.now, random: Math.random, onListenerError: raise });
  bus.subscribe((event) => events.push(event));
  const stateFile = folder.file("state.json");
  const file = openStateFile({ path: stateFile, clock });
  const own = openSwitchStore({ file, soleApp: "shop", log });
  const shared =
    options.redis === undefined
      ? null
      : openSharedSwitchStore({
          ...{ clock, file: own, log, space: createRedisSwitchSpace(options.redis) },
          isLocal: () => false,
        });
  await shared?.opened;
  const store = shared ?? own;
  const admin: AdminConfig = {
    token: "secret",
    hosts: [],
    rateLimit: 1000,
    isTls: false,
    systemToken: null,
    trustedProxies: [],
    allowlist: ["127.0.0.1"],
    socketPath: folder.file("admin.sock"),
    soleApp: "shop",
    ...options.admin,
  };
  const declared = { provider: "ports", key: "shop", settings: {} } as const;
  const target = targetOf(`http://127.0.0.1:${options.port}`);
  const policy = { ...policyNow(), ...options.policy };
  const core = createCore({
    clock,
    random: Math.random,
    log,
    registry: createMemoryRegistry(),
    providers: [
      createPortsProvider({
        declarations: () => [{ ...declared, target }],
        activeOf: (key) => board.activeOf(key),
      }),
    ],
    events: bus,
    hooks: {
      run: async () => ({ ok: true }),
      runLater: () => undefined,
      close: async () => undefined,
    },
    probe: createProbe(fetch),
    policyOf: () => samplePolicy(),
    keyOf: (label) => label,
    defaultKey: "shop",
    hold: {
      maxMs: options.holdMs ?? 5000,
      graceMs: 1000,
      maxPerApp: 10,
      maxTotal: 20,
      maxUploads: 5,
    },
    showAppOutput: "local",
    isStopping: () => false,
    admin,
    whyKept: (app) => board.whyAwake(app),
    onApps: () => board.attend(core.table.all()),
  });
  let engine: Engine | null = null;
  const board: Switchboard = createSwitchboard({
    clock,
    random: Math.random,
    log,
    events: bus,
    lifecycle: core.lifecycle,
    store,
    policyOf: () => policy,
    fetch,
    newId: () => crypto.randomUUID(),
    onPause: (app) => core.gate.resumed(app),
    carrier: () => engine?.carrier ?? null,
  });
  const handle = createAdminApp({
    switchboard: board,
    apps: () => core.table.all(),
    findApp: (key) => core.table.byKey(key),
    soleApp: admin.soleApp,
    policyOf: () => policy,
    ownPort: () => engine?.port ?? null,
    now: clock.now,
    startedMs: clock.now(),
    isFast: options.isFast ?? false,
    upstreamSockets: () => null,
    stores: () => options.stores ?? sampleStores(),
    providers: () => options.providers ?? [{ name: "ports", trouble: null }],
    webhooks: () => options.webhooks ?? [],
    access: { isReady: core.isReady, isToken: createTokenCheck(admin) },
    log,
  });
  await core.reconciler.run({ kind: "start", detail: "a test" });
  engine = (options.createEngine ?? createSocketEngine)({
    host: "127.0.0.1",
    port: 0,
    handler: core.handler,
    clock,
    log,
    limits: {
      http2: false,
      keepAliveMs: 5000,
      headersTimeoutMs: 6000,
      headBytesMax: 65_536,
      bodyBytesMax: null,
    },
    certificates: null,
    upstream: {
      connectTimeoutMs: 1000,
      timeoutMs: null,
      keepAlive: true,
      keepAliveMs: 60_000,
      socketsMax: 1024,
    },
    forwarded: { enabled: true, trustedProxies: [] },
    newRequestId: () => "made-for-a-test",
    withoutSecrets: createWithoutSecrets(admin),
  });
  const { socketPath } = admin;
  const listener: AdminListener | null =
    socketPath === null ? null : await listenForAdmin({ socketPath, handle });
  const { port } = engine;
  const started = engine;
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    app: core.table.byKey("shop") ?? raise(new Error("there is no app")),
    board,
    events,
    lines,
    stateFile,
    socketPath: socketPath ?? "",
    admin: (path, init) => handle(new Request(`http://admin${path}`, init)),
    eventsNamed: (name) => events.filter((event) => event.name === name),
    async [Symbol.asyncDispose]() {
      core.unwatch();
      await started.stop(0);
      await listener?.close();
      await board.close();
      await shared?.close();
      await core.lifecycle.close();
      await file.close();
      folder[Symbol.dispose]();
    },
  };
}

function raise(error: unknown): never {
  throw error;
}
