/** HTTP/2 towards clients, which the fetch engine can. */

import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { type ClientHttp2Session, connect, constants, type OutgoingHttpHeaders } from "node:http2";
import { createFetchEngine } from "../../src/engines/fetch.ts";
import { type EngineScript, startEngine } from "../support/engine-under-test.ts";
import { runCommand } from "../support/run-command.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { tempDir } from "../support/temp-dir.ts";
import { FIRST, SECOND, shownCertificate, testCertificates } from "../support/tls-listener.ts";
import { until } from "../support/until.ts";
import { startEcho } from "../support/websocket-peers.ts";

const UNREACHABLE = "http://127.0.0.1:1";

function start(origin: string, script: EngineScript = {}) {
  const certificates = testCertificates();
  const { limits, ...engine } = script.engine ?? {};
  const proxy = startEngine(createFetchEngine, origin, {
    ...script,
    engine: { certificates, ...engine, limits: { http2: true, ...limits } },
  });
  const session = connect(`https://127.0.0.1:${proxy.port}`, { rejectUnauthorized: false });
  const errors: string[] = [];
  session.on("error", (error) => void errors.push(error.message));
  return {
    proxy,
    certificates,
    session,
    errors,
    isReleased: () => until(() => proxy.handler.leases === 0 && proxy.handler.doubles === 0, 5_000),
    async [Symbol.asyncDispose]() {
      session.destroy();
      await proxy.engine.stop(0);
    },
  };
}

/** One request; its answer may still be coming. */
function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: Uint8Array | null = null,
) {
  const stream = session.request(
    { ":authority": "shop.test", ":path": "/", ...headers },
    { endStream: body === null },
  );
  const state = { bytes: 0, isOver: false, hash: createHash("sha256"), text: "" };
  const head = Promise.withResolvers<Record<string, unknown>>();
  stream.on("response", (found) => head.resolve(found));
  stream.on("data", (data: Buffer) => {
    state.bytes += data.length;
    state.hash.update(data);
    if (state.bytes < 10_000) state.text += data.toString("latin1");
  });
  const over = Promise.withResolvers<number>();
  stream.on("error", () => undefined);
  stream.on("close", () => {
    state.isOver = true;
    over.resolve(stream.rstCode ?? 0);
  });
  if (body !== null) stream.end(body);
  return { stream, state, head: head.promise, over: over.promise };
}

describe("fetch: HTTP/2 towards clients", () => {
  test("wire: curl gets it, and HTTP/1.1 where it asks for that", async () => {
    await using world = start(UNREACHABLE, { admit: () => textAnswer(200, "hello") });
    using folder = tempDir();
    await Bun.write(folder.file("ca.pem"), FIRST.cert);
    const { port } = world.proxy;
    for (const [flag, version] of [
      ["--http2", "2"],
      ["--http1.1", "1.1"],
    ] as const) {
      const { stdout } = await runCommand([
        ...["curl", "-sS", flag, "--cacert", folder.file("ca.pem"), "-w", " %{http_version}"],
        ...["--resolve", `localhost:${port}:127.0.0.1`, `https://localhost:${port}/`],
      ]);
      expect(stdout).toBe(`hello ${version}`);
    }
  });

  test("wire: the app gets an HTTP/1.1 request for the authority, its cookies joined", async () => {
    using upstream = await startScriptedUpstream((request) =>
      request.reply(
        "ok",
        "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: x-hop\r\nX-Hop: 1\r\n",
      ),
    );
    await using world = start(upstream.origin);
    const answer = ask(world.session, {
      ":path": "/a//b?c=%2F",
      cookie: ["x=1", "y=2; z=3"],
      "x-thing": "1",
      te: "trailers",
    });
    const head = await answer.head;
    expect(await answer.over).toBe(0);
    expect(head).toMatchObject({ ":status": 200, "set-cookie": ["a=1", "b=2"] });
    expect(Object.keys(head)).not.toContain("x-hop");
    expect(answer.state.text).toBe("ok");
    const request = await upstream.request();
    expect(request.target).toBe("/a//b?c=%2F");
    expect(request.header("cookie")).toBe("x=1; y=2; z=3");
    expect(request.header("x-thing")).toBe("1");
    expect(request.header("x-forwarded-host")).toBe("shop.test");
    expect(request.header("x-forwarded-proto")).toBe("https");
    expect(request.header("x-forwarded-for")).toBe("127.0.0.1");
    expect(world.proxy.handler.heads[0]?.host).toBe("shop.test");
    await world.isReleased();
  });

  test("wire: bodies go both ways, with and without a length, many at once", async () => {
    await using app = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const how = request.headers.has("content-length") ? "length" : "chunked";
        const body = new Uint8Array(await request.arrayBuffer());
        return new Response(body, { headers: { "x-how": how } });
      },
    });
    await using world = start(`http://127.0.0.1:${app.port}`);
    const bodies = [0, 1, 1000, 16_384, 70_000, 300_000].map((size) =>
      crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536))),
    );
    await Promise.all(
      bodies.flatMap((body) =>
        [{}, { "content-length": String(body.length) }].map(async (extra) => {
          const answer = ask(world.session, { ":method": "PUT", ...extra }, body);
          expect(await answer.head).toMatchObject({ ":status": 200 });
          expect(await answer.over).toBe(0);
          expect(answer.state.bytes).toBe(body.length);
          const sent = createHash("sha256").update(body).digest("hex");
          expect(answer.state.hash.digest("hex")).toBe(sent);
        }),
      ),
    );
    expect(world.proxy.handler.answers).toHaveLength(2 * bodies.length);
    await world.isReleased();
  });

  test("wire: HEAD, 204 and 304 have no body", async () => {
    using upstream = await startScriptedUpstream((request) => {
      const status = request.target.slice(1);
      if (request.method === "HEAD") {
        return request.write("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
      }
      request.write(`HTTP/1.1 ${status} X\r\nETag: "1"\r\n\r\n`);
    });
    await using world = start(upstream.origin);
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 304],
    ] as const) {
      const answer = ask(world.session, { ":method": method, ":path": `/${status}` });
      expect(await answer.head).toMatchObject({ ":status": status });
      expect(await answer.over).toBe(0);
      expect(answer.state.bytes).toBe(0);
    }
    await world.isReleased();
  });

  test("wire: an event stream arrives event by event", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    });
    await using world = start(upstream.origin);
    const answer = ask(world.session, {});
    await until(() => answer.state.text.endsWith("data: 1\n\n"));
    const request = await upstream.request();
    request.write("data: 2\n\n");
    await until(() => answer.state.text.endsWith("data: 2\n\n"));
    request.end();
    expect(await answer.over).toBe(0);
    await world.isReleased();
  });

  test("wire: a large download arrives whole, also at a client that reads slowly", async () => {
    const size = 24 * 1024 * 1024;
    const bytes = Buffer.alloc(size, "paastis ");
    await using app = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(bytes),
    });
    await using world = start(`http://127.0.0.1:${app.port}`);
    const slow = ask(world.session, {});
    slow.stream.pause();
    const fast = ask(world.session, {});
    expect(await fast.over).toBe(0);
    expect(fast.state.bytes).toBe(size);
    slow.stream.resume();
    expect(await slow.over).toBe(0);
    expect(slow.state.hash.digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
    await world.isReleased();
  });

  test("wire: a client that resets its stream, or leaves, ends the app's request", async () => {
    using upstream = await startScriptedUpstream((request) => {
      if (request.target === "/begun") {
        request.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      }
    });
    await using world = start(upstream.origin);
    const silent = ask(world.session, { ":path": "/silent" });
    const begun = ask(world.session, { ":path": "/begun" });
    await begun.head;
    await until(() => world.proxy.handler.leases === 2);
    silent.stream.close(constants.NGHTTP2_CANCEL);
    await until(() => world.proxy.handler.leases === 1);
    begun.stream.close(constants.NGHTTP2_CANCEL);
    await until(() => world.proxy.handler.leases === 0);
    const last = ask(world.session, { ":path": "/last" });
    await until(() => world.proxy.handler.leases === 1);
    world.session.destroy();
    await last.over;
    await world.isReleased();
  });

  test("wire: a broken-off answer resets its stream, and no other", async () => {
    using upstream = await startScriptedUpstream((request) => {
      if (request.target === "/whole") return request.reply("whole");
      request.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    await using world = start(upstream.origin);
    const broken = ask(world.session, { ":path": "/broken" });
    await until(() => broken.state.text === "half");
    (await upstream.request()).reset();
    expect(await broken.over).not.toBe(0);
    const whole = ask(world.session, { ":path": "/whole" });
    expect(await whole.over).toBe(0);
    expect(whole.state.text).toBe("whole");
    await world.isReleased();
  });

  test("wire: a held request goes on when its app is awake; who leaves is forgotten", async () => {
    using upstream = await startScriptedUpstream(async (request) => {
      await request.complete();
      request.reply(request.body);
    });
    const holds: (() => void)[] = [];
    await using world = start(upstream.origin, {
      admit(head, handler) {
        const held = handler.hold();
        holds.push(() => held.decide(handler.exchange(head)));
        return held.admission;
      },
    });
    const waiting = ask(world.session, { ":method": "POST" }, Buffer.from("body"));
    const leaving = ask(world.session, {});
    await until(() => holds.length === 2);
    leaving.stream.close(constants.NGHTTP2_CANCEL);
    await until(() => world.proxy.handler.abandoned === 1);
    holds[0]?.();
    expect(await waiting.over).toBe(0);
    expect(waiting.state.text).toBe("body");
    await world.isReleased();
  });

  test("wire: a body on GET is refused where a length announces it", async () => {
    using upstream = await startScriptedUpstream();
    await using world = start(upstream.origin);
    const announced = ask(world.session, { "content-length": "4" }, Buffer.from("body"));
    expect(await announced.head).toMatchObject({ ":status": 400 });
    expect(upstream.requests).toEqual([]);
    // A limit: Bun shows no body of a GET, so one that nothing announces is lost.
    const silent = ask(world.session, {}, Buffer.from("body"));
    expect(await silent.head).toMatchObject({ ":status": 200 });
    const request = await upstream.request();
    expect([request.header("content-length"), request.body]).toEqual([null, ""]);
  });

  test("wire: a WebSocket beside it goes by HTTP/1.1", async () => {
    await using app = startEcho();
    await using world = start(app.origin);
    const socket = new WebSocket(`wss://localhost:${world.proxy.port}/ws`, {
      tls: { rejectUnauthorized: false },
    });
    const messages: unknown[] = [];
    socket.onmessage = ({ data }) => void messages.push(data);
    socket.onopen = () => socket.send("hello");
    await until(() => messages.length === 1);
    socket.close();
    await world.isReleased();
  });

  test("wire: a new certificate lets streams finish on the old connection", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using world = start(upstream.origin);
    const waiting = ask(world.session, {});
    const request = await upstream.request();
    const before = await shownCertificate(world.proxy.port);
    world.certificates.change(SECOND);
    expect(await shownCertificate(world.proxy.port)).not.toBe(before);
    request.reply("late");
    expect(await waiting.over).toBe(0);
    expect(waiting.state.text).toBe("late");
    // It was told to go elsewhere with the next request.
    await until(() => world.session.closed || world.session.destroyed);
    expect(world.errors).toEqual([]);
    await world.isReleased();
  });

  test("wire: stop() lets streams finish", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using world = start(upstream.origin);
    const waiting = ask(world.session, {});
    const request = await upstream.request();
    const stopped = world.proxy.engine.stop(5_000);
    request.reply("late");
    expect(await waiting.over).toBe(0);
    expect(waiting.state.text).toBe("late");
    await stopped;
    expect(world.proxy.handler.leases).toBe(0);
  });

  test("wire: without the setting there is none", async () => {
    await using world = start(UNREACHABLE, { engine: { limits: { http2: false } } });
    // It is told at once; that it ends comes a moment later.
    await until(() => world.session.destroyed);
    expect(world.errors[0]).toContain("h2 is not supported");
  });
});
