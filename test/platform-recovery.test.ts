/** How soon a wake goes on when its platform answers again. */

import { describe, expect, test } from "bun:test";

import { persist } from "../src/provider-retry.ts";
import { createRecovery } from "../src/providers/platform-recovery.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const ORIGIN = "http://api.example";

/** A platform that is away until it is said to be back, and callers that make their call until it succeeds. */
function world() {
  const clock = createVirtualClock();
  const controller = new AbortController();
  const { signal } = controller;
  let status: number | null = null;
  let calls = 0;
  const recovery = createRecovery(async () => {
    calls += 1;
    if (status === null) throw new Error("connection refused");
    return new Response(null, { status });
  }, clock);
  const call = async (origin = ORIGIN) => {
    const answer = await recovery.fetch(`${origin}/apps`, {}).catch(() => null);
    if (answer === null) throw new ProviderError("network", "no connection");
    if (answer.status >= 500) throw new ProviderError("unavailable", "it is down");
  };
  return {
    ...{ clock, controller, recovery, call },
    answer(code: number) {
      status = code;
    },
    calls: () => calls,
    /** @returns when the call has succeeded, ms since the epoch */
    async wake() {
      const untilMs = clock.now() + 3_600_000;
      const limits = { clock, random: () => 0.5, signal, untilMs };
      await persist(() => call(), { ...limits, untilBack: recovery.untilBack });
      return clock.now();
    },
  };
}

describe("platform recovery", () => {
  for (const kind of ["is not reached", "answers 503"] as const) {
    test(`a platform that ${kind} for minutes: the wake goes on within two seconds afterwards`, async () => {
      const { answer, clock, wake } = world();
      if (kind === "answers 503") answer(503);
      const woke = wake();
      await clock.advance(10 * 60_000);
      answer(200);
      const backMs = clock.now();
      await clock.advance(30_000);
      expect((await woke) - backMs).toBeLessThanOrEqual(2_000);
      expect(clock.pending()).toBe(0);
    });
  }

  test("as soon as any call is answered all who wait go on", async () => {
    const { answer, call, clock, wake } = world();
    const woke = Array.from({ length: 50 }, () => wake());
    await clock.advance(10 * 60_000);
    answer(200);
    const backMs = clock.now();
    await call();
    await clock.advance(0);
    expect(new Set(await Promise.all(woke))).toEqual(new Set([backMs]));
    expect(clock.pending()).toBe(0);
  });

  test("that another part of the platform answers, which was never away, hurries nobody", async () => {
    const { answer, call, calls, clock, recovery } = world();
    await expect(call()).rejects.toThrow("no connection");
    let isBack = false;
    const waiting = recovery.untilBack(new AbortController().signal).then(() => {
      isBack = true;
    });
    answer(200);
    await call("http://other.example");
    await clock.advance(1_000);
    expect([isBack, calls()]).toEqual([false, 2]);
    await clock.advance(1_000);
    await waiting;
  });

  test("of many who wait one goes every two seconds to find out, besides their own pauses", async () => {
    const { calls, clock, controller, wake } = world();
    const woke = Promise.allSettled(Array.from({ length: 10 }, () => wake()));
    await clock.advance(60_000);
    const before = calls();
    await clock.advance(60_000);
    // Each comes back after eleven seconds by itself, and thirty turns are given.
    expect(calls() - before).toBeLessThanOrEqual(30 + 10 * 6);
    controller.abort(new Error("enough"));
    await woke;
    expect(clock.pending()).toBe(0);
  });
});
