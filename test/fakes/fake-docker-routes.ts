/** The endpoints of the fake Docker engine that a client of ours needs, and what they say. */

import type { FakeAnswer } from "./fake-answer.ts";
import { json } from "./fake-answer.ts";
import type { EventHub } from "./fake-docker-events.ts";
import type { DockerReply } from "./fake-docker-exchange.ts";
import { eventFiltersOf, isListed, listFiltersOf } from "./fake-docker-filters.ts";
import { detailsOf, networkOf, summaryOf, type Telling } from "./fake-docker-json.ts";
import { isRefusal, type Outcome, pause, start, stop, unpause } from "./fake-docker-life.ts";
import type { Container, World } from "./fake-docker-model.ts";
import { podmanDetails, podmanRefusal, podmanSummary } from "./fake-docker-podman.ts";
import type { DockerCall, DockerRoute } from "./fake-docker-server.ts";
import { isOlder, parseVersion, type VersionRange } from "./fake-docker-version.ts";

/** What routes work on. */
export interface Endpoints {
  readonly world: World;
  readonly hub: EventHub;
  /** It speaks as Podman does. */
  readonly isPodman: boolean;
  readonly versions: () => VersionRange;
  /** A client has heard which versions there are. */
  tellVersions(): void;
  /** Whether a client may start, stop or pause it. */
  mayTouch(container: Container): boolean;
}

/** Seconds, fractions included. */
const UNIX_TIME = /^\d+(?:\.\d+)?$/;

/** Kinds: `ping`, `version`, `info`, `containers.list`, `containers.read`, `start`, `stop`, … */
export function dockerRoutes(all: Endpoints): DockerRoute[] {
  const order = (
    kind: string,
    query: readonly string[],
    answer: (call: DockerCall, container: Container) => DockerReply,
  ): DockerRoute => ({
    kind,
    method: "POST",
    path: `/containers/:id/${kind}`,
    query,
    answer: (call) => answerOrder(all, call, answer),
  });
  return [
    { kind: "ping", method: "GET", path: "/_ping", query: [], answer: () => ping(all) },
    { kind: "ping", method: "HEAD", path: "/_ping", query: [], answer: () => ping(all) },
    { kind: "version", method: "GET", path: "/version", query: [], answer: () => version(all) },
    { kind: "info", method: "GET", path: "/info", query: [], answer: () => info(all) },
    {
      kind: "containers.list",
      method: "GET",
      path: "/containers/json",
      query: ["all", "limit", "size", "filters"],
      answer: (call) => list(all, call),
    },
    {
      kind: "containers.read",
      method: "GET",
      path: "/containers/:id/json",
      query: ["size"],
      answer: (call) =>
        withContainer(all, call, (one) => {
          const details = detailsOf(one, telling(all, call));
          return json(all.isPodman ? podmanDetails(details) : details);
        }),
    },
    order("start", ["detachKeys"], (_call, container) => ({
      later: (respond) => start(all.world, container, (outcome) => respond(answerTo(all, outcome))),
    })),
    order("stop", ["t", "signal"], (call, container) => answerStop(all, call, container)),
    order("pause", [], (_call, container) => answerTo(all, pause(all.world, container))),
    order("unpause", [], (_call, container) => answerTo(all, unpause(all.world, container))),
    {
      kind: "wait",
      method: "POST",
      path: "/containers/:id/wait",
      query: ["condition"],
      answer: (call) => withContainer(all, call, (one) => answerWait(call, one)),
    },
    {
      kind: "events",
      method: "GET",
      path: "/events",
      query: ["since", "until", "filters"],
      answer: (call) => answerEvents(all, call),
    },
    {
      kind: "networks.list",
      method: "GET",
      path: "/networks",
      query: ["filters"],
      answer: () => json([...all.world.networks].map(([name, id]) => networkOf(name, id))),
    },
    {
      kind: "networks.read",
      method: "GET",
      path: "/networks/:id",
      query: ["verbose", "scope"],
      answer: ({ params }) => readNetwork(all, params.id ?? ""),
    },
  ];
}

function telling({ world }: Endpoints, { version }: DockerCall): Telling {
  return { version, nowMs: world.clock.now(), networks: world.networks };
}

function ping(all: Endpoints): FakeAnswer {
  all.tellVersions();
  return { status: 200, headers: { "cache-control": "no-cache" }, body: "OK" };
}

function version(all: Endpoints): FakeAnswer {
  all.tellVersions();
  const { min, max } = all.versions();
  return json({
    Platform: { Name: "Docker Engine - Community" },
    Components: [{ Name: "Engine", Version: "27.5.1", Details: {} }],
    Version: "27.5.1",
    ApiVersion: `${max.major}.${max.minor}`,
    MinAPIVersion: `${min.major}.${min.minor}`,
    Os: "linux",
    Arch: "amd64",
    KernelVersion: "6.1.0-41-amd64",
  });
}

function info({ world }: Endpoints): FakeAnswer {
  const all = [...world.containers.values()];
  const count = (word: string) => all.filter(({ status }) => status === word).length;
  return json({
    ID: "7TRN:IPZB:QYBB:VPBQ:UMPP:KARE:6ZNR:XE6T:7EWV:PKF4:ZOJD:TPYS",
    Name: "docker-host",
    Containers: all.length,
    ContainersRunning: count("running"),
    ContainersPaused: count("paused"),
    ContainersStopped: count("exited") + count("created"),
    ServerVersion: "27.5.1",
    LiveRestoreEnabled: false,
  });
}

function list(all: Endpoints, call: DockerCall): FakeAnswer {
  const reading = listFiltersOf(call);
  if (!reading.ok) return error(400, reading.why);
  const how = { filters: reading.filters, isAll: isTrue(call, "all") };
  const shown = [...all.world.containers.values()].filter((container) => isListed(container, how));
  // Newest first.
  const nowMs = all.world.clock.now();
  const said = shown.toReversed().map((container) => {
    const { stale } = container;
    const isStale = stale !== null && nowMs < stale.untilMs;
    const summary = isStale
      ? stale.summary(call.version)
      : summaryOf(container, telling(all, call));
    return all.isPodman ? podmanSummary(summary) : summary;
  });
  return json(said);
}

/** Source: moby `httputils.BoolValue`. */
function isTrue(call: DockerCall, name: string): boolean {
  const value = (call.query.get(name) ?? "").trim().toLowerCase();
  return !["", "0", "no", "false", "none"].includes(value);
}

/** By id, by its beginning, or by name. */
export function findContainer({ containers }: World, key: string): Container | null {
  const all = [...containers.values()];
  const name = key.replace(/^\//, "");
  return (
    containers.get(key) ??
    all.find((container) => container.name === name) ??
    all.find(({ id }) => key.length >= 4 && id.startsWith(key)) ??
    null
  );
}

function withContainer(
  { world }: Endpoints,
  { params }: DockerCall,
  answer: (container: Container) => DockerReply,
): DockerReply {
  const key = params.id ?? "";
  const container = findContainer(world, key);
  return container === null ? error(404, `No such container: ${key}`) : answer(container);
}

function answerOrder(
  all: Endpoints,
  call: DockerCall,
  answer: (call: DockerCall, container: Container) => DockerReply,
): DockerReply {
  return withContainer(all, call, (container) => {
    if (call.text !== "") {
      call.violation("a body is not expected");
      return error(400, `${call.kind}ing container with non-empty request body is not supported`);
    }
    if (!all.mayTouch(container)) {
      call.violation(`${container.name} has not opted in: it must be left alone`);
    }
    if (call.kind === "start" && container.stopping?.byApi === true) {
      call.violation(
        `${container.name} is being stopped by the same client: it will end all the same`,
      );
    }
    return answer(call, container);
  });
}

function answerStop(all: Endpoints, call: DockerCall, container: Container): DockerReply {
  const t = call.query.get("t");
  if (t !== null && !/^-?\d+$/.test(t)) {
    call.violation(`t is "${t}", not a whole number of seconds`);
    return error(400, `strconv.Atoi: parsing "${t}": invalid syntax`);
  }
  const signal = call.query.get("signal");
  if (signal !== null && !/^(SIG)?(TERM|INT|QUIT|HUP|KILL|USR1|USR2)$/.test(signal)) {
    call.violation(`"${signal}" is no signal`);
    return error(400, `Invalid signal: ${signal}`);
  }
  if (signal !== null && isOlder(call.version, parseVersion("1.42"))) {
    call.violation("the parameter signal is not heeded before 1.42");
  }
  const seconds = t === null ? null : Number(t);
  const timeoutMs =
    seconds === null ? null : seconds < 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
  return {
    later: (respond) =>
      stop(all.world, container, {
        timeoutMs,
        byApi: true,
        done: (outcome) => respond(answerTo(all, outcome)),
      }),
  };
}

function answerWait(call: DockerCall, container: Container): DockerReply {
  const condition = call.query.get("condition") ?? "not-running";
  if (!["not-running", "next-exit", "removed"].includes(condition)) {
    call.violation(`"${condition}" is no condition`);
    return error(400, `invalid condition: "${condition}"`);
  }
  const { status, exitCode } = container;
  const said = (code: number) => json({ StatusCode: code });
  const isUp = status === "running" || status === "paused" || status === "restarting";
  if (condition === "not-running" && !isUp) return said(exitCode);
  const waiters = condition === "removed" ? container.onRemoved : container.onEnd;
  return { later: (respond) => void waiters.push((code) => respond(said(code))) };
}

function answerEvents({ hub }: Endpoints, call: DockerCall): DockerReply {
  const reading = eventFiltersOf(call);
  if (!reading.ok) return error(400, reading.why);
  for (const name of ["since", "until"]) {
    const value = call.query.get(name);
    if (value === null || UNIX_TIME.test(value)) continue;
    call.violation(`${name} is "${value}", not a time in seconds`);
    return error(400, `strconv.ParseInt: parsing "${value}": invalid syntax`);
  }
  const timeMs = (name: string) => {
    const value = call.query.get(name);
    return value === null ? null : Number(value) * 1000;
  };
  const wish = {
    filters: reading.filters,
    sinceMs: timeMs("since"),
    untilMs: timeMs("until"),
    isLegacy: isOlder(call.version, parseVersion("1.52")),
  };
  const headers = { "content-type": "application/json" };
  return { headers, stream: (lines) => hub.listen(lines, wish) };
}

function readNetwork({ world }: Endpoints, key: string): FakeAnswer {
  const found = [...world.networks].find(([name, id]) => name === key || id === key);
  return found === undefined ? error(404, `network ${key} not found`) : json(networkOf(...found));
}

function answerTo({ isPodman }: Endpoints, outcome: Outcome): FakeAnswer {
  if (outcome === "done") return { status: 204 };
  if (outcome === "no-change") return { status: 304 };
  if (!isRefusal(outcome)) return { status: 500 };
  const { status, message } = outcome;
  return isPodman ? podmanRefusal(status, message) : error(status, message);
}

function error(status: number, message: string): FakeAnswer {
  return json({ message }, status);
}
