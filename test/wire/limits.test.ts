/** How much a client may send. */

import { describe, expect, test } from "bun:test";
import { silenceFor } from "../../src/engines/fetch-silence.ts";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";

const UNREACHABLE = "http://127.0.0.1:1";
const LIMIT = 1000;

function post(framing: string, body = ""): string {
  return `POST / HTTP/1.1\r\nHost: shop.test\r\n${framing}\r\n\r\n${body}`;
}

const chunk = (size: number) => `${size.toString(16)}\r\n${"x".repeat(size)}\r\n`;
const CHUNKED = "Transfer-Encoding: chunked";

describe.each(ENGINES)("$name: MAX_BODY_SIZE", ({ start }) => {
  test("wire: a longer body is refused by its length, before anything is forwarded", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = start(upstream.origin, { engine: { limits: { bodyBytesMax: LIMIT } } });
    const answer = await exchangeRaw(proxy.port, post(`Content-Length: ${LIMIT + 1}`));
    expect(answer.status).toBe(413);
    // Bun answers by itself, with nothing.
    if (answer.body !== "") expect(answer.body).toStartWith("body_too_large: ");
    expect(upstream.requests).toEqual([]);
    expect(proxy.handler.leases).toBe(0);
  });

  test("wire: a body of just that length passes, with a length or in chunks", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply(String(request.body.length));
    });
    await using proxy = start(upstream.origin, { engine: { limits: { bodyBytesMax: LIMIT } } });
    const body = "x".repeat(LIMIT);
    const sized = await exchangeRaw(proxy.port, post(`Content-Length: ${LIMIT}`, body));
    expect([sized.status, sized.body]).toEqual([200, "1000"]);
    const chunks = `${chunk(LIMIT / 2)}${chunk(LIMIT / 2)}0\r\n\r\n`;
    const chunked = await exchangeRaw(proxy.port, post(CHUNKED, chunks));
    expect([chunked.status, chunked.body]).toEqual([200, "1000"]);
  });

  test("wire: chunks that become too many never make a whole request, and the app's is cut", async () => {
    using upstream = await startRawUpstream();
    await using proxy = start(upstream.origin, { engine: { limits: { bodyBytesMax: LIMIT } } });
    using client = await connectRaw(proxy.port);
    client.send(post(CHUNKED, chunk(LIMIT - 100)));
    const target = await upstream.received("POST / ");
    client.send(chunk(200));
    await until(() => target.isClosed);
    expect(target.received).not.toContain("0\r\n\r\n");
    await client.until(() => client.isClosed || client.received.includes("413"));
    await until(() => proxy.handler.leases === 0);
    expect(proxy.handler.doubles).toBe(0);
  });

  test("wire: without the setting a body of many megabytes passes", async () => {
    await using app = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => new Response(String((await request.arrayBuffer()).byteLength)),
    });
    await using proxy = start(`http://127.0.0.1:${app.port}`);
    const size = 8_000_000;
    const answer = await exchangeRaw(proxy.port, post(`Content-Length: ${size}`, "x".repeat(size)));
    expect(answer.body).toBe(String(size));
  });
});

describe("fetch: SERVER_KEEPALIVE_TIMEOUT", () => {
  const cases: readonly [keepAliveMs: number, idleS: number, keptAliveS: number][] = [
    [5000, 60, 60],
    [60_001, 61, 61],
    [600_000, 255, 600],
    [86_400_000, 255, 14_340],
  ];
  test.each(cases)(
    "silence: %d ms are as many seconds as the runtime can, a minute at least",
    (...row) => {
      const [keepAliveMs, idleS, keptAliveS] = row;
      expect(silenceFor({ keepAliveMs })).toMatchObject({ idleS, keptAliveS });
    },
  );
});

describe("socket: MAX_BODY_SIZE", () => {
  const limited = { engine: { limits: { bodyBytesMax: LIMIT } } };

  test("wire: too many chunks are answered with 413 as long as there is no other answer", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin, limited);
    using client = await connectRaw(proxy.port);
    client.send(post(CHUNKED, chunk(LIMIT)));
    const target = await upstream.received("POST / ");
    client.send(chunk(1));
    const answer = await client.answer();
    expect([answer.status, answer.header("connection")]).toEqual([413, "close"]);
    expect(answer.body).toContain(`longer than ${LIMIT} bytes`);
    await until(() => target.isClosed);
    await client.until(() => client.isClosed);
  });

  test("wire: chunks that are too many in the same packet as the head go nowhere", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin, limited);
    const answer = await exchangeRaw(proxy.port, post(CHUNKED, chunk(LIMIT + 1)));
    expect(answer.status).toBe(413);
    await until(() => proxy.handler.leases === 0);
    expect(upstream.connections.every(({ received }) => received === "")).toBe(true);
  });

  test("wire: once an answer has begun, the connection is cut", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin, limited);
    using client = await connectRaw(proxy.port);
    client.send(post(CHUNKED, chunk(LIMIT)));
    const target = await upstream.received("POST / ");
    target.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    await client.until(() => client.received.endsWith("half"));
    client.send(chunk(1));
    await client.until(() => client.isClosed);
    await until(() => target.isClosed);
    expect(client.received).toEndWith("half");
  });

  test("wire: a request that is sent once more is counted anew", async () => {
    const seen: number[] = [];
    using upstream = await startRawUpstream((connection, piece) => {
      if (piece.includes("GET /first")) {
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      } else if (seen.push(1) === 1) {
        connection.reset();
      } else if (connection.received.endsWith("0\r\n\r\n")) {
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain");
      }
    });
    await using proxy = startSocketEngine(upstream.origin, limited);
    await exchangeRaw(proxy.port, "GET /first HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    const put = post(CHUNKED, `${chunk(LIMIT)}0\r\n\r\n`).replace("POST", "PUT");
    expect((await exchangeRaw(proxy.port, put)).body).toBe("again");
    using client = await connectRaw(proxy.port);
    seen.length = 0;
    client.send(post(CHUNKED, chunk(LIMIT)).replace("POST", "PUT"));
    await until(() => seen.length > 1);
    client.send(chunk(1));
    expect((await client.answer()).status).toBe(413);
  });
});

describe("socket: MAX_HEADER_SIZE", () => {
  const get = (bytes: number, target = "/") => {
    const head = `GET ${target} HTTP/1.1\r\nHost: shop.test\r\nX: \r\n\r\n`;
    return head.replace("X: ", `X: ${"x".repeat(Math.max(0, bytes - head.length))}`);
  };

  const cases: readonly [headBytesMax: number, fits: string, tooLong: string, status: number][] = [
    [1024, get(1024), get(1025), 431],
    [100_000, get(100_000), get(100_001), 431],
    [1024, get(0, `/${"a".repeat(900)}`), get(0, `/${"a".repeat(1100)}`), 414],
    // However long heads may be, their first line may not.
    [100_000, get(0, `/${"a".repeat(16_000)}`), get(0, `/${"a".repeat(17_000)}`), 414],
  ];
  test.each(cases)("wire: %d bytes", async (headBytesMax, fits, tooLong, status) => {
    await using proxy = startSocketEngine(UNREACHABLE, {
      engine: { limits: { headBytesMax } },
      admit: () => textAnswer(200, "ok"),
    });
    expect((await exchangeRaw(proxy.port, fits)).status).toBe(200);
    const answer = await exchangeRaw(proxy.port, tooLong);
    expect(answer.status).toBe(status);
    expect(answer.body).toStartWith(status === 431 ? "head_too_large: " : "target_too_long: ");
  });
});
