/** The whole core, from admission to provider calls, in a world where time and chance are scripted. */

import { isInUse } from "../../src/activity.ts";
import type { App, Policy } from "../../src/app.ts";
import { refKey } from "../../src/app.ts";
import type { Clock } from "../../src/clock.ts";
import { createCore } from "../../src/core.ts";
import type { Admission, Decision, Exchange, RequestHead } from "../../src/engines/engine.ts";
import type { PaastisEvent } from "../../src/events.ts";
import { createEventBus } from "../../src/events.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { createMemoryRegistry } from "../../src/registry/memory.ts";
import type { AppRecord, Registry } from "../../src/registry/registry.ts";
import type { Chance } from "../support/random.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { ScriptedPlatform } from "./scripted-platform.ts";
import { createScriptedPlatform } from "./scripted-platform.ts";

export const MAX_IDLE_MS = 30_000;
/** What people ask for: keys, aliases, and what nobody is called. */
export const LABELS = ["alpha", "beta", "gamma", "delta", "app-3", "app-4"] as const;
/** Names that apps are given; `gamma` alone has another policy, and keeps its name. */
export const NAMES = ["alpha", "beta", "delta"] as const;

/** Two platforms: one whose list has states, and one whose list has none, with an app of the same name. */
export function createPlatforms(deps: { readonly clock: Clock; readonly chance: Chance }) {
  const first = createScriptedPlatform({
    ...deps,
    name: "first",
    listHasState: true,
    firstPort: 20_000,
    apps: ["alpha", "beta", "gamma"].map((id) => ({ id, key: id })),
  });
  const second = createScriptedPlatform({
    ...deps,
    name: "second",
    listHasState: false,
    firstPort: 40_000,
    apps: [
      { id: "id-3", key: "alpha", aliases: ["app-3"] },
      { id: "id-4", key: "delta", aliases: ["app-4"] },
    ],
  });
  return [first, second] as const;
}

/** What became of one request. */
export type Fate = "open" | "served" | "told" | "left";

export interface World {
  readonly platforms: readonly ScriptedPlatform[];
  readonly events: PaastisEvent[];
  readonly fates: Fate[];
  /** What Paastis said itself, in order. */
  readonly told: string[];
  request(key: string, options?: { navigation?: boolean; serviceMs?: number }): void;
  /** The client of some open request leaves. */
  disconnect(): void;
  sweep(): void;
  commandSleep(key: string, drainMs: number): void;
  commandWake(key: string): void;
  vetoStops(isOn: boolean): void;
  /** kill -9, then a new start from what the registry holds. */
  restart(): Promise<void>;
  /** The app that a label leads to. */
  app(key: string): App | null;
  appOf(platform: ScriptedPlatform, id: string): App | null;
  /** Says whose app has a key that several want; `null`: the order says so. */
  setRule(key: string, provider: string | null): void;
  /** Says that an app is never to be put to sleep, or that it may be again. */
  setNever(key: string, isNever: boolean): void;
  /** What the rules say about a key now. */
  ruleOf(key: string): string | null;
  held(): number;
  readonly violations: string[];
}

export async function createWorld(deps: {
  readonly clock: VirtualClock;
  readonly chance: Chance;
  readonly platforms: readonly ScriptedPlatform[];
}): Promise<World> {
  const { clock, chance, platforms } = deps;
  const registry = createMemoryRegistry();
  const events: PaastisEvent[] = [];
  const fates: Fate[] = [];
  const told: string[] = [];
  const violations: string[] = [];
  const lastEndMs = new Map<string, number>();
  const rules = new Map<string, string>();
  const never = new Set<string>();
  let startedMs = 0;
  const leavers = new Map<number, () => void>();
  const watches = chance.happens(0.5);
  let isVeto = false;
  let generation = 0;
  let core = await startCore();

  for (const platform of platforms) platform.onSleep = (id) => checkStop(platform, id);

  function checkStop({ name: provider }: ScriptedPlatform, id: string): void {
    const app = core.table.byRef({ provider, id });
    // What a failed wake left half-started is stopped while those who asked for it still wait.
    if (app === null || app.state.kind === "waking") return;
    if (core.table.byKey(app.key) !== app) violations.push(`${id} was stopped without a key`);
    if (isInUse(app)) violations.push(`${id} was stopped while in use`);
    const order = events.findLast((event) => event.ref.id === id && event.name === "APP_STOPPING");
    const maxIdleMs = app.policy.maxIdleMs ?? 0;
    if (order?.cause.kind === "sweep" && app.policy.maxIdleMs === null) {
      violations.push(`${id} was stopped although its settings say never`);
    }
    if (order?.cause.kind === "sweep" && clock.now() - unusedSince(app) < maxIdleMs) {
      violations.push(`${id} was stopped ${clock.now() - unusedSince(app)} ms after its last use`);
    }
  }

  /** By the test's own books: when the last request for the app, or for one that links to it, ended. */
  function unusedSince(app: App): number {
    const users = [app, ...app.linkedFrom];
    return Math.max(startedMs, ...users.map(({ ref }) => lastEndMs.get(refKey(ref)) ?? 0));
  }

  async function startCore() {
    let isAlive = true;
    startedMs = clock.now();
    const made = buildCore({
      clock,
      chance,
      platforms,
      registry: facade(registry, () => isAlive),
      providers: platforms.map((one) => one.provider({ isAlive: () => isAlive, watches })),
      ruleOf,
      isNever: (key) => never.has(key),
      onEvent: (event) => {
        if (isAlive) events.push(event);
      },
      isVeto: () => isVeto,
      violations,
    });
    made.reconciler.restore((await registry.load()).records);
    void made.reconciler.run({ kind: "start", detail: "start" });
    await clock.advance(2500);
    return {
      ...made,
      kill() {
        isAlive = false;
        void made.lifecycle.close();
      },
    };
  }

  function ruleOf(key: string): string | null {
    return rules.get(key) ?? null;
  }

  function answers(origin: string): boolean {
    return platforms.some((platform) => platform.answers(origin));
  }

  function request(
    key: string,
    { navigation = false, serviceMs = 0 }: { navigation?: boolean; serviceMs?: number } = {},
  ): void {
    const mine = core;
    const born = generation;
    const number = fates.push("open") - 1;
    const head = headFor(key, navigation);
    const settle = (fate: Fate) => {
      if (fates[number] !== "open") violations.push(`request ${number} was settled twice`);
      fates[number] = fate;
      leavers.delete(number);
    };
    const carry = (admission: Admission): void => {
      if (admission.kind === "answer") {
        told.push(String(admission.answer.body));
        settle("told");
        return;
      }
      if (admission.kind === "forward") {
        forward(admission);
        return;
      }
      let hasLeft = false;
      leavers.set(number, () => {
        hasLeft = true;
        admission.abandon();
        settle("left");
      });
      void admission.decision.then((decision: Decision) => {
        if (!hasLeft && born === generation) carry(decision);
      });
    };
    const forward = (exchange: Exchange): void => {
      if (!answers(exchange.target.origin)) {
        const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
        carry(mine.handler.failed(exchange, failure));
        return;
      }
      let isOver = false;
      const finish = (fate: Fate) => {
        if (isOver || born !== generation) return;
        isOver = true;
        lastEndMs.set(refKey(exchange.app.ref), clock.now());
        mine.handler.release(exchange);
        settle(fate);
      };
      leavers.set(number, () => finish("left"));
      clock.after(serviceMs, () => finish("served"));
    };
    carry(mine.handler.admit(head));
  }

  return {
    platforms,
    events,
    fates,
    told,
    violations,
    request,
    disconnect() {
      const open = [...leavers.values()];
      if (open.length > 0) chance.oneOf(open)();
    },
    sweep: () => void core.sweeper.sweep(),
    commandSleep(key, drainMs) {
      const app = core.table.byKey(key);
      const cause = { kind: "command", detail: "sleep" } as const;
      if (app !== null) void core.lifecycle.sleep(app, { cause, drainMs, unusedSinceMs: null });
    },
    commandWake(key) {
      const app = core.table.byKey(key);
      if (app !== null) void core.lifecycle.wake(app, { kind: "command", detail: "wake" });
    },
    vetoStops(isOn) {
      isVeto = isOn;
    },
    async restart() {
      generation += 1;
      core.kill();
      // The clients of a killed program see their connections break.
      for (let number = 0; number < fates.length; number += 1) {
        if (fates[number] === "open") fates[number] = "left";
      }
      leavers.clear();
      for (const machine of platforms.flatMap(({ machines }) => [...machines.values()])) {
        machine.operations = 0;
        machine.wakesAllowed += 1;
        machine.wokeUnseen = false;
      }
      await registry.close();
      core = await startCore();
    },
    app: (key) => core.table.byKey(key),
    appOf: ({ name: provider }, id) => core.table.byRef({ provider, id }),
    setRule(key, provider) {
      if (provider === null) rules.delete(key);
      else rules.set(key, provider);
      core.reconciler.applyPolicies();
    },
    setNever(key, isNever) {
      if (isNever) never.add(key);
      else never.delete(key);
      core.reconciler.applyPolicies();
    },
    ruleOf,
    held: () => core.gate.held(),
  };
}

function buildCore(deps: {
  readonly clock: VirtualClock;
  readonly chance: Chance;
  readonly platforms: readonly ScriptedPlatform[];
  readonly registry: Registry;
  readonly providers: readonly Provider[];
  readonly ruleOf: (key: string) => string | null;
  readonly isNever: (key: string) => boolean;
  readonly onEvent: (event: PaastisEvent) => void;
  readonly isVeto: () => boolean;
  readonly violations: string[];
}) {
  const { clock, chance, platforms, registry, providers, ruleOf, violations } = deps;
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error(fields: object, message: string) {
      violations.push(`logged: ${message} ${JSON.stringify(fields)}`);
    },
  };
  const events = createEventBus({
    now: clock.now,
    random: chance.next,
    onListenerError: (error) => violations.push(String(error)),
  });
  events.subscribe(deps.onEvent);
  return createCore({
    clock,
    random: chance.next,
    log,
    registry,
    providers,
    events,
    hooks: {
      async run(name) {
        return name === "beforeStop" && deps.isVeto() ? { ok: false, why: "veto" } : { ok: true };
      },
      runLater: () => undefined,
      close: async () => undefined,
    },
    async probe({ target }) {
      const healthy = platforms.some((platform) => platform.answers(target.origin));
      return { healthy, saw: healthy ? "200" : "refused" };
    },
    policyOf: ({ key }) => policyFor(key, deps.isNever(key)),
    seatRuleOf(key) {
      const provider = ruleOf(key);
      return provider === null ? null : { provider, rule: "rules[0]" };
    },
    keyOf: (label) => label,
    defaultKey: null,
    showAppOutput: "local",
    hold: { maxMs: 25_000, graceMs: 1000, maxPerApp: 50, maxTotal: 100, maxUploads: 100 },
    isStopping: () => false,
  });
}

/** alpha links to beta, beta to alpha again; gamma stands alone. */
export function policyFor(key: string, isNever: boolean): Policy {
  const linkedKeys = { alpha: ["beta"], beta: ["alpha"] }[key as "alpha"] ?? [];
  return {
    maxIdleMs: isNever ? null : key === "gamma" ? 0 : MAX_IDLE_MS,
    linkedKeys,
    health: { path: null },
    wakeTimeoutMs: null,
    preserveHost: false,
    tlsVerify: true,
    tlsCa: null,
    ignored: false,
    ignore: null,
    keepAwake: null,
    forceSleep: null,
    busyUrl: null,
    keepAwakeHeaderMaxMs: null,
    websocketMaxQuietMs: null,
    hooks: null,
  };
}

export function headFor(key: string, navigation: boolean): RequestHead {
  const accept = navigation ? "text/html" : "application/json";
  return {
    method: "GET",
    target: "/",
    host: `${key}.example`,
    clientAddress: "192.0.2.1",
    header: (name) => (name === "accept" ? accept : null),
  };
}

/** The registry as one run of the program sees it: nothing is written or answered after it was killed. */
function facade(registry: Registry, isAlive: () => boolean): Registry {
  async function whileAlive<T>(work: () => Promise<T>): Promise<T> {
    if (!isAlive()) await new Promise(() => undefined);
    return work();
  }
  return {
    load: () => whileAlive(() => registry.load()),
    save: (record: AppRecord) => whileAlive(() => registry.save(record)),
    remove: (ref) => whileAlive(() => registry.remove(ref)),
    touch: (uses) => whileAlive(() => registry.touch(uses)),
    async claim(ref, known) {
      const claim = await whileAlive(() => registry.claim(ref, known));
      return claim && { ...claim, release: () => whileAlive(() => claim.release()) };
    },
    close: async () => undefined,
  };
}
