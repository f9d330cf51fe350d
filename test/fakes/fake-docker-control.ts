/** What a test does to a container of the fake Docker engine, as somebody on its command line, or as fate. */

import {
  endRun,
  kill,
  pause,
  remove,
  restart,
  start,
  stop,
  tell,
  unpause,
} from "./fake-docker-life.ts";
import type { Container, ContainerStatus, HealthStatus, Run, World } from "./fake-docker-model.ts";

/** A handle on one container. */
export interface DockerControl {
  readonly id: string;
  readonly name: string;
  readonly status: ContainerStatus;
  /** `null`: it has no health check, or never ran. */
  readonly health: HealthStatus | null;
  readonly exitCode: number;
  readonly restartCount: number;
  /** How often it has been started, by whom so ever. */
  readonly starts: number;
  /** Requests that its program has answered, over all runs. */
  readonly requests: number;
  /** Its program listens now. */
  readonly isListening: boolean;
  /** Address in a network, while it runs; empty otherwise. */
  addressIn(network: string): string;
  /** Of the host, while it runs; 0 otherwise. */
  hostPortOf(privatePort: number): number;
  /** How the next runs go, one after the other; then they are normal again. */
  nextRuns(...runs: readonly Run[]): void;
  start(): void;
  /** @param timeoutMs default the container's own */
  stop(timeoutMs?: number): void;
  /** SIGKILL. @throws when it does not run */
  kill(): void;
  /** Its program ends by itself. @throws when it does not run */
  crash(exitCode?: number): void;
  /** The kernel kills it for its memory. */
  runOutOfMemory(): void;
  pause(): void;
  unpause(): void;
  restart(timeoutMs?: number): void;
  remove(): void;
  rename(name: string): void;
  /** Its health check fails although it answers, or no longer. */
  sicken(isSick?: boolean): void;
  /** What its program answers from now on; `null`: the usual. */
  answerWith(answer: { readonly status: number; readonly body: string } | null): void;
  /** The engine says this word whatever is true; nothing else happens. */
  beDead(): void;
}

export function controlOf(world: World, container: Container): DockerControl {
  const orFail = (outcome: unknown) => {
    if (typeof outcome === "object")
      throw new Error(`${container.name}: ${JSON.stringify(outcome)}`);
  };
  return {
    id: container.id,
    get name() {
      return container.name;
    },
    get status() {
      return container.status;
    },
    get health() {
      return container.health?.status ?? null;
    },
    get exitCode() {
      return container.exitCode;
    },
    get restartCount() {
      return container.restartCount;
    },
    get starts() {
      return container.starts;
    },
    get requests() {
      return container.requests;
    },
    get isListening() {
      return container.isListening;
    },
    addressIn: (network) => container.addresses.get(network) ?? "",
    hostPortOf: (privatePort) => container.hostPorts.get(privatePort) ?? 0,
    nextRuns: (...runs) => void container.nextRuns.push(...runs),
    start: () => start(world, container, orFail),
    stop: (timeoutMs) =>
      stop(world, container, { timeoutMs: timeoutMs ?? null, byApi: false, done: orFail }),
    kill: () => orFail(kill(world, container)),
    crash(exitCode = 1) {
      if (container.status !== "running") throw new Error(`${container.name} does not run`);
      endRun(world, container, { exitCode });
    },
    runOutOfMemory: () => endRun(world, container, { exitCode: 137, isOutOfMemory: true }),
    pause: () => orFail(pause(world, container)),
    unpause: () => orFail(unpause(world, container)),
    restart: (timeoutMs) => restart(world, container, timeoutMs ?? null),
    remove: () => remove(world, container),
    rename(name) {
      const oldName = `/${container.name}`;
      container.name = name;
      tell(world, container, "rename", { oldName });
    },
    sicken(isSick = true) {
      container.isSick = isSick;
    },
    answerWith(answer) {
      container.ownAnswer = answer;
    },
    beDead() {
      container.status = "dead";
    },
  };
}
