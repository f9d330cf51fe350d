/** Where switches are remembered and the admin socket lies, when the usual place cannot be used. */

import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  EXECUTABLE,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { startTarget } from "../support/switch-targets.ts";

/** Nobody can make a folder there, not even root. */
const UNWRITABLE = "/proc/paastis";

function start(port: number, folder: string, env: Readonly<Record<string, string>>) {
  const fixed = { INITIAL_TARGET_PORT: String(port), TMPDIR: folder, ROLLBACK_WINDOW_MS: "0" };
  return startPaastis({ config: "rules: []\n", folder, env: { ...fixed, ...env } });
}

/** A program that runs to its end. */
async function run(
  args: readonly string[],
  folder: string,
  env: Readonly<Record<string, string>> = {},
) {
  const child = Bun.spawn([EXECUTABLE, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder, TMPDIR: folder, PORT: "0", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  const [out, err, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { out, err, status };
}

function warnings({ lines }: RunningPaastis): readonly string[] {
  return lines.filter(({ level }) => level === "warn").map(({ msg }) => msg);
}

test("places: where DATA_DIR cannot be written, it starts, says so, and is switched and found by the commands", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  const folder = makeFolder();
  const env = { DATA_DIR: UNWRITABLE };
  await using paastis = await start(old.port, folder, env);
  expect(warnings(paastis)).toEqual([
    "going on in memory: what is known is lost with the next restart",
    "switches are remembered in memory alone: after a restart apps are where they were before",
    "the admin endpoints have their socket in a temporary folder",
  ]);
  const switched = await run(["switch", String(next.port)], folder, env);
  expect(switched).toMatchObject({ status: 0, err: "" });
  expect((await paastis.get("any")).headers.get("x-version")).toBe("next");
});

test("places: a STATE_FILE that was named and cannot be written lets it start, and refuses switches", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  const folder = makeFolder();
  const stateFile = join(UNWRITABLE, "state.json");
  await using paastis = await start(old.port, folder, { STATE_FILE: stateFile });
  expect(warnings(paastis)).toEqual(["switches are refused: they cannot be stored"]);
  const switched = await run(["switch", String(next.port)], folder);
  expect(switched.status).toBe(1);
  expect(switched.err).toContain(stateFile);
  expect((await paastis.get("any")).headers.get("x-version")).toBe("old");
});

test("places: a data folder with too long a path for a socket is said, shown by check, and the commands find it", async () => {
  await using old = startTarget("old");
  const folder = makeFolder();
  const env = { DATA_DIR: "d".repeat(110), INITIAL_TARGET_PORT: String(old.port) };
  await using paastis = await start(old.port, folder, env);
  const said = paastis.lines.find(({ level }) => level === "warn");
  expect(said?.msg).toBe("the admin endpoints have their socket in a temporary folder");
  expect(String(said?.reason)).toEndWith(`${env.DATA_DIR}/admin.sock has more than 107 bytes`);
  expect((await run(["check"], folder, env)).out).toContain(String(said?.socket));
  const { out, status } = await run(["status", "--json"], folder, env);
  expect({ status, port: JSON.parse(out).activePort }).toEqual({ status: 0, port: old.port });
  paastis.signal("SIGTERM");
  await paastis.ended;
  expect(existsSync(String(said?.socket))).toBe(false);
});

test("places: a shelter that somebody else can write is not used, and no command looks there", async () => {
  await using old = startTarget("old");
  const folder = makeFolder();
  const env = { DATA_DIR: UNWRITABLE };
  mkdirSync(join(folder, `paastis-${process.getuid?.()}`), { mode: 0o777 });
  Bun.spawnSync(["chmod", "777", join(folder, `paastis-${process.getuid?.()}`)]);
  await using paastis = await start(old.port, folder, env);
  const said = paastis.lines.find(({ msg }) => msg.endsWith("that no command looks in"));
  expect(String(said?.reason)).toEndWith("is not a folder of this user's alone");
  expect((await run(["status"], folder, env)).status).toBe(69);
  expect((await run(["status", "--socket", String(said?.socket)], folder, env)).status).toBe(0);
});

test("places: a socket or a state file that was named and cannot be one is a configuration problem, exit 78", async () => {
  const folder = makeFolder();
  const long = { ADMIN_UNIX_SOCKET: `/${"s".repeat(120)}` };
  for (const verb of ["serve", "check"]) {
    const { err, status } = await run([verb], folder, long);
    expect({ status, says: err.includes("ADMIN_UNIX_SOCKET must have at most 107 bytes") }).toEqual(
      { status: 78, says: true },
    );
  }
  mkdirSync(join(folder, "state"));
  Bun.spawnSync(["mkfifo", join(folder, "pipe")]);
  for (const [name, what] of [
    ["state", "a folder"],
    ["pipe", "a device, a pipe or a socket"],
  ] as const) {
    const { err, status } = await run(["serve"], folder, { STATE_FILE: name });
    expect({ status, says: err.includes(`${join(folder, name)}" is ${what}`) }).toEqual({
      status: 78,
      says: true,
    });
  }
});

test("places: a second program with the same state file does not start, and the first one's state stays", async () => {
  await using old = startTarget("old");
  const folder = makeFolder();
  const stateFile = join(folder, "state.json");
  await using _first = await start(old.port, folder, { STATE_FILE: stateFile, DATA_DIR: "one" });
  const env = { STATE_FILE: stateFile, DATA_DIR: "two", INITIAL_TARGET_PORT: String(old.port) };
  const second = await run(["serve"], folder, env);
  expect(second.status).toBe(78);
  expect(second.err).toContain(
    `Cannot use the state file ${stateFile}: another Paastis is using it`,
  );
  expect(readdirSync(folder)).not.toContain("two/admin.sock");
});

test("places: a stored address that the app may not be switched to is not taken over, and stays stored", async () => {
  await using old = startTarget("old");
  const folder = makeFolder();
  const stored = (address: string) => ({
    ...{ active: address, lastSwitch: null, drains: [], window: null, pause: null, answered: [] },
  });
  const content = {
    version: 1,
    apps: { default: stored("http://localhost:9"), shop: stored("http://localhost:9") },
  };
  const stateFile = join(folder, "state.json");
  writeFileSync(stateFile, JSON.stringify(content));
  await using paastis = await start(old.port, folder, { STATE_FILE: stateFile });
  expect((await paastis.get("any")).headers.get("x-version")).toBe("old");
  const said = paastis.lines.filter(({ msg }) => msg.includes("may not be switched to"));
  expect(said.map(({ app, active }) => ({ app, active }))).toEqual([
    { app: "default", active: "http://localhost:9" },
  ]);
  expect(JSON.parse(readFileSync(stateFile, "utf8"))).toEqual(content);
});
