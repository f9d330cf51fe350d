/** The files by which programs get to the fake cluster: the folder of a service account, and kubeconfigs. */

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLIENT_CERTIFICATE, CLIENT_KEY, CLUSTER_CA } from "./fake-kubernetes-certificates.ts";

/** Made by `createClusterFiles`. */
export interface ClusterFiles extends Disposable {
  /** For `PROVIDER_KUBERNETES_SERVICE_ACCOUNT_DIR`: `token`, `ca.crt` and `namespace`. */
  readonly serviceAccountDir: string;
  /** Puts files in place of those of the service account, all at once, as the kubelet does. */
  writeServiceAccount(files: ServiceAccountFiles): void;
  /** @returns path of a new kubeconfig */
  writeKubeconfig(options: KubeconfigOptions): string;
  /** A path in the folder of all of them. */
  file(name: string): string;
}

export interface ServiceAccountFiles {
  readonly token: string;
  readonly namespace: string;
  /** Default the cluster's. */
  readonly ca?: string;
}

export interface KubeconfigOptions {
  /** Of the API: `https://127.0.0.1:<port>`. */
  readonly server: string;
  readonly namespace: string;
  readonly user: KubeconfigUser;
  /** Default `fake`; the current one. */
  readonly context?: string;
  /** Certificates and keys: written into it (default), or in files beside it, with relative paths. */
  readonly certificatesAs?: "data" | "files";
  /** PEM; default the cluster's. */
  readonly ca?: string;
}

export type KubeconfigUser =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "token-file"; readonly path: string }
  | { readonly kind: "certificate"; readonly certificate?: string; readonly key?: string }
  /** For `kubectl proxy`. */
  | { readonly kind: "none" };

/** In a temporary folder, which is removed in the end. */
export function createClusterFiles(): ClusterFiles {
  const folder = mkdtempSync(join(tmpdir(), "paastis-fake-kubernetes-"));
  const serviceAccountDir = join(folder, "serviceaccount");
  mkdirSync(serviceAccountDir);
  let writes = 0;
  let configs = 0;
  return {
    serviceAccountDir,
    file: (name) => join(folder, name),
    writeServiceAccount(files) {
      writes += 1;
      writeAtomically(serviceAccountDir, `..data_${writes}`, {
        ...{ token: files.token, namespace: files.namespace },
        "ca.crt": files.ca ?? CLUSTER_CA,
      });
    },
    writeKubeconfig(options) {
      configs += 1;
      return writeKubeconfig(join(folder, `kubeconfig-${configs}`), options);
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/**
 * The files are links to a folder that is itself a link, and that link is replaced.
 * Source: Kubernetes, `pkg/volume/util/atomic_writer.go`.
 */
function writeAtomically(
  dir: string,
  version: string,
  files: Readonly<Record<string, string>>,
): void {
  mkdirSync(join(dir, version));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, version, name), text);
  symlinkSync(version, join(dir, "..data_tmp"));
  renameSync(join(dir, "..data_tmp"), join(dir, "..data"));
  for (const name of Object.keys(files)) {
    try {
      symlinkSync(join("..data", name), join(dir, name));
    } catch {
      // It is there from the time before.
    }
  }
}

function writeKubeconfig(path: string, options: KubeconfigOptions): string {
  const { server, namespace, user, context = "fake", certificatesAs = "data" } = options;
  const pem = (name: string, field: string, text: string) => {
    if (certificatesAs === "data") {
      return { [`${field}-data`]: Buffer.from(text).toString("base64") };
    }
    const file = `${path}-${name}.pem`;
    writeFileSync(file, text);
    return { [field]: file.slice(file.lastIndexOf("/") + 1) };
  };
  const isTls = server.startsWith("https:");
  const ca = isTls ? pem("ca", "certificate-authority", options.ca ?? CLUSTER_CA) : {};
  const config = {
    apiVersion: "v1",
    kind: "Config",
    preferences: {},
    clusters: [{ name: "fake-cluster", cluster: { server, ...ca } }],
    users: [{ name: "fake-user", user: userFields(user, pem) }],
    contexts: [
      { name: context, context: { cluster: "fake-cluster", user: "fake-user", namespace } },
    ],
    "current-context": context,
  };
  // JSON is YAML.
  writeFileSync(path, JSON.stringify(config, null, 2), { mode: 0o600 });
  return path;
}

function userFields(
  user: KubeconfigUser,
  pem: (name: string, field: string, text: string) => Record<string, string>,
): Record<string, string> {
  switch (user.kind) {
    case "token":
      return { token: user.token };
    case "token-file":
      return { tokenFile: user.path };
    case "certificate":
      return {
        ...pem("client", "client-certificate", user.certificate ?? CLIENT_CERTIFICATE),
        ...pem("key", "client-key", user.key ?? CLIENT_KEY),
      };
    case "none":
      return {};
    default:
      return user satisfies never;
  }
}
