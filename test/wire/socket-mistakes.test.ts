/** A core that breaks its promises ends one request, never the engine. */

import { expect, test } from "bun:test";
import type { Exchange } from "../../src/engines/engine.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";

const GET = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

test("wire: a core that throws when it hears of an answer or a failure gives a 500", async () => {
  const fault = () => {
    throw new Error("a secret");
  };
  using upstream = await startScriptedUpstream();
  await using first = startSocketEngine(upstream.origin, { answered: fault });
  await using second = startSocketEngine("http://127.0.0.1:1", { failed: fault });
  for (const proxy of [first, second]) {
    const answer = await exchangeRaw(proxy.port, GET);
    expect([answer.status, answer.header("paastis-error")]).toEqual([500, "internal"]);
    expect(answer.body).not.toContain("secret");
    expect(proxy.handler.leases).toBe(0);
    expect(proxy.logged.map((line) => line.level)).toEqual(["error"]);
  }
});

test("wire: a decision that rejects gives a 500", async () => {
  await using proxy = startSocketEngine("http://127.0.0.1:1", {
    admit: () => ({
      kind: "held",
      decision: Promise.reject<Exchange>(new Error("a secret")),
      abandon: () => undefined,
    }),
  });
  expect((await exchangeRaw(proxy.port, GET)).status).toBe(500);
});

test("wire: 20 MB of requests that nobody has asked for yet stay with the client", async () => {
  using upstream = await startScriptedUpstream(() => undefined);
  await using proxy = startSocketEngine(upstream.origin);
  using client = await connectRaw(proxy.port);
  const before = process.memoryUsage().rss;
  const some = GET.repeat(20_000);
  for (let sent = 0; sent < 20_000_000; sent += some.length) client.send(some);
  await until(() => upstream.requests.length === 1);
  for (let index = 0; index < 20; index += 1) {
    (await upstream.request(index)).reply("ok");
    expect((await client.answer()).body).toBe("ok");
  }
  expect(upstream.requests.length).toBeLessThanOrEqual(21);
  client.reset();
  await until(() => proxy.handler.leases === 0);
  // The client's own copy is in this process, too.
  expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
});
