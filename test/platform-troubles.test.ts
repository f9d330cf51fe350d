/** What the log says when a whole platform is in trouble, however many apps and calls meet it. */

import { describe, expect, test } from "bun:test";

import { logEvents } from "../src/event-log.ts";
import { createPlatformApi, type PlatformApi } from "../src/providers/platform-api.ts";
import { createToken, fixedCredentials } from "../src/providers/platform-token.ts";
import type { Observation } from "../src/providers/provider.ts";
import { recordingLog } from "./support/recording-log.ts";
import { awakeAt, SAMPLE_START_MS, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, type StubProvider } from "./support/stub-provider.ts";

const SWEEP = { kind: "sweep", detail: "sweep" } as const;
const REQUEST = { kind: "request", detail: "GET /" } as const;
const CANNOT_LIST = /^warn cannot list its apps/;
const MINUTE_MS = 60_000;

/** How the platform answers a call. */
type Answers = (path: string, signal: AbortSignal) => Promise<Response>;

const fine: Answers = async () => Response.json({});
const refused: Answers = async () => {
  throw Object.assign(new Error("Unable to connect"), { code: "ConnectionRefused" });
};
const busy: Answers = async () => new Response("maintenance", { status: 503 });
const unauthorized: Answers = async () => Response.json({}, { status: 401 });
const silent: Answers = (_, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

/**
 * The core with a platform `cloud`, whose every list and look is one call to its API.
 * @param keys of apps that are up, and may sleep when they were idle for `maxIdleMs`
 */
function cloudWorld(keys: readonly string[] = ["shop"], maxIdleMs: number | null = null) {
  const { log, lines } = recordingLog();
  const provider = createStubProvider({ name: "cloud", watches: false, listsDeclaredApps: false });
  const world = createSmallWorld({ provider, deps: { log } });
  const platform = { answers: fine };
  const api = apiAt("https://api.cloud.test", world, { log, platform });
  for (const key of keys) {
    const ref = { provider: "cloud", id: key };
    world.policies.set(key, { maxIdleMs });
    world.add(key, { ref, state: awakeAt(key), lastTarget: sampleTarget(key) });
  }
  useApi(provider, api);
  return {
    ...{ world, provider, platform, api, log },
    /** Lines of the log that an operator sees, events included. */
    async said() {
      await world.clock.advance(0);
      const events = recordingLog();
      world.events.forEach(logEvents(events.log));
      return [...lines, ...events.lines]
        .filter(({ level }) => level !== "debug")
        .map(({ level, message }) => `${level} ${message}`);
    },
    /** Goes on for so long, with a sweep a minute unless more are wanted. */
    async minutes(count: number, sweepsPerMinute = 1) {
      for (let sweep = 0; sweep < count * sweepsPerMinute; sweep += 1) {
        void world.core.sweeper.sweep();
        await world.clock.advance(MINUTE_MS / sweepsPerMinute);
      }
    },
  };
}

function apiAt(
  baseUrl: string,
  { clock }: Pick<ReturnType<typeof createSmallWorld>, "clock">,
  options: {
    readonly log: ReturnType<typeof recordingLog>["log"];
    readonly platform: { readonly answers: Answers };
    readonly credentials?: Parameters<typeof createPlatformApi>[0]["credentials"];
  },
): PlatformApi {
  const { log, platform, credentials = fixedCredentials({}) } = options;
  return createPlatformApi({
    ...{ provider: "cloud", baseUrl, clock, log, credentials },
    random: () => 0.5,
    budget: { burst: 100, perMinute: 600, inFlightMax: 10 },
    // It is given by the API, and it may be missing by type alone.
    fetch: (url, { signal }) => platform.answers(new URL(url).pathname, signal as AbortSignal),
  });
}

/** Every list and every look is one call to the API; what they say is what the stub would say. */
function useApi(provider: StubProvider, api: PlatformApi): void {
  const call = (what: string, path: string, signal: AbortSignal) =>
    api.send({ what, path, method: "GET", urgency: "sweep", signal });
  const observationOf = (id: string): Observation => {
    const isUp = provider.up.has(id);
    return { phase: isUp ? "awake" : "asleep", target: isUp ? sampleTarget(id) : null };
  };
  provider.script.list = async (signal) => {
    await call("list the apps", "/apps", signal);
    return [...provider.ids].map((id) => ({
      ...{ id, key: id, sleepsByItself: false },
      observation: observationOf(id),
    }));
  };
  provider.script.observe = async (id, signal) => {
    await call(`read ${id}`, `/apps/${id}`, signal);
    return observationOf(id);
  };
}

describe("an API that goes away", () => {
  test("is one line when it begins and one when it ends, however the reasons alternate", async () => {
    const { world, platform, minutes, said } = cloudWorld();
    await minutes(2);
    for (const answers of [refused, busy, refused, busy]) {
      platform.answers = answers;
      await minutes(8);
    }
    expect(await said()).toEqual(["info found 1 app on cloud", expect.stringMatching(CANNOT_LIST)]);
    expect(world.core.reconciler.troubleOf("cloud")).toContain("could not list the apps");
    platform.answers = fine;
    await minutes(3);
    expect((await said()).slice(2)).toEqual(["info lists its apps again"]);
  });

  test("that its token is refused meanwhile is said too", async () => {
    const { platform, minutes, said } = cloudWorld();
    for (const answers of [refused, unauthorized, refused, unauthorized]) {
      platform.answers = answers;
      await minutes(3);
    }
    expect(await said()).toEqual([
      expect.stringMatching(CANNOT_LIST),
      expect.stringMatching(/^error the platform does not accept the token/),
    ]);
  });

  test("one that comes and goes does not fill the log", async () => {
    const { platform, minutes, said } = cloudWorld();
    await minutes(1);
    for (let time = 0; time < 9; time += 1) {
      platform.answers = time % 2 === 0 ? refused : fine;
      await minutes(1);
    }
    expect(await said()).toEqual([
      "info found 1 app on cloud",
      expect.stringMatching(CANNOT_LIST),
      "info lists its apps again",
    ]);
  });

  test("a second time long after a short first one is said again", async () => {
    const { platform, minutes, said } = cloudWorld();
    await minutes(1);
    platform.answers = refused;
    await minutes(1);
    platform.answers = fine;
    await minutes(15);
    platform.answers = refused;
    await minutes(5);
    expect((await said()).slice(1)).toEqual([
      expect.stringMatching(CANNOT_LIST),
      "info lists its apps again",
      expect.stringMatching(CANNOT_LIST),
    ]);
  });

  test("one that never answers is said once, though each call ends for another reason", async () => {
    const { platform, minutes, said } = cloudWorld();
    platform.answers = silent;
    await minutes(15);
    expect(await said()).toEqual([expect.stringMatching(CANNOT_LIST)]);
  });

  test("right before many apps are put to sleep: one line, and each event is kept", async () => {
    const keys = ["a", "b", "c", "d", "e", "f"];
    const { world, platform, minutes, said } = cloudWorld(keys, 2.5 * MINUTE_MS);
    await minutes(3);
    const before = (await said()).length;
    // The list still came; the look at each app does not.
    platform.answers = async (path, signal) => (path === "/apps" ? fine : refused)(path, signal);
    await minutes(1);
    const kept = world.events.filter(({ name }) => name === "APP_STOP_CANCELLED");
    expect(kept.map(({ app }) => app).toSorted()).toEqual(keys);
    expect(kept[0]?.reason).toContain("refused the connection");
    expect((await said()).slice(before)).toEqual([
      expect.stringMatching(/^warn the platform's API gives no usable answer/),
    ]);
  });

  test("a wake that is tried meanwhile says what became of it, and nothing else", async () => {
    const { world, platform, minutes, said } = cloudWorld();
    const app = world.add("blog", { ref: { provider: "cloud", id: "blog" } });
    platform.answers = refused;
    await minutes(2);
    const before = (await said()).length;
    app.state = { kind: "unknown", sinceMs: world.clock.now() };
    const woken = world.core.lifecycle.wake(app, REQUEST);
    await world.clock.advance(MINUTE_MS);
    expect((await woken).kind).toBe("awake");
    expect((await said()).slice(before)).toEqual(["info waking", "info awake"]);
  });
});

describe("a refused credential", () => {
  test("is one line, and one when it works again", async () => {
    const { platform, minutes, said } = cloudWorld();
    await minutes(1);
    platform.answers = unauthorized;
    await minutes(30);
    platform.answers = fine;
    await minutes(3);
    expect((await said()).slice(1)).toEqual([
      expect.stringMatching(/^error the platform does not accept the token/),
      "info the token works again",
    ]);
  });

  test("also where it is exchanged for a token at another address", async () => {
    const { world, provider, platform, log, minutes, said } = cloudWorld();
    const door = { answers: fine };
    const auth = apiAt("https://auth.cloud.test", world, { log, platform: door });
    const credentials = createToken({
      clock: world.clock,
      async fetchToken(signal) {
        const what = "exchange the token";
        await auth.send({ what, method: "POST", path: "/exchange", urgency: "wake", signal });
        return { value: "bearer", validMs: 30_000 };
      },
    });
    useApi(provider, apiAt("https://api.cloud.test", world, { log, platform, credentials }));
    await minutes(1);
    door.answers = unauthorized;
    await minutes(30, 3);
    door.answers = fine;
    await minutes(3);
    expect((await said()).slice(1)).toEqual([
      expect.stringMatching(/^error the platform does not accept the token/),
      "info the token works again",
    ]);
  });
});

describe("the end of the program", () => {
  test("stops that it calls off are no news, for none of the apps", async () => {
    const { world, api, platform, minutes, said } = cloudWorld(["a", "b", "c"], 2.5 * MINUTE_MS);
    await minutes(3);
    const before = (await said()).length;
    platform.answers = async (path, signal) => (path === "/apps" ? fine : silent)(path, signal);
    void world.core.sweeper.sweep();
    await world.clock.advance(100);
    const closed = world.core.lifecycle.close();
    api.close();
    await world.clock.advance(1000);
    await closed;
    expect(world.eventsOf("a")).toContain("APP_STOP_CANCELLED");
    expect((await said()).slice(before)).toEqual([]);
  });
});

describe("many apps", () => {
  test("found by the first list are one line, one that comes later is a line of its own", async () => {
    const { world, provider, minutes, said } = cloudWorld([]);
    for (let number = 1; number <= 40; number += 1) provider.ids.add(`review-${number}`);
    await minutes(1);
    provider.ids.add("review-41");
    await minutes(1);
    expect(await said()).toEqual(["info found 40 apps on cloud", "info registered"]);
    expect(world.eventsOf("review-7")).toEqual(["APP_DISCOVERED", "APP_REGISTERED"]);
  });

  test("of which an earlier run knew some: the others are counted", async () => {
    const { world, provider, minutes, said } = cloudWorld(["old"]);
    provider.ids.add("new");
    await minutes(1);
    expect(await said()).toEqual(["info found 2 apps on cloud, 1 of them for the first time"]);
    expect(world.core.table.byKey("old")?.firstSeenMs).toBe(SAMPLE_START_MS);
  });

  test("that stay awake for the same reason at each sweep are told of once each", async () => {
    const { platform, minutes, said } = cloudWorld(["a", "b"], 2.5 * MINUTE_MS);
    await minutes(2);
    const before = (await said()).length;
    const forbidden: Answers = async () => Response.json({}, { status: 403 });
    platform.answers = async (path, signal) => (path === "/apps" ? fine : forbidden)(path, signal);
    await minutes(10);
    expect((await said()).slice(before)).toEqual(["info stays awake", "info stays awake"]);
  });
});

test("a list that comes after the start failed says what it found, and not that it lists again", async () => {
  const { platform, minutes, said } = cloudWorld();
  platform.answers = refused;
  await minutes(2);
  platform.answers = fine;
  await minutes(3);
  expect(await said()).toEqual([expect.stringMatching(CANNOT_LIST), "info found 1 app on cloud"]);
});

test("while a provider has not listed its apps, the time and its failures decide what is known", async () => {
  const { world, platform } = cloudWorld();
  const { completeness } = world.core.reconciler;
  platform.answers = silent;
  const first = world.core.reconciler.run(SWEEP);
  await world.clock.advance(29_999);
  expect(completeness()).toBe("starting");
  await world.clock.advance(1);
  expect(completeness()).toBe("stuck");
  await world.clock.advance(30_000);
  await first;
  platform.answers = fine;
  await world.core.reconciler.run(SWEEP);
  expect(completeness()).toBe("complete");
});
