/** Pauses between tries end when the platform answers again, where its provider can tell. */

import { expect, test } from "bun:test";

import { persist } from "../src/provider-retry.ts";
import { ProviderError, type ProviderErrorKind } from "../src/providers/provider.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

function persisting(kind: ProviderErrorKind, options: { readonly retryAfterMs?: number } = {}) {
  const clock = createVirtualClock();
  const startMs = clock.now();
  const callsMs: number[] = [];
  const waits: AbortSignal[] = [];
  let { promise: back, resolve: comeBack } = Promise.withResolvers<void>();
  const end = new AbortController();
  const outcome = persist(
    async () => {
      callsMs.push(clock.now() - startMs);
      if (callsMs.length < 5) throw new ProviderError(kind, "away", options);
      return "done";
    },
    {
      clock,
      random: () => 0.5,
      signal: end.signal,
      untilMs: startMs + 60_000,
      async untilBack(signal) {
        waits.push(signal);
        const given = new Promise<never>((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
        await Promise.race([back, given]);
      },
    },
  ).catch((error: Error) => error.message);
  return {
    ...{ clock, callsMs, waits, outcome, end },
    comeBack() {
      comeBack();
      ({ promise: back, resolve: comeBack } = Promise.withResolvers<void>());
    },
  };
}

for (const kind of ["network", "unavailable"] as const) {
  test(`back: after ${kind}, a pause ends when the platform answers again`, async () => {
    const run = persisting(kind);
    // Pauses of 0.75 s, 1.5 s and 3 s go by; the fourth, of 6 s, is cut.
    await run.clock.advance(5_500);
    expect(run.callsMs).toEqual([0, 750, 2250, 5250]);
    run.comeBack();
    await run.clock.advance(0);
    expect(await run.outcome).toBe("done");
    expect(run.callsMs.at(-1)).toBe(5_500);
    expect(run.clock.pending()).toBe(0);
  });
}

test("back: nobody is asked for what is no outage, or while the platform wants a pause", async () => {
  for (const [kind, options] of [
    ["busy", {}],
    ["rate-limited", {}],
    ["unavailable", { retryAfterMs: 2_000 }],
  ] as const) {
    const run = persisting(kind, options);
    await run.clock.advance(60_000);
    expect([await run.outcome, run.waits]).toEqual(["done", []]);
  }
});

test("back: giving up ends the wait", async () => {
  const run = persisting("network");
  await run.clock.advance(100);
  run.end.abort(new Error("nobody waits any more"));
  expect(await run.outcome).toBe("nobody waits any more");
  expect([run.waits.map(({ aborted }) => aborted), run.clock.pending()]).toEqual([[true], 0]);
});
