/** What settings of Paastis change about forwarding, and what is held while an app is not there. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, IS_OTHER, useProxy } from "../support/proxy-under-test.ts";
import { expectRefused } from "../support/proxy-under-test-attack.ts";
import { ok, startUpstreamUnderTest } from "../support/proxy-under-test-upstream.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startPaastis } from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const CHUNKED = "Transfer-Encoding: chunked";

describe.skipIf(IS_OTHER)("settings: TRUSTED_PROXIES", () => {
  const proxy = useProxy({ TRUSTED_PROXIES: "10.0.0.0/8,127.0.0.0/8" });

  test("what a trusted proxy says is kept, and its address is appended", async () => {
    await proxy.exchange(
      ask(
        "GET /",
        "X-Forwarded-For: 198.51.100.1",
        "X-Forwarded-For: 198.51.100.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: public.test",
        "X-Forwarded-Port: 8443",
      ),
    );
    const request = await proxy.upstream.request();
    const said = ["for", "proto", "host", "port"].map((what) => request.all(`x-forwarded-${what}`));
    expect(said).toEqual([
      ["198.51.100.1, 198.51.100.2, 127.0.0.1"],
      ["https"],
      ["public.test"],
      ["8443"],
    ]);
  });

  test("an app's Location comes back as the address that a trusted proxy names", async () => {
    proxy.upstream.answer(ok("ok", `Location: ${proxy.upstream.origin}/a`));
    const answer = await proxy.exchange(
      ask("GET /", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.test"),
    );
    expect(answer.header("location")).toBe("https://public.test/a");
  });
});

describe.skipIf(IS_OTHER)("settings: ENABLE_XFWD=0", () => {
  const proxy = useProxy({ ENABLE_XFWD: "0" });

  test("the app learns nothing of who asked and of who is in between", async () => {
    await proxy.exchange(ask("GET /", "X-Forwarded-For: 6.6.6.6"));
    const { lines } = await proxy.upstream.request();
    expect(lines.filter((line) => /^(x-forwarded|via|forwarded)/i.test(line))).toEqual([]);
  });
});

describe.skipIf(IS_OTHER)("settings: limits of requests", () => {
  const proxy = useProxy({ MAX_BODY_SIZE: "1000", MAX_HEADER_SIZE: "2048" });

  test("a body of MAX_BODY_SIZE is forwarded", async () => {
    const answer = await proxy.exchange(ask("POST /", "Content-Length: 1000") + "x".repeat(1_000));
    expect(answer.status).toBe(200);
  });

  test("a length above MAX_BODY_SIZE is refused with 413 and reaches nobody", async () => {
    const bytes = ask("POST /", "Content-Length: 1001") + "x".repeat(1_001);
    await expectRefused(proxy, bytes, [413]);
  });

  test("chunks above MAX_BODY_SIZE are refused with 413 and never complete", async () => {
    const bytes = `${ask("POST /", CHUNKED)}3e9\r\n${"x".repeat(1_001)}\r\n0\r\n\r\n`;
    await expectRefused(proxy, bytes, [413]);
  });

  test("chunks that exceed MAX_BODY_SIZE on their way end the app's request unfinished", async () => {
    using client = await proxy.connect();
    client.send(`${ask("POST /", CHUNKED)}1f4\r\n${"x".repeat(500)}\r\n`);
    const connection = await proxy.upstream.received("xxx");
    client.send(`1f5\r\n${"y".repeat(501)}\r\n0\r\n\r\n`);
    expect((await client.answer()).status).toBe(413);
    await until(() => connection.isClosed && client.isClosed);
    expect(proxy.upstream.requests).toEqual([]);
  });

  test("a head above MAX_HEADER_SIZE is refused with 431 and reaches nobody", async () => {
    await expectRefused(proxy, ask("GET /", `X-A: ${"x".repeat(2_048)}`), [431]);
  });

  /* biome-ignore format: a table */
  const REFUSALS: readonly [code: string, setting: string, request: string][] = [
    ["body_too_large", "MAX_BODY_SIZE", ask("POST /", "Content-Length: 1001")],
    ["head_too_large", "MAX_HEADER_SIZE", ask("GET /", `X-A: ${"x".repeat(2_048)}`)],
    ["target_too_long", "MAX_HEADER_SIZE", ask(`GET /${"x".repeat(2_048)}`)],
    ["not_implemented", "chunked", ask("POST /", "Transfer-Encoding: gzip, chunked")],
    ["version_refused", "HTTP/1.1", "GET / HTTP/1.7\r\nHost: a\r\n\r\n"],
  ];
  test.each(REFUSALS)(
    "%s is told with its own code, and names %s",
    async (code, setting, request) => {
      using client = await proxy.connect();
      client.send(request);
      const answer = await client.answer();
      expect(answer.header("paastis-error")).toBe(code);
      expect(answer.body).toContain(setting);
      expect(answer.body).not.toContain("RFC 9112");
    },
  );

  test("a head below MAX_HEADER_SIZE is forwarded", async () => {
    expect((await proxy.exchange(ask("GET /", `X-A: ${"x".repeat(1_900)}`))).status).toBe(200);
  });
});

describe.skipIf(IS_OTHER)("settings: connections to apps", () => {
  const proxy = useProxy({ UPSTREAM_KEEPALIVE: "0", UPSTREAM_TIMEOUT_MS: "400" });

  test("with UPSTREAM_KEEPALIVE=0 each request has a connection of its own", async () => {
    for (const target of ["/1", "/2"]) await proxy.exchange(ask(`GET ${target}`));
    expect(proxy.upstream.connections).toHaveLength(2);
    await until(() => proxy.upstream.connections.every(({ isClosed }) => isClosed));
  });

  test("an answer that has not begun within UPSTREAM_TIMEOUT_MS is a 504", async () => {
    proxy.upstream.script(() => undefined);
    const answer = await proxy.exchange(ask("GET /"));
    expect([answer.status, answer.header("paastis-error")]).toEqual([504, "upstream_timeout"]);
    await until(() => proxy.upstream.connections[0]?.isClosed === true);
  });

  test("an answer that has begun may take longer than UPSTREAM_TIMEOUT_MS", async () => {
    proxy.upstream.answer(({ target }) =>
      target === "/begun" ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" : null,
    );
    using begun = await proxy.connect();
    begun.send(ask("GET /begun"));
    const connection = await proxy.upstream.received("/begun");
    expect((await proxy.exchange(ask("GET /never"))).status).toBe(504);
    connection.write("ok");
    expect((await begun.answer()).body).toBe("ok");
  });
});

describe.skipIf(IS_OTHER)("apps that are not there yet", () => {
  /** Paastis in front of a port at which nobody listens; `appear` starts the app. */
  async function startBeforeApp() {
    const { port, origin, ...gone } = await startUpstreamUnderTest(0);
    gone[Symbol.dispose]();
    const paastis = await startPaastis({
      config: `apps:\n  shop: { targets: [${JSON.stringify(origin)}] }\n`,
      env: { PROVIDER_NAME: "http", ENGINE: "socket", REGISTRY_TYPE: "in-memory" },
    });
    return { paastis, appear: () => startUpstreamUnderTest(port) };
  }

  /** What was sent before has been read by now: what came later was answered. */
  async function isPastReading(port: number) {
    expect((await exchangeRaw(port, "GET / HTTP/1.1\r\nHost: none.test\r\n\r\n")).status).toBe(404);
  }

  test("an upgrade for an app that is not there is held, then accepted, and loses no frame", async () => {
    const { paastis, appear } = await startBeforeApp();
    await using _paastis = paastis;
    using client = await connectRaw(paastis.port);
    const lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
    client.send(ask("GET /ws", ...lines, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="));
    await isPastReading(paastis.port);
    expect(client.received).toBe("");
    using app = await appear();
    app.answer(({ target }) =>
      target === "/ws"
        ? "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst frame"
        : ok(),
    );
    await client.until(() => client.received.endsWith("\r\n\r\nfirst frame"));
    expect(client.received).toStartWith("HTTP/1.1 101 Yes\r\n");
  });

  test("an upload for an app that is not there is held, and reaches it whole", async () => {
    const { paastis, appear } = await startBeforeApp();
    await using _paastis = paastis;
    using client = await connectRaw(paastis.port);
    client.send(`${ask("POST /up", "Content-Length: 10")}hello`);
    await isPastReading(paastis.port);
    client.send("world");
    using app = await appear();
    expect((await client.answer()).status).toBe(200);
    expect(app.requests.find(({ target }) => target === "/up")?.body).toBe("helloworld");
    expect(app.requests.find(({ target }) => target === "/up")?.header("x-forwarded-host")).toBe(
      HOST,
    );
  });
});
