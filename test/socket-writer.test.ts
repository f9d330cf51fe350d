/** What a socket does not take at once must follow later, byte for byte and in order. */

import { expect, test } from "bun:test";
import {
  createScratch,
  createWire,
  drain,
  endWire,
  HOLD,
  holdReading,
  letRead,
  setSource,
  type WireSocket,
  whenSent,
  writeBytes,
  writeText,
} from "../src/engines/socket-writer.ts";
import { createChance } from "./support/random.ts";

const SEED = Number(process.env.PAASTIS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** A socket that takes as much as it is told to. */
function createSocket(roomOf: () => number) {
  const taken: Buffer[] = [];
  const calls: string[] = [];
  const socket: WireSocket = {
    write(data: unknown, offset = 0, length?: unknown) {
      // The wire writes bytes only, with both numbers or none.
      const bytes = data as Uint8Array;
      const end = typeof length === "number" ? offset + length : bytes.length;
      const count = Math.min(roomOf(), end - offset);
      taken.push(Buffer.from(bytes.subarray(offset, offset + count)));
      return count;
    },
    end: () => calls.push("end"),
    close: () => void calls.push("close"),
    terminate: () => void calls.push("terminate"),
    shutdown: () => void calls.push("shutdown"),
    pause: () => void calls.push("pause"),
    resume: () => void calls.push("resume"),
    setNoDelay: () => true,
    setKeepAlive: () => true,
  };
  return { socket, calls, sent: () => Buffer.concat(taken) };
}

test("wire: whatever a socket takes at a time, all bytes leave once, in order, and the end comes last", () => {
  const chance = createChance(SEED);
  const scratch = createScratch();
  for (let round = 0; round < 400; round += 1) {
    const { socket, calls, sent } = createSocket(() =>
      chance.happens(0.3) ? 0 : chance.between(1, chance.happens(0.5) ? 7 : 60_000),
    );
    const wire = createWire(socket, scratch);
    const wanted: Buffer[] = [];
    for (let count = chance.between(1, 30); count > 0; count -= 1) {
      const bytes = Buffer.alloc(chance.between(0, chance.happens(0.1) ? 50_000 : 40));
      bytes.fill(chance.between(97, 122));
      const step = chance.between(0, 2);
      if (step === 0) writeBytes(wire, bytes);
      if (step === 1) writeText(wire, "head\r\n", bytes);
      if (step === 2) drain(wire);
      if (step === 1) wanted.push(Buffer.from("head\r\n"));
      if (step < 2) wanted.push(bytes);
    }
    let isSent = false;
    whenSent(wire, () => {
      isSent = true;
    });
    endWire(wire);
    for (let turn = 0; wire.unsentBytes > 0 && turn < 1_000_000; turn += 1) {
      expect(calls).toEqual([]);
      drain(wire);
    }
    expect({ seed: SEED, isSent, calls }).toEqual({ seed: SEED, isSent: true, calls: ["close"] });
    expect(sent().equals(Buffer.concat(wanted))).toBe(true);
  }
});

test("wire: an end that is asked for when all is sent waits for what was written with it", () => {
  let room = 0;
  const { socket, calls } = createSocket(() => room);
  const wire = createWire(socket, createScratch());
  writeBytes(wire, Buffer.alloc(10));
  whenSent(wire, () => {
    room = 0;
    writeBytes(wire, Buffer.alloc(5));
    endWire(wire);
  });
  room = 10;
  drain(wire);
  expect([calls, wire.unsentBytes]).toEqual([[], 5]);
  room = 5;
  drain(wire);
  expect(calls).toEqual(["close"]);
});

test("wire: a source is not read while too much of it is unsent, nor while another reason holds it", () => {
  let room = 0;
  const { socket } = createSocket(() => room);
  const source = createSocket(() => 0);
  const [wire, from] = [
    createWire(socket, createScratch()),
    createWire(source.socket, createScratch()),
  ];
  setSource(wire, from);
  writeBytes(wire, Buffer.alloc(300_000));
  expect(source.calls).toEqual(["pause"]);
  holdReading(from, HOLD.nobodyThere);
  room = 300_000;
  drain(wire);
  expect(source.calls).toEqual(["pause"]);
  letRead(from, HOLD.nobodyThere);
  expect(source.calls).toEqual(["pause", "resume"]);
});
