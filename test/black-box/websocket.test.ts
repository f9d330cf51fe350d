/** WebSockets open when the app has agreed, and not before; a refusal is the app's own. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, useProxy } from "../support/proxy-under-test.ts";
import { withoutOurs } from "../support/proxy-under-test-reading.ts";
import { ok } from "../support/proxy-under-test-upstream.ts";
import { agreed, HANDSHAKE, join, upgrade } from "../support/proxy-under-test-websocket.ts";
import { frame, OPCODES } from "../support/websocket-frames.ts";

const proxy = useProxy();

const headerIn = (head: string, name: string) =>
  new RegExp(`^${name}: (.*)\\r$`, "im").exec(head)?.[1] ?? null;

describe("websocket: opening", () => {
  test("the client is not upgraded before the app has agreed", async () => {
    proxy.upstream.script(() => undefined);
    using client = await proxy.connect();
    client.send(upgrade());
    const app = await proxy.upstream.received("\r\n\r\n");
    expect(client.received).toBe("");
    app.write(agreed());
    await client.until(() => client.received.startsWith("HTTP/1.1 101 "));
  });

  test("the app sees the client's handshake, line by line", async () => {
    using _joined = await join(proxy, {
      request: upgrade("Origin: http://elsewhere.test", "X-A: 1"),
    });
    const request = await proxy.upstream.request();
    expect(request.target).toBe("/ws/../x?y");
    expect(withoutOurs(request.lines)).toEqual([
      `Host: ${proxy.upstream.host}`,
      ...HANDSHAKE,
      "Origin: http://elsewhere.test",
      "X-A: 1",
    ]);
  });

  test("the client sees the app's agreement, line by line", async () => {
    const answer = agreed("X-A: 1", "x-b: 2");
    using joined = await join(proxy, { answer });
    expect(withoutOurs(joined.head.split("\r\n"))).toEqual(answer.split("\r\n"));
  });

  const heads: readonly [what: string, line: string][] = [
    ["an offer of subprotocols", "Sec-WebSocket-Protocol: a, b.c, d"],
    [
      "an offer of extensions",
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    ],
    ["cookies", "Cookie: a=1; b=2"],
    ["an Authorization", "Authorization: Bearer x"],
    ["a User-Agent", "User-Agent: x"],
  ];
  test.each(heads)("%s of the client's reaches the app", async (_what, line) => {
    using _joined = await join(proxy, { request: upgrade(line) });
    expect((await proxy.upstream.request()).lines).toContain(line);
  });

  const choices: readonly [what: string, line: string][] = [
    ["a subprotocol", "Sec-WebSocket-Protocol: b.c"],
    ["an extension", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"],
    ["a cookie", "Set-Cookie: s=1; Path=/; HttpOnly"],
    ["a header of its own", "X-App: yes"],
  ];
  test.each(choices)("%s that the app chose reaches the client", async (_what, line) => {
    using joined = await join(proxy, { answer: agreed(line) });
    expect(joined.head.split("\r\n")).toContain(line);
  });

  test("two cookies that the app sets while it agrees stay two", async () => {
    using joined = await join(proxy, { answer: agreed("Set-Cookie: a=1", "Set-Cookie: b=2") });
    expect(joined.head.match(/^Set-Cookie: .*(?=\r$)/gm)).toEqual([
      "Set-Cookie: a=1",
      "Set-Cookie: b=2",
    ]);
  });

  test("an app that chooses none of the subprotocols on offer is not refused", async () => {
    using joined = await join(proxy, { request: upgrade("Sec-WebSocket-Protocol: a, b") });
    expect(joined.head).toStartWith("HTTP/1.1 101 ");
    expect(headerIn(joined.head, "Sec-WebSocket-Protocol")).toBeNull();
  });

  test("an Origin that is the public one becomes the app's", async () => {
    using _joined = await join(proxy, { request: upgrade(`Origin: http://${HOST}`) });
    expect((await proxy.upstream.request()).header("origin")).toBe(proxy.upstream.origin);
  });

  test("Upgrade and Connection are understood in any case and among others", async () => {
    const lines = ["upgrade: WebSocket", "connection: keep-alive, uPGRADE", ...HANDSHAKE.slice(2)];
    using joined = await join(proxy, { request: ask("GET /", ...lines) });
    expect(joined.head).toStartWith("HTTP/1.1 101 ");
    expect((await proxy.upstream.request()).header("upgrade")?.toLowerCase()).toBe("websocket");
  });

  test("a hint before the agreement does not open the tunnel", async () => {
    proxy.upstream.script(() => undefined);
    using client = await proxy.connect();
    client.send(upgrade());
    const app = await proxy.upstream.received("\r\n\r\n");
    app.write(`HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${agreed()}`);
    await client.until(() => client.received.includes("HTTP/1.1 101 "));
    app.write(frame({ opcode: OPCODES.text, payload: "after" }));
    await client.until(() => client.received.endsWith("after"));
  });
});

describe("websocket: refusals", () => {
  const refusals: readonly [status: number, text: string, lines: readonly string[]][] = [
    [401, "Who Are You", ["WWW-Authenticate: Basic realm=x", "WWW-Authenticate: Bearer"]],
    [403, "No", ["X-Why: not-you", "Set-Cookie: a=1"]],
    [404, "Not Here", ["Content-Type: text/plain"]],
    [426, "Upgrade Differently", ["Sec-WebSocket-Version: 14"]],
    [302, "Elsewhere", ["Location: http://elsewhere.test/ws"]],
    [503, "Not Now", ["Retry-After: 7"]],
    [200, "Just A Page", ["Content-Type: text/html"]],
  ];
  test.each(refusals)(
    "a refusal with %d %s comes with its headers and its body",
    async (status, text, lines) => {
      proxy.upstream.answer(ok("the reason", ...lines).replace("200 OK", `${status} ${text}`));
      const answer = await proxy.exchange(upgrade());
      expect([answer.statusLine, answer.body]).toEqual([
        `HTTP/1.1 ${status} ${text}`,
        "the reason",
      ]);
      const received = answer.headers.map(([name, value]) => `${name}: ${value}`);
      for (const line of lines) expect(received).toContain(line);
    },
  );

  test("a refusal in chunks comes with its body", async () => {
    proxy.upstream.answer(
      "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    );
    const answer = await proxy.exchange(upgrade());
    expect([answer.status, answer.body, answer.isComplete]).toEqual([403, "no", true]);
  });

  test("a refusal that ends with its connection comes with its body", async () => {
    proxy.upstream.script((connection) => {
      connection.write("HTTP/1.1 403 No\r\n\r\nno");
      connection.end();
    });
    const answer = await proxy.exchange(upgrade());
    expect([answer.status, answer.body]).toEqual([403, "no"]);
  });

  test("an app that hangs up instead of an answer is a 502", async () => {
    proxy.upstream.script((connection) => connection.end());
    expect((await proxy.exchange(upgrade())).status).toBe(502);
  });

  test("a client whose upgrade was refused may ask for something else on its connection", async () => {
    let count = 0;
    proxy.upstream.answer(() => (count++ === 0 ? ok("no").replace("200 OK", "403 No") : ok()));
    using client = await proxy.connect();
    client.send(upgrade());
    expect((await client.answer()).status).toBe(403);
    client.send(ask("GET /next"));
    expect((await client.answer()).status).toBe(200);
  });
});
