import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createRelief } from "../../src/engines/fetch-silence.ts";
import { ENGINES } from "../support/engines.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";
import { upgradeRequest } from "../support/websocket-frames.ts";

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;

/** The engine in a process of its own that may have few descriptors. */
async function startExhausted(engine: string, origin: string) {
  const script = join(import.meta.dir, "../support/exhausted-engine.ts");
  const child = Bun.spawn(
    [
      "sh",
      "-c",
      'ulimit -n 100; exec "$0" "$@"',
      ...[process.execPath, "--no-install", script],
      engine,
      origin,
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
  );
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

describe.each(ENGINES)("$name: without descriptors", (engine) => {
  const cases: readonly [what: string, host: string, request: string][] = [
    ["a request", "127.0.0.1", get("/")],
    ["a request to a target with a name", "localhost", get("/")],
    ["a WebSocket", "127.0.0.1", upgradeRequest("/")],
    ["a WebSocket to a target with a name", "localhost", upgradeRequest("/")],
  ];
  test.each(cases)(
    "wire: %s finds us exhausted, not the target down, and idle clients make room",
    async (_what, host, request) => {
      using upstream = await startScriptedUpstream();
      await using proxy = await startExhausted(engine.name, `http://${host}:${upstream.port}`);
      using idle = await connectRaw(proxy.port);
      using client = await connectRaw(proxy.port);
      client.send(get("/hello"));
      expect((await client.answer()).body).toBe("hello");
      idle.send(get("/fill"));
      expect((await idle.answer()).body).toBe("EMFILE");
      client.send(request);
      expect((await client.answer()).body).toBe("exhausted, not to be tried again");
      expect(upstream.requests.length).toBe(0);
      await idle.until(() => idle.isClosed);
    },
  );
});

describe("fetch: without descriptors", () => {
  test("wire: idle clients are given up at most once a second", async () => {
    const clock = createVirtualClock();
    let closings = 0;
    const relieve = createRelief(clock, () => ({
      closeIdleConnections: () => {
        closings += 1;
        return 0;
      },
    }));
    relieve();
    await clock.advance(999);
    relieve();
    expect(closings).toBe(1);
    await clock.advance(1);
    relieve();
    expect(closings).toBe(2);
  });
});
