import { describe, expect, test } from "bun:test";
import { targetOf } from "../src/app.ts";
import { isSurelyUp, remember } from "../src/providers/heroku-context.ts";
import { isDownPage } from "../src/providers/heroku-down-page.ts";
import { understand } from "../src/providers/heroku-errors.ts";
import {
  sleepUpdates,
  snapshotOf,
  stillMissing,
  storedIn,
  wakeUpdates,
} from "../src/providers/heroku-formation.ts";
import {
  type HerokuApp,
  type HerokuDyno,
  type HerokuType,
  isNewestPending,
  readApp,
  readApps,
  readDynos,
  readFormation,
} from "../src/providers/heroku-json.ts";
import {
  decodeOperation,
  encodeOperation,
  pollAfterMs,
} from "../src/providers/heroku-operation.ts";
import { readPages } from "../src/providers/heroku-page.ts";
import { observationOf, sleepsByItself } from "../src/providers/heroku-state.ts";
import type { ApiAnswer } from "../src/providers/platform-api.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const TARGET = targetOf("https://demo-0123456789ab.herokuapp.com");
const APP: HerokuApp = { id: "i", name: "demo", target: TARGET, isInMaintenance: false };

function typesOf(quantities: Readonly<Record<string, number>>, size = "Basic"): HerokuType[] {
  return Object.entries(quantities).map(([type, quantity]) => ({ type, quantity, size }));
}

/** `web:up worker:crashed` */
function dynosOf(states: string): HerokuDyno[] {
  return states.split(" ").flatMap((word, index) => {
    const [type = "", state = ""] = word.split(":");
    return word === "" ? [] : [{ name: `${type}.${index + 1}`, type, state }];
  });
}

describe("phase from formation and dynos", () => {
  const cases: readonly (readonly [string, Record<string, number>, string, string])[] = [
    ["a web dyno is up", { web: 2 }, "web:up web:starting", "awake"],
    ["a web dyno is up among crashed ones", { web: 2 }, "web:crashed web:up", "awake"],
    ["an Eco dyno is idle: the request wakes it", { web: 1 }, "web:idle", "awake"],
    ["no web is wanted and none is there", { web: 0 }, "", "asleep"],
    ["no web is wanted, a worker runs", { web: 0, worker: 1 }, "worker:up", "asleep"],
    ["no web is wanted and its last dyno goes", { web: 0 }, "web:up", "stopping"],
    ["no web is wanted and its last dyno is down", { web: 0 }, "web:down", "stopping"],
    ["web is wanted and there is no dyno yet", { web: 1 }, "", "waking"],
    ["all web dynos start", { web: 2 }, "web:starting web:down", "waking"],
    ["a worker is up, web is not", { web: 1, worker: 1 }, "worker:up web:starting", "waking"],
    ["all web dynos have crashed, once", { web: 2 }, "web:crashed web:crashed", "waking"],
    ["one has crashed, one starts", { web: 2 }, "web:crashed web:starting", "waking"],
    ["the release phase runs", { web: 1 }, "web:up release:up", "deploying"],
    ["the release phase has ended", { web: 1 }, "web:up release:down", "awake"],
    ["somebody's console runs", { web: 0 }, "run:up", "asleep"],
    ["there are no process types", {}, "", "unmanaged"],
    ["there is no web", { worker: 2 }, "worker:up", "unmanaged"],
    ["a word of tomorrow", { web: 1 }, "web:hibernating", "unknown"],
  ];
  for (const [what, formation, dynos, phase] of cases) {
    test(`heroku: ${what} -> ${phase}`, () => {
      const look = { formation: typesOf(formation), dynos: dynosOf(dynos), hadCrashed: false };
      const seen = observationOf({ app: APP, ...look });
      expect(seen.phase).toBe(phase as typeof seen.phase);
      expect(seen.target).toEqual(TARGET);
    });
  }

  test("heroku: all web dynos crashed at two looks in a row -> failed, and which", () => {
    const look = { formation: typesOf({ web: 1 }), dynos: dynosOf("web:crashed") };
    const seen = observationOf({ app: APP, ...look, hadCrashed: true });
    expect(seen.phase).toBe("failed");
    expect(seen.reason).toContain("web.1");
  });

  test("heroku: an unknown word is repeated in the reason", () => {
    const look = { formation: typesOf({ web: 1 }), dynos: dynosOf("web:hibernating") };
    const seen = observationOf({ app: APP, ...look, hadCrashed: false });
    expect(seen.reason).toContain('"hibernating"');
  });

  test("heroku: maintenance blocks what runs, and does not hide what sleeps", () => {
    const app = { ...APP, isInMaintenance: true };
    const up = { formation: typesOf({ web: 1 }), dynos: dynosOf("web:up"), hadCrashed: false };
    const seen = observationOf({ app, ...up });
    expect(seen.phase).toBe("blocked");
    expect(seen.reason).toContain("heroku maintenance:off --app demo");
    const down = { formation: typesOf({ web: 0 }), dynos: [], hadCrashed: false };
    expect(observationOf({ app, ...down }).phase).toBe("asleep");
  });

  test("heroku: without a web_url it is unmanaged, whatever runs", () => {
    const app = { ...APP, target: null };
    const up = { formation: typesOf({ web: 1 }), dynos: dynosOf("web:up"), hadCrashed: false };
    const seen = observationOf({ app, ...up });
    expect(seen.phase).toBe("unmanaged");
    expect(seen.reason).toContain("Private Space");
  });

  test("heroku: only Eco web dynos sleep by themselves", () => {
    expect(sleepsByItself(typesOf({ web: 1 }, "Eco"))).toBe(true);
    expect(sleepsByItself(typesOf({ web: 0 }, "eco"))).toBe(true);
    expect(sleepsByItself(typesOf({ web: 1 }, "Basic"))).toBe(false);
    expect(sleepsByItself(typesOf({ worker: 1 }, "Eco"))).toBe(false);
    expect(sleepsByItself([])).toBe(false);
  });
});

describe("quantities", () => {
  const FORMATION = typesOf({ web: 2, worker: 3, clock: 0 }, "Standard-2X");
  const DOWN = typesOf({ web: 0, worker: 0, clock: 0 }, "Standard-2X");

  test("heroku: a snapshot holds quantities and sizes, zeros included", () => {
    expect(snapshotOf(FORMATION)).toEqual({
      kind: "quantities",
      processes: [
        { type: "web", quantity: 2, size: "Standard-2X" },
        { type: "worker", quantity: 3, size: "Standard-2X" },
        { type: "clock", quantity: 0, size: "Standard-2X" },
      ],
    });
  });

  test("heroku: a wake asks for what the snapshot holds, and for no type at 0", () => {
    const snapshot = JSON.parse(JSON.stringify(snapshotOf(FORMATION)));
    expect(wakeUpdates(DOWN, snapshot)).toEqual([
      { type: "web", quantity: 2 },
      { type: "worker", quantity: 3 },
    ]);
  });

  test("heroku: without a snapshot a wake asks for one web, and nothing else", () => {
    const web = [{ type: "web", quantity: 1 }];
    expect(wakeUpdates(DOWN, null)).toEqual(web);
    expect(wakeUpdates(DOWN, { kind: "none" })).toEqual(web);
    expect(wakeUpdates(DOWN, snapshotOf(DOWN))).toEqual(web);
  });

  test("heroku: what runs meanwhile and what is gone is left alone by a wake", () => {
    const now = typesOf({ web: 0, worker: 1 });
    const snapshot = snapshotOf(typesOf({ web: 1, worker: 4, mailer: 2 }));
    expect(wakeUpdates(now, snapshot)).toEqual([{ type: "web", quantity: 1 }]);
  });

  test("heroku: a sleep names the types above 0 only", () => {
    expect(sleepUpdates(storedIn(snapshotOf(FORMATION)))).toEqual([
      { type: "web", quantity: 0 },
      { type: "worker", quantity: 0 },
    ]);
    expect(sleepUpdates(DOWN)).toEqual([]);
    expect(sleepUpdates(storedIn({ kind: "none" }))).toEqual([]);
  });

  test("heroku: what is missing after a write that may have been applied", () => {
    const updates = [
      { type: "web", quantity: 2 },
      { type: "worker", quantity: 3 },
      { type: "gone", quantity: 1 },
    ];
    expect(stillMissing(FORMATION, updates)).toEqual([]);
    expect(stillMissing(typesOf({ web: 2, worker: 0 }), updates)).toEqual([
      { type: "worker", quantity: 3 },
    ]);
  });
});

describe("what answers say", () => {
  const entry = { id: "i", name: "demo", web_url: "https://demo-12.herokuapp.com/" };

  test("heroku: an app's address is its web_url without the slash, of either scheme", () => {
    expect(readApp(entry).target).toEqual(targetOf("https://demo-12.herokuapp.com"));
    const plain = readApp({ ...entry, web_url: "http://demo.herokuapp.com/" });
    expect(plain.target).toEqual(targetOf("http://demo.herokuapp.com"));
    for (const web_url of [null, undefined, "", "not a url", "ftp://x/", 7]) {
      expect(readApp({ ...entry, web_url }).target).toBeNull();
    }
  });

  test("heroku: unknown fields are passed over, entries without id or name left out", () => {
    const more = { ...entry, tomorrow: { a: [1] }, maintenance: true };
    expect(readApps([more, { id: "j" }, null, 7, "x", { id: "", name: "n" }])).toEqual([
      { ...readApp(entry), isInMaintenance: true },
    ]);
    expect(readFormation([{ type: "web", quantity: 1, dyno_size: { name: "Eco" } }, {}])).toEqual([
      { type: "web", quantity: 1, size: "Eco" },
    ]);
    expect(readFormation([{ type: "web", quantity: 1, size: "Basic" }])[0]?.size).toBe("Basic");
    expect(readDynos([{ name: "web.1", type: "web", state: "up" }, { state: "up" }])).toEqual([
      { name: "web.1", type: "web", state: "up" },
    ]);
  });

  test("heroku: what is no list, or no app, is a protocol error", () => {
    for (const body of [null, "text", {}, 7]) {
      expect(() => readApps(body)).toThrow("not a list of apps");
      expect(() => readDynos(body)).toThrow("not a list of dynos");
      expect(() => readApp(body)).toThrow("not an app");
    }
  });

  test("heroku: the newest build or release decides, in whatever order they come", () => {
    const old = { status: "pending", created_at: "2026-05-01T10:00:00Z" };
    const newer = { status: "succeeded", created_at: "2026-05-01T11:00:00Z" };
    expect(isNewestPending([old, newer])).toBe(false);
    expect(isNewestPending([newer, old])).toBe(false);
    expect(isNewestPending([old])).toBe(true);
    expect(isNewestPending([])).toBe(false);
  });
});

describe("lists in parts", () => {
  function part(body: unknown, next: string | null): ApiAnswer {
    const header = (name: string) => (name === "next-range" ? next : null);
    return { status: next === null ? 200 : 206, header, body };
  }

  test("heroku: parts are asked for until none is named", async () => {
    const parts = new Map([
      ["id ..; max=1000", part([1], "id b..; max=1000")],
      ["id b..; max=1000", part([2], "id c..; max=1000")],
      ["id c..; max=1000", part([3], null)],
    ]);
    const pages = await readPages(async (range) => {
      const found = parts.get(range);
      if (found === undefined) throw new Error(`never named: ${range}`);
      return found;
    });
    expect(pages).toEqual([[1], [2], [3]]);
  });

  test("heroku: a list that goes in circles is given up", async () => {
    const pages = readPages(async () => part([1], "id b..; max=1000"));
    await expect(pages).rejects.toThrow("does not come to an end");
    let count = 0;
    const endless = readPages(async () => part([1], `id ${count++}..`));
    await expect(endless).rejects.toThrow("does not come to an end");
  });
});

describe("operations", () => {
  test("heroku: an operation survives being written down", () => {
    const operation = { goal: "wake", change: 3, sinceMs: 1_700_000_000_000 } as const;
    expect(decodeOperation(encodeOperation(operation))).toEqual(operation);
    expect(() => decodeOperation({ id: "some-operation" })).toThrow("some-operation");
  });

  test("heroku: it is polled every 3 s for a minute, then every 10 s", () => {
    expect([0, 59_999, 60_000, 600_000].map(pollAfterMs)).toEqual([3000, 3000, 10_000, 10_000]);
  });
});

describe("refusals", () => {
  function refusalOf(status: number, body: unknown, requestId: string | null = null) {
    const call = {
      what: "list",
      method: "GET",
      path: "/apps",
      headers: { "request-id": "ours" },
      urgency: "sweep",
      signal: new AbortController().signal,
    } as const;
    return understand({ status, body, header: () => requestId, call });
  }

  test("heroku: each refusal has its kind", () => {
    const kinds: readonly (readonly [number, string, string])[] = [
      [401, "unauthorized", "auth"],
      [402, "delinquent", "payment"],
      [403, "forbidden", "forbidden"],
      [403, "suspended", "forbidden"],
      [403, "two_factor", "auth"],
      [404, "not_found", "not-found"],
      [409, "conflict", "busy"],
      [416, "requested_range_not_satisfiable", "protocol"],
      [422, "invalid_params", "invalid"],
      [422, "conflict", "busy"],
      [422, "verification_needed", "payment"],
      [429, "rate_limit", "rate-limited"],
      [500, "internal_server_error", "unavailable"],
      [503, "", "unavailable"],
    ];
    for (const [status, id, kind] of kinds) {
      const refusal = refusalOf(status, { id, message: "words of Heroku" });
      expect(`${status} ${id}: ${refusal.kind}`).toBe(`${status} ${id}: ${kind}`);
    }
  });

  test("heroku: the id of the request is told: the one that came back, else ours", () => {
    expect(refusalOf(500, null, "theirs").message).toContain("[request theirs]");
    expect(refusalOf(404, null).message).toContain("[request ours]");
  });

  test("heroku: a refused token is named by its variable", () => {
    const { message } = refusalOf(401, { id: "unauthorized", message: "Invalid credentials" });
    expect(message).toContain("PROVIDER_HEROKU_API_TOKEN");
    expect(message).toContain("Invalid credentials");
  });
});

describe("the router's own page", () => {
  const page = {
    server: "Cowboy",
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-cache, no-store",
  };
  const isDown = (status: number, headers: Readonly<Record<string, string>>, isSurelyUp = false) =>
    isDownPage(status, (name) => headers[name] ?? null, isSurelyUp);

  test("heroku: a page of either router is one", () => {
    expect(isDown(503, page)).toBe(true);
    expect(isDown(503, { ...page, server: "Heroku" })).toBe(true);
    expect(isDown(404, page)).toBe(true);
  });

  test("heroku: a 503 without Via is one, however little else it says", () => {
    expect(isDown(503, {})).toBe(true);
    expect(isDown(503, { "content-type": "text/plain;charset=utf-8" })).toBe(true);
    expect(isDown(503, { server: "Cowboy", "content-type": "text/html" })).toBe(true);
  });

  test("heroku: of an app that is surely up, only a page in every way is one", () => {
    expect(isDown(503, page, true)).toBe(true);
    expect(isDown(503, {}, true)).toBe(false);
    expect(isDown(503, { server: "Cowboy", "content-type": "text/html" }, true)).toBe(false);
  });

  test("heroku: an app is surely up when a look has just said so, and its router had time to notice", async () => {
    const clock = createVirtualClock();
    const by = { clock, seen: new Map() };
    remember(by, "id", { phase: "awake" });
    expect(isSurelyUp(by, "id")).toBe(false);
    await clock.advance(6_000);
    expect(isSurelyUp(by, "id")).toBe(true);
    await clock.advance(10_000);
    expect(isSurelyUp(by, "id")).toBe(false);
    remember(by, "id", { phase: "awake" });
    expect(isSurelyUp(by, "id")).toBe(true);
    remember(by, "id", { phase: "stopping" });
    expect(isSurelyUp(by, "id")).toBe(false);
  });

  test("heroku: what an app answers is none, whatever it looks like", () => {
    for (const via of ["1.1 vegur", "1.1 heroku-router", "2.0 heroku-router"]) {
      expect(isDown(503, { ...page, via })).toBe(false);
    }
    expect(isDown(503, { ...page, server: "nginx" })).toBe(false);
    expect(isDown(503, { ...page, "content-type": "application/json" })).toBe(false);
    expect(isDown(404, { server: "Cowboy", "content-type": "text/html" })).toBe(false);
    expect(isDown(404, {})).toBe(false);
    for (const status of [200, 302, 500, 502, 504]) expect(isDown(status, page)).toBe(false);
  });
});
