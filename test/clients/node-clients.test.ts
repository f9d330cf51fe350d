/** Clients under Node through the compiled program: `ws`, `undici`, `node:http`, `fetch`. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { madeUpBytes, sha256 } from "../support/made-up-bytes.mjs";
import {
  appProgram,
  ENGINE_NAMES,
  type EngineName,
  type ProxiedApp,
  startProxiedApp,
  testUnlessDeclared,
} from "../support/proxied-app.ts";
import { until } from "../support/until.ts";

/** Under Bun, both packages would be replaced by parts of the runtime; so Node runs them. */
function startApp(engine: EngineName, program: string): Promise<ProxiedApp> {
  return startProxiedApp({ engine, key: "app", command: `exec node ${appProgram(program)}` });
}

/** One of the programs in `programs`, which plays one story after the other: a process for each would cost far more. */
function startProgram(name: string) {
  const child = Bun.spawn(["node", resolve(import.meta.dir, "programs", name)], {
    env: { PATH: process.env.PATH ?? "", LANG: "C" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = createInterface({ input: Readable.fromWeb(child.stdout) })[Symbol.asyncIterator]();
  return {
    /** @returns what it says of a story, which has the shape it gives it there */
    async tell(...asked: readonly unknown[]): Promise<unknown> {
      child.stdin.write(`${JSON.stringify(asked)}\n`);
      await child.stdin.flush();
      const { value } = await lines.next();
      if (typeof value !== "string") throw new Error(`${name} has ended`);
      const { told, error } = JSON.parse(value);
      if (error !== undefined) throw new Error(`${name}, ${asked[0]}: ${error}`);
      return told;
    },
    end: () => child.kill(),
  };
}

const webSockets = startProgram("ws-client.mjs");
const http = startProgram("http-client.mjs");
afterAll(() => {
  webSockets.end();
  http.end();
});

describe.each(ENGINE_NAMES)("ws, on the %s engine", (engine) => {
  let app: ProxiedApp;
  beforeAll(async () => {
    app = await startApp(engine, "ws-echo.mjs");
  });
  afterAll(() => app[Symbol.asyncDispose]());
  const story = (name: string, details: object = {}) => webSockets.tell(name, app.host, details);
  /** How the app saw its sockets end: what `ws-echo.mjs` keeps. */
  const closes = async () =>
    (await (await app.paastis.get("app")).json()) as { code: number; reason: string }[];
  const closedWith1006 = async () => (await closes()).filter(({ code }) => code === 1006).length;

  test("wakes the app; text, binary and empty messages come back as they were", async () => {
    expect(await story("echo")).toEqual({
      text: ["grüße, 世界 🌍", false],
      binary: [true, true],
      empty: ["", false],
      end: { code: 1000, reason: "done" },
    });
  });

  test("2,000 messages keep their order", async () => {
    expect(await story("order")).toBe(true);
  });

  test("pings reach the other side, and pongs come back from it, both ways", async () => {
    const message = "pong are you there?";
    expect(await story("pings")).toEqual({ pong: "hello", ping: "are you there?", message });
  });

  testUnlessDeclared(engine, "compression", "permessage-deflate is end to end", async () => {
    const told = await story("compression");
    expect(told).toMatchObject({ extensions: "permessage-deflate", echoed: true });
    // 1 MB of text, compressed by the app, took little room on the way.
    expect(told).toHaveProperty("wireBytes", expect.any(Number));
    expect((told as { wireBytes: number }).wireBytes).toBeLessThan(50_000);
  });

  test("a subprotocol is negotiated with the app", async () => {
    expect(await story("subprotocols")).toBe("second");
  });

  testUnlessDeclared(engine, "no subprotocol", "an app may choose no subprotocol", async () => {
    expect(await story("noSubprotocol")).toBe("Server sent no subprotocol");
  });

  const CODES = [1000, 3001, 4999].map((code) => ({ code, reason: `because of ${code} ✓` }));
  test.each(CODES)("a client's close reaches the app, and is answered: %j", async (end) => {
    expect(await story("closeByClient", end)).toEqual(end);
    await until(async () => (await closes()).some((seen) => Bun.deepEquals(seen, end)));
  });
  test.each(CODES)("an app's close reaches the client: %j", async (end) => {
    expect(await story("closeByApp", end)).toEqual(end);
  });

  test("a close without a code stays one without", async () => {
    expect(await story("closeByClient", {})).toEqual({ code: 1005, reason: "" });
  });

  test("an app that vanishes leaves its client with 1006", async () => {
    expect(await story("vanishing")).toBe(1006);
  });

  test("a client that vanishes leaves the app with 1006", async () => {
    const before = await closedWith1006();
    await story("vanishingClient");
    await until(async () => (await closedWith1006()) === before + 1);
  });

  test("a refusal arrives as the app sent it", async () => {
    const asks = 'Basic realm="app"';
    const refusal = { statusCode: 401, body: "who are you?\n", asks, why: "no name" };
    expect(await story("refused")).toEqual(refusal);
  });

  test("a message of 16 MB comes back whole", async () => {
    expect(await story("large")).toEqual({ bytes: 16 * 1024 * 1024, same: true });
  });
});

describe.each(ENGINE_NAMES)("undici, node:http and fetch, on the %s engine", (engine) => {
  let app: ProxiedApp;
  beforeAll(async () => {
    app = await startApp(engine, "files.mjs");
  });
  afterAll(() => app[Symbol.asyncDispose]());
  const story = (name: string) => http.tell(name, app.host);
  const sums = (first: number, count: number) =>
    Array.from({ length: count }, (_, index) => sha256(madeUpBytes(first + index)));
  const HINT = { statusCode: 103, headers: { link: "</style.css>; rel=preload" } };

  testUnlessDeclared(engine, "pipelining", "undici: 10 requests in a pipeline", async () => {
    const told = (await story("pipelining")) as { sums: string[]; inFlight: number };
    expect(told.sums).toEqual(sums(1000, 200));
    // There are 2 connections: some had more than one request under way.
    expect(told.inFlight).toBeGreaterThan(2);
  });

  test("undici: 300 downloads over 50 connections arrive whole", async () => {
    expect(await story("concurrent")).toEqual(sums(100_000, 300));
  });

  test("undici: an upload of 16 MB, piece by piece, arrives whole", async () => {
    const { got, sent } = (await story("upload")) as { got: object; sent: string };
    expect(got).toMatchObject({ bytes: 16 * 1024 * 1024, sha256: sent });
    expect(got).toHaveProperty("headers.transfer-encoding", "chunked");
  });

  testUnlessDeclared(engine, "trailers", "undici: trailers arrive", async () => {
    expect(await story("trailers")).toEqual({ text: "body", trailers: { "x-sum": "42" } });
  });

  testUnlessDeclared(engine, "early hints", "undici and node:http: hints arrive", async () => {
    const told = { infos: [HINT], statusCode: 200, text: "after the hints" };
    expect(await story("hints")).toEqual(told);
    expect(await story("nodeHints")).toEqual({ infos: [HINT], text: "after the hints" });
  });

  test("undici: an aborted request ends at the app", async () => {
    expect(await story("abort")).toBe(1);
  });

  test("undici: HEAD says how long the body would be", async () => {
    expect(await story("head")).toEqual({ statusCode: 200, length: "5000000", body: "" });
  });

  test("node:http: 50 requests use one connection", async () => {
    expect(await story("keepAlive")).toEqual([false, ...Array(49).fill(true)]);
  });

  test("node:http: the body is sent after 100 Continue", async () => {
    expect(await story("expect")).toEqual({ statusCode: 200, bytes: 5 });
  });

  testUnlessDeclared(engine, "request trailers", "node:http: trailers reach the app", async () => {
    expect(await story("requestTrailers")).toEqual({ bytes: 5, trailers: { "x-sum": "42" } });
  });

  test("fetch: uploads, decompresses, and follows a redirect to the public address", async () => {
    expect(await story("fetch")).toEqual({
      upload: true,
      gzip: sha256(madeUpBytes(300_000)),
      moved: [`http://${app.host}/echo?moved`, "/echo?moved"],
    });
  });
});
