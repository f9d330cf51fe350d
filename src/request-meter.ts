/** How long an app's requests took and how much they carried, by class of status: on the path of every request. */

/** What is known of a request when it is over. */
export interface Done {
  /** When it was first admitted, ms since the epoch. */
  readonly admittedMs: number;
  /** Of the answer that the client got; 0: none, as it left or was cut. */
  readonly status: number;
  /** Bytes of its answer's body, or of an upgraded connection, towards the client. */
  readonly sentBytes: number;
  /** Bytes of its body, or of an upgraded connection, from the client. */
  readonly receivedBytes: number;
}

/** Upper bounds of the durations that are told apart, ms; what takes longer is within none of them. */
export const DURATION_BOUNDS_MS: readonly number[] = [
  5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
];

/** By the first digit of the status: 0 for requests without an answer. */
export const CLASSES = 6;

const SLOTS = DURATION_BOUNDS_MS.length + 1;
const DURATION = SLOTS;
const SENT = SLOTS + 1;
const RECEIVED = SLOTS + 2;
const WIDTH = SLOTS + 3;

/** One app's counters, since the program started: for each class the durations, their sum, and bytes both ways. */
export type RequestMeter = Float64Array;

/** Nothing has happened yet. */
export function createRequestMeter(): RequestMeter {
  return new Float64Array(CLASSES * WIDTH);
}

/** The class that a status counts to: its first digit, 0 without a status. */
export function classOf(status: number): number {
  return status >= 100 && status <= 599 ? Math.floor(status / 100) : 0;
}

/**
 * A request is over. One that became an upgraded connection counts with its bytes alone: such a connection lasts as long
 * as somebody likes.
 * @param nowMs ms since the epoch
 */
export function meterDone(meter: RequestMeter, done: Done, nowMs: number): void {
  const digit = classOf(done.status);
  const at = digit * WIDTH;
  add(meter, at + SENT, done.sentBytes);
  add(meter, at + RECEIVED, done.receivedBytes);
  if (digit === 1) return;
  const tookMs = Math.max(0, nowMs - done.admittedMs);
  add(meter, at + slotOf(tookMs), 1);
  add(meter, at + DURATION, tookMs);
}

function add(meter: RequestMeter, at: number, amount: number): void {
  meter[at] = (meter[at] ?? 0) + amount;
}

/** Most requests are in the first few. */
function slotOf(tookMs: number): number {
  let slot = 0;
  while (slot < DURATION_BOUNDS_MS.length && tookMs > (DURATION_BOUNDS_MS[slot] ?? 0)) slot += 1;
  return slot;
}

/** Bytes that went to clients. @param digit the class, from 0, below `CLASSES` */
export function sentBytesOf(meter: RequestMeter, digit: number): number {
  return meter[digit * WIDTH + SENT] ?? 0;
}

/** Bytes that came from clients. */
export function receivedBytesOf(meter: RequestMeter, digit: number): number {
  return meter[digit * WIDTH + RECEIVED] ?? 0;
}

/** How long all requests of a class took together, ms. */
export function durationMsOf(meter: RequestMeter, digit: number): number {
  return meter[digit * WIDTH + DURATION] ?? 0;
}

/** Requests by duration: those up to the first bound, above it and up to the second, and so on; beyond the last. */
export function durationsOf(meter: RequestMeter, digit: number): Float64Array {
  const at = digit * WIDTH;
  return meter.subarray(at, at + SLOTS);
}
