/** One run of the program as its machine sees it: it can be frozen, go on later, and be killed at any moment. */

import type { Clock } from "../../src/clock.ts";

/** Whatever reaches a run of the program from outside goes through here: timers, answers, messages, requests. */
export interface Life {
  /** Its timers come late, all at once, after it was frozen. */
  readonly clock: Clock;
  isAlive(): boolean;
  isFrozen(): boolean;
  /** Does this now, or as soon as the program goes on; never once it was killed. */
  deliver(work: () => void): void;
  /** The outcome of work that goes on elsewhere, as the program hears of it. */
  hear<T>(work: Promise<T>): Promise<T>;
  /** SIGSTOP. */
  freeze(): void;
  /** SIGCONT: what has come meanwhile is dealt with one by one, in the order in which it came. */
  thaw(): void;
  kill(): void;
}

/** What the system clock does with timers that are late: see there. */
const LATE_MS = 500;
const CATCH_UP_MS = 50;

/** @param clock the world's */
export function createLife(clock: Clock): Life {
  let state: "running" | "frozen" | "thawing" | "dead" = "running";
  const backlog: (() => void)[] = [];
  /** Timers that fell due meanwhile. */
  const overdue: { readonly dueMs: number; readonly callback: () => void }[] = [];
  const standstills = new Set<() => void>();

  function deliver(work: () => void): void {
    if (state === "dead") return;
    if (state === "running") work();
    else backlog.push(work);
  }

  function fire(callback: () => void): void {
    if (state === "running") callback();
    else if (state !== "dead") overdue.push({ dueMs: clock.now(), callback });
  }

  function fireLate(dueMs: number, callback: () => void): void {
    if (clock.now() - dueMs < LATE_MS) {
      callback();
      return;
    }
    for (const listener of [...standstills]) listener();
    clock.after(CATCH_UP_MS, () => fire(callback));
  }

  /** One at a time, timers first: what follows from each without a timer happens before the next. */
  function catchUp(): void {
    if (state !== "thawing") return;
    const timer = overdue.shift();
    const work = timer ? () => fireLate(timer.dueMs, timer.callback) : backlog.shift();
    if (work === undefined) {
      state = "running";
      return;
    }
    work();
    clock.after(0, catchUp);
  }

  return {
    clock: {
      now: clock.now,
      wallMs: clock.wallMs,
      after(delayMs, callback) {
        let isCancelled = false;
        const cancel = clock.after(delayMs, () =>
          fire(() => {
            if (!isCancelled) callback();
          }),
        );
        return () => {
          isCancelled = true;
          cancel();
        };
      },
      onStandstill(listener) {
        standstills.add(listener);
        return () => standstills.delete(listener);
      },
    },
    isAlive: () => state !== "dead",
    isFrozen: () => state === "frozen" || state === "thawing",
    deliver,
    hear: (work) =>
      new Promise((resolve, reject) => {
        work.then(
          (value) => deliver(() => resolve(value)),
          (error) => deliver(() => reject(error)),
        );
      }),
    freeze() {
      if (state === "running" || state === "thawing") state = "frozen";
    },
    thaw() {
      if (state !== "frozen") return;
      state = "thawing";
      clock.after(0, catchUp);
    },
    kill() {
      state = "dead";
      backlog.length = 0;
      overdue.length = 0;
    },
  };
}
