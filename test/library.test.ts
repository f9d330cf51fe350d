/** Paastis as a part of a program, with a provider of its own. */

import { expect, test } from "bun:test";
import { type PaastisOptions, startPaastis } from "../src/library.ts";
import { type Provider, ProviderError } from "../src/providers/provider.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";

/** One app, a server of this very process. */
function ownProvider(options: { readonly fails?: boolean } = {}) {
  const told: string[] = [];
  let server: Bun.Server<undefined> | null = null;
  const phase = () => (server === null ? "asleep" : "awake") as "asleep" | "awake";
  const target = () => {
    if (server === null) return null;
    return { origin: server.url.origin, host: server.url.host };
  };
  const look = async () => ({ phase: phase(), target: target() });
  const provider: Provider = {
    name: "mine",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: 5000,
      sleepTimeoutMs: 5000,
      sleepAfterFailedWake: false,
    },
    list: async () => [{ id: "1", key: "shop", observation: await look(), sleepsByItself: false }],
    observe: look,
    takeSnapshot: async () => ({ kind: "none" }),
    async wake() {
      told.push("wake");
      if (options.fails === true) throw new ProviderError("failed", "the machine is broken");
      server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("mine") });
      return { done: true, target: target() };
    },
    async sleep() {
      told.push("sleep");
      await server?.stop(true);
      server = null;
      return { done: true, target: null };
    },
    poll: async () => ({ done: true, target: target() }),
    async close() {
      told.push("close");
      await server?.stop(true);
    },
  };
  return { provider, told };
}

function start(folder: string, options: PaastisOptions) {
  const environment = { HOST: "127.0.0.1", PORT: "0", LOGGING_LEVEL: "silent" };
  return startPaastis({
    workingDirectory: folder,
    ...options,
    environment: { ...environment, ...options.environment },
  });
}

function get(port: number) {
  return fetch(`http://127.0.0.1:${port}/`, { headers: { host: "shop.example" } });
}

test("library: a request wakes an app of the program's own provider, which is closed at the end", async () => {
  using folder = tempDir();
  const { provider, told } = ownProvider();
  {
    await using paastis = await start(folder.path, { providers: [provider] });
    const answer = await get(paastis.port);
    expect([answer.status, await answer.text()]).toEqual([200, "mine"]);
    expect(told).toEqual(["wake"]);
    await paastis.stop();
    await expect(get(paastis.port)).rejects.toThrow();
  }
  expect(told.at(-1)).toBe("close");
});

test("library: an idle app of the program's own provider is put to sleep", async () => {
  using folder = tempDir();
  const { provider, told } = ownProvider();
  const environment = {
    START_AND_STOP_MAX_IDLE_TIME: "0",
    START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
  };
  await using paastis = await start(folder.path, { providers: [provider], environment });
  await (await get(paastis.port)).text();
  await until(() => told.includes("sleep"));
  expect(told).toEqual(["wake", "sleep"]);
});

test("library: what its provider throws is an answer to the visitor", async () => {
  using folder = tempDir();
  const { provider } = ownProvider({ fails: true });
  await using paastis = await start(folder.path, { providers: [provider] });
  const answer = await get(paastis.port);
  expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
});

test("library: a signal stops it, and it leaves no listener of this process behind", async () => {
  using folder = tempDir();
  const count = () => ["SIGTERM", "SIGINT", "SIGHUP", "unhandledRejection"].map(listeners);
  const before = count();
  const controller = new AbortController();
  const paastis = await start(folder.path, { signal: controller.signal });
  expect(count()).toEqual(before);
  controller.abort();
  await paastis.stopped;
  await expect(get(paastis.port)).rejects.toThrow();
});

function listeners(name: string): number {
  return process.listenerCount(name);
}

test("library: a signal that came before ends the start", async () => {
  using folder = tempDir();
  const starting = start(folder.path, { signal: AbortSignal.abort() });
  await expect(starting).rejects.toThrow("stopped before it was ready");
});

test("library: a configuration that cannot be used is refused with all its problems", async () => {
  using folder = tempDir();
  const environment = { PORT: "80a", START_AND_STOP_MAX_IDLE_TIME: "soon" };
  const starting = start(folder.path, { environment });
  await expect(starting).rejects.toMatchObject({ code: "config_invalid" });
  await expect(start(folder.path, { environment })).rejects.toThrow(/PORT[\s\S]*MAX_IDLE_TIME/);
});

test("library: several run in one process, each on a port of its own", async () => {
  using one = tempDir();
  using two = tempDir();
  await using first = await start(one.path, { providers: [ownProvider().provider] });
  await using second = await start(two.path, { providers: [ownProvider().provider] });
  expect(first.port).not.toBe(second.port);
  expect((await get(first.port)).status).toBe(200);
  await first.stop();
  expect((await get(second.port)).status).toBe(200);
});
