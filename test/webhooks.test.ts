/** Webhooks over HTTP: order, signatures, retries, limits, and the end. */

import { describe, expect, test } from "bun:test";
import type { AppRef } from "../src/app.ts";
import { createEventBus, EVENT_NAMES, type EventName } from "../src/events.ts";
import { webhookPauseMs } from "../src/webhook-retry.ts";
import { createWebhooks } from "../src/webhooks.ts";
import { CERTIFICATE, PRIVATE_KEY } from "./support/certificate.ts";
import { recordingLog } from "./support/recording-log.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";
import { isSignedWith, startWebhookReceiver } from "./support/webhook-receiver.ts";

const SECRET = "a secret that nobody guesses";
const REF: AppRef = { provider: "process", id: "shop" };
const NEVER = Promise.withResolvers<never>().promise;
const CAUSE = { kind: "request", detail: "GET / from 10.0.0.7" } as const;

/** Webhooks on a clock that stands still, and a log that remembers. */
function world(
  urls: readonly string[],
  more: { readonly names?: readonly EventName[]; readonly waitingMax?: number } = {},
) {
  const { names = EVENT_NAMES, ...limits } = more;
  const clock = createVirtualClock();
  const { log, lines } = recordingLog();
  const failed: unknown[] = [];
  const events = createEventBus({
    now: clock.wallMs,
    random: () => 0.5,
    onListenerError: (error) => failed.push(error),
  });
  const webhooks = createWebhooks({
    webhooks: urls.length === 0 ? null : { urls, secret: SECRET, events: names },
    ...{ events, clock, log, fetch, random: () => 0.5 },
    ...limits,
  });
  const failures = () => lines.filter(({ message }) => message.startsWith("a webhook fails"));
  return {
    ...{ clock, lines, failed, webhooks },
    loud: () => lines.filter(({ level }) => level !== "debug").map(({ message }) => message),
    emit: (app: string, name: EventName = "APP_STARTED") =>
      events.emit({ name, app, ref: REF, cause: CAUSE }),
    /** The next failure was noted: whatever comes next waits for the clock. */
    failure: (count: number) => until(() => failures().length === count),
  };
}

const FAILS = "a webhook fails: what waits for it is tried again for an hour";
const REFUSES = "a webhook does not take an event: it is not tried again";
const WORKS = "a webhook works again";
const LOSES = "events for a webhook are lost from now on";

describe("deliveries", () => {
  test("each URL gets every event in order, one at a time, signed", async () => {
    using one = startWebhookReceiver();
    using other = startWebhookReceiver();
    const { emit, lines, webhooks } = world([one.url, other.url]);
    const apps = Array.from({ length: 30 }, (_, index) => `app-${index}`);
    for (const app of apps) emit(app);
    await until(() => one.received.length === 30 && other.received.length === 30);
    expect([one.apps(), other.apps()]).toEqual([apps, apps]);
    expect([one.busiest(), other.busiest()]).toEqual([1, 1]);
    const [first] = one.received;
    if (first === undefined) throw new Error("nothing came");
    expect([first.method, first.path]).toEqual(["POST", "/hook"]);
    const { id, name } = JSON.parse(first.body);
    expect(first.headers.get("paastis-delivery")).toBe(id);
    expect(first.headers.get("paastis-event")).toBe(name);
    expect(first.headers.get("user-agent")).toMatch(/^paastis\/\d+\.\d+\.\d+/);
    expect(await isSignedWith(SECRET, first)).toBe(true);
    expect(await isSignedWith("another secret", first)).toBe(false);
    expect(await isSignedWith(SECRET, { ...first, body: `${first.body} ` })).toBe(false);
    await webhooks.close(NEVER);
    expect(lines).toEqual([]);
  });

  test("only events that are wanted are sent", async () => {
    using receiver = startWebhookReceiver();
    const { emit, webhooks } = world([receiver.url], { names: ["APP_CRASHED"] });
    emit("shop", "APP_STARTED");
    emit("shop", "APP_CRASHED");
    await webhooks.close(NEVER);
    expect(receiver.received.map(({ headers }) => headers.get("paastis-event"))).toEqual([
      "APP_CRASHED",
    ]);
  });

  test("without URLs nothing is heard, and the end takes no time", async () => {
    const { emit, webhooks, clock } = world([]);
    emit("shop");
    await webhooks.close(NEVER);
    expect(clock.pending()).toBe(0);
  });
});

describe("failures", () => {
  for (const status of [301, 302, 307, 308, 400, 401, 404, 410, 422]) {
    test(`${status}: the event is not tried again, the next one is sent`, async () => {
      using elsewhere = startWebhookReceiver();
      using receiver = startWebhookReceiver((_received, count) => {
        const headers = { location: elsewhere.url };
        return new Response("no", { status: count === 1 ? status : 200, headers });
      });
      const { emit, loud, lines } = world([receiver.url]);
      emit("first");
      emit("second");
      await until(() => loud().includes(WORKS));
      expect(receiver.apps()).toEqual(["first", "second"]);
      expect(elsewhere.received).toEqual([]);
      expect(loud()).toEqual([REFUSES, WORKS]);
      expect(lines[0]?.fields.reason).toStartWith(`it answered ${status}`);
      expect(lines[1]?.fields.lost).toBe(1);
    });
  }

  for (const status of [408, 425, 429, 500, 502, 503]) {
    test(`${status}: it is tried again with the same delivery and a new signature, before the next`, async () => {
      using receiver = startWebhookReceiver((_received, count) => {
        return new Response("later", { status: count <= 2 ? status : 200 });
      });
      const { clock, emit, failure, loud } = world([receiver.url]);
      emit("first");
      emit("second");
      await failure(1);
      await clock.advance(749);
      expect(receiver.received.length).toBe(1);
      await clock.advance(1);
      await failure(2);
      await clock.advance(1499);
      expect(receiver.received.length).toBe(2);
      await clock.advance(1);
      await until(() => receiver.received.length === 4);
      expect(receiver.apps()).toEqual(["first", "first", "first", "second"]);
      const of = (name: string) => receiver.received.map(({ headers }) => headers.get(name));
      expect(new Set(of("paastis-delivery").slice(0, 3)).size).toBe(1);
      expect(of("paastis-signature")[2]).not.toBe(of("paastis-signature")[0]);
      for (const one of receiver.received) expect(await isSignedWith(SECRET, one)).toBe(true);
      expect(loud()).toEqual([FAILS, WORKS]);
    });
  }

  test("a receiver that asks for a pause gets it", async () => {
    using receiver = startWebhookReceiver((_received, count) => {
      const headers = { "retry-after": "30" };
      return new Response("", count === 1 ? { status: 429, headers } : {});
    });
    const { clock, emit, failure } = world([receiver.url]);
    emit("shop");
    await failure(1);
    await clock.advance(29_999);
    expect(receiver.received.length).toBe(1);
    await clock.advance(1);
    await until(() => receiver.received.length === 2);
  });

  test("one that is silent is given ten seconds; others do not wait for it", async () => {
    const answer = Promise.withResolvers<void>();
    using silent = startWebhookReceiver(async (_received, count) => {
      if (count === 1) await answer.promise;
      return new Response();
    });
    using well = startWebhookReceiver();
    const { clock, emit, failure, lines } = world([silent.url, well.url]);
    emit("first");
    emit("second");
    await until(() => silent.received.length === 1 && well.received.length === 2);
    // The other's answers have been read as well: one limit is left to run out.
    await until(() => clock.pending() === 1);
    await clock.advance(9_999);
    expect(lines).toEqual([]);
    await clock.advance(1);
    await failure(1);
    expect(lines[0]?.fields.reason).toBe("no answer within 10 s");
    await clock.advance(1000);
    await until(() => silent.received.length === 3);
    expect(silent.apps()).toEqual(["first", "first", "second"]);
    answer.resolve();
  });

  test("one that is gone gets everything when it is back, and the log says both once", async () => {
    const gone = startWebhookReceiver();
    gone[Symbol.dispose]();
    const { clock, emit, failure, lines, loud } = world([gone.url]);
    for (const app of ["a", "b", "c"]) emit(app);
    for (let count = 1; count <= 4; count += 1) {
      await failure(count);
      if (count < 4) await clock.advance(webhookPauseMs(count, null, 0.5));
    }
    expect(lines[0]?.fields.reason).toBe("connection refused: nothing listens there");
    using back = startWebhookReceiver(undefined, gone.port);
    await clock.advance(webhookPauseMs(4, null, 0.5));
    await until(() => back.received.length === 3);
    await until(() => loud().includes(WORKS));
    expect(back.apps()).toEqual(["a", "b", "c"]);
    expect(loud()).toEqual([FAILS, WORKS]);
  });

  test("what has failed for an hour is given up; what is younger is not", async () => {
    let isWell = false;
    using receiver = startWebhookReceiver(() => new Response("", { status: isWell ? 200 : 500 }));
    const { clock, emit, failure, loud, lines, webhooks } = world([receiver.url]);
    emit("old");
    await failure(1);
    const beganMs = clock.now();
    for (let tries = 1; !loud().includes(LOSES); tries += 1) {
      if (tries === 20) emit("young");
      await clock.advance(webhookPauseMs(tries, null, 0.5));
      await failure(tries + 1);
    }
    expect(clock.now() - beganMs).toBeGreaterThanOrEqual(3_600_000);
    expect(clock.now() - beganMs).toBeLessThan(3_900_000);
    expect(receiver.apps()).toEqual(Array(25).fill("old"));
    isWell = true;
    await clock.advance(225_000);
    await until(() => loud().includes(WORKS));
    expect(receiver.apps().at(-1)).toBe("young");
    expect(lines.at(-1)?.fields.lost).toBe(1);
    expect(webhooks.state()).toMatchObject([
      {
        webhook: new URL(receiver.url).origin,
        waiting: 0,
        outcomes: { delivered: 1, givenUp: 1, refused: 0, dropped: 0 },
        attempts: receiver.received.length,
        lastFailure: { why: expect.stringContaining("500"), atMs: expect.any(Number) },
      },
    ]);
    expect(loud()).toEqual([FAILS, LOSES, WORKS]);
  });

  test("where too many wait, the oldest are lost but for the one under way, and the log says so once", async () => {
    const answer = Promise.withResolvers<void>();
    using slow = startWebhookReceiver(async () => {
      await answer.promise;
      return new Response();
    });
    const { emit, failed, lines, loud, webhooks } = world([slow.url], { waitingMax: 3 });
    emit("first");
    await until(() => slow.received.length === 1);
    for (const app of ["a", "b", "c", "d", "e"]) emit(app);
    answer.resolve();
    await until(() => slow.received.length === 3);
    expect(slow.apps()).toEqual(["first", "d", "e"]);
    await webhooks.close(NEVER);
    const [state] = webhooks.state();
    expect(state).toMatchObject({ waiting: 0, outcomes: { delivered: 3, dropped: 3 } });
    expect(state?.lastFailure).toBeNull();
    expect(loud()).toEqual([LOSES, "no more events for a webhook are lost"]);
    expect(lines.at(-1)?.fields.lost).toBe(3);
    expect(failed).toEqual([]);
  });

  test("the one under way is not lost to those that come, even if it must be tried again", async () => {
    const answer = Promise.withResolvers<void>();
    using slow = startWebhookReceiver(async (_received, count) => {
      await answer.promise;
      return new Response("", { status: count === 1 ? 503 : 200 });
    });
    const { clock, emit, failure, lines, loud } = world([slow.url], { waitingMax: 3 });
    emit("first");
    await until(() => slow.received.length === 1);
    for (const app of ["a", "b", "c"]) emit(app);
    answer.resolve();
    await failure(1);
    await clock.advance(750);
    await until(() => slow.received.length === 4);
    expect(slow.apps()).toEqual(["first", "first", "b", "c"]);
    expect(loud()).toEqual([LOSES, FAILS, WORKS]);
    expect(lines.at(-1)?.fields.lost).toBe(1);
  });

  test("after a delivery pauses begin with a second again", async () => {
    using receiver = startWebhookReceiver((_received, count) => {
      return new Response("", { status: count === 3 || count === 5 ? 200 : 500 });
    });
    const { clock, emit, failure } = world([receiver.url]);
    emit("a");
    emit("b");
    await failure(1);
    await clock.advance(750);
    await failure(2);
    await clock.advance(1500);
    await failure(3);
    await clock.advance(750);
    await until(() => receiver.received.length === 5);
    expect(receiver.apps()).toEqual(["a", "a", "a", "b", "b"]);
  });

  test("a certificate that nobody vouches for is not accepted", async () => {
    let requests = 0;
    using server = Bun.serve({
      port: 0,
      tls: { cert: CERTIFICATE, key: PRIVATE_KEY },
      fetch: () => new Response(String(++requests)),
    });
    const { emit, failure, lines } = world([`https://localhost:${server.port}/`]);
    emit("shop");
    await failure(1);
    expect(lines[0]?.fields.reason).toContain("nobody vouches for its certificate");
    expect(requests).toBe(0);
  });

  test("the log has neither path, query, password nor secret of a webhook", async () => {
    using receiver = startWebhookReceiver((_received, count) => {
      return new Response("hush", { status: count === 1 ? 500 : 403 });
    });
    const url = `http://me:hush@127.0.0.1:${receiver.port}/hush?a=hush`;
    const { clock, emit, failure, lines, loud } = world([url, "http://127.0.0.1:1/hush?hush"]);
    emit("shop");
    await failure(2);
    await clock.advance(1000);
    await until(() => loud().includes(REFUSES));
    expect(receiver.received[0]?.headers.get("authorization")).toBe(`Basic ${btoa("me:hush")}`);
    expect(JSON.stringify(lines)).not.toContain("hush");
    expect(JSON.stringify(lines)).not.toContain(SECRET);
  });
});

describe("the end", () => {
  test("what waits is sent, one in a pause at once, and no timer is left", async () => {
    using receiver = startWebhookReceiver((_received, count) => {
      return new Response("", { status: count === 1 ? 500 : 200 });
    });
    const { clock, emit, failure, webhooks } = world([receiver.url]);
    for (const app of ["a", "b"]) emit(app);
    await failure(1);
    await webhooks.close(NEVER);
    expect(receiver.apps()).toEqual(["a", "a", "b"]);
    emit("late");
    expect([receiver.received.length, clock.pending()]).toEqual([3, 0]);
  });

  test("one that has failed for long is tried more than once at the end", async () => {
    using receiver = startWebhookReceiver((_received, count) => {
      return new Response("", { status: count < 7 ? 500 : 200 });
    });
    const { clock, emit, failure, loud, webhooks } = world([receiver.url]);
    emit("shop");
    for (let tries = 1; tries <= 5; tries += 1) {
      await failure(tries);
      if (tries < 5) await clock.advance(webhookPauseMs(tries, null, 0.5));
    }
    const closing = webhooks.close(NEVER);
    await failure(6);
    await clock.advance(750);
    await closing;
    expect([receiver.received.length, clock.pending()]).toEqual([7, 0]);
    expect(loud()).toEqual([FAILS, WORKS]);
  });

  for (const [how, stopAll] of [
    ["after three seconds", (advance: () => Promise<void>) => advance()],
    ["at once when there is hurry", (_advance: unknown, hurry: () => void) => hurry()],
  ] as const) {
    test(`what cannot be sent is said to be lost: ${how}`, async () => {
      const answer = Promise.withResolvers<void>();
      using silent = startWebhookReceiver(async () => {
        await answer.promise;
        return new Response();
      });
      const { clock, emit, lines, webhooks } = world([silent.url]);
      for (const app of ["a", "b"]) emit(app);
      await until(() => silent.received.length === 1);
      const hurry = Promise.withResolvers<void>();
      let isClosed = false;
      const closing = webhooks.close(hurry.promise).then(() => {
        isClosed = true;
      });
      await clock.advance(2_999);
      expect(isClosed).toBe(false);
      await stopAll(() => clock.advance(1), hurry.resolve);
      await closing;
      expect(lines.map(({ message }) => message)).toEqual([
        "events for a webhook are lost: we stop",
      ]);
      expect(lines[0]?.fields).toMatchObject({ lost: 2, reason: "it is too slow" });
      await until(() => clock.pending() === 0);
      answer.resolve();
    });
  }
});
