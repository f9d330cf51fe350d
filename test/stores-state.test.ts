/** What operators are told about the registry and the event store. */

import { expect, test } from "bun:test";
import { noPeers } from "../src/peers.ts";
import { type StoresFacts, storesState } from "../src/stores-state.ts";

const WELL: StoresFacts = {
  config: { registryType: "sqlite", eventsStoreType: "postgres" },
  dataDir: "/data",
  startedMs: 5,
  peers: noPeers("one"),
  writer: { trouble: () => null, waiting: () => 0, dropped: () => 0 },
};

test("stores: what can be reached has no trouble, and has none since no moment", () => {
  expect(storesState(WELL)).toEqual({
    registry: {
      ...{ type: "sqlite", trouble: null, sinceMs: null },
      ...{ instance: "one", others: [], isLeader: true, leader: "one" },
    },
    events: { type: "postgres", trouble: null, sinceMs: null, waiting: 0, dropped: 0 },
  });
});

test("stores: trouble is told with its beginning, and what waits and was lost", () => {
  const state = {
    trouble: "no answer",
    sinceMs: 7,
    others: ["two"],
    isLeader: false,
    leader: "two",
  };
  const facts: StoresFacts = {
    ...WELL,
    peers: { self: "one", state: () => state },
    writer: {
      trouble: () => ({ why: "disk is full", sinceMs: 9 }),
      waiting: () => 3,
      dropped: () => 2,
    },
  };
  expect(storesState(facts)).toEqual({
    registry: {
      ...{ type: "sqlite", trouble: "no answer", sinceMs: 7 },
      ...{ instance: "one", others: ["two"], isLeader: false, leader: "two" },
    },
    events: { type: "postgres", trouble: "disk is full", sinceMs: 9, waiting: 3, dropped: 2 },
  });
});

test("stores: without a folder what should be in a file is told to be in memory; Postgres needs none", () => {
  const { registry, events } = storesState({ ...WELL, dataDir: null });
  expect(registry).toMatchObject({ type: "in-memory", sinceMs: 5 });
  expect(registry.trouble).toContain("DATA_DIR cannot be written");
  expect(events).toMatchObject({ type: "postgres", trouble: null });
});
