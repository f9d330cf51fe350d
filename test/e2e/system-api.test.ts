/** The system API through the compiled program, on both engines. */

import { describe, expect, test } from "bun:test";
import { everythingApp } from "../support/everything-app.ts";
import { startScalingoStory } from "../support/scalingo-story.ts";
import {
  EXECUTABLE,
  eventually,
  isAlive,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";

const TOKEN = "abcd-1234-EFGH-5678";
const ENABLED = { ROUTING_SYSTEM_API_ENABLED: "true", ROUTING_SYSTEM_API_TOKEN: TOKEN };
/** As the curl lines of Paastis 0.1 have them. */
const SYSTEM = { PaastisProxyTarget: "system", PaastisProxySystemApiToken: TOKEN };

interface Told {
  readonly name: string;
  readonly [field: string]: unknown;
}

/** An app that runs elsewhere and remembers what it was sent. */
function startRemembering() {
  const seen: { readonly path: string; readonly headers: Readonly<Record<string, string>> }[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const path = new URL(request.url).pathname;
      seen.push({ path, headers: request.headers.toJSON() });
      return new Response(`the app's ${request.method} ${path}`);
    },
  });
  const config = [
    "apps:",
    `  elsewhere: { targets: ['http://127.0.0.1:${server.port}'] }`,
    everythingApp("shop"),
  ].join("\n");
  return { seen, config, [Symbol.asyncDispose]: () => server.stop(true) };
}

function start(engine: string, config: string, env: Readonly<Record<string, string>>) {
  const fixed = { ENGINE: engine, PROVIDER_NAME: "process", LOGGING_LEVEL: "trace" };
  return startPaastis({ config, env: { ...fixed, ...env } });
}

async function appsOf(paastis: RunningPaastis, host = "shop"): Promise<readonly Told[]> {
  const answer = await paastis.get(host, { path: "/apps", headers: SYSTEM });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Told[];
}

/** An app in use is accessed now. */
async function untilUnused(paastis: RunningPaastis, key: string): Promise<void> {
  await eventually(`nobody uses ${key}`, async () => {
    const app = (await appsOf(paastis)).find(({ name }) => name === key);
    return Date.parse(String(app?.last_accessed_at)) < Date.now() - 50;
  });
}

async function eventsOf(paastis: RunningPaastis, app: string): Promise<readonly string[]> {
  const answer = await paastis.get(app, { path: "/events", headers: SYSTEM });
  if (answer.status === 204) return [];
  const events = (await answer.json()) as Told[];
  for (const event of events) expect(Object.keys(event)).toEqual(["oid", "name", "date"]);
  return events.filter(({ oid }) => oid === app).map(({ name }) => name);
}

describe.each(["socket", "fetch"])("system API, %s engine", (engine) => {
  test("apps and events are told on every host, and that wakes nothing", async () => {
    await using app = startRemembering();
    await using paastis = await start(engine, app.config, ENABLED);
    for (const host of ["shop", "elsewhere", "nobody"]) {
      const apps = await appsOf(paastis, host);
      expect(apps.map(({ name }) => name).toSorted()).toEqual(["elsewhere", "shop"]);
      expect(apps.find(({ name }) => name === "shop")).toEqual({
        ...{ created_at: null, force_https: null, git_url: null, id: "shop" },
        ...{ last_deployed_at: null, name: "shop", region: null, status: "stopped" },
        ...{ sticky_session: null, updated_at: null, url: null, is_monitored: true },
        ...{ provider: "process", max_idle_time: 15, last_accessed_at: null },
      });
    }
    expect(await eventsOf(paastis, "shop")).toEqual(["APP_DISCOVERED", "APP_REGISTERED"]);
    expect(paastis.events("shop")).not.toContain("APP_WAKING");

    const { pid } = (await (await paastis.get("shop", { path: "/apps" })).json()) as {
      pid: number;
    };
    const awake = (await appsOf(paastis)).find(({ name }) => name === "shop");
    expect(awake).toMatchObject({ status: "running" });
    expect(awake?.url).toStartWith("http://127.0.0.1:");
    expect(Date.parse(String(awake?.last_accessed_at))).toBeGreaterThan(Date.now() - 60_000);
    expect(await eventsOf(paastis, "shop")).toContain("APP_STARTED");
    expect(isAlive(pid)).toBe(true);
    expect(app.seen).toEqual([]);
  });

  test("DELETE /apps: what is awake goes on, and is registered anew with a fresh idle clock", async () => {
    await using app = startRemembering();
    await using paastis = await start(engine, app.config, ENABLED);
    const pidNow = async () => ((await (await paastis.get("shop")).json()) as { pid: number }).pid;
    const pid = await pidNow();
    await untilUnused(paastis, "shop");
    const from = paastis.lines.length;
    const answer = await paastis.get("shop", { path: "/apps", method: "DELETE", headers: SYSTEM });
    expect([answer.status, await answer.text()]).toEqual([204, ""]);
    const shop = (await appsOf(paastis)).find(({ name }) => name === "shop");
    expect(shop).toMatchObject({ status: "running", last_accessed_at: null });
    await paastis.untilEvent("shop", "APP_REGISTERED", from);
    const names = await eventsOf(paastis, "shop");
    expect(names.slice(-3)).toEqual(["APP_UNREGISTERED", "APP_DISCOVERED", "APP_REGISTERED"]);
    expect(await pidNow()).toBe(pid);
  });

  test("bad and missing tokens are told so, other paths are 404, and the app sees none of it", async () => {
    await using app = startRemembering();
    await using paastis = await start(engine, app.config, ENABLED);
    const ask = async (path: string, method: string, headers: Record<string, string>) => {
      const answer = await paastis.get("elsewhere", { path, method, headers });
      const body = (await answer.json()) as { error: string };
      return `${answer.status} ${answer.headers.get("paastis-error")} ${body.error}`;
    };
    const refused = "400 system_refused Wrong or missing Paastis proxy system API token";
    const missing = { PaastisProxyTarget: "system" };
    expect(await ask("/apps", "GET", missing)).toBe(refused);
    expect(await ask("/apps", "DELETE", missing)).toBe(refused);
    expect(await ask("/", "GET", { ...SYSTEM, PaastisProxySystemApiToken: "wrong" })).toBe(refused);
    expect(await ask("/", "GET", SYSTEM)).toBe("404 system_refused Not found");
    expect(await ask("/__switch?port=1", "POST", SYSTEM)).toBe("404 system_refused Not found");
    expect(await ask("/events", "DELETE", SYSTEM)).toBe("405 system_refused Method not allowed");
    const astray = { PaastisProxySystemApiToken: TOKEN };
    expect(await ask("/", "GET", astray)).toBe("400 system_refused Not for an app");
    expect(app.seen).toEqual([]);
    expect(JSON.stringify(paastis.lines)).not.toContain(TOKEN);
  });

  test("a preflight that asks for the headers, and requests without them, are the app's", async () => {
    await using app = startRemembering();
    await using paastis = await start(engine, app.config, ENABLED);
    const preflight = {
      origin: "https://evil.example",
      "access-control-request-method": "DELETE",
      "access-control-request-headers": "paastisproxysystemapitoken, paastisproxytarget",
    };
    const asked = await paastis.get("elsewhere", {
      path: "/apps",
      method: "OPTIONS",
      headers: preflight,
    });
    expect(await asked.text()).toBe("the app's OPTIONS /apps");
    for (const path of ["/apps", "/events"]) {
      const answer = await paastis.get("elsewhere", { path });
      expect(await answer.text()).toBe(`the app's GET ${path}`);
    }
  });

  test("disabled, such a request is the app's, headers and all", async () => {
    await using app = startRemembering();
    await using paastis = await start(engine, app.config, {});
    const answer = await paastis.get("elsewhere", { path: "/apps", headers: SYSTEM });
    expect(await answer.text()).toBe("the app's GET /apps");
    // The first was to see whether it is up.
    expect(app.seen.find(({ path }) => path === "/apps")?.headers).toMatchObject({
      paastisproxytarget: "system",
      paastisproxysystemapitoken: TOKEN,
    });
  });
});

test("system API: what is asleep comes back as it was after DELETE /apps and a restart", async () => {
  const folder = makeFolder();
  const config = `apps:\n${everythingApp("shop")}`;
  const env = { ...ENABLED, START_AND_STOP_MAX_IDLE_TIME: "0" };
  {
    await using paastis = await startPaastis({ config, folder, env });
    await paastis.get("shop");
    await paastis.untilEvent("shop", "APP_STOPPED");
    const answer = await paastis.get("shop", { path: "/apps", method: "DELETE", headers: SYSTEM });
    expect(answer.status).toBe(204);
    expect(paastis.events("shop")).not.toContain("APP_UNREGISTERED");
  }
  await using again = await startPaastis({ config, folder, env: ENABLED });
  const [shop] = await appsOf(again);
  expect(shop).toMatchObject({ status: "stopped", is_monitored: true });
  expect(shop?.last_accessed_at).not.toBeNull();
  await eventually("it is woken", async () => (await again.get("shop")).status === 200);
});

test("system API: an app on Scalingo that sleeps is told with what Scalingo says of it, for no call more", async () => {
  await using platform = await startScalingoStory();
  platform.addApp("demo-pr12", { web: 0 });
  const env = { ...platform.env, ...ENABLED, START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
  await using paastis = await startPaastis({ config: "", env });
  const before = platform.calls.all;
  const [app] = await appsOf(paastis, "demo-pr12");
  expect(app).toMatchObject({
    ...{ name: "demo-pr12", region: "osc-fr1", status: "stopped", provider: "scalingo" },
    ...{ force_https: true, git_url: null, sticky_session: null, is_monitored: true },
  });
  for (const field of ["created_at", "updated_at"]) {
    expect(String(app?.[field])).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  }
  expect(app?.id).not.toContain("/");
  expect(app?.url).toStartWith("http");
  expect(platform.calls.all).toBe(before);
});

test("system API: enabled without a token, the program ends with 78 before it listens", async () => {
  const child = Bun.spawn([EXECUTABLE], {
    cwd: makeFolder(),
    env: { PROVIDER_NAME: "process", PORT: "0", ROUTING_SYSTEM_API_ENABLED: "true" },
    stdout: "pipe",
    stderr: "pipe",
  });
  expect(await child.exited).toBe(78);
  const said = (await child.stdout.text()) + (await child.stderr.text());
  expect(said).toContain("ROUTING_SYSTEM_API_TOKEN is required with ROUTING_SYSTEM_API_ENABLED");
});
