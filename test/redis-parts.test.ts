/** What instances on one Redis reckon by themselves: missed messages, who is there, what waits to be sent. */

import { describe, expect, test } from "bun:test";

import { readAnswer, readChange, readQuestion, readUses } from "../src/registry/redis-messages.ts";
import { createOthers } from "../src/registry/redis-others.ts";
import { createOutbox } from "../src/registry/redis-outbox.ts";
import { createRevisions } from "../src/registry/redis-revisions.ts";
import { recordingLog } from "./support/recording-log.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const ref = { provider: "process", id: "shop" };

describe("redis revisions", () => {
  test("the first number is taken as it is, and those that follow are expected in order", () => {
    const revisions = createRevisions();
    expect([7, 8, 9, 11, 12, 10, 12].map((number) => revisions.came(number))).toEqual([
      ...[false, false, false, true, false, false, false],
    ]);
  });

  test("what Redis has counted must be here by the next count", () => {
    const revisions = createRevisions();
    expect(revisions.counted(5)).toBe(false);
    // Its message may be on its way.
    expect(revisions.counted(6)).toBe(false);
    expect(revisions.counted(6)).toBe(true);
    expect(revisions.counted(6)).toBe(false);
    expect(revisions.counted(7)).toBe(false);
    expect(revisions.came(7)).toBe(false);
    expect(revisions.counted(7)).toBe(false);
  });

  test("a count that goes back has lost something, once", () => {
    const revisions = createRevisions();
    revisions.counted(50);
    revisions.came(51);
    expect(revisions.counted(3)).toBe(true);
    expect([revisions.came(4), revisions.counted(4), revisions.counted(4)]).toEqual([
      ...[false, false, false],
    ]);
  });

  test("after a restart nothing that was missed before counts", () => {
    const revisions = createRevisions();
    revisions.counted(5);
    revisions.counted(9);
    revisions.restart();
    expect([revisions.counted(20), revisions.came(21), revisions.counted(21)]).toEqual([
      ...[false, false, false],
    ]);
  });
});

describe("redis others", () => {
  test("an instance counts for its life after its last sign, and is told as silent once", async () => {
    const clock = createVirtualClock();
    const others = createOthers(clock, 8_000, recordingLog().log);
    others.heard("b", 3_000);
    others.heard("a", 0);
    others.heard("dead", 8_000);
    expect(others.names()).toEqual(["a", "b"]);
    await clock.advance(4_999);
    // An older sign takes nothing back.
    others.heard("a", 7_000);
    expect(others.takeSilent()).toEqual([]);
    await clock.advance(1);
    expect(others.takeSilent()).toEqual(["b"]);
    expect(others.takeSilent()).toEqual([]);
    expect(others.names()).toEqual(["a"]);
  });

  test("what was seen of an instance before it left does not bring it back, what comes later does", async () => {
    const clock = createVirtualClock();
    const others = createOthers(clock, 8_000, recordingLog().log);
    others.heard("a", 0);
    expect(others.left("a")).toBe(true);
    await clock.advance(100);
    others.heard("a", 100);
    expect(others.names()).toEqual([]);
    expect(others.left("a")).toBe(false);
    await clock.advance(100);
    others.heard("a", 50);
    expect(others.names()).toEqual(["a"]);
  });
});

describe("redis outbox", () => {
  test("uses that were put back are older by the time that has passed, without leases, and never in place of newer ones", async () => {
    const clock = createVirtualClock();
    const outbox = createOutbox(clock);
    const other = { provider: "process", id: "other" };
    outbox.putBackUses(
      outbox.pack([
        { ref, leases: 2, unusedMs: 10 },
        { ref: other, leases: 0, unusedMs: 20 },
      ]),
    );
    await clock.advance(1_000);
    const newer = { ref: other, leases: 1, unusedMs: 3 };
    expect(outbox.pack([newer]).uses).toEqual([{ ref, leases: 0, unusedMs: 1_010 }, newer]);
    expect(outbox.pack([]).uses).toEqual([]);
  });

  test("of last uses the latest is kept, those put back included, and a parcel has 2,000 of them at most", () => {
    const outbox = createOutbox(createVirtualClock());
    outbox.note([{ ref, lastUsedMs: 5 }]);
    const parcel = outbox.pack([]);
    outbox.note([{ ref, lastUsedMs: 7 }]);
    outbox.putBackLastUses(parcel);
    expect(outbox.pack([]).lastUses).toEqual([{ ref, lastUsedMs: 7 }]);
    const many = Array.from({ length: 2_001 }, (_, index) => ({
      ref: { provider: "process", id: `${index}` },
      lastUsedMs: 1,
    }));
    outbox.note(many);
    expect([1, 2, 3].map(() => outbox.pack([]).lastUses.length)).toEqual([2_000, 1, 0]);
  });
});

test("redis messages: what lacks a field, or has one of another kind, is none", () => {
  const wrong = ["", "x", "null", "[]", "{}", "1", '"a"'];
  const uses = [
    ...['{"from":"","run":"r","uses":[]}', '{"from":"a","run":"r"}', '{"from":"a","uses":[]}'],
    '{"from":"a","run":"r","uses":[["p","i",1]]}',
  ];
  const rows = [
    ...['["p","",1,1]', '["p","i",-1,1]', '["p","i",1,"1"]', '["p","i",1,null]', "{}", "null"],
  ].map((row) => `{"from":"a","run":"r","uses":[${row}]}`);
  for (const text of [...wrong, ...uses, ...rows]) expect(readUses(text)).toBeNull();
  expect(readUses('{"from":"a","run":"r","uses":[["p","i",1,2]],"new":1}')).toEqual({
    ...{ from: "a", run: "r", leaves: false },
    uses: [{ ref: { provider: "p", id: "i" }, leases: 1, unusedMs: 2 }],
  });
  const changes = [
    '{"from":"a","revision":1,"used":null}',
    '{"from":"a","revision":"1","used":null,"record":{}}',
    '{"from":"a","revision":1,"used":"1","record":{}}',
  ];
  for (const text of [...wrong, ...changes]) expect(readChange(text)).toBeNull();
  const questions = [
    '{"from":"a","id":"q"}',
    '{"from":"a","id":"q","question":{"ref":{"provider":"p"},"fence":1,"unusedMs":1}}',
    '{"from":"a","id":"q","question":{"ref":{"provider":"p","id":"i"},"fence":1}}',
  ];
  for (const text of [...wrong, ...questions]) expect(readQuestion(text)).toBeNull();
  const answers = [
    '{"from":"a","id":"q"}',
    '{"from":"a","id":"q","why":""}',
    '{"from":"a","why":null}',
  ];
  for (const text of [...wrong, ...answers]) expect(readAnswer(text)).toBeNull();
});
