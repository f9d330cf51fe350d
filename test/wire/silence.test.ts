import { describe, expect, test } from "bun:test";
import { createFetchEngine } from "../../src/engines/fetch.ts";
import { startEngine } from "../support/engine-under-test.ts";
import { connectRaw } from "../support/raw-client.ts";
import { type Script, textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream, type UpstreamRequest } from "../support/scripted-upstream.ts";
import { until } from "../support/until.ts";
import { upgradeRequest } from "../support/websocket-frames.ts";

const get = (target: string, method = "GET") =>
  `${method} ${target} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;

/** The shortest that the runtime knows; it takes up to twice as long. */
const SHORT_S = 4;

async function* pieces(): AsyncGenerator<string> {
  yield "first ";
  await Bun.sleep(20);
  yield "second";
}

describe("fetch: idle connections", () => {
  test("wire: after whatever answer an idle client is closed soon, while one that waits is kept", async () => {
    using upstream = await startScriptedUpstream(answerOf);
    await using proxy = startEngine(createFetchEngine, upstream.origin, {
      engine: { silence: { idleS: SHORT_S, keptAliveS: SHORT_S } },
      admit,
    });
    using slow = await connectRaw(proxy.port);
    using held = await connectRaw(proxy.port);
    slow.send(get("/slow"));
    held.send(get("/held"));
    await upstream.request();
    const requests: readonly [request: string, method?: string][] = [
      [get("/own")],
      [get("/own-stream")],
      [get("/own-stream", "HEAD"), "HEAD"],
      [get("/held-then-own")],
      [get("/bad", "TRACE")],
      [get("/small")],
      [get("/small", "HEAD"), "HEAD"],
      [get("/large")],
      [get("/chunked")],
      [upgradeRequest("/small")],
      [upgradeRequest("/large")],
    ];
    await Promise.all(
      requests.map(async ([request, method = "GET"]) => {
        using client = await connectRaw(proxy.port);
        client.send(request);
        expect((await client.answer({ method })).isComplete).toBe(true);
        expect([request, client.isClosed]).toEqual([request, false]);
        await until(() => client.isClosed);
      }),
    );
    const waiting = upstream.requests.find((request) => request.target === "/slow");
    waiting?.reply("at last");
    expect((await slow.answer()).body).toBe("at last");
    expect(held.isClosed).toBe(false);
  }, 60_000);
});

const admit: NonNullable<Script["admit"]> = (head, handler) => {
  switch (head.target) {
    case "/own":
      return textAnswer(404, "nothing here");
    case "/own-stream":
      return { kind: "answer", answer: { status: 200, headers: [], body: pieces() } };
    case "/held-then-own": {
      const { admission, decide } = handler.hold();
      decide(textAnswer(503, "it did not wake"));
      return admission;
    }
    case "/held":
      return handler.hold().admission;
    default:
      return handler.exchange(head);
  }
};

function answerOf(request: UpstreamRequest): void {
  if (request.target === "/small") request.reply(request.method === "HEAD" ? "" : "small");
  if (request.target === "/large") request.reply("x".repeat(20_000));
  if (request.target === "/chunked") {
    request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
  }
}
