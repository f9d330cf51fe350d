import { describe, expect, test } from "bun:test";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { declared } from "./exceptions.ts";

const get = (rest: string, extra = "") => `GET ${rest} HTTP/1.1\r\nHost: shop.test\r\n${extra}\r\n`;

describe.each(ENGINES)("$name: requests", (engine) => {
  const methods = "GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND REPORT SEARCH PURGE".split(" ");
  test.each(methods)("wire: %s is forwarded with its target and its answer", async (method) => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(
      proxy.port,
      `${method} /a/b;c?d=e&f=%2F%20+ HTTP/1.1\r\nHost: shop.test\r\n\r\n`,
    );
    expect(answer.status).toBe(200);
    expect(answer.body).toBe(method === "HEAD" ? "" : "hello");
    expect(upstream.requests[0]?.method).toBe(method);
    expect(upstream.requests[0]?.target).toBe("/a/b;c?d=e&f=%2F%20+");
  });

  const targets = ["/", "/?", "/a?", "/%2e%2F%00%zz", "/a//b", "/~|[]@:!$&()*+,;=", "/?q=a?b/c&&="];
  test.each(targets)("wire: target %p arrives as it was sent", async (target) => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    await exchangeRaw(proxy.port, get(target));
    expect(upstream.requests[0]?.target).toBe(target);
  });

  test("wire: the core sees the same path that is forwarded", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    const targets = ["//admin", "/a/../admin", "/.//x", "///x?y"];
    for (const target of targets) await exchangeRaw(proxy.port, get(target));
    const seen = proxy.handler.heads.map((head) => head.target);
    expect(upstream.requests.map((request) => request.target)).toEqual(seen);
    const normalised = ["/admin", "/admin", "/x", "/x?y"];
    expect(seen).toEqual(engine.name === "fetch" ? normalised : targets);
  });

  test("wire: headers arrive unchanged but for the connection's own and what says who asked", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    await exchangeRaw(
      proxy.port,
      get(
        "/",
        [
          "Connection: close, X-Mine, Cookie, Host",
          "X-Mine: 1",
          "Keep-Alive: timeout=5",
          "TE: trailers",
          "Expect: 100-continue",
          "Proxy-Connection: keep-alive",
          "X-Forwarded-For: 6.6.6.6",
          "X-Real-IP: 6.6.6.6",
          "Forwarded: for=6.6.6.6",
          "Cookie: a=1",
          "Cookie: b=2",
          "Authorization: Bearer x",
          "User-Agent: raw",
          "Accept: text/html",
          "X-Latin: caf\xe9",
          "X-Empty:",
          "",
        ].join("\r\n"),
      ),
    );
    const [, ...lines] = upstream.requests[0]?.head.split("\r\n") ?? [];
    const own = lines.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase())).sort();
    expect(own).toEqual([
      "accept: text/html",
      "authorization: Bearer x",
      ...(engine.name === "fetch"
        ? ["connection: keep-alive", "cookie: a=1; b=2"]
        : ["cookie: a=1", "cookie: b=2", "expect: 100-continue"]),
      `host: 127.0.0.1:${upstream.port}`,
      ...(engine.name === "fetch" ? [] : ["te: trailers"]),
      "user-agent: raw",
      "via: 1.1 paastis",
      "x-empty: ",
      "x-forwarded-for: 127.0.0.1",
      "x-forwarded-host: shop.test",
      "x-forwarded-port: 80",
      "x-forwarded-proto: http",
      "x-latin: caf\xe9",
      "x-request-id: made-for-a-test",
    ]);
  });

  declared(
    engine,
    "default headers",
    "only Accept and an empty User-Agent are invented",
    async () => {
      using upstream = await startScriptedUpstream();
      await using proxy = engine.start(upstream.origin);
      await exchangeRaw(proxy.port, get("/"));
      expect(upstream.requests[0]?.header("accept-encoding")).toBeNull();
      expect(upstream.requests[0]?.header("accept")).toBe("*/*");
      expect(upstream.requests[0]?.header("user-agent")).toBe("");
    },
  );

  test("wire: a trusted proxy's X-Forwarded-For is appended to", async () => {
    using upstream = await startScriptedUpstream();
    const forwarded = { enabled: true, trustedProxies: ["127.0.0.0/8"] };
    await using proxy = engine.start(upstream.origin, { engine: { forwarded } });
    await exchangeRaw(
      proxy.port,
      get(
        "/",
        "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 7.7.7.7\r\n",
      ),
    );
    const [request] = upstream.requests;
    expect(request?.header("x-forwarded-for")).toBe("198.51.100.1, 127.0.0.1");
    expect(request?.header("x-forwarded-proto")).toBe("https");
    expect(request?.header("x-forwarded-port")).toBe("443");
    expect(request?.header("x-real-ip")).toBe("7.7.7.7");
  });

  test("wire: with forwarded headers switched off the target learns nothing of us", async () => {
    using upstream = await startScriptedUpstream();
    const forwarded = { enabled: false, trustedProxies: [] };
    await using proxy = engine.start(upstream.origin, { engine: { forwarded } });
    await exchangeRaw(proxy.port, get("/", "X-Forwarded-For: 6.6.6.6\r\n"));
    expect(upstream.requests[0]?.head.toLowerCase()).not.toMatch(/x-forwarded|via:|x-request-id/);
  });

  test("wire: X-Request-Id and traceparent arrive as the client sent them", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const lines = ["X-Request-Id: the client's own", `traceparent: ${trace}`, "tracestate: a=1"];
    await exchangeRaw(proxy.port, get("/", `${lines.join("\r\n")}\r\n`));
    const [request] = upstream.requests;
    expect(request?.all("x-request-id")).toEqual(["the client's own"]);
    expect(request?.all("traceparent")).toEqual([trace]);
    expect(request?.all("tracestate")).toEqual(["a=1"]);
  });

  test("wire: Host and Origin are the target's, or the client's where the policy says so", async () => {
    using upstream = await startScriptedUpstream();
    const request = get("/", "Origin: http://shop.test\r\n");
    await using changed = engine.start(upstream.origin);
    await exchangeRaw(changed.port, request);
    await using kept = engine.start(upstream.origin, { preserveHost: true });
    await exchangeRaw(kept.port, request);
    const seen = upstream.requests.map((entry) => [entry.header("host"), entry.header("origin")]);
    expect(seen).toEqual([
      [`127.0.0.1:${upstream.port}`, upstream.origin],
      ["shop.test", "http://shop.test"],
    ]);
  });

  const refused: readonly [what: string, request: string, status: number][] = [
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400],
    ["a Host with a user", "GET / HTTP/1.1\r\nHost: a@b.test\r\n\r\n", 400],
    ["a Host with a path", "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400],
    ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 400],
    ["CONNECT", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", 405],
    ["TRACE", "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405],
    ["a fragment", "GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
    [
      "two equal lengths",
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
      400,
    ],
    [
      "length and chunks",
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
      400,
    ],
  ];
  test.each(refused)(
    "wire: %s is refused and forwarded nowhere",
    async (_what, request, status) => {
      using upstream = await startScriptedUpstream();
      await using proxy = engine.start(upstream.origin);
      expect((await exchangeRaw(proxy.port, request)).status).toBe(status);
      expect(upstream.requests.length).toBe(0);
      expect(proxy.handler.leases).toBe(0);
    },
  );

  declared(engine, "body on GET", "a GET with a body is refused", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    for (const body of [
      "Content-Length: 2\r\n\r\nhi",
      "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ]) {
      const request = `GET / HTTP/1.1\r\nHost: a.test\r\n${body}`;
      expect((await exchangeRaw(proxy.port, request)).status).toBe(400);
    }
    expect(upstream.requests.length).toBe(0);
  });

  declared(
    engine,
    "another host",
    "of an absolute target and another Host, Host wins",
    async () => {
      using upstream = await startScriptedUpstream();
      await using proxy = engine.start(upstream.origin);
      await exchangeRaw(
        proxy.port,
        "GET http://other.test/x?y HTTP/1.1\r\nHost: shop.test\r\n\r\n",
      );
      expect(proxy.handler.heads[0]).toMatchObject({ host: "shop.test", target: "/x?y" });
      expect(upstream.requests[0]?.target).toBe("/x?y");
    },
  );

  test("wire: the core sees the raw Host and the client's address", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin, { engine: { host: "::" } });
    await exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: 0x7F.A_b:80\r\n\r\n");
    const [head] = proxy.handler.heads;
    expect([head?.host, head?.clientAddress]).toEqual(["0x7F.A_b:80", "127.0.0.1"]);
  });

  test("wire: an upload arrives as it is sent, its first byte before its last", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply(String(request.body.length));
    });
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send("POST /up HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nhello");
    const request = await upstream.request();
    await client.until(() => request.body === "hello");
    expect(request.header("content-length")).toBe("10");
    client.send("world");
    expect((await client.answer()).body).toBe("10");
    expect(request.body).toBe("helloworld");
  });

  test("wire: a chunked upload stays chunked", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply("ok");
    });
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(
      "PUT /up HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    const request = await upstream.request();
    await client.until(() => request.body === "abc");
    expect(request.all("transfer-encoding")).toEqual(["chunked"]);
    client.send("3\r\ndef\r\n0\r\n\r\n");
    expect((await client.answer()).status).toBe(200);
    expect(request.body).toBe("abcdef");
  });

  declared(engine, "waiting for 100", "Expect is answered here and not forwarded", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply("ok");
    });
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(
      "POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    await client.until(() => client.received.startsWith("HTTP/1.1 100"));
    client.send("hi");
    expect((await client.answer()).body).toBe("ok");
    expect(upstream.requests[0]?.header("expect")).toBeNull();
  });
});
