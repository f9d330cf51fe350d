/** Versions of apps on ports of this machine, under the virtual clock: they crash, come back, fall ill, and are looked at. */

import type { Clock } from "../../src/clock.ts";
import type { GateSettings } from "../../src/switch-gate.ts";

/** What a version says when it is asked how it is. */
export type Health = "good" | "bad" | "silent" | "flapping";

/** One version of an app. */
export interface Version {
  readonly port: number;
  readonly address: string;
  isUp: boolean;
  health: Health;
  /** Status of its answers to requests. */
  status: number;
  /** When it last said that it is healthy, ms since the epoch. */
  healthyAtMs: number;
}

export interface Versions {
  readonly all: readonly Version[];
  /** The one that was started last; `null`: none was. */
  newest: Version | null;
  at(origin: string): Version | null;
  /** Whether requests get an answer there. */
  answers(origin: string): boolean;
  /** What looks at versions go through. */
  readonly fetch: typeof fetch;
}

/** Time that a look takes, ms. */
const LOOK_MS = 20;

/** @param ports one version on each */
export function createVersions(clock: Clock, ports: readonly number[]): Versions {
  const all = ports.map((port): Version => {
    const address = `http://127.0.0.1:${port}`;
    return { port, address, isUp: true, health: "good", status: 200, healthyAtMs: 0 };
  });
  let looks = 0;
  const at = (origin: string) => all.find(({ address }) => address === origin) ?? null;
  function look(url: string | URL | Request, init?: RequestInit): Promise<Response> {
    const version = at(new URL(String(url)).origin);
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const signal = init?.signal ?? null;
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    const cancel = clock.after(LOOK_MS, () => {
      if (version === null || !version.isUp) return reject(refused());
      looks += 1;
      const isGood =
        version.health === "good" || (version.health === "flapping" && looks % 2 === 0);
      if (version.health === "silent") return;
      if (isGood) version.healthyAtMs = clock.now();
      resolve(new Response(null, { status: isGood ? 200 : 503 }));
    });
    void promise.catch(() => undefined).finally(cancel);
    return promise;
  }
  return {
    all,
    newest: null,
    at,
    answers: (origin) => at(origin)?.isUp === true,
    fetch: Object.assign(look, { preconnect: () => undefined }),
  };
}

function refused(): Error {
  return Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
}

/** How a version must answer. */
export const GATE: GateSettings = {
  path: "/health",
  method: "GET",
  host: null,
  statuses: [[200, 299]],
  successes: 1,
  timeoutMs: 1000,
};
