/** The benchmark's own arithmetic and its clients: a figure that is wrong is worse than none. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { connectHttp, requestOf } from "../bench/clients/http-client.ts";
import { rateFor } from "../bench/clients/rate.ts";
import { openWebSocket } from "../bench/clients/websocket.ts";
import { isPassed, judge, LIMITS, type Limit, QUICK_MARGIN } from "../bench/limits.ts";
import { checkAnswer } from "../bench/load.ts";
import { startPinned } from "../bench/measured-process.ts";
import { keepRecord } from "../bench/record.ts";
import { drawScenario, drawVerdicts, markdownOf } from "../bench/report.ts";
import {
  medianOf,
  percentileOf,
  ratioOf,
  type Sample,
  type Subject,
  summarize,
} from "../bench/sample.ts";
import { SCENARIOS } from "../bench/scenarios/scenarios.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";

/** Rounds of one subject. */
function rounds(subject: Subject, ...cpu: readonly number[]): Sample[] {
  return cpu.map((value) => ({ load: "small", subject, values: { cpu: value, perSecond: 1_000 } }));
}

const LIMIT: Limit = {
  scenario: "one",
  load: "small",
  subject: "socket",
  measure: "cpu",
  against: "nginx",
  most: 1.6,
};

function verdictsOf(
  samples: readonly Sample[],
  { limit = LIMIT, isQuick = false, missing = [] as readonly string[] } = {},
) {
  const run = { isQuick, missing: new Set(missing), limits: [limit] };
  return judge(new Map([["one", samples]]), run);
}

function kindsOf(...words: Parameters<typeof verdictsOf>) {
  return verdictsOf(...words).map(({ kind }) => kind);
}

test("bench: the ratio is the middle of the rounds' ratios, so that one noisy round decides nothing", () => {
  // In the second round something else had the processor, for both.
  const samples = [...rounds("nginx", 10, 100, 10), ...rounds("socket", 15, 300, 14)];
  const what = { load: "small", measure: "cpu", subject: "socket", against: "nginx" } as const;
  expect(ratioOf(samples, what)).toBe(1.5);
  expect(ratioOf(rounds("socket", 15), what)).toBeNull();
  expect(summarize(samples).map(({ timesNginx }) => timesNginx)).toEqual([1, 1.5]);
});

test("bench: medians and percentiles of known numbers", () => {
  expect(medianOf([3, 1, 2])).toBe(2);
  expect(medianOf([4, 1, 2, 3])).toBe(2.5);
  const hundred = Array.from({ length: 100 }, (_, index) => index);
  expect([50, 95, 99, 100].map((percent) => percentileOf(hundred, percent))).toEqual([
    50, 95, 99, 99,
  ]);
});

test("bench: a ratio above its limit is exceeded, and a quick run has its margin", () => {
  const at = (ratio: number) => [...rounds("nginx", 10), ...rounds("socket", 10 * ratio)];
  expect(kindsOf(at(1.6))).toEqual(["kept"]);
  expect(kindsOf(at(1.7))).toEqual(["exceeded"]);
  expect(kindsOf(at(1.7), { isQuick: true })).toEqual(["kept"]);
  expect(kindsOf(at(1.6 * QUICK_MARGIN + 0.1), { isQuick: true })).toEqual(["exceeded"]);
});

test("bench: a goal that is not reached is shown, and fails nothing", () => {
  const limit: Limit = { ...LIMIT, most: 3.5, goal: 2 };
  const at = (ratio: number) => [...rounds("nginx", 10), ...rounds("socket", 10 * ratio)];
  expect([1.9, 2.1, 3.6].flatMap((ratio) => kindsOf(at(ratio), { limit }))).toEqual([
    "kept",
    "short",
    "exceeded",
  ]);
  const short = verdictsOf(at(2.1), { limit });
  expect(isPassed(short)).toBe(true);
  expect(drawVerdicts(short)).toContain("2 is the goal");
});

test("bench: a share that must at least be reached is compared the other way round", () => {
  const { most, ...rest } = LIMIT;
  expect(most).toBeDefined();
  const limit = { ...rest, least: 0.8 };
  const at = (ratio: number) => [...rounds("nginx", 10), ...rounds("socket", 10 * ratio)];
  expect(kindsOf(at(0.9), { limit })).toEqual(["kept"]);
  expect(kindsOf(at(0.7), { limit })).toEqual(["exceeded"]);
  expect(kindsOf(at(0.7), { limit, isQuick: true })).toEqual(["kept"]);
});

test("bench: one lost request in any round is too many, in a quick run too", () => {
  const limit: Limit = { ...LIMIT, measure: "lost", against: null, most: 0 };
  const lost = (...counts: readonly number[]): Sample[] =>
    counts.map((count) => ({ load: "small", subject: "socket", values: { lost: count } }));
  expect(kindsOf(lost(0, 0, 0), { limit })).toEqual(["kept"]);
  expect(kindsOf(lost(0, 1, 0), { limit, isQuick: true })).toEqual(["exceeded"]);
  const { most, ...rest } = limit;
  expect(most).toBe(0);
  const answered: Sample = { load: "small", subject: "socket", values: { answered: 99.9 } };
  const all: Limit = { ...rest, measure: "answered", least: 100 };
  expect(kindsOf([answered], { limit: all, isQuick: true })).toEqual(["exceeded"]);
});

test("bench: who is not installed is left out, but a figure that should be there and is not fails the check", () => {
  const alone = rounds("socket", 10);
  const leftOut = verdictsOf(alone, { missing: ["nginx"] });
  expect(leftOut.map(({ kind }) => kind)).toEqual(["left out"]);
  expect(isPassed(leftOut)).toBe(true);
  const unmeasured = verdictsOf(alone);
  expect(unmeasured.map(({ kind }) => kind)).toEqual(["not measured"]);
  expect(isPassed(unmeasured)).toBe(false);
});

test("bench: limits of scenarios that were not run, or of the other kind of run, say nothing", () => {
  const samples = [...rounds("nginx", 10), ...rounds("socket", 50)];
  expect(kindsOf(samples, { limit: { ...LIMIT, scenario: "another" } })).toEqual([]);
  expect(kindsOf(samples, { limit: { ...LIMIT, only: "quick" } })).toEqual([]);
  expect(kindsOf(samples, { limit: { ...LIMIT, only: "quick" }, isQuick: true })).toEqual([
    "exceeded",
  ]);
});

test("bench: every limit is about a scenario that there is", () => {
  const names = SCENARIOS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(LIMITS.filter(({ scenario }) => !names.includes(scenario))).toEqual([]);
});

test("bench: tables name a load once, and show figures, spread and ratio", () => {
  const samples = [...rounds("nginx", 10, 12), ...rounds("socket", 15, 18)];
  const drawn = drawScenario(samples);
  expect(drawn.match(/small/g)).toHaveLength(1);
  expect(drawn).toMatch(/socket +16\.5 +15\.0–18\.0 +1\.50 +1000/);
  expect(markdownOf(samples)).toContain("| small | socket | 16.5 | 15.0–18.0 | 1.50 | 1000 |");
  const said = drawVerdicts(verdictsOf(samples));
  expect(said).toContain("✓ one · small · socket: µs/request 1.50 x nginx's (at most 1.6)");
  expect(said).toEndWith("1 limits kept, 0 exceeded");
});

test("bench: a record is left as data and as a page", async () => {
  using folder = tempDir();
  const samples = [...rounds("nginx", 10), ...rounds("socket", 15)];
  const verdicts = verdictsOf(samples);
  const page = keepRecord(
    {
      ...{ date: "2026-01-02", command: "bun bench/bench.ts", commit: "abc1234", minutes: 1 },
      machine: { processor: "P", cores: 2, memoryGb: 4, kernel: "Linux 6", system: "Debian" },
      loadAverage: 0.1,
      versions: [{ name: "nginx", version: "1.22.1" }],
      scenarios: [
        {
          ...{ name: "one", title: "One", seconds: 1, failure: null, samples },
          summaries: summarize(samples),
        },
      ],
    },
    verdicts,
    folder.path,
  );
  const text = await Bun.file(page).text();
  for (const part of ["abc1234", "nginx 1.22.1", "| small | socket | 15.0 |", "- ✓ one · small"]) {
    expect(text).toContain(part);
  }
  const data = await Bun.file(join(folder.path, "2026-01-02.json")).json();
  expect(data.verdicts).toHaveLength(1);
  expect(data.scenarios[0].samples).toEqual(samples);
});

test("bench: a contender that answers wrongly is not measured", async () => {
  const bytes = Buffer.from("right");
  const texts: Readonly<Record<string, string>> = {
    "/right": "right",
    "/wrong": "wrong",
    "/short": "righ",
  };
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response(texts[new URL(request.url).pathname]),
  });
  const check = (path: string) =>
    checkAnswer(`http://127.0.0.1:${server.port}${path}`, { bytes, mayLoseLength: false });
  await check("/right");
  await expect(check("/wrong")).rejects.toThrow("the body is not what the upstream sent");
  await expect(check("/short")).rejects.toThrow("Content-Length is 4, not 5");
});

test("bench: a contender that ends too early is said to have, with what it said", async () => {
  using folder = tempDir();
  await using ended = startPinned({
    ...{ core: 0, folder: folder.path },
    command: ["sh", "-c", "echo no such option >&2; exit 3"],
  });
  await until(() => ended.whyEnded()?.includes("no such option") === true);
  expect(ended.whyEnded()).toContain("ended with 3");
});

test("bench: the time of a process counts what its children do, and not what was before", async () => {
  using folder = tempDir();
  // It ends with its parent.
  const loop = "while kill -0 $PPID 2>/dev/null; do :; done";
  await using busy = startPinned({
    ...{ core: 0, folder: folder.path },
    command: ["sh", "-c", `sh -c '${loop}' & wait`],
  });
  const all = busy.meter();
  await until(() => all() > 0.2);
  const spent = busy.meter();
  expect(spent()).toBeLessThan(all());
  await until(() => spent() > 0.1);
  expect(busy.residentBytes()).toBeGreaterThan(busy.residentBytes("own"));
});

test("bench: the client knows where answers end, by length and by chunks, in whatever pieces they come", async () => {
  const parts = [
    ["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 5\r\n\r", "\nhel", "lo"],
    ["HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0", "\r\n\r", "\n"],
    ["HTTP/1.1 204 No Content\r\n\r\n"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n"],
  ];
  using server = Bun.listen<{ next: number }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { next: 0 };
        socket.setNoDelay(true);
      },
      async data(socket) {
        const answer = parts[socket.data.next] ?? [];
        socket.data.next += 1;
        for (const part of answer) {
          socket.write(part);
          await Bun.sleep(5);
        }
      },
    },
  });
  const client = await connectHttp(server.port);
  const statuses = [];
  for (const _ of parts) statuses.push((await client.ask(requestOf("/", "a.example"))).status);
  expect(statuses).toEqual([200, 201, 204, 200]);
  client.close();
});

test("bench: a load at a rate counts refusals and broken connections as lost", async () => {
  let count = 0;
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch() {
      count += 1;
      return new Response("x", { status: count % 5 === 0 ? 503 : 200 });
    },
  });
  const { port = 0 } = server;
  const request = requestOf("/", "a.example");
  const { lost, latenciesMs, reasons } = await rateFor(300, { port, request, perSecond: 200 });
  expect(latenciesMs.length).toBe(count);
  expect(lost).toBe(Math.floor(count / 5));
  expect(reasons).toEqual(["a wrong answer: HTTP/1.1 503 Service Unavailable"]);
  const nowhere = await rateFor(100, { port: 1, request, perSecond: 100 });
  expect(nowhere.lost).toBeGreaterThan(0);
  expect(nowhere.latenciesMs).toEqual([]);
});

test("bench: WebSockets count echoes, and notice one that is not what was sent", async () => {
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, own) =>
      own.upgrade(request) ? undefined : new Response(null, { status: 400 }),
    websocket: {
      message: (socket, text) => void socket.send(text === "lie" ? "eil" : text),
    },
  });
  const { port = 0 } = server;
  let left = 10;
  const isEnough = () => {
    left -= 1;
    return left === 0;
  };
  const honest = await openWebSocket(port);
  expect(await honest.chatter("m".repeat(300), isEnough)).toBe(10);
  honest.close();
  const liar = await openWebSocket(port);
  await expect(liar.chatter("lie", () => true)).rejects.toThrow("an echo is not what was sent");
  liar.close();
});

test("bench: it says what it cannot do, and measures nothing then", () => {
  const run = (...words: readonly string[]) =>
    Bun.spawnSync([
      process.execPath,
      "--no-install",
      join(import.meta.dir, "../bench/bench.ts"),
      ...words,
    ]);
  const help = run("--help");
  expect([help.exitCode, String(help.stdout)]).toEqual([0, expect.stringContaining("--quick")]);
  const wrong = run("--only", "nonsense");
  expect([wrong.exitCode, String(wrong.stderr)]).toEqual([
    1,
    expect.stringContaining('"nonsense" is none of throughput'),
  ]);
  const missing = run("--only", "throughput", "--program", "/nowhere/paastis");
  expect([missing.exitCode, String(missing.stderr)]).toEqual([
    1,
    expect.stringContaining("/nowhere/paastis: npm run build"),
  ]);
});
