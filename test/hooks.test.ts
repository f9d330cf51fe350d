import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";

import { createSystemClock } from "../src/clock.ts";
import type { HookCommands } from "../src/config.ts";
import type { AppHooks, HookCall, HookName, HookRunner } from "../src/hooks.ts";
import { createHookRunner } from "../src/hooks.ts";
import { within } from "./support/pace.ts";
import { recordingLog } from "./support/recording-log.ts";
import { sampleApp, samplePolicy } from "./support/sample-app.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";

const PATH = process.env.PATH ?? "/usr/bin:/bin";
const NO_COMMANDS: HookCommands = {
  beforeStart: null,
  afterStart: null,
  beforeStop: null,
  afterStop: null,
  timeoutMs: 10_000,
};

function callOf(changes: Partial<HookCall> = {}): HookCall {
  return { app: sampleApp(), reason: "GET / from 192.0.2.1", upstream: "", ...changes };
}

function hooksWith(
  commands: Partial<HookCommands>,
  environment: Record<string, string> = {},
  killGroup?: (pid: number) => void,
) {
  const { log, lines } = recordingLog();
  const failures: { name: HookName; why: string }[] = [];
  const runner: HookRunner = createHookRunner({
    commands: { ...NO_COMMANDS, ...commands },
    environment: { PATH, ...environment },
    clock: createSystemClock(),
    log,
    onFailure: (name, _call, why) => failures.push({ name, why }),
    ...(killGroup && { killGroup }),
  });
  return { runner, lines, failures, said: () => lines.map(({ message }) => message) };
}

/** The variables a hook sees, one per line, NUL-separated values left whole by `env -0`. */
async function seenBy(
  call: HookCall,
  environment: Record<string, string> = {},
): Promise<Map<string, string>> {
  using folder = tempDir();
  const file = folder.file("env");
  const { runner } = hooksWith({ beforeStart: `env -0 > '${file}'` }, environment);
  expect(await runner.run("beforeStart", call)).toEqual({ ok: true });
  const pairs = readFileSync(file, "utf8").split("\0").filter(Boolean);
  return new Map(
    pairs.map((pair): [string, string] => {
      const end = pair.indexOf("=");
      return [pair.slice(0, end), pair.slice(end + 1)];
    }),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie answers too, but runs no more.
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

async function pidIn(file: string): Promise<number> {
  await until(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
  return Number(readFileSync(file, "utf8"));
}

describe("hooks", () => {
  test("hooks: none configured is ok, and nothing is reported", async () => {
    const { runner, failures, lines } = hooksWith({});
    expect(await runner.run("beforeStart", callOf())).toEqual({ ok: true });
    runner.runLater("afterStart", callOf());
    await runner.close();
    expect([failures, lines]).toEqual([[], []]);
  });

  test("hooks: each sees its app, provider, event, reason and upstream", async () => {
    const app = sampleApp("shop", { ref: { provider: "process", id: "other-id" } });
    const seen = await seenBy(callOf({ app, upstream: "http://127.0.0.1:8081" }));
    const own = [...seen].filter(([name]) => name.startsWith("PAASTIS_")).toSorted();
    expect(own).toEqual([
      ["PAASTIS_APP", "shop"],
      ["PAASTIS_EVENT", "before_start"],
      ["PAASTIS_PROVIDER", "process"],
      ["PAASTIS_REASON", "GET / from 192.0.2.1"],
      ["PAASTIS_UPSTREAM", "http://127.0.0.1:8081"],
    ]);
  });

  test("hooks: each event has its own word", async () => {
    const command = "echo $PAASTIS_EVENT";
    const { runner, said } = hooksWith({
      beforeStart: command,
      afterStart: command,
      beforeStop: command,
      afterStop: command,
    });
    for (const name of ["beforeStart", "afterStart", "beforeStop", "afterStop"] as const) {
      await runner.run(name, callOf());
    }
    expect(said()).toEqual(["before_start", "after_start", "before_stop", "after_stop"]);
  });

  test("hooks: they inherit what they are given, and nothing of our own environment", async () => {
    const seen = await seenBy(callOf(), { GREETING: "hello" });
    expect(seen.get("GREETING")).toBe("hello");
    expect(seen.has("HOME")).toBe(false);
  });

  test("hooks: what is inherited cannot pretend to be the app", async () => {
    const seen = await seenBy(callOf(), { PAASTIS_APP: "other" });
    expect(seen.get("PAASTIS_APP")).toBe("shop");
  });

  const hostile = [
    "'; touch HERE; '",
    '"; touch HERE; "',
    "$(touch HERE)",
    "`touch HERE`",
    "\ntouch HERE\n",
    "& touch HERE &",
    "| touch HERE",
    "-n --help",
    "%s %d \\n",
    "PAASTIS_APP=other",
    "",
    "Ünïcödé \u{1F600}",
    "x".repeat(100_000),
  ];
  for (const text of hostile) {
    test(`hooks: ${JSON.stringify(text).slice(0, 30)} is handed over as it is, and never run`, async () => {
      using folder = tempDir();
      const words = text.replaceAll("HERE", folder.file("proof"));
      const seen = await seenBy(
        callOf({ app: sampleApp(words), reason: words, upstream: words.slice(0, 1000) }),
      );
      expect(seen.get("PAASTIS_APP")).toBe(words);
      expect(seen.get("PAASTIS_REASON")).toBe(words);
      expect(existsSync(folder.file("proof"))).toBe(false);
    });
  }

  test("hooks: text that no environment can hold fails the hook, and nothing else", async () => {
    for (const reason of ["a\u0000b", "x".repeat(3_000_000)]) {
      const { runner, failures } = hooksWith({ beforeStart: "true" });
      const result = await runner.run("beforeStart", callOf({ reason }));
      // Either it is refused, or it arrives cut off; it must never end the program.
      if (!result.ok) expect(failures).toEqual([{ name: "beforeStart", why: result.why }]);
    }
  });

  test("hooks: output goes to the log line by line, with the app and the hook", async () => {
    const { runner, lines } = hooksWith({
      beforeStart: "printf 'one\\ntwo'; printf 'three\\n' >&2",
    });
    await runner.run("beforeStart", callOf());
    expect(lines.map(({ message }) => message).toSorted()).toEqual(["one", "three", "two"]);
    for (const { fields } of lines) {
      expect(fields).toMatchObject({ app: "shop", hook: "before_start" });
    }
  });

  test("hooks: a line without end does not fill memory", async () => {
    const { runner, lines } = hooksWith({
      beforeStart: "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next",
    });
    await runner.run("beforeStart", callOf());
    expect(lines).toHaveLength(2);
    expect(lines[0]?.message).toHaveLength(16_384);
    expect(lines[1]?.message).toBe("next");
  });

  test("hooks: letters of several bytes survive being cut anywhere", async () => {
    const { runner, said } = hooksWith({
      beforeStart: "printf '\\303'; sleep 0.05; printf '\\251t\\303\\251\\n'",
    });
    await runner.run("beforeStart", callOf());
    expect(said()).toEqual(["été"]);
  });

  test("hooks: a status other than 0 is a failure that names it", async () => {
    const { runner, failures } = hooksWith({ beforeStop: "exit 3" });
    expect(await runner.run("beforeStop", callOf())).toEqual({
      ok: false,
      why: "it ended with status 3",
    });
    expect(failures).toEqual([{ name: "beforeStop", why: "it ended with status 3" }]);
  });

  test("hooks: a command that does not exist is a failure, and what the shell says is in the log", async () => {
    const { runner, said } = hooksWith({ beforeStart: "no-such-command-at-all" });
    const result = await runner.run("beforeStart", callOf());
    expect(result).toEqual({ ok: false, why: "it ended with status 127" });
    expect(said().join()).toContain("no-such-command-at-all");
  });

  test("hooks: one that is killed by a signal is a failure", async () => {
    const { runner } = hooksWith({ beforeStart: "kill -9 $$" });
    expect((await runner.run("beforeStart", callOf())).ok).toBe(false);
  });

  test("hooks: an empty command is ok", async () => {
    const { runner } = hooksWith({ beforeStart: "" });
    expect(await runner.run("beforeStart", callOf())).toEqual({ ok: true });
  });

  test("hooks: after the time limit the whole group is killed, and the limit is named", async () => {
    using folder = tempDir();
    const file = folder.file("pid");
    const { runner } = hooksWith({
      timeoutMs: 300,
      beforeStart: `sh -c 'trap "" TERM; echo $$ > "${file}"; while :; do sleep 1; done' & wait`,
    });
    const result = await runner.run("beforeStart", callOf());
    expect(result).toEqual({ ok: false, why: "it ran longer than 300 ms and was killed" });
    const pid = await pidIn(file);
    await until(() => !isAlive(pid));
  });

  test("hooks: one that may not be killed has failed at its limit, and is not waited for", async () => {
    let group = 0;
    const refuse = (pid: number) => {
      group = pid;
      throw Object.assign(new Error("kill() failed: EPERM"), { code: "EPERM" });
    };
    const { runner, failures, lines } = hooksWith(
      { timeoutMs: 200, beforeStart: "echo on; exec sleep 30" },
      {},
      refuse,
    );
    const startMs = performance.now();
    try {
      runner.runLater("beforeStart", callOf());
      await runner.close();
      expect(performance.now() - startMs).toBeLessThan(within(200 + 1000 + 300));
      expect(isAlive(group)).toBe(true);
      expect(failures).toEqual([
        {
          name: "beforeStart",
          why: "it ran longer than 200 ms and could not be killed: it may still run",
        },
      ]);
      const warnings = lines.filter(({ level }) => level === "warn");
      expect(warnings).toHaveLength(1);
      expect(warnings[0]?.fields).toMatchObject({ app: "shop", hook: "before_start", pid: group });
    } finally {
      process.kill(-group, "SIGKILL");
    }
  });

  test("hooks: an end that is refused by the system does not hold up who asked for it", async () => {
    let group = 0;
    const refuse = (pid: number) => {
      group = pid;
      throw Object.assign(new Error("kill() failed: EPERM"), { code: "EPERM" });
    };
    const { runner } = hooksWith({ beforeStop: "exec sleep 30" }, {}, refuse);
    const controller = new AbortController();
    const running = runner.run("beforeStop", callOf({ signal: controller.signal }));
    controller.abort(new Error("stop"));
    try {
      expect((await running).ok).toBe(false);
    } finally {
      process.kill(-group, "SIGKILL");
    }
  });

  test("hooks: what it leaves in the background ends with it, and does not hold it up", async () => {
    using folder = tempDir();
    const file = folder.file("pid");
    const { runner } = hooksWith({
      timeoutMs: 50_000,
      beforeStart: `sleep 60 & echo $! > '${file}'; echo done`,
    });
    const startMs = performance.now();
    expect(await runner.run("beforeStart", callOf())).toEqual({ ok: true });
    expect(performance.now() - startMs).toBeLessThan(within(4000));
    const pid = await pidIn(file);
    await until(() => !isAlive(pid));
  });

  test("hooks: what left its group and keeps the output open does not hold it up", async () => {
    using folder = tempDir();
    const file = folder.file("pid");
    const { runner, said } = hooksWith({
      timeoutMs: 50_000,
      beforeStart: `setsid sh -c 'echo $$ > "${file}"; exec sleep 60' & until [ -s '${file}' ]; do :; done; echo done`,
    });
    const startMs = performance.now();
    try {
      expect(await runner.run("beforeStart", callOf())).toEqual({ ok: true });
      expect(performance.now() - startMs).toBeLessThan(within(4000));
      expect(said()).toEqual(["done"]);
      await runner.close();
    } finally {
      process.kill(await pidIn(file), "SIGKILL");
    }
  });

  test("hooks: the signal ends one that runs, with all that it started", async () => {
    using folder = tempDir();
    const file = folder.file("pid");
    const controller = new AbortController();
    const { runner } = hooksWith({ beforeStop: `sleep 60 & echo $! > '${file}'; wait` });
    const running = runner.run("beforeStop", callOf({ signal: controller.signal }));
    const pid = await pidIn(file);
    controller.abort(new Error("stop"));
    const result = await running;
    expect(result.ok).toBe(false);
    await until(() => !isAlive(pid));
  });

  test("hooks: with a signal that has ended already the command is not begun", async () => {
    using folder = tempDir();
    const file = folder.file("proof");
    const { runner } = hooksWith({ beforeStop: `touch '${file}'; sleep 5` });
    const result = await runner.run("beforeStop", callOf({ signal: AbortSignal.abort() }));
    expect(result.ok).toBe(false);
    expect(existsSync(file)).toBe(false);
  });

  test("hooks: one that runs later is waited for by close, and its failure is reported", async () => {
    using folder = tempDir();
    const file = folder.file("proof");
    const { runner, failures } = hooksWith({ afterStop: `sleep 0.1; touch '${file}'; exit 1` });
    runner.runLater("afterStop", callOf());
    await runner.close();
    expect(existsSync(file)).toBe(true);
    expect(failures).toEqual([{ name: "afterStop", why: "it ended with status 1" }]);
  });

  test("hooks: it cannot read our standard input", async () => {
    const { runner, said } = hooksWith({ beforeStart: "cat; echo end" });
    await runner.run("beforeStart", callOf());
    expect(said()).toEqual(["end"]);
  });
});

describe("hooks of one app", () => {
  const own = (hooks: AppHooks) =>
    callOf({ app: sampleApp("shop", { policy: samplePolicy({ hooks }) }) });

  test("run after the one for all apps", async () => {
    const { runner, said } = hooksWith({ beforeStart: "echo for all" });
    const call = own({ beforeStart: "echo for $PAASTIS_APP at $PAASTIS_EVENT" });
    expect(await runner.run("beforeStart", call)).toEqual({ ok: true });
    expect(said()).toEqual(["for all", "for shop at before_start"]);
  });

  test("run without one for all apps, and never for other apps", async () => {
    const { runner, said } = hooksWith({});
    expect(await runner.run("beforeStop", own({ beforeStop: "echo own" }))).toEqual({ ok: true });
    expect(await runner.run("afterStop", own({ beforeStop: "echo own" }))).toEqual({ ok: true });
    expect(await runner.run("beforeStop", callOf())).toEqual({ ok: true });
    expect(said()).toEqual(["own"]);
  });

  test("do not run when the one for all apps has said no before a change", async () => {
    const { runner, said, failures } = hooksWith({ beforeStop: "exit 3" });
    const result = await runner.run("beforeStop", own({ beforeStop: "echo own" }));
    expect(result).toEqual({ ok: false, why: "it ended with status 3" });
    expect(said()).toEqual([]);
    expect(failures).toHaveLength(1);
  });

  test("run after a change whatever became of the one for all apps", async () => {
    const { runner, said, failures } = hooksWith({ afterStop: "exit 3" });
    runner.runLater("afterStop", own({ afterStop: "echo own" }));
    await runner.close();
    expect(said()).toEqual(["own"]);
    expect(failures).toEqual([{ name: "afterStop", why: "it ended with status 3" }]);
  });

  test("may say no themselves, and have a time limit of their own", async () => {
    const { runner } = hooksWith({ beforeStop: "true" });
    expect(await runner.run("beforeStop", own({ beforeStop: "exit 1" }))).toMatchObject({
      ok: false,
    });
    const slow = own({ beforeStop: "sleep 30", timeoutMs: 50 });
    expect(await runner.run("beforeStop", slow)).toEqual({
      ok: false,
      why: "it ran longer than 50 ms and was killed",
    });
  });
});
