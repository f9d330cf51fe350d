/** The nouns of the fake Fly.io: an app and its machines, and what happens to them over time. */

import type { CancelTimer, Clock } from "../../src/clock.ts";

/** `machine.state`, as documented; `odd` words are a test's. */
export type MachineState =
  | "created"
  | "starting"
  | "started"
  | "stopping"
  | "stopped"
  | "suspending"
  | "suspended"
  | "restarting"
  | "updating"
  | "replacing"
  | "destroying"
  | "destroyed"
  | "failed"
  | "launch_failed";

/**
 * How a start goes. `crashes`: the app ends with an error; `exits`: it ends by itself, well; `fails`: the machine does;
 * `no-room`: its host has no room for it, and it stays as it was.
 */
export interface Boot {
  readonly outcome?: "ok" | "crashes" | "exits" | "fails" | "no-room";
  /** From `starting` to `started`; default the fake's. */
  readonly ms?: number;
  /** So long after it was started, it crashes; left out: never. */
  readonly crashesAfterMs?: number;
}

export interface MachineEvent {
  readonly type: "start" | "exit" | "launch" | "update";
  readonly status: string;
  readonly source: "flyd" | "user";
  readonly timestamp: number;
  /** Of an exit. */
  readonly exit: { readonly exitCode: number; readonly requestedStop: boolean } | null;
}

export interface Machine {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  /** `fly_process_group`. */
  readonly group: string;
  /** It takes requests. */
  readonly hasServices: boolean;
  /** It runs now and then by itself. */
  readonly isScheduled: boolean;
  /** It is gone once it has ended. */
  readonly isDestroyedAtEnd: boolean;
  readonly createdAtMs: number;
  /** Newest first. */
  readonly events: MachineEvent[];
  readonly boots: Boot[];
  autostop: "off" | "stop" | "suspend" | boolean;
  autostart: boolean;
  state: MachineState;
  instanceId: string;
  updatedAtMs: number;
  hostStatus: "ok" | "unknown" | "unreachable";
  /** Of its one check; `null`: it has none. */
  check: "passing" | "warning" | "critical" | null;
  /** Who holds a lease; `null`: nobody. */
  leaseNonce: string | null;
  /** The status of a suspend that is refused; `null`: it can be suspended. */
  suspendRefusal: number | null;
  /** From when on the proxy sends it requests; `Infinity` while it does not run. */
  servesFromMs: number;
  /** Grows with each change of state, so that what was planned for an earlier one does not happen. */
  turn: number;
}

export interface FlyApp {
  readonly id: string;
  readonly name: string;
  readonly org: string;
  readonly machines: Machine[];
  readonly certificates: string[];
  /** The status of its own answers; `null`: as usual. */
  ownStatus: number | null;
}

/** What machines need of the platform around them. */
export interface World {
  readonly clock: Clock;
  readonly bootMs: number;
  readonly stopMs: number;
  readonly suspendMs: number;
  /** From `started` until the app listens, and the proxy knows. */
  readonly listenMs: number;
  nextId(kind: string): string;
  later(delayMs: number, action: () => void): CancelTimer;
  /** Something has changed that requests or waiting calls depend on. */
  changed(): void;
}

/** Changes a machine's state, and what it plans is of that state alone. */
export function setState(world: World, machine: Machine, state: MachineState): void {
  machine.state = state;
  machine.turn += 1;
  machine.updatedAtMs = world.clock.now();
  if (state !== "started") machine.servesFromMs = Number.POSITIVE_INFINITY;
  world.changed();
}

function next(world: World, machine: Machine, step: { readonly ms: number; act(): void }): void {
  const { turn } = machine;
  world.later(step.ms, () => {
    if (machine.turn === turn) step.act();
  });
}

function addEvent(
  world: World,
  machine: Machine,
  event: Omit<MachineEvent, "timestamp" | "source">,
): void {
  machine.events.unshift({ ...event, source: "flyd", timestamp: world.clock.now() });
}

/** Begins a start, which ends by itself. @returns false: its host has no room for it */
export function start(world: World, machine: Machine): boolean {
  const boot = machine.boots.shift() ?? {};
  const { outcome = "ok", ms = world.bootMs } = boot;
  if (outcome === "no-room") return false;
  setState(world, machine, "starting");
  machine.instanceId = world.nextId("01");
  addEvent(world, machine, { type: "start", status: "starting", exit: null });
  next(world, machine, {
    ms,
    act() {
      if (outcome === "fails") setState(world, machine, "failed");
      else if (outcome === "ok") beUp(world, machine, boot);
      else end(world, machine, { exitCode: outcome === "crashes" ? 1 : 0, requestedStop: false });
    },
  });
  return true;
}

/** It runs, and takes requests a while later. */
export function beUp(world: World, machine: Machine, { crashesAfterMs }: Boot = {}): void {
  setState(world, machine, "started");
  machine.servesFromMs = world.clock.now() + world.listenMs;
  next(world, machine, { ms: world.listenMs, act: world.changed });
  if (crashesAfterMs === undefined) return;
  const act = () => end(world, machine, { exitCode: 1, requestedStop: false });
  next(world, machine, { ms: crashesAfterMs, act });
}

/** It does not run any more. */
export function end(
  world: World,
  machine: Machine,
  exit: { readonly exitCode: number; readonly requestedStop: boolean },
): void {
  setState(world, machine, "stopped");
  addEvent(world, machine, { type: "exit", status: "stopped", exit });
}

/** Begins a stop. */
export function stop(world: World, machine: Machine): void {
  setState(world, machine, "stopping");
  const act = () => end(world, machine, { exitCode: 0, requestedStop: true });
  next(world, machine, { ms: world.stopMs, act });
}

/** Begins a suspend. */
export function suspend(world: World, machine: Machine): void {
  setState(world, machine, "suspending");
  next(world, machine, {
    ms: world.suspendMs,
    act: () => setState(world, machine, "suspended"),
  });
}

/** It takes requests now. */
export function isServing({ clock }: World, machine: Machine): boolean {
  const { hasServices, check, hostStatus, servesFromMs } = machine;
  const isWell = check !== "critical" && hostStatus !== "unreachable";
  return hasServices && isWell && servesFromMs <= clock.now();
}
