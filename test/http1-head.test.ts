/** Heads of requests: what is read, what is refused, and when. */

import { describe, expect, test } from "bun:test";
import { fieldValue } from "../src/engines/http1-fields.ts";
import {
  createRequestHeadReader,
  type HeadReader,
  type HeadResult,
  type Http1RequestHead,
} from "../src/engines/http1-head.ts";
import type { Refusal } from "../src/engines/http1-refusal.ts";
import { bytesOf, headOf, LIMITS, readRequest, refusalOf } from "./support/http1-heads.ts";

/** A GET with these lines after its Host. */
function requestWith(...lines: readonly string[]): string {
  return `GET / HTTP/1.1\r\nHost: a.example\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

describe("request: what is read", () => {
  test("a usual head gives method, target, version, host and its fields in order", () => {
    const text =
      "POST /a/../b//c%2Fd?x=1&y= HTTP/1.1\r\nHost: Shop.example:8080\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\n\r\n";
    const result = readRequest(`${text}the body`);
    expect(result).toMatchObject({ kind: "head", end: text.length });
    expect(headOf(result)).toEqual({
      method: "POST",
      target: "/a/../b//c%2Fd?x=1&y=",
      form: "origin",
      path: "/a/../b//c%2Fd?x=1&y=",
      authority: null,
      minor: 1,
      host: "Shop.example:8080",
      fields: [
        { name: "host", value: "Shop.example:8080", line: "Host: Shop.example:8080" },
        { name: "x-b", value: "1", line: "X-B: 1" },
        { name: "x-a", value: "2", line: "x-a: 2" },
        { name: "x-b", value: "3", line: "X-B: 3" },
      ],
      contentLengths: [],
      transferEncoding: null,
      connection: [],
      persistent: true,
      upgrade: null,
      expectsContinue: false,
      acceptsTrailers: false,
      isHostless: false,
    });
  });

  test("targets pass byte for byte, whatever an app may make of them", () => {
    const targets = [
      "/",
      "//",
      "/a//b/./..",
      "/%2e%2E/%zz%",
      "/\\x",
      '/"<>^`{|}',
      "/?",
      "/?a?b",
      "/a:b@c;d",
      "/\xe9\xff",
      "/*",
    ];
    for (const target of targets) {
      const head = headOf(readRequest(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`));
      expect([head.target, head.path, head.form]).toEqual([target, target, "origin"]);
    }
  });

  test("values keep every byte, and lose only the blanks around them", () => {
    const cases: readonly (readonly [line: string, value: string, sent: string])[] = [
      ["X-A:1", "1", "X-A: 1"],
      ["X-A: \t 1 \t ", "1", "X-A: 1"],
      ["X-A:  1", "1", "X-A: 1"],
      ["X-A: 1 ", "1", "X-A: 1"],
      ["X-A: a  b\tc", "a  b\tc", "X-A: a  b\tc"],
      ["X-A:", "", "X-A: "],
      ["X-A:   ", "", "X-A: "],
      ["X-A: \xa0\xe9\xff\xa0", "\xa0\xe9\xff\xa0", "X-A: \xa0\xe9\xff\xa0"],
      ['X-A: ":;,\\', '":;,\\', 'X-A: ":;,\\'],
      ["x-A: :x:", ":x:", "x-A: :x:"],
      ["!#$%&'*+-.^_`|~0Az: x", "x", "!#$%&'*+-.^_`|~0Az: x"],
    ];
    for (const [line, value, sent] of cases) {
      const field = headOf(readRequest(requestWith(line))).fields[1];
      expect(field).toEqual({
        name: line.slice(0, line.indexOf(":")).toLowerCase(),
        value,
        line: sent,
      });
    }
  });

  test("any token is a method, with its case", () => {
    for (const method of ["GET", "get", "M-SEARCH", "QUERY", "!#$%&'*+-.^_`|~", "X".repeat(32)]) {
      expect(headOf(readRequest(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`)).method).toBe(method);
    }
  });

  test("names that every object has are names like others", () => {
    const head = headOf(readRequest(requestWith("__proto__: 1", "constructor: 2", "toString: 3")));
    expect(head.fields.map(({ name }) => name).slice(1)).toEqual([
      "__proto__",
      "constructor",
      "tostring",
    ]);
    expect(fieldValue(head.fields, "valueof")).toBeNull();
  });

  test("two empty lines may come first, and count as bytes of the head", () => {
    const text = `\r\n\r\n${requestWith()}`;
    expect(readRequest(text)).toMatchObject({ kind: "head", end: text.length });
    expect(headOf(readRequest(text)).method).toBe("GET");
    expect(readRequest(text, { ...LIMITS, headBytesMax: text.length - 1 }).kind).toBe("refused");
  });

  test("several lines of one name are looked up as one list", () => {
    const { fields } = headOf(readRequest(requestWith("X-A: 1", "x-a: 2", "X-B: ")));
    expect(fieldValue(fields, "x-a")).toBe("1, 2");
    expect(fieldValue(fields, "x-b")).toBe("");
    expect(fieldValue(fields, "x-c")).toBeNull();
  });

  test("HTTP/1.0 may come without Host", () => {
    expect(headOf(readRequest("GET / HTTP/1.0\r\n\r\n"))).toMatchObject({ minor: 0, host: null });
  });

  test("OPTIONS may ask for the whole server", () => {
    const head = headOf(readRequest("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"));
    expect(head).toMatchObject({ target: "*", form: "asterisk", path: "*" });
  });

  test("CONNECT names a host and a port", () => {
    const head = headOf(readRequest("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n"));
    expect(head).toMatchObject({ form: "authority", authority: "b.example:443", path: "" });
  });
});

describe("request: the first line", () => {
  const cases: readonly (readonly [line: string, status: number, why: RegExp])[] = [
    ["GET  / HTTP/1.1\r\n", 400, /target begins with a space/],
    ["GET /  HTTP/1.1\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET\t/ HTTP/1.1\r\n", 400, /method contains a tab/],
    ["GET /\tHTTP/1.1\r\n", 400, /target contains a tab/],
    [" GET / HTTP/1.1\r\n", 400, /method begins with a space/],
    ["GET / HTTP/1.1 \r\n", 400, /a space stands in the first line/],
    ["GET /a b HTTP/1.1\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET /#a HTTP/1.1\r\n", 400, /target contains "#"/],
    ["GET # HTTP/1.1\r\n", 400, /target begins with "#"/],
    ["GET /\x00 HTTP/1.1\r\n", 400, /target contains a NUL byte/],
    ["GET /\x7f HTTP/1.1\r\n", 400, /target contains the byte 0x7f/],
    ["GET / HTTP/1.1\n", 400, /bare line feed/],
    ["GET / HTTP/1.1\r\r\n", 400, /carriage return without a line feed/],
    ["GET / HTTP/1.1\rX", 400, /carriage return without a line feed/],
    ["GET /\r\n", 400, /no HTTP version/],
    ["GET\r\n", 400, /no target/],
    ["GET /\n", 400, /no HTTP version/],
    ["GET \r\n", 400, /no HTTP version/],
    ["G(T / HTTP/1.1\r\n", 400, /method contains "\("/],
    ["G\xc9T / HTTP/1.1\r\n", 400, /method contains the byte 0xc9/],
    ["\x00", 400, /method begins with a NUL byte/],
    ["\n", 400, /method begins with a line feed/],
    ["\r\r", 400, /carriage return without a line feed/],
    ["\r\n\r\n\r", 400, /too many empty lines/],
    ["\r\n\n", 400, /method begins with a line feed/],
    ["GET / http/1.1\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET / HTTP /1.1\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET / HTTP/1,1\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET / HTTP/1.\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET / HTTP/.1\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET / HTTP/11\r\n", 400, /"HTTP\/1.1" must stand/],
    ["GET / HTTP/1.10\r\n", 400, /"0" stands in the first line/],
    ["GET / HTTP/1.2\r\n", 505, /only HTTP\/1.1/],
    ["GET / HTTP/2\r\n", 505, /only HTTP\/1.1/],
    ["GET / HTTP/0.1\r\n", 505, /only HTTP\/1.1/],
    ["GET / HTTP/0.9\r\n", 505, /only HTTP\/1.1/],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, /only HTTP\/1.1/],
    ["\x16\x03\x01\x02\x00\x01", 400, /looks like TLS/],
    [`${"X".repeat(33)} / HTTP/1.1\r\n`, 501, /method is longer/],
    ["X".repeat(33), 501, /method is longer/],
    [`GET /${"x".repeat(1024)}`, 414, /longer than 1024 bytes/],
  ];
  for (const [line, status, why] of cases) {
    test(`${JSON.stringify(line.slice(0, 40))} is refused with ${status}`, () => {
      const refusal = refusalOf(readRequest(`${line}Host: a\r\n\r\n`));
      expect(refusal).toMatchObject({ code: CODES[status], status });
      expect(refusal.why).toMatch(why);
    });
  }
});

/** What each status is told as. */
const CODES: Readonly<Record<number, string>> = {
  400: "invalid_request",
  414: "target_too_long",
  501: "not_implemented",
  505: "version_refused",
};

describe("request: header lines", () => {
  const cases: readonly (readonly [lines: string, why: RegExp])[] = [
    ["X-A: 1\n", /bare line feed/],
    ["X-A: 1\rX-B: 2\r\n", /carriage return without a line feed/],
    ["X-A: 1\r\r\n", /carriage return without a line feed/],
    ["X-A: 1\r\n folded\r\n", /folded/],
    ["X-A: 1\r\n\tfolded\r\n", /folded/],
    [" X-A: 1\r\n", /folded/],
    ["X-A : 1\r\n", /blank stands in a header name or before its colon/],
    ["X-A\t: 1\r\n", /blank stands in a header name or before its colon/],
    ["X A: 1\r\n", /blank stands in a header name/],
    [": 1\r\n", /no name/],
    ["X-A\r\n", /no colon/],
    ["X-A\n", /no colon/],
    ["X-A: a\x00b\r\n", /value contains a NUL byte/],
    ["X-A: a\x01b\r\n", /value contains the byte 0x01/],
    ["X-A: a\x0bb\r\n", /value contains the byte 0x0b/],
    ["X-A: a\x0cb\r\n", /value contains the byte 0x0c/],
    ["X-A: a\x7f\r\n", /value contains the byte 0x7f/],
    ["X-A\x00: 1\r\n", /name contains a NUL byte/],
    ["\x00X-A: 1\r\n", /name begins with a NUL byte/],
    ["X\x85A: 1\r\n", /name contains the byte 0x85/],
    ["Content\xadLength: 1\r\n", /name contains the byte 0xad/],
    ["\xef\xbc\xa3ontent-Length: 1\r\n", /name begins with the byte 0xef/],
    ["X(A: 1\r\n", /name contains "\("/],
    ['"X": 1\r\n', /name begins with """/],
    ["X/A: 1\r\n", /name contains "\/"/],
    ["GET / HTTP/1.1\r\n", /blank stands in a header name/],
    ["\rX: 1\r\n", /carriage return without a line feed/],
    ["\n", /bare line feed/],
  ];
  for (const [lines, why] of cases) {
    test(`${JSON.stringify(lines)} is refused`, () => {
      const refusal = refusalOf(readRequest(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`));
      expect(refusal).toMatchObject({ code: "invalid_request", status: 400 });
      expect(refusal.why).toMatch(why);
    });
  }

  test("a wrong byte is refused when it comes, not when its line or head is complete", () => {
    for (const text of [
      "G\x00",
      "GET /#",
      "GET / HTTP/3",
      "GET / HTTP/1.1\r\nX ",
      "GET / HTTP/1.1\r\nX:\x00",
    ]) {
      expect(readRequest(text.slice(0, -1)).kind).toBe("incomplete");
      expect(readRequest(text).kind).toBe("refused");
    }
  });
});

describe("limits", () => {
  const text = requestWith("X-A: 1", "X-B: 2");

  test("a head of exactly the limit is read, one byte more is refused with 431", () => {
    const limits = { ...LIMITS, headBytesMax: text.length };
    expect(readRequest(text, limits).kind).toBe("head");
    expect(refusalOf(readRequest(text, { ...limits, headBytesMax: text.length - 1 })).status).toBe(
      431,
    );
  });

  test("a first line of exactly the limit is read, one byte more is refused with 414", () => {
    const lineBytesMax = "GET / HTTP/1.1\r\n".length;
    expect(readRequest(text, { ...LIMITS, lineBytesMax }).kind).toBe("head");
    const refusal = refusalOf(readRequest(text, { ...LIMITS, lineBytesMax: lineBytesMax - 1 }));
    expect(refusal.status).toBe(414);
  });

  test("a first line that is longer than a whole head may be is refused with 414", () => {
    const limits = { ...LIMITS, headBytesMax: 10 };
    for (const cut of [text, text.slice(0, 10)]) {
      expect(refusalOf(readRequest(cut, limits)).status).toBe(414);
    }
    expect(readRequest(text.slice(0, 9), limits).kind).toBe("incomplete");
  });

  test("as many header lines as the limit are read, one more is refused with 431", () => {
    expect(readRequest(text, { ...LIMITS, fieldLinesMax: 3 }).kind).toBe("head");
    expect(refusalOf(readRequest(text, { ...LIMITS, fieldLinesMax: 2 })).status).toBe(431);
  });

  test("what is too long is refused before its end is there, however it comes", () => {
    const long: readonly (readonly [text: string, status: number])[] = [
      [`GET /${"x".repeat(2000)}`, 414],
      [`GET / HTTP/1.1\r\nX: ${"x".repeat(5000)}`, 431],
      [`GET / HTTP/1.1\r\n${"X".repeat(5000)}`, 431],
      [`GET / HTTP/1.1\r\n${"a:\r\n".repeat(100)}`, 431],
    ];
    for (const [head, status] of long) {
      expect(refusalOf(readRequest(head)).status).toBe(status as Refusal["status"]);
      const reader = createRequestHeadReader(LIMITS);
      const results = [...head].map((byte) => reader.read(bytesOf(byte), 0));
      expect(results.at(-1)).toEqual(readRequest(head));
      expect(results.find(({ kind }) => kind === "refused")).toBe(results.at(-1));
    }
  });

  test("more than 32 options in Connection are refused", () => {
    const options = (count: number) => Array.from({ length: count }, (_, n) => `x${n}`).join();
    expect(headOf(readRequest(requestWith(`Connection: ${options(32)}`))).connection).toHaveLength(
      32,
    );
    expect(refusalOf(readRequest(requestWith(`Connection: ${options(33)}`))).status).toBe(400);
    const lines = options(33)
      .split(",")
      .map((option) => `Connection: ${option}`);
    const limits = { ...LIMITS, fieldLinesMax: 100 };
    expect(refusalOf(readRequest(requestWith(...lines), limits)).status).toBe(400);
  });

  test("a long head costs the same per byte in one piece and byte by byte", () => {
    const limits = { headBytesMax: 1 << 20, lineBytesMax: 1 << 20, fieldLinesMax: 10 };
    const long = `GET /${"x".repeat(300_000)} HTTP/1.1\r\nHost: a\r\nX: ${"  y".repeat(200_000)}\r\n\r\n`;
    const bytes = bytesOf(long);
    const reader = createRequestHeadReader(limits);
    let last = reader.read(bytes, bytes.length);
    const before = process.cpuUsage();
    for (let at = 0; at < bytes.length; at += 1) last = reader.read(bytes.subarray(at, at + 1), 0);
    const { user } = process.cpuUsage(before);
    expect(last.kind).toBe("head");
    // A quadratic reader would look at some 10^11 bytes.
    expect(user).toBeLessThan(5_000_000);
  });
});

describe("request: what the connection is to be", () => {
  const cases: readonly (readonly [
    minor: 0 | 1,
    lines: readonly string[],
    expected: Partial<Http1RequestHead>,
  ])[] = [
    [1, [], { persistent: true, connection: [] }],
    [1, ["Connection: close"], { persistent: false, connection: ["close"] }],
    [1, ["Connection: Close"], { persistent: false }],
    [1, ["Connection: x, cLOSE ,"], { persistent: false, connection: ["x", "close"] }],
    [1, ["Connection: keep-alive", "connection: close"], { persistent: false }],
    [1, ["Connection: closed"], { persistent: true, connection: ["closed"] }],
    [1, ["Connection: close\xa0"], { persistent: true, connection: ["close\xa0"] }],
    [0, [], { persistent: false }],
    [0, ["Connection: Keep-Alive"], { persistent: true }],
    [0, ["Connection: keep-alive, close"], { persistent: false }],
    [1, ["Upgrade: websocket"], { upgrade: null }],
    [1, ["Upgrade: websocket", "Connection: keep-alive, Upgrade"], { upgrade: "websocket" }],
    [1, ["Upgrade: a", "Upgrade: b", "Connection: upgrade"], { upgrade: "a, b" }],
    [1, ["Connection: upgrade"], { upgrade: null }],
    [0, ["Upgrade: websocket", "Connection: Upgrade"], { upgrade: null }],
    [1, ["Expect: 100-Continue"], { expectsContinue: true }],
    [1, ["Expect: 100-continued"], { expectsContinue: false }],
    [0, ["Expect: 100-continue"], { expectsContinue: false }],
    [1, ["TE: trailers, deflate;q=0.5"], { acceptsTrailers: true }],
    [1, ["TE: deflate", "Te: Trailers"], { acceptsTrailers: true }],
    [1, ["TE: trailers2"], { acceptsTrailers: false }],
    [1, ["Content-Length: 3", "content-length: +3"], { contentLengths: ["3", "+3"] }],
    [
      1,
      ["Transfer-Encoding: gzip", "TRANSFER-ENCODING:\tchunked"],
      { transferEncoding: "gzip, chunked" },
    ],
  ];
  for (const [minor, lines, expected] of cases) {
    test(`HTTP/1.${minor} with ${JSON.stringify(lines)}: ${JSON.stringify(expected)}`, () => {
      const text = requestWith(...lines).replace("HTTP/1.1", `HTTP/1.${minor}`);
      expect(headOf(readRequest(text))).toMatchObject(expected);
    });
  }
});

describe("pieces", () => {
  /** Reads a stream cut at every place once. */
  function* cutEverywhere<H>(
    create: () => HeadReader<H>,
    stream: string,
  ): Generator<HeadResult<H>> {
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const reader = create();
      const first = reader.read(bytesOf(stream.slice(0, cut)), 0);
      if (first.kind !== "incomplete") yield first;
      else {
        expect(reader.pendingBytes).toBe(cut);
        const second = reader.read(bytesOf(`junk${stream.slice(cut)}`), 4);
        yield second.kind === "head" ? { ...second, end: second.end - 4 + cut } : second;
      }
    }
  }

  test("a head is the same wherever it is cut in two, and what follows stays", () => {
    const stream = `\r\n${requestWith("X-A:  b ", "Connection: close")}rest`;
    const whole = readRequest(stream);
    const results = [...cutEverywhere(() => createRequestHeadReader(LIMITS), stream)];
    expect(results).toHaveLength(stream.length + 1);
    for (const result of results) expect(result).toEqual(whole);
  });

  test("empty pieces change nothing", () => {
    const reader = createRequestHeadReader(LIMITS);
    expect(reader.read(Buffer.alloc(0), 0).kind).toBe("incomplete");
    expect(reader.pendingBytes).toBe(0);
    reader.read(bytesOf("GET / HTTP/1.1\r\nHost: "), 0);
    expect(reader.read(Buffer.alloc(0), 0).kind).toBe("incomplete");
    expect(headOf(reader.read(bytesOf("a\r\n\r\n"), 0)).host).toBe("a");
  });

  test("after a head the reader begins anew, after a refusal it stays refused", () => {
    const reader = createRequestHeadReader(LIMITS);
    for (const host of ["a", "b"]) {
      reader.read(bytesOf("GET / HTTP/1.1\r\n"), 0);
      expect(headOf(reader.read(bytesOf(`Host: ${host}\r\n\r\n`), 0)).host).toBe(host);
      expect(reader.pendingBytes).toBe(0);
    }
    const refused = reader.read(bytesOf("GET /#"), 0);
    expect(refused.kind).toBe("refused");
    expect(reader.read(bytesOf(requestWith()), 0)).toBe(refused);
  });

  test("the bytes of a piece may change once it was read", () => {
    const reader = createRequestHeadReader(LIMITS);
    const piece = bytesOf("GET /kept HTTP/1.1\r\nHost: a\r\n");
    reader.read(piece, 0);
    piece.fill(0);
    expect(headOf(reader.read(bytesOf("\r\n"), 0)).target).toBe("/kept");
  });
});
