import { describe, expect, test } from "bun:test";
import { ENGINES } from "../support/engines.ts";
import { connectRaw, type RawClient } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { closePayload, frame, OPCODES, upgradeRequest } from "../support/websocket-frames.ts";
import { isReleased, open, startEcho, startRaw } from "../support/websocket-peers.ts";

/** The client talks on, reads only then what it was sent, and answers the close in it; nothing of it is a reset. */
async function answerUnread(raw: Awaited<ReturnType<typeof startRaw>>): Promise<void> {
  const { client, target } = raw;
  await until(() => target.isGone);
  // A reset would come for each of these, and nothing tells from outside that none is on its way.
  for (let count = 0; count < 5; count += 1) {
    client.send(frame({ opcode: OPCODES.text, payload: "still here", masked: true }));
    await Bun.sleep(5);
  }
  client.resume();
  await client.until(() => raw.fromTarget().some(({ opcode }) => opcode === OPCODES.close));
  client.send(frame({ opcode: OPCODES.close, payload: closePayload(1000), masked: true }));
  await client.until(() => client.isClosed);
  expect(client.isReset).toBe(false);
  await isReleased(raw.proxy);
}

describe.each(ENGINES)("$name: closing", (engine) => {
  const codes = [1000, 1001, 1008, 1011, 1012, 3000, 4999];
  test.each(codes)("websocket: close code %d with its reason crosses both ways", async (code) => {
    await using app = startEcho();
    await using proxy = engine.start(app.origin);
    const first = await open(proxy.port);
    first.socket.send(`close:${code}:bye ✓`);
    expect(await first.closed).toEqual([code, "bye ✓"]);
    await isReleased(proxy);
    await using raw = await startRaw(engine.start);
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
    await using byTarget = await startRaw(engine.start);
    byTarget.target.write(frame({ opcode: OPCODES.close }));
    await until(() => byTarget.fromTarget().length === 1);
    expect(byTarget.fromTarget()[0]?.payload.length).toBe(0);
    await using byClient = await startRaw(engine.start);
    byClient.client.send(frame({ opcode: OPCODES.close, masked: true }));
    await until(() => byClient.fromClient().length === 1);
    expect(byClient.fromClient()[0]?.payload.length).toBe(0);
  });

  test("websocket: a side that vanishes closes the other without a close frame", async () => {
    for (const how of ["end", "reset"] as const) {
      await using byTarget = await startRaw(engine.start);
      byTarget.target[how]();
      await byTarget.client.until(() => byTarget.client.isClosed);
      expect(byTarget.fromTarget()).toEqual([]);
      await isReleased(byTarget.proxy);
      await using byClient = await startRaw(engine.start);
      byClient.client[how]();
      await until(() => byClient.target.isGone);
      await isReleased(byClient.proxy);
    }
  });

  test("websocket: a target that does not answer a close is given up, and its lease with it", async () => {
    // The closing limit is long; stopping the engine ends what is left sooner.
    await using raw = await startRaw(engine.start);
    raw.client.send(frame({ opcode: OPCODES.close, payload: closePayload(1000), masked: true }));
    await until(() => raw.fromClient().length === 1);
    expect(raw.proxy.handler.leases).toBe(1);
    await raw.proxy.engine.stop(0);
    await isReleased(raw.proxy);
  });

  test("websocket: a target that closes at once closes the client", async () => {
    const raw = await startRaw(engine.start, "", (request) => {
      request.write(frame({ opcode: OPCODES.text, payload: "bye" }));
      request.write(frame({ opcode: OPCODES.close, payload: closePayload(4001, "no") }));
    });
    await using _ = raw;
    await until(() => raw.fromTarget().length === 2);
    expect(raw.fromTarget()[1]?.payload).toEqual(closePayload(4001, "no"));
  });

  test("websocket: a target that closes and leaves does not cost a client what it has not read yet", async () => {
    await using raw = await startRaw(engine.start);
    raw.client.pause();
    raw.target.write(frame({ opcode: OPCODES.text, payload: "the last word" }));
    raw.target.write(frame({ opcode: OPCODES.close, payload: closePayload(4001, "no") }));
    raw.target.end();
    await answerUnread(raw);
    const [word, close] = raw.fromTarget();
    expect(String(word?.payload)).toBe("the last word");
    expect(close?.payload).toEqual(closePayload(4001, "no"));
  });

  test("websocket: nor does a stop, however soon the target has answered it", async () => {
    await using raw = await startRaw(engine.start);
    raw.client.pause();
    const stopped = raw.proxy.engine.stop(10_000);
    await until(() => raw.fromClient().length === 1);
    raw.target.write(frame({ opcode: OPCODES.close, payload: closePayload(1001) }));
    raw.target.end();
    await answerUnread(raw);
    expect(raw.fromTarget()[0]?.payload).toEqual(closePayload(1001));
    await stopped;
  });

  test("websocket: stopping the engine closes sockets with 1001 on both sides", async () => {
    for (const graceMs of [0, 60_000]) {
      await using app = startEcho();
      const proxy = engine.start(app.origin);
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
    await using proxy = engine.start(app.origin);
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
    await until(() => app.closes.length === app.opens);
  });
});
