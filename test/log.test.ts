/** The log: JSON lines for programs, pleasant lines for people, nothing harmful for both. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { durationText } from "../src/durations.ts";
import { PaastisError } from "../src/errors.ts";
import { EVENT_NAMES } from "../src/events.ts";
import { createLog, type Log, type LogOptions } from "../src/log.ts";
import { TEXT_CHARS_MAX } from "../src/log-safety.ts";
import { within } from "./support/pace.ts";
import { tempDir } from "./support/temp-dir.ts";

const AT_MS = new Date(2026, 0, 2, 8, 41, 7, 5).getTime();
const ESCAPE = "\x1b";

interface Recorded {
  readonly log: Log;
  /** All that was written so far. */
  text(): string;
  lines(): string[];
  /** The last JSON line. */
  last(): Record<string, unknown>;
}

function record(options: {
  readonly terminal?: { readonly columns?: number; readonly colorDepth?: number };
  readonly level?: LogOptions["level"];
}): Recorded {
  const { terminal, level = "debug" } = options;
  let text = "";
  const log = createLog({
    level,
    clock: { wallMs: () => AT_MS },
    stream: {
      isTTY: terminal !== undefined,
      columns: terminal?.columns ?? 100,
      getColorDepth: () => terminal?.colorDepth ?? 1,
      write: (written) => {
        text += written;
      },
    },
  });
  const lines = () => text.split("\n").slice(0, -1);
  return { log, text: () => text, lines, last: () => JSON.parse(lines().at(-1) ?? "null") };
}

describe("for programs", () => {
  test("log: each line is a JSON object with level, time, fields and msg", () => {
    const { log, text } = record({});
    log.info({ app: "shop", event: "APP_STARTED", durationMs: 812 }, "awake");
    expect(text()).toBe(
      `{"level":"info","time":"${new Date(AT_MS).toISOString()}","app":"shop","event":"APP_STARTED","durationMs":812,"msg":"awake"}\n`,
    );
  });

  test("log: lines below the level are dropped, and silent drops all", () => {
    const warnings = record({ level: "warn" });
    for (const level of ["debug", "info", "warn", "error"] as const) warnings.log[level]({}, level);
    expect(warnings.lines().map((line) => JSON.parse(line).msg)).toEqual(["warn", "error"]);

    const silent = record({ level: "silent" });
    silent.log.error({}, "anything");
    expect(silent.text()).toBe("");
  });

  test("log: percent signs in a message stay what they are", () => {
    const { log, last } = record({});
    log.info({}, "100 % of %s, %d and %%");
    expect(last().msg).toBe("100 % of %s, %d and %%");
  });

  test("log: escape sequences, control characters and direction overrides are taken out", () => {
    const { log, last } = record({});
    const nasty = `a${ESCAPE}[31mb${ESCAPE}]0;title\x07c\x00\x9b2Jd\u202ee\r\nf\tg`;
    log.info({ app: "shop", stream: "stdout", deep: [{ nasty }] }, nasty);
    expect(last().msg).toBe("abcde\nf\tg");
    expect(last().deep).toEqual([{ nasty: "abcde\nf\tg" }]);
  });

  test("log: secrets are hidden by their field's name and in addresses", () => {
    const { log, text } = record({});
    log.warn(
      {
        redisUrl: "redis://me:hunter2@db:6379/0",
        headers: { authorization: "Bearer hunter2", cookie: "hunter2" },
        apiToken: "hunter2",
        DB_PASSWORD: "hunter2",
      },
      "GET https://hunter2@x.org/?a=1&access_token=hunter2&b=2 failed",
    );
    expect(text()).not.toContain("hunter2");
    expect(JSON.parse(text()).msg).toBe("GET https://***@x.org/?a=1&access_token=***&b=2 failed");
  });

  test("log: an expected failure brings its explanation, any other error its stack", () => {
    const { log, last } = record({});
    const explanation = { what: "W", why: "Y", next: "N" };
    log.error({ error: new PaastisError("listen_failed", explanation) }, "stopped");
    expect(last().error).toMatchObject({ code: "listen_failed", explanation });
    expect(last().error).not.toHaveProperty("stack");

    log.error({ error: new TypeError("no", { cause: new Error("because") }) }, "broke");
    expect(last().error).toMatchObject({ name: "TypeError", cause: { message: "because" } });
    expect(last().error).toHaveProperty("stack");
  });

  test("log: what cannot be JSON, never ends, or is huge becomes a line all the same", () => {
    const { log, last } = record({});
    const circle: Record<string, unknown> = { big: 10n, call: () => 1, nothing: undefined };
    circle.self = circle;
    const many = Array.from({ length: 1000 }, (_, index) => index);
    log.info({ circle, many, when: new Date(0) }, "x".repeat(1_000_000));
    expect(String(last().msg)).toStartWith("x".repeat(TEXT_CHARS_MAX));
    expect(String(last().msg).length).toBeLessThan(TEXT_CHARS_MAX + 50);
    expect(last().many).toHaveLength(101);
    expect(last().circle).toMatchObject({ big: "10", call: "[function]" });
  });

  test("log: long texts made to be slow to search are searched quickly", () => {
    const { log, lines } = record({});
    const beganMs = performance.now();
    for (const bait of ["a://", "https://x", "?token", "&a_a_", `${ESCAPE}[`, "///"]) {
      log.info({}, bait.repeat(TEXT_CHARS_MAX));
    }
    expect(lines()).toHaveLength(6);
    expect(performance.now() - beganMs).toBeLessThan(within(1000));
  });
});

/** What a process says into a pipe that nobody reads until it is done, and how its memory has grown then, in MB. */
async function chatter(lines: number): Promise<{ lines: string[]; grownMB: number }> {
  const program = `
    import { writeFileSync } from "node:fs";
    import { createLog } from ${JSON.stringify(join(import.meta.dir, "../src/log.ts"))};
    const stream = {
      isTTY: false,
      write: (text, written) =>
        process.stdout.write(text, text.includes("were dropped") ? () => process.exit() : written),
    };
    const log = createLog({ level: "info", stream, clock: { wallMs: () => 0 } });
    const text = "x".repeat(1000);
    log.info({}, "first");
    const beforeBytes = process.memoryUsage().rss;
    for (let n = 1; n <= ${lines}; n += 1) {
      log.info({ n }, text);
      if (n % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    writeFileSync(process.env.DONE, String((process.memoryUsage().rss - beforeBytes) / 1e6));
    setTimeout(() => process.exit(1), 10_000);`;
  using folder = tempDir();
  const env = {
    ...process.env,
    BUN: process.execPath,
    PROGRAM: program,
    DONE: folder.file("done"),
  };
  const reader = 'until [ -s "$DONE" ]; do sleep 0.05; done; cat';
  const command = `"$BUN" --no-install -e "$PROGRAM" | { ${reader}; }`;
  const child = Bun.spawn(["/bin/sh", "-c", command], { env, stdout: "pipe" });
  const text = await child.stdout.text();
  const grownMB = Number(readFileSync(env.DONE, "utf8"));
  return { lines: text.split("\n").slice(0, -1), grownMB };
}

describe("without a reader", () => {
  test("log: what nobody reads does not fill memory, and what was dropped is counted", async () => {
    const { lines, grownMB } = await chatter(100_000);
    const last = JSON.parse(lines.at(-1) ?? "");
    expect(last).toMatchObject({ level: "warn", msg: expect.stringContaining("were dropped") });
    // The first line, those that were kept, and the warning.
    expect(lines.length - 2 + last.dropped).toBe(100_000);
    expect(last.dropped).toBeGreaterThan(80_000);
    expect(grownMB).toBeLessThan(80);
  }, 60_000);

  test("log: lines are taken again once there is room, and dropping again is said again", () => {
    const waiting: (() => void)[] = [];
    const lines: string[] = [];
    const log = createLog({
      level: "info",
      clock: { wallMs: () => AT_MS },
      stream: {
        isTTY: false,
        write(text, written) {
          lines.push(text);
          if (written) waiting.push(written);
          return false;
        },
      },
    });
    const said = () => JSON.parse(lines.at(-1) ?? "");
    for (const round of [1, 2]) {
      for (let n = 0; n < 20_000; n += 1) log.error({ round }, "x".repeat(1000));
      const written = lines.length;
      log.error({ round }, "dropped as well");
      expect(lines).toHaveLength(written);
      for (const done of waiting.splice(0)) done();
      expect(said()).toMatchObject({ level: "warn", dropped: expect.any(Number) });
      log.info({}, `round ${round} is over`);
      expect(said().msg).toBe(`round ${round} is over`);
    }
    expect(lines.filter((line) => line.includes('"dropped":'))).toHaveLength(2);
  });
});

describe("for people", () => {
  const story = (log: Log) => {
    log.info({ app: "shop", event: "APP_WAKING", cause: "GET / from 127.0.0.1" }, "waking");
    log.info({ app: "shop", stream: "stdout" }, "listening on 20345");
    log.info(
      {
        app: "shop",
        event: "APP_STARTED",
        durationMs: 812,
        target: "http://127.0.0.1:20345",
        cause: "GET /",
      },
      "awake",
    );
    log.info({ app: "shop", event: "APP_STOPPED", cause: "idle for 15 min" }, "asleep");
  };

  test("terminal: a short life of an app reads like this", () => {
    const { log, text } = record({ terminal: {} });
    story(log);
    expect(text()).toBe(`\
08:41:07  shop      ◐ waking       GET / from 127.0.0.1
08:41:07  shop      │ listening on 20345
08:41:07  shop      ● awake        after 812 ms at http://127.0.0.1:20345
08:41:07  shop      ○ asleep       idle for 15 min
`);
  });

  test("terminal: every event has a mark and a word of its own, and no line is too wide", () => {
    const { log, lines } = record({ terminal: {} });
    for (const event of EVENT_NAMES) log.info({ app: "shop", event, cause: "why" }, "message");
    for (const line of lines())
      expect(line).toMatch(/^08:41:07 {2}shop {6}\S [a-z]+( [a-z]+)? +why$/);
  });

  test("terminal: without colours there are no escape sequences, with colours every one is closed", () => {
    const plain = record({ terminal: { colorDepth: 1 } });
    story(plain.log);
    expect(plain.text()).not.toContain(ESCAPE);

    for (const colorDepth of [4, 8, 24]) {
      const colored = record({ terminal: { colorDepth } });
      story(colored.log);
      expect(Bun.stripANSI(colored.text())).toBe(plain.text());
      for (const line of colored.lines()) {
        const opened = line.split(ESCAPE).length - 1;
        expect(opened).toBeGreaterThan(0);
        expect(line.split(`${ESCAPE}[0m`).length - 1).toBe(opened / 2);
      }
    }
  });

  test("terminal: an app has the same colour in every log, and apps differ", () => {
    const colorOf = (app: string) => {
      const { log, text } = record({ terminal: { colorDepth: 8 } });
      log.info({ app }, "hello");
      return new RegExp(`${ESCAPE}\\[([\\d;]+)m${app}`).exec(text())?.[1];
    };
    expect(colorOf("shop")).toBe(colorOf("shop"));
    expect(new Set(["home", "api", "live", "slow"].map(colorOf)).size).toBe(4);
  });

  test("terminal: names line up, long ones are shortened", () => {
    const { log, lines } = record({ terminal: {} });
    log.info({ app: "app-review-pr1234-front-and-more" }, "one");
    log.info({ app: "a" }, "two");
    log.info({}, "three");
    expect(lines()).toEqual([
      "08:41:07  app-review-pr1234-f…  · one",
      "08:41:07  a                     · two",
      "08:41:07  paastis               · three",
    ]);
  });

  test("terminal: no line is wider than the window, down to very narrow ones", () => {
    for (const columns of [120, 80, 63, 50, 39, 30]) {
      const { log, lines } = record({ terminal: { columns } });
      story(log);
      log.error({ app: "shop", reason: `${"word ".repeat(30)}${"x".repeat(200)}` }, "it broke");
      for (const line of lines()) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
      expect(lines().join("").replaceAll(/[\s│]/g, "")).toContain("x".repeat(200));
    }
  });

  test("terminal: a failure says what, why and what next", () => {
    const { log, text } = record({ terminal: {} });
    const error = new PaastisError("listen_failed", {
      what: "Cannot listen on port 80",
      why: "only root may",
      next: "Use PORT=3000",
    });
    log.error({ error }, "stopped");
    log.warn(
      {
        app: "shop",
        event: "APP_CRASHED",
        reason: "ended with status 1:\nno such file",
        next: "Look",
      },
      "crashed",
    );
    log.warn(
      { app: "shop", reason: "ECONNREFUSED", code: "upstream_unreachable" },
      "not forwarded",
    );
    expect(text()).toBe(`\
08:41:07  paastis   ✖ stopped
                    │ Cannot listen on port 80
                    │ only root may
                    │ → Use PORT=3000
08:41:07  shop      ✖ crashed      ended with status 1:
                    │ no such file
                    │ → Look
08:41:07  shop      ▲ not forwarded: ECONNREFUSED  code=upstream_unreachable
`);
  });

  test("terminal: what an app prints cannot draw over other lines", () => {
    const { log, lines } = record({ terminal: { colorDepth: 1 } });
    log.info({ app: "shop", stream: "stderr" }, `${ESCAPE}[2J${ESCAPE}[1;1Hfake\rprompt\x08\x07`);
    expect(lines()).toEqual(["08:41:07  shop      ┃ fakeprompt"]);
  });

  test("terminal: NO_COLOR of a real process is respected, in a real terminal", async () => {
    const colored = await inTerminal({ TERM: "xterm-256color" });
    expect(colored).toContain(`${ESCAPE}[`);
    expect(Bun.stripANSI(colored)).toContain("shop      ● awake        after 5 ms");
    const plain = await inTerminal({ TERM: "xterm-256color", NO_COLOR: "1" });
    expect(plain).toContain("shop      ● awake        after 5 ms");
    expect(plain).not.toContain(ESCAPE);
  });

  test("durations: short ones exact, long ones round", () => {
    const cases: [number, string][] = [
      [0, "0 ms"],
      [812.4, "812 ms"],
      [1000, "1 s"],
      [6234, "6.2 s"],
      [42_400, "42 s"],
      [15 * 60_000, "15 min"],
      [2 * 3_600_000, "2 h"],
      [125 * 60_000, "2 h 5 min"],
    ];
    for (const [ms, text] of cases) expect(durationText(ms)).toBe(text);
  });
});

/** Logs one line in a process whose stdout is a pseudo-terminal. */
async function inTerminal(env: Record<string, string>): Promise<string> {
  let text = "";
  const program = `
    import { createLog } from ${JSON.stringify(join(import.meta.dir, "../src/log.ts"))};
    const log = createLog({ level: "info", stream: process.stdout, clock: { wallMs: () => 0 } });
    log.info({ app: "shop", event: "APP_STARTED", durationMs: 5 }, "awake");`;
  const child = Bun.spawn([process.execPath, "--no-install", "-e", program], {
    env,
    terminal: {
      cols: 100,
      rows: 30,
      data: (_terminal, bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
  });
  expect(await child.exited).toBe(0);
  child.terminal?.close();
  return text;
}
