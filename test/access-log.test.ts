/** The access log: one line for each request, whatever becomes of it. */

import { describe, expect, test } from "bun:test";
import type { Admission, Exchange } from "../src/engines/engine.ts";
import { ENGINES } from "./support/engines.ts";
import type { LogLine } from "./support/recording-log.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { until } from "./support/until.ts";

function loggingWorld() {
  const world = createSmallWorld({ deps: { logsRequests: true } });
  const requests = () =>
    world.lines.filter(({ message }) => message === "request").map(({ fields }) => fields);
  return { world, requests, handler: world.core.handler };
}

function exchangeOf(admission: Admission): Exchange {
  if (admission.kind !== "forward") throw new Error(`it is ${admission.kind}`);
  return admission;
}

async function startedWorld() {
  const logging = loggingWorld();
  await logging.world.core.reconciler.run({ kind: "start", detail: "start" });
  return logging;
}

test("access log: a forwarded request has app, status, bytes, times, client and id, and no query", async () => {
  const { handler, requests, world } = loggingWorld();
  world.add("shop", { state: awakeAt("shop") });
  const head = headFor("shop.test", { method: "POST", target: "/orders/7?token=hunter2" });
  const exchange = exchangeOf(handler.admit(head));
  exchange.requestId = "made-up";
  await world.clock.advance(30);
  expect(handler.answered(exchange, { status: 201, header: () => null }, true)).toBeNull();
  await world.clock.advance(12);
  exchange.sentBytes = 512;
  exchange.receivedBytes = 9;
  expect(requests()).toEqual([]);
  handler.release(exchange);
  expect(requests()).toEqual([
    {
      app: "shop",
      status: 201,
      bytes: 512,
      receivedBytes: 9,
      upstreamMs: 30,
      host: "shop.test",
      method: "POST",
      path: "/orders/7",
      waitMs: 0,
      totalMs: 42,
      client: "192.0.2.1",
      requestId: "made-up",
    },
  ]);
  expect(JSON.stringify(world.lines)).not.toContain("hunter2");
});

test("access log: what a request waited is told apart from what its app took", async () => {
  const { handler, requests, world } = await startedWorld();
  world.add("blog");
  const wake = Promise.withResolvers<void>();
  world.provider.script.wake = async (id) => {
    await wake.promise;
    world.provider.up.add(id);
    return { done: true, target: sampleTarget("blog") };
  };
  const admission = handler.admit(
    headFor("blog.test", { headers: { "x-request-id": "client-7" } }),
  );
  if (admission.kind !== "held") throw new Error("it is not held");
  await world.clock.advance(2000);
  wake.resolve();
  await world.clock.advance(0);
  const exchange = exchangeOf(await admission.decision);
  await world.clock.advance(50);
  handler.answered(exchange, { status: 200, header: () => null }, true);
  handler.release(exchange);
  const [line] = requests();
  expect(line).toMatchObject({ app: "blog", status: 200, upstreamMs: 50, requestId: "client-7" });
  expect(Number(line?.totalMs) - Number(line?.waitMs)).toBeGreaterThanOrEqual(50);
  expect(Number(line?.waitMs)).toBeGreaterThanOrEqual(2000);
});

test("access log: who waits says what for, and who does not says nothing", async () => {
  const { handler, requests, world } = await startedWorld();
  const blog = world.add("blog");
  world.provider.script.wake = () => new Promise(() => undefined);
  const leave = (host: string) => {
    const admission = handler.admit(headFor(host));
    if (admission.kind === "held") admission.abandon();
  };
  leave("blog.test");
  await world.clock.advance(10);
  leave("blog.test");
  blog.pause = { kind: "paused", sinceMs: world.clock.now() };
  leave("blog.test");
  leave("nobody.test");
  expect(requests().map(({ cause, host }) => [cause, host])).toEqual([
    ["woke", "blog.test"],
    ["waking", "blog.test"],
    ["paused", "blog.test"],
    [undefined, "nobody.test"],
  ]);
});

test("access log: an answer of our own says by its code why, and whose request it was", async () => {
  const { handler, requests, world } = await startedWorld();
  world.add("blog", {
    state: { kind: "failed", sinceMs: 0, why: "exited", retryAtMs: world.clock.now() + 60_000 },
  });
  handler.admit(headFor("blog.test"));
  handler.admit(headFor("nobody.test"));
  expect(requests()).toMatchObject([
    { app: "blog", status: 503, code: "app_failed", waitMs: 0 },
    { status: 404, code: "unknown_app", host: "nobody.test" },
  ]);
  expect(Number(requests()[0]?.bytes)).toBeGreaterThan(0);
});

test("access log: who leaves while waiting has status 0 and one line", async () => {
  const { handler, requests, world } = await startedWorld();
  world.add("blog");
  world.provider.script.wake = () => new Promise(() => undefined);
  const admission = handler.admit(headFor("blog.test"));
  if (admission.kind !== "held") throw new Error("it is not held");
  await world.clock.advance(700);
  admission.abandon();
  await world.clock.advance(60_000);
  expect(requests()).toMatchObject([{ app: "blog", status: 0, waitMs: 700, totalMs: 700 }]);
});

test("access log: who goes on waiting at another process has no line here", async () => {
  const { handler, requests, world } = await startedWorld();
  world.add("blog");
  world.provider.script.wake = () => new Promise(() => undefined);
  const admission = handler.admit(headFor("blog.test"));
  if (admission.kind !== "held") throw new Error("it is not held");
  admission.handOn?.();
  await world.clock.advance(60_000);
  expect(requests()).toEqual([]);
  expect(world.core.table.byKey("blog")?.leases).toBe(0);
});

test("access log: a request that could not be forwarded has one line, with the code of the answer", async () => {
  const { handler, requests, world } = loggingWorld();
  world.add("shop", { state: awakeAt("shop") });
  const exchange = exchangeOf(handler.admit(headFor("shop.test", { method: "POST" })));
  await world.clock.advance(20);
  handler.failed(exchange, { kind: "broken", message: "reset", replayable: false });
  await world.clock.advance(0);
  expect(requests()).toMatchObject([{ app: "shop", status: 502, code: "upstream_broken" }]);
});

test("access log: what the engine refuses midway has one line, with what its client got", async () => {
  const { handler, requests, world } = loggingWorld();
  world.add("shop", { state: awakeAt("shop") });
  const head = headFor("shop.test", { method: "POST" });
  handler.release(exchangeOf(handler.admit(head)));
  handler.refuse("body_too_large", "it is too large", head);
  await world.clock.advance(0);
  expect(requests()).toMatchObject([{ app: "shop", status: 413, code: "body_too_large" }]);
  handler.release(exchangeOf(handler.admit(headFor("shop.test"))));
  await world.clock.advance(0);
  expect(requests()[1]).toMatchObject({ app: "shop", status: 0 });
});

test("access log: a WebSocket has its line when it closes, also when it was quiet by then", async () => {
  const { handler, requests, world } = loggingWorld();
  world.add("shop", { state: awakeAt("shop") });
  const exchange = exchangeOf(handler.admit(headFor("shop.test")));
  handler.answered(exchange, { status: 101, header: () => null }, false);
  await world.clock.advance(5000);
  handler.rest(exchange);
  exchange.sentBytes = 77;
  await world.clock.advance(5000);
  expect(requests()).toEqual([]);
  handler.closed(exchange);
  expect(requests()).toMatchObject([{ app: "shop", status: 101, bytes: 77, totalMs: 10_000 }]);
});

test("access log: nothing is written, and nothing is in the way, where nobody wants it", () => {
  const world: SmallWorld = createSmallWorld();
  world.add("shop", { state: awakeAt("shop") });
  const exchange = exchangeOf(world.core.handler.admit(headFor("shop.test")));
  world.core.handler.release(exchange);
  expect(world.lines.filter(({ message }: LogLine) => message === "request")).toEqual([]);
});

describe.each(ENGINES)("$name: what an exchange carried", (engine) => {
  const answerOf = (length: number) => "x".repeat(length);
  const cases: readonly (readonly [what: string, answer: () => Response, bytes: number])[] = [
    ["a short answer", () => new Response(answerOf(700)), 700],
    ["a long answer", () => new Response(answerOf(200_000)), 200_000],
    ["no body", () => new Response(null, { status: 204 }), 0],
  ];
  for (const [what, answer, bytes] of cases) {
    test(`wire: ${what} counts ${bytes} bytes, and the request its own`, async () => {
      using app = Bun.serve({
        port: 0,
        async fetch(request) {
          await request.arrayBuffer();
          return answer();
        },
      });
      const exchanges: Exchange[] = [];
      await using proxy = engine.start(`http://127.0.0.1:${app.port}`, {
        admit(head, handler) {
          const exchange = handler.exchange(head);
          exchanges.push(exchange);
          return exchange;
        },
      });
      const url = `http://127.0.0.1:${proxy.port}/`;
      const response = await fetch(url, { method: "POST", body: answerOf(3000) });
      expect((await response.arrayBuffer()).byteLength).toBe(bytes);
      await until(() => proxy.handler.leases === 0);
      expect(exchanges).toMatchObject([
        { sentBytes: bytes, receivedBytes: 3000, requestId: expect.any(String) },
      ]);
    });
  }
});
