/** The time at the server, as far as the browser knows it. */

/** Times that pages show are compared with this one. */
export interface BrowserClock {
  /** ms since the epoch, by the server's clock. */
  now(): number;
  /** Hears what time the server says it is: the header `Date` of an answer, in whole seconds. */
  hear(date: string | null): void;
}

/** Clocks that differ by less are taken for the same, ms: the header says seconds, and answers take their time. */
const SAME_MS = 2500;

/** Until the server has said something, both clocks are taken for the same. */
export function createBrowserClock(localNow: () => number): BrowserClock {
  let aheadMs = 0;
  return {
    now: () => localNow() + aheadMs,
    hear(date) {
      const serverMs = date === null ? Number.NaN : Date.parse(date) + 500;
      if (Number.isNaN(serverMs)) return;
      const differenceMs = serverMs - localNow();
      aheadMs = Math.abs(differenceMs) < SAME_MS ? 0 : differenceMs;
    },
  };
}
