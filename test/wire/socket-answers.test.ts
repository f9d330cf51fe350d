/** What only the socket engine does with answers: they stay what they are, to the last byte. */

import { describe, expect, test } from "bun:test";
import { connectRaw } from "../support/raw-client.ts";
import { type RawConnection, startRawUpstream } from "../support/raw-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";

const get = (rest: string, extra = "", minor = 1) =>
  `GET ${rest} HTTP/1.${minor}\r\nHost: shop.test\r\n${extra}\r\n`;

/** What a client receives until the connection is silent or ends, for an answer's exact bytes. */
async function through(answer: string, request: string, isOver: (received: string) => boolean) {
  using upstream = await startRawUpstream((connection) => connection.write(answer));
  await using proxy = startSocketEngine(upstream.origin);
  using client = await connectRaw(proxy.port);
  client.send(request);
  await client.until(() => isOver(client.received) || client.isClosed);
  return client.received;
}

describe("socket: answers", () => {
  const exact: readonly [what: string, answer: string][] = [
    ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    ["chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"],
    [
      "trailers",
      "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n",
    ],
    ["a reason of its own", "HTTP/1.1 200 Spl\xe9ndid, really\r\nContent-Length: 0\r\n\r\n"],
    ["no reason", "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"],
    [
      "odd order, case and repetitions",
      "HTTP/1.1 401 No\r\nx-b: 2\r\nWWW-Authenticate: Basic\r\nX-A: 1\r\nwww-authenticate: Bearer\r\nset-cookie: a=1\r\nX-B: 3\r\nSet-Cookie: b=2\r\nLink: <a>\r\nLink: <b>\r\nContent-Length: 0\r\n\r\n",
    ],
    [
      "hints first",
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    ],
    ["nothing", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"],
  ];
  test.each(exact)("wire: an answer with %s is the same bytes", async (_what, answer) => {
    const received = await through(answer, get("/"), (text) => text.length >= answer.length);
    expect(received).toBe(answer);
  });

  test("wire: an answer whose lines end with bare line feeds reaches the client in the usual form", async () => {
    const answer = "HTTP/1.1 404 Not Found\nX-A: 1\nContent-Length: 3\n\na\nb";
    const wanted = "HTTP/1.1 404 Not Found\r\nX-A: 1\r\nContent-Length: 3\r\n\r\na\nb";
    const received = await through(answer, get("/"), (text) => text.length >= wanted.length);
    expect(received).toBe(wanted);
  });

  test("wire: an answer to HEAD keeps its length and has no body", async () => {
    const answer = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    const request = "HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    const received = await through(
      answer,
      request + request,
      (text) => text.length >= 2 * answer.length,
    );
    expect(received).toBe(answer + answer);
  });

  test("wire: a head arrives before its body, with its length, and each piece as it is sent", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    const connection = await upstream.received("\r\n\r\n");
    let expected = "";
    for (const piece of ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "a", "b", "cd"]) {
      expected += piece;
      connection.write(piece);
      await client.until(() => client.received === expected);
    }
  });

  test("wire: a body that ends with its connection goes on in chunks, and the client stays", async () => {
    using upstream = await startRawUpstream((connection) => {
      connection.write("HTTP/1.0 200 OK\r\n\r\nhello");
      connection.end();
    });
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    for (const target of ["/1", "/2"]) {
      client.send(get(target));
      const answer = await client.answer();
      expect([answer.body, answer.isComplete, client.isClosed]).toEqual(["hello", true, false]);
      expect(answer.headers).toEqual([["Transfer-Encoding", "chunked"]]);
    }
  });

  test("wire: a body that ends with a reset reaches no client as complete", async () => {
    for (const minor of [0, 1]) {
      using upstream = await startRawUpstream((c) => c.write("HTTP/1.1 200 OK\r\n\r\nhalf"));
      await using proxy = startSocketEngine(upstream.origin);
      using client = await connectRaw(proxy.port);
      client.send(get("/", "", minor));
      await client.until(() => client.received.includes("half"));
      upstream.connections[0]?.reset();
      await client.until(() => client.isClosed);
      if (minor === 0) expect(client.isReset).toBe(true);
      else expect((await client.answer()).isComplete).toBe(false);
      await until(() => proxy.handler.leases === 0);
    }
  });

  test("wire: chunks that go wrong end the client's connection", async () => {
    using upstream = await startRawUpstream((c) =>
      c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"),
    );
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    await client.until(() => client.received.endsWith("1\r\na\r\n"));
    upstream.connections[0]?.write("nonsense\r\n");
    expect((await client.answer()).isComplete).toBe(false);
    await until(() => proxy.handler.leases === 0 && upstream.connections[0]?.isClosed === true);
  });

  test("wire: what stands behind an answer is thrown away with its connection", async () => {
    using upstream = await startRawUpstream((c) =>
      c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Evil\r\n\r\n"),
    );
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    for (const count of [1, 2]) {
      client.send(get("/"));
      expect((await client.answer()).body).toBe("ok");
      expect(upstream.connections.length).toBe(count);
    }
  });
});

describe("socket: HTTP/1.0 clients", () => {
  const chunked =
    "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-T: 1\r\n\r\n";

  test("wire: an answer in chunks arrives without them, and ends with the connection", async () => {
    const received = await through(chunked, get("/", "Connection: keep-alive\r\n", 0), () => false);
    expect(received).toBe("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde");
  });

  test("wire: an answer in chunks that breaks off resets the connection", async () => {
    using upstream = await startRawUpstream((c) => c.write(chunked.slice(0, -12)));
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/", "", 0));
    await client.until(() => client.received.endsWith("abcde"));
    upstream.connections[0]?.end();
    await client.until(() => client.isClosed);
    expect(client.isReset).toBe(true);
  });

  test("wire: who asks to keep the connection keeps it, and gets no 1xx", async () => {
    using upstream = await startRawUpstream((c) =>
      c.write("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    );
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    for (const target of ["/1", "/2"]) {
      client.send(get(target, "Connection: keep-alive\r\n", 0));
      const answer = await client.answer();
      expect([answer.status, answer.header("connection")]).toEqual([200, "keep-alive"]);
    }
  });
});

describe("socket: connections to targets", () => {
  const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  /** Answers the first request of each connection, and treats the others as it is told. */
  const startStale = (onSecond: (connection: RawConnection) => void) => {
    const seen = new Map<RawConnection, number>();
    return startRawUpstream((connection) => {
      const count = (seen.get(connection) ?? 0) + 1;
      seen.set(connection, count);
      if (count === 1) connection.write(OK);
      else onSecond(connection);
    });
  };
  const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";
  const put = post.replace("POST", "PUT");

  test.each(["end", "reset"] as const)(
    "wire: a kept connection that dies (%s) under a repeatable request is replaced, once",
    async (how) => {
      using upstream = await startStale((connection) => connection[how]());
      await using proxy = startSocketEngine(upstream.origin);
      using client = await connectRaw(proxy.port);
      for (const request of [get("/1"), get("/2"), put]) {
        client.send(request);
        expect((await client.answer()).body).toBe("ok");
      }
      expect(upstream.connections.length).toBe(3);
      expect(upstream.connections[2]?.received).toEndWith("\r\n\r\nhi");
      expect(proxy.handler.failures).toEqual([]);
    },
  );

  test("wire: a POST whose body was sent is never sent again", async () => {
    using upstream = await startStale((connection) => connection.reset());
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/1"));
    await client.answer();
    client.send(post);
    expect((await client.answer()).body).toBe("broken");
    expect(upstream.connections.length).toBe(1);
    expect(proxy.handler.failures).toMatchObject([{ kind: "broken", replayable: false }]);
  });

  test("wire: a connection that has begun to answer is not replaced", async () => {
    using upstream = await startStale((connection) => {
      connection.write("HTTP/1.1 200 OK\r\nX-A");
      connection.end();
    });
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/1"));
    await client.answer();
    client.send(get("/2"));
    expect((await client.answer()).body).toBe("broken");
    expect(upstream.connections.length).toBe(1);
  });

  test("wire: 200 clients at once use as many connections as they need, and those are kept", async () => {
    const waiting: RawConnection[] = [];
    using upstream = await startRawUpstream((connection) => void waiting.push(connection));
    await using proxy = startSocketEngine(upstream.origin);
    const clients = await Promise.all(Array.from({ length: 200 }, () => connectRaw(proxy.port)));
    for (let round = 0; round < 2; round += 1) {
      for (const client of clients) client.send(get("/"));
      await until(() => waiting.length === 200);
      for (const connection of waiting.splice(0)) connection.write(OK);
      for (const client of clients) expect((await client.answer()).body).toBe("ok");
    }
    expect(upstream.connections.length).toBe(200);
    for (const client of clients) client[Symbol.dispose]();
  });
});

describe("socket: clients' connections", () => {
  const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  test("wire: a client that ends its side gets all it has asked for", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port, { allowHalfOpen: true });
    client.send(get("/1") + get("/2"));
    client.end();
    const connection = await upstream.received("GET /1");
    connection.write(OK);
    await upstream.received("GET /2");
    connection.write(OK);
    await client.until(() => client.isClosed);
    expect(client.received).toBe(OK + OK);
    await until(() => proxy.handler.leases === 0);
  });

  test("wire: an early answer arrives although its upload goes on, and ends the connection", async () => {
    using upstream = await startRawUpstream((connection, piece) => {
      if (piece.startsWith("POST")) connection.write(OK);
    });
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    const length = 3_000_000;
    client.send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${length}\r\n\r\nhello`);
    const answer = await client.answer();
    client.send(Buffer.alloc(length - 5, 120));
    expect([answer.body, answer.header("connection")]).toEqual(["ok", "close"]);
    await client.until(() => client.isClosed);
    expect(client.isReset).toBe(false);
    await until(() => upstream.connections[0]?.isClosed === true);
    expect([proxy.handler.leases, proxy.handler.doubles]).toEqual([0, 0]);
  });
});
