/** Turns of an app, nudges, and what is remembered of containers. */

import { describe, expect, test } from "bun:test";
import { createNudges, createTurns } from "../src/providers/docker-context.ts";
import { groupContainers } from "../src/providers/docker-groups.ts";
import { createMemory, RECREATION_MS } from "../src/providers/docker-memory.ts";
import { patient, rejection } from "./contract/provider.ts";
import { containerOf, detailsOf } from "./support/docker-containers.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

const WAKING = { signal: patient(), what: "waking shop" };

describe("docker turns", () => {
  test("of one app come one after the other, those of others at the same time", async () => {
    const ends: string[] = [];
    const turns = createTurns((appId) => ends.push(appId));
    const done: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = turns.take("a", () => gate.promise.then(() => done.push("first")), WAKING);
    const second = turns.take("a", async () => done.push("second"), WAKING);
    await turns.take("b", async () => done.push("other"), WAKING);
    expect([done, turns.isBusy("a"), turns.isBusy("b")]).toEqual([["other"], true, false]);
    gate.resolve();
    await Promise.all([first, second]);
    expect(done).toEqual(["other", "first", "second"]);
    expect([turns.isBusy("a"), turns.count("a"), ends]).toEqual([false, 2, ["b", "a"]]);
  });

  test("who gives up its place does not let the next one in before its time", async () => {
    const turns = createTurns(() => undefined);
    const gate = Promise.withResolvers<void>();
    const first = turns.take("a", () => gate.promise, WAKING);
    const giveUp = new AbortController();
    const order = { signal: giveUp.signal, what: "stopping shop" };
    const second = rejection(turns.take("a", async () => undefined, order));
    let isIn = false;
    const enter = async () => {
      isIn = true;
    };
    const third = turns.take("a", enter, WAKING);
    giveUp.abort(new Error("enough"));
    expect((await second).message).toBe("stopping shop was given up: enough");
    await settled();
    expect(isIn).toBe(false);
    gate.resolve();
    await Promise.all([first, third]);
    expect(isIn).toBe(true);
  });

  test("a turn that fails lets the next one in", async () => {
    const turns = createTurns(() => undefined);
    const first = turns.take("a", () => Promise.reject(new Error("no")), WAKING);
    const second = turns.take("a", async () => "yes", WAKING);
    expect(first).rejects.toThrow("no");
    expect(await second).toBe("yes");
  });
});

describe("docker nudges", () => {
  test("end a wait for that container, as time and the signal do", async () => {
    const clock = createVirtualClock();
    const nudges = createNudges(clock);
    const nudged = nudges.wait("a", 1_000, patient());
    nudges.nudge("b");
    nudges.nudge("a");
    await nudged;
    const late = nudges.wait("a", 1_000, patient());
    await clock.advance(1_000);
    await late;
    const giveUp = new AbortController();
    const given = nudges.wait("a", 1_000, giveUp.signal);
    giveUp.abort(new Error("enough"));
    expect(given).rejects.toThrow("enough");
    await settled();
    expect(clock.pending()).toBe(0);
  });
});

describe("docker memory", () => {
  const shop = groupContainers([containerOf("shop")]);
  const id = "id-of-shop";

  test("a container that was told to end, and did, has ended on purpose until it starts again", () => {
    const memory = createMemory(createVirtualClock());
    memory.seen(shop);
    const known = () => {
      const { isBeingEnded, isEndedOnPurpose } = memory.knowledgeOf(id);
      return [isBeingEnded, isEndedOnPurpose];
    };
    memory.ended(id);
    expect(known()).toEqual([false, false]);
    memory.toldToEnd(id);
    expect(known()).toEqual([true, false]);
    memory.ended(id);
    expect(known()).toEqual([false, true]);
    memory.started(id);
    expect(known()).toEqual([false, false]);
  });

  test("one that was told to end and goes on does not count as ending for ever", async () => {
    const clock = createVirtualClock();
    const memory = createMemory(clock);
    memory.toldToEnd(id);
    await clock.advance(119_000);
    expect(memory.knowledgeOf(id).isBeingEnded).toBe(true);
    await clock.advance(1_000);
    expect(memory.knowledgeOf(id).isBeingEnded).toBe(false);
  });

  test("one that has begun to run boots until it answers, ends, or has had its time", async () => {
    const clock = createVirtualClock();
    const memory = createMemory(clock);
    const isBooting = () => memory.knowledgeOf(id).isBooting;
    for (const over of [memory.answers, memory.ended, () => clock.advance(60_000)]) {
      memory.boots(id);
      await clock.advance(59_999);
      expect(isBooting()).toBe(true);
      await over(id);
      expect(isBooting()).toBe(false);
    }
  });

  test("what ended until an app was asleep in an earlier run has not failed, and what ended later has", () => {
    const memory = createMemory(createVirtualClock());
    const endedAt = (finishedMs: number | null) =>
      memory.hadEnded("container/shop", detailsOf("shop", { status: "exited", finishedMs }));
    expect(endedAt(1_000)).toBe(false);
    memory.wasAsleep("container/shop", 500_000);
    expect([1_000, 500_000, null].map(endedAt)).toEqual([true, true, true]);
    // A stop that was begun then takes its time.
    expect([620_000, 620_001].map(endedAt)).toEqual([true, false]);
    const up = detailsOf("shop", { finishedMs: 1_000 });
    expect(memory.hadEnded("container/shop", up)).toBe(false);
    expect(memory.hadEnded("container/other", detailsOf("other", { status: "exited" }))).toBe(
      false,
    );
  });

  test("of containers that are gone nothing is kept, of their app when it went", async () => {
    const clock = createVirtualClock();
    const memory = createMemory(clock);
    memory.seen(shop);
    memory.endsOnPurpose(id);
    memory.looked(detailsOf("shop"), memory.looks.mark(id));
    expect([memory.appOf(id), memory.known("container/shop")]).toEqual([
      "container/shop",
      { key: "shop", goneMs: null },
    ]);
    const goneMs = clock.now();
    memory.seen([]);
    await clock.advance(RECREATION_MS);
    memory.seen([]);
    expect([memory.appOf(id), memory.fixedOf(id), memory.appIds()]).toEqual([null, null, []]);
    expect(memory.known("container/shop")).toEqual({ key: "shop", goneMs });
    expect(memory.knowledgeOf(id).isEndedOnPurpose).toBe(false);
    await clock.advance(60 * 60_000);
    memory.seen([]);
    expect(memory.known("container/shop")).toBeNull();
  });
});
