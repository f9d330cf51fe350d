/** What a test does to an app on the fake Fly.io, with flyctl, or as fate. */

import {
  type Boot,
  beUp,
  end,
  type FlyApp,
  isServing,
  type Machine,
  type MachineState,
  setState,
  start,
  stop,
} from "./fake-fly-model.ts";
import type { State } from "./fake-fly-routes.ts";
import type { FakeRouter } from "./fake-router.ts";

export interface NewMachine {
  /** Default `started`. */
  readonly state?: MachineState;
  /** Default `cdg`. */
  readonly region?: string;
  /** Default `app`. */
  readonly group?: string;
  /** Default true. */
  readonly hasServices?: boolean;
  /** It runs now and then by itself; default false. */
  readonly isScheduled?: boolean;
  /** `auto_destroy`; default false. */
  readonly isDestroyedAtEnd?: boolean;
  /** Default `off`. */
  readonly autostop?: Machine["autostop"];
  /** Default false. */
  readonly autostart?: boolean;
  /** Default none. */
  readonly check?: Machine["check"];
  /** Default `null`: it can be suspended. */
  readonly suspendRefusal?: number | null;
}

export interface NewApp {
  /** Default one, started. */
  readonly machines?: readonly NewMachine[];
  /** Default `personal`. */
  readonly org?: string;
}

/** A handle on one app. */
export interface FlyControl {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  /** In the order in which they were added. */
  readonly machines: readonly Machine[];
  /** States, in that order. */
  readonly states: readonly MachineState[];
  /** Machines that answer requests. */
  readonly serving: number;
  /** Requests that it has answered itself. */
  readonly requests: number;
  /** How the next starts of a machine go, one after the other; then they are as usual. */
  nextBoots(index: number, ...boots: readonly Boot[]): void;
  /** Somebody starts or stops a machine. */
  start(index: number): void;
  stop(index: number): void;
  /** As if it had been so for long. */
  setState(index: number, state: MachineState): void;
  /** Changes what its configuration, its check or its host says. */
  change(
    index: number,
    to: Partial<
      Pick<Machine, "autostop" | "autostart" | "check" | "hostStatus" | "suspendRefusal">
    >,
  ): void;
  crash(index: number): void;
  /** What it answers itself while a machine serves; `null`: as usual. The proxy puts its name on it, too. */
  answerWith(status: number | null): void;
  /** Gone for good. */
  destroy(index: number): void;
  /** Another machine. @returns its place */
  add(machine?: NewMachine): number;
  /** `fly deploy`: it holds a lease on every machine, whose states stay as they are. */
  beginDeploy(): void;
  /** The first machine is in the state `replacing`, as for a moment in a deployment. */
  beginReplacing(): void;
  /** Leases are given back, machines that were replaced run. */
  endDeploy(): void;
}

/** Adds an app. @throws when there is one of this name */
export function createApp(state: State, name: string, options: NewApp): FlyApp {
  if ([...state.apps].some((app) => app.name === name)) throw new Error(`${name} is there already`);
  const app: FlyApp = {
    id: state.world.nextId("app"),
    name,
    org: options.org ?? "personal",
    machines: [],
    certificates: [],
    ownStatus: null,
  };
  for (const machine of options.machines ?? [{}]) addMachine(state, app, machine);
  state.apps.add(app);
  return app;
}

function addMachine({ world }: State, app: FlyApp, options: NewMachine): void {
  const nowMs = world.clock.now();
  const machine: Machine = {
    id: world.nextId("e2"),
    name: `aged-wind-${app.machines.length}`,
    region: options.region ?? "cdg",
    group: options.group ?? "app",
    hasServices: options.hasServices ?? true,
    isScheduled: options.isScheduled ?? false,
    isDestroyedAtEnd: options.isDestroyedAtEnd ?? false,
    createdAtMs: nowMs,
    events: [],
    boots: [],
    autostop: options.autostop ?? "off",
    autostart: options.autostart ?? false,
    state: options.state ?? "started",
    instanceId: world.nextId("01"),
    updatedAtMs: nowMs,
    hostStatus: "ok",
    check: options.check ?? null,
    leaseNonce: null,
    suspendRefusal: options.suspendRefusal ?? null,
    servesFromMs: Number.POSITIVE_INFINITY,
    turn: 0,
  };
  if (machine.state === "started") machine.servesFromMs = nowMs;
  app.machines.push(machine);
}

export function controlOf(state: State, app: FlyApp, router: FakeRouter): FlyControl {
  const { world } = state;
  const at = (index: number): Machine => {
    const machine = app.machines[index];
    if (machine === undefined) throw new Error(`${app.name} has no machine ${index}`);
    return machine;
  };
  return {
    id: app.name,
    name: app.name,
    address: router.addressOf(app.name),
    machines: app.machines,
    get states() {
      return app.machines.map((machine) => machine.state);
    },
    get serving() {
      return app.machines.filter((machine) => isServing(world, machine)).length;
    },
    get requests() {
      return router.appRequests(router.hostOf(app.name));
    },
    nextBoots: (index, ...boots) => void at(index).boots.push(...boots),
    start: (index) => void start(world, at(index)),
    stop: (index) => stop(world, at(index)),
    setState(index, word) {
      if (word === "started") beUp(world, at(index));
      else setState(world, at(index), word);
    },
    change(index, to) {
      Object.assign(at(index), to);
      world.changed();
    },
    answerWith(status) {
      app.ownStatus = status;
    },
    crash: (index) => end(world, at(index), { exitCode: 1, requestedStop: false }),
    destroy(index) {
      app.machines.splice(index, 1);
      world.changed();
    },
    add(machine = {}) {
      addMachine(state, app, machine);
      world.changed();
      return app.machines.length - 1;
    },
    ...deploysOf(state, app),
  };
}

function deploysOf(
  { world }: State,
  app: FlyApp,
): Pick<FlyControl, "beginDeploy" | "beginReplacing" | "endDeploy"> {
  const setLeases = (nonce: string | null) => {
    for (const machine of app.machines) machine.leaseNonce = nonce;
  };
  return {
    beginDeploy: () => setLeases(world.nextId("nonce")),
    beginReplacing() {
      setLeases(world.nextId("nonce"));
      const [first] = app.machines;
      if (first !== undefined) setState(world, first, "replacing");
    },
    endDeploy() {
      setLeases(null);
      for (const machine of app.machines) {
        if (machine.state === "replacing") beUp(world, machine);
      }
    },
  };
}
