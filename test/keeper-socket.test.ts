/** The way to a process that keeps children, by whichever process is Paastis now. */

import { expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { createSystemClock } from "../src/clock.ts";
import { listenAsKeeper, reachKeeper } from "../src/restart/keeper-socket.ts";
import type { ToPredecessor, ToSuccessor } from "../src/restart/messages.ts";
import {
  privateSocket,
  removeForgotten,
  removePrivateSocket,
} from "../src/restart/private-socket.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

function startKeeper(clock = createSystemClock()) {
  const folder = tempDir();
  const path = folder.file("keeper");
  const socket = listenAsKeeper(path, clock);
  const heard: ToPredecessor[] = [];
  const state = { isClosed: false };
  socket.onMessage((message) => heard.push(message));
  void socket.closed.then(() => {
    state.isClosed = true;
  });
  return {
    path,
    socket,
    heard,
    state,
    [Symbol.dispose]() {
      socket.close();
      folder[Symbol.dispose]();
    },
  };
}

function reach(path: string) {
  const socket = reachKeeper(path);
  const heard: ToSuccessor[] = [];
  const state = { isClosed: false };
  socket.onMessage((message) => heard.push(message));
  void socket.closed.then(() => {
    state.isClosed = true;
  });
  return { socket, heard, state };
}

test("keeper: orders arrive in their order, those before the connection too, and so do answers", async () => {
  using keeper = startKeeper();
  const one = reach(keeper.path);
  const pids = Array.from({ length: 2_000 }, (_, index) => index);
  for (const pid of pids) one.socket.send({ kind: "end", pid });
  await until(() => keeper.heard.length === pids.length);
  expect(keeper.heard.map((message) => ("pid" in message ? message.pid : -1))).toEqual(pids);
  const why = "ein Umlaut: ä, ".repeat(20_000);
  keeper.socket.send({ kind: "ended", pid: 1, why });
  keeper.socket.send({ kind: "ended", pid: 2, why: null });
  await until(() => one.heard.length === 2);
  expect(one.heard).toEqual([
    { kind: "ended", pid: 1, why },
    { kind: "ended", pid: 2, why: null },
  ]);
});

test("keeper: who commands hands on to the next, and neither side takes that for an end", async () => {
  using keeper = startKeeper();
  const one = reach(keeper.path);
  one.socket.send({ kind: "attend", pids: [1] });
  one.socket.handOn();
  await until(() => keeper.heard.length === 2);
  const failing = await Bun.connect({ unix: keeper.path, socket: { data: () => undefined } });
  failing.terminate();
  const two = reach(keeper.path);
  two.socket.send({ kind: "attend", pids: [1] });
  await until(() => keeper.heard.length === 3);
  keeper.socket.send({ kind: "ended", pid: 1, why: null });
  await until(() => two.heard.length === 1);
  expect(one.heard).toEqual([]);
  expect([keeper.state, one.state, two.state].some(({ isClosed }) => isClosed)).toBe(false);
});

test("keeper: who commands is gone without a word, which is the end", async () => {
  using keeper = startKeeper();
  const killed = await Bun.connect({ unix: keeper.path, socket: { data: () => undefined } });
  killed.write(`${JSON.stringify({ kind: "attend", pids: [1] })}\n`);
  await until(() => keeper.heard.length === 1);
  expect(keeper.state.isClosed).toBe(false);
  killed.terminate();
  await until(() => keeper.state.isClosed);
});

test("keeper: nobody takes command in time, which is the end", async () => {
  const clock = createVirtualClock();
  using keeper = startKeeper(clock);
  const late = reach(keeper.path);
  late.socket.send({ kind: "kill", pid: 1 });
  await until(() => keeper.heard.length === 1);
  await clock.advance(119_000);
  expect(keeper.state.isClosed).toBe(false);
  await clock.advance(1_000);
  expect(keeper.state.isClosed).toBe(true);
});

test("keeper: that is gone closes every way to it, and one that was never there too", async () => {
  const keeper = startKeeper();
  const one = reach(keeper.path);
  one.socket.send({ kind: "kill", pid: 1 });
  await until(() => keeper.heard.length === 1);
  keeper[Symbol.dispose]();
  await until(() => one.state.isClosed);
  const two = reach("/nowhere/keeper");
  await until(() => two.state.isClosed);
});

test("private sockets: each has a folder for this user alone, and what was forgotten is removed", () => {
  using folder = tempDir();
  const paths = [privateSocket(folder.path), privateSocket(folder.path)];
  expect(new Set(paths).size).toBe(2);
  for (const path of paths) expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  removePrivateSocket(paths[0] ?? "");
  removePrivateSocket(paths[0] ?? "");
  expect(paths.map((path) => existsSync(dirname(path)))).toEqual([false, true]);
  removeForgotten(folder.path);
  removeForgotten("/nowhere");
  expect(existsSync(dirname(paths[1] ?? ""))).toBe(false);
  const elsewhere = privateSocket("/nowhere");
  expect(existsSync(dirname(elsewhere))).toBe(true);
  removePrivateSocket(elsewhere);
});
