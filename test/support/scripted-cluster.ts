/** A cluster's API that answers as a test tells it to, request by request; watches stay open until they are ended. */

import type { Clock } from "../../src/clock.ts";
import { createSystemClock } from "../../src/clock.ts";
import type { KubernetesConfig } from "../../src/config.ts";
import type { KubernetesDeps } from "../../src/providers/kubernetes.ts";
import { createKubernetesApi, type KubernetesApi } from "../../src/providers/kubernetes-api.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** One watch that is open. */
export interface OpenWatch {
  /** Path and query. */
  readonly path: string;
  readonly isOpen: boolean;
  /** Sends one line. */
  send(event: object): void;
  /** Sends the line as it is, without an end of line. */
  sendText(text: string): void;
  /** Ends it as the cluster does after a while. */
  end(): void;
}

/** A request as it came. */
export interface SeenCall {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly authorization: string | null;
  readonly body: string;
}

export interface ScriptedCluster extends AsyncDisposable {
  readonly origin: string;
  readonly calls: readonly SeenCall[];
  readonly watches: readonly OpenWatch[];
  /** What is answered; `null`: a watch is opened. */
  answer: (call: SeenCall) => Response | Promise<Response> | null;
  /** Waits for the next watch that is open, and takes it. */
  nextWatch(): Promise<OpenWatch>;
}

/** A refusal as the cluster words it. */
export function statusAnswer(code: number, more: object = {}, headers: object = {}): Response {
  const body = { kind: "Status", apiVersion: "v1", status: "Failure", code, ...more };
  return Response.json(body, { status: code, headers: { ...headers } });
}

/** A list as the cluster words it. */
export function listAnswer(items: readonly object[], version: string, next = ""): Response {
  const metadata = { resourceVersion: version, continue: next };
  return Response.json({ kind: "List", metadata, items });
}

/** Watches are opened, and everything else is an empty list, until the test says otherwise. */
export function startScriptedCluster(): ScriptedCluster {
  const calls: SeenCall[] = [];
  const watches: OpenWatch[] = [];
  let taken = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const call: SeenCall = {
        method: request.method,
        path: pathname + search,
        authorization: request.headers.get("authorization"),
        body: await request.text(),
      };
      calls.push(call);
      const answer = cluster.answer(call);
      if (answer !== null) return await answer;
      return openWatch(call.path, request.signal, watches);
    },
  });
  const cluster: ScriptedCluster = {
    origin: `http://127.0.0.1:${server.port}`,
    calls,
    watches,
    answer: ({ path }) => (path.includes("watch=1") ? null : listAnswer([], "1")),
    async nextWatch() {
      await until(() => watches.length > taken);
      const watch = watches[taken];
      taken += 1;
      if (watch === undefined) throw new Error("there is no watch");
      return watch;
    },
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };
  return cluster;
}

function openWatch(path: string, signal: AbortSignal, watches: OpenWatch[]): Response {
  let isOpen = true;
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      const close = () => {
        if (isOpen) controller.close();
        isOpen = false;
      };
      signal.addEventListener("abort", close, { once: true });
      const sendText = (text: string) => {
        if (isOpen) controller.enqueue(encoder.encode(text));
      };
      // The head of an answer goes out with its first byte only.
      sendText("\n");
      watches.push({
        path,
        get isOpen() {
          return isOpen;
        },
        send: (event) => sendText(`${JSON.stringify(event)}\n`),
        sendText,
        end: close,
      });
    },
  });
  return new Response(stream, { headers: { "content-type": "application/json" } });
}

/** What the provider is made of, in front of a scripted cluster. */
export interface ClusterClient extends AsyncDisposable {
  readonly deps: KubernetesDeps;
  readonly api: KubernetesApi;
  readonly lines: readonly LogLine[];
  /** Of the kubeconfig that is read. */
  readonly file: string;
}

/** A client whose kubeconfig names the cluster, one namespace `preview`, and the token `first-token`. */
export async function clientOf(
  cluster: Pick<ScriptedCluster, "origin">,
  options: { readonly clock?: Clock; readonly config?: Partial<KubernetesConfig> } = {},
): Promise<ClusterClient> {
  const dir = tempDir();
  const file = `${dir.path}/config`;
  await Bun.write(file, kubeconfigOf(cluster.origin, "first-token"));
  const { log, lines } = recordingLog();
  const deps: KubernetesDeps = {
    config: {
      api: { kind: "kubeconfig", file, context: null },
      namespaces: null,
      clusterDomain: "cluster.local",
      reach: "dns",
      ...options.config,
    },
    clock: options.clock ?? createSystemClock(),
    random: () => 0,
    log,
    fetch,
  };
  const api = createKubernetesApi(deps);
  return {
    deps,
    api,
    lines,
    file,
    async [Symbol.asyncDispose]() {
      api.close();
      dir[Symbol.dispose]();
    },
  };
}

/** The text of a kubeconfig. */
export function kubeconfigOf(origin: string, token: string): string {
  return JSON.stringify({
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace: "preview" } }],
    clusters: [{ name: "test", cluster: { server: origin } }],
    users: [{ name: "test", user: { token } }],
  });
}
