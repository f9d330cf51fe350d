/** The verbs about apps, against the real endpoints. */

import { describe, expect, test } from "bun:test";
import { followEvents } from "../src/cli/events-follow.ts";
import { runCommandLine } from "../src/cli/run.ts";
import { createSystemClock } from "../src/clock.ts";
import { type AppsWorld, createAppsWorld } from "./support/apps-world.ts";
import { awakeAt } from "./support/sample-app.ts";
import { until } from "./support/until.ts";

const MINUTE = 60_000;

/** A world whose endpoints listen on a port, and a command line that asks them. */
async function served(options: { readonly instead?: () => Response } = {}) {
  const world = await createAppsWorld({
    yaml: "rules:\n  - pattern: shop\n    app_max_idle_time: 5\n",
    env: { PRICE_PER_HOUR: "0.25", ADMIN_TOKEN: "a-token-that-nobody-may-see" },
  });
  world.small.add("shop", { state: awakeAt("shop") });
  world.small.add("den");
  world.deps.watch.attend(world.small.core.table.all());
  const server = listen(world, options.instead);
  const url = `http://127.0.0.1:${server.port}`;
  return {
    world,
    server,
    url,
    ask: (...args: string[]) => run([...args, "--url", url]),
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await world[Symbol.asyncDispose]();
    },
  };
}

function listen(world: AppsWorld, instead?: () => Response, port = 0) {
  return Bun.serve({
    port,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url);
      const { headers, method } = request;
      const hasBody = method === "POST";
      return (
        instead?.() ??
        world.ask(pathname + search, { headers, method, ...(hasBody && { body: request.body }) })
      );
    },
  });
}

function surroundings() {
  const out: string[] = [];
  const err: string[] = [];
  return {
    out,
    err,
    environment: {},
    workingDirectory: "/nowhere",
    columns: { out: null, err: null },
    writeOut: (text: string) => void out.push(text),
    writeErr: (text: string) => void err.push(text),
  };
}

async function run(args: readonly string[]) {
  const around = surroundings();
  const status = await runCommandLine(args, around);
  return { status, out: around.out.join(""), err: around.err.join("") };
}

describe("verbs about apps: answers for people", () => {
  test("apps is a table", async () => {
    await using one = await served();
    expect(await one.ask("apps")).toEqual({
      status: 0,
      err: "",
      out: `  APP   PHASE   SINCE                    PROVIDER  USED BY  NEXT
  den   asleep  2023-11-14 22:13:20 UTC  stub      0        is asleep
  shop  awake   2023-11-14 22:13:20 UTC  stub      0        sleeps at 2023-11-14 22:18:20 UTC if unused
`,
    });
    expect((await one.ask("apps", "--phase", "asleep", "--sort", "lastUsed")).out).not.toContain(
      "shop",
    );
    expect((await one.ask("apps", "--size", "1")).out).toEndWith("\nPage 1 of 2, 2 apps in all.\n");
    expect((await one.ask("apps", "--search", "nothing")).out).toBe("There is no such app.\n");
  });

  test("app shows all that is known of one", async () => {
    await using one = await served();
    await one.ask("wake", "den");
    const { status, out } = await one.ask("app", "shop");
    expect(status).toBe(0);
    expect(out).toBe(`  app       shop
  provider  stub (shop)
  phase     awake, since 2023-11-14 22:13:20 UTC
  used by   nobody
  next      sleeps at 2023-11-14 22:18:20 UTC if unused
  why       was found since the last sweep
  target    http://shop.test:8080
  requests  0 since the start

Settings
  app_max_idle_time  5  from rules[0] (shop)
`);
    const den = (await one.ask("app", "den")).out;
    expect(den).toContain("last wake");
    expect(den).toContain("APP_STARTED");
  });

  test("wake waits, and --no-wait does not; sleep and keep-awake say what came of it", async () => {
    await using one = await served();
    expect(await one.ask("wake", "den")).toMatchObject({ status: 0, out: "den is awake\n" });
    expect((await one.ask("wake", "den", "--no-wait")).out).toBe("den is awake already\n");
    expect((await one.ask("sleep", "den")).out).toBe("den is asleep\n");
    expect((await one.ask("wake", "den", "--no-wait")).out).toBe("den is waking\n");
    expect((await one.ask("keep-awake", "shop", "--for", "2h")).out).toBe(
      "shop is kept awake until 2023-11-15T00:13:20.000Z\n",
    );
    expect((await one.ask("apps")).out).toContain("kept awake until 2023-11-15 00:13:20 UTC");
    expect((await one.ask("keep-awake", "shop", "--off")).out).toContain("no longer kept awake");
  });

  test("pause --for lasts so long, and resume ends it", async () => {
    await using one = await served();
    expect(await one.ask("pause", "shop", "--for", "10m")).toMatchObject({
      status: 0,
      out: "shop is paused until 2023-11-14T22:23:20.000Z: its requests wait\n",
    });
    expect((await one.ask("apps")).out).toContain("awake, paused");
    expect((await one.ask("resume", "shop")).status).toBe(0);
    expect((await one.ask("apps")).out).not.toContain("paused");
  });

  test("sweep --dry-run says what would be done, and sweep does it", async () => {
    await using one = await served();
    const { clock, core } = one.world.small;
    await core.sweeper.sweep();
    await clock.advance(6 * MINUTE);
    expect((await one.ask("sweep", "--dry-run")).out).toBe(
      "1 app of 2 would be put to sleep\n  shop  sleeps  idle for 6 min\n  den   stays   is asleep\n",
    );
    expect(core.table.byKey("shop")?.state.kind).toBe("awake");
    expect((await one.ask("sweep")).out).toStartWith("1 app of 2 put to sleep from now on\n");
    await clock.advance(1000);
    expect(core.table.byKey("shop")?.state.kind).toBe("asleep");
  });

  test("explain says what would become of a request", async () => {
    await using one = await served();
    const { out, status } = await one.ask(
      "explain",
      "https://den.example/cart",
      "--user-agent",
      "curl/8",
    );
    expect(status).toBe(0);
    expect(out).toContain("  request   GET den.example/cart\n");
    expect(out).toContain("  app       den\n");
    expect(out).toContain("  outcome   waits for the app\n");
    expect(out).toContain("  wakes it  yes\n");
    expect((await one.ask("explain", "nobody.example")).out).toContain(
      "is refused (404 unknown_app)",
    );
  });

  test("config shows what is given, no secret, and with --all everything", async () => {
    await using one = await served();
    const { out } = await one.ask("config");
    expect(out).toMatch(/ADMIN_TOKEN +\(secret\)\n/);
    expect(out).not.toContain("HOLD_MAX_MS");
    expect(out).toContain("\nRules\n  shop  app_max_idle_time\n");
    expect((await one.ask("config", "--all")).out).toMatch(/HOLD_MAX_MS +25000 +default\n/);
  });

  test("savings shows hours, share and money", async () => {
    await using one = await served();
    await one.world.small.clock.advance(60 * MINUTE);
    expect((await one.ask("savings")).out).toBe(`  since   2023-11-14 22:13:20 UTC
  asleep  1 h of apps, 50 %
  awake   1 h of apps
  saved   0.25 EUR
`);
  });

  test("events lists what happened", async () => {
    await using one = await served();
    await one.ask("wake", "den");
    const { out } = await one.ask("events", "--app", "den", "--name", "APP_STARTED");
    expect(out).toBe("  2023-11-14 22:13:20 UTC  den  APP_STARTED  an operator\n");
    expect((await one.ask("events", "--app", "shop")).out).toBe("There are no such events.\n");
  });

  test("events says what the reference of a failure stands for, which it shows with failures", async () => {
    await using one = await served();
    const { small, bus } = one.world;
    const app = small.core.table.byKey("den");
    if (app === null) throw new Error("there is no den");
    const cause = { kind: "request", detail: "GET /" } as const;
    for (const name of ["APP_WAKING", "APP_START_FAILED", "APP_WAKING"] as const) {
      bus.emit({ name, app: "den", ref: app.ref, cause, reason: "no database" });
    }
    const { out } = await one.ask("events", "--app", "den");
    const [, reference = ""] = /APP_START_FAILED .*\(reference (\w+)\)/.exec(out) ?? [];
    expect((await one.ask("events", reference)).out).toBe(
      `  2023-11-14 22:13:20 UTC  den  APP_START_FAILED  GET /: no database (reference ${reference})\n`,
    );
    expect((await one.ask("events", "nothing")).out).toBe("There are no such events.\n");
  });
});

describe("verbs about apps: answers for programs, and refusals", () => {
  test.each([
    [["apps"], "apps"],
    [["app", "shop"], "settings"],
    [["wake", "shop"], "phase"],
    [["events"], "events"],
    [["explain", "shop.example"], "outcome"],
    [["sweep", "--dry-run"], "entries"],
    [["config"], "variables"],
    [["savings"], "share"],
    [["pause", "shop", "--for", "1m"], "pause"],
  ])("%p --json is the answer as it came", async (args, field) => {
    await using one = await served();
    const { out, status } = await one.ask(...(args as string[]), "--json");
    expect(status).toBe(0);
    expect(JSON.parse(out)).toHaveProperty(field as string);
  });

  test.each([
    [["app", "nobody"], 1, 'There is no app with the key "nobody"'],
    [["wake", "nobody"], 1, "Cannot wake nobody: There is no app"],
    [["apps", "--page", "x"], 64, 'page must be a whole number from 1 to 1000000: it is "x"'],
    [["apps", "--phase", "tired"], 64, "phase must be one of"],
    [["events", "--name", "NOPE"], 64, "name must be one or several of"],
    [["events", "--follow", "--name", "NOPE"], 64, "Cannot follow the events: name must be"],
    [["explain", "ftp://x"], 64, "url must be an address such as"],
    [["keep-awake", "shop", "--for", "32d"], 64, "longer than 31 days"],
    [["keep-awake", "shop"], 64, "nobody says how long"],
    [["pause", "--for", "1h"], 64, "it must be said which app"],
    [
      ["keep-awake", "shop", "--for", "1h", "--until", "2030-01-01T00:00:00Z"],
      64,
      "cannot be used with",
    ],
  ])("%p ends with %p and says why", async (args, status, why) => {
    await using one = await served();
    const said = await one.ask(...(args as string[]));
    expect(said.status).toBe(status as number);
    expect(said.err).toContain(why as string);
    expect(said.out).toBe("");
  });

  test("sleep: an app in use stays awake, which ends with 1 and says why", async () => {
    await using one = await served();
    const { core } = one.world.small;
    const app = core.table.byKey("shop");
    if (app !== null) core.activity.begin(app);
    const said = await one.ask("sleep", "shop");
    expect(said).toMatchObject({ status: 1, out: "" });
    expect(said.err).toStartWith("Cannot put to sleep shop: shop stays as it is: ");
  });

  test.each([[["apps"]], [["savings"]], [["events", "--follow"]]])(
    "%p: where nothing runs it ends with 69 and says where it has looked",
    async (args) => {
      const said = await run([...args, "--url", "http://127.0.0.1:1"]);
      expect(said.status).toBe(69);
      expect(said.err).toContain("Nothing answers: http://127.0.0.1:1 (nothing listens there)");
    },
  );

  test.each([[["apps"]], [["events", "--follow"]]])(
    "%p: what is no Paastis is told from one",
    async (args) => {
      await using one = await served({ instead: () => new Response("<h1>hello</h1>") });
      const said = await one.ask(...args);
      expect(said.status).toBe(69);
      expect(said.err).toContain("is not Paastis itself");
    },
  );
});

describe("events --follow", () => {
  test("follow: prints what happens, comes back after a break, and tells each event once", async () => {
    await using one = await served();
    const around = surroundings();
    const clock = createSystemClock();
    const flags = { url: one.url };
    const query = { since: "1h", name: "APP_STARTED" };
    const over = followEvents({ flags, query, surroundings: around, clock, returnMsMax: 2000 });
    over.catch(() => undefined);
    const emit = (app: string) =>
      one.world.bus.emit({
        name: "APP_STARTED",
        app,
        ref: { provider: "stub", id: app },
        cause: { kind: "command", detail: "a test" },
      });
    emit("shop");
    await until(() => around.out.length === 1);
    const { port } = one.server;
    await one.server.stop(true);
    emit("den");
    const again = listen(one.world, undefined, port);
    await until(() => around.out.length === 2);
    emit("shop");
    await until(() => around.out.length === 3);
    await again.stop(true);
    await expect(over).rejects.toThrow("Nothing answers");
    const lines = around.out.map((line) => line.replace(/^\S+ \S+ UTC {2}/, ""));
    expect(lines).toEqual([
      "shop  APP_STARTED  a test\n",
      "den  APP_STARTED  a test\n",
      "shop  APP_STARTED  a test\n",
    ]);
  });
});
