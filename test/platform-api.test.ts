import { describe, expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { BODY_BYTES_MAX } from "../src/providers/platform-answer.ts";
import type { ApiCall } from "../src/providers/platform-api.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { startDeafListener } from "./support/deaf-listener.ts";
import { apiOf, callOf, failureOf, servePlatform, TOKEN } from "./support/platform-server.ts";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY } from "./support/private-ca.ts";
import { type RawUpstream, startRawUpstream } from "./support/raw-upstream.ts";
import type { LogLine } from "./support/recording-log.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const WRITE: Partial<ApiCall> = {
  what: "scale shop",
  method: "POST",
  path: "/apps/shop/scale",
  body: { web: 1 },
};
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const OK = `${HEAD}content-length: 2\r\n\r\n{}`;

/** Bytes for each connection, or what to do with it; the last one for all further ones. */
function sayingBytes(...turns: readonly (string | "reset" | "end")[]): Promise<RawUpstream> {
  let turn = 0;
  return startRawUpstream((connection, piece) => {
    if (!/^[A-Z]+ \//.test(piece)) return;
    const act = turns[Math.min(turn, turns.length - 1)] ?? "end";
    turn += 1;
    if (act === "reset") connection.reset();
    else if (act === "end") connection.end();
    else {
      connection.write(act);
      connection.end();
    }
  });
}

const requestsAt = ({ connections }: RawUpstream) =>
  connections.flatMap(({ received }) => received.match(/^[A-Z]+ \S+ HTTP/gm) ?? []);

const loud = (lines: readonly LogLine[]) => lines.filter(({ level }) => level !== "debug");

describe("what is sent", () => {
  test("a GET carries the token, accepts JSON and has no body", async () => {
    const headers = { "x-a": "1" };
    using platform = servePlatform(() => Response.json([{ name: "shop" }], { headers }));
    using given = apiOf(`${platform.origin}/v1/`);
    const answer = await given.api.send(callOf({ path: "/apps?page=1" }));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual([{ name: "shop" }]);
    expect(answer.header("X-A")).toBe("1");
    expect(answer.header("x-b")).toBeNull();
    const [seen] = platform.requests;
    expect(seen?.line).toBe("GET /v1/apps?page=1");
    expect(seen?.headers.get("authorization")).toBe(`Bearer ${TOKEN}`);
    expect(seen?.headers.get("accept")).toBe("application/json");
    expect(seen?.headers.get("content-type")).toBeNull();
    expect(seen?.body).toBe("");
  });

  test("a body goes as JSON, and headers of the call replace ours but not those of the token", async () => {
    using platform = servePlatform(() => Response.json({}));
    using given = apiOf(platform.origin);
    const accept = "application/vnd.heroku+json; version=3";
    await given.api.send(callOf({ ...WRITE, headers: { Accept: accept, Authorization: "mine" } }));
    const [seen] = platform.requests;
    expect(seen?.line).toBe("POST /apps/shop/scale");
    expect(JSON.parse(seen?.body ?? "")).toEqual({ web: 1 });
    expect(seen?.headers.get("content-type")).toBe("application/json");
    expect(seen?.headers.get("accept")).toBe(accept);
    expect(seen?.headers.get("authorization")).toBe(`Bearer ${TOKEN}`);
  });

  test("an absolute URL of the same origin is called, of any other it is refused unsent", async () => {
    using platform = servePlatform(() => Response.json({}));
    using other = servePlatform(() => Response.json({}));
    using given = apiOf(platform.origin);
    await given.api.send(callOf({ path: `${platform.origin}/operations/1#part` }));
    const { port } = new URL(platform.origin);
    for (const path of [
      `${other.origin}/operations/1`,
      `http://user:pass@127.0.0.1:${port}/`,
      `https://127.0.0.1:${port}/`,
      `http://localhost:${port}/`,
      "operations/1",
      "@evil.example/",
      "",
      "file:///etc/passwd",
    ]) {
      const failure = await failureOf(given.api.send(callOf({ path })));
      expect(failure.kind).toBe("protocol");
      expect(failure.message).toContain("could not list the apps");
    }
    // Never another origin, whatever they look like.
    for (const path of [
      "//evil.example/x",
      "/\\evil.example/x",
      "/@evil.example",
      "/.evil.example",
    ]) {
      await given.api.send(callOf({ path }));
    }
    expect(platform.requests[0]?.line).toBe("GET /operations/1");
    expect(platform.requests).toHaveLength(5);
    expect(other.requests).toHaveLength(0);
  });

  test("a redirection is not followed, and nothing of the token goes to its target", async () => {
    using other = servePlatform(() => Response.json({}));
    using platform = servePlatform(() => Response.redirect(`${other.origin}/login`, 302));
    using given = apiOf(platform.origin);
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure.kind).toBe("protocol");
    expect(failure.message).toContain("a redirection (status 302)");
    expect(platform.requests).toHaveLength(1);
    expect(other.requests).toHaveLength(0);
  });
});

describe("what comes back", () => {
  test("bodies are read by their content type", async () => {
    const cases: readonly (readonly [string, string, unknown])[] = [
      ['{"a":1}', "application/vnd.heroku+json; charset=utf-8", { a: 1 }],
      ["null", "application/json", null],
      ["", "application/json", null],
      [" \n", "text/html", null],
      ["Retry later", "text/plain", "Retry later"],
      ['{"a":1}', "text/plain", '{"a":1}'],
      ["", "text/plain", null],
    ];
    using platform = servePlatform((number) => {
      const [body, type] = cases[number - 1]!;
      return new Response(body, { headers: { "content-type": type } });
    });
    using given = apiOf(platform.origin);
    for (const [, , expected] of cases) {
      expect((await given.api.send(callOf())).body).toEqual(expected);
    }
  });

  test("a body without a content type is JSON if it can be", async () => {
    const untyped = (body: string) =>
      `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    using platform = await sayingBytes(untyped('{"a":1}'), untyped("done"));
    using given = apiOf(platform.origin);
    expect((await given.api.send(callOf())).body).toEqual({ a: 1 });
    expect((await given.api.send(callOf())).body).toBe("done");
  });

  test("a form is sent as one, and no refusal repeats what stands in it", async () => {
    const form = { grant_type: "api_token", api_token: "s3cr3t & more" };
    using platform = servePlatform((number) =>
      number === 1
        ? Response.json({ ok: true })
        : Response.json({ error: `s3cr3t & more is no token` }, { status: 400 }),
    );
    using given = apiOf(platform.origin);
    const call = callOf({ method: "POST", form });
    await given.api.send(call);
    const [seen] = platform.requests;
    expect(seen?.headers.get("content-type")).toBe("application/x-www-form-urlencoded");
    expect(Object.fromEntries(new URLSearchParams(seen?.body))).toEqual(form);
    const failure = await failureOf(given.api.send(call));
    expect(failure.message).not.toContain("s3cr3t");
    expect(JSON.stringify(given.lines)).not.toContain("s3cr3t");
  });

  test("an answer of 202 or 204 without a body is an answer", async () => {
    using platform = servePlatform(
      (number) => new Response(null, { status: number === 1 ? 202 : 204 }),
    );
    using given = apiOf(platform.origin);
    expect(await given.api.send(callOf(WRITE))).toMatchObject({ status: 202, body: null });
    expect(await given.api.send(callOf({ method: "DELETE" }))).toMatchObject({
      status: 204,
      body: null,
    });
  });

  test("HTML instead of JSON is asked for again when reading, and is no answer in the end", async () => {
    const html = { headers: { "content-type": "text/html; charset=utf-8" } };
    using platform = servePlatform((number) =>
      number === 1 ? new Response("<html>hello</html>", html) : Response.json([]),
    );
    using given = apiOf(platform.origin);
    expect((await given.api.send(callOf())).body).toEqual([]);
    expect(platform.requests).toHaveLength(2);
    using maintained = servePlatform(() => new Response("<html>hello</html>", html));
    using other = apiOf(maintained.origin);
    const failure = await failureOf(other.api.send(callOf()));
    expect(failure.kind).toBe("protocol");
    expect(failure.isUncertain).toBe(false);
    expect(failure.message).toContain("a page of HTML instead of JSON");
    expect(maintained.requests).toHaveLength(3);
    const write = await failureOf(other.api.send(callOf(WRITE)));
    expect(write).toMatchObject({ kind: "protocol", isUncertain: true });
    expect(maintained.requests).toHaveLength(4);
  });

  test("a body over the limit is not read to its end, and not asked for again", async () => {
    const piece = new Uint8Array(1024 * 1024).fill(0x20);
    let pieces = 0;
    using platform = servePlatform(
      () =>
        new Response(
          new ReadableStream({
            async pull(controller) {
              pieces += 1;
              controller.enqueue(piece);
              await Bun.sleep(0);
            },
          }),
          { headers: { "content-type": "application/json" } },
        ),
    );
    using given = apiOf(platform.origin);
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure.kind).toBe("protocol");
    expect(failure.message).toContain("more than 32 MiB");
    const readMax = (BODY_BYTES_MAX / piece.length) * 3;
    expect(pieces).toBeLessThan(readMax);
    expect(platform.requests).toHaveLength(1);
  });

  test("refusals mean what they usually mean, and quote the platform on one line", async () => {
    const cases = {
      400: "invalid",
      402: "payment",
      403: "forbidden",
      404: "not-found",
      406: "invalid",
      409: "busy",
      410: "not-found",
      412: "busy",
      422: "invalid",
      423: "busy",
    };
    using platform = servePlatform((_, request) => {
      const status = Number(new URL(request.url).pathname.slice(1));
      return Response.json({ id: "x", message: "line one\nline two" }, { status });
    });
    using given = apiOf(platform.origin);
    for (const [status, kind] of Object.entries(cases)) {
      const failure = await failureOf(given.api.send(callOf({ ...WRITE, path: `/${status}` })));
      expect(`${status} ${failure.kind}`).toBe(`${status} ${kind}`);
      expect(failure.message).toStartWith("could not scale shop: ");
      expect(failure.message).toContain(`status ${status} "line one line two"`);
      expect(failure.isUncertain).toBe(false);
    }
    expect(platform.requests).toHaveLength(Object.keys(cases).length);
    expect(loud(given.lines)).toEqual([]);
  });

  test("the provider may know better what a refusal means", async () => {
    using platform = servePlatform(() => Response.json({ error: "no change" }, { status: 400 }));
    using given = apiOf(platform.origin, {
      understand: ({ call, status, body }) =>
        call.method === "POST" && status === 400 && JSON.stringify(body).includes("no change")
          ? "done"
          : { kind: "busy", message: "it is deploying", retryAfterMs: 1234 },
    });
    expect(await given.api.send(callOf(WRITE))).toMatchObject({ status: 400 });
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure).toMatchObject({
      kind: "busy",
      message: "could not list the apps: it is deploying",
      retryAfterMs: 1234,
    });
  });

  test("HTML that explains a failure is quoted by its title", async () => {
    const page =
      "<!DOCTYPE html><html><head><title>503 Maintenance</title></head><body>x</body></html>";
    using platform = servePlatform(
      () => new Response(page, { status: 503, headers: { "content-type": "text/html" } }),
    );
    using given = apiOf(platform.origin);
    const failure = await failureOf(given.api.send(callOf(WRITE)));
    expect(failure).toMatchObject({ kind: "unavailable", isUncertain: true });
    expect(failure.message).toContain('status 503 "503 Maintenance"');
  });
});

describe("trying again", () => {
  test("reading is tried three times, whatever breaks it", async () => {
    const half = `${HEAD}content-length: 100\r\n\r\n{"a":`;
    const halfChunk = `${HEAD}transfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n`;
    const broken = `${HEAD}content-length: 5\r\n\r\n{"a":`;
    const noHttp = "hello\r\n\r\n";
    const error = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
    const timedOut = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
    for (const bad of [half, halfChunk, broken, noHttp, error, timedOut, "reset", "end"]) {
      using platform = await sayingBytes(bad, bad, OK);
      using given = apiOf(platform.origin);
      expect((await given.api.send(callOf())).body).toEqual({});
      using worse = await sayingBytes(bad);
      using other = apiOf(worse.origin);
      const failure = await failureOf(other.api.send(callOf()));
      expect(["network", "unavailable", "protocol"]).toContain(failure.kind);
      expect(failure.isUncertain).toBe(false);
      expect(requestsAt(worse)).toHaveLength(3);
    }
  });

  test("a write that may have been applied is not sent again, and the failure says so", async () => {
    const half = `HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{"a":`;
    const error = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";
    for (const method of ["POST", "PUT", "PATCH", "DELETE"] as const) {
      for (const bad of [half, error, "reset", "end"]) {
        using platform = await sayingBytes(bad);
        using given = apiOf(platform.origin);
        const failure = await failureOf(given.api.send(callOf({ ...WRITE, method })));
        expect(failure.isUncertain).toBe(true);
        expect(requestsAt(platform)).toHaveLength(1);
      }
    }
  });

  test("a DELETE is not sent twice when the connection it could have shared dies", async () => {
    using platform = await startRawUpstream((connection, piece) => {
      if (piece.startsWith("GET")) connection.write(OK);
      else connection.reset();
    });
    using given = apiOf(platform.origin);
    await given.api.send(callOf());
    const failure = await failureOf(given.api.send(callOf({ method: "DELETE" })));
    expect(failure.isUncertain).toBe(true);
    expect(requestsAt(platform).filter((line) => line.startsWith("DELETE"))).toHaveLength(1);
  });

  test("a repeatable write is sent again, and doubt about the first remains", async () => {
    using platform = await sayingBytes("reset", OK);
    using given = apiOf(platform.origin);
    await given.api.send(callOf({ ...WRITE, isRepeatable: true }));
    expect(requestsAt(platform)).toHaveLength(2);
    using other = await sayingBytes("reset", "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
    using second = apiOf(other.origin);
    const failure = await failureOf(second.api.send(callOf({ ...WRITE, isRepeatable: true })));
    expect(failure).toMatchObject({ kind: "not-found", isUncertain: true });
  });

  test("a call that never left is tried again even if it must not be repeated, and is certain", async () => {
    let calls = 0;
    using given = apiOf("http://127.0.0.1:1", {
      fetch: (url, init) => {
        calls += 1;
        return fetch(url, init);
      },
    });
    const refused = await failureOf(given.api.send(callOf(WRITE)));
    expect(refused).toMatchObject({ kind: "network", isUncertain: false });
    expect(refused.message).toBe("could not scale shop: 127.0.0.1:1 refused the connection");
    expect(calls).toBe(3);
    using nowhere = apiOf("http://no-such-host.invalid");
    const lost = await failureOf(nowhere.api.send(callOf(WRITE)));
    expect(lost).toMatchObject({ kind: "network", isUncertain: false });
    expect(lost.message).toContain("has no address");
  });

  test("a certificate that nobody vouches for is said, and no token is sent", async () => {
    using server = Bun.serve({
      port: 0,
      tls: { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY },
      fetch: () => Response.json({}),
    });
    using given = apiOf(`https://localhost:${server.port}`);
    const failure = await failureOf(given.api.send(callOf(WRITE)));
    expect(failure).toMatchObject({ kind: "network", isUncertain: false });
    expect(failure.message).toContain("a certificate that nobody vouches for");
  });

  test("between tries there is a pause by chance, twice as long at most each time", async () => {
    const clock = createVirtualClock();
    const chances = [0.5, 0.999];
    using platform = servePlatform(() => new Response(null, { status: 503 }));
    using given = apiOf(platform.origin, { clock, random: () => chances.shift() ?? 0 });
    const failure = failureOf(given.api.send(callOf()));
    for (const [count, delayMs] of [
      [1, 250],
      [2, 999],
    ] as const) {
      await until(() => given.lines.length === count && clock.pending() === 1);
      await clock.advance(delayMs - 1);
      expect(clock.pending()).toBe(1);
      await clock.advance(1);
    }
    expect((await failure).kind).toBe("unavailable");
    expect(platform.requests).toHaveLength(3);
    expect(clock.pending()).toBe(0);
  });

  test("`Retry-After` of an unavailable API is kept to, by date and by seconds, or handed on", async () => {
    const clock = createVirtualClock();
    // The platform's clock is an hour ahead of ours, and ours is set while the answer comes.
    const dates = {
      date: "Tue, 14 Nov 2023 23:13:20 GMT",
      "retry-after": "Tue, 14 Nov 2023 23:13:23 GMT",
    };
    using platform = servePlatform(
      (number) =>
        new Response(null, {
          status: 503,
          headers:
            number === 1 ? dates : number === 2 ? { "retry-after": "4" } : { "retry-after": "90" },
        }),
    );
    using given = apiOf(platform.origin, { clock });
    const failure = failureOf(given.api.send(callOf()));
    for (const [count, delayMs] of [
      [1, 3000],
      [2, 4000],
    ] as const) {
      await until(() => given.lines.length === count && clock.pending() === 1);
      clock.setWall(-86_400_000);
      await clock.advance(delayMs - 1);
      expect(platform.requests).toHaveLength(count);
      await clock.advance(1);
    }
    expect(await failure).toMatchObject({ kind: "unavailable", retryAfterMs: 90_000 });
    const patient = await failureOf(given.api.send(callOf({ urgency: "sweep" })));
    expect(patient.retryAfterMs).toBe(90_000);
    expect(platform.requests).toHaveLength(4);
  });
});

describe("time", () => {
  test("an answer that does not come, or does not end, is given up after the time for one attempt", async () => {
    for (const bytes of ["", `${HEAD}content-length: 100\r\n\r\n{"a":`]) {
      using platform = await startRawUpstream((connection) => connection.write(bytes));
      const clock = createVirtualClock();
      using given = apiOf(platform.origin, { clock, timeoutMs: 5000 });
      const failure = failureOf(given.api.send(callOf(WRITE)));
      await platform.received("scale");
      await clock.advance(4999);
      expect(clock.pending()).toBe(1);
      await clock.advance(1);
      expect(await failure).toMatchObject({ kind: "network", isUncertain: true });
      expect((await failure).message).toContain("no complete answer within 5 s");
      expect(clock.pending()).toBe(0);
      await until(() => platform.connections[0]?.isClosed === true);
    }
  });

  test("a machine that takes no connection is given up as well", async () => {
    using deaf = await startDeafListener();
    using given = apiOf(deaf.origin, { timeoutMs: 30 });
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure.kind).toBe("network");
    expect(failure.message).toContain("no complete answer within 0.03 s");
  });
});

describe("giving up", () => {
  test("a call whose signal has been aborted is not made", async () => {
    using platform = servePlatform(() => Response.json({}));
    using given = apiOf(platform.origin);
    const signal = AbortSignal.abort(new Error("the app was woken by hand"));
    const failure = await failureOf(given.api.send(callOf({ ...WRITE, signal })));
    expect(failure).toMatchObject({ kind: "failed", isUncertain: false });
    expect(failure.message).toBe(
      "could not scale shop: it was given up: the app was woken by hand",
    );
    expect(failure.cause).toBe(signal.reason);
    expect(platform.requests).toHaveLength(0);
  });

  test("a call gives up at every stage, and leaves no timer and no connection", async () => {
    using platform = await startRawUpstream((connection, piece) => {
      if (piece.includes("/body")) connection.write(`${HEAD}content-length: 9\r\n\r\n{`);
      if (piece.includes("/down")) connection.write("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
    });
    const clock = createVirtualClock();
    let hasAsked = false;
    using given = apiOf(platform.origin, {
      clock,
      random: () => 0.9,
      budget: { burst: 3, perMinute: 1, inFlightMax: 3 },
    });
    using stuck = apiOf(platform.origin, {
      clock,
      credentials: {
        headers: () => {
          hasAsked = true;
          return new Promise(() => undefined);
        },
      },
    });
    const stages = [
      {
        name: "fetching a token",
        api: stuck.api,
        call: WRITE,
        isThere: () => hasAsked,
        isUncertain: false,
      },
      {
        name: "waiting for the answer",
        api: given.api,
        call: { ...WRITE, urgency: "wake", path: "/silent" },
        isThere: () => platform.connections[0]?.received.includes("/silent") === true,
        isUncertain: true,
      },
      {
        name: "reading the answer",
        api: given.api,
        call: { urgency: "wake", path: "/body" },
        isThere: () => platform.connections[1]?.received.includes("/body") === true,
        isUncertain: false,
      },
      {
        name: "waiting before the next try",
        api: given.api,
        call: { urgency: "wake", path: "/down" },
        isThere: () => given.lines.length === 1,
        isUncertain: false,
      },
      {
        name: "waiting for its turn",
        api: given.api,
        call: { ...WRITE, urgency: "wake" },
        isThere: () => clock.pending() === 1,
        isUncertain: false,
        kind: "rate-limited",
      },
    ] as const;
    for (const { name, api, call, isThere, isUncertain, ...rest } of stages) {
      const controller = new AbortController();
      const failure = failureOf(api.send(callOf({ ...call, signal: controller.signal })));
      await until(isThere);
      controller.abort(new Error(name));
      const kind = "kind" in rest ? rest.kind : "failed";
      expect(await failure).toMatchObject({ kind, cause: controller.signal.reason });
      expect(`${name} ${(await failure).isUncertain}`).toBe(`${name} ${isUncertain}`);
      expect(`${name} ${clock.pending()}`).toBe(`${name} 0`);
    }
    await until(() => platform.connections.slice(0, 2).every(({ isClosed }) => isClosed));
  });

  test("a call that is given up before its turn says whose limit that was, and which variable sets it", async () => {
    const budget = { burst: 1, perMinute: 1, inFlightMax: 9 };
    const budgetVariable = "PROVIDER_HEROKU_CALLS_PER_MINUTE";
    for (const [variable, named] of [
      [{ budgetVariable }, ` (${budgetVariable})`],
      [{}, ""],
    ] as const) {
      using platform = servePlatform(() => Response.json({}));
      using given = apiOf(platform.origin, { clock: createVirtualClock(), budget, ...variable });
      await given.api.send(callOf());
      const controller = new AbortController();
      const failure = failureOf(given.api.send(callOf({ signal: controller.signal })));
      controller.abort(new Error("no answer within 60 s"));
      const { kind, isUncertain, message } = await failure;
      expect([kind, isUncertain, platform.requests.length]).toEqual(["rate-limited", false, 1]);
      expect(message).toBe(
        "could not list the apps: no answer within 60 s; it was not sent, as Paastis itself makes at most 1 calls a " +
          `minute there${named}`,
      );
    }
  });

  test("a call that is given up in a pause says that the platform wanted it, and one behind hanging calls says that", async () => {
    const clock = createVirtualClock();
    const limited = new Response("Retry later", { status: 429, headers: { "retry-after": "100" } });
    const never = Promise.withResolvers<Response>();
    using platform = servePlatform((number) => (number === 1 ? limited : never.promise));
    using given = apiOf(platform.origin, {
      clock,
      budget: { burst: 100, perMinute: 6000, inFlightMax: 2 },
    });
    const givenUp = async (urgency: ApiCall["urgency"]) => {
      const controller = new AbortController();
      const failure = failureOf(given.api.send(callOf({ urgency, signal: controller.signal })));
      await clock.advance(1);
      controller.abort(new Error("too late"));
      return (await failure).message;
    };
    await failureOf(given.api.send(callOf()));
    expect(await givenUp("sleep")).toContain(
      'too late; it was not sent, as too many calls were made (status 429 "Retry later"); no calls for 100 s',
    );
    await clock.advance(100_000);
    const hanging = failureOf(given.api.send(callOf({ urgency: "sleep" })));
    await until(() => platform.requests.length === 2);
    expect(await givenUp("sleep")).toContain("as the calls before it were not answered yet");
    given.api.close();
    await hanging;
  });

  test("a stop is called off while it waits for its turn, and not once it is under way", async () => {
    const clock = createVirtualClock();
    const answer = Promise.withResolvers<Response>();
    using platform = servePlatform(() => answer.promise);
    using given = apiOf(platform.origin, {
      clock,
      budget: { burst: 1, perMinute: 1, inFlightMax: 9 },
    });
    const stop = () => {
      const off = new AbortController();
      const call = callOf({ ...WRITE, urgency: "sleep", waitMaxMs: 5000, callOff: off.signal });
      return { off, sent: given.api.send(call) };
    };
    const first = stop();
    await until(() => platform.requests.length === 1);
    first.off.abort(new ProviderError("rate-limited", "somebody wants it"));
    const second = stop();
    await clock.advance(10);
    second.off.abort(new ProviderError("rate-limited", "somebody wants it"));
    const failure = await failureOf(second.sent);
    expect([failure.kind, failure.message]).toEqual(["rate-limited", "somebody wants it"]);
    answer.resolve(Response.json({}));
    expect((await first.sent).status).toBe(200);
    expect([platform.requests.length, clock.pending()]).toEqual([1, 0]);
  });

  test("a signal that outlives its calls keeps nothing of them", async () => {
    using platform = servePlatform(() => Response.json({}));
    using given = apiOf(platform.origin);
    const { signal } = new AbortController();
    for (let call = 0; call < 3; call += 1) await given.api.send(callOf({ signal }));
    await failureOf(given.api.send(callOf({ signal, path: "nowhere" })));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("each attempt leaves a line for those who look closely, with the platform's own number", async () => {
    using platform = servePlatform(() => Response.json({}, { headers: { "sozu-id": "01J" } }));
    using given = apiOf(platform.origin);
    await given.api.send(callOf({ path: "/apps?secret=x" }));
    expect(given.lines).toEqual([
      {
        level: "debug",
        fields: {
          provider: "heroku",
          api: new URL(platform.origin).host,
          method: "GET",
          path: "/apps",
          urgency: "sweep",
          status: 200,
          requestId: "01J",
          why: undefined,
        },
        message: "called the platform to list the apps",
      },
    ]);
  });

  test("close ends what waits and what is under way, and refuses what comes", async () => {
    using platform = await startRawUpstream();
    const clock = createVirtualClock();
    using given = apiOf(platform.origin, {
      clock,
      budget: { burst: 1, perMinute: 1, inFlightMax: 1 },
    });
    const underWay = failureOf(given.api.send(callOf(WRITE)));
    await platform.received("scale");
    const waiting = failureOf(given.api.send(callOf()));
    given.api.close();
    given.api.close();
    expect(await underWay).toMatchObject({ kind: "failed", isUncertain: true });
    expect(await waiting).toMatchObject({ kind: "failed", isUncertain: false });
    expect(await failureOf(given.api.send(callOf()))).toMatchObject({ kind: "failed" });
    expect(clock.pending()).toBe(0);
    await until(() => platform.connections[0]?.isClosed === true);
  });
});

describe("secrets", () => {
  test("nothing that a platform echoes gives the token away, nor does the log", async () => {
    const echoes = [
      { message: `bad token ${TOKEN}` },
      { error: `Authorization: Bearer ${TOKEN}` },
      `user:${TOKEN}@api.example`,
      { errors: { token: [TOKEN] } },
    ];
    for (const status of [401, 422, 500]) {
      using platform = servePlatform((number) =>
        Response.json(echoes[number % echoes.length], { status }),
      );
      using given = apiOf(platform.origin);
      for (const _ of [...echoes, ...echoes]) {
        const failure = await failureOf(given.api.send(callOf({ ...WRITE, urgency: "wake" })));
        expect(failure.message).not.toContain(TOKEN);
        expect(Bun.inspect(failure)).not.toContain(TOKEN);
      }
      expect(JSON.stringify(given.lines)).not.toContain(TOKEN);
    }
  });

  test("no part of the token is quoted where a quotation ends", async () => {
    using platform = servePlatform((_, request) =>
      Response.json(
        { message: "word ".repeat(38) + request.headers.get("authorization") },
        { status: 422 },
      ),
    );
    using given = apiOf(platform.origin, {
      understand: ({ body }) => ({ kind: "invalid", message: JSON.stringify(body).slice(0, 215) }),
    });
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure.message).toContain("word");
    expect(failure.message).not.toContain(TOKEN.slice(0, 4));
  });

  test("a token that no header can hold is said without it, and nothing is sent", async () => {
    using platform = servePlatform(() => Response.json({}));
    const bad = `${TOKEN}\n`.replace("-", "\n");
    const headers = () => Promise.resolve({ authorization: `Bearer ${bad}` });
    using given = apiOf(platform.origin, { credentials: { headers } });
    const failure = await failureOf(given.api.send(callOf()));
    expect(failure.kind).toBe("auth");
    expect(failure.message).toContain("a character that no header may hold");
    expect(Bun.inspect(failure)).not.toContain("ken-of-the-account");
    expect(platform.requests).toHaveLength(0);
  });
});
