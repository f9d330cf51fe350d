/** What only the socket engine does with WebSockets: a tunnel changes nothing. */

import { describe, expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";
import { closePayload, frame, OPCODES, upgradeRequest } from "../support/websocket-frames.ts";
import { isReleased } from "../support/websocket-peers.ts";

const AGREED =
  "HTTP/1.1 101 Switching\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\nX-A: 1\r\nSec-WebSocket-Accept: whatever\r\n\r\n";

/** A client and a target joined by the engine; `sent` are the bytes that crossed after the heads. */
async function join(early = "") {
  const upstream = await startRawUpstream();
  const proxy = startSocketEngine(upstream.origin);
  const client = await connectRaw(proxy.port);
  client.send(upgradeRequest("/ws/../x", "Sec-WebSocket-Extensions: x; y=1\r\n") + early);
  const target = await upstream.received("\r\n\r\n");
  const head = target.received.slice(0, target.received.indexOf("\r\n\r\n") + 4);
  target.write(AGREED);
  await client.until(() => client.received.includes("\r\n\r\n"));
  return {
    proxy,
    client,
    target,
    head,
    toTarget: () => target.received.slice(head.length),
    toClient: () => client.received.slice(AGREED.length),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await proxy.engine.stop(0);
      upstream[Symbol.dispose]();
    },
  };
}

describe("socket: tunnels", () => {
  test("websocket: whatever a client sends before its upgrade is decided arrives, and so does the rest", async () => {
    using upstream = await startRawUpstream();
    let decide: () => void = () => undefined;
    await using proxy = startSocketEngine(upstream.origin, {
      admit(head, handler) {
        const held = handler.hold();
        decide = () => held.decide(handler.exchange(head));
        return held.admission;
      },
    });
    using client = await connectRaw(proxy.port);
    const early = "e".repeat(1_000_000);
    client.send(upgradeRequest("/") + early);
    await until(() => proxy.handler.heads.length === 1);
    // Nothing tells from outside that it has stopped reading.
    await Bun.sleep(50);
    decide();
    const target = await upstream.received("\r\n\r\n");
    target.write(AGREED);
    client.send("the end");
    await until(() => target.received.endsWith("the end"));
    expect(target.received.endsWith(`${early}the end`)).toBe(true);
  });

  test("websocket: the handshake is the client's and the target's own", async () => {
    await using joined = await join();
    expect(joined.head).toStartWith("GET /ws/../x HTTP/1.1\r\n");
    for (const line of upgradeRequest("/", "Sec-WebSocket-Extensions: x; y=1\r\n")
      .split("\r\n")
      .slice(2)) {
      expect(joined.head).toContain(line);
    }
    expect(joined.client.received).toBe(AGREED);
    expect(joined.proxy.handler.answers).toEqual([101]);
  });

  test("websocket: all bytes cross as they are: fragments, odd frames, and no frames at all", async () => {
    await using joined = await join();
    const pieces = [
      frame({ opcode: OPCODES.text, payload: "one", masked: true, more: true }),
      frame({ opcode: 0, payload: "two", masked: true }),
      frame({ opcode: OPCODES.close, payload: closePayload(1005), masked: true }),
      Buffer.from("\xff\x00 not a frame", "latin1"),
    ];
    for (const piece of pieces) {
      joined.client.send(piece);
      joined.target.write(piece);
    }
    const all = Buffer.concat(pieces).toString("latin1");
    await until(() => joined.toTarget() === all && joined.toClient() === all);
  });

  test("websocket: what a client sends before it was accepted waits, and is not lost", async () => {
    const early = frame({ opcode: OPCODES.text, payload: "early", masked: true }).toString(
      "latin1",
    );
    await using joined = await join(early);
    await until(() => joined.toTarget() === early);
  });

  test("websocket: what a refused client has sent already is no request", async () => {
    using upstream = await startRawUpstream((connection) =>
      connection.write("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"),
    );
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port);
    client.send(`${upgradeRequest("/")}GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    const answer = await client.answer();
    expect([answer.status, answer.header("connection"), answer.body]).toEqual([403, "close", "no"]);
    await client.until(() => client.isClosed);
    expect(upstream.connections[0]?.received).not.toContain("smuggled");
  });

  test("websocket: our close frame waits for the end of the frame that is passing", async () => {
    await using joined = await join();
    const long = frame({ opcode: OPCODES.binary, payload: Buffer.alloc(1_000, 1) });
    const masked = frame({ opcode: OPCODES.binary, payload: Buffer.alloc(1_000, 1), masked: true });
    joined.target.write(long.subarray(0, 600));
    joined.client.send(masked.subarray(0, 3));
    await until(() => joined.toClient().length === 600 && joined.toTarget().length === 3);
    void joined.proxy.engine.stop(10_000);
    joined.target.write(
      Buffer.concat([long.subarray(600), frame({ opcode: OPCODES.text, payload: "late" })]),
    );
    joined.client.send(masked.subarray(3));
    const toClient = `${long.toString("latin1")}\x88\x02\x03\xe9`;
    await until(() => joined.toClient() === toClient);
    await until(() => joined.toTarget().length === masked.length + 8);
    expect(joined.toTarget().slice(0, masked.length)).toBe(masked.toString("latin1"));
    // The client answers, and gets the end of the connection.
    joined.client.send(frame({ opcode: OPCODES.close, payload: closePayload(1001), masked: true }));
    await joined.client.until(() => joined.client.isClosed);
    expect(joined.toClient()).toBe(toClient);
    await isReleased(joined.proxy);
  });

  test("websocket: a client that does not answer a close is given about two seconds, then the end", async () => {
    await using joined = await join();
    const close = frame({ opcode: OPCODES.close, payload: closePayload(1000) });
    const beganMs = performance.now();
    joined.target.write(close);
    joined.target.end();
    await joined.client.until(() => joined.client.isClosed);
    expect(joined.client.isReset).toBe(false);
    expect(joined.toClient()).toBe(close.toString("latin1"));
    expect(performance.now() - beganMs).toBeWithin(1500, within(3500));
    await isReleased(joined.proxy);
  });

  test("websocket: sides that ignore our close frames do not hold up a stop", async () => {
    await using joined = await join();
    const beganMs = performance.now();
    await joined.proxy.engine.stop(60_000);
    expect(performance.now() - beganMs).toBeWithin(1500, within(3500));
    expect(joined.toClient()).toBe("\x88\x02\x03\xe9");
  });

  test("websocket: a client that closes and ends its side still gets the target's answer", async () => {
    using upstream = await startRawUpstream();
    await using proxy = startSocketEngine(upstream.origin);
    using client = await connectRaw(proxy.port, { allowHalfOpen: true });
    client.send(upgradeRequest("/"));
    const target = await upstream.received("\r\n\r\n");
    target.write(AGREED);
    await client.until(() => client.received === AGREED);
    const payload = closePayload(1000);
    client.send(frame({ opcode: OPCODES.close, payload, masked: true }));
    client.end();
    await until(() => proxy.handler.leases === 1 && target.received.endsWith("\x02\xea"));
    expect(target.isClosed).toBe(false);
    const answer = frame({ opcode: OPCODES.close, payload });
    target.write(answer);
    await client.until(() => client.isClosed);
    expect(client.received).toBe(AGREED + answer.toString("latin1"));
    await isReleased(proxy);
    await until(() => target.isClosed);
  });

  test("websocket: 64 MB in one frame cross both ways, byte for byte", async () => {
    await using joined = await join();
    const bytes = 64_000_000;
    const hasher = new Bun.CryptoHasher("md5");
    let received = 0;
    joined.target.socket.removeAllListeners("data");
    joined.target.socket.on("data", (data) => {
      hasher.update(data);
      received += data.length;
    });
    const head = Buffer.from([0x82, 127, 0, 0, 0, 0, 3, 0xd0, 0x90, 0]);
    const message = Buffer.concat([head, Buffer.alloc(bytes, "0123456789abcdefg")]);
    joined.client.send(message);
    await until(() => received === message.length);
    expect(hasher.digest("hex")).toBe(new Bun.CryptoHasher("md5").update(message).digest("hex"));
  }, 60_000);
});
