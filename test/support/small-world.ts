/** The whole core around one stub provider, under a virtual clock: one app at a time, and every step in sight. */

import type { App, Policy } from "../../src/app.ts";
import type { HoldLimits } from "../../src/config.ts";
import type { Core, CoreDeps } from "../../src/core.ts";
import { createCore } from "../../src/core.ts";
import type { PaastisEvent } from "../../src/events.ts";
import { createEventBus } from "../../src/events.ts";
import type { HookCall, HookName, HookResult } from "../../src/hooks.ts";
import { createMemoryRegistry } from "../../src/registry/memory.ts";
import type { Registry } from "../../src/registry/registry.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { sampleApp, samplePolicy } from "./sample-app.ts";
import { createStubProvider, type StubProvider } from "./stub-provider.ts";
import { createVirtualClock, type VirtualClock } from "./virtual-clock.ts";

export interface SmallWorld {
  readonly clock: VirtualClock;
  readonly provider: StubProvider;
  readonly core: Core;
  readonly registry: Registry;
  readonly events: readonly PaastisEvent[];
  readonly lines: readonly LogLine[];
  /** What hooks were run, in order. */
  readonly hooksRun: { readonly name: HookName; readonly call: HookCall }[];
  /** How the next hooks end; ok where nothing is said. */
  readonly hooks: Partial<Record<HookName, (call: HookCall) => Promise<HookResult>>>;
  /** Origins that answer; `null`: whatever is up does. */
  answering: ReadonlySet<string> | null;
  /** Changes policies by key; takes effect with the next `add` or `applyPolicies`. */
  readonly policies: Map<string, Partial<Policy>>;
  isStopping: boolean;
  /** Puts an app of provider `stub` into the table. */
  add(key: string, changes?: Partial<App>): App;
  /** Names of an app's events so far. */
  eventsOf(key: string): readonly string[];
}

export function createSmallWorld(
  options: {
    readonly provider?: StubProvider;
    readonly providers?: readonly StubProvider[];
    readonly registry?: Registry;
    readonly hold?: Partial<HoldLimits>;
    readonly random?: () => number;
    readonly deps?: Partial<CoreDeps>;
  } = {},
): SmallWorld {
  const clock = createVirtualClock();
  const provider = options.provider ?? options.providers?.[0] ?? createStubProvider();
  const providers = options.providers ?? [provider];
  const registry = options.registry ?? createMemoryRegistry();
  const { log, lines } = recordingLog();
  const events: PaastisEvent[] = [];
  const bus = createEventBus({
    now: clock.now,
    random: () => 0.5,
    onListenerError(error) {
      throw error;
    },
  });
  bus.subscribe((event) => events.push(event));
  const hooksRun: SmallWorld["hooksRun"] = [];
  const hooks: SmallWorld["hooks"] = {};
  const policies: SmallWorld["policies"] = new Map();
  const policyOf = ({ key }: { readonly key: string }) => samplePolicy(policies.get(key) ?? {});
  const core = createCore({
    clock,
    random: options.random ?? (() => 0.5),
    log,
    registry,
    providers,
    events: bus,
    hooks: {
      async run(name, call) {
        hooksRun.push({ name, call });
        return (await hooks[name]?.(call)) ?? { ok: true };
      },
      runLater(name, call) {
        hooksRun.push({ name, call });
      },
      close: async () => undefined,
    },
    async probe({ target, signal }) {
      signal.throwIfAborted();
      const id = new URL(target.origin).hostname.replace(".test", "");
      const healthy =
        world.answering?.has(target.origin) ?? providers.some((one) => one.up.has(id));
      return { healthy, saw: healthy ? "status 200 from /" : "connection refused" };
    },
    policyOf,
    keyOf: (label) => label,
    defaultKey: null,
    hold: {
      maxMs: 25_000,
      graceMs: 1000,
      maxPerApp: 10,
      maxTotal: 20,
      maxUploads: 5,
      ...options.hold,
    },
    showAppOutput: "always",
    isStopping: () => world.isStopping,
    ...options.deps,
  });
  const world: SmallWorld = {
    clock,
    provider,
    core,
    registry,
    events,
    lines,
    hooksRun,
    hooks,
    answering: null,
    policies,
    isStopping: false,
    add(key, changes = {}) {
      const app = sampleApp(key, { idleSinceMs: clock.now(), ...changes });
      core.table.add(app);
      provider.ids.add(key);
      if (app.state.kind === "awake") provider.up.add(key);
      core.reconciler.applyPolicies();
      return app;
    },
    eventsOf: (key) => events.filter((event) => event.app === key).map(({ name }) => name),
  };
  return world;
}
