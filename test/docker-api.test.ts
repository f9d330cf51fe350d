/** Calls to an engine: which version, what its silence means, and what ends a call or a stream. */

import { describe, expect, test } from "bun:test";
import { createSystemClock } from "../src/clock.ts";
import { createEngineApi, type EngineApi } from "../src/providers/docker-api.ts";
import { failureOf } from "../src/providers/docker-errors.ts";
import { chosenVersion, isVersionRefusal } from "../src/providers/docker-version.ts";
import { createCondition } from "../src/providers/platform-condition.ts";
import { patient, rejection } from "./contract/provider.ts";
import { type LogLine, recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

interface ApiTest extends AsyncDisposable {
  readonly api: EngineApi;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
  readonly lines: readonly LogLine[];
  readonly socketPath: string;
}

/** An API in front of a server on a socket; `null`: nobody listens there. */
function startApi(
  answer: ((request: Request, path: string) => Response | Promise<Response>) | null,
  clock = createSystemClock(),
): ApiTest {
  const folder = tempDir();
  const socketPath = folder.file("engine.sock");
  const asked: string[] = [];
  const server =
    answer === null
      ? null
      : Bun.serve({
          unix: socketPath,
          fetch(request) {
            const path = request.url.replace(/^http:\/\/[^/]*/, "");
            asked.push(path);
            if (path !== "/_ping") return answer(request, path);
            return new Response("OK", { headers: { "api-version": "1.41" } });
          },
        });
  const { log, lines } = recordingLog();
  const say = { bad: log.warn, good: log.info, fields: {}, clock };
  const config = { api: { kind: "unix", socketPath } } as const;
  const api = createEngineApi({ config, clock, fetch, trouble: createCondition(say) });
  return {
    api,
    asked,
    lines,
    socketPath,
    async [Symbol.asyncDispose]() {
      api.close();
      await server?.stop(true);
      folder[Symbol.dispose]();
    },
  };
}

function call(fields: Partial<Parameters<EngineApi["send"]>[0]> = {}) {
  const order = { what: "list its apps", method: "GET", path: "/list" } as const;
  return { ...order, timeoutMs: 10_000, signal: patient(), ...fields };
}

describe("docker api", () => {
  test("asks for the version once, however many calls begin together", async () => {
    await using world = startApi(() => Response.json([]));
    await Promise.all(Array.from({ length: 20 }, () => world.api.send(call())));
    expect(world.asked.filter((path) => path === "/_ping")).toHaveLength(1);
    expect(world.asked.filter((path) => path === "/v1.41/list")).toHaveLength(20);
    world.api.forget();
    await world.api.send(call());
    expect(world.asked.filter((path) => path === "/_ping")).toHaveLength(2);
  });

  test("who asks first and gives up does not end it for those who wait with them", async () => {
    const first = new AbortController();
    await using world = startApi(() => Response.json([]));
    const gaveUp = rejection(world.api.send(call({ signal: first.signal })));
    const waits = world.api.send(call());
    first.abort(new Error("enough"));
    expect((await gaveUp).message).toContain("the call to list its apps was given up: enough");
    expect(await waits).toMatchObject({ kind: "done", status: 200 });
  });

  test("a version that is refused is asked for anew, and the call made once more", async () => {
    let refusals = 0;
    await using world = startApi(() => {
      refusals += 1;
      if (refusals > 1) return Response.json([]);
      const message = "client version 1.41 is too new. Maximum supported API version is 1.40";
      return Response.json({ message }, { status: 400 });
    });
    expect(await world.api.send(call())).toMatchObject({ kind: "done" });
    expect(world.asked).toEqual(["/_ping", "/v1.41/list", "/_ping", "/v1.41/list"]);
  });

  test("a redirection and a page of HTML are no answers of an engine", async () => {
    const answers = [
      new Response(null, { status: 302, headers: { location: "http://elsewhere/" } }),
      new Response("<html>", { headers: { "content-type": "text/html" } }),
    ];
    await using world = startApi(() => answers.shift() ?? Response.json([]));
    for (let count = 0; count < 2; count += 1) {
      expect((await rejection(world.api.send(call()))).kind).toBe("protocol");
    }
  });

  test("no socket, nobody behind it, and silence are told apart, and said once each", async () => {
    await using missing = startApi(null);
    const gone = await rejection(missing.api.send(call()));
    expect([gone.kind, gone.isUncertain, gone.trouble?.isKnown()]).toEqual([
      "network",
      false,
      true,
    ]);
    expect(gone.message).toContain(`unix://${missing.socketPath} does not answer, as there is no`);
    await rejection(missing.api.send(call()));
    expect(missing.lines.map(({ level }) => level)).toEqual(["warn"]);
    // A file that is left behind by an engine that was killed.
    await Bun.write(missing.socketPath, "");
    const refused = await rejection(missing.api.send(call()));
    expect(refused.message).toContain("nobody listens there: is it running?");
  });

  test("a call that is not answered in time is over; a change may have been made", async () => {
    const clock = createVirtualClock();
    await using world = startApi(() => new Promise(() => undefined), clock);
    const reading = rejection(world.api.send(call()));
    const changing = rejection(world.api.send(call({ method: "POST", path: "/start" })));
    while (world.asked.length < 3) await Bun.sleep(1);
    await clock.advance(9_999);
    await clock.advance(1);
    const [read, changed] = await Promise.all([reading, changing]);
    expect(read.message).toEndWith("gave no complete answer within 10 s");
    expect([read.kind, read.isUncertain, changed.isUncertain]).toEqual(["network", false, true]);
    expect(clock.pending()).toBe(0);
  });

  test("a stream outlives the time for its beginning, and ends with its caller", async () => {
    const clock = createVirtualClock();
    let isCut = false;
    await using world = startApi((request) => {
      request.signal.addEventListener("abort", () => {
        isCut = true;
      });
      const body = new ReadableStream({ start: (stream) => stream.enqueue("one\n") });
      return new Response(body);
    }, clock);
    const caller = new AbortController();
    const response = await world.api.open(call({ signal: caller.signal }));
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe("one\n");
    const more = reader.read().then(
      () => "more",
      () => "over",
    );
    expect(clock.pending()).toBe(0);
    await clock.advance(60_000);
    expect(await Promise.race([more, settled().then(() => "goes on")])).toBe("goes on");
    caller.abort(new Error("enough"));
    expect(await more).toBe("over");
    while (!isCut) await Bun.sleep(1);
  });

  test("a stream that is refused says so", async () => {
    await using world = startApi(() => new Response("Forbidden", { status: 403 }));
    const error = await rejection(world.api.open(call({ what: "listen to its events" })));
    expect([error.kind, error.trouble]).toEqual(["forbidden", null]);
    expect(error.message).toContain("could not listen to its events: the engine at unix:///");
    expect(error.message).toContain("or a proxy in front of it, does not allow that call");
  });

  test("after close everything fails at once, without a call", async () => {
    await using world = startApi(() => Response.json([]));
    await world.api.send(call());
    world.api.close();
    const before = world.asked.length;
    expect((await rejection(world.api.send(call()))).kind).toBe("failed");
    expect(world.asked).toHaveLength(before);
  });
});

describe("docker versions", () => {
  test.each([
    ["1.41", "1.41"],
    ["1.44", "1.44"],
    ["1.52", "1.44"],
    ["2.0", "1.44"],
    ["1.9", "1.9"],
    ["", "1.40"],
    ["next", "1.40"],
  ])("of an engine that speaks %p at most, %s is spoken", (theirs, ours) => {
    expect(chosenVersion(theirs)).toBe(ours);
  });

  test("only a refusal of the version is one", () => {
    const refused = (status: number, words: string) =>
      isVersionRefusal({ kind: "refused", status, words });
    expect([
      refused(400, '"client version 1.44 is too new. Maximum supported API version is 1.41"'),
      refused(400, '"client version 1.24 is too old. Minimum supported API version is 1.44"'),
      refused(400, '"invalid filter"'),
      refused(500, '"client version 1.44 is too new"'),
    ]).toEqual([true, true, false, false]);
  });
});

test.each([
  [401, "auth"],
  [403, "forbidden"],
  [404, "not-found"],
  [409, "busy"],
  [500, "unavailable"],
  [400, "invalid"],
])("docker errors: status %d is %s", (status, kind) => {
  const words = '"no such thing"';
  const error = failureOf("start it", { kind: "refused", status, words }, "unix:///x");
  expect(error.kind).toBe(kind as "auth"); // One of the words above.
  expect(error.message).toContain(`(status ${status}: "no such thing")`);
});
