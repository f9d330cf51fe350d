/** How often somebody may do something. */

import { isIP } from "node:net";

/** Counts what was done, by who has done it. */
export interface RateLimit {
  /** ms until there is room for one more; 0: there is. */
  waitMs(who: string): number;
  note(who: string): void;
  /** The latest that was noted does not count. */
  forgive(who: string): void;
}

/** What a limit is. */
export interface RateLimitOptions {
  /** So often, and no more, */
  readonly max: number;
  /** within any time of this length, ms. */
  readonly withinMs: number;
  /** ms, steady. */
  readonly now: () => number;
  /** How many are remembered; left out: 1,000. Who has done nothing for longest is forgotten first. */
  readonly whosMax?: number;
}

const WHOS_MAX = 1000;

/** Nobody has done anything. */
export function createRateLimit(options: RateLimitOptions): RateLimit {
  const { max, withinMs, now, whosMax = WHOS_MAX } = options;
  // By who: when, oldest first. Whoever did something last stands last.
  const times = new Map<string, number[]>();
  function recent(who: string): number[] {
    const fromMs = now() - withinMs;
    return (times.get(who) ?? []).filter((atMs) => atMs > fromMs);
  }
  function keep(who: string, list: number[]): void {
    times.delete(who);
    if (list.length > 0) times.set(who, list);
    const [oldest] = times.keys();
    if (times.size > whosMax && oldest !== undefined) times.delete(oldest);
  }
  return {
    waitMs(who) {
      const list = recent(who);
      const first = list.at(-max);
      return first === undefined ? 0 : first + withinMs - now();
    },
    note: (who) => keep(who, [...recent(who), now()].slice(-max)),
    forgive: (who) => keep(who, recent(who).slice(0, -1)),
  };
}

/** Groups of an IPv6 address, and those that name the network: whoever has one address of it has them all. */
const GROUPS = 8;
const NETWORK_GROUPS = 4;

/** Who an address stands for: itself, and of IPv6 its /64. Pure. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [start = "", end] = address.toLowerCase().split("::");
  const before = groupsIn(start);
  const after = groupsIn(end ?? "");
  const missing = end === undefined ? 0 : Math.max(0, GROUPS - before.length - after.length);
  const groups = [...before, ...Array.from({ length: missing }, () => "0"), ...after];
  return `${groups.slice(0, NETWORK_GROUPS).join(":")}::/64`;
}

function groupsIn(text: string): string[] {
  return text === "" ? [] : text.split(":").map((group) => group.replace(/^0+(?=.)/, ""));
}
