/** What is counted about requests, and how long. */

import { expect, test } from "bun:test";
import { targetOf } from "../src/app.ts";
import { durationMsOf } from "../src/request-meter.ts";
import {
  createTraffic,
  endedInLastMinute,
  lastMinute,
  noteAnswer,
  noteBegun,
  noteEnded,
  noteFailure,
} from "../src/traffic.ts";

const A = targetOf("http://127.0.0.1:8080");
const B = targetOf("http://127.0.0.1:8081");
const START = 1_700_000_000_000;
const FAILURE = { code: "upstream_broken", message: "reset", target: A.origin, atMs: START };

test("traffic: requests of the last minute count, older ones do not", () => {
  const traffic = createTraffic();
  for (let second = 0; second < 90; second += 1) noteEnded(traffic, START + second * 1000);
  expect(endedInLastMinute(traffic, START + 89_000)).toBe(60);
  expect(endedInLastMinute(traffic, START + 120_000)).toBe(29);
  expect(endedInLastMinute(traffic, START + 1_000_000)).toBe(0);
  // Nobody's but our own answers: no target has done well.
  expect(lastMinute(traffic, START + 89_000)).toEqual({ requests: 0, errors: 0 });
});

test("traffic: an error after a long silence counts with the request that ends", () => {
  const traffic = createTraffic();
  noteEnded(traffic, START);
  noteAnswer(traffic, 500, A);
  noteEnded(traffic, START + 3_600_000);
  expect(lastMinute(traffic, START + 3_600_000)).toEqual({ requests: 1, errors: 1 });
  expect(lastMinute(traffic, START + 3_600_000 + 59_000)).toEqual({ requests: 1, errors: 1 });
  expect(lastMinute(traffic, START + 3_600_000 + 60_000)).toEqual({ requests: 0, errors: 0 });
});

test("traffic: a clock that stands still or goes back loses nothing", () => {
  const traffic = createTraffic();
  noteEnded(traffic, START);
  noteEnded(traffic, START - 5000);
  noteEnded(traffic, START);
  expect(endedInLastMinute(traffic, START)).toBeGreaterThanOrEqual(2);
});

test("traffic: only what went to the watched target is told of it, failures to connect included", () => {
  const traffic = createTraffic();
  traffic.watched = { address: B.origin, requests: 0, errors: 0 };
  noteAnswer(traffic, 500, A);
  noteFailure(traffic, A, FAILURE);
  noteAnswer(traffic, 200, B);
  noteAnswer(traffic, 404, B);
  noteAnswer(traffic, 503, B);
  noteFailure(traffic, B, { ...FAILURE, target: B.origin });
  // What Paastis says itself is no target's.
  noteAnswer(traffic, 503, null);
  expect(traffic.watched).toEqual({ address: B.origin, requests: 4, errors: 2 });
});

test("traffic: statuses count by their first digit, and the most at one time is kept", () => {
  const traffic = createTraffic();
  for (const status of [101, 200, 204, 301, 404, 499, 500, 599]) noteAnswer(traffic, status, A);
  expect(traffic.statuses).toEqual([0, 1, 2, 1, 2, 2]);
  for (const inFlight of [1, 2, 3, 1]) noteBegun(traffic, inFlight);
  expect({ requests: traffic.requests, most: traffic.inFlightMax }).toEqual({
    requests: 4,
    most: 3,
  });
  noteFailure(traffic, A, FAILURE);
  expect({ errors: traffic.proxyErrors, last: traffic.lastProxyError }).toEqual({
    errors: 1,
    last: FAILURE,
  });
});

test("traffic: a request that ends without an answer counts as such, and with how long it took", () => {
  const traffic = createTraffic();
  const done = { admittedMs: START, status: 0, sentBytes: 0, receivedBytes: 5 };
  noteEnded(traffic, START + 30, done);
  expect(traffic.statuses).toEqual([1, 0, 0, 0, 0, 0]);
  expect(durationMsOf(traffic.meter, 0)).toBe(30);
  expect(endedInLastMinute(traffic, START + 30)).toBe(1);
});
