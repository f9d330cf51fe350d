/** A process of its own that uses the data folder until it is killed. Arguments: what to do, the folder. */

import { join } from "node:path";

import { openDataDir } from "../../src/data-dir.ts";
import { openDatabase } from "../../src/database.ts";
import { PaastisError } from "../../src/errors.ts";
import { createSqliteEventStore } from "../../src/event-store/sqlite.ts";
import { createSqliteRegistry } from "../../src/registry/sqlite.ts";
import { eventOf } from "../contract/event-store.ts";
import { recordOf } from "../contract/registry.ts";
import { recordingLog } from "./recording-log.ts";

/** Prints `held <pid>` and lives on; the pid is that of a child of its own that outlives it by seconds. */
function hold(folder: string): void {
  const dir = openDataDir(folder, Math.random);
  if (dir.kind !== "ready") throw new Error(dir.why);
  const child = Bun.spawn(["sleep", "10"], { stdin: "ignore", stdout: "ignore" });
  process.stdout.write(`held ${child.pid}\n`);
  setInterval(() => undefined, 1_000);
}

/** The same, or prints the code of the refusal and ends. */
function holdOrNot(folder: string): void {
  try {
    hold(folder);
  } catch (error) {
    if (!(error instanceof PaastisError)) throw error;
    process.stdout.write(`${error.code}\n`);
  }
}

/** Prints `saved <n>` after each round that is durable: a record, a claim, a touch and an event. */
async function write(folder: string): Promise<void> {
  const database = openDatabase(join(folder, "test.db"), {
    log: recordingLog().log,
    now: Date.now,
  });
  const registry = createSqliteRegistry(database);
  const store = createSqliteEventStore(database);
  for (let n = 1; ; n += 1) {
    const record = recordOf(`app-${n}`, { fence: n });
    await registry.save(record);
    await registry.claim(record.ref, 0);
    await registry.touch([{ ref: record.ref, lastUsedMs: 1_700_000_000_000 + n }]);
    await store.append([eventOf(n)]);
    process.stdout.write(`saved ${n}\n`);
  }
}

const [what, folder = ""] = process.argv.slice(2);
if (what === "hold") hold(folder);
else if (what === "hold-or-not") holdOrNot(folder);
else await write(folder);
