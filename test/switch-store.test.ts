/** What the state file says about switches: read, written, damaged, old. */

import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createSystemClock } from "../src/clock.ts";
import { openStateFile } from "../src/state-file.ts";
import { NEVER_SWITCHED, type SwitchRecord } from "../src/switch-record.ts";
import { openSwitchStore, type SwitchStoreOptions } from "../src/switch-store.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";

const RECORD: SwitchRecord = {
  active: "http://127.0.0.1:8081",
  lastSwitch: {
    id: "1",
    from: "http://127.0.0.1:8080",
    to: "http://127.0.0.1:8081",
    atMs: 1,
    reason: "manual",
    idempotencyKey: null,
  },
  drains: [{ address: "http://127.0.0.1:8080", untilMs: 2 }],
  window: { back: "http://127.0.0.1:8080", untilMs: 3, before: { requests: 4, errors: 1 } },
  answered: [],
  pause: { kind: "maintenance", sinceMs: 5, message: "back soon" },
};

/** Nobody else writes the file. */
const BASIS = { seen: NEVER_SWITCHED, lock: null };

function openAt(
  path: string,
  soleApp: string | null = "shop",
  more: Pick<SwitchStoreOptions, "mayLead" | "isDeclared"> = {},
) {
  const { log, lines } = recordingLog();
  const file = openStateFile({ path, clock: createSystemClock() });
  return { store: openSwitchStore({ file, soleApp, log, ...more }), lines };
}

test("store: what was saved is read by the next run, every part of it", async () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  await openAt(path).store.save("shop", RECORD, BASIS);
  const paused = { ...NEVER_SWITCHED, pause: { kind: "paused", sinceMs: 1 } } as const;
  await openAt(path).store.save("den", paused, BASIS);
  const { store, lines } = openAt(path);
  expect(store.recordOf("shop")).toEqual(RECORD);
  expect(store.recordOf("den").pause).toEqual({ kind: "paused", sinceMs: 1 });
  expect(store.recordOf("nobody")).toEqual(NEVER_SWITCHED);
  expect(lines).toEqual([]);
  expect(JSON.parse(readFileSync(path, "utf8")).activePort).toBe(8081);
});

test.each([
  [8081, "http://127.0.0.1:8081"],
  [80, "http://127.0.0.1"],
])("store: a file of a program that knew a port alone, %p, is taken over", (activePort, active) => {
  using folder = tempDir();
  const path = folder.file("state.json");
  const more = { drainUntil: null, lastSwitch: { from: 1, to: 2 } };
  writeFileSync(path, JSON.stringify({ activePort, ...more }));
  expect(openAt(path).store.recordOf("shop")).toEqual({ ...NEVER_SWITCHED, active });
});

test.each([
  ["", "is empty"],
  ["{", "is no JSON"],
  ['{"activePort":"8081"}', ""],
  ['{"activePort":70000}', ""],
  ["[]", ""],
  ["null", ""],
  ['{"apps":{"shop":{"active":"nonsense"}}}', ""],
  ['{"apps":{"shop":7}}', ""],
])(
  "store: a file that holds %p is said to be unusable, and the app is where it is declared",
  (content) => {
    using folder = tempDir();
    const path = folder.file("state.json");
    writeFileSync(path, content);
    const { store, lines } = openAt(path);
    expect(store.recordOf("shop")).toEqual(NEVER_SWITCHED);
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
  },
);

test("store: a record that cannot be used harms no other", () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  writeFileSync(path, JSON.stringify({ version: 1, apps: { bad: {}, shop: RECORD } }));
  expect(openAt(path).store.recordOf("shop")).toEqual(RECORD);
});

test("store: what cannot be written is refused with its path, and what was known before still holds", async () => {
  using folder = tempDir();
  const path = folder.file("state/state.json");
  mkdirSync(folder.file("state"));
  const { store } = openAt(path);
  await store.save("shop", RECORD, BASIS);
  // Even for root: a folder stands where the draft would be.
  mkdirSync(`${path}.${process.pid}.tmp`);
  writeFileSync(`${path}.${process.pid}.tmp/x`, "");
  chmodSync(folder.file("state"), 0o500);
  const other = { ...RECORD, active: "http://127.0.0.1:9000" };
  const failure = await store.save("shop", other, BASIS).catch((error: unknown) => String(error));
  chmodSync(folder.file("state"), 0o700);
  expect(failure).toContain(path);
  expect(store.recordOf("shop")).toEqual(RECORD);
  expect(JSON.parse(readFileSync(path, "utf8")).apps.shop).toEqual(RECORD);
  expect(readdirSync(folder.path)).toEqual(["state"]);
});

test.each(["null", "[]", "7", '{"apps":[]}', '{"activePort":"8081"}'])(
  "store: %p is kept under another name before anything is written, and said",
  async (content) => {
    using folder = tempDir();
    const path = folder.file("state.json");
    writeFileSync(path, content);
    const { store, lines } = openAt(path);
    await store.save("shop", RECORD, BASIS);
    const [kept = ""] = readdirSync(folder.path).filter((name) => name.includes(".damaged-"));
    expect(readFileSync(folder.file(kept), "utf8")).toBe(content);
    expect(String(lines[0]?.fields.reason)).toEndWith(`it is now ${folder.file(kept)}`);
  },
);

test.each([
  ["a number", 7],
  ["a time after all times", { ...RECORD, drains: [{ address: RECORD.active, untilMs: 1e300 }] }],
  [
    "a count that is none",
    { ...RECORD, window: { ...RECORD.window, before: { requests: -1, errors: 0 } } },
  ],
])(
  "store: of a file with %s in one entry a copy is kept, once, and the other entries hold",
  async (_what, spoiled) => {
    using folder = tempDir();
    const path = folder.file("state.json");
    const content = JSON.stringify({ version: 1, apps: { bad: spoiled, shop: RECORD } });
    writeFileSync(path, content);
    openAt(path);
    const { store, lines } = openAt(path);
    expect(store.recordOf("bad")).toEqual(NEVER_SWITCHED);
    expect(store.recordOf("shop")).toEqual(RECORD);
    expect(lines.map(({ level, fields }) => [level, fields.app])).toEqual([["error", "bad"]]);
    await store.save("shop", RECORD, BASIS);
    const copies = readdirSync(folder.path).filter((name) => name.includes(".damaged-"));
    expect(copies).toHaveLength(1);
    expect(readFileSync(folder.file(copies[0] ?? ""), "utf8")).toBe(content);
    expect(Object.keys(JSON.parse(readFileSync(path, "utf8")).apps)).toEqual(["shop"]);
  },
);

test("store: an address that the app may not be switched to is said once, and not taken over; its pause is", async () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  await openAt(path).store.save("shop", RECORD, BASIS);
  const mayLead = (key: string, address: string) => key !== "shop" || !address.endsWith(":8081");
  const { store, lines } = openAt(path, "shop", { mayLead });
  const expected = { ...NEVER_SWITCHED, pause: RECORD.pause };
  expect([store.recordOf("shop"), store.recordOf("shop")]).toEqual([expected, expected]);
  expect(lines.map(({ level, fields }) => [level, fields.active])).toEqual([
    ["error", RECORD.active],
  ]);
});

test("store: a way back or a drain that may not be led to is left out, and the active target stays", async () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  await openAt(path).store.save("shop", RECORD, BASIS);
  const mayLead = (_key: string, address: string) => !address.endsWith(":8080");
  const { store } = openAt(path, "shop", { mayLead });
  expect(store.recordOf("shop")).toEqual({ ...RECORD, drains: [], window: null });
});

test("store: apps that are declared no more keep their entries, and are named once at debug", async () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  await openAt(path).store.save("gone", RECORD, BASIS);
  await openAt(path).store.save("shop", RECORD, BASIS);
  const { store, lines } = openAt(path, null, { isDeclared: (key) => key === "shop" });
  expect(lines).toMatchObject([{ level: "debug", fields: { stored: ["gone"] } }]);
  await store.save("shop", NEVER_SWITCHED, BASIS);
  expect(openAt(path).store.recordOf("gone")).toEqual(RECORD);
});

test("store: a new INSTANCE_NAME beside the entry of the old one is warned of", async () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  await openAt(path, "blue").store.save("blue", RECORD, BASIS);
  expect(openAt(path, "blue").lines).toEqual([]);
  const { store, lines } = openAt(path, "green");
  expect(store.recordOf("green")).toEqual(NEVER_SWITCHED);
  expect(lines).toMatchObject([{ level: "warn", fields: { app: "green", stored: "blue" } }]);
});

test("store: an entry that says nothing of answers is taken over", () => {
  using folder = tempDir();
  const path = folder.file("state.json");
  const { answered: _, ...entry } = RECORD;
  writeFileSync(path, JSON.stringify({ version: 1, apps: { shop: entry } }));
  const { store, lines } = openAt(path);
  expect(store.recordOf("shop")).toEqual(RECORD);
  expect(lines).toEqual([]);
});
