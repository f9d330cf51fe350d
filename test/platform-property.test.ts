/** Ten thousand bad days of a platform, played from seeds. */

import { describe, expect, test } from "bun:test";

import {
  type ApiCall,
  createPlatformApi,
  type PlatformFetch,
  type Urgency,
} from "../src/providers/platform-api.ts";
import { type BudgetLimits, createBudget, type Place } from "../src/providers/platform-budget.ts";
import { fixedCredentials } from "../src/providers/platform-token.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { type Chance, createChance } from "./support/random.ts";
import { recordingLog } from "./support/recording-log.ts";
import { createVirtualClock, settled, type VirtualClock } from "./support/virtual-clock.ts";

const SEEDS = Array.from({ length: 60 }, (_, index) => index + 1);
const URGENCIES: readonly Urgency[] = ["wake", "sleep", "sweep"];

/** One attempt, as the platform saw it. */
interface Attempt {
  readonly name: string;
  readonly atMs: number;
  /** What was asked for has been done. */
  isApplied: boolean;
  isLimited: boolean;
}

/** A platform that lives in virtual time and has a bad day. */
function badPlatform(clock: VirtualClock, chance: Chance) {
  const attempts: Attempt[] = [];
  let inFlight = 0;
  let inFlightMax = 0;
  let badness = 0.3;

  const failed = (code: string) => Object.assign(new TypeError(code), { code });

  function wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        cancel();
        reject(signal.reason);
      };
      const cancel = clock.after(ms, () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  async function answer(attempt: Attempt, signal: AbortSignal): Promise<Response> {
    if (chance.happens(badness * 0.2)) throw failed("ECONNREFUSED");
    await wait(chance.between(1, 3000), signal);
    const fate = chance.happens(badness) ? chance.between(0, 7) : 8;
    if (fate === 0) throw failed("ECONNRESET");
    if (fate === 1) {
      attempt.isLimited = true;
      const seconds = chance.between(0, 90);
      const headers = chance.happens(0.5) ? { "retry-after": String(seconds) } : {};
      return new Response("Retry later", { status: 429, headers });
    }
    if (fate === 2) return new Response("no", { status: chance.oneOf([404, 409, 422, 401]) });
    attempt.isApplied = true;
    if (fate === 3) throw failed("ECONNRESET");
    if (fate === 4) return new Response("<html>", { headers: { "content-type": "text/html" } });
    if (fate === 5) return new Response("oops", { status: chance.oneOf([500, 502, 503, 408]) });
    if (fate === 6)
      return Response.json({ half: 1 })
        .text()
        .then((text) => halfOf(text));
    if (fate === 7) await wait(10_000_000, signal);
    const headers = { "x-left": String(chance.between(0, 50)) };
    return Response.json({}, { headers });
  }

  const fetch: PlatformFetch = async (url, init) => {
    const { signal } = init;
    if (!signal) throw new Error("no signal");
    const attempt = {
      name: new URL(url).pathname,
      atMs: clock.now(),
      isApplied: false,
      isLimited: false,
    };
    attempts.push(attempt);
    inFlight += 1;
    inFlightMax = Math.max(inFlightMax, inFlight);
    try {
      return await answer(attempt, signal);
    } finally {
      inFlight -= 1;
    }
  };
  return {
    fetch,
    attempts,
    get inFlightMax() {
      return inFlightMax;
    },
    setBadness(to: number) {
      badness = to;
    },
  };
}

const halfOf = (text: string) =>
  new Response(text.slice(0, -3), { headers: { "content-type": "application/json" } });

/** Fails if any stretch of time holds more calls than the budget allows. */
function expectWithin(limits: BudgetLimits, timesMs: readonly number[]): void {
  for (const [first, fromMs] of timesMs.entries()) {
    for (let last = first; last < timesMs.length; last += 1) {
      const lengthMs = (timesMs[last] ?? 0) - fromMs;
      const most = limits.burst + (limits.perMinute * lengthMs) / 60_000 + 1e-3;
      const made = last - first + 1;
      if (made > most) throw new Error(`${made} calls within ${lengthMs} ms: at most ${most}`);
    }
  }
}

interface Settled {
  readonly call: ApiCall;
  readonly error: unknown;
}

async function playDay(seed: number) {
  const chance = createChance(seed);
  const clock = createVirtualClock();
  const limits = {
    burst: chance.between(1, 20),
    perMinute: chance.between(5, 120),
    inFlightMax: chance.between(1, 6),
  };
  const platform = badPlatform(clock, chance);
  const { log, lines } = recordingLog();
  const api = createPlatformApi({
    provider: "scalingo",
    baseUrl: "https://api.example",
    credentials: fixedCredentials({ authorization: "Bearer secret-token-1" }),
    budget: limits,
    limitsOf: (_, header) => {
      const left = header("x-left");
      return left === null ? {} : { remaining: Number(left) };
    },
    fetch: platform.fetch,
    clock,
    random: chance.next,
    log,
  });
  const results: Settled[] = [];
  const calls = 80;
  for (let number = 0; number < calls; number += 1) {
    platform.setBadness(chance.oneOf([0, 0.1, 0.5, 1]));
    const method = chance.oneOf(["GET", "POST", "PATCH", "DELETE"] as const);
    const controller = new AbortController();
    const call: ApiCall = {
      what: `do ${number}`,
      method,
      path: `/${number}`,
      isRepeatable: chance.happens(0.5),
      urgency: chance.oneOf(URGENCIES),
      signal: controller.signal,
    };
    clock.after(chance.between(1, 400_000), () => controller.abort(new Error("long enough")));
    api.send(call).then(
      () => results.push({ call, error: null }),
      (error: unknown) => results.push({ call, error }),
    );
    if (chance.happens(0.7)) await clock.advance(chance.between(0, 8000));
  }
  await clock.advance(500_000);
  const pending = clock.pending();
  api.close();
  return { api, clock, limits, lines, pending, platform, results, calls };
}

describe("a platform's bad day", () => {
  for (const seed of SEEDS) {
    test(`seed ${seed}: within the budget, all settled, nothing repeated that must not be`, async () => {
      const day = await playDay(seed);
      const { attempts } = day.platform;
      expect(day.results).toHaveLength(day.calls);
      expect(day.pending).toBe(0);
      expect(day.platform.inFlightMax).toBeLessThanOrEqual(day.limits.inFlightMax);
      expectWithin(
        day.limits,
        attempts.map(({ atMs }) => atMs),
      );
      for (const { call, error } of day.results) {
        const own = attempts.filter(({ name }) => name === call.path);
        const applied = own.filter(({ isApplied }) => isApplied).length;
        expect(own.length).toBeLessThanOrEqual(call.urgency === "wake" ? 5 : 3);
        if (error !== null && !(error instanceof ProviderError)) throw error;
        if (call.method === "GET") {
          expect(error?.isUncertain ?? false).toBe(false);
          continue;
        }
        if (call.isRepeatable !== true) expect(applied).toBeLessThanOrEqual(1);
        if (error === null) expect(applied).toBeGreaterThanOrEqual(1);
        else if (applied > 0) expect(error.isUncertain).toBe(true);
      }
      // A day of some ten minutes: no condition is said to be bad twice.
      const loud = day.lines.filter(({ level }) => level === "warn" || level === "error");
      expect(loud.length).toBeLessThanOrEqual(6);
      expect(JSON.stringify(day.lines)).not.toContain("secret-token-1");
    });
  }
});

async function playQueue(seed: number) {
  const chance = createChance(seed);
  const clock = createVirtualClock();
  const limits = {
    burst: chance.between(1, 8),
    perMinute: chance.between(30, 300),
    inFlightMax: chance.between(1, 4),
  };
  const budget = createBudget(limits, clock);
  const waiting = new Map<AbortController, Urgency>();
  const places: { readonly place: Place; readonly urgency: Urgency }[] = [];
  const sentMs: number[] = [];
  const wrong: string[] = [];
  let pausedUntilMs = 0;

  function enter(urgency: Urgency): void {
    const controller = new AbortController();
    waiting.set(controller, urgency);
    budget.enter({ urgency, obeys: false, signal: controller.signal }).then(
      (entry) => {
        waiting.delete(controller);
        if (entry.kind === "paused") return;
        sentMs.push(clock.now());
        places.push({ place: entry.place, urgency });
        const isWakeWaiting = [...waiting.values()].includes("wake");
        if (urgency !== "wake" && isWakeWaiting) wrong.push("a wake waits behind it");
        if (urgency !== "wake" && clock.now() < pausedUntilMs) wrong.push("sent while paused");
      },
      () => waiting.delete(controller),
    );
  }
  for (let step = 0; step < 300; step += 1) {
    const act = chance.between(0, 9);
    const [place] = places.splice(chance.between(0, places.length), 1);
    if (act < 4) enter(chance.oneOf(URGENCIES));
    if (place !== undefined && act >= 4) {
      if (act === 9 && chance.happens(0.3)) {
        const pauseMs = chance.between(1, 20_000);
        pausedUntilMs = Math.max(pausedUntilMs, clock.now() + pauseMs);
        place.place.limited(pauseMs);
      }
      if (chance.happens(0.2)) place.place.told(chance.between(0, 5));
      place.place.leave();
    } else if (place !== undefined) {
      places.push(place);
    }
    if (act === 8) chance.oneOf([...waiting.keys(), new AbortController()]).abort("gone");
    await settled();
    if (chance.happens(0.5)) await clock.advance(chance.between(1, 2000));
  }
  for (let round = 0; waiting.size > 0 && round < 10_000; round += 1) {
    for (const { place } of places.splice(0)) place.leave();
    await clock.advance(1000);
  }
  return { clock, limits, sentMs, waiting, wrong };
}

describe("the queue", () => {
  for (const seed of SEEDS) {
    test(`seed ${seed}: no wake waits behind anything else, and everybody gets away`, async () => {
      const queue = await playQueue(seed);
      expect(queue.wrong).toEqual([]);
      expect(queue.waiting.size).toBe(0);
      expect(queue.clock.pending()).toBe(0);
      expectWithin(queue.limits, queue.sentMs);
    });
  }
});
