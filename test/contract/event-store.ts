/** What every event store must do, whatever it is. */

import { expect, test } from "bun:test";

import type { EventStore } from "../../src/event-store/event-store.ts";
import { EVENT_NAMES, type PaastisEvent } from "../../src/events.ts";
import type { Skipped } from "./registry.ts";

/** One empty event store, for one test. */
export interface EventStoreFixture extends AsyncDisposable {
  readonly store: EventStore;
  /** Closes the store and opens what it was kept in again, as the next start of the program does. */
  restart(): Promise<EventStore>;
}

/** The `n`th event: ids and times grow with `n`. */
export function eventOf(n: number, changes: Partial<PaastisEvent> = {}): PaastisEvent {
  return {
    id: `e${String(n).padStart(8, "0")}`,
    name: "APP_STARTED",
    app: "shop",
    ref: { provider: "process", id: "shop" },
    atMs: 1_700_000_000_000 + n,
    cause: { kind: "request", detail: "GET / from 10.0.0.7 (Firefox)" },
    reason: "",
    details: {},
    ...changes,
  };
}

/** Runs the suite on one implementation; `name` comes first in the name of each test. */
export function eventStoreContract(
  name: string,
  open: () => Promise<EventStoreFixture>,
  skip: readonly Skipped[] = [],
): void {
  function fact(what: string, run: (fixture: EventStoreFixture) => Promise<void>): void {
    const skipped = skip.find((entry) => entry.test === what);
    const title = `${name} event store: ${what}`;
    test.skipIf(skipped !== undefined)(
      skipped ? `${title} (${skipped.because})` : title,
      async () => {
        await using fixture = await open();
        await run(fixture);
      },
    );
  }

  fact("a new one is empty", async ({ store }) => {
    expect(await store.list({})).toEqual([]);
  });

  fact("an event comes back as it was appended", async ({ store }) => {
    const events = EVENT_NAMES.map((eventName, n) =>
      eventOf(n, {
        name: eventName,
        app: `app-${n}`,
        reason: "quotes ' \" percent % newline \n and 🦥",
        details: { wakeMs: 12.5, port: 3000, forced: true, exit: null, signal: "SIGTERM" },
      }),
    );
    await store.append(events);
    expect(await store.list({})).toEqual(events);
  });

  fact("events come oldest first, the newest 100 unless told otherwise", async ({ store }) => {
    const events = Array.from({ length: 150 }, (_, n) => eventOf(n));
    await store.append(events.slice(0, 70));
    await store.append(events.slice(70));
    expect(await store.list({})).toEqual(events.slice(50));
    expect(await store.list({ limit: 3 })).toEqual(events.slice(147));
    expect(await store.list({ limit: 1_000 })).toEqual(events);
    expect(await store.list({ limit: 0 })).toEqual([]);
    expect(await store.list({ limit: -5 })).toEqual([]);
  });

  fact("an id that is already there is passed over", async ({ store }) => {
    await store.append([eventOf(1), eventOf(2)]);
    await store.append([eventOf(2, { reason: "again" }), eventOf(3), eventOf(3)]);
    expect(await store.list({})).toEqual([eventOf(1), eventOf(2), eventOf(3)]);
  });

  fact("events that come late stand where they belong in time", async ({ store }) => {
    await store.append([eventOf(5), eventOf(9)]);
    await store.append([eventOf(7), eventOf(1)]);
    expect(await store.list({})).toEqual([eventOf(1), eventOf(5), eventOf(7), eventOf(9)]);
  });

  fact("filters by app, by names and by id combine", async ({ store }) => {
    const events = Array.from({ length: 40 }, (_, n) =>
      eventOf(n, {
        app: n % 2 === 0 ? "shop" : "blog",
        name: n % 5 === 0 ? "APP_STOPPED" : n % 3 === 0 ? "APP_CRASHED" : "APP_STARTED",
      }),
    );
    await store.append(events);
    expect(await store.list({ app: "blog" })).toEqual(events.filter((e) => e.app === "blog"));
    expect(await store.list({ app: "nobody" })).toEqual([]);
    expect(await store.list({ names: ["APP_STOPPED", "APP_CRASHED"] })).toEqual(
      events.filter((e) => e.name !== "APP_STARTED"),
    );
    expect(await store.list({ names: [] })).toEqual([]);
    expect(await store.list({ afterId: eventOf(35).id })).toEqual(events.slice(36));
    expect(await store.list({ afterId: eventOf(39).id })).toEqual([]);
    expect(await store.list({ id: eventOf(7).id, limit: 1 })).toEqual(events.slice(7, 8));
    expect(await store.list({ id: eventOf(7).id, app: "nobody" })).toEqual([]);
    expect(await store.list({ id: "no such one" })).toEqual([]);
    expect(
      await store.list({ app: "shop", names: ["APP_STOPPED"], afterId: eventOf(5).id, limit: 2 }),
    ).toEqual([events[20] as PaastisEvent, events[30] as PaastisEvent]); // Both exist: 40 were made.
  });

  fact("after an id that is no longer there, later events are still found", async ({ store }) => {
    await store.append([eventOf(1), eventOf(3)]);
    expect(await store.list({ afterId: eventOf(2).id })).toEqual([eventOf(3)]);
  });

  fact("appending nothing is fine", async ({ store }) => {
    await store.append([]);
    expect(await store.list({})).toEqual([]);
  });

  fact("after a restart the events are still there", async ({ store, restart }) => {
    await store.append([eventOf(1), eventOf(2)]);
    expect(await (await restart()).list({})).toEqual([eventOf(1), eventOf(2)]);
  });

  fact("closing twice is as good as once", async ({ store }) => {
    await store.close();
    await store.close();
  });
}
