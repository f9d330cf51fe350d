import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { createSystemClock } from "../src/clock.ts";
import { watchConfigFile } from "../src/config-watch.ts";
import { within } from "./support/pace.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const SETTLE_MS = 100;
const POLL_MS = 2000;

/** Watches with a clock that stands still; the folder's events are real. */
function watching(file: string, onChange: () => void = () => undefined) {
  const clock = createVirtualClock();
  const { log, lines } = recordingLog();
  const seen = { changes: 0 };
  const stop = watchConfigFile({
    file,
    clock,
    log,
    onChange() {
      seen.changes += 1;
      onChange();
    },
  });
  return {
    clock,
    lines,
    seen,
    /** The folder told of a change: its timer stands beside that of the poll. */
    noticed: () => until(() => clock.pending() === 2),
    settle: () => clock.advance(SETTLE_MS),
    stop,
    [Symbol.dispose]: stop,
  };
}

const CHANGES: readonly [string, (file: string) => void][] = [
  ["is written in place", (file) => writeFileSync(file, "two, longer")],
  [
    "is replaced by rename",
    (file) => {
      writeFileSync(`${file}.new`, "two");
      renameSync(`${file}.new`, file);
    },
  ],
  [
    "is deleted and made again",
    (file) => {
      unlinkSync(file);
      writeFileSync(file, "two");
    },
  ],
  [
    "is moved away and made again, as some editors do",
    (file) => {
      renameSync(file, `${file}~`);
      writeFileSync(file, "two");
    },
  ],
];

describe("watch: one change is reported when the file", () => {
  test.each(CHANGES)("%s", async (_, change) => {
    using folder = tempDir();
    const file = folder.file("paastis.yml");
    writeFileSync(file, "one");
    using watch = watching(file);
    change(file);
    await watch.noticed();
    expect(watch.seen.changes).toBe(0);
    await watch.settle();
    expect(watch.seen.changes).toBe(1);
    await watch.clock.advance(3 * POLL_MS);
    expect(watch.seen.changes).toBe(1);
  });

  test("is a link into a folder link that is swapped, as for a ConfigMap", async () => {
    using folder = tempDir();
    for (const version of ["v1", "v2"]) {
      mkdirSync(folder.file(version));
      writeFileSync(folder.file(`${version}/paastis.yml`), "same size");
    }
    symlinkSync("v1", folder.file("..data"));
    symlinkSync("..data/paastis.yml", folder.file("paastis.yml"));
    using watch = watching(folder.file("paastis.yml"));
    symlinkSync("v2", folder.file("..data_tmp"));
    renameSync(folder.file("..data_tmp"), folder.file("..data"));
    await watch.noticed();
    await watch.settle();
    expect(watch.seen.changes).toBe(1);
  });

  test("is made for the first time", async () => {
    using folder = tempDir();
    using watch = watching(folder.file("paastis.yml"));
    writeFileSync(folder.file("paastis.yml"), "one");
    await watch.noticed();
    await watch.settle();
    expect(watch.seen.changes).toBe(1);
  });

  test("appears in a folder that could not be watched: the poll finds it", async () => {
    using folder = tempDir();
    using watch = watching(folder.file("later/paastis.yml"));
    expect(watch.lines.map(({ level }) => level)).toEqual(["debug"]);
    mkdirSync(folder.file("later"));
    writeFileSync(folder.file("later/paastis.yml"), "one");
    await watch.clock.advance(POLL_MS + SETTLE_MS);
    expect(watch.seen.changes).toBe(1);
  });
});

test("watch: writes that follow each other closely are one change", async () => {
  using folder = tempDir();
  const file = folder.file("paastis.yml");
  writeFileSync(file, "one");
  using watch = watching(file);
  writeFileSync(file, "");
  await watch.noticed();
  await watch.clock.advance(SETTLE_MS / 2);
  writeFileSync(file, "half of the");
  await watch.clock.advance(SETTLE_MS / 2);
  expect(watch.seen.changes).toBe(0);
  await watch.settle();
  expect(watch.seen.changes).toBe(1);
});

test("watch: a file that is gone is told once, and is no change until it is back", async () => {
  using folder = tempDir();
  const file = folder.file("paastis.yml");
  writeFileSync(file, "one");
  using watch = watching(file);
  unlinkSync(file);
  await watch.noticed();
  await watch.clock.advance(3 * POLL_MS);
  expect(watch.seen.changes).toBe(0);
  expect(watch.lines.map(({ level, message }) => [level, message])).toEqual([
    ["warn", "The file is gone: what it said last stays in use"],
  ]);
  writeFileSync(file, "two");
  await watch.noticed();
  await watch.settle();
  expect(watch.seen.changes).toBe(1);
});

test("watch: other files of the folder and reading the file change nothing", async () => {
  using folder = tempDir();
  const file = folder.file("paastis.yml");
  writeFileSync(file, "one");
  using watch = watching(file);
  writeFileSync(folder.file("other"), "x");
  await Bun.file(file).text();
  await watch.clock.advance(2 * POLL_MS);
  expect(watch.seen.changes).toBe(0);
});

test("watch: a failing onChange is logged, and the next change is reported again", async () => {
  using folder = tempDir();
  const file = folder.file("paastis.yml");
  writeFileSync(file, "one");
  using watch = watching(file, () => {
    throw new Error("broken");
  });
  for (const [index, text] of ["two!", "three!!"].entries()) {
    writeFileSync(file, text);
    // Noticed by whatever comes first.
    await until(async () => {
      await watch.clock.advance(POLL_MS);
      return watch.seen.changes === index + 1;
    });
  }
  expect(watch.lines.map(({ fields }) => fields.error)).toEqual(["broken", "broken"]);
});

test("watch: once stopped, nothing is left and nothing is reported", async () => {
  using folder = tempDir();
  const file = folder.file("paastis.yml");
  writeFileSync(file, "one");
  const watch = watching(file);
  writeFileSync(file, "two, longer");
  await watch.noticed();
  watch.stop();
  watch.stop();
  expect(watch.clock.pending()).toBe(0);
  rmSync(file);
  await watch.clock.advance(2 * POLL_MS);
  expect(watch.seen.changes).toBe(0);
});

test("watch: with the machine's clock a change is reported within a second", async () => {
  using folder = tempDir();
  const file = folder.file("paastis.yml");
  writeFileSync(file, "one");
  const { log } = recordingLog();
  const changed = Promise.withResolvers<void>();
  const stop = watchConfigFile({
    file,
    log,
    clock: createSystemClock(),
    onChange: changed.resolve,
  });
  try {
    const startMs = performance.now();
    writeFileSync(file, "two, longer");
    await changed.promise;
    expect(performance.now() - startMs).toBeLessThan(within(1000));
  } finally {
    stop();
  }
});
