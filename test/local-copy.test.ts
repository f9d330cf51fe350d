import { expect, test } from "bun:test";

import type { Snapshot } from "../src/app.ts";
import { noPeers, type PeerListener } from "../src/peers.ts";
import { withLocalCopy } from "../src/registry/local-copy.ts";
import { createMemoryRegistry } from "../src/registry/memory.ts";
import type { AppRecord } from "../src/registry/registry.ts";
import { recordOf } from "./contract/registry.ts";
import { recordingLog } from "./support/recording-log.ts";

const WORKERS: Snapshot = { kind: "quantities", processes: [{ type: "worker", quantity: 2 }] };

function copied() {
  const shared = createMemoryRegistry();
  const copy = createMemoryRegistry();
  const { log, lines } = recordingLog();
  let isAway = false;
  let heard: PeerListener | null = null;
  const unlessAway = <T>(work: () => Promise<T>): Promise<T> =>
    isAway ? Promise.reject(new Error("connection refused")) : work();
  const registry = {
    ...shared,
    load: () => unlessAway(shared.load),
    save: (record: AppRecord) => unlessAway(() => shared.save(record)),
  };
  const peers = {
    ...noPeers("here"),
    async join(listener: PeerListener) {
      heard = listener;
    },
  };
  const parts = withLocalCopy({ shared: { registry, peers }, copy, log });
  const keysOf = async ({ load }: { load: typeof shared.load }) =>
    (await load()).records.map(({ key }) => key).toSorted();
  return {
    ...{ ...parts, shared, copy, lines, keysOf },
    goAway: () => {
      isAway = true;
    },
    hears: (record: AppRecord) => heard?.stored(record, "there"),
  };
}

test("local copy: what is stored here, and what others are heard to store, is in it", async () => {
  const { registry, peers, hears, copy, shared, keysOf } = copied();
  const stored: string[] = [];
  const nothing = () => undefined;
  await peers.join({
    ...{ mayStop: () => null, used: nothing, gone: nothing, resync: nothing, takeUses: () => [] },
    stored: ({ key }, from) => void stored.push(`${key} ${from}`),
  });
  expect(await registry.save(recordOf("shop"))).toBe(true);
  hears(recordOf("blog"));
  expect(await keysOf(copy)).toEqual(["blog", "shop"]);
  expect(await keysOf(shared)).toEqual(["shop"]);
  expect(stored).toEqual(["blog there"]);
  await registry.remove(recordOf("shop").ref);
  expect(await keysOf(copy)).toEqual(["blog"]);
  expect(await keysOf(shared)).toEqual([]);
});

test("local copy: with the registry away a start knows what the copy has, and everybody else hears that it is away", async () => {
  const { registry, loadFirst, goAway, copy } = copied();
  await registry.save(recordOf("shop", { snapshot: WORKERS }));
  goAway();
  expect((await loadFirst()).records).toEqual([recordOf("shop", { snapshot: WORKERS })]);
  await expect(registry.load()).rejects.toThrow("connection refused");
  await expect(registry.save(recordOf("blog", { fence: 2 }))).rejects.toThrow("connection refused");
  expect((await copy.load()).records).toHaveLength(2);
});

test("local copy: at a start the registry counts, and what only the copy knows is added", async () => {
  const { loadFirst, copy, shared } = copied();
  await copy.save(recordOf("only-here"));
  await copy.save(recordOf("shop", { snapshot: WORKERS, phase: "asleep" }));
  await shared.save(recordOf("shop", { snapshot: null, phase: "awake", fence: 9 }));
  await shared.save(recordOf("only-there"));
  const { records } = await loadFirst();
  const found = new Map(records.map((record) => [record.key, record]));
  expect([...found.keys()].toSorted()).toEqual(["only-here", "only-there", "shop"]);
  expect(found.get("shop")).toMatchObject({ snapshot: WORKERS, phase: "awake", fence: 9 });
});

test("local copy: one that cannot be written fails nothing", async () => {
  const { shared, lines } = copied();
  const failing = () => Promise.reject(new Error("the disk is full"));
  const copy = { load: shared.load, save: failing, remove: failing };
  const { log } = recordingLog();
  const { registry } = withLocalCopy({
    shared: { registry: shared, peers: noPeers("here") },
    ...{ copy, log },
  });
  expect(await registry.save(recordOf("shop"))).toBe(true);
  await registry.remove(recordOf("shop").ref);
  expect(lines).toEqual([]);
});
