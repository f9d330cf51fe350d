/** What goes on, what is suspended, and what is said while something is missing; and recovery by itself. */

import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { startHerokuStory } from "../support/heroku-story.ts";
import { pathSeenBy, whyNoOwnMounts, withOwnMounts } from "../support/own-mounts.ts";
import { connectRaw } from "../support/raw-client.ts";
import {
  eventually,
  type LogLine,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";

interface Status {
  readonly stores: {
    readonly registry: Readonly<Record<string, unknown>>;
    readonly events: Readonly<Record<string, unknown>>;
  };
  readonly providers: Readonly<Record<string, unknown>>;
}

const ADMIN = { ADMIN_UNIX_SOCKET: "admin.sock" };

/** Asks by that socket, as `paastis status` does. */
async function asked(paastis: RunningPaastis, path: string): Promise<Status> {
  const unix = join(paastis.folder, ADMIN.ADMIN_UNIX_SOCKET);
  const answer = await fetch(`http://admin${path}`, { unix });
  // What the endpoint answers is an object, or the test fails at its first look.
  return (await answer.json()) as Status;
}

function linesFrom(lines: readonly LogLine[], from: number, ...levels: string[]): string[] {
  return lines
    .slice(from)
    .filter(({ level }) => levels.includes(level))
    .map(({ msg }) => msg);
}

async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
  return (await paastis.get(key)).status;
}

const noMounts = whyNoOwnMounts();

describe.skipIf(noMounts !== null)(
  `with a disk of its own${noMounts ? ` (${noMounts})` : ""}`,
  () => {
    const CONFIG = `apps:\n${everythingApp("shop")}${everythingApp("blog")}`;
    const CANNOT =
      "The registry cannot be written: apps are woken and served, and none is put to sleep until it can";

    function startOnDisk(disk: string, env: Readonly<Record<string, string>>, script = "") {
      return startPaastis({
        config: CONFIG,
        env: { DATA_DIR: disk, ...ADMIN, ...env },
        through: withOwnMounts(`mount -t tmpfs -o size=512k none ${disk}${script}`),
      });
    }

    function makeDisk(): string {
      const disk = join(makeFolder(), "disk");
      mkdirSync(disk);
      return disk;
    }

    function fill(paastis: RunningPaastis, disk: string): string {
      const file = pathSeenBy(paastis.pid, `${disk}/fill`);
      expect(() => writeFileSync(file, Buffer.alloc(1_000_000))).toThrow("ENOSPC");
      return file;
    }

    test.concurrent("full disk: requests and wakes go on, nothing is put to sleep, it is said once, and over by itself", async () => {
      const disk = makeDisk();
      await using paastis = await startOnDisk(disk, { START_AND_STOP_MAX_IDLE_TIME: "0.03" });
      expect(await statusOf(paastis, "shop")).toBe(200);
      const filling = fill(paastis, disk);
      const from = paastis.lines.length;
      expect(await statusOf(paastis, "blog")).toBe(200);
      await paastis.untilLine(({ msg }) => msg === CANNOT, from);
      // Longer than both may idle.
      const untilMs = performance.now() + 3_500;
      while (performance.now() < untilMs) {
        expect(await statusOf(paastis, "shop")).toBe(200);
        await Bun.sleep(100);
      }
      expect(linesFrom(paastis.lines, from, "warn", "error").toSorted()).toEqual([
        "Events cannot be stored: they are kept in memory and tried again until it works",
        CANNOT,
        "notes about running processes cannot be kept: if Paastis is killed, some may be left behind",
      ]);
      const full = { type: "sqlite", reachable: false, trouble: "database or disk is full" };
      const { stores } = await asked(paastis, "/__status?details=1");
      expect(stores.registry).toMatchObject({ ...full, since: expect.stringContaining("T") });
      expect(stores.events).toMatchObject({ ...full, waiting: 2, dropped: 0 });
      expect((await asked(paastis, "/__metrics?app=shop")).stores).toMatchObject(stores);

      const at = paastis.lines.length;
      rmSync(filling);
      await paastis.untilLine(({ msg }) => msg === "The registry can be written again", at);
      await paastis.untilLine(({ msg }) => msg === "Events are stored again", at);
      await paastis.untilEvent("shop", "APP_STOPPED", at);
      await paastis.untilEvent("blog", "APP_STOPPED", at);
      const well = (await asked(paastis, "/__status?details=1")).stores;
      const good = { reachable: true, trouble: null, since: null };
      expect([well.registry, well.events]).toMatchObject([good, { ...good, dropped: 0 }]);
      expect(linesFrom(paastis.lines, at, "warn", "error")).toEqual([]);
    });

    test.concurrent("read-only disk: apps are served, and what is known is told to be in memory alone", async () => {
      const disk = makeDisk();
      await using paastis = await startOnDisk(disk, {}, ` && mount -o remount,ro ${disk}`);
      expect(await statusOf(paastis, "shop")).toBe(200);
      const warnings = linesFrom(paastis.lines, 0, "warn", "error");
      expect(warnings[0]).toBe("going on in memory: what is known is lost with the next restart");
      const { registry, events } = (await asked(paastis, "/__status?details=1")).stores;
      const trouble = expect.stringContaining("DATA_DIR cannot be written");
      expect(registry).toMatchObject({ type: "in-memory", reachable: false, trouble });
      expect(events).toMatchObject({ type: "in-memory", reachable: false, trouble });
    });

    test.concurrent("full disk: a start on one keeps what is known, serves, and recovers", async () => {
      const disk = makeDisk();
      const kept = join(disk, "..", "kept");
      {
        await using first = await startPaastis({ config: CONFIG, env: { DATA_DIR: kept } });
        expect(await statusOf(first, "shop")).toBe(200);
      }
      const script = ` && cp -a ${kept}/. ${disk}/ && dd if=/dev/zero of=${disk}/fill bs=4k 2> /dev/null`;
      await using paastis = await startOnDisk(
        disk,
        { START_AND_STOP_MAX_IDLE_TIME: "0.03" },
        `${script}; true`,
      );
      expect(await statusOf(paastis, "shop")).toBe(200);
      const found = await paastis.untilLine(({ provider }) => provider === "process");
      expect(found).toMatchObject({ apps: 2, new: 0 });
      const seen = pathSeenBy(paastis.pid, disk);
      rmSync(join(seen, "fill"));
      await paastis.untilLine(({ msg }) => msg === "The registry can be written again");
      await paastis.untilEvent("shop", "APP_STOPPED");
    });
  },
);

test.concurrent("damaged file: it is set aside with a warning that says so, and apps are served", async () => {
  const folder = makeFolder();
  writeFileSync(join(folder, "paastis.sqlite"), "no database\n".repeat(1_000));
  const config = `apps:\n${everythingApp("shop")}`;
  await using paastis = await startPaastis({ folder, config, env: { DATA_DIR: folder, ...ADMIN } });
  expect(await statusOf(paastis, "shop")).toBe(200);
  const warnings = paastis.lines.filter(({ level }) => level === "warn" || level === "error");
  expect(warnings).toMatchObject([{ msg: expect.stringContaining("was set aside and a new one") }]);
  expect(readFileSync(String(warnings[0]?.setAside), "utf8")).toStartWith("no database");
  const { registry } = (await asked(paastis, "/__status?details=1")).stores;
  expect(registry).toMatchObject({ type: "sqlite", reachable: true });
});

// Own mounts again: nobody else may lose their name servers.
describe.skipIf(noMounts !== null)(
  `with name servers of its own${noMounts ? ` (${noMounts})` : ""}`,
  () => {
    test.concurrent("names: while none can be looked up it is said where, and afterwards all is well by itself", async () => {
      const folder = makeFolder();
      const hosts = join(folder, "hosts");
      const setHosts = (names: string) => writeFileSync(hosts, `127.0.0.1 localhost ${names}\n`);
      setHosts("");
      const servers = join(folder, "servers");
      writeFileSync(servers, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
      await using heroku = await startHerokuStory();
      heroku.addApp("blog");
      using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hi") });
      await using paastis = await startPaastis({
        ...{ folder, config: `apps:\n  shop: { targets: ['http://shop.test:${server.port}'] }\n` },
        env: {
          ...{ ...heroku.env, ...ADMIN, PROVIDER_NAME: "http,heroku" },
          PROVIDER_HEROKU_API_URL: String(heroku.env.PROVIDER_HEROKU_API_URL).replace(
            "127.0.0.1",
            "api.test",
          ),
        },
        through: withOwnMounts(
          `mount --bind ${hosts} /etc/hosts && mount --bind ${servers} /etc/resolv.conf`,
        ),
      });
      const held = paastis.get("shop");
      await paastis.untilEvent("shop", "APP_WAKING");
      const { providers } = await asked(paastis, "/__status?details=1");
      const lost = "could not be looked up: name servers do not answer";
      const heard = { reachable: true, trouble: null };
      expect(providers).toEqual({
        http: heard,
        heroku: { reachable: false, trouble: expect.stringContaining(lost) },
      });
      const warnings = () =>
        paastis.lines.filter(({ level }) => level === "warn" || level === "error");
      expect(warnings().map((line) => JSON.stringify(line))).toEqual([
        expect.stringContaining(lost),
      ]);
      setHosts("shop.test api.test");
      expect((await held).status).toBe(200);
      await paastis.untilLine(({ provider, apps }) => provider === "heroku" && apps === 1);
      expect((await asked(paastis, "/__status?details=1")).providers).toEqual({
        http: heard,
        heroku: heard,
      });
      expect(warnings()).toHaveLength(1);
    });
  },
);

test.concurrent("descriptors: without any, who asks waits or is told 503, and all is well by itself once there are some", async () => {
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop")}${everythingApp("blog")}`,
  });
  expect(await statusOf(paastis, "shop")).toBe(200);
  limitDescriptors(paastis.pid, mostUsed(paastis.pid) + 1);
  const from = paastis.lines.length;
  const codes = new Set<string | null>();
  const ask = async (key: string) => {
    const { status, headers } = await paastis.get(key);
    codes.add(headers.get("paastis-error"));
    return status;
  };
  // As many as there are descriptors are taken at a time: the others wait.
  const asking = Array.from({ length: 20 }, (_, n) => ask(n % 2 === 0 ? "shop" : "blog"));
  await paastis.untilLine(({ event }) => event === "APP_START_FAILED", from);
  limitDescriptors(paastis.pid, 1_024);
  expect((await Promise.all(asking)).filter((code) => code !== 200 && code !== 503)).toEqual([]);
  expect([...codes]).toContain("app_failed");
  const failed = paastis.lines.find(({ event }) => event === "APP_START_FAILED");
  expect(String(failed?.reason)).toContain("too many open files");
  await eventually("both are up", async () => {
    const codes = await Promise.all([statusOf(paastis, "shop"), statusOf(paastis, "blog")]);
    return codes.every((code) => code === 200);
  });
  expect(linesFrom(paastis.lines, 0, "error")).toEqual([]);
});

function mostUsed(pid: number): number {
  return Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number));
}

/** The soft limit, which everybody may move below the hard one. */
function limitDescriptors(pid: number, most: number): void {
  const { exitCode } = Bun.spawnSync(["prlimit", "--pid", String(pid), `--nofile=${most}:`]);
  expect(exitCode).toBe(0);
}

test.concurrent("frozen: after SIGCONT nothing that waits is refused, cut, or put to sleep", async () => {
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop")}${everythingApp("blog", {}, ["app_max_idle_time: 0.03"])}`,
    env: {
      SERVER_KEEPALIVE_TIMEOUT: "2000",
      SERVER_HEADERS_TIMEOUT: "2000",
      UPSTREAM_TIMEOUT_MS: "2500",
    },
  });
  const request = (path: string, key = "shop") =>
    `GET ${path} HTTP/1.1\r\nHost: ${key}.example\r\n\r\n`;
  expect(await statusOf(paastis, "shop")).toBe(200);
  expect(await statusOf(paastis, "blog")).toBe(200);
  using kept = await connectRaw(paastis.port);
  using half = await connectRaw(paastis.port);
  using slow = await connectRaw(paastis.port);
  kept.send(request("/", "blog"));
  expect((await kept.answer()).status).toBe(200);
  half.send("GET / HTTP/1.1\r\nHo");
  slow.send(request("/slow?ms=800"));
  await Bun.sleep(100);
  const from = paastis.lines.length;

  paastis.signal("SIGSTOP");
  await Bun.sleep(2_500);
  kept.send(request("/", "blog"));
  half.send("st: shop.example\r\n\r\n");
  using fresh = await connectRaw(paastis.port);
  fresh.send(request("/slow?ms=300"));
  await Bun.sleep(500);
  paastis.signal("SIGCONT");
  const answers = await Promise.all([kept, half, slow, fresh].map((client) => client.answer()));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const early = paastis.lines.slice(from).filter(({ event }) => event !== undefined);
  expect(early.map(({ app, event }) => `${app} ${event}`)).toEqual([]);
  // It is put to sleep when it has idled for so long after that.
  await paastis.untilEvent("blog", "APP_STOPPED", from);
});
