/** The admin endpoints about apps and their verbs, with the compiled program and apps of provider process. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Body } from "../support/apps-world.ts";
import { everythingApp } from "../support/everything-app.ts";
import { within } from "../support/pace.ts";
import { runCommand } from "../support/run-command.ts";
import { readSentEvents } from "../support/sse-reader.ts";
import {
  EXECUTABLE,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const TOKEN = "a-token-of-a-test";
const ENV = { ADMIN_TOKEN: TOKEN, START_AND_STOP_MAX_IDLE_TIME: "60", PRICE_PER_HOUR: "0.1" };
const CONFIG = `apps:\n${everythingApp("shop")}${everythingApp("den")}`;

/** Over TCP, through the engine. */
function ask(paastis: RunningPaastis, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${paastis.port}${path}`, {
    ...init,
    headers: { "x-admin-token": TOKEN, ...(init.headers as Record<string, string>) },
  });
}

/** The same, and what it says. */
async function json(paastis: RunningPaastis, path: string): Promise<Body> {
  return await (await ask(paastis, path)).json();
}

function verb(paastis: RunningPaastis, ...args: string[]) {
  return runCommand([EXECUTABLE, ...args], { cwd: paastis.folder, mayFail: true });
}

test.concurrent("admin: lists, details, description and refusals come over TCP, compiled", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: ENV });
  const list = await json(paastis, "/__apps?sort=key");
  expect(list).toMatchObject({
    total: 2,
    apps: [{ key: "den" }, { key: "shop", phase: "asleep" }],
  });
  const openapi = await json(paastis, "/__openapi.json");
  expect(Object.keys(openapi.paths)).toContain("/__apps/{app}/keep-awake");
  const docs = await ask(paastis, "/__docs");
  expect(docs.headers.get("content-security-policy")).toContain("; script-src 'sha256-");
  expect(await docs.text()).toContain("/__apps/{app}/keep-awake");
  for (const [path, status, detail] of [
    ["/__apps?page=x", 400, 'page must be a whole number from 1 to 1000000: it is "x"'],
    ["/__apps?phase=tired", 400, "phase must be one of unknown, asleep"],
    ["/__apps/nobody", 404, 'There is no app with the key "nobody"'],
    ["/__explain", 400, "url must be an address such as"],
  ] as const) {
    const answer = await ask(paastis, path);
    expect({ path, status: answer.status }).toEqual({ path, status });
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    const problem: Body = await answer.json();
    expect(problem.detail).toStartWith(detail);
  }
  const config = await (await ask(paastis, "/__config")).text();
  expect(config).toContain("PRICE_PER_HOUR");
  expect(config).not.toContain(TOKEN);
});

test.concurrent("admin: what holds an app awake is told apart, requests from sockets", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: ENV });
  await verb(paastis, "wake", "shop");
  const headers = { host: "shop.localhost" };
  const socket = new WebSocket(`ws://127.0.0.1:${paastis.port}/socket`, { headers });
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  const left = new AbortController();
  const { signal } = left;
  const slow = ask(paastis, "/slow?ms=60000", { headers, signal }).catch(() => null);
  const holders = async () => (await json(paastis, "/__apps/shop")).holders;
  const wanted = [
    { kind: "request", count: 1 },
    { kind: "WebSocket or event stream", count: 1 },
  ];
  await until(async () => Bun.deepEquals(await holders(), wanted));
  left.abort();
  await slow;
  await until(async () => Bun.deepEquals(await holders(), wanted.slice(1)));
  socket.close();
});

test.concurrent("admin: an operator wakes, follows, keeps awake, explains and puts to sleep, by verbs", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: ENV });
  expect(await verb(paastis, "wake", "shop")).toMatchObject({
    status: 0,
    stdout: "shop is awake\n",
  });
  expect((await verb(paastis, "apps")).stdout).toMatch(
    /\n {2}shop {2}awake +\S+ \S+ UTC {2}process/,
  );
  expect((await verb(paastis, "explain", "shop.example", "--user-agent", "curl")).stdout).toContain(
    "outcome   goes to the app",
  );
  expect((await verb(paastis, "keep-awake", "shop", "--for", "1h")).status).toBe(0);
  expect((await verb(paastis, "sweep", "--dry-run")).stdout).toMatch(
    /shop +stays +is kept awake by an operator/,
  );
  expect(await verb(paastis, "sleep", "shop")).toMatchObject({
    status: 0,
    stdout: "shop is asleep\n",
  });
  expect(
    (await verb(paastis, "events", "--app", "shop", "--name", "APP_STOPPED")).stdout,
  ).toContain("an operator");
  expect((await verb(paastis, "savings")).stdout).toContain("asleep");
  const maintenance = ["maintenance", "--app", "den", "--message", "Back at noon"];
  expect((await verb(paastis, ...maintenance)).status).toBe(0);
  const visit = await paastis.get("den");
  expect({ status: visit.status, text: await visit.text() }).toEqual({
    status: 503,
    text: expect.stringContaining("Back at noon"),
  });
  expect((await verb(paastis, "app", "nobody")).status).toBe(1);
});

test.concurrent("admin: streams come through the engine as things happen, and do not hold up the end", async () => {
  const paastis = await startPaastis({ config: CONFIG, env: ENV });
  const stream = { headers: { accept: "text/event-stream" } };
  const leaving = new AbortController();
  const left = readSentEvents(
    await ask(paastis, "/__events", { ...stream, signal: leaving.signal }),
  );
  void left.next().catch(() => null);
  const events = readSentEvents(await ask(paastis, "/__events?app=shop", stream));
  const rows = readSentEvents(await ask(paastis, "/__apps/stream", stream));
  expect(await rows.next()).toMatchObject({ name: "snapshot", data: { apps: [{}, {}] } });
  leaving.abort();
  expect((await paastis.get("shop")).status).toBe(200);
  expect(await events.next()).toMatchObject({ data: { name: "APP_WAKING" } });
  const started = await events.next();
  expect(started).toMatchObject({ data: { name: "APP_STARTED", app: "shop" } });
  for (let phase = ""; phase !== "awake"; ) {
    const row = (await rows.next())?.data.apps.find((app: { key: string }) => app.key === "shop");
    phase = row?.phase ?? phase;
  }
  const headers = { ...stream.headers, "last-event-id": started?.id ?? "" };
  const again = readSentEvents(await ask(paastis, "/__events", { headers }));
  const next = again.next();
  await ask(paastis, "/__apps/shop/sleep", { method: "POST" });
  expect((await next)?.data.name).toBe("APP_STOPPING");
  const stopMs = performance.now();
  paastis.signal("SIGTERM");
  expect(await paastis.ended).toBe(0);
  expect(performance.now() - stopMs).toBeLessThan(within(5000));
});

test.concurrent("admin: clients that leave their streams are forgotten, by the engine and behind it", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: ENV });
  const headers = { accept: "text/event-stream" };
  // More than may be open at once.
  for (let count = 0; count < 120; count += 1) {
    const leaving = new AbortController();
    const path = count % 2 === 0 ? "/__events" : "/__apps/stream";
    await until(async () => {
      const answer = await ask(paastis, path, { headers, signal: leaving.signal });
      const first = await answer.body?.getReader().read();
      return answer.status === 200 && first?.done === false;
    });
    leaving.abort();
  }
});

test.concurrent("admin: an order to keep an app awake, and a pause for a time, outlive a restart", async () => {
  const folder = makeFolder();
  {
    await using first = await startPaastis({ config: CONFIG, env: ENV, folder });
    const post = { method: "POST" };
    expect((await ask(first, "/__apps/shop/keep-awake?for=2h", post)).status).toBe(200);
    expect((await ask(first, "/__apps/den/pause?for=1h", post)).status).toBe(200);
    const orders = join(folder, ".paastis", "orders.json");
    await until(() => existsSync(orders));
    expect(JSON.parse(readFileSync(orders, "utf8"))).toMatchObject({ version: 1 });
  }
  await using next = await startPaastis({ config: CONFIG, env: ENV, folder });
  const shop = await json(next, "/__apps/shop");
  expect(Date.parse(shop.keptAwakeUntil) - Date.now()).toBeGreaterThan(7_000_000);
  const den = await json(next, "/__apps/den");
  expect(den.pause).toMatchObject({ kind: "paused", until: expect.any(String) });
});
