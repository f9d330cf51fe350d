/** What becomes of requests, streams and sockets of the old target after a switch; with real connections. */

import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Engine, EngineOptions } from "../src/engines/engine.ts";
import { createFetchEngine } from "../src/engines/fetch.ts";
import { createSocketEngine } from "../src/engines/socket.ts";
import type { SwitchPolicy } from "../src/switch-policy.ts";
import { within } from "./support/pace.ts";
import { connectRaw } from "./support/raw-client.ts";
import { type SwitchProxy, startSwitchProxy } from "./support/switch-proxy.ts";
import { type SwitchTarget, startTarget } from "./support/switch-targets.ts";
import { until } from "./support/until.ts";
import { upgradeRequest } from "./support/websocket-frames.ts";

const ENGINES = [
  { name: "fetch", createEngine: createFetchEngine },
  { name: "socket", createEngine: createSocketEngine },
] as const;

async function twoVersions(
  policy: Partial<SwitchPolicy>,
  createEngine: (options: EngineOptions) => Engine = createSocketEngine,
) {
  const old = startTarget("old");
  const next = startTarget("next");
  const proxy = await startSwitchProxy({ port: old.port, policy, createEngine });
  return {
    old,
    next,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await old[Symbol.asyncDispose]();
      await next[Symbol.asyncDispose]();
    },
  };
}

async function switchTo(proxy: SwitchProxy, target: SwitchTarget): Promise<void> {
  const answer = await proxy.admin(`/__switch?port=${target.port}`, { method: "POST" });
  expect(answer.status).toBe(200);
}

/** A WebSocket that is open, and how it closes. */
async function openSocket(proxy: SwitchProxy) {
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/`);
  const closed = Promise.withResolvers<{ readonly code: number; readonly atMs: number }>();
  socket.onclose = ({ code }) => closed.resolve({ code, atMs: performance.now() });
  const opened = Promise.withResolvers<void>();
  socket.onopen = () => opened.resolve();
  await opened.promise;
  return { socket, closed: closed.promise };
}

test("drain: requests under way end on the old target, and new ones go to the new one at once", async () => {
  await using world = await twoVersions({ drainMs: 2000 });
  const { old, next, proxy } = world;
  const slow = fetch(`${proxy.origin}/slow?ms=300`);
  await until(() => old.requests === 1);
  await switchTo(proxy, next);
  expect(await (await fetch(proxy.origin)).text()).toBe("next");
  expect(await (await slow).text()).toBe("old");
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
  expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ closed: 0, cut: 0 });
});

test("drain: immediate closes every WebSocket with 1012 at once", async () => {
  await using world = await twoVersions({ drain: "immediate", drainMs: 60_000 });
  const { next, proxy } = world;
  const sockets = await Promise.all(Array.from({ length: 5 }, () => openSocket(proxy)));
  await switchTo(proxy, next);
  for (const { closed } of sockets) expect((await closed).code).toBe(1012);
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
  expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ closed: 5, cut: 0 });
  await until(() => proxy.app.leases === 0);
});

test("drain: spread closes WebSockets one after the other over the drain time", async () => {
  await using world = await twoVersions({ drain: "spread", drainMs: 1500 });
  const { next, proxy } = world;
  const sockets = await Promise.all(Array.from({ length: 12 }, () => openSocket(proxy)));
  const beganMs = performance.now();
  await switchTo(proxy, next);
  const ends = await Promise.all(sockets.map(({ closed }) => closed));
  expect(ends.map(({ code }) => code)).toEqual(Array(12).fill(1012));
  const times = ends.map(({ atMs }) => atMs - beganMs).sort((a, b) => a - b);
  const [first = 0] = times;
  expect(first).toBeLessThan(within(1000));
  expect((times.at(-1) ?? 0) - first).toBeGreaterThan(400);
  // All have been asked before the limit: none was cut.
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
  expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ closed: 12, cut: 0 });
});

describe.each(ENGINES)("$name: at the limit", ({ createEngine }) => {
  test("drain: keep leaves WebSockets alone until the drain time is over, then closes them with 1012", async () => {
    await using world = await twoVersions({ drain: "keep", drainMs: 1500 }, createEngine);
    const { next, proxy } = world;
    const { socket, closed } = await openSocket(proxy);
    const beganMs = performance.now();
    await switchTo(proxy, next);
    const heard = Promise.withResolvers<string>();
    socket.onmessage = ({ data }) => heard.resolve(String(data));
    socket.send("hello");
    expect(await heard.promise).toBe("old hello");
    const { code, atMs } = await closed;
    expect(code).toBe(1012);
    expect(atMs - beganMs).toBeGreaterThan(1400);
    await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
    expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ closed: 1, cut: 0 });
    await until(() => proxy.app.leases === 0);
  });

  test("drain: spread without any time still asks every WebSocket", async () => {
    await using world = await twoVersions({ drain: "spread", drainMs: 0 }, createEngine);
    const { next, proxy } = world;
    const sockets = await Promise.all(Array.from({ length: 12 }, () => openSocket(proxy)));
    await switchTo(proxy, next);
    for (const { closed } of sockets) expect((await closed).code).toBe(1012);
    await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
    expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ closed: 12, cut: 0 });
  });

  test("drain: a WebSocket that does not answer is asked, and cut a moment later", async () => {
    await using world = await twoVersions({ drain: "keep", drainMs: 100 }, createEngine);
    const { next, proxy } = world;
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    await client.answer();
    await switchTo(proxy, next);
    await client.until(() => client.isClosed);
    expect(client.received).toEndWith("\x88\x02\x03\xf4");
    expect(client.isReset).toBe(false);
    await until(() => proxy.app.leases === 0);
  });
});

test("drain: a request that is not over at the limit is ended, counted, told why, and gives its lease back", async () => {
  await using world = await twoVersions({ drainMs: 200 });
  const { old, next, proxy } = world;
  const slow = fetch(`${proxy.origin}/slow?ms=5000`, { method: "POST", body: "x" });
  await until(() => old.requests === 1);
  await switchTo(proxy, next);
  const answer = await slow;
  expect([answer.status, answer.headers.get("paastis-error")]).toEqual([504, "upstream_retired"]);
  expect(await answer.text()).toContain("`DRAIN_MS`");
  // It was not the old version's fault.
  expect(proxy.app.traffic.proxyErrors).toBe(0);
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
  expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ cut: 1 });
  expect(proxy.app.leases).toBe(0);
});

test("drain: requests are over at the limit, whatever sockets get besides", async () => {
  await using world = await twoVersions({ drain: "keep", drainMs: 200 });
  const { old, next, proxy } = world;
  // It does not answer the close, and so is there for the whole moment that sockets have.
  using client = await connectRaw(proxy.port);
  client.send(upgradeRequest("/"));
  await client.answer();
  const slow = fetch(`${proxy.origin}/slow?ms=5000`, { method: "POST", body: "x" });
  await until(() => old.requests === 1);
  await switchTo(proxy, next);
  expect((await slow).status).toBe(504);
  expect(client.isClosed).toBe(false);
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
  expect(proxy.eventsNamed("APP_DRAINED")[0]?.details).toMatchObject({ closed: 1, cut: 2 });
});

test("drain: a request that can be repeated is answered by the new target when its time is over", async () => {
  await using world = await twoVersions({ drainMs: 200 });
  const { old, next, proxy } = world;
  const slow = fetch(`${proxy.origin}/slow?ms=700`);
  await until(() => old.requests === 1);
  await switchTo(proxy, next);
  const answer = await slow;
  expect({ status: answer.status, by: answer.headers.get("x-version") }).toEqual({
    status: 200,
    by: "next",
  });
});

test("drain: an event stream ends like one that is complete, and its client gets the next from the new target", async () => {
  await using world = await twoVersions({ drain: "immediate", drainMs: 60_000 });
  const { next, proxy } = world;
  const stream = await fetch(`${proxy.origin}/events?ms=20`);
  const reader = stream.body?.getReader();
  await reader?.read();
  await switchTo(proxy, next);
  let text = "";
  const decoder = new TextDecoder();
  // It throws when the stream was cut off instead of ended.
  for (;;) {
    const part = await reader?.read();
    if (part === undefined || part.done) break;
    text += decoder.decode(part.value, { stream: true });
  }
  expect(text === "" || text.endsWith("\n\n")).toBe(true);
  const again = await fetch(`${proxy.origin}/events?ms=20`);
  expect(again.headers.get("x-version")).toBe("next");
  await again.body?.cancel();
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
});

test("drain: a target that is active again within its drain time is not drained", async () => {
  await using world = await twoVersions({ drain: "keep", drainMs: 500 });
  const { old, next, proxy } = world;
  const { socket, closed } = await openSocket(proxy);
  await switchTo(proxy, next);
  await switchTo(proxy, old);
  let isClosed = false;
  void closed.then(() => {
    isClosed = true;
  });
  await until(() => proxy.eventsNamed("APP_DRAINED").length === 1);
  const beganMs = performance.now();
  await until(() => performance.now() - beganMs > 700);
  expect(isClosed).toBe(false);
  expect(proxy.eventsNamed("APP_DRAINED").map(({ details }) => details?.target)).toEqual([
    `http://127.0.0.1:${next.port}`,
  ]);
  socket.close();
  await closed;
});

test("drain: kept connections to the old target that nothing uses are closed", async () => {
  let open = 0;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open() {
        open += 1;
      },
      close() {
        open -= 1;
      },
      data: (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    },
  });
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({ port: server.port });
  expect(await (await fetch(proxy.origin)).text()).toBe("ok");
  await until(() => open === 1);
  await switchTo(proxy, next);
  await until(() => open === 0);
  server.stop(true);
});

test("switch: a client's own kept connection goes to the new target with its next request", async () => {
  await using world = await twoVersions({});
  const { next, proxy } = world;
  const client = connect(proxy.port, "127.0.0.1");
  let heard = "";
  client.on("data", (bytes) => {
    heard += String(bytes);
  });
  const ask = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
  client.write(ask);
  await until(() => heard.endsWith("old"));
  await switchTo(proxy, next);
  client.write(ask);
  await until(() => heard.endsWith("next"));
  client.destroy();
});
