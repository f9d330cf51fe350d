import { describe, expect, test } from "bun:test";

import type { HealthCheck } from "../src/app.ts";
import { targetOf } from "../src/app.ts";
import { createSystemClock } from "../src/clock.ts";
import type { DownAnswer, ProbeOrder, ProbeResult } from "../src/health.ts";
import { connectionTrouble, createProbe, probeDelayMs, untilHealthy } from "../src/health.ts";
import {
  LOCALHOST_CERTIFICATE,
  LOCALHOST_KEY,
  PRIVATE_CA,
  STRANGER_CA,
} from "./support/private-ca.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const ANY: HealthCheck = { path: null };
const HEALTHZ: HealthCheck = { path: "/healthz" };

function probeAt(
  origin: string,
  options: Partial<Pick<ProbeOrder, "check" | "isDownAnswer" | "signal" | "trust">> = {},
): Promise<ProbeResult> {
  return createProbe(fetch)({
    target: targetOf(origin),
    check: options.check ?? ANY,
    trust: options.trust ?? { tlsVerify: true, tlsCa: null },
    isDownAnswer: options.isDownAnswer ?? null,
    signal: options.signal ?? new AbortController().signal,
  });
}

function serving(answer: (request: Request) => Response | Promise<Response>) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 0, fetch: answer });
  return {
    origin: `http://127.0.0.1:${server.port}`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** A socket that accepts and says `greeting`, or nothing. */
function accepting(greeting = "") {
  let connections = 0;
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        connections += 1;
        if (greeting === "") return;
        socket.write(greeting);
        socket.end();
      },
      close() {
        connections -= 1;
      },
      data: () => undefined,
    },
  });
  return {
    origin: `http://127.0.0.1:${listener.port}`,
    connections: () => connections,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

describe("probe", () => {
  test("probe: nobody listens: not healthy, with a reason", async () => {
    const closed = accepting();
    closed[Symbol.dispose]();
    const result = await probeAt(closed.origin);
    expect(result).toMatchObject({ healthy: false, isUnreachable: true });
    expect(result.saw).not.toBe("");
  });

  test("probe: a name that cannot be looked up is nowhere to be reached, and said in words", () => {
    const error = Object.assign(new Error("getaddrinfo EAI_AGAIN shop.test"), {
      code: "EAI_AGAIN",
    });
    expect(connectionTrouble(error)).toEqual({
      saw: "its name cannot be looked up: name servers do not answer",
      isUnreachable: true,
    });
  });

  test("probe: a unix socket is asked like a port, and its troubles are said in words", async () => {
    using folder = tempDir();
    const path = folder.file("app.sock");
    expect(await probeAt(`unix:${path}`)).toEqual({
      healthy: false,
      saw: "there is no socket yet",
      isUnreachable: true,
    });
    const hosts: (string | null)[] = [];
    const server = Bun.serve({
      unix: path,
      fetch({ headers }) {
        hosts.push(headers.get("host"));
        return new Response("ok");
      },
    });
    try {
      expect((await probeAt(`unix:${path}`, { check: HEALTHZ })).healthy).toBe(true);
      expect(hosts).toEqual(["localhost"]);
    } finally {
      await server.stop(true);
    }
  });

  /* biome-ignore format: a table */
  const trusts: readonly [what: string, trust: ProbeOrder["trust"], healthy: boolean][] = [
    ["nobody vouches", { tlsVerify: true, tlsCa: null }, false],
    ["its CA vouches", { tlsVerify: true, tlsCa: PRIVATE_CA }, true],
    ["another CA vouches", { tlsVerify: true, tlsCa: STRANGER_CA }, false],
    ["nobody need vouch", { tlsVerify: false, tlsCa: null }, true],
  ];
  test.each(trusts)("probe: an https target for which %s", async (_, trust, healthy) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY },
      fetch: () => new Response("ok"),
    });
    try {
      const result = await probeAt(`https://localhost:${server.port}`, { trust });
      expect(result.healthy).toBe(healthy);
      if (!healthy) expect(result.saw).toContain("certificate");
    } finally {
      await server.stop(true);
    }
  });

  test("probe: a name that does not resolve: not healthy, with a reason", async () => {
    const result = await probeAt("http://no-such-host.invalid");
    expect(result).toMatchObject({ healthy: false, isUnreachable: true });
    expect(result.saw).not.toBe("");
  });

  /* biome-ignore format: a table */
  const answers: readonly [status: number, healthyAtAnyPath: boolean, healthyAtHealthz: boolean][] = [
    [200, true, true], [204, true, true], [299, true, true],
    [302, true, false], [304, true, false], [401, true, false], [404, true, false],
    [500, true, false], [502, true, false], [503, true, false],
  ];
  for (const [status, atAnyPath, atHealthz] of answers) {
    test(`probe: status ${status} is health only where no path must answer 2xx`, async () => {
      const headers = { location: "http://192.0.2.1/" };
      using server = serving(() => new Response(null, { status, headers }));
      const any = await probeAt(server.origin);
      const healthz = await probeAt(server.origin, { check: HEALTHZ });
      expect([any.healthy, healthz.healthy]).toEqual([atAnyPath, atHealthz]);
      expect(any.saw).toBe(`status ${status} from /`);
      expect(healthz.saw).toBe(`status ${status} from /healthz`);
    });
  }

  test("probe: it asks for the path as a GET with the target's own host, and says who it is", async () => {
    const asked: (string | null)[] = [];
    using server = serving(({ method, url, headers }) => {
      asked.push(method, url, headers.get("host"), headers.get("user-agent"));
      return new Response("ok");
    });
    await probeAt(server.origin, { check: { path: "/healthz?deep=1" } });
    const { host } = new URL(server.origin);
    expect(asked).toEqual(["GET", `${server.origin}/healthz?deep=1`, host, "paastis-health"]);
  });

  test("probe: a redirect is not followed", async () => {
    let asked = 0;
    using server = serving(() => {
      asked += 1;
      return Response.redirect("/elsewhere", 302);
    });
    await probeAt(server.origin);
    expect(asked).toBe(1);
  });

  test("probe: the platform's own answer for an app that is down is not health", async () => {
    const isDownAnswer: DownAnswer = (status, header) =>
      status === 503 && header("x-platform") === "no-app";
    using server = serving(
      () => new Response("down", { status: 503, headers: { "X-Platform": "no-app" } }),
    );
    const result = await probeAt(server.origin, { isDownAnswer });
    expect(result.healthy).toBe(false);
    expect(result.saw).toContain("platform");
  });

  test("probe: an answer that only looks a little like it is the app's own", async () => {
    const isDownAnswer: DownAnswer = (status, header) =>
      status === 503 && header("x-platform") === "no-app";
    using server = serving(() => new Response("mine", { status: 503 }));
    expect((await probeAt(server.origin, { isDownAnswer })).healthy).toBe(true);
  });

  test("probe: a judge that throws makes the app not healthy", async () => {
    using server = serving(() => new Response("ok"));
    const isDownAnswer: DownAnswer = () => {
      throw new Error("the judge broke");
    };
    expect(await probeAt(server.origin, { isDownAnswer })).toEqual({
      healthy: false,
      saw: "the judge broke",
    });
  });

  test("probe: a body without end does not hold it up", async () => {
    using server = serving(
      () =>
        new Response(
          new ReadableStream({
            async pull(controller) {
              controller.enqueue("tick\n");
              await Bun.sleep(5);
            },
          }),
        ),
    );
    expect((await probeAt(server.origin)).healthy).toBe(true);
  });

  test("probe: a connection that is closed before an answer is not health", async () => {
    using server = accepting("HTTP/1.1 200 OK\r\nContent-Le");
    const result = await probeAt(server.origin);
    expect([result.healthy, result.isUnreachable]).toEqual([false, undefined]);
  });

  test("probe: who does not speak HTTP is not healthy", async () => {
    using server = accepting("220 mail.example ESMTP\r\n");
    const signal = AbortSignal.timeout(4000);
    const result = await probeAt(server.origin, { signal }).catch(() => null);
    expect(result?.healthy ?? false).toBe(false);
  });

  test("probe: who accepts and says nothing is waited for until the signal, whose reason is thrown", async () => {
    using server = accepting();
    const controller = new AbortController();
    const probing = probeAt(server.origin, { signal: controller.signal });
    await until(() => server.connections() === 1);
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(probing).rejects.toBe(reason);
    await until(() => server.connections() === 0);
  });

  test("probe: with a signal that has ended already nothing is sent", async () => {
    let asked = 0;
    using server = serving(() => {
      asked += 1;
      return new Response("ok");
    });
    const reason = new Error("too late");
    const signal = AbortSignal.abort(reason);
    await expect(probeAt(server.origin, { signal })).rejects.toBe(reason);
    expect(asked).toBe(0);
  });
});

const DOWN: ProbeResult = { healthy: false, saw: "refused" };
const UP: ProbeResult = { healthy: true, saw: "status 200 from /" };

/** `untilHealthy` under a virtual clock, and when it probed, in ms since it began. */
function waiting(probe: (elapsedMs: number, signal: AbortSignal) => Promise<ProbeResult>) {
  const clock = createVirtualClock();
  const controller = new AbortController();
  const startMs = clock.now();
  const probedMs: number[] = [];
  const saw: string[] = [];
  const state = { isDone: false, error: null as unknown };
  const done = untilHealthy({
    clock,
    signal: controller.signal,
    probe(signal) {
      probedMs.push(clock.now() - startMs);
      return probe(clock.now() - startMs, signal);
    },
    onProbe: (result) => saw.push(result.saw),
  }).then(
    () => {
      state.isDone = true;
    },
    (error: unknown) => {
      state.error = error;
    },
  );
  return { clock, controller, probedMs, saw, state, done };
}

function never(signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

describe("until healthy", () => {
  test("until healthy: what is up at once costs one probe and no timer", async () => {
    const wait = waiting(async () => UP);
    await wait.done;
    expect([wait.probedMs, wait.clock.pending()]).toEqual([[0], 0]);
  });

  test("until healthy: probes come early and often, then seldom", async () => {
    const wait = waiting(async (elapsedMs) => (elapsedMs >= 120_000 ? UP : DOWN));
    await wait.clock.advance(130_000);
    expect(wait.state.isDone).toBe(true);
    const between = (fromMs: number, toMs: number) =>
      wait.probedMs.filter((atMs) => atMs >= fromMs && atMs < toMs).length;
    expect(between(0, 500)).toBe(50);
    expect(between(500, 10_000)).toBe(380);
    expect(between(10_000, 60_000)).toBe(200);
    expect(between(60_000, 120_000)).toBe(60);
    expect(wait.clock.pending()).toBe(0);
  });

  test("until healthy: what became healthy is known 10 ms later at first, a second later at most", () => {
    for (const elapsedMs of [0, 499]) expect(probeDelayMs(elapsedMs)).toBe(10);
    let before = 0;
    for (const elapsedMs of [0, 500, 9_999, 10_000, 60_000, 3_600_000]) {
      expect(probeDelayMs(elapsedMs)).toBeGreaterThanOrEqual(before);
      before = probeDelayMs(elapsedMs);
    }
    expect(before).toBe(1000);
  });

  test("until healthy: a probe that hangs is given up and repeated with twice the patience", async () => {
    const wait = waiting((elapsedMs, signal) =>
      elapsedMs < 200_000 ? never(signal) : Promise.resolve(UP),
    );
    await wait.clock.advance(300_000);
    expect(wait.state.isDone).toBe(true);
    const gaps = wait.probedMs.slice(1).map((atMs, n) => atMs - (wait.probedMs[n] ?? 0));
    // Patience 2, 4, 8, 16, 32, 32 s and on, and the pause by the time that has passed.
    expect(gaps.slice(0, 6)).toEqual([2025, 4025, 8250, 16_250, 33_000, 33_000]);
    expect(wait.saw[0]).toBe("connected, but no answer");
    expect(wait.clock.pending()).toBe(0);
  });

  test("until healthy: a probe that throws is a failed probe", async () => {
    const wait = waiting(async (elapsedMs) => {
      if (elapsedMs < 30) throw new Error("broken pipe");
      return UP;
    });
    await wait.clock.advance(100);
    expect(wait.state.isDone).toBe(true);
    expect(wait.saw[0]).toBe("broken pipe");
  });

  for (const moment of ["during a probe", "between probes"] as const) {
    test(`until healthy: aborted ${moment}, it throws the reason and leaves no timer`, async () => {
      const wait = waiting((_elapsedMs, signal) =>
        moment === "during a probe" ? never(signal) : Promise.resolve(DOWN),
      );
      await wait.clock.advance(5);
      const reason = new Error("enough");
      wait.controller.abort(reason);
      await wait.done;
      expect(wait.state.error).toBe(reason);
      expect(wait.clock.pending()).toBe(0);
    });
  }

  test("until healthy: with a signal that has ended already there is no probe", async () => {
    let probes = 0;
    const reason = new Error("too late");
    const work = untilHealthy({
      clock: createVirtualClock(),
      signal: AbortSignal.abort(reason),
      async probe() {
        probes += 1;
        return UP;
      },
    });
    await expect(work).rejects.toBe(reason);
    expect(probes).toBe(0);
  });

  test("until healthy: a real server that boots late is found soon after it listens", async () => {
    const reserved = accepting();
    reserved[Symbol.dispose]();
    const port = Number(new URL(reserved.origin).port);
    const probes: string[] = [];
    const done = untilHealthy({
      clock: createSystemClock(),
      signal: AbortSignal.timeout(10_000),
      probe: (signal) => probeAt(reserved.origin, { signal }),
      onProbe: ({ saw }) => probes.push(saw),
    });
    await until(() => probes.length >= 3);
    using _server = Bun.listen({
      hostname: "127.0.0.1",
      port,
      socket: {
        data(socket) {
          socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        },
      },
    });
    await done;
    expect(probes.at(-1)).toBe("status 200 from /");
  });
});
