import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { askPaastis } from "../src/cli/admin-client.ts";
import { statusCall, switchCall } from "../src/cli/admin-verbs.ts";
import { runCommandLine } from "../src/cli/run.ts";
import {
  type AdminServerOptions,
  BUSY_PORT,
  SICK_PORT,
  startAdminServer,
} from "./support/admin-server.ts";
import { runCommand } from "./support/run-command.ts";
import { tempDir } from "./support/temp-dir.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const MAIN = join(import.meta.dir, "..", "src", "main.ts");
const BUN = [process.execPath, "--no-install", "--no-env-file", MAIN];
const TOKEN = "a-token-that-nobody-may-see";

/** Runs a verb in this process. */
async function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runCommandLine(args, {
    environment,
    workingDirectory: "/nowhere",
    columns: { out: null, err: null },
    writeOut: (text) => out.push(text),
    writeErr: (text) => err.push(text),
  });
  const said = { status, out: out.join(""), err: err.join("") };
  expect(said.out + said.err).not.toContain(TOKEN);
  return said;
}

/** A server, and verbs that ask it. */
async function world(options: AdminServerOptions = {}) {
  const server = await startAdminServer({ token: TOKEN, ...options });
  const { origin } = server;
  return {
    server,
    ask: (...args: string[]) => run([...args, "--url", origin], { PAASTIS_TOKEN: TOKEN }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe("admin verbs: answers for people", () => {
  test("status of one app", async () => {
    await using one = await world();
    expect(await one.ask("status")).toEqual({
      status: 0,
      err: "",
      out: "  app          shop\n  active       port 8080\n  state        awake\n  last switch  never\n",
    });
    await one.ask("switch", "8081");
    await one.ask("maintenance", "--message", "Back at\nnoon");
    expect((await one.ask("status")).out).toBe(`  app          shop
  active       port 8081
  state        awake
  last switch  8080 to 8081, 2024-01-15 10:30:00 UTC, manual
  draining     until 2024-01-15 10:30:30 UTC at most
  way back     to port 8080, until 2024-01-15 10:31:00 UTC
  maintenance  since 2024-01-15 10:30:00 UTC: Back at noon
`);
  });

  test("status of several apps is a table, and --app names one", async () => {
    await using several = await world({ apps: ["shop", "a-long-name"] });
    await several.ask("switch", "8081", "--app", "shop");
    expect((await several.ask("status")).out).toBe(`  APP          ACTIVE  STATE  LAST SWITCH
  shop         8081    awake  8080 to 8081, 2024-01-15 10:30:00 UTC, manual
  a-long-name  8080    awake  never
`);
    expect((await several.ask("status", "--app", "a-long-name")).out).toContain("port 8080\n");
  });

  test("stores and platforms that cannot be reached are told of, and what that has cost", async () => {
    const surroundings = {
      stores: {
        registry: { type: "redis", trouble: null, since: null },
        events: {
          trouble: "Postgres at db:5432: it cannot be reached",
          since: "2024-01-15T10:30:00.000Z",
          waiting: 12,
          dropped: 2,
        },
      },
      providers: { heroku: { trouble: "no answer" }, ports: { trouble: null } },
    };
    const told = [
      "events        trouble since 2024-01-15 10:30:00 UTC: Postgres at db:5432: it cannot be reached",
      "12 wait to be stored, 2 lost since the start",
      "heroku        trouble: no answer",
    ];
    const body = { app: "shop", activePort: 8080, startedAt: "2024-01-15T10:30:00.000Z" };
    for (const answer of [
      { ...body, ...surroundings },
      { apps: [body], ...surroundings },
    ]) {
      await using one = await world({ instead: () => [200, {}, JSON.stringify(answer)] });
      const { status, out } = await one.ask("status");
      expect(status).toBe(0);
      for (const words of told)
        expect(out.replaceAll(/ +/g, " ")).toContain(words.replaceAll(/ +/g, " "));
      expect(out).not.toContain("registry");
      expect(out).not.toContain("ports");
    }
    await using one = await world({
      instead: () => [200, {}, JSON.stringify({ ...body, ...surroundings })],
    });
    const { out } = await one.ask("metrics");
    for (const words of told) expect(out).toContain(words);
  });

  test("metrics", async () => {
    await using one = await world();
    expect((await one.ask("metrics")).out).toBe(`  since         2024-01-15 10:30:00 UTC
  in flight     2, at most 17
  requests      1234
  per second    0.52 in the last minute
  statuses      1200 2xx, 20 3xx, 10 4xx, 4 5xx
  proxy errors  3
  last of them  ECONNREFUSED at port 8080, 2024-01-15 10:30:00 UTC: connection refused
  health        ok, looked at 2024-01-15 10:30:00 UTC
  connections   5 made
`);
  });

  test("metrics that are not counted are left out", async () => {
    const essentials = {
      startedAt: "2024-01-15T10:30:00.000Z",
      inflight: 0,
      totalRequests: 1,
      totalProxyErrors: 0,
    };
    await using one = await world({ instead: () => [200, {}, JSON.stringify(essentials)] });
    expect((await one.ask("metrics")).out).toBe(
      "  since         2024-01-15 10:30:00 UTC\n  in flight     0\n  requests      1\n  proxy errors  0\n",
    );
  });

  test("health: exit 0 when it is healthy, 1 when not, and both say what was seen", async () => {
    await using one = await world();
    expect(await one.ask("health")).toEqual({
      status: 0,
      err: "",
      out: "  health    healthy, looked at 2024-01-15 10:30:00 UTC\n  active    port 8080\n  answered  status 200 (2 ms): ok\n",
    });
    await one.ask("switch", "8500");
    expect(await one.ask("health")).toEqual({
      status: 1,
      err: "",
      out: "  health    unhealthy, looked at 2024-01-15 10:30:00 UTC, 2 failed in a row\n  active    port 8500\n  answered  status 500 (2 ms): no database\n",
    });
  });

  test("switch", async () => {
    await using one = await world();
    const { status, out } = await one.ask("switch", "8081");
    expect(status).toBe(0);
    expect(out).toMatch(
      /^Switched to port 8081\n {2}switch {4}8080 to 8081, 2024-01-15 10:30:00 UTC, manual\n {2}id {8}[0-9a-f-]{36}\n {2}answered {2}status 200 \(3 ms\): ok\n$/,
    );
  });

  test("pause, resume and maintenance say what requests meet, and take the app either way", async () => {
    await using several = await world({ apps: ["shop", "blog"] });
    const { server, ask } = several;
    expect((await ask("pause", "shop")).out).toBe(
      "shop is paused: its requests wait until `paastis resume`\n",
    );
    expect((await ask("resume", "--app", "shop")).out).toBe("shop takes requests\n");
    expect((await ask("maintenance", "blog", "--message", "Zurück um 12")).out).toBe(
      "blog is in maintenance: its requests are answered 503 until `paastis resume`\n",
    );
    expect(JSON.parse(server.visits.at(-1)?.body ?? "")).toEqual({ message: "Zurück um 12" });
    expect((await ask("maintenance", "blog", "--off")).out).toBe("blog takes requests\n");
    expect((await ask("maintenance", "blog")).status).toBe(0);
    expect(server.visits.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "POST /__pause?app=shop",
      "POST /__resume?app=shop",
      "POST /__maintenance?app=blog",
      "POST /__resume?app=blog",
      "POST /__maintenance?app=blog",
    ]);
  });

  test("deploy: done, or the last output of what did not start", async () => {
    await using several = await world({ apps: ["shop", "broken"] });
    expect(await several.ask("deploy", "shop")).toMatchObject({
      status: 0,
      out: expect.stringContaining("Switched to port 8081\n"),
    });
    expect(await several.ask("deploy", "broken")).toEqual({
      status: 1,
      out: "",
      err: "Cannot deploy it: broken ended with status 3\nIts last output:\n  boot\n  no database\n",
    });
  });

  test("nothing that comes from there can do anything to a terminal", async () => {
    const evil = "x\u001b]0;owned\u0007\u009b2J\u202e\u2028\r\nline";
    const body = {
      activePort: evil,
      app: evil,
      state: evil,
      lastSwitch: { from: evil, to: evil, at: evil, reason: evil },
    };
    await using one = await world({ instead: () => [200, {}, JSON.stringify(body)] });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    const harmful = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;
    const people = await one.ask("status");
    expect(people.out).not.toMatch(harmful);
    expect(people.out.split("\n")).toHaveLength(5);
    const programs = await one.ask("status", "--json");
    expect(programs.out).not.toMatch(harmful);
    expect(JSON.parse(programs.out)).toEqual(body);
  });
});

describe("admin verbs: --json", () => {
  test("is the answer as it came, refusals included", async () => {
    await using one = await world();
    const good = await one.ask("status", "--json");
    expect(JSON.parse(good.out)).toMatchObject({ activePort: 8080, lastSwitch: null });
    const bad = await one.ask("switch", String(SICK_PORT), "--json");
    expect({ status: bad.status, err: bad.err }).toEqual({ status: 1, err: "" });
    expect(JSON.parse(bad.out)).toMatchObject({
      error: "Health check failed",
      health: { status: 503 },
    });
  });
});

describe("admin verbs: a no", () => {
  test("a failed health check: what was seen, which settings matter, exit 1", async () => {
    await using one = await world();
    const { status, out, err } = await one.ask("switch", String(SICK_PORT));
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(err).toStartWith(
      `Cannot switch to port ${SICK_PORT}: Port ${SICK_PORT} did not respond with 2xx at /health\nIt was asked 12 times; the last answer: status 503 (4 ms): migrating\n`,
    );
    for (const setting of ["HEALTH_PATH", "HEALTH_TIMEOUT_MS"]) expect(err).toContain(setting);
  });

  /* biome-ignore format: a table */
  const refusals: readonly [args: string[], status: number, said: string][] = [
    [["switch", String(BUSY_PORT), "--app", "shop"], 1, "Cannot switch to port 8998: A switch to port 8082 (x) is under way\n`paastis status` shows when it has ended\n"],
    [["metrics"], 64, "Cannot tell the metrics: Name one with ?app=<key>: there are shop, blog\nName it with --app\n"],
    [["status", "--app", "nope"], 1, 'Cannot tell the status: There is no app with the key "nope"\n`paastis status` shows which there are\n'],
    [["switch", "0"], 64, 'Cannot switch: a port is a whole number from 1 to 65535: it is "0"\n'],
    [["switch", "65536"], 64, 'Cannot switch: a port is a whole number from 1 to 65535: it is "65536"\n'],
    [["switch", "8081a"], 64, 'Cannot switch: a port is a whole number from 1 to 65535: it is "8081a"\n'],
    [["switch", "8081", "--idempotency-key", "a b"], 64, "Cannot use --idempotency-key: it must be 1 to 200 letters, digits and signs, without blanks\n"],
    [["maintenance", "Back at noon"], 64, 'Cannot begin maintenance: "Back at noon" cannot be the key of an app\nIs it what visitors are to read? Give it with --message "Back at noon"\n'],
    [["maintenance", "gone"], 1, 'Cannot begin maintenance: There is no app with the key "gone"\n`paastis status` shows which there are\nIs it what visitors are to read? Give it with --message "gone"\n'],
    [["maintenance", "gone", "--message", "x"], 1, 'Cannot begin maintenance: There is no app with the key "gone"\n`paastis status` shows which there are\n'],
    [["pause", "shop", "--app", "blog"], 64, "Cannot tell which app: both shop and --app blog name one\n"],
  ];
  test.each(refusals)("%j: exit %d", async (args, status, err) => {
    await using several = await world({ apps: ["shop", "blog"] });
    expect(await several.ask(...args)).toEqual({ status, out: "", err });
  });

  test.each([
    [["switch"]],
    [["switch", "1", "2"]],
    [["deploy"]],
    [["status", "extra"]],
    [["maintenance", "--off", "--message", "x"]],
    [["status", "--instance"]],
  ])("%j is a wrong command line: exit 64, and nobody is asked", async (args) => {
    await using one = await world();
    expect((await one.ask(...args)).status).toBe(64);
    expect(one.server.visits).toEqual([]);
  });

  test("no token, or a wrong one: exit 77, and where it came from", async () => {
    await using one = await world();
    const url = ["--url", one.server.origin];
    const none = await run(["status", ...url]);
    expect(none).toMatchObject({
      status: 77,
      err: expect.stringContaining("with --token or PAASTIS_TOKEN"),
    });
    const flag = await run(["status", ...url, "--token", "wrong-one"]);
    expect(flag.err).not.toContain("wrong-one");
    expect(flag).toMatchObject({ status: 77, err: expect.stringContaining("came from --token") });
    const variable = await run(["status", ...url], { PAASTIS_TOKEN: "wrong-one" });
    expect(variable).toMatchObject({
      status: 77,
      err: expect.stringContaining("from PAASTIS_TOKEN"),
    });
  });

  test("who asked too often is told when to go on", async () => {
    const problem = { error: "Too many requests", message: "too much was changed" };
    const answer = [429, { "retry-after": "34" }, JSON.stringify(problem)] as const;
    await using one = await world({ instead: () => answer });
    const { err, status } = await one.ask("pause");
    expect(status).toBe(1);
    expect(err).toContain("too much was changed\nTry again in 34 s\n");
  });

  test("somebody that may not ask: exit 77, with what the server says", async () => {
    const body = JSON.stringify({
      error: "Forbidden",
      message: "10.0.0.1 is not in ADMIN_ALLOWLIST",
    });
    await using one = await world({ instead: () => [403, {}, body] });
    expect(await one.ask("pause")).toEqual({
      status: 77,
      out: "",
      err: "Cannot pause it: 10.0.0.1 is not in ADMIN_ALLOWLIST\n",
    });
  });

  test("an answer of the proxy itself brings its own remedy", async () => {
    const body = {
      error: "starting",
      message: "It has just started.",
      remedy: "Try again in a few seconds.",
    };
    await using one = await world({ instead: () => [503, {}, JSON.stringify(body)] });
    expect((await one.ask("status")).err).toBe(
      "Cannot tell the status: It has just started.\nTry again in a few seconds.\n",
    );
  });
});

describe("admin verbs: a lost answer", () => {
  test("a switch whose answer was lost is asked once more with the same key, and done once", async () => {
    await using one = await world({ lost: 1 });
    expect((await one.ask("switch", "8081")).status).toBe(0);
    expect(one.server.switches).toEqual([8081]);
    const keys = one.server.visits.map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(keys[1]).toBe(keys[0]!);
  });

  test("each switch has a key of its own, but for one that was given", async () => {
    await using one = await world();
    await one.ask("switch", "8081");
    await one.ask("switch", "8081");
    await one.ask("switch", "8082", "--idempotency-key", "deploy-42");
    const keys = one.server.visits.map(({ headers }) => headers["idempotency-key"]);
    expect(new Set(keys).size).toBe(3);
    expect(keys[2]).toBe("deploy-42");
  });

  test("lost twice: exit 69, and how to ask again without doing it twice", async () => {
    await using one = await world({ lost: 2 });
    const { status, err } = await one.ask("switch", "8081");
    expect(status).toBe(69);
    const key = one.server.visits[0]?.headers["idempotency-key"];
    expect(err).toBe(
      `No answer came from ${one.server.origin}: it closed the connection; it may have been done\n` +
        `Look with \`paastis status\`, or try again with --idempotency-key ${key}: it is not done twice\n`,
    );
    expect(one.server.visits).toHaveLength(2);
  });

  test.each([["status"], ["health"], ["pause"], ["resume"], ["maintenance"]])(
    "%s is safe to repeat, and is",
    async (verb) => {
      await using one = await world({ lost: 1 });
      expect((await one.ask(verb)).status).toBe(0);
      expect(one.server.visits).toHaveLength(2);
    },
  );

  test("a deployment is not repeated by itself", async () => {
    await using one = await world({ lost: 1 });
    const { status, err } = await one.ask("deploy", "shop");
    expect({ status, asked: one.server.visits.length }).toEqual({ status: 69, asked: 1 });
    expect(err).toContain("it may have been done");
  });

  /** A server that breaks the first connection, and is gone until `backMs` have passed. */
  async function restarting(backMs: number) {
    const clock = createVirtualClock();
    const beganMs = clock.now();
    const atMs: number[] = [];
    const asked = async () => {
      const elapsedMs = clock.now() - beganMs;
      atMs.push(elapsedMs);
      if (elapsedMs >= backMs) return Response.json({ success: true });
      throw Object.assign(new Error("no"), {
        code: atMs.length > 1 ? "ECONNREFUSED" : "ECONNRESET",
      });
    };
    const place = { label: "it", origin: "http://x", socketPath: null };
    const { request } = switchCall("8081", "k");
    const asking = askPaastis(
      { places: [place, { ...place, label: "another" }], token: null, tokenFrom: "" },
      { ...request, query: {} },
      { clock, fetch: Object.assign(asked, { preconnect: () => undefined }) },
    ).then(
      ({ reply }) => reply.status,
      (error: Error) => error.message,
    );
    await clock.advance(20_000);
    return { outcome: await asking, atMs, timers: clock.pending() };
  }

  test("a Paastis that restarts at the switch is asked again when it is back", async () => {
    expect(await restarting(700)).toEqual({ outcome: 200, atMs: [0, 250, 500, 750], timers: 0 });
  });

  test("one that does not come back within five seconds is given up, and no other place is asked", async () => {
    const { outcome, atMs, timers } = await restarting(60_000);
    expect(outcome).toStartWith(
      "No answer came from it: the connection broke, and then: nothing listens there; it may have been done\n",
    );
    expect({ last: atMs.at(-1), timers }).toEqual({ last: 5000, timers: 0 });
  });

  test("who says nothing is given up in the end", async () => {
    const clock = createVirtualClock();
    const silent = (_: unknown, init?: RequestInit) =>
      new Promise<Response>((_resolve, reject) =>
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)),
      );
    const { request } = statusCall();
    const asking = askPaastis(
      {
        places: [{ label: "it", origin: "http://x", socketPath: null }],
        token: null,
        tokenFrom: "",
      },
      { ...request, query: {} },
      { clock, fetch: Object.assign(silent, { preconnect: () => undefined }) },
    ).catch((error: Error) => error.message);
    await clock.advance(60_000);
    expect(await asking).toBe(
      "No answer came from it: no answer in time\nIs Paastis well? Its log says more",
    );
    expect(clock.pending()).toBe(0);
  });
});

describe("admin verbs: whom they ask", () => {
  test("nothing listens: exit 69, with the address and what else to try", async () => {
    const server = await startAdminServer();
    await server[Symbol.asyncDispose]();
    expect(await run(["status", "--url", server.origin])).toEqual({
      status: 69,
      out: "",
      err: `Nothing answers: ${server.origin} (nothing listens there)\nIs Paastis running there? --url, --instance or --socket say where else to ask\n`,
    });
  });

  test("a redirect is not followed, and its target gets neither request nor token", async () => {
    await using other = await startAdminServer();
    await using one = await world({
      instead: () => [307, { location: `${other.origin}/__status` }, ""],
    });
    const { status, err } = await one.ask("status");
    expect(status).toBe(69);
    expect(err).toContain(`it redirects to ${other.origin}/__status`);
    expect(other.visits).toEqual([]);
  });

  test("a proxy that the environment names gets neither request nor token", async () => {
    await using proxy = await startAdminServer();
    await using server = await startAdminServer({ token: TOKEN });
    const env = {
      http_proxy: proxy.origin,
      HTTP_PROXY: proxy.origin,
      ALL_PROXY: proxy.origin,
      PAASTIS_TOKEN: TOKEN,
    };
    const { stdout } = await runCommand([...BUN, "status", "--url", server.origin], { env });
    expect(stdout).toContain("port 8080");
    expect(proxy.visits).toEqual([]);
  });

  test.each([
    ["a page", [200, { "content-type": "text/html" }, "<h1>Hello</h1>"]],
    ["some other JSON", [200, {}, '{"hello":"world"}']],
    ["a list", [200, {}, "[]"]],
    ["nothing", [204, {}, ""]],
    ["an app's 404", [404, {}, "Not found"]],
    ["far too much", [200, {}, `"${"x".repeat(5_000_000)}"`]],
  ] as const)("%s is not an answer of Paastis: exit 69", async (_, reply) => {
    await using one = await world({ instead: () => reply });
    const { status, out, err } = await one.ask("status");
    expect({ status, out }).toEqual({ status: 69, out: "" });
    expect(err).toStartWith(`What answers at ${one.server.origin} is not Paastis itself: status `);
  });

  test("the token is in its header alone, and a client without one sends none", async () => {
    await using one = await world();
    await one.ask("switch", "8081");
    const [visit] = one.server.visits;
    expect(visit?.headers["x-admin-token"]).toBe(TOKEN);
    expect(
      JSON.stringify({ ...visit, headers: { ...visit?.headers, "x-admin-token": "" } }),
    ).not.toContain(TOKEN);
    await using open = await startAdminServer();
    await run(["status", "--url", open.origin]);
    expect(open.visits[0]?.headers).not.toHaveProperty("x-admin-token");
  });
});

describe("admin verbs: a program of its own", () => {
  test("through pipes: the answer on one, what is wrong on the other", async () => {
    await using server = await startAdminServer({ token: TOKEN });
    const env = { PAASTIS_URL: server.origin, PAASTIS_TOKEN: TOKEN };
    const good = await runCommand([...BUN, "status"], { env });
    expect(good).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringContaining("port 8080"),
    });
    const bad = await runCommand([...BUN, "switch", String(SICK_PORT)], { env, mayFail: true });
    expect(bad).toMatchObject({ status: 1, stdout: "" });
    expect(bad.stderr.split("\n")).toHaveLength(4);
  });

  const canScript = Bun.which("script") !== null;
  test.skipIf(!canScript)(
    "on a terminal: lines are broken at its width, and the exit status is the same",
    async () => {
      await using server = await startAdminServer({ token: TOKEN });
      using folder = tempDir();
      const command = ["stty cols 60;", ...BUN, "switch", String(SICK_PORT)].join(" ");
      const env = {
        PAASTIS_URL: server.origin,
        PAASTIS_TOKEN: TOKEN,
        TERM: "xterm",
        SHELL: "/bin/sh",
      };
      const argv = [
        "script",
        "--quiet",
        "--return",
        "--command",
        command,
        folder.file("typescript"),
      ];
      const { status, stdout } = await runCommand(argv, { env, mayFail: true });
      const lines = stdout.replaceAll("\r", "").trimEnd().split("\n");
      expect(status).toBe(1);
      expect(lines.join(" ")).toContain(
        "It was asked 12 times; the last answer: status 503 (4 ms): migrating",
      );
      expect(lines.length).toBeGreaterThan(3);
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60);
    },
  );

  test("help lists the verbs below a heading of their own, and the flags of each", async () => {
    const main = await run(["--help"]);
    expect(main.out).toContain("\nA running Paastis:\n  status ");
    for (const verb of [
      "metrics",
      "switch",
      "health",
      "pause",
      "resume",
      "maintenance",
      "deploy",
    ]) {
      expect(main.out).toContain(`\n  ${verb} `);
      const own = await run(["help", verb]);
      for (const flag of [
        "--url",
        "--instance",
        "--token",
        "--socket",
        "--app",
        "--json",
        "--prefix",
      ]) {
        expect(own.out).toContain(flag);
      }
    }
  });
});
