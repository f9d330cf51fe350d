/** Chunked bodies: where they end, what they hold, and what is refused. */

import { describe, expect, test } from "bun:test";
import {
  type ChunkLimits,
  type ChunkResult,
  type ChunkScanner,
  createChunkScanner,
} from "../src/engines/http1-chunks.ts";

const LIMITS: ChunkLimits = {
  dataBytesMax: Number.MAX_SAFE_INTEGER,
  extensionBytesMax: 40,
  trailerBytesMax: 100,
  trailerLinesMax: 4,
};

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Feeds everything in one piece. */
function scan(text: string, limits: ChunkLimits = LIMITS): ChunkResult {
  return createChunkScanner(limits).feed(bytesOf(text), 0);
}

/** Feeds piece after piece, until it is over. @returns the last result, all data, and the end in the whole */
function feedAll(pieces: readonly string[], scanner: ChunkScanner = createChunkScanner(LIMITS)) {
  let data = "";
  let before = 0;
  let result: ChunkResult = { kind: "more" };
  for (const piece of pieces) {
    result = scanner.feed(bytesOf(piece), 0, (bytes, from, end) => {
      expect(end).toBeGreaterThan(from);
      data += bytes.toString("latin1", from, end);
    });
    if (result.kind !== "more") break;
    before += piece.length;
  }
  if (result.kind === "done") result = { ...result, end: result.end + before };
  return { result, data, dataBytes: scanner.dataBytes };
}

const BODY = "5\r\nhello\r\n1;x=y\r\n,\r\n00A \r\n";

describe("what is followed", () => {
  test("a body ends with its empty line, and what follows does not belong to it", () => {
    const text = "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
    expect(feedAll([`${text}GET / HTTP/1.1`])).toEqual({
      result: { kind: "done", end: text.length, trailers: [] },
      data: "hello, world",
      dataBytes: 12,
    });
  });

  test("the body with nothing in it", () => {
    expect(scan("0\r\n\r\n")).toEqual({ kind: "done", end: 5, trailers: [] });
    expect(scan("0000000000000\r\n\r\nx")).toEqual({ kind: "done", end: 17, trailers: [] });
  });

  test("a body may begin anywhere in a piece", () => {
    const text = "junk1\r\nx\r\n0\r\n\r\n";
    expect(createChunkScanner(LIMITS).feed(bytesOf(text), 4)).toMatchObject({ end: text.length });
  });

  test("sizes are hexadecimal in any case, with leading zeros", () => {
    for (const digits of ["a", "A", "00a", "000000000000A"]) {
      expect(feedAll([`${digits}\r\n0123456789\r\n0\r\n\r\n`]).data).toBe("0123456789");
    }
  });

  test("data may look like anything", () => {
    const data = "0\r\n\r\n\n\r\x00\xff5\r\n";
    const text = `${data.length.toString(16)}\r\n${data}\r\n0\r\n\r\n`;
    expect(feedAll([text])).toMatchObject({ data, result: { kind: "done", end: text.length } });
  });

  test("it is the same however it is cut in two, and byte by byte", () => {
    const body =
      '5;a="b \t\xff"\r\nhello\r\n0A\r\n\r\n0\r\n\r\nabc\r\n0;last\r\nX-Sum: 1\r\nx-b:2\r\n\r\n';
    const whole = feedAll([`${body}rest`]);
    expect(whole.result).toMatchObject({ kind: "done", end: body.length });
    for (let cut = 0; cut <= body.length; cut += 1) {
      expect(feedAll([body.slice(0, cut), `${body.slice(cut)}rest`])).toEqual(whole);
    }
    expect(feedAll([...`${body}rest`])).toEqual(whole);
  });

  test("data bytes are counted as they come", () => {
    const scanner = createChunkScanner(LIMITS);
    for (const [piece, count] of [
      ["5\r", 0],
      ["\nhel", 3],
      ["lo", 5],
      ["\r\n3\r\nab", 7],
    ] as const) {
      expect(scanner.feed(bytesOf(piece), 0)).toEqual({ kind: "more" });
      expect(scanner.dataBytes).toBe(count);
    }
  });

  test("the largest chunk is 2^52 - 1 bytes, and is not waited for with memory", () => {
    const scanner = createChunkScanner(LIMITS);
    expect(scanner.feed(bytesOf("fffffffffffff\r\n"), 0)).toEqual({ kind: "more" });
    expect(scanner.feed(Buffer.alloc(1000), 0)).toEqual({ kind: "more" });
    expect(scanner.dataBytes).toBe(1000);
  });

  test("a body that is over takes nothing more", () => {
    const scanner = createChunkScanner(LIMITS);
    scanner.feed(bytesOf("0\r\n\r\n"), 0);
    expect(scanner.feed(bytesOf("1\r\nx"), 2)).toEqual({ kind: "done", end: 2, trailers: [] });
    const refused = createChunkScanner(LIMITS);
    const result = refused.feed(bytesOf("x"), 0);
    expect(refused.feed(bytesOf("0\r\n\r\n"), 0)).toBe(result);
  });

  test("chunks of one byte cost no more per byte than others", () => {
    const scanner = createChunkScanner(LIMITS);
    const piece = bytesOf("1\r\nx\r\n".repeat(100_000));
    const before = process.cpuUsage();
    expect(scanner.feed(piece, 0)).toEqual({ kind: "more" });
    expect(process.cpuUsage(before).user).toBeLessThan(1_000_000);
    expect(scanner.dataBytes).toBe(100_000);
  });
});

describe("what is refused", () => {
  const cases: readonly (readonly [name: string, body: string, why: RegExp])[] = [
    ["no size", "\r\n", /a carriage return stands in or after a chunk size/],
    ["no size but an extension", ";x\r\n", /";" stands in or after/],
    ["a hexadecimal prefix", "0x3\r\nabc\r\n", /"x" stands in or after/],
    ["a blank after the size", "3 \r\nabc\r\n", /a space stands in or after/],
    ["a blank before an extension", "3 ;x\r\nabc\r\n", /a space stands in or after/],
    ["a tab after the size", "3\t\r\nabc\r\n", /a tab stands in or after/],
    ["a blank before the size", " 3\r\nabc\r\n", /a space stands in or after/],
    ["minus", "-3\r\nabc\r\n", /"-" stands in or after/],
    ["minus 0", "-0\r\n\r\n", /"-" stands in or after/],
    ["plus", "+3\r\nabc\r\n", /"\+" stands in or after/],
    ["a fraction", "3.0\r\nabc\r\n", /"\." stands in or after/],
    ["a letter past f", "g\r\n", /"g" stands in or after/],
    ["an underscore", "1_0\r\n", /"_" stands in or after/],
    ["a comma", "3,3\r\n", /"," stands in or after/],
    ["a NUL byte", "3\0\r\n", /a NUL byte stands in or after/],
    ["a byte that looks like a digit elsewhere", "\xb2\r\n", /0xb2 stands in or after/],
    ["a bare LF after the size", "3\nabc\r\n", /a line feed stands in or after/],
    ["a bare CR after the size", "3\rabc\r\n", /"a" stands where a line feed/],
    ["two CRs after the size", "3\r\r\nabc\r\n", /a carriage return stands where a line feed/],
    ["14 digits", "00000000000003\r\n", /too many digits/],
    ["a size that wraps around at 64 bits", "10000000000000003\r\n", /too many digits/],
    ["endless zeros", "0".repeat(14), /too many digits/],
    ["a bare LF in an extension", "3;x\nabc\r\n", /a line feed stands where/],
    ["a bare CR in an extension", "3;x\rabc\r\n", /"a" stands where a line feed/],
    ["a NUL byte in an extension", "3;\0\r\n", /a NUL byte stands where/],
    ["DEL in an extension", "3;\x7f\r\n", /the byte 0x7f stands where/],
    ["a long extension", `3;${"x".repeat(41)}`, /longer than 40 bytes/],
    ["data that is too long", "3\r\nabcd\r\n", /"d" stands where/],
    ["data that is too short", "3\r\nab\r\n0\r\n", /a line feed stands where/],
    ["a bare LF after data", "3\r\nabc\n0\r\n", /a line feed stands where/],
    ["a bare CR after data", "3\r\nabc\r0\r\n", /"0" stands where a line feed/],
    ["nothing after data", "3\r\nabc0\r\n\r\n", /"0" stands where/],
    [
      "an empty line between chunks",
      "3\r\nabc\r\n\r\n0\r\n\r\n",
      /stands in or after a chunk size/,
    ],
    ["a bare LF at the end", "0\r\n\n", /bare line feed/],
    ["a bare CR at the end", "0\r\n\rX", /carriage return without a line feed/],
    [
      "a request where the end must be",
      "0\r\nGET / HTTP/1.1\r\n\r\n",
      /blank stands in a header name/,
    ],
  ];
  for (const [name, body, why] of cases) {
    test(`${name} is refused with 400, in one piece and byte by byte`, () => {
      const { result } = feedAll([body]);
      if (result.kind !== "refused") throw new Error(JSON.stringify(result));
      expect(result.refusal).toMatchObject({ code: "invalid_request", status: 400 });
      expect(result.refusal.why).toMatch(why);
      expect(feedAll([...body]).result).toEqual(result);
    });
  }

  test("what comes before a refusal is told, what comes after is not", () => {
    expect(feedAll([`${BODY}never`])).toMatchObject({
      data: "hello,",
      result: { kind: "refused" },
    });
  });
});

describe("trailers", () => {
  test("they are read like headers, and belong to the body", () => {
    const text = "1\r\nx\r\n0\r\nGrpc-Status: 0\r\nx-b:  b c \r\n\r\n";
    expect(scan(`${text}next`)).toEqual({
      kind: "done",
      end: text.length,
      trailers: [
        { name: "grpc-status", value: "0", line: "Grpc-Status: 0" },
        { name: "x-b", value: "b c", line: "x-b: b c" },
      ],
    });
  });

  test("what must stand in the head is refused", () => {
    const names = [
      "Content-Length",
      "Transfer-Encoding",
      "Host",
      "Connection",
      "Keep-Alive",
      "TE",
      "Trailer",
      "Upgrade",
      "Expect",
      "Authorization",
      "Proxy-Authorization",
      "Cookie",
      "Set-Cookie",
      "Content-Type",
      "Content-Encoding",
      "Content-Range",
      "X-Forwarded-For",
      "Forwarded",
      "x-real-ip",
      "Via",
    ];
    for (const name of names) {
      const result = scan(`0\r\nX: y\r\n${name}: z\r\n\r\n`);
      expect([name, result]).toMatchObject([name, { kind: "refused", refusal: { status: 400 } }]);
    }
  });

  test("they are as strict as headers", () => {
    for (const lines of [
      "X : y\r\n",
      "X\r\n",
      " X: y\r\n",
      "X: y\r\n z\r\n",
      "X: y\n",
      "X: \0\r\n",
      ": y\r\n",
    ]) {
      expect([lines, scan(`0\r\n${lines}\r\n`)]).toMatchObject([
        lines,
        { kind: "refused", refusal: { status: 400 } },
      ]);
    }
  });

  test("too many lines or bytes are refused with 431, exactly the limit is not", () => {
    const lines = (count: number) => `0\r\n${"X: y\r\n".repeat(count)}\r\n`;
    expect(scan(lines(4)).kind).toBe("done");
    expect(scan(lines(5))).toMatchObject({ refusal: { status: 431 } });
    const ofBytes = (count: number) =>
      `0\r\nX: ${"y".repeat(count - "X: \r\n\r\n".length)}\r\n\r\n`;
    expect(scan(ofBytes(100)).kind).toBe("done");
    expect(scan(ofBytes(101))).toMatchObject({ refusal: { status: 431 } });
    expect(feedAll([...ofBytes(101)]).result).toEqual(scan(ofBytes(101)));
    expect(scan(`0\r\nX: ${"y".repeat(97)}`)).toMatchObject({ refusal: { status: 431 } });
  });
});

describe("limits", () => {
  test("more data than the limit is refused with 413 when it is announced", () => {
    const limits = { ...LIMITS, dataBytesMax: 10 };
    expect(scan("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", limits).kind).toBe("done");
    expect(scan("b\r", limits)).toMatchObject({ refusal: { status: 413 } });
    expect(scan("5\r\nhello\r\n6;", limits)).toMatchObject({ refusal: { status: 413 } });
    const largest = `${"fffffffffffff\r\n"}`;
    expect(scan(largest, { ...LIMITS, dataBytesMax: 2 ** 52 - 1 }).kind).toBe("more");
    expect(scan(largest, { ...LIMITS, dataBytesMax: 2 ** 52 - 2 }).kind).toBe("refused");
  });

  test("extensions must be paid for with data", () => {
    const chunk = (data: number, extension: number) =>
      `${data.toString(16)};${"e".repeat(extension)}\r\n${"d".repeat(data)}\r\n`;
    expect(scan(chunk(20, 20).repeat(1000)).kind).toBe("more");
    expect(scan(chunk(1, 20) + chunk(1, 21)).kind).toBe("more");
    expect(scan(chunk(1, 20) + chunk(1, 22))).toMatchObject({ refusal: { status: 400 } });
    expect(scan(chunk(5000, 40) + chunk(1, 41))).toMatchObject({ refusal: { status: 400 } });
    expect(scan(`0;${"e".repeat(40)}\r\n\r\n`).kind).toBe("done");
  });
});
