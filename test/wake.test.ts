import { describe, expect, test } from "bun:test";

import type { App } from "../src/app.ts";
import { LAST_OUTPUT } from "../src/app.ts";
import type { Admission, Exchange, RequestHead } from "../src/engines/engine.ts";
import type { Observation, Step } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { causeOf } from "../src/wake.ts";
import { estimateMs } from "../src/wake-progress.ts";
import { answered, headerOf, held, summaryOf } from "./support/own-answer.ts";
import { headFor, NAVIGATION } from "./support/request-head.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

const ASLEEP: App["state"] = { kind: "asleep", sinceMs: 0 };
const WAKE_TIMEOUT_MS = 20_000;

type Changes = Parameters<typeof headFor>[1];

/** A world with `shop`, whose wakes last until the test says so, and 60 s at most. */
function sleepyWorld(
  options: Parameters<typeof createSmallWorld>[0] = {},
  changes: Partial<App> = {},
) {
  const world = createSmallWorld(options);
  world.policies.set("shop", { wakeTimeoutMs: 60_000 });
  const app = world.add("shop", { state: ASLEEP, ...changes });
  const booting = heldCall<Step>();
  world.provider.script.wake = (_id, _snapshot, signal) => booting.pass(signal);
  return {
    world,
    app,
    admit: (head: Changes = {}) => world.core.handler.admit(headFor("shop", head)),
    async boot() {
      world.provider.up.add("shop");
      booting.open({ done: true, target: sampleTarget("shop") });
      await world.clock.advance(0);
    },
    async fail(why: string | Error) {
      booting.fail(typeof why === "string" ? new Error(why) : why);
      await world.clock.advance(0);
    },
  };
}

/** The decision on a held request; fails when there is none yet. */
async function settledNow(admission: Admission): Promise<string> {
  const open = Symbol("open");
  const decision = await Promise.race([held(admission).decision, Promise.resolve(open)]);
  return typeof decision === "symbol" ? "open" : summaryOf(decision);
}

/** Everything is given back: nobody is held, nobody uses the app, no timer is left. */
function expectClean(world: SmallWorld, app: App): void {
  expect([app.leases, world.core.gate.held(), world.clock.pending()]).toEqual([0, 0, 0]);
}

describe("admission", () => {
  const cases: readonly (readonly [name: string, changes: Partial<App>, expected: string])[] = [
    ["awake", { state: awakeAt("shop") }, "to http://shop.test:8080"],
    ["asleep", { state: ASLEEP }, "held"],
    ["unknown, never seen up", { state: { kind: "unknown", sinceMs: 0 } }, "held"],
    [
      "unknown, seen up before",
      { state: { kind: "unknown", sinceMs: 0 }, lastTarget: sampleTarget("shop", 9000) },
      "to http://shop.test:9000",
    ],
    [
      "failed, and its pause is over",
      { state: { kind: "failed", sinceMs: 0, why: "x", retryAtMs: 1_700_000_000_000 } },
      "held",
    ],
    [
      "failed, and its pause is not over",
      { state: { kind: "failed", sinceMs: 0, why: "x", retryAtMs: 1_700_000_005_001 } },
      "503 app_failed, again after 5 s",
    ],
  ];
  for (const [name, changes, expected] of cases) {
    test(`admission: an app that is ${name}: ${expected}`, async () => {
      const { world, app, admit } = sleepyWorld({}, changes);
      // Right after the start it would be waited for the first list.
      await world.clock.advance(1000);
      expect(summaryOf(admit())).toBe(expected);
      expect(app.leases).toBe(expected.startsWith("503") ? 0 : 1);
      expect(world.core.gate.held()).toBe(expected === "held" ? 1 : 0);
    });
  }

  test("admission: a request for an app that is awake sets no timer and calls nobody", () => {
    const { world, admit } = sleepyWorld({}, { state: awakeAt("shop") });
    admit();
    expect([world.clock.pending(), world.provider.calls]).toEqual([0, []]);
  });

  test("admission: who is held goes to the app as soon as it is awake", async () => {
    const { world, app, admit, boot } = sleepyWorld();
    const admissions = [1, 2, 3].map(() => admit());
    await world.clock.advance(500);
    expect(world.core.gate.held()).toBe(3);
    await boot();
    for (const admission of admissions) {
      expect(await settledNow(admission)).toBe("to http://shop.test:8080");
    }
    expect([app.leases, world.core.gate.held()]).toEqual([3, 0]);
  });

  test("admission: who is held is told when the wake fails, with reason and pause", async () => {
    const { world, app, admit, fail } = sleepyWorld();
    const admission = admit({ headers: { accept: "text/plain" } });
    await fail("no room on the platform");
    expect(await settledNow(admission)).toBe("503 app_failed, again after 1 s");
    const decision = await held(admission).decision;
    expect(answered(decision).body).toContain("no room on the platform");
    expectClean(world, app);
  });

  test("admission: the first request after the pause of a failed app wakes it", async () => {
    const { world, app, admit, fail } = sleepyWorld();
    admit();
    await fail("no room");
    expect(summaryOf(admit())).toBe("503 app_failed, again after 1 s");
    await world.clock.advance(750);
    delete world.provider.script.wake;
    const admission = admit();
    await world.clock.advance(10);
    expect(await settledNow(admission)).toBe("to http://shop.test:8080");
    expect(app.state.kind).toBe("awake");
  });

  test("admission: an app seen up before that cannot be reached is woken, and the request goes on", async () => {
    const lastTarget = sampleTarget("shop");
    const { world, admit, boot } = sleepyWorld(
      {},
      { state: { kind: "unknown", sinceMs: 0 }, lastTarget },
    );
    await world.clock.advance(1000);
    const first = admit() as Exchange; // Its table above says so.
    const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
    const second = world.core.handler.failed(first, failure);
    expect(summaryOf(second)).toBe("held");
    await boot();
    expect(await settledNow(second)).toBe("to http://shop.test:8080");
  });

  test("admission: a visitor from elsewhere is not told where the app was looked for", async () => {
    const { admit, fail } = sleepyWorld({ deps: { showAppOutput: "local" } });
    const admission = admit();
    await fail("it did not answer within 20 s; last probe: http://127.0.0.1:27051: refused");
    const body = String(answered(await held(admission).decision).body);
    expect(body).toContain("it did not answer within 20 s");
    expect(body).not.toContain("27051");
  });

  /* biome-ignore format: a table */
  const VISITORS = [
    // setting, from, its proxy's header, sees the last words
    ["always", "192.0.2.7", null,              true],
    ["never",  "127.0.0.1", null,              false],
    ["local",  "127.0.0.1", null,              true],
    ["local",  "::1",       null,              true],
    ["local",  "192.0.2.7", null,              false],
    ["local",  "127.0.0.1", "x-forwarded-for", false],
    ["local",  "127.0.0.1", "via",             false],
  ] as const;

  for (const [showAppOutput, clientAddress, header, sees] of VISITORS) {
    test(`admission: ${showAppOutput}: a client at ${clientAddress}${header ? ` with ${header}` : ""} ${sees ? "sees" : "does not see"} an app's last words`, async () => {
      const { fail, world } = sleepyWorld({ deps: { showAppOutput } });
      const proxied = header === null ? {} : { [header]: "1.1 nginx" };
      const head = (more = {}) => ({
        ...headFor("shop", { headers: { ...proxied, ...more } }),
        clientAddress,
      });
      const admission = world.core.handler.admit(head());
      await fail(`exited with status 1${LAST_OUTPUT}the secret word`);
      const bodies = [
        answered(await held(admission).decision).body,
        answered(world.core.handler.admit(head())).body,
        await progressText(world, head({ "paastis-progress": "1" })),
      ];
      for (const body of bodies) {
        expect(String(body)).toContain("exited with status 1");
        expect(String(body).includes("the secret word")).toBe(sees);
      }
    });
  }
});

describe("what visitors are told of a platform", () => {
  const SECRETS = "401 from https://api.cloud.test: TOKEN is no good [request 5d02c1]";
  const FAR = { "x-forwarded-for": "203.0.113.9" };
  const FORMS = [
    { accept: "application/json" },
    { accept: "text/plain" },
    NAVIGATION,
    { "paastis-progress": "1" },
  ];

  /** What the visitor reads, in each form, while the pause after the failure lasts. */
  async function readings(world: SmallWorld, more: Record<string, string>) {
    const texts: string[] = [];
    for (const form of FORMS) {
      const head = headFor("shop", { headers: { ...form, ...more } });
      texts.push(await textOf(world, { ...head, clientAddress: "127.0.0.1" }));
    }
    return texts;
  }

  test("visitors: a refused credential is a plain sentence to them, in every form, and all of it to operators", async () => {
    const { world, admit, fail } = sleepyWorld({ deps: { showAppOutput: "local" } });
    const admission = admit({ headers: FAR });
    await fail(new ProviderError("auth", `could not wake shop: ${SECRETS}`));
    const held1 = String(answered(await held(admission).decision).body);
    expect(held1).toContain("its platform refused the call; the log of Paastis says why");
    const event = world.events.at(-1)?.id ?? "";
    for (const text of [held1, ...(await readings(world, FAR))]) {
      expect(text).toContain("its platform refused the call");
      expect([text, text.includes(event)]).toEqual([text, true]);
      for (const secret of ["401", "api.cloud", "TOKEN", "5d02c1", "credential"]) {
        expect([secret, text.includes(secret)]).toEqual([secret, false]);
      }
    }
    for (const text of await readings(world, {})) expect(text).toContain("5d02c1");
    expect(world.events.at(-1)?.reason).toContain(SECRETS);
  });

  test("visitors: nor are they told why a platform blocks an app, or what it says of a crash", async () => {
    const provider = createStubProvider({ listsDeclaredApps: false });
    for (const [phase, code, words] of [
      ["blocked", "app_failed", "the platform blocks it; the log of Paastis says why"],
      ["failed", "app_crashed", "the log of Paastis says why"],
    ] as const) {
      const world = createSmallWorld({ provider, deps: { showAppOutput: "local" } });
      world.add("shop", { state: awakeAt("shop", world.clock.now()) });
      const observation: Observation = { phase, target: null, reason: SECRETS };
      world.provider.report({ id: "shop", observation });
      const [text = ""] = await readings(world, FAR);
      expect(text).toContain(`"error": "${code}"`);
      expect(text).toContain(words);
      for (const text of await readings(world, FAR)) expect(text).not.toContain("5d02c1");
      const [own = ""] = await readings(world, {});
      expect(own).toContain("5d02c1");
    }
  });

  test("visitors: an app that ended by itself is not called one that could not be woken", async () => {
    const world = createSmallWorld();
    world.add("shop", { state: awakeAt("shop", world.clock.now()) });
    const observation: Observation = { phase: "failed", target: null, reason: "exited with 1" };
    world.provider.report({ id: "shop", observation });
    const [json = "", text = "", page = "", progress = ""] = await readings(world, {});
    for (const body of [json, text, page]) {
      expect(body).toContain("ended by itself");
      expect(body).not.toContain("could not be woken");
    }
    expect(progress).toContain('"hasCrashed":true');
  });
});

/** The body of an answer of ours, a stream to its end. */
async function textOf(world: SmallWorld, head: RequestHead): Promise<string> {
  const { body } = answered(world.core.handler.admit(head));
  if (typeof body === "string") return body;
  let text = "";
  for await (const piece of body) text += piece;
  return text;
}

describe("patience", () => {
  test("patience: who may see it is told what the last probe saw where, and nobody else", async () => {
    for (const [from, sees] of [
      ["127.0.0.1", true],
      ["192.0.2.7", false],
    ] as const) {
      const world = createSmallWorld({ deps: { showAppOutput: "local" } });
      world.policies.set("shop", { wakeTimeoutMs: 60_000 });
      world.add("shop", { state: ASLEEP });
      world.answering = new Set();
      const admission = world.core.handler.admit({ ...headFor("shop"), clientAddress: from });
      await world.clock.advance(25_000);
      const body = String(answered(await held(admission).decision).body);
      expect(body).toContain("it has been waking for 25 s; the wake goes on");
      const saw = "; last probe: http://shop.test:8080: connection refused";
      expect([from, body.includes(saw)]).toEqual([from, sees]);
      await world.core.lifecycle.close();
    }
  });

  test("patience: an app that is still being stopped is not said to be waking", async () => {
    const world = createSmallWorld({ hold: { maxMs: 5000 } });
    const app = world.add("shop", { state: awakeAt("shop", 0) });
    const stopping = heldCall<Step>();
    world.provider.script.sleep = (_id, _snapshot, signal) => stopping.pass(signal);
    const cause = { kind: "sweep", detail: "idle" } as const;
    void world.core.lifecycle.sleep(app, { cause, drainMs: 0, unusedSinceMs: null });
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("stopping");
    const admission = world.core.handler.admit(headFor("shop"));
    await world.clock.advance(5000);
    const body = String(answered(await held(admission).decision).body);
    expect(body).toContain("stopping for 6 s, which has to end first; then it is woken again");
    expect(body).not.toContain("been waking");
    world.provider.up.delete("shop");
    stopping.open({ done: true, target: null });
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("awake");
  });

  const navigation = { headers: NAVIGATION };

  test("patience: a request is told to come back when its budget is used up, and the wake goes on", async () => {
    const { world, app, admit, boot } = sleepyWorld();
    const admission = admit();
    await world.clock.advance(24_999);
    expect(await settledNow(admission)).toBe("open");
    await world.clock.advance(1);
    expect(await settledNow(admission)).toBe("503 app_waking, again after 5 s");
    expect([app.leases, world.core.gate.held()]).toEqual([0, 0]);
    expect(app.state.kind).toBe("waking");
    await boot();
    expect(app.state.kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake shop"]);
    expectClean(world, app);
  });

  describe("a platform that cannot be reached meanwhile", () => {
    const PUBLIC = "its platform cannot be reached at the moment";

    /** A wake whose calls fail for as long as the platform is away. */
    function awayWorld(showAppOutput: "always" | "never") {
      const made = sleepyWorld({ deps: { showAppOutput } });
      const platform = { isAway: true };
      made.world.provider.script.wake = async () => {
        if (platform.isAway) throw new ProviderError("network", "connection to 192.0.2.7 refused");
        return { done: false, operation: { id: "boot" }, pollAfterMs: 60_000 };
      };
      return { ...made, platform };
    }

    for (const [show, expected] of [
      ["never", `, but ${PUBLIC}; the log of Paastis says why; the wake goes on`],
      ["always", ", but connection to 192.0.2.7 refused; the wake goes on"],
    ] as const) {
      test(`patience: who waited in vain is told so (details for ${show === "never" ? "nobody" : "everybody"})`, async () => {
        const { world, admit } = awayWorld(show);
        const admission = admit();
        await world.clock.advance(25_000);
        const { body } = answered(await held(admission).decision);
        expect(JSON.parse(String(body)).reason).toBe(`it has been waking for 25 s${expected}`);
      });
    }

    test("patience: the waiting page says so, for as long as it is so", async () => {
      const { world, admit, platform } = awayWorld("never");
      const { body } = answered(admit({ headers: { "paastis-progress": "1" } }));
      if (typeof body === "string") throw new Error(body);
      const events = body[Symbol.asyncIterator]();
      const next = async () => {
        const event = events.next();
        await world.clock.advance(500);
        return String((await event).value);
      };
      await next();
      await next();
      expect(await next()).toContain(`"step":"trying","obstacle":"${PUBLIC}"`);
      platform.isAway = false;
      await world.clock.advance(20_000);
      await next();
      expect(await next()).toContain('"step":"starting"');
      await events.return?.();
    });
  });

  test("patience: a navigation gets the waiting page after the grace", async () => {
    const { world, app, admit } = sleepyWorld();
    const admission = admit(navigation);
    await world.clock.advance(999);
    expect(await settledNow(admission)).toBe("open");
    await world.clock.advance(1);
    const answer = answered(await held(admission).decision);
    expect(answer.status).toBe(503);
    expect(headerOf(answer, "Content-Type")).toContain("text/html");
    expect(headerOf(answer, "Cache-Control")).toBe("no-store");
    expect(headerOf(answer, "Retry-After")).not.toBeNull();
    expect(app.leases).toBe(0);
  });

  test("patience: a navigation whose app wakes within the grace sees no page", async () => {
    const { world, admit, boot } = sleepyWorld();
    const admission = admit(navigation);
    await world.clock.advance(900);
    await boot();
    expect(await settledNow(admission)).toBe("to http://shop.test:8080");
  });

  const others: Record<string, Changes> = {
    "a POST that accepts HTML": { ...navigation, method: "POST" },
    "a HEAD": { ...navigation, method: "HEAD" },
    "a fetch by a script": { headers: { accept: "text/html", "sec-fetch-mode": "cors" } },
    "an image": { headers: { accept: "image/*", "sec-fetch-mode": "no-cors" } },
    "a client without Accept": {},
    curl: { headers: { accept: "*/*" } },
  };
  for (const [name, head] of Object.entries(others)) {
    test(`patience: ${name} gets no page, but the whole budget`, async () => {
      const { world, admit } = sleepyWorld();
      const admission = admit(head);
      await world.clock.advance(20_000);
      expect(await settledNow(admission)).toBe("open");
      await world.clock.advance(5000);
      expect(await settledNow(admission)).toBe("503 app_waking, again after 5 s");
    });
  }

  test("patience: where nothing is held, everybody is told at once, and the app wakes all the same", async () => {
    const { world, app, admit, boot } = sleepyWorld({ hold: { maxMs: 0, graceMs: 1000 } });
    for (const head of [{}, navigation]) {
      const admission = admit(head);
      await world.clock.advance(0);
      expect(await settledNow(admission)).toStartWith("503 app_waking");
    }
    await boot();
    expect(app.state.kind).toBe("awake");
  });

  test("patience: the budget counts from the first admission, over all attempts", async () => {
    const { world, app, admit } = sleepyWorld({}, { state: awakeAt("shop") });
    const exchange = admit() as Exchange; // It is awake.
    world.provider.up.delete("shop");
    await world.clock.advance(20_000);
    const again = world.core.handler.failed(exchange, {
      kind: "unreachable",
      message: "refused",
      replayable: true,
    });
    await world.clock.advance(4999);
    expect(await settledNow(again)).toBe("open");
    await world.clock.advance(1);
    expect(await settledNow(again)).toStartWith("503 app_waking");
    expect(app.leases).toBe(0);
  });

  test("patience: Retry-After is what is left of the usual time, or 5 s when that is over", async () => {
    for (const [usualMs, seconds] of [
      [40_000, 15],
      [25_001, 1],
      [25_000, 5],
      [100, 5],
    ] as const) {
      const { world, admit } = sleepyWorld({}, { wakeHistoryMs: [usualMs] });
      const admission = admit();
      await world.clock.advance(25_000);
      expect(await settledNow(admission)).toBe(`503 app_waking, again after ${seconds} s`);
    }
  });

  test("estimate: it is the median of past wakes, and nothing without any", () => {
    expect(estimateMs([])).toBeNull();
    expect(estimateMs([7])).toBe(7);
    expect(estimateMs([1, 2])).toBe(1);
    expect(estimateMs([900, 10, 11])).toBe(11);
    const history = [3, 1, 2];
    estimateMs(history);
    expect(history).toEqual([3, 1, 2]);
  });
});

describe("limits", () => {
  test("limits: large bodies have a cap of their own", async () => {
    const world = createSmallWorld({ hold: { maxUploads: 1 } });
    world.provider.script.wake = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    const app = world.add("shop");
    const upload = (headers: Record<string, string>) =>
      summaryOf(world.core.handler.admit(headFor("shop", { method: "POST", headers })));
    expect(upload({ "content-length": "65536" })).toBe("held");
    expect(upload({ "content-length": "65537" })).toBe("held");
    expect(upload({ "transfer-encoding": "chunked" })).toStartWith("503 hold_full");
    expect(upload({ "content-length": "100" })).toBe("held");
    expect(app.leases).toBe(3);
  });

  test("limits: who left is forgotten at once, however long the wake goes on", async () => {
    const world = createSmallWorld({ hold: { maxPerApp: 1 } });
    world.provider.script.wake = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    const app = world.add("shop");
    for (let n = 0; n < 100; n += 1) held(world.core.handler.admit(headFor("shop"))).abandon();
    expect([app.leases, app.waiting, world.core.gate.held()]).toEqual([0, 0, 0]);
  });

  test("limits: when the program stops, all who wait are told so, and nothing is left behind", async () => {
    const world = createSmallWorld();
    world.provider.script.wake = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    const app = world.add("shop");
    const waiting = [0, 1, 2].map(() => held(world.core.handler.admit(headFor("shop"))));
    world.core.gate.refuseHeld();
    for (const { decision } of waiting) {
      expect(summaryOf(await decision)).toStartWith("503 shutting_down");
    }
    expect([app.leases, app.waiting, world.core.gate.held()]).toEqual([0, 0, 0]);
  });

  test("limits: a request over the cap of all apps still wakes its app", async () => {
    const world = createSmallWorld({ hold: { maxTotal: 0 } });
    const app = world.add("shop");
    expect(summaryOf(world.core.handler.admit(headFor("shop")))).toStartWith("503 hold_full");
    await world.clock.advance(1000);
    expect(app.state.kind).toBe("awake");
  });

  test("limits: over the cap of one app a request is told at once; others are held", async () => {
    const { world, app, admit } = sleepyWorld({ hold: { maxPerApp: 2, maxTotal: 10 } });
    world.add("blog");
    const admissions = [admit(), admit()];
    expect(summaryOf(admit())).toBe("503 hold_full, again after 5 s");
    expect([app.leases, world.core.gate.held()]).toEqual([2, 2]);
    expect(summaryOf(world.core.handler.admit(headFor("blog")))).toBe("held");
    held(admissions[0] as Admission).abandon();
    expect(summaryOf(admit())).toBe("held");
  });

  test("limits: the cap of all apps together holds for each", () => {
    const { world, admit } = sleepyWorld({ hold: { maxPerApp: 10, maxTotal: 2 } });
    const blog = world.add("blog");
    admit();
    admit();
    expect(summaryOf(world.core.handler.admit(headFor("blog")))).toStartWith("503 hold_full");
    expect(blog.leases).toBe(0);
  });

  test("limits: places are free again however a wait ends", async () => {
    const endings = ["boot", "fail", "patience", "abandon"] as const;
    for (const ending of endings) {
      const { world, app, admit, boot, fail } = sleepyWorld({ hold: { maxPerApp: 1 } });
      const admission = admit();
      expect(summaryOf(admit())).toStartWith("503 hold_full");
      if (ending === "boot") await boot();
      else if (ending === "fail") await fail("no room");
      else if (ending === "patience") await world.clock.advance(25_000);
      else held(admission).abandon();
      expect(world.core.gate.held()).toBe(0);
      if (ending === "boot") {
        world.core.handler.release((await held(admission).decision) as Exchange);
      }
      expect(app.leases).toBe(0);
    }
  });

  test("limits: a page that looks on takes no place", async () => {
    const { world, admit } = sleepyWorld({ hold: { maxPerApp: 1 } });
    admit({ headers: { "paastis-progress": "1" } });
    expect([world.core.gate.held(), summaryOf(admit())]).toEqual([0, "held"]);
  });
});

describe("abandon", () => {
  test("abandon: while it waits: the lease is given back and the wake goes on", async () => {
    const { world, app, admit, boot } = sleepyWorld();
    const admission = held(admit());
    await world.clock.advance(100);
    admission.abandon();
    expect([app.leases, world.core.gate.held()]).toEqual([0, 0]);
    await boot();
    expect(app.state.kind).toBe("awake");
    expectClean(world, app);
  });

  test("abandon: after it was let through, before anybody followed: the lease is given back", async () => {
    const { world, app, admit, boot } = sleepyWorld();
    const admission = held(admit());
    await boot();
    expect(app.leases).toBe(1);
    admission.abandon();
    expectClean(world, app);
  });

  test("abandon: after an answer was decided on: there is no lease any more to give back", async () => {
    for (const ending of ["fail", "patience"] as const) {
      const { world, app, admit, fail } = sleepyWorld();
      const admission = held(admit());
      if (ending === "fail") await fail("no room");
      else await world.clock.advance(25_000);
      expect(app.leases).toBe(0);
      admission.abandon();
      expect(app.leases).toBe(0);
    }
  });

  test("abandon: in the very moment in which the app becomes awake", async () => {
    const { world, app, admit, boot } = sleepyWorld();
    const admission = held(admit());
    const booted = boot();
    admission.abandon();
    await booted;
    expectClean(world, app);
  });

  test("abandon: twice is once", () => {
    const { world, app, admit } = sleepyWorld();
    const other = held(admit());
    const admission = held(admit());
    admission.abandon();
    admission.abandon();
    expect([app.leases, world.core.gate.held()]).toEqual([1, 1]);
    other.abandon();
  });
});

describe("again", () => {
  const unreachable = { kind: "unreachable", message: "refused", replayable: true } as const;

  test("again: a request whose target is down waits for the wake that looks into it", async () => {
    const { world, app, admit, boot } = sleepyWorld({}, { state: awakeAt("shop") });
    world.provider.up.delete("shop");
    const exchange = admit() as Exchange; // It is awake.
    const again = world.core.handler.failed(exchange, unreachable);
    // The state says awake still: it is the wake under way that counts.
    expect([summaryOf(again), app.leases]).toEqual(["held", 1]);
    await world.clock.advance(10);
    await boot();
    const decision = await held(again).decision;
    expect(decision).toMatchObject({ kind: "forward", failures: 1 });
    expect(app.leases).toBe(1);
  });

  test("again: after three failures the client is told", async () => {
    const world = createSmallWorld();
    const app = world.add("shop", { state: awakeAt("shop") });
    let admission: Admission = world.core.handler.admit(headFor("shop"));
    let attempts = 0;
    for (; admission.kind === "forward"; attempts += 1) {
      // It answers whenever it is looked at, and never when it is asked.
      const next = world.core.handler.failed(admission, unreachable);
      await world.clock.advance(1000);
      admission = next.kind === "held" ? await next.decision : next;
    }
    expect([attempts, summaryOf(admission)]).toEqual([4, "502 upstream_unreachable"]);
    await world.clock.advance(1000);
    expectClean(world, app);
  });

  test("again: a request that cannot be sent twice is told at once, and the app is looked at", async () => {
    const { world, app, admit } = sleepyWorld({}, { state: awakeAt("shop") });
    const exchange = admit() as Exchange; // It is awake.
    const failure = { ...unreachable, replayable: false };
    expect(summaryOf(world.core.handler.failed(exchange, failure))).toBe(
      "502 upstream_unreachable",
    );
    expect([app.leases, world.core.lifecycle.wakeAskedMs(app)]).toEqual([0, world.clock.now()]);
  });
});

describe("linked", () => {
  function linkedWorld(state: App["state"]) {
    const world = createSmallWorld();
    world.policies.set("front", { linkedKeys: ["back"] });
    const back = world.add("back", { state });
    const front = world.add("front", { state: awakeAt("front") });
    return { world, back, front, admit: () => world.core.handler.admit(headFor("front")) };
  }

  test("linked: a request for an app that is awake wakes what it links to, and does not wait for it", async () => {
    const { world, back, admit } = linkedWorld(ASLEEP);
    expect(summaryOf(admit())).toBe("to http://front.test:8080");
    await world.clock.advance(10);
    expect(back.state.kind).toBe("awake");
    expect(world.provider.calls).toEqual(["wake back"]);
    expect(world.events[0]?.cause).toEqual({ kind: "linked", detail: "linked from front" });
  });

  test("linked: one that has failed is left alone until its pause is over", async () => {
    const retryAtMs = 1_700_000_005_000;
    const { world, admit } = linkedWorld({ kind: "failed", sinceMs: 0, why: "x", retryAtMs });
    admit();
    await world.clock.advance(1000);
    expect(world.provider.calls).toEqual([]);
    await world.clock.advance(4000);
    admit();
    await world.clock.advance(10);
    expect(world.provider.calls).toEqual(["wake back"]);
  });
});

/** The whole text of a progress stream that ends by itself. */
async function progressText(world: SmallWorld, head: RequestHead): Promise<string> {
  const { body } = answered(world.core.handler.admit(head));
  if (typeof body === "string") throw new Error("it is no stream");
  let text = "";
  for await (const piece of body) text += piece;
  return text;
}

describe("progress", () => {
  const asking: Changes = { headers: { "paastis-progress": "1", accept: "text/event-stream" } };

  /** A progress stream, read in the background. */
  function follow(world: SmallWorld) {
    const answer = answered(world.core.handler.admit(headFor("shop", asking)));
    if (typeof answer.body === "string") throw new Error("it is no stream");
    const iterator = answer.body[Symbol.asyncIterator]();
    const pieces: string[] = [];
    const reading = (async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        pieces.push(next.value);
      }
    })();
    const names = () =>
      pieces.flatMap((piece) => /^event: (\w+)/.exec(piece)?.slice(1) ?? []).join(" ");
    return { answer, iterator, pieces, reading, names };
  }

  test("progress: it wakes the app, tells how it goes, and ends with ready", async () => {
    const { world, app, boot } = sleepyWorld({}, { wakeHistoryMs: [2000] });
    const stream = follow(world);
    expect(stream.answer.status).toBe(200);
    await world.clock.advance(1100);
    expect(stream.names()).toBe("waking waking waking");
    expect(stream.pieces.at(-1)).toContain('"elapsedMs":1000');
    expect(stream.pieces.at(-1)).toContain('"estimateMs":2000');
    await boot();
    await stream.reading;
    expect(stream.names()).toBe("waking waking waking ready");
    expect(app.leases).toBe(0);
  });

  test("progress: it takes no lease, so that a page left open keeps no app awake", async () => {
    const { world, app } = sleepyWorld({}, { state: awakeAt("shop") });
    const stream = follow(world);
    await stream.reading;
    expect(stream.names()).toBe("waking ready");
    expect([app.leases, app.lastUsedMs]).toEqual([0, null]);
  });

  test("progress: it ends with the failure and its pause", async () => {
    const { world, fail } = sleepyWorld();
    const stream = follow(world);
    await world.clock.advance(100);
    await fail("no room");
    await stream.reading;
    expect(stream.names()).toBe("waking failed");
    expect(stream.pieces.at(-1)).toContain('"why":"no room"');
    expect(stream.pieces.at(-1)).toContain('"retryAfterMs":750');
  });

  test("progress: a program that stops ends the stream without a word of failure: the page asks again", async () => {
    const { world } = sleepyWorld();
    const stream = follow(world);
    await world.clock.advance(100);
    world.core.gate.refuseHeld();
    await world.clock.advance(1000);
    await stream.reading;
    expect(stream.names()).toBe("waking");
  });

  test("progress: a page that asks again does not wake a failed app before its pause is over", async () => {
    const { world, fail } = sleepyWorld();
    const first = follow(world);
    await world.clock.advance(100);
    await fail("no room");
    await first.reading;
    const again = follow(world);
    await again.reading;
    expect(again.names()).toBe("failed");
    expect(world.provider.calls).toEqual(["wake shop"]);
  });

  test("progress: a client that leaves ends the stream, and leaves no timer after a moment", async () => {
    const { world, boot } = sleepyWorld();
    const stream = follow(world);
    await world.clock.advance(200);
    void stream.iterator.return?.();
    await world.clock.advance(1000);
    await stream.reading;
    const before = stream.names();
    await boot();
    expect(stream.names()).toBe(before);
    expect(world.clock.pending()).toBe(0);
  });

  test("progress: nothing is read, nothing is begun", async () => {
    const { world } = sleepyWorld();
    answered(world.core.handler.admit(headFor("shop", asking)));
    await world.clock.advance(1000);
    expect([world.provider.calls, world.clock.pending()]).toEqual([[], 0]);
  });

  test("progress: a stop under way is told as such", async () => {
    const { world, app } = sleepyWorld({}, { state: awakeAt("shop") });
    world.provider.script.sleep = (_id, _snapshot, signal) => heldCall<Step>().pass(signal);
    const cause = { kind: "command", detail: "sleep" } as const;
    void world.core.lifecycle.sleep(app, { cause, drainMs: 0, unusedSinceMs: null });
    await world.clock.advance(10);
    const stream = follow(world);
    await world.clock.advance(10);
    expect(stream.pieces.at(-1)).toContain("stop");
    await world.clock.advance(WAKE_TIMEOUT_MS);
    await stream.reading;
    expect(stream.names()).toEndWith("ready");
  });
});

describe("cause", () => {
  test("cause: it names method, path and client, and never the query", () => {
    expect(causeOf(headFor("shop", { target: "/a?token=secret" })).detail).toBe(
      "GET /a from 192.0.2.1",
    );
    expect(causeOf(headFor("shop", { target: "/?", clientAddress: "" })).detail).toBe("GET /");
    const long = causeOf(headFor("shop", { target: `/${"x".repeat(5000)}` })).detail;
    expect(long.length).toBeLessThan(150);
  });
});
