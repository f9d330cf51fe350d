import { describe, expect, test } from "bun:test";
import { targetOf } from "../../src/app.ts";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { until } from "../support/until.ts";
import {
  acceptOf,
  CLIENT_KEY,
  type Frame,
  frame,
  OPCODES,
  upgradeAnswer,
  upgradeRequest,
} from "../support/websocket-frames.ts";
import { isReleased, open, startEcho, startRaw } from "../support/websocket-peers.ts";
import { declared } from "./exceptions.ts";

describe.each(ENGINES)("$name: messages", (engine) => {
  test("websocket: text, binary, empty and long messages are carried both ways, in order", async () => {
    await using app = startEcho();
    await using proxy = engine.start(app.origin);
    const { socket, messages } = await open(proxy.port);
    const long = "0123456789".repeat(100_000);
    const sent = ["héllo ✓", "", "a", long];
    for (const text of sent) socket.send(text);
    const binary = new Uint8Array(1_000_000).map((_, index) => index % 251);
    socket.send(binary);
    socket.send(new Uint8Array(0));
    await until(() => messages.length === 6);
    expect(messages.slice(0, 4)).toEqual(sent);
    expect(Bun.hash(messages[4] as Uint8Array)).toBe(Bun.hash(binary));
    expect(messages[5]).toEqual(new Uint8Array(0));
    expect([proxy.handler.leases, proxy.engine.inFlight]).toEqual([1, 1]);
    expect(proxy.handler.answers).toEqual([101]);
    socket.close();
    await isReleased(proxy);
  });

  test("websocket: messages that come before the other side is ready are kept", async () => {
    await using raw = await startRaw(engine.start, "", (request) => {
      request.write(frame({ opcode: OPCODES.text, payload: "first" }));
    });
    await until(() => raw.fromTarget().length === 1);
    expect(raw.fromTarget()[0]?.payload.toString()).toBe("first");
  });

  declared(engine, "fragments", "fragments arrive as one message", async () => {
    await using raw = await startRaw(engine.start);
    raw.client.send(frame({ opcode: OPCODES.text, payload: "one", masked: true, more: true }));
    raw.client.send(frame({ opcode: 0, payload: "two", masked: true }));
    await until(() => raw.fromClient().length === 1);
    expect(raw.fromClient()[0]?.payload.toString()).toBe("onetwo");
  });

  test("websocket: a ping is answered once, and reaches the other side", async () => {
    await using raw = await startRaw(engine.start);
    raw.client.send(frame({ opcode: OPCODES.ping, payload: "c", masked: true }));
    raw.target.write(frame({ opcode: OPCODES.ping, payload: "t" }));
    const saw = (frames: Frame[], opcode: number) =>
      frames.filter((entry) => entry.opcode === opcode).map((entry) => entry.payload.toString());
    await until(() => saw(raw.fromClient(), OPCODES.ping).length === 1);
    await until(() => saw(raw.fromTarget(), OPCODES.ping).length === 1);
    // The echo of a message proves that nothing else is on its way.
    raw.client.send(frame({ opcode: OPCODES.pong, payload: "t", masked: true }));
    raw.target.write(frame({ opcode: OPCODES.pong, payload: "c" }));
    raw.client.send(frame({ opcode: OPCODES.text, payload: "end", masked: true }));
    raw.target.write(frame({ opcode: OPCODES.text, payload: "end" }));
    await until(() => raw.fromClient().at(-1)?.opcode === OPCODES.text);
    await until(() => raw.fromTarget().at(-1)?.opcode === OPCODES.text);
    expect(saw(raw.fromClient(), OPCODES.pong)).toEqual(["t"]);
    expect(saw(raw.fromTarget(), OPCODES.pong)).toEqual(["c"]);
  });

  test("websocket: a slow target stops a fast client, and nothing is lost", async () => {
    await using raw = await startRaw(engine.start);
    raw.target.socket.pause();
    const payload = Buffer.alloc(60_000, 7);
    const count = 500;
    for (let index = 0; index < count; index += 1) {
      raw.client.send(frame({ opcode: OPCODES.binary, payload, masked: true }));
    }
    raw.target.socket.resume();
    let bytes = 0;
    raw.target.socket.on("data", (data) => {
      bytes += data.length;
    });
    await until(() => bytes >= count * payload.length);
    expect(raw.proxy.handler.leases).toBe(1);
  }, 60_000);

  test("websocket: a slow client stops a fast target, and nothing is lost", async () => {
    await using raw = await startRaw(engine.start);
    raw.client.pause();
    const payload = Buffer.alloc(60_000, 7);
    const count = 500;
    for (let index = 0; index < count; index += 1) {
      raw.target.write(frame({ opcode: OPCODES.binary, payload }));
    }
    // What the socket buffers cannot hold stays with the target.
    await until(() => raw.target.socket.writableLength > 0);
    raw.client.resume();
    await until(() => raw.client.received.length >= count * payload.length);
    expect(raw.proxy.handler.leases).toBe(1);
  }, 60_000);
});

describe.each(ENGINES)("$name: handshake", (engine) => {
  test("websocket: the target gets the request's headers, and its handshake is kept or made", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(upgradeAnswer(request.header("sec-websocket-key") ?? "")),
    );
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    const extra = [
      "Origin: http://shop.test",
      "Cookie: a=1",
      "X-Mine: 2",
      "X-Forwarded-For: 6.6.6.6",
      "Sec-WebSocket-Extensions: permessage-deflate",
      "",
    ].join("\r\n");
    client.send(upgradeRequest("/ws?a=b", extra));
    const answer = await client.answer();
    expect([answer.status, answer.header("sec-websocket-accept")]).toEqual([
      101,
      acceptOf(CLIENT_KEY),
    ]);
    const isOwn = engine.name === "fetch";
    expect(answer.header("sec-websocket-extensions")).toBeNull();
    const [request] = upstream.requests;
    const seen = (name: string) => request?.all(name).join("|");
    expect(request?.target).toBe("/ws?a=b");
    expect(seen("host")).toBe(`127.0.0.1:${upstream.port}`);
    expect(seen("origin")).toBe(upstream.origin);
    expect(seen("cookie")).toBe("a=1");
    expect(seen("x-mine")).toBe("2");
    expect(seen("x-forwarded-for")).toBe("127.0.0.1");
    expect(seen("via")).toBe("1.1 paastis");
    expect(seen("upgrade")).toBe("websocket");
    expect(seen("sec-websocket-extensions")).toBe(isOwn ? "" : "permessage-deflate");
    expect(seen("sec-websocket-key") === CLIENT_KEY).toBe(!isOwn);
  });

  test("websocket: the target's choice of subprotocol and its headers reach the client", async () => {
    await using app = startEcho();
    await using proxy = engine.start(app.origin);
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/", "Sec-WebSocket-Protocol: v1, v2\r\n"));
    const answer = await client.answer();
    expect(answer.all("sec-websocket-protocol")).toEqual(["v2"]);
    expect(answer.header("x-app")).toBe("yes");
    expect(answer.all("set-cookie")).toEqual(["s=1", "t=2; Domain=shop.test"]);
    const { socket } = await open(proxy.port, ["a", "b"]);
    expect(socket.protocol).toBe("b");
    socket.close();
  });

  declared(engine, "no subprotocol", "a target that chooses no subprotocol is broken", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(upgradeAnswer(request.header("sec-websocket-key") ?? "")),
    );
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/", "Sec-WebSocket-Protocol: v1\r\n"));
    expect((await client.answer()).body).toBe("broken");
    await isReleased(proxy);
  });

  const refusals: readonly [what: string, bytes: string, status: number, body: string][] = [
    [
      "with a short body",
      "HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 6\r\n\r\ndenied",
      403,
      "denied",
    ],
    [
      "in chunks",
      "HTTP/1.1 426 Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
      426,
      "no",
    ],
    ["with nothing", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""],
    [
      "with a long body",
      `HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${"x".repeat(50_000)}`,
      200,
      "x".repeat(50_000),
    ],
  ];
  test.each(refusals)(
    "websocket: a refusal %s is relayed as it came",
    async (_what, bytes, status, body) => {
      using upstream = await startScriptedUpstream((request) => request.write(bytes));
      await using proxy = engine.start(upstream.origin);
      using client = await connectRaw(proxy.port);
      client.send(upgradeRequest("/"));
      const answer = await client.answer();
      expect([answer.status, answer.body, answer.isComplete]).toEqual([status, body, true]);
      if (status === 403) {
        expect(answer.header("x-why")).toBe("no");
        expect(answer.all("set-cookie")).toEqual(["a=1", "b=2"]);
      }
      expect(proxy.handler.answers).toEqual([status]);
      await isReleased(proxy);
    },
  );

  test("websocket: a client that leaves in the middle of a refusal frees lease and target", async () => {
    for (const length of [9, 50_000]) {
      using upstream = await startScriptedUpstream((request) =>
        request.write(`HTTP/1.1 403 No\r\nContent-Length: ${length}\r\n\r\nhalf`),
      );
      await using proxy = engine.start(upstream.origin);
      using client = await connectRaw(proxy.port);
      client.send(upgradeRequest("/"));
      await until(() => proxy.handler.answers.length === 1);
      client.reset();
      await isReleased(proxy);
      await until(() => upstream.open === 0);
    }
  });

  test("websocket: a redirect is relayed, not followed", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(
        `HTTP/1.1 302 Found\r\nLocation: ${upstream.origin}/in\r\nContent-Length: 0\r\n\r\n`,
      ),
    );
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    const answer = await client.answer();
    expect([answer.status, answer.header("location")]).toEqual([302, "http://shop.test/in"]);
  });

  const broken: readonly [what: string, bytes: string][] = [
    ["hangs up", ""],
    ["speaks something else", "SSH-2.0-x\r\n\r\n"],
  ];
  test.each(broken)("websocket: a target that %s is broken", async (_what, bytes) => {
    using upstream = await startScriptedUpstream((request) => {
      request.write(bytes);
      request.end();
    });
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    expect((await client.answer()).body).toBe("broken");
    await isReleased(proxy);
  });

  declared(engine, "short refusals", "a target that breaks its refusal off is broken", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.write("HTTP/1.1 403 No\r\nContent-Type: text/x\r\nContent-Length: 9\r\n\r\nhalf");
      request.end();
    });
    await using proxy = engine.start(upstream.origin);
    expect((await exchangeRaw(proxy.port, upgradeRequest("/"))).body).toBe("broken");
    await isReleased(proxy);
  });

  declared(engine, "handshake", "a target that agrees wrongly is broken", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.write(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
      );
      request.end();
    });
    await using proxy = engine.start(upstream.origin);
    expect((await exchangeRaw(proxy.port, upgradeRequest("/"))).body).toBe("broken");
    await isReleased(proxy);
  });

  test("websocket: a target that is down is reported, and the next one the core names is tried", async () => {
    await using app = startEcho();
    using gone = await startScriptedUpstream();
    const dead = targetOf(gone.origin);
    gone[Symbol.dispose]();
    await using proxy = engine.start(app.origin, {
      admit: (head, handler) => handler.exchange(head, dead),
      failed: (failure, exchange) =>
        failure.kind === "unreachable" && failure.replayable
          ? proxy.handler.exchange(exchange.head, targetOf(app.origin))
          : textAnswer(502, "no"),
    });
    const { socket, messages } = await open(proxy.port);
    socket.send("hi");
    await until(() => messages.length === 1);
    socket.close();
    await isReleased(proxy);
  });

  test("websocket: an upgrade is held while the app wakes", async () => {
    await using app = startEcho();
    let decide = () => {
      // Replaced when the request is admitted.
    };
    await using proxy = engine.start(app.origin, {
      admit(head, handler) {
        const held = handler.hold();
        decide = () => held.decide(handler.exchange(head));
        return held.admission;
      },
    });
    const opening = open(proxy.port);
    await until(() => proxy.handler.heads.length === 1);
    decide();
    const { socket, messages } = await opening;
    socket.send("awake");
    await until(() => messages[0] === "awake");
    socket.close();
    await isReleased(proxy);
  });

  test("websocket: the core's own answer to an upgrade is an ordinary answer", async () => {
    await using proxy = engine.start("http://127.0.0.1:1", {
      admit: () => textAnswer(503, "not now"),
    });
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    const answer = await client.answer();
    expect([answer.status, answer.body]).toEqual([503, "not now"]);
  });

  test("websocket: a silent target times out, and a client that leaves meanwhile is forgotten", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using hasty = engine.start(upstream.origin, { engine: { upstream: { timeoutMs: 50 } } });
    using first = await connectRaw(hasty.port);
    first.send(upgradeRequest("/"));
    expect((await first.answer()).body).toBe("timeout");
    await using patient = engine.start(upstream.origin);
    using second = await connectRaw(patient.port);
    second.send(upgradeRequest("/"));
    await upstream.request(1);
    second.reset();
    await isReleased(patient);
    await until(() => upstream.open === 0);
    expect(patient.handler.failures).toEqual([]);
  });

  test("websocket: a request that only half asks for an upgrade is forwarded as it is", async () => {
    using upstream = await startScriptedUpstream();
    await using proxy = engine.start(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    expect((await client.answer()).body).toBe("hello");
    expect(upstream.requests[0]?.header("upgrade")).toBeNull();
  });
});
