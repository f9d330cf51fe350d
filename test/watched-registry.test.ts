/** A registry of our own on a disk that fills up, and has room again. */

import { expect, test } from "bun:test";
import { openDatabase, tryWrite } from "../src/database.ts";
import { noPeers, type PeerListener } from "../src/peers.ts";
import { createSqliteRegistry } from "../src/registry/sqlite.ts";
import { createWatchedRegistry } from "../src/registry/watched.ts";
import { recordOf } from "./contract/registry.ts";
import { recordingLog } from "./support/recording-log.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const TRY_EVERY_MS = 2_000;

function setUp() {
  const { log, lines } = recordingLog();
  const clock = createVirtualClock();
  const database = openDatabase(":memory:", { log, now: () => 0 });
  let isFull = false;
  const fill = () => {
    isFull = true;
    const pages = database.query<{ page_count: number }, []>("PRAGMA page_count").get();
    database.run(`PRAGMA max_page_count = ${pages?.page_count ?? 1}`);
  };
  const makeRoom = () => {
    isFull = false;
    database.run("PRAGMA max_page_count = 10000");
  };
  // A database in memory takes what needs no further page, full or not.
  const tryWriteIn = () => {
    if (isFull) throw new Error("database or disk is full");
    tryWrite(database);
  };
  const { registry, peers } = createWatchedRegistry({
    ...{ registry: createSqliteRegistry(database), tryWrite: tryWriteIn },
    ...{ alone: noPeers("one"), clock, log },
  });
  /** Larger than what is left of a page. */
  const saveLarge = (id: string) =>
    registry.save({ ...recordOf(id), key: "x".repeat(100_000) }).then(
      () => null,
      (error: unknown) => error,
    );
  return { registry, peers, clock, lines, saveLarge, fill, makeRoom };
}

function listener(onResync: () => void): PeerListener {
  return {
    stored: () => undefined,
    mayStop: () => null,
    used: () => undefined,
    gone: () => undefined,
    resync: onResync,
    takeUses: () => [],
  };
}

test("watched registry: a full disk is said once for all apps, told while it lasts, and said to be over by itself", async () => {
  const { registry, peers, clock, lines, saveLarge, fill, makeRoom } = setUp();
  let resyncs = 0;
  await peers.join(
    listener(() => {
      resyncs += 1;
    }),
  );
  expect(await registry.save(recordOf("a"))).toBe(true);
  expect([peers.whyNotLeader(), peers.state().trouble]).toEqual([null, null]);

  fill();
  const sinceMs = clock.now();
  for (const id of ["b", "c", "d"]) {
    expect(await saveLarge(id)).toBeInstanceOf(Error);
    await clock.advance(TRY_EVERY_MS);
  }
  expect(peers.state()).toMatchObject({ trouble: "database or disk is full", sinceMs });
  expect(peers.whyNotLeader()).toContain("database or disk is full");
  expect(lines.map(({ level }) => level)).toEqual(["error"]);
  expect(lines[0]?.fields).toMatchObject({ reason: "database or disk is full" });

  makeRoom();
  await clock.advance(TRY_EVERY_MS);
  expect([peers.whyNotLeader(), peers.state().trouble, resyncs]).toEqual([null, null, 1]);
  expect(lines.map(({ level }) => level)).toEqual(["error", "info"]);
  expect(await saveLarge("b")).toBeNull();
  expect(clock.pending()).toBe(0);
});

test("watched registry: what comes and goes is told each time, and said at most every ten minutes", async () => {
  const { peers, clock, lines, saveLarge, fill, makeRoom } = setUp();
  for (let times = 0; times < 5; times += 1) {
    fill();
    await saveLarge(`app-${times}`);
    expect(peers.state().trouble).not.toBeNull();
    makeRoom();
    await clock.advance(TRY_EVERY_MS);
    expect(peers.state().trouble).toBeNull();
  }
  expect(lines.map(({ level }) => level)).toEqual(["error", "info"]);
  await clock.advance(10 * 60_000);
  fill();
  await saveLarge("late");
  expect(lines.map(({ level }) => level)).toEqual(["error", "info", "error"]);
});

test("watched registry: no timer is left after close", async () => {
  const { registry, clock, saveLarge, fill } = setUp();
  fill();
  await saveLarge("b");
  expect(clock.pending()).toBe(1);
  await registry.close();
  expect(await saveLarge("c")).toBeInstanceOf(Error);
  expect(clock.pending()).toBe(0);
});
