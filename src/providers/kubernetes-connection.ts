/** How the cluster is reached, as files say it now: they are read again at least every minute, as tokens are renewed. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { KubernetesConfig } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type ClusterEntry, readKubeconfig, type Source } from "./kubernetes-kubeconfig.ts";
import type { Credentials } from "./platform-api.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import { ProviderError } from "./provider.ts";

/** What a connection to the cluster is made with. */
export interface Access {
  readonly baseUrl: string;
  /** Where we are, or what the context names. */
  readonly namespace: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As the runtime's `fetch` takes it. */
  readonly tls: TlsOptions;
  /** URL of the proxy on the way; may hold a password. `null`: there is none. */
  readonly proxy: string | null;
}

/** Options of a TLS connection; without effect on plain HTTP. */
export interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  /** PEM; they take the place of the system's. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
}

/** Made by `createConnection`. */
export interface Connection extends Required<Credentials> {
  /**
   * The newest access; read from files when the last reading is a minute old.
   * @throws ProviderError `auth` when it cannot be read, and could not be before
   */
  access(): Promise<Access>;
  /** The access that was last read; `null`: none was. */
  readonly latest: Access | null;
}

/** What a connection is made of. */
export interface ConnectionDeps {
  readonly api: KubernetesConfig["api"];
  readonly clock: Clock;
  readonly log: Log;
}

/** Source: Kubernetes, "Managing Service Accounts": the file changes long before the token ends. */
const READ_AGAIN_MS = 60_000;

interface State extends ConnectionDeps {
  readonly unreadable: Condition;
  latest: Access | null;
  readMs: number;
  /** The cluster did not accept the latest: it is not used again in place of one that cannot be read. */
  isRefused: boolean;
  reading: Promise<Access> | null;
}

/** Nothing is read before the first call. */
export function createConnection(deps: ConnectionDeps): Connection {
  const { clock, log } = deps;
  const fields = { provider: "kubernetes" };
  const state: State = {
    ...deps,
    unreadable: createCondition({ bad: log.warn, good: log.info, fields, clock }),
    latest: null,
    readMs: Number.NEGATIVE_INFINITY,
    isRefused: false,
    reading: null,
  };
  return {
    access: () => accessNow(state),
    get latest() {
      return state.latest;
    },
    headers: async () => (await accessNow(state)).headers,
    renew(used) {
      if (state.latest?.headers.authorization === used.authorization) {
        state.readMs = Number.NEGATIVE_INFINITY;
        state.isRefused = true;
      }
      return true;
    },
  };
}

async function accessNow(state: State): Promise<Access> {
  const { latest, clock } = state;
  if (latest !== null && clock.now() - state.readMs < READ_AGAIN_MS) return latest;
  state.reading ??= readOnce(state).finally(() => {
    state.reading = null;
  });
  return await state.reading;
}

/** What is being replaced at this moment may be missing: what was read before is still good for a while. */
async function readOnce(state: State): Promise<Access> {
  const { latest } = state;
  try {
    const read = await readAccess(state.api);
    if (latest !== null && latest.baseUrl !== read.baseUrl) throw movedTo(read.baseUrl);
    state.latest = read;
    state.isRefused = false;
    state.unreadable.end("the credentials of the cluster can be read again");
  } catch (error) {
    if (latest === null || state.isRefused) throw error;
    state.unreadable.begin(`${messageOf(error)}; what was read before is used meanwhile`);
  }
  state.readMs = state.clock.now();
  return state.latest ?? neverRead();
}

/** The credentials of one cluster are no business of another. */
function movedTo(baseUrl: string): ProviderError {
  const message = `the kubeconfig names another cluster now (${baseUrl}): start Paastis anew`;
  return new ProviderError("auth", message);
}

function neverRead(): never {
  throw new Error("nothing was read, and nothing failed");
}

async function readAccess(api: KubernetesConfig["api"]): Promise<Access> {
  if (api.kind === "in-cluster") return await readServiceAccount(api);
  const entry = readKubeconfig(await readText(api.file, "the kubeconfig"), api);
  const { baseUrl, isInsecure, serverName, proxy } = entry;
  const namespace = entry.namespace ?? "default";
  const token = entry.token === null ? "" : await readSource(entry.token, "the token");
  const tls: TlsOptions = {
    rejectUnauthorized: !isInsecure,
    ...(entry.ca !== null && { ca: await readCa(entry.ca) }),
    ...(serverName !== null && { serverName }),
    ...(entry.client !== null && (await readClient(entry.client))),
  };
  return { baseUrl, namespace, headers: bearer(token), tls, proxy };
}

/** Source: Kubernetes, "Accessing the Kubernetes API from a Pod". */
async function readServiceAccount(
  api: Extract<KubernetesConfig["api"], { kind: "in-cluster" }>,
): Promise<Access> {
  const { host, port, serviceAccountDir: dir } = api;
  const [token, ca, namespace] = await Promise.all([
    readText(join(dir, "token"), "the token of the service account"),
    readCa({ kind: "file", path: join(dir, "ca.crt") }),
    readText(join(dir, "namespace"), "the namespace of the service account"),
  ]);
  const baseUrl = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const tls = { rejectUnauthorized: true, ca };
  return { baseUrl, namespace, headers: bearer(token), tls, proxy: null };
}

function bearer(token: string): Readonly<Record<string, string>> {
  return token === "" ? {} : { authorization: `Bearer ${token}` };
}

async function readClient({
  certificate,
  key,
}: NonNullable<ClusterEntry["client"]>): Promise<Pick<TlsOptions, "cert" | "key">> {
  const cert = await readSource(certificate, "the client certificate");
  const keyText = await readSource(key, "the key of the client certificate");
  checkPem("the client certificate", () => new X509Certificate(cert));
  checkPem("the key of the client certificate", () => createPrivateKey(keyText));
  return { cert, key: keyText };
}

async function readCa(source: Source): Promise<string> {
  const ca = await readSource(source, "the certificate authority of the cluster");
  checkPem("the certificate authority of the cluster", () => new X509Certificate(ca));
  return ca;
}

/** The runtime would only say that no connection can be made. */
function checkPem(what: string, read: () => unknown): void {
  try {
    read();
  } catch {
    // The reason that it gives may quote the key.
    throw new ProviderError("auth", `${what} cannot be used: it is no PEM that makes sense`);
  }
}

function readSource(source: Source, what: string): Promise<string> {
  return source.kind === "text" ? Promise.resolve(source.text) : readText(source.path, what);
}

/** Without blanks around it. */
async function readText(path: string, what: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw new ProviderError("auth", `${what} cannot be read: ${messageOf(error)}`);
  }
  if (text !== "") return text;
  throw new ProviderError("auth", `${what} cannot be read: ${path} is empty`);
}
