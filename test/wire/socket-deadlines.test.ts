/** How long the socket engine waits for what. */

import { describe, expect, test } from "bun:test";
import { connectRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

async function start() {
  const clock = createVirtualClock();
  const upstream = await startRawUpstream();
  const proxy = startSocketEngine(upstream.origin, { engine: { clock } });
  const client = await connectRaw(proxy.port);
  return {
    clock,
    upstream,
    proxy,
    client,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await proxy.engine.stop(0);
      upstream[Symbol.dispose]();
    },
  };
}

describe("socket: deadlines", () => {
  test("wire: a head that is not complete after 6 s is answered with 408", async () => {
    await using world = await start();
    world.client.send(GET.slice(0, 20));
    await world.clock.advance(5_500);
    expect(world.client.received).toBe("");
    // A byte now and then buys no time.
    world.client.send(GET.slice(20, 21));
    await world.clock.advance(2_000);
    expect((await world.client.answer()).status).toBe(408);
    expect(world.proxy.handler.heads).toEqual([]);
  });

  test("wire: a connection without a request is kept for 5 s, before its first one for 60 s", async () => {
    await using world = await start();
    await world.clock.advance(50_000);
    world.client.send(GET);
    (await world.upstream.received(GET.slice(0, 15))).write(OK);
    expect((await world.client.answer()).body).toBe("ok");
    await world.clock.advance(4_500);
    expect(world.client.isClosed).toBe(false);
    await world.clock.advance(1_000);
    await world.client.until(() => world.client.isClosed);
    expect(world.client.isReset).toBe(false);
  });

  test("wire: a connection to a target is kept for 4 s", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.upstream.received(GET.slice(0, 15));
    target.write(OK);
    await world.client.answer();
    await world.clock.advance(3_500);
    expect(target.isClosed).toBe(false);
    await world.clock.advance(1_000);
    await until(() => target.isClosed);
  });

  test("wire: neither a target that thinks nor a stream that is quiet is ended", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.upstream.received(GET.slice(0, 15));
    await world.clock.advance(700_000);
    target.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    await world.client.until(() => world.client.received.includes("data: 1"));
    await world.clock.advance(700_000);
    target.write("data: 2\n\n");
    await world.client.until(() => world.client.received.includes("data: 2"));
  });

  test("wire: an upload that stops for 60 s is answered with 408, and its target hung up on", async () => {
    await using world = await start();
    world.client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf");
    const target = await world.upstream.received("half");
    await world.clock.advance(59_000);
    expect(world.client.received).toBe("");
    await world.clock.advance(1_500);
    expect((await world.client.answer()).status).toBe(408);
    await until(() => target.isClosed);
    expect(world.proxy.handler.leases).toBe(0);
  });

  test("wire: the timer ends with the last connection", async () => {
    await using world = await start();
    world.client.send(GET);
    (await world.upstream.received(GET.slice(0, 15))).write(OK);
    await world.client.answer();
    world.client[Symbol.dispose]();
    await world.clock.advance(10_000);
    expect(world.clock.pending()).toBe(0);
  });

  test("wire: the limits are the settings', and short ones are kept about as exactly", async () => {
    await using proxy = startSocketEngine("http://127.0.0.1:1", {
      engine: { limits: { keepAliveMs: 100, headersTimeoutMs: 300 } },
      admit: () => textAnswer(200, "ok"),
    });
    using idle = await connectRaw(proxy.port);
    const idleMs = performance.now();
    idle.send(GET);
    expect((await idle.answer()).body).toBe("ok");
    using slow = await connectRaw(proxy.port);
    const slowMs = performance.now();
    slow.send(GET.slice(0, 20));
    await idle.until(() => idle.isClosed);
    expect(performance.now() - idleMs).toBeGreaterThan(60);
    expect((await slow.answer()).status).toBe(408);
    expect(performance.now() - slowMs).toBeGreaterThan(200);
    expect(idle.isReset).toBe(false);
  });

  test("wire: who may be idle for longer than 60 s may also come with the first request later", async () => {
    const clock = createVirtualClock();
    await using proxy = startSocketEngine("http://127.0.0.1:1", {
      engine: { clock, limits: { keepAliveMs: 120_000 } },
      admit: () => textAnswer(200, "ok"),
    });
    using client = await connectRaw(proxy.port);
    await clock.advance(119_000);
    client.send(GET);
    expect((await client.answer()).body).toBe("ok");
    await clock.advance(121_000);
    await client.until(() => client.isClosed);
  });
});
