/** Containers as the engine's answers show them, taken from JSON of which nothing is certain. Pure. */

import { safeText } from "./platform-quote.ts";
import { ProviderError } from "./provider.ts";

/** A TCP port of a container. */
export interface ContainerPort {
  readonly privatePort: number;
  /** Where the engine's host answers for it; `null`: nowhere, or not now. */
  readonly publicPort: number | null;
  /** The host's address that it answers at; empty: all of them. */
  readonly hostIp: string;
  /** Wants to be published, whether it is at the moment or not. */
  readonly isPublished: boolean;
}

/** What the engine's health probes say of a container. `none`: nothing probes it. `unknown`: nobody says. */
export type ContainerHealth = "starting" | "healthy" | "unhealthy" | "none" | "unknown";

/** A container, as a list and a look at it both tell. */
export interface Container {
  /** Another one after each re-creation. */
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdMs: number;
  /** `created`, `running`, `paused`, `restarting`, `stopping`, `removing`, `exited`, `dead`; or a word of tomorrow. */
  readonly status: string;
  readonly health: ContainerHealth;
  /** Of its last end; `null`: nobody says. */
  readonly exitCode: number | null;
  /** Those of its image count too; a list does not know all of them while it is down. */
  readonly ports: readonly ContainerPort[];
  /** Networks by name, with its address there; empty while it is down. */
  readonly networks: ReadonlyMap<string, string>;
  /** A network, `host`, `none`, `container:<id>`; empty: nobody says. */
  readonly networkMode: string;
}

/** What only a look at the container itself tells. */
export interface ContainerDetails extends Container {
  /** Why it could not be started, or ended; empty: it does not say. */
  readonly error: string;
  /** The kernel killed it for its memory. */
  readonly isOutOfMemory: boolean;
  /** When it began to run last, ms since the epoch; `null`: never. */
  readonly startedMs: number | null;
  /** When it ended last, ms since the epoch; `null`: never, or nobody says. */
  readonly finishedMs: number | null;
  /** How often its restart policy has started it since somebody last did. */
  readonly restartCount: number;
  /** How long its owner lets it take to stop; `null`: nothing is said. */
  readonly stopTimeoutMs: number | null;
}

/** Whether it comes from a look at the container itself. */
export function isDetailed(container: Container): container is ContainerDetails {
  return "isOutOfMemory" in container;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws ProviderError `protocol` when it is no list; entries without an id or a name are left out */
export function readContainers(body: unknown): readonly Container[] {
  if (!Array.isArray(body)) throw new ProviderError("protocol", "the engine's answer is no list");
  return body.flatMap((entry) => listedContainer(entry) ?? []);
}

function listedContainer(entry: unknown): Container | null {
  const fields = fieldsOf(entry);
  const { Id: id, Names: names, State: status, Status: said, Created: created } = fields;
  // Names of links lead through other containers: `/web/db`.
  const name = listOf(names).find((one) => /^\/?[^/]+$/.test(textOf(one)));
  if (textOf(id) === "" || name === undefined) return null;
  return {
    id: textOf(id),
    name: textOf(name).replace(/^\//, ""),
    labels: textsOf(fields.Labels),
    createdMs: numberOf(created) * 1000,
    status: statusOf(status),
    health: healthOf(fieldsOf(fields.Health).Status) ?? healthIn(textOf(said)),
    exitCode: exitCodeIn(textOf(said)),
    ports: listOf(fields.Ports).flatMap(listedPort),
    networks: networksOf(fields.NetworkSettings),
    networkMode: textOf(fieldsOf(fields.HostConfig).NetworkMode),
  };
}

/** Podman's words for the same. Source: containers/podman, `libpod/define/containerstate.go`. */
const STATUSES: ReadonlyMap<string, string> = new Map([
  ["configured", "created"],
  ["initialized", "created"],
  ["stopped", "exited"],
]);

function statusOf(word: unknown): string {
  const status = textOf(word);
  return STATUSES.get(status) ?? status;
}

/**
 * `Up 2 hours`, `Up 2 hours (healthy)`, `Up 3 seconds (health: starting)`: before API 1.52 a list says it in no other
 * way, and Docker's own tools read it there. A list of Podman leaves it out.
 */
function healthIn(said: string): ContainerHealth {
  const match = /^Up [^()]+?(?: \((?:health: )?(\w+)\))?$/.exec(said);
  if (match === null) return "unknown";
  return match[1] === undefined ? "none" : (healthOf(match[1]) ?? "unknown");
}

/** `Exited (137) 2 hours ago`: a list says it in no other way. */
function exitCodeIn(said: string): number | null {
  const [, code] = /^Exited \((\d+)\)/.exec(said) ?? [];
  return code === undefined ? null : Number(code);
}

function listedPort(entry: unknown): ContainerPort[] {
  const { PrivatePort, PublicPort, IP, Type } = fieldsOf(entry);
  if (Type !== "tcp" || !isPort(PrivatePort)) return [];
  const publicPort = isPort(PublicPort) ? PublicPort : null;
  const isPublished = publicPort !== null;
  return [{ privatePort: PrivatePort, publicPort, hostIp: textOf(IP), isPublished }];
}

/** @throws ProviderError `protocol` when there is no container in it */
export function readContainer(body: unknown): ContainerDetails {
  const fields = fieldsOf(body);
  const { Id: id, Name: name, RestartCount: restarts } = fields;
  const state = fieldsOf(fields.State);
  const config = fieldsOf(fields.Config);
  if (textOf(id) === "" || textOf(state.Status) === "") {
    throw new ProviderError("protocol", "the engine's answer has no container in it");
  }
  const stopSeconds = numberOf(config.StopTimeout);
  return {
    id: textOf(id),
    name: textOf(name).replace(/^\//, ""),
    labels: textsOf(config.Labels),
    createdMs: timeOf(fields.Created) ?? 0,
    status: statusOf(state.Status),
    health: healthOf(fieldsOf(state.Health).Status) ?? "none",
    exitCode: typeof state.ExitCode === "number" ? state.ExitCode : null,
    ports: portsOf(fields),
    networks: networksOf(fields.NetworkSettings),
    networkMode: textOf(fieldsOf(fields.HostConfig).NetworkMode),
    error: safeText(textOf(state.Error)),
    isOutOfMemory: state.OOMKilled === true,
    startedMs: timeOf(state.StartedAt),
    finishedMs: timeOf(state.FinishedAt),
    restartCount: numberOf(restarts),
    stopTimeoutMs: stopSeconds > 0 ? stopSeconds * 1000 : null,
  };
}

/** Those that answer now, those that are to be published, and those that the image names. */
function portsOf(fields: Fields): readonly ContainerPort[] {
  const open = fieldsOf(fieldsOf(fields.NetworkSettings).Ports);
  const wanted = fieldsOf(fieldsOf(fields.HostConfig).PortBindings);
  const named = fieldsOf(fieldsOf(fields.Config).ExposedPorts);
  const names = new Set([open, wanted, named].flatMap((ports) => Object.keys(ports)));
  return [...names].flatMap((name) => {
    const [, digits] = /^(\d+)\/tcp$/.exec(name) ?? [];
    const privatePort = Number(digits);
    if (!isPort(privatePort)) return [];
    const bindings = listOf(open[name]).flatMap((binding) => bindingOf(privatePort, binding));
    if (bindings.length > 0) return bindings;
    const isPublished = listOf(wanted[name]).length > 0;
    return [{ privatePort, publicPort: null, hostIp: "", isPublished }];
  });
}

function bindingOf(privatePort: number, binding: unknown): ContainerPort[] {
  const { HostIp, HostPort } = fieldsOf(binding);
  const publicPort = Number(textOf(HostPort));
  if (!isPort(publicPort)) return [];
  return [{ privatePort, publicPort, hostIp: textOf(HostIp), isPublished: true }];
}

function networksOf(settings: unknown): ReadonlyMap<string, string> {
  const networks = Object.entries(fieldsOf(fieldsOf(settings).Networks));
  return new Map(
    networks.map(([name, network]) => {
      const { IPAddress, GlobalIPv6Address } = fieldsOf(network);
      return [name, textOf(IPAddress) || textOf(GlobalIPv6Address)];
    }),
  );
}

const HEALTHS: readonly ContainerHealth[] = ["starting", "healthy", "unhealthy", "none"];

function healthOf(word: unknown): ContainerHealth | null {
  return HEALTHS.find((health) => health === word) ?? null;
}

/** What an engine has never done, it did in the year 1. */
function timeOf(value: unknown): number | null {
  const timeMs = Date.parse(textOf(value));
  return timeMs > 0 ? timeMs : null;
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 65_535;
}

/** The object, or one without fields when it is something else. */
export function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return value as Fields; // An object that came out of JSON: its fields may be anything.
}

/** The text; empty when it is something else. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Texts by name. What is no text is left out. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const texts = Object.entries(fieldsOf(value)).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(texts);
}
