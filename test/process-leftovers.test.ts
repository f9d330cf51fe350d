/** Children of a killed Paastis: found and ended by the next start, and nobody else's. */

import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";

import type { ProcessDeclaration } from "../src/config.ts";
import { instanceNameOf } from "../src/instance-name.ts";
import { bootId, startedAt } from "../src/providers/process-table.ts";
import {
  bunCommand,
  declareProcess,
  lives,
  testedProvider,
  uniqueInstance,
  until,
} from "./support/process-provider.ts";
import { type Child, spawnChild } from "./support/spawn-child.ts";
import { tempDir } from "./support/temp-dir.ts";

const STUBBORN = 'trap "" TERM; echo up $$; while :; do sleep 0.05; done';
const ENVIRONMENT_CLEARED = bunCommand(
  'console.log("up " + process.pid); setInterval(() => 0, 999)',
);

interface Owner extends AsyncDisposable {
  readonly process: Child;
  /** The apps' process numbers, as they printed them. */
  readonly pids: readonly string[];
}

/** Starts a Paastis of its own that wakes all of `declarations`, and waits until they are up. */
async function startOwner(
  place: { readonly instanceId: string; readonly folder: string; readonly mode?: string },
  ...declarations: readonly ProcessDeclaration[]
): Promise<Owner> {
  const owner = spawnChild(
    "process-owner.ts",
    place.instanceId,
    place.folder,
    place.mode ?? "stay",
    JSON.stringify(declarations),
  );
  const pids: string[] = [];
  for (const _ of declarations) {
    const line = await owner.line((text) => / up \d+/.test(text));
    pids.push(line.split(" ")[2] ?? "");
  }
  await owner.line((text) => text === "ready" || text === "closed");
  return {
    process: owner,
    pids,
    [Symbol.asyncDispose]: async () => {
      await owner[Symbol.asyncDispose]();
      for (const pid of pids) endQuietly(pid);
    },
  };
}

function endQuietly(pid: string): void {
  if (lives(pid)) process.kill(Number(pid), "SIGKILL");
}

test("leftovers: the next start ends what a killed Paastis left running, and says which app", async () => {
  using dir = tempDir();
  const place = { instanceId: uniqueInstance(), folder: dir.path };
  await using owner = await startOwner(
    place,
    declareProcess("shop", "echo up $$; exec sleep 60"),
    declareProcess("blog", STUBBORN),
  );
  await owner.process.kill();
  expect(owner.pids.map(lives)).toEqual([true, true]);
  expect(readdirSync(dir.file("processes"))).toHaveLength(2);

  await using next = await testedProvider([], place);
  expect(owner.pids.map(lives)).toEqual([false, false]);
  expect(readdirSync(dir.file("processes"))).toEqual([]);
  const told = next.lines.filter((line) => line.message.includes("left running"));
  expect(told.map((line) => line.fields.app).toSorted()).toEqual(["blog", "shop"]);
});

test("leftovers: a child that was just spawned when its owner was killed is found", async () => {
  const instanceId = uniqueInstance();
  using dir = tempDir();
  const file = dir.file("pid");
  const declaration = declareProcess("shop", `echo $$ > ${file}; exec sleep 60`);
  await using owner = spawnChild(
    "process-owner.ts",
    instanceId,
    dir.path,
    "die",
    JSON.stringify([declaration]),
  );
  await until(() => existsSync(file) && Bun.file(file).size > 1, "the child has begun");
  const pid = (await Bun.file(file).text()).trim();
  await until(() => !lives(owner.pid), "the owner has been killed");
  expect(lives(pid)).toBe(true);
  await using _ = await testedProvider([], { instanceId, folder: dir.path });
  expect(lives(pid)).toBe(false);
});

test("leftovers: a child that was being stopped when its owner was killed is found", async () => {
  using dir = tempDir();
  const place = { instanceId: uniqueInstance(), folder: dir.path };
  await using owner = await startOwner({ ...place, mode: "stop" }, declareProcess("a", STUBBORN));
  await owner.process.kill();
  expect(owner.pids.map(lives)).toEqual([true]);
  await using _ = await testedProvider([], place);
  expect(owner.pids.map(lives)).toEqual([false]);
});

test("leftovers: marks alone are enough where nothing could be written", async () => {
  const instanceId = uniqueInstance();
  const daemon = `setsid sh -c 'echo up $$; exec sleep 60' & sleep 60`;
  await using owner = await startOwner(
    { instanceId, folder: "" },
    declareProcess("shop", "echo up $$; exec sleep 60"),
    declareProcess("daemon", daemon),
  );
  await owner.process.kill();
  expect(owner.pids.map(lives)).toEqual([true, true]);
  await using _ = await testedProvider([], { instanceId });
  expect(owner.pids.map(lives)).toEqual([false, false]);
});

test("leftovers: the note alone is enough for children that cleared their environment", async () => {
  using dir = tempDir();
  const place = { instanceId: uniqueInstance(), folder: dir.path };
  await using owner = await startOwner(
    place,
    declareProcess("shop", `exec env -i ${ENVIRONMENT_CLEARED}`),
    declareProcess("blog", `exec env -i sh -c '${STUBBORN}'`),
  );
  await owner.process.kill();
  expect(owner.pids.map(lives)).toEqual([true, true]);
  await using _ = await testedProvider([], place);
  expect(owner.pids.map(lives)).toEqual([false, false]);
});

test("leftovers: a living instance keeps its children, in the same folder and in another", async () => {
  using dir = tempDir();
  using elsewhere = tempDir();
  const instanceId = uniqueInstance();
  const shop = declareProcess("shop", "echo up $$; exec sleep 60");
  await using sameFolder = await startOwner({ instanceId, folder: dir.path }, shop);
  await using otherFolder = await startOwner({ instanceId, folder: elsewhere.path }, shop);
  const pids = [...sameFolder.pids, ...otherFolder.pids];

  await using next = await testedProvider([shop], { instanceId, folder: dir.path });
  await next.wake("shop");
  await next.sleep("shop");
  expect(pids.map(lives)).toEqual([true, true]);
  expect(readdirSync(dir.file("processes"))).toHaveLength(1);
});

test("leftovers: those of another instance are left alone, although its owner is dead", async () => {
  using dir = tempDir();
  const shop = declareProcess("shop", "echo up $$; exec sleep 60");
  const instanceId = uniqueInstance();
  await using owner = await startOwner({ instanceId, folder: dir.path }, shop);
  await owner.process.kill();
  await using _ = await testedProvider([], { instanceId: `${instanceId}2`, folder: dir.path });
  expect(owner.pids.map(lives)).toEqual([true]);
});

test("leftovers: an instance that takes an app over ends what a dead one of that name has left of it, and nothing else", async () => {
  using dir = tempDir();
  const command = "echo up $$; exec sleep 60";
  const apps = [declareProcess("shop", command), declareProcess("blog", command)];
  // Told apart by how they begin.
  const [dead, living] = [crypto.randomUUID(), crypto.randomUUID()];
  await using left = await startOwner({ instanceId: dead, folder: dir.path }, ...apps);
  await left.process.kill();
  using elsewhere = tempDir();
  await using kept = await startOwner({ instanceId: living, folder: elsewhere.path }, ...apps);
  await using other = await testedProvider(apps);
  const takeOver = (id: string) => other.provider.takeOver?.("shop", instanceNameOf(id));
  await takeOver(living);
  await takeOver(`${dead}x`.slice(1));
  expect([...left.pids, ...kept.pids].map(lives)).toEqual([true, true, true, true]);
  await takeOver(dead);
  expect(left.pids.map(lives)).toEqual([false, true]);
  expect(kept.pids.map(lives)).toEqual([true, true]);
  expect(other.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
});

test("leftovers: a process that only has a noted number is never touched", async () => {
  using dir = tempDir();
  const instanceId = uniqueInstance();
  await using bystander = Bun.spawn(["sleep", "60"], { detached: true });
  // A group whose number is noted, and whose leader is gone: nothing says that it was ours.
  await using leader = Bun.spawn(["sh", "-c", "sleep 60 >/dev/null & echo $!"], {
    detached: true,
    stdout: "pipe",
  });
  const orphan = (await leader.stdout.text()).trim();
  await leader.exited;
  mkdirSync(dir.file("processes"));
  const began = startedAt(bystander.pid);
  const note = { pid: bystander.pid, owner: `${instanceId}:999999999:1`, app: "shop" };
  const write = (name: string, changes: object) =>
    writeFileSync(dir.file(`processes/${name}.json`), JSON.stringify({ ...note, ...changes }));
  write("recycled", { startedAt: `${began}1`, boot: bootId() });
  write("leaderless", { pid: leader.pid, startedAt: "1", boot: bootId() });
  write("other-boot", { startedAt: began, boot: "another boot" });
  await using _ = await testedProvider([], { instanceId, folder: dir.path });
  expect([lives(bystander.pid), lives(orphan)]).toEqual([true, true]);
  expect(readdirSync(dir.file("processes"))).toEqual([]);
  bystander.kill("SIGKILL");
  endQuietly(orphan);
});

test("leftovers: a zombie counts as gone", async () => {
  // The child ends when its parent has become a program that asks for no child.
  const child = 'while [ "$(cat /proc/$PPID/comm)" != sleep ]; do :; done';
  await using parent = Bun.spawn(["sh", "-c", `sh -c '${child}' & echo $!; exec sleep 60`], {
    stdout: "pipe",
  });
  const { value } = await parent.stdout.getReader().read();
  const zombie = Number(new TextDecoder().decode(value));
  const state = () => Bun.file(`/proc/${zombie}/stat`).text();
  await until(async () => (await state()).includes(") Z "), "the child is a zombie");
  expect(startedAt(zombie)).toBeNull();
  expect(startedAt(parent.pid)).toMatch(/^\d+$/);
  parent.kill("SIGKILL");
});

test("leftovers: broken notes are reported and removed", async () => {
  using dir = tempDir();
  mkdirSync(dir.file("processes"));
  writeFileSync(dir.file("processes/half.json"), '{"pid": 12');
  writeFileSync(
    dir.file("processes/all.json"),
    '{"pid":-1,"startedAt":"1","owner":"x:1:1","app":"a","boot":""}',
  );
  writeFileSync(dir.file("processes/empty.json"), "");
  await using next = await testedProvider([], { folder: dir.path });
  expect(readdirSync(dir.file("processes"))).toEqual([]);
  expect(next.lines.filter((line) => line.message.includes("cannot be read"))).toHaveLength(3);
});

test("leftovers: a close leaves nothing, although only silent and stubborn grandchildren are left", async () => {
  using dir = tempDir();
  const silent = `(trap "" TERM; echo up $(exec sh -c 'echo $PPID'); exec sleep 60 >/dev/null 2>&1) & sleep 60`;
  await using owner = await startOwner(
    { instanceId: uniqueInstance(), folder: dir.path, mode: "close" },
    declareProcess("shop", silent, { stopTimeoutMs: 400 }),
  );
  expect(owner.pids.map(lives)).toEqual([false]);
  expect(readdirSync(dir.file("processes"))).toEqual([]);
});
