import { describe, expect, test } from "bun:test";

import type { Urgency } from "../src/providers/platform-api.ts";
import {
  type Budget,
  createBudget,
  type Entry,
  type Place,
} from "../src/providers/platform-budget.ts";
import { createVirtualClock, settled, type VirtualClock } from "./support/virtual-clock.ts";

/** Wants a place, and tells what became of that. */
function entrant(
  budget: Budget,
  urgency: Urgency,
  options: { obeys?: boolean; name?: string } = {},
) {
  const controller = new AbortController();
  const state: { entry: Entry | null; error: unknown } = { entry: null, error: null };
  budget
    .enter({ urgency, obeys: options.obeys ?? false, signal: controller.signal })
    .then((entry) => {
      state.entry = entry;
    })
    .catch((error: unknown) => {
      state.error = error;
    });
  return {
    get kind() {
      return state.entry?.kind ?? (state.error === null ? "waiting" : "failed");
    },
    get error() {
      return state.error;
    },
    get restMs() {
      return state.entry?.kind === "paused" ? state.entry.restMs : null;
    },
    get place(): Place {
      if (state.entry?.kind !== "go") throw new Error("it has no place");
      return state.entry.place;
    },
    abort: (reason: unknown) => controller.abort(reason),
  };
}

type Entrant = ReturnType<typeof entrant>;

const kinds = (entrants: readonly Entrant[]) => entrants.map(({ kind }) => kind);

async function many(budget: Budget, urgency: Urgency, count: number): Promise<Entrant[]> {
  const entrants = Array.from({ length: count }, () => entrant(budget, urgency));
  await settled();
  return entrants;
}

/** Nobody is under way, and the bucket is empty. */
async function drained(
  clock: VirtualClock,
  limits: { burst: number; perMinute: number; inFlightMax: number },
): Promise<Budget> {
  const budget = createBudget(limits, clock);
  for (const { place } of await many(budget, "wake", limits.burst)) place.leave();
  return budget;
}

describe("budget", () => {
  test("calls follow each other at once until the burst is used up, then at the rate", async () => {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 3, perMinute: 60, inFlightMax: 100 }, clock);
    const wakes = await many(budget, "wake", 5);
    expect(kinds(wakes)).toEqual(["go", "go", "go", "waiting", "waiting"]);
    await clock.advance(999);
    expect(wakes[3]?.kind).toBe("waiting");
    await clock.advance(1);
    expect(kinds(wakes)).toEqual(["go", "go", "go", "go", "waiting"]);
    await clock.advance(1000);
    expect(wakes[4]?.kind).toBe("go");
    expect(clock.pending()).toBe(0);
  });

  test("a quarter of the burst is left for wakes", async () => {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 8, perMinute: 1, inFlightMax: 100 }, clock);
    const sweeps = await many(budget, "sweep", 8);
    expect(kinds(sweeps).filter((kind) => kind === "go")).toHaveLength(6);
    const wakes = await many(budget, "wake", 3);
    expect(kinds(wakes)).toEqual(["go", "go", "waiting"]);
    budget.close();
  });

  test("one place under way is left for wakes", async () => {
    const budget = createBudget({ burst: 99, perMinute: 1, inFlightMax: 3 }, createVirtualClock());
    const sweeps = await many(budget, "sweep", 3);
    expect(kinds(sweeps)).toEqual(["go", "go", "waiting"]);
    const wakes = await many(budget, "wake", 2);
    expect(kinds(wakes)).toEqual(["go", "waiting"]);
    sweeps[0]?.place.leave();
    sweeps[0]?.place.leave();
    await settled();
    expect(kinds([...wakes, ...sweeps])).toEqual(["go", "go", "go", "go", "waiting"]);
    budget.close();
  });

  test("a budget of one call still lets sweeps through", async () => {
    const budget = createBudget({ burst: 1, perMinute: 60, inFlightMax: 1 }, createVirtualClock());
    expect(kinds(await many(budget, "sweep", 2))).toEqual(["go", "waiting"]);
    budget.close();
  });

  test("who waits goes by urgency, and among equals by who came first", async () => {
    const clock = createVirtualClock();
    const budget = await drained(clock, { burst: 1, perMinute: 60, inFlightMax: 9 });
    const sweep = entrant(budget, "sweep");
    const sleep = entrant(budget, "sleep");
    const wake = entrant(budget, "wake");
    const later = entrant(budget, "wake");
    const order: string[] = [];
    for (let second = 0; second < 4; second += 1) {
      await clock.advance(1000);
      order.push(kinds([wake, later, sleep, sweep]).join(" "));
    }
    expect(order).toEqual([
      "go waiting waiting waiting",
      "go go waiting waiting",
      "go go waiting go",
      "go go go go",
    ]);
  });

  test("a list goes ahead of all sleeps that wait, and many looks leave every other place to sleeps", async () => {
    const clock = createVirtualClock();
    const budget = await drained(clock, { burst: 1, perMinute: 60, inFlightMax: 99 });
    const sleeps = await many(budget, "sleep", 5);
    await clock.advance(1000);
    const [list] = await many(budget, "sweep", 1);
    await clock.advance(1000);
    expect([list?.kind, kinds(sleeps).join(" ")]).toEqual([
      "go",
      "go waiting waiting waiting waiting",
    ]);
    const looks = await many(budget, "sweep", 5);
    await clock.advance(6000);
    const going = (some: readonly Entrant[]) => kinds(some).filter((kind) => kind === "go").length;
    expect([going(sleeps), going(looks)]).toEqual([4, 3]);
    budget.close();
  });

  test("who gives up leaves the queue, with the reason, and leaves no timer", async () => {
    const clock = createVirtualClock();
    const budget = await drained(clock, { burst: 1, perMinute: 60, inFlightMax: 9 });
    const wake = entrant(budget, "wake");
    const sweep = entrant(budget, "sweep");
    wake.abort("no longer");
    await settled();
    expect(wake.error).toBe("no longer");
    await clock.advance(1000);
    expect(sweep.kind).toBe("go");
    const aborted = entrant(budget, "wake");
    aborted.abort("at once");
    await settled();
    expect(aborted.kind).toBe("failed");
    expect(clock.pending()).toBe(0);
  });

  test("a call that was never made costs nothing", async () => {
    const budget = createBudget({ burst: 1, perMinute: 1, inFlightMax: 9 }, createVirtualClock());
    const [first] = await many(budget, "wake", 1);
    first?.place.giveBack();
    first?.place.giveBack();
    expect(kinds(await many(budget, "wake", 2))).toEqual(["go", "waiting"]);
    budget.close();
  });

  test("what the platform says is left only ever lowers what is left", async () => {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 10, perMinute: 60, inFlightMax: 99 }, clock);
    const [first] = await many(budget, "sweep", 1);
    first?.place.told(5000);
    expect(kinds(await many(budget, "wake", 8))).not.toContain("waiting");
    first?.place.told(8);
    // Eight others are under way and may not have been counted.
    const last = await many(budget, "wake", 1);
    expect(kinds(last)).toEqual(["waiting"]);
    await clock.advance(1000);
    expect(kinds(last)).toEqual(["go"]);
  });

  test("close sends everybody away who waits or comes, and leaves no timer", async () => {
    const clock = createVirtualClock();
    const budget = await drained(clock, { burst: 1, perMinute: 60, inFlightMax: 9 });
    const [waiting] = await many(budget, "wake", 1);
    budget.close();
    budget.close();
    const [late] = await many(budget, "wake", 1);
    expect(kinds([waiting!, late!])).toEqual(["failed", "failed"]);
    expect(clock.pending()).toBe(0);
  });
});

describe("a platform that wants no calls", () => {
  async function paused(pauseMs: number) {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 100, perMinute: 6000, inFlightMax: 10 }, clock);
    const [first] = await many(budget, "sweep", 1);
    first?.place.limited(pauseMs);
    first?.place.leave();
    return { clock, budget };
  }

  test("a sweep is sent away at once when that lasts longer than five seconds, else it waits", async () => {
    const { clock, budget } = await paused(60_000);
    const [sweep] = await many(budget, "sweep", 1);
    expect(sweep?.restMs).toBe(60_000);
    await clock.advance(55_000);
    const [later] = await many(budget, "sweep", 1);
    expect(later?.kind).toBe("waiting");
    await clock.advance(5000);
    expect(later?.kind).toBe("go");
    expect(clock.pending()).toBe(0);
  });

  test("those who wait already are sent away when it begins", async () => {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 4, perMinute: 1, inFlightMax: 10 }, clock);
    const [first, ...others] = await many(budget, "sweep", 6);
    expect(others.filter(({ kind }) => kind === "waiting")).toHaveLength(3);
    first?.place.limited(10_000);
    await settled();
    expect(others.filter(({ kind }) => kind === "paused")).toHaveLength(3);
    expect(clock.pending()).toBe(0);
  });

  test("a sleep waits for two minutes in all, and not for more", async () => {
    const { clock, budget } = await paused(100_000);
    const [sleep] = await many(budget, "sleep", 1);
    await clock.advance(99_999);
    expect(sleep?.kind).toBe("waiting");
    await clock.advance(1);
    expect(sleep?.kind).toBe("go");
    sleep?.place.limited(121_000);
    const [hopeless] = await many(budget, "sleep", 1);
    expect(hopeless?.restMs).toBe(121_000);
  });

  test("one wake at a time goes as a probe, after two seconds, then after twice as long", async () => {
    const { clock, budget } = await paused(3_600_000);
    const wakes = await many(budget, "wake", 4);
    const going = () => wakes.filter(({ kind }) => kind === "go").length;
    await clock.advance(1999);
    expect(going()).toBe(0);
    await clock.advance(1);
    expect(going()).toBe(1);
    // While one is under way, no other goes.
    await clock.advance(60_000);
    expect(going()).toBe(1);
    wakes[0]?.place.limited(3_600_000);
    wakes[0]?.place.leave();
    await clock.advance(3999);
    expect(going()).toBe(1);
    await clock.advance(1);
    expect(going()).toBe(2);
    wakes[1]?.place.limited(3_600_000);
    wakes[1]?.place.leave();
    await clock.advance(7999);
    expect(going()).toBe(2);
    await clock.advance(1);
    expect(going()).toBe(3);
    budget.close();
  });

  test("a probe that gets through lets the next one go soon, and the rest waits on", async () => {
    const { clock, budget } = await paused(60_000);
    const wakes = await many(budget, "wake", 3);
    const [sleep] = await many(budget, "sleep", 1);
    for (const expected of [1, 2, 3]) {
      await clock.advance(2000);
      expect(wakes.filter(({ kind }) => kind === "go")).toHaveLength(expected);
      wakes[expected - 1]?.place.leave();
    }
    expect(sleep?.kind).toBe("waiting");
    await clock.advance(54_000);
    expect(sleep?.kind).toBe("go");
    expect(clock.pending()).toBe(0);
  });

  test("a probe that gets through after others were sent away ends the long pauses between them", async () => {
    const { clock, budget } = await paused(3_600_000);
    const wakes = await many(budget, "wake", 4);
    await clock.advance(2000);
    wakes[0]?.place.limited(3_600_000);
    wakes[0]?.place.leave();
    await clock.advance(4000);
    wakes[1]?.place.limited(3_600_000);
    wakes[1]?.place.leave();
    await clock.advance(8000);
    expect(kinds(wakes)).toEqual(["go", "go", "go", "waiting"]);
    wakes[2]?.place.leave();
    await clock.advance(1999);
    expect(wakes[3]?.kind).toBe("waiting");
    await clock.advance(1);
    expect(wakes[3]?.kind).toBe("go");
    budget.close();
  });

  test("a wake that was sent away as a probe waits like a sleep, and not ahead of other wakes", async () => {
    const { clock, budget } = await paused(60_000);
    const obeying = entrant(budget, "wake", { obeys: true });
    const [fresh] = await many(budget, "wake", 1);
    await clock.advance(2000);
    expect(kinds([obeying, fresh!])).toEqual(["waiting", "go"]);
    fresh?.place.leave();
    await clock.advance(58_000);
    expect(obeying.kind).toBe("go");
  });

  test("a wake that never gets to probe is sent away after two minutes", async () => {
    const { clock, budget } = await paused(3_600_000);
    const wakes = await many(budget, "wake", 2);
    await clock.advance(120_000);
    expect(kinds(wakes)).toEqual(["go", "paused"]);
    wakes[0]?.place.leave();
    expect(clock.pending()).toBe(0);
  });

  test("a shorter word does not end a longer one, and afterwards the bucket fills as usual", async () => {
    const clock = createVirtualClock();
    const budget = createBudget({ burst: 100, perMinute: 60, inFlightMax: 99 }, clock);
    const [one, other] = await many(budget, "wake", 2);
    one?.place.limited(30_000);
    other?.place.limited(1000);
    one?.place.leave();
    other?.place.leave();
    expect(budget.pauseRestMs).toBe(30_000);
    await clock.advance(30_000);
    expect(budget.pauseRestMs).toBe(0);
    const wakes = await many(budget, "wake", 40);
    expect(kinds(wakes).filter((kind) => kind === "go")).toHaveLength(30);
    budget.close();
  });
});
