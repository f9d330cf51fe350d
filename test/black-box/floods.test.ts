/** Too much of something, and what is no HTTP/1.1 at all. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, IS_OTHER, useProxy } from "../support/proxy-under-test.ts";
import { expectAtMostOne, expectRefused } from "../support/proxy-under-test-attack.ts";

const proxy = useProxy();
const CHUNKED = "Transfer-Encoding: chunked";
const post = (line: string) => `POST / HTTP/1.1\r\nHost: ${HOST}\r\n${line}\r\n\r\n`;

describe("floods", () => {
  const floods: readonly [what: string, bytes: string, statuses: readonly number[]][] = [
    ["a target of 100,000 bytes", ask(`GET /${"x".repeat(100_000)}`), [414, 400, 431]],
    ["a header of 200,000 bytes", ask("GET /", `X-A: ${"x".repeat(200_000)}`), [431, 400]],
    ["a header name of 200,000 bytes", ask("GET /", `${"x".repeat(200_000)}: 1`), [431, 400]],
    [
      "20,000 header lines",
      ask("GET /", ...Array.from({ length: 20_000 }, () => "X-A: 1")),
      [431, 400],
    ],
    ["a cookie of 200,000 bytes", ask("GET /", `Cookie: ${"x".repeat(200_000)}`), [431, 400]],
    ["a method of 100,000 bytes", ask(`${"X".repeat(100_000)} /`), [400, 405, 414, 431, 501]],
    ["a Connection of 5,000 names", ask("GET /", `Connection: ${"a,".repeat(5_000)}b`), [400, 431]],
    [
      "100,000 empty lines before a request",
      "\r\n".repeat(100_000) + ask("GET /"),
      [400, 414, 431],
    ],
    ["100,000 bytes without a line end", "x".repeat(100_000), [400, 405, 414, 431, 501]],
    [
      "a trailer of 200,000 bytes",
      `${post(CHUNKED)}0\r\nX-A: ${"x".repeat(200_000)}\r\n\r\n`,
      [400, 413, 431],
    ],
    ["20,000 trailers", `${post(CHUNKED)}0\r\n${"X-A: 1\r\n".repeat(20_000)}\r\n`, [400, 413, 431]],
    [
      "a chunk line of 100,000 zeros",
      `${post(CHUNKED)}${"0".repeat(100_000)}\r\n\r\n`,
      [400, 413, 431],
    ],
  ];
  test.each(floods)(
    "%s are refused, or one plain request, and others are served meanwhile",
    async (_what, bytes, statuses) => {
      const { isRefused, status } = await expectAtMostOne(proxy, bytes);
      if (isRefused) expect([0, ...statuses]).toContain(status);
      if (!IS_OTHER) expect(isRefused).toBe(true);
      expect((await proxy.exchange(ask("GET /after"))).body).toBe("ok");
    },
  );

  const other: readonly [what: string, bytes: string][] = [
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
    ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["SSH", "SSH-2.0-OpenSSH_9.0\r\n\r\n"],
    ["a PROXY line", `PROXY TCP4 6.6.6.6 7.7.7.7 1 2\r\n${ask("GET /")}`],
    ["zero bytes", "\0".repeat(1_000)],
    ["an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ];
  test.each(other)("%s is refused and reaches nobody", async (_what, bytes) => {
    await expectRefused(proxy, bytes);
  });
});
