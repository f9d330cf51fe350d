/** What only the socket engine does with requests: bytes stay what they are, or are refused. */

import { describe, expect, test } from "bun:test";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = (rest: string, extra = "") => `GET ${rest} HTTP/1.1\r\nHost: shop.test\r\n${extra}\r\n`;

describe("socket: heads", () => {
  const targets = [
    "/a/../b",
    "/%2e%2E/b/./c",
    "//a",
    "///a//",
    "/.//x",
    "/a\\..\\b",
    '/"<>^`{}|',
    "/?q=\"<>'",
    "/caf\xc3\xa9/\xe9",
    "/%zz%00%",
    "/?",
  ];
  test.each(targets)("wire: target %p arrives byte for byte", async (target) => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    expect((await exchangeRaw(proxy.port, get(target))).status).toBe(200);
    expect(upstream.requests[0]?.target).toBe(target);
    expect(proxy.handler.heads[0]?.target).toBe(target);
  });

  test("wire: chunked is said to the app in one spelling, whatever the client's", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    const request =
      "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: cHuNkEd\r\n\r\n0\r\n\r\n";
    expect((await exchangeRaw(proxy.port, request)).status).toBe(200);
    expect(upstream.requests[0]?.all("transfer-encoding")).toEqual(["chunked"]);
  });

  test("wire: a head keeps its order, case and repetitions, and nothing is invented", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    const lines = ["x-b: 2", "X-A: 1", "COOKIE: a=1", "x-a: 3", "Cookie: b=2", "X-Latin: caf\xe9"];
    await exchangeRaw(
      proxy.port,
      `GET / HTTP/1.1\r\n${lines[0]}\r\nhOST: shop.test\r\n${lines.slice(1).join("\r\n")}\r\n\r\n`,
    );
    expect(upstream.requests[0]?.head.split("\r\n")).toEqual([
      "GET / HTTP/1.1",
      "x-b: 2",
      `hOST: 127.0.0.1:${upstream.port}`,
      ...lines.slice(1),
      "X-Forwarded-For: 127.0.0.1",
      "X-Forwarded-Proto: http",
      "X-Forwarded-Host: shop.test",
      "X-Forwarded-Port: 80",
      "X-Request-Id: made-for-a-test",
      "Via: 1.1 paastis",
    ]);
  });

  test.each(["BREW", "get", "M-SEARCH", "QUERY"])(
    "wire: method %s is forwarded",
    async (method) => {
      using upstream = await startScriptedUpstream();
      await using proxy = startSocketEngine(upstream.origin);
      await exchangeRaw(proxy.port, `${method} / HTTP/1.1\r\nHost: shop.test\r\n\r\n`);
      expect(upstream.requests[0]?.method).toBe(method);
    },
  );

  test("wire: OPTIONS * is forwarded as it is", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    await exchangeRaw(proxy.port, "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    expect(upstream.requests[0]?.target).toBe("*");
  });

  test("wire: a head that comes byte by byte is the same head", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    for (const byte of get("/slow", "X-A: 1\r\n")) {
      client.send(byte);
      await Bun.sleep(0);
    }
    expect((await client.answer()).body).toBe("hello");
    expect(upstream.requests[0]?.header("x-a")).toBe("1");
  });

  test("wire: a client of HTTP/1.0 is named in Via, and its wait for a 100 goes no further", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    const head = "GET / HTTP/1.0\r\nHost: shop.test\r\nExpect: 100-continue\r\n\r\n";
    await exchangeRaw(proxy.port, head);
    expect(upstream.requests[0]?.head).toStartWith("GET / HTTP/1.1\r\n");
    expect(upstream.requests[0]?.header("via")).toBe("1.0 paastis");
    expect(upstream.requests[0]?.header("expect")).toBeNull();
  });
});

describe("socket: requests without a Host", () => {
  test("wire: HTTP/1.0 with an absolute target is routed by it, and the app gets a Host", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    await exchangeRaw(proxy.port, "GET http://shop.test/a?b HTTP/1.0\r\nX-A: 1\r\n\r\n");
    expect(proxy.handler.heads[0]?.host).toBe("shop.test");
    const [request] = upstream.requests;
    expect(request?.head.split("\r\n").slice(0, 3)).toEqual([
      "GET /a?b HTTP/1.1",
      `Host: 127.0.0.1:${upstream.port}`,
      "X-A: 1",
    ]);
    expect(request?.header("x-forwarded-host")).toBe("shop.test");
  });

  test("wire: HTTP/1.0 that names no host at all is refused", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    const answer = await exchangeRaw(proxy.port, "GET / HTTP/1.0\r\n\r\n");
    expect(answer.status).toBe(400);
    expect(upstream.requests).toEqual([]);
  });
});

describe("socket: bodies", () => {
  test("wire: a POST with an empty body whose kept connection dies is not sent twice", async () => {
    let posts = 0;
    using upstream = await startRawUpstream((connection, piece) => {
      const isPost = piece.startsWith("POST");
      if (isPost) posts += 1;
      if (isPost) connection.end();
      else connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    expect((await client.answer()).status).toBe(200);
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n");
    expect((await client.answer()).status).toBe(502);
    expect(posts).toBe(1);
  });

  test.each(["GET", "HEAD", "DELETE", "OPTIONS"])(
    "wire: a body on %s is forwarded",
    async (method) => {
      using upstream = await startScriptedUpstream(async (request) => {
        await request.complete();
        request.reply("got");
      });
      await using proxy = startSocketEngine(upstream.origin);
      const bodies = [
        "Content-Length: 4\r\n\r\nbody",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
      ];
      for (const [index, body] of bodies.entries()) {
        await exchangeRaw(proxy.port, `${method} / HTTP/1.1\r\nHost: a.test\r\n${body}`);
        expect(upstream.requests[index]?.body).toBe("body");
      }
      expect(upstream.requests.length).toBe(2);
    },
  );

  test("wire: trailers of a request arrive, and what follows is the next request", async () => {
    using upstream = await startRawUpstream((connection, piece) => {
      if (piece.includes("0\r\nX-T: 1\r\n\r\n") || piece.startsWith("GET /2")) connection.write(OK);
    });
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    const body = "3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
    client.send(
      `POST /1 HTTP/1.1\r\nHost: a.test\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n${body}${get("/2")}`,
    );
    expect((await client.answer()).body).toBe("ok");
    expect((await client.answer()).body).toBe("ok");
    const [connection] = upstream.connections;
    expect(connection?.received).toContain("\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n");
    expect(connection?.received).toContain(`\r\n\r\n${body}GET /2 HTTP/1.1\r\n`);
  });

  test("wire: a wait for 100 is the app's to end, and its refusal comes before the body", async () => {
    using upstream = await startRawUpstream((connection, piece) => {
      if (piece.startsWith("POST /yes")) connection.write("HTTP/1.1 100 Continue\r\n\r\n");
      if (piece.startsWith("POST /no"))
        connection.write("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
      if (piece.endsWith("body")) connection.write(OK);
    });
    await using proxy = startSocketEngine(upstream.origin);
    const head = (target: string) =>
      `POST ${target} HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`;
    using client = await connectRaw(proxy.port);
    client.send(head("/yes"));
    await client.until(() => client.received === "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    expect((await client.answer()).body).toBe("ok");
    using refused = await connectRaw(proxy.port);
    refused.send(head("/no"));
    const answer = await refused.answer();
    expect([answer.status, answer.header("connection")]).toEqual([413, "close"]);
  });

  test("wire: a slow target stops a fast upload, and nothing is lost", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    const bytes = 40_000_000;
    client.send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${bytes}\r\n\r\n`);
    const connection = await upstream.received("\r\n\r\n");
    let received = 0;
    connection.socket.removeAllListeners("data");
    connection.socket.pause();
    client.send(Buffer.alloc(bytes, 120));
    connection.socket.on("data", (data) => {
      received += data.length;
    });
    connection.socket.resume();
    await until(() => received === bytes);
    connection.write(OK);
    expect((await client.answer()).body).toBe("ok");
  }, 60_000);
});

describe("socket: pipelining", () => {
  test("wire: requests that come together are answered in order, one at a time upstream", async () => {
    const waiting: (() => void)[] = [];
    using upstream = await startScriptedUpstream((request) => {
      waiting.push(() => request.reply(`${request.target}:${request.body}`));
    });
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    const post = "POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    client.send(`${get("/1")}${post}${get("/3")}`);
    for (const [index, body] of ["/1:", "/2:abc", "/3:"].entries()) {
      await until(() => waiting.length === index + 1);
      expect(upstream.requests.length).toBe(index + 1);
      waiting[index]?.();
      expect((await client.answer()).body).toBe(body);
    }
    expect(upstream.open).toBe(1);
  });

  test("wire: a thousand requests in one packet that we answer ourselves are answered in order", async () => {
    let count = 0;
    await using proxy = startSocketEngine("http://127.0.0.1:1", {
      admit: () => {
        count += 1;
        return { kind: "answer", answer: { status: 200, headers: [], body: String(count) } };
      },
    });
    using client = await connectRaw(proxy.port);
    client.send(get("/").repeat(1_000));
    for (let index = 1; index <= 1_000; index += 1) {
      expect((await client.answer()).body).toBe(String(index));
    }
  });
});

describe("socket: unsafe input", () => {
  const smuggling: readonly [what: string, rest: string, status: number][] = [
    ["length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
    ["two lengths", "Content-Length: 0\r\nContent-Length: 30\r\n\r\n", 400],
    ["a signed length", "Content-Length: +0\r\n\r\n", 400],
    ["an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400],
    ["two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400],
    ["a blank before a colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400],
    ["a folded line", "X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n", 400],
    ["a bare line feed", "X-A: 1\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["a NUL byte", "X-A: \0\r\n\r\n", 400],
    ["a bad chunk size", "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400],
    ["a second Host", "Host: b.test\r\n\r\n", 400],
  ];
  test.each(smuggling)(
    "wire: %s is refused, the connection ends and nothing behind it is served",
    async (_what, rest, status) => {
      using upstream = await startScriptedUpstream(() => undefined);
      await using proxy = startSocketEngine(upstream.origin);
      using client = await connectRaw(proxy.port);
      client.send(`POST / HTTP/1.1\r\nHost: a.test\r\n${rest}${get("/smuggled")}`);
      const answer = await client.answer({ method: "POST" });
      expect([answer.status, answer.header("connection")]).toEqual([status, "close"]);
      await client.until(() => client.isClosed);
      expect(client.received.match(/HTTP\/1\.1/g)?.length).toBe(1);
      expect(upstream.requests.some((request) => request.target === "/smuggled")).toBe(false);
      await until(() => proxy.handler.leases === 0);
    },
  );

  const odd: readonly [what: string, request: string, status: number][] = [
    ["another host in the target", "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
    ["a target of 20 KB", get(`/${"x".repeat(20_000)}`), 414],
    ["a head of 100 KB", get("/", `X-A: ${"x".repeat(100_000)}\r\n`), 431],
    ["300 header lines", get("/", "X-A: 1\r\n".repeat(300)), 431],
    ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
    ["something else", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400],
  ];
  test.each(odd)("wire: %s is refused", async (_what, request, status) => {
    using upstream = await startScriptedUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    expect((await exchangeRaw(proxy.port, request)).status).toBe(status);
    expect(upstream.requests.length).toBe(0);
  });

  test("wire: chunks that go wrong on the way end the request upstream unfinished", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    const connection = await upstream.received("abc\r\n");
    client.send("zz\r\n");
    expect((await client.answer()).status).toBe(400);
    await until(() => connection.isClosed);
    expect(connection.received).toEndWith("abc\r\n");
    expect(proxy.handler.leases).toBe(0);
  });
});
