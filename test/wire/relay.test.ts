/** Connections that go on with another engine: what is said on them, and how they end. */

import { describe, expect, test } from "bun:test";
import { targetOf } from "../../src/app.ts";
import { readPreface } from "../../src/engines/socket-relay.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startSuccession } from "../support/succession.ts";
import { until } from "../support/until.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";

const GET = "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** An app that answers each request with its first line. */
function echoes() {
  return startRawUpstream((connection, piece) => {
    for (const [line] of piece.matchAll(/^[A-Z]+ \S+(?= HTTP\/1.1\r$)/gm)) {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\n\r\n${line}`);
    }
  });
}

describe("relay: requests", () => {
  test("one that comes while nobody serves waits, and is answered by the successor alone", async () => {
    using upstream = await echoes();
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port);
    client.send(GET);
    await client.answer();
    pair.hold();
    client.send(GET.replace("/a", "/b"));
    const { successor, left } = pair.takeOver();
    const answer = await client.answer();
    expect([answer.body, answer.header("connection")]).toEqual(["GET /b", "close"]);
    await client.until(() => client.isClosed);
    expect(client.isReset).toBe(false);
    expect([pair.old.handler.heads.length, successor.handler.heads.length]).toEqual([1, 1]);
    await left;
    expect(successor.handler.leases).toBe(0);
  });

  test("a head whose first half had come before is read as one, however it was cut", async () => {
    using upstream = await echoes();
    await using pair = startSuccession(upstream.origin);
    const clients = await Promise.all(
      Array.from({ length: GET.length - 1 }, () => connectRaw(pair.port)),
    );
    for (const [at, client] of clients.entries()) client.send(GET.slice(0, at + 1));
    // What was sent has come once it has been counted; a request behind it says so.
    using last = await connectRaw(pair.port);
    last.send(GET);
    await last.answer();
    const { successor } = pair.takeOver();
    for (const [at, client] of clients.entries()) client.send(GET.slice(at + 1));
    const answers = await Promise.all(clients.map((client) => client.answer()));
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(["GET /a"]));
    expect(successor.handler.heads).toHaveLength(clients.length);
    for (const client of clients) client[Symbol.dispose]();
  });

  test("what was sent ahead is answered in order, each once, on the same connection", async () => {
    const waiting = Promise.withResolvers<void>();
    using upstream = await startRawUpstream((connection, piece) => {
      for (const [path] of piece.matchAll(/(?<=^GET )\S+/gm)) {
        const answer = OK.replace(/..$/, path);
        if (path === "/1") void waiting.promise.then(() => connection.write(answer));
        else connection.write(answer);
      }
    });
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port);
    client.send(["/1", "/2", "/3"].map((path) => GET.replace("/a", path)).join(""));
    await until(() => pair.old.handler.heads.length === 1);
    const { successor } = pair.takeOver();
    client.send(GET.replace("/a", "/4"));
    waiting.resolve();
    const bodies: string[] = [];
    for (const _ of "1234") bodies.push((await client.answer()).body);
    expect(bodies).toEqual(["/1", "/2", "/3", "/4"]);
    expect(pair.old.handler.heads).toHaveLength(1);
    expect(successor.handler.heads.map(({ target }) => target)).toEqual(["/2", "/3", "/4"]);
  });

  test("one that was held for its app is held by the successor, with its body, as it came", async () => {
    using upstream = await startRawUpstream((connection, piece) => {
      if (piece.includes("body")) connection.write(OK);
    });
    await using pair = startSuccession(upstream.origin, {
      old: { admit: (_head, handler) => handler.hold().admission },
    });
    using client = await connectRaw(pair.port);
    const head = "POST /up?x=%20 HTTP/1.1\r\nHost: shop.test\r\nX-Twice: 1\r\nx-twice: 2\r\n";
    client.send(`${head}Content-Length: 10\r\n\r\nfirst `);
    await until(() => pair.old.handler.heads.length === 1);
    pair.takeOver();
    client.send("body");
    expect((await client.answer()).status).toBe(200);
    expect(pair.old.handler.abandoned).toBe(1);
    const received = upstream.connections[0]?.received ?? "";
    expect(received).toMatch(/^POST \/up\?x=%20 HTTP\/1.1\r\n/);
    expect(received).toContain("X-Twice: 1\r\nx-twice: 2\r\n");
    expect(received).toEndWith("\r\n\r\nfirst body");
  });

  test("the client is asked for its body by the successor", async () => {
    using upstream = await startRawUpstream((connection, piece) => {
      connection.write(piece.includes("100-continue") ? "HTTP/1.1 100 Continue\r\n\r\n" : OK);
    });
    await using pair = startSuccession(upstream.origin, {
      old: { admit: (_head, handler) => handler.hold().admission },
    });
    using client = await connectRaw(pair.port);
    client.send("PUT /a HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\n");
    client.send("Content-Length: 4\r\n\r\n");
    await until(() => pair.old.handler.heads.length === 1);
    pair.takeOver();
    await client.until(() => client.received.includes("100 Continue"));
    client.send("body");
    expect((await client.answer()).status).toBe(200);
  });

  test("chunks of an upload go on where they are", async () => {
    using upstream = await startRawUpstream((connection, piece) => {
      if (piece.includes("0\r\n\r\n")) connection.write(OK);
    });
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port);
    client.send("POST /a HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n");
    const target = await upstream.received("abc");
    const { successor } = pair.takeOver();
    client.send("3\r\ndef\r\n0\r\n\r\n");
    expect((await client.answer()).status).toBe(200);
    expect(target.received).toEndWith("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    expect(successor.handler.heads).toHaveLength(0);
  });

  test("the successor sees the client's address, not that of the private socket", async () => {
    using upstream = await startRawUpstream((connection) => connection.write(OK));
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port, { address: "127.0.0.1" });
    client.send(GET.slice(0, 9));
    await until(() => pair.old.engine.inFlight === 0);
    const { successor } = pair.takeOver();
    client.send(GET.slice(9));
    await client.answer();
    expect(successor.handler.heads[0]?.clientAddress).toBe("127.0.0.1");
    expect(upstream.connections[0]?.received).toContain("X-Forwarded-For: 127.0.0.1\r\n");
  });

  test("one whose target is gone before it was sent is the successor's, too", async () => {
    using upstream = await echoes();
    const dead = await startRawUpstream();
    const { origin } = dead;
    dead[Symbol.dispose]();
    await using pair = startSuccession(upstream.origin, {
      old: {
        admit(head, handler) {
          pair.hold();
          return handler.exchange(head, targetOf(origin));
        },
      },
    });
    using client = await connectRaw(pair.port);
    client.send(GET);
    await until(() => pair.old.handler.heads.length === 1);
    pair.takeOver();
    expect((await client.answer()).body).toBe("GET /a");
  });
});

describe("relay: ends", () => {
  test("a stream of ours ends whole, and its client's next request goes to the successor", async () => {
    using upstream = await echoes();
    const told = Promise.withResolvers<void>();
    async function* body() {
      yield "first";
      await told.promise;
      yield "we are about to stop";
    }
    await using pair = startSuccession(upstream.origin, {
      old: {
        admit: () => ({ kind: "answer", answer: { status: 200, headers: [], body: body() } }),
      },
    });
    using client = await connectRaw(pair.port);
    client.send(GET);
    await client.until(() => client.received.includes("first"));
    pair.takeOver();
    told.resolve();
    const stream = await client.answer();
    expect([stream.isComplete, stream.body]).toEqual([true, "first"]);
    client.send(GET.replace("/a", "/b"));
    expect((await client.answer()).body).toBe("GET /b");
  });

  test("a client that has ended its side is answered", async () => {
    using upstream = await echoes();
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port, { allowHalfOpen: true });
    pair.hold();
    client.send(GET);
    client.end();
    pair.takeOver();
    expect((await client.answer()).body).toBe("GET /a");
    await client.until(() => client.isClosed);
    expect(client.isReset).toBe(false);
  });

  test("one that leaves while it waits is forgotten by both", async () => {
    using upstream = await startRawUpstream();
    await using pair = startSuccession(upstream.origin);
    const waits = await connectRaw(pair.port);
    const served = await connectRaw(pair.port);
    pair.hold();
    waits.send(GET);
    served.send(GET);
    await until(() => pair.old.engine.inFlight === 2);
    waits.reset();
    await until(() => pair.old.engine.inFlight === 1);
    const { successor, left } = pair.takeOver();
    await upstream.received("GET /a");
    served.reset();
    await left;
    await until(() => successor.handler.leases === 0 && successor.engine.inFlight === 0);
    expect(successor.handler.heads).toHaveLength(1);
  });

  test("a client that is refused in the middle of its upload reads why", async () => {
    using upstream = await startRawUpstream();
    await using pair = startSuccession(upstream.origin, {
      next: { admit: () => textAnswer(413, "too large") },
    });
    using client = await connectRaw(pair.port);
    pair.hold();
    client.send("POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 50000000\r\n\r\n");
    const { left } = pair.takeOver();
    const piece = Buffer.alloc(65_536, "x");
    client.pause();
    for (let sent = 0; sent < 100; sent += 1) client.send(piece);
    await until(() => pair.old.engine.inFlight === 1);
    await Bun.sleep(50);
    client.resume();
    const answer = await client.answer({ method: "POST" });
    expect([answer.status, answer.body]).toEqual([413, "too large"]);
    client.end();
    await left;
  });

  test("a slow head is not cut off because its process leaves", async () => {
    using upstream = await echoes();
    const clock = createVirtualClock();
    await using pair = startSuccession(upstream.origin, {
      old: { engine: { clock, limits: { headersTimeoutMs: 20_000 } } },
    });
    using client = await connectRaw(pair.port);
    client.send(GET.slice(0, 9));
    using other = await connectRaw(pair.port);
    other.send(GET);
    await other.answer();
    pair.takeOver(60_000);
    await clock.advance(8_000);
    client.send(GET.slice(9));
    expect((await client.answer()).body).toBe("GET /a");
  });
});

test("relay: more than the system lets wait to be accepted all reach the successor", async () => {
  using upstream = await echoes();
  await using pair = startSuccession(upstream.origin);
  const clients = await Promise.all(Array.from({ length: 700 }, () => connectRaw(pair.port)));
  pair.hold();
  for (const [at, client] of clients.entries()) client.send(GET.replace("/a", `/${at}`));
  await until(() => pair.old.engine.inFlight === clients.length);
  pair.takeOver();
  const answers = await Promise.all(clients.map((client) => client.answer()));
  const wrong = answers.filter(({ body }, at) => body !== `GET /${at}`);
  expect(wrong).toHaveLength(0);
  for (const client of clients) client[Symbol.dispose]();
});

describe("relay: large bodies", () => {
  const BYTES = 20_000_000;

  test("an upload through both comes whole, though its target pauses", async () => {
    using upstream = await startRawUpstream((connection) => {
      if (connection.received.length > BYTES) connection.write(OK);
    });
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port);
    pair.hold();
    client.send(`POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: ${BYTES}\r\n\r\n`);
    pair.takeOver();
    const target = await upstream.received("\r\n\r\n");
    target.socket.pause();
    const body = Buffer.alloc(BYTES, "0123456789");
    client.send(body);
    await Bun.sleep(50);
    target.socket.resume();
    expect((await client.answer({ method: "POST" })).status).toBe(200);
    expect(target.received.slice(-BYTES) === body.toString("latin1")).toBe(true);
  });

  test("a download through both comes whole to a client that pauses, and is not kept in memory for it", async () => {
    const body = Buffer.alloc(BYTES, "0123456789");
    using upstream = await startRawUpstream((connection) => {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`);
      connection.write(body);
    });
    await using pair = startSuccession(upstream.origin);
    using client = await connectRaw(pair.port);
    pair.hold();
    client.send(GET);
    client.pause();
    pair.takeOver();
    const target = await upstream.received("GET");
    await until(() => target.socket.bytesWritten > 0);
    // Nobody reads: the target cannot get rid of all of it.
    await Bun.sleep(100);
    expect(target.socket.writableLength).toBeGreaterThan(BYTES / 4);
    client.resume();
    const answer = await client.answer();
    expect([answer.isComplete, answer.body === body.toString("latin1")]).toEqual([true, true]);
  });
});

describe("relay: what a private connection begins with", () => {
  const bytes = (text: string) => Buffer.from(text, "latin1");

  test("is whole with its line's end, wherever it is cut", () => {
    const text = "PAASTIS-CLIENT 2001:db8::1\nGET / HTTP/1.1\r\n";
    for (let cut = 0; cut < text.indexOf("\n"); cut += 1) {
      expect(readPreface(bytes(text.slice(0, cut)))).toEqual({ kind: "incomplete" });
    }
    const rest = bytes("GET / HTTP/1.1\r\n");
    expect(readPreface(bytes(text))).toEqual({ kind: "client", address: "2001:db8::1", rest });
  });

  test("of a client without an address is a line, too", () => {
    const rest = bytes("");
    expect(readPreface(bytes("PAASTIS-CLIENT \n"))).toEqual({ kind: "client", address: "", rest });
  });

  test.each([
    ["another word", "GET / HTTP/1.1\r\n"],
    ["a line that does not end", "PAASTIS-CLIENT ".padEnd(128, "1")],
    ["a line that is too long", `${"PAASTIS-CLIENT ".padEnd(128, "1")}\n`],
    ["an empty line", "\nPAASTIS-CLIENT 127.0.0.1\n"],
  ])("%s is refused", (_what, text) => {
    expect(readPreface(bytes(text))).toEqual({ kind: "invalid" });
  });

  test("in single bytes it is understood; anything else is cut off", async () => {
    using upstream = await echoes();
    await using pair = startSuccession(upstream.origin);
    const { successor, socketPath } = pair.listen();
    let heard = "";
    let isClosed = false;
    const handlers = {
      data(_socket: unknown, piece: Buffer) {
        heard += piece.toString("latin1");
      },
      close() {
        isClosed = true;
      },
    };
    const socket = await Bun.connect({ unix: socketPath, socket: handlers });
    for (const one of `PAASTIS-CLIENT 192.0.2.7\n${GET}`) {
      socket.write(one);
      socket.flush();
      await Bun.sleep(0);
    }
    await until(() => heard.includes("GET /a"));
    expect(successor.handler.heads[0]?.clientAddress).toBe("192.0.2.7");
    socket.end();
    isClosed = false;
    const stranger = await Bun.connect({ unix: socketPath, socket: handlers });
    stranger.write(GET);
    await until(() => isClosed);
    expect(successor.handler.heads).toHaveLength(1);
  });
});
