/** An app whose processes the program itself starts, under the virtual clock: each start has a port of its own. */

import { addressOf, type Target, targetOf } from "../../src/app.ts";
import type { Clock } from "../../src/clock.ts";
import type { Notice, Observation, Provider, Versions } from "../../src/providers/provider.ts";
import { ProviderError } from "../../src/providers/provider.ts";
import type { Chance } from "../support/random.ts";
import type { Versions as Pool, Version } from "./versions.ts";

/** The app's processes. */
export interface Den {
  /** New processes are good ones. */
  isSound: boolean;
  /** The provider as one run of the program sees it: once `isAlive` says no, its calls never come back. */
  provider(options: {
    readonly isAlive: () => boolean;
    readonly isDeclared: () => boolean;
    readonly onSleep: () => void;
  }): Provider & { readonly versions: Versions };
  /** Some process of it ends by itself. */
  crash(version: Version): void;
  /** The program was killed, and its processes with it. */
  killAll(): void;
}

export function createDen(deps: {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly pool: Pool;
}): Den {
  const { clock, chance, pool } = deps;
  let current: Version | null = null;
  let failure: string | null = null;
  let onEnd: ((reason: string) => boolean) | null = null;
  let report: ((notice: Notice) => void) | null = null;
  const former = new Set<Version>();
  const candidates = new Map<Version, (why: string) => void>();
  for (const version of pool.all) version.isUp = false;

  const isUsed = (version: Version) =>
    version === current || former.has(version) || candidates.has(version);

  function start(): Version {
    // A system gives out other ports before one comes round again.
    const after = pool.newest === null ? 0 : pool.all.indexOf(pool.newest) + 1;
    const inTurn = [...pool.all.slice(after), ...pool.all.slice(0, after)];
    const version = inTurn.find((one) => !isUsed(one) && !one.isUp);
    if (version === undefined) throw new ProviderError("failed", "no port is free");
    pool.newest = version;
    version.health = den.isSound ? "good" : chance.oneOf(["good", "good", "bad", "silent"]);
    version.status = 200;
    clock.after(chance.oneOf([10, 300]), () => {
      if (isUsed(version)) version.isUp = true;
    });
    return version;
  }

  function seen(): Observation {
    if (failure !== null) return { phase: "failed", target: null, reason: failure };
    if (current === null) return { phase: "asleep", target: null };
    return { phase: "awake", target: targetOf(current.address) };
  }

  const versionsOf = (alive: () => Promise<void>): Versions => ({
    async begin() {
      await alive();
      const version = start();
      const { promise, resolve } = Promise.withResolvers<string>();
      candidates.set(version, resolve);
      return {
        target: targetOf(version.address),
        ended: promise,
        output: () => "",
        async end() {
          if (candidates.delete(version)) version.isUp = false;
        },
      };
    },
    adopt(_id, target: Target, end) {
      const found = pool.at(target.origin);
      onEnd = null;
      if (found === null || (!candidates.has(found) && !former.has(found))) return;
      if (current !== null) former.add(current);
      candidates.delete(found);
      former.delete(found);
      current = found;
      failure = null;
      onEnd = end;
    },
    async endFormer(_id, spared) {
      for (const version of former) {
        if (spared.has(version.address)) continue;
        former.delete(version);
        version.isUp = false;
      }
    },
  });

  const den: Den = {
    isSound: false,
    provider({ isAlive, isDeclared, onSleep }) {
      const alive = async () => {
        if (!isAlive()) await new Promise(() => undefined);
      };
      return {
        name: "stub",
        versions: versionsOf(alive),
        capabilities: {
          listsDeclaredApps: true,
          listHasState: true,
          wakeTimeoutMs: 8000,
          sleepTimeoutMs: 8000,
          sleepAfterFailedWake: false,
        },
        watch(watcher) {
          report = (notice) => isAlive() && watcher.notice(notice);
          return () => undefined;
        },
        async list() {
          await alive();
          if (!isDeclared()) return [];
          return [{ id: "den", key: "den", observation: seen(), sleepsByItself: false }];
        },
        async observe() {
          await alive();
          return seen();
        },
        takeSnapshot: async () => ({ kind: "none" }),
        async wake() {
          await alive();
          failure = null;
          current ??= start();
          return { done: true, target: targetOf(current.address) };
        },
        async sleep() {
          await alive();
          onSleep();
          if (current !== null) current.isUp = false;
          current = null;
          onEnd = null;
          return { done: true, target: null };
        },
        poll: async () => ({ done: true, target: null }),
        close: async () => undefined,
      };
    },
    crash(version) {
      version.isUp = false;
      former.delete(version);
      candidates.get(version)?.("crashed");
      candidates.delete(version);
      if (version !== current) return;
      current = null;
      failure = "it crashed";
      const tell = onEnd;
      onEnd = null;
      if (tell?.("crashed") !== true) report?.({ id: "den", observation: seen() });
    },
    killAll() {
      for (const version of pool.all) version.isUp = false;
      former.clear();
      candidates.clear();
      current = null;
      failure = null;
      onEnd = null;
    },
  };
  return den;
}

/** Whether an exchange's target is a process of the den. */
export function isOfDen(target: Target): boolean {
  return addressOf(target).includes(":9");
}
