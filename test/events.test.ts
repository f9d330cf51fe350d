import { expect, test } from "bun:test";

import { logEvents } from "../src/event-log.ts";
import type { NewEvent, PaastisEvent } from "../src/events.ts";
import { createEventBus, EVENT_NAMES } from "../src/events.ts";
import { recordingLog } from "./support/recording-log.ts";

const EVENT: NewEvent = {
  name: "APP_WAKING",
  app: "shop",
  ref: { provider: "stub", id: "shop" },
  cause: { kind: "request", detail: "GET /" },
};

function busAt(times: () => number, random = () => 0.5) {
  const errors: unknown[] = [];
  const bus = createEventBus({
    now: times,
    random,
    onListenerError: (error) => errors.push(error),
  });
  return { bus, errors };
}

test("events: a listener gets each event complete, with time, id and empty fields filled", () => {
  const { bus } = busAt(() => 42);
  const seen: PaastisEvent[] = [];
  bus.subscribe((event) => seen.push(event));
  bus.emit(EVENT);
  bus.emit({ ...EVENT, reason: "because", details: { port: 1 } });
  expect(seen).toMatchObject([
    { ...EVENT, atMs: 42, reason: "", details: {} },
    { reason: "because", details: { port: 1 } },
  ]);
});

test("events: ids are unique, and sort by time, then by order", () => {
  let nowMs = Date.parse("2026-01-01T00:00:00Z");
  for (const random of [0, 0.5, 1 - Number.EPSILON]) {
    const { bus } = busAt(
      () => nowMs,
      () => random,
    );
    const ids: string[] = [];
    bus.subscribe(({ id }) => ids.push(id));
    for (let n = 0; n < 5000; n += 1) {
      if (n % 7 === 0) nowMs += 1;
      bus.emit(EVENT);
    }
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(ids.map((id) => id.length)).size).toBe(1);
    nowMs += 31_536_000_000;
  }
});

test("events: after the clock was set back the next ids still sort behind those before, and the times are the clock's", () => {
  const times = [5_000, 9_000, 2_000, 2_000, 8_999, 9_001];
  const left = [...times];
  const { bus } = busAt(() => left.shift() ?? 0);
  const seen: PaastisEvent[] = [];
  bus.subscribe((event) => seen.push(event));
  for (const _ of times) bus.emit(EVENT);
  const ids = seen.map(({ id }) => id);
  expect(ids).toEqual(ids.toSorted());
  expect(seen.map(({ atMs }) => atMs)).toEqual(times);
});

test("events: a listener that fails reaches neither the emitter nor the others", () => {
  const { bus, errors } = busAt(() => 0);
  let heard = 0;
  const failure = new Error("broken listener");
  bus.subscribe(() => {
    throw failure;
  });
  bus.subscribe(() => {
    heard += 1;
  });
  bus.emit(EVENT);
  expect([heard, errors]).toEqual([1, [failure]]);
});

test("events: who has stopped listening hears nothing more, even in the middle of an event", () => {
  const { bus } = busAt(() => 0);
  const heard: string[] = [];
  bus.subscribe(() => {
    heard.push("first");
    stop();
  });
  const stop = bus.subscribe(() => heard.push("second"));
  bus.emit(EVENT);
  bus.emit(EVENT);
  stop();
  expect(heard).toEqual(["first", "first"]);
});

test("events: each kind has a line in the log, with the app and what caused it", () => {
  const { log, lines } = recordingLog();
  const { bus } = busAt(() => 0);
  bus.subscribe(logEvents(log));
  for (const name of EVENT_NAMES) bus.emit({ ...EVENT, name });
  expect(lines).toHaveLength(EVENT_NAMES.length);
  for (const [n, { fields, message }] of lines.entries()) {
    // Pages name these two by their id.
    const isNamed = EVENT_NAMES[n] === "APP_START_FAILED" || EVENT_NAMES[n] === "APP_CRASHED";
    expect(fields).toEqual({
      ...{ app: "shop", event: EVENT_NAMES[n] as string, cause: "GET /" },
      ...(isNamed && { reference: expect.stringMatching(/^\w{17}$/) }),
    });
    expect(message).not.toBe("");
  }
});

test("events: what the before-stop hook forbids with every sweep is in the log once, until something else happens", () => {
  const { log, lines } = recordingLog();
  const { bus } = busAt(() => 0);
  bus.subscribe(logEvents(log));
  const sweep = (status: number) => {
    const reason = `it ended with status ${status}`;
    bus.emit({ ...EVENT, name: "HOOK_FAILED", reason });
    bus.emit({
      ...EVENT,
      name: "APP_STOP_VETOED",
      reason: `the before-stop hook said no: ${reason}`,
    });
  };
  const told = () => lines.filter(({ level }) => level !== "debug").map(({ message }) => message);
  for (let count = 0; count < 3; count += 1) sweep(count);
  expect(told()).toEqual(["a hook failed", "stays awake"]);
  bus.emit({ ...EVENT, name: "APP_STOPPED" });
  bus.emit({ ...EVENT, name: "APP_STARTED" });
  sweep(1);
  expect(told().slice(2)).toEqual(["asleep", "awake", "a hook failed", "stays awake"]);
});

test("events: a stop that is tried again and again, and for which there is no time, is told of once", () => {
  const { log, lines } = recordingLog();
  const { bus } = busAt(() => 0);
  bus.subscribe(logEvents(log));
  for (const seconds of [40, 25]) {
    bus.emit({ ...EVENT, name: "APP_STOPPING" });
    bus.emit({ ...EVENT, name: "APP_STOP_CANCELLED", reason: `no calls for ${seconds} s` });
  }
  const told = lines.filter(({ level }) => level !== "debug").map(({ message }) => message);
  expect(told).toEqual(["going to sleep", "stays awake", "going to sleep"]);
});
