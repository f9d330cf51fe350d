/** What instances share of switches, without Redis: answers take time, get lost, or do not come at all. */

import { type Clock, sleep } from "../../src/clock.ts";
import { LOCK_MS, type SwitchHash, type SwitchSpace } from "../../src/redis/switch-space.ts";
import type { Chance } from "./random.ts";

/** What is stored. */
export interface SwitchSea {
  readonly switches: Map<string, string>;
  readonly pauses: Map<string, string>;
  /** All that was ever put, in order. */
  readonly history: readonly { readonly hash: SwitchHash; readonly text: string }[];
  /** Nothing can be written, as of a Redis without memory. */
  isFull: boolean;
  /** As after FLUSHALL. */
  flush(): void;
  /** Whether the switches of an app are locked now. */
  isLocked(key: string): boolean;
  /** The way of one more instance. */
  connect(): SwitchWay;
}

/** How one instance reaches it. */
export interface SwitchWay extends SwitchSpace {
  /** Nothing gets through: all of it is refused at once, answers on their way are lost. */
  cut(): void;
  /** All of it gets through again. */
  heal(): void;
  /** It hears of nothing that is stored from now on, until it asks. */
  deafen(): void;
  /** What is asked from now on waits on the way. */
  freeze(): void;
  thaw(): void;
  /** Nothing of it happens any more: its instance has ended. */
  end(): void;
}

const AWAY = new Error("Redis cannot be reached");

/** @param chance left out: everything takes 1 ms */
export function createSwitchSea(clock: Clock, chance: Chance | null = null): SwitchSea {
  const switches = new Map<string, string>();
  const pauses = new Map<string, string>();
  const locks = new Map<string, { readonly lock: string; readonly untilMs: number }>();
  const fences = new Map<string, number>();
  const ways = new Set<(hash: SwitchHash, key: string, text: string) => void>();
  const history: { readonly hash: SwitchHash; readonly text: string }[] = [];
  const stored = { switches, pauses };
  const lagMs = () => chance?.oneOf([0, 1, 1, 5, 30]) ?? 1;
  const holderOf = (key: string) => {
    const held = locks.get(key);
    return held !== undefined && held.untilMs > clock.now() ? held.lock : null;
  };
  const sea: SwitchSea = {
    switches,
    pauses,
    history,
    isFull: false,
    flush() {
      for (const one of [switches, pauses, locks, fences]) one.clear();
    },
    isLocked: (key) => holderOf(key) !== null,
    connect,
  };

  function connect(): SwitchWay {
    const onReady = new Set<() => void>();
    const onText = new Set<Parameters<SwitchSpace["listen"]>[0]>();
    let isCut = false;
    let isOver = false;
    let isDeaf = false;
    let passage: PromiseWithResolvers<void> | null = null;
    let told: Promise<void> = Promise.resolve();
    async function ask<T>(work: () => T): Promise<T> {
      if (isCut) throw AWAY;
      await sleep(clock, lagMs());
      await passage?.promise;
      if (isOver) await new Promise(() => undefined);
      if (isCut) throw AWAY;
      const answer = work();
      await sleep(clock, lagMs());
      if (isOver) await new Promise(() => undefined);
      if (isCut) throw AWAY;
      return answer;
    }
    // In order, as of one connection.
    ways.add((hash, key, text) => {
      told = told.then(async () => {
        await sleep(clock, lagMs());
        await passage?.promise;
        if (isCut || isOver || isDeaf) return;
        for (const listener of onText) listener(hash, key, text);
      });
    });
    return {
      load: () => ask(() => ({ switches: new Map(switches), pauses: new Map(pauses) })),
      read: (key) =>
        ask(() => ({ switches: switches.get(key) ?? null, pauses: pauses.get(key) ?? null })),
      put: ({ hash, key, seen, text, lock }) =>
        ask(() => {
          if (sea.isFull) throw new Error("OOM command not allowed");
          if (lock !== null && holderOf(key) !== lock) return "lost";
          const now = stored[hash].get(key) ?? null;
          if (now !== seen) return { instead: now };
          stored[hash].set(key, text);
          history.push({ hash, text });
          for (const way of ways) way(hash, key, text);
          return null;
        }),
      take: (key, what) =>
        ask(() => {
          const held = holderOf(key);
          if (held !== null) return { heldBy: held.slice(held.indexOf(" ") + 1) };
          const fence = (fences.get(key) ?? 0) + 1;
          const lock = `${fence} ${what}`;
          fences.set(key, fence);
          locks.set(key, { lock, untilMs: clock.now() + LOCK_MS });
          return { lock, fence };
        }),
      renew: (key, lock) =>
        ask(() => {
          if (holderOf(key) !== lock) return false;
          locks.set(key, { lock, untilMs: clock.now() + LOCK_MS });
          return true;
        }),
      give: (key, lock) =>
        ask(() => {
          if (holderOf(key) === lock) locks.delete(key);
        }),
      listen(listener) {
        onText.add(listener);
        return () => onText.delete(listener);
      },
      onReady(listener) {
        onReady.add(listener);
        queueMicrotask(() => {
          if (!isCut && onReady.has(listener)) listener();
        });
        return () => onReady.delete(listener);
      },
      trouble: () => (isCut ? AWAY.message : null),
      cut() {
        isCut = true;
      },
      heal() {
        if (!isCut) return;
        isCut = false;
        for (const listener of onReady) listener();
      },
      deafen() {
        isDeaf = true;
      },
      freeze() {
        passage ??= Promise.withResolvers();
      },
      thaw() {
        passage?.resolve();
        passage = null;
      },
      end() {
        isOver = true;
      },
    };
  }
  return sea;
}
