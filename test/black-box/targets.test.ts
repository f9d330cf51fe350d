/** Targets reach the app byte for byte, or the request is refused. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, IS_OTHER, useProxy } from "../support/proxy-under-test.ts";
import { expectAtMostOne, expectRefused } from "../support/proxy-under-test-attack.ts";

const proxy = useProxy();

const faithful: readonly [what: string, target: string][] = [
  ["a dot segment", "/a/./b"],
  ["a double-dot segment", "/a/../b"],
  ["double dots above the root", "/../../etc/passwd"],
  ["an encoded dot segment", "/%2e%2e/b"],
  ["a half-encoded dot segment", "/a/.%2E/b"],
  ["a trailing dot segment", "/a/.."],
  ["an encoded slash in upper case", "/a%2Fb"],
  ["an encoded slash in lower case", "/a%2fb"],
  ["an encoded backslash", "/a%5cb"],
  ["two slashes at the beginning", "//a"],
  ["three slashes at the beginning", "///a"],
  ["two slashes in the middle", "/a//b"],
  ["two slashes at the end", "/a//"],
  ["a slash-dot before two slashes", "/.//x"],
  ["a backslash", "/a\\b"],
  ["a backslash before dots", "/a\\..\\b"],
  ["an encoded NUL", "/a%00b"],
  ["an encoded line end", "/a%0d%0aX-A:%201"],
  ["a percent sign without digits", "/a%zz%"],
  ["mixed case in percent digits", "/%c3%A9%C3%a9"],
  ["encoded letters that need no encoding", "/%61%7E"],
  ["a path parameter", "/a;p=1;q/b;c"],
  ["quotes and angle brackets", "/\"<a>'"],
  ["braces, a caret, a bar and a backtick", "/{a}^|`b"],
  ["brackets and an at sign", "/[a]@:b"],
  ["sub-delimiters", "/!$&'()*+,;="],
  ["a tilde and dots in names", "/~user/...a/.b"],
  ["a colon in the first segment", "/http://b.test/c"],
  ["bytes of UTF-8", "/caf\xc3\xa9"],
  ["bytes that are no UTF-8", "/caf\xe9\xff"],
  ["an empty query", "/a?"],
  ["a query of nothing but separators", "/a?&&=&?"],
  ["a question mark in a query", "/a?b=c?d"],
  ["a slash and dots in a query", "/a?x=/../b//c/./"],
  ["a backslash in a query", "/a?x=\\y"],
  ["quotes and angle brackets in a query", "/a?\"<>'"],
  ["a plus and an encoded blank in a query", "/a?x=+%20"],
  ["bytes above 127 in a query", "/a?x=\xe9\xff"],
  ["brackets and bars in a query", "/a?x[]=1|2&{}^`"],
  ["a query of 8,000 bytes", `/a?${"x".repeat(8_000)}`],
];

/** By RFC 3986: what is not may be refused rather than forwarded. Paastis forwards it. */
const WELL_FORMED = /^\/(?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*$/;

describe("targets", () => {
  test.each(faithful)("%s reaches the app as the client sent it", async (_what, target) => {
    const { status } = await proxy.exchange(ask(`GET ${target}`));
    if (IS_OTHER && status === 400 && !WELL_FORMED.test(target)) return;
    expect(status).toBe(200);
    expect(proxy.upstream.requests.map((request) => request.target)).toEqual([target]);
  });

  test("a method that nobody knows reaches the app as the client sent it", async () => {
    expect((await proxy.exchange(ask("BREW-IT /pot"))).status).toBe(200);
    expect((await proxy.upstream.request()).method).toBe("BREW-IT");
  });

  test("a method in lower case is not the one in upper case", async () => {
    const answer = await proxy.exchange(ask("get /"));
    const [request] = proxy.upstream.requests;
    if (request === undefined) expect([400, 405, 501]).toContain(answer.status);
    else expect(request.method).toBe("get");
  });

  const known = "GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND REPORT SEARCH PURGE QUERY".split(
    " ",
  );
  test.each(known)("%s reaches the app with its target", async (method) => {
    const answer = await proxy.exchange(ask(`${method} /a?b`));
    expect([answer.status, answer.body]).toEqual([200, method === "HEAD" ? "" : "ok"]);
    const request = await proxy.upstream.request();
    expect([request.method, request.target]).toEqual([method, "/a?b"]);
  });

  test("OPTIONS * reaches the app as such", async () => {
    expect((await proxy.exchange(ask("OPTIONS *"))).status).toBe(200);
    expect((await proxy.upstream.request()).target).toBe("*");
  });

  test("an absolute target of this very host reaches the app as its path", async () => {
    expect((await proxy.exchange(ask(`GET http://${HOST}/a/../b?c`))).status).toBe(200);
    const request = await proxy.upstream.request();
    expect([request.target, request.all("host")]).toEqual(["/a/../b?c", [proxy.upstream.host]]);
  });

  const malformed: readonly [what: string, first: string][] = [
    ["a fragment", "GET /a#b HTTP/1.1"],
    ["a target without a slash", "GET a HTTP/1.1"],
    ["an empty target", "GET  HTTP/1.1"],
    ["a blank in a target", "GET /a b HTTP/1.1"],
    ["a tab in a target", "GET /a\tb HTTP/1.1"],
    ["a control byte in a target", "GET /a\x01b HTTP/1.1"],
    ["a NUL byte in a target", "GET /a\0b HTTP/1.1"],
    ["a DEL byte in a target", "GET /a\x7fb HTTP/1.1"],
    ["a bare CR in a target", "GET /a\rb HTTP/1.1"],
    ["* with another method than OPTIONS", "GET * HTTP/1.1"],
    ["CONNECT", "CONNECT a.test:443 HTTP/1.1"],
    ["CONNECT to a path", "CONNECT / HTTP/1.1"],
    ["HTTP/2.0 in a request line", "GET / HTTP/2.0"],
    ["a version in lower case", "GET / http/1.1"],
    ["a version with a sign", "GET / HTTP/+1.1"],
    ["a blank before the method", " GET / HTTP/1.1"],
    ["a method with brackets", "GET[] / HTTP/1.1"],
    ["a method with a control byte", "GE\x02T / HTTP/1.1"],
  ];
  test.each(malformed)("%s is refused and reaches nobody", async (_what, first) => {
    await expectRefused(proxy, `${first}\r\nHost: ${HOST}\r\n\r\n`);
  });

  const lenient: readonly [what: string, first: string][] = [
    ["a request line without a version", "GET /"],
    ["HTTP/1.10 in a request line", "GET / HTTP/1.10"],
    ["two blanks before a target", "GET  / HTTP/1.1"],
    ["two blanks before the version", "GET /  HTTP/1.1"],
    ["a blank behind the version", "GET / HTTP/1.1 "],
  ];
  test.each(lenient)("%s is refused, or the app sees a plain one", async (_what, first) => {
    const bytes = `${first}\r\nHost: ${HOST}\r\n\r\n`;
    const { requests, isRefused } = await expectAtMostOne(proxy, bytes);
    expect(requests.map(({ method, target }) => `${method} ${target}`)).toEqual(
      isRefused ? [] : ["GET /"],
    );
    if (!IS_OTHER) expect(isRefused).toBe(true);
  });

  test("TRACE is refused and reaches nobody", async () => {
    await expectRefused(proxy, ask("TRACE /"), [405, 501]);
  });
});
