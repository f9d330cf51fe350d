/** Versions of one app beside each other: real children of the provider `process`. */

import { expect, test } from "bun:test";
import { patient, rejection } from "./contract/provider.ts";
import {
  bunCommand,
  declareProcess,
  lives,
  SERVER,
  type TestedProvider,
  testedProvider,
  until,
} from "./support/process-provider.ts";

const PRINTING = "echo pid=$$; exec sleep 60";
/** The one that ends by itself is the version that finds the file. */
const ENDING = 'echo "pid=$$"; while [ ! -e "$END_FILE" ]; do sleep 0.02; done; echo bye; exit 4';

function versionsOf({ provider }: TestedProvider) {
  if (provider.versions === undefined) throw new Error("it has no versions");
  return provider.versions;
}

/** Process numbers that were printed so far, once there are `count`. */
function pidsOf(apps: TestedProvider, count: number): Promise<readonly string[]> {
  return until(() => {
    const found = apps.output("shop").flatMap((line) => /pid=(\d+)/.exec(line)?.[1] ?? []);
    return found.length >= count ? found : undefined;
  }, `${count} versions have printed their number`);
}

const nobody = () => false;

test("versions: a new one runs beside the app, which everything else still speaks of", async () => {
  await using apps = await testedProvider([declareProcess("shop", SERVER)]);
  const old = await apps.wake("shop");
  const version = await versionsOf(apps).begin("shop", patient());
  expect(version.target.origin).not.toBe(old);
  await until(
    () => fetch(version.target.origin).then((answer) => answer.ok, nobody),
    "the new version answers",
  );
  expect(await apps.wake("shop")).toBe(old);
  expect(await apps.provider.observe("shop", patient())).toMatchObject({ target: { origin: old } });
  await version.end();
  expect(await apps.wake("shop")).toBe(old);
  expect((await fetch(old)).ok).toBe(true);
  expect(apps.notices).toEqual([]);
});

test("versions: one that is adopted is the app, and the former ends when nobody spares it", async () => {
  await using apps = await testedProvider([declareProcess("shop", PRINTING)]);
  const old = await apps.wake("shop");
  await pidsOf(apps, 1);
  const version = await versionsOf(apps).begin("shop", patient());
  const [first = "", second = ""] = await pidsOf(apps, 2);
  versionsOf(apps).adopt("shop", version.target, nobody);
  expect(await apps.wake("shop")).toBe(version.target.origin);
  await versionsOf(apps).endFormer("shop", new Set([old]));
  await version.end();
  expect([first, second].map(lives)).toEqual([true, true]);
  await versionsOf(apps).endFormer("shop", new Set());
  expect([first, second].map(lives)).toEqual([false, true]);
  expect(apps.notices).toEqual([]);
});

test("versions: the way back adopts the former again, and a sleep ends that alone", async () => {
  await using apps = await testedProvider([declareProcess("shop", PRINTING)]);
  const old = await apps.wake("shop");
  await pidsOf(apps, 1);
  const version = await versionsOf(apps).begin("shop", patient());
  const [first = "", second = ""] = await pidsOf(apps, 2);
  versionsOf(apps).adopt("shop", version.target, nobody);
  versionsOf(apps).adopt("shop", { origin: old, host: new URL(old).host }, nobody);
  expect(await apps.wake("shop")).toBe(old);
  await apps.sleep("shop");
  expect([first, second].map(lives)).toEqual([false, true]);
  await versionsOf(apps).endFormer("shop", new Set());
  expect([first, second].map(lives)).toEqual([false, false]);
});

test("versions: the end of one takes its own strays along, and none of the other's", async () => {
  const stray = bunCommand('console.log("pid=" + process.pid); setInterval(() => 0, 999)');
  await using apps = await testedProvider([
    declareProcess("shop", `echo pid=$$; setsid ${stray} & exec sleep 60`),
  ]);
  await apps.wake("shop");
  const before = await pidsOf(apps, 2);
  const version = await versionsOf(apps).begin("shop", patient());
  const after = (await pidsOf(apps, 4)).slice(2);
  versionsOf(apps).adopt("shop", version.target, nobody);
  await versionsOf(apps).endFormer("shop", new Set());
  expect(before.map(lives)).toEqual([false, false]);
  expect(after.map(lives)).toEqual([true, true]);
});

test("versions: one that ends before it is adopted says why, and is no crash of the app", async () => {
  await using apps = await testedProvider([declareProcess("shop", PRINTING)]);
  const old = await apps.wake("shop");
  apps.declare(declareProcess("shop", "echo one; echo two >&2; exit 4"));
  const version = await versionsOf(apps).begin("shop", patient());
  expect(await version.ended).toMatch(/^exited with status 4 after [\d.]+ s$/);
  expect(version.output().split("\n").toSorted()).toEqual(["one", "two"]);
  expect(apps.notices).toEqual([]);
  expect(await apps.wake("shop")).toBe(old);
});

for (const isSeenTo of [true, false]) {
  const told = isSeenTo ? "nobody else" : "everybody";
  test(`versions: the end of an adopted one is told to who adopted it, and to ${told}`, async () => {
    await using apps = await testedProvider([]);
    const endFile = `${apps.folder}/end`;
    apps.declare(declareProcess("shop", ENDING, { env: { END_FILE: endFile } }));
    const version = await versionsOf(apps).begin("shop", patient());
    const heard: string[] = [];
    versionsOf(apps).adopt("shop", version.target, (reason) => {
      heard.push(reason);
      return isSeenTo;
    });
    await Bun.write(endFile, "");
    await until(() => heard.length > 0, "it is told");
    expect(heard).toEqual([expect.stringMatching(/^exited with status 4 .*bye$/)]);
    expect(apps.notices.map(({ observation }) => observation.phase)).toEqual(
      isSeenTo ? [] : ["failed"],
    );
    const phase = isSeenTo ? "unknown" : "failed";
    expect(await apps.provider.observe("shop", patient())).toMatchObject({ phase });
  });
}

test("versions: a fixed port, an unknown app and a missing folder are refused, each with why", async () => {
  await using apps = await testedProvider([
    declareProcess("fixed", PRINTING, { port: 29_124 }),
    declareProcess("nowhere", PRINTING, { cwd: "/no/such/folder" }),
  ]);
  const begin = (id: string) => rejection(versionsOf(apps).begin(id, patient()));
  expect(await begin("fixed")).toMatchObject({
    kind: "invalid",
    message: expect.stringContaining("leave `port` out"),
  });
  expect(await begin("other")).toMatchObject({ kind: "not-found" });
  expect(await begin("nowhere")).toMatchObject({ kind: "failed" });
});

test("versions: a close ends all of them, and begins none afterwards", async () => {
  await using apps = await testedProvider([declareProcess("shop", PRINTING)]);
  await apps.wake("shop");
  const adopted = await versionsOf(apps).begin("shop", patient());
  versionsOf(apps).adopt("shop", adopted.target, nobody);
  await versionsOf(apps).begin("shop", patient());
  const pids = await pidsOf(apps, 3);
  await apps.provider.close();
  expect(pids.map(lives)).toEqual([false, false, false]);
  const refusal = await rejection(versionsOf(apps).begin("shop", patient()));
  expect(refusal).toMatchObject({ kind: "unavailable" });
});

test("versions: an app that is given up is given up with all of them", async () => {
  await using apps = await testedProvider([declareProcess("shop", PRINTING)]);
  await apps.wake("shop");
  const adopted = await versionsOf(apps).begin("shop", patient());
  versionsOf(apps).adopt("shop", adopted.target, nobody);
  await versionsOf(apps).begin("shop", patient());
  const pids = await pidsOf(apps, 3);
  apps.declare();
  await apps.provider.forget?.("shop");
  expect(pids.map(lives)).toEqual([false, false, false]);
});
