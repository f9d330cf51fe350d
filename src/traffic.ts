/** What the requests for one app came to. On the path of every request: additions, and nothing else. */

import { addressOf, type Target } from "./app.ts";
import {
  classOf,
  createRequestMeter,
  type Done,
  meterDone,
  type RequestMeter,
} from "./request-meter.ts";
import type { Tally } from "./switch-verdict.ts";

/** How far back the rate of requests and errors is known, s. */
const SECONDS = 60;

/** The newest failure to forward a request. */
export interface LastProxyError {
  readonly code: string;
  readonly message: string;
  /** Address of the target. */
  readonly target: string;
  readonly atMs: number;
}

/** One app's counters, since the program started. */
export interface Traffic {
  requests: number;
  inFlightMax: number;
  /** Requests that could not be forwarded. */
  proxyErrors: number;
  lastProxyError: LastProxyError | null;
  /** Answers by the first digit of their status; 0: requests that ended without one. */
  readonly statuses: [number, number, number, number, number, number];
  /** How long requests took, and what they carried. */
  readonly meter: RequestMeter;
  /** What went to one target alone, while somebody wants to know; `null`: nobody does. */
  watched: { readonly address: string; requests: number; errors: number } | null;
  /** By second. `outcomes` and `errors` are targets'; what Paastis answers by itself is among `requests` only. */
  readonly ring: {
    readonly requests: number[];
    readonly outcomes: number[];
    readonly errors: number[];
    second: number;
    /** Since somebody last knew the time. */
    readonly undated: { outcomes: number; errors: number };
  };
}

/** Nothing has happened yet. */
export function createTraffic(): Traffic {
  const zeros = () => new Array<number>(SECONDS).fill(0);
  return {
    requests: 0,
    inFlightMax: 0,
    proxyErrors: 0,
    lastProxyError: null,
    statuses: [0, 0, 0, 0, 0, 0],
    meter: createRequestMeter(),
    watched: null,
    ring: {
      requests: zeros(),
      outcomes: zeros(),
      errors: zeros(),
      second: 0,
      undated: { outcomes: 0, errors: 0 },
    },
  };
}

/** A request has come. @param inFlight with this one */
export function noteBegun(traffic: Traffic, inFlight: number): void {
  traffic.requests += 1;
  if (inFlight > traffic.inFlightMax) traffic.inFlightMax = inFlight;
}

/**
 * A request is over.
 * @param nowMs ms since the epoch
 * @param done left out: nothing is known but that it is over
 */
export function noteEnded(traffic: Traffic, nowMs: number, done?: Done): void {
  const { ring, statuses } = traffic;
  advance(ring, Math.floor(nowMs / 1000));
  const slot = ring.second % SECONDS;
  ring.requests[slot] = (ring.requests[slot] ?? 0) + 1;
  if (done === undefined) return;
  if (done.status === 0) statuses[0] += 1;
  meterDone(traffic.meter, done, nowMs);
}

/** The client gets an answer with this status. @param target whose outcome it is; `null`: nobody's */
export function noteAnswer(traffic: Traffic, status: number, target: Target | null): void {
  const digit = classOf(status);
  if (digit > 0) traffic.statuses[digit] = (traffic.statuses[digit] ?? 0) + 1;
  if (target !== null) noteOutcome(traffic, target, digit === 5);
}

/**
 * A request could not be carried to its target, or the answer not back; whatever becomes of it.
 * @param target whose outcome it is; `null`: nobody's, as it was counted before
 */
export function noteFailure(
  traffic: Traffic,
  target: Target | null,
  failure: LastProxyError,
): void {
  traffic.proxyErrors += 1;
  traffic.lastProxyError = failure;
  if (target !== null) noteOutcome(traffic, target, true);
}

function noteOutcome({ watched, ring }: Traffic, target: Target, isError: boolean): void {
  ring.undated.outcomes += 1;
  if (isError) ring.undated.errors += 1;
  if (watched === null || watched.address !== addressOf(target)) return;
  watched.requests += 1;
  if (isError) watched.errors += 1;
}

/**
 * What targets made of the requests of the last minute; each counts to the second in which the next one ends.
 * @param nowMs ms since the epoch
 */
export function lastMinute({ ring }: Traffic, nowMs: number): Tally {
  advance(ring, Math.floor(nowMs / 1000));
  return { requests: sum(ring.outcomes), errors: sum(ring.errors) };
}

/** Requests that ended in the last minute, whoever answered them. @param nowMs ms since the epoch */
export function endedInLastMinute({ ring }: Traffic, nowMs: number): number {
  advance(ring, Math.floor(nowMs / 1000));
  return sum(ring.requests);
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** Empties the slots of the seconds that have passed, and puts what was not dated where it belongs. */
function advance(ring: Traffic["ring"], second: number): void {
  if (second !== ring.second) forget(ring, second);
  const { undated } = ring;
  if (undated.outcomes === 0) return;
  const slot = second % SECONDS;
  ring.outcomes[slot] = (ring.outcomes[slot] ?? 0) + undated.outcomes;
  ring.errors[slot] = (ring.errors[slot] ?? 0) + undated.errors;
  undated.outcomes = 0;
  undated.errors = 0;
}

function forget(ring: Traffic["ring"], second: number): void {
  const passed = Math.min(SECONDS, Math.max(0, second - ring.second));
  for (let step = 1; step <= passed; step += 1) {
    const slot = (ring.second + step) % SECONDS;
    ring.requests[slot] = 0;
    ring.outcomes[slot] = 0;
    ring.errors[slot] = 0;
  }
  ring.second = second;
}
