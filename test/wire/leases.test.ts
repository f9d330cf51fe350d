import { describe, expect, test } from "bun:test";
import type { TestEngine } from "../support/engine-under-test.ts";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, type RawClient } from "../support/raw-client.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { until } from "../support/until.ts";

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;
const postHead = (length: number) =>
  `POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: ${length}\r\n\r\n`;

/** The engine has looked several times and the lease is still held. */
async function staysLeased(proxy: TestEngine): Promise<void> {
  // Something else that finishes keeps the engine looking, whatever it does for this request.
  const before = proxy.handler.heads.length;
  for (let round = 0; round < 4; round += 1) {
    await (await fetch(`http://127.0.0.1:${proxy.port}/beat`)).text();
    await until(() => proxy.handler.leases === 1);
  }
  expect(proxy.handler.heads.length).toBe(before + 4);
  expect(proxy.handler.leases).toBe(1);
}

async function isReleased(proxy: TestEngine): Promise<void> {
  await until(() => proxy.handler.leases === 0 && proxy.engine.inFlight === 0);
  expect(proxy.handler.doubles).toBe(0);
}

/** Answers `/beat` at once, and leaves everything else to the test. */
const startUpstream = () =>
  startScriptedUpstream((request) => {
    if (request.target === "/beat") request.reply("beat");
  });

const requestOf = async (upstream: Awaited<ReturnType<typeof startUpstream>>) => {
  await until(() => upstream.requests.some((request) => request.target !== "/beat"));
  return upstream.requests.find((request) => request.target !== "/beat")!;
};

type Leaving = (client: RawClient) => void;
/** With a FIN. One that only ended its side would still wait for its answer. */
const closes: Leaving = (client) => client[Symbol.dispose]();
const resets: Leaving = (client) => client.reset();

describe.each(ENGINES)("$name: leases", (engine) => {
  const downloads: readonly [what: string, head: string, piece: string, last: string][] = [
    ["a short length", "Content-Length: 4\r\n\r\n", "ab", "cd"],
    ["a long length", "Content-Length: 40000\r\n\r\n", "x".repeat(20_000), "y".repeat(20_000)],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n", "2\r\nab\r\n", "2\r\ncd\r\n0\r\n\r\n"],
    [
      "events",
      "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
      "2\r\nab\r\n",
      "2\r\ncd\r\n0\r\n\r\n",
    ],
    ["nothing yet", "Content-Length: 4\r\n\r\n", "", "abcd"],
  ];
  test.each(downloads)(
    "wire: a download with %s keeps its lease to the last byte",
    async (_what, head, piece, last) => {
      using upstream = await startUpstream();
      await using proxy = engine.start(upstream.origin);
      using client = await connectRaw(proxy.port);
      client.send(get("/download"));
      const request = await requestOf(upstream);
      await staysLeased(proxy);
      request.write(`HTTP/1.1 200 OK\r\n${head}${piece}`);
      await client.until(() => piece === "" || /ab|xx/.test(client.received));
      await staysLeased(proxy);
      request.write(last);
      expect((await client.answer()).isComplete).toBe(true);
      // The connection stays open; the request is over all the same.
      await isReleased(proxy);
      expect(client.isClosed).toBe(false);
    },
  );

  test("wire: a client that reads slowly keeps the lease after the target has sent everything", async () => {
    using upstream = await startUpstream();
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.pause();
    client.send(get("/download"));
    const request = await requestOf(upstream);
    // More than the socket buffers between here and there can hold.
    const bytes = 30_000_000;
    request.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`);
    request.write(Buffer.alloc(bytes, 120));
    request.end();
    await staysLeased(proxy);
    client.resume();
    await until(() => client.received.length > bytes);
    expect((await client.answer()).body.length).toBe(bytes);
    await isReleased(proxy);
  }, 60_000);

  test("wire: a running upload keeps its lease", async () => {
    using upstream = await startUpstream();
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(`${postHead(4)}ab`);
    const request = await requestOf(upstream);
    await until(() => request.body === "ab");
    await staysLeased(proxy);
    client.send("cd");
    await request.complete();
    await staysLeased(proxy);
    request.reply("done");
    await client.answer();
    await isReleased(proxy);
  });

  const phases: readonly [phase: string, sends: string, answers: string][] = [
    ["while the target thinks", get("/x"), ""],
    ["in the middle of its upload", `${postHead(100)}half`, ""],
    [
      "in the middle of a short body",
      get("/x"),
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    ],
    [
      "in the middle of a long body",
      get("/x"),
      "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhalf",
    ],
    [
      "in a silent event stream",
      get("/x"),
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX: half\r\n\r\n",
    ],
  ];
  test.concurrent.each(phases)(
    "wire: a client that leaves %s frees lease and target",
    async (_phase, sends, answers) => {
      for (const leave of [closes, resets]) {
        using upstream = await startUpstream();
        await using proxy = engine.start(upstream.origin);
        using client = await connectRaw(proxy.port);
        client.send(sends);
        const request = await requestOf(upstream);
        request.write(answers);
        if (answers !== "") await client.until(() => client.received.includes("half"));
        expect(proxy.handler.leases).toBe(1);
        leave(client);
        await isReleased(proxy);
        await until(() => upstream.open === 0);
        expect(proxy.handler.failures).toEqual([]);
      }
    },
  );

  test("wire: 2,000 clients that leave at any time leave nothing behind", async () => {
    const answers = [
      "",
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      `HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"x".repeat(50_000)}`,
    ];
    const answerTo = (index: number) => answers[index % answers.length] ?? "";
    using upstream = await startScriptedUpstream((request) =>
      request.write(answerTo(Number(request.target.slice(1)))),
    );
    await using proxy = engine.start(upstream.origin);
    const one = async (index: number) => {
      using client = await connectRaw(proxy.port);
      const line = index % 3 === 0 ? "POST" : "GET";
      const body = index % 3 === 0 ? "Content-Length: 10\r\n\r\nhalf" : "\r\n";
      client.send(`${line} /${index} HTTP/1.1\r\nHost: shop.test\r\n${body}`);
      // A third leaves at once, a third when its request has arrived, a third when the answer has
      // begun.
      if (index % 9 > 2)
        await until(() => proxy.handler.heads.some((head) => head.target === `/${index}`));
      if (index % 9 > 5 && answerTo(index).length > 20) await until(() => client.received !== "");
      if (index % 2 === 0) closes(client);
      else resets(client);
    };
    for (let index = 0; index < 2000; index += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, offset) => one(index + offset)));
    }
    await isReleased(proxy);
    // Only connections whose answers were complete may be kept for later.
    await until(() => upstream.requests.every((r) => r.isGone || isWhole(answerTo, r.target)));
    expect(proxy.handler.heads.length).toBeGreaterThan(1300);
  }, 60_000);
});

function isWhole(answerTo: (index: number) => string, target: string): boolean {
  return answerTo(Number(target.slice(1))).endsWith("5\r\n\r\nhello");
}

describe.each(ENGINES)("$name: held", (engine) => {
  test("wire: a held upload of 1 MB arrives whole once the app is awake", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply("thanks");
    });
    let decide = () => {
      // Replaced when the request is admitted.
    };
    await using proxy = engine.start(upstream.origin, {
      admit(head, handler) {
        const held = handler.hold();
        decide = () => held.decide(handler.exchange(head));
        return held.admission;
      },
    });
    const body = Buffer.alloc(1_000_000, "0123456789").toString();
    for (const chunked of [false, true]) {
      using client = await connectRaw(proxy.port);
      client.send(
        chunked
          ? `POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
          : postHead(body.length) + body,
      );
      const before = proxy.handler.heads.length;
      await until(() => proxy.handler.heads.length === before + 1 || before > 0);
      expect(upstream.requests.length).toBe(chunked ? 1 : 0);
      await until(() => proxy.engine.inFlight === 1);
      decide();
      expect((await client.answer()).body).toBe("thanks");
      expect(upstream.requests.at(-1)?.body === body).toBe(true);
    }
    await isReleased(proxy);
  });

  test("wire: a held client gets the answer the core decides on", async () => {
    await using proxy = engine.start("http://127.0.0.1:1", {
      admit(_head, handler) {
        const held = handler.hold();
        queueMicrotask(() => held.decide(textAnswer(503, "come back")));
        return held.admission;
      },
    });
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    expect((await client.answer()).body).toBe("come back");
    expect(proxy.handler.abandoned).toBe(0);
  });

  const waiting: readonly [what: string, sends: string, leavings: readonly Leaving[]][] = [
    ["with a GET", get("/"), [closes, resets]],
    // Its end would stand behind the bytes that nobody reads.
    ["with a long upload", postHead(50_000_000) + "x".repeat(5_000_000), [resets]],
    ["with half an upload", `${postHead(100)}half`, [closes, resets]],
    [
      "with a WebSocket",
      "GET / HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      [closes, resets],
    ],
  ];
  test.each(waiting)(
    "wire: a held client %s that leaves is forgotten, once",
    async (_what, sends, leavings) => {
      for (const leave of leavings) {
        await using proxy = engine.start("http://127.0.0.1:1", {
          admit: (_head, handler) => handler.hold().admission,
        });
        using client = await connectRaw(proxy.port);
        client.send(sends);
        await until(() => proxy.handler.heads.length === 1);
        leave(client);
        await until(() => proxy.handler.abandoned === 1 && proxy.engine.inFlight === 0);
        expect(proxy.handler.leases).toBe(0);
        expect(proxy.logged).toEqual([]);
      }
    },
  );
});

describe.each(ENGINES)("$name: stop", (engine) => {
  test("wire: an idle engine stops at once and frees its port", async () => {
    using upstream = await startScriptedUpstream();
    const proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    await client.answer();
    await proxy.engine.stop(60_000);
    await client.until(() => client.isClosed);
    expect(connectRaw(proxy.port)).rejects.toThrow();
    expect(proxy.handler.leases).toBe(0);
  });

  test("wire: what is under way finishes; new connections are refused meanwhile", async () => {
    using upstream = await startUpstream();
    const proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/slow"));
    const request = await requestOf(upstream);
    let stopped = false;
    const stop = proxy.engine.stop(60_000).then(() => {
      stopped = true;
    });
    expect(connectRaw(proxy.port)).rejects.toThrow();
    expect([stopped, proxy.engine.inFlight]).toEqual([false, 1]);
    request.reply("finished");
    expect((await client.answer()).body).toBe("finished");
    await stop;
    expect([proxy.handler.leases, proxy.engine.inFlight]).toEqual([0, 0]);
  });

  test("wire: what is not finished after the grace is cut, and gives its lease back", async () => {
    using upstream = await startUpstream();
    const proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/slow"));
    await requestOf(upstream);
    await proxy.engine.stop(30);
    await client.until(() => client.isClosed);
    await until(() => proxy.handler.leases === 0 && upstream.open === 0);
  });

  test("wire: a second stop with a shorter grace hurries the first", async () => {
    using upstream = await startUpstream();
    const proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(get("/slow"));
    await requestOf(upstream);
    const first = proxy.engine.stop(60_000);
    await proxy.engine.stop(0);
    await first;
    await until(() => proxy.handler.leases === 0);
  });

  test("wire: a held client is forgotten when the engine is cut", async () => {
    const proxy = engine.start("http://127.0.0.1:1", {
      admit: (_head, handler) => handler.hold().admission,
    });
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    await until(() => proxy.handler.heads.length === 1);
    await proxy.engine.stop(0);
    await until(() => proxy.handler.abandoned === 1);
  });
});
