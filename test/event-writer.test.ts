import { expect, test } from "bun:test";

import { openDatabase } from "../src/database.ts";
import type { EventStore } from "../src/event-store/event-store.ts";
import { createEventWriter } from "../src/event-store/event-writer.ts";
import { createMemoryEventStore } from "../src/event-store/memory.ts";
import { createSqliteEventStore } from "../src/event-store/sqlite.ts";
import type { PaastisEvent } from "../src/events.ts";
import { eventOf } from "./contract/event-store.ts";
import { recordingLog } from "./support/recording-log.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

/** A memory store whose appends succeed, fail, or wait, as the test says. */
function moodyStore() {
  const inner = createMemoryEventStore();
  const batches: (readonly PaastisEvent[])[] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  let mood: "works" | "fails" | "waits" = "works";
  const store: EventStore = {
    ...inner,
    async append(events) {
      batches.push(events);
      if (mood === "fails") throw new Error("the store is away");
      if (mood === "waits") {
        const gate = Promise.withResolvers<void>();
        gates.push(gate);
        await gate.promise;
      }
      await inner.append(events);
    },
  };
  return {
    store,
    /** Every append that was tried. */
    batches,
    /** Appends that wait for `settle` or `refuse`. */
    waiting: () => gates.length,
    settle: () => gates.shift()?.resolve(),
    refuse: () => gates.shift()?.reject(new Error("the store is away")),
    be(next: typeof mood) {
      mood = next;
    },
    stored: () => inner.list({ limit: 10_000 }),
  };
}

function setUp(options: { queueMax?: number } = {}) {
  const moody = moodyStore();
  const clock = createVirtualClock();
  const { log, lines } = recordingLog();
  const writer = createEventWriter({ store: moody.store, log, clock, ...options });
  return { ...moody, clock, lines, writer };
}

/** Lets what is ready run, until `condition` holds; no time passes on the hand clock. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1_000; turn += 1) {
    if (condition()) return;
    await settled();
  }
  throw new Error("the condition was not met");
}

function eventsFrom(first: number, count: number): PaastisEvent[] {
  return Array.from({ length: count }, (_, n) => eventOf(first + n));
}

test("event writer: an idle one appends at once, though not within `write`", async () => {
  const { writer, batches, stored, clock } = setUp();
  writer.write(eventOf(1));
  expect(batches).toHaveLength(0);
  await until(() => batches.length === 1);
  expect(await stored()).toEqual([eventOf(1)]);
  expect(clock.pending()).toBe(0);
});

test("event writer: while an append is under way, the rest goes in one batch behind it, in order", async () => {
  const { writer, batches, be, settle, waiting, stored } = setUp();
  be("waits");
  writer.write(eventOf(1));
  await until(() => waiting() === 1);
  for (const event of eventsFrom(2, 50)) writer.write(event);
  settle();
  await until(() => waiting() === 1);
  settle();
  await writer.flush();
  expect(batches.map((batch) => batch.length)).toEqual([1, 50]);
  expect(await stored()).toEqual(eventsFrom(1, 51));
});

test("event writer: a long queue goes in bounded batches", async () => {
  const { writer, batches, stored } = setUp();
  for (const event of eventsFrom(1, 2_300)) writer.write(event);
  await writer.flush();
  expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(500);
  expect(await stored()).toEqual(eventsFrom(1, 2_300));
  expect(writer.dropped()).toBe(0);
});

test("event writer: a failing store is tried again with growing pauses, warned of once, and nothing is lost", async () => {
  const { writer, batches, be, clock, lines, stored } = setUp();
  be("fails");
  for (const event of eventsFrom(1, 3)) writer.write(event);
  await until(() => clock.pending() === 1);
  const pausesMs: number[] = [];
  for (let failure = 1; failure <= 10; failure += 1) {
    let pauseMs = 0;
    while (batches.length === failure) {
      await clock.advance(250);
      pauseMs += 250;
      await until(() => clock.pending() === 1);
    }
    pausesMs.push(pauseMs);
  }
  expect(pausesMs.slice(0, 4)).toEqual([250, 500, 1_000, 2_000]);
  expect(pausesMs.at(-1)).toBe(30_000);
  expect(lines.map(({ level, fields }) => [level, fields.why])).toEqual([
    ["warn", "the store is away"],
  ]);

  writer.write(eventOf(4));
  be("works");
  await clock.advance(30_000);
  await until(() => lines.length === 2);
  await writer.flush();
  expect(lines[1]).toMatchObject({ level: "info", fields: { waiting: 0 } });
  expect(await stored()).toEqual(eventsFrom(1, 4));
  expect(batches.at(-1)).toEqual(eventsFrom(1, 4));
  expect(clock.pending()).toBe(0);

  // The next trouble is news again.
  be("fails");
  writer.write(eventOf(5));
  await until(() => clock.pending() === 1);
  expect(lines).toHaveLength(3);
});

test("event writer: why events cannot be stored, and since when, is told until they can", async () => {
  const { writer, be, clock } = setUp();
  expect(writer.trouble()).toBeNull();
  const sinceMs = clock.now();
  be("fails");
  writer.write(eventOf(1));
  await until(() => clock.pending() === 1);
  await clock.advance(250);
  await until(() => clock.pending() === 1);
  expect(writer.trouble()).toEqual({ why: "the store is away", sinceMs });
  be("works");
  await writer.flush();
  expect(writer.trouble()).toBeNull();
});

test("event writer: while the store fails, writing does not call it more often", async () => {
  const { writer, batches, be, clock } = setUp();
  be("fails");
  writer.write(eventOf(1));
  await until(() => clock.pending() === 1);
  for (const event of eventsFrom(2, 100)) writer.write(event);
  await settled();
  expect(batches).toHaveLength(1);
  expect(clock.pending()).toBe(1);
});

test("event writer: a full queue drops the oldest and counts them", async () => {
  const { writer, be, clock, lines, stored } = setUp({ queueMax: 5 });
  be("fails");
  writer.write(eventOf(1));
  await until(() => clock.pending() === 1);
  for (const event of eventsFrom(2, 11)) writer.write(event);
  expect(writer.dropped()).toBe(7);
  be("works");
  await writer.flush();
  expect(await stored()).toEqual(eventsFrom(8, 5));
  expect([writer.dropped(), writer.waiting()]).toEqual([7, 0]);
  // One line when it begins, and one with the number when it is over.
  expect(lines.map(({ level, fields }) => [level, Object.keys(fields)])).toEqual([
    ["warn", ["why", "waiting"]],
    ["warn", ["waiting"]],
    ["info", ["waiting"]],
    ["warn", ["dropped", "droppedSinceStart"]],
  ]);
  expect(lines.at(-1)?.fields).toEqual({ dropped: 7, droppedSinceStart: 7 });
});

test("event writer: a store that never fails but is too slow drops the oldest, and each time it is said twice", async () => {
  const { writer, be, settle, waiting, lines, stored } = setUp({ queueMax: 5 });
  be("waits");
  async function overflow(first: number): Promise<void> {
    writer.write(eventOf(first));
    await until(() => waiting() === 1);
    for (const event of eventsFrom(first + 1, 8)) writer.write(event);
    expect(writer.waiting()).toBe(6);
    settle();
    await until(() => waiting() === 1);
    // It catches up, falls behind again, and catches up at last: that is one trouble.
    for (const event of eventsFrom(first + 9, 7)) writer.write(event);
    settle();
    await until(() => waiting() === 1);
    settle();
    await writer.flush();
  }
  await overflow(100);
  await overflow(200);
  expect(lines.map(({ fields }) => fields)).toEqual([
    { waiting: 5 },
    { dropped: 5, droppedSinceStart: 5 },
    { waiting: 5 },
    { dropped: 5, droppedSinceStart: 10 },
  ]);
  expect([writer.dropped(), (await stored()).length]).toEqual([10, 22]);
});

test("event writer: a batch that fails after the queue filled up behind it is the first to be dropped", async () => {
  const { writer, batches, be, refuse, waiting, clock } = setUp({ queueMax: 3 });
  be("waits");
  writer.write(eventOf(1));
  writer.write(eventOf(2));
  await until(() => waiting() === 1);
  for (const event of eventsFrom(3, 2)) writer.write(event);
  refuse();
  await until(() => clock.pending() === 1);
  expect(writer.dropped()).toBe(1);
  be("works");
  await writer.flush();
  expect(batches.at(-1)).toEqual(eventsFrom(2, 3));
});

test("event writer: flush with nothing to do resolves at once, also while the store fails", async () => {
  const { writer, be } = setUp();
  await writer.flush();
  be("fails");
  await writer.flush();
});

test("event writer: flush resolves only when what was written before is durable", async () => {
  const { writer, be, settle, waiting, stored } = setUp();
  be("waits");
  writer.write(eventOf(1));
  await until(() => waiting() === 1);
  writer.write(eventOf(2));
  let flushed = false;
  const flush = writer.flush().then(() => {
    flushed = true;
  });
  settle();
  await until(() => waiting() === 1);
  expect(flushed).toBe(false);
  // Written after the flush began: not waited for.
  writer.write(eventOf(3));
  settle();
  await flush;
  expect(await stored()).toEqual(eventsFrom(1, 2));
  await until(() => waiting() === 1);
  settle();
});

test("event writer: flush does not wait for a pause between two tries, and ends when the store fails again", async () => {
  const { writer, batches, be, clock, stored } = setUp();
  be("fails");
  writer.write(eventOf(1));
  await until(() => clock.pending() === 1);
  await writer.flush();
  expect(batches).toHaveLength(2);
  be("works");
  await writer.flush();
  expect(await stored()).toEqual([eventOf(1)]);
  expect(clock.pending()).toBe(0);
});

test("event writer: close stores what is queued, leaves no timer, and later events only count as dropped", async () => {
  const { writer, clock, stored, lines } = setUp();
  for (const event of eventsFrom(1, 700)) writer.write(event);
  await Promise.all([writer.close(), writer.close()]);
  expect(await stored()).toEqual(eventsFrom(1, 700));
  writer.write(eventOf(701));
  await writer.flush();
  await writer.close();
  expect(await stored()).toHaveLength(700);
  expect([writer.dropped(), clock.pending(), lines.length]).toEqual([1, 0, 0]);
});

test("event writer: close gives up on a store that fails, and says how much is lost", async () => {
  const { writer, be, clock, lines } = setUp();
  be("fails");
  for (const event of eventsFrom(1, 7)) writer.write(event);
  await writer.close();
  expect(writer.dropped()).toBe(7);
  expect(clock.pending()).toBe(0);
  expect(lines.at(-1)).toMatchObject({ level: "warn", fields: { events: 7 } });
});

test("event writer: close gives up on a store that never answers after 5 s, and its late answer changes nothing", async () => {
  const { writer, be, clock, waiting, settle, lines, stored } = setUp();
  be("waits");
  for (const event of eventsFrom(1, 3)) writer.write(event);
  await until(() => waiting() === 1);
  let closed = false;
  const close = writer.close().then(() => {
    closed = true;
  });
  await clock.advance(4_999);
  await settled();
  expect(closed).toBe(false);
  await clock.advance(1);
  await close;
  expect([writer.dropped(), clock.pending(), lines.length]).toEqual([3, 0, 1]);
  settle();
  await until(() => waiting() === 0);
  expect(await stored()).toHaveLength(3);
  expect([writer.dropped(), clock.pending(), lines.length]).toEqual([3, 0, 1]);
});

test("event writer: a full disk under SQLite loses nothing once there is room again", async () => {
  const { log, lines } = recordingLog();
  using database = openDatabase(":memory:", { log, now: () => 0 });
  const store = createSqliteEventStore(database);
  const clock = createVirtualClock();
  const writer = createEventWriter({ store, log, clock });
  const events = eventsFrom(1, 200).map((event) => ({ ...event, reason: "x".repeat(1_000) }));
  database.run("PRAGMA max_page_count = 20");
  for (const event of events) writer.write(event);
  await writer.flush();
  expect(lines.map(({ fields }) => fields.why)).toEqual(["database or disk is full"]);
  database.run("PRAGMA max_page_count = 10000");
  await writer.close();
  expect(await store.list({ limit: 1_000 })).toEqual(events);
  expect(writer.dropped()).toBe(0);
});
