/** The nouns of the fake Docker engine: a container, what its program does, and the world around it. */

import type { Clock } from "../../src/clock.ts";
import type { ContainerServers, PublishedProxy } from "./fake-docker-listen.ts";
import type { ApiVersion } from "./fake-docker-version.ts";

/** `State.Status`, as documented. */
export type ContainerStatus =
  | "created"
  | "running"
  | "paused"
  | "restarting"
  | "removing"
  | "exited"
  | "dead";

export type HealthStatus = "starting" | "healthy" | "unhealthy";

/** One run of the program in a container, from the order to start it to its end. */
export interface Run {
  /** The order itself fails: nothing runs. Left out: it does not. */
  readonly refusal?: { readonly status: number; readonly message: string };
  /** From the order to `running`, in ms; the call waits for it. Default the fake's. */
  readonly startMs?: number;
  /** From `running` to a server that listens; `Infinity`: never. Default the container's. */
  readonly bootMs?: number;
  /** From `running` to its end by itself; left out: never. */
  readonly endsAfterMs?: number;
  /** With which it then ends; default 1. */
  readonly exitCode?: number;
  /** The kernel kills it for its memory: `OOMKilled`, exit code 137. */
  readonly isOutOfMemory?: boolean;
}

export interface Healthcheck {
  /** Between two probes; the first comes so long after the start, or after an `unpause`. */
  readonly intervalMs: number;
  /** Failures in a row that make it unhealthy. */
  readonly retries: number;
  /** Failures do not count so long after the start. */
  readonly startPeriodMs: number;
}

export interface RestartPolicy {
  readonly name: "no" | "always" | "unless-stopped" | "on-failure";
  /** Of `on-failure`; 0: any number. */
  readonly maximumRetryCount: number;
}

/** A port that the engine publishes on the host. */
export interface PublishedPort {
  readonly privatePort: number;
  /** 0: another free one at each start. */
  readonly hostPort: number;
  /** As it is told: `127.0.0.1`, `0.0.0.0` (then `::` too), `192.0.2.7`. The fake listens on 127.0.0.1 whatever it says. */
  readonly hostIp: string;
}

/** What a container is made of; does not change while it exists. */
export interface ContainerSpec {
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `Config.ExposedPorts`: `8080/tcp`. */
  readonly exposed: readonly string[];
  readonly published: readonly PublishedPort[];
  /** Where its program listens, TCP; the first is where it answers. */
  readonly listens: number;
  /** `HostConfig.NetworkMode`: a network, `bridge`, `host`, `none`, `container:<id>`. */
  readonly networkMode: string;
  /** Names of networks; empty with `host` and `container:`. */
  readonly networks: readonly string[];
  readonly restartPolicy: RestartPolicy;
  readonly healthcheck: Healthcheck | null;
  /** `Config.StopTimeout` in ms; `null`: the engine's 10 s. */
  readonly stopTimeoutMs: number | null;
  /** Removed by the engine as soon as it has ended. */
  readonly autoRemove: boolean;
  readonly bootMs: number;
  /** From SIGTERM to its end; `Infinity`: it ignores SIGTERM. */
  readonly stopMs: number;
  /** With which it ends after SIGTERM. */
  readonly stopExitCode: number;
}

export interface Health {
  status: HealthStatus;
  failingStreak: number;
  /** Grows whenever nobody looks any more: probes of before are none. */
  watch: number;
  readonly log: { Start: string; End: string; ExitCode: number; Output: string }[];
}

/** A stop or kill under way. */
export interface Stopping {
  /** The API was asked for it, by a client of the socket. */
  readonly byApi: boolean;
  readonly waiting: (() => void)[];
}

export interface Container {
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly createdMs: number;
  /** Without the slash. */
  name: string;
  status: ContainerStatus;
  exitCode: number;
  isOutOfMemory: boolean;
  error: string;
  startedMs: number | null;
  finishedMs: number | null;
  restartCount: number;
  health: Health | null;
  /** Somebody stopped it: policies leave it alone. */
  isStoppedByHand: boolean;
  /** A start that has not come to its end: what has to wait for it. */
  starting: (() => void)[] | null;
  stopping: Stopping | null;
  /** Called at its next end, each once. */
  readonly onEnd: ((exitCode: number) => void)[];
  /** Called when it is removed, each once. */
  readonly onRemoved: ((exitCode: number) => void)[];
  /** How its next runs go, one after the other; then they are normal again. */
  readonly nextRuns: Run[];
  /** Counts runs: timers of an earlier one do nothing. */
  run: number;
  /** Its program has begun to listen in this run. */
  isListening: boolean;
  /** Probes of its health fail although it listens. */
  isSick: boolean;
  /** What would have happened while it was paused. */
  readonly frozen: (() => void)[];
  /** Network -> its address there, while it runs. */
  readonly addresses: Map<string, string>;
  /** Private port -> port of the host, while it runs. */
  readonly hostPorts: Map<number, number>;
  servers: ContainerServers | null;
  readonly proxies: PublishedProxy[];
  /** Requests that its program has answered, over all runs. */
  requests: number;
  /** How often it has been started, by whom so ever. */
  starts: number;
  /** Answered instead of the usual; `null`: the usual. */
  ownAnswer: { readonly status: number; readonly body: string } | null;
  isGone: boolean;
  /** What lists go on to say of it for a while after its end; `null`: the truth. */
  stale: { readonly untilMs: number; readonly summary: (version: ApiVersion) => object } | null;
}

/** What happens to containers in the world around them. */
export interface World {
  readonly clock: Clock;
  readonly startMs: number;
  /** How long a container is `removing`. */
  readonly removeMs: number;
  /** How long after its end lists show a container as it was before. */
  readonly listLagMs: number;
  /** Before the first restart by policy; doubles. Docker: 100 ms. */
  readonly restartDelayMs: number;
  /** Health probes show as `exec_…` events. */
  readonly hasExecEvents: boolean;
  readonly containers: Map<string, Container>;
  /** Health is `starting` again when the engine has come back. */
  readonly forgetsHealth: boolean;
  /** Its containers run, and nobody looks after them. */
  isEngineDown: boolean;
  later(delayMs: number, action: () => void): void;
  emit(event: NewEvent): void;
  /** A free address of a network. */
  nextAddress(network: string): string;
  /** Ids of networks, by name. */
  readonly networks: Map<string, string>;
  /** Something of the fake itself has gone wrong. */
  fail(what: string): void;
}

/** What the engine tells about. */
export interface NewEvent {
  readonly type: "container" | "network";
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}
