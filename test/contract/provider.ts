/** What every provider must do, whatever platform it speaks to. */

import { expect, test } from "bun:test";

import type { Snapshot } from "../../src/app.ts";
import { type Clock, sleep } from "../../src/clock.ts";
import { type Provider, ProviderError, type Step } from "../../src/providers/provider.ts";
import { within } from "../support/pace.ts";

/** A provider with at least one app, for one test. */
export interface ProviderFixture extends AsyncDisposable {
  readonly provider: Provider;
  /** An app that is asleep, and that a wake brings up; always awake where apps sleep by themselves. */
  readonly appId: string;
}

/** A test that does not apply to an implementation, and why. */
export interface Skipped {
  readonly test: string;
  readonly because: string;
}

/** How long a call may take to reject after its signal was aborted, in ms. */
const ABORT_LIMIT_MS = 2_000;

/** Longest pause between two polls: a fake platform needs no patience. */
const POLL_PAUSE_MAX_MS = 50;

/** Longest to wait until a platform says what it was asked to bring about. */
const SETTLE_LIMIT_MS = 30_000;

const UNKNOWN_ID = "no-such-app";
const NO_SNAPSHOT: Snapshot = { kind: "none" };

/** A signal that is never aborted. */
export function patient(): AbortSignal {
  return new AbortController().signal;
}

/**
 * Follows an operation until the platform has finished it.
 * @param clock whose pauses are kept, as the core does; left out: short ones of the real clock
 */
export async function finish(provider: Provider, id: string, first: Step, clock?: Clock) {
  const giveUp = AbortSignal.timeout(SETTLE_LIMIT_MS);
  let step = first;
  while (!step.done) {
    if (clock !== undefined) await sleep(clock, step.pollAfterMs);
    else await Bun.sleep(Math.min(step.pollAfterMs, POLL_PAUSE_MAX_MS));
    step = await provider.poll(id, step.operation, giveUp);
  }
  return step;
}

/** Waits until the provider reports the phase; rejects with the last observation when it never does. */
export async function untilPhase(provider: Provider, id: string, phase: string) {
  const giveUpMs = performance.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const seen = await provider.observe(id, patient());
    if (seen.phase === phase) return seen;
    if (performance.now() > giveUpMs) {
      throw new Error(`${id} is not ${phase}: ${JSON.stringify(seen)}`);
    }
    await Bun.sleep(10);
  }
}

/** What a call rejects with; fails the test when it resolves, or rejects with anything but a `ProviderError`. */
export async function rejection(call: Promise<unknown>): Promise<ProviderError> {
  const error = await call.then(
    () => new Error("the call resolved, although it had to reject"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ProviderError) return error;
  throw error;
}

/** Every call that takes a signal, by name. */
function callsOf(provider: Provider, id: string) {
  const operation = { id: "some-operation" };
  return {
    list: (signal: AbortSignal) => provider.list(signal),
    observe: (signal: AbortSignal) => provider.observe(id, signal),
    takeSnapshot: (signal: AbortSignal) => provider.takeSnapshot(id, signal),
    wake: (signal: AbortSignal) => provider.wake(id, null, signal),
    sleep: (signal: AbortSignal) => provider.sleep(id, NO_SNAPSHOT, signal),
    poll: (signal: AbortSignal) => provider.poll(id, operation, signal),
  };
}

async function wakeFully(provider: Provider, id: string, snapshot: Snapshot | null = null) {
  return finish(provider, id, await provider.wake(id, snapshot, patient()));
}

async function sleepFully(provider: Provider, id: string): Promise<Snapshot> {
  const snapshot = await provider.takeSnapshot(id, patient());
  await finish(provider, id, await provider.sleep(id, snapshot, patient()));
  return snapshot;
}

type Fact = (what: string, run: (fixture: ProviderFixture) => Promise<void>) => void;

/**
 * Runs the suite on one implementation; `name` comes first in the name of each test. With `isConcurrent` its tests run
 * at the same time: for fixtures that share nothing.
 * @throws Error when `skip` names a test that does not exist
 */
export function describeProvider(
  name: string,
  makeProvider: () => Promise<ProviderFixture>,
  options: { readonly skip?: readonly Skipped[]; readonly isConcurrent?: boolean } = {},
): void {
  const register = options.isConcurrent === true ? test.concurrent : test;
  const unused = new Map(options.skip?.map((entry) => [entry.test, entry.because]));
  const fact: Fact = (what, run) => {
    const because = unused.get(what);
    unused.delete(what);
    const title = `${name} provider: ${what}`;
    register.skipIf(because !== undefined)(because ? `${title} (${because})` : title, async () => {
      await using fixture = await makeProvider();
      await run(fixture);
    });
  };
  listFacts(fact);
  wakeFacts(fact);
  sleepFacts(fact);
  signalFacts(fact);
  endFacts(fact);
  if (unused.size > 0) throw new Error(`no such test: ${[...unused.keys()].join(", ")}`);
}

function listFacts(fact: Fact): void {
  fact("ids and keys are unique in its list, and the app is in it", async (fixture) => {
    const listings = await fixture.provider.list(patient());
    const ids = listings.map((listing) => listing.id);
    const keys = listings.map((listing) => listing.key.toLowerCase());
    expect(ids).toContain(fixture.appId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).not.toContain("");
  });

  fact("what it lists can be observed, and both say the same", async ({ provider }) => {
    for (const { id, observation } of await provider.list(patient())) {
      const seen = await provider.observe(id, patient());
      if (observation !== null) expect(seen.phase).toBe(observation.phase);
    }
  });

  fact("observing an unknown app is not-found", async ({ provider }) => {
    expect((await rejection(provider.observe(UNKNOWN_ID, patient()))).kind).toBe("not-found");
  });

  fact("its limits are positive", async ({ provider }) => {
    expect(provider.name).toMatch(/^[a-z][a-z-]*$/);
    expect(provider.capabilities.wakeTimeoutMs).toBeGreaterThan(0);
    expect(provider.capabilities.sleepTimeoutMs).toBeGreaterThan(0);
  });
}

function wakeFacts(fact: Fact): void {
  fact("a wake brings the app up, and tells or shows its target", async ({ provider, appId }) => {
    const step = await wakeFully(provider, appId);
    const seen = await untilPhase(provider, appId, "awake");
    const target = step.target ?? seen.target;
    expect(target?.origin).toMatch(/^https?:\/\/[^/]+$/);
    expect(target?.host).toBe(new URL(target?.origin ?? "").host);
  });

  fact("a wake is safe to repeat: same target", async ({ provider, appId }) => {
    const first = await wakeFully(provider, appId);
    const second = await wakeFully(provider, appId);
    await untilPhase(provider, appId, "awake");
    expect(second.target).toEqual(first.target);
  });

  fact("two wakes at the same time come to the same target", async ({ provider, appId }) => {
    const [first, second] = await Promise.all([
      wakeFully(provider, appId),
      wakeFully(provider, appId),
    ]);
    expect(second.target).toEqual(first.target);
  });

  fact("waking an unknown app is not-found", async ({ provider }) => {
    const error = await rejection(provider.wake(UNKNOWN_ID, null, patient()));
    expect(error.kind).toBe("not-found");
    expect(error.message).toContain(UNKNOWN_ID);
  });
}

function sleepFacts(fact: Fact): void {
  fact("a sleep takes the app down", async ({ provider, appId }) => {
    await wakeFully(provider, appId);
    await untilPhase(provider, appId, "awake");
    await sleepFully(provider, appId);
    await untilPhase(provider, appId, "asleep");
  });

  fact("a sleep is safe to repeat", async ({ provider, appId }) => {
    await wakeFully(provider, appId);
    await sleepFully(provider, appId);
    await untilPhase(provider, appId, "asleep");
    await sleepFully(provider, appId);
    await untilPhase(provider, appId, "asleep");
  });

  fact("a sleep of an app that is asleep is done", async ({ provider, appId }) => {
    await sleepFully(provider, appId);
    await untilPhase(provider, appId, "asleep");
  });

  fact("a wake after a sleep comes back with the snapshot", async ({ provider, appId }) => {
    await wakeFully(provider, appId);
    await untilPhase(provider, appId, "awake");
    const snapshot = await sleepFully(provider, appId);
    await untilPhase(provider, appId, "asleep");
    // As stored: a snapshot must survive being written down.
    await wakeFully(provider, appId, JSON.parse(JSON.stringify(snapshot)));
    await untilPhase(provider, appId, "awake");
  });

  fact("a wake right after a sleep was begun comes up in the end", async ({ provider, appId }) => {
    await wakeFully(provider, appId);
    const snapshot = await provider.takeSnapshot(appId, patient());
    const sleeping = provider.sleep(appId, snapshot, patient());
    const waking = provider.wake(appId, snapshot, patient());
    // Whoever follows the sleep may find the app up again by then: that is no sleep that went well.
    await finish(provider, appId, await sleeping).catch((error: unknown) => {
      expect(error).toBeInstanceOf(ProviderError);
    });
    await finish(provider, appId, await waking);
    await untilPhase(provider, appId, "awake");
  });

  fact("a sleep of an unknown app is not-found", async ({ provider }) => {
    const error = await rejection(provider.sleep(UNKNOWN_ID, NO_SNAPSHOT, patient()));
    expect(error.kind).toBe("not-found");
  });
}

function signalFacts(fact: Fact): void {
  fact("every call rejects at once when its signal is aborted", async ({ provider, appId }) => {
    for (const [name, call] of Object.entries(callsOf(provider, appId))) {
      const beganMs = performance.now();
      const error = await rejection(call(AbortSignal.abort(new Error("enough"))));
      expect(`${name}: ${error.name}`).toBe(`${name}: ProviderError`);
      expect(performance.now() - beganMs).toBeLessThan(within(ABORT_LIMIT_MS));
    }
  });

  fact("calls whose signal is aborted midway settle soon", async ({ provider, appId }) => {
    for (const call of Object.values(callsOf(provider, appId))) {
      const controller = new AbortController();
      const settled = call(controller.signal).catch((error: unknown) => {
        expect(error).toBeInstanceOf(ProviderError);
      });
      const beganMs = performance.now();
      controller.abort(new Error("enough"));
      await settled;
      expect(performance.now() - beganMs).toBeLessThan(within(ABORT_LIMIT_MS));
    }
  });
}

function endFacts(fact: Fact): void {
  fact("a watch can be ended, more than once", async ({ provider, appId }) => {
    let notices = 0;
    const unwatch = provider.watch?.({
      notice() {
        notices += 1;
      },
      listAgain: () => undefined,
    });
    unwatch?.();
    unwatch?.();
    await wakeFully(provider, appId);
    await untilPhase(provider, appId, "awake");
    expect(notices).toBe(0);
  });

  fact("forgetting an unknown app does no harm", async ({ provider, appId }) => {
    await provider.forget?.(UNKNOWN_ID);
    await provider.observe(appId, patient());
  });

  fact("a close is safe to repeat, also at the same time", async ({ provider, appId }) => {
    await wakeFully(provider, appId);
    await Promise.all([provider.close(), provider.close()]);
    await provider.close();
  });
}
