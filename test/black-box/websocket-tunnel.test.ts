/** An open WebSocket is a tunnel: every byte crosses as it is, until one side ends. */

import { describe, expect, test } from "bun:test";
import { ask, useProxy } from "../support/proxy-under-test.ts";
import { ok } from "../support/proxy-under-test-upstream.ts";
import { agreed, join, upgrade } from "../support/proxy-under-test-websocket.ts";
import { until } from "../support/until.ts";
import { closePayload, frame, OPCODES } from "../support/websocket-frames.ts";

const proxy = useProxy();

describe("websocket: frames", () => {
  const bytes = (length: number) => Buffer.from(Array.from({ length }, (_, index) => index & 255));
  const { text, binary, close, ping, pong } = OPCODES;
  type Sent = readonly (readonly [opcode: number, payload?: Uint8Array | string, more?: boolean])[];
  const codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013].concat([
    3000, 3999, 4000, 4999,
  ]);
  const closes = codes.map((code): [what: string, frames: Sent] => [
    `a close with ${code}`,
    [[close, closePayload(code, "why: h\u00e9")]],
  ]);
  const messages: readonly [what: string, frames: Sent][] = [
    ["a text", [[text, "hello"]]],
    ["a text of UTF-8", [[text, "h\u00e9ll\u00f6 \u{1f600}"]]],
    ["an empty text", [[text]]],
    ["a binary of all byte values", [[binary, bytes(256)]]],
    ["an empty binary", [[binary]]],
    ["a message of 125 bytes", [[binary, bytes(125)]]],
    ["a message of 126 bytes", [[binary, bytes(126)]]],
    ["a message of 65,535 bytes", [[binary, bytes(65_535)]]],
    [
      "a message in three fragments",
      [
        [text, "one", true],
        [0, "two", true],
        [0, "three"],
      ],
    ],
    [
      "an empty fragment in the middle",
      [
        [text, "one", true],
        [0, "", true],
        [0, "two"],
      ],
    ],
    [
      "a ping between two fragments",
      [
        [text, "one", true],
        [ping, "p"],
        [0, "two"],
      ],
    ],
    ["a ping without a payload", [[ping]]],
    ["a ping with a payload", [[ping, "are you there"]]],
    ["a pong with a payload", [[pong, "yes"]]],
    ["a pong that nobody asked for", [[pong]]],
    [
      "100 messages in one packet",
      Array.from({ length: 100 }, (_, n) => [text, `message ${n}`] as const),
    ],
    ["a close without a code", [[close]]],
    ...closes,
    ["a close with a code that must not be sent", [[close, closePayload(1005)]]],
  ];

  test.each(messages)("%s reaches the app, byte for byte", async (_what, frames) => {
    using joined = await join(proxy);
    const sent = Buffer.concat(
      frames.map(([opcode, payload = "", more = false]) =>
        frame({ opcode, payload, more, masked: true }),
      ),
    );
    joined.client.send(sent);
    await until(() => joined.toApp().length >= sent.length);
    expect(joined.toApp()).toBe(sent.toString("latin1"));
  });

  test.each(messages)("%s reaches the client, byte for byte", async (_what, frames) => {
    using joined = await join(proxy);
    const sent = Buffer.concat(
      frames.map(([opcode, payload = "", more = false]) => frame({ opcode, payload, more })),
    );
    joined.app.write(sent);
    await until(() => joined.toClient().length >= sent.length);
    expect(joined.toClient()).toBe(sent.toString("latin1"));
  });

  test("a frame that comes byte by byte crosses as it comes", async () => {
    using joined = await join(proxy);
    const sent = frame({ opcode: text, payload: "slowly", masked: true });
    for (const [index, byte] of sent.entries()) {
      joined.client.send(Uint8Array.of(byte));
      await until(() => joined.toApp().length === index + 1);
    }
    expect(joined.toApp()).toBe(sent.toString("latin1"));
  });

  test("bits that only an extension knows cross", async () => {
    using joined = await join(proxy);
    const sent = Buffer.from([0xc1, 0x03, 0x4a, 0x04, 0x00]);
    joined.app.write(sent);
    await until(() => joined.toClient() === sent.toString("latin1"));
  });

  test("a message of 8 MB crosses to the app and back", async () => {
    using joined = await join(proxy);
    const size = 8_000_000;
    const head = Buffer.alloc(10);
    head.writeUInt8(0x82, 0);
    head.writeUInt8(127, 1);
    head.writeBigUInt64BE(BigInt(size), 2);
    const message = Buffer.concat([head, Buffer.alloc(size, "0123456789abcdefg")]);
    joined.client.send(message);
    await until(() => joined.toApp().length === message.length);
    joined.app.write(message);
    await until(() => joined.toClient().length === message.length);
    const digest = (data: string) =>
      new Bun.CryptoHasher("md5").update(Buffer.from(data, "latin1")).digest("hex");
    const expected = digest(message.toString("latin1"));
    expect([digest(joined.toApp()), digest(joined.toClient())]).toEqual([expected, expected]);
  });

  test("both sides may speak at the same time", async () => {
    using joined = await join(proxy);
    let up = "";
    let down = "";
    for (let count = 0; count < 200; count += 1) {
      const fromClient = frame({ opcode: text, payload: `up ${count}`, masked: true });
      const fromApp = frame({ opcode: text, payload: `down ${count}` });
      up += fromClient.toString("latin1");
      down += fromApp.toString("latin1");
      joined.client.send(fromClient);
      joined.app.write(fromApp);
    }
    await until(
      () => joined.toApp().length === up.length && joined.toClient().length === down.length,
    );
    expect([joined.toApp() === up, joined.toClient() === down]).toEqual([true, true]);
  });
});

describe("websocket: nothing is lost around the agreement", () => {
  test("frames in one packet with the agreement reach the client", async () => {
    const early = frame({ opcode: OPCODES.text, payload: "early" }).toString("latin1");
    using joined = await join(proxy, { answer: agreed() + early });
    await until(() => joined.toClient() === early);
  });

  test("frames right behind the agreement reach the client", async () => {
    using joined = await join(proxy);
    const early = frame({ opcode: OPCODES.text, payload: "early" });
    joined.app.write(early);
    await until(() => joined.toClient() === early.toString("latin1"));
  });

  test("frames that a client sends before it was accepted reach the app", async () => {
    const early = frame({ opcode: OPCODES.text, payload: "early", masked: true }).toString(
      "latin1",
    );
    proxy.upstream.script(() => undefined);
    using client = await proxy.connect();
    client.send(upgrade() + early);
    const app = await proxy.upstream.received("\r\n\r\n");
    app.write(agreed());
    await client.until(() => client.received.startsWith("HTTP/1.1 101 "));
    await until(() => app.received.endsWith(early));
  });
});

describe("websocket: endings", () => {
  test("a close and its answer cross, and then both connections end", async () => {
    using joined = await join(proxy);
    joined.client.send(
      frame({ opcode: OPCODES.close, payload: closePayload(1000, "bye"), masked: true }),
    );
    await until(() => joined.toApp().length > 0);
    const answer = frame({ opcode: OPCODES.close, payload: closePayload(1000, "bye") });
    joined.app.write(answer);
    joined.app.end();
    await joined.client.until(() => joined.client.isClosed);
    expect(joined.toClient()).toBe(answer.toString("latin1"));
    await until(() => joined.app.isClosed);
  });

  test("a client that resets its connection ends the app's", async () => {
    using joined = await join(proxy);
    joined.client.reset();
    await until(() => joined.app.isClosed);
  });

  test("a client that ends its connection without a close frame ends the app's", async () => {
    using joined = await join(proxy);
    joined.client.end();
    await until(() => joined.app.isClosed);
    expect(joined.toApp()).toBe("");
  });

  test("an app that resets its connection ends the client's", async () => {
    using joined = await join(proxy);
    joined.app.reset();
    await joined.client.until(() => joined.client.isClosed);
    expect(joined.toClient()).toBe("");
  });

  test("an app that ends its connection without a close frame ends the client's", async () => {
    using joined = await join(proxy);
    joined.app.end();
    await joined.client.until(() => joined.client.isClosed);
    expect(joined.toClient()).toBe("");
  });

  test("what an app sent before it ended its connection reaches the client", async () => {
    using joined = await join(proxy);
    const last = frame({ opcode: OPCODES.binary, payload: Buffer.alloc(60_000, 7) });
    joined.app.write(last);
    joined.app.end();
    await joined.client.until(() => joined.client.isClosed);
    expect(joined.toClient()).toBe(last.toString("latin1"));
  });

  test("a client that leaves before the app has answered ends its request", async () => {
    proxy.upstream.script(() => undefined);
    using client = await proxy.connect();
    client.send(upgrade());
    const app = await proxy.upstream.received("\r\n\r\n");
    client.reset();
    await until(() => app.isClosed);
  });

  test("the app's connection of a websocket serves no other request", async () => {
    const joined = await join(proxy);
    joined.client.send(frame({ opcode: OPCODES.close, masked: true }));
    joined.app.write(frame({ opcode: OPCODES.close }));
    await until(() => joined.toClient().length === 2);
    joined.client.end();
    await until(() => joined.app.isClosed);
    proxy.upstream.answer(ok());
    expect((await proxy.exchange(ask("GET /next"))).status).toBe(200);
    expect(proxy.upstream.connections).toHaveLength(2);
  });

  test("a socket that is silent for longer than heads may take stays open", async () => {
    using joined = await join(proxy);
    using slow = await proxy.connect();
    slow.send("GET / HTT");
    await until(() => slow.isClosed);
    const late = frame({ opcode: OPCODES.text, payload: "late" });
    joined.app.write(late);
    await until(() => joined.toClient() === late.toString("latin1"));
  });
});
