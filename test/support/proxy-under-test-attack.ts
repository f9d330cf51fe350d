/** Sends what could be taken for two requests, and looks at what the app was asked. */

import { expect } from "bun:test";
import { HOST, type ProxyUnderTest } from "./proxy-under-test.ts";
import type { SentRequest } from "./proxy-under-test-reading.ts";
import type { RawClient } from "./raw-client.ts";
import { until } from "./until.ts";

/** What an attack came to. */
export interface Outcome {
  /** Of the first answer; 0: the connection was closed without one. */
  readonly status: number;
  readonly isRefused: boolean;
  /** What the app was asked, complete requests only. */
  readonly requests: readonly SentRequest[];
  /** Everything the client received. */
  readonly received: string;
}

/** A request that must never be served because of bytes that belong to another one. */
export const SMUGGLED = `GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;

/** What a proxy may say to a request that it does not forward. */
const REFUSALS = [400, 404, 405, 408, 411, 413, 414, 417, 421, 431, 501, 505];

/** How long a proxy that waits for more bytes is left waiting before the client ends its side. */
const WAIT_MS = 250;

/**
 * Sends the bytes on a connection of their own and waits for what comes of them: an answer or the
 * end. Whatever it is, what reached the app can be read in one way only.
 */
export async function attack(proxy: ProxyUnderTest, bytes: string): Promise<Outcome> {
  using client = await proxy.connect({ allowHalfOpen: true });
  client.send(bytes);
  const begunMs = performance.now();
  await until(() => hasSettled(client) || performance.now() - begunMs > WAIT_MS);
  client.end();
  await client.until(() => client.isClosed);
  const { upstream } = proxy;
  expect(upstream.ambiguities).toEqual([]);
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(client.received)?.[1] ?? 0);
  return {
    status,
    isRefused: (status === 0 || REFUSALS.includes(status)) && upstream.requests.length === 0,
    requests: upstream.requests,
    received: client.received,
  };
}

/** The connection is over, or the first answer is there. */
function hasSettled({ isClosed, received }: RawClient): boolean {
  if (isClosed) return true;
  const [head = "", ...bodies] = received.split("\r\n\r\n");
  const length = /^content-length: *(\d+)\r?$/im.exec(head)?.[1];
  return length !== undefined && bodies.join("    ").length >= Number(length) && bodies.length > 0;
}

/** Refused, and nothing of it has reached the app as a complete request. */
export async function expectRefused(
  proxy: ProxyUnderTest,
  bytes: string,
  statuses: readonly number[] = REFUSALS,
): Promise<Outcome> {
  const outcome = await attack(proxy, bytes);
  expect(outcome.requests.map(({ method, target }) => `${method} ${target}`)).toEqual([]);
  expect([0, ...statuses]).toContain(outcome.status);
  expect(outcome.received.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0).toBeLessThanOrEqual(1);
  return outcome;
}

/** Refused, or forwarded as one request that can be read in one way only. */
export async function expectAtMostOne(proxy: ProxyUnderTest, bytes: string): Promise<Outcome> {
  const outcome = await attack(proxy, bytes);
  const asked = outcome.requests.map(({ target }) => target);
  expect(asked).not.toContain("/smuggled");
  expect(asked.length).toBeLessThanOrEqual(1);
  if (asked.length === 0) expect(outcome.isRefused).toBe(true);
  return outcome;
}
