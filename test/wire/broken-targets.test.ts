import { describe, expect, test } from "bun:test";
import { targetOf } from "../../src/app.ts";
import { PaastisError } from "../../src/errors.ts";
import { startDeafListener } from "../support/deaf-listener.ts";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { until } from "../support/until.ts";
import { upgradeRequest } from "../support/websocket-frames.ts";

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;
const post = (body: string) =>
  `POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/** An address of this machine where nobody listens. */
async function refusingOrigin(): Promise<string> {
  using upstream = await startScriptedUpstream();
  return upstream.origin;
}

describe.each(ENGINES)("$name: before the head", (engine) => {
  test("wire: a refused connection is unreachable, and replayable whatever the method", async () => {
    await using proxy = engine.start(await refusingOrigin());
    for (const request of [get("/"), post("hello")]) {
      expect((await exchangeRaw(proxy.port, request)).body).toBe("unreachable");
    }
    expect(proxy.handler.failures.map((failure) => failure.replayable)).toEqual([true, true]);
    expect(proxy.handler.failures[0]?.message).toContain("refused");
    expect(proxy.handler.leases).toBe(0);
  });

  test("wire: a name that does not exist is unreachable", async () => {
    await using proxy = engine.start("http://no-such-host.invalid");
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("unreachable");
  });

  const broken: readonly [what: string, bytes: string | null][] = [
    ["ends without a word", ""],
    ["resets", null],
    ["speaks something else", "SSH-2.0-x\r\n\r\n"],
    ["ends in the middle of its head", "HTTP/1.1 200 OK\r\nX-A: "],
    ["sends two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"],
    ["upgrades unasked", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
  ];
  test.each(broken)("wire: a target that %s is broken", async (_what, bytes) => {
    using upstream = await startScriptedUpstream((request) => {
      if (bytes === null) return request.reset();
      request.write(bytes);
      request.end();
    });
    await using proxy = engine.start(upstream.origin);
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("broken");
    expect((await exchangeRaw(proxy.port, post("hello"))).body).toBe("broken");
    const replayable = proxy.handler.failures.map((failure) => failure.replayable);
    expect(replayable).toEqual([true, false]);
    expect(proxy.handler.leases).toBe(0);
  });

  test("wire: a target that is silent for longer than the limit has timed out, and is hung up on", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using proxy = engine.start(upstream.origin, { engine: { upstream: { timeoutMs: 50 } } });
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("timeout");
    await until(() => upstream.open === 0);
  });

  test("wire: without a limit a slow answer is waited for, past the connect limit too", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    // Through a name, so that it does not count as this machine and the connection is watched.
    const target = { ...targetOf(upstream.origin), host: "remote.test" };
    await using proxy = engine.start(upstream.origin, {
      engine: { upstream: { connectTimeoutMs: 1_000 } },
      admit: (head, handler) => handler.exchange(head, target),
    });
    using client = await connectRaw(proxy.port);
    client.send(get("/"));
    const request = await upstream.request();
    // The watch has connected, seen that somebody listens, and hung up.
    const watched = performance.now() + 1_300;
    await until(() => performance.now() > watched && upstream.open === 1);
    request.reply("at last");
    expect((await client.answer()).body).toBe("at last");
    expect(proxy.handler.failures).toEqual([]);
  });

  test("wire: a target that does not even connect is unreachable after the connect limit", async () => {
    using deaf = await startDeafListener();
    const target = { ...targetOf(deaf.origin), host: "remote.test" };
    await using proxy = engine.start(deaf.origin, {
      engine: { upstream: { connectTimeoutMs: 100 } },
      admit: (head, handler) => handler.exchange(head, target),
    });
    for (const request of [get("/"), post("hello"), upgradeRequest("/")]) {
      expect((await exchangeRaw(proxy.port, request)).body).toBe("unreachable");
    }
    const failures = proxy.handler.failures.map((failure) => failure.replayable);
    expect(failures).toEqual([true, engine.name !== "fetch", true]);
    expect(proxy.handler.failures[0]?.message).toContain("no connection to");
  });

  test("wire: after a failure the request goes where the core says, with its whole body", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply(String(request.body.length));
    });
    const dead = targetOf(await refusingOrigin());
    const live = targetOf(upstream.origin);
    await using proxy = engine.start(upstream.origin, {
      admit: (head, handler) => handler.exchange(head, dead),
      failed: (_failure, exchange) =>
        proxy.handler.exchange(exchange.head, proxy.handler.failures.length < 4 ? dead : live),
    });
    const body = "x".repeat(1_000_000);
    expect((await exchangeRaw(proxy.port, post(body))).body).toBe("1000000");
    expect(proxy.handler.failures.every((failure) => failure.replayable)).toBe(true);
    expect(upstream.requests[0]?.body === body).toBe(true);
    expect(upstream.requests[0]?.header("x-forwarded-for")).toBe("127.0.0.1");
    expect(upstream.requests[0]?.header("via")).toBe("1.1 paastis");
    await until(() => proxy.handler.leases === 0);
    expect(proxy.handler.doubles).toBe(0);
  });

  test("wire: an answer that the core does not want is dropped, and the request goes on", async () => {
    using down = await startScriptedUpstream((request) =>
      request.write("HTTP/1.1 503 Down\r\nContent-Length: 5\r\n\r\nsorry"),
    );
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(down.origin, {
      answered: (answer, exchange, replayable) =>
        answer.status === 503 && replayable
          ? proxy.handler.exchange(exchange.head, targetOf(upstream.origin))
          : null,
    });
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("hello");
    const answer = await exchangeRaw(proxy.port, post("not twice"));
    expect([answer.status, answer.body]).toEqual([503, "sorry"]);
    await until(() => proxy.handler.leases === 0);
    expect(proxy.handler.doubles).toBe(0);
  });
});

describe.each(ENGINES)("$name: what the core asks after an attempt", (engine) => {
  const WHO_ASKS = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

  test.each([
    ["nothing of a proxy", ""],
    [
      "what a proxy has said",
      "Forwarded: for=192.0.2.1\r\nVia: 1.1 front\r\nX-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n",
    ],
  ])("wire: it still sees %s, as the client sent it", async (_what, headers) => {
    using upstream = await startScriptedUpstream();
    const seen: (string | null)[][] = [];
    const note = ({ header }: { header(name: string): string | null }) =>
      seen.push(WHO_ASKS.map((name) => header(name)));
    await using proxy = engine.start(upstream.origin, {
      admit(head, handler) {
        note(head);
        return handler.exchange(head);
      },
      answered(_answer, { head }) {
        note(head);
        return null;
      },
    });
    await exchangeRaw(proxy.port, `GET / HTTP/1.1\r\nHost: shop.test\r\n${headers}\r\n`);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0] ?? []);
  });
});

describe.each(ENGINES)("$name: within the body", (engine) => {
  const started: readonly [what: string, head: string][] = [
    ["with a short length", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"],
    ["with a long length", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
  ];
  test.each(started)(
    "wire: a body %s that breaks off never looks complete",
    async (_what, head) => {
      for (const how of ["end", "reset"] as const) {
        using upstream = await startScriptedUpstream((request) => request.write(head));
        await using proxy = engine.start(upstream.origin);
        using client = await connectRaw(proxy.port);
        client.send(get("/"));
        await client.until(() => client.received.includes("half"));
        upstream.requests[0]?.[how]();
        const answer = await client.answer();
        expect([answer.body, answer.isComplete, client.isClosed]).toEqual(["half", false, true]);
        await until(() => proxy.handler.leases === 0);
        expect(proxy.handler.doubles).toBe(0);
      }
    },
  );

  test("wire: a body that breaks off together with its head is not a success", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
      request.end();
    });
    await using proxy = engine.start(upstream.origin);
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect(answer.status === 502 || !answer.isComplete).toBe(true);
    expect(answer.body).not.toContain("ECONNRESET");
    await until(() => proxy.handler.leases === 0);
  });

  test("wire: an answer that comes before the upload is complete reaches the client", async () => {
    using upstream = await startScriptedUpstream((request) => request.reply("enough"));
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000000\r\n\r\nhello");
    expect((await client.answer()).body).toBe("enough");
    client.end();
    await until(() => proxy.handler.leases === 0);
  });
});

describe.each(ENGINES)("$name: our own answers", (engine) => {
  test("wire: an answer of the core comes with its status, headers and body", async () => {
    const { answer } = textAnswer(404, "nobody here");
    const headers = [
      ["paastis-error", "unknown_app"],
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
    ] as const;
    await using proxy = engine.start("http://127.0.0.1:1", {
      admit: () => ({ kind: "answer", answer: { ...answer, headers } }),
    });
    const got = await exchangeRaw(proxy.port, get("/"));
    expect([got.status, got.body, got.header("paastis-error")]).toEqual([
      404,
      "nobody here",
      "unknown_app",
    ]);
    expect(got.all("set-cookie")).toEqual(["a=1", "b=2"]);
    const head = await exchangeRaw(proxy.port, "HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    expect([head.status, head.body]).toEqual([404, ""]);
  });

  test("wire: a streamed answer comes in pieces, and is ended when the client leaves", async () => {
    let ended = 0;
    async function* pieces() {
      try {
        yield "one";
        yield "two";
        await new Promise<void>((resolve) => {
          leave = resolve;
        });
        yield "three";
      } finally {
        ended += 1;
      }
    }
    let leave = () => {
      // Replaced by the generator.
    };
    await using proxy = engine.start("http://127.0.0.1:1", {
      admit: () => ({ kind: "answer", answer: { status: 200, headers: [], body: pieces() } }),
    });
    using patient = await connectRaw(proxy.port);
    patient.send(get("/"));
    await patient.until(() => patient.received.includes("two"));
    leave();
    expect((await patient.answer()).body).toBe("onetwothree");
    await until(() => ended === 1);
    using hasty = await connectRaw(proxy.port);
    hasty.send(get("/"));
    await hasty.until(() => hasty.received.includes("two"));
    hasty.reset();
    // A generator that waits can only end once it goes on.
    await until(() => proxy.engine.inFlight === 0);
    leave();
    await until(() => ended === 2);
  });

  test("wire: a core that throws gives an answer without a stack", async () => {
    await using proxy = engine.start("http://127.0.0.1:1", {
      admit: () => {
        throw new Error("a secret");
      },
    });
    const answer = await exchangeRaw(proxy.port, get("/"));
    expect([answer.status, answer.header("paastis-error")]).toEqual([500, "internal"]);
    expect(answer.body).not.toContain("secret");
    expect(proxy.logged.map((line) => line.level)).toEqual(["error"]);
  });
});

describe.each(ENGINES)("$name: listening", (engine) => {
  test("wire: a port that is taken and a host that is not ours are explained", async () => {
    await using first = engine.start("http://127.0.0.1:1");
    const attempts = [
      { host: "127.0.0.1", port: first.port },
      { host: "192.0.2.1", port: 0 },
      { host: "no-such-host.invalid", port: 0 },
    ];
    const why = attempts.map((address) => {
      try {
        engine.start("http://127.0.0.1:1", { engine: address });
        return "listens";
      } catch (error) {
        if (!(error instanceof PaastisError)) throw error;
        return error.message;
      }
    });
    expect(why[0]).toContain(`another program listens on port ${first.port} already (EADDRINUSE)`);
    expect(why[1]).toContain('"192.0.2.1" is not an address of this machine (EADDRNOTAVAIL)');
    expect(why[2]).toContain('"no-such-host.invalid" is not an address of this machine');
  });
});
