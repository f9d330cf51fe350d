/** What takes a switch back, what does not, and what happens to requests meanwhile; with real targets. */

import { expect, test } from "bun:test";
import type { SwitchPolicy } from "../src/switch-policy.ts";
import { within } from "./support/pace.ts";
import { type SwitchProxy, startSwitchProxy } from "./support/switch-proxy.ts";
import { type SwitchTarget, startTarget } from "./support/switch-targets.ts";
import { until } from "./support/until.ts";

async function switched(policy: Partial<SwitchPolicy> = {}) {
  const old = startTarget("old");
  const next = startTarget("next");
  const proxy = await startSwitchProxy({ port: old.port, policy });
  expect((await askFor(proxy, next)).status).toBe(200);
  return {
    old,
    next,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await old[Symbol.asyncDispose]();
      await next[Symbol.asyncDispose]();
    },
  };
}

function askFor(proxy: SwitchProxy, { port }: SwitchTarget): Promise<Response> {
  return proxy.admin(`/__switch?port=${port}`, { method: "POST" });
}

async function activePort(proxy: SwitchProxy): Promise<unknown> {
  // The status is an object, or the comparison with a port fails.
  return ((await (await proxy.admin("/__status")).json()) as Record<string, unknown>).activePort;
}

test("watch: health checks that fail in a row switch back, with what they saw", async () => {
  await using world = await switched();
  const { old, next, proxy } = world;
  next.health = 503;
  await until(() => proxy.eventsNamed("APP_ROLLED_BACK").length === 1);
  const [event] = proxy.eventsNamed("APP_ROLLED_BACK");
  expect(event?.reason).toStartWith("3 health checks in a row failed, the last: status 503");
  expect(await activePort(proxy)).toBe(old.port);
  expect(await (await fetch(proxy.origin)).text()).toBe("old");
});

test("watch: fewer failures in a row than the threshold change nothing", async () => {
  await using world = await switched({ failsMax: 5, checkEveryMs: 30, windowMs: 800 });
  const { next, proxy } = world;
  for (let round = 0; round < 3; round += 1) {
    next.health = 503;
    const { health } = proxy.board.deskOf(proxy.app);
    await until(() => health.fails >= 2);
    next.health = 200;
    await until(() => health.fails === 0);
  }
  expect(proxy.eventsNamed("APP_ROLLED_BACK")).toEqual([]);
  expect(await activePort(proxy)).toBe(next.port);
});

test("watch: errors of real requests switch back, though the health check is content", async () => {
  await using world = await switched({ checkEveryMs: 60_000 });
  const { old, next, proxy } = world;
  next.status = 500;
  for (let count = 0; count < 40; count += 1) await (await fetch(proxy.origin)).text();
  await until(() => proxy.eventsNamed("APP_ROLLED_BACK").length === 1);
  // It may be judged before the last of them.
  expect(proxy.eventsNamed("APP_ROLLED_BACK")[0]?.reason).toMatch(/^(\d+) failed of \1 requests/);
  expect(await activePort(proxy)).toBe(old.port);
});

test("watch: a request that waits for a new version that is gone is answered by the old one, however rare the checks", async () => {
  await using world = await switched({ checkEveryMs: 60_000 });
  const { next, proxy } = world;
  await next.crash();
  expect(await (await fetch(proxy.origin)).text()).toBe("old");
  expect(proxy.eventsNamed("APP_ROLLED_BACK")[0]?.reason).toStartWith("requests have waited 4");
});

test("watch: an old version that failed as often excuses the new one", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using proxy = await startSwitchProxy({ port: old.port, policy: { checkEveryMs: 60_000 } });
  old.status = 500;
  next.status = 500;
  for (let count = 0; count < 40; count += 1) await (await fetch(proxy.origin)).text();
  await askFor(proxy, next);
  for (let count = 0; count < 40; count += 1) await (await fetch(proxy.origin)).text();
  const beganMs = performance.now();
  await until(() => performance.now() - beganMs > 1200);
  expect(proxy.eventsNamed("APP_ROLLED_BACK")).toEqual([]);
});

test("watch: without a way back the app stays, it is said once, and a switch by hand gets through", async () => {
  await using world = await switched({ windowMs: 60_000 });
  await using third = startTarget("third");
  const { old, next, proxy } = world;
  await old.crash();
  next.health = 500;
  await until(() => proxy.eventsNamed("APP_ROLLBACK_FAILED").length === 1);
  expect(await activePort(proxy)).toBe(next.port);
  // However often it is tried, the next tries hold nobody up.
  for (let count = 0; count < 20; count += 1) {
    const { running } = proxy.board.deskOf(proxy.app);
    expect(running).toBeNull();
    await until(() => true);
  }
  expect((await askFor(proxy, third)).status).toBe(200);
  expect(proxy.eventsNamed("APP_ROLLBACK_FAILED")).toHaveLength(1);
});

test("watch: a way back that is there again is taken, as long as the window is open", async () => {
  await using world = await switched({ windowMs: 60_000 });
  const { old, next, proxy } = world;
  await old.crash();
  next.health = 500;
  await until(() => proxy.eventsNamed("APP_ROLLBACK_FAILED").length === 1);
  old.comeBack();
  await until(() => proxy.eventsNamed("APP_ROLLED_BACK").length === 1);
  expect(await activePort(proxy)).toBe(old.port);
});

test("watch: after the window nothing goes back, and the app may be put to sleep again", async () => {
  await using world = await switched({ windowMs: 200, checkEveryMs: 30 });
  const { next, proxy } = world;
  expect(proxy.board.whyAwake(proxy.app)).toContain("switched back");
  await until(() => proxy.board.whyAwake(proxy.app) === null);
  next.health = 500;
  await until(() => proxy.eventsNamed("APP_UNHEALTHY").length === 1);
  expect(proxy.eventsNamed("APP_ROLLED_BACK")).toEqual([]);
  expect(await activePort(proxy)).toBe(next.port);
});

test("watch: a new version that crashes is left for the old one, and no request is lost for that", async () => {
  await using world = await switched();
  const { next, proxy } = world;
  await next.crash();
  const answers = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const answer = await fetch(proxy.origin);
      return `${answer.status} ${await answer.text()}`;
    }),
  );
  expect(new Set(answers)).toEqual(new Set(["200 old"]));
});

test("ports: an app that is down at the start is served the moment it is up", async () => {
  await using target = startTarget("late");
  await target.crash();
  await using proxy = await startSwitchProxy({ port: target.port });
  const held = fetch(proxy.origin);
  await until(() => proxy.app.waiting === 1);
  target.comeBack();
  const beganMs = performance.now();
  const answer = await held;
  expect(await answer.text()).toBe("late");
  expect(performance.now() - beganMs).toBeLessThan(within(500));
});
