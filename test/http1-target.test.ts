/** Whom a request is for: absolute targets, and the Host header. */

import { describe, expect, test } from "bun:test";
import { headOf, readRequest, refusalOf } from "./support/http1-heads.ts";

describe("request: absolute targets", () => {
  test("path and authority are kept apart, and the Host must say the same", () => {
    const cases: readonly (readonly [
      method: string,
      target: string,
      host: string,
      path: string,
      authority: string,
    ])[] = [
      ["GET", "http://a.example/x?y", "a.example", "/x?y", "a.example"],
      ["GET", "HTTP://A.example:80/x", "a.EXAMPLE", "/x", "A.example:80"],
      ["GET", "https://a.example/x", "a.example:443", "/x", "a.example"],
      ["GET", "http://a.example:8080", "a.example:8080", "/", "a.example:8080"],
      ["GET", "http://a.example?q=http://b/", "a.example", "/?q=http://b/", "a.example"],
      ["GET", "http://[::1]:80/", "[::1]", "/", "[::1]:80"],
      ["GET", "http://a.example//x/../y", "a.example:", "//x/../y", "a.example"],
      ["OPTIONS", "http://a.example", "a.example", "*", "a.example"],
      ["OPTIONS", "http://a.example/", "a.example", "/", "a.example"],
    ];
    for (const [method, target, host, path, authority] of cases) {
      const head = headOf(readRequest(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
      expect(head).toMatchObject({ target, form: "absolute", path, authority, host });
    }
  });

  test("HTTP/1.0 may name its host in the target alone", () => {
    const head = headOf(readRequest("GET http://a.example/x HTTP/1.0\r\n\r\n"));
    expect(head).toMatchObject({ host: "a.example", isHostless: true, path: "/x" });
  });

  test("with another host, a user, a port that differs, or no host it is refused", () => {
    for (const target of [
      "http://b.example/",
      "http://a.example:8080/",
      "https://a.example:80/",
      "http://a.example./",
      "http://u@a.example/",
      "http://a.example:80:80/",
      "http://a.example\\@b.example/",
      "http:///x",
      "http://",
      "http://?",
    ]) {
      const result = readRequest(`GET ${target} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
      expect([target, refusalOf(result).code]).toEqual([target, "invalid_host"]);
    }
  });

  test("a target that is neither a path nor an http URL is refused", () => {
    for (const line of [
      "GET *",
      "GET a",
      "GET a.example:80",
      "GET ftp://a.example/",
      "GET http:/a.example/",
      "GET http:a",
      "GET ?x",
      "GET \\x",
      "GET \xe9",
      "OPTIONS **",
      "OPTIONS *x",
      "connect a.example:443",
      "CONNECT /",
      "CONNECT *",
      "CONNECT a.example",
      "CONNECT a.example:",
      "CONNECT :443",
      "CONNECT [::1]",
      "CONNECT [::1]:",
      "CONNECT a.example:443:443",
      "CONNECT a.example:99999",
      "CONNECT http://a.example:80/",
      "CONNECT a.example:443/x",
    ]) {
      const result = readRequest(`${line} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
      expect([line, refusalOf(result).status]).toEqual([line, 400]);
    }
  });
});

describe("request: Host", () => {
  test("hosts and addresses with and without a port are taken", () => {
    for (const host of [
      "a",
      "a.b-c.example",
      "A_b",
      "a.example.",
      "a:80",
      "a:",
      "1.2.3.4:1",
      "[::1]",
      "[::1]:65535",
      "[::ffff:1.2.3.4]",
      "xn--bcher-kva.example",
      "a:00080",
    ]) {
      expect(headOf(readRequest(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).host).toBe(host);
    }
  });

  test("anything else is refused", () => {
    for (const host of [
      "",
      ":80",
      "a b",
      "a,b",
      "a, b",
      "u@a",
      "u:p@a",
      "a/b",
      "a?b",
      "a\\b",
      "a:b",
      "a:80:80",
      "a:-1",
      "a:65536",
      "a:123456",
      "a%2eb",
      "a%00",
      "\xe9",
      "[::1",
      "::1",
      "[]",
      "[::1]x",
      "[::1%25eth0]",
      "[v1.x]",
      "[1.2.3.4]",
      "a[::1]",
      "a;b",
      "*",
      "http://a",
      "a\tb",
      "x".repeat(262),
    ]) {
      const refusal = refusalOf(readRequest(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
      expect([host, refusal.code, refusal.status]).toEqual([host, "invalid_host", 400]);
    }
  });

  test("none in HTTP/1.1, and two in any version, are refused, the same twice too", () => {
    for (const text of [
      "GET / HTTP/1.1\r\n\r\n",
      "GET http://a/ HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n",
      "GET / HTTP/1.0\r\nHost: a\r\nX: y\r\nHost: a\r\n\r\n",
    ]) {
      expect(refusalOf(readRequest(text)).code).toBe("invalid_host");
    }
  });
});
