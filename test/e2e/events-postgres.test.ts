/** Events in Postgres, from the compiled program: the database comes, goes, and says nothing. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { within } from "../support/pace.ts";
import {
  type PostgresDatabase,
  type PostgresServer,
  startPostgres,
  whyNoPostgres,
} from "../support/postgres-server.ts";
import { type RunningPaastis, startPaastis } from "../support/start-paastis.ts";
import { startTcpRelay } from "../support/tcp-relay.ts";
import { until } from "../support/until.ts";

const missing = whyNoPostgres();
const CONFIG = `apps:\n${everythingApp("shop")}${everythingApp("blog")}`;
const WAITING = "Events cannot be stored: they are kept in memory and tried again until it works";
const AGAIN = "Events are stored again";

describe.skipIf(missing !== null)(`with a Postgres server${missing ? ` (${missing})` : ""}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  function start(url: string): Promise<RunningPaastis> {
    return startPaastis({
      config: CONFIG,
      // Then the log has every event.
      env: {
        ...{ EVENTS_STORE_TYPE: "postgres", DATABASE_URL: url, LOGGING_LEVEL: "debug" },
        ADMIN_UNIX_SOCKET: "admin.sock",
      },
    });
  }

  /** What `/__status` and `/__metrics` say of the event store: the same. */
  async function storeOf(paastis: RunningPaastis): Promise<Readonly<Record<string, unknown>>> {
    const unix = join(paastis.folder, "admin.sock");
    const said = await (await fetch("http://admin/__status?details=1", { unix })).json();
    const counted = await (await fetch("http://admin/__metrics?app=shop", { unix })).json();
    // What the endpoints answer are objects, or the test fails at its first look.
    const [status, metrics] = [said, counted] as { stores: { events: Record<string, unknown> } }[];
    expect(JSON.stringify([status, metrics])).not.toContain(server.password);
    expect(Object.keys(metrics?.stores.events ?? {})).toEqual(
      Object.keys(status?.stores.events ?? {}),
    );
    return status?.stores.events ?? {};
  }

  async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
    return (await paastis.get(key)).status;
  }

  /** `app NAME`, in the order of their ids. */
  async function storedIn({ rows }: PostgresDatabase): Promise<string[]> {
    const found = await rows("SELECT app, name FROM paastis.events ORDER BY id");
    return found.map(({ app, name }) => `${app} ${name}`);
  }

  /** The same from the log. */
  function toldBy({ lines }: RunningPaastis): string[] {
    return lines.flatMap(({ app, event }) => (event === undefined ? [] : `${app} ${event}`));
  }

  test("postgres: gone at the start, crashed in the middle, and every event is stored in order", async () => {
    const database = await server.database();
    await server.stop();
    await using paastis = await start(database.url);
    expect(await statusOf(paastis, "shop")).toBe(200);
    const said = await paastis.untilLine(({ msg }) => msg === WAITING);
    expect(String(said.why)).toContain("it cannot be reached");
    const away = { type: "postgres", reachable: false, trouble: said.why, dropped: 0 };
    const waiting = expect.any(Number);
    expect(await storeOf(paastis)).toMatchObject({
      ...{ ...away, waiting },
      since: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    await server.start();
    await paastis.untilLine(({ msg }) => msg === AGAIN);
    await until(async () => (await storedIn(database)).includes("shop APP_STARTED"));
    const well = { type: "postgres", reachable: true, trouble: null, since: null };
    expect(await storeOf(paastis)).toEqual({ ...well, waiting: 0, dropped: 0 });

    const from = paastis.lines.length;
    await server.stop("immediate");
    expect(await statusOf(paastis, "blog")).toBe(200);
    await paastis.untilLine(({ msg }) => msg === WAITING, from);
    await server.start();
    await paastis.untilLine(({ msg }) => msg === AGAIN, from);

    paastis.signal("SIGTERM");
    expect(await paastis.ended).toBe(0);
    const stored = await storedIn(database);
    expect(stored).toEqual(toldBy(paastis));
    expect(stored).toContain("blog APP_STARTED");
    expect(JSON.stringify(paastis.lines)).not.toContain(server.password);
    expect(paastis.lines.filter(({ level }) => level === "error")).toEqual([]);
    expect(paastis.lines.filter(({ msg }) => msg === WAITING)).toHaveLength(2);
  });

  test("postgres: a database that takes connections and says nothing delays neither start, requests nor stop", async () => {
    const database = await server.database();
    await using relay = await startTcpRelay(server.port);
    relay.freeze();
    await using paastis = await start(database.url.replace(/:\d+\//, `:${relay.port}/`));
    expect(paastis.startedInMs).toBeLessThan(within(3_000));
    expect(await statusOf(paastis, "shop")).toBe(200);
    expect(relay.taken()).toBeGreaterThan(0);
    const startMs = performance.now();
    for (let n = 0; n < 200; n += 1) expect(await statusOf(paastis, "shop")).toBe(200);
    expect(performance.now() - startMs).toBeLessThan(within(3_000));

    const stopMs = performance.now();
    paastis.signal("SIGTERM");
    expect(await paastis.ended).toBe(0);
    expect(performance.now() - stopMs).toBeLessThan(within(9_000));
    const lost = paastis.lines.find(({ msg }) => msg.includes("before the end and are lost"));
    expect(Number(lost?.events)).toBeGreaterThan(0);
  });
});
