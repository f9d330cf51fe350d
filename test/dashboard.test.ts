/** What the dashboard says and shows, without a browser. */

import { describe, expect, test } from "bun:test";
import { activityText, barsPath } from "../src/dashboard/browser/activity.ts";
import { CallError, createAdminCalls } from "../src/dashboard/browser/admin-calls.ts";
import { eventWords, sleepsInText, whyText } from "../src/dashboard/browser/app-words.ts";
import { createBrowserClock } from "../src/dashboard/browser/browser-clock.ts";
import { createEventParser } from "../src/dashboard/browser/live-stream.ts";
import { countsOf, WISH_ALL, wantedApps } from "../src/dashboard/browser/rows.ts";
import { savingsText } from "../src/dashboard/browser/savings-words.ts";
import { isLongLost, troublesOf } from "../src/dashboard/browser/troubles.ts";
import {
  agoText,
  countdownText,
  durationText,
  shareText,
  wholeText,
} from "../src/dashboard/browser/words.ts";
import { appRow } from "./support/dashboard-stub.ts";

const S = 1000;
const MIN = 60 * S;
const H = 60 * MIN;
const DAY = 24 * H;

describe("words", () => {
  test.each([
    [0, "0 ms", "0 s"],
    [812, "812 ms", "0 s"],
    [6249, "6.2 s", "6 s"],
    [59_999, "59 s", "59 s"],
    [15 * MIN, "15 min", "15 min"],
    [2 * H + 5 * MIN, "2 h 5 min", "2 h 5 min"],
    [3 * DAY + 4 * H, "3 d 4 h", "3 d 4 h"],
  ])("%d ms last %s", (ms, text, whole) => {
    expect(durationText(ms)).toBe(text);
    expect(wholeText(ms)).toBe(whole);
  });

  test.each([
    [-5, "0:00"],
    [1, "0:01"],
    [59 * S, "0:59"],
    [12 * MIN + 3 * S, "12:03"],
    [2 * H + 5 * MIN, "2 h 05 min"],
    [3 * DAY, "3 d"],
  ])("%d ms are counted down from %s", (ms, text) => {
    expect(countdownText(ms)).toBe(text);
  });

  test.each([
    [-3 * S, "just now"],
    [12 * S, "12 s ago"],
    [2 * H + 50 * MIN, "2 h ago"],
    [50 * H, "2 d ago"],
  ])("%d ms before now was %s", (ms, text) => {
    expect(agoText(DAY * 100 - ms, DAY * 100)).toBe(text);
  });

  test("a share is never rounded to none or all", () => {
    expect([0, 0.0001, 0.784, 0.9999, 1].map(shareText)).toEqual([
      "0 %",
      "< 1 %",
      "78 %",
      "> 99 %",
      "100 %",
    ]);
  });

  test("savings name money only where a price is known, in any currency", () => {
    const savings = {
      since: "2026-11-03T12:00:00Z",
      asleepHours: 1204.3,
      awakeHours: 300,
      share: 0.8,
    };
    expect(savingsText({ ...savings, money: null })).toBe(
      "1,204 h asleep, 80 % of the time, since 3 Nov 2026",
    );
    const money = { amount: 96.344, currency: "EUR" };
    expect(savingsText({ ...savings, money })).toContain("€96.34 saved");
    expect(savingsText({ ...savings, money: { ...money, currency: "acorns" } })).toContain(
      "96.34 acorns saved",
    );
  });
});

describe("an app", () => {
  const nowMs = Date.parse("2026-11-03T12:00:00Z");
  const later = (ms: number) => new Date(nowMs + ms).toISOString();
  const idle = { sleep: false, why: "was used 9 min ago", sleepsAt: later(51 * MIN) };

  test.each([
    [
      "in use",
      { phase: "awake", leases: 3, waiting: 1 },
      "In use: 2 requests or sockets, 1 visitor waiting",
    ],
    [
      "used elsewhere",
      { phase: "awake", leasesElsewhere: 1 },
      "In use: 1 request at other instances",
    ],
    ["idle", { phase: "awake", next: idle, idleSince: later(-9 * MIN) }, "Was used 9 min ago"],
    ["kept", { phase: "awake", keptAwakeUntil: later(2 * H) }, "Kept awake by an operator for 2 h"],
    ["failed", { phase: "failed", failure: "exited with status 3" }, "Exited with status 3"],
    ["asleep", { phase: "asleep", lastUsed: later(-3 * H) }, "Last used 3 h ago"],
    ["never used", { phase: "asleep", lastUsed: null }, "Not used since Paastis knows it"],
    [
      "paused",
      {
        pause: { kind: "paused", since: later(0), until: later(10 * MIN), message: null },
        leases: 2,
        waiting: 2,
      },
      "Requests wait, for 10 min more; 2 visitors waiting",
    ],
    [
      "in maintenance",
      { pause: { kind: "maintenance", since: later(0), until: null, message: "Back at noon" } },
      "Visitors are told that it is in maintenance: “Back at noon”",
    ],
  ] as const)("that is %s says why", (_, more, text) => {
    expect(whyText(appRow("shop", more), nowMs)).toBe(text);
  });

  test("that is idle says since when, as the time goes on", () => {
    const why = "was used 47 ms ago, and may idle for 15 min";
    const app = appRow("shop", {
      phase: "awake",
      idleSince: later(0),
      next: { sleep: false, why, sleepsAt: null },
    });
    expect(whyText(app, nowMs + 3 * S)).toBe("Was used 3 s ago, and may idle for 15 min");
    expect(whyText({ ...app, next: { ...app.next, why: "is used by cron" } }, nowMs)).toBe(
      "Is used by cron",
    );
  });

  test("has a countdown only while it is awake and may sleep by itself", () => {
    expect(sleepsInText(appRow("shop", { phase: "awake", next: idle }), nowMs)).toBe("51:00");
    expect(sleepsInText(appRow("shop", { phase: "awake", next: idle }), nowMs + H)).toBe(
      "any moment",
    );
    expect(sleepsInText(appRow("shop", { next: idle }), nowMs)).toBeNull();
    expect(sleepsInText(appRow("shop", { phase: "awake" }), nowMs)).toBeNull();
  });

  test("an event that the page does not know yet is shown by its name", () => {
    const event = {
      id: "1",
      at: later(0),
      app: "shop",
      cause: "",
      reason: null,
      details: { durationMs: 2130 },
    };
    expect(eventWords({ ...event, name: "APP_STARTED" }).words).toBe("Awake after 2.1 s");
    expect(eventWords({ ...event, name: "APP_MOVED_AWAY", details: {} }).words).toBe(
      "App moved away",
    );
  });

  test("its day is a row of bars, and a sentence", () => {
    const nine = Date.parse("2026-11-03T09:10:00");
    expect(activityText([0, 0], nine)).toBe("No request within a day");
    expect(activityText([4, 1], nine)).toBe("5 requests within a day, most of them (4) at 08:30");
    expect(barsPath([0, 1, 1000])).toBe("M3 24v-2h2v2zM6 24v-24h2v24z");
  });
});

describe("the list", () => {
  const apps = [
    appRow("wiki", { provider: "docker", lastUsed: "2026-01-01T00:00:00.000Z" }),
    appRow("api", { id: "acme-api-pr-198", phase: "failed", lastUsed: null }),
    appRow("shop", {
      phase: "awake",
      idleSince: null,
      pause: { kind: "paused", since: "", until: null, message: null },
    }),
  ];
  const keys = (wish: Partial<typeof WISH_ALL>) =>
    wantedApps(apps, { ...WISH_ALL, ...wish }).map(({ key }) => key);

  test("is searched by every word in key, id and provider", () => {
    expect(keys({ search: " PR-198 Process" })).toEqual(["api"]);
    expect(keys({ search: "docker" })).toEqual(["wiki"]);
    expect(keys({ search: "docker shop" })).toEqual([]);
  });

  test("is filtered by phase, pause and provider", () => {
    expect(keys({ phase: "failed" })).toEqual(["api"]);
    expect(keys({ phase: "paused" })).toEqual(["shop"]);
    expect(keys({ provider: "process" })).toEqual(["api", "shop"]);
  });

  test("is sorted by name, by what needs a look, and by last use", () => {
    expect(keys({})).toEqual(["api", "shop", "wiki"]);
    expect(keys({ sort: "phase" })).toEqual(["api", "shop", "wiki"]);
    expect(keys({ sort: "lastUsed" })).toEqual(["shop", "wiki", "api"]);
  });

  test("counts all apps by phase", () => {
    expect(countsOf(apps)).toMatchObject({ all: 3, failed: 1, awake: 1, asleep: 1, paused: 1 });
  });
});

describe("the page", () => {
  test("reads a stream however it is cut into pieces", () => {
    const whole = new TextEncoder().encode(
      'retry: 2000\n\n: still here\n\nevent: snapshot\ndata: {"apps":"é"}\n\nevent: apps\ndata: 2\n\n',
    );
    for (let size = 1; size <= whole.length; size += 1) {
      const events: string[] = [];
      const parse = createEventParser((name, data) => events.push(`${name} ${data}`));
      for (let at = 0; at < whole.length; at += size) parse(whole.slice(at, at + size));
      expect(events).toEqual(['snapshot {"apps":"é"}', "apps 2"]);
    }
  });

  test("goes by the server's clock where the two differ", () => {
    const clock = createBrowserClock(() => 1_000_000_000_000);
    clock.hear(new Date(1_000_000_001_000).toUTCString());
    expect(clock.now()).toBe(1_000_000_000_000);
    clock.hear(new Date(1_000_000_060_000).toUTCString());
    expect(clock.now()).toBe(1_000_000_060_500);
    clock.hear("nonsense");
    clock.hear(null);
    expect(clock.now()).toBe(1_000_000_060_500);
  });

  const answering = (answer: () => Response) => {
    let loggedOut = 0;
    const calls = createAdminCalls({
      clock: createBrowserClock(() => 0),
      fetch: Object.assign(async () => answer(), { preconnect: () => undefined }),
      onLoggedOut: () => {
        loggedOut += 1;
      },
    });
    const failure = async () => {
      const error: unknown = await calls
        .order("shop", { kind: "wake" })
        .catch((why: unknown) => why);
      if (!(error instanceof CallError)) throw error;
      return { message: error.message, remedy: error.remedy, status: error.status, loggedOut };
    };
    return failure;
  };

  test("explains refusals of every form", async () => {
    const problem = { detail: "shop stays as it is", remedy: "Wait" };
    expect(await answering(() => Response.json(problem, { status: 409 }))()).toMatchObject({
      message: "shop stays as it is",
      remedy: "Wait",
      loggedOut: 0,
    });
    const older = { error: "Forbidden", message: "Not from here" };
    expect(await answering(() => Response.json(older, { status: 401 }))()).toMatchObject({
      message: "Not from here",
      loggedOut: 1,
    });
    const busy = new Response("busy", {
      status: 429,
      statusText: "Too Many Requests",
      headers: { "retry-after": "12" },
    });
    expect(await answering(() => busy)()).toMatchObject({
      message: "That was one change too many for this minute, and nothing was done",
      remedy: expect.stringContaining("You can go on in 12 s"),
    });
    const gone = () => {
      throw new TypeError("Failed to fetch");
    };
    expect(await answering(gone)()).toMatchObject({
      message: "Paastis cannot be reached",
      status: 0,
    });
  });

  test("speaks of a lost connection only when it lasts, and of no trouble where there is none", () => {
    expect(isLongLost({ kind: "lost", sinceMs: 0, why: "" }, 1000)).toBe(false);
    expect(isLongLost({ kind: "lost", sinceMs: 0, why: "" }, 2000)).toBe(true);
    expect(isLongLost({ kind: "live" }, 2000)).toBe(false);
    expect(troublesOf(null, 0)).toEqual([]);
    expect(troublesOf({ providers: { docker: { reachable: true, trouble: null } } }, 0)).toEqual(
      [],
    );
  });
});
