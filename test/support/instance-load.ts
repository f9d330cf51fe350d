/** Requests that keep coming to several instances, whatever happens to them. */

import { request } from "node:http";
import type { Instance } from "./instances.ts";

/** One request and what came of it. */
export interface LoadOutcome {
  readonly instance: Instance;
  readonly key: string;
  /** When it was sent, by `performance.now()`. */
  readonly sentMs: number;
  readonly tookMs: number;
  /** `200`, `503 app_failed`, or why there was no answer. */
  readonly what: string;
}

export interface InstanceLoad extends AsyncDisposable {
  readonly outcomes: readonly LoadOutcome[];
  /** All but those with status 200, of one instance or of all: a line for each kind. */
  failures(of?: Instance): readonly string[];
  /** No new requests; resolves when all have come to their end. */
  stop(): Promise<void>;
}

/**
 * Open loop: a request is sent when it is due, answered or not, each on a connection of its own: a kept one may be
 * ended by Paastis just as it is used again.
 * @param options.perSecond of all instances and apps together
 */
export function startInstanceLoad(options: {
  readonly instances: readonly Instance[];
  readonly keys: readonly string[];
  readonly perSecond: number;
}): InstanceLoad {
  const { instances, keys, perSecond } = options;
  const outcomes: LoadOutcome[] = [];
  const underWay = new Set<Promise<void>>();
  const startedMs = performance.now();
  let sent = 0;
  function sendDue(): void {
    const due = Math.floor(((performance.now() - startedMs) / 1_000) * perSecond);
    for (; sent < due; sent += 1) {
      const instance = instances[sent % instances.length];
      const key = keys[Math.floor(sent / instances.length) % keys.length];
      if (instance !== undefined && key !== undefined) send(instance, key);
    }
  }
  function send(instance: Instance, key: string): void {
    const sentMs = performance.now();
    const work = ask(instance.port, key).then((what) => {
      outcomes.push({ instance, key, sentMs, tookMs: performance.now() - sentMs, what });
      underWay.delete(work);
    });
    underWay.add(work);
  }
  const timer = setInterval(sendDue, 5);
  async function stop(): Promise<void> {
    clearInterval(timer);
    while (underWay.size > 0) await Promise.all(underWay);
  }
  return {
    outcomes,
    failures(of) {
      const failed = outcomes.filter(
        ({ instance, what }) => what !== "200" && (of === undefined || of === instance),
      );
      const kinds = Object.groupBy(
        failed,
        (one) => `${one.instance.name}, ${one.key}: ${one.what}`,
      );
      return Object.entries(kinds).map(([kind, those = []]) => `${kind}, ${those.length} times`);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Never rejects. */
function ask(port: number, key: string): Promise<string> {
  return new Promise((resolve) => {
    const headers = { host: `${key}.example` };
    const call = request({ port, host: "127.0.0.1", agent: false, headers });
    call.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    call.on("response", (response) => {
      response.resume();
      response.on("error", (error) => resolve(`broken off: ${error.message}`));
      const code = response.headers["paastis-error"];
      response.on("end", () => resolve([response.statusCode, code].filter(Boolean).join(" ")));
    });
    call.end();
  });
}
