/** What there is for one target, kept apart from what is trusted for other reasons. */

import { addressOf, type Target } from "../app.ts";
import type { TargetTrust } from "../target-route.ts";
import type { HeadReader, Http1ResponseHead } from "./http1-head.ts";
import type { Wire } from "./socket-writer.ts";
import type { DialFailure, Route } from "./upstream-dial.ts";

/** A connection to a target. `User` is whoever has it. */
export interface UpstreamConnection<User> {
  readonly wire: Wire;
  /** Reads the heads of the answers on it. */
  readonly reader: HeadReader<Http1ResponseHead>;
  /** Who gets what comes; `null` while it is idle. */
  user: User | null;
  /** Requests that were sent on it, this one included. */
  uses: number;
  idleSinceMs: number;
  /** Where it counts; `null`: nowhere. */
  lane: Lane<User> | null;
}

/** What a dial came to. */
export type Dialled<User> = UpstreamConnection<User> | DialFailure;

/** All that there is for one target under one choice of whom to trust. */
export interface Lane<User> {
  readonly route: Route;
  /** Connections, idle ones included. */
  open: number;
  attempts: number;
  /** Attempts that were given up, but have their descriptor until the system gives them up, too. */
  lost: number;
  /** The oldest first. */
  readonly idle: UpstreamConnection<User>[];
  /** Who came first is first. */
  readonly queue: Set<Waiter<User>>;
}

/** A request that waits for a connection. */
export interface Waiter<User> {
  readonly user: User;
  /** `null`: it has been told, or has left. */
  onDone: ((dialled: Dialled<User>) => void) | null;
}

/** By whom is trusted there, then by address. Only what has something in it is kept. */
export type Lanes<User> = Map<string, Map<string, Lane<User>>>;

/** No two of these share a connection: whom only one of them trusts has proved nothing to the other. */
const TRUST = { system: "", anybody: "*" } as const;

/** A PEM is neither of the above. Without TLS there is nobody to trust. */
function groupOf(target: Target, { tlsVerify, tlsCa }: TargetTrust): string {
  if (tlsVerify && tlsCa === null) return TRUST.system;
  if (!target.origin.startsWith("https:")) return TRUST.system;
  return tlsVerify ? (tlsCa ?? TRUST.system) : TRUST.anybody;
}

/** Runs for every request, so it makes no text but for unix sockets. */
export function findLane<User>(
  lanes: Lanes<User>,
  target: Target,
  trust: TargetTrust,
): Lane<User> | undefined {
  return lanes.get(groupOf(target, trust))?.get(addressOf(target));
}

/** The lane, which is made when there is none. */
export function laneFor<User>(lanes: Lanes<User>, { target, trust }: Route): Lane<User> {
  const group = groupOf(target, trust);
  const byAddress: Map<string, Lane<User>> = lanes.get(group) ?? new Map();
  lanes.set(group, byAddress);
  const address = addressOf(target);
  const found = byAddress.get(address);
  if (found !== undefined) return found;
  const route: Route = { target, trust };
  const lane: Lane<User> = { route, open: 0, attempts: 0, lost: 0, idle: [], queue: new Set() };
  byAddress.set(address, lane);
  return lane;
}

/** All lanes; the one that was given last may be forgotten meanwhile. */
export function* eachLane<User>(lanes: Lanes<User>): Generator<Lane<User>> {
  for (const byAddress of lanes.values()) yield* byAddress.values();
}

/** Forgets a lane with nothing in it. */
export function forgetIfEmpty<User>(lanes: Lanes<User>, lane: Lane<User>): void {
  if (lane.open + lane.attempts + lane.lost + lane.queue.size > 0) return;
  const { target, trust } = lane.route;
  const group = groupOf(target, trust);
  const byAddress = lanes.get(group);
  const address = addressOf(target);
  // It may have been forgotten, and made anew, before.
  if (byAddress?.get(address) !== lane) return;
  byAddress.delete(address);
  if (byAddress.size === 0) lanes.delete(group);
}

/** Takes out whoever came first; `null`: nobody waits. */
export function nextWaiter<User>({ queue }: Lane<User>): Waiter<User> | null {
  if (queue.size === 0) return null;
  for (const first of queue) {
    queue.delete(first);
    return first;
  }
  return null;
}
