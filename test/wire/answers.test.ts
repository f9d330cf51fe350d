import { describe, expect, test } from "bun:test";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { declared } from "./exceptions.ts";

const get = (rest: string, extra = "") => `GET ${rest} HTTP/1.1\r\nHost: shop.test\r\n${extra}\r\n`;

describe.each(ENGINES)("$name: answers", (engine) => {
  const reply = (bytes: string) => startScriptedUpstream((request) => request.write(bytes));

  const statuses: readonly [bytes: string, status: number, body: string][] = [
    ["HTTP/1.1 204 No Content\r\n\r\n", 204, ""],
    ["HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304, ""],
    [
      "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab",
      206,
      "ab",
    ],
    ["HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404, "no"],
    ["HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", 503, ""],
    ["HTTP/1.1 299 X\r\nContent-Length: 1\r\n\r\na", 299, "a"],
    ["HTTP/1.1 799 X\r\nContent-Length: 1\r\n\r\na", 799, "a"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200, "ab"],
  ];
  test.each(statuses)("wire: %p comes back", async (bytes, status, body) => {
    using upstream = await reply(bytes);
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect([answer.status, answer.body, answer.isComplete]).toEqual([status, body, true]);
  });

  test("wire: a body without a length that ends with the connection is complete", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.write("HTTP/1.1 200 OK\r\n\r\nuntil the end");
      request.end();
    });
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect([answer.body, answer.isComplete]).toEqual(["until the end", true]);
  });

  test("wire: an answer keeps its headers, and cookies stay apart", async () => {
    using upstream = await reply(
      [
        "HTTP/1.1 200 OK",
        "Content-Length: 2",
        "Content-Type: text/x",
        "Set-Cookie: a=1; Path=/",
        "Set-Cookie: b=2; Domain=127.0.0.1",
        "ETag: W/x",
        "X-A: 1",
        "X-A: 2",
        "Connection: close, X-Mine",
        "X-Mine: 1",
        "Keep-Alive: timeout=1",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "",
        "ok",
      ].join("\r\n"),
    );
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    const own = answer.headers.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort();
    expect(own).toEqual([
      "content-length: 2",
      "content-type: text/x",
      "date: Thu, 01 Jan 1970 00:00:00 GMT",
      "etag: W/x",
      "set-cookie: a=1; Path=/",
      "set-cookie: b=2; Domain=shop.test",
      ...(engine.name === "fetch" ? ["x-a: 1, 2"] : ["x-a: 1", "x-a: 2"]),
    ]);
  });

  test("wire: an answer without a type gets none", async () => {
    for (const body of ["<h1>hi</h1>", ""]) {
      using upstream = await reply(
        `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await using proxy = engine.start(upstream.origin);
      const answer = await exchangeRaw(proxy.port, get("/"));
      expect(answer.body).toBe(body);
      const names = answer.headers.map(([name]) => name.toLowerCase());
      expect(names).not.toContain("content-type");
    }
  });

  test("wire: redirects are not followed, and those to the target lead to the public address", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(
        `HTTP/1.1 302 Found\r\nLocation: ${upstream.origin}/login\r\nContent-Length: 0\r\n\r\n`,
      ),
    );
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect([answer.status, answer.header("location")]).toEqual([302, "http://shop.test/login"]);
    expect(upstream.requests.length).toBe(1);
  });

  test("wire: compressed bodies pass untouched", async () => {
    const gzipped = Bun.gzipSync(Buffer.from("hello hello hello"));
    using upstream = await startScriptedUpstream((request) => {
      request.write(
        `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${gzipped.length}\r\n\r\n`,
      );
      request.write(gzipped);
    });
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect(answer.header("content-encoding")).toBe("gzip");
    expect(answer.body).toBe(Buffer.from(gzipped).toString("latin1"));
  });

  test("wire: a download arrives as it is sent, its first byte before its last", async () => {
    using upstream = await reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    await client.until(() => client.received.includes("hello"));
    upstream.requests[0]?.write("world");
    const answer = await client.answer();
    expect([answer.body, answer.isComplete]).toEqual(["helloworld", true]);
  });

  test("wire: 5 MB arrive byte for byte, with a length and in chunks", async () => {
    const big = Buffer.alloc(5_000_000, "0123456789abcdef\xff");
    const served = Bun.serve({
      port: 0,
      fetch: (request) =>
        request.url.endsWith("/chunked")
          ? new Response(new Blob([big]).stream())
          : new Response(big),
    });
    await using proxy = engine.start(`http://127.0.0.1:${served.port}`);
    for (const path of ["/length", "/chunked"]) {
      const answer = await fetch(`http://127.0.0.1:${proxy.port}${path}`);
      expect(Bun.hash(await answer.bytes())).toBe(Bun.hash(big));
    }
    await served.stop(true);
  });

  declared(engine, "early head", "an event stream is opened by a comment of ours", async () => {
    using upstream = await reply(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    await client.until(() => client.received.includes("\r\n\r\n3\r\n:\n\n\r\n"));
    upstream.requests[0]?.write("9\r\ndata: 1\n\n\r\n");
    await client.until(() => client.received.endsWith("data: 1\n\n\r\n"));
    upstream.requests[0]?.write("0\r\n\r\n");
    expect((await client.answer()).body).toBe(":\n\ndata: 1\n\n");
  });

  declared(engine, "content-length", "a download whose end is open loses its length", async () => {
    using upstream = await reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    await client.until(() => client.received.includes("hello"));
    expect(client.received.toLowerCase()).not.toContain("content-length");
  });

  declared(engine, "reason phrase", "a reason of the target's own is lost", async () => {
    using upstream = await reply("HTTP/1.1 200 Splendid\r\nContent-Length: 0\r\n\r\n");
    await using proxy = engine.start(upstream.origin);
    expect((await exchangeRaw(proxy.port, get("/"))).statusLine).toBe("HTTP/1.1 200 OK");
  });

  declared(engine, "early hints", "only the last answer arrives", async () => {
    using upstream = await reply(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    await using proxy = engine.start(upstream.origin);
    expect((await exchangeRaw(proxy.port, get("/"))).status).toBe(200);
  });

  declared(engine, "trailers", "a chunked answer arrives without its trailers", async () => {
    using upstream = await reply(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n",
    );
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect([answer.body, answer.header("trailer"), answer.isComplete]).toEqual(["a", null, true]);
  });

  declared(engine, "request trailers", "a request with trailers is refused", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    const request =
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n";
    expect((await exchangeRaw(proxy.port, request)).status).toBe(400);
  });

  test("wire: one connection carries many requests", async () => {
    using upstream = await startScriptedUpstream((request) => request.reply(request.target));
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    for (const target of ["/1", "/2", "/3"]) {
      client.send(get(target));
      expect((await client.answer()).body).toBe(target);
    }
    expect(upstream.open).toBe(1);
  });

  test("wire: an HTTP/1.0 client gets its answer and the end of the connection", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    await client.until(() => client.isClosed);
    expect((await client.answer()).body).toBe("hello");
  });
});
