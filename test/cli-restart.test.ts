/** The verb `restart` without a name: what it says of what came of it. */

import { describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { noteOutcome } from "../src/restart/outcome.ts";
import { runVerb } from "./support/run-verb.ts";
import { tempDir } from "./support/temp-dir.ts";

const CHILD = resolve(import.meta.dir, "support/restart-child.ts");

/** Somebody who runs there. @param what it does when it is told to restart */
async function startHolder(folder: string, what: "end" | object) {
  const dataDir = join(folder, ".paastis");
  const argument = typeof what === "string" ? what : JSON.stringify(what);
  const child = Bun.spawn([process.execPath, "--no-install", CHILD, dataDir, argument], {
    stdout: "pipe",
  });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("ready\n");
  return {
    pid: child.pid,
    dataDir,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

describe("restart here", () => {
  test("nobody runs: says where it looked, and makes nothing", async () => {
    using folder = tempDir();
    const { status, out, err } = await runVerb(["restart"], { cwd: folder.path });
    expect([status, out]).toEqual([69, ""]);
    expect(err).toContain(`none runs with the data folder ${folder.file(".paastis")}`);
    expect(existsSync(folder.file(".paastis"))).toBe(false);
  });

  test("somebody has taken its place: says who", async () => {
    using folder = tempDir();
    await using holder = await startHolder(folder.path, { to: 42 });
    // What an earlier restart came to is not this one's.
    noteOutcome(holder.dataDir, { from: holder.pid, to: 41, why: null });
    const { status, out, err } = await runVerb(["restart"], { cwd: folder.path });
    expect([status, err]).toEqual([0, ""]);
    expect(out).toBe(`Process 42 has taken the place of process ${holder.pid}.\n`);
  });

  test("nobody has: says why, and that nothing has changed", async () => {
    using folder = tempDir();
    await using _holder = await startHolder(folder.path, { why: "it exited with status 78" });
    const { status, out, err } = await runVerb(["restart"], { cwd: folder.path });
    expect([status, out]).toEqual([1, ""]);
    expect(err).toContain("Cannot restart Paastis: it exited with status 78");
    expect(err).toContain("nothing has changed");
  });

  test("the program that ran before has: that is no success", async () => {
    using folder = tempDir();
    await using _holder = await startHolder(folder.path, { to: 42, why: "it exited" });
    const { status, out, err } = await runVerb(["restart"], { cwd: folder.path });
    expect([status, out]).toEqual([1, ""]);
    expect(err).toContain("Cannot restart Paastis: it exited");
    expect(err).toContain("Process 42 has taken its place, with the program that ran before");
  });

  test("it ends without a word: nobody waits for long", async () => {
    using folder = tempDir();
    await using holder = await startHolder(folder.path, "end");
    const { status, err } = await runVerb(["restart"], { cwd: folder.path });
    expect(status).toBe(1);
    expect(err).toContain(`process ${holder.pid} has ended`);
  });

  test("it runs on another machine: says which", async () => {
    using folder = tempDir();
    await using holder = await startHolder(folder.path, {});
    writeFileSync(join(holder.dataDir, "holder"), `1 on not-${hostname()}\n`);
    const { status, err } = await runVerb(["restart"], { cwd: folder.path });
    expect(status).toBe(69);
    expect(err).toContain(`it runs on another machine, or in a container: not-${hostname()}`);
  });

  test("the number that stands there is nobody's: says so", async () => {
    using folder = tempDir();
    await using holder = await startHolder(folder.path, {});
    // No system gives out such a number.
    writeFileSync(join(holder.dataDir, "holder"), `4194305 on ${hostname()}\n`);
    const { err } = await runVerb(["restart"], { cwd: folder.path });
    expect(err).toContain("process 4194305 is gone");
  });
});
