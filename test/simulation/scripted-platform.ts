/** A platform under the virtual clock that does what a script says, and notices when it is used wrongly. */

import type { Snapshot } from "../../src/app.ts";
import { targetOf } from "../../src/app.ts";
import type { Clock } from "../../src/clock.ts";
import { sleep } from "../../src/clock.ts";
import type {
  Listing,
  Notice,
  Observation,
  Provider,
  Step,
  Watcher,
} from "../../src/providers/provider.ts";
import { ProviderError } from "../../src/providers/provider.ts";
import type { Chance } from "../support/random.ts";

/** How the next wake of an app goes. */
export type WakeScript =
  | "quick"
  | "slow"
  | "refused"
  | "crashes"
  | "never-answers"
  | "operation"
  /** It is done, but nobody hears so. */
  | "lost-answer"
  /** It is not done, and nobody hears so. */
  | "lost-call";

/** How the next sleep call goes. */
export type SleepScript =
  | "works"
  | "fails"
  | "lost-answer"
  | "lost-call"
  /** There is no time for it: nothing is sent. */
  | "no-calls";

/** An app as the platform lists it. */
export interface ListedApp {
  readonly id: string;
  readonly key: string;
  readonly aliases?: readonly string[];
}

export interface Machine {
  readonly id: string;
  key: string;
  readonly aliases: readonly string[];
  /** The next list leaves it out. */
  slips: boolean;
  slippedMs: number;
  /** The part of the platform that it is in does not answer when apps are listed. */
  isHidden: boolean;
  /** Somebody has deleted it on the platform. */
  isGone: boolean;
  /** A wake was taken that nobody heard of, and nobody has looked since. */
  wokeUnseen: boolean;
  /** Process type -> quantity; all zero: asleep. */
  quantities: Record<string, number>;
  /** What it last ran with, the truth a wake has to bring back. */
  lastQuantities: Record<string, number>;
  answersAtMs: number;
  port: number;
  crashed: string | null;
  deploying: boolean;
  wakeScript: WakeScript;
  sleepScript: SleepScript;
  operations: number;
  /** How often it came up, and that number when a snapshot was last taken. */
  boots: number;
  bootsAtSnapshot: number;
  /** It ran until our sleep call, on the very boot the snapshot was taken of. */
  stoppedByUs: boolean;
  wakes: number;
  /** How many wake calls are justified: one at first, and one more for each stop, crash or failed wake. */
  wakesAllowed: number;
}

/** What one run of the program is to the platform. */
export interface PlatformView {
  readonly isAlive: () => boolean;
  readonly watches: boolean;
  /** The run's own, where calls wait for their turn. Left out: the platform's. */
  readonly ownClock?: Clock;
  /** Told of each sleep call of this run as it is sent. Left out: nobody wants to know. */
  readonly onSleep?: (id: string) => void;
}

export interface ScriptedPlatform {
  readonly name: string;
  readonly listHasState: boolean;
  readonly machines: ReadonlyMap<string, Machine>;
  readonly violations: string[];
  /** The provider as one run of the program sees it: once `isAlive` says no, its calls never come back. */
  provider(options: PlatformView): Provider;
  /** Whether a connection to this origin gets an answer now. */
  answers(origin: string): boolean;
  isUp(id: string): boolean;
  stopFromOutside(id: string): void;
  startFromOutside(id: string): void;
  crash(id: string): void;
  /** Leaves the app out of the next list, unless that happened of late: two in a row would mean that it is gone. */
  slip(id: string): void;
  /** Deletes the app, or makes one with the same id anew. */
  remove(id: string): void;
  create(id: string): void;
  listFails: boolean;
  /** Told of each sleep call, so that the test can compare it with what it knows. */
  onSleep: (id: string) => void;
}

const RUNNING = { web: 2, worker: 1, cron: 0 };

export function createScriptedPlatform(deps: {
  readonly name: string;
  readonly apps: readonly ListedApp[];
  /** Otherwise apps must be looked at one by one, and what did not come up is not stopped again. */
  readonly listHasState: boolean;
  readonly firstPort: number;
  readonly clock: Clock;
  readonly chance: Chance;
}): ScriptedPlatform {
  const { name, listHasState, clock, chance } = deps;
  const machines = new Map<string, Machine>();
  const listeners = new Set<(notice: Notice) => void>();
  const violations: string[] = [];
  let ports = deps.firstPort;
  for (const { id, key, aliases = [] } of deps.apps) {
    machines.set(id, {
      id,
      key,
      aliases,
      slips: false,
      slippedMs: Number.NEGATIVE_INFINITY,
      isHidden: false,
      isGone: false,
      wokeUnseen: false,
      quantities: zeros(RUNNING),
      lastQuantities: { web: 1 },
      answersAtMs: Number.POSITIVE_INFINITY,
      port: 0,
      crashed: null,
      deploying: false,
      wakeScript: "quick",
      sleepScript: "works",
      operations: 0,
      boots: 0,
      bootsAtSnapshot: 0,
      stoppedByUs: false,
      wakes: 0,
      wakesAllowed: 1,
    });
  }

  function machine(id: string): Machine {
    const found = machines.get(id);
    if (found === undefined) throw new Error(`there is no machine ${id}`);
    return found;
  }

  /** For calls of the program, which may ask for what is gone. */
  function find(id: string): Machine {
    const found = machines.get(id);
    if (found === undefined || found.isGone) throw new ProviderError("not-found", `no app ${id}`);
    return found;
  }

  function boot(it: Machine, quantities: Record<string, number>, answersInMs: number): void {
    it.quantities = { ...quantities };
    it.lastQuantities = { ...quantities };
    it.answersAtMs = clock.now() + answersInMs;
    it.crashed = null;
    it.stoppedByUs = false;
    it.boots += 1;
    ports += 1;
    it.port = ports;
  }

  function halt(it: Machine): void {
    it.quantities = zeros(it.quantities);
    it.answersAtMs = Number.POSITIVE_INFINITY;
    it.wakesAllowed += 1;
  }

  function report(it: Machine): void {
    for (const listener of listeners) listener({ id: it.id, observation: observe(it) });
  }

  function observe(it: Machine): Observation {
    it.wokeUnseen = false;
    const target = isRunning(it) ? targetOf(`http://127.0.0.1:${it.port}`) : null;
    if (it.crashed !== null) return { phase: "failed", target: null, reason: it.crashed };
    if (it.deploying) return { phase: "deploying", target };
    return { phase: isRunning(it) ? "awake" : "asleep", target };
  }

  const platform: ScriptedPlatform = {
    name,
    listHasState,
    machines,
    violations,
    listFails: false,
    onSleep: () => undefined,
    isUp: (id) => isRunning(machine(id)),
    answers(origin) {
      const it = [...machines.values()].find((one) => origin.endsWith(`:${one.port}`));
      return it !== undefined && isRunning(it) && clock.now() >= it.answersAtMs;
    },
    stopFromOutside(id) {
      if (machine(id).isGone) return;
      halt(machine(id));
      report(machine(id));
    },
    startFromOutside(id) {
      const it = machine(id);
      if (isRunning(it) || it.isGone) return;
      it.wakesAllowed += 1;
      boot(it, { web: chance.between(1, 3), worker: chance.between(0, 2), cron: 0 }, 0);
      report(it);
    },
    slip(id) {
      const it = machine(id);
      if (clock.now() - it.slippedMs > SLIP_PAUSE_MS) it.slips = true;
    },
    remove(id) {
      const it = machine(id);
      if (it.isGone) return;
      it.isGone = true;
      it.stoppedByUs = false;
      it.crashed = null;
      halt(it);
    },
    create(id) {
      machine(id).isGone = false;
    },
    crash(id) {
      const it = machine(id);
      if (!isRunning(it)) return;
      halt(it);
      it.crashed = "exited with status 1";
      report(it);
    },
    provider: ({ isAlive, watches, ownClock = clock, onSleep = () => undefined }) => {
      /** A call takes a while, ends with the signal, and never comes back to a program that was killed. */
      async function call(signal: AbortSignal, maxMs = 50): Promise<void> {
        await sleep(clock, chance.between(0, maxMs), signal);
        if (!isAlive()) await new Promise(() => undefined);
      }
      async function operate<T>(it: Machine, work: () => Promise<T>): Promise<T> {
        it.operations += 1;
        if (it.operations > 1) violations.push(`two operations at once on ${it.id}`);
        try {
          return await work();
        } finally {
          it.operations -= 1;
        }
      }
      let unlisted: ReadonlySet<string> = new Set();
      /** Left out by a list, and in none that came since: two in a row would mean that it is gone. */
      const slipped = new Set<string>();
      /** By app: what calls off a stop that was not sent yet. */
      const unsent = new Map<string, AbortController>();
      /** @throws ProviderError when it is called off before its turn */
      async function untilTurn(id: string, signal: AbortSignal): Promise<void> {
        const stop = new AbortController();
        unsent.set(id, stop);
        try {
          const turnMs = chance.between(0, chance.oneOf([0, 2000]));
          await sleep(ownClock, turnMs, AbortSignal.any([stop.signal, signal]));
          if (!isAlive()) await new Promise(() => undefined);
        } finally {
          unsent.delete(id);
        }
      }
      return {
        name,
        whyUnlisted: (id) => (unlisted.has(id) ? "a part of the platform does not answer" : null),
        capabilities: {
          listsDeclaredApps: false,
          listHasState,
          wakeTimeoutMs: 20_000,
          sleepTimeoutMs: 10_000,
          sleepAfterFailedWake: listHasState,
          snapshotLooks: !listHasState,
        },
        async list(signal) {
          const picture = [...machines.values()]
            .filter((it) => isListed(it, slipped))
            .map(
              (it): Listing => ({
                id: it.id,
                key: it.key,
                aliases: it.aliases,
                observation: listHasState ? observe(it) : null,
                sleepsByItself: false,
              }),
            );
          const hidden = [...machines.values()].filter(({ isHidden }) => isHidden);
          // The picture is taken now and arrives later: by then it may be stale.
          await call(signal, 2000);
          if (platform.listFails) throw new ProviderError("unavailable", "503 from the platform");
          unlisted = new Set(hidden.map(({ id }) => id));
          for (const { id } of picture) slipped.delete(id);
          return picture;
        },
        async observe(id, signal) {
          await call(signal);
          return observe(find(id));
        },
        async takeSnapshot(id, signal): Promise<Snapshot> {
          await call(signal);
          const it = find(id);
          if (!listHasState && it.deploying) throw new ProviderError("busy", "it is deployed");
          it.bootsAtSnapshot = it.boots;
          const processes = Object.entries(it.quantities).map(([type, quantity]) => ({
            type,
            quantity,
          }));
          return { kind: "quantities", processes };
        },
        wake: async (id, snapshot, signal) =>
          operate(find(id), () => wake(machine(id), snapshot, () => call(signal))),
        callOff(id) {
          unsent.get(id)?.abort(new ProviderError("rate-limited", "called off before it was sent"));
        },
        sleep: async (id, _snapshot, signal) =>
          operate(find(id), async (): Promise<Step> => {
            await untilTurn(id, signal);
            if (machine(id).sleepScript === "no-calls") {
              machine(id).sleepScript = "works";
              const retryAfterMs = chance.oneOf([1000, 40_000]);
              throw new ProviderError("rate-limited", "no calls for a while", { retryAfterMs });
            }
            platform.onSleep(id);
            onSleep(id);
            await call(signal, 500);
            const it = find(id);
            const script = it.sleepScript;
            it.sleepScript = "works";
            it.wokeUnseen = false;
            if (script === "fails") {
              it.wakesAllowed += 1;
              throw new ProviderError("unavailable", "502 from the platform");
            }
            if (script === "lost-call") throw lost();
            if (isRunning(it)) {
              it.stoppedByUs = it.boots === it.bootsAtSnapshot;
              halt(it);
            }
            it.crashed = null;
            if (script === "lost-answer") throw lost();
            if (chance.happens(0.3)) return goOn(clock.now() + chance.between(100, 3000));
            await call(signal, 500);
            return { done: true, target: null };
          }),
        async poll(id, operation, signal): Promise<Step> {
          await call(signal);
          const isDone = clock.now() >= Number(operation.id);
          return isDone
            ? { done: true, target: observe(find(id)).target }
            : { done: false, operation, pollAfterMs: 100 };
        },
        ...(watches
          ? {
              watch(watcher: Watcher) {
                const listener = (notice: Notice) => {
                  if (isAlive()) watcher.notice(notice);
                };
                listeners.add(listener);
                return () => listeners.delete(listener);
              },
            }
          : {}),
        close: async () => undefined,
      };
    },
  };

  async function wake(
    it: Machine,
    snapshot: Snapshot | null,
    call: () => Promise<void>,
  ): Promise<Step> {
    it.wakes += 1;
    const script = it.wakeScript;
    it.wakeScript = "quick";
    if (script === "refused" || script === "never-answers" || script === "lost-call") {
      it.wakesAllowed += 1;
    }
    await call();
    find(it.id);
    if (it.wokeUnseen) violations.push(`${it.id} was woken again although nobody had looked`);
    if (script === "lost-call") throw lost();
    if (script === "refused") throw new ProviderError("unavailable", "503 from the platform");
    if (isRunning(it)) {
      // Who gets no answer may ask again.
      if (clock.now() < it.answersAtMs) it.wakesAllowed += 1;
      if (script === "lost-answer") throw lost();
      return { done: true, target: observe(it).target };
    }
    const quantities = quantitiesOf(snapshot);
    checkRestored(it, quantities);
    const bootMs = { quick: 200, slow: 8000, operation: 3000 }[script as "quick"] ?? 300;
    boot(it, quantities, script === "never-answers" ? Number.POSITIVE_INFINITY : bootMs);
    if (script === "lost-answer") {
      it.wokeUnseen = true;
      throw lost();
    }
    if (script === "crashes") {
      clock.after(chance.between(0, 1000), () => platform.crash(it.id));
    }
    if (script === "operation") {
      return goOn(clock.now() + chance.between(100, 3000));
    }
    return { done: true, target: observe(it).target };
  }

  /** Whether the list that is made now has it. */
  function isListed(it: Machine, slipped: Set<string>): boolean {
    if (it.isGone || it.isHidden) return false;
    if (!it.slips || slipped.has(it.id)) return true;
    slipped.add(it.id);
    it.slips = false;
    it.slippedMs = clock.now();
    return false;
  }

  /** Exactly what ran before comes back, process type by process type. */
  function checkRestored(it: Machine, quantities: Record<string, number>): void {
    const running = (all: Record<string, number>) =>
      Object.entries(all)
        .filter(([, quantity]) => quantity > 0)
        .map(([type, quantity]) => `${type}=${quantity}`)
        .sort()
        .join(" ");
    if (running(quantities) === "") violations.push(`${it.id} was woken with nothing to run`);
    // What somebody else stopped was never seen by us with its last quantities: then an older picture is right.
    if (it.stoppedByUs && running(quantities) !== running(it.lastQuantities)) {
      violations.push(
        `${it.id} came back as ${running(quantities)}, not ${running(it.lastQuantities)}`,
      );
    }
  }

  return platform;
}

/** So long after a list that left an app out no other does, ms. */
const SLIP_PAUSE_MS = 120_000;

function goOn(untilMs: number): Step {
  return { done: false, operation: { id: String(untilMs) }, pollAfterMs: 100 };
}

function lost(): ProviderError {
  return new ProviderError("network", "the connection broke", { isUncertain: true });
}

function quantitiesOf(snapshot: Snapshot | null): Record<string, number> {
  if (snapshot?.kind !== "quantities") return { web: 1 };
  return Object.fromEntries(snapshot.processes.map(({ type, quantity }) => [type, quantity]));
}

function isRunning(it: Machine): boolean {
  return Object.values(it.quantities).some((quantity) => quantity > 0);
}

function zeros(quantities: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.keys(quantities).map((type) => [type, 0]));
}
