/** A restart without a gap, part by part: what two processes say to each other, and whose children end when. */

import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { imageOf, reexecForServing } from "../src/cli/reexec.ts";
import { createSystemClock } from "../src/clock.ts";
import type { Child, ChildExit } from "../src/providers/process-child.ts";
import { inheritedChild } from "../src/providers/process-inherited.ts";
import { keepChildren } from "../src/restart/kept-children.ts";
import {
  type Channel,
  type Estate,
  PREDECESSOR_VARIABLE,
  type ToPredecessor,
  type ToSuccessor,
} from "../src/restart/messages.ts";
import { forgetOutcome, noteOutcome, readOutcome } from "../src/restart/outcome.ts";
import { predecessorOf } from "../src/restart/predecessor.ts";
import { hearRestarts } from "../src/restart/restart-signal.ts";
import { launchSuccessor } from "../src/restart/successor.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const EXIT: ChildExit = { byItself: true, status: 7, reason: "exited with status 7" };
const DECLARATION: Child["declaration"] = {
  key: "shop",
  command: "true",
  cwd: "/",
  env: {},
  port: null,
  stopSignal: "SIGTERM",
  stopTimeoutMs: 1_000,
} as unknown as Child["declaration"]; // No more of it matters here.

/** Both ends of a channel, until one lets go. */
function createChannel() {
  const [toOld, toNew] = [
    new Set<(message: ToPredecessor) => void>(),
    new Set<(m: ToSuccessor) => void>(),
  ];
  const closed = Promise.withResolvers<void>();
  const ends = {
    old: endOf<ToSuccessor, ToPredecessor>(toNew, toOld, closed.promise),
    next: endOf<ToPredecessor, ToSuccessor>(toOld, toNew, closed.promise),
  };
  return { ...ends, close: closed.resolve };
}

function endOf<Sent, Heard>(
  to: ReadonlySet<(message: Sent) => void>,
  from: Set<(message: Heard) => void>,
  closed: Promise<void>,
): Channel<Sent, Heard> {
  return {
    send(message) {
      for (const callback of [...to]) callback(message);
    },
    onMessage(callback) {
      from.add(callback);
      return () => from.delete(callback);
    },
    closed,
  };
}

/** A child that ends as it is told, or by itself. */
function createChild(pid: number) {
  const exited = Promise.withResolvers<ChildExit>();
  const state = { ends: 0, kills: 0, trouble: "" };
  const child: Child = {
    pid,
    declaration: DECLARATION,
    port: 4_000 + pid,
    target: inheritedTarget(pid),
    isRunning: () => true,
    exited: exited.promise,
    output: () => "",
    async end() {
      state.ends += 1;
      if (state.trouble !== "") throw new Error(state.trouble);
      exited.resolve({ ...EXIT, byItself: false });
    },
    async kill() {
      state.kills += 1;
    },
  };
  return { child, state, exit: () => exited.resolve(EXIT) };
}

function inheritedTarget(pid: number): Child["target"] {
  const deps = {
    send: () => undefined,
    onMessage: () => () => undefined,
    closed: new Promise<void>(() => undefined),
  };
  return inheritedChild(
    { pid, port: 4_000 + pid, declaration: DECLARATION, keeper: "/keeper" },
    { ...deps, endLeftovers: async () => undefined },
  ).target;
}

function start(...pids: readonly number[]) {
  const channel = createChannel();
  const kept = pids.map(createChild);
  const giveUp = Promise.withResolvers<void>();
  let isOver = false;
  const over = keepChildren(
    kept.map(({ child }) => child),
    { channel: channel.old, giveUp: giveUp.promise },
  ).then(() => {
    isOver = true;
  });
  const leftovers: string[] = [];
  const inherited = kept.map(({ child: { pid, port } }) =>
    inheritedChild(
      { pid, port, declaration: DECLARATION, keeper: "/keeper" },
      {
        ...channel.next,
        async endLeftovers(app) {
          leftovers.push(app);
        },
      },
    ),
  );
  return {
    channel,
    kept,
    inherited,
    leftovers,
    over,
    giveUp: giveUp.resolve,
    isOver: () => isOver,
  };
}

describe("restart: children that are kept", () => {
  test("restart: who takes command later hears of those that have ended meanwhile", async () => {
    const { channel, kept } = start(1, 2);
    kept[0]?.exit();
    await kept[0]?.child.exited;
    const heard: ToSuccessor[] = [];
    channel.next.onMessage((message) => heard.push(message));
    channel.next.send({ kind: "attend", pids: [1, 2, 3] });
    await until(() => heard.length > 0);
    expect(heard).toEqual([{ kind: "exited", pid: 1, exit: EXIT }]);
  });

  test("one is ended at the other process's order; the last one lets this process end", async () => {
    const { kept, inherited, over, isOver } = start(1, 2);
    const [one, other] = inherited;
    expect([one?.isRunning(), one?.target.origin]).toEqual([true, "http://127.0.0.1:4001"]);
    await one?.end();
    expect([one?.isRunning(), kept[0]?.state.ends, kept[1]?.state.ends]).toEqual([false, 1, 0]);
    expect(await one?.exited).toMatchObject({ byItself: false });
    expect(isOver()).toBe(false);
    await Promise.all([other?.end(), other?.end()]);
    await over;
    expect(kept[1]?.state.ends).toBe(1);
  });

  test("none: nothing is waited for", async () => {
    await start().over;
  });

  test("one that ends by itself says so with its reason, and is cleared up after once", async () => {
    const { kept, inherited, over } = start(1);
    kept[0]?.exit();
    expect(await inherited[0]?.exited).toEqual(EXIT);
    expect(inherited[0]?.isRunning()).toBe(false);
    await inherited[0]?.end();
    await over;
  });

  test("one that cannot be ended says why, and another attempt is one", async () => {
    const { kept, inherited, over } = start(1);
    const [one] = kept;
    if (one === undefined) throw new Error("there is one");
    one.state.trouble = "it does not end";
    await expect(inherited[0]?.end()).rejects.toThrow("cannot stop shop: it does not end");
    one.state.trouble = "";
    await inherited[0]?.end();
    await over;
    expect(one.state.ends).toBe(2);
  });

  test("an order to kill is carried out", async () => {
    const { kept, inherited } = start(1);
    await inherited[0]?.kill();
    expect(kept[0]?.state.kills).toBe(1);
  });

  test("the other process ends without a word: so do they", async () => {
    const { channel, kept, over } = start(1, 2);
    channel.close();
    await over;
    expect(kept.map(({ state }) => state.ends)).toEqual([1, 1]);
  });

  test("nobody may wait for orders any longer: they end", async () => {
    const { kept, giveUp, over } = start(1);
    giveUp();
    await over;
    expect(kept[0]?.state.ends).toBe(1);
  });

  test("the process that has started one ends without a word: it has ended, and what is left of it is looked for", async () => {
    const { channel, inherited, leftovers } = start(1);
    channel.close();
    const exit = await inherited[0]?.exited;
    expect(exit).toMatchObject({ byItself: true, status: null });
    expect(exit?.reason).toContain("has ended, and its app with it");
    await inherited[0]?.end();
    expect(leftovers).toEqual(["shop"]);
  });

  test("that process ends while it is to end one: what is left is looked for, and nobody waits for ever", async () => {
    const { channel, inherited, kept, leftovers } = start(1);
    const [one] = kept;
    if (one === undefined) throw new Error("there is one");
    one.child.end = () => new Promise(() => undefined);
    const ending = inherited[0]?.end();
    channel.close();
    await ending;
    expect(leftovers).toEqual(["shop"]);
    expect(await inherited[0]?.exited).toMatchObject({ byItself: false });
  });
});

describe("restart: what came of it", () => {
  test("is read as it was written, and nothing is read before, after it was forgotten, or of half a file", () => {
    using folder = tempDir();
    expect(readOutcome(folder.path)).toBeNull();
    for (const outcome of [
      { from: 1, to: 2, why: null },
      { from: 1, to: null, why: "it exited" },
      { from: 1, to: 3, why: "it exited" },
    ]) {
      noteOutcome(folder.path, outcome);
      expect(readOutcome(folder.path)).toEqual(outcome);
    }
    forgetOutcome(folder.path);
    forgetOutcome(folder.path);
    expect(readOutcome(folder.path)).toBeNull();
    for (const text of ["", '{"from":1', "[]", "null", '{"from":"1"}']) {
      writeFileSync(folder.file("restart.json"), text);
      expect(readOutcome(folder.path)).toBeNull();
    }
  });

  test("a folder that is gone, or that there is none of, stops nobody", () => {
    noteOutcome(null, { from: 1, to: 2, why: null });
    noteOutcome("/nowhere/at/all", { from: 1, to: 2, why: null });
    expect(existsSync("/nowhere")).toBe(false);
  });
});

test("restart: told before anybody asks, it is heard; told while one is at work, it means the same", async () => {
  const told = new Set<() => void>();
  const restarts = hearRestarts({
    onRestart(callback) {
      told.add(callback);
      return () => told.delete(callback);
    },
  });
  const tell = () => {
    for (const callback of told) callback();
  };
  tell();
  expect(await restarts.told()).toBe("restart");
  tell();
  restarts.forget();
  const next = Promise.race([restarts.told(), Promise.resolve("nothing")]);
  expect(await next).toBe("nothing");
  tell();
  expect(await restarts.told()).toBe("restart");
});

describe("restart: how a program is started again", () => {
  const self = { argv: ["bun", "/$bunfs/root/paastis", "serve"], execArgv: [], env: {}, pid: 7 };

  test("by its own name, also when another file has that by now", () => {
    using folder = tempDir();
    const executable = folder.file("paastis");
    const image = imageOf({ ...self, execPath: `${executable} (deleted)` });
    expect(image).toMatchObject({ executable, args: ["serve"], pid: 7 });
    writeFileSync(`${executable} (deleted)`, "");
    expect(imageOf({ ...self, execPath: `${executable} (deleted)` }).executable).toEndWith(
      " (deleted)",
    );
  });

  test("a successor keeps its channel: it is not started once more for a variable that the older one did not know", () => {
    const calls: string[] = [];
    const execve = (file: string): never => {
      calls.push(file);
      throw new Error("replaced");
    };
    const bare = { ...self, execPath: "/paastis", execve };
    reexecForServing(bare);
    expect(calls).toEqual(["/paastis"]);
    const env = { [PREDECESSOR_VARIABLE]: "1" };
    reexecForServing({ ...bare, env, send: () => undefined });
    expect(calls).toHaveLength(1);
    // The variable alone may have been inherited.
    reexecForServing({ ...bare, env });
    expect(calls).toHaveLength(2);
  });
});

const ESTATE: Estate = {
  host: "127.0.0.1",
  askedPort: 0,
  port: 1,
  startToken: null,
  apps: [],
  uses: [],
};

describe("restart: the process whose place is taken", () => {
  const on = () => undefined;

  test("nobody is one for a process that was started by anybody else, whatever it has inherited", () => {
    const env = { [PREDECESSOR_VARIABLE]: "5" };
    const send = () => true;
    expect(predecessorOf({ env, ppid: 5, on })).toBeNull();
    expect(predecessorOf({ env, ppid: 6, on, send })).toBeNull();
    expect(predecessorOf({ env: {}, ppid: 5, on, send })).toBeNull();
    expect(predecessorOf({ env, ppid: 5, on, send })?.pid).toBe(5);
  });

  test("its end while it is waited for is a failure; sending to it afterwards is none", async () => {
    const heard = new Map<string, (message: unknown) => void>();
    const sent: unknown[] = [];
    const predecessor = predecessorOf({
      env: { [PREDECESSOR_VARIABLE]: "5" },
      ppid: 5,
      send: (message) => sent.push(message),
      on: (event: string, listener: (message: unknown) => void) => heard.set(event, listener),
    });
    const taking = predecessor?.takePlace();
    expect(sent).toEqual([{ kind: "prepared" }]);
    heard.get("disconnect")?.(undefined);
    await expect(taking).rejects.toThrow("process 5, whose place this one was to take, has ended");
    predecessor?.send({ kind: "listening", socketPath: "/a" });
    expect(sent).toHaveLength(1);
  });
});

describe("restart: the process that takes it", () => {
  function launch(script: string, clock = createSystemClock()) {
    const folder = tempDir();
    const executable = folder.file("program");
    writeFileSync(executable, `#!/bin/sh\n${script}\n`);
    chmodSync(executable, 0o755);
    const image = {
      executable,
      args: [],
      environment: { PATH: process.env.PATH, WATCHDOG_PID: "1" },
      pid: process.pid,
    };
    const successor = launchSuccessor(image, 2, clock);
    return {
      successor,
      [Symbol.dispose]() {
        successor.kill();
        folder[Symbol.dispose]();
      },
    };
  }

  test("one that exits is said to have, with its status or signal", async () => {
    using exits = launch("exit 3");
    await expect(exits.successor.prepared()).rejects.toThrow("it exited with status 3");
    using killed = launch("kill -9 $$");
    await expect(killed.successor.prepared()).rejects.toThrow("it was killed by SIGKILL");
    await killed.successor.closed;
    // Nobody is there any more.
    killed.successor.send({ kind: "drained" });
  });

  test("one that hangs is given up after half a minute, before and after it was told to begin", async () => {
    const clock = createVirtualClock();
    using hangs = launch("exec sleep 100", clock);
    const steps = [hangs.successor.prepared(), hangs.successor.begin(ESTATE)];
    const outcomes = Promise.allSettled(steps);
    await clock.advance(29_999);
    expect(await Promise.race([outcomes, Promise.resolve("neither")])).toBe("neither");
    await clock.advance(1);
    const whys = (await outcomes).map((one) =>
      one.status === "rejected" ? String(one.reason) : "",
    );
    expect(whys).toEqual([
      "Error: it has not come to read its configuration within 30 s",
      "Error: it has not begun to listen within 30 s",
    ]);
    hangs.successor.kill();
    await hangs.successor.closed;
  });

  test("it has what listens as its fourth descriptor, and no number of a watchdog", async () => {
    using folder = tempDir();
    const said = folder.file("said");
    using told = launch(
      `ls -l /proc/self/fd/3 > '${said}.new'; env >> '${said}.new'; mv '${said}.new' '${said}'`,
    );
    await until(() => existsSync(said));
    expect(await Bun.file(said).text()).toMatch(
      new RegExp(`/fd/3 -> [^]*${PREDECESSOR_VARIABLE}=${process.pid}\n`),
    );
    expect(await Bun.file(said).text()).not.toContain("WATCHDOG");
    await told.successor.closed;
  });
});
