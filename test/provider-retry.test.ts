import { describe, expect, test } from "bun:test";

import { isPassing, persist, retryPauseMs, sentenceOf } from "../src/provider-retry.ts";
import type { ProviderErrorKind } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const trouble = (
  kind: ProviderErrorKind,
  options: { retryAfterMs?: number; isUncertain?: boolean } = {},
) => new ProviderError(kind, `${kind}!`, options);

/** Persists with a script of failures, then succeeds with `done`. */
function persisting(
  failures: readonly Error[],
  options: { timeMs?: number; rereads?: readonly (string | null | Error)[] } = {},
) {
  const clock = createVirtualClock();
  const steps: string[] = [];
  const startMs = clock.now();
  const left = [...failures];
  const rereads = [...(options.rereads ?? [])];
  const controller = new AbortController();
  const outcome = persist(
    async () => {
      steps.push(`call at ${clock.now() - startMs}`);
      const failure = left.shift();
      if (failure !== undefined) throw failure;
      return "done";
    },
    {
      clock,
      random: () => 0.5,
      signal: controller.signal,
      untilMs: startMs + (options.timeMs ?? 60_000),
      async reread() {
        steps.push(`look at ${clock.now() - startMs}`);
        const found = rereads.shift() ?? null;
        if (found instanceof Error) throw found;
        return found;
      },
    },
  ).catch((error: Error) => error.message);
  return { clock, steps, outcome, controller };
}

describe("retry", () => {
  for (const kind of ["rate-limited", "busy", "network", "unavailable"] as const) {
    test(`retry: ${kind} passes, with doubling pauses`, async () => {
      const run = persisting([trouble(kind), trouble(kind), trouble(kind)]);
      await run.clock.advance(60_000);
      expect(await run.outcome).toBe("done");
      expect(run.steps).toEqual(["call at 0", "call at 750", "call at 2250", "call at 5250"]);
      expect(run.clock.pending()).toBe(0);
    });
  }

  for (const kind of [
    "auth",
    "forbidden",
    "payment",
    "not-found",
    "invalid",
    "protocol",
    "failed",
  ] as const) {
    test(`retry: ${kind} does not pass`, async () => {
      const run = persisting([trouble(kind)]);
      expect(await run.outcome).toBe(`${kind}!`);
      expect(run.steps).toHaveLength(1);
    });
  }

  test("retry: a mistake of ours is not tried again", async () => {
    expect(isPassing(new TypeError("undefined is not a function"))).toBe(false);
  });

  test("retry: the platform's wish is honoured, and where there is no time for it, it ends at once", async () => {
    const patient = persisting([trouble("rate-limited", { retryAfterMs: 30_000 })]);
    await patient.clock.advance(60_000);
    expect(await patient.outcome).toBe("done");
    expect(patient.steps).toEqual(["call at 0", "call at 30500"]);
    const hasty = persisting([trouble("rate-limited", { retryAfterMs: 30_000 })], {
      timeMs: 20_000,
    });
    expect(await hasty.outcome).toBe("rate-limited!");
    expect(hasty.clock.pending()).toBe(0);
  });

  test("retry: pauses have an end, and chance takes at most half of them", () => {
    const pauses = (chance: number) =>
      [1, 2, 5, 50].map((tries) => retryPauseMs(trouble("busy"), tries, chance));
    expect(pauses(0)).toEqual([500, 1000, 7500, 7500]);
    expect(pauses(0.999_999)).toEqual([1000, 2000, 15_000, 15_000]);
  });

  test("retry: it ends with its signal", async () => {
    const run = persisting([trouble("busy")]);
    await run.clock.advance(10);
    run.controller.abort(new Error("it crashed"));
    expect(await run.outcome).toBe("it crashed");
    expect(run.clock.pending()).toBe(0);
  });

  test("retry: what may have been done is looked for before it is done again", async () => {
    const lost = trouble("network", { isUncertain: true });
    const applied = persisting([lost], { rereads: ["found"] });
    await applied.clock.advance(60_000);
    expect(await applied.outcome).toBe("found");
    expect(applied.steps).toEqual(["call at 0", "look at 750"]);
    const notApplied = persisting([lost], { rereads: [null] });
    await notApplied.clock.advance(60_000);
    expect(await notApplied.outcome).toBe("done");
    expect(notApplied.steps).toEqual(["call at 0", "look at 750", "call at 750"]);
  });

  test("retry: while nobody can say whether it was done, it is not done again", async () => {
    const lost = trouble("protocol", { isUncertain: true });
    const rereads = [trouble("unavailable"), trouble("unavailable"), null];
    const run = persisting([lost], { rereads });
    await run.clock.advance(60_000);
    expect(await run.outcome).toBe("done");
    expect(run.steps.map((step) => step.split(" ")[0])).toEqual([
      "call",
      "look",
      "look",
      "look",
      "call",
    ]);
    const blind = persisting([lost], { rereads: [trouble("auth")] });
    await blind.clock.advance(60_000);
    expect(await blind.outcome).toBe("auth!");
    expect(blind.steps).toHaveLength(2);
  });
});

test("sentence: what does not pass begins with what it means, everything else stays as it is", () => {
  expect(sentenceOf("heroku", trouble("auth"))).toBe(
    "heroku does not accept the credentials it was given: auth!",
  );
  expect(sentenceOf("heroku", trouble("payment"))).toBe("heroku wants a payment first: payment!");
  for (const error of [trouble("failed"), trouble("busy"), new Error("failed!")]) {
    expect(sentenceOf("heroku", error)).toBe(error.message);
  }
});
