import { describe, expect, setSystemTime, test } from "bun:test";

import { createSystemClock, deadline, sleep } from "../src/clock.ts";
import { within } from "./support/pace.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

/** Nothing else happens meanwhile, as in a program that was stopped. */
function blockFor(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

/** What became of a promise by now: `open`, `done`, or what it was rejected with. */
async function stateOf(work: Promise<unknown>): Promise<unknown> {
  const open = Promise.resolve("open");
  return Promise.race([
    work.then(
      () => "done",
      (reason: unknown) => reason,
    ),
    // Whatever has settled already comes first.
    open.then(() => open).then(() => open),
  ]);
}

describe("system clock", () => {
  test("system clock: a timer fires once, not before its time, and can be cancelled", async () => {
    const clock = createSystemClock();
    const startMs = performance.now();
    let cancelled = 0;
    const cancel = clock.after(5, () => {
      cancelled += 1;
    });
    cancel();
    await new Promise<void>((resolve) => clock.after(30, resolve));
    expect(performance.now() - startMs).toBeGreaterThan(28);
    expect(cancelled).toBe(0);
    cancel();
  });

  test("system clock: a timer that is late, as the program was stopped, lets what has arrived go first", async () => {
    const clock = createSystemClock();
    const order: string[] = [];
    using server = Bun.listen({
      ...{ hostname: "127.0.0.1", port: 0 },
      socket: { data: (_, bytes) => void order.push(String(bytes)) },
    });
    const client = await Bun.connect({
      ...{ hostname: "127.0.0.1", port: server.port, socket: { data: () => undefined } },
    });
    client.write("first");
    await until(() => order.length === 1);
    let cancelled = 0;
    const cancel = clock.after(10, () => {
      cancelled += 1;
    });
    const late = new Promise<void>((resolve) => {
      clock.after(10, () => {
        order.push("timer");
        resolve();
      });
    });
    client.write("second");
    blockFor(700);
    // By then it is late, and waits for what has arrived: it can still be cancelled.
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    cancel();
    await late;
    client.end();
    expect(order).toEqual(["first", "second", "timer"]);
    expect(cancelled).toBe(0);
  });

  test("system clock: a wall clock that is set moves wallMs, and leaves now as it is", () => {
    const clock = createSystemClock();
    const beforeMs = clock.now();
    expect(Math.abs(clock.wallMs() - beforeMs)).toBeLessThan(within(1000));
    try {
      for (const jumpMs of [-3_600_000, 3_600_000]) {
        setSystemTime(new Date(beforeMs + jumpMs));
        expect(Math.abs(clock.wallMs() - (beforeMs + jumpMs))).toBeLessThan(within(1000));
        expect(clock.now()).toBeGreaterThanOrEqual(beforeMs);
        expect(clock.now()).toBeLessThan(beforeMs + within(1000));
      }
    } finally {
      setSystemTime();
    }
  });

  test("system clock: now is whole, goes on, and never goes back", async () => {
    const clock = createSystemClock();
    let lastMs = clock.now();
    const untilMs = lastMs + 20;
    while (lastMs < untilMs) {
      const nowMs = clock.now();
      expect([Number.isInteger(nowMs), nowMs >= lastMs]).toEqual([true, true]);
      lastMs = nowMs;
      if (nowMs % 5 === 0) await sleep(clock, 1);
    }
  });

  test("system clock: a wait of years does not end at once", async () => {
    const clock = createSystemClock();
    let fired = 0;
    const cancel = clock.after(1e12, () => {
      fired += 1;
    });
    await sleep(clock, 20);
    expect(fired).toBe(0);
    cancel();
  });

  test("system clock: a timer does not keep the process alive", async () => {
    const path = JSON.stringify(new URL("../src/clock.ts", import.meta.url).pathname);
    const script = `import { createSystemClock } from ${path};
      createSystemClock().after(60_000, () => undefined);`;
    const child = Bun.spawn([process.execPath, "--no-install", "-e", script]);
    expect(await child.exited).toBe(0);
  });
});

describe("sleep", () => {
  test("sleep: it ends in time, and leaves nothing behind", async () => {
    const clock = createVirtualClock();
    const { signal } = new AbortController();
    const work = sleep(clock, 100, signal);
    await clock.advance(99);
    expect(await stateOf(work)).toBe("open");
    await clock.advance(1);
    expect([await stateOf(work), clock.pending()]).toEqual(["done", 0]);
  });

  test("sleep: aborted, it throws the reason, and leaves no timer", async () => {
    const clock = createVirtualClock();
    const controller = new AbortController();
    const work = sleep(clock, 100, controller.signal);
    controller.abort("enough");
    expect([await stateOf(work), clock.pending()]).toEqual(["enough", 0]);
  });

  test("sleep: with a signal that has ended already it does not begin", async () => {
    const clock = createVirtualClock();
    const work = sleep(clock, 100, AbortSignal.abort("too late"));
    expect([await stateOf(work), clock.pending()]).toEqual(["too late", 0]);
  });
});

describe("deadline", () => {
  test("deadline: it aborts with its reason when the time is over", async () => {
    const clock = createVirtualClock();
    const limit = deadline(clock, 100, { reason: "late" });
    await clock.advance(99);
    expect(limit.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(limit.signal.reason).toBe("late");
  });

  test("deadline: ended, it aborts no more, not even with its parent", async () => {
    const clock = createVirtualClock();
    const parent = new AbortController();
    const limit = deadline(clock, 100, { reason: "late", parent: parent.signal });
    limit.end();
    parent.abort("stop");
    await clock.advance(1000);
    expect([limit.signal.aborted, clock.pending()]).toEqual([false, 0]);
  });

  test("deadline: it aborts with its parent, at once when that has ended already", () => {
    const clock = createVirtualClock();
    const parent = new AbortController();
    const early = deadline(clock, 100, { reason: "late", parent: parent.signal });
    parent.abort("stop");
    const after = deadline(clock, 100, { reason: "late", parent: parent.signal });
    expect([early.signal.reason, after.signal.reason]).toEqual(["stop", "stop"]);
    early.end();
    after.end();
    expect(clock.pending()).toBe(0);
  });
});
