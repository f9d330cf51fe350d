/** What of an answer's head reaches the client. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, testPaastis, useProxy } from "../support/proxy-under-test.ts";
import { withoutOurs } from "../support/proxy-under-test-reading.ts";
import { ok } from "../support/proxy-under-test-upstream.ts";
import type { RawAnswer } from "../support/raw-client.ts";

const proxy = useProxy();

/** The answer that a client gets when the app says this. */
function answerFor(answer: string, request = ask("GET /")): Promise<RawAnswer> {
  proxy.upstream.answer(answer);
  return proxy.exchange(request);
}

/** Without what a proxy may say about its own connection. */
function linesOf(answer: RawAnswer): string[] {
  const lines = answer.headers.map(([name, value]) => `${name}: ${value}`);
  return withoutOurs(lines).filter((line) => !/^connection: keep-alive$/i.test(line));
}

/** What one header of the app's looks like to the client. */
async function valueFor(line: string): Promise<string | null> {
  const name = line.slice(0, line.indexOf(":"));
  return (await answerFor(ok("ok", line))).header(name);
}

describe("answer heads: nothing is invented", () => {
  test("a bare answer reaches the client with its length and nothing else", async () => {
    expect(linesOf(await answerFor(ok()))).toEqual(["Content-Length: 2"]);
  });

  test("a whole head reaches the client line by line", async () => {
    const own = [
      "server: App/1.0",
      "Date: Thu, 01 Jan 1970 00:00:00 GMT",
      "content-type: text/html; charset=utf-8",
      'ETag: W/"x"',
      "X-Powered-By: tests",
      "Vary: Accept-Encoding",
      "Cache-Control: no-store",
    ];
    expect(linesOf(await answerFor(ok("ok", ...own)))).toEqual([...own, "Content-Length: 2"]);
  });

  const inventions = ["date", "server", "content-type", "etag", "x-powered-by", "vary"];
  test.each(inventions)("an answer without %s reaches the client without it", async (name) => {
    expect((await answerFor(ok())).all(name)).toEqual([]);
  });
});

describe("answer heads: as they came", () => {
  const statuses = [
    200, 201, 202, 206, 207, 226, 299, 300, 303, 304, 307, 308, 400, 401, 402,
  ].concat([
    403, 404, 409, 410, 412, 416, 418, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599,
  ]);
  test.each(statuses)("status %d reaches the client with its text", async (status) => {
    const answer = await answerFor(`HTTP/1.1 ${status} So Be It\r\nContent-Length: 0\r\n\r\n`);
    expect(answer.statusLine).toBe(`HTTP/1.1 ${status} So Be It`);
  });

  const texts: readonly [what: string, text: string][] = [
    ["a status text of many words", "All is well, really: 100%"],
    ["a status text with bytes above 127", "caf\xe9"],
    ["an empty status text", ""],
  ];
  test.each(texts)("%s reaches the client", async (_what, text) => {
    const answer = await answerFor(`HTTP/1.1 200 ${text}\r\nContent-Length: 0\r\n\r\n`);
    expect(answer.statusLine).toBe(`HTTP/1.1 200 ${text}`);
  });

  test("order is kept", async () => {
    const own = ["X-Z: 1", "A: 2", "Vary: x", "X-B: 3", "ETag: y", "X-A: 4"];
    const lines = linesOf(await answerFor(ok("ok", ...own)));
    expect(lines.filter((line) => own.includes(line))).toEqual(own);
  });

  test("the case of names is kept", async () => {
    const lines = linesOf(await answerFor(ok("ok", "x-lower: 1", "X-UPPER: 2", "etag: 3")));
    for (const line of ["x-lower: 1", "X-UPPER: 2", "etag: 3"]) expect(lines).toContain(line);
  });

  const repeated = ["Set-Cookie", "WWW-Authenticate", "Link", "X-Many", "Vary", "Cache-Control"];
  test.each(repeated)("two %s lines reach the client as two lines, in order", async (name) => {
    const answer = await answerFor(ok("ok", `${name}: b=2`, "X-Between: 0", `${name}: a=1`));
    expect(answer.all(name)).toEqual(["b=2", "a=1"]);
  });

  test("bytes above 127 in a value reach the client", async () => {
    expect(await valueFor("X-A: caf\xc3\xa9 \xff")).toBe("caf\xc3\xa9 \xff");
  });

  test("a header of 15,000 bytes reaches the client", async () => {
    expect(await valueFor(`X-A: ${"x".repeat(15_000)}`)).toBe("x".repeat(15_000));
  });

  const hopByHop = [
    "Keep-Alive: timeout=5",
    "Proxy-Authenticate: Basic realm=x",
    "Proxy-Connection: keep-alive",
    "Upgrade: h2c",
    "TE: x",
  ];
  test.each(hopByHop)("%p of the app does not reach the client", async (line) => {
    const [name = "", value = ""] = line.split(": ");
    const answer = await answerFor(ok("ok", line));
    expect(answer.all(name)).not.toContain(value);
  });

  test("headers that the app names in Connection do not reach the client", async () => {
    const answer = await answerFor(ok("ok", "X-Mine: 1", "Connection: X-Mine, close", "X-A: 2"));
    expect([answer.all("x-mine"), answer.all("x-a")]).toEqual([[], ["2"]]);
  });

  test("the app's Connection: close does not end the client's connection", async () => {
    proxy.upstream.answer(ok("ok", "Connection: close"));
    using client = await proxy.connect();
    for (const target of ["/1", "/2"]) {
      client.send(ask(`GET ${target}`));
      const answer = await client.answer();
      expect([answer.status, answer.all("connection")]).not.toEqual([200, ["close"]]);
      expect([answer.status, client.isClosed]).toEqual([200, false]);
    }
  });

  test("an answer of HTTP/1.0 is one of HTTP/1.1 to the client, which keeps its connection", async () => {
    proxy.upstream.answer(ok().replace("1.1", "1.0"));
    using client = await proxy.connect();
    for (const target of ["/1", "/2"]) {
      client.send(ask(`GET ${target}`));
      expect((await client.answer()).statusLine).toBe("HTTP/1.1 200 OK");
    }
  });
});

describe("answer heads: what comes before them", () => {
  /** What a client has received once the final answer is there. */
  async function receivedFor(answer: string, request = ask("GET /")): Promise<string> {
    proxy.upstream.answer(answer);
    using client = await proxy.connect();
    client.send(request);
    await client.until(() => client.received.endsWith("\r\n\r\nok") || client.isClosed);
    return client.received;
  }

  const interim: readonly [what: string, head: string][] = [
    ["a 100", "HTTP/1.1 100 Continue\r\n\r\n"],
    ["a 102", "HTTP/1.1 102 Processing\r\n\r\n"],
    ["a 103 with its links", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"],
  ];
  test.each(interim)("%s reaches the client before the answer", async (_what, head) => {
    const received = await receivedFor(`${head}${ok()}`);
    expect(received).toStartWith(head);
    expect(received.slice(head.length)).toStartWith("HTTP/1.1 200 OK\r\n");
  });

  test("three hints reach the client, in order", async () => {
    const hints = ["a", "b", "c"].map(
      (name) => `HTTP/1.1 103 Early Hints\r\nLink: <${name}>\r\n\r\n`,
    );
    expect(await receivedFor(`${hints.join("")}${ok()}`)).toStartWith(hints.join(""));
  });

  test("a hint arrives before the app has its answer", async () => {
    const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    proxy.upstream.script((connection) => connection.write(hint));
    using client = await proxy.connect();
    client.send(ask("GET /"));
    await client.until(() => client.received === hint);
  });

  test("a hint never reaches a client of HTTP/1.0", async () => {
    const request = `GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`;
    const received = await receivedFor(`HTTP/1.1 103 Early Hints\r\n\r\n${ok()}`, request);
    expect(received).toMatch(/^HTTP\/1\.[01] 200 OK/);
  });

  test("a head arrives before the first byte of its body", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    );
    using client = await proxy.connect();
    client.send(ask("GET /"));
    await client.until(() => client.received.includes("\r\n\r\n"));
    expect(client.received).toMatch(/content-length: 2\r\n/i);
  });

  test("a head of chunks arrives before the first chunk", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    );
    using client = await proxy.connect();
    client.send(ask("GET /"));
    await client.until(() => client.received.includes("\r\n\r\n"));
    expect(client.received).toMatch(/transfer-encoding: chunked\r\n/i);
  });
});

describe("answer heads: addresses of the app become public ones", () => {
  const PUBLIC = `http://${HOST}`;
  const origin = () => proxy.upstream.origin;
  const host = () => proxy.upstream.host;
  const rewritten: readonly [what: string, own: () => string, seen: string][] = [
    ["a Location", () => `Location: ${origin()}/a/../b?c#d`, `${PUBLIC}/a/../b?c#d`],
    ["a Location without a path", () => `Location: ${origin()}`, PUBLIC],
    ["a Location without a scheme", () => `Location: //${host()}/a`, `//${HOST}/a`],
    ["a Content-Location", () => `Content-Location: ${origin()}/a`, `${PUBLIC}/a`],
    ["a Refresh", () => `Refresh: 5; url=${origin()}/a`, `5; url=${PUBLIC}/a`],
    [
      "a Set-Cookie's Domain",
      () => "Set-Cookie: a=1; Domain=127.0.0.1; Path=/",
      `a=1; Domain=${HOST}; Path=/`,
    ],
    [
      "a Set-Cookie's Domain in odd case",
      () => "Set-Cookie: a=1;  dOmAiN=127.0.0.1",
      `a=1;  dOmAiN=${HOST}`,
    ],
  ];
  test.each(rewritten)("%s of the app comes back as the public one", async (_what, own, seen) => {
    const value = (await valueFor(own()))?.replace(/; *domain=/i, "; Domain=");
    expect(value).toBe(seen.replace(/; *domain=/i, "; Domain="));
  });

  test("the public port comes back in a Location", async () => {
    proxy.upstream.answer(ok("ok", `Location: ${origin()}/a`));
    const request = `GET / HTTP/1.1\r\nHost: ${HOST}:8123\r\n\r\n`;
    expect((await proxy.exchange(request)).header("location")).toBe(`http://${HOST}:8123/a`);
  });

  testPaastis(
    "a Location comes back as the public one where the app sees the client's Host",
    async () => {
      proxy.upstream.answer(ok("ok", `Location: ${origin()}/a`));
      const answer = await proxy.exchange("GET / HTTP/1.1\r\nHost: kept.test\r\n\r\n");
      expect(answer.header("location")).toBe("http://kept.test/a");
    },
  );

  const foreign = [
    "Location: /a/../b",
    "Location: a?b",
    "Location: http://elsewhere.test/a",
    "Location: https://elsewhere.test:8443/a?u=http://127.0.0.1/",
    "Location: http://127.0.0.1:1/other-port",
    "Location: mailto:a@b.test",
    "Content-Location: /a",
    "Refresh: 5",
    "Refresh: 5; url=/a",
    "Refresh: 5; url=http://elsewhere.test/",
    "Set-Cookie: a=1; Domain=elsewhere.test",
    "Set-Cookie: a=127.0.0.1; Path=/; HttpOnly; SameSite=Lax",
    'Set-Cookie: a="b c"; Expires=Thu, 01 Jan 2037 00:00:00 GMT',
    "X-Location: http://127.0.0.1/",
  ];
  test.each(foreign)("%p stays what it is", async (line) => {
    expect(await valueFor(line)).toBe(line.slice(line.indexOf(":") + 2));
  });

  test("a Location of a host that only begins like the app's stays what it is", async () => {
    const location = `${origin()}.evil.test/a`;
    expect(await valueFor(`Location: ${location}`)).toBe(location);
  });
});

describe("answer heads: what is no answer", () => {
  const broken: readonly [what: string, answer: string][] = [
    ["a greeting of another protocol", "SSH-2.0-x\r\n\r\n"],
    [
      "a length and a coding",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
    [
      "two lengths that differ",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ],
    ["a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"],
    ["a header without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok"],
    ["a NUL byte in a header", "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok"],
    ["a blank before a colon", "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok"],
    ["a folded line", "HTTP/1.1 200 OK\r\nX-A: 1\r\n b\r\nContent-Length: 2\r\n\r\nok"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"],
    [
      "a 101 that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ],
  ];
  test.each(broken)(
    "%s is answered with 502, or reaches the client in one reading",
    async (_what, bytes) => {
      proxy.upstream.script((connection) => {
        connection.write(bytes);
        connection.end();
      });
      const answer = await proxy.exchange(ask("GET /"));
      if (answer.status === 502) return;
      const framings = [...answer.all("content-length"), ...answer.all("transfer-encoding")];
      const odd = answer.headers.filter(
        ([name, value]) => !/^[\w-]+$/.test(name) || /[\0\r\n]/.test(value),
      );
      expect([answer.status, framings.length, odd]).toEqual([200, 1, []]);
    },
  );

  test("an app that hangs up without an answer is a 502", async () => {
    proxy.upstream.script((connection) => connection.end());
    expect((await proxy.exchange(ask("GET /"))).status).toBe(502);
  });

  test("an app that hangs up within its head is a 502", async () => {
    proxy.upstream.script((connection) => {
      connection.write("HTTP/1.1 200 OK\r\nX-A: 1\r\n");
      connection.end();
    });
    expect((await proxy.exchange(ask("GET /"))).status).toBe(502);
  });

  testPaastis("an answer of Paastis itself says so by paastis-error", async () => {
    proxy.upstream.script((connection) => connection.reset());
    const answer = await proxy.exchange(ask("GET /"));
    expect([answer.status, answer.header("paastis-error")]).toEqual([502, "upstream_broken"]);
  });
});
