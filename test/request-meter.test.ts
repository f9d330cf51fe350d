/** What is counted of each request when it is over. */

import { expect, test } from "bun:test";
import {
  classOf,
  createRequestMeter,
  DURATION_BOUNDS_MS,
  durationMsOf,
  durationsOf,
  meterDone,
  receivedBytesOf,
  sentBytesOf,
} from "../src/request-meter.ts";

test("meter: a duration counts up to the bound that it reaches, and beyond the last one at the end", () => {
  const cases: readonly (readonly [tookMs: number, slot: number])[] = [
    [0, 0],
    [5, 0],
    [6, 1],
    [10, 1],
    [60_000, 12],
    [60_001, 13],
    [86_400_000, 13],
    // A clock that was set back makes nobody faster than at once.
    [-50, 0],
  ];
  for (const [tookMs, slot] of cases) {
    const meter = createRequestMeter();
    meterDone(
      meter,
      { admittedMs: 1000, status: 200, sentBytes: 0, receivedBytes: 0 },
      1000 + tookMs,
    );
    const counts = new Array<number>(DURATION_BOUNDS_MS.length + 1).fill(0);
    counts[slot] = 1;
    expect([tookMs, [...durationsOf(meter, 2)]]).toEqual([tookMs, counts]);
    expect(durationMsOf(meter, 2)).toBe(Math.max(0, tookMs));
  }
});

test("meter: each class of status has its own numbers, requests without an answer too", () => {
  const meter = createRequestMeter();
  for (const status of [0, 200, 299, 404, 599]) {
    meterDone(meter, { admittedMs: 0, status, sentBytes: 10, receivedBytes: 3 }, 20);
  }
  const counted = [0, 1, 2, 3, 4, 5].map((digit) => [
    durationsOf(meter, digit)[2],
    durationMsOf(meter, digit),
    sentBytesOf(meter, digit),
    receivedBytesOf(meter, digit),
  ]);
  expect(counted).toEqual([
    [1, 20, 10, 3],
    [0, 0, 0, 0],
    [2, 40, 20, 6],
    [0, 0, 0, 0],
    [1, 20, 10, 3],
    [1, 20, 10, 3],
  ]);
});

test("meter: an upgraded connection counts with its bytes, and not with how long it was open", () => {
  const meter = createRequestMeter();
  const done = { admittedMs: 0, status: 101, sentBytes: 7, receivedBytes: 9 };
  meterDone(meter, done, 3_600_000);
  expect([sentBytesOf(meter, 1), receivedBytesOf(meter, 1), durationMsOf(meter, 1)]).toEqual([
    7, 9, 0,
  ]);
  expect([...durationsOf(meter, 1)].every((count) => count === 0)).toBe(true);
});

test("meter: a status that is none counts as no answer", () => {
  expect([0, 99, 100, 200, 599, 600, 999].map(classOf)).toEqual([0, 0, 1, 2, 5, 0, 0]);
});
