/** Switches when things go wrong: the new version crashes under load, and Paastis itself is killed. */

import { expect, test } from "bun:test";
import { makeFolder, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";
import { createTimeline, startLoad } from "../support/switch-load.ts";
import { type SwitchTarget, startTarget } from "../support/switch-targets.ts";

const TOKEN = "a-token-of-these-tests";

interface Status {
  readonly activePort: number;
  readonly drainUntil: string | null;
  readonly lastSwitch: { readonly to: number; readonly reason: string; readonly id: string } | null;
  readonly rollback: { readonly to: number; readonly until: string } | null;
}

function start(first: SwitchTarget, env: Record<string, string>, folder = makeFolder()) {
  const config = "rules: []\n";
  const access = { ADMIN_TOKEN: TOKEN, ADMIN_RATE_LIMIT: "1000" };
  const fixed = { INITIAL_TARGET_PORT: String(first.port), ...access };
  return startPaastis({ config, folder, env: { ...fixed, ...env } });
}

function call(paastis: RunningPaastis, path: string, method = "GET"): Promise<Response> {
  const headers = { "x-admin-token": TOKEN };
  return fetch(`http://127.0.0.1:${paastis.port}${path}`, { method, headers });
}

async function statusOf(paastis: RunningPaastis): Promise<Status> {
  return (await (await call(paastis, "/__status?details=1")).json()) as Status;
}

test("switch: a new version that crashes under load is rolled back, and only what it was answering fails", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  await using paastis = await start(old, {
    ROLLBACK_CHECK_EVERY_MS: "100",
    ROLLBACK_FAIL_THRESHOLD: "3",
    DRAIN_MS: "10000",
  });
  const timeline = createTimeline("old");
  const load = startLoad({
    ...{ port: paastis.port, timeline },
    ...{ clients: 32, uploaders: 0, websockets: 0 },
  });
  let detectedMs = 0;
  for (let round = 0; round < 5; round += 1) {
    timeline.asked("next");
    expect((await call(paastis, `/__switch?port=${next.port}`, "POST")).status).toBe(200);
    timeline.done("next");
    await Bun.sleep(Math.random() * 600);
    const from = paastis.lines.length;
    timeline.asked("old");
    const crashedMs = performance.now();
    await next.crash();
    await paastis.untilEvent("default", "APP_ROLLED_BACK", from);
    detectedMs = Math.max(detectedMs, performance.now() - crashedMs);
    timeline.done("old");
    expect((await statusOf(paastis)).activePort).toBe(old.port);
    next.comeBack();
  }
  await load.stop();
  const { faults, right } = load.tally;
  console.log(
    `5 crashes: ${right} right, ${faults.length} failed, rolled back in ${Math.round(detectedMs)} ms at most`,
  );
  // A request that does no harm twice is sent once more, and waits for the way back.
  expect(faults.slice(0, 5)).toEqual([]);
  expect(right).toBeGreaterThan(100);
});

test("switch: after kill -9 the active target, the drain and the rest of the rollback window are as they were", async () => {
  await using old = startTarget("old");
  await using next = startTarget("next");
  const env = { DRAIN_MS: "30000", ROLLBACK_WINDOW_MS: "60000", ROLLBACK_CHECK_EVERY_MS: "100" };
  const folder = makeFolder();
  let before: Status;
  {
    await using paastis = await start(old, env, folder);
    await call(paastis, `/__switch?port=${next.port}`, "POST");
    before = await statusOf(paastis);
    paastis.signal("SIGKILL");
    await paastis.ended;
  }
  await using paastis = await start(old, env, folder);
  expect(await (await call(paastis, "/")).text()).toBe("next");
  expect(await statusOf(paastis)).toEqual({ ...before });
  const from = paastis.lines.length;
  next.health = 500;
  await paastis.untilEvent("default", "APP_ROLLED_BACK", from);
  expect(await (await call(paastis, "/")).text()).toBe("old");
});

test("switch: killed at any moment, Paastis comes back with the target that it last said yes to, or the one it was asked for", async () => {
  const targets = [startTarget("v0"), startTarget("v1"), startTarget("v2")] as const;
  await using all = new AsyncDisposableStack();
  for (const target of targets) all.use(target);
  const folder = makeFolder();
  let confirmed: number = targets[0].port;
  for (let round = 0; round < 8; round += 1) {
    await using paastis = await start(targets[0], { DRAIN_MS: "500" }, folder);
    const { activePort } = await statusOf(paastis);
    expect({ round, activePort }).toEqual({ round, activePort: confirmed });
    const answered = await (await call(paastis, "/")).text();
    expect(answered).toBe(targets.find(({ port }) => port === confirmed)?.name ?? "");
    let asked = confirmed;
    const ends = Bun.sleep(Math.random() * 150).then(() => paastis.signal("SIGKILL"));
    for (let count = 0; ; count += 1) {
      asked = targets[count % targets.length]?.port ?? 0;
      const response = await call(paastis, `/__switch?port=${asked}`, "POST").catch(() => null);
      if (response === null) break;
      confirmed = asked;
    }
    await ends;
    await paastis.ended;
    // Its answer was lost: it may have been done, or not.
    await using next = await start(targets[0], { DRAIN_MS: "500" }, folder);
    const found = (await statusOf(next)).activePort;
    expect([confirmed, asked]).toContain(found);
    confirmed = found;
  }
});
