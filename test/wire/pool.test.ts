/** How many connections to a target there are, who gets one, and how long one is kept. */

import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createServer as createNetServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { targetOf } from "../../src/app.ts";
import type { UpstreamConfig } from "../../src/config.ts";
import { CERTIFICATE, PRIVATE_KEY } from "../support/certificate.ts";
import { startDeafListener } from "../support/deaf-listener.ts";
import type { EngineScript } from "../support/engine-under-test.ts";
import { connectRaw, exchangeRaw, type RawClient } from "../support/raw-client.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";
import { CLIENT_KEY, upgradeAnswer, upgradeRequest } from "../support/websocket-frames.ts";

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;

/** An engine in front of an origin, and clients that come one after the other. */
function startAt(origin: string, upstream: Partial<UpstreamConfig>, script: EngineScript = {}) {
  const proxy = startSocketEngine(origin, { ...script, engine: { upstream } });
  const clients: RawClient[] = [];
  return {
    proxy,
    /** A new client's request; resolves when the engine has it. */
    async ask(request: string): Promise<RawClient> {
      const before = proxy.handler.heads.length;
      const client = await connectRaw(proxy.port);
      clients.push(client);
      client.send(request);
      await until(() => proxy.handler.heads.length > before);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client[Symbol.dispose]();
      await proxy.engine.stop(0);
    },
  };
}

/** The same with an app that answers only when it is told to. */
async function start(upstreamConfig: Partial<UpstreamConfig>) {
  const upstream = await startScriptedUpstream(() => undefined);
  const world = startAt(upstream.origin, upstreamConfig);
  return {
    ...world,
    upstream,
    targets: () => upstream.requests.map(({ target }) => target),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      upstream[Symbol.dispose]();
    },
  };
}

describe("socket: connections to one target", () => {
  test("pool: who comes when all are in use waits, and is served in the order of coming", async () => {
    await using world = await start({ socketsMax: 2 });
    const { upstream } = world;
    const clients: RawClient[] = [];
    for (let at = 0; at < 6; at += 1) clients.push(await world.ask(get(`/${at}`)));
    await upstream.request(1);
    for (let at = 0; at < 6; at += 1) {
      const waiting = [`/${at}`, `/${at + 1}`];
      const request = await upstream.request(at);
      expect(waiting).toContain(request.target);
      expect(upstream.requests.length).toBeLessThanOrEqual(at + 2);
      request.reply(request.target);
    }
    for (const [at, client] of clients.entries()) {
      expect((await client.answer()).body).toBe(`/${at}`);
    }
    expect(world.targets().slice(2)).toEqual(["/2", "/3", "/4", "/5"]);
    expect(new Set(upstream.requests.map(({ socket }) => socket)).size).toBe(2);
    expect([world.proxy.handler.leases, world.proxy.handler.doubles]).toEqual([0, 0]);
  });

  test("pool: who leaves gives up its turn or its place at once", async () => {
    await using world = await start({ socketsMax: 1 });
    const first = await world.ask(get("/first"));
    const request = await world.upstream.request();
    const leaver = await world.ask(get("/leaver"));
    await world.ask(get("/third"));
    const fourth = await world.ask(get("/fourth"));
    leaver.reset();
    await until(() => world.proxy.handler.leases === 3);
    // Its request can only be ended with its connection.
    first.reset();
    const third = await world.upstream.request(1);
    expect([request.isGone, third.target]).toEqual([true, "/third"]);
    third.reply("third");
    (await world.upstream.request(2)).reply("fourth");
    expect((await fourth.answer()).body).toBe("fourth");
    expect(world.targets()).toEqual(["/first", "/third", "/fourth"]);
  });

  test("pool: a place becomes free whatever the end of a request is", async () => {
    await using world = await start({ socketsMax: 1 });
    const ends: readonly [bytes: string, expected: string][] = [
      ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "ok"],
      ["SSH-2.0-x\r\n\r\n", "broken"],
      ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", "ok"],
      ["HTTP/1.0 200 OK\r\n\r\nok", "ok"],
      ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"],
    ];
    const clients: RawClient[] = [];
    for (const [at] of ends.entries()) clients.push(await world.ask(get(`/${at}`)));
    for (const [at, [bytes, expected]] of ends.entries()) {
      const request = await world.upstream.request(at);
      request.write(bytes);
      if (bytes.startsWith("HTTP/1.0")) request.end();
      expect((await clients[at]?.answer())?.body).toBe(expected);
    }
    expect(world.proxy.handler.leases).toBe(0);
  });

  test("pool: a queue delays nobody who goes elsewhere", async () => {
    using other = await startScriptedUpstream();
    using slow = await startScriptedUpstream(() => undefined);
    await using world = startAt(
      slow.origin,
      { socketsMax: 1 },
      {
        admit: (head, handler) =>
          handler.exchange(head, targetOf(head.target === "/" ? slow.origin : other.origin)),
      },
    );
    for (let at = 0; at < 20; at += 1) await world.ask(get("/"));
    expect((await (await world.ask(get("/other"))).answer()).body).toBe("hello");
    expect([slow.requests.length, slow.open]).toEqual([1, 1]);
  });

  test("pool: a WebSocket does not count from the moment it is accepted, nor when it ends", async () => {
    await using world = await start({ socketsMax: 1 });
    const { upstream } = world;
    const socket = await world.ask(upgradeRequest("/socket"));
    const upgrade = await upstream.request();
    await world.ask(get("/1"));
    expect(upstream.requests.length).toBe(1);
    upgrade.write(upgradeAnswer(CLIENT_KEY));
    const held = await upstream.request(1);
    socket.reset();
    await until(() => upgrade.isGone);
    // Would its end count again, the next ones would not have to wait.
    await world.ask(get("/2"));
    await world.ask(get("/3"));
    held.reply("1");
    (await upstream.request(2)).reply("2");
    await upstream.request(3);
    expect(world.targets()).toEqual(["/socket", "/1", "/2", "/3"]);
    expect(new Set(upstream.requests.slice(1).map((request) => request.socket)).size).toBe(1);
  });

  test("pool: a request that is sent anew keeps its turn, and nothing idle is in its way", async () => {
    await using world = await start({ socketsMax: 2 });
    const { upstream } = world;
    const warmUp = [await world.ask(get("/a")), await world.ask(get("/b"))];
    (await upstream.request(1)).reply("b");
    upstream.requests[0]?.reply("a");
    for (const client of warmUp) await client.answer();
    expect(upstream.open).toBe(2);
    // Both are idle. This one's connection dies under it.
    const retried = await world.ask(get("/retried"));
    (await upstream.request(2)).reset();
    const again = await upstream.request(3);
    expect(again.target).toBe("/retried");
    await until(() => upstream.open <= 2);
    again.reply("at last");
    expect((await retried.answer()).body).toBe("at last");
  });

  test("pool: a request that wants a new connection is not stopped by an idle one", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    const decisions: (() => void)[] = [];
    await using world = startAt(
      upstream.origin,
      { socketsMax: 1, keepAliveMs: 60_000 },
      {
        failed: (_failure, exchange) => {
          const { admission, decide } = world.proxy.handler.hold();
          decisions.push(() => decide(world.proxy.handler.exchange(exchange.head)));
          return admission;
        },
      },
    );
    const answered = async (at: number, client: RawClient) => {
      (await upstream.request(at)).reply(`answer ${at}`);
      expect((await client.answer()).body).toBe(`answer ${at}`);
    };
    await answered(0, await world.ask(get("/warm-up")));
    const unlucky = await world.ask(get("/unlucky"));
    (await upstream.request(1)).reset();
    (await upstream.request(2)).reset();
    await until(() => decisions.length === 1);
    await answered(3, await world.ask(get("/other")));
    decisions[0]?.();
    await answered(4, unlucky);
    await until(() => upstream.open === 1);
  });
});

describe("socket: attempts to connect", () => {
  test("pool: an attempt that fails is nobody else's failure, and nobody hangs", async () => {
    const gone = await startScriptedUpstream();
    gone[Symbol.dispose]();
    await using world = startAt(gone.origin, { socketsMax: 1 });
    const clients = await Promise.all(
      Array.from({ length: 10 }, () => connectRaw(world.proxy.port)),
    );
    for (const client of clients) client.send(get("/"));
    for (const client of clients) {
      expect((await client.answer()).body).toBe("unreachable");
      client[Symbol.dispose]();
    }
    expect(world.proxy.handler.failures.length).toBe(10);
    expect(world.proxy.handler.leases).toBe(0);
  });

  test("pool: attempts that were given up count until the system gives them up, too", async () => {
    using deaf = await startDeafListener();
    await using world = startAt(deaf.origin, { socketsMax: 5, connectTimeoutMs: 100 });
    const before = readdirSync("/proc/self/fd").length;
    for (let round = 0; round < 4; round += 1) {
      const clients = await Promise.all(Array.from({ length: 5 }, () => world.ask(get("/"))));
      for (const client of clients) expect((await client.answer()).body).toBe("unreachable");
      for (const client of clients) client[Symbol.dispose]();
    }
    await until(() => world.proxy.engine.inFlight === 0);
    // Five that hang, and one each round that found out; 20 without the limit.
    expect(readdirSync("/proc/self/fd").length - before).toBeLessThan(5 + 4 + 5);
  });

  test("pool: the limit on connecting begins when a request's turn has come", async () => {
    using deaf = await startDeafListener();
    await using world = startAt(deaf.origin, { socketsMax: 2, connectTimeoutMs: 150 });
    const startMs = performance.now();
    const first = await world.ask(get("/0"));
    const clients = [await world.ask(get("/1")), await world.ask(get("/2"))];
    const tookMs: number[] = [];
    for (const client of clients) {
      expect((await client.answer()).body).toBe("unreachable");
      tookMs.push(performance.now() - startMs);
    }
    expect(tookMs[0]).toBeGreaterThanOrEqual(100);
    expect(tookMs[1]).toBeGreaterThanOrEqual(250);
    expect((await first.answer()).body).toBe("unreachable");
  });

  test("pool: what was begun for a client that left serves who waits", async () => {
    // It takes connections, but no step of TLS before it is told to.
    const tls = createTlsServer({ cert: CERTIFICATE, key: PRIVATE_KEY }, (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (head) => {
        const [, target = ""] = head.toString().split(" ");
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`);
      });
    });
    const accepted: Socket[] = [];
    const server = createNetServer({ pauseOnConnect: true }, (socket) => {
      accepted.push(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("not a TCP server");
    try {
      const origin = `https://localhost:${address.port}`;
      await using world = startAt(origin, { socketsMax: 1 }, { policy: { tlsCa: CERTIFICATE } });
      const leaver = await world.ask(get("/leaver"));
      await until(() => accepted.length === 1);
      const waiting = await world.ask(get("/waiting"));
      leaver.reset();
      await until(() => world.proxy.handler.leases === 1);
      for (const socket of accepted) tls.emit("connection", socket);
      expect((await waiting.answer()).body).toBe("/waiting");
      expect(accepted.length).toBe(1);
    } finally {
      for (const socket of accepted) socket.destroy();
      server.close();
    }
  });

  test("pool: at the stop whoever waits is let go", async () => {
    await using world = await start({ socketsMax: 1 });
    const clients = [await world.ask(get("/1")), await world.ask(get("/2"))];
    await world.upstream.request();
    await world.proxy.engine.stop(0);
    for (const client of clients) await client.until(() => client.isClosed);
    await until(() => world.upstream.open === 0);
    expect([world.proxy.handler.leases, world.proxy.handler.doubles]).toEqual([0, 0]);
    expect(world.targets()).toEqual(["/1"]);
  });
});

describe("socket: keeping connections", () => {
  test("pool: without keep-alive every request has a connection of its own, and says so", async () => {
    using upstream = await startScriptedUpstream();
    await using world = startAt(upstream.origin, { keepAlive: false, socketsMax: 1 });
    const clients = [];
    for (let at = 0; at < 3; at += 1) clients.push(await world.ask(get(`/${at}`)));
    for (const client of clients) {
      const answer = await client.answer();
      expect([answer.body, answer.header("connection")]).toEqual(["hello", null]);
    }
    await until(() => upstream.open === 0);
    expect(new Set(upstream.requests.map(({ socket }) => socket)).size).toBe(3);
    for (const request of upstream.requests) expect(request.all("connection")).toEqual(["close"]);
    await world.ask(upgradeRequest("/socket"));
    expect((await upstream.request(3)).all("connection")).toEqual(["Upgrade"]);
  });

  test("pool: with keep-alive a connection serves many, and is ended when it was idle too long", async () => {
    using upstream = await startScriptedUpstream();
    await using world = startAt(upstream.origin, { keepAliveMs: 1_500 });
    const startMs = performance.now();
    for (let at = 0; at < 3; at += 1) {
      expect((await exchangeRaw(world.proxy.port, get("/"))).body).toBe("hello");
      expect(upstream.open).toBe(1);
    }
    for (const request of upstream.requests) expect(request.all("connection")).toEqual([]);
    expect(new Set(upstream.requests.map(({ socket }) => socket)).size).toBe(1);
    await until(() => upstream.open === 0);
    expect(performance.now() - startMs).toBeGreaterThan(1_400);
  });

  test("pool: the newest of the idle is used, the others get old", async () => {
    await using world = await start({ keepAliveMs: 400 });
    const { upstream, proxy } = world;
    for (const target of ["/a", "/b", "/c"]) await world.ask(get(target));
    await upstream.request(2);
    for (const request of upstream.requests) request.reply("ok");
    await until(() => proxy.handler.leases === 0);
    let at = 3;
    while (upstream.open > 1) {
      const client = await world.ask(get("/again"));
      (await upstream.request(at)).reply("ok");
      expect((await client.answer()).body).toBe("ok");
      at += 1;
    }
    const later = upstream.requests.slice(3).map(({ socket }) => socket);
    expect(new Set(later).size).toBe(1);
  });
});
