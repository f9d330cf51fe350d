/** Heads of responses: what is read, and what is refused. */

import { describe, expect, test } from "bun:test";
import { createResponseHeadReader } from "../src/engines/http1-head.ts";
import { bytesOf, headOf, LIMITS, readResponse, refusalOf } from "./support/http1-heads.ts";

describe("response", () => {
  test("a usual head gives status, reason and its fields in order", () => {
    const text =
      "HTTP/1.1 404 Not  There \xe9\r\nSet-Cookie: a=1\r\nserver:x\r\nSet-Cookie: b=2\r\n\r\n";
    const result = readResponse(`${text}body`);
    expect(result).toMatchObject({ kind: "head", end: text.length });
    expect(headOf(result)).toEqual({
      status: 404,
      reason: "Not  There \xe9",
      minor: 1,
      fields: [
        { name: "set-cookie", value: "a=1", line: "Set-Cookie: a=1" },
        { name: "server", value: "x", line: "server: x" },
        { name: "set-cookie", value: "b=2", line: "Set-Cookie: b=2" },
      ],
      contentLengths: [],
      transferEncoding: null,
      connection: [],
      persistent: true,
      upgrade: null,
    });
  });

  test("the reason may be empty, or missing with its space", () => {
    for (const line of ["HTTP/1.1 200 ", "HTTP/1.1 200"]) {
      expect(headOf(readResponse(`${line}\r\n\r\n`))).toMatchObject({ status: 200, reason: "" });
    }
  });

  test("line ends may all be bare line feeds, however the bytes are cut", () => {
    const text = "HTTP/1.1 404 Not Found\nX-CleverCloudUpgrade: true\nContent-Length: 4\n\n";
    const next = "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n";
    for (let cut = 0; cut <= text.length; cut += 1) {
      const reader = createResponseHeadReader(LIMITS);
      const bytes = bytesOf(`${text}body`);
      reader.read(bytes.subarray(0, cut), 0);
      const result = cut === text.length ? null : reader.read(bytes.subarray(cut), 0);
      if (result === null) continue;
      expect(result).toMatchObject({ kind: "head", end: text.length - cut });
      expect(headOf(result)).toMatchObject({ status: 404, reason: "Not Found" });
      expect(headOf(result).fields.map(({ line }) => line)).toEqual([
        "X-CleverCloudUpgrade: true",
        "Content-Length: 4",
      ]);
      expect(headOf(reader.read(bytesOf(next), 0)).status).toBe(200);
    }
  });

  test("any status from 100 to 999 and HTTP/1.0 are read", () => {
    expect(headOf(readResponse("HTTP/1.0 999 x\r\n\r\n"))).toMatchObject({
      status: 999,
      minor: 0,
      persistent: false,
    });
    expect(headOf(readResponse("HTTP/1.1 100 Continue\r\n\r\n")).status).toBe(100);
  });

  const wrong: readonly (readonly [text: string, why: RegExp])[] = [
    ["SSH-2.0-x\r\n", /"HTTP\/1.1" must stand/],
    ["\r\nHTTP/1.1 200 OK\r\n\r\n", /"HTTP\/1.1" must stand/],
    ["ICY 200 OK\r\n\r\n", /"HTTP\/1.1" must stand/],
    ["HTTP/2 200\r\n\r\n", /only HTTP\/1.1/],
    ["HTTP/1.1  200 OK\r\n\r\n", /status is not a number/],
    ["HTTP/1.1 20 OK\r\n\r\n", /status is not a number/],
    ["HTTP/1.1 099 OK\r\n\r\n", /status is not a number/],
    ["HTTP/1.1 2000 OK\r\n\r\n", /status is followed by "0"/],
    ["HTTP/1.1 200\tOK\r\n\r\n", /status is followed by a tab/],
    ["HTTP/1.1\r\n\r\n", /no space follows the version/],
    ["HTTP/1.1 200 OK\nA: 1\r\n\r\n", /some header lines end with a bare/],
    ["HTTP/1.1 200 OK\nA b: 1\n\n", /blank stands in a header name/],
    ["HTTP/1.1 200 O\rK\r\n\r\n", /carriage return without a line feed/],
    ["HTTP/1.1 200 O\x00K\r\n\r\n", /a NUL byte stands in the first line/],
    ["HTTP/1.1 200 OK\r\nX: 1\n\r\n", /bare line feed/],
    ["HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", /folded/],
    ["HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", /before its colon/],
    ["HTTP/1.1 200 OK\r\nX\r\n\r\n", /no colon/],
    [`HTTP/1.1 200 ${"x".repeat(1024)}`, /longer than 1024 bytes/],
    [`HTTP/1.1 200 OK\r\n${"a:\r\n".repeat(21)}`, /more than 20 header lines/],
  ];
  for (const [text, why] of wrong) {
    test(`${JSON.stringify(text.slice(0, 50))} is refused, as a 502`, () => {
      const refusal = refusalOf(readResponse(text));
      expect(refusal).toMatchObject({ code: "upstream_broken", status: 502 });
      expect(refusal.why).toMatch(why);
    });
  }

  test("interim answers and 204 lose the framing they cannot have, others keep it", () => {
    for (const [status, names] of [
      [100, ["x"]],
      [101, ["x"]],
      [204, ["x"]],
      [200, ["content-length", "x", "transfer-encoding"]],
      [304, ["content-length", "x", "transfer-encoding"]],
    ] as const) {
      const lines = "Content-Length: 5\r\nX: y\r\nTransfer-Encoding: chunked\r\n";
      const head = headOf(readResponse(`HTTP/1.1 ${status} x\r\n${lines}\r\n`));
      expect(head.fields.map(({ name }) => name)).toEqual([...names]);
      expect(head).toMatchObject({ contentLengths: ["5"], transferEncoding: "chunked" });
    }
  });

  test("interim heads are read one after the other from the same piece", () => {
    const piece = bytesOf("HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody");
    const reader = createResponseHeadReader(LIMITS);
    const first = reader.read(piece, 0);
    if (first.kind !== "head") throw new Error(first.kind);
    const second = reader.read(piece, first.end);
    expect([first.head.status, headOf(second).status]).toEqual([103, 200]);
    expect(second).toMatchObject({ end: piece.length - 4 });
  });
});
