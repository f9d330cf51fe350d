/** Bytes that two servers could read as different requests: forwarded in one reading only, or refused. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, IS_OTHER, testPaastis, useProxy } from "../support/proxy-under-test.ts";
import {
  attack,
  expectAtMostOne,
  expectRefused,
  SMUGGLED,
} from "../support/proxy-under-test-attack.ts";
import { until } from "../support/until.ts";

const proxy = useProxy();
const CHUNKED = "Transfer-Encoding: chunked";
const EMPTY = "0\r\n\r\n";

/** The lines as they stand, in a head for the app. */
const post = (...lines: readonly string[]) =>
  `POST / HTTP/1.1\r\nHost: ${HOST}\r\n${lines.join("\r\n")}\r\n\r\n`;

describe("smuggling: lengths and codings", () => {
  const vectors: readonly [what: string, bytes: string][] = [
    ["a length before a coding", post("Content-Length: 4", CHUNKED) + EMPTY],
    ["a length behind a coding", post(CHUNKED, "Content-Length: 4") + EMPTY],
    ["a length of 0 and a coding", post("Content-Length: 0", CHUNKED) + EMPTY],
    [
      "a coding and a length that covers the next request",
      post(`Content-Length: ${EMPTY.length + SMUGGLED.length}`, CHUNKED) + EMPTY,
    ],
    ["two lengths that differ", post("Content-Length: 0", `Content-Length: ${SMUGGLED.length}`)],
    ["two lengths in one line that differ", post(`Content-Length: 0, ${SMUGGLED.length}`)],
    ["two equal lengths", `${post("Content-Length: 2", "Content-Length: 2")}hi`],
    ["two equal lengths in one line", `${post("Content-Length: 2, 2")}hi`],
    ["a length with a plus", `${post("Content-Length: +2")}hi`],
    ["a length with a minus", post("Content-Length: -1")],
    ["a length in hexadecimal", `${post("Content-Length: 0x2")}hi`],
    ["a length with a fraction", `${post("Content-Length: 2.0")}hi`],
    ["a length with an exponent", post("Content-Length: 2e0")],
    ["a length with a blank inside", post("Content-Length: 1 0")],
    ["a length with letters behind", `${post("Content-Length: 2x")}hi`],
    ["an empty length", post("Content-Length:")],
    ["a length that no number can hold", post("Content-Length: 99999999999999999999")],
    ["a length one above 2^64", post("Content-Length: 18446744073709551617")],
    ["a length in quotes", `${post('Content-Length: "2"')}hi`],
    ["a length with an underscore", `${post("Content-Length: 1_0")}hi`],
    ["a length with a vertical tab", `${post("Content-Length: \v2")}hi`],
    ["a length with a form feed", `${post("Content-Length: 2\f")}hi`],
    ["a coding with an unknown name", post("Transfer-Encoding: xchunked") + EMPTY],
    ["a coding before chunked", post("Transfer-Encoding: gzip, chunked") + EMPTY],
    ["a coding behind chunked", post("Transfer-Encoding: chunked, gzip") + EMPTY],
    ["identity", post("Transfer-Encoding: identity")],
    ["identity behind chunked", post("Transfer-Encoding: chunked, identity") + EMPTY],
    ["identity with a length", `${post("Transfer-Encoding: identity", "Content-Length: 2")}hi`],
    ["chunked twice in one line", post("Transfer-Encoding: chunked, chunked") + EMPTY],
    ["chunked in two lines", post(CHUNKED, CHUNKED) + EMPTY],
    [
      "chunked, then identity in another line",
      post(CHUNKED, "Transfer-Encoding: identity") + EMPTY,
    ],
    [
      "identity, then chunked in another line",
      post("Transfer-Encoding: identity", CHUNKED) + EMPTY,
    ],
    [
      "chunked, then a coding nobody knows in another line",
      post(CHUNKED, "Transfer-Encoding: x") + EMPTY,
    ],
    ["an empty coding", post("Transfer-Encoding:")],
    ["an empty coding before chunked", post("Transfer-Encoding:", CHUNKED) + EMPTY],
    ["chunked with a parameter", post("Transfer-Encoding: chunked;q=1") + EMPTY],
    ["chunked in quotes", post('Transfer-Encoding: "chunked"') + EMPTY],
    ["chunked with a comma before", post("Transfer-Encoding: ,chunked") + EMPTY],
    ["chunked with a comma behind", post("Transfer-Encoding: chunked,") + EMPTY],
    ["chunked with a vertical tab before", post("Transfer-Encoding: \vchunked") + EMPTY],
    ["chunked with a NUL behind", post("Transfer-Encoding: chunked\0") + EMPTY],
    ["chunked with a letter of UTF-8", post("Transfer-Encoding: chun\xe2\x84\xaaed") + EMPTY],
    ["chunked with a blank inside", post("Transfer-Encoding: chu nked") + EMPTY],
    ["a blank before the colon of a coding", post("Transfer-Encoding : chunked") + EMPTY],
    ["a tab before the colon of a coding", post("Transfer-Encoding\t: chunked") + EMPTY],
    ["a blank before the colon of a length", post(`Content-Length : ${SMUGGLED.length}`)],
    ["a blank before the name of a coding", post(" Transfer-Encoding: chunked") + EMPTY],
    ["a coding in HTTP/1.0", post(CHUNKED).replace("1.1", "1.0") + EMPTY],
    [
      "a length and a coding in HTTP/1.0",
      post("Content-Length: 4", CHUNKED).replace("1.1", "1.0") + EMPTY,
    ],
    ["a length and an unknown coding", post("Content-Length: 4", "Transfer-Encoding: x") + EMPTY],
  ];
  test.each(vectors)("%s never makes two requests of one", async (_what, bytes) => {
    await expectAtMostOne(proxy, bytes + SMUGGLED);
  });

  // What follows these is a second request to every reader that goes by the book.
  const clear: readonly [what: string, bytes: string][] = [
    ["a coding named in Connection", post("Connection: Transfer-Encoding", CHUNKED) + EMPTY],
    [
      "a length named in Connection",
      `${post("Connection: Content-Length", "Content-Length: 2")}hi`,
    ],
    [
      "an underscore in the name of a coding",
      post("Transfer_Encoding: chunked", "Content-Length: 5") + EMPTY,
    ],
    [
      "an underscore in the name of a length",
      post(`Content_Length: ${SMUGGLED.length}`, "Content-Length: 0"),
    ],
  ];
  test.each(clear)("%s changes nothing about where a request ends", async (_what, bytes) => {
    const { requests, isRefused } = await attack(proxy, bytes + SMUGGLED);
    if (isRefused) return;
    const targets = requests.map(({ target }) => target);
    expect(targets.toSorted()).toEqual(["/", "/smuggled"].slice(0, targets.length));
    expect(["", "hi", EMPTY]).toContain(requests.find(({ target }) => target === "/")?.body ?? "");
  });

  test("a coding in capitals is chunked to the app as well, or refused", async () => {
    const bytes = `${post("Transfer-Encoding: CHUNKED")}2\r\nhi\r\n0\r\n\r\n`;
    const { requests } = await expectAtMostOne(proxy, bytes);
    for (const request of requests) expect(request.body).toBe("hi");
  });

  test("a length with zeros before it is the same length to the app, or refused", async () => {
    const { requests } = await expectAtMostOne(proxy, `${post("Content-Length: 0002")}hi`);
    for (const request of requests) expect(request.body).toBe("hi");
  });

  const bodyless = ["GET", "HEAD", "DELETE", "OPTIONS"];
  test.each(bodyless)("a %s with chunks is one request with a body, or refused", async (method) => {
    const chunk = `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n`;
    const { requests } = await expectAtMostOne(
      proxy,
      `${ask(`${method} /`, CHUNKED)}${chunk}${EMPTY}`,
    );
    for (const request of requests) expect(request.body).toBe(SMUGGLED);
  });

  test.each(bodyless)(
    "a %s with a length is one request with a body, or refused",
    async (method) => {
      const head = ask(`${method} /`, `Content-Length: ${SMUGGLED.length}`);
      const { requests } = await expectAtMostOne(proxy, head + SMUGGLED);
      for (const request of requests) expect(request.body).toBe(SMUGGLED);
    },
  );

  test("a request to upgrade with a body is one request, or refused", async () => {
    const lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
    const head = ask("GET /", ...lines, `Content-Length: ${SMUGGLED.length}`);
    await expectAtMostOne(proxy, head + SMUGGLED);
  });

  testPaastis("a request behind an upgrade that the app refused is not served", async () => {
    proxy.upstream.answer("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nok");
    const lines = [
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    await expectAtMostOne(proxy, ask("GET /", ...lines) + SMUGGLED);
  });
});

describe("smuggling: lines", () => {
  const vectors: readonly [what: string, bytes: string][] = [
    ["a bare LF behind the request line", `GET / HTTP/1.1\nHost: ${HOST}\r\n\r\n`],
    ["a bare LF between two headers", `GET / HTTP/1.1\r\nHost: ${HOST}\nX-A: 1\r\n\r\n`],
    ["a bare LF that hides a coding", post("X-A: 1\nTransfer-Encoding: chunked") + EMPTY],
    ["a bare LF at a head's end", `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\n`],
    ["nothing but bare LFs", `GET / HTTP/1.1\nHost: ${HOST}\n\n`],
    ["a bare CR in a value", post("X-A: 1\rTransfer-Encoding: chunked") + EMPTY],
    ["a bare CR between two headers", `GET / HTTP/1.1\r\nHost: ${HOST}\rX-A: 1\r\n\r\n`],
    ["a bare CR at a head's end", `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r`],
    ["a bare CR before a line's end", post("Content-Length: 0\r")],
    ["nothing but bare CRs", `GET / HTTP/1.1\rHost: ${HOST}\r\r`],
    ["a NUL in a value", post("X-A: a\0b")],
    ["a NUL in a name", post("X\0A: b")],
    ["a NUL instead of a line's end", post("X-A: 1\0Transfer-Encoding: chunked") + EMPTY],
    ["a control byte in a value", post("X-A: a\x01b")],
    ["a DEL in a value", post("X-A: a\x7fb")],
    ["a folded line with a blank", post("X-A: 1", " Transfer-Encoding: chunked") + EMPTY],
    ["a folded line with a tab", post("X-A: 1", "\tContent-Length: 30")],
    ["a coding in a folded line", post("Transfer-Encoding:", " chunked") + EMPTY],
    [
      "a folded line behind the request line",
      `POST / HTTP/1.1\r\n X-A: 1\r\nHost: ${HOST}\r\n\r\n`,
    ],
    ["a Host in a folded line", `GET / HTTP/1.1\r\nHost:\r\n ${HOST}\r\n\r\n`],
    ["a name with a blank", post("X A: 1")],
    ["a name with a blank behind", post("X-A : 1")],
    ["a name with a tab", post("X\tA: 1")],
    ["a name with a control byte", post("X\x01A: 1")],
    ["a name with a byte above 127", post("X\xe9: 1")],
    ["a name with brackets", post("X(A): 1")],
    ["a name with a slash", post("X/A: 1")],
    ["a name in quotes", post('"X-A": 1')],
    ["a line without a name", post(": 1")],
    ["a line without a colon", post("nonsense")],
    ["a line of blanks", post("   ")],
  ];
  test.each(vectors)("%s never makes two requests of one", async (_what, bytes) => {
    const { requests, received } = await expectAtMostOne(proxy, bytes);
    expect(received.match(/HTTP\/1\.1 200/g)?.length ?? 0).toBe(requests.length);
  });

  test("headers of the app's own request are not what a bare LF made of them", async () => {
    const { requests } = await expectAtMostOne(
      proxy,
      post("X-A: 1\nX-Admin: yes", "Content-Length: 0"),
    );
    // A line end that some read as one must reach the app as one, or not at all.
    for (const request of requests) expect(request.header("x-a") ?? "").not.toContain("X-Admin");
  });
});

describe("smuggling: chunks", () => {
  const head = post(CHUNKED);
  const vectors: readonly [what: string, body: string][] = [
    ["a size with 0x", "0x2\r\nhi\r\n0\r\n\r\n"],
    ["a size with a plus", "+2\r\nhi\r\n0\r\n\r\n"],
    ["a size with a minus", "-2\r\nhi\r\n0\r\n\r\n"],
    ["a size with a blank before", " 2\r\nhi\r\n0\r\n\r\n"],
    ["a size with a blank behind", "2 \r\nhi\r\n0\r\n\r\n"],
    ["a size with a tab behind", "2\t\r\nhi\r\n0\r\n\r\n"],
    ["a size with an underscore", "0_2\r\nhi\r\n0\r\n\r\n"],
    ["a size with a letter that is no digit", "2g\r\nhi\r\n0\r\n\r\n"],
    ["an empty size", "\r\nhi\r\n0\r\n\r\n"],
    ["a size of nothing but an extension", ";a=b\r\nhi\r\n0\r\n\r\n"],
    ["a size that no number can hold", "fffffffffffffffff2\r\nhi\r\n0\r\n\r\n"],
    ["a size of 2^64 and 2", "10000000000000002\r\nhi\r\n0\r\n\r\n"],
    ["a size that ends with a bare LF", "2\nhi\r\n0\r\n\r\n"],
    ["a size that ends with a bare CR", "2\rhi\r\n0\r\n\r\n"],
    ["a last chunk that ends with a bare LF", "2\r\nhi\r\n0\n\r\n"],
    ["data that end with a bare LF", "2\r\nhi\n0\r\n\r\n"],
    ["data that end with other bytes", "2\r\nhiXX0\r\n\r\n"],
    ["data longer than their size", "2\r\nhi!\r\n0\r\n\r\n"],
    ["data shorter than their size", "3\r\nhi\r\n0\r\n\r\n"],
    ["an end with a bare LF", "2\r\nhi\r\n0\r\n\n"],
    ["an end with a bare CR", "2\r\nhi\r\n0\r\n\rX"],
    ["a bare LF in an extension", "2;a\nb\r\nhi\r\n0\r\n\r\n"],
    ["a bare CR in an extension", "2;a\rb\r\nhi\r\n0\r\n\r\n"],
    ["a NUL in an extension", "2;a\0\r\nhi\r\n0\r\n\r\n"],
    ["a bare LF in the last chunk's extension", "0;\nX: 1\r\n\r\n"],
    ["a trailer with a bare LF", "0\r\nX-A: 1\nX-B: 2\r\n\r\n"],
    ["a trailer without a colon", "0\r\nnonsense\r\n\r\n"],
    ["a trailer with a blank before its colon", "0\r\nX-A : 1\r\n\r\n"],
    ["a folded trailer", "0\r\nX-A: 1\r\n b\r\n\r\n"],
    ["a trailer with a NUL", "0\r\nX-A: \0\r\n\r\n"],
  ];
  test.each(vectors)("%s never makes two requests of one", async (_what, body) => {
    const { requests } = await expectAtMostOne(proxy, head + body);
    for (const request of requests) expect(["hi", "hi!", "hi\r", ""]).toContain(request.body);
  });

  const tolerable: readonly [what: string, body: string][] = [
    ["an extension", "2;a=b\r\nhi\r\n0\r\n\r\n"],
    ["an extension in quotes", '2;a="b;c"\r\nhi\r\n0\r\n\r\n'],
    ["an extension of the last chunk", "2\r\nhi\r\n0;a\r\n\r\n"],
    ["zeros before a size", "0002\r\nhi\r\n0\r\n\r\n"],
    ["a last chunk of many zeros", "2\r\nhi\r\n0000\r\n\r\n"],
    ["a size in capitals", "A\r\n0123456789\r\n0\r\n\r\n"],
  ];
  test.each(tolerable)("%s is forwarded in one reading, or refused", async (_what, body) => {
    const { requests } = await expectAtMostOne(proxy, head + body);
    for (const request of requests) expect(["hi", "0123456789"]).toContain(request.body);
  });

  test("10,000 bytes of an extension for each byte of data are refused, or kept from the app", async () => {
    const chunk = `1;${"x".repeat(10_000)}\r\na\r\n`;
    const { requests } = await expectAtMostOne(proxy, `${head}${chunk.repeat(10)}0\r\n\r\n`);
    for (const request of requests) expect(request.body).toBe("a".repeat(10));
  });

  const forbidden = [
    `Content-Length: ${SMUGGLED.length}`,
    CHUNKED,
    "Host: evil.test",
    "Authorization: Bearer evil",
    "Cookie: evil=1",
    "X-Forwarded-For: 6.6.6.6",
    "Content-Encoding: gzip",
  ];
  test.each(forbidden)("the trailer %p is refused, or kept from the app", async (trailer) => {
    const { requests } = await expectAtMostOne(proxy, `${head}2\r\nhi\r\n0\r\n${trailer}\r\n\r\n`);
    for (const request of requests) expect(request.trailers).toEqual([]);
  });

  test("chunks that go wrong on their way end the app's request unfinished", async () => {
    using client = await proxy.connect();
    client.send(`${head}3\r\nabc\r\n`);
    const connection = await proxy.upstream.received("abc");
    client.send(`zz\r\n${SMUGGLED}`);
    await until(() => connection.isClosed);
    await client.until(() => client.isClosed);
    expect(proxy.upstream.requests).toEqual([]);
    expect(client.received).not.toContain("200 OK");
  });

  test("a request behind chunks that were refused is not served", async () => {
    await expectRefused(proxy, `${head}0x0\r\n\r\n${SMUGGLED}`);
  });
});

describe("smuggling: hosts", () => {
  const absolute: readonly [what: string, bytes: string][] = [
    ["another host in the target", `GET http://evil.test/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
    ["another port in the target", `GET http://${HOST}:81/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
    ["a user in the target", `GET http://a@${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
    [
      "this host as a user in the target",
      `GET http://${HOST}@evil.test/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
    ],
    [
      "a backslash in the target's host",
      `GET http://${HOST}\\@evil.test/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
    ],
    ["another scheme in the target", `GET ftp://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
    ["no host in the target", `GET http:///a HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
  ];
  test.each(absolute)(
    "%s is refused, or one request of the app's own Host",
    async (_what, bytes) => {
      const { requests } = await expectAtMostOne(proxy, bytes);
      for (const request of requests) {
        expect(request.all("host")).toEqual([proxy.upstream.host]);
        expect(request.target).toMatch(/^\//);
      }
    },
  );

  const hosts: readonly [what: string, bytes: string][] = [
    ["two Hosts that differ", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nHost: evil.test\r\n\r\n`],
    ["two equal Hosts", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nHost: ${HOST}\r\n\r\n`],
    [
      "two Hosts with other headers between",
      `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-A: 1\r\nhost: evil.test\r\n\r\n`,
    ],
    ["no Host", "GET / HTTP/1.1\r\n\r\n"],
    ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"],
    ["a Host with a user", `GET / HTTP/1.1\r\nHost: a@${HOST}\r\n\r\n`],
    ["a Host with a path", `GET / HTTP/1.1\r\nHost: ${HOST}/x\r\n\r\n`],
    ["a Host with a query", `GET / HTTP/1.1\r\nHost: ${HOST}?x\r\n\r\n`],
    ["a Host with a fragment", `GET / HTTP/1.1\r\nHost: ${HOST}#x\r\n\r\n`],
    ["a Host with a backslash", `GET / HTTP/1.1\r\nHost: ${HOST}\\x\r\n\r\n`],
    ["a Host with a blank", "GET / HTTP/1.1\r\nHost: shop test\r\n\r\n"],
    ["a Host with a NUL", `GET / HTTP/1.1\r\nHost: ${HOST}\0.evil.test\r\n\r\n`],
    ["a Host with bytes above 127", "GET / HTTP/1.1\r\nHost: sh\xf6p.test\r\n\r\n"],
    ["a Host with two ports", `GET / HTTP/1.1\r\nHost: ${HOST}:80:81\r\n\r\n`],
    ["a Host with a port of letters", `GET / HTTP/1.1\r\nHost: ${HOST}:http\r\n\r\n`],
    ["a Host with a scheme", `GET / HTTP/1.1\r\nHost: http://${HOST}\r\n\r\n`],
    ["a Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"],
    ["a Host with a quote", `GET / HTTP/1.1\r\nHost: ${HOST}"\r\n\r\n`],
  ];
  test.each(hosts)("%s is refused and reaches nobody", async (_what, bytes) => {
    await expectRefused(proxy, bytes);
  });

  // Names by the grammar of URIs, if by no other: whoever asks for one app only may not mind.
  const odd: readonly [what: string, bytes: string][] = [
    ["two Hosts in one line", `GET / HTTP/1.1\r\nHost: ${HOST}, evil.test\r\n\r\n`],
    ["a Host with an encoded dot", "GET / HTTP/1.1\r\nHost: shop%2etest\r\n\r\n"],
    ["a Host with an encoded slash", `GET / HTTP/1.1\r\nHost: ${HOST}%2fx\r\n\r\n`],
    ["a Host with a port above 65535", `GET / HTTP/1.1\r\nHost: ${HOST}:65536\r\n\r\n`],
    [
      "a Host of 300 bytes",
      `GET / HTTP/1.1\r\nHost: ${"a".repeat(63)}.${"b.".repeat(118)}\r\n\r\n`,
    ],
    ["a Host with a comma", `GET / HTTP/1.1\r\nHost: ${HOST},\r\n\r\n`],
    ["a Host with a semicolon", `GET / HTTP/1.1\r\nHost: ${HOST};x\r\n\r\n`],
  ];
  test.each(odd)("%s is refused, or one request of the app's own Host", async (_what, bytes) => {
    const { requests, isRefused } = await expectAtMostOne(proxy, bytes);
    for (const request of requests) expect(request.all("host")).toEqual([proxy.upstream.host]);
    if (!IS_OTHER) expect(isRefused).toBe(true);
  });
});
