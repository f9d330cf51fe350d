import { describe, expect, test } from "bun:test";
import { ENGINES } from "../support/engines.ts";
import { until } from "../support/until.ts";
import { frame, OPCODES } from "../support/websocket-frames.ts";
import { isReleased, open, startEcho, startRaw } from "../support/websocket-peers.ts";

const QUIET_MS = 120;
const script = { policy: { websocketMaxQuietMs: QUIET_MS } };
/** Far longer than the pauses of who talks, and shorter than all that they say. */
const PATIENT_MS = 1_500;
const patient = { policy: { websocketMaxQuietMs: PATIENT_MS } };

describe.each(ENGINES)("$name: quiet WebSockets", (engine) => {
  test("websocket: one that says nothing gives its lease back, stays open, and takes it again when it speaks", async () => {
    await using app = startEcho();
    await using proxy = engine.start(app.origin, script);
    const browser = await open(proxy.port);
    expect(proxy.handler.leases).toBe(1);
    await until(() => proxy.handler.rested.size === 1);
    expect(proxy.handler.leases).toBe(0);
    browser.socket.send("still there?");
    await until(() => browser.messages.length === 1);
    expect(browser.messages).toEqual(["still there?"]);
    expect(proxy.handler.leases).toBe(1);
    await until(() => proxy.handler.rested.size === 1);
    browser.socket.close();
    await browser.closed;
    await until(() => proxy.engine.inFlight === 0);
    expect(proxy.handler).toMatchObject({ leases: 0, doubles: 0 });
    expect(proxy.handler.rested.size).toBe(0);
  });

  test("websocket: one that keeps talking keeps its lease, in either direction", async () => {
    await using raw = await startRaw((origin) => engine.start(origin, patient));
    const text = (masked: boolean) => frame({ opcode: OPCODES.text, payload: "hello", masked });
    for (let turn = 0; turn < 18; turn += 1) {
      if (turn % 2 === 0) raw.client.send(text(true));
      else raw.target.write(text(false));
      await Bun.sleep(PATIENT_MS / 15);
      expect(raw.proxy.handler.rested.size).toBe(0);
    }
    await until(() => raw.proxy.handler.rested.size === 1);
  });

  test("websocket: pings are no messages", async () => {
    await using raw = await startRaw((origin) => engine.start(origin, script));
    const ping = frame({ opcode: OPCODES.ping, payload: "", masked: true });
    await until(() => {
      raw.client.send(ping);
      return raw.proxy.handler.rested.size === 1;
    });
    raw.client.send(ping);
    await until(() => raw.fromClient().some(({ opcode }) => opcode === OPCODES.ping));
    expect(raw.proxy.handler.leases).toBe(0);
  });

  test("websocket: when the app is put to sleep, quiet ones are closed with 1001, others are not", async () => {
    await using app = startEcho();
    await using proxy = engine.start(app.origin, script);
    const quiet = await open(proxy.port);
    await until(() => proxy.handler.rested.size === 1);
    const loud = await open(proxy.port);
    const [exchange] = proxy.handler.rested;
    if (exchange === undefined) throw new Error("one is quiet");
    proxy.engine.closeQuiet(exchange.app);
    expect((await quiet.closed)[0]).toBe(1001);
    loud.socket.send("here");
    await until(() => loud.messages.length === 1);
    loud.socket.close();
    await isReleased(proxy);
  });

  test("websocket: without a limit the longest silence is use", async () => {
    await using app = startEcho();
    await using proxy = engine.start(app.origin);
    const browser = await open(proxy.port);
    await Bun.sleep(3 * QUIET_MS);
    expect(proxy.handler).toMatchObject({ leases: 1, rested: new Set() });
    browser.socket.close();
    await isReleased(proxy);
  });
});

test("websocket: on the socket engine the pieces of a long message are use, pings between them or not", async () => {
  const [, engine] = ENGINES;
  if (engine?.name !== "socket") throw new Error("the socket engine");
  await using raw = await startRaw((origin) => engine.start(origin, patient));
  const payload = "x".repeat(60_000);
  const bytes = frame({ opcode: OPCODES.text, payload, masked: true });
  const ping = frame({ opcode: OPCODES.ping, masked: true });
  for (let at = 0; at < bytes.length; at += 3000) {
    const piece = bytes.subarray(at, at + 3000);
    const isLast = at + 3000 >= bytes.length;
    raw.client.send(isLast ? Buffer.concat([piece, ping]) : piece);
    await Bun.sleep(PATIENT_MS / 15);
    expect(raw.proxy.handler.rested.size).toBe(0);
  }
});
