import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { relative } from "node:path";

import { type DataDir, openDataDir } from "../src/data-dir.ts";
import { PaastisError } from "../src/errors.ts";
import { spawnChild } from "./support/spawn-child.ts";
import { tempDir } from "./support/temp-dir.ts";

type Ready = Extract<DataDir, { kind: "ready" }>;

function openReady(path: string): Ready & Disposable {
  const dir = openDataDir(path, Math.random);
  if (dir.kind !== "ready") throw new Error(dir.why);
  return { ...dir, [Symbol.dispose]: dir.close };
}

function refusal(path: string): PaastisError {
  try {
    openReady(path).close();
  } catch (error) {
    if (error instanceof PaastisError) return error;
    throw error;
  }
  throw new Error(`${path} was free`);
}

test("data folder: it is made with its parents, for this user alone", () => {
  using folder = tempDir();
  using dir = openReady(folder.file("a/b/.paastis"));
  expect(dir.path).toBe(folder.file("a/b/.paastis"));
  expect(statSync(dir.path).mode & 0o777).toBe(0o700);
});

test("data folder: a relative path comes back absolute", () => {
  using folder = tempDir();
  using dir = openReady(relative(process.cwd(), folder.file("data")));
  expect(dir.path).toBe(folder.file("data"));
});

test("data folder: a folder that is there is used with the permissions it has", () => {
  using folder = tempDir();
  chmodSync(folder.path, 0o750);
  using dir = openReady(folder.path);
  expect(statSync(dir.path).mode & 0o777).toBe(0o750);
});

test("data folder: the instance id is random, and stays", () => {
  using folder = tempDir();
  using other = tempDir();
  const ids = [folder, folder, other].map(({ path }) => {
    using dir = openReady(path);
    return dir.instanceId;
  });
  expect(ids[0]).toMatch(/^[a-z0-9]{12}$/);
  expect(ids[1]).toBe(ids[0] as string); // Three were made above.
  expect(ids[2]).not.toBe(ids[0] as string);
});

test("data folder: an instance id that is damaged is replaced once", () => {
  for (const damaged of ["", "zu kurz", "../../../etc", "\u0000".repeat(12)]) {
    using folder = tempDir();
    writeFileSync(folder.file("instance-id"), damaged);
    const first = openReady(folder.path);
    first.close();
    expect(first.instanceId).toMatch(/^[a-z0-9]{12}$/);
    using again = openReady(folder.path);
    expect(again.instanceId).toBe(first.instanceId);
  }
});

test("data folder: a second opening is refused and names folder, holder and remedy", () => {
  using folder = tempDir();
  const dir = openReady(folder.path);
  const error = refusal(folder.path);
  expect(error.code).toBe("data_dir_in_use");
  expect(error.explanation.what).toContain(folder.path);
  expect(error.explanation.why).toContain(`process ${process.pid} on ${hostname()}`);
  expect(error.explanation.next).toContain("DATA_DIR");
  dir.close();
  dir.close();
  expect(existsSync(folder.file("holder"))).toBe(false);
  openReady(folder.path).close();
});

test("data folder: closing twice does not take it from the one who has it now", () => {
  using folder = tempDir();
  const first = openReady(folder.path);
  first.close();
  using second = openReady(folder.path);
  first.close();
  expect(existsSync(folder.file("holder"))).toBe(true);
  expect(refusal(folder.path).code).toBe("data_dir_in_use");
  expect(second.kind).toBe("ready");
});

test("data folder: another process has it until it is killed with SIGKILL, though its child lives on", async () => {
  using folder = tempDir();
  await using holder = spawnChild("storage-child.ts", "hold", folder.path);
  const line = await holder.line((printed) => printed.startsWith("held "));
  const grandchild = Number(line.split(" ")[1]);
  try {
    expect(refusal(folder.path).explanation.why).toContain(`process ${holder.pid} on `);
    await holder.kill();
    expect(() => process.kill(grandchild, 0)).not.toThrow();
    // What the dead process left is no obstacle, and its id is kept.
    const id = readFileSync(folder.file("instance-id"), "utf8").trim();
    using dir = openReady(folder.path);
    expect(dir.instanceId).toBe(id);
    expect(readFileSync(folder.file("holder"), "utf8")).toStartWith(`${process.pid} on `);
  } finally {
    process.kill(grandchild, "SIGKILL");
  }
});

test("data folder: of two processes that start at once, one gets it", async () => {
  using folder = tempDir();
  const path = folder.file("data");
  await using one = spawnChild("storage-child.ts", "hold-or-not", path);
  await using other = spawnChild("storage-child.ts", "hold-or-not", path);
  const answers = await Promise.all([one.line(() => true), other.line(() => true)]);
  expect(answers.map((answer) => answer.split(" ")[0]).sort()).toEqual(["data_dir_in_use", "held"]);
});

test("data folder: what cannot be written is a value that says why, and nothing stays locked", () => {
  using folder = tempDir();
  writeFileSync(folder.file("a-file"), "in the way");
  mkdirSync(folder.file("holder-is-a-folder/holder"), { recursive: true });
  mkdirSync(folder.file("lock-is-a-folder/lock"), { recursive: true });
  mkdirSync(folder.file("id-is-a-folder/instance-id"), { recursive: true });
  mkdirSync(folder.file("lock-is-no-lock"));
  writeFileSync(folder.file("lock-is-no-lock/lock"), "something else that somebody wrote");
  const paths = [
    folder.file("a-file"),
    folder.file("a-file/below"),
    "/proc/paastis",
    "/proc",
    folder.file("holder-is-a-folder"),
    folder.file("lock-is-a-folder"),
    folder.file("id-is-a-folder"),
    folder.file("lock-is-no-lock"),
  ];
  for (const path of paths) {
    for (const attempt of ["first", "second"]) {
      const dir = openDataDir(path, Math.random);
      expect([attempt, path, dir.kind]).toEqual([attempt, path, "unwritable"]);
      if (dir.kind === "unwritable") expect(dir.why).toStartWith(`${path} cannot be written: `);
    }
  }
});
