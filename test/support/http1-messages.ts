/** Messages for the fuzzers of the HTTP/1.1 readers: made, changed, and cut into pieces. */

import fc from "fast-check";
import type { Chance } from "./random.ts";

const BYTES = '\r\n\0\t :;,=%#?/\\*-+0123456789abcdefxXGETHOSTP.1[]"\x7f\x80\xa0\xff\x0b\x16';
const SNIPPETS = [
  "\r\n",
  "\r\n\r\n",
  "\n",
  "\r",
  " ",
  "\t",
  "0\r\n\r\n",
  " HTTP/1.1\r\n",
  "\r\nHost: a",
  "\r\nContent-Length: 5",
  "\r\nTransfer-Encoding: chunked",
  "\r\n folded",
  "http://a",
  "http://b.example/",
  ", chunked",
  "0x",
  ":80",
  ";x=y",
  "\r\nX: y",
  "x".repeat(40),
];

/** Changes a text in a few places, as an attacker or a broken wire would. */
export function mutate(text: string, chance: Chance): string {
  let changed = text;
  for (let count = chance.oneOf([0, 1, 1, 1, 1, 2, 3]); count > 0; count -= 1) {
    const at = chance.between(0, changed.length);
    const before = changed.slice(0, at);
    const after = changed.slice(at);
    switch (chance.between(0, 7)) {
      case 0:
        changed = before + chance.oneOf([...BYTES]) + after;
        break;
      case 1:
        changed = before + chance.oneOf([...BYTES]) + after.slice(1);
        break;
      case 2:
        changed = before + after.slice(1);
        break;
      case 3:
        changed = before + chance.oneOf(SNIPPETS) + after;
        break;
      case 4:
        changed = before + after.slice(chance.between(1, 12));
        break;
      case 5:
        changed = before + after.slice(0, chance.between(1, 30)) + after;
        break;
      case 6:
        changed = before;
        break;
      default:
        changed = chance.happens(0.5) ? changed.toUpperCase() : changed.toLowerCase();
        // Upper case of these two is no byte.
        changed = changed.replaceAll(/[^\0-\xff]/g, "\xff");
    }
  }
  return changed;
}

/** Cuts bytes into pieces, some of them empty. */
export function cut(bytes: Buffer, chance: Chance): Buffer[] {
  const pieces: Buffer[] = [];
  const largest = chance.oneOf([1, 3, 20, 200]);
  let at = 0;
  while (at < bytes.length) {
    const end = Math.min(bytes.length, at + chance.between(chance.happens(0.1) ? 0 : 1, largest));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

/** Mostly the first, so that what stands behind it is read as well. */
function mostly<T>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>, weight = 20): fc.Arbitrary<T> {
  return fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: other });
}

/** Bytes below 0x80, control bytes among them. */
export const text = fc.string({ unit: "binary-ascii", maxLength: 12 });
const visible = fc.string({
  unit: fc.constantFrom(..."aB1-_./?:;=%&\\\"<>[]{}|^`~!$'()*+,@\x80\xa0\xff"),
  maxLength: 12,
});
const token = fc.string({
  unit: fc.constantFrom(..."aBX1!#$%&'*+-.^_`|~"),
  minLength: 1,
  maxLength: 33,
});

const path = visible.map((rest) => `/${rest}`);
const start = mostly(
  fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom("GET", "POST", "HEAD", "x"), path) },
    { weight: 1, arbitrary: fc.tuple(token, path) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ["OPTIONS", "*"],
        ["CONNECT", "a.example:443"],
        ["CONNECT", "[::1]:1"],
        ["CONNECT", "[::1]"],
      ),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(
        fc.constantFrom("GET", "OPTIONS"),
        fc
          .tuple(
            fc.constantFrom("http://", "HTTP://", "https://", "ftp://"),
            fc.constantFrom(
              "a.example",
              "A.example:80",
              "a.example:443",
              "a.example:",
              "b",
              "[::1]",
              "u@a.example",
              "",
            ),
            fc.constantFrom("", "/", "?x", "/x//../y?z"),
          )
          .map((parts) => parts.join("")),
      ),
    },
  ),
  fc.tuple(
    fc.oneof(text, fc.constantFrom("GET", "OPTIONS", "CONNECT", "connect")),
    fc.oneof(
      text,
      fc.constantFrom("*", "a.example:443", "/a#b", "[::1]:80", "", "/a b", "a.example"),
    ),
  ),
);
const version = mostly(
  fc.constantFrom("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"),
  fc.constantFrom("HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/11", ""),
  30,
);
const hostLine = mostly(
  fc.constantFrom(
    "Host: a.example\r\n",
    "Host: a.example\r\n",
    "host:A.EXAMPLE:80\r\n",
    "HOST: a.example:443 \r\n",
  ),
  fc.constantFrom(
    "",
    "Host:\r\n",
    "Host: a,b\r\n",
    "Host: a:x\r\n",
    "Host: [::1]\r\n",
    "Host: [:1]:80\r\n",
    "Host: a\r\nHost: a\r\n",
  ),
  8,
);
const GOOD_LINES = [
  "Content-Length: 5",
  "content-length:0",
  "Content-Length: 05",
  "Content-Length: 9007199254740991",
  "Content-Length: 9007199254740993",
  "Content-Length: 1, 1",
  "Content-Length: +5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: \tChunked ",
  "transfer-encoding:gzip",
  "Transfer-Encoding: chunked ,",
  "Transfer-Encoding:",
  "Connection: close",
  "connection: keep-alive, Upgrade,,x",
  `Connection: ${"a,".repeat(20)}b`,
  "Upgrade: websocket",
  "Expect: 100-continue",
  "TE: trailers",
  "X-A:\t b  c ",
  "X-B:",
  "X-C: \xff\xa0",
  "User-Agent: x",
];
const BAD_LINES = [
  "x-\xe9: y",
  "X D: y",
  "X-D : y",
  " folded",
  "\tfolded",
  "no colon",
  ": no name",
  "X: \0",
  "Host: b",
];
const line = mostly(
  fc.oneof(
    fc.constantFrom(...GOOD_LINES),
    fc.tuple(token, visible).map(([name, value]) => `${name}: ${value}`),
  ),
  fc.oneof(fc.constantFrom(...BAD_LINES), text),
  30,
);
const lineEnd = mostly(
  fc.constant("\r\n"),
  fc.constantFrom("\n", "\r", "", "\r\r\n", "\r\n\r\n"),
  60,
);
const fieldLines = fc
  .array(fc.tuple(line, lineEnd), { maxLength: 6 })
  .map((lines) => lines.map(([words, end]) => words + end).join(""));

/** A request's head, mostly well-formed, and what follows it. */
export const request = fc
  .record({
    before: mostly(
      fc.constant(""),
      fc.constantFrom("\r\n", "\r\n\r\n", "\r\n\r\n\r\n", "\n", " "),
      8,
    ),
    start,
    version,
    hostLine,
    fields: fieldLines,
    rest: fc.constantFrom("", "hello", "GET / HTTP/1.1\r\n\r\n"),
  })
  .map(
    ({ before, start: [method, target], version, hostLine, fields, rest }) =>
      `${before}${method} ${target} ${version}\r\n${hostLine}${fields}\r\n${rest}`,
  );

/** An answer's head, likewise. */
export const response = fc
  .record({
    version,
    status: mostly(
      fc.constantFrom("100", "101", "200", "204", "304", "404", "999"),
      fc.constantFrom("099", "20", "2000", "2x0", ""),
      30,
    ),
    reason: mostly(
      fc.constantFrom("", " ", " OK", "  Not  Found \xe9"),
      fc.constantFrom("\tx", " \0", " \r"),
      30,
    ),
    fields: fieldLines,
    rest: fc.constantFrom("", "hello", "HTTP/1.1 200 OK\r\n\r\n"),
  })
  .map(
    ({ version, status, reason, fields, rest }) =>
      `${version} ${status}${reason}\r\n${fields}\r\n${rest}`,
  );

/** Mostly wide, sometimes so narrow that they are met. */
export const headLimits = mostly(
  fc.constant({ headBytesMax: 4096, lineBytesMax: 1024, fieldLinesMax: 50 }),
  fc.record({
    headBytesMax: fc.integer({ min: 1, max: 200 }),
    lineBytesMax: fc.integer({ min: 1, max: 80 }),
    fieldLinesMax: fc.integer({ min: 1, max: 6 }),
  }),
  4,
);
const chunk = fc
  .record({
    data: fc.oneof(text, fc.constantFrom("hello", "0\r\n\r\n", "x".repeat(30))),
    zeros: mostly(fc.constantFrom("", "0", "0000000"), fc.constant("000000000000")),
    extension: fc.constantFrom("", "", "", ";", ";a=b", ';a="\t \xff"', `;${"e".repeat(30)}`),
  })
  .filter(({ data }) => data.length > 0)
  .map(
    ({ data, zeros, extension }) =>
      `${zeros}${data.length.toString(16)}${extension}\r\n${data}\r\n`,
  );
const trailerLines = fc
  .array(
    mostly(
      fc.constantFrom("X: y", "x-sum:  1 ", "Grpc-Status: 0"),
      fc.constantFrom("Host: a", "Cookie: x", "no colon", " folded"),
      8,
    ),
    { maxLength: 3 },
  )
  .map((lines) => lines.map((words) => `${words}\r\n`).join(""));
/** A chunked body, mostly well-formed, and what follows it. */
export const chunkedBody = fc
  .tuple(
    fc.array(chunk, { maxLength: 5 }),
    mostly(
      fc.constantFrom("0", "000", "0;last"),
      fc.constantFrom("00000000000000", "-0", "0x0", "0 "),
    ),
    fc.oneof({ weight: 2, arbitrary: fc.constant("") }, { weight: 1, arbitrary: trailerLines }),
    fc.constantFrom("", "next"),
  )
  .map(([chunks, last, trailers, rest]) => `${chunks.join("")}${last}\r\n${trailers}\r\n${rest}`);
/** Mostly wide, sometimes so narrow that they are met. */
export const chunkLimits = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constant({
      dataBytesMax: Number.MAX_SAFE_INTEGER,
      extensionBytesMax: 256,
      trailerBytesMax: 1024,
      trailerLinesMax: 20,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      dataBytesMax: fc.integer({ min: 0, max: 60 }),
      extensionBytesMax: fc.integer({ min: 0, max: 40 }),
      trailerBytesMax: fc.integer({ min: 2, max: 40 }),
      trailerLinesMax: fc.integer({ min: 0, max: 3 }),
    }),
  },
);
