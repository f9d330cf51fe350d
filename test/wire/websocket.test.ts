import { describe, expect, test } from "bun:test";
import { targetOf } from "../../src/app.ts";
import { startTestEngine, type TestEngine } from "../support/fetch-engine.ts";
import { connectRaw, type RawClient } from "../support/raw-client.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream, type UpstreamRequest } from "../support/scripted-upstream.ts";
import { until } from "../support/until.ts";
import {
  acceptOf,
  CLIENT_KEY,
  closePayload,
  type Frame,
  frame,
  framesIn,
  OPCODES,
  upgradeAnswer,
  upgradeRequest,
} from "../support/websocket-frames.ts";
import { FETCH_EXCEPTIONS } from "./exceptions.ts";

/** An app that echoes; `close:<code>:<reason>` closes. */
function startEcho() {
  const closes: [number, string][] = [];
  const server = Bun.serve<{ protocol: string | null }>({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, self) {
      const protocol = request.headers.get("sec-websocket-protocol");
      const headers = new Headers();
      if (protocol !== null)
        headers.set("sec-websocket-protocol", protocol.split(",").at(-1)!.trim());
      headers.append("set-cookie", "s=1");
      headers.append("set-cookie", "t=2; Domain=127.0.0.1");
      headers.set("x-app", "yes");
      self.upgrade(request, { data: { protocol }, headers });
    },
    websocket: {
      maxPayloadLength: 256 * 1024 * 1024,
      backpressureLimit: 0,
      message(socket, message) {
        const text = typeof message === "string" ? message : "";
        const [word, code, reason = ""] = text.split(":");
        if (word === "close") socket.close(code ? Number(code) : undefined, reason);
        else if (word === "end") socket.terminate();
        else socket.send(message);
      },
      close: (_socket, code, reason) => void closes.push([code, reason]),
    },
  });
  return {
    origin: `http://127.0.0.1:${server.port}`,
    closes,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

interface Browser {
  readonly socket: WebSocket;
  readonly messages: (string | Uint8Array)[];
  readonly closed: Promise<[code: number, reason: string]>;
}

async function open(port: number, protocols: string[] = []): Promise<Browser> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?x=1`, protocols);
  socket.binaryType = "arraybuffer";
  const messages: (string | Uint8Array)[] = [];
  socket.onmessage = ({ data }) =>
    void messages.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
  const closed = new Promise<[number, string]>((resolve) => {
    socket.onclose = ({ code, reason }) => resolve([code, reason]);
  });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("not opened"));
  });
  return { socket, messages, closed };
}

async function isReleased(proxy: TestEngine): Promise<void> {
  await until(() => proxy.handler.leases === 0 && proxy.engine.inFlight === 0);
  expect(proxy.handler.doubles).toBe(0);
}

/** A target and a client by hand, connected through the engine. */
async function startRaw(extra = "", onRequest?: (request: UpstreamRequest) => void) {
  const seen: Buffer[] = [];
  const upstream = await startScriptedUpstream((request) => {
    request.write(upgradeAnswer(request.header("sec-websocket-key") ?? "", extra));
    request.socket.on("data", (data) => {
      seen.push(typeof data === "string" ? Buffer.from(data) : data);
    });
    onRequest?.(request);
  });
  const proxy = startTestEngine(upstream.origin);
  const client = await connectRaw(proxy.port);
  client.send(upgradeRequest("/ws"));
  const answer = await client.answer();
  const headEnd = client.received.indexOf("\r\n\r\n") + 4;
  return {
    upstream,
    proxy,
    client,
    answer,
    /** What arrived at the target, and at the client. */
    fromClient: () => framesIn(Buffer.concat(seen).toString("latin1")),
    fromTarget: () => framesIn(client.received.slice(headEnd)),
    target: await upstream.request(),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await proxy.engine.stop(0);
      upstream[Symbol.dispose]();
    },
  };
}

describe("messages", () => {
  test("websocket: text, binary, empty and long messages are carried both ways, in order", async () => {
    await using app = startEcho();
    await using proxy = startTestEngine(app.origin);
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
    await using raw = await startRaw("", (request) => {
      request.write(frame({ opcode: OPCODES.text, payload: "first" }));
    });
    await until(() => raw.fromTarget().length === 1);
    expect(raw.fromTarget()[0]?.payload.toString()).toBe("first");
  });

  test(`websocket: fragments arrive as one message (${FETCH_EXCEPTIONS.fragments})`, async () => {
    await using raw = await startRaw();
    raw.client.send(frame({ opcode: OPCODES.text, payload: "one", masked: true, more: true }));
    raw.client.send(frame({ opcode: 0, payload: "two", masked: true }));
    await until(() => raw.fromClient().length === 1);
    expect(raw.fromClient()[0]?.payload.toString()).toBe("onetwo");
  });

  test("websocket: a ping is answered once, and reaches the other side", async () => {
    await using raw = await startRaw();
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
    await using raw = await startRaw();
    raw.target.socket.pause();
    const payload = Buffer.alloc(60_000, 7);
    const count = 1_000;
    for (let index = 0; index < count; index += 1) {
      raw.client.send(frame({ opcode: OPCODES.binary, payload, masked: true }));
    }
    raw.target.socket.resume();
    let bytes = 0;
    raw.target.socket.on("data", (data) => {
      bytes += data.length;
    });
    await until(() => bytes >= count * payload.length, 10_000);
    expect(raw.proxy.handler.leases).toBe(1);
  }, 15_000);

  test("websocket: a slow client stops a fast target, and nothing is lost", async () => {
    await using raw = await startRaw();
    raw.client.pause();
    const payload = Buffer.alloc(60_000, 7);
    const count = 1_000;
    for (let index = 0; index < count; index += 1) {
      raw.target.write(frame({ opcode: OPCODES.binary, payload }));
    }
    // What the socket buffers cannot hold stays with the target.
    await until(() => raw.target.socket.writableLength > 0);
    raw.client.resume();
    await until(() => raw.client.received.length >= count * payload.length, 10_000);
    expect(raw.proxy.handler.leases).toBe(1);
  }, 15_000);
});

describe("handshake", () => {
  test("websocket: the target gets the request's headers, and a handshake of its own", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(upgradeAnswer(request.header("sec-websocket-key") ?? "")),
    );
    await using proxy = startTestEngine(upstream.origin);
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
    expect(seen("sec-websocket-extensions")).toBe("");
    expect(seen("sec-websocket-key")).not.toBe(CLIENT_KEY);
  });

  test("websocket: the target's choice of subprotocol and its headers reach the client", async () => {
    await using app = startEcho();
    await using proxy = startTestEngine(app.origin);
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

  test(`websocket: a target that chooses no subprotocol is broken (${FETCH_EXCEPTIONS["no subprotocol"]})`, async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(upgradeAnswer(request.header("sec-websocket-key") ?? "")),
    );
    await using proxy = startTestEngine(upstream.origin);
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
      await using proxy = startTestEngine(upstream.origin);
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

  test("websocket: a redirect is relayed, not followed", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.write(
        `HTTP/1.1 302 Found\r\nLocation: ${upstream.origin}/in\r\nContent-Length: 0\r\n\r\n`,
      ),
    );
    await using proxy = startTestEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    const answer = await client.answer();
    expect([answer.status, answer.header("location")]).toEqual([302, "http://shop.test/in"]);
  });

  const broken: readonly [what: string, bytes: string][] = [
    ["hangs up", ""],
    ["speaks something else", "SSH-2.0-x\r\n\r\n"],
    [
      "agrees wrongly",
      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    ],
  ];
  test.each(broken)("websocket: a target that %s is broken", async (_what, bytes) => {
    using upstream = await startScriptedUpstream((request) => {
      request.write(bytes);
      request.end();
    });
    await using proxy = startTestEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    expect((await client.answer()).body).toBe("broken");
    await isReleased(proxy);
  });

  test("websocket: a target that is down is reported, and the next one the core names is tried", async () => {
    await using app = startEcho();
    using gone = await startScriptedUpstream();
    const dead = targetOf(gone.origin);
    gone[Symbol.dispose]();
    await using proxy = startTestEngine(app.origin, {
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
    await using proxy = startTestEngine(app.origin, {
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
    await using proxy = startTestEngine("http://127.0.0.1:1", {
      admit: () => textAnswer(503, "not now"),
    });
    using client = await connectRaw(proxy.port);
    client.send(upgradeRequest("/"));
    const answer = await client.answer();
    expect([answer.status, answer.body]).toEqual([503, "not now"]);
  });

  test("websocket: a silent target times out, and a client that leaves meanwhile is forgotten", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using hasty = startTestEngine(upstream.origin, { engine: { responseTimeoutMs: 50 } });
    using first = await connectRaw(hasty.port);
    first.send(upgradeRequest("/"));
    expect((await first.answer()).body).toBe("timeout");
    await using patient = startTestEngine(upstream.origin);
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
    await using proxy = startTestEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    expect((await client.answer()).body).toBe("hello");
    expect(upstream.requests[0]?.header("upgrade")).toBeNull();
  });
});

describe("closing", () => {
  const codes = [1000, 1001, 1008, 1011, 1012, 3000, 4999];
  test.each(codes)("websocket: close code %d with its reason crosses both ways", async (code) => {
    await using app = startEcho();
    await using proxy = startTestEngine(app.origin);
    const first = await open(proxy.port);
    first.socket.send(`close:${code}:bye ✓`);
    expect(await first.closed).toEqual([code, "bye ✓"]);
    await isReleased(proxy);
    await using raw = await startRaw();
    raw.client.send(
      frame({ opcode: OPCODES.close, payload: closePayload(code, "bye"), masked: true }),
    );
    await until(() => raw.fromClient().length === 1);
    expect(raw.fromClient()[0]?.payload).toEqual(closePayload(code, "bye"));
    raw.target.write(frame({ opcode: OPCODES.close, payload: closePayload(code, "bye") }));
    raw.target.end();
    await until(() => raw.fromTarget().length === 1);
    expect(raw.fromTarget()[0]?.payload.readUInt16BE()).toBe(code);
    await isReleased(raw.proxy);
  });

  test("websocket: a close without a code stays without one, both ways", async () => {
    await using byTarget = await startRaw();
    byTarget.target.write(frame({ opcode: OPCODES.close }));
    await until(() => byTarget.fromTarget().length === 1);
    expect(byTarget.fromTarget()[0]?.payload.length).toBe(0);
    await using byClient = await startRaw();
    byClient.client.send(frame({ opcode: OPCODES.close, masked: true }));
    await until(() => byClient.fromClient().length === 1);
    expect(byClient.fromClient()[0]?.payload.length).toBe(0);
  });

  test("websocket: a side that vanishes closes the other without a close frame", async () => {
    for (const how of ["end", "reset"] as const) {
      await using byTarget = await startRaw();
      byTarget.target[how]();
      await byTarget.client.until(() => byTarget.client.isClosed);
      expect(byTarget.fromTarget()).toEqual([]);
      await isReleased(byTarget.proxy);
      await using byClient = await startRaw();
      byClient.client[how]();
      await until(() => byClient.target.isGone);
      await isReleased(byClient.proxy);
    }
  });

  test("websocket: a target that does not answer a close is given up, and its lease with it", async () => {
    // The closing limit is long; stopping the engine ends what is left sooner.
    await using raw = await startRaw();
    raw.client.send(frame({ opcode: OPCODES.close, payload: closePayload(1000), masked: true }));
    await until(() => raw.fromClient().length === 1);
    expect(raw.proxy.handler.leases).toBe(1);
    await raw.proxy.engine.stop(0);
    await isReleased(raw.proxy);
  });

  test("websocket: a target that closes at once closes the client", async () => {
    const raw = await startRaw("", (request) => {
      request.write(frame({ opcode: OPCODES.text, payload: "bye" }));
      request.write(frame({ opcode: OPCODES.close, payload: closePayload(4001, "no") }));
    });
    await using _ = raw;
    await until(() => raw.fromTarget().length === 2);
    expect(raw.fromTarget()[1]?.payload).toEqual(closePayload(4001, "no"));
  });

  test("websocket: stopping the engine closes sockets with 1001 on both sides", async () => {
    for (const graceMs of [0, 60_000]) {
      await using app = startEcho();
      const proxy = startTestEngine(app.origin);
      const { closed } = await open(proxy.port);
      await proxy.engine.stop(graceMs);
      expect((await closed)[0]).toBe(1001);
      await isReleased(proxy);
      await until(() => app.closes.length === 1);
      expect(app.closes[0]?.[0]).toBe(1001);
    }
  });

  test("websocket: 300 sockets that come and go leave nothing behind", async () => {
    await using app = startEcho();
    await using proxy = startTestEngine(app.origin);
    const clients: RawClient[] = [];
    for (let index = 0; index < 300; index += 1) {
      const client = await connectRaw(proxy.port);
      clients.push(client);
      client.send(upgradeRequest("/"));
      if (index % 3 === 0) await client.answer();
      if (index % 2 === 0) client.reset();
      else client.end();
    }
    await isReleased(proxy);
    await until(() => app.closes.length === proxy.handler.answers.length);
  });
});
