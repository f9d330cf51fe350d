/** Two to four instances, each a whole core, over one registry and the same platforms; and all that can befall them. */

import type { App } from "../../src/app.ts";
import { refKey } from "../../src/app.ts";
import { type Core, createCore } from "../../src/core.ts";
import type { Admission, Decision, Exchange } from "../../src/engines/engine.ts";
import type { PaastisEvent } from "../../src/events.ts";
import { createEventBus } from "../../src/events.ts";
import type { Log } from "../../src/log.ts";
import { createPeerListener, letGoOfStopping } from "../../src/peer-listener.ts";
import type { Peers } from "../../src/peers.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { createRedisRegistry } from "../../src/registry/redis.ts";
import type { Registry } from "../../src/registry/registry.ts";
import type { Chance } from "../support/random.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { createLife, type Life } from "./life.ts";
import type { ScriptedPlatform } from "./scripted-platform.ts";
import { type Cut, createHub, type Hub, LIFE_MS, type Link } from "./shared-registry.ts";
import { type Fate, headFor, policyFor } from "./world.ts";

/** One run of one instance. */
export interface Run {
  readonly name: string;
  readonly life: Life;
  readonly link: Link;
  readonly core: Core;
  readonly peers: Peers;
  readonly startedMs: number;
  /** Calls under way when it was killed are done by the platform all the same. */
  lands: boolean;
  /** It takes requests. */
  isOpen: boolean;
  /** When something that it cannot help began, and ended; newest last. */
  readonly faults: Fault[];
}

interface Fault {
  readonly kind: "frozen" | "cut" | "killed" | "flushed";
  readonly fromMs: number;
  toMs: number | null;
}

/** A request on its way through an app. */
interface Use {
  readonly run: Run;
  readonly key: string;
  readonly origin: string;
  readonly fromMs: number;
}

/** A wake or sleep call, from the moment it is made until the platform has dealt with it. */
interface Call {
  readonly run: Run;
  readonly kind: "wake" | "sleep";
  readonly fromMs: number;
  /** It ends what a failed wake has left. */
  readonly isHalfStarted: boolean;
}

export interface SeveralWorld {
  readonly hub: Hub;
  readonly platforms: readonly ScriptedPlatform[];
  readonly names: readonly string[];
  readonly fates: Fate[];
  readonly told: string[];
  readonly violations: string[];
  readonly trace: string[];
  /** `null`: it is down. */
  run(name: string): Run | null;
  request(name: string, key: string, how?: { navigation?: boolean; serviceMs?: number }): void;
  disconnect(): void;
  sweep(name: string): void;
  commandSleep(name: string, key: string, drainMs: number): void;
  commandWake(name: string, key: string): void;
  freeze(name: string): void;
  thaw(name: string): void;
  cut(name: string, how: Cut): void;
  heal(name: string): void;
  kill(name: string): void;
  start(name: string): void;
  flush(): void;
  /** Says that an app is never to be put to sleep, or that it may be again. */
  setNever(key: string, isNever: boolean): void;
  held(): number;
  /** Two leaders are wrong, unless the registry has just lost who leads. */
  checkLeaders(): void;
}

/** How long what a fault has brought about may go on after it, ms. */
const AFTERMATH_MS = 45_000;

export function createSeveralWorld(deps: {
  readonly clock: VirtualClock;
  readonly chance: Chance;
  readonly platforms: readonly ScriptedPlatform[];
  readonly count: number;
  /** Longest time on the way to the registry, or back. */
  readonly delayMs: number;
}): SeveralWorld {
  const { clock, chance, platforms, count } = deps;
  const names = ["a", "b", "c", "d"].slice(0, count);
  const runs = new Map<string, Run>();
  const fates: Fate[] = [];
  const told: string[] = [];
  const violations: string[] = [];
  const trace: string[] = [];
  /** By app: where and when uses of it ended last. */
  const lastEnds = new Map<string, Map<Run, number>>();
  const never = new Set<string>();
  const calls = new Map<string, Set<Call>>();
  /** Requests that an app is answering. */
  const inside = new Set<Use>();
  const leavers = new Map<number, { readonly run: Run; readonly leave: () => void }>();
  const watches = chance.happens(0.5);
  const startMs = clock.now();
  /** By app: when it was last asked whether it may be stopped. */
  const askedMs = new Map<string, number>();

  function note(text: string): void {
    trace.push(`${String(clock.now() - startMs).padStart(8)} ${text}`);
  }

  const hub = createHub({
    ...deps,
    isCluster: chance.happens(0.3),
    onSaid(from, channel, text) {
      if (channel.endsWith("beats")) return;
      const message = JSON.parse(text);
      if (message.question) askedMs.set(refKey(message.question.ref), clock.now());
      const said = textOf(channel, message);
      if (said !== null) note(`${from} says ${said}`);
    },
  });

  function wrong(text: string): void {
    note(`!!! ${text}`);
    violations.push(text);
  }

  function faultsOf(run: Run, sinceMs: number): readonly Fault[] {
    return run.faults.filter(({ toMs }) => toMs === null || toMs >= sinceMs);
  }

  /** Whether something that this run could not help explains that another did what was its to do. */
  function isExcused(call: Call): boolean {
    return faultsOf(call.run, call.fromMs - AFTERMATH_MS).some(({ kind, fromMs, toMs }) => {
      if (kind === "killed" || kind === "flushed") return true;
      // Whoever cannot reach the registry wakes without asking, and ends what comes of that.
      if (kind === "cut" && (call.kind === "wake" || call.isHalfStarted)) return true;
      return (toMs ?? clock.now()) - fromMs >= LIFE_MS - 2000;
    });
  }

  /** It may have woken an app without asking. */
  function isCutLately(run: Run): boolean {
    return faultsOf(run, clock.now() - AFTERMATH_MS).some(({ kind }) => kind === "cut");
  }

  function stateOf(run: Run, key: string): string {
    return run.core.table.known().find(({ ref }) => refKey(ref) === key)?.state.kind ?? "";
  }

  function beginCall(run: Run, kind: Call["kind"], key: string): () => void {
    const isHalfStarted = stateOf(run, key) === "waking";
    const call: Call = { run, kind, fromMs: clock.now(), isHalfStarted };
    const under = calls.get(key) ?? new Set();
    calls.set(key, under);
    note(`${run.name} calls ${kind} of ${key}`);
    for (const other of under) {
      if (isExcused(call) || isExcused(other)) continue;
      wrong(`${run.name} calls ${kind} of ${key} during ${other.kind} by ${other.run.name}`);
    }
    under.add(call);
    return () => under.delete(call);
  }

  /** The provider as a run of the program sees it. */
  function viewOf(platform: ScriptedPlatform, run: Run): Provider {
    const { life } = run;
    const inner = platform.provider({
      isAlive: () => life.isAlive() || run.lands,
      watches,
      ownClock: life.clock,
      onSleep: (id) => checkStop(run, platform, id),
    });
    const keyOf = (id: string) => refKey({ provider: platform.name, id });
    return {
      ...inner,
      list: (signal) => life.hear(inner.list(signal)),
      observe: (id, signal) => life.hear(inner.observe(id, signal)),
      takeSnapshot: (id, signal) => life.hear(inner.takeSnapshot(id, signal)),
      poll: (id, operation, signal) => life.hear(inner.poll(id, operation, signal)),
      wake(id, snapshot, signal) {
        const end = beginCall(run, "wake", keyOf(id));
        return life.hear(inner.wake(id, snapshot, signal).finally(end));
      },
      sleep(id, snapshot, signal) {
        const end = beginCall(run, "sleep", keyOf(id));
        return life.hear(inner.sleep(id, snapshot, signal).finally(end));
      },
      ...(inner.watch === undefined
        ? {}
        : {
            watch: (watcher) =>
              inner.watch?.({
                notice: (notice) => life.deliver(() => watcher.notice(notice)),
                listAgain: () => life.deliver(() => watcher.listAgain()),
              }) ?? (() => undefined),
          }),
    };
  }

  function checkStop(run: Run, { name: provider }: ScriptedPlatform, id: string): void {
    const key = refKey({ provider, id });
    const app = run.core.table.byRef({ provider, id });
    note(`${run.name} sends the stop of ${key} (${app?.state.kind})`);
    if (app === null) return;
    // What a failed wake left half-started is stopped while those who asked for it, or use what links to it, still wait.
    const under = [...(calls.get(key) ?? [])].findLast((call) => call.run === run);
    const isHalfStarted = under?.isHalfStarted === true;
    const linked = isHalfStarted ? [] : app.linkedFrom.map((user) => refKey(user.ref));
    for (const use of inside) {
      if (!answers(use.origin) || !hub.isHeardOf(use.run.name)) continue;
      // What links to it, and was asked for after all had let go of it, has it woken again afterwards.
      const isLinked = linked.includes(use.key) && use.fromMs < (askedMs.get(key) ?? clock.now());
      if (isHalfStarted && isCutLately(use.run)) continue;
      if (use.key === key || isLinked)
        wrong(`${key} was stopped while ${use.run.name} used ${use.key}`);
    }
    if (isHalfStarted) return;
    const isFlushed = faultsOf(run, clock.now() - 15_000).some(({ kind }) => kind === "flushed");
    const holder = hub.holderOf(key);
    if (!isFlushed && (holder?.instance !== run.name || holder.fence !== app.fence)) {
      wrong(`${key} was stopped by ${run.name}, which has no right to (${JSON.stringify(holder)})`);
    }
  }

  /** A sweep has decided, and all have let go. */
  function checkDecision(run: Run, { app: key, ref, cause }: PaastisEvent): void {
    const app = run.core.table.byRef(ref);
    if (app === null || cause.kind !== "sweep") return;
    if (never.has(key)) wrong(`${key} was stopped although its settings say never`);
    const users = [app, ...app.linkedFrom].map((user) => refKey(user.ref));
    const ends = users.flatMap((user) => [...(lastEnds.get(user) ?? [])]);
    // A use that nobody was told of in time counts for those who know of it.
    const known = ends.filter(([user, endMs]) => faultsOf(user, endMs - 2000).length === 0);
    const unusedMs = clock.now() - Math.max(run.startedMs, ...known.map(([, endMs]) => endMs));
    if (unusedMs < (app.policy.maxIdleMs ?? 0)) {
      wrong(`${refKey(ref)} was stopped ${unusedMs} ms after its last use`);
    }
  }

  function start(name: string): void {
    const life = createLife(clock);
    const link = hub.link(name, life);
    const { connection } = link;
    const log = logOf((text) => wrong(`${name}: ${text}`));
    const { registry, peers } = createRedisRegistry({
      ...{ connection, self: name, clock: life.clock, log, random: chance.next },
    });
    const about = {
      name,
      life,
      link,
      peers,
      startedMs: clock.now(),
      lands: false,
      isOpen: false,
      faults: [],
    };
    // Providers are handed the run, and are asked for nothing before it has its core.
    const run = about as unknown as Run;
    const core = buildCore({
      life,
      chance,
      platforms,
      registry,
      peers,
      providers: platforms.map((platform) => viewOf(platform, run)),
      isNever: (key) => never.has(key),
      onEvent(event) {
        if (!life.isAlive()) return;
        if (event.name === "APP_STOPPING") checkDecision(run, event);
        note(
          `${name} ${event.name} ${refKey(event.ref)} ${event.cause.kind} ${event.reason ?? ""}`,
        );
      },
      wrong: (text) => wrong(`${name}: ${text}`),
    });
    Object.assign(run, { core });
    runs.set(name, run);
    note(`${name} starts`);
    void begin(run, registry);
  }

  async function begin(run: Run, registry: Registry): Promise<void> {
    const { core, peers, life } = run;
    const listener = createPeerListener({
      ...core,
      registry,
      askSoon: core.reconciler.askSoon,
      clock: life.clock,
      log: logOf((text) => wrong(text)),
    });
    try {
      const { records } = await registry.load();
      core.reconciler.restore(records);
      letGoOfStopping(core, records);
    } catch {
      // What it knows is taken up when it can be reached.
    }
    await peers.join(listener);
    void core.reconciler.run({ kind: "start", detail: "start" });
    run.isOpen = true;
  }

  function answers(origin: string): boolean {
    return platforms.some((platform) => platform.answers(origin));
  }

  function request(
    name: string,
    key: string,
    { navigation = false, serviceMs = 0 }: { navigation?: boolean; serviceMs?: number } = {},
  ): void {
    const run = runs.get(name);
    if (run === undefined || !run.isOpen) return;
    const { life, core } = run;
    const number = fates.push("open") - 1;
    const settle = (fate: Fate) => {
      if (fates[number] !== "open") wrong(`request ${number} was settled twice`);
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
      const leave = () => {
        hasLeft = true;
        settle("left");
        life.deliver(admission.abandon);
      };
      leavers.set(number, { run, leave });
      void admission.decision.then((decision: Decision) => {
        if (!hasLeft && life.isAlive()) carry(decision);
      });
    };
    const forward = (exchange: Exchange): void => {
      if (!answers(exchange.target.origin)) {
        const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
        carry(core.handler.failed(exchange, failure));
        return;
      }
      const key = refKey(exchange.app.ref);
      const use = { run, key, origin: exchange.target.origin, fromMs: clock.now() };
      inside.add(use);
      let isOver = false;
      const finish = (fate: Fate) => {
        if (isOver || !life.isAlive()) return;
        isOver = true;
        const ends = lastEnds.get(key) ?? new Map<Run, number>();
        lastEnds.set(key, ends.set(run, clock.now()));
        inside.delete(use);
        settle(fate);
        life.deliver(() => core.handler.release(exchange));
      };
      leavers.set(number, { run, leave: () => finish("left") });
      clock.after(serviceMs, () => finish("served"));
    };
    note(`request ${number} for ${key} at ${name}`);
    // A program that does not run at the moment takes it later, unless the client has left by then.
    leavers.set(number, { run, leave: () => settle("left") });
    life.deliver(() => {
      if (fates[number] === "open") carry(core.handler.admit(headFor(key, navigation)));
    });
  }

  function fault(run: Run | undefined, kind: Fault["kind"], toMs: number | null = null): void {
    if (run === undefined) return;
    run.faults.push({ kind, fromMs: clock.now(), toMs });
    forgive();
  }

  /** Whoever takes over does not know what the other has done. */
  function forgive(): void {
    for (const machine of platforms.flatMap(({ machines }) => [...machines.values()])) {
      machine.wakesAllowed += count;
    }
  }

  function endFault(run: Run | undefined, kind: Fault["kind"]): void {
    const open = run?.faults.findLast((one) => one.kind === kind && one.toMs === null);
    if (open !== undefined) open.toMs = clock.now();
  }

  return {
    hub,
    platforms,
    names,
    fates,
    told,
    violations,
    trace,
    run: (name) => runs.get(name) ?? null,
    request,
    disconnect() {
      const open = [...leavers.values()];
      if (open.length > 0) chance.oneOf(open).leave();
    },
    sweep(name) {
      const run = runs.get(name);
      run?.life.deliver(() => void run.core.sweeper.sweep());
    },
    commandSleep(name, key, drainMs) {
      const run = runs.get(name);
      run?.life.deliver(() => {
        const app = run.core.table.byKey(key);
        const cause = { kind: "command", detail: "sleep" } as const;
        if (app !== null)
          void run.core.lifecycle.sleep(app, { cause, drainMs, unusedSinceMs: null });
      });
    },
    commandWake(name, key) {
      const run = runs.get(name);
      run?.life.deliver(() => {
        const app = run.core.table.byKey(key);
        if (app !== null) void run.core.lifecycle.wake(app, { kind: "command", detail: "wake" });
      });
    },
    freeze(name) {
      const run = runs.get(name);
      if (run === undefined || run.life.isFrozen()) return;
      note(`${name} is frozen`);
      run.life.freeze();
      fault(run, "frozen");
    },
    thaw(name) {
      const run = runs.get(name);
      if (run?.life.isFrozen() !== true) return;
      note(`${name} goes on`);
      run.life.thaw();
      endFault(run, "frozen");
    },
    cut(name, how) {
      const run = runs.get(name);
      if (run === undefined || run.link.isCut()) return;
      note(`${name} is cut off (${how})`);
      run.link.cut(how);
      fault(run, "cut");
    },
    heal(name) {
      const run = runs.get(name);
      if (run?.link.isCut() !== true) return;
      note(`${name} is reached again`);
      run.link.heal();
      endFault(run, "cut");
      forgive();
    },
    kill(name) {
      const run = runs.get(name);
      if (run === undefined) return;
      note(`${name} is killed`);
      fault(run, "killed", clock.now());
      run.lands = chance.happens(0.5);
      run.life.kill();
      void run.core.lifecycle.close();
      runs.delete(name);
      // Clients of a killed program see their connections break.
      for (const [number, { run: theirs }] of leavers) {
        if (theirs !== run) continue;
        fates[number] = "left";
        leavers.delete(number);
      }
      for (const use of inside) if (use.run === run) inside.delete(use);
      if (!run.lands) {
        for (const under of calls.values()) {
          for (const call of under) if (call.run === run) under.delete(call);
        }
      }
    },
    start,
    flush() {
      note("the registry is flushed");
      hub.flush();
      for (const run of runs.values()) fault(run, "flushed", clock.now());
    },
    setNever(key, isNever) {
      if (isNever) never.add(key);
      else never.delete(key);
      for (const run of runs.values()) run.life.deliver(() => run.core.reconciler.applyPolicies());
    },
    checkLeaders() {
      const leaders = [...runs.values()].filter((run) => {
        const isExcusedNow = faultsOf(run, clock.now() - LIFE_MS).some(
          ({ kind }) => kind === "flushed",
        );
        return !run.life.isFrozen() && !isExcusedNow && run.peers.isLeader();
      });
      if (leaders.length > 1) wrong(`${leaders.map(({ name }) => name).join(" and ")} both lead`);
    },
    held: () => [...runs.values()].reduce((sum, { core }) => sum + core.gate.held(), 0),
  };
}

/** What nobody should ever read is a fault; that the registry is away is none. */
function logOf(wrong: (text: string) => void): Log {
  return {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error(fields: object, message: string) {
      const isExpected = message === "could not be stored" || message === "could not be given up";
      if (!isExpected) wrong(`logged: ${message} ${JSON.stringify(fields)}`);
    },
  };
}

function buildCore(deps: {
  readonly life: Life;
  readonly chance: Chance;
  readonly platforms: readonly ScriptedPlatform[];
  readonly registry: Registry;
  readonly peers: Peers;
  readonly providers: readonly Provider[];
  readonly isNever: (key: string) => boolean;
  readonly onEvent: (event: PaastisEvent) => void;
  readonly wrong: (text: string) => void;
}): Core {
  const { life, chance, platforms, registry, peers, providers, wrong } = deps;
  const { clock } = life;
  const log = logOf(wrong);
  const events = createEventBus({
    now: clock.now,
    random: chance.next,
    onListenerError: (error) => wrong(String(error)),
  });
  events.subscribe(deps.onEvent);
  return createCore({
    clock,
    random: chance.next,
    log,
    registry,
    peers,
    providers,
    events,
    hooks: {
      run: async () => ({ ok: true }),
      runLater: () => undefined,
      close: async () => undefined,
    },
    probe: ({ target }) =>
      life.hear(
        (async () => {
          const healthy = platforms.some((platform) => platform.answers(target.origin));
          return { healthy, saw: healthy ? "200" : "refused" };
        })(),
      ),
    policyOf: ({ key }) => policyFor(key, deps.isNever(key)),
    keyOf: (label) => label,
    defaultKey: null,
    showAppOutput: "local",
    hold: { maxMs: 25_000, graceMs: 1000, maxPerApp: 500, maxTotal: 1000, maxUploads: 100 },
    isStopping: () => false,
  });
}

/** For the trace; `null`: not worth a line. */
// biome-ignore lint/suspicious/noExplicitAny: it is only shown
function textOf(channel: string, { record, question, id, why }: any): string | null {
  if (record) return `${refKey(record.ref)} is ${record.phase}, fence ${record.fence}`;
  if (question) return `may I stop ${refKey(question.ref)}, fence ${question.fence}? (${id})`;
  return channel.endsWith("answers") ? `to ${id}: ${why ?? "yes"}` : null;
}

/** The apps of one instance, as it sees them. */
export function appOf(run: Run, platform: ScriptedPlatform, id: string): App | null {
  return run.core.table.byRef({ provider: platform.name, id });
}
