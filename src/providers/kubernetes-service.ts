/** Which Service stands in front of a workload, at which port, and where it answers. Pure. */

import { isIPv6 } from "node:net";
import { type Target, targetOf } from "../app.ts";
import type { KubernetesConfig } from "../config.ts";
import {
  fieldsOf,
  listOf,
  numberOf,
  type ObjectName,
  objectNameOf,
  textOf,
  textsOf,
} from "./kubernetes-json.ts";
import type { Workload } from "./kubernetes-workload.ts";

/** A Service. */
export interface Service extends Pick<ObjectName, "namespace" | "name"> {
  /** `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`. */
  readonly type: string;
  /** `None`: headless, its name stands for the pods themselves; empty: it has none. */
  readonly clusterIp: string;
  readonly selector: Readonly<Record<string, string>>;
  /** Those that speak TCP. */
  readonly ports: readonly ServicePort[];
}

/** A port of a Service. */
export interface ServicePort {
  readonly port: number;
  /** Empty where it is the only one. */
  readonly name: string;
  readonly appProtocol: string;
  /** Number or name of the port of the pods. */
  readonly targetPort: number | string;
}

/** Where requests for a workload go, or why nobody knows. */
export type Route =
  | { readonly kind: "known"; readonly service: string; readonly target: Target }
  | { readonly kind: "unknown"; readonly why: string };

/** @returns `null` when it is no Service with a name */
export function readService(object: unknown): Service | null {
  const named = objectNameOf(object);
  if (named === null) return null;
  const { type, clusterIP, selector, ports } = fieldsOf(fieldsOf(object).spec);
  return {
    namespace: named.namespace,
    name: named.name,
    type: textOf(type) || "ClusterIP",
    clusterIp: textOf(clusterIP),
    selector: textsOf(selector),
    ports: listOf(ports).flatMap(readPort),
  };
}

function readPort(value: unknown): ServicePort | [] {
  const { port, name, protocol, appProtocol, targetPort } = fieldsOf(value);
  if (numberOf(port) === 0 || (textOf(protocol) || "TCP") !== "TCP") return [];
  return {
    port: numberOf(port),
    name: textOf(name),
    appProtocol: textOf(appProtocol),
    // Left out, it is the same number. Source: Kubernetes' OpenAPI schema, ServicePort.
    targetPort: textOf(targetPort) || numberOf(targetPort) || numberOf(port),
  };
}

/** @param services those of the workload's namespace; others are passed over */
export function routeOf(
  workload: Workload,
  services: readonly Service[],
  config: Pick<KubernetesConfig, "reach" | "clusterDomain">,
): Route {
  const service = chooseService(workload, services);
  if ("why" in service) return { kind: "unknown", ...service };
  const port = choosePort(workload, service);
  if ("why" in port) return { kind: "unknown", ...port };
  const address = addressOf(workload, { service, port }, config);
  if ("why" in address) return { kind: "unknown", ...address };
  const scheme = isHttps(port) ? "https" : "http";
  const target = targetOf(`${scheme}://${address.host}:${address.port}`);
  return { kind: "known", service: service.name, target };
}

interface Obstacle {
  readonly why: string;
}

const NAME_ONE = "name one in the annotation paastis.dev/service";

function chooseService(workload: Workload, services: readonly Service[]): Service | Obstacle {
  const { namespace, marks, podLabels } = workload;
  const near = services.filter((service) => service.namespace === namespace);
  if (marks.service !== null) {
    const named = near.find(({ name }) => name === marks.service);
    return named ?? { why: `there is no Service ${marks.service} in ${namespace}` };
  }
  const fitting = near.filter((service) => selects(service, podLabels));
  // A StatefulSet has a headless one for itself, besides that for its clients.
  const proper = fitting.filter(({ clusterIp }) => clusterIp !== "None");
  const [only, ...others] = proper.length > 0 ? proper : fitting;
  if (only === undefined) {
    return { why: `no Service in ${namespace} selects its pods: make one, or ${NAME_ONE}` };
  }
  if (others.length === 0) return only;
  const names = [only, ...others].map(({ name }) => name).join(", ");
  return { why: `several Services select its pods (${names}): ${NAME_ONE}` };
}

/** One without a selector selects nothing. */
function selects({ selector }: Service, podLabels: Readonly<Record<string, string>>): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([name, text]) => podLabels[name] === text);
}

function choosePort({ marks }: Workload, service: Service): ServicePort | Obstacle {
  const { ports, name } = service;
  if (marks.port !== null) {
    const given = ports.find((one) => one.port === marks.port || one.name === marks.port);
    if (given !== undefined) return given;
    return { why: `its Service ${name} has no port ${marks.port}; it has ${portNames(service)}` };
  }
  const [only, ...others] = ports;
  if (only === undefined) return { why: `its Service ${name} has no TCP port` };
  if (others.length === 0) return only;
  for (const speaksHttp of HTTP_SIGNS) {
    const [found, ...rivals] = ports.filter(speaksHttp);
    if (found !== undefined && rivals.length === 0) return found;
  }
  const which = "name one in the annotation paastis.dev/port";
  return { why: `its Service ${name} has several ports (${portNames(service)}): ${which}` };
}

/** Signs that requests belong to a port, the plainest first. Source: Kubernetes, "Service", application protocol. */
const HTTP_SIGNS: readonly ((port: ServicePort) => boolean)[] = [
  ({ name }) => name === "http",
  ({ name }) => name === "web",
  ({ name }) => name.startsWith("http-"),
  ({ appProtocol }) => /^(?:https?|kubernetes\.io\/(?:h2c|wss?))$/i.test(appProtocol),
  ({ name }) => name === "https",
];

function portNames({ ports }: Service): string {
  const names = ports.map(({ port, name }) => (name === "" ? `${port}` : `${port} (${name})`));
  return names.join(", ") || "none that speaks TCP";
}

/** Source: Kubernetes, "Service", application protocol; the name is what service meshes go by. */
function isHttps({ appProtocol, name }: ServicePort): boolean {
  if (appProtocol !== "") return /^(?:https|kubernetes\.io\/wss)$/i.test(appProtocol);
  return name === "https" || name.startsWith("https-");
}

function addressOf(
  workload: Workload,
  { service, port }: { readonly service: Service; readonly port: ServicePort },
  config: Pick<KubernetesConfig, "reach" | "clusterDomain">,
): { readonly host: string; readonly port: number } | Obstacle {
  const { name, namespace, type, clusterIp } = service;
  if (type === "ExternalName") {
    return { why: `its Service ${name} stands for another name (ExternalName), not for its pods` };
  }
  const isHeadless = clusterIp === "None";
  if (config.reach === "cluster-ip") {
    if (isHeadless || clusterIp === "") {
      const other = "give it one that has, or set PROVIDER_KUBERNETES_REACH=dns in the cluster";
      return { why: `its Service ${name} is headless and has no address of its own: ${other}` };
    }
    return { host: isIPv6(clusterIp) ? `[${clusterIp}]` : clusterIp, port: port.port };
  }
  const host = `${name}.${namespace}.svc.${config.clusterDomain}`;
  // The name of a headless one stands for the pods themselves: nothing turns its port into theirs.
  const number = isHeadless ? podPortOf(workload, port) : port.port;
  if (number !== null) return { host, port: number };
  const which = `the port ${port.targetPort}, which none of the containers has`;
  return { why: `its Service ${name} is headless and leads to ${which}` };
}

function podPortOf({ podPorts }: Workload, { targetPort }: ServicePort): number | null {
  return typeof targetPort === "number" ? targetPort : (podPorts.get(targetPort) ?? null);
}
