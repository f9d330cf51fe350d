/** What every registry must do, whatever it is kept in. */

import { expect, test } from "bun:test";

import { targetOf } from "../../src/app.ts";
import type { AppRecord, Claim, Registry } from "../../src/registry/registry.ts";

/** One empty registry, for one test. */
export interface RegistryFixture extends AsyncDisposable {
  readonly registry: Registry;
  /** Closes the registry and opens what it was kept in again, as the next start of the program does. */
  restart(): Promise<Registry>;
}

/** A test that does not apply to an implementation, and why. */
export interface Skipped {
  readonly test: string;
  readonly because: string;
}

/** A record with every field in use. */
export function recordOf(id: string, changes: Partial<AppRecord> = {}): AppRecord {
  return {
    ref: { provider: "process", id },
    key: id,
    phase: "asleep",
    sinceMs: 1_700_000_000_000,
    fence: 1,
    snapshot: { kind: "quantities", processes: [{ type: "web", quantity: 2, size: "M" }] },
    target: { origin: "http://127.0.0.1:8081", host: "127.0.0.1:8081" },
    firstSeenMs: 1_600_000_000_000,
    lastUsedMs: 1_650_000_000_000,
    wakeHistoryMs: [1_200, 900.5],
    ...changes,
  };
}

/** Runs the suite on one implementation; `name` comes first in the name of each test. */
export function registryContract(
  name: string,
  open: () => Promise<RegistryFixture>,
  skip: readonly Skipped[] = [],
): void {
  const ref = { provider: "process", id: "shop" };

  function fact(what: string, run: (fixture: RegistryFixture) => Promise<void>): void {
    const skipped = skip.find((entry) => entry.test === what);
    const title = `${name} registry: ${what}`;
    test.skipIf(skipped !== undefined)(
      skipped ? `${title} (${skipped.because})` : title,
      async () => {
        await using fixture = await open();
        await run(fixture);
      },
    );
  }

  fact("a new one is empty", async ({ registry }) => {
    expect(await registry.load()).toEqual({ records: [], unreadable: [] });
  });

  fact("a record comes back as it was saved", async ({ registry }) => {
    const records = [
      recordOf("shop"),
      recordOf("blank", { snapshot: null, target: null, lastUsedMs: null, wakeHistoryMs: [] }),
      recordOf("odd/id ' \" % ü 🦥", { key: "odd", phase: "failed", fence: 2 ** 40 }),
      recordOf("none", { snapshot: { kind: "none" }, phase: "awake" }),
      recordOf("replicas", {
        snapshot: { kind: "replicas", workloads: [{ id: "deployment/web", replicas: 3 }] },
        phase: "waking",
      }),
      recordOf("members", {
        snapshot: { kind: "members", ids: ["a", "b"], mode: "suspend" },
        phase: "stopping",
      }),
    ];
    for (const record of records) expect(await registry.save(record)).toBe(true);
    expect(sorted((await registry.load()).records)).toEqual(sorted(records));
  });

  fact("what the caller does to a record afterwards is not saved", async ({ registry }) => {
    const wakeHistoryMs = [100];
    await registry.save(recordOf("shop", { wakeHistoryMs }));
    wakeHistoryMs.push(200);
    expect((await registry.load()).records[0]?.wakeHistoryMs).toEqual([100]);
  });

  fact("the same id on two providers is two apps", async ({ registry }) => {
    const one = recordOf("shop", { ref: { provider: "docker", id: "shop" } });
    const other = recordOf("shop", { ref: { provider: "process", id: "shop" } });
    await registry.save(one);
    await registry.save(other);
    await registry.remove(one.ref);
    expect((await registry.load()).records).toEqual([other]);
  });

  fact("saving again replaces the record", async ({ registry }) => {
    await registry.save(recordOf("shop"));
    const next = recordOf("shop", { phase: "awake", fence: 2, snapshot: null, target: null });
    expect(await registry.save(next)).toBe(true);
    expect((await registry.load()).records).toEqual([next]);
  });

  fact(
    "a save with the same fence is taken, one with an older fence is refused",
    async ({ registry }) => {
      await registry.save(recordOf("shop", { fence: 10, phase: "waking" }));
      expect(await registry.save(recordOf("shop", { fence: 10, phase: "awake" }))).toBe(true);
      expect(await registry.save(recordOf("shop", { fence: 9, phase: "asleep" }))).toBe(false);
      expect((await registry.load()).records).toEqual([
        recordOf("shop", { fence: 10, phase: "awake" }),
      ]);
    },
  );

  fact("the last use never goes back, neither by save nor by touch", async ({ registry }) => {
    const lastUsed = async () => (await registry.load()).records[0]?.lastUsedMs;
    await registry.save(recordOf("shop", { lastUsedMs: null }));
    expect(await lastUsed()).toBe(null);
    await registry.touch([{ ref, lastUsedMs: 2_000 }]);
    expect(await lastUsed()).toBe(2_000);
    await registry.touch([{ ref, lastUsedMs: 1_000 }]);
    expect(await lastUsed()).toBe(2_000);
    await registry.save(recordOf("shop", { lastUsedMs: 1_500 }));
    expect(await lastUsed()).toBe(2_000);
    await registry.save(recordOf("shop", { lastUsedMs: null }));
    expect(await lastUsed()).toBe(2_000);
    await registry.save(recordOf("shop", { lastUsedMs: 3_000 }));
    expect(await lastUsed()).toBe(3_000);
  });

  fact("a touch notes many apps and passes over those it does not know", async ({ registry }) => {
    await registry.save(recordOf("a", { lastUsedMs: 1 }));
    await registry.save(recordOf("b", { lastUsedMs: 1 }));
    await registry.touch([
      { ref: { provider: "process", id: "a" }, lastUsedMs: 5 },
      { ref: { provider: "process", id: "nobody" }, lastUsedMs: 6 },
      { ref: { provider: "process", id: "b" }, lastUsedMs: 7 },
    ]);
    await registry.touch([]);
    const { records } = await registry.load();
    expect(sorted(records).map((record) => [record.key, record.lastUsedMs])).toEqual([
      ["a", 5],
      ["b", 7],
    ]);
  });

  fact("removing an app twice is as good as once", async ({ registry }) => {
    await registry.save(recordOf("shop"));
    await registry.remove(ref);
    await registry.remove(ref);
    expect((await registry.load()).records).toEqual([]);
  });

  fact("only one can claim an app, until the claim is given back", async ({ registry }) => {
    const first = held(await registry.claim(ref, 0));
    expect(first.fence).toBeGreaterThan(0);
    expect(first.isHeld()).toBe(true);
    expect(await registry.claim(ref, 0)).toBe(null);
    expect(await registry.claim({ provider: "process", id: "other" }, 0)).not.toBe(null);
    await first.release();
    expect(first.isHeld()).toBe(false);
    expect(held(await registry.claim(ref, 0)).fence).toBeGreaterThan(first.fence);
  });

  fact("of many claims at the same time one succeeds", async ({ registry }) => {
    const claims = await Promise.all(Array.from({ length: 50 }, () => registry.claim(ref, 0)));
    expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
  });

  fact("releasing an old claim leaves the new one alone", async ({ registry }) => {
    const old = held(await registry.claim(ref, 0));
    await old.release();
    const now = held(await registry.claim(ref, 0));
    await old.release();
    expect(now.isHeld()).toBe(true);
    expect(await registry.claim(ref, 0)).toBe(null);
    await now.release();
    expect(await registry.claim(ref, 0)).not.toBe(null);
  });

  fact(
    "a fence is above that of the record, and grows on when the app comes back",
    async ({ registry }) => {
      await held(await registry.claim(ref, 0)).release();
      await registry.save(recordOf("shop", { fence: 41 }));
      const first = held(await registry.claim(ref, 0));
      expect(first.fence).toBeGreaterThan(41);
      await first.release();
      await registry.remove(ref);
      const second = held(await registry.claim(ref, 0));
      expect(second.fence).toBeGreaterThan(first.fence);
      await second.release();
    },
  );

  fact("a fence is above what is known here, whatever the store has lost", async ({ registry }) => {
    const first = held(await registry.claim(ref, 41));
    expect(first.fence).toBeGreaterThan(41);
    await first.release();
    expect(held(await registry.claim(ref, 3)).fence).toBeGreaterThan(first.fence);
  });

  fact("a refused save does not raise the fence", async ({ registry }) => {
    const { fence } = held(await registry.claim(ref, 0));
    expect(await registry.save(recordOf("shop", { fence }))).toBe(true);
    expect(await registry.save(recordOf("shop", { fence: fence - 1, phase: "failed" }))).toBe(
      false,
    );
    expect((await registry.load()).records).toEqual([recordOf("shop", { fence })]);
  });

  fact(
    "after a restart everything is there, and claims are free with greater fences",
    async ({ registry, restart }) => {
      const target = targetOf("unix:/run/shop.sock");
      await registry.save(recordOf("shop", { target }));
      await registry.save(recordOf("gone", { fence: 7 }));
      await registry.remove({ provider: "process", id: "gone" });
      await registry.touch([{ ref, lastUsedMs: 1_700_000_000_001 }]);
      const claimed = held(await registry.claim(ref, 0));
      const again = await restart();
      expect(await again.load()).toEqual({
        records: [recordOf("shop", { target, lastUsedMs: 1_700_000_000_001 })],
        unreadable: [],
      });
      expect(held(await again.claim(ref, 0)).fence).toBeGreaterThan(claimed.fence);
      const gone = { provider: "process", id: "gone" };
      expect(held(await again.claim(gone, 0)).fence).toBeGreaterThan(7);
    },
  );

  fact("closing twice is as good as once", async ({ registry }) => {
    await registry.close();
    await registry.close();
  });
}

function held(claim: Claim | null): Claim {
  if (claim === null) throw new Error("the claim was refused");
  return claim;
}

function sorted(records: readonly AppRecord[]): AppRecord[] {
  return records.toSorted((a, b) => (a.ref.id < b.ref.id ? -1 : 1));
}
