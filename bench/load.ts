/** Load from `wrk`, and whether a contender answers rightly before it gets any. */

import { join } from "node:path";

/** Names the app to Paastis; the others forward whatever they are asked for. */
export const HOST = "bench.example";

/** How long a contender may take until it answers, ms. */
const READY_MS = 10_000;

/** What to ask for, and how. */
export interface Scenario {
  /** As in the report: `1 KB x 100`. */
  readonly name: string;
  readonly path: string;
  readonly connections: number;
  /** No two requests on a connection are alike, nor the answers to them. */
  readonly isVaried: boolean;
}

/** What one run of wrk counted. */
export interface Load {
  readonly requests: number;
  readonly perSecond: number;
}

/** What the answer must be. */
export interface Expected {
  readonly bytes: Uint8Array;
  /** Whether its Content-Length may be missing. A wrong one never passes. */
  readonly mayLoseLength: boolean;
}

/**
 * Asks until there is an answer, and compares it with what it must be.
 * @throws Error when none comes in time, or a wrong one
 */
export async function checkAnswer(
  url: string,
  expected: Expected,
  whyEnded: () => string | null,
): Promise<void> {
  const untilMs = performance.now() + READY_MS;
  for (;;) {
    const answer = await ask(url);
    if (answer.status === 200) return checkBody(url, answer, expected);
    const why = whyEnded();
    if (why !== null) throw new Error(why);
    if (performance.now() > untilMs) {
      throw new Error(`${url}: no answer with 200 within ${READY_MS} ms, last: ${answer.why}`);
    }
    await Bun.sleep(50);
  }
}

interface Asked {
  readonly status: number;
  readonly length: string | null;
  readonly body: Uint8Array;
  readonly why: string;
}

async function ask(url: string): Promise<Asked> {
  try {
    const response = await fetch(url, { headers: { host: HOST }, keepalive: false });
    const { status } = response;
    const length = response.headers.get("content-length");
    return { status, length, body: await response.bytes(), why: String(status) };
  } catch (error) {
    return { status: 0, length: null, body: new Uint8Array(), why: String(error) };
  }
}

function checkBody(url: string, { body, length }: Asked, expected: Expected): void {
  const { bytes, mayLoseLength } = expected;
  const isLost = length === null && mayLoseLength;
  if (!isLost && length !== String(bytes.length)) {
    throw new Error(`${url}: its Content-Length is ${length}, not ${bytes.length}`);
  }
  if (!Bun.deepEquals(new Uint8Array(body), new Uint8Array(bytes))) {
    throw new Error(`${url}: the body is not what the upstream sent`);
  }
}

/**
 * Loads a contender, on one core, over connections that are kept.
 * @throws Error when wrk fails, or any request did
 */
export async function load(
  url: string,
  options: {
    readonly core: number;
    readonly seconds: number;
    readonly connections: number;
    readonly isVaried: boolean;
  },
): Promise<Load> {
  const { core, seconds, connections, isVaried } = options;
  const command = ["taskset", "-c", `${core}`, "wrk", "-t1", `-c${connections}`, `-d${seconds}s`];
  if (isVaried) command.push("-s", join(import.meta.dir, "varied-requests.lua"));
  const wrk = Bun.spawn([...command, "-H", `Host: ${HOST}`, url], { stdin: "ignore" });
  const [said, status] = await Promise.all([wrk.stdout.text(), wrk.exited]);
  const requests = Number(/(\d+) requests in/.exec(said)?.[1]);
  const perSecond = Number(/Requests\/sec:\s*([\d.]+)/.exec(said)?.[1]);
  if (status !== 0 || !(requests > 0) || /Non-2xx|Socket errors/.test(said)) {
    throw new Error(`${url}: wrk was not content:\n${said}`);
  }
  return { requests, perSecond };
}
