import { describe, expect, test } from "bun:test";

import type { Admission, AnswerHead, Exchange, ForwardFailure } from "../src/engines/engine.ts";
import type { Listing } from "../src/providers/provider.ts";
import { answered, headerOf, held, summaryOf } from "./support/own-answer.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

/** A world with `shop` awake, whose provider has been asked once. */
async function servingWorld(options: Parameters<typeof createSmallWorld>[0] = {}) {
  const world = createSmallWorld(options);
  const app = world.add("shop", { state: awakeAt("shop") });
  await world.core.reconciler.run({ kind: "start", detail: "start" });
  const { handler } = world.core;
  return { world, app, handler, admit: (host: string | null) => handler.admit(headFor(host)) };
}

function exchangeOf(admission: Admission): Exchange {
  if (admission.kind !== "forward") throw new Error(`It was ${summaryOf(admission)}`);
  return admission;
}

const DOWN_PAGE: AnswerHead = {
  status: 503,
  header: (name) => (name === "x-platform" ? "no-app" : null),
};
const isDownAnswer = (status: number, header: (name: string) => string | null) =>
  status === 503 && header("x-platform") === "no-app";

describe("hosts", () => {
  const cases: readonly (readonly [host: string | null, expected: string])[] = [
    ["shop.example", "to http://shop.test:8080"],
    ["SHOP:8080", "to http://shop.test:8080"],
    ["nobody.example", "404 unknown_app"],
    ["127.0.0.1", "404 unknown_app"],
    ["[::1]:3000", "404 unknown_app"],
    [null, "400 invalid_host"],
    ["", "400 invalid_host"],
    ["shop,blog", "400 invalid_host"],
  ];
  for (const [host, expected] of cases) {
    test(`server: ${host === null ? "no host" : `host "${host}"`}: ${expected}`, async () => {
      const { world, app, admit } = await servingWorld();
      expect(summaryOf(admit(host))).toBe(expected);
      expect(app.leases).toBe(expected.startsWith("to ") ? 1 : 0);
      expect(world.provider.calls).toEqual([]);
    });
  }

  test("server: unknown labels cause no call to any provider, however many", async () => {
    const { world, admit } = await servingWorld();
    let calls = 0;
    world.provider.script.list = async () => {
      calls += 1;
      return [];
    };
    world.provider.script.observe = async () => {
      calls += 1;
      return { phase: "unknown", target: null };
    };
    for (let n = 0; n < 1000; n += 1) admit(`no-${n}.example`);
    await world.clock.advance(1000);
    expect([calls, world.provider.calls, world.clock.pending()]).toEqual([0, [], 0]);
  });

  test("server: until every provider has answered once, an unknown label is asked to come back", async () => {
    const slow = createStubProvider({ name: "slow" });
    const quick = createStubProvider();
    const world = createSmallWorld({ providers: [quick, slow] });
    slow.script.list = async () => {
      throw new Error("not yet");
    };
    const admit = () => summaryOf(world.core.handler.admit(headFor("shop")));
    await world.clock.advance(5000);
    expect(admit()).toBe("503 starting, again after 2 s");
    await world.core.reconciler.run({ kind: "start", detail: "start" });
    expect(admit()).toBe("503 apps_unknown, again after 30 s");
    delete slow.script.list;
    await world.core.reconciler.run({ kind: "sweep", detail: "sweep" });
    expect(admit()).toBe("404 unknown_app");
  });

  test("server: a platform that does not list its apps is no start that goes on, and visitors get no details", async () => {
    const slow = createStubProvider({ name: "slowcloud" });
    const world = createSmallWorld({ providers: [slow] });
    slow.script.list = (signal) => heldCall<readonly Listing[]>().pass(signal);
    void world.core.reconciler.run({ kind: "start", detail: "start" });
    const admit = () => world.core.handler.admit(headFor("shop"));
    await world.clock.advance(29_999);
    expect(summaryOf(admit())).toStartWith("503 starting");
    await world.clock.advance(1);
    expect(summaryOf(admit())).toStartWith("503 apps_unknown");
    const { body } = answered(admit());
    expect(body).toContain("cannot be reached at the moment");
    expect(body).not.toContain("slowcloud");
    world.core.reconciler.close();
  });

  test("server: while it stops, everybody is asked to come back, and nothing is woken", async () => {
    const { world, app, admit } = await servingWorld();
    world.isStopping = true;
    for (const host of ["shop", "nobody", "127.0.0.1", "a,b"]) {
      expect(summaryOf(admit(host))).toBe("503 shutting_down, again after 2 s");
    }
    expect(app.leases).toBe(0);
  });

  test("server: the engine's own refusals carry their code and give back no lease", async () => {
    const { handler } = await servingWorld();
    for (const [code, status] of [
      ["invalid_host", 400],
      ["invalid_request", 400],
      ["method_refused", 405],
      ["request_timeout", 408],
      ["body_too_large", 413],
      ["target_too_long", 414],
      ["head_too_large", 431],
      ["not_implemented", 501],
      ["version_refused", 505],
    ] as const) {
      const answer = handler.refuse(code, "it will not do", headFor("shop"));
      expect([answer.status, headerOf(answer, "paastis-error")]).toEqual([status, code]);
      expect(answer.body).toContain("it will not do");
    }
  });
});

describe("leases", () => {
  test("server: an exchange is a lease until it is released", async () => {
    const { world, app, admit, handler } = await servingWorld();
    const exchange = exchangeOf(admit("shop"));
    await world.clock.advance(60_000);
    expect(app.leases).toBe(1);
    handler.release(exchange);
    expect([app.leases, app.idleSinceMs]).toEqual([0, world.clock.now()]);
  });

  const failures: readonly (readonly [ForwardFailure["kind"], boolean, string])[] = [
    ["unreachable", true, "held"],
    ["unreachable", false, "502 upstream_unreachable"],
    ["broken", true, "502 upstream_broken"],
    ["broken", false, "502 upstream_broken"],
    ["timeout", true, "504 upstream_timeout"],
    ["timeout", false, "504 upstream_timeout"],
    ["retired", false, "504 upstream_retired"],
  ];
  for (const [kind, replayable, expected] of failures) {
    const twice = replayable ? "can" : "cannot";
    test(`server: ${kind}, of a request that ${twice} be sent twice: ${expected}`, async () => {
      const { world, app, admit, handler } = await servingWorld();
      const failure = { kind, replayable, message: "what happened" };
      const next = handler.failed(exchangeOf(admit("shop")), failure);
      expect(summaryOf(next)).toBe(expected);
      expect(app.leases).toBe(expected === "held" ? 1 : 0);
      const isLookedAt = world.core.lifecycle.wakeAskedMs(app) !== null;
      expect(isLookedAt).toBe(kind === "unreachable");
      if (next.kind !== "answer") return;
      // Where it runs and what went wrong there is for the log alone.
      expect(next.answer.body).not.toContain("what happened");
      expect(world.lines.map(({ fields }) => fields.reason)).toContain("what happened");
      expect(next.answer.body).toContain('"app": "shop"');
    });
  }

  test("server: a request whose app ended under it goes to the one that is woken", async () => {
    const { world, app, admit, handler } = await servingWorld();
    const exchange = exchangeOf(admit("shop"));
    await world.clock.advance(3_600_000);
    world.provider.up.delete("shop");
    world.provider.report({ id: "shop", observation: { phase: "asleep", target: null } });
    const failure = { kind: "broken", replayable: true, message: "reset" } as const;
    const next = handler.failed({ ...exchange, admittedMs: world.clock.now() }, failure);
    expect(summaryOf(next)).toBe("held");
    await world.clock.advance(10);
    expect(summaryOf(await held(next).decision)).toBe("to http://shop.test:8080");
    expect(app.leases).toBe(1);
  });

  test("server: what broke at a proxy of the platform's own is sent once more, and not twice", async () => {
    const provider = createStubProvider({ isRestartedByOthers: true });
    const { app, admit, handler } = await servingWorld({ providers: [provider] });
    const failure = { kind: "broken", replayable: true, message: "reset" } as const;
    const once = handler.failed(exchangeOf(admit("shop")), { ...failure, replayable: false });
    expect(summaryOf(once)).toBe("502 upstream_broken");
    const again = handler.failed(exchangeOf(admit("shop")), failure);
    expect(summaryOf(again)).toBe("to http://shop.test:8080");
    expect(app.leases).toBe(1);
    expect(summaryOf(handler.failed(exchangeOf(again), failure))).toBe("502 upstream_broken");
    expect(app.leases).toBe(0);
  });

  test("server: the same, when the app may not be tried again yet: it is told why", async () => {
    const { world, app, admit, handler } = await servingWorld();
    const exchange = exchangeOf(admit("shop"));
    world.provider.up.delete("shop");
    const reason = "exited with status 1";
    world.provider.report({ id: "shop", observation: { phase: "failed", target: null, reason } });
    const failure = { kind: "broken", replayable: true, message: "reset" } as const;
    const next = handler.failed(exchange, failure);
    expect(summaryOf(next)).toBe("503 app_crashed, again after 1 s");
    expect(answered(next).body).toContain(reason);
    expect(answered(next).body).not.toContain("could not be woken");
    expect(app.leases).toBe(0);
  });
});

describe("the platform's page for apps that are down", () => {
  const provider = () => createStubProvider({ isDownAnswer });

  test("server: an answer of the app is passed on", async () => {
    const { admit, handler, app } = await servingWorld({ provider: provider() });
    const own: AnswerHead = { status: 503, header: () => null };
    expect(handler.answered(exchangeOf(admit("shop")), own, true)).toBeNull();
    expect(app.leases).toBe(1);
  });

  test("server: a platform without such a page is never suspected", async () => {
    const { admit, handler } = await servingWorld();
    expect(handler.answered(exchangeOf(admit("shop")), DOWN_PAGE, true)).toBeNull();
  });

  test("server: its page is dropped, and the request waits for the app", async () => {
    const { world, admit, handler, app } = await servingWorld({ provider: provider() });
    world.provider.up.delete("shop");
    const next = handler.answered(exchangeOf(admit("shop")), DOWN_PAGE, true);
    if (next === null) throw new Error("the page was passed on");
    expect(summaryOf(next)).toBe("held");
    await world.clock.advance(10);
    expect(summaryOf(await held(next).decision)).toBe("to http://shop.test:8080");
    expect([app.leases, world.provider.calls]).toEqual([1, ["wake shop"]]);
  });

  test("server: a request that cannot be sent twice is told to come back, and the wake begins", async () => {
    const { world, admit, handler, app } = await servingWorld({ provider: provider() });
    world.provider.up.delete("shop");
    const next = handler.answered(exchangeOf(admit("shop")), DOWN_PAGE, false);
    if (next === null) throw new Error("the page was passed on");
    expect(summaryOf(next)).toBe("503 app_waking, again after 2 s");
    await world.clock.advance(10);
    expect([app.leases, world.provider.calls]).toEqual([0, ["wake shop"]]);
  });

  test("server: after three times the client gets the page", async () => {
    const { world, admit, handler } = await servingWorld({ provider: provider() });
    let admission = admit("shop");
    let pages = 0;
    while (admission.kind === "forward") {
      const next = handler.answered(admission, DOWN_PAGE, true);
      pages += 1;
      if (next === null) break;
      await world.clock.advance(100);
      admission = next.kind === "held" ? await next.decision : next;
    }
    expect(pages).toBe(4);
  });
});

describe("mistakes of ours", () => {
  test("server: one is answered with a reference that the log has too, and nothing is thrown", async () => {
    const { world, admit } = await servingWorld({
      deps: {
        keyOf() {
          throw new Error("a bug");
        },
      },
    });
    const admission = admit("shop");
    expect(summaryOf(admission)).toBe("500 internal");
    const line = world.lines.at(-1);
    expect(line).toMatchObject({ level: "error", fields: { reason: "a bug" } });
    const { body } = answered(admission);
    expect(body).toContain(String(line?.fields.reference));
    // Its words are for the log: they may say what is nobody's business.
    expect(body).not.toContain("a bug");
  });
});
