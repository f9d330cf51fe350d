import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { openStateFile, type StateFile } from "../src/state-file.ts";
import { createChance } from "./support/random.ts";
import { runCommand } from "./support/run-command.ts";
import { spawnChild } from "./support/spawn-child.ts";
import { tempDir } from "./support/temp-dir.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const START_MS = Date.UTC(2024, 0, 15, 10, 30);
const SOURCE = join(import.meta.dir, "..", "src");

function opened(path: string): StateFile {
  return openStateFile({ path, clock: createVirtualClock(START_MS) });
}

function contentOf(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** A file whose folder can be looked at. */
function inFolder() {
  const folder = tempDir();
  const path = folder.file("state.json");
  return { folder, path, names: () => readdirSync(folder.path).toSorted() };
}

/** A number that no process has. */
const PID_OF_NOBODY = 2 ** 22 + 1;

describe("state file: reading", () => {
  test("what was written is read, by another opening as well", async () => {
    const { folder, path } = inFolder();
    using _ = folder;
    const content = { active: 8081, was: [8080, null], note: "é\u2028\u0000" };
    const file = opened(path);
    expect(file.read()).toBeNull();
    await file.write(content);
    expect(file.read()).toEqual({ content });
    await file.close();
    expect(opened(path).read()).toEqual({ content });
  });

  test.each([[null], [false], [0], [""], [[]]])(
    "%j is content, not the absence of a file",
    async (content) => {
      const { folder, path } = inFolder();
      using _ = folder;
      await opened(path).write(content);
      expect(opened(path).read()).toEqual({ content });
    },
  );

  test("a folder that is not there has no file, and opening it makes none", () => {
    using folder = tempDir();
    expect(opened(folder.file("a/b/state.json")).read()).toBeNull();
    expect(readdirSync(folder.path)).toEqual([]);
  });

  /* biome-ignore format: a table */
  const damages: readonly [what: string, bytes: string | Uint8Array, why: RegExp][] = [
    ["is empty", "", /is empty/],
    ["is half", '{"active": 80', /is no JSON \(.+\)/],
    ["has zeros", "\0".repeat(4096), /is no JSON \(.+\)/],
    ["is no UTF-8", new Uint8Array([0x22, 0xff, 0x22]), /is no JSON \(.+\)/],
    ["is far too large", " ".repeat(16 * 1024 * 1024 + 1), /has 16777217 bytes, more than 16777216/],
  ];
  test.each(damages)(
    "a file that %s is set aside, and told with where it is",
    async (_, bytes, why) => {
      const { folder, path, names } = inFolder();
      using _folder = folder;
      writeFileSync(path, bytes);
      const file = opened(path);
      const place = `${path}.damaged-2024-01-15T10:30:00.000Z`;
      const { damaged } = file.read() as { damaged: string };
      expect(damaged).toStartWith(`${path} `);
      expect(damaged).toEndWith(`; it is now ${place}`);
      expect(damaged).toMatch(why);
      expect(readFileSync(place)).toEqual(Buffer.from(bytes));
      expect(file.read()).toBeNull();
      await file.write(1);
      expect(names()).toEqual(["state.json", "state.json.damaged-2024-01-15T10:30:00.000Z"]);
    },
  );

  test("a second damaged file of the same moment does not replace the first", () => {
    const { folder, path, names } = inFolder();
    using _ = folder;
    for (const text of ["one", "two"]) {
      writeFileSync(path, text);
      expect(opened(path).read()).toHaveProperty("damaged");
    }
    expect(names().map((name) => readFileSync(folder.file(name), "utf8"))).toEqual(["one", "two"]);
  });

  test("what cannot be read is an error that names it, and not the absence of a file", async () => {
    using folder = tempDir();
    mkdirSync(folder.file("a-folder"));
    writeFileSync(folder.file("a-file"), "{}");
    symlinkSync("loop", folder.file("loop"));
    /* biome-ignore format: a table */
    const cases: readonly [path: string, why: string][] = [
      [folder.file("a-folder"), "must be a file: it is a folder"],
      [folder.file("a-file/state.json"), "must be a file that exists"],
      [folder.file("loop"), "cannot be read: too many symbolic links"],
    ];
    for (const [path, why] of cases) {
      expect(() => opened(path).read()).toThrow(new Error(`${path} ${why}`));
    }
  });
});

describe("state file: writing", () => {
  test("folders are made for this user alone, and so is the file", async () => {
    using folder = tempDir();
    const path = folder.file("a/b/state.json");
    await opened(path).write({});
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(folder.file("a/b")).mode & 0o777).toBe(0o700);
  });

  test("a file that others could read is theirs no more", async () => {
    const { folder, path } = inFolder();
    using _ = folder;
    writeFileSync(path, "{}", { mode: 0o644 });
    await opened(path).write({});
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test.each(["real.json", "elsewhere/real.json", "missing/real.json"])(
    "a symbolic link to %s stays one, and what it leads to is written",
    async (target) => {
      const { folder, path } = inFolder();
      using _ = folder;
      mkdirSync(folder.file("elsewhere"));
      if (!target.startsWith("missing")) writeFileSync(folder.file(target), '"old"');
      symlinkSync(target, folder.file("between.json"));
      symlinkSync(folder.file("between.json"), path);
      const file = opened(path);
      await file.write("new");
      expect(lstatSync(path).isSymbolicLink()).toBe(true);
      expect(lstatSync(folder.file("between.json")).isSymbolicLink()).toBe(true);
      expect(contentOf(folder.file(target))).toBe("new");
      writeFileSync(path, "damage");
      expect(file.read()).toEqual({ damaged: expect.stringContaining(target) });
      expect(lstatSync(path).isSymbolicLink()).toBe(true);
    },
  );

  test("the content of the moment of the call is written, whatever becomes of it afterwards", async () => {
    const { folder, path } = inFolder();
    using _ = folder;
    const content = { active: 1 };
    const writing = opened(path).write(content);
    content.active = 2;
    await writing;
    expect(contentOf(path)).toEqual({ active: 1 });
  });

  test("of a thousand writes at once the last is what counts, and few are done", async () => {
    const { folder, path } = inFolder();
    using _ = folder;
    const file = opened(path);
    const seen = new Set<number>();
    const all = Array.from({ length: 1000 }, async (_, n) => {
      await file.write(n);
      // What is durable is this or something newer.
      const content = contentOf(path) as number; // It wrote numbers.
      seen.add(content);
      return content >= n;
    });
    expect(new Set(await Promise.all(all))).toEqual(new Set([true]));
    expect(contentOf(path)).toBe(999);
    expect(seen.size).toBeLessThanOrEqual(3);
  });

  test("each of many writes in turn is durable when its promise resolves", async () => {
    const { folder, path, names } = inFolder();
    using _ = folder;
    const file = opened(path);
    for (let n = 0; n < 50; n += 1) {
      await file.write({ n });
      expect(contentOf(path)).toEqual({ n });
    }
    expect(names()).toEqual(["state.json"]);
  });

  test.each([
    ["undefined", undefined],
    ["a function", () => 1],
    ["a bigint", 1n],
    ["a ring", ring()],
  ])("%s is refused, and the file stays as it was", async (_, content) => {
    const { folder, path } = inFolder();
    using _folder = folder;
    const file = opened(path);
    await file.write("good");
    await expect(file.write(content)).rejects.toThrow(`Cannot write ${path}: this is no JSON`);
    expect(contentOf(path)).toBe("good");
  });

  function ring(): unknown {
    const one: { other?: unknown } = {};
    one.other = one;
    return one;
  }

  test("closing waits for what is being written, and refuses what comes later", async () => {
    const { folder, path } = inFolder();
    using _ = folder;
    const file = opened(path);
    const done: number[] = [];
    for (const n of [1, 2, 3]) void file.write(n).then(() => done.push(n));
    await file.close();
    expect(contentOf(path)).toBe(3);
    await expect(file.write(4)).rejects.toThrow(`Cannot write ${path}: it was closed`);
    await file.close();
    expect(done).toEqual([1, 2, 3]);
  });
});

describe("state file: a write that fails", () => {
  /* biome-ignore format: a table */
  const cases: readonly [what: string, path: (folder: string) => string, why: string][] = [
    ["its folder is a file", (folder) => `${folder}/a-file/state.json`, "a part of its path is no folder"],
    ["it is a folder", (folder) => `${folder}/a-folder`, "it is a folder"],
    ["its folder cannot be made", () => "/proc/paastis/state.json", ""],
    ["its links lead in a ring", (folder) => `${folder}/ring`, "too many symbolic links"],
  ];
  test.each(cases)("%s: the error names path and reason", async (_, pathIn, why) => {
    using folder = tempDir();
    writeFileSync(folder.file("a-file"), "");
    mkdirSync(folder.file("a-folder"));
    symlinkSync("ring", folder.file("ring"));
    const path = pathIn(folder.path);
    await expect(opened(path).write({})).rejects.toThrow(`Cannot write ${path}: ${why}`);
  });

  test("what is no file, such as a device, is not replaced by one", async () => {
    const { folder, path } = inFolder();
    using _ = folder;
    await using server = Bun.listen({ unix: path, socket: { data: () => undefined } });
    const why = "it is a device, a pipe or a socket";
    await expect(opened(path).write({})).rejects.toThrow(`Cannot write ${path}: ${why}`);
    expect(() => opened(path).read()).toThrow(`${path} cannot be read: ${why}`);
    expect(statSync(server.unix).isSocket()).toBe(true);
  });

  test("the next write is tried anew", async () => {
    using folder = tempDir();
    const path = folder.file("state.json");
    mkdirSync(path);
    const file = opened(path);
    await expect(file.write(1)).rejects.toThrow("it is a folder");
    rmdirSync(path);
    await file.write(2);
    expect(contentOf(path)).toBe(2);
  });

  test("callers of a failed write are content with a newer one that succeeds, and fail with it otherwise", async () => {
    using folder = tempDir();
    const path = folder.file("state.json");
    mkdirSync(path);
    const file = opened(path);
    const first = file.write(1);
    const second = file.write(2);
    // The first has looked already: it will find a folder in its way.
    rmdirSync(path);
    await Promise.all([first, second]);
    expect(contentOf(path)).toBe(2);

    const other = opened(folder.file("state.json/below"));
    const outcomes = await Promise.allSettled([other.write(1), other.write(2)]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  /** Writes something small, then something large, in a process that `around` puts into a small world. */
  async function inSmallWorld(around: readonly string[], path: string, folder: string) {
    const script = `
      import { existsSync, readdirSync, readFileSync } from "node:fs";
      import { openStateFile } from ${JSON.stringify(join(SOURCE, "state-file.ts"))};
      import { createSystemClock } from ${JSON.stringify(join(SOURCE, "clock.ts"))};
      const [path, folder] = process.argv.slice(-2);
      const file = openStateFile({ path, clock: createSystemClock() });
      const why = (error) => error.message;
      const small = await file.write("small").then(() => null, why);
      const large = await file.write("x".repeat(1_000_000)).then(() => null, why);
      const content = existsSync(path) ? readFileSync(path, "utf8") : null;
      console.log(JSON.stringify({ small, large, content, names: readdirSync(folder) }));`;
    const argv = [...around, process.execPath, "-e", script, path, folder];
    return JSON.parse((await runCommand(argv)).stdout);
  }

  const UNSHARE = ["unshare", "--map-root-user", "--mount"];
  const canMount =
    Bun.spawnSync([...UNSHARE, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"])
      .exitCode === 0;

  test.skipIf(!canMount)(
    "a full disk: the old file is whole, and nothing lies beside it",
    async () => {
      const mounting = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"';
      using folder = tempDir();
      const path = folder.file("state.json");
      const around = [...UNSHARE, "sh", "-c", mounting, folder.path];
      expect(await inSmallWorld(around, path, folder.path)).toEqual({
        small: null,
        large: `Cannot write ${path}: the disk is full`,
        content: '"small"\n',
        names: ["state.json"],
      });
    },
  );

  test.skipIf(!canMount)("a file system that is read-only: the old file stays", async () => {
    using folder = tempDir();
    const path = folder.file("state.json");
    writeFileSync(path, '"old"');
    const mounting = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
    const around = [...UNSHARE, "sh", "-c", mounting, folder.path];
    const why = `Cannot write ${path}: the file system is read-only`;
    expect(await inSmallWorld(around, path, folder.path)).toEqual({
      small: why,
      large: why,
      content: '"old"',
      names: ["state.json"],
    });
  });

  test("a limit on the size of files: the old file is whole, and nothing lies beside it", async () => {
    using folder = tempDir();
    const path = folder.file("state.json");
    // The signal that comes with it would end the process (setrlimit(2)).
    const around = ["sh", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$@"', "sh"];
    expect(await inSmallWorld(around, path, folder.path)).toEqual({
      small: null,
      large: `Cannot write ${path}: files may not be so large there`,
      content: '"small"\n',
      names: ["state.json"],
    });
  });

  const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const canBeNobody = Bun.spawnSync([...NOBODY, process.execPath, "-e", "0"]).exitCode === 0;
  const isRoot = process.getuid?.() === 0;

  test.skipIf(isRoot && !canBeNobody)(
    "no permission: said for writing and for reading",
    async () => {
      using folder = tempDir();
      const path = folder.file("state.json");
      writeFileSync(path, '"old"', { mode: 0o000 });
      chmodSync(folder.path, 0o555);
      try {
        const script = `
        import { openStateFile } from ${JSON.stringify(join(SOURCE, "state-file.ts"))};
        import { createSystemClock } from ${JSON.stringify(join(SOURCE, "clock.ts"))};
        const file = openStateFile({ path: process.argv.at(-1), clock: createSystemClock() });
        try { console.log(file.read()); } catch (error) { console.log(error.message); }
        await file.write(1).catch((error) => console.log(error.message));`;
        const argv = [...(isRoot ? NOBODY : []), process.execPath, "-e", script, path];
        expect((await runCommand(argv)).stdout.trim().split("\n")).toEqual([
          `${path} cannot be read: permission denied`,
          `Cannot write ${path}: permission denied`,
        ]);
      } finally {
        chmodSync(folder.path, 0o755);
      }
    },
  );
});

/** Every one is a process of its own; more with the variable. */
const KILLS = Number(process.env.FUZZ_ROUNDS ?? 40);

describe("state file: what a killed run left", () => {
  test("temporary files of dead processes and of an earlier life of this one are removed, no others", () => {
    const { folder, path, names } = inFolder();
    using _ = folder;
    const kept = [
      `state.json.${process.ppid}.tmp`, // It lives.
      "state.json.tmp",
      "state.json.x1.tmp",
      `other.json.${PID_OF_NOBODY}.tmp`,
      `state.json.${PID_OF_NOBODY}.tmp.gz`,
    ];
    const left = [`state.json.${PID_OF_NOBODY}.tmp`, `state.json.${process.pid}.tmp`];
    for (const name of [...kept, ...left]) writeFileSync(folder.file(name), "half");
    opened(path);
    expect(names()).toEqual(kept.toSorted());
  });

  test("they are found behind a symbolic link, too", () => {
    const { folder, path, names } = inFolder();
    using _ = folder;
    mkdirSync(folder.file("d"));
    symlinkSync("d/real.json", path);
    writeFileSync(folder.file(`d/real.json.${PID_OF_NOBODY}.tmp`), "half");
    opened(path);
    expect([names(), readdirSync(folder.file("d"))]).toEqual([["d", "state.json"], []]);
  });

  test(`killed at ${KILLS} random moments, each time the file is whole and no older than what was durable`, async () => {
    const chance = createChance(20240115);
    const delaysMs = Array.from({ length: KILLS }, () => chance.next() * 15);
    /** Kills one writer after the other over the same file. */
    async function kills(delays: readonly number[]): Promise<void> {
      using folder = tempDir();
      const path = folder.file("state.json");
      for (const delayMs of delays) {
        await using child = spawnChild("state-file-child.ts", path, "300000");
        await child.line((line) => line === "saved 1");
        // The moment is what matters here, and not what has happened until then.
        await Bun.sleep(delayMs);
        const last = ["saved 1", ...(await child.kill())].at(-1);
        const found = opened(path).read();
        const { n, size, filling } = (found as { content: Saved }).content;
        expect(n).toBeGreaterThanOrEqual(Number(last?.split(" ")[1]));
        expect(filling.length).toBe(size);
        expect(existsSync(`${path}.${child.pid}.tmp`)).toBe(false);
        expect(readdirSync(folder.path)).toEqual(["state.json"]);
      }
    }
    await Promise.all([kills(delaysMs.slice(KILLS / 2)), kills(delaysMs.slice(0, KILLS / 2))]);
  }, 60_000);
});

/** What the writing child writes. */
interface Saved {
  readonly n: number;
  readonly size: number;
  readonly filling: string;
}
