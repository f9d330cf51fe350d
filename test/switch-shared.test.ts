/** Switches and pauses that several instances share, under a virtual clock: races, ends and losses. */

import { expect, test } from "bun:test";
import type { StateFile } from "../src/state-file.ts";
import { outcomeAnswer } from "../src/switch-answers.ts";
import type { SwitchPolicy } from "../src/switch-policy.ts";
import { NEVER_SWITCHED, type SwitchRecord } from "../src/switch-record.ts";
import { createVersions, GATE } from "./simulation/versions.ts";
import { createSwitchInstance, PORTS, type SwitchInstance } from "./support/switch-instance.ts";
import { createSwitchSea, type SwitchWay } from "./support/switch-sea.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

interface Member extends SwitchInstance {
  readonly way: SwitchWay;
}

type More = Pick<Parameters<typeof createSwitchInstance>[0], "file" | "isLocal" | "mayLead">;

/** Instances over one store, all of them up to date. */
async function createWorld(count: number, policy: Partial<SwitchPolicy> = {}) {
  const clock = createVirtualClock();
  const sea = createSwitchSea(clock);
  const versions = createVersions(clock, PORTS);
  function join(more: More = {}): Member {
    const way = sea.connect();
    const instance = createSwitchInstance({
      ...{ clock, space: way, fetch: versions.fetch, policy, ...more },
    });
    return { ...instance, way };
  }
  const members = Array.from({ length: count }, () => join());
  await clock.advance(50);
  const version = (port: number) => {
    const found = versions.all.find((one) => one.port === port);
    if (found === undefined) throw new Error(`there is no ${port}`);
    return found;
  };
  return {
    ...{ clock, sea, version, members, join },
    /** How far each has come. */
    ports: () => members.map((one) => one.port()),
    member(index: number): Member {
      const found = members[index];
      if (found === undefined) throw new Error(`there is no instance ${index}`);
      return found;
    },
    /** Lets time pass until it has settled. */
    async over<T>(work: Promise<T>): Promise<T> {
      let isOver = false;
      const done = work.finally(() => {
        isOver = true;
      });
      void done.catch(() => undefined);
      for (let spentMs = 0; !isOver; spentMs += 1) {
        if (spentMs > 60_000) throw new Error("it takes for ever");
        await clock.advance(1);
      }
      return await done;
    },
    storedSwitch(): SwitchRecord | null {
      const text = sea.switches.get("shop");
      return text === undefined ? null : JSON.parse(text).value;
    },
  };
}

test("shared: a switch on one instance moves all of them, and each closes its own sockets to the old target", async () => {
  const { clock, members, member, over, ports } = await createWorld(3);
  for (const { sockets } of members) sockets.set("http://127.0.0.1:8001", 5);
  const outcome = await over(member(1).switchTo(8002));
  expect(outcome.kind).toBe("switched");
  await clock.advance(100);
  expect(ports()).toEqual([8002, 8002, 8002]);
  expect(members.map(({ sockets }) => sockets.get("http://127.0.0.1:8001"))).toEqual([0, 0, 0]);
  expect(members.map(({ board }) => board.activeOf("shop")?.host)).toEqual(
    Array.from({ length: 3 }, () => "127.0.0.1:8002"),
  );
  // Whoever has done it has told it.
  expect(members.map((one) => one.named("APP_SWITCHED").length)).toEqual([0, 1, 0]);
  expect(members.map((one) => one.app.traffic.watched?.address)).toEqual(
    Array.from({ length: 3 }, () => "http://127.0.0.1:8002"),
  );
});

test("shared: a switch is stored before it is answered", async () => {
  const { member, over, storedSwitch } = await createWorld(2);
  const outcome = await over(member(0).switchTo(8002));
  if (outcome.kind !== "switched") throw new Error(outcome.kind);
  expect(storedSwitch()?.lastSwitch).toEqual(outcome.entry);
});

test("shared: of two switches at once on two instances one takes place, and the other is told that another instance switches", async () => {
  const { clock, member, over, ports } = await createWorld(2);
  const outcomes = await over(Promise.all([member(0).switchTo(8002), member(1).switchTo(8003)]));
  expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(["busy", "switched"]);
  await clock.advance(100);
  const [winner] = outcomes.filter((one) => one.kind === "switched");
  const to = Number(winner?.entry.to.slice(-4));
  expect(ports()).toEqual([to, to]);
  const busy = outcomes.find((one) => one.kind === "busy");
  if (busy === undefined) throw new Error("nobody was busy");
  const { status, body } = outcomeAnswer(busy, { to: "http://127.0.0.1:8003", gate: GATE });
  expect(status).toBe(409);
  expect(String(body.message)).toContain(`port ${to}`);
  expect(String(body.message)).toContain("on another instance");
});

test("shared: a key that one instance has answered gets the same answer from another, at once and after a restart of all", async () => {
  const { clock, member, join, over } = await createWorld(2);
  // Before the other instance has heard of it.
  member(1).way.deafen();
  const first = await over(member(0).switchTo(8002, "once"));
  const second = await over(member(1).switchTo(8002, "once"));
  expect(second).toEqual(first);
  expect(await over(member(1).switchTo(8003, "once"))).toEqual({
    kind: "key-reused",
    to: "http://127.0.0.1:8002",
  });
  for (const one of [member(0), member(1)]) await one.close();
  const third = join();
  await clock.advance(50);
  expect(third.port()).toBe(8002);
  expect(await over(third.switchTo(8002, "once"))).toEqual(first);
});

test("shared: a key that another instance has answered is answered while Redis is away, too", async () => {
  const { clock, member, over } = await createWorld(2);
  const first = await over(member(0).switchTo(8002, "once"));
  await clock.advance(100);
  member(1).way.cut();
  expect(await over(member(1).switchTo(8002, "once"))).toEqual(first);
});

test("shared: a switch that a rollback of another instance has overtaken is refused, and changes nothing", async () => {
  const { clock, member, over, ports, version } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  member(0).way.cut();
  member(0).carry(20, 20);
  await clock.advance(1500);
  version(8003).health = "bad";
  const asked = member(1).switchTo(8003);
  await clock.advance(100);
  // Its rollback could not be stored, and needs no lock.
  member(0).way.heal();
  await clock.advance(100);
  version(8003).health = "good";
  expect(await over(asked)).toMatchObject({ kind: "refused" });
  expect(ports()).toEqual([8001, 8001]);
});

test("shared: a key that is in use on another instance is not used a second time", async () => {
  const { clock, member, over, sea } = await createWorld(2);
  const [first, second] = await over(
    Promise.all([member(0).switchTo(8002, "once"), member(1).switchTo(8002, "once")]),
  );
  expect([first?.kind, second?.kind].toSorted()).toEqual(["busy", "switched"]);
  await clock.advance(100);
  expect(sea.isLocked("shop")).toBe(false);
  const again = await over(Promise.all([0, 1].map((n) => member(n).switchTo(8002, "once"))));
  const entries = again.map((one) => (one.kind === "switched" ? one.entry.id : one.kind));
  expect(entries[0]).toBe(entries[1]);
});

test("shared: a pause on one instance and a switch on another at the same time both count everywhere", async () => {
  const { clock, members, member, over, ports } = await createWorld(3);
  await over(Promise.all([member(0).switchTo(8002), member(1).pause("maintenance")]));
  await clock.advance(100);
  expect(ports()).toEqual([8002, 8002, 8002]);
  expect(members.map(({ app }) => app.pause?.kind)).toEqual(
    Array.from({ length: 3 }, () => "maintenance"),
  );
  expect(members.map(({ pauses }) => pauses)).toEqual(
    Array.from({ length: 3 }, () => ["maintenance"]),
  );
  await over(member(2).pause(null));
  await clock.advance(100);
  expect(members.map(({ app }) => app.pause)).toEqual([null, null, null]);
  expect(members.flatMap((one) => one.events.map(({ name }) => name)).toSorted()).toEqual(
    expect.arrayContaining(["APP_PAUSED", "APP_RESUMED", "APP_SWITCHED"]),
  );
  expect(members.map((one) => one.named("APP_PAUSED").length)).toEqual([0, 1, 0]);
});

test("shared: two pauses of different kinds at the same time end with one of them everywhere", async () => {
  const { clock, members, member, over } = await createWorld(3);
  await over(Promise.all([member(0).pause("paused"), member(1).pause("maintenance")]));
  await clock.advance(100);
  const kinds = new Set(members.map(({ app }) => app.pause?.kind));
  expect(kinds.size).toBe(1);
});

test("shared: a new target that fails everywhere is left once, by all instances", async () => {
  const { clock, members, member, over, ports, version } = await createWorld(3);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  version(8002).health = "bad";
  await clock.advance(6000);
  expect(ports()).toEqual([8001, 8001, 8001]);
  expect(members.flatMap((one) => one.named("APP_ROLLED_BACK"))).toHaveLength(1);
  expect(members.flatMap((one) => one.named("APP_ROLLBACK_FAILED"))).toEqual([]);
});

test("shared: requests that go wrong on one instance take the switch back on all of them", async () => {
  const { clock, members, member, over, ports } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  member(1).carry(20, 20);
  await clock.advance(1500);
  expect(ports()).toEqual([8001, 8001]);
  expect(members.map((one) => one.named("APP_ROLLED_BACK").length)).toEqual([0, 1]);
});

test("shared: a rollback that was decided about an older switch leaves a newer one alone", async () => {
  const { clock, member, members, over, ports, version } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  version(8002).health = "bad";
  // It hears of nothing, and will have decided before it does.
  member(1).way.freeze();
  const { board, app } = member(1);
  const desk = board.deskOf(app);
  await clock.advance(2500);
  await over(member(0).switchTo(8003));
  await clock.advance(1000);
  expect(desk.running).not.toBeNull();
  member(1).way.thaw();
  await clock.advance(2000);
  expect(ports()).toEqual([8003, 8003]);
  expect(members.flatMap((one) => one.named("APP_ROLLED_BACK"))).toEqual([]);
});

test("shared: the lock of an instance that ends in the middle of a switch expires, and the next switch takes place", async () => {
  const { clock, member, over, sea, version } = await createWorld(2);
  version(8002).health = "silent";
  void member(0).switchTo(8002);
  await clock.advance(500);
  member(0).way.end();
  expect((await over(member(1).switchTo(8003))).kind).toBe("busy");
  await clock.advance(8000);
  expect(sea.isLocked("shop")).toBe(false);
  expect((await over(member(1).switchTo(8003))).kind).toBe("switched");
  expect(member(1).port()).toBe(8003);
});

test("shared: a lock is kept for as long as a switch takes, however long that is", async () => {
  const { clock, member, over, version } = await createWorld(2, {
    gate: { ...GATE, timeoutMs: 30_000 },
  });
  version(8002).health = "bad";
  const slow = member(0).switchTo(8002);
  await clock.advance(25_000);
  expect((await over(member(1).switchTo(8003))).kind).toBe("busy");
  version(8002).health = "good";
  expect((await over(slow)).kind).toBe("switched");
});

test("shared: what an instance decided before it was frozen past its lock's life is refused, and the newer switch stays", async () => {
  const { clock, member, over, ports } = await createWorld(2);
  const stale = member(0).switchTo(8002);
  // It has its lock, and looks at the new target.
  await clock.advance(10);
  member(0).way.freeze();
  await clock.advance(9000);
  const { gate } = { gate: member(1).switchTo(8003) };
  await clock.advance(10);
  // The other one has the lock and has stored nothing yet.
  member(0).way.thaw();
  expect(await over(stale)).toMatchObject({ kind: "refused" });
  expect((await over(gate)).kind).toBe("switched");
  await clock.advance(100);
  expect(ports()).toEqual([8003, 8003]);
});

test("shared: while Redis is away a switch and a pause are refused, and nothing has changed", async () => {
  const { clock, member, over, ports } = await createWorld(2);
  member(0).way.cut();
  expect(await over(member(0).switchTo(8002))).toMatchObject({
    kind: "not-saved",
    why: "Redis cannot be reached",
  });
  await expect(over(member(0).pause("paused"))).rejects.toThrow("Redis cannot be reached");
  expect(member(0).app.pause).toBeNull();
  expect(member(0).named("APP_SWITCH_REFUSED")).toHaveLength(1);
  await clock.advance(1000);
  expect(ports()).toEqual([8001, 8001]);
  // What nobody can be asked about is not said to be so.
  await expect(over(member(0).pause(null))).rejects.toThrow("Redis cannot be reached");
});

test("shared: Redis that goes away between the lock and the end of the gate refuses the switch", async () => {
  const { clock, member, over, ports, version } = await createWorld(2);
  version(8002).health = "bad";
  const asked = member(0).switchTo(8002);
  await clock.advance(300);
  member(0).way.cut();
  version(8002).health = "good";
  expect((await over(asked)).kind).toBe("not-saved");
  member(0).way.heal();
  await clock.advance(9000);
  expect(ports()).toEqual([8001, 8001]);
  expect((await over(member(0).switchTo(8002))).kind).toBe("switched");
});

test("shared: a rollback goes on while Redis is away, is stored when it is back, and moves the others then", async () => {
  const { clock, member, over, ports, storedSwitch } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  member(0).way.cut();
  member(0).carry(20, 20);
  await clock.advance(1500);
  expect(ports()).toEqual([8001, 8002]);
  expect(member(0).lines.some(({ message }) => message.includes("is not stored"))).toBe(true);
  member(0).way.heal();
  await clock.advance(200);
  expect(ports()).toEqual([8001, 8001]);
  expect(storedSwitch()?.lastSwitch?.reason).toBe("rollback");
});

test("shared: a rollback that Redis has no room for is stored as soon as there is room", async () => {
  const { clock, member, over, ports, sea, storedSwitch } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  sea.isFull = true;
  member(0).carry(20, 20);
  await clock.advance(1500);
  expect(ports()).toEqual([8001, 8002]);
  sea.isFull = false;
  await clock.advance(1500);
  expect(ports()).toEqual([8001, 8001]);
  expect(storedSwitch()?.lastSwitch?.reason).toBe("rollback");
});

test("shared: a rollback that was not stored gives way to what others have done meanwhile", async () => {
  const { clock, member, over, ports, storedSwitch } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  member(0).way.cut();
  member(0).carry(20, 20);
  await clock.advance(1500);
  await over(member(1).switchTo(8003));
  member(0).way.heal();
  await clock.advance(200);
  expect(ports()).toEqual([8003, 8003]);
  expect(storedSwitch()?.lastSwitch?.to).toBe("http://127.0.0.1:8003");
});

test("shared: an instance that missed several switches drains what it still carries to each old target", async () => {
  const { clock, member, over, ports } = await createWorld(2, { drain: "keep", windowMs: 0 });
  member(1).sockets.set("http://127.0.0.1:8001", 3);
  member(1).way.cut();
  await over(member(0).switchTo(8002));
  await clock.advance(20_000);
  await over(member(0).switchTo(8003));
  await clock.advance(10_000);
  expect(ports()).toEqual([8003, 8001]);
  member(1).way.heal();
  await clock.advance(1000);
  expect(ports()).toEqual([8003, 8003]);
  expect(member(1).sockets.get("http://127.0.0.1:8001")).toBe(3);
  await clock.advance(4000);
  expect(member(1).sockets.get("http://127.0.0.1:8001")).toBe(0);
});

test("shared: a Redis that was emptied gets back what the instances know, from whoever looks first", async () => {
  const { clock, member, members, over, sea, storedSwitch, join } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await over(member(0).pause("paused"));
  await clock.advance(100);
  sea.flush();
  for (const { store } of members) store.resync();
  await clock.advance(100);
  expect(storedSwitch()?.active).toBe("http://127.0.0.1:8002");
  const late = join();
  await clock.advance(100);
  expect([late.port(), late.app.pause?.kind]).toEqual([8002, "paused"]);
});

test("shared: a switch on an emptied Redis that nobody has noticed moves all instances", async () => {
  const { clock, member, over, ports, sea } = await createWorld(2);
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  sea.flush();
  expect((await over(member(1).switchTo(8003))).kind).toBe("switched");
  await clock.advance(100);
  expect(ports()).toEqual([8003, 8003]);
});

test("shared: what cannot be read is told once and left, and the app is where it is declared", async () => {
  const { clock, join, over, sea } = await createWorld(0);
  sea.switches.set("shop", "{");
  const one = join();
  await clock.advance(100);
  one.store.resync();
  await clock.advance(100);
  expect(one.port()).toBe(8001);
  expect(one.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  expect((await over(one.switchTo(8002))).kind).toBe("not-saved");
  expect(sea.switches.get("shop")).toBe("{");
});

test("shared: an address that the app may not be switched to here is not taken over", async () => {
  const { clock, member, join, over } = await createWorld(1);
  const other = join({ mayLead: (_key, address) => !address.endsWith(":8002") });
  await over(member(0).switchTo(8002));
  await clock.advance(100);
  expect([member(0).port(), other.port()]).toEqual([8002, 8001]);
  expect(other.lines.filter(({ level }) => level === "error")).toHaveLength(1);
});

/** A state file in memory. */
function fileOf(content: unknown) {
  const disk = { content };
  const file: StateFile = {
    read: () => (disk.content === null ? null : { content: structuredClone(disk.content) }),
    async write(next) {
      disk.content = structuredClone(next);
    },
    setAside: (why) => why,
    close: async () => undefined,
  };
  return { disk, file };
}

const EARLIER: SwitchRecord = {
  ...NEVER_SWITCHED,
  active: "http://127.0.0.1:8003",
  lastSwitch: {
    id: "earlier",
    from: "http://127.0.0.1:8001",
    to: "http://127.0.0.1:8003",
    atMs: 1,
    reason: "manual",
    idempotencyKey: null,
  },
  pause: { kind: "paused", sinceMs: 1 },
};

test("shared: what a single instance knew is taken over into an empty Redis, once and told", async () => {
  const { clock, sea, join, over } = await createWorld(0);
  const { disk, file } = fileOf({ version: 1, apps: { shop: EARLIER } });
  const one = join({ file });
  // Before anything was heard of Redis.
  expect(one.port()).toBe(8003);
  await clock.advance(100);
  const other = join();
  await clock.advance(100);
  expect([other.port(), other.app.pause?.kind]).toEqual([8003, "paused"]);
  expect(one.lines.filter(({ level }) => level === "info")).toHaveLength(1);
  expect(disk.content).toMatchObject({ apps: {} });
  await over(one.switchTo(8004));
  expect(disk.content).toMatchObject({ apps: {} });
  sea.flush();
  const third = join({ file });
  await clock.advance(100);
  expect(third.port()).toBe(8001);
});

test("shared: what a single instance knew does not count where Redis knows more", async () => {
  const { clock, member, join, over } = await createWorld(1);
  await over(member(0).switchTo(8002));
  const { file } = fileOf({ version: 1, apps: { shop: EARLIER } });
  const other = join({ file });
  await clock.advance(100);
  expect([other.port(), other.app.pause]).toEqual([8002, null]);
});

test("shared: of an app whose versions run here the pause is shared, and the switch stays in the file", async () => {
  const { clock, sea, join, over } = await createWorld(0);
  const { disk, file } = fileOf(null);
  const isLocal = () => true;
  const [one, other] = [join({ file, isLocal }), join({ isLocal })];
  await clock.advance(50);
  await over(one.switchTo(8002));
  await over(one.pause("paused"));
  await clock.advance(100);
  expect([one.port(), other.port()]).toEqual([8002, 8001]);
  expect([one.app.pause?.kind, other.app.pause?.kind]).toEqual(["paused", "paused"]);
  expect([...sea.switches.keys(), ...sea.pauses.keys()]).toEqual(["shop"]);
  expect(disk.content).toMatchObject({ apps: { shop: { active: "http://127.0.0.1:8002" } } });
  // Redis is not needed for what is not shared.
  one.way.cut();
  expect((await over(one.switchTo(8003))).kind).toBe("switched");
});

test("shared: an instance that starts while Redis is away takes over when it is there", async () => {
  const { clock, member, over, sea } = await createWorld(1);
  await over(member(0).switchTo(8002));
  await over(member(0).pause("paused"));
  const way = sea.connect();
  way.cut();
  const versions = createVersions(clock, PORTS);
  const late = createSwitchInstance({ clock, space: way, fetch: versions.fetch });
  await over(late.store.opened);
  expect(late.port()).toBe(8001);
  way.heal();
  await clock.advance(100);
  expect([late.port(), late.app.pause?.kind]).toEqual([8002, "paused"]);
});

test("shared: the end of a rollback window is stored once, and all instances keep the switch", async () => {
  const { clock, members, member, over, storedSwitch } = await createWorld(3);
  await over(member(0).switchTo(8002));
  await clock.advance(12_000);
  expect(storedSwitch()?.window).toBeNull();
  expect(members.map(({ app, board }) => [app.traffic.watched, board.whyAwake(app)])).toEqual(
    Array.from({ length: 3 }, () => [null, null]),
  );
});
