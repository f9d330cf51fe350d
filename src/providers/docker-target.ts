/** Where a container answers: by its own address in a network, or by a port of the engine's host. Pure. */

import { type Target, targetOf } from "../app.ts";
import type { DockerConfig } from "../config.ts";
import { composePlaceOf } from "./docker-compose.ts";
import type { Container, ContainerPort } from "./docker-json.ts";
import type { ContainerMarks } from "./docker-labels.ts";

/** What a target is found with. */
export interface Reach {
  /** Up; what a list says of it may leave things out. */
  readonly container: Container;
  readonly marks: ContainerMarks;
  readonly config: Pick<DockerConfig, "network" | "publishedHost">;
  /** The container whose network it uses; `null`: its own. */
  readonly host: Container | null;
}

/** A target, or why there is none, to follow the container's name. */
export type Found =
  | { readonly kind: "target"; readonly target: Target }
  | { readonly kind: "none"; readonly why: string };

/** The network through which it is to be reached by its own address; `null`: by a port of the host. */
export function networkFor(
  marks: ContainerMarks,
  config: Pick<DockerConfig, "network">,
): string | null {
  return marks.network ?? config.network;
}

const SHARED = "container:";

/** Id or name of the container whose network it uses; `null`: its own, or nobody says. */
export function networkHostOf({ networkMode }: Container): string | null {
  return networkMode.startsWith(SHARED) ? networkMode.slice(SHARED.length) : null;
}

/** A label says more than a port that is published, and that more than one that is only named by the image. */
export function findTarget(reach: Reach): Found {
  const { container, marks, config, host } = reach;
  const carrier = host ?? container;
  const network = networkFor(marks, config);
  const isOfHost = carrier.networkMode === "host";
  // Ports are published by whose network it is, and named by whose program it is.
  const ports = container.ports.length > 0 ? container.ports : carrier.ports;
  const port = marks.port ?? onlyPort(ports, network !== null || isOfHost || host !== null);
  if (typeof port === "string") return { kind: "none", why: port };
  if (isOfHost) return at(marks, config.publishedHost, port);
  if (network !== null) return inNetwork(reach, carrier, { network, port });
  return published(reach, carrier, port);
}

const SAY_WHICH = "say which with the label paastis.port";

/** The port in the container, or why none can be chosen. */
function onlyPort(ports: readonly ContainerPort[], isAnyGood: boolean): number | string {
  const published = numbersOf(ports.filter(({ isPublished }) => isPublished));
  const usable = published.length === 1 || !isAnyGood ? published : numbersOf(ports);
  const [first, ...others] = usable;
  if (first !== undefined && others.length === 0) return first;
  if (first !== undefined) return `it has several ports (${usable.join(", ")}): ${SAY_WHICH}`;
  const named = numbersOf(ports);
  if (named.length > 0) return notPublished(named);
  return `it has no TCP port that is published or named by its image: ${SAY_WHICH}`;
}

function numbersOf(ports: readonly ContainerPort[]): readonly number[] {
  return [...new Set(ports.map(({ privatePort }) => privatePort))].toSorted((a, b) => a - b);
}

function notPublished(ports: readonly number[]): string {
  const name = ports.length === 1 ? `its port ${ports[0]} is` : `its ports ${ports.join(", ")} are`;
  return `${name} not published: publish it, or name the network to reach it by in paastis.network or PROVIDER_DOCKER_NETWORK`;
}

function inNetwork(
  { marks }: Reach,
  carrier: Container,
  { network, port }: { readonly network: string; readonly port: number },
): Found {
  const project = composePlaceOf(carrier.labels)?.project;
  // Compose puts the project before the names of its networks.
  const address = carrier.networks.get(network) ?? carrier.networks.get(`${project}_${network}`);
  if (address === undefined) {
    const theirs = [...carrier.networks.keys()].join(", ") || "none";
    const why = `it is not in the network ${network} (its networks: ${theirs}): connect it, or name another one with paastis.network`;
    return { kind: "none", why };
  }
  if (address === "") return { kind: "none", why: `it has no address in the network ${network}` };
  return at(marks, address, port);
}

/** Addresses of the host that do not say which. */
const ANY = new Set(["", "0.0.0.0", "::"]);

function published({ marks, config }: Reach, carrier: Container, port: number): Found {
  const bindings = carrier.ports.filter(
    ({ privatePort, publicPort }) => privatePort === port && publicPort !== null,
  );
  const binding = bindings.find(({ hostIp }) => !hostIp.includes(":")) ?? bindings[0];
  if (binding === undefined || binding.publicPort === null) {
    return { kind: "none", why: notPublished([port]) };
  }
  const { hostIp } = binding;
  const isOpen = ANY.has(hostIp) || hostIp.startsWith("127.") || hostIp === "::1";
  return at(marks, isOpen ? config.publishedHost : hostIp, binding.publicPort);
}

function at({ scheme = "http" }: ContainerMarks, host: string, port: number): Found {
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return { kind: "target", target: targetOf(`${scheme}://${name}:${port}`) };
}
