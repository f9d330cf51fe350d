/** Load from `wrk`, and whether a contender answers rightly before it gets any. */

import { join } from "node:path";
import { HOST } from "./contenders/contender.ts";
import { LOAD_CORE } from "./machine.ts";

/** How long a contender may take until it answers, ms. */
const READY_MS = 20_000;

/** What one run of wrk counted. */
export interface Load {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** What the answer must be. */
export interface Expected {
  readonly bytes: Uint8Array;
  /** Whether its Content-Length may be missing. A wrong one never passes. */
  readonly mayLoseLength: boolean;
  /** Sent as the body of a POST. */
  readonly upload?: Uint8Array<ArrayBuffer>;
  /** Names the app. */
  readonly host?: string;
}

/**
 * Asks until there is an answer, and compares it with what it must be.
 * @throws Error when none comes in time, or a wrong one
 */
export async function checkAnswer(
  url: string,
  expected: Expected,
  whyEnded: () => string | null = () => null,
): Promise<void> {
  const untilMs = performance.now() + READY_MS;
  for (;;) {
    const answer = await ask(url, expected);
    if (answer.status === 200) return checkBody(url, answer, expected);
    const why = whyEnded();
    if (why !== null) throw new Error(why);
    if (performance.now() > untilMs) {
      throw new Error(`${url}: no answer with 200 within ${READY_MS} ms, last: ${answer.why}`);
    }
    await Bun.sleep(20);
  }
}

interface Asked {
  readonly status: number;
  readonly length: string | null;
  readonly body: Uint8Array;
  readonly why: string;
}

async function ask(url: string, { upload, host = HOST }: Expected): Promise<Asked> {
  try {
    const response = await fetch(url, {
      headers: { host },
      keepalive: false,
      ...(upload === undefined ? {} : { method: "POST", body: upload }),
    });
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
 * Loads a port on the other core, over connections that are kept.
 * @throws Error when wrk fails, or any request did
 */
export async function load(options: {
  readonly port: number;
  readonly path: string;
  readonly seconds: number;
  readonly connections: number;
  /** What `wrk.lua` is told besides, such as `["varied"]`. */
  readonly manner?: readonly string[];
  readonly host?: string;
}): Promise<Load> {
  const { port, path, seconds, connections, manner = [], host = HOST } = options;
  const url = `http://127.0.0.1:${port}${path}`;
  // wrk counts in whole seconds, or in other units that are whole.
  const command = [
    ...["taskset", "-c", String(LOAD_CORE), "wrk", "--threads", "1", "--timeout", "30s"],
    ...["--connections", String(connections), "--duration", `${Math.max(1, Math.round(seconds))}s`],
    ...["--script", join(import.meta.dir, "wrk.lua"), "--header", `Host: ${host}`],
    ...[url, "--", ...manner],
  ];
  const wrk = Bun.spawn(command, { stdin: "ignore" });
  const [said, status] = await Promise.all([wrk.stdout.text(), wrk.exited]);
  const result = /^RESULT (.*)$/m.exec(said)?.[1]?.split(" ").map(Number) ?? [];
  const [requests = 0, micros = 0, broken = 1, refused = 1, p50 = 0, p95 = 0, p99 = 0] = result;
  if (status !== 0 || requests === 0 || broken + refused > 0) {
    throw new Error(`${url}: wrk was not content:\n${said}`);
  }
  return {
    requests,
    seconds: micros / 1e6,
    p50Ms: p50 / 1e3,
    p95Ms: p95 / 1e3,
    p99Ms: p99 / 1e3,
  };
}
