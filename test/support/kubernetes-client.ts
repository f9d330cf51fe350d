/** A plain client of the fake cluster's API, for tests of the fake. */

import type { FakeKubernetes } from "../fakes/fake-kubernetes.ts";
import {
  CLIENT_CERTIFICATE,
  CLIENT_KEY,
  CLUSTER_CA,
} from "../fakes/fake-kubernetes-certificates.ts";
import { until } from "./until.ts";

/** What was answered. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed where it is JSON, else text. */
  readonly body: unknown;
}

/** Who calls, and with what. */
export interface CallOptions {
  readonly method?: string;
  readonly body?: unknown;
  /** Of the body; left out: a merge patch for PATCH, else JSON. */
  readonly type?: string;
  readonly accept?: string;
  /** Default: the fake's token. */
  readonly as?: "certificate" | "nobody" | "proxy" | { readonly token: string };
}

/** Makes one call, over a connection of its own. */
export async function callCluster(
  fake: FakeKubernetes,
  path: string,
  options: CallOptions = {},
): Promise<Answered> {
  const response = await send(fake, path, options);
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") === true;
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  };
}

function send(
  fake: FakeKubernetes,
  path: string,
  options: CallOptions,
  signal?: AbortSignal,
): Promise<Response> {
  const { method = "GET", body, as = { token: fake.token }, accept } = options;
  const type = options.type ?? (method === "PATCH" ? MERGE_PATCH : "application/json");
  const headers: Record<string, string> = {
    ...(body !== undefined && { "content-type": type }),
    ...(typeof as === "object" && { authorization: `Bearer ${as.token}` }),
    ...(accept !== undefined && { accept }),
  };
  const keys = as === "certificate" ? { cert: CLIENT_CERTIFICATE, key: CLIENT_KEY } : {};
  return fetch((as === "proxy" ? fake.proxyUrl : fake.url) + path, {
    method,
    headers,
    keepalive: false,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(signal && { signal }),
    ...(as !== "proxy" && { tls: { ca: CLUSTER_CA, ...keys } }),
  });
}

export const MERGE_PATCH = "application/merge-patch+json";

/** One event of a watch. */
export interface WatchEvent {
  readonly type: string;
  readonly object: {
    readonly kind?: string;
    readonly code?: number;
    readonly metadata: { readonly name?: string; readonly resourceVersion?: string };
    readonly [field: string]: unknown;
  };
}

/** An open watch. */
export interface OpenWatch extends Disposable {
  readonly status: number;
  /** Those that came so far. */
  readonly events: readonly WatchEvent[];
  /** Pieces that came so far. */
  readonly pieces: number;
  /** How it ended; `null`: it has not. */
  readonly end: "properly" | "broken" | null;
  /** Waits until so many events have come. */
  has(events: number): Promise<void>;
}

/** @param path with its query, but for `watch` */
export async function watchCluster(
  fake: FakeKubernetes,
  path: string,
  options: CallOptions = {},
): Promise<OpenWatch> {
  const controller = new AbortController();
  const url = `${path}${path.includes("?") ? "&" : "?"}watch=1`;
  const response = await send(fake, url, options, controller.signal);
  const events: WatchEvent[] = [];
  const state: { pieces: number; end: OpenWatch["end"] } = { pieces: 0, end: null };
  const reading = read(response, events, () => {
    state.pieces += 1;
  });
  reading.then(
    () => {
      state.end = "properly";
    },
    () => {
      state.end = "broken";
    },
  );
  return {
    status: response.status,
    events,
    get pieces() {
      return state.pieces;
    },
    get end() {
      return state.end;
    },
    has: (count) => until(() => events.length >= count),
    [Symbol.dispose]: () => controller.abort(),
  };
}

async function read(response: Response, events: WatchEvent[], onPiece: () => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of response.body ?? []) {
    onPiece();
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) events.push(JSON.parse(line));
  }
}
