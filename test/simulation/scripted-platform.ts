/** A platform under the virtual clock that does what a script says, and notices when it is used wrongly. */

import type { Snapshot } from "../../src/app.ts";
import { targetOf } from "../../src/app.ts";
import type { Clock } from "../../src/clock.ts";
import { sleep } from "../../src/clock.ts";
import type { Listing, Notice, Observation, Provider, Step } from "../../src/providers/provider.ts";
import { ProviderError } from "../../src/providers/provider.ts";
import type { Chance } from "../support/random.ts";

/** How the next wake of an app goes. */
export type WakeScript = "quick" | "slow" | "refused" | "crashes" | "never-answers" | "operation";

interface Machine {
  readonly id: string;
  /** Process type -> quantity; all zero: asleep. */
  quantities: Record<string, number>;
  /** What it last ran with, the truth a wake has to bring back. */
  lastQuantities: Record<string, number>;
  answersAtMs: number;
  port: number;
  crashed: string | null;
  deploying: boolean;
  wakeScript: WakeScript;
  sleepFails: boolean;
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

export interface ScriptedPlatform {
  readonly machines: ReadonlyMap<string, Machine>;
  readonly violations: string[];
  /** The provider as one run of the program sees it: once `isAlive` says no, its calls never come back. */
  provider(options: { readonly isAlive: () => boolean; readonly watches: boolean }): Provider;
  /** Whether a connection to this origin gets an answer now. */
  answers(origin: string): boolean;
  isUp(id: string): boolean;
  stopFromOutside(id: string): void;
  startFromOutside(id: string): void;
  crash(id: string): void;
  listFails: boolean;
  /** Told of each sleep call, so that the test can compare it with what it knows. */
  onSleep: (id: string) => void;
}

const RUNNING = { web: 2, worker: 1, cron: 0 };

export function createScriptedPlatform(deps: {
  readonly ids: readonly string[];
  readonly clock: Clock;
  readonly chance: Chance;
}): ScriptedPlatform {
  const { clock, chance } = deps;
  const machines = new Map<string, Machine>();
  const listeners = new Set<(notice: Notice) => void>();
  const violations: string[] = [];
  let ports = 20_000;
  for (const id of deps.ids) {
    machines.set(id, {
      id,
      quantities: zeros(RUNNING),
      lastQuantities: { web: 1 },
      answersAtMs: Number.POSITIVE_INFINITY,
      port: 0,
      crashed: null,
      deploying: false,
      wakeScript: "quick",
      sleepFails: false,
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
    if (found === undefined) throw new ProviderError("not-found", `no app ${id}`);
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
    const target = isRunning(it) ? targetOf(`http://127.0.0.1:${it.port}`) : null;
    if (it.crashed !== null) return { phase: "failed", target: null, reason: it.crashed };
    if (it.deploying) return { phase: "deploying", target };
    return { phase: isRunning(it) ? "awake" : "asleep", target };
  }

  const platform: ScriptedPlatform = {
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
      halt(machine(id));
      report(machine(id));
    },
    startFromOutside(id) {
      const it = machine(id);
      if (isRunning(it)) return;
      it.wakesAllowed += 1;
      boot(it, { web: chance.between(1, 3), worker: chance.between(0, 2), cron: 0 }, 0);
      report(it);
    },
    crash(id) {
      const it = machine(id);
      if (!isRunning(it)) return;
      halt(it);
      it.crashed = "exited with status 1";
      report(it);
    },
    provider: ({ isAlive, watches }) => {
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
      return {
        name: "scripted",
        capabilities: {
          listsDeclaredApps: false,
          wakeTimeoutMs: 20_000,
          sleepTimeoutMs: 10_000,
          sleepAfterFailedWake: true,
        },
        async list(signal) {
          const picture = [...machines.values()].map(
            (it): Listing => ({
              id: it.id,
              key: it.id,
              observation: observe(it),
              sleepsByItself: false,
            }),
          );
          // The picture is taken now and arrives later: by then it may be stale.
          await call(signal, 2000);
          if (platform.listFails) throw new ProviderError("unavailable", "503 from the platform");
          return picture;
        },
        async observe(id, signal) {
          await call(signal);
          return observe(machine(id));
        },
        async takeSnapshot(id, signal): Promise<Snapshot> {
          await call(signal);
          machine(id).bootsAtSnapshot = machine(id).boots;
          const processes = Object.entries(machine(id).quantities).map(([type, quantity]) => ({
            type,
            quantity,
          }));
          return { kind: "quantities", processes };
        },
        wake: (id, snapshot, signal) =>
          operate(machine(id), () => wake(machine(id), snapshot, () => call(signal))),
        sleep: (id, _snapshot, signal) =>
          operate(machine(id), async (): Promise<Step> => {
            const it = machine(id);
            platform.onSleep(id);
            await call(signal, 500);
            if (it.sleepFails) {
              it.sleepFails = false;
              it.wakesAllowed += 1;
              throw new ProviderError("unavailable", "502 from the platform");
            }
            if (isRunning(it)) {
              it.stoppedByUs = it.boots === it.bootsAtSnapshot;
              halt(it);
            }
            it.crashed = null;
            await call(signal, 500);
            return { done: true, target: null };
          }),
        async poll(id, operation, signal): Promise<Step> {
          await call(signal);
          const isDone = clock.now() >= Number(operation.id);
          return isDone
            ? { done: true, target: observe(machine(id)).target }
            : { done: false, operation, pollAfterMs: 100 };
        },
        ...(watches
          ? {
              watch(onNotice: (notice: Notice) => void) {
                const listener = (notice: Notice) => {
                  if (isAlive()) onNotice(notice);
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
    if (script === "refused" || script === "never-answers") it.wakesAllowed += 1;
    await call();
    if (script === "refused") throw new ProviderError("unavailable", "503 from the platform");
    if (isRunning(it)) return { done: true, target: observe(it).target };
    const quantities = quantitiesOf(snapshot);
    checkRestored(it, quantities);
    const bootMs = { quick: 200, slow: 8000, operation: 3000 }[script as "quick"] ?? 300;
    boot(it, quantities, script === "never-answers" ? Number.POSITIVE_INFINITY : bootMs);
    if (script === "crashes") {
      clock.after(chance.between(0, 1000), () => platform.crash(it.id));
    }
    if (script === "operation") {
      const doneMs = clock.now() + chance.between(100, 3000);
      return { done: false, operation: { id: String(doneMs) }, pollAfterMs: 100 };
    }
    return { done: true, target: observe(it).target };
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
