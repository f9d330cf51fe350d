/** Questions to a Paastis that runs. */

import type { MeasuredProcess } from "./measured-process.ts";

/** What its admin endpoints are to be started with. */
export const TOKEN = "bench-token-that-nobody-guesses";

const READY_MS = 60_000;

/** Asks an admin endpoint. @throws Error unless it answers with 2xx */
export async function admin(port: number, path: string, method = "GET"): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { "x-admin-token": TOKEN },
    keepalive: false,
  });
  const text = await response.text();
  if (!response.ok)
    throw new Error(`${method} ${path} was answered with ${response.status}: ${text}`);
  return text;
}

/** The sum of a metric over all its labels; 0 if there is none. */
export async function metricsOf(port: number, name: string): Promise<number> {
  const text = await admin(port, "/__metrics?format=prometheus");
  const lines = text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? ([\\d.e+-]+)`, "gm"));
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Waits until it is ready. @returns since the call, ms. @throws Error when it ends, or is not in time */
export async function untilReady(port: number, paastis: MeasuredProcess): Promise<number> {
  const beganMs = performance.now();
  for (;;) {
    const status = await statusOf(`http://127.0.0.1:${port}/__ready`);
    const ms = performance.now() - beganMs;
    if (status === 200) return ms;
    const why = paastis.whyEnded();
    if (why !== null) throw new Error(why);
    if (ms > READY_MS) throw new Error(`Paastis is not ready within ${READY_MS} ms: ${status}`);
    await Bun.sleep(10);
  }
}

async function statusOf(url: string): Promise<number> {
  try {
    return (await fetch(url, { keepalive: false })).status;
  } catch {
    return 0;
  }
}
