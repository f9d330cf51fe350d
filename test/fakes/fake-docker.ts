/** A fake Docker engine: its API over a unix socket and TCP, containers that really listen, and all that goes wrong. */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import { controlOf, type DockerControl } from "./fake-docker-control.ts";
import { createEventHub, type EventHub } from "./fake-docker-events.ts";
import { DOCKER_MAPS } from "./fake-docker-json.ts";
import { leaveContainers, pause, start, takeUpContainers, tell } from "./fake-docker-life.ts";
import type {
  Container,
  ContainerSpec,
  ContainerStatus,
  Healthcheck,
  PublishedPort,
  RestartPolicy,
  World,
} from "./fake-docker-model.ts";
import { podmanEvents } from "./fake-docker-podman.ts";
import { dockerRoutes } from "./fake-docker-routes.ts";
import { type DockerServer, startDockerServer } from "./fake-docker-server.ts";
import { parseVersion } from "./fake-docker-version.ts";

/** Durations are in ms of `clock`. */
export interface FakeDockerOptions {
  /** Real, or virtual: then a test advances it. */
  readonly clock: Clock;
  /** Where the unix socket is made; its folder is there. */
  readonly socketPath: string;
  /** PEM texts: then TCP is TLS, and clients must show a certificate of this CA. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** Default 1.24 to 1.47, as engine 27. */
  readonly minVersion?: string;
  readonly maxVersion?: string;
  /** From the order to `running`; default 0. A real one takes a quarter of a second. */
  readonly startMs?: number;
  /** From `running` to a program that listens; default 0. */
  readonly bootMs?: number;
  /** From SIGTERM to the end of a program; default 0. */
  readonly stopMs?: number;
  /** How long a container is `removing`; default 0. */
  readonly removeMs?: number;
  /** How long after its end lists show a container as it was before; default 0. A real one needs some ms. */
  readonly listLagMs?: number;
  /** Before the first restart by policy; doubles; default Docker's 100. */
  readonly restartDelayMs?: number;
  /** Health probes show as `exec_…` events; default true, as they do. */
  readonly hasExecEvents?: boolean;
  /** It speaks as Podman does; default false. */
  readonly isPodman?: boolean;
  /** Health is `starting` again when the engine has come back; default false, as with engine 20.10. */
  readonly forgetsHealth?: boolean;
  /** Whether clients may start, stop and pause a container; default: those with `paastis.enable=true`. */
  readonly mayTouch?: (container: {
    readonly name: string;
    readonly spec: ContainerSpec;
  }) => boolean;
}

/** What a new container is like. Left out: it has opted in, is `exited`, and publishes port 8080 on 127.0.0.1. */
export interface NewContainer {
  /** Beside `paastis.enable=true`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Default true. */
  readonly isOptedIn?: boolean;
  readonly image?: string;
  /** `running`: up and listening for long. Default `exited`. */
  readonly status?: Extract<ContainerStatus, "created" | "running" | "paused" | "exited">;
  /** With which it has ended. */
  readonly exitCode?: number;
  /** Where its program listens; default 8080. */
  readonly port?: number;
  /** Default `["8080/tcp"]`, its port. */
  readonly exposed?: readonly string[];
  /** `false`: none; a number: this port of the host; default: a free one at each start. */
  readonly publish?: boolean | number | readonly PublishedPort[];
  /** Names; they are made where they are missing. Default the `bridge`. */
  readonly networks?: readonly string[];
  /** Default the first network. `host`, `none` and `container:<id>` have no networks. */
  readonly networkMode?: string;
  readonly restart?: RestartPolicy["name"] | RestartPolicy;
  readonly healthcheck?: Partial<Healthcheck>;
  readonly stopTimeoutMs?: number;
  readonly autoRemove?: boolean;
  readonly bootMs?: number;
  readonly stopMs?: number;
  readonly stopExitCode?: number;
}

/** A service of a Compose project. */
export interface NewService extends NewContainer {
  /** Name of a service -> the condition, as in a Compose file. */
  readonly dependsOn?: Readonly<
    Record<string, "service_started" | "service_healthy" | "service_completed_successfully">
  >;
}

/** The running fake. Ends with `await using`. */
export interface FakeDocker extends AsyncDisposable {
  readonly server: DockerServer;
  readonly socketPath: string;
  /** What a test asserts to be empty. */
  readonly violations: readonly string[];
  readonly hub: EventHub;
  /** @throws when the name is taken */
  addContainer(name: string, options?: NewContainer): DockerControl;
  /** One container per service, `<project>-<service>-1`, on the network `<project>_default`, labelled as Compose does. */
  addProject<Names extends string>(
    project: string,
    services: Readonly<Record<Names, NewService>>,
  ): Record<Names, DockerControl>;
  /**
   * What `docker compose up` makes of a container that changed: a new one is created under another name, the old one
   * is stopped and removed, the new one gets its name and is started.
   */
  recreate(
    control: DockerControl,
    changes?: NewContainer,
    /** Called between the steps; default: nothing happens there. */
    between?: () => Promise<void>,
  ): Promise<DockerControl>;
  removeNetwork(name: string): void;
  /** `docker start` and the like have succeeded for these, by name, oldest first. */
  readonly started: readonly string[];
  /** The engine ends. @param how as `DockerServer.goDown` */
  goDown(how?: "gone" | "refuse", options?: { readonly keepsContainers: boolean }): Promise<void>;
  comeUp(): Promise<void>;
  /** Another version of the engine: clients have not heard of it yet. */
  setVersions(min: string, max: string): void;
}

/** How long ago it was when a test says that something has been so for long. */
const LONG_MS = 3_600_000;

interface State {
  readonly options: FakeDockerOptions;
  readonly world: World;
  readonly specs: Map<string, NewContainer>;
  ids: number;
}

/** Starts the engine, without containers. */
export async function startFakeDocker(options: FakeDockerOptions): Promise<FakeDocker> {
  const { clock, minVersion = "1.24", maxVersion = "1.47" } = options;
  const hub = createEventHub(clock);
  const timers = new Set<CancelTimer>();
  const faults: string[] = [];
  const world = createWorld(options, { hub, timers, fail: (what) => faults.push(what) });
  const state: State = { options, world, specs: new Map(), ids: 0 };
  let versions = { min: parseVersion(minVersion), max: parseVersion(maxVersion), isTold: false };
  const { mayTouch = ({ spec }) => spec.labels["paastis.enable"] === "true" } = options;
  const server = await startDockerServer({
    clock,
    socketPath: options.socketPath,
    tls: options.tls ?? null,
    maps: DOCKER_MAPS,
    versions: () => versions,
    routes: dockerRoutes({
      world,
      hub,
      isPodman: options.isPodman ?? false,
      mayTouch,
      versions: () => versions,
      tellVersions() {
        versions = { ...versions, isTold: true };
      },
    }),
  });
  return {
    server,
    socketPath: options.socketPath,
    get violations() {
      return [...server.violations, ...faults];
    },
    hub,
    addContainer: (name, newContainer = {}) =>
      controlOf(world, addContainer(state, name, newContainer)),
    addProject: (project, services) => addProject(state, project, services),
    recreate: (control, changes = {}, between = async () => undefined) =>
      recreate(state, control, { changes, between }),
    removeNetwork: (name) => void world.networks.delete(name),
    get started() {
      return hub.all
        .filter(({ type, action }) => type === "container" && action === "start")
        .map(({ attributes }) => attributes.name ?? "");
    },
    async goDown(how = "gone", { keepsContainers } = { keepsContainers: true }) {
      leaveContainers(world, keepsContainers);
      hub.end();
      await server.goDown(how);
    },
    async comeUp() {
      hub.forget();
      takeUpContainers(world);
      await server.comeUp();
    },
    setVersions(min, max) {
      versions = { min: parseVersion(min), max: parseVersion(max), isTold: false };
    },
    async [Symbol.asyncDispose]() {
      for (const cancel of timers) cancel();
      hub.cut();
      await server[Symbol.asyncDispose]();
      for (const { servers, proxies } of world.containers.values()) {
        servers?.close();
        for (const proxy of proxies) proxy.close();
      }
    },
  };
}

function createWorld(
  options: FakeDockerOptions,
  around: {
    readonly hub: EventHub;
    readonly timers: Set<CancelTimer>;
    readonly fail: (what: string) => void;
  },
): World {
  const { clock } = options;
  const { hub, timers } = around;
  // Every address that begins with 127 is this machine; other fakes have other ones.
  const block = number(64, 250);
  let addresses = number(0, 250) * 256;
  const world: World = {
    clock,
    startMs: options.startMs ?? 0,
    removeMs: options.removeMs ?? 0,
    listLagMs: options.listLagMs ?? 0,
    restartDelayMs: options.restartDelayMs ?? 100,
    hasExecEvents: options.hasExecEvents ?? true,
    containers: new Map(),
    forgetsHealth: options.forgetsHealth ?? false,
    isEngineDown: false,
    networks: new Map([["bridge", idOf(0xb41d9e)]]),
    later(delayMs, action) {
      const cancel = clock.after(delayMs, () => {
        timers.delete(cancel);
        action();
      });
      timers.add(cancel);
    },
    emit(event) {
      if (world.isEngineDown) return;
      const said = options.isPodman === true ? podmanEvents(event) : [event];
      for (const one of said) hub.emit(one);
    },
    nextAddress() {
      // A container that is started again has another one.
      addresses = (addresses + 1) % 65_536;
      return `127.${block}.${addresses >> 8}.${addresses & 255}`;
    },
    fail: around.fail,
  };
  return world;
}

function number(from: number, to: number): number {
  return from + Math.floor(Math.random() * (to - from));
}

/** 64 hexadecimal digits. */
function idOf(seed: number): string {
  return Bun.SHA256.hash(`${seed}`, "hex");
}

function addContainer(state: State, name: string, options: NewContainer): Container {
  const { world } = state;
  if ([...world.containers.values()].some((one) => one.name === name)) {
    throw new Error(`the container name "/${name}" is already in use`);
  }
  state.ids += 1;
  const { status = "exited", exitCode = 0 } = options;
  const nowMs = world.clock.now();
  const hasRun = status !== "created";
  const container: Container = {
    id: idOf(state.ids + Math.random()),
    spec: specOf(state, options),
    createdMs: nowMs,
    name,
    status: hasRun ? "exited" : "created",
    exitCode: hasRun ? exitCode : 0,
    isOutOfMemory: false,
    error: "",
    startedMs: hasRun ? nowMs - 2 * LONG_MS : null,
    finishedMs: hasRun ? nowMs - LONG_MS : null,
    restartCount: 0,
    health: null,
    isStoppedByHand: status === "exited",
    starting: null,
    stopping: null,
    onEnd: [],
    onRemoved: [],
    nextRuns: [],
    run: 0,
    isListening: false,
    isSick: false,
    frozen: [],
    addresses: new Map(),
    hostPorts: new Map(),
    servers: null,
    proxies: [],
    requests: 0,
    starts: 0,
    ownAnswer: null,
    isGone: false,
    stale: null,
  };
  for (const network of container.spec.networks) {
    if (!world.networks.has(network)) world.networks.set(network, idOf(world.networks.size));
  }
  world.containers.set(container.id, container);
  state.specs.set(container.id, options);
  tell(world, container, "create");
  if (status === "running" || status === "paused") runSince(world, container);
  if (status === "paused") pause(world, container);
  return container;
}

/** As if it had been up for long: healthy where it can be. */
function runSince(world: World, container: Container): void {
  container.nextRuns.push({ startMs: 0, bootMs: 0 });
  start(world, container, (outcome) => {
    if (outcome !== "done") throw new Error(`${container.name}: ${JSON.stringify(outcome)}`);
  });
  container.starts = 0;
  container.startedMs = world.clock.now() - LONG_MS;
  if (container.health !== null) container.health.status = "healthy";
}

function specOf({ options: fake }: State, options: NewContainer): ContainerSpec {
  const { port = 8080, labels = {}, isOptedIn = true, networkMode } = options;
  const sharesNetwork = networkMode !== undefined && /^(host|none|container:.*)$/.test(networkMode);
  const networks = sharesNetwork ? [] : (options.networks ?? ["bridge"]);
  const { restart = "no", healthcheck } = options;
  return {
    image: options.image ?? "demo:latest",
    labels: { ...(isOptedIn ? { "paastis.enable": "true" } : {}), ...labels },
    exposed: options.exposed ?? [`${port}/tcp`],
    published: publishedOf(sharesNetwork ? false : (options.publish ?? true), port),
    listens: port,
    networkMode: networkMode ?? networks[0] ?? "none",
    networks,
    restartPolicy: typeof restart === "string" ? { name: restart, maximumRetryCount: 0 } : restart,
    healthcheck:
      healthcheck === undefined
        ? null
        : { intervalMs: 30_000, retries: 3, startPeriodMs: 0, ...healthcheck },
    stopTimeoutMs: options.stopTimeoutMs ?? null,
    autoRemove: options.autoRemove ?? false,
    bootMs: options.bootMs ?? fake.bootMs ?? 0,
    stopMs: options.stopMs ?? fake.stopMs ?? 0,
    stopExitCode: options.stopExitCode ?? 0,
  };
}

function publishedOf(
  publish: boolean | number | readonly PublishedPort[],
  privatePort: number,
): readonly PublishedPort[] {
  if (publish === false) return [];
  if (typeof publish === "object") return publish;
  return [{ privatePort, hostPort: publish === true ? 0 : publish, hostIp: "127.0.0.1" }];
}

function addProject<Names extends string>(
  state: State,
  project: string,
  services: Readonly<Record<Names, NewService>>,
): Record<Names, DockerControl> {
  const made: Partial<Record<Names, DockerControl>> = {};
  for (const service of Object.keys(services) as Names[]) {
    const { dependsOn = {}, labels = {}, ...rest }: NewService = services[service];
    const depends = Object.entries(dependsOn).map(
      ([name, condition]) => `${name}:${condition}:false`,
    );
    const container = addContainer(state, `${project}-${service}-1`, {
      networks: [`${project}_default`],
      ...rest,
      labels: {
        // Source: docker/compose `pkg/api/labels.go` and `pkg/compose/create.go`.
        "com.docker.compose.project": project,
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.depends_on": depends.join(","),
        "com.docker.compose.config-hash": idOf(1),
        "com.docker.compose.project.working_dir": `/srv/${project}`,
        "com.docker.compose.version": "2.32.4",
        ...labels,
      },
    });
    made[service] = controlOf(state.world, container);
  }
  return made as Record<Names, DockerControl>; // One for each name.
}

async function recreate(
  state: State,
  old: DockerControl,
  how: { readonly changes: NewContainer; readonly between: () => Promise<void> },
): Promise<DockerControl> {
  const { name, id } = old;
  const before = state.specs.get(id) ?? {};
  const container = addContainer(state, `${id.slice(0, 12)}_${name}`, {
    ...before,
    ...how.changes,
    labels: { ...before.labels, ...how.changes.labels },
    status: "created",
  });
  const control = controlOf(state.world, container);
  await how.between();
  if (old.status === "running") old.stop(0);
  await how.between();
  old.remove();
  await how.between();
  control.rename(name);
  await how.between();
  control.start();
  return control;
}
