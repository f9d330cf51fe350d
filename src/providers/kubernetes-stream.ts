/** One watch: a request that the cluster answers line by line, a line for each change. */

import { type Clock, deadline } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { type KubernetesApi, lackOf } from "./kubernetes-api.ts";
import { fieldsOf, objectNameOf, readStatus, type Status, textOf } from "./kubernetes-json.ts";
import { retryAfterMsOf } from "./platform-answer.ts";
import { safeText, secretsOf } from "./platform-quote.ts";

/** What a line of a watch says. */
export type WatchEvent =
  | { readonly kind: "changed"; readonly object: unknown; readonly version: string }
  | { readonly kind: "deleted"; readonly object: unknown; readonly version: string }
  /** Nothing changed up to here. */
  | { readonly kind: "bookmark"; readonly version: string };

/** How a watch ended. */
export type WatchEnd =
  /** The cluster ended it, as it does after a while. */
  | { readonly kind: "over" }
  /** What happened since cannot be told any more: everything has to be listed. */
  | { readonly kind: "expired" }
  /** It is not allowed, or there is no such thing. */
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "failed"; readonly why: string; readonly retryAfterMs: number };

/** What is watched, from where on. */
export interface WatchOrder {
  readonly path: string;
  /** Besides what every watch has: `labelSelector=…`; left out: none. */
  readonly query?: string;
  readonly version: string;
  /** How long the cluster is to go on, s. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** The cluster has begun to answer. */
  readonly onOpen?: () => void;
  readonly onEvent: (event: WatchEvent) => void;
}

interface Tools {
  readonly api: Pick<KubernetesApi, "connection" | "fetch">;
  readonly clock: Clock;
}

/** A watch that the cluster should long have ended is given up: nobody is there any more, ms. */
const PATIENCE_MS = 15_000;
/** Longest line, in characters; an object of the cluster has at most 1.5 MiB. Source: etcd, request size limit. */
const LINE_CHARS_MAX = 4 * 1024 * 1024;

/**
 * Watches until the cluster or `signal` ends it; events come in order.
 * @throws the signal's reason when it aborts; nothing else
 */
export async function watchOnce(tools: Tools, order: WatchOrder): Promise<WatchEnd> {
  const { signal } = order;
  signal.throwIfAborted();
  const limit = deadline(tools.clock, order.seconds * 1000 + PATIENCE_MS, {
    reason: new Error("it fell silent"),
    parent: signal,
  });
  const patient = { ...order, signal: limit.signal };
  let secrets: readonly string[] = [];
  try {
    const response = await open(tools, patient, (headers) => {
      secrets = secretsOf(headers);
    });
    if (response.status !== 200) return await refusalOf(response, tools.clock, secrets);
    order.onOpen?.();
    return await readEvents(response, order);
  } catch (error) {
    signal.throwIfAborted();
    return failed(messageOf(limit.signal.aborted ? limit.signal.reason : error), secrets);
  } finally {
    limit.end();
  }
}

/** A token that is refused is read again once. */
async function open(
  { api }: Tools,
  order: WatchOrder,
  onHeaders: (headers: Readonly<Record<string, string>>) => void,
): Promise<Response> {
  const { connection } = api;
  for (let tries = 1; ; tries += 1) {
    const { baseUrl, headers } = await connection.access();
    onHeaders(headers);
    const response = await api.fetch(baseUrl + addressOf(order), {
      headers: { accept: "application/json", "user-agent": "paastis", ...headers },
      redirect: "manual",
      keepalive: false,
      timeout: false,
      signal: order.signal,
    });
    if (response.status !== 401 || tries > 1) return response;
    await response.body?.cancel();
    connection.renew(headers);
  }
}

function addressOf({ path, query, version, seconds }: WatchOrder): string {
  const parts = [
    query ?? "",
    "watch=1",
    `resourceVersion=${encodeURIComponent(version)}`,
    "allowWatchBookmarks=true",
    `timeoutSeconds=${seconds}`,
  ];
  return `${path}?${parts.filter(Boolean).join("&")}`;
}

/** Longest text of a refusal that is read. */
const REFUSAL_CHARS_MAX = 4_000;

async function refusalOf(
  response: Response,
  clock: Clock,
  secrets: readonly string[],
): Promise<WatchEnd> {
  const { status, headers } = response;
  const text = (await response.text()).slice(0, REFUSAL_CHARS_MAX);
  const said = statusIn(text);
  const words = lackOf(said.message) ?? `status ${status} ${said.message}`.trim();
  const why = safeText(words, secrets);
  if (status === 410) return { kind: "expired" };
  if (status === 403 || status === 404) return { kind: "refused", why };
  const headerMs = retryAfterMsOf((name) => headers.get(name), clock.wallMs());
  return { kind: "failed", why, retryAfterMs: said.retryAfterMs ?? headerMs ?? 0 };
}

function statusIn(text: string): Status {
  try {
    return readStatus(JSON.parse(text));
  } catch {
    return readStatus(null);
  }
}

async function readEvents(response: Response, order: WatchOrder): Promise<WatchEnd> {
  const { signal, onEvent } = order;
  for await (const line of linesOf(response)) {
    signal.throwIfAborted();
    const read = readEvent(line);
    if (read.kind === "end") return read.end;
    if (read.kind !== "nothing") onEvent(read);
  }
  return { kind: "over" };
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  if (response.body === null) return;
  for await (const bytes of response.body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_CHARS_MAX) throw new Error("it sent a line without an end");
    yield* lines;
  }
  // A line that was cut off is none: what it told comes again.
}

/**
 * Pure. What a line says.
 * Source: Kubernetes, "API Concepts", efficient detection of changes.
 */
export function readEvent(
  line: string,
): WatchEvent | { readonly kind: "nothing" } | { readonly kind: "end"; readonly end: WatchEnd } {
  if (line.trim() === "") return { kind: "nothing" };
  const { type, object } = fieldsOf(parsed(line));
  const version = objectVersion(object);
  switch (type) {
    case "ADDED":
    case "MODIFIED":
      return { kind: "changed", object, version };
    case "DELETED":
      return { kind: "deleted", object, version };
    case "BOOKMARK":
      return { kind: "bookmark", version };
    case "ERROR":
      return { kind: "end", end: endOf(readStatus(object)) };
    default:
      return textOf(type) === ""
        ? { kind: "end", end: failed("it sent something that is no event", []) }
        : { kind: "nothing" };
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** A bookmark's object has no name. */
function objectVersion(object: unknown): string {
  const { resourceVersion } = fieldsOf(fieldsOf(object).metadata);
  return objectNameOf(object)?.resourceVersion ?? textOf(resourceVersion);
}

function endOf({ code, reason, message, retryAfterMs }: Status): WatchEnd {
  if (code === 410 || reason === "Expired" || reason === "Gone") return { kind: "expired" };
  const why = safeText([reason, message].filter(Boolean).join(": ") || "it does not say why");
  return { kind: "failed", why, retryAfterMs: retryAfterMs ?? 0 };
}

function failed(why: string, secrets: readonly string[]): WatchEnd {
  return { kind: "failed", why: safeText(why, secrets), retryAfterMs: 0 };
}
