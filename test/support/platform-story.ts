/** The whole story of a platform, played through the compiled program against the platform's fake. */

import { expect, test } from "bun:test";
import { testsInTurn } from "./in-turn.ts";
import { eventually, type LogLine, type RunningPaastis, startPaastis } from "./start-paastis.ts";

/** Process type -> how many of it the platform is told to run; platforms without types have `web` alone. */
export type StoryFormation = Readonly<Record<string, number>>;

/** One app on the platform. What it is does not change when the program is not there. */
export interface StoryApp {
  /** The Host's first label that leads to it. */
  readonly key: string;
  /** As the platform has it now. */
  readonly formation: StoryFormation;
  /** Requests that the app has answered itself. */
  readonly requests: number;
  /** Somebody's deployment begins, and goes on until `endDeploy`; what ran goes on. */
  beginDeploy(): void;
  endDeploy(): void;
  /** It gets another name, and with it another key; left out: the platform cannot do that. */
  rename?(name: string): void;
  /** Its next start fails as the platform reports it. */
  failNextWake(): void;
  /** Gone for good. */
  delete(): void;
}

/** A fake platform, with all that the story does to it. Its durations are short, and its rate limit out of the way. */
export interface StoryPlatform extends AsyncDisposable {
  /** `PROVIDER_NAME`, credentials and addresses: what the program is started with. */
  readonly env: Readonly<Record<string, string>>;
  /** Up and deployed; with zeros everywhere: down. Left out: `{ web: 1 }`. */
  addApp(name: string, formation?: StoryFormation): StoryApp;
  /** What an app is made of that is put to sleep and has to come back just so; several types where there are any. */
  readonly richFormation: StoryFormation;
  /** What the real API would have rejected. */
  readonly violations: readonly string[];
  /** Calls since the start: all, those that list apps, those that change something. Calls for tokens are none of them. */
  readonly calls: { readonly all: number; readonly lists: number; readonly writes: number };
  /** The next call that changes something is carried out, but its answer never arrives. */
  loseNextWriteAnswer(): void;
  /** Nothing accepts connections at the API any more; the apps are not affected. */
  goDown(): Promise<void>;
  comeUp(): Promise<void>;
  /** What the program got for its credential is dead, the credential is good; `null`: there are no such tokens. */
  readonly expireTokens: (() => void) | null;
  /** The credential is not accepted any more, until `accept`. */
  revoke(): void;
  accept(): void;
  /** Every call is one too many, until `allowCalls`. */
  refuseCalls(): void;
  allowCalls(): void;
  /** Calls that were one too many. */
  readonly refusedCalls: number;
}

/** A part of the story that does not apply to a platform, and why. */
export interface SkippedStory {
  readonly test: string;
  readonly because: string;
}

const EVERY_SECOND = "* * * * * *";
/** New Year: a test that counts calls wants no sweep in between. */
const NEVER = "0 0 1 1 *";
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };
/** Three seconds: what a request has woken stays up until the test has looked at it, also on a busy machine. */
export const SOON: Readonly<Record<string, string>> = { START_AND_STOP_MAX_IDLE_TIME: "0.05" };
/** The most list calls that one sweep may cost. */
const LISTS_PER_SWEEP_MAX = 2;

interface Told {
  readonly platform: StoryPlatform;
  /** Starts the program; it has listed the apps once. */
  start(env?: Readonly<Record<string, string>>): Promise<RunningPaastis>;
}

/** What is told beside a story is a program more: all of them take turns. */
const AT_ONCE_MAX = 6;

/** Registers a test about a platform: beside others of its file, but no more than keep each other from being in time. */
export const platformTest = testsInTurn(AT_ONCE_MAX);

/** What a story is told with. */
export interface StoryOptions {
  readonly skip?: readonly SkippedStory[];
  /**
   * Leaves out what is the same for every platform, as nothing of its provider comes in that its contract does not
   * show: three platforms that are unlike each other tell it. Default: it is told, too.
   */
  readonly isToldElsewhere?: boolean;
}

/**
 * Plays every part, each with a platform and a program of its own.
 * @param name comes first in the name of each test
 * @throws Error when `skip` names a test that does not exist
 */
export function describeStory(
  name: string,
  makePlatform: () => Promise<StoryPlatform>,
  { skip = [], isToldElsewhere = false }: StoryOptions = {},
): void {
  const parts = isToldElsewhere ? PARTS : { ...PARTS, ...SHARED_PARTS };
  const unused = new Map(skip.map((entry) => [entry.test, entry.because]));
  for (const [what, play] of Object.entries(parts)) {
    const because = unused.get(what);
    unused.delete(what);
    const playHere = async () => {
      await using platform = await makePlatform();
      await play({ platform, start: (env) => startProgram(platform, env) });
      expect(platform.violations).toEqual([]);
    };
    if (because === undefined) platformTest(`${name}: ${what}`, playHere);
    // A plain skip would divide those that are played at the same time.
    else test.concurrent.skip(`${name}: ${what} (${because})`, playHere);
  }
  if (unused.size > 0) throw new Error(`no such test: ${[...unused.keys()].join(", ")}`);
}

async function startProgram(
  platform: StoryPlatform,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningPaastis> {
  const sweeps = { START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND };
  return await startPaastis({
    config: "",
    env: { LOGGING_LEVEL: "debug", ...sweeps, ...platform.env, ...env },
  });
}

const PARTS: Readonly<Record<string, (told: Told) => Promise<void>>> = {
  // The longest come first.
  "a rate limit is obeyed, and a wake gets through": rateLimit,
  "300 apps cost two list calls a sweep at most, and 10,000 warm requests none": counted,
  "while the API is away what is up is served, and afterwards apps wake again": outage,
  "an idle app sleeps, a request wakes it, and its formation is back exactly": journey,
  "an app is not put to sleep while it is deployed": deployment,
  "a start that fails is told with the platform's reason, and other apps are not affected": failure,
  "a token that expired is renewed unseen": expiry,
  "a refused credential is told once, what is up stays reachable, and a wake finds out that it works again":
    refusal,
  "a write whose answer was lost is not made twice": lostAnswer,
};

const SHARED_PARTS: typeof PARTS = {
  "its apps are found, and what is no app costs no call": discovery,
  "a thousand requests for a sleeping app are answered by one start": oneStart,
  "an app that was deleted is forgotten after two sweeps": deletion,
};

async function discovery({ platform, start }: Told): Promise<void> {
  const up = platform.addApp("first-app");
  platform.addApp("second-app", { web: 0 });
  await using paastis = await start({ START_AND_STOP_CHECKING_INTERVAL_CRON: NEVER });
  await paastis.untilEvent("second-app", "APP_DISCOVERED");
  expect((await paastis.get("first-app")).status).toBe(200);
  expect(up.requests).toBe(1);
  const before = platform.calls.all;
  const unknown = await paastis.get("no-such-app");
  expect([unknown.status, unknown.headers.get("paastis-error")]).toEqual([404, "unknown_app"]);
  expect(platform.calls.all).toBe(before);
  expect(platform.calls.lists).toBeLessThanOrEqual(LISTS_PER_SWEEP_MAX);
}

async function journey({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("shop-app", platform.richFormation);
  await using paastis = await start(SOON);
  expect((await paastis.get(app.key)).status).toBe(200);
  await untilAsleep(paastis, app.key);
  expect(Object.values(app.formation).every((quantity) => quantity === 0)).toBe(true);
  const { writes } = platform.calls;
  const answer = await paastis.get(app.key, { path: "/where?a=1" });
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ app: "shop-app", path: "/where?a=1" });
  expect(app.formation).toEqual(platform.richFormation);
  expect(platform.calls.writes).toBe(writes + 1);
}

async function oneStart({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("busy-app", { web: 0 });
  await using paastis = await start();
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  const answers = await Promise.all(Array.from({ length: 1000 }, () => statusOf(paastis, app.key)));
  expect(answers.filter((status) => status !== 200)).toEqual([]);
  expect(platform.calls.writes).toBe(1);
}

async function deployment({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("deployed-app");
  app.beginDeploy();
  await using paastis = await start(AT_ONCE);
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  expect(await statusOf(paastis, app.key)).toBe(200);
  await sweeps(paastis, 4);
  expect(platform.calls.writes).toBe(0);
  expect(paastis.events(app.key)).not.toContain("APP_STOPPED");
  app.endDeploy();
  await paastis.untilEvent(app.key, "APP_STOPPED");
}

async function failure({ platform, start }: Told): Promise<void> {
  const broken = platform.addApp("broken-app", { web: 0 });
  const other = platform.addApp("other-app");
  broken.failNextWake();
  await using paastis = await start();
  await paastis.untilEvent(broken.key, "APP_DISCOVERED");
  const answer = await paastis.get(broken.key);
  expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
  const event = await paastis.untilEvent(broken.key, "APP_START_FAILED");
  expect(String(event.reason).length).toBeGreaterThan(10);
  expect(await statusOf(paastis, other.key)).toBe(200);
}

async function expiry({ platform, start }: Told): Promise<void> {
  if (platform.expireTokens === null) return;
  const app = platform.addApp("token-app", { web: 0 });
  await using paastis = await start();
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  platform.expireTokens();
  expect(await statusOf(paastis, app.key)).toBe(200);
  // A call that meets two dead tokens is refused.
  await sweeps(paastis, 1);
  platform.expireTokens();
  await sweeps(paastis, 2);
  expect(complaints(paastis)).toEqual([]);
}

async function refusal({ platform, start }: Told): Promise<void> {
  const up = platform.addApp("up-app");
  const down = platform.addApp("down-app", { web: 0 });
  await using paastis = await start();
  await paastis.untilEvent(down.key, "APP_DISCOVERED");
  await eventually("it is served", async () => (await statusOf(paastis, up.key)) === 200);
  platform.revoke();
  await paastis.untilLine(({ level }) => level === "error");
  const before = platform.calls.all;
  await sweeps(paastis, 3);
  expect(await statusOf(paastis, up.key)).toBe(200);
  expect(complaints(paastis)).toHaveLength(1);
  expect(platform.calls.all).toBe(before);
  const far = { "x-forwarded-for": "203.0.113.9" };
  const body = await (await paastis.get(down.key, { headers: far })).text();
  expect(body).toContain("its platform refused the call; the log of Paastis says why");
  expect(body).not.toMatch(/token|credential|\[request|Sozu|401/i);
  platform.accept();
  await eventually("it wakes again", async () => (await statusOf(paastis, down.key)) === 200);
}

async function rateLimit({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("limited-app", { web: 0 });
  await using paastis = await start();
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  platform.refuseCalls();
  await eventually("a call is refused", () => platform.refusedCalls > 0);
  await sweeps(paastis, 2);
  const { refusedCalls } = platform;
  expect(refusedCalls).toBeLessThanOrEqual(3);
  platform.allowCalls();
  const { lists } = platform.calls;
  expect(await statusOf(paastis, app.key)).toBe(200);
  expect(platform.calls.lists).toBeLessThanOrEqual(lists + LISTS_PER_SWEEP_MAX);
}

async function outage({ platform, start }: Told): Promise<void> {
  const up = platform.addApp("up-app");
  const down = platform.addApp("down-app", { web: 0 });
  // It waits longer than an app has to be idle.
  await using paastis = await start({ ...SOON, HOLD_MAX_MS: "4000" });
  await paastis.untilEvent(down.key, "APP_DISCOVERED");
  await eventually("it is served", async () => (await statusOf(paastis, up.key)) === 200);
  await platform.goDown();
  await paastis.untilLine(({ msg }) => msg.startsWith("cannot list its apps"));
  const from = paastis.lines.length;
  expect((await paastis.get(down.key)).status).toBe(503);
  for (let count = 0; count < 20; count += 1) expect(await statusOf(paastis, up.key)).toBe(200);
  const isStop = ({ app, event }: LogLine) => app === up.key && event === "APP_STOPPED";
  expect(paastis.lines.slice(from).filter(isStop)).toEqual([]);
  const aboutAll = complaints(paastis).filter(({ app }) => app === undefined);
  expect(aboutAll.map(({ msg }) => msg)).toHaveLength(1);
  await platform.comeUp();
  await eventually("it wakes again", async () => (await statusOf(paastis, down.key)) === 200);
}

async function deletion({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("deleted-app");
  platform.addApp("kept-app");
  await using paastis = await start();
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  expect(await statusOf(paastis, app.key)).toBe(200);
  app.delete();
  await paastis.untilEvent(app.key, "APP_UNREGISTERED");
  expect(await statusOf(paastis, app.key)).toBe(404);
  expect(await statusOf(paastis, "kept-app")).toBe(200);
}

async function lostAnswer({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("lost-app", { web: 0 });
  await using paastis = await start();
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  platform.loseNextWriteAnswer();
  expect(await statusOf(paastis, app.key)).toBe(200);
  expect(platform.calls.writes).toBe(1);
}

async function counted({ platform, start }: Told): Promise<void> {
  for (let count = 1; count <= 300; count += 1) platform.addApp(`review-pr${count}`);
  await using paastis = await start();
  await paastis.untilEvent("review-pr300", "APP_REGISTERED");
  expect(await statusOf(paastis, "review-pr7")).toBe(200);
  // What the start has begun is over by then.
  await sweeps(paastis, 1);
  const from = { ...platform.calls, lines: paastis.lines.length };
  const answered = await Promise.all(
    Array.from({ length: 100 }, (_none, one) => warmRequests(paastis, `review-pr${one + 1}`)),
  );
  expect(answered.flat().filter((status) => status !== 200)).toEqual([]);
  await sweeps(paastis, 2);
  const swept = paastis.lines.slice(from.lines).filter(({ msg }) => msg === "swept").length;
  const lists = platform.calls.lists - from.lists;
  // One sweep may be under way at either end.
  expect(lists).toBeLessThanOrEqual((swept + 2) * LISTS_PER_SWEEP_MAX);
  expect(platform.calls.all - from.all).toBe(lists);
}

async function warmRequests(paastis: RunningPaastis, key: string): Promise<number[]> {
  const statuses: number[] = [];
  for (let count = 0; count < 100; count += 1) statuses.push(await statusOf(paastis, key));
  return statuses;
}

async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
  const answer = await paastis.get(key);
  await answer.arrayBuffer();
  return answer.status;
}

/** The newest that is told of an app is that it sleeps: it may have slept before it was last used. */
export async function untilAsleep(paastis: RunningPaastis, key: string): Promise<void> {
  const isTold = () => paastis.events(key).at(-1) === "APP_STOPPED";
  await eventually(`${key} sleeps`, isTold).catch((cause: unknown) => {
    const lines = paastis.lines.slice(-30).map((line) => JSON.stringify(line));
    throw new Error(`${key} does not sleep; the last lines:\n${lines.join("\n")}`, { cause });
  });
}

/** What an operator would look into. */
function complaints(paastis: RunningPaastis): readonly LogLine[] {
  return paastis.lines.filter(({ level }) => level === "error" || level === "warn");
}

/** Waits for so many sweeps from now on. */
async function sweeps(paastis: RunningPaastis, count: number): Promise<void> {
  const from = paastis.lines.length;
  const seen = () => paastis.lines.slice(from).filter(({ msg }) => msg === "swept").length;
  await eventually(`${count} sweeps`, () => seen() >= count);
}
