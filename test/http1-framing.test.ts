/** How long bodies are: what is decided, and what is refused because readers would differ. */

import { describe, expect, test } from "bun:test";
import { answerFraming, requestFraming } from "../src/engines/http1-framing.ts";
import {
  createRequestHeadReader,
  createResponseHeadReader,
  type HeadLimits,
} from "../src/engines/http1-head.ts";

const LIMITS: HeadLimits = { headBytesMax: 8192, lineBytesMax: 1024, fieldLinesMax: 50 };
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\r\n`).join("");
}

/** What is made of a request with these header lines: its framing, or why it is refused. */
function framingOf(lines: readonly string[], start = "POST / HTTP/1.1", bodyBytesMax = NO_LIMIT) {
  const text = `${start}\r\nHost: a\r\n${linesOf(lines)}\r\n`;
  const result = createRequestHeadReader(LIMITS).read(Buffer.from(text, "latin1"), 0);
  if (result.kind === "refused") return result.refusal;
  if (result.kind === "incomplete") throw new Error(text);
  return requestFraming(result.head, bodyBytesMax);
}

function answerFramingOf(line: string, lines: readonly string[], method = "GET") {
  const text = `${line}\r\n${linesOf(lines)}\r\n`;
  const result = createResponseHeadReader(LIMITS).read(Buffer.from(text, "latin1"), 0);
  if (result.kind !== "head") throw new Error(text);
  return answerFraming(result.head, method);
}

describe("requests: bodies that are read in one way only", () => {
  test("without either header there is no body", () => {
    expect(framingOf([])).toMatchObject({ kind: "none" });
    expect(framingOf(["Content-Type: x", "Trailer: y", "Content-Encoding: gzip"])).toMatchObject({
      kind: "none",
    });
  });

  test("every method may have a body", () => {
    for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "QUERY", "x"]) {
      const start = `${method} / HTTP/1.1`;
      expect(framingOf(["Content-Length: 3"], start)).toEqual({ kind: "length", bytes: 3 });
      expect(framingOf(["Transfer-Encoding: chunked"], start)).toEqual({ kind: "chunked" });
    }
  });

  test("lengths up to 2^53 - 1 are read, whatever blanks surround them", () => {
    for (const [line, bytes] of [
      ["Content-Length: 0", 0],
      ["content-length:10", 10],
      ["CONTENT-LENGTH: \t 10 \t", 10],
      ["Content-Length: 9007199254740991", 9007199254740991],
    ] as const) {
      expect(framingOf([line])).toEqual({ kind: "length", bytes });
    }
  });

  test("HTTP/1.0 may have a length", () => {
    expect(framingOf(["Content-Length: 3"], "POST / HTTP/1.0")).toMatchObject({ bytes: 3 });
  });

  test("chunked may be written in any case", () => {
    for (const coding of ["chunked", "Chunked", "CHUNKED", "cHuNkEd", "\t chunked \t"]) {
      expect(framingOf([`transfer-Encoding: ${coding}`])).toEqual({ kind: "chunked" });
    }
  });

  test("a length over the limit is refused with 413, one of exactly the limit is not", () => {
    expect(framingOf(["Content-Length: 10"], "POST / HTTP/1.1", 10)).toMatchObject({ bytes: 10 });
    expect(framingOf(["Content-Length: 11"], "POST / HTTP/1.1", 10)).toMatchObject({ status: 413 });
    expect(framingOf(["Transfer-Encoding: chunked"], "POST / HTTP/1.1", 10)).toMatchObject({
      kind: "chunked",
    });
  });
});

describe("requests: what is refused", () => {
  const CHUNKED = "Transfer-Encoding: chunked";
  const cases: readonly (readonly [name: string, lines: readonly string[], status: number])[] = [
    ["CL.TE", ["Content-Length: 6", CHUNKED], 400],
    ["TE.CL", [CHUNKED, "Content-Length: 4"], 400],
    ["CL.TE with a length of 0", ["Content-Length: 0", CHUNKED], 400],
    ["CL.TE with an empty length", ["Content-Length:", CHUNKED], 400],
    ["CL.TE with an unknown coding", ["Content-Length: 6", "Transfer-Encoding: xchunked"], 400],
    ["CL.TE with an empty coding", ["Content-Length: 6", "Transfer-Encoding:"], 400],
    [
      "CL.TE with other lines between",
      ["Content-Length: 6", "X: y", "transfer-encoding:chunked"],
      400,
    ],

    ["TE.TE: chunked twice in two lines", [CHUNKED, CHUNKED], 400],
    ["TE.TE: chunked twice in one line", ["Transfer-Encoding: chunked, chunked"], 400],
    ["TE.TE: unknown coding last", [CHUNKED, "Transfer-Encoding: x"], 400],
    ["TE.TE: unknown coding first", ["Transfer-Encoding: x", CHUNKED], 501],
    ["TE.TE: identity last", [CHUNKED, "Transfer-Encoding: identity"], 400],
    ["TE.TE: identity first", ["Transfer-Encoding: identity, chunked"], 501],
    ["TE.TE: empty line first", ["Transfer-Encoding:", CHUNKED], 400],
    ["TE.TE: empty line last", [CHUNKED, "Transfer-Encoding:"], 400],
    ["TE: identity alone", ["Transfer-Encoding: identity"], 400],
    ["TE: empty", ["Transfer-Encoding:"], 400],
    ["TE: only a comma", ["Transfer-Encoding: ,"], 400],
    ["TE: comma before", ["Transfer-Encoding: ,chunked"], 400],
    ["TE: comma after", ["Transfer-Encoding: chunked,"], 400],
    ["TE: gzip before", ["Transfer-Encoding: gzip, chunked"], 501],
    ["TE: gzip after", ["Transfer-Encoding: chunked, gzip"], 400],
    ["TE: gzip between", ["Transfer-Encoding: chunked, gzip, chunked"], 400],
    ["TE: with a letter before", ["Transfer-Encoding: xchunked"], 400],
    ["TE: with a letter after", ["Transfer-Encoding: chunkedx"], 400],
    ["TE: in quotes", ['Transfer-Encoding: "chunked"'], 400],
    ["TE: with a parameter", ["Transfer-Encoding: chunked;q=1"], 400],
    ["TE: with a semicolon", ["Transfer-Encoding: chunked;"], 400],
    ["TE: with a colon", ["Transfer-Encoding: : chunked"], 400],
    ["TE: two words", ["Transfer-Encoding: chunked identity"], 400],
    ["TE: a tab within", ["Transfer-Encoding: chun\tked"], 400],
    ["TE: a byte that other languages trim", ["Transfer-Encoding: chunked\xa0"], 400],
    ["TE: a byte that other languages trim, before", ["Transfer-Encoding: \xa0chunked"], 400],
    ["TE: a vertical tab", ["Transfer-Encoding: \x0bchunked"], 400],
    ["TE: a NUL byte", ["Transfer-Encoding: chunked\0"], 400],
    ["TE: a blank before the colon", ["Transfer-Encoding : chunked"], 400],
    ["TE: a tab before the colon", ["Transfer-Encoding\t: chunked"], 400],
    ["TE: a blank before the name", [" Transfer-Encoding: chunked"], 400],
    ["TE: folded", ["Transfer-Encoding:", " chunked"], 400],
    ["TE: folded with a tab", ["X: y", "\tTransfer-Encoding: chunked"], 400],
    ["TE: behind a bare CR", ["X: y\rTransfer-Encoding: chunked"], 400],
    ["TE: behind a bare LF", ["X: y\nTransfer-Encoding: chunked"], 400],

    ["CL: two that differ", ["Content-Length: 6", "Content-Length: 5"], 400],
    ["CL: two that are equal", ["Content-Length: 6", "Content-Length: 6"], 400],
    ["CL: two, one empty", ["Content-Length: 6", "Content-Length:"], 400],
    ["CL: two in other case", ["Content-Length: 6", "CONTENT-LENGTH: 6"], 400],
    ["CL: a list", ["Content-Length: 6, 6"], 400],
    ["CL: a comma after", ["Content-Length: 6,"], 400],
    ["CL: empty", ["Content-Length:"], 400],
    ["CL: only blanks", ["Content-Length:  \t"], 400],
    ["CL: plus", ["Content-Length: +6"], 400],
    ["CL: minus", ["Content-Length: -6"], 400],
    ["CL: minus 0", ["Content-Length: -0"], 400],
    ["CL: hexadecimal", ["Content-Length: 0x6"], 400],
    ["CL: hexadecimal digits", ["Content-Length: a"], 400],
    ["CL: octal, or not", ["Content-Length: 010"], 400],
    ["CL: two zeros", ["Content-Length: 00"], 400],
    ["CL: fraction", ["Content-Length: 6.0"], 400],
    ["CL: exponent", ["Content-Length: 1e3"], 400],
    ["CL: underscore", ["Content-Length: 1_000"], 400],
    ["CL: blank within", ["Content-Length: 1 0"], 400],
    ["CL: word after", ["Content-Length: 6 bytes"], 400],
    ["CL: Infinity", ["Content-Length: Infinity"], 400],
    ["CL: digits of another script", ["Content-Length: \xb2"], 400],
    ["CL: a byte that other languages trim", ["Content-Length: 6\xa0"], 400],
    ["CL: a NUL byte", ["Content-Length: 6\0"], 400],
    ["CL: 2^53", ["Content-Length: 9007199254740992"], 400],
    ["CL: 2^64", ["Content-Length: 18446744073709551616"], 400],
    ["CL: 2^64 + 6", ["Content-Length: 18446744073709551622"], 400],
    ["CL: a thousand digits", [`Content-Length: ${"9".repeat(1000)}`], 400],
    ["CL: a blank before the colon", ["Content-Length : 6"], 400],
    ["CL: folded", ["Content-Length:", " 6"], 400],
    ["CL: behind a bare LF", ["X: y\nContent-Length: 6"], 400],
  ];
  for (const [name, lines, status] of cases) {
    test(`${name} is refused with ${status}`, () => {
      const code = status === 501 ? "not_implemented" : "invalid_request";
      expect(framingOf(lines)).toMatchObject({ code, status });
      expect(framingOf(lines, "GET / HTTP/1.1")).toMatchObject({ status });
    });
  }

  test("HTTP/1.0 with any Transfer-Encoding is refused", () => {
    for (const coding of ["chunked", "identity", "x", ""]) {
      const lines = [`Transfer-Encoding: ${coding}`];
      expect(framingOf(lines, "POST / HTTP/1.0")).toMatchObject({ status: 400 });
    }
  });

  test("names that only look alike are other headers", () => {
    const lines = ["Content_Length: 6", "Transfer_Encoding: chunked", "X-Content-Length: 7"];
    expect(framingOf(lines)).toMatchObject({ kind: "none" });
  });
});

describe("answers", () => {
  const CHUNKED = "Transfer-Encoding: chunked";
  const NONE = { kind: "none", isContradicted: false } as const;
  const CONTRADICTED = { kind: "none", isContradicted: true } as const;
  const cases: readonly (readonly [
    name: string,
    line: string,
    lines: readonly string[],
    method: string,
    expected: ReturnType<typeof answerFramingOf>,
  ])[] = [
    ["a length", "HTTP/1.1 200", ["Content-Length: 3"], "GET", { kind: "length", bytes: 3 }],
    ["a length of 0", "HTTP/1.1 200", ["Content-Length: 0"], "GET", { kind: "length", bytes: 0 }],
    [
      "a length in HTTP/1.0",
      "HTTP/1.0 200",
      ["Content-Length: 3"],
      "GET",
      { kind: "length", bytes: 3 },
    ],
    ["chunks", "HTTP/1.1 200", [CHUNKED], "POST", { kind: "chunked" }],
    ["neither", "HTTP/1.1 200", [], "GET", { kind: "until-close" }],
    ["neither in HTTP/1.0", "HTTP/1.0 200", [], "GET", { kind: "until-close" }],
    [
      "neither, on a connection that is kept",
      "HTTP/1.1 200",
      ["Connection: keep-alive"],
      "GET",
      { kind: "until-close" },
    ],
    ["an error", "HTTP/1.1 500", ["Content-Length: 3"], "GET", { kind: "length", bytes: 3 }],
    ["205", "HTTP/1.1 205", ["Content-Length: 0"], "GET", { kind: "length", bytes: 0 }],
    ["206", "HTTP/1.1 206", ["Content-Length: 3"], "GET", { kind: "length", bytes: 3 }],
    ["HEAD", "HTTP/1.1 200", [], "HEAD", NONE],
    ["HEAD with a length", "HTTP/1.1 200", ["Content-Length: 3"], "HEAD", NONE],
    ["HEAD with chunks", "HTTP/1.1 200", [CHUNKED], "HEAD", NONE],
    ["head, which is another method", "HTTP/1.1 200", [CHUNKED], "head", { kind: "chunked" }],
    ["304", "HTTP/1.1 304", [], "GET", NONE],
    ["304 with a length", "HTTP/1.1 304", ["Content-Length: 3"], "GET", NONE],
    ["304 with chunks", "HTTP/1.1 304", [CHUNKED], "GET", NONE],
    ["204", "HTTP/1.1 204", [], "GET", NONE],
    ["204 with a length of 0", "HTTP/1.1 204", ["Content-Length: 0"], "GET", NONE],
    ["204 with a length", "HTTP/1.1 204", ["Content-Length: 3"], "GET", CONTRADICTED],
    ["204 with chunks", "HTTP/1.1 204", [CHUNKED], "GET", CONTRADICTED],
    ["100", "HTTP/1.1 100", [], "GET", NONE],
    ["103", "HTTP/1.1 103", ["Link: </a>"], "GET", NONE],
    ["101", "HTTP/1.1 101", ["Upgrade: x", "Connection: upgrade"], "GET", NONE],
  ];
  for (const [name, line, lines, method, expected] of cases) {
    test(`${name}: ${JSON.stringify(expected)}`, () => {
      expect(answerFramingOf(line, lines, method)).toEqual(expected);
    });
  }

  const refused: readonly (readonly [name: string, line: string, lines: readonly string[]])[] = [
    ["both", "HTTP/1.1 200", ["Content-Length: 3", CHUNKED]],
    ["both, the other way round", "HTTP/1.1 200", [CHUNKED, "Content-Length: 3"]],
    ["two lengths that differ", "HTTP/1.1 200", ["Content-Length: 3", "Content-Length: 4"]],
    ["two lengths that are equal", "HTTP/1.1 200", ["Content-Length: 3", "Content-Length: 3"]],
    ["a list of lengths", "HTTP/1.1 200", ["Content-Length: 3, 3"]],
    ["no number", "HTTP/1.1 200", ["Content-Length: x"]],
    ["an empty length", "HTTP/1.1 200", ["Content-Length:"]],
    ["an unknown coding", "HTTP/1.1 200", ["Transfer-Encoding: gzip"]],
    ["an unknown coding before chunked", "HTTP/1.1 200", ["Transfer-Encoding: gzip, chunked"]],
    ["identity", "HTTP/1.1 200", ["Transfer-Encoding: identity"]],
    ["chunks in HTTP/1.0", "HTTP/1.0 200", [CHUNKED]],
    ["both, where there is no body", "HTTP/1.1 304", ["Content-Length: 3", CHUNKED]],
    ["no number, where there is no body", "HTTP/1.1 204", ["Content-Length: x"]],
  ];
  for (const [name, line, lines] of refused) {
    test(`${name} is refused, for HEAD too, as a 502`, () => {
      for (const method of ["GET", "HEAD"]) {
        const refusal = { code: "upstream_broken", status: 502 };
        expect(answerFramingOf(line, lines, method)).toMatchObject(refusal);
      }
    });
  }
});
