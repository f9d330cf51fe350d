/** Bodies of requests: what the app gets of them, and when. */

import { describe, expect, test } from "bun:test";
import { ask, HOST, useProxy } from "../support/proxy-under-test.ts";
import { ok } from "../support/proxy-under-test-upstream.ts";
import { until } from "../support/until.ts";

const proxy = useProxy();
const CHUNKED = "Transfer-Encoding: chunked";

describe("request bodies: framing", () => {
  const methods = "GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND SEARCH QUERY BREW".split(" ");
  test.each(methods)("%s with a length reaches the app with its body", async (method) => {
    await proxy.exchange(`${ask(`${method} /`, "Content-Length: 5")}he\0lo`);
    const request = await proxy.upstream.request();
    expect([request.method, request.framing, request.body]).toEqual([method, "length", "he\0lo"]);
    expect(request.all("content-length")).toEqual(["5"]);
  });

  test.each(methods)("%s in chunks reaches the app in chunks", async (method) => {
    await proxy.exchange(`${ask(`${method} /`, CHUNKED)}3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n`);
    const request = await proxy.upstream.request();
    expect([request.method, request.framing, request.body]).toEqual([method, "chunked", "abc\r\n"]);
    expect([request.all("content-length"), proxy.upstream.requests.length]).toEqual([[], 1]);
  });

  test("a length of 0 stays a length of 0", async () => {
    await proxy.exchange(ask("POST /", "Content-Length: 0"));
    expect((await proxy.upstream.request()).all("content-length")).toEqual(["0"]);
  });

  test("a POST without a body gets no length", async () => {
    await proxy.exchange(ask("POST /"));
    expect((await proxy.upstream.request()).framing).toBe("none");
  });

  test("an empty body in chunks stays one in chunks", async () => {
    await proxy.exchange(`${ask("POST /", CHUNKED)}0\r\n\r\n`);
    const request = await proxy.upstream.request();
    expect([request.framing, request.body]).toEqual(["chunked", ""]);
  });

  test("trailers of a request reach the app", async () => {
    const body = "2\r\nhi\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n";
    expect(
      (await proxy.exchange(`${ask("POST /", CHUNKED, "Trailer: X-Sum")}${body}`)).status,
    ).toBe(200);
    expect((await proxy.upstream.request()).trailers).toEqual(["X-Sum: 1", "x-sum: 2"]);
  });

  test("a request of HTTP/1.0 with a length reaches the app with its body", async () => {
    await proxy.exchange(`POST / HTTP/1.0\r\nHost: ${HOST}\r\nContent-Length: 2\r\n\r\nhi`);
    expect((await proxy.upstream.request()).body).toBe("hi");
  });

  test("a body that says it is compressed reaches the app as it is", async () => {
    const bytes = "\x1f\x8b\x08 no gzip \xff\x00";
    const head = ask("POST /", "Content-Encoding: gzip", `Content-Length: ${bytes.length}`);
    await proxy.exchange(head + bytes);
    const request = await proxy.upstream.request();
    expect([request.header("content-encoding"), request.body]).toEqual(["gzip", bytes]);
  });

  test("all 256 byte values reach the app", async () => {
    const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join("");
    await proxy.exchange(ask("POST /", "Content-Length: 256") + bytes);
    expect((await proxy.upstream.request()).body).toBe(bytes);
  });

  test("a body that looks like a request is a body", async () => {
    const bytes = `GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
    await proxy.exchange(ask("POST /", `Content-Length: ${bytes.length}`) + bytes);
    expect(proxy.upstream.requests.map(({ body }) => body)).toEqual([bytes]);
  });

  test("a request that comes byte by byte reaches the app whole", async () => {
    using client = await proxy.connect();
    const bytes = `${ask("POST /slow", CHUNKED)}3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n`;
    for (const byte of bytes) {
      client.send(byte);
      await Bun.sleep(0);
    }
    expect((await client.answer()).status).toBe(200);
    expect((await proxy.upstream.request()).body).toBe("abc");
  });
});

describe("request bodies: streaming", () => {
  test("each piece of an upload with a length arrives before the next one is sent", async () => {
    using client = await proxy.connect();
    client.send(ask("POST /", "Content-Length: 6"));
    const connection = await proxy.upstream.received("\r\n\r\n");
    for (const piece of ["ab", "cd"]) {
      client.send(piece);
      await until(() => connection.received.endsWith(piece));
    }
    client.send("ef");
    expect((await client.answer()).status).toBe(200);
  });

  test("each chunk of an upload arrives before the next one is sent", async () => {
    using client = await proxy.connect();
    client.send(ask("POST /", CHUNKED));
    const connection = await proxy.upstream.received("\r\n\r\n");
    for (const piece of ["ab", "cd"]) {
      client.send(`2\r\n${piece}\r\n`);
      await until(() => connection.received.includes(piece));
    }
    client.send("0\r\n\r\n");
    expect((await client.answer()).status).toBe(200);
    expect((await proxy.upstream.request()).body).toBe("abcd");
  });

  test("20 MB reach an app that reads slowly, byte for byte", async () => {
    const bytes = Buffer.alloc(20_000_000, "0123456789abcdefg");
    const hasher = new Bun.CryptoHasher("md5");
    let received = 0;
    proxy.upstream.script(() => undefined);
    using client = await proxy.connect();
    client.send(ask("POST /", `Content-Length: ${bytes.length}`));
    const connection = await proxy.upstream.received("\r\n\r\n");
    connection.socket.removeAllListeners("data");
    connection.socket.pause();
    client.send(bytes);
    connection.socket.on("data", (data) => {
      hasher.update(data);
      received += data.length;
    });
    connection.socket.resume();
    await until(() => received === bytes.length);
    expect(hasher.digest("hex")).toBe(new Bun.CryptoHasher("md5").update(bytes).digest("hex"));
    connection.write(ok());
    expect((await client.answer()).body).toBe("ok");
  });

  test("an upload that goes slowly on is not cut, and holds nobody up", async () => {
    using slow = await proxy.connect();
    slow.send(ask("POST /slow", "Content-Length: 11"));
    const connection = await proxy.upstream.received("\r\n\r\n");
    for (let count = 1; count <= 10; count += 1) {
      slow.send("x");
      expect((await proxy.exchange(ask("GET /fast"))).status).toBe(200);
      await until(() => connection.received.endsWith("x".repeat(count)));
    }
    slow.send("x");
    expect((await slow.answer()).status).toBe(200);
  });

  test("an early answer reaches a client that is still uploading", async () => {
    proxy.upstream.script((connection, piece) => {
      if (piece.startsWith("POST")) {
        connection.write("HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop");
      }
    });
    using client = await proxy.connect();
    client.send(`${ask("POST /", "Content-Length: 1000000")}hello`);
    const answer = await client.answer();
    expect([answer.status, answer.body]).toEqual([413, "stop"]);
  });

  test("an early answer reaches a client that goes on uploading, without a reset", async () => {
    proxy.upstream.script((connection, piece) => {
      if (piece.startsWith("POST")) connection.write(ok("early"));
    });
    using client = await proxy.connect();
    client.send(ask("POST /", "Content-Length: 3000000"));
    client.send(Buffer.alloc(1_000_000, 120));
    expect((await client.answer()).body).toBe("early");
    client.send(Buffer.alloc(2_000_000, 120));
    // Whoever reads on gets nothing else, and the rest of the upload is no request.
    client.send(ask("GET /after"));
    await until(() => client.isClosed || client.received.match(/HTTP\/1\.1 200/g)?.length === 2);
    expect(proxy.upstream.ambiguities).toEqual([]);
  });
});

describe("request bodies: Expect: 100-continue", () => {
  const head = ask("POST /", "Expect: 100-continue", "Content-Length: 4");

  test("a client that waits for 100 gets one, and its body reaches the app", async () => {
    proxy.upstream.script((connection, piece) => {
      if (piece.includes("\r\n\r\n") && !piece.endsWith("body")) {
        connection.write("HTTP/1.1 100 Continue\r\n\r\n");
      }
      if (piece.endsWith("body")) connection.write(ok());
    });
    using client = await proxy.connect();
    client.send(head);
    await client.until(() => client.received.startsWith("HTTP/1.1 100 Continue\r\n\r\n"));
    client.send("body");
    expect((await client.answer()).body).toBe("ok");
    expect((await proxy.upstream.request()).body).toBe("body");
  });

  test("the app decides whether a client that waits for 100 may send", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 401 Who Are You\r\nContent-Length: 2\r\n\r\nno"),
    );
    using client = await proxy.connect();
    client.send(head);
    await client.until(() => client.received.endsWith("\r\n\r\nno"));
    expect(client.received).toStartWith("HTTP/1.1 401 Who Are You\r\n");
  });

  test("a client that does not wait for its 100 is served as well", async () => {
    using client = await proxy.connect();
    client.send(`${head}body`);
    expect((await client.answer()).body).toBe("ok");
    expect((await proxy.upstream.request()).body).toBe("body");
  });
});

describe("request bodies: clients that leave", () => {
  test("a client that leaves before the answer ends its request to the app", async () => {
    proxy.upstream.script(() => undefined);
    using client = await proxy.connect();
    client.send(ask("GET /"));
    const connection = await proxy.upstream.received("\r\n\r\n");
    client.reset();
    await until(() => connection.isClosed);
  });

  test("a client that leaves within its upload ends its request to the app", async () => {
    using client = await proxy.connect();
    client.send(`${ask("POST /", "Content-Length: 100")}half`);
    const connection = await proxy.upstream.received("half");
    client.reset();
    await until(() => connection.isClosed);
    expect(proxy.upstream.requests).toHaveLength(0);
  });

  test("a client that ends its side within its upload ends its request to the app", async () => {
    using client = await proxy.connect();
    client.send(`${ask("POST /", CHUNKED)}4\r\nhalf\r\n`);
    const connection = await proxy.upstream.received("half");
    client.end();
    await until(() => connection.isClosed);
    expect(proxy.upstream.requests).toHaveLength(0);
  });

  test("a client that leaves within the answer ends its request to the app", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    );
    using client = await proxy.connect();
    client.send(ask("GET /"));
    await client.until(() => client.received.endsWith("half"));
    client.reset();
    await until(() => proxy.upstream.connections[0]?.isClosed === true);
  });

  test("a client that leaves a stream of events ends its request to the app", async () => {
    proxy.upstream.script((connection) =>
      connection.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata\n\n\r\n",
      ),
    );
    using client = await proxy.connect();
    client.send(ask("GET /"));
    await client.until(() => client.received.includes("data"));
    client[Symbol.dispose]();
    await until(() => proxy.upstream.connections[0]?.isClosed === true);
  });

  test("200 clients that leave leave nothing behind at the app", async () => {
    proxy.upstream.script(() => undefined);
    const clients = await Promise.all(Array.from({ length: 200 }, () => proxy.connect()));
    for (const client of clients) client.send(ask("GET /"));
    await until(() => proxy.upstream.requests.length === 200);
    for (const client of clients) client.reset();
    await until(() => proxy.upstream.connections.every(({ isClosed }) => isClosed));
  });
});
