/** Good and bad days of a platform, as an app and those who ask for it live through them. */

import { describe, expect, test } from "bun:test";

import type { AppState } from "../src/app.ts";
import type { Decision } from "../src/engines/engine.ts";
import type { Observation, Phase, ProviderErrorKind, Step } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { headFor, NAVIGATION } from "./support/request-head.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const CAUSE = { kind: "command", detail: "test" } as const;
const MINUTE_MS = 60_000;
const UP: Step = { done: true, target: sampleTarget("shop") };
const UNKNOWN: AppState = { kind: "unknown", sinceMs: 0 };

/** A platform like those that are asked over HTTP: no notices, lists that may slip, minutes to wake. */
function platformWorld(state?: AppState) {
  const provider = createStubProvider({ listsDeclaredApps: false, watches: false });
  const world = createSmallWorld({ provider });
  world.policies.set("shop", { wakeTimeoutMs: 15 * MINUTE_MS });
  const app = world.add("shop", state === undefined ? {} : { state });
  return { ...world, world, app };
}

/** Asks for the app. @returns what became of it so far */
function ask(world: SmallWorld, navigation = false): { decision: Decision | null } {
  const head = headFor("shop", navigation ? { headers: NAVIGATION } : {});
  const admission = world.core.handler.admit(head);
  if (admission.kind !== "held") return { decision: admission };
  const asked: { decision: Decision | null } = { decision: null };
  void admission.decision.then((decision) => {
    asked.decision = decision;
  });
  return asked;
}

function told({ decision }: { readonly decision: Decision | null }) {
  if (decision?.kind !== "answer") throw new Error(`it was not told anything: ${decision?.kind}`);
  const { status, headers, body } = decision.answer;
  const text = typeof body === "string" ? body : "";
  return {
    status,
    retryAfter: new Headers(headers.map(([name, value]) => [name, value])).get("retry-after"),
    text,
  };
}

describe("an app of which nobody knows how it is", () => {
  const unreachable = async () => {
    throw new ProviderError("unavailable", "503");
  };

  test("unknown: its list says where it answers, and a harmless request tries there at once", async () => {
    const { world, app, provider } = platformWorld(UNKNOWN);
    const target = sampleTarget("shop");
    const listing = { id: "shop", key: "shop", sleepsByItself: false, observation: null, target };
    provider.script.list = async () => [listing];
    provider.script.observe = unreachable;
    await world.core.reconciler.run(CAUSE);
    expect([app.state.kind, app.lastTarget]).toEqual(["unknown", target]);
    expect(ask(world).decision).toMatchObject({ kind: "forward", target });
  });

  test("unknown: what must not be asked twice waits until somebody has looked", async () => {
    const { world, app, clock, provider } = platformWorld(UNKNOWN);
    app.lastTarget = sampleTarget("shop");
    const admission = world.core.handler.admit(headFor("shop", { method: "POST" }));
    expect(admission.kind).toBe("held");
    await clock.advance(1100);
    expect([app.state.kind, provider.calls]).toEqual(["awake", ["wake shop"]]);
  });

  test("unknown: while its platform cannot be asked, an app that answers is up and is not woken", async () => {
    const { world, app, clock, provider } = platformWorld(UNKNOWN);
    app.lastTarget = sampleTarget("shop");
    provider.up.add("shop");
    provider.script.observe = unreachable;
    world.core.handler.admit(headFor("shop", { method: "POST" }));
    await clock.advance(1100);
    expect([app.state.kind, provider.calls]).toEqual(["awake", []]);
  });
});

describe("an app whose wake has failed", () => {
  test("failed: while its platform cannot be asked, one that has come up since is served, and not woken", async () => {
    const { world, app, clock, provider } = platformWorld({
      ...{ kind: "failed", sinceMs: 0, why: "the token was refused", retryAtMs: 0 },
    });
    app.lastTarget = sampleTarget("shop");
    provider.up.add("shop");
    provider.script.observe = async () => {
      throw new ProviderError("auth", "401");
    };
    const asked = ask(world);
    await clock.advance(100);
    expect([asked.decision?.kind, app.state.kind, provider.calls]).toEqual([
      "forward",
      "awake",
      [],
    ]);
  });
});

describe("a wake that takes minutes", () => {
  test("long wake: who asks is told to come back, the wake goes on, the next one joins it, and all are served", async () => {
    const { world, app, clock, provider } = platformWorld();
    const booting = heldCall<Step>();
    provider.script.wake = (_id, _snapshot, signal) => booting.pass(signal);
    const [machine, browser] = [ask(world), ask(world, true)];
    await clock.advance(25_000);
    expect(told(machine)).toMatchObject({ status: 503, retryAfter: "5" });
    expect(told(browser)).toMatchObject({ status: 503, text: expect.stringContaining("<html") });
    expect(app.state.kind).toBe("waking");
    await clock.advance(5 * MINUTE_MS);
    const later = ask(world);
    await clock.advance(10_000);
    expect(later.decision).toBeNull();
    provider.up.add("shop");
    booting.open(UP);
    await clock.advance(100);
    expect(later.decision?.kind).toBe("forward");
    expect(provider.calls).toEqual(["wake shop"]);
  });

  test("long wake: an operation is followed for minutes, through polls that fail", async () => {
    const { world, app, clock, provider } = platformWorld();
    const operation = { id: "deployment-1" };
    provider.script.wake = async () => ({ done: false, operation, pollAfterMs: 5000 });
    let polls = 0;
    provider.script.poll = async () => {
      polls += 1;
      if (polls % 2 === 0) throw new ProviderError("unavailable", "502");
      if (polls < 40) return { done: false, operation, pollAfterMs: 5000 };
      provider.up.add("shop");
      return UP;
    };
    ask(world);
    await clock.advance(5 * MINUTE_MS);
    expect([app.state.kind, polls]).toEqual(["awake", 41]);
    expect(world.eventsOf("shop")).not.toContain("APP_START_FAILED");
  });

  test("long wake: at the platform's own limit it has failed, and says so", async () => {
    const { world, app, clock, provider } = platformWorld();
    provider.script.wake = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    ask(world);
    await clock.advance(15 * MINUTE_MS);
    expect(app.state).toMatchObject({ kind: "failed", why: "it did not answer within 15 min" });
    expect(clock.pending()).toBe(0);
  });
});

describe("a wake on a bad day", () => {
  for (const kind of ["rate-limited", "busy", "network", "unavailable"] as const) {
    test(`bad day: ${kind} is waited for, and who asked is served`, async () => {
      const { world, clock, provider } = platformWorld();
      let failures = 3;
      provider.script.wake = async (id) => {
        failures -= 1;
        if (failures >= 0) throw new ProviderError(kind, "not now", { retryAfterMs: 2000 });
        provider.up.add(id);
        return UP;
      };
      const asked = ask(world);
      await clock.advance(20_000);
      expect(asked.decision?.kind).toBe("forward");
      expect(provider.calls).toHaveLength(4);
      expect(world.eventsOf("shop")).toEqual(["APP_WAKING", "APP_STARTED"]);
    });
  }

  test.each<[ProviderErrorKind, string]>([
    ["auth", "stub does not accept the credentials it was given: 401"],
    ["forbidden", "stub does not allow it with these credentials: 401"],
    ["payment", "stub wants a payment first: 401"],
    ["not-found", "stub does not know the app any more: 401"],
    ["invalid", "stub refuses the call itself: 401"],
  ])("bad day: %s is told at once: %s", async (kind, why) => {
    const { world, app, clock, provider } = platformWorld();
    provider.script.wake = async () => {
      throw new ProviderError(kind, "401");
    };
    const asked = ask(world);
    await clock.advance(0);
    expect(told(asked)).toMatchObject({ status: 503, text: expect.stringContaining(why) });
    expect(app.state).toMatchObject({ kind: "failed", why });
    expect(provider.calls).toHaveLength(1);
  });

  test("bad day: a wish to be left alone that is longer than the wake is told at once, and obeyed", async () => {
    const { world, app, clock, provider } = platformWorld();
    const retryAfterMs = 60 * MINUTE_MS;
    provider.script.wake = async () => {
      throw new ProviderError("rate-limited", "429", { retryAfterMs });
    };
    const asked = ask(world);
    await clock.advance(0);
    expect(told(asked)).toMatchObject({ status: 503, retryAfter: "3600" });
    await clock.advance(59 * MINUTE_MS);
    ask(world);
    expect([provider.calls.length, app.state.kind]).toEqual([1, "failed"]);
  });

  test("bad day: a wake that was taken although its answer was lost is not asked for again", async () => {
    const { world, app, clock, provider } = platformWorld();
    provider.script.wake = async (id) => {
      provider.up.add(id);
      throw new ProviderError("network", "connection reset", { isUncertain: true });
    };
    const asked = ask(world);
    await clock.advance(5000);
    expect(asked.decision?.kind).toBe("forward");
    expect([app.state.kind, provider.calls]).toEqual(["awake", ["wake shop"]]);
  });

  test("bad day: one that was not taken is asked for again, once that is known", async () => {
    const { world, app, clock, provider } = platformWorld();
    let looks = 0;
    provider.script.observe = async (id) => {
      looks += 1;
      if (looks < 3) throw new ProviderError("unavailable", "503");
      return { phase: provider.up.has(id) ? "awake" : "asleep", target: null };
    };
    let isFirst = true;
    provider.script.wake = async (id) => {
      if (isFirst) {
        isFirst = false;
        throw new ProviderError("network", "connection reset", { isUncertain: true });
      }
      expect(looks).toBe(3);
      provider.up.add(id);
      return UP;
    };
    ask(world);
    await clock.advance(20_000);
    expect([app.state.kind, provider.calls.length]).toEqual(["awake", 2]);
  });

  test("bad day: an app that failed or was blocked under an uncertain wake is said to be so", async () => {
    for (const [phase, why] of [
      ["failed", "R10 boot timeout"],
      ["blocked", "the platform blocks it: R10 boot timeout"],
    ] as const) {
      const { world, app, clock, provider } = platformWorld();
      provider.script.observe = async () => ({ phase, target: null, reason: "R10 boot timeout" });
      provider.script.wake = async () => {
        throw new ProviderError("network", "connection reset", { isUncertain: true });
      };
      ask(world);
      await clock.advance(2000);
      expect(app.state).toMatchObject({ kind: "failed", why });
      expect(provider.calls).toHaveLength(1);
    }
  });
});

describe("what the platform says", () => {
  const seen = (
    phase: Phase,
    target: Observation["target"] = null,
    reason?: string,
  ): Observation => (reason === undefined ? { phase, target } : { phase, target, reason });

  /** The platform says so, in its list and when it is asked for the app. */
  async function says(world: SmallWorld, observation: Observation): Promise<void> {
    world.provider.script.observe = async () => observation;
    world.provider.script.list = async () => [
      { id: "shop", key: "shop", observation, sleepsByItself: false },
    ];
    await world.core.reconciler.run({ kind: "sweep", detail: "sweep" });
  }

  async function sweepTwice(world: SmallWorld): Promise<void> {
    for (let sweep = 0; sweep < 2; sweep += 1) {
      await world.core.sweeper.sweep();
      await world.clock.advance(2 * MINUTE_MS);
    }
  }

  for (const state of [awakeAt("shop"), UNKNOWN, undefined]) {
    test(`blocked: an app that was ${state?.kind ?? "asleep"}: who asks is told why, and no call is made`, async () => {
      const { world, app, clock, provider } = platformWorld(state);
      await clock.advance(60_000);
      await says(world, seen("blocked", null, "suspended: an invoice is unpaid"));
      const why = "the platform blocks it: suspended: an invoice is unpaid";
      expect(app.state).toMatchObject({ kind: "failed", why });
      for (let n = 0; n < 5; n += 1) {
        const asked = ask(world);
        await clock.advance(30_000);
        expect(told(asked)).toMatchObject({ status: 503, text: expect.stringContaining(why) });
      }
      expect(provider.calls).toEqual([]);
      expect(world.eventsOf("shop")).not.toContain("APP_CRASHED");
    });
  }

  test("blocked: without words of the platform's own, people are told where to look", async () => {
    const { world, app } = platformWorld();
    await says(world, seen("blocked"));
    expect(app.state).toMatchObject({
      why: expect.stringContaining("billing, moderation or maintenance"),
    });
  });

  test("blocked: when it no longer is, it is as it was", async () => {
    const { world, app, clock, provider } = platformWorld(awakeAt("shop"));
    await says(world, seen("blocked"));
    await says(world, seen("awake", sampleTarget("shop")));
    expect(app.state.kind).toBe("awake");
    provider.up.delete("shop");
    await says(world, seen("blocked"));
    await says(world, seen("asleep"));
    delete provider.script.observe;
    await clock.advance(60_000);
    const asked = ask(world);
    await clock.advance(100);
    expect([asked.decision?.kind, provider.calls]).toEqual(["forward", ["wake shop"]]);
  });

  test("blocked: while the platform cannot be asked, what it said last holds", async () => {
    const { world, clock, provider } = platformWorld();
    await says(world, seen("blocked", null, "maintenance"));
    provider.script.observe = async () => {
      throw new ProviderError("unavailable", "503");
    };
    await clock.advance(60_000);
    const asked = ask(world);
    await clock.advance(0);
    expect(told(asked).text).toContain("maintenance");
    expect(provider.calls).toEqual([]);
  });

  for (const phase of ["deploying", "unmanaged", "unknown", "blocked", "waking"] as const) {
    test(`${phase}: an idle app that was awake is not stopped, without a hook or an event`, async () => {
      const { world, clock, provider } = platformWorld(awakeAt("shop"));
      await clock.advance(10 * MINUTE_MS);
      await says(world, seen(phase, sampleTarget("shop")));
      world.provider.calls.length = 0;
      await sweepTwice(world);
      expect(provider.calls).toEqual([]);
      expect(world.hooksRun).toEqual([]);
      expect(world.eventsOf("shop")).not.toContain("APP_STOP_CANCELLED");
    });
  }

  test("unknown: an app of which nobody knows how it is, is not stopped", async () => {
    const { world, app, clock, provider } = platformWorld(UNKNOWN);
    for (const phase of ["unknown", "deploying", "waking", "unmanaged"] as const) {
      await says(world, seen(phase));
      await sweepTwice(world);
      await clock.advance(10 * MINUTE_MS);
      await sweepTwice(world);
    }
    expect([app.state.kind, provider.calls]).toEqual(["unknown", []]);
  });

  test("deploying: an app that sleeps is waited for, and not called", async () => {
    const { world, clock, provider } = platformWorld();
    await says(world, seen("deploying", sampleTarget("shop")));
    const asked = ask(world);
    await clock.advance(10_000);
    expect(asked.decision).toBeNull();
    provider.up.add("shop");
    await clock.advance(1000);
    expect([asked.decision?.kind, provider.calls]).toEqual(["forward", []]);
  });

  test("deploying: when it is over, the app may sleep again", async () => {
    const { world, app, clock } = platformWorld(awakeAt("shop"));
    await clock.advance(10 * MINUTE_MS);
    await says(world, seen("deploying", sampleTarget("shop")));
    delete world.provider.script.list;
    delete world.provider.script.observe;
    await sweepTwice(world);
    expect(app.state.kind).toBe("asleep");
  });

  test("unmanaged: requests go to it as it is; without an address they are told why", async () => {
    const { world, app, provider } = platformWorld();
    await says(world, seen("unmanaged", null, "it has no web process"));
    const asked = ask(world);
    await world.clock.advance(0);
    expect(told(asked).text).toContain("could be woken: it has no web process");
    await world.clock.advance(60_000);
    await says(world, seen("unmanaged", sampleTarget("shop")));
    expect(app.state.kind).toBe("awake");
    expect(ask(world).decision?.kind).toBe("forward");
    expect(provider.calls).toEqual([]);
  });

  test("failed: who asks is told why, and after the pause a wake is tried", async () => {
    const { world, clock, provider } = platformWorld();
    await says(world, seen("failed", null, "the last deployment failed"));
    expect(told(ask(world)).text).toContain("the last deployment failed");
    delete provider.script.observe;
    await clock.advance(60_000);
    const asked = ask(world);
    await clock.advance(100);
    expect([asked.decision?.kind, provider.calls]).toEqual(["forward", ["wake shop"]]);
  });
});

describe("a sleep on a bad day", () => {
  for (const kind of ["rate-limited", "busy", "network", "unavailable"] as const) {
    for (const phase of ["awake", "asleep"] as const) {
      test(`bad sleep: ${kind}, and the platform says ${phase}: so it is, with its snapshot`, async () => {
        const { world, app, provider } = platformWorld(awakeAt("shop"));
        const snapshot = { kind: "quantities", processes: [{ type: "web", quantity: 2 }] } as const;
        provider.script.takeSnapshot = async () => snapshot;
        provider.script.sleep = async (id) => {
          if (phase === "asleep") provider.up.delete(id);
          throw new ProviderError(kind, "not now", { isUncertain: kind === "network" });
        };
        const order = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
        const outcome = await world.core.lifecycle.sleep(app, order);
        // A call that was turned away did nothing, so that nobody has to look.
        const found = kind === "rate-limited" ? "awake" : phase;
        expect([app.state.kind, outcome.kind]).toEqual([
          found,
          found === "awake" ? "failed" : "asleep",
        ]);
        expect(app.snapshot).toEqual(snapshot);
        expect(provider.calls.filter((call) => call === "sleep shop")).toHaveLength(1);
      });
    }
  }
});

describe("an app that loses its key", () => {
  test("lost key: a sleep whose before-stop hook runs meanwhile stops nothing", async () => {
    const first = createStubProvider({ name: "first", listsDeclaredApps: false });
    const second = createStubProvider({ name: "second", listsDeclaredApps: false });
    const world = createSmallWorld({ providers: [first, second] });
    const { core } = world;
    second.ids.add("shop");
    second.up.add("shop");
    await core.reconciler.run(CAUSE);
    const app = core.table.byKey("shop");
    if (app === null) throw new Error("it was not found");
    const hook = heldCall<{ readonly ok: true }>();
    world.hooks.beforeStop = () => hook.pass(new AbortController().signal);
    const sleeping = core.lifecycle.sleep(app, { cause: CAUSE, drainMs: 0, unusedSinceMs: null });
    first.ids.add("shop");
    await core.reconciler.run(CAUSE);
    hook.open({ ok: true });
    expect(await sleeping).toEqual({ kind: "kept", why: "another app has its key now" });
    expect(second.calls).toEqual([]);
  });
});

describe("an app that ended by itself", () => {
  test("ended: the look before a stop finds out, and what we hold is corrected", async () => {
    for (const phase of ["failed", "blocked"] as const) {
      const { world, app, provider } = platformWorld(awakeAt("shop"));
      provider.script.observe = async () => ({ phase, target: null, reason: "it crashed" });
      const order = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
      expect((await world.core.lifecycle.sleep(app, order)).kind).toBe("kept");
      expect(app.state.kind).toBe("failed");
      expect(provider.calls).toEqual([]);
    }
  });
});

describe("an app that is gone", () => {
  test.each<["wake" | "sleep", "wake" | "observe" | "takeSnapshot" | "sleep"]>([
    ["wake", "wake"],
    ["sleep", "observe"],
    ["sleep", "takeSnapshot"],
    ["sleep", "sleep"],
  ])(
    "gone: a %s whose %s meets 404 asks for a list, and forgets the app only by two lists",
    async (what, call) => {
      const { world, app, clock, provider, core } = platformWorld(
        what === "wake" ? undefined : awakeAt("shop"),
      );
      let lists = 0;
      provider.script.list = async () => {
        lists += 1;
        return [];
      };
      provider.script[call] = async () => {
        throw new ProviderError("not-found", "404");
      };
      const order = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
      if (what === "wake") await core.lifecycle.wake(app, CAUSE);
      else await core.lifecycle.sleep(app, order);
      expect(core.table.byKey("shop")).toBe(app);
      await clock.advance(2000);
      expect([lists, core.table.byKey("shop")]).toEqual([1, app]);
      await core.reconciler.run({ kind: "sweep", detail: "sweep" });
      await clock.advance(10);
      expect(core.table.byKey("shop")).toBeNull();
      expect(world.eventsOf("shop").at(-1)).toBe("APP_UNREGISTERED");
    },
  );

  test("gone: it was a slip, and the app stays", async () => {
    const { world, app, clock, provider, core } = platformWorld();
    provider.script.wake = async () => {
      throw new ProviderError("not-found", "404");
    };
    await core.lifecycle.wake(app, CAUSE);
    await clock.advance(2000);
    await core.reconciler.run({ kind: "sweep", detail: "sweep" });
    delete provider.script.wake;
    const asked = ask(world);
    await clock.advance(2000);
    expect([core.table.byKey("shop"), asked.decision?.kind]).toEqual([app, "forward"]);
  });
});
