/** Connections: requests in order on one, and what becomes of those to the app. */

import { describe, expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { ask, HOST, useProxy } from "../support/proxy-under-test.ts";
import { ok } from "../support/proxy-under-test-upstream.ts";
import type { RawConnection } from "../support/raw-upstream.ts";
import { until } from "../support/until.ts";

const proxy = useProxy();
const post = (target: string, body: string) =>
  ask(`POST ${target}`, `Content-Length: ${body.length}`) + body;

describe("pipelining", () => {
  test("requests that come together are answered in order", async () => {
    proxy.upstream.answer(({ target }) => ok(target));
    using client = await proxy.connect();
    client.send(["/1", "/2", "/3", "/4"].map((target) => ask(`GET ${target}`)).join(""));
    for (const target of ["/1", "/2", "/3", "/4"])
      expect((await client.answer()).body).toBe(target);
  });

  test("a fast answer never overtakes a slow one", async () => {
    proxy.upstream.answer(({ target }) => (target === "/slow" ? null : ok(target)));
    using client = await proxy.connect();
    client.send(ask("GET /slow") + ask("GET /fast"));
    const connection = await proxy.upstream.received("/slow");
    expect((await proxy.exchange(ask("GET /other"))).body).toBe("/other");
    expect(client.received).toBe("");
    connection.write(ok("/slow"));
    expect((await client.answer()).body).toBe("/slow");
    expect((await client.answer()).body).toBe("/fast");
  });

  test("requests with bodies of both kinds in one packet keep to their own bytes", async () => {
    proxy.upstream.answer(({ target, body }) => ok(`${target}:${body}`));
    using client = await proxy.connect();
    client.send(
      [
        post("/1", "one"),
        `${ask("PUT /2", "Transfer-Encoding: chunked")}3\r\ntwo\r\n0\r\nX-T: 1\r\n\r\n`,
        ask("GET /3"),
        post("/4", "GET / HTTP/1.1\r\n\r\n"),
        ask("GET /5"),
      ].join(""),
    );
    const bodies = ["/1:one", "/2:two", "/3:", "/4:GET / HTTP/1.1\r\n\r\n", "/5:"];
    for (const body of bodies) expect((await client.answer()).body).toBe(body);
    expect(proxy.upstream.ambiguities).toEqual([]);
  });

  test("requests that come together are two requests to the app, not one", async () => {
    using client = await proxy.connect();
    client.send(ask("GET /1") + ask("GET /2"));
    await client.answer();
    await client.answer();
    expect(proxy.upstream.requests.map(({ target }) => target).toSorted()).toEqual(["/1", "/2"]);
  });

  test("a request behind a body of a GET in chunks is the second one, and in step", async () => {
    proxy.upstream.answer(({ target, body }) => ok(`${target}:${body}`));
    using client = await proxy.connect();
    client.send(
      `${ask("GET /1", "Transfer-Encoding: chunked")}1\r\na\r\n0\r\n\r\n${ask("GET /2")}`,
    );
    for (const body of ["/1:a", "/2:"]) expect((await client.answer()).body).toBe(body);
  });

  test("what stands behind a request with Connection: close is not served", async () => {
    using client = await proxy.connect();
    client.send(ask("GET /1", "Connection: close") + ask("GET /2"));
    const answer = await client.answer();
    expect([answer.body, answer.header("connection")?.toLowerCase()]).toEqual(["ok", "close"]);
    await client.until(() => client.isClosed);
    expect(proxy.upstream.requests.map(({ target }) => target)).toEqual(["/1"]);
  });

  test("what stands behind a request of HTTP/1.0 is not served", async () => {
    using client = await proxy.connect();
    client.send(`GET /1 HTTP/1.0\r\nHost: ${HOST}\r\n\r\n${ask("GET /2")}`);
    await client.until(() => client.isClosed);
    expect(proxy.upstream.requests.map(({ target }) => target)).toEqual(["/1"]);
  });

  test("empty lines between two requests are forgiven", async () => {
    using client = await proxy.connect();
    client.send(`${ask("GET /1")}\r\n\r\n${ask("GET /2")}`);
    expect([(await client.answer()).body, (await client.answer()).body]).toEqual(["ok", "ok"]);
  });

  test("a client that ends its side gets all it has asked for", async () => {
    using client = await proxy.connect({ allowHalfOpen: true });
    client.send(ask("GET /1") + ask("GET /2"));
    client.end();
    await client.until(() => client.isClosed);
    expect(client.received.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });

  test("200 requests on one connection are answered in order", async () => {
    proxy.upstream.answer(({ target }) => ok(target));
    using client = await proxy.connect();
    const targets = Array.from({ length: 200 }, (_, index) => `/${index}`);
    client.send(targets.map((target) => ask(`GET ${target}`)).join(""));
    for (const target of targets) expect((await client.answer()).body).toBe(target);
  });
});

describe("connections to the app", () => {
  test("one that has served a request serves the next one", async () => {
    for (const target of ["/1", "/2", "/3"]) await proxy.exchange(ask(`GET ${target}`));
    expect([proxy.upstream.connections.length, proxy.upstream.requests.length]).toEqual([1, 3]);
  });

  test("one whose answer said Connection: close serves no other request", async () => {
    proxy.upstream.answer(ok("ok", "Connection: close"));
    for (const target of ["/1", "/2"]) await proxy.exchange(ask(`GET ${target}`));
    expect(
      proxy.upstream.connections.map(({ received }) => received.match(/GET/g)?.length),
    ).toEqual([1, 1]);
  });

  test("one whose answer was of HTTP/1.0 serves no other request", async () => {
    proxy.upstream.answer(ok().replace("1.1", "1.0"));
    for (const target of ["/1", "/2"]) await proxy.exchange(ask(`GET ${target}`));
    expect(proxy.upstream.connections).toHaveLength(2);
  });

  test("one that the app closed while it was idle costs no request", async () => {
    for (const target of ["/1", "/2", "/3"]) {
      expect((await proxy.exchange(post(target, "hi"))).status).toBe(200);
      const connection = proxy.upstream.connections.at(-1)!;
      connection.end();
      await until(() => connection.isClosed);
    }
    expect(proxy.upstream.requests).toHaveLength(3);
  });

  test("one on which an unasked answer came serves no other request", async () => {
    await proxy.exchange(ask("GET /1"));
    const connection = proxy.upstream.connections[0]!;
    connection.write("HTTP/1.1 200 Evil\r\nContent-Length: 4\r\n\r\nevil");
    await until(() => connection.isClosed);
    expect((await proxy.exchange(ask("GET /2"))).body).toBe("ok");
  });

  test("200 slow requests do not hold up one more", async () => {
    proxy.upstream.answer(({ target }) => (target === "/slow" ? null : ok()));
    const clients = await Promise.all(Array.from({ length: 200 }, () => proxy.connect()));
    for (const client of clients) client.send(ask("GET /slow"));
    await until(() => proxy.upstream.requests.length === 200);
    const begunMs = performance.now();
    expect((await proxy.exchange(ask("GET /fast"))).body).toBe("ok");
    expect(performance.now() - begunMs).toBeLessThan(within(500));
    for (const client of clients) client.reset();
  });
});

describe("an idle connection that the app closes under a request", () => {
  type Ending = "end" | "reset";

  /** Serves the first request of the test, ends the second one's connection, serves what follows. */
  function diesAtSecond(how: Ending, then: (connection: RawConnection) => void = () => undefined) {
    let count = 0;
    const counted = new Set<string>();
    proxy.upstream.script((connection, piece) => {
      if (/^[A-Z]+ \/\S* HTTP/.test(piece)) count += 1;
      if (count !== 2) {
        if (piece.includes("\r\n\r\n")) connection.write(ok());
        return;
      }
      if (counted.has("dead")) return;
      counted.add("dead");
      then(connection);
      connection[how]();
    });
  }

  const endings: readonly Ending[] = ["end", "reset"];
  const repeatable = ["GET", "HEAD", "OPTIONS", "DELETE"].flatMap((method) =>
    endings.map((how) => [method, how] as const),
  );
  test.each(repeatable)(
    "a %s is sent once more on another connection (%s)",
    async (method, how) => {
      diesAtSecond(how);
      await proxy.exchange(ask("GET /first"));
      expect((await proxy.exchange(ask(`${method} /second`))).status).toBe(200);
      expect(proxy.upstream.connections).toHaveLength(2);
      expect(proxy.upstream.connections[1]!.received).toStartWith(`${method} /second HTTP/1.1\r\n`);
    },
  );

  test("a PUT is sent once more with its whole body", async () => {
    diesAtSecond("end");
    await proxy.exchange(ask("GET /first"));
    const answer = await proxy.exchange(`${ask("PUT /second", "Content-Length: 5")}hello`);
    expect(answer.status).toBe(200);
    expect(proxy.upstream.connections[1]?.received).toEndWith("\r\n\r\nhello");
  });

  const never = ["POST", "PATCH", "BREW"].flatMap((method) =>
    endings.map((how) => [method, how] as const),
  );
  test.each(never)("a %s whose body was sent is never sent again (%s)", async (method, how) => {
    diesAtSecond(how);
    await proxy.exchange(ask("GET /first"));
    const answer = await proxy.exchange(`${ask(`${method} /second`, "Content-Length: 2")}hi`);
    expect(answer.status).toBe(502);
    expect(proxy.upstream.connections).toHaveLength(1);
  });

  test("a POST in chunks that were sent is never sent again", async () => {
    diesAtSecond("reset");
    await proxy.exchange(ask("GET /first"));
    const body = "2\r\nhi\r\n0\r\n\r\n";
    const answer = await proxy.exchange(ask("POST /second", "Transfer-Encoding: chunked") + body);
    expect([answer.status, proxy.upstream.connections.length]).toEqual([502, 1]);
  });

  test("a POST of whose body nothing was sent is sent once more", async () => {
    diesAtSecond("end");
    await proxy.exchange(ask("GET /first"));
    using client = await proxy.connect();
    client.send(ask("POST /second", "Content-Length: 2"));
    await until(() => proxy.upstream.connections.length === 2 || client.received !== "");
    expect(client.received).toStartWith("HTTP/1.1 200 OK\r\n".slice(0, client.received.length));
    expect(proxy.upstream.connections).toHaveLength(2);
    client.send("hi");
    expect((await client.answer()).status).toBe(200);
  });

  test("a request whose answer had begun is never sent again", async () => {
    diesAtSecond("end", (connection) => connection.write("HTTP/1.1 200 OK\r\nX-A"));
    await proxy.exchange(ask("GET /first"));
    expect((await proxy.exchange(ask("GET /second"))).status).toBe(502);
    expect(proxy.upstream.connections).toHaveLength(1);
  });

  test("a request that was sent once more is not sent a third time", async () => {
    let count = 0;
    proxy.upstream.script((connection) => {
      count += 1;
      if (count === 1) connection.write(ok());
      else connection.end();
    });
    await proxy.exchange(ask("GET /first"));
    expect((await proxy.exchange(ask("GET /second"))).status).toBe(502);
    expect(proxy.upstream.connections).toHaveLength(2);
  });

  test("a request on a new connection that dies is not sent again", async () => {
    proxy.upstream.script((connection) => connection.end());
    expect((await proxy.exchange(ask("GET /"))).status).toBe(502);
    expect(proxy.upstream.connections).toHaveLength(1);
  });
});
