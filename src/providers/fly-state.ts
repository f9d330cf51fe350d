/** From the machines of an app to its phase, and which of them a wake starts. Pure. */

import { type Snapshot, type Target, targetOf } from "../app.ts";
import type { FlyMachine } from "./fly-json.ts";
import { safeText } from "./platform-quote.ts";
import type { Observation, Phase } from "./provider.ts";

/**
 * Where an app answers; the API has no field for it. Source: Fly.io's documentation, "Public Network Services".
 * @param appUrl with `{app}` in place of its name
 */
export function targetOfApp(appUrl: string, name: string): Target {
  return targetOf(appUrl.replaceAll("{app}", name));
}

const DEPLOYING: readonly string[] = ["creating", "replacing", "updating"];
const WAKING: readonly string[] = ["starting", "restarting"];
const STOPPING: readonly string[] = ["stopping", "suspending"];
const ASLEEP: readonly string[] = ["created", "stopped", "suspended"];
const FAILED: readonly string[] = ["failed", "launch_failed"];

/** What the words of Fly.io mean. Source: Fly.io's documentation, "Machine states". */
export function observationOf(target: Target, all: readonly FlyMachine[]): Observation {
  const said = (phase: Phase, reason?: string): Observation =>
    reason === undefined ? { phase, target } : { phase, target, reason };
  const served = all.filter(({ isServed }) => isServed);
  if (served.length === 0) return said("unmanaged", "it has no machine that takes requests");
  const machines = served.filter(({ isReachable }) => isReachable);
  if (machines.length === 0) return said("unknown", "the host of its machines cannot be reached");
  const states = machines.map(({ state }) => state);
  const some = (words: readonly string[]) => states.some((state) => words.includes(state));
  // Its workers are deployed with it; otherwise they say nothing about it.
  const changing = listed(
    all.filter(({ isReachable }) => isReachable).map(({ state }) => state),
    DEPLOYING,
  );
  if (changing !== "") return said("deploying", `machines are ${changing}`);
  if (machines.some(isServing)) return said("awake");
  if (states.includes("started")) return said("waking", "its health checks do not pass yet");
  if (some(WAKING)) return said("waking");
  if (some(STOPPING)) return said("stopping");
  if (states.every((state) => FAILED.includes(state))) {
    return said("failed", `its machines are ${listed(states, FAILED)}: their logs say why`);
  }
  const isKnown = (state: string) => ASLEEP.includes(state) || FAILED.includes(state);
  const odd = states.find((state) => !isKnown(state));
  if (odd !== undefined) return said("unknown", `Fly.io says of a machine: "${safeText(odd)}"`);
  const ended = whyEnded(machines);
  return ended === null ? said("asleep") : said("failed", ended);
}

function listed(states: readonly string[], among: readonly string[]): string {
  return [...new Set(states.filter((state) => among.includes(state)))].join(", ");
}

/** The last of its machines that ran ended with an error, and nobody asked for that; `null`: somebody did. */
function whyEnded(machines: readonly FlyMachine[]): string | null {
  if (machines.some(({ state }) => state === "suspended")) return null;
  const exits = machines.flatMap(({ exit }) => exit ?? []);
  const last = exits.toSorted((one, other) => other.atMs - one.atMs)[0];
  if (last === undefined || !last.isByItself || last.exitCode === 0) return null;
  return endedBecause(last);
}

/** For people. */
export function endedBecause({ exitCode }: { readonly exitCode: number }): string {
  return `its machine ended with exit code ${exitCode}: its log says why`;
}

/** It runs, takes requests, and none of its checks fails. */
export function isServing({ state, checks, isReachable, isServed }: FlyMachine): boolean {
  const isWell = checks.every(({ status }) => status !== "critical");
  return isServed && isReachable && state === "started" && isWell;
}

/** A start may be tried. Machines that failed can sometimes be started. Source: documentation, "Machine states". */
export function isStartable({ state, isReachable }: FlyMachine): boolean {
  return isReachable && (ASLEEP.includes(state) || state === "failed");
}

/** It is up, or about to be. */
export function isComing({ state, isReachable }: FlyMachine): boolean {
  return isReachable && (state === "started" || WAKING.includes(state));
}

/** It ends, or is replaced: what comes of it will be seen. */
export function isPassing({ state, isReachable }: FlyMachine): boolean {
  return isReachable && (STOPPING.includes(state) || DEPLOYING.includes(state));
}

/** It will not come up by itself. */
export function isFailed({ state }: FlyMachine): boolean {
  return FAILED.includes(state);
}

/**
 * The machines that run, with what is needed to replace one that is gone by then.
 * @param owed ids of machines that an earlier sleep has taken down, although it failed
 */
export function snapshotOf(
  machines: readonly FlyMachine[],
  { mode, owed }: { readonly mode: "stop" | "suspend"; readonly owed: ReadonlySet<string> },
): Extract<Snapshot, { kind: "members" }> {
  const ids = machines
    .filter((machine) => isComing(machine) || owed.has(machine.id))
    .map(({ id, group, region }) => `${id}/${group}/${region}`);
  return { kind: "members", ids, mode };
}

/**
 * The machines to have up: those of the snapshot; for one that is gone another of its group, of its region if there
 * is one; where none of them takes requests, any one that does, so that spares stay down.
 */
export function wantedMachines(
  all: readonly FlyMachine[],
  snapshot: Snapshot | null,
): readonly FlyMachine[] {
  const machines = all.filter(({ isReachable }) => isReachable);
  const remembered = snapshot?.kind === "members" ? snapshot.ids.map(memberOf) : [];
  const wanted = machines.filter(({ id }) => remembered.some((member) => member.id === id));
  const missing = remembered.filter((member) => !wanted.some(({ id }) => id === member.id));
  for (const member of missing) {
    const [spare] = sparesFor(
      machines.filter((machine) => !wanted.includes(machine)),
      member,
    );
    if (spare !== undefined) wanted.push(spare);
  }
  if (wanted.some(({ isServed }) => isServed)) return wanted;
  const served = machines.filter(({ isServed }) => isServed);
  const any = served.find(isComing) ?? served.find(isStartable) ?? served[0];
  return any === undefined ? [] : [any, ...wanted];
}

/** What a machine is remembered by. */
interface Member {
  readonly id: string;
  readonly group: string;
  readonly region: string;
}

function memberOf(text: string): Member {
  const [id = "", group = "", region = ""] = text.split("/");
  return { id, group, region };
}

/** Other machines of the same group that could be started, those of the same region first. */
export function sparesFor(
  machines: readonly FlyMachine[],
  { group, region, isServed }: Pick<Member, "group" | "region"> & { readonly isServed?: boolean },
): readonly FlyMachine[] {
  const alike = machines.filter(
    (machine) =>
      machine.group === group &&
      machine.isServed === (isServed ?? machine.isServed) &&
      isStartable(machine),
  );
  const distance = (machine: FlyMachine) => (machine.region === region ? 0 : 1);
  return alike.toSorted((one, other) => distance(one) - distance(other));
}

/** The ids that a snapshot remembers; `null`: it remembers none. */
export function idsOf(snapshot: Snapshot): readonly string[] | null {
  return snapshot.kind === "members" ? snapshot.ids.map((text) => memberOf(text).id) : null;
}
