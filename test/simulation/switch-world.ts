/** The core and its switchboard around two apps with several versions each, under a virtual clock. */

import type { App, Pause, Policy } from "../../src/app.ts";
import { addressOf, targetOf } from "../../src/app.ts";
import { type Core, createCore } from "../../src/core.ts";
import type { Carrier } from "../../src/engines/carrier.ts";
import type { Admission, Exchange, Held, RequestHead } from "../../src/engines/engine.ts";
import { createEventBus, type PaastisEvent } from "../../src/events.ts";
import { createPortsProvider } from "../../src/providers/ports.ts";
import { createMemoryRegistry } from "../../src/registry/memory.ts";
import type { Registry } from "../../src/registry/registry.ts";
import { attendApps } from "../../src/serve-admin.ts";
import type { SwitchOutcome } from "../../src/switch-context.ts";
import type { DrainManner, SwitchPolicy } from "../../src/switch-policy.ts";
import { afterLoss, afterTime, NEVER_SWITCHED } from "../../src/switch-record.ts";
import { openSwitchStore } from "../../src/switch-store.ts";
import { createSwitchboard, type Switchboard } from "../../src/switchboard.ts";
import type { Chance } from "../support/random.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { createDen, type Den } from "./den.ts";
import { createInMemoryStateFile, type Disk } from "./in-memory-state-file.ts";
import { createVersions, GATE, type Version, type Versions } from "./versions.ts";

/** `shop` is started by somebody else; `den` by the program, which puts it to sleep. */
export const KEYS = ["shop", "den"] as const;
export type Key = (typeof KEYS)[number];

const PORTS: Readonly<Record<Key, readonly number[]>> = {
  shop: [8001, 8002, 8003],
  den: Array.from({ length: 40 }, (_, index) => 9001 + index),
};
/** What is over is forgotten so long after its end at most: the pause between two looks, and a gate under way, ms. */
const SLACK_MS = 500 + GATE.timeoutMs + 100;
export const CHECK_EVERY_MS = 1000;
const MAX_IDLE_MS = 3000;

/** What became of one request. */
export type Fate = "open" | "served" | "told" | "left" | "closed" | "cut" | "broken";

/** One request or socket on its way. */
interface Passage {
  readonly exchange: Exchange;
  readonly isSocket: boolean;
  isClosing: boolean;
  /** When it began, a switch had said where requests go. */
  wasSwitched: boolean;
  end(fate: Fate): void;
  fail(): void;
}

/** One run of the program. */
interface Run {
  readonly core: Core;
  readonly board: Switchboard;
  readonly isAlive: () => boolean;
  kill(): void;
}

export interface SwitchWorld {
  readonly versions: Readonly<Record<Key, Versions>>;
  readonly disk: Disk;
  readonly den: Den;
  readonly fates: readonly Fate[];
  readonly events: readonly PaastisEvent[];
  readonly violations: string[];
  readonly rules: { drain: DrainManner; windowMs: number; drainMs: number };
  /** Apps that `paastis.yml` has now, and their declared ports. */
  readonly declared: Map<Key, number>;
  app(key: Key): App | null;
  request(key: Key, options: { readonly serviceMs: number; readonly isSocket: boolean }): void;
  disconnect(): void;
  /** Cuts what goes to it. */
  crash(key: Key, version: Version): void;
  switchTo(key: Key, version: Version, idempotencyKey: string | null): void;
  pause(key: Key, kind: Pause["kind"] | null): void;
  sweep(): void;
  commandSleep(key: Key): void;
  reload(): Promise<void>;
  restart(): Promise<void>;
  /** Notes what must not be. */
  look(): void;
  held(): number;
}

export async function createSwitchWorld(deps: {
  readonly clock: VirtualClock;
  readonly chance: Chance;
}): Promise<SwitchWorld> {
  const { clock, chance } = deps;
  const versions = {
    shop: createVersions(clock, PORTS.shop),
    den: createVersions(clock, PORTS.den),
  };
  const registry = createMemoryRegistry();
  const disk: Disk = { content: null, isFull: false };
  const rules: SwitchWorld["rules"] = { drain: "spread", windowMs: 10_000, drainMs: 4000 };
  const declared = new Map<Key, number>(KEYS.map((key) => [key, PORTS[key][0] ?? 0]));
  const violations: string[] = [];
  const events: PaastisEvent[] = [];
  const fates: Fate[] = [];
  const passages = new Set<Passage>();
  const leavers = new Map<number, () => void>();
  /** Addresses that were active, in order; and from where on requests may go there. */
  const actives = new Map<string, { readonly addresses: string[]; settled: number }>();
  /** By idempotency key. */
  const answers = new Map<string, { readonly to: string; readonly id: string }>();
  const wrong = (what: string): void => {
    violations.push(`${clock.now() % 1_000_000}: ${what}`);
  };
  const den = createDen({ clock, chance, pool: versions.den });

  const versionsOf = (key: string): Versions => (key === "den" ? versions.den : versions.shop);
  const activesOf = (key: string) => {
    const known = actives.get(key) ?? { addresses: [], settled: 0 };
    actives.set(key, known);
    return known;
  };
  const storedOf = (key: string) => {
    // The store has checked its shape.
    const apps = (disk.content as { apps?: Record<string, typeof NEVER_SWITCHED> } | null)?.apps;
    return apps?.[key] ?? NEVER_SWITCHED;
  };
  let run = await start();

  function onSleep(): void {
    const app = run.core.table.byKey("den");
    const why = app === null ? null : run.board.whyAwake(app);
    if (why !== null) wrong(`den was put to sleep although it ${why}`);
    if (app !== null && app.leases > 0) wrong("den was put to sleep while in use");
  }

  async function start(): Promise<Run> {
    let alive = true;
    const isAlive = () => alive;
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error(fields: object, message: string) {
        // A rollback does not wait for room on the disk.
        const isExpected = disk.isFull && message.startsWith("was switched back");
        if (alive && !isExpected) wrong(`logged: ${message} ${JSON.stringify(fields)}`);
      },
    };
    const bus = createEventBus({
      now: clock.now,
      random: chance.next,
      onListenerError: (error) => wrong(String(error)),
    });
    bus.subscribe((event) => alive && onEvent(event));
    const file = createInMemoryStateFile({ disk, clock, chance, isAlive });
    const store = openSwitchStore({ file, soleApp: null, log });
    const board = (): Switchboard => switchboard;
    const ports = createPortsProvider({
      declarations: () => {
        const port = declared.get("shop");
        if (port === undefined) return [];
        const target = targetOf(`http://127.0.0.1:${port}`);
        return [{ provider: "ports", key: "shop", target, settings: {} }];
      },
      activeOf: (key) => board().activeOf(key),
    });
    const isDeclared = () => declared.has("den");
    const processes = den.provider({ isAlive, isDeclared, onSleep });
    const core = createCore({
      clock,
      random: chance.next,
      log,
      registry: facade(registry, isAlive),
      providers: [ports, processes],
      events: bus,
      hooks: {
        run: async () => ({ ok: true }),
        runLater: () => undefined,
        close: async () => undefined,
      },
      async probe({ target }) {
        const healthy = versions.shop.answers(target.origin) || versions.den.answers(target.origin);
        return { healthy, saw: healthy ? "200" : "refused", isUnreachable: !healthy };
      },
      policyOf: ({ key }) => appPolicy(key),
      keyOf: (label) => label,
      defaultKey: null,
      showAppOutput: "local",
      hold: { maxMs: 15_000, graceMs: 1000, maxPerApp: 30, maxTotal: 50, maxUploads: 50 },
      isStopping: () => false,
      whyKept: (app) => board().whyAwake(app),
      onApps: () => attendApps(core, board()),
    });
    let ids = 0;
    const switchboard = createSwitchboard({
      clock,
      random: chance.next,
      log,
      events: bus,
      lifecycle: core.lifecycle,
      store,
      policyOf: switchPolicy,
      versionsOf: ({ key }) => (key === "den" ? processes.versions : null),
      fetch: Object.assign(ask, { preconnect: () => undefined }),
      newId: () => `${clock.now()}-${ids++}`,
      onPause: (app) => core.gate.resumed(app),
      carrier: () => (alive ? carrier : null),
    });
    core.reconciler.restore((await registry.load()).records);
    void core.reconciler.run({ kind: "start", detail: "start" });
    return {
      core,
      board: switchboard,
      isAlive,
      kill() {
        alive = false;
        core.unwatch();
        void switchboard.close();
        void core.lifecycle.close();
      },
    };
  }

  function ask(...[url, init]: Parameters<typeof fetch>): Promise<Response> {
    const key = String(url).includes(":9") ? "den" : "shop";
    return versions[key].fetch(url, init);
  }

  function switchPolicy(): SwitchPolicy {
    return {
      gate: GATE,
      hosts: [],
      ...rules,
      checkEveryMs: CHECK_EVERY_MS,
      failsMax: 3,
      traffic: { requestsMin: 10, errorRateMin: 0.1, timesWorse: 2 },
    };
  }

  function onEvent(event: PaastisEvent): void {
    events.push(event);
    // Each start of a process is at an address of its own.
    const { target } = event.details ?? {};
    if (event.app === "den" && event.name === "APP_STARTED") {
      activesOf("den").settled = activesOf("den").addresses.push(String(target)) - 1;
    }
    if (event.name !== "APP_SWITCHED" && event.name !== "APP_ROLLED_BACK") return;
    if (event.cause.kind === "outside") return;
    const { to, switch: id } = event.details ?? {};
    activesOf(event.app).addresses.push(String(to));
    const stored = storedOf(event.app);
    const mayBeLost = event.name === "APP_ROLLED_BACK" && disk.isFull;
    if (!mayBeLost && stored.lastSwitch?.id !== id)
      wrong(`${event.app}: the switch ${id} was not durable`);
    const version = versionsOf(event.app).at(String(to));
    if (version === null || clock.now() - version.healthyAtMs > GATE.timeoutMs + 100) {
      wrong(`${event.app}: ${to} was switched to, but was not healthy of late`);
    }
  }

  const carrier: Carrier = {
    carried(app, address) {
      const mine = leadingTo(app, address);
      const sockets = mine.filter(({ isSocket }) => isSocket);
      const closing = sockets.filter(({ isClosing }) => isClosing).length;
      return { requests: mine.length - sockets.length, sockets: sockets.length - closing, closing };
    },
    closeSockets(app, address, count) {
      const open = leadingTo(app, address).filter((one) => one.isSocket && !one.isClosing);
      const chosen = open.slice(0, count);
      for (const one of chosen) {
        one.isClosing = true;
        if (chance.happens(0.8)) clock.after(50, () => one.end("closed"));
      }
      return chosen.length;
    },
    cutRequests(app, address) {
      const left = leadingTo(app, address).filter(({ isSocket }) => !isSocket);
      for (const one of left) one.end("cut");
      return left.length;
    },
    cut(app, address) {
      const left = leadingTo(app, address);
      for (const one of left) one.end("cut");
      return left.length;
    },
    closeIdle: () => undefined,
  };

  function leadingTo(app: App, address: string): Passage[] {
    return [...passages].filter(
      ({ exchange }) => exchange.app === app && addressOf(exchange.target) === address,
    );
  }

  function request(
    key: Key,
    { serviceMs, isSocket }: { readonly serviceMs: number; readonly isSocket: boolean },
  ): void {
    const mine = run;
    const number = fates.push("open") - 1;
    const settle = (fate: Fate) => {
      if (fates[number] !== "open") wrong(`request ${number} was settled twice`);
      fates[number] = fate;
      leavers.delete(number);
    };
    function carry(admission: Admission): void {
      if (!mine.isAlive()) return;
      if (admission.kind === "answer") settle("told");
      else if (admission.kind === "forward") forward(admission);
      else wait(admission);
    }
    function wait(admission: Held): void {
      let hasLeft = false;
      leavers.set(number, () => {
        hasLeft = true;
        admission.abandon();
        settle("left");
      });
      void admission.decision.then((decision) => {
        if (!hasLeft) carry(decision);
      });
    }
    function forward(exchange: Exchange): void {
      const { app, target } = exchange;
      checkBegin(app, addressOf(target));
      const version = versionsOf(app.key).at(target.origin);
      if (version?.isUp !== true) {
        const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
        carry(mine.core.handler.failed(exchange, failure));
        return;
      }
      let isOver = false;
      const close = () => {
        if (isOver || !mine.isAlive()) return false;
        isOver = true;
        passages.delete(passage);
        return true;
      };
      const passage: Passage = {
        exchange,
        isSocket,
        isClosing: false,
        wasSwitched: activesOf(app.key).addresses.length > 0,
        end(fate) {
          if (!close()) return;
          mine.core.handler.release(exchange);
          settle(fate);
        },
        fail() {
          if (!close()) return;
          leavers.delete(number);
          const replayable = chance.happens(0.5);
          carry(
            mine.core.handler.failed(exchange, { kind: "broken", message: "reset", replayable }),
          );
        },
      };
      passages.add(passage);
      leavers.set(number, () => passage.end("left"));
      const { status } = version;
      const answered = mine.core.handler.answered(exchange, { status, header: () => null }, true);
      if (answered !== null) wrong("a plain answer was not passed on");
      clock.after(serviceMs, () => passage.end("served"));
    }
    carry(mine.core.handler.admit(headFor(key)));
  }

  /** Only what was active at some time since the last answer may be used. */
  function checkBegin(app: App, address: string): void {
    if (app.pause !== null) wrong(`${app.key}: a request began although it is ${app.pause.kind}`);
    const { addresses, settled } = activesOf(app.key);
    if (addresses.length === 0 || addresses.indexOf(address, settled) !== -1) return;
    wrong(`${app.key}: a request began on ${address} after its switch away was answered`);
  }

  function switchTo(key: Key, version: Version, idempotencyKey: string | null): void {
    const app = run.core.table.byKey(key);
    if (app === null) return;
    const mine = run;
    const desk = mine.board.deskOf(app);
    const { running } = desk;
    const activeBefore = desk.record.active;
    const seen = events.length;
    const askedMs = clock.now();
    // Whoever switches by hand calls a rollback off.
    const isTakenBack = desk.rollback !== null;
    const cause = { kind: "command", detail: "a test" } as const;
    const target = targetOf(version.address);
    const work =
      key === "den"
        ? mine.board.deploy(app, { cause, idempotencyKey })
        : mine.board.switchTo(app, { target, reason: "manual", cause, idempotencyKey });
    void work.then((outcome) => {
      if (!mine.isAlive()) return;
      // An earlier switch is the answer to whoever asks for it once more.
      const isNew = outcome.kind === "switched" && outcome.entry.atMs >= askedMs;
      if (isNew && running !== null && !isTakenBack && outcome.entry.id !== running.id) {
        wrong(`${key}: two switches at once`);
      }
      checkOutcome(key, { outcome, version, idempotencyKey });
      const isQuiet = !events
        .slice(seen)
        .some(({ app: other, name }) => other === key && SWAPS.has(name));
      const isSame = desk.record.active === activeBefore;
      if (isQuiet && !isSame) wrong(`${key}: ${outcome.kind}, but the active target has changed`);
    });
  }

  function checkOutcome(
    key: Key,
    asked: {
      readonly outcome: SwitchOutcome;
      readonly version: Version;
      readonly idempotencyKey: string | null;
    },
  ): void {
    const { outcome, version, idempotencyKey } = asked;
    if (outcome.kind !== "switched") return;
    const { entry } = outcome;
    if (key === "shop" && entry.to !== version.address)
      wrong(`${key}: switched to ${entry.to}, not ${version.address}`);
    const known = idempotencyKey === null ? undefined : answers.get(`${key} ${idempotencyKey}`);
    if (known !== undefined) {
      if (known.id !== entry.id) wrong(`${key}: the same key was answered with another switch`);
      return;
    }
    if (idempotencyKey !== null) answers.set(`${key} ${idempotencyKey}`, entry);
    const known2 = activesOf(key);
    known2.settled = Math.max(known2.settled, known2.addresses.lastIndexOf(entry.to));
    const stored = storedOf(key).lastSwitch;
    if (stored === null || stored.atMs < entry.atMs) wrong(`${key}: yes before it was durable`);
  }

  function look(): void {
    for (const key of KEYS) {
      const app = run.core.table.byKey(key);
      if (app === null) continue;
      lookAt(app, run.board);
    }
  }

  function lookAt(app: App, board: Switchboard): void {
    const { key, state } = app;
    const { record, running } = board.deskOf(app);
    const nowMs = clock.now();
    const active = board.activeOf(key);
    const at = active === null ? null : addressOf(active);
    if (at !== record.active) wrong(`${key}: the provider says ${at}, the record ${record.active}`);
    if (
      record.active !== null &&
      state.kind === "awake" &&
      addressOf(state.target) !== record.active
    ) {
      wrong(`${key}: requests go to ${addressOf(state.target)}, the record says ${record.active}`);
    }
    const { window, drains } = record;
    if (window !== null && window.untilMs + SLACK_MS < nowMs && running?.to !== window.back) {
      wrong(`${key}: its window is open ${nowMs - window.untilMs} ms after its end`);
    }
    for (const { address, untilMs } of drains) {
      if (untilMs + SLACK_MS < nowMs) wrong(`${key}: ${address} drains for ever`);
      if (address === record.active) wrong(`${key}: the active target drains`);
    }
    const isUp = state.kind === "awake" || state.kind === "draining";
    const upAt = isUp ? addressOf(state.target) : record.active;
    const known = new Set([upAt, ...drains.map(({ address }) => address)]);
    for (const { exchange, isClosing, wasSwitched } of passages) {
      const to = addressOf(exchange.target);
      if (exchange.app !== app || !wasSwitched || known.has(to) || isClosing) continue;
      wrong(`${key}: something is still under way to ${to}`);
    }
    if (JSON.stringify(record.pause) !== JSON.stringify(app.pause)) {
      wrong(`${key}: it is ${app.pause?.kind}, its record says ${record.pause?.kind}`);
    }
  }

  return {
    versions,
    disk,
    den,
    fates,
    events,
    violations,
    rules,
    declared,
    app: (key) => run.core.table.byKey(key),
    request,
    disconnect() {
      const open = [...leavers.values()];
      if (open.length > 0) chance.oneOf(open)();
    },
    crash(key, version) {
      if (key === "den") den.crash(version);
      version.isUp = false;
      for (const { exchange, fail } of [...passages]) {
        if (exchange.app.key === key && addressOf(exchange.target) === version.address) fail();
      }
    },
    switchTo,
    pause(key, kind) {
      const app = run.core.table.byKey(key);
      if (app === null) return;
      const sinceMs = clock.now();
      const pause: Pause | null =
        kind === "maintenance"
          ? { kind, sinceMs, message: "m" }
          : kind === null
            ? null
            : { kind, sinceMs };
      const cause = { kind: "command", detail: "a test" } as const;
      // A full disk, or an app that is gone: `look` sees whether anything has changed then.
      run.board.setPause(app, pause, cause).catch(() => undefined);
    },
    sweep: () => void run.core.sweeper.sweep(),
    commandSleep(key) {
      const app = run.core.table.byKey(key);
      if (app === null || run.board.whyAwake(app) !== null) return;
      const order = {
        cause: { kind: "command", detail: "sleep" },
        drainMs: 2000,
        unusedSinceMs: null,
      } as const;
      void run.core.lifecycle.sleep(app, order);
    },
    async reload() {
      for (const known of [...answers.keys()]) {
        if (KEYS.every((key) => declared.has(key) || !known.startsWith(`${key} `))) continue;
        answers.delete(known);
      }
      // What still goes to an app that is gone ends by itself, on whichever target.
      for (const passage of passages) {
        if (KEYS.every((key) => key !== passage.exchange.app.key || !declared.has(key))) {
          passage.wasSwitched = false;
        }
      }
      run.core.reconciler.applyPolicies();
      await run.core.reconciler.run({ kind: "reload", detail: "reload" });
    },
    async restart() {
      run.kill();
      den.killAll();
      passages.clear();
      leavers.clear();
      for (let number = 0; number < fates.length; number += 1) {
        if (fates[number] === "open") fates[number] = "left";
      }
      const stored = new Map(KEYS.map((key) => [key, structuredClone(storedOf(key))]));
      await registry.close();
      run = await start();
      actives.clear();
      await clock.advance(1);
      for (const [key, record] of stored) {
        // Of what was asked for before, only the newest switch outlives the program.
        for (const known of [...answers.keys()]) {
          const isNewest = answers.get(known)?.id === record.lastSwitch?.id;
          if (known.startsWith(`${key} `) && !isNewest) answers.delete(known);
        }
        const app = run.core.table.byKey(key);
        if (app === null) continue;
        const now = run.board.deskOf(app).record;
        const kept = afterTime(record, clock.now());
        const expected = key === "den" ? afterLoss(kept) : kept;
        if (JSON.stringify(now) !== JSON.stringify(expected)) {
          wrong(
            `${key}: after the restart ${JSON.stringify(now)} instead of ${JSON.stringify(expected)}`,
          );
        }
        if (app.pause?.kind !== record.pause?.kind) wrong(`${key}: its pause was forgotten`);
      }
    },
    look,
    held: () => run.core.gate.held(),
  };
}

const SWAPS: ReadonlySet<string> = new Set(["APP_SWITCHED", "APP_ROLLED_BACK"]);

function appPolicy(key: string): Policy {
  return {
    maxIdleMs: key === "den" ? MAX_IDLE_MS : null,
    linkedKeys: [],
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

function headFor(key: string): RequestHead {
  return {
    method: "GET",
    target: "/",
    host: `${key}.example`,
    clientAddress: "192.0.2.1",
    header: () => null,
  };
}

/** Nothing is written or answered after the program was killed. */
function facade(registry: Registry, isAlive: () => boolean): Registry {
  async function whileAlive<T>(work: () => Promise<T>): Promise<T> {
    if (!isAlive()) await new Promise(() => undefined);
    return work();
  }
  return {
    load: () => whileAlive(() => registry.load()),
    save: (record) => whileAlive(() => registry.save(record)),
    remove: (ref) => whileAlive(() => registry.remove(ref)),
    touch: (uses) => whileAlive(() => registry.touch(uses)),
    async claim(ref, known) {
      const claim = await whileAlive(() => registry.claim(ref, known));
      return claim && { ...claim, release: () => whileAlive(() => claim.release()) };
    },
    close: async () => undefined,
  };
}
