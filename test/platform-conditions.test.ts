import { describe, expect, test } from "bun:test";

import type { ApiCall } from "../src/providers/platform-api.ts";
import { createBreaker } from "../src/providers/platform-breaker.ts";
import { createBudget } from "../src/providers/platform-budget.ts";
import { createCondition } from "../src/providers/platform-condition.ts";
import { fixedCredentials } from "../src/providers/platform-token.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { apiOf, callOf, failureOf, servePlatform } from "./support/platform-server.ts";
import type { LogLine } from "./support/recording-log.ts";
import { recordingLog } from "./support/recording-log.ts";
import { until } from "./support/until.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

const WAKE: Partial<ApiCall> = {
  what: "wake shop",
  method: "POST",
  path: "/wake",
  urgency: "wake",
};
const SLEEP: Partial<ApiCall> = { ...WAKE, what: "put shop to sleep", urgency: "sleep" };

const loud = (lines: readonly LogLine[]) =>
  lines.filter(({ level }) => level !== "debug").map(({ level, message }) => `${level} ${message}`);

/** Attempts that have come to their end. */
const called = (lines: readonly LogLine[]) => lines.filter(({ level }) => level === "debug").length;

/** A platform that answers what `state` says at the time. */
function platformWith(state: { status: number; headers?: Record<string, string>; text?: string }) {
  return servePlatform(() => {
    const { headers = {}, status, text } = state;
    return text === undefined
      ? Response.json({}, { status, headers })
      : new Response(text, { status, headers });
  });
}

describe("rate limits", () => {
  test("a 429 in plain text sends sweeps away for its minute, at once and unsent", async () => {
    const clock = createVirtualClock();
    const state = { status: 429, text: "Retry later" };
    using platform = platformWith(state);
    using given = apiOf(platform.origin, { clock });
    const first = await failureOf(given.api.send(callOf()));
    expect(first).toMatchObject({ kind: "rate-limited", retryAfterMs: 60_000, isUncertain: false });
    expect(first.message).toContain('status 429 "Retry later"');
    await clock.advance(10_000);
    const second = await failureOf(given.api.send(callOf()));
    expect(second).toMatchObject({ kind: "rate-limited", retryAfterMs: 50_000 });
    expect(platform.requests).toHaveLength(1);
    state.status = 200;
    await clock.advance(50_000);
    await given.api.send(callOf());
    expect(platform.requests).toHaveLength(2);
    expect(clock.pending()).toBe(0);
  });

  test("a write that was refused by a rate limit is sent again when that is over", async () => {
    const clock = createVirtualClock();
    const state = { status: 429, headers: { "retry-after": "30" } };
    using platform = platformWith(state);
    using given = apiOf(platform.origin, { clock });
    const sleep = given.api.send(callOf(SLEEP));
    await until(() => called(given.lines) === 1 && clock.pending() === 1);
    state.status = 200;
    await clock.advance(29_999);
    expect(platform.requests).toHaveLength(1);
    await clock.advance(1);
    expect((await sleep).status).toBe(200);
    expect(platform.requests).toHaveLength(2);
  });

  test("a wake gets through after two seconds, while a sleep keeps waiting", async () => {
    const clock = createVirtualClock();
    const state = { status: 429, headers: { "retry-after": "60" } };
    using platform = platformWith(state);
    using given = apiOf(platform.origin, { clock });
    await failureOf(given.api.send(callOf()));
    state.status = 200;
    const sleep = given.api.send(callOf(SLEEP));
    const wake = given.api.send(callOf(WAKE));
    await clock.advance(2000);
    await wake;
    expect(platform.requests.map(({ line }) => line)).toEqual(["GET /apps", "POST /wake"]);
    await clock.advance(58_000);
    await sleep;
  });

  test("a wake is tried as a probe once, then when the platform allows it, then it fails", async () => {
    const clock = createVirtualClock();
    using platform = platformWith({ status: 429, headers: { "retry-after": "60" } });
    using given = apiOf(platform.origin, { clock });
    const failure = failureOf(given.api.send(callOf(WAKE)));
    for (const [count, delayMs] of [
      [1, 2000],
      [2, 60_000],
    ] as const) {
      await until(() => called(given.lines) === count && clock.pending() === 1);
      await clock.advance(delayMs - 1);
      expect(platform.requests).toHaveLength(count);
      await clock.advance(1);
    }
    expect(await failure).toMatchObject({ kind: "rate-limited", retryAfterMs: 60_000 });
    expect(platform.requests).toHaveLength(3);
    expect(clock.pending()).toBe(0);
  });

  test("a wake that is sent away without a word for how long gets two probes more", async () => {
    const clock = createVirtualClock();
    using platform = platformWith({ status: 429, text: "Retry later" });
    using given = apiOf(platform.origin, { clock });
    const failure = failureOf(given.api.send(callOf(WAKE)));
    for (const [count, delayMs] of [
      [1, 2000],
      [2, 4000],
      [3, 8000],
      [4, 60_000],
    ] as const) {
      await until(() => called(given.lines) === count && clock.pending() === 1);
      await clock.advance(delayMs - 1);
      expect(platform.requests).toHaveLength(count);
      await clock.advance(1);
    }
    expect((await failure).kind).toBe("rate-limited");
    expect(platform.requests).toHaveLength(5);
    expect(clock.pending()).toBe(0);
  });

  test("the platform's own way of saying so counts: remaining calls, pauses, a 403 that means 429", async () => {
    const clock = createVirtualClock();
    let left = "300";
    using platform = servePlatform((number) =>
      Response.json({}, { status: number === 3 ? 403 : 200, headers: { "x-left": left } }),
    );
    using given = apiOf(platform.origin, {
      clock,
      budget: { burst: 4, perMinute: 60, inFlightMax: 9 },
      limitsOf: (_, header) => ({ remaining: Number(header("x-left")) }),
      understand: () => ({ kind: "rate-limited", message: "too fast", retryAfterMs: 7000 }),
    });
    expect(given.api.remaining).toBeNull();
    await given.api.send(callOf());
    expect(given.api.remaining).toBe(300);
    left = "nonsense";
    await given.api.send(callOf());
    expect(given.api.remaining).toBe(300);
    left = "0";
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure).toMatchObject({ kind: "rate-limited", retryAfterMs: 7000 });
    expect(failure.message).toContain("too fast");
    expect(given.api.remaining).toBe(0);
    // Nothing is left: the wake waits for the first call that comes back, ahead of the end of the pause.
    const wake = given.api.send(callOf(WAKE));
    await clock.advance(2000);
    await wake;
    expect(platform.requests).toHaveLength(4);
  });

  test("APIs that share a budget share the pause, and the one that is closed leaves it to the other", async () => {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 9, perMinute: 60, inFlightMax: 9 }, clock);
    using limited = platformWith({ status: 429 });
    using fine = platformWith({ status: 200 });
    using one = apiOf(limited.origin, { clock, budget });
    using other = apiOf(fine.origin, { clock, budget });
    await failureOf(one.api.send(callOf()));
    expect((await failureOf(other.api.send(callOf()))).kind).toBe("rate-limited");
    one.api.close();
    await clock.advance(60_000);
    expect((await other.api.send(callOf())).status).toBe(200);
    budget.close();
  });

  test("the log says it once, and when it is over, however often it comes back", async () => {
    const clock = createVirtualClock();
    const state = { status: 429 };
    using platform = platformWith(state);
    using given = apiOf(platform.origin, { clock });
    for (let minute = 0; minute < 10; minute += 1) {
      state.status = 429;
      await failureOf(given.api.send(callOf()));
      state.status = 200;
      await clock.advance(60_000);
      await given.api.send(callOf());
    }
    expect(loud(given.lines)).toEqual([
      'warn too many calls were made (status 429 "{}"); no calls for 60 s, but for wakes',
      "info the platform allows calls again",
    ]);
    expect(given.lines.find(({ level }) => level === "warn")?.fields).toEqual({
      provider: "heroku",
      api: new URL(platform.origin).host,
    });
  });
});

describe("an API that does not answer", () => {
  async function down(state: { status: number }, clock = createVirtualClock()) {
    const platform = platformWith(state);
    const given = apiOf(platform.origin, { clock });
    for (let call = 0; call < 5; call += 1) await failureOf(given.api.send(callOf(SLEEP)));
    return {
      clock,
      platform,
      ...given,
      [Symbol.dispose]: () => {
        platform[Symbol.dispose]();
        given[Symbol.dispose]();
      },
    };
  }

  test("after five failures in a row all but wakes fail at once, unsent, for ten seconds", async () => {
    using world = await down({ status: 503 });
    expect(world.platform.requests).toHaveLength(5);
    for (const call of [callOf(), callOf(SLEEP)]) {
      const failure = await failureOf(world.api.send(call));
      expect(failure).toMatchObject({
        kind: "unavailable",
        retryAfterMs: 10_000,
        isUncertain: false,
      });
      expect(failure.message).toContain("status 503");
    }
    expect(world.platform.requests).toHaveLength(5);
    await failureOf(world.api.send(callOf(WAKE)));
    expect(world.platform.requests).toHaveLength(6);
    expect(loud(world.lines)).toHaveLength(1);
  });

  test("then one is tried, and each that fails doubles the time, up to a minute", async () => {
    using world = await down({ status: 503 });
    let sent = 5;
    for (const openMs of [10_000, 20_000, 40_000, 60_000, 60_000]) {
      await world.clock.advance(openMs - 1);
      await failureOf(world.api.send(callOf(SLEEP)));
      expect(world.platform.requests).toHaveLength(sent);
      await world.clock.advance(1);
      await Promise.all(Array.from({ length: 5 }, () => failureOf(world.api.send(callOf(SLEEP)))));
      sent += 1;
      expect(world.platform.requests).toHaveLength(sent);
    }
    expect(loud(world.lines)).toHaveLength(1);
  });

  test("a wake that gets through ends it for all, and the log says so", async () => {
    const state = { status: 500 };
    using world = await down(state);
    state.status = 200;
    await world.api.send(callOf(WAKE));
    await world.api.send(callOf());
    expect(loud(world.lines)).toEqual([
      expect.stringMatching(/^warn the platform's API gives no usable answer: .*status 500/),
      "info the platform's API answers again",
    ]);
  });

  test("those who wait for their turn or their next try are told at once", async () => {
    const clock = createVirtualClock();
    let answer: (() => void) | undefined;
    using platform = servePlatform(async (_, request) => {
      const isSlow = request.url.endsWith("/slow");
      if (isSlow) await new Promise<void>((resolve) => (answer = resolve));
      return isSlow ? Response.json({}) : new Response(null, { status: 503 });
    });
    using given = apiOf(platform.origin, {
      clock,
      random: () => 0.9,
      budget: { burst: 9, perMinute: 1, inFlightMax: 2 },
    });
    const slow = given.api.send(callOf({ path: "/slow" }));
    await until(() => answer !== undefined);
    const queued = failureOf(given.api.send(callOf()));
    for (let call = 0; call < 5; call += 1) await failureOf(given.api.send(callOf(WAKE)));
    expect(await queued).toMatchObject({ kind: "unavailable", isUncertain: false });
    // What is under way goes on: it may be the proof that the API answers.
    answer?.();
    expect((await slow).status).toBe(200);
    expect(clock.pending()).toBe(0);
  });

  test("a call that could not be sent for its token is no answer", async () => {
    const state = { status: 500 };
    let authorization = "fine";
    using platform = platformWith(state);
    const credentials = { headers: () => Promise.resolve({ authorization }) };
    using given = apiOf(platform.origin, { credentials });
    for (const number of [1, 2, 3, 4, 5, 6]) {
      authorization = number === 3 ? "not\nfine" : "fine";
      await failureOf(given.api.send(callOf({ ...WAKE, what: `call ${number}` })));
    }
    expect(loud(given.lines)).toHaveLength(2);
    expect(loud(given.lines)[1]).toContain("gives no usable answer");
  });

  test("an answer of any kind in between starts the count anew, and 404s never count", async () => {
    const state = { status: 500 };
    using platform = platformWith(state);
    using given = apiOf(platform.origin);
    for (const status of [500, 500, 500, 500, 404, 500, 500, 500, 500, 404, 404, 404, 404, 404]) {
      state.status = status;
      await failureOf(given.api.send(callOf(SLEEP)));
    }
    expect(platform.requests).toHaveLength(14);
    expect(loud(given.lines)).toEqual([]);
  });
});

describe("a token that is refused", () => {
  test("is said once, spares the platform for a minute, and is said to work again", async () => {
    const clock = createVirtualClock();
    const state = { status: 401 };
    using platform = platformWith(state);
    using given = apiOf(platform.origin, { clock });
    for (let minute = 0; minute < 30; minute += 1) {
      for (let call = 0; call < 3; call += 1) {
        const failure = await failureOf(given.api.send(callOf()));
        expect(failure.kind).toBe("auth");
        expect(failure.message).toContain("does not accept the token");
      }
      await clock.advance(60_000);
    }
    expect(platform.requests).toHaveLength(30);
    state.status = 200;
    await given.api.send(callOf());
    await given.api.send(callOf());
    expect(loud(given.lines)).toEqual([
      expect.stringMatching(/^error the platform does not accept the token .*stay reachable/),
      "info the token works again",
    ]);
  });

  test("a wake is tried nevertheless, and when it works all others go again", async () => {
    const state = { status: 401 };
    using platform = platformWith(state);
    using given = apiOf(platform.origin);
    await failureOf(given.api.send(callOf()));
    await failureOf(given.api.send(callOf(WAKE)));
    expect(platform.requests).toHaveLength(2);
    state.status = 200;
    await given.api.send(callOf(WAKE));
    await given.api.send(callOf());
    expect(platform.requests).toHaveLength(4);
  });

  test("a token that can be renewed is renewed once, without a word", async () => {
    let token = 1;
    using platform = servePlatform((_, request) =>
      Response.json({}, { status: request.headers.get("authorization") === "2" ? 200 : 401 }),
    );
    const credentials = {
      headers: () => Promise.resolve({ authorization: String(token) }),
      renew: () => {
        token += 1;
        return true;
      },
    };
    using given = apiOf(platform.origin, { credentials });
    expect((await given.api.send(callOf(WAKE))).status).toBe(200);
    expect(platform.requests).toHaveLength(2);
    token = 5;
    const failure = await failureOf(given.api.send(callOf(WAKE)));
    expect(failure).toMatchObject({ kind: "auth", isUncertain: false });
    expect(platform.requests).toHaveLength(4);
    expect(loud(given.lines)).toHaveLength(1);
  });

  test("no token to be had spares the platform too; who tried to get one has said so", async () => {
    let asked = 0;
    using platform = platformWith({ status: 200 });
    using given = apiOf(platform.origin, {
      credentials: {
        headers: () => {
          asked += 1;
          return Promise.reject(new ProviderError("auth", "could not exchange the token: no"));
        },
      },
    });
    for (let call = 0; call < 3; call += 1) {
      const failure = await failureOf(given.api.send(callOf()));
      expect(failure).toMatchObject({ kind: "auth" });
      expect(failure.message).toStartWith(
        "could not list the apps: could not exchange the token: no",
      );
    }
    expect(asked).toBe(1);
    expect(platform.requests).toHaveLength(0);
    expect(loud(given.lines)).toEqual([]);
  });

  test("credentials that fail otherwise fail the call in their words, and a mistake in them is no refusal", async () => {
    using platform = platformWith({ status: 200 });
    const failing = (error: Error) => ({ headers: () => Promise.reject(error) });
    const slow = new ProviderError("rate-limited", "no calls", { retryAfterMs: 5000 });
    using given = apiOf(platform.origin, { credentials: failing(slow) });
    expect(await failureOf(given.api.send(callOf()))).toMatchObject({
      kind: "rate-limited",
      retryAfterMs: 5000,
    });
    using broken = apiOf(platform.origin, { credentials: failing(new TypeError("a bug")) });
    expect(broken.api.send(callOf())).rejects.toThrow(TypeError);
    await settled();
    using fixed = apiOf(platform.origin, { credentials: fixedCredentials({}) });
    await fixed.api.send(callOf());
  });
});

describe("a condition in the log", () => {
  test("it is said once, and not again within ten minutes unless it lasts beyond them", () => {
    const clock = createVirtualClock();
    const { log, lines } = recordingLog();
    const condition = createCondition({ bad: log.warn, good: log.info, fields: {}, clock });
    const at = async (minutes: number) => clock.advance(minutes * 60_000);
    condition.end("fine");
    condition.begin("first");
    condition.begin("first");
    condition.end("over");
    condition.end("over");
    condition.begin("unsaid");
    return at(9).then(async () => {
      condition.begin("unsaid");
      await at(1);
      condition.begin("lasts");
      condition.begin("lasts");
      condition.end("over at last");
      expect(lines.map(({ message }) => message)).toEqual([
        "first",
        "over",
        "lasts",
        "over at last",
      ]);
    });
  });
});

describe("a circuit breaker", () => {
  const options = { failuresMax: 2, openFirstMs: 10, openLastMs: 40 };

  test("calls from before it opened neither prolong it nor are its probe", async () => {
    const clock = createVirtualClock();
    const breaker = createBreaker({ ...options, clock });
    const early = [1, 2, 3, 4].map(() => breaker.enter("sweep"));
    expect(early.map((pass) => pass.settle("bad"))).toEqual([
      null,
      "opened",
      "still-open",
      "still-open",
    ]);
    expect(early[0]?.settle("good")).toBeNull();
    expect(breaker.restMs("sweep")).toBe(10);
    expect(breaker.restMs("wake")).toBe(0);
    expect(breaker.enter("wake").settle("bad")).toBe("still-open");
    expect(breaker.restMs("sleep")).toBe(10);
  });

  test("a probe that shows nothing makes room for the next one", async () => {
    const clock = createVirtualClock();
    const breaker = createBreaker({ ...options, clock });
    for (const _ of [1, 2]) breaker.enter("sweep").settle("bad");
    await clock.advance(10);
    expect(breaker.restMs("sweep")).toBe(0);
    const probe = breaker.enter("sweep");
    expect(breaker.restMs("sweep")).toBeGreaterThan(0);
    probe.settle("none");
    expect(breaker.restMs("sweep")).toBe(0);
    expect(breaker.enter("sweep").settle("good")).toBe("closed");
    expect(breaker.restMs("sweep")).toBe(0);
  });
});
