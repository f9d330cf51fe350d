/** Clients of the socket engine that have ended their side: who still waits is served, who has left is found out. */

import { describe, expect, test } from "bun:test";
import { connectRaw, type RawClient } from "../support/raw-client.ts";
import { type RawConnection, startRawUpstream } from "../support/raw-upstream.ts";
import type { ScriptedHandler } from "../support/scripted-handler.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EVENTS = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n";
const GET = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const OLD_GET = GET.replace("1.1", "1.0");
const ASKED = "HTTP/1.1 100 Continue\r\n\r\n";

/** Longer than anybody is doubted. */
const LONG_MS = 700_000;

type Admit = NonNullable<Parameters<typeof startSocketEngine>[1]>["admit"];

async function start(admit?: Admit) {
  const clock = createVirtualClock();
  const upstream = await startRawUpstream();
  const script = { engine: { clock }, ...(admit === undefined ? {} : { admit }) };
  const proxy = startSocketEngine(upstream.origin, script);
  const client = await connectRaw(proxy.port, { allowHalfOpen: true });
  return {
    clock,
    upstream,
    proxy,
    client,
    /** What the target got, once it did. */
    asked: () => upstream.received("\r\n\r\n"),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await proxy.engine.stop(0);
      upstream[Symbol.dispose]();
    },
  };
}

type World = Awaited<ReturnType<typeof start>>;

/** Ends the client's side; its end has been seen when this resolves. */
async function halfClose({ client, clock }: World): Promise<void> {
  client.end();
  await until(async () => {
    await clock.advance(250);
    return client.received.includes(ASKED);
  });
}

/** Lets time pass until the request was given up. */
async function untilForgotten({ clock, proxy }: World, target: RawConnection): Promise<void> {
  await until(async () => {
    await clock.advance(100);
    return proxy.handler.leases === 0 && target.isClosed;
  });
}

function leave(client: RawClient): void {
  client[Symbol.dispose]();
}

describe("socket: clients that have ended their side", () => {
  test("wire: one that waits is asked once, and answered whenever the app is done", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.asked();
    await halfClose(world);
    await world.clock.advance(LONG_MS);
    expect([world.proxy.handler.leases, target.isClosed]).toEqual([1, false]);
    target.write(OK);
    await world.client.until(() => world.client.isClosed);
    expect(world.client.received).toBe(ASKED + OK);
    expect(world.client.isReset).toBe(false);
    await until(() => world.proxy.handler.leases === 0);
  });

  test("wire: one that waits for an app to wake is answered however long that takes", async () => {
    let wake = () => {
      // Replaced when the request is admitted.
    };
    await using world = await start((head, handler: ScriptedHandler) => {
      const held = handler.hold();
      wake = () => held.decide(handler.exchange(head));
      return held.admission;
    });
    world.client.send(GET);
    await until(() => world.proxy.handler.heads.length === 1);
    await halfClose(world);
    await world.clock.advance(LONG_MS);
    expect(world.proxy.handler.abandoned).toBe(0);
    wake();
    (await world.asked()).write(OK);
    await world.client.until(() => world.client.isClosed);
    expect(world.client.received).toBe(ASKED + OK);
  });

  test("wire: one that is answered within half a second is not asked", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.asked();
    world.client.end();
    await world.clock.advance(450);
    target.write(OK);
    await world.client.until(() => world.client.isClosed);
    expect(world.client.received).toBe(OK);
  });

  test("wire: one that was sent the beginning of an answer gets its rest, however late", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.asked();
    await halfClose(world);
    target.write(EVENTS);
    await world.client.until(() => world.client.received.endsWith(EVENTS));
    await world.clock.advance(LONG_MS);
    target.write("x".repeat(99));
    await world.client.until(() => world.client.isClosed);
    expect(world.client.received).toBe(`${ASKED}${EVENTS}${"x".repeat(99)}`);
  });

  test("wire: one that reads slowly gets the whole answer", async () => {
    await using world = await start();
    const { client } = world;
    const size = 20_000_000;
    client.send(GET);
    client.end();
    const target = await world.asked();
    target.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    await client.until(() => client.received.includes("\r\n\r\n"));
    client.pause();
    target.write(Buffer.alloc(size, "x"));
    await world.clock.advance(5_000);
    client.resume();
    await client.until(() => client.isClosed || client.received.length > size);
    expect(client.received.length).toBeGreaterThan(size);
  });

  test("wire: one that speaks HTTP/1.0 cannot be asked, and is served for two seconds", async () => {
    await using world = await start();
    world.client.send(OLD_GET);
    const target = await world.asked();
    world.client.end();
    await world.clock.advance(1_900);
    expect([world.proxy.handler.leases, target.isClosed]).toEqual([1, false]);
    await untilForgotten(world, target);
    expect(world.client.received).toBe("");
  });
});

describe("socket: clients that have left", () => {
  test("wire: while the app thinks: it is found out by asking", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.asked();
    leave(world.client);
    await untilForgotten(world, target);
  });

  test("wire: in the middle of a silent answer: it gets two seconds", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.asked();
    target.write(EVENTS);
    await world.client.until(() => world.client.received === EVENTS);
    leave(world.client);
    await world.clock.advance(1_900);
    expect([world.proxy.handler.leases, target.isClosed]).toEqual([1, false]);
    await untilForgotten(world, target);
  });

  test("wire: after it was asked and still there: the rest of its answer finds it out", async () => {
    await using world = await start();
    world.client.send(GET);
    const target = await world.asked();
    await halfClose(world);
    leave(world.client);
    target.write(EVENTS);
    await until(() => world.proxy.handler.leases === 0 && target.isClosed);
  });
});
