/** How a kubeconfig says a cluster is reached. Pure. */

import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { messageOf } from "../errors.ts";
import { type Fields, fieldsOf, listOf, textOf } from "./kubernetes-json.ts";
import { ProviderError } from "./provider.ts";

/** Something that stands in the kubeconfig itself, or in a file. */
export type Source =
  | { readonly kind: "text"; readonly text: string }
  /** Absolute. */
  | { readonly kind: "file"; readonly path: string };

/** How a cluster is reached. */
export interface ClusterEntry {
  /** Without a slash at its end; may have a path. */
  readonly baseUrl: string;
  /** `null`: it names none. */
  readonly namespace: string | null;
  /** Who vouches for the cluster's certificate, PEM; `null`: the system's authorities. */
  readonly ca: Source | null;
  /** The cluster's certificate is not looked at. */
  readonly isInsecure: boolean;
  /** The name that the certificate must have, where it is not that of the address. */
  readonly serverName: string | null;
  /** URL of the proxy that leads there; may hold a password. `null`: none does. */
  readonly proxy: string | null;
  /** `null`: no token is sent. */
  readonly token: Source | null;
  /** Both PEM; `null`: no certificate is shown. */
  readonly client: { readonly certificate: Source; readonly key: Source } | null;
}

/** Where a kubeconfig is, and which of its contexts counts. */
export interface KubeconfigPlace {
  /** Absolute. */
  readonly file: string;
  /** `null`: its current one. */
  readonly context: string | null;
}

/**
 * Reads what stands in a kubeconfig.
 * @throws ProviderError `auth` when it cannot be used: what is wrong, where, and what to do instead
 * Source: Kubernetes, "kubeconfig (v1)".
 */
export function readKubeconfig(text: string, place: KubeconfigPlace): ClusterEntry {
  const config = fieldsOf(parsed(text, place));
  const contextName = place.context ?? textOf(config["current-context"]);
  if (contextName === "") {
    throw unusable(place, "it has no current-context: name one in PROVIDER_KUBERNETES_CONTEXT");
  }
  const context = namedEntry(config, { list: "contexts", field: "context" }, contextName, place);
  const clusterName = textOf(context.cluster);
  const cluster = namedEntry(config, { list: "clusters", field: "cluster" }, clusterName, place);
  const userName = textOf(context.user);
  const user =
    userName === "" ? {} : namedEntry(config, { list: "users", field: "user" }, userName, place);
  refuseOthers(user, userName, place);
  return {
    baseUrl: serverOf(cluster, clusterName, place),
    namespace: textOf(context.namespace) || null,
    ca: sourceOf(cluster, "certificate-authority", place),
    isInsecure: cluster["insecure-skip-tls-verify"] === true,
    serverName: textOf(cluster["tls-server-name"]) || null,
    proxy: proxyOf(cluster, clusterName, place),
    token: tokenOf(user, place),
    client: clientOf(user, userName, place),
  };
}

function parsed(text: string, place: KubeconfigPlace): unknown {
  try {
    return parse(text, { logLevel: "error" });
  } catch (error) {
    // Only the first line: the rest shows what stands in the file, which may be a key.
    const why = messageOf(error).split("\n")[0] ?? "";
    throw unusable(place, `it is no YAML: ${why}`);
  }
}

function namedEntry(
  config: Fields,
  { list, field }: { readonly list: string; readonly field: string },
  name: string,
  place: KubeconfigPlace,
): Fields {
  const entries = listOf(config[list]).map(fieldsOf);
  const found = entries.find((entry) => entry.name === name);
  if (found !== undefined) return fieldsOf(found[field]);
  const names = entries.map((entry) => textOf(entry.name)).filter(Boolean);
  const there = names.length === 0 ? "none" : names.join(", ");
  throw unusable(place, `it has no entry "${name}" in ${list}; there is ${there}`);
}

function serverOf(cluster: Fields, name: string, place: KubeconfigPlace): string {
  const server = textOf(cluster.server);
  const url = URL.parse(server);
  if (url !== null && /^https?:$/.test(url.protocol)) return server.replace(/\/+$/, "");
  throw unusable(place, `the server of cluster "${name}" is no http or https URL`);
}

const INSTEAD =
  "give it the token of a service account (`kubectl create token`, or a Secret of the type " +
  "kubernetes.io/service-account-token) as token or tokenFile, or a client certificate, or go through `kubectl proxy`";

/** Ways to log in that need other programs, and such that must not be passed over in silence. */
function refuseOthers(user: Fields, userName: string, place: KubeconfigPlace): void {
  if (user.exec !== undefined && user.exec !== null) {
    const command = textOf(fieldsOf(user.exec).command) || "a program";
    const what = `user "${userName}" logs in by running ${command} (exec)`;
    throw unusable(place, `${what}, which Paastis does not do: ${INSTEAD}`);
  }
  if (user["auth-provider"] !== undefined && user["auth-provider"] !== null) {
    const name = textOf(fieldsOf(user["auth-provider"]).name) || "unnamed";
    const what = `user "${userName}" logs in by the auth-provider ${name}`;
    throw unusable(place, `${what}, which Paastis does not know: ${INSTEAD}`);
  }
  if (textOf(user.username) !== "") {
    const what = `user "${userName}" logs in by name and password`;
    throw unusable(place, `${what}, which clusters no longer take: ${INSTEAD}`);
  }
  if (textOf(user.as) !== "") {
    throw unusable(place, `user "${userName}" acts as somebody else (as), which is not supported`);
  }
}

/** Its password is nobody's business: it is not repeated. */
function proxyOf(cluster: Fields, name: string, place: KubeconfigPlace): string | null {
  const proxy = textOf(cluster["proxy-url"]);
  if (proxy === "") return null;
  if (/^https?:$/.test(URL.parse(proxy)?.protocol ?? "")) return proxy;
  const others = "others, such as SOCKS, are not supported";
  throw unusable(place, `the proxy-url of cluster "${name}" is no http or https URL; ${others}`);
}

/** A file that is renewed goes before what was written down once. */
function tokenOf(user: Fields, place: KubeconfigPlace): Source | null {
  const file = textOf(user.tokenFile);
  if (file !== "") return { kind: "file", path: besideOf(place, file) };
  const text = textOf(user.token).trim();
  return text === "" ? null : { kind: "text", text };
}

function clientOf(user: Fields, name: string, place: KubeconfigPlace): ClusterEntry["client"] {
  const certificate = sourceOf(user, "client-certificate", place);
  const key = sourceOf(user, "client-key", place);
  if (certificate === null && key === null) return null;
  if (certificate !== null && key !== null) return { certificate, key };
  const missing = certificate === null ? "client-certificate" : "client-key";
  throw unusable(place, `user "${name}" has only one half of a client certificate: no ${missing}`);
}

/** What stands in the file itself goes before the name of another. */
function sourceOf(fields: Fields, name: string, place: KubeconfigPlace): Source | null {
  const data = textOf(fields[`${name}-data`]);
  if (data !== "") {
    const text = Buffer.from(data, "base64").toString("utf8");
    if (text.includes("-----BEGIN ")) return { kind: "text", text };
    throw unusable(place, `${name}-data is no PEM in base64`);
  }
  const file = textOf(fields[name]);
  return file === "" ? null : { kind: "file", path: besideOf(place, file) };
}

function besideOf({ file }: KubeconfigPlace, path: string): string {
  return resolve(dirname(file), path);
}

function unusable({ file }: KubeconfigPlace, why: string): ProviderError {
  return new ProviderError("auth", `${file} cannot be used: ${why}`);
}
