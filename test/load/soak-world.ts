/** What all clients of a soak share: the program, the apps, who was killed when, and the verdict on outcomes. */

import { readFileSync } from "node:fs";
import type { Chance } from "../support/random.ts";
import type { HttpClient, Outcome } from "./http-client.ts";
import { connectHttp } from "./http-client.ts";
import type { Noise } from "./noise.ts";
import { drawRequest, type LoadRequest } from "./request.ts";
import type { Tally } from "./soak-tally.ts";

/** How long Paastis may say that a killed app is not there: until its next wake, at most. */
const AFTERMATH_MS = 30_000;

/** A request that takes longer hangs: longer than a hold may take. */
export const HANG_MS = 40_000;

/** What is declared: all of `load-app.ts`, treated differently. */
export const APPS = {
  /** Always in use. */
  busy: ["busy-1", "busy-2"],
  /** Used for a moment, then left alone until they sleep, or nearly. */
  napping: ["nap-1", "nap-2", "nap-3"],
  /** In use, and killed now and then. */
  mortal: ["mortal-1", "mortal-2"],
} as const;

export const ALL_APPS: readonly string[] = [...APPS.busy, ...APPS.napping, ...APPS.mortal];

export interface World {
  readonly port: number;
  readonly noise: Noise;
  readonly chance: Chance;
  tally: Tally;
  /** Byte-exact framing, pipelining and half-closed clients cannot be asked of the fetch engine. */
  readonly isExact: boolean;
  /** No new requests. */
  isOver: boolean;
  requests: number;
  /** When each app was killed last, ms. */
  readonly killedMs: Map<string, number>;
  readonly waiting: Set<Waiting>;
}

interface Waiting {
  readonly what: string;
  readonly sinceMs: number;
}

export function connect(world: World, onPiece?: (client: HttpClient) => void): Promise<HttpClient> {
  const { noise, isExact, port } = world;
  return connectHttp(port, {
    noise,
    exact: isExact,
    onStray: (why) => world.tally.fault(`nobody asked for it: ${why}`),
    ...(onPiece === undefined ? {} : { onPiece }),
  });
}

export function isMortal(app: string): boolean {
  return app.startsWith("mortal");
}

export function draw(
  world: World,
  app: string,
  options: { readonly bytesMax?: number; readonly isPlain?: boolean } = {},
): LoadRequest {
  world.requests += 1;
  const { bytesMax = 4_000_000, isPlain = false } = options;
  const appetite = { bytesMax, isPlain, withUntilClose: !isMortal(app) };
  return drawRequest(world.chance, app, world.requests, appetite);
}

/** Follows a request to its end, judges it, and counts it. @returns whether it was answered rightly */
export async function follow(
  world: World,
  client: string,
  request: LoadRequest,
  outcome: Promise<Outcome>,
): Promise<boolean> {
  const sinceMs = performance.now();
  const waiting = {
    what: `${client}: ${request.method} ${request.target} (${request.tag})`,
    sinceMs,
  };
  world.waiting.add(waiting);
  const result = await outcome;
  world.waiting.delete(waiting);
  judge(world, { client, request, sinceMs, what: waiting.what }, result);
  return result.kind === "right";
}

interface Asked {
  readonly client: string;
  readonly request: LoadRequest;
  readonly sinceMs: number;
  readonly what: string;
}

function judge(world: World, { client, request, sinceMs, what }: Asked, outcome: Outcome): unknown {
  const { tally } = world;
  const killedMs = world.killedMs.get(request.app) ?? Number.NEGATIVE_INFINITY;
  switch (outcome.kind) {
    case "right":
      tally.right += 1;
      tally.bytes += outcome.bytes + request.bodyBytes;
      return tally.count(`${client}: right`);
    case "own":
      tally.count(`${client}: ${outcome.status} ${outcome.code}`);
      if ([502, 503, 504].includes(outcome.status) && sinceMs - killedMs < AFTERMATH_MS) return;
      return tally.fault(`${what}: Paastis answered ${outcome.status} ${outcome.code}`);
    case "unserved":
      // It stood behind an answer of Paastis itself, which is judged for itself.
      return tally.count(`${client}: unserved`);
    case "broken":
      tally.count(`${client}: broken off`);
      if (killedMs >= sinceMs) return;
      return tally.fault(`${what}: broken off ${outcome.why}; nobody killed the app`);
    case "wrong":
      return tally.fault(`${what}: ${outcome.why}`);
  }
}

/** Reports what never comes to an end. */
export function reportHanging(world: World): void {
  for (const waiting of world.waiting) {
    if (performance.now() - waiting.sinceMs < HANG_MS) continue;
    world.waiting.delete(waiting);
    world.tally.fault(`${waiting.what}: no end after ${HANG_MS} ms`);
  }
}

/** Kills one mortal app, if it lives; only what is surely ours. */
export async function killOne(world: World): Promise<void> {
  const app = world.chance.oneOf(APPS.mortal);
  const pid = await pidOf(world, app);
  if (pid === null) return;
  world.killedMs.set(app, performance.now());
  try {
    process.kill(pid, "SIGKILL");
    world.tally.count("apps killed");
  } catch {
    world.tally.count("apps that were gone when they were to be killed");
  }
}

/** The process of an app, woken if need be; `null`: it is not there now. */
export async function pidOf(world: World, app: string): Promise<number | null> {
  const answer = await fetch(`http://127.0.0.1:${world.port}/state`, {
    headers: { host: `${app}.example` },
    keepalive: false,
  }).catch(() => null);
  await answer?.text().catch(() => "");
  const pid = Number(answer?.headers.get("x-pid") ?? 0);
  if (pid === 0) return null;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("load-app.ts") ? pid : null;
  } catch {
    return null;
  }
}
