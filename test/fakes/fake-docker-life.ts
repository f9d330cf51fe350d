/** What happens to containers of the fake Docker engine over time: starts, stops, ends, and restarts by policy. */

import { beginHealth, endHealth, resumeHealth } from "./fake-docker-health.ts";
import { summaryOf } from "./fake-docker-json.ts";
import { createContainerServers, publishPort } from "./fake-docker-listen.ts";
import type { Container, Run, World } from "./fake-docker-model.ts";
import type { ApiVersion } from "./fake-docker-version.ts";

/** How an engine says no. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/** What an order comes to: done, nothing to do, or refused. */
export type Outcome = "done" | "no-change" | Refusal;

/** Docker's own, in ms. */
const STOP_TIMEOUT_MS = 10_000;
const RESTART_DELAY_MAX_MS = 60_000;
/** Longer runs make the delay before a restart short again. Source: moby `restartmanager`. */
const LONG_RUN_MS = 10_000;
const KILLED = 137;

/** Does something at once, or after the start that is under way. */
function whenFree({ starting }: Container, action: () => void): void {
  if (starting === null) action();
  else starting.push(action);
}

/** Ends in `running`, or where it was. */
export function start(world: World, container: Container, done: (outcome: Outcome) => void): void {
  whenFree(container, () => {
    const refusal = startRefusalOf(container);
    if (refusal !== null) done(refusal);
    else beginStart(world, container, done);
  });
}

/** Source: moby `daemon/start.go`, messages of an engine 20.10. */
function startRefusalOf({ status }: Container): Outcome | null {
  switch (status) {
    case "running":
    case "restarting":
      return "no-change";
    case "paused":
      return { status: 409, message: "cannot start a paused container, try unpause instead" };
    case "removing":
    case "dead": {
      const message = "container is marked for removal and cannot be started";
      return { status: 409, message };
    }
    default:
      return null;
  }
}

function beginStart(world: World, container: Container, done: (outcome: Outcome) => void): void {
  const run = container.nextRuns.shift() ?? {};
  const waiting: (() => void)[] = [];
  container.starting = waiting;
  const finish = () => {
    container.starting = null;
    const refusal = run.refusal ?? placeRefusalOf(world, container);
    if (refusal === null) done(enterRun(world, container, run) ?? "done");
    else done(failStart(container, refusal));
    for (const action of waiting) action();
  };
  const startMs = run.startMs ?? world.startMs;
  if (startMs === 0) finish();
  else world.later(startMs, finish);
}

function failStart(container: Container, refusal: Refusal): Refusal {
  // Source: an engine 20.10. There is no event, and a container that never ran stays `created`.
  container.error = refusal.message;
  container.exitCode = refusal.status === 400 ? 127 : 128;
  return refusal;
}

/** What is missing around it. */
function placeRefusalOf(world: World, container: Container): Refusal | null {
  if (container.isGone) return { status: 404, message: `No such container: ${container.id}` };
  const { networks, networkMode } = container.spec;
  const missing = networks.find((name) => !world.networks.has(name));
  if (missing !== undefined) return { status: 404, message: `network ${missing} not found` };
  const other = otherOf(world, container);
  if (other === "missing") {
    return { status: 404, message: `No such container: ${networkMode.slice("container:".length)}` };
  }
  if (other === null || other.status === "running") return null;
  const message = `cannot join network of a non running container: ${other.id}`;
  return { status: 409, message };
}

/** Whose network it shares. */
function otherOf(world: World, { spec }: Container): Container | "missing" | null {
  const [, id] = /^container:(.+)$/.exec(spec.networkMode) ?? [];
  return id === undefined ? null : (world.containers.get(id) ?? "missing");
}

function enterRun(world: World, container: Container, run: Run): Refusal | null {
  const refusal = join(world, container);
  if (refusal !== null) {
    leave(container);
    return failStart(container, refusal);
  }
  const { spec } = container;
  Object.assign(container, { status: "running", exitCode: 0, error: "", isOutOfMemory: false });
  container.run += 1;
  container.starts += 1;
  container.startedMs = world.clock.now();
  container.isStoppedByHand = false;
  container.isListening = false;
  const listen = () => {
    container.servers?.listen();
    container.isListening = true;
  };
  const bootMs = run.bootMs ?? spec.bootMs;
  if (bootMs === 0) listen();
  else inRun(world, container, bootMs, listen);
  if (run.endsAfterMs !== undefined) {
    const { isOutOfMemory = false, exitCode = isOutOfMemory ? KILLED : 1 } = run;
    inRun(world, container, run.endsAfterMs, () =>
      endRun(world, container, { exitCode, isOutOfMemory }),
    );
  }
  tellNetworks(world, container, "connect");
  tell(world, container, "start");
  beginHealth(world, container);
  return null;
}

/** Addresses, and ports of the host. */
function join(world: World, container: Container): Refusal | null {
  const { spec, addresses, hostPorts, proxies } = container;
  for (const name of spec.networks) addresses.set(name, world.nextAddress(name));
  const other = otherOf(world, container);
  const own = spec.networkMode === "host" ? ["127.0.0.1"] : [...addresses.values()];
  const reached = other !== null && other !== "missing" ? [...other.addresses.values()] : own;
  container.servers = createContainerServers({
    addresses: reached,
    port: spec.listens,
    answer: (request) => answerOf(container, request),
  });
  for (const { privatePort, hostPort, hostIp } of spec.published) {
    try {
      const to = { address: reached[0] ?? "127.0.0.1", port: privatePort };
      const proxy = publishPort(hostPort, to);
      proxies.push(proxy);
      hostPorts.set(privatePort, proxy.port);
    } catch {
      const endpoint = `endpoint ${container.name} (${container.id})`;
      const message = `driver failed programming external connectivity on ${endpoint}: Bind for ${hostIp}:${hostPort} failed: port is already allocated`;
      return { status: 500, message };
    }
  }
  return null;
}

function answerOf(container: Container, request: Request): Response {
  container.requests += 1;
  const headers = { "x-fake-container": container.id };
  const own = container.ownAnswer;
  if (own !== null) return new Response(own.body, { status: own.status, headers });
  const url = new URL(request.url);
  const body = {
    container: container.id,
    name: container.name,
    request: container.requests,
    method: request.method,
    path: url.pathname + url.search,
    host: request.headers.get("host") ?? "",
  };
  return Response.json(body, { headers });
}

function leave(container: Container): void {
  container.servers?.close();
  container.servers = null;
  for (const proxy of container.proxies.splice(0)) proxy.close();
  container.addresses.clear();
  container.hostPorts.clear();
  container.frozen.splice(0);
  container.isListening = false;
}

/** Something that happens in this run or not at all; not while it is paused, but right after. */
export function inRun(
  world: World,
  container: Container,
  delayMs: number,
  action: () => void,
): void {
  if (delayMs === Number.POSITIVE_INFINITY) return;
  const { run } = container;
  const act = () => {
    if (container.run !== run || container.isGone) return;
    if (container.status === "paused") container.frozen.push(act);
    else if (container.status === "running") action();
  };
  world.later(delayMs, act);
}

/** Its program ends. */
export function endRun(
  world: World,
  container: Container,
  how: { readonly exitCode: number; readonly isOutOfMemory?: boolean },
): void {
  const { exitCode, isOutOfMemory = false } = how;
  const ranMs = world.clock.now() - (container.startedMs ?? 0);
  keepForLists(world, container);
  leave(container);
  endHealth(container);
  Object.assign(container, { exitCode, isOutOfMemory, finishedMs: world.clock.now() });
  container.run += 1;
  const isAgain = !world.isEngineDown && comesAgain(container);
  container.status = isAgain ? "restarting" : "exited";
  if (isOutOfMemory) tell(world, container, "oom");
  const execDuration = String(Math.floor(ranMs / 1000));
  tell(world, container, "die", { exitCode: String(exitCode), execDuration });
  tellNetworks(world, container, "disconnect");
  if (isAgain) restartLater(world, container, ranMs);
  const { stopping } = container;
  container.stopping = null;
  for (const answer of stopping?.waiting ?? []) answer();
  if (!isAgain) for (const ended of container.onEnd.splice(0)) ended(exitCode);
  if (container.spec.autoRemove) remove(world, container);
}

/** Source: moby `daemon/monitor.go`: lists are made from a copy that is brought up to date after the event. */
function keepForLists(world: World, container: Container): void {
  if (world.listLagMs === 0) return;
  const nowMs = world.clock.now();
  const before: Container = {
    ...container,
    addresses: new Map(container.addresses),
    hostPorts: new Map(container.hostPorts),
  };
  const summary = (version: ApiVersion) =>
    summaryOf(before, { version, nowMs, networks: world.networks });
  container.stale = { untilMs: nowMs + world.listLagMs, summary };
}

function comesAgain({ isStoppedByHand, exitCode, restartCount, spec }: Container): boolean {
  if (isStoppedByHand) return false;
  const { name, maximumRetryCount } = spec.restartPolicy;
  if (name !== "on-failure") return name !== "no";
  return exitCode !== 0 && (maximumRetryCount === 0 || restartCount < maximumRetryCount);
}

function restartLater(world: World, container: Container, ranMs: number): void {
  const { run } = container;
  const times = ranMs >= LONG_RUN_MS ? 0 : container.restartCount;
  container.restartCount += 1;
  const delayMs = Math.min(world.restartDelayMs * 2 ** times, RESTART_DELAY_MAX_MS);
  world.later(delayMs, () => {
    if (container.run !== run || container.status !== "restarting") return;
    container.status = "exited";
    beginStart(world, container, () => undefined);
  });
}

/** SIGTERM, and SIGKILL when that does not end it in time. */
export function stop(
  world: World,
  container: Container,
  order: {
    /** `null`: the container's own; `Infinity`: no SIGKILL. */
    readonly timeoutMs: number | null;
    readonly byApi: boolean;
    readonly done: (outcome: Outcome) => void;
  },
): void {
  whenFree(container, () => {
    const { status } = container;
    if (status === "restarting") {
      container.isStoppedByHand = true;
      container.run += 1;
      container.status = "exited";
      tell(world, container, "stop");
      for (const ended of container.onEnd.splice(0)) ended(container.exitCode);
      order.done("done");
    } else if (status !== "running" && status !== "paused") order.done("no-change");
    else signalAndWait(world, container, order);
  });
}

function signalAndWait(
  world: World,
  container: Container,
  order: Parameters<typeof stop>[2],
): void {
  const { spec } = container;
  const timeoutMs = order.timeoutMs ?? spec.stopTimeoutMs ?? STOP_TIMEOUT_MS;
  container.isStoppedByHand = true;
  container.stopping ??= { byApi: order.byApi, waiting: [] };
  container.stopping.waiting.push(() => {
    tell(world, container, "stop");
    order.done("done");
  });
  tell(world, container, "kill", { signal: "15" });
  // Source: an engine 20.10: what is paused goes on first.
  if (container.status === "paused") unpause(world, container);
  const { stopMs, stopExitCode } = spec;
  const end = () => endRun(world, container, { exitCode: stopExitCode });
  const killIt = () => {
    tell(world, container, "kill", { signal: "9" });
    endRun(world, container, { exitCode: KILLED });
  };
  if (stopMs === 0) end();
  else if (timeoutMs === 0) killIt();
  else {
    inRun(world, container, stopMs, end);
    inRun(world, container, timeoutMs, killIt);
  }
}

/** SIGKILL. */
export function kill(world: World, container: Container): Outcome {
  const { status, id } = container;
  if (status !== "running" && status !== "paused") {
    const message = `Cannot kill container: ${id}: Container ${id} is not running`;
    return { status: 409, message };
  }
  container.isStoppedByHand = true;
  tell(world, container, "kill", { signal: "9" });
  endRun(world, container, { exitCode: KILLED });
  return "done";
}

export function pause(world: World, container: Container): Outcome {
  const { status, id } = container;
  if (status === "paused") return { status: 409, message: `Container ${id} is already paused` };
  if (status === "restarting") {
    const message = `Container ${id} is restarting, wait until the container is running`;
    return { status: 409, message };
  }
  if (status !== "running") return { status: 409, message: `Container ${id} is not running` };
  container.status = "paused";
  container.servers?.freeze();
  endHealth(container);
  tell(world, container, "pause");
  return "done";
}

export function unpause(world: World, container: Container): Outcome {
  // Source: moby `daemon/unpause.go`: a plain error, so no 409.
  if (container.status !== "paused") {
    return { status: 500, message: `Container ${container.id} is not paused` };
  }
  container.status = "running";
  container.servers?.unfreeze();
  tell(world, container, "unpause");
  for (const action of container.frozen.splice(0)) action();
  resumeHealth(world, container);
  return "done";
}

/** Stops and starts, as `docker restart`. */
export function restart(world: World, container: Container, timeoutMs: number | null): void {
  const again = () => start(world, container, () => tell(world, container, "restart"));
  stop(world, container, { timeoutMs, byApi: false, done: again });
}

/** What runs is killed first. */
export function remove(world: World, container: Container): void {
  if (container.isGone || container.status === "removing") return;
  if (container.status === "running" || container.status === "paused") kill(world, container);
  if (container.isGone) return;
  container.status = "removing";
  const finish = () => {
    container.isGone = true;
    world.containers.delete(container.id);
    tell(world, container, "destroy");
    for (const removed of container.onRemoved.splice(0)) removed(container.exitCode);
  };
  if (world.removeMs === 0) finish();
  else world.later(world.removeMs, finish);
}

/** The engine goes away. @param keepsContainers `live-restore` is on, or it was killed */
export function leaveContainers(world: World, keepsContainers: boolean): void {
  world.isEngineDown = true;
  if (keepsContainers) return;
  for (const container of world.containers.values()) {
    const { status } = container;
    if (status === "running" || status === "paused") endRun(world, container, { exitCode: 0 });
    else if (status === "restarting") container.status = "exited";
  }
}

/** The engine is back: what has to run does, and health is probed again. */
export function takeUpContainers(world: World): void {
  world.isEngineDown = false;
  for (const container of world.containers.values()) {
    if (container.status === "running") {
      if (world.forgetsHealth) beginHealth(world, container);
      else resumeHealth(world, container);
    }
    if (container.status === "exited" && comesBack(container)) {
      beginStart(world, container, () => undefined);
    }
  }
}

/** Source: Docker, "Start containers automatically". */
function comesBack(container: Container): boolean {
  return container.spec.restartPolicy.name === "always" || comesAgain(container);
}

/** An event of the container. */
export function tell(
  world: World,
  { id, name, spec }: Container,
  action: string,
  more: Readonly<Record<string, string>> = {},
): void {
  const attributes = { ...spec.labels, image: spec.image, name, ...more };
  world.emit({ type: "container", action, id, attributes });
}

function tellNetworks(world: World, { id, spec }: Container, action: string): void {
  for (const name of spec.networks) {
    const attributes = { container: id, name, type: "bridge" };
    world.emit({ type: "network", action, id: world.networks.get(name) ?? "", attributes });
  }
}

/** In words, for the routes. */
export function isRefusal(outcome: Outcome): outcome is Refusal {
  return typeof outcome === "object";
}

/** Whether its program runs or is frozen. */
export function isUp({ status }: Container): boolean {
  return status === "running" || status === "paused";
}
