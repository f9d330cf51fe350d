/** The calls that the cluster's API is made of for us: lists page by page, single objects, changes of them. */

import { throwIfAborted, unlessAborted } from "./abortable.ts";
import type { KubernetesDeps } from "./kubernetes.ts";
import { type Connection, createConnection } from "./kubernetes-connection.ts";
import { type ListPage, readListPage, readStatus } from "./kubernetes-json.ts";
import {
  type ApiAnswer,
  type ApiCall,
  createPlatformApi,
  type PlatformApi,
  type PlatformFetch,
  type Refusal,
  type Urgency,
} from "./platform-api.ts";
import { quoteOf } from "./platform-quote.ts";
import { ProviderError } from "./provider.ts";

/** A list of all objects of one kind. */
export interface ListOrder {
  /** For people; completes "could not …". */
  readonly what: string;
  readonly path: string;
  /** Besides the paging: `labelSelector=…`; left out: none. */
  readonly query?: string;
  readonly urgency: Urgency;
  readonly signal: AbortSignal;
}

/** A whole list, and the moment that it is a picture of. */
export type WholeList = Pick<ListPage, "items" | "resourceVersion">;

/** Made by `createKubernetesApi`. */
export interface KubernetesApi {
  readonly connection: Connection;
  /** Aborted by `close`; its reason is a ProviderError. */
  readonly closing: AbortSignal;
  /** As the provider was given it, with the TLS of the cluster. */
  readonly fetch: PlatformFetch;
  /** One call. @throws ProviderError as `PlatformApi.send`; `auth` when there is nothing to call with */
  send(call: ApiCall): Promise<ApiAnswer>;
  /** Follows all pages, and begins again when the cluster has forgotten where it was. */
  list(order: ListOrder): Promise<WholeList>;
  /** Safe to repeat. */
  close(): void;
}

/**
 * 50 calls a second, 100 at once: as many as the scheduler and each node make by default. client-go's own 5 and 10 are
 * from before clusters had fair queues (API Priority and Fairness), and would make twenty visitors wait 14 s: a wake
 * is four calls. Controllers of the cluster, with 20 and 30, have nobody who waits. It only counts in such a rush, as
 * apps at rest are watched; the 20 at the same time are a small part of what the cluster lets service accounts have.
 * Source: client-go, `rest.DefaultQPS`; KubeletConfiguration, `kubeAPIQPS`; KubeSchedulerConfiguration,
 * `clientConnection`; kube-controller-manager, `--kube-api-qps`.
 */
const BUDGET = { burst: 100, perMinute: 3_000, inFlightMax: 20 } as const;
/** After a 429 that says nothing about it, ms. Source: kubernetes#117734. */
const LIMITED_MS = 1_000;
/** Objects per page. */
const PAGE_ITEMS = 250;
const PAGES_MAX = 2_000;
/** How often a list is begun anew, the last time in one piece. */
const LIST_TRIES_MAX = 3;

/** Nothing is read or sent before the first call. */
export function createKubernetesApi(deps: KubernetesDeps): KubernetesApi {
  const { config, clock, log } = deps;
  const connection = createConnection({ api: config.api, clock, log });
  // The credentials are asked for right before each attempt, and read the certificates as well.
  const fetch: PlatformFetch = (url, init) => deps.fetch(url, { ...init, ...wayOf(connection) });
  const closing = new AbortController();
  let api: PlatformApi | null = null;
  async function open(): Promise<PlatformApi> {
    const { baseUrl } = await connection.access();
    api ??= createPlatformApi({
      ...deps,
      provider: "kubernetes",
      baseUrl,
      credentials: connection,
      budget: BUDGET,
      understand,
      fetch,
    });
    if (closing.signal.aborted) api.close();
    return api;
  }
  async function send(call: ApiCall): Promise<ApiAnswer> {
    throwIfAborted(call.signal, call.what);
    const opened = api ?? (await unlessAborted(open(), call.signal, call.what));
    return await opened.send(call);
  }
  return {
    connection,
    closing: closing.signal,
    fetch,
    send,
    list: (order) => listAll(send, order),
    close() {
      const why = "Paastis no longer calls this platform: it is shutting down";
      closing.abort(new ProviderError("failed", why));
      api?.close();
    },
  };
}

/** How the runtime gets there. */
function wayOf({ latest }: Connection): Pick<BunFetchRequestInit, "tls" | "proxy"> {
  if (latest === null) return {};
  const { tls, proxy } = latest;
  return proxy === null ? { tls } : { tls, proxy };
}

async function listAll(send: KubernetesApi["send"], order: ListOrder): Promise<WholeList> {
  for (let tries = 1; tries <= LIST_TRIES_MAX; tries += 1) {
    const list = await listOnce(send, order, tries === LIST_TRIES_MAX ? null : PAGE_ITEMS);
    if (list !== null) return list;
  }
  const why = "it forgets where the list was, again and again";
  throw new ProviderError("unavailable", `could not ${order.what}: ${why}`);
}

/** @returns `null` when the cluster has forgotten where it was: the pages belong to one moment, and that is gone */
async function listOnce(
  send: KubernetesApi["send"],
  order: ListOrder,
  pageItems: number | null,
): Promise<WholeList | null> {
  const { what, urgency, signal, path, query } = order;
  const items: unknown[] = [];
  let version: string | null = null;
  let next = "";
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const parts = [
      query ?? "",
      pageItems === null ? "" : `limit=${pageItems}`,
      next === "" ? "" : `continue=${encodeURIComponent(next)}`,
    ];
    const suffix = parts.filter(Boolean).join("&");
    const address = suffix === "" ? path : `${path}?${suffix}`;
    const answer = await send({ what, method: "GET", path: address, urgency, signal });
    if (answer.status === GONE) return null;
    const read = pageIn(answer, what);
    items.push(...read.items);
    // All pages show the moment of the first.
    version ??= read.resourceVersion;
    if (read.next === "") return { items, resourceVersion: version };
    next = read.next;
  }
  throw new ProviderError("protocol", `could not ${what}: the list has no end`);
}

/** @throws ProviderError `protocol` that says which list it was to be */
function pageIn({ body }: ApiAnswer, what: string): ReturnType<typeof readListPage> {
  try {
    return readListPage(body);
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    throw new ProviderError(error.kind, `could not ${what}: ${error.message}`, { cause: error });
  }
}

const GONE = 410;

/** What the cluster's refusals mean where that is not the usual. */
export function understand(
  answer: ApiAnswer & { readonly call: ApiCall },
): Refusal | "done" | null {
  const { status, body, call } = answer;
  const { message, retryAfterMs } = readStatus(body);
  // A list that has to be begun anew; who lists sees the status.
  if (status === GONE && call.method === "GET") return "done";
  if (status === 401) {
    const why = `the cluster does not accept the credentials (status 401 ${quoteOf(body)})`;
    return { kind: "auth", message: why };
  }
  if (status === 403) {
    const why = lackOf(message) ?? `the cluster does not allow it (status 403 ${quoteOf(body)})`;
    return { kind: "forbidden", message: why };
  }
  if (status === 429) {
    const pauseMs = retryAfterMs ?? secondsOf(answer.header("retry-after")) ?? LIMITED_MS;
    const text = "the cluster's API has too many calls to answer (status 429)";
    return { kind: "rate-limited", message: text, retryAfterMs: pauseMs };
  }
  if (status >= 500 && retryAfterMs !== null) {
    const text = `the cluster answered status ${status} ${quoteOf(body)}`;
    return { kind: "unavailable", message: text, retryAfterMs };
  }
  return null;
}

function secondsOf(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header.trim()) ? Number(header) * 1000 : null;
}

/** Source: `apiserver`, `pkg/endpoints/handlers/responsewriters`, forbidden messages. */
const FORBIDDEN =
  /User "([^"]*)" cannot (\w+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?/;

/** What a Role has to say for what the cluster has refused; `null`: it does not say what it was. Pure. */
export function lackOf(message: string): string | null {
  const [, user, verb, resource, group = "", namespace] = FORBIDDEN.exec(message) ?? [];
  if (user === undefined) return null;
  const rule = `apiGroups: ["${group}"], resources: ["${resource}"], verbs: ["${verb}"]`;
  const where = namespace === undefined ? "its ClusterRole" : `its Role in ${namespace}`;
  return `${user} may not ${verb} ${resource}: ${where} needs the rule { ${rule} }`;
}
