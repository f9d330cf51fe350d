/** What a chaos run consists of: several instances, their apps, what was done to them and when, and the verdict on answers. */

import { join, resolve } from "node:path";
import { createSystemClock } from "../../src/clock.ts";
import { type FakeDocker, startFakeDocker } from "../fakes/fake-docker.ts";
import type { DockerControl } from "../fakes/fake-docker-control.ts";
import { freePort } from "../support/free-port.ts";
import { type Instance, type Instances, startInstances } from "../support/instances.ts";
import type { Chance } from "../support/random.ts";
import { makeFolder } from "../support/start-paastis.ts";
import { createNoise, type Noise } from "./noise.ts";
import { createTally, type Tally } from "./soak-tally.ts";

const LOAD_APP = resolve(import.meta.dir, "load-app.ts");

/** Stands in the command line of every process that Paastis starts in this run, and of no other. */
export const MARK = `chaos-${process.pid}`;

/** What is declared: `load-app.ts` as processes and behind a port, and containers of a fake engine. */
export const APPS = {
  /** Processes in use all the time. */
  busy: ["busy-1", "busy-2"],
  /** Processes that are used now and then, so that they sleep in between. */
  napping: ["nap-1", "nap-2", "nap-3"],
  /** A process in use, which is killed now and then. */
  mortal: ["mortal"],
  /** Switched from one port to the other; both are the same to whoever asks. */
  switched: ["switched"],
  /** Containers in use, and containers that sleep in between. */
  contained: ["box-1", "box-2", "doze-1", "doze-2"],
} as const;

export const PROCESSES: readonly string[] = [...APPS.busy, ...APPS.napping, ...APPS.mortal];
export const ALL_APPS: readonly string[] = [...PROCESSES, ...APPS.switched, ...APPS.contained];

/** Something that was done on purpose, and what may fail because of it. */
export interface Incident {
  readonly what: string;
  readonly fromMs: number;
  /** `Infinity`: it goes on. */
  untilMs: number;
  /** Whether a failure of this kind may come of it while it goes on, or began before it was over. */
  readonly explains: (failure: Failure) => boolean;
}

/** A request that was not answered as it should have been. Times by `performance.now()`. */
export interface Failure {
  readonly instance: Instance;
  readonly app: string;
  readonly sentMs: number;
  readonly endedMs: number;
  /**
   * - `refused`: no connection could be made
   * - `broken`: the connection ended before the answer was complete
   * - `own`: Paastis itself answered
   * - `wrong`: anything else: a wrong byte, an answer to somebody else, none at all
   */
  readonly kind: "refused" | "broken" | "own" | "wrong";
  readonly why: string;
}

export interface World {
  readonly instances: Instances;
  readonly docker: FakeDocker;
  readonly containers: ReadonlyMap<string, DockerControl>;
  /** Where the switched app may be. */
  readonly ports: readonly number[];
  readonly noise: Noise;
  readonly chance: Chance;
  readonly tally: Tally;
  readonly incidents: Incident[];
  /** Those that something is done to at the moment. */
  readonly troubled: Set<Instance>;
  isRedisTroubled: boolean;
  /** Requests and WebSockets so far. */
  requests: number;
  /** Sent, and not at its end: what it is, and since when. */
  readonly underWay: Map<object, { readonly what: string; readonly sinceMs: number }>;
  /** No new requests. */
  isOver: boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts everything. @param count of instances */
export async function startWorld(count: number, chance: Chance): Promise<World> {
  const folder = makeFolder();
  const docker = await startFakeDocker({
    clock: createSystemClock(),
    socketPath: join(folder, "docker.sock"),
    ...{ startMs: 50, bootMs: 100, stopMs: 50 },
  });
  const containers = new Map(APPS.contained.map((key) => [key, docker.addContainer(key)]));
  const ports = [freePort(), freePort()];
  const versions = ports.map((port) => startLoadApp(port));
  const [firstPort = 0] = ports;
  const instances = await startInstances({
    count,
    config: configOf(firstPort),
    env: {
      PROVIDER_NAME: "process,ports,docker",
      DOCKER_HOST: `unix://${docker.socketPath}`,
      START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      START_AND_STOP_MAX_IDLE_TIME: "0.02",
      HEALTH_PATH: "/state",
      ...{ DRAIN_MS: "3000", ROLLBACK_WINDOW_MS: "2000", ROLLBACK_CHECK_EVERY_MS: "500" },
      LOGGING_LEVEL: "debug",
    },
  });
  return {
    ...{ instances, docker, containers, ports, chance },
    noise: createNoise(),
    tally: createTally(),
    incidents: [],
    troubled: new Set(),
    isRedisTroubled: false,
    requests: 0,
    underWay: new Map(),
    isOver: false,
    async [Symbol.asyncDispose]() {
      await instances[Symbol.asyncDispose]();
      await docker[Symbol.asyncDispose]();
      for (const version of versions) version.kill("SIGKILL");
    },
  };
}

function startLoadApp(port: number) {
  const env = { PATH: process.env.PATH ?? "", PORT: String(port) };
  return Bun.spawn([process.execPath, "--no-install", LOAD_APP], {
    env,
    ...{ stdin: "ignore", stdout: "ignore", stderr: "inherit" },
  });
}

function configOf(port: number): string {
  const command = `exec ${process.execPath} --no-install ${LOAD_APP} ${MARK}`;
  return [
    "apps:",
    ...PROCESSES.map((key) => `  ${key}: { provider: process, command: '${command}' }`),
    ...APPS.switched.map((key) => `  ${key}: { provider: ports, port: ${port} }`),
    "",
  ].join("\n");
}

/** From now on, until `untilMs` is set. */
export function begin(
  { incidents, tally }: World,
  incident: Pick<Incident, "explains" | "what">,
): Incident {
  const begun = { ...incident, fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY };
  incidents.push(begun);
  tally.count(`did: ${incident.what.replace(/: .*/, "")}`);
  return begun;
}

/** What was under way until so long afterwards may still feel it, ms: a moment of a busy machine. */
export function end(incident: Incident, aftermathMs = 500): void {
  incident.untilMs = performance.now() + aftermathMs;
}

/** A failure is somebody's doing, or a fault. */
export function judge({ incidents, tally }: World, failure: Failure): void {
  const cause = incidents.findLast(
    ({ fromMs, untilMs, explains }) =>
      failure.endedMs >= fromMs && failure.sentMs <= untilMs && explains(failure),
  );
  const { kind, why, app, instance } = failure;
  if (cause !== undefined) {
    tally.count(`failed: ${kind} (${why}), as: ${cause.what.replace(/: .*/, "")}`);
    return;
  }
  const ages = incidents
    .filter(({ fromMs }) => failure.endedMs - fromMs < 20_000)
    .map(({ what, fromMs, untilMs }) => `${what} ${span(fromMs, untilMs, failure.endedMs)}`);
  const took = Math.round(failure.endedMs - failure.sentMs);
  tally.fault(
    `${instance.name}, ${app}: ${kind}: ${why}; took ${took} ms; lately: ${ages.join("; ")}`,
  );
}

function span(fromMs: number, untilMs: number, nowMs: number): string {
  const ago = (ms: number) => `${((nowMs - ms) / 1_000).toFixed(1)} s ago`;
  return untilMs > nowMs ? `since ${ago(fromMs)}` : `${ago(fromMs)} to ${ago(untilMs)}`;
}
