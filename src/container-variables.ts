/** The environment variables of Docker and Kubernetes. */

import { nameList, wholeSeconds } from "./provider-variable-rows.ts";
import { hostAddress, oneOf, type Parser, text, wholeNumber } from "./setting-parsers.ts";
import { variable } from "./variable.ts";

/** Completes "must be …". Other programs take more, such as ssh; only who names the provider needs one of these. */
export const DOCKER_HOST_ALLOWED = "unix:// and the absolute path of a socket, or tcp://host:port";

/** Rows of the table of variables. */
export const CONTAINER_VARIABLES = {
  dockerHost: variable<string>({
    name: "DOCKER_HOST",
    isShared: true,
    parser: text(DOCKER_HOST_ALLOWED),
    fallback: "unix:///var/run/docker.sock",
    doc: "Where the Docker or Podman engine listens.",
  }),
  dockerTlsVerify: variable<boolean>({
    name: "DOCKER_TLS_VERIFY",
    isShared: true,
    parser: anything(),
    fallback: false,
    defaultText: "none",
    doc: "Any value: an engine over TCP is spoken to by TLS, with the certificates of `DOCKER_CERT_PATH`.",
  }),
  dockerCertPath: variable<string | null>({
    name: "DOCKER_CERT_PATH",
    isShared: true,
    parser: text("a path"),
    fallback: null,
    doc: "The folder with `ca.pem`, `cert.pem` and `key.pem` for an engine over TLS.",
  }),
  dockerNetwork: variable<string | null>({
    name: "PROVIDER_DOCKER_NETWORK",
    parser: text("the name of a network"),
    fallback: null,
    doc: "The network through which containers are reached by their own address, as from a container in it; without it they are reached by published ports.",
  }),
  dockerPublishedHost: variable<string | null>({
    name: "PROVIDER_DOCKER_PUBLISHED_HOST",
    parser: hostAddress(),
    fallback: null,
    defaultText: "`127.0.0.1`; the engine's host over TCP",
    doc: "Where published ports of containers answer.",
  }),
  dockerStopTimeoutMs: variable<number>({
    name: "PROVIDER_DOCKER_STOP_TIMEOUT",
    parser: wholeSeconds(),
    fallback: 10_000,
    defaultText: "`10`",
    doc: "How long a container may take to stop before the engine kills it, in seconds.",
  }),
  kubeconfig: variable<string | null>({
    name: "KUBECONFIG",
    isShared: true,
    parser: text("the path of one file"),
    fallback: null,
    defaultText: "the service account in a cluster, else `~/.kube/config`",
    doc: "The file that says how to reach a Kubernetes cluster from outside.",
  }),
  kubernetesContext: variable<string | null>({
    name: "PROVIDER_KUBERNETES_CONTEXT",
    parser: text("the name of a context"),
    fallback: null,
    defaultText: "the file's current one",
    doc: "The context of the kubeconfig.",
  }),
  kubernetesNamespaces: variable<readonly string[] | "all" | null>({
    name: "PROVIDER_KUBERNETES_NAMESPACES",
    parser: namespaces(),
    fallback: null,
    defaultText: "the service account's or the context's own",
    doc: "The namespaces whose workloads are looked after, one or several; `all`: those of the whole cluster.",
  }),
  kubernetesReach: variable<"dns" | "cluster-ip" | null>({
    name: "PROVIDER_KUBERNETES_REACH",
    parser: oneOf(["dns", "cluster-ip"]),
    fallback: null,
    defaultText: "`dns` in a cluster, `cluster-ip` outside",
    doc: "How services are reached: by their name in the cluster's DNS, or by their cluster address.",
  }),
  kubernetesClusterDomain: variable<string>({
    name: "PROVIDER_KUBERNETES_CLUSTER_DOMAIN",
    parser: hostAddress(),
    fallback: "cluster.local",
    doc: "The domain below which the cluster's DNS has services.",
  }),
  kubernetesServiceHost: variable<string | null>({
    name: "KUBERNETES_SERVICE_HOST",
    isShared: true,
    parser: text("an address"),
    fallback: null,
    doc: "Set by Kubernetes in every container: where its API is.",
  }),
  kubernetesServicePort: variable<number>({
    name: "KUBERNETES_SERVICE_PORT",
    isShared: true,
    parser: wholeNumber(1, 65_535),
    fallback: 443,
    doc: "Set by Kubernetes in every container: the port of its API.",
  }),
  kubernetesServiceAccountDir: variable<string>({
    name: "PROVIDER_KUBERNETES_SERVICE_ACCOUNT_DIR",
    parser: text("a path"),
    fallback: "/var/run/secrets/kubernetes.io/serviceaccount",
    doc: "The folder with the token of the service account, its CA and its namespace, in a cluster.",
  }),
} as const;

/** Docker's own meaning: whatever it is set to. */
function anything(): Parser<boolean> {
  return { allowed: "anything", parse: () => ({ ok: true, value: true }) };
}

function namespaces(): Parser<readonly string[] | "all"> {
  const names = nameList("names of namespaces, separated by commas, or all");
  return {
    ...names,
    parse: (value) =>
      value.toLowerCase() === "all" ? { ok: true, value: "all" } : names.parse(value),
  };
}
