/** Bodies of answers: whole, in time, and never complete when they are not. */

import { describe, expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { ask, HOST, IS_OTHER, useProxy } from "../support/proxy-under-test.ts";
import { ok } from "../support/proxy-under-test-upstream.ts";
import type { RawConnection } from "../support/raw-upstream.ts";
import { until } from "../support/until.ts";

const proxy = useProxy();
const GET = ask("GET /");
const GET_1_0 = `GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`;
const CHUNKED_HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

describe("answer bodies: framing", () => {
  test("a length stays a length", async () => {
    proxy.upstream.answer(ok("hello"));
    const answer = await proxy.exchange(GET);
    expect([answer.all("content-length"), answer.all("transfer-encoding")]).toEqual([["5"], []]);
    expect(answer.body).toBe("hello");
  });

  test("a length of a body that comes in pieces stays a length", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
    );
    using client = await proxy.connect();
    client.send(GET);
    for (const piece of ["ab", "cd"]) {
      const connection = await proxy.upstream.received("\r\n\r\n");
      connection.write(piece);
      await client.until(() => client.received.endsWith(piece));
    }
    const answer = await client.answer();
    expect([answer.all("content-length"), answer.body]).toEqual([["4"], "abcd"]);
  });

  test("chunks stay chunks", async () => {
    proxy.upstream.answer(`${CHUNKED_HEAD}3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n`);
    const answer = await proxy.exchange(GET);
    expect([answer.all("transfer-encoding"), answer.all("content-length")]).toEqual([
      ["chunked"],
      [],
    ]);
    expect([answer.body, answer.isComplete]).toEqual(["abc\r\n", true]);
  });

  test("trailers of an answer reach the client", async () => {
    proxy.upstream.answer(
      "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
    );
    using client = await proxy.connect();
    client.send(ask("GET /", "TE: trailers", "Connection: TE"));
    await client.until(() => /\r\n0\r\n(?:.+\r\n)*\r\n/.test(client.received));
    expect(client.received).toMatch(/^trailer: X-Sum\r$/im);
    expect(client.received).toEndWith("0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n");
  });

  test("an answer that ends with its connection reaches the client whole", async () => {
    proxy.upstream.script((connection) => {
      connection.write("HTTP/1.1 200 OK\r\n\r\nhello");
      connection.end();
    });
    const answer = await proxy.exchange(GET);
    expect([answer.body, answer.isComplete]).toEqual(["hello", true]);
  });

  test("an answer that ends with its connection reaches a client of HTTP/1.0 whole", async () => {
    proxy.upstream.script((connection) => {
      connection.write("HTTP/1.1 200 OK\r\n\r\nhello");
      connection.end();
    });
    const answer = await proxy.exchange(GET_1_0);
    expect([answer.all("transfer-encoding"), answer.body]).toEqual([[], "hello"]);
  });

  test("a client of HTTP/1.0 gets an answer in chunks without the chunks", async () => {
    proxy.upstream.answer(`${CHUNKED_HEAD}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`);
    const answer = await proxy.exchange(GET_1_0);
    expect([answer.all("transfer-encoding"), answer.body]).toEqual([[], "abcde"]);
  });

  test("a client of HTTP/1.0 that keeps its connection is served twice on it", async () => {
    using client = await proxy.connect();
    for (const target of ["/1", "/2"]) {
      client.send(`GET ${target} HTTP/1.0\r\nHost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`);
      const answer = await client.answer();
      expect([answer.body, answer.header("connection")?.toLowerCase()]).toEqual([
        "ok",
        "keep-alive",
      ]);
    }
  });

  test("all 256 byte values reach the client", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, code) => code));
    proxy.upstream.script((connection) => {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n");
      connection.write(bytes);
    });
    expect((await proxy.exchange(GET)).body).toBe(bytes.toString("latin1"));
  });

  const encodings = ["gzip", "br", "deflate", "zstd", "unheard-of"];
  test.each(encodings)(
    "a body that says it is %s reaches the client untouched",
    async (encoding) => {
      const bytes =
        encoding === "gzip"
          ? Buffer.from(Bun.gzipSync("hello")).toString("latin1")
          : "\x1f\x8b no \xff";
      proxy.upstream.answer(ok(bytes, `Content-Encoding: ${encoding}`));
      const answer = await proxy.exchange(ask("GET /", "Accept-Encoding: gzip, br"));
      expect(answer.all("content-encoding")).toEqual([encoding]);
      expect([answer.header("content-length"), answer.body]).toEqual([String(bytes.length), bytes]);
    },
  );

  test("a body that could be compressed is not", async () => {
    proxy.upstream.answer(ok("a".repeat(5_000), "Content-Type: text/html"));
    const answer = await proxy.exchange(ask("GET /", "Accept-Encoding: gzip, br"));
    expect([answer.header("content-encoding"), answer.body.length]).toEqual([null, 5_000]);
  });

  test("20 MB reach a client that reads slowly, byte for byte", async () => {
    const bytes = Buffer.alloc(20_000_000, "0123456789abcdefg");
    proxy.upstream.script((connection) => {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
      connection.write(bytes);
    });
    using client = await proxy.connect();
    client.send(GET);
    await client.until(() => client.received.length > 0);
    client.pause();
    await proxy.exchange(ask("HEAD /other"));
    client.resume();
    await until(() => client.received.length > bytes.length);
    const { body, isComplete } = await client.answer();
    const digest = (data: Uint8Array) => new Bun.CryptoHasher("md5").update(data).digest("hex");
    expect([isComplete, digest(Buffer.from(body, "latin1"))]).toEqual([true, digest(bytes)]);
  });
});

describe("answer bodies: where there is none", () => {
  /** The answer to the request, and that the next one on the same connection is in step. */
  async function isInStep(request: string, head: string) {
    let count = 0;
    proxy.upstream.answer(() => (count++ === 0 ? head : ok("next")));
    using client = await proxy.connect();
    client.send(request);
    const answer = await client.answer({ method: request.slice(0, request.indexOf(" ")) });
    client.send(ask("GET /next"));
    expect((await client.answer()).body).toBe("next");
    return answer;
  }

  const none: readonly [what: string, request: string, head: string, length: string | null][] = [
    ["HEAD with a length", ask("HEAD /"), "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "500"],
    ["HEAD with chunks", ask("HEAD /"), CHUNKED_HEAD, null],
    ["HEAD without either", ask("HEAD /"), "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n", null],
    ["a 204", GET, "HTTP/1.1 204 No Content\r\n\r\n", null],
    [
      "a 304 with a length",
      GET,
      "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n\r\n",
      "9",
    ],
    ["a 304 without one", GET, "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", null],
    ["a length of 0", GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"],
  ];
  test.each(none)(
    "%s ends with its head, and the next answer is in step",
    async (_what, request, head, length) => {
      const answer = await isInStep(request, head);
      expect([answer.header("content-length"), answer.isComplete]).toEqual([length, true]);
    },
  );

  test("a 205 with a body keeps the connection in step", async () => {
    await isInStep(GET, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n");
  });

  test("what stands behind an answer's end reaches no client", async () => {
    let count = 0;
    proxy.upstream.answer(() =>
      count++ === 0 ? `${ok("1")}HTTP/1.1 200 Evil\r\nContent-Length: 4\r\n\r\nevil` : ok("2"),
    );
    using client = await proxy.connect();
    for (const body of ["1", "2"]) {
      client.send(GET);
      expect((await client.answer()).body).toBe(body);
    }
  });

  test("a body behind an answer to HEAD reaches no client", async () => {
    let count = 0;
    proxy.upstream.answer(() => (count++ === 0 ? ok("HTTP/1.1 200 Evil\r\n\r\n") : ok("2")));
    using client = await proxy.connect();
    client.send(ask("HEAD /"));
    await client.answer({ method: "HEAD" });
    client.send(GET);
    expect((await client.answer()).body).toBe("2");
  });
});

describe("answer bodies: apps that die midway", () => {
  type Ending = (connection: RawConnection) => void;
  const ends: readonly [how: string, end: Ending][] = [
    ["ends", (connection) => connection.end()],
    ["resets", (connection) => connection.reset()],
  ];
  const bodies: readonly [what: string, bytes: string][] = [
    ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"],
    ["chunks, between two", `${CHUNKED_HEAD}4\r\nhalf\r\n`],
    ["chunks, within one", `${CHUNKED_HEAD}9\r\nhalf`],
    ["chunks, before their last line", `${CHUNKED_HEAD}4\r\nhalf\r\n0\r\n`],
  ];
  const cases = bodies.flatMap(([what, bytes]) =>
    ends.map(([how, end]) => [what, how, { bytes, end }] as const),
  );
  test.each(cases)(
    "an answer with %s whose app %s is broken to the client",
    async (_what, _how, { bytes, end }) => {
      proxy.upstream.script((connection) => connection.write(bytes));
      using client = await proxy.connect();
      client.send(GET);
      await client.until(() => client.received.includes("half"));
      end(proxy.upstream.connections[0]!);
      await client.until(() => client.isClosed);
      expect((await client.answer()).isComplete).toBe(false);
    },
  );

  test("an answer that ends with its connection is broken to the client when that is reset", async () => {
    proxy.upstream.script((connection) => connection.write("HTTP/1.1 200 OK\r\n\r\nhalf"));
    using client = await proxy.connect();
    client.send(GET);
    await client.until(() => client.received.includes("half"));
    proxy.upstream.connections[0]!.reset();
    await client.until(() => client.isClosed);
    expect(client.isReset || !(await client.answer()).isComplete).toBe(true);
  });

  test("an answer that is reset is broken to a client of HTTP/1.0 too", async () => {
    proxy.upstream.script((connection) => connection.write("HTTP/1.1 200 OK\r\n\r\nhalf"));
    using client = await proxy.connect();
    client.send(GET_1_0);
    await client.until(() => client.received.includes("half"));
    proxy.upstream.connections[0]!.reset();
    await client.until(() => client.isClosed);
    expect(client.isReset).toBe(true);
  });

  test("chunks that are cut off are broken to a client of HTTP/1.0 too", async () => {
    proxy.upstream.script((connection) => connection.write(`${CHUNKED_HEAD}4\r\nhalf\r\n`));
    using client = await proxy.connect();
    client.send(GET_1_0);
    await client.until(() => client.received.includes("half"));
    proxy.upstream.connections[0]!.end();
    await client.until(() => client.isClosed);
    expect(client.isReset).toBe(true);
  });

  const malformed = [
    "zz\r\n",
    "-1\r\n",
    "4\r\nhalfXX",
    "ffffffffffffffffff\r\n",
    "4;\0\r\nhalf\r\n",
    "4\nhalf\n",
  ];
  test.each(malformed)(
    "an answer that goes on with the chunk %p is broken to the client",
    async (piece) => {
      proxy.upstream.script((connection) => connection.write(`${CHUNKED_HEAD}5\r\nbegin\r\n`));
      using client = await proxy.connect();
      client.send(GET);
      await client.until(() => client.received.includes("begin"));
      proxy.upstream.connections[0]!.write(`${piece}0\r\n\r\n`);
      const answer = await client.answer();
      // Who reads on where others stop must at least give the client what can be read in one way.
      if (!IS_OTHER || answer.body !== "beginhalf") expect(answer.isComplete).toBe(false);
    },
  );
});

describe("answer bodies: streams", () => {
  const streams: readonly [what: string, head: string, wrap: (event: string) => string][] = [
    ["in chunks", CHUNKED_HEAD, (event) => `${event.length.toString(16)}\r\n${event}\r\n`],
    ["to the connection's end", "HTTP/1.1 200 OK\r\n\r\n", (event) => event],
  ];
  test.each(streams)("events %s arrive within 20 ms of being sent", async (_what, head, wrap) => {
    proxy.upstream.script((connection) =>
      connection.write(head.replace("OK\r\n", "OK\r\nContent-Type: text/event-stream\r\n")),
    );
    using client = await proxy.connect();
    client.send(GET);
    await client.until(() => client.received.includes("\r\n\r\n"));
    const connection = proxy.upstream.connections[0]!;
    const delaysMs: number[] = [];
    for (let count = 0; count < 25; count += 1) {
      const event = `data: ${count}!\n\n`;
      const sentMs = performance.now();
      connection.write(wrap(event));
      await client.until(() => client.received.includes(event));
      delaysMs.push(performance.now() - sentMs);
    }
    // One that a busy machine delayed says nothing about the proxy.
    expect(delaysMs.toSorted((a, b) => a - b)[20]).toBeLessThan(within(20));
  });

  test("an answer's first byte does not wait for its second", async () => {
    proxy.upstream.script((connection) =>
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"),
    );
    using client = await proxy.connect();
    client.send(GET);
    await client.until(() => client.received.endsWith("\r\n\r\na"));
  });
});
