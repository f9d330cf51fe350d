/** What of a request's head reaches the app. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, testPaastis, useProxy } from "../support/proxy-under-test.ts";
import { withoutOurs } from "../support/proxy-under-test-reading.ts";

const proxy = useProxy();

/** The lines that the app receives, without those that a proxy may add. */
async function linesFor(request: string): Promise<readonly string[]> {
  expect((await proxy.exchange(request)).status).toBe(200);
  return withoutOurs((await proxy.upstream.request()).lines);
}

/** The request as the app received it. */
async function requestFor(request: string) {
  expect((await proxy.exchange(request)).status).toBe(200);
  return await proxy.upstream.request();
}

describe("request headers: nothing is invented", () => {
  test("a bare GET reaches the app with a Host and nothing else", async () => {
    expect(await linesFor(ask("GET /"))).toEqual([`Host: ${proxy.upstream.host}`]);
  });

  test("a bare POST reaches the app with its length and nothing else", async () => {
    const lines = await linesFor(`${ask("POST /", "Content-Length: 2")}hi`);
    expect(lines).toEqual([`Host: ${proxy.upstream.host}`, "Content-Length: 2"]);
  });

  test("a browser's whole head reaches the app line by line, but for the connection's own", async () => {
    const own = [
      'sec-ch-ua: "Chromium";v="120"',
      "Upgrade-Insecure-Requests: 1",
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
      "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
      "Sec-Fetch-Mode: navigate",
      "Referer: http://elsewhere.test/a?b",
      "Accept-Encoding: gzip, deflate, br, zstd",
      "Accept-Language: de,en;q=0.5",
      "Cookie: a=1; b=2",
      'If-None-Match: W/"x"',
      "Cache-Control: max-age=0",
    ];
    const lines = await linesFor(ask("GET /", "Connection: keep-alive", ...own));
    expect(lines).toEqual([`Host: ${proxy.upstream.host}`, ...own]);
  });

  const inventions = ["user-agent", "accept", "accept-encoding", "content-type", "content-length"];
  test.each(inventions)("a request without %s reaches the app without it", async (name) => {
    expect((await requestFor(ask("GET /"))).all(name)).toEqual([]);
  });
});

describe("request headers: what belongs to the connection", () => {
  const hopByHop = [
    "Connection: keep-alive",
    "Connection: close",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic eDp5",
    "Upgrade: h2c",
    "TE: gzip",
  ];
  test.each(hopByHop)("%p does not reach the app", async (line) => {
    const [name = "", value = ""] = line.split(": ");
    const request = await requestFor(ask("GET /", line));
    expect(request.all(name)).not.toContain(value);
  });

  test("a header named in Connection does not reach the app", async () => {
    const request = await requestFor(
      ask("GET /", "X-Mine: 1", "Connection: x-mine, X-Other", "X-Other: 2", "X-Kept: 3"),
    );
    expect([request.all("x-mine"), request.all("x-other"), request.all("x-kept")]).toEqual([
      [],
      [],
      ["3"],
    ]);
  });

  test("a header named in the second of two Connection lines does not reach the app", async () => {
    const request = await requestFor(
      ask("GET /", "Connection: keep-alive", "X-Mine: 1", "Connection: X-Mine"),
    );
    expect(request.all("x-mine")).toEqual([]);
  });

  const needed = ["Host", "Cookie", "Authorization", "X-Forwarded-For", "Content-Length"];
  test.each(needed)("Connection cannot take %s from a request", async (name) => {
    const own = ["Cookie: a=1", "Authorization: Bearer x", "Content-Length: 2"];
    const request = await requestFor(`${ask("POST /", `Connection: ${name}`, ...own)}hi`);
    expect(request.all(name)).toHaveLength(1);
    expect(request.body).toBe("hi");
  });

  test("TE: trailers reaches the app, the other codings in it do not", async () => {
    const request = await requestFor(ask("GET /", "TE: gzip, trailers", "Connection: TE"));
    expect(request.all("te")).toEqual(["trailers"]);
  });

  test("an upgrade to something other than a websocket is a plain request to the app", async () => {
    const request = await requestFor(
      ask("GET /", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAA"),
    );
    expect([request.all("upgrade"), request.all("http2-settings")]).toEqual([[], []]);
  });

  test("an Upgrade: websocket that Connection does not name is a plain request to the app", async () => {
    expect((await requestFor(ask("GET /", "Upgrade: websocket"))).all("upgrade")).toEqual([]);
  });
});

describe("request headers: as they came", () => {
  test("order is kept", async () => {
    const own = ["X-Z: 1", "A: 2", "User-Agent: x", "X-B: 3", "Accept: y", "X-A: 4"];
    const lines = await linesFor(ask("GET /", ...own));
    expect(lines.filter((line) => !/^(host|connection):/i.test(line))).toEqual(own);
  });

  test("the case of names is kept", async () => {
    const lines = await linesFor(ask("GET /", "x-lower: 1", "X-UPPER: 2", "x-MiXeD: 3"));
    for (const line of ["x-lower: 1", "X-UPPER: 2", "x-MiXeD: 3"]) expect(lines).toContain(line);
  });

  test("blanks around a value change nothing in it", async () => {
    const request = await requestFor(ask("GET /", "X-A:1", "X-B: \t a  b\tc \t", "X-C:"));
    expect([request.header("x-a"), request.header("x-b"), request.header("x-c")]).toEqual([
      "1",
      "a  b\tc",
      "",
    ]);
  });

  const repeated = ["X-Many", "Accept", "Cookie", "Link", "If-None-Match", "X-Forwarded"];
  test.each(repeated)("two %s lines reach the app as two lines, in order", async (name) => {
    const request = await requestFor(ask("GET /", `${name}: b=2`, "X-Between: 0", `${name}: a=1`));
    expect(request.all(name)).toEqual(["b=2", "a=1"]);
  });

  const odd: readonly [what: string, line: string][] = [
    ["bytes of UTF-8 in a value", "X-A: caf\xc3\xa9"],
    ["bytes that are no UTF-8 in a value", "X-A: caf\xe9\xff"],
    ["all characters of a token in a name", "!#$%&'*+-.^_`|~0aZ: 1"],
    ["an underscore in a name", "X_A: 1"],
    ["a dot in a name", "X.A: 1"],
    ["quotes, commas and semicolons in a value", "X-A: \"a,b\";c='d', e"],
    ["colons in a value", "X-A: a:b: c"],
    ["a value of 15,000 bytes", `X-A: ${"x".repeat(15_000)}`],
    ["a tracing context", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ["a tracing state", "tracestate: a=1,b=2"],
    ["a method override", "X-HTTP-Method-Override: DELETE"],
    ["an Authorization", "Authorization: Bearer a.b-c_d=="],
    ["a Range", "Range: bytes=0-1,5-"],
    ["an If-Range", 'If-Range: "x"'],
    ["a Sec-WebSocket-Key without an upgrade", "Sec-WebSocket-Key: abc"],
    ["a Max-Forwards", "Max-Forwards: 3"],
  ];
  test.each(odd)("%s reaches the app unchanged", async (_what, line) => {
    expect(await linesFor(ask("GET /", line))).toContain(line);
  });

  test("100 header lines reach the app", async () => {
    const own = Array.from({ length: 100 }, (_, index) => `X-${index}: ${index}`);
    expect((await linesFor(ask("GET /", ...own))).slice(-100)).toEqual(own);
  });

  test("a request of HTTP/1.0 reaches the app with one Host", async () => {
    const request = await requestFor(`GET / HTTP/1.0\r\nHost: ${HOST}\r\nX-A: 1\r\n\r\n`);
    expect([request.all("host"), request.all("x-a")]).toEqual([[proxy.upstream.host], ["1"]]);
  });
});

describe("request headers: who asked", () => {
  test("the app is told the client's address, scheme, host and port", async () => {
    const request = await requestFor(ask("GET /"));
    const said = ["for", "proto", "host", "port"].map((what) => request.all(`x-forwarded-${what}`));
    expect(said).toEqual([["127.0.0.1"], ["http"], [HOST], ["80"]]);
  });

  test("the port of the Host is told to the app", async () => {
    const request = await requestFor(`GET / HTTP/1.1\r\nHost: ${HOST}:8443\r\n\r\n`);
    expect(request.all("x-forwarded-port")).toEqual(["8443"]);
    expect(request.all("x-forwarded-host")).toEqual([`${HOST}:8443`]);
  });

  test("Via says that a proxy stands in between", async () => {
    expect((await requestFor(ask("GET /"))).all("via")).toHaveLength(1);
  });

  test("Via is appended to one that is there", async () => {
    const vias = (await requestFor(ask("GET /", "Via: 1.0 before"))).all("via").join(", ");
    expect(vias).toStartWith("1.0 before, ");
  });

  const lies = [
    "X-Forwarded-For: 6.6.6.6",
    "x-forwarded-for: 6.6.6.6, 7.7.7.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Server: evil.test",
    "X-Real-IP: 6.6.6.6",
    "X_Forwarded_For: 6.6.6.6",
    "X-Original-URL: /admin",
    "X-Rewrite-URL: /admin",
    "Forwarded: for=6.6.6.6;proto=https;host=evil.test",
    "True-Client-IP: 6.6.6.6",
    "Proxy: http://evil.test:1",
  ];
  test.each(lies)("a client's own %p is not believed", async (line) => {
    const request = await requestFor(ask("GET /", line));
    const value = line.slice(line.indexOf(":") + 2);
    expect(request.lines.filter((sent) => sent.includes(value))).toEqual([]);
  });

  test("a client's two X-Forwarded-For lines are both replaced", async () => {
    const request = await requestFor(
      ask("GET /", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"),
    );
    expect(request.all("x-forwarded-for")).toEqual(["127.0.0.1"]);
  });

  test("an X-Request-Id that the client sent is kept", async () => {
    expect((await requestFor(ask("GET /", "X-Request-Id: mine-1"))).all("x-request-id")).toEqual([
      "mine-1",
    ]);
  });

  test("a request without X-Request-Id gets one of its own", async () => {
    const first = await requestFor(ask("GET /"));
    await proxy.exchange(ask("GET /"));
    const second = await proxy.upstream.request(1);
    const ids = [...first.all("x-request-id"), ...second.all("x-request-id")];
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[\w.:-]{8,}$/);
  });
});

describe("request headers: Host and Origin", () => {
  test("Host is the app's own", async () => {
    expect((await requestFor(ask("GET /"))).all("host")).toEqual([proxy.upstream.host]);
  });

  testPaastis("Host stays the client's where the app wants it", async () => {
    const request = await requestFor("GET / HTTP/1.1\r\nHost: kept.test:81\r\n\r\n");
    expect(request.all("host")).toEqual(["kept.test:81"]);
  });

  testPaastis("Origin stays the client's where the app keeps the client's Host", async () => {
    const request = await requestFor(
      "GET / HTTP/1.1\r\nHost: kept.test\r\nOrigin: http://kept.test\r\n\r\n",
    );
    expect(request.all("origin")).toEqual(["http://kept.test"]);
  });

  test("an Origin that is the public one becomes the app's", async () => {
    const request = await requestFor(ask("GET /", `Origin: http://${HOST}`));
    expect(request.all("origin")).toEqual([proxy.upstream.origin]);
  });

  const foreign = [
    "http://elsewhere.test",
    "null",
    `http://${HOST}.evil.test`,
    `http://evil${HOST}`,
    `http://${HOST}:81`,
  ];
  test.each(foreign)("an Origin of %p stays what it is", async (origin) => {
    expect((await requestFor(ask("GET /", `Origin: ${origin}`))).all("origin")).toEqual([origin]);
  });

  test("the position of Host among the headers is kept", async () => {
    const lines = await linesFor(`GET / HTTP/1.1\r\nX-A: 1\r\nHost: ${HOST}\r\nX-B: 2\r\n\r\n`);
    expect(lines).toEqual(["X-A: 1", `Host: ${proxy.upstream.host}`, "X-B: 2"]);
  });
});

describe("request headers: the way to the app", () => {
  testPaastis(
    "HTTP_PROXY, http_proxy and ALL_PROXY in the environment divert nothing",
    async () => {
      expect((await proxy.exchange(ask("GET /"))).body).toBe("ok");
      expect(proxy.upstream.requests).toHaveLength(1);
      expect(proxy.trap.connections).toHaveLength(0);
    },
  );
});
