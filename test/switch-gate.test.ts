import { describe, expect, test } from "bun:test";

import { targetOf } from "../src/app.ts";
import { type Clock, createSystemClock } from "../src/clock.ts";
import { type GateDeps, type GateSettings, lookOnce, passGate } from "../src/switch-gate.ts";
import { startDeafListener } from "./support/deaf-listener.ts";
import { createFastClock } from "./support/fast-clock.ts";
import { within } from "./support/pace.ts";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY, PRIVATE_CA } from "./support/private-ca.ts";
import { startRawUpstream } from "./support/raw-upstream.ts";
import { runCommand } from "./support/run-command.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const SETTINGS: GateSettings = {
  path: "/health",
  method: "GET",
  host: null,
  statuses: [[200, 299]],
  successes: 1,
  timeoutMs: 5000,
};

function deps(given: Partial<GateDeps> = {}): GateDeps {
  return { clock: createFastClock(10), fetch, signal: new AbortController().signal, ...given };
}

function look(origin: string, settings: Partial<GateSettings> = {}, given?: Partial<GateDeps>) {
  return lookOnce(targetOf(origin), { ...SETTINGS, ...settings }, deps(given));
}

function gate(origin: string, settings: Partial<GateSettings> = {}, given?: Partial<GateDeps>) {
  return passGate(targetOf(origin), { ...SETTINGS, ...settings }, deps(given));
}

function serving(answer: (request: Request) => Response | Promise<Response>, port = 0) {
  const server = Bun.serve({ hostname: "127.0.0.1", port, idleTimeout: 0, fetch: answer });
  return {
    origin: `http://127.0.0.1:${server.port}`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** A port of this machine on which nobody listens. */
function freePort(): number {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: () => undefined },
  });
  listener.stop(true);
  return listener.port;
}

/** `fetch` for the virtual clock: answers what is told, at once. */
function answering(answer: (count: number) => Response | Error): typeof fetch {
  let count = 0;
  const fake = async () => {
    count += 1;
    const given = answer(count);
    if (given instanceof Error) throw given;
    return given;
  };
  return Object.assign(fake, { preconnect: () => undefined });
}

describe("gate: one look", () => {
  test("2xx is healthy; the answer tells its status, body and time", async () => {
    using server = serving(() => new Response("all is well"));
    const seen = await look(server.origin, {}, { clock: createSystemClock() });
    expect(seen).toEqual({
      isHealthy: true,
      look: { status: 200, body: "all is well", why: null, ms: expect.any(Number) },
    });
  });

  /* biome-ignore format: a table */
  const statuses: readonly [status: number, wanted: GateSettings["statuses"], isHealthy: boolean][] = [
    [200, [[200, 299]], true], [299, [[200, 299]], true],
    [301, [[200, 299]], false], [404, [[200, 299]], false], [503, [[200, 299]], false],
    [401, [[200, 299], [401, 401]], true], [402, [[200, 299], [401, 401]], false],
    [302, [[200, 399]], true], [200, [[204, 204]], false], [200, [], false],
  ];
  test.each(statuses)("status %d where %j are wanted: %p", async (status, wanted, isHealthy) => {
    const headers = { location: "http://192.0.2.1/" };
    using server = serving(() => new Response("here", { status, headers }));
    const seen = await look(server.origin, { statuses: wanted });
    expect(seen.isHealthy).toBe(isHealthy);
    expect(seen.look).toMatchObject({ status, why: null });
  });

  test("it asks with the method, path and host that it was told, and to be left afterwards", async () => {
    const asked: (string | null)[] = [];
    using server = serving(({ method, url, headers }) => {
      asked.push(method, new URL(url).pathname + new URL(url).search);
      for (const name of ["host", "user-agent", "connection", "accept-encoding"]) {
        asked.push(headers.get(name));
      }
      return new Response("ok");
    });
    const told = { method: "HEAD", path: "/up?deep=1", host: "shop.example" } as const;
    expect((await look(server.origin, told)).isHealthy).toBe(true);
    await look(server.origin);
    const { host } = new URL(server.origin);
    expect(asked).toEqual([
      ...["HEAD", "/up?deep=1", "shop.example", "paastis-health", "close", null],
      ...["GET", "/health", host, "paastis-health", "close", null],
    ]);
  });

  test("a unix socket is asked like a port, and its absence is said in words", async () => {
    using folder = tempDir();
    const path = folder.file("app.sock");
    expect((await look(`unix:${path}`)).look.why).toBe("there is no socket yet");
    const server = Bun.serve({ unix: path, fetch: () => new Response("by socket") });
    try {
      const seen = await look(`unix:${path}`);
      expect(seen).toMatchObject({ isHealthy: true, look: { body: "by socket" } });
    } finally {
      await server.stop(true);
    }
  });

  test("an https target needs a certificate that somebody vouches for", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY },
      fetch: () => new Response("ok"),
    });
    try {
      const origin = `https://localhost:${server.port}`;
      expect((await look(origin)).isHealthy).toBe(false);
      const trust = { tlsVerify: true, tlsCa: PRIVATE_CA };
      expect((await look(origin, {}, { trust })).isHealthy).toBe(true);
    } finally {
      await server.stop(true);
    }
  });

  test("a proxy that the environment names is not used", async () => {
    using server = serving(() => new Response("ok"));
    const script = `
      import { lookOnce } from ${JSON.stringify(`${import.meta.dir}/../src/switch-gate.ts`)};
      import { createSystemClock } from ${JSON.stringify(`${import.meta.dir}/../src/clock.ts`)};
      const target = { origin: ${JSON.stringify(server.origin)}, host: "x" };
      const deps = { clock: createSystemClock(), fetch, signal: new AbortController().signal };
      const { look } = await lookOnce(target, ${JSON.stringify(SETTINGS)}, deps);
      console.log(look.status ?? look.why);`;
    const proxy = `http://127.0.0.1:${freePort()}`;
    const { stdout } = await runCommand([process.execPath, "-e", script], {
      env: { HTTP_PROXY: proxy, http_proxy: proxy, ALL_PROXY: proxy },
    });
    expect(stdout).toBe("200\n");
  });

  /* biome-ignore format: a table */
  const bodies: readonly [what: string, body: string | Uint8Array<ArrayBuffer>, said: string][] = [
    ["no body", "", ""],
    ["several lines", "a\r\n\tb\n\n", "a b"],
    ["escape sequences", "\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b2Jend", "red end"],
    ["a direction override", "abc\u202edcba", "abcdcba"],
    ["a character that is cut", `${"x".repeat(199)}é`, "x".repeat(199)],
    ["what is no text", new Uint8Array([0x1f, 0x8b, 0, 255, 65]), "\ufffd\ufffdA"],
    ["a secret in an address", "cannot reach postgres://me:pw@db/x", "cannot reach postgres://***@db/x"],
    ["JSON", '{"status":"down"}', '{"status":"down"}'],
    ["too much", "y".repeat(5000), "y".repeat(200)],
  ];
  test.each(bodies)(
    "a body with %s is shown as text that is safe to print",
    async (_, body, said) => {
      using server = serving(() => new Response(body, { status: 503 }));
      expect((await look(server.origin)).look.body).toBe(said);
    },
  );

  /* biome-ignore format: a table */
  const streams: readonly [what: string, first: string, next: string, said: string][] = [
    ["never begins", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "", ""],
    ["never ends", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "1\r\n.\r\n", "ok"],
    ["has gigabytes", "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n", "z".repeat(200_000), "z".repeat(200)],
  ];
  test.each(streams)("a body that %s holds nothing up", async (_, first, next, said) => {
    using server = await startRawUpstream((connection) => {
      connection.write(first);
      if (next === "") return;
      const timer = setInterval(() => connection.write(next), 5);
      connection.socket.on("close", () => clearInterval(timer));
    });
    const { isHealthy, look: seen } = await look(server.origin, {}, { clock: createSystemClock() });
    expect(isHealthy).toBe(true);
    expect(seen.status).toBe(200);
    expect(seen.body).toStartWith(said);
    expect(seen.body.length).toBeLessThanOrEqual(200);
    expect(seen.ms).toBeLessThan(within(1500));
    await until(() => server.connections.every(({ isClosed }) => isClosed));
  });

  test("the rest of a body is let go of at once", async () => {
    let isCancelled = false;
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(150)),
      cancel: () => {
        isCancelled = true;
      },
    });
    const fake = answering(() => new Response(body));
    const clock = createVirtualClock();
    expect((await look("http://x", {}, { clock, fetch: fake })).isHealthy).toBe(true);
    expect({ isCancelled, timers: clock.pending() }).toEqual({ isCancelled: true, timers: 0 });
  });

  test("a target that would keep the connection is left nevertheless", async () => {
    using server = await startRawUpstream((connection) =>
      connection.write(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    expect((await look(server.origin)).isHealthy).toBe(true);
    await until(() => server.connections[0]?.isClosed === true);
    expect(server.connections).toHaveLength(1);
  });

  /* biome-ignore format: a table */
  const troubles: readonly [what: string, reply: string | null, why: string][] = [
    ["closes without a word", "", "it closed the connection without an answer"],
    ["breaks off in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "the answer broke off"],
    ["speaks something else", "220 mail.example ESMTP\r\n\r\n", "it does not speak HTTP"],
    ["accepts and says nothing", null, "no answer in time"],
  ];
  test.each(troubles)("who %s is not healthy", async (_, reply, why) => {
    using server = await startRawUpstream((connection) => {
      if (reply === null) return;
      connection.write(reply);
      connection.end();
    });
    const { isHealthy, look: seen } = await look(server.origin, { timeoutMs: 2000 });
    expect({ isHealthy, why: seen.why }).toEqual({ isHealthy: false, why });
    await until(() => server.connections.every(({ isClosed }) => isClosed));
  });

  test("who takes no connection is not healthy once the time is up", async () => {
    using server = await startDeafListener();
    const { look: seen } = await look(server.origin, { timeoutMs: 1000 });
    expect(seen).toMatchObject({ status: null, why: "no answer in time" });
  });

  test("nobody listens: said in words", async () => {
    const { look: seen } = await look(`http://127.0.0.1:${freePort()}`);
    expect(seen).toMatchObject({
      status: null,
      why: "connection refused: nothing listens there",
    });
  });

  test("one look does not try again", async () => {
    let asked = 0;
    using server = serving(() => {
      asked += 1;
      return new Response("no", { status: 500 });
    });
    await look(server.origin, { successes: 3 });
    expect(asked).toBe(1);
  });
});

describe("gate: until the time is up", () => {
  test("a new version that is still starting passes as soon as it listens", async () => {
    const port = freePort();
    let asked = 0;
    const counting: typeof fetch = Object.assign(
      (...args: Parameters<typeof fetch>) => {
        asked += 1;
        return fetch(...args);
      },
      { preconnect: () => undefined },
    );
    const passing = gate(`http://127.0.0.1:${port}`, { timeoutMs: 60_000 }, { fetch: counting });
    await until(() => asked >= 3);
    using _server = serving(() => new Response("up"), port);
    const { isHealthy, looks, last } = await passing;
    expect({ isHealthy, status: last.status }).toEqual({ isHealthy: true, status: 200 });
    expect(looks).toBeGreaterThan(1);
  });

  test("a wrong status is asked again, too", async () => {
    let asked = 0;
    using server = serving(() => {
      asked += 1;
      return new Response(`${asked}`, { status: asked < 4 ? 503 : 200 });
    });
    expect(await gate(server.origin)).toMatchObject({
      isHealthy: true,
      looks: 4,
      last: { status: 200, body: "4" },
    });
  });

  test("a redirect is its status, and nobody goes where it leads", async () => {
    let followed = 0;
    using other = serving(() => {
      followed += 1;
      return new Response("ok");
    });
    using server = serving(() => Response.redirect(other.origin, 302));
    const { isHealthy, last } = await gate(server.origin, { timeoutMs: 500 });
    expect({ isHealthy, status: last.status, followed }).toEqual({
      isHealthy: false,
      status: 302,
      followed: 0,
    });
  });

  test("successes must come in a row: a failure between them begins anew", async () => {
    const answers = [200, 200, 500, 200, 200, 200];
    const asked = answering((count) => new Response(null, { status: answers[count - 1] ?? 599 }));
    const clock = createVirtualClock();
    const passing = gate("http://x", { successes: 3 }, { clock, fetch: asked });
    await clock.advance(5000);
    expect(await passing).toMatchObject({ isHealthy: true, looks: 6 });
    expect(clock.pending()).toBe(0);
  });

  test("looks come early at first, then every half second, and once more before the end", async () => {
    const clock = createVirtualClock();
    const beganMs = clock.now();
    const atMs: number[] = [];
    const asked = answering(() => {
      atMs.push(clock.now() - beganMs);
      return Object.assign(new Error("no"), { code: "ECONNREFUSED" });
    });
    const passing = gate("http://x", {}, { clock, fetch: asked });
    await clock.advance(6000);
    expect(atMs.slice(0, 7)).toEqual([0, 50, 150, 350, 750, 1250, 1750]);
    expect(atMs.at(-1)).toBeGreaterThan(4800);
    expect(atMs.at(-1)).toBeLessThan(5000);
    expect(await passing).toEqual({
      isHealthy: false,
      looks: atMs.length,
      last: { status: null, body: "", why: "connection refused: nothing listens there", ms: 0 },
    });
    expect(clock.pending()).toBe(0);
  });

  test("the time is for all attempts together: a target that hangs has it all, and is left then", async () => {
    using server = await startRawUpstream();
    const clock: Clock = createFastClock(10);
    const beganMs = clock.now();
    const { isHealthy, looks, last } = await gate(server.origin, {}, { clock });
    expect({ isHealthy, looks, why: last.why }).toEqual({
      isHealthy: false,
      looks: 1,
      why: "no answer in time",
    });
    expect(clock.now() - beganMs).toBeGreaterThanOrEqual(5000);
    await until(() => server.connections[0]?.isClosed === true);
  });

  test("what was seen before is told when the time ends a look that just began", async () => {
    const clock = createVirtualClock();
    const asked = Object.assign(
      async (_: unknown, init?: RequestInit) => {
        if (clock.now() - beganMs < 4000) return new Response("migrating", { status: 503 });
        return await new Promise<Response>((_resolve, reject) =>
          init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)),
        );
      },
      { preconnect: () => undefined },
    );
    const beganMs = clock.now();
    const short = gate("http://x", { timeoutMs: 4200 }, { clock, fetch: asked });
    const long = gate("http://x", { timeoutMs: 9000 }, { clock, fetch: asked });
    await clock.advance(10_000);
    expect((await short).last).toMatchObject({ status: 503, body: "migrating" });
    expect((await long).last).toMatchObject({ status: null, why: "no answer in time" });
    expect(clock.pending()).toBe(0);
  });

  for (const moment of [
    "before it begins",
    "during a look",
    "between looks",
    "in a body",
  ] as const) {
    test(`called off ${moment}, it is not healthy and leaves no connection and no timer`, async () => {
      using server = await startRawUpstream((connection) => {
        if (moment === "between looks") {
          connection.write("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        } else if (moment === "in a body") {
          connection.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal");
        }
      });
      const controller = new AbortController();
      const clock = createVirtualClock();
      if (moment === "before it begins") controller.abort();
      const passing = gate(server.origin, {}, { clock, signal: controller.signal });
      if (moment !== "before it begins") await server.received("\r\n\r\n");
      // Timers: of all time; of the pause; of the body.
      const timers = moment === "between looks" || moment === "in a body" ? 2 : 1;
      if (moment !== "before it begins") await until(() => clock.pending() === timers);
      controller.abort(new Error("shutting down"));
      const { isHealthy } = await passing;
      expect(isHealthy).toBe(false);
      expect(clock.pending()).toBe(0);
      await until(() => server.connections.every(({ isClosed }) => isClosed));
    });
  }

  test("what cannot be asked at all is not healthy, and nothing is thrown", async () => {
    for (const origin of ["http://no-such-host.invalid", "nonsense://x"]) {
      const target = { origin, host: "x" };
      const seen = await passGate(target, { ...SETTINGS, timeoutMs: 100 }, deps());
      expect(seen.isHealthy).toBe(false);
      expect(seen.last.why).not.toBe("");
    }
  });
});
