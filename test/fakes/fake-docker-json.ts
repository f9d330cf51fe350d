/** What the fake Docker engine says about containers and networks, in the fields of the Engine API. */

import type { Container, PublishedPort } from "./fake-docker-model.ts";
import { type ApiVersion, isOlder, parseVersion } from "./fake-docker-version.ts";

/** Fields of answers that are maps: names -> things. */
export const DOCKER_MAPS = [
  ...["Labels", "Networks", "Ports", "PortBindings", "ExposedPorts", "Attributes", "Containers"],
  ...["Options", "Details"],
];

/** How and when it is said. */
export interface Telling {
  readonly version: ApiVersion;
  readonly nowMs: number;
  /** Name of a network -> its id. */
  readonly networks: ReadonlyMap<string, string>;
}

const NEVER = "0001-01-01T00:00:00Z";

/** One element of `GET /containers/json`. */
export function summaryOf(container: Container, telling: Telling): object {
  const { spec } = container;
  return {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: spec.image,
    ImageID: `sha256:${"5".repeat(64)}`,
    Command: "bun start",
    Created: Math.floor(container.createdMs / 1000),
    Ports: portsOf(container),
    Labels: spec.labels,
    State: container.status,
    Status: statusText(container, telling.nowMs),
    ...(isOlder(telling.version, parseVersion("1.52"))
      ? {}
      : { Health: healthSummaryOf(container) }),
    HostConfig: { NetworkMode: spec.networkMode },
    NetworkSettings: { Networks: networksOf(container, telling) },
    Mounts: [],
  };
}

function healthSummaryOf({ health }: Container): object {
  const { status = "none", failingStreak = 0 } = health ?? {};
  return { Status: status, FailingStreak: failingStreak };
}

/** Source: an engine 20.10. Nobody should read it. */
function statusText(container: Container, nowMs: number): string {
  const { status, exitCode, health } = container;
  const ago = (fromMs: number | null) =>
    `${Math.floor((nowMs - (fromMs ?? nowMs)) / 1000)} seconds`;
  switch (status) {
    case "running": {
      const word = health?.status === "starting" ? "health: starting" : health?.status;
      return `Up ${ago(container.startedMs)}${word === undefined ? "" : ` (${word})`}`;
    }
    case "paused":
      return `Up ${ago(container.startedMs)} (Paused)`;
    case "restarting":
      return `Restarting (${exitCode}) ${ago(container.finishedMs)} ago`;
    case "removing":
      return "Removal In Progress";
    case "exited":
      return `Exited (${exitCode}) ${ago(container.finishedMs)} ago`;
    default:
      return status === "created" ? "Created" : "Dead";
  }
}

function portsOf(container: Container): object[] {
  const { spec, hostPorts } = container;
  if (container.addresses.size === 0 && hostPorts.size === 0) return [];
  const published = spec.published.flatMap((port) =>
    hostIpsOf(port).map((IP) => ({
      IP,
      PrivatePort: port.privatePort,
      PublicPort: hostPorts.get(port.privatePort) ?? 0,
      Type: "tcp",
    })),
  );
  const bare = spec.exposed
    .map((text) => ({ PrivatePort: Number.parseInt(text, 10), Type: text.split("/")[1] ?? "tcp" }))
    .filter(({ PrivatePort, Type }) => Type !== "tcp" || !hostPorts.has(PrivatePort));
  return [...published, ...bare];
}

/** `0.0.0.0` is both families. */
function hostIpsOf({ hostIp }: PublishedPort): string[] {
  return hostIp === "0.0.0.0" ? ["0.0.0.0", "::"] : [hostIp];
}

function networksOf(container: Container, telling: Telling): Record<string, object> {
  const { spec, addresses, name, id } = container;
  const hasNames = !isOlder(telling.version, parseVersion("1.44"));
  const names = spec.networkMode === "host" ? ["host"] : spec.networks;
  const one = (network: string): [string, object] => {
    const address = addresses.get(network) ?? "";
    const isIn = address !== "";
    const service = spec.labels["com.docker.compose.service"];
    const dns = [name, ...(service === undefined ? [] : [service]), id.slice(0, 12)];
    return [
      network,
      {
        IPAMConfig: null,
        Links: null,
        Aliases: service === undefined ? null : [name, service],
        MacAddress: isIn ? "02:42:ac:12:00:03" : "",
        NetworkID: telling.networks.get(network) ?? "",
        EndpointID: isIn ? id.split("").toReversed().join("") : "",
        Gateway: isIn ? "172.18.0.1" : "",
        IPAddress: address,
        IPPrefixLen: isIn ? 16 : 0,
        IPv6Gateway: "",
        GlobalIPv6Address: "",
        GlobalIPv6PrefixLen: 0,
        DriverOpts: null,
        ...(hasNames ? { DNSNames: isIn && network !== "bridge" ? dns : null } : {}),
      },
    ];
  };
  return Object.fromEntries(names.map(one));
}

/** `GET /containers/{id}/json`. */
export function detailsOf(container: Container, telling: Telling): object {
  const { spec } = container;
  return {
    Id: container.id,
    Created: new Date(container.createdMs).toISOString(),
    Path: "bun",
    Args: ["start"],
    State: stateOf(container),
    Image: `sha256:${"5".repeat(64)}`,
    Name: `/${container.name}`,
    RestartCount: container.restartCount,
    Driver: "overlay2",
    Platform: "linux",
    HostConfig: {
      NetworkMode: spec.networkMode,
      PortBindings: bindingsOf(spec.published),
      RestartPolicy: {
        Name: spec.restartPolicy.name,
        MaximumRetryCount: spec.restartPolicy.maximumRetryCount,
      },
      AutoRemove: spec.autoRemove,
    },
    Mounts: [],
    Config: {
      Hostname: container.id.slice(0, 12),
      ExposedPorts: Object.fromEntries(spec.exposed.map((port) => [port, {}])),
      Image: spec.image,
      Labels: spec.labels,
      ...(spec.stopTimeoutMs === null ? {} : { StopTimeout: spec.stopTimeoutMs / 1000 }),
      ...(spec.healthcheck === null ? {} : { Healthcheck: healthcheckOf(container) }),
    },
    NetworkSettings: {
      ...addressOfOld(container, telling),
      Ports: portMapOf(container),
      Networks: networksOf(container, telling),
    },
  };
}

function stateOf(container: Container): object {
  const { status, health } = container;
  const time = (ms: number | null) => (ms === null ? NEVER : new Date(ms).toISOString());
  return {
    Status: status,
    Running: status === "running" || status === "paused" || status === "restarting",
    Paused: status === "paused",
    Restarting: status === "restarting",
    OOMKilled: container.isOutOfMemory,
    Dead: status === "dead",
    Pid: status === "running" || status === "paused" ? 1234 : 0,
    ExitCode: container.exitCode,
    Error: container.error,
    StartedAt: time(container.startedMs),
    FinishedAt: time(container.finishedMs),
    ...(health === null
      ? {}
      : {
          Health: { Status: health.status, FailingStreak: health.failingStreak, Log: health.log },
        }),
  };
}

function bindingsOf(published: readonly PublishedPort[]): Record<string, object[]> {
  return Object.fromEntries(
    published.map(({ privatePort, hostPort, hostIp }) => [
      `${privatePort}/tcp`,
      [{ HostIp: hostIp, HostPort: hostPort === 0 ? "" : String(hostPort) }],
    ]),
  );
}

function healthcheckOf({ spec }: Container): object {
  const { intervalMs = 0, retries = 0, startPeriodMs = 0 } = spec.healthcheck ?? {};
  return {
    Test: ["CMD-SHELL", "curl -f http://localhost/"],
    Interval: intervalMs * 1e6,
    Retries: retries,
    StartPeriod: startPeriodMs * 1e6,
  };
}

/** Before 1.52 the address on the default bridge stood here too. */
function addressOfOld({ addresses }: Container, { version }: Telling): object {
  return isOlder(version, parseVersion("1.52")) ? { IPAddress: addresses.get("bridge") ?? "" } : {};
}

function portMapOf(container: Container): Record<string, object[] | null> {
  const { spec, hostPorts, addresses } = container;
  if (addresses.size === 0 && hostPorts.size === 0) return {};
  const bare = spec.exposed.map((port): [string, null] => [port, null]);
  const published = spec.published.map((port): [string, object[]] => [
    `${port.privatePort}/tcp`,
    hostIpsOf(port).map((HostIp) => ({
      HostIp,
      HostPort: String(hostPorts.get(port.privatePort) ?? ""),
    })),
  ]);
  return Object.fromEntries([...bare, ...published]);
}

/** One network. */
export function networkOf(name: string, id: string): object {
  return {
    Name: name,
    Id: id,
    Created: "2026-05-01T10:00:00.000000000Z",
    Scope: "local",
    Driver: "bridge",
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: [{ Subnet: "172.18.0.0/16" }] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    Options: {},
    Labels: {},
  };
}
