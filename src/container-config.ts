/** How the Docker engine and the Kubernetes cluster that the variables describe are reached. Pure. */

import { join, resolve } from "node:path";
import type { DockerConfig, KubernetesConfig } from "./config.ts";
import { DOCKER_HOST_ALLOWED } from "./container-variables.ts";
import type { EnvironmentValues } from "./environment.ts";

/** What relative paths and the home folder stand for; absolute. */
export interface Places {
  readonly workingDirectory: string;
  /** `null`: nobody says where it is. */
  readonly home: string | null;
}

type DockerAddress =
  | { readonly kind: "unix"; readonly socketPath: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number | null };

/** @throws Error when `dockerProblems` has found something */
export function dockerOf(values: EnvironmentValues, places: Places): DockerConfig {
  const address = dockerAddressOf(values.dockerHost);
  if (address === null) throw new Error("DOCKER_HOST is none");
  const isRemote = address.kind === "tcp";
  return {
    api: isRemote ? dockerTcpOf(address, values, places) : address,
    publishedHost: bracketed(values.dockerPublishedHost ?? (isRemote ? address.host : "127.0.0.1")),
    network: values.dockerNetwork,
    stopTimeoutMs: values.dockerStopTimeoutMs,
  };
}

/** What keeps the engine from being asked. One sentence each. */
export function dockerProblems({ dockerHost, ...values }: EnvironmentValues): string[] {
  const address = dockerAddressOf(dockerHost);
  if (address === null) {
    const why = "as PROVIDER_NAME has docker";
    return [`DOCKER_HOST must be ${DOCKER_HOST_ALLOWED}, ${why}: it is "${dockerHost}"`];
  }
  if (address.kind === "tcp" && values.dockerTlsVerify && values.dockerCertPath === null) {
    return [
      "DOCKER_CERT_PATH is required with DOCKER_TLS_VERIFY: the folder with ca.pem, cert.pem and key.pem",
    ];
  }
  return [];
}

/** Source: Docker, "Protect the Docker daemon socket": 2375 is plain, 2376 TLS. */
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

function dockerTcpOf(
  { host, port }: Extract<DockerAddress, { kind: "tcp" }>,
  values: EnvironmentValues,
  { workingDirectory }: Places,
): DockerConfig["api"] {
  const certificateDir =
    values.dockerTlsVerify && values.dockerCertPath !== null
      ? resolve(workingDirectory, values.dockerCertPath)
      : null;
  const [scheme, usualPort] = certificateDir === null ? ["http", PLAIN_PORT] : ["https", TLS_PORT];
  return { kind: "tcp", origin: `${scheme}://${host}:${port ?? usualPort}`, certificateDir };
}

/** `unix:///path`, or `tcp://host:port`, for which others write `http` and `https`; `null`: neither. */
function dockerAddressOf(text: string): DockerAddress | null {
  const [, socketPath] = /^unix:\/\/(\/.+)$/.exec(text) ?? [];
  if (socketPath !== undefined) return { kind: "unix", socketPath };
  const [, authority = ""] = /^(?:tcp|https?):\/\/([^/?#@\s]+)\/?$/.exec(text) ?? [];
  // A scheme without a usual port: one that is given must stay.
  const url = authority === "" ? null : URL.parse(`ws-like://${authority}`);
  if (url === null || url.hostname === "") return null;
  return { kind: "tcp", host: url.hostname, port: url.port === "" ? null : Number(url.port) };
}

function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** @throws Error when `kubernetesProblems` has found something */
export function kubernetesOf(values: EnvironmentValues, places: Places): KubernetesConfig {
  const api = kubernetesApiOf(values, places);
  if (api === null) throw new Error("nothing says where the cluster is");
  return {
    api,
    namespaces: values.kubernetesNamespaces,
    clusterDomain: values.kubernetesClusterDomain,
    reach: values.kubernetesReach ?? (api.kind === "in-cluster" ? "dns" : "cluster-ip"),
  };
}

/** What keeps the cluster from being asked. One sentence each. */
export function kubernetesProblems(values: EnvironmentValues, places: Places): string[] {
  if (kubernetesApiOf(values, places) !== null) return [];
  return [
    "KUBECONFIG is required, as PROVIDER_NAME has kubernetes and this is not a container of a cluster",
  ];
}

/** What was named goes before the cluster that the program runs in, and that before the usual place. */
function kubernetesApiOf(
  values: EnvironmentValues,
  { workingDirectory, home }: Places,
): KubernetesConfig["api"] | null {
  const context = values.kubernetesContext;
  // As with kubectl several may stand there; all of ours must be in the first.
  const [file = ""] = (values.kubeconfig ?? "").split(":");
  if (file !== "") return { kind: "kubeconfig", file: resolve(workingDirectory, file), context };
  if (values.kubernetesServiceHost !== null) {
    return {
      kind: "in-cluster",
      host: values.kubernetesServiceHost,
      port: values.kubernetesServicePort,
      serviceAccountDir: resolve(workingDirectory, values.kubernetesServiceAccountDir),
    };
  }
  return home === null ? null : { kind: "kubeconfig", file: join(home, ".kube/config"), context };
}
