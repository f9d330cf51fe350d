/** Clients that take their time, and how long they are given. */

import { describe, expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { ask, useProxy } from "../support/proxy-under-test.ts";
import type { RawClient } from "../support/raw-client.ts";
import { until } from "../support/until.ts";

const proxy = useProxy();
/** Longer than any proxy under test may take for it, ms. */
const PATIENCE_MS = 9_000;

function isOver(client: RawClient): Promise<void> {
  return until(() => client.isClosed, within(PATIENCE_MS));
}

describe("slow clients", () => {
  test("a head that stays incomplete is answered with 408 or nothing, and reaches nobody", async () => {
    using client = await proxy.connect();
    client.send(ask("GET /").slice(0, -2));
    await isOver(client);
    expect(client.received).toMatch(/^$|^HTTP\/1\.1 408 /);
    expect(proxy.upstream.connections).toHaveLength(0);
  });

  test("a byte of a head now and then buys no time", async () => {
    using client = await proxy.connect();
    client.send(ask("GET /", "X-A: ").slice(0, -4));
    const dripping = setInterval(() => client.send("x"), 100);
    try {
      await isOver(client);
    } finally {
      clearInterval(dripping);
    }
    expect(client.received).toMatch(/^$|^HTTP\/1\.1 408 /);
    expect(proxy.upstream.connections).toHaveLength(0);
  });

  test("100 clients with incomplete heads hold up no other", async () => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => proxy.connect()));
    for (const client of clients) client.send("GET / HTT");
    const begunMs = performance.now();
    expect((await proxy.exchange(ask("GET /"))).status).toBe(200);
    expect(performance.now() - begunMs).toBeLessThan(within(500));
    for (const client of clients) client[Symbol.dispose]();
  });

  test("a connection that is idle after a request is ended without a word", async () => {
    using client = await proxy.connect();
    client.send(ask("GET /"));
    await client.answer();
    const { length } = client.received;
    await isOver(client);
    expect([client.received.length, client.isReset]).toEqual([length, false]);
  });

  test("an app that thinks for longer than heads may take is waited for", async () => {
    proxy.upstream.script(() => undefined);
    using waiting = await proxy.connect();
    waiting.send(ask("GET /"));
    const connection = await proxy.upstream.received("\r\n\r\n");
    // Whoever is slower than that is cut; the one above is not slow, its app is.
    using slow = await proxy.connect();
    slow.send("GET / HTT");
    await isOver(slow);
    expect([waiting.isClosed, connection.isClosed]).toEqual([false, false]);
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await waiting.answer()).status).toBe(200);
  });

  test("a stream that is quiet for longer than heads may take is not ended", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
    );
    using quiet = await proxy.connect();
    quiet.send(ask("GET /"));
    await quiet.until(() => quiet.received.endsWith("1\r\na\r\n"));
    using slow = await proxy.connect();
    slow.send("GET / HTT");
    await isOver(slow);
    proxy.upstream.connections[0]!.write("1\r\nb\r\n0\r\n\r\n");
    const answer = await quiet.answer();
    expect([answer.body, answer.isComplete]).toEqual(["ab", true]);
  });
});
