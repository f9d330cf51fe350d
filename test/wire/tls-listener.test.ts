/** TLS towards clients. */

import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { createServer } from "node:net";
import { PaastisError } from "../../src/errors.ts";
import type { EngineScript } from "../support/engine-under-test.ts";
import { ENGINES, type EngineCase } from "../support/engines.ts";
import { within } from "../support/pace.ts";
import { connectRaw } from "../support/raw-client.ts";
import { runCommand } from "../support/run-command.ts";
import { textAnswer } from "../support/scripted-handler.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { tempDir } from "../support/temp-dir.ts";
import {
  connectTls,
  FIRST,
  SECOND,
  shownCertificate,
  testCertificates,
} from "../support/tls-listener.ts";
import { until } from "../support/until.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";
import { startEcho } from "../support/websocket-peers.ts";

const GET = "GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const UNREACHABLE = "http://127.0.0.1:1";

/** An engine with a certificate that can be changed. */
function startSecure(engine: EngineCase, origin: string, script: EngineScript = {}) {
  const certificates = testCertificates();
  const proxy = engine.start(origin, { ...script, engine: { certificates, ...script.engine } });
  return { proxy, certificates, [Symbol.asyncDispose]: proxy[Symbol.asyncDispose] };
}

const own = (text: string): EngineScript => ({ admit: () => textAnswer(200, text) });

describe.each(ENGINES)("$name: TLS towards clients", (engine) => {
  test("wire: apps are told https, and their redirects come back as https", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.reply("ok", `Location: ${upstream.origin}/next\r\n`);
    });
    await using world = startSecure(engine, upstream.origin);
    using client = await connectTls(world.proxy.port);
    client.send(GET);
    await client.until(() => client.received.endsWith("ok"));
    const request = await upstream.request();
    expect(request.header("x-forwarded-proto")).toBe("https");
    expect(request.header("x-forwarded-port")).toBe("443");
    expect(client.received.toLowerCase()).toContain("location: https://shop.test/next\r\n");
  });

  test("wire: curl verifies it, over TLS 1.2 and 1.3, and uses a connection twice", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    using folder = tempDir();
    await Bun.write(folder.file("ca.pem"), FIRST.cert);
    const { port } = world.proxy;
    for (const version of [["--tlsv1.3"], ["--tls-max", "1.2"]]) {
      const { stdout } = await runCommand([
        ...["curl", "-sS", ...version, "--cacert", folder.file("ca.pem")],
        ...["--resolve", `localhost:${port}:127.0.0.1`, "-w", "%{http_version} %{num_connects}\n"],
        ...[`https://localhost:${port}/`, `https://localhost:${port}/`],
      ]);
      expect(stdout).toBe("hello1.1 1\nhello1.1 0\n");
    }
  });

  test("wire: openssl is not offered HTTP/2", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    const argv = ["openssl", "s_client", "-connect", `127.0.0.1:${world.proxy.port}`];
    const { stdout } = await runCommand([...argv, "-alpn", "h2,http/1.1"], { stdin: "" });
    const protocol = /ALPN protocol: (\S+)|No ALPN negotiated/.exec(stdout)?.[1];
    // `Bun.serve` leaves out what goes without saying.
    expect(protocol).toBe(engine.name === "fetch" ? undefined : "http/1.1");
  });

  test("wire: a large answer arrives whole at a client that reads slowly", async () => {
    const piece = Buffer.alloc(65_536, "x");
    const pieces = 160;
    await using app = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(Buffer.concat(Array.from({ length: pieces }, () => piece))),
    });
    await using world = startSecure(engine, `http://127.0.0.1:${app.port}`);
    using client = await connectTls(world.proxy.port);
    client.socket.pause();
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    await until(() => world.proxy.handler.answers.length === 1);
    client.socket.resume();
    await client.until(() => client.hasEnded);
    // Without the sizes of chunks, which fall anywhere.
    const body = client.received.slice(client.received.indexOf("\r\n\r\n"));
    expect(body.replaceAll(/[^x]+/g, "").length).toBe(pieces * piece.length);
    await until(() => world.proxy.handler.leases === 0);
  });

  test("wire: an upload is not read ahead of a target that takes nothing", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.socket.pause();
    });
    await using world = startSecure(engine, upstream.origin);
    using client = await connectTls(world.proxy.port);
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000000\r\n\r\n");
    await upstream.request();
    const piece = Buffer.alloc(1_000_000);
    let taken = 0;
    const send = () => {
      while (taken < 100_000_000 && client.socket.writableLength < 4_000_000) {
        taken += piece.length;
        client.socket.write(piece);
      }
    };
    let before = -1;
    await until(async () => {
      send();
      const isStill = before === client.tcp.bytesWritten;
      before = client.tcp.bytesWritten;
      await Bun.sleep(50);
      return isStill;
    });
    expect(taken).toBeLessThan(60_000_000);
    client.tcp.resetAndDestroy();
    await until(() => world.proxy.handler.leases === 0);
  });

  test("wire: a WebSocket goes through", async () => {
    await using app = startEcho();
    await using world = startSecure(engine, app.origin);
    const socket = new WebSocket(`wss://localhost:${world.proxy.port}/ws`, {
      tls: { rejectUnauthorized: false },
    });
    const messages: unknown[] = [];
    socket.onmessage = ({ data }) => void messages.push(data);
    socket.onopen = () => {
      socket.send("hello");
      socket.send("x".repeat(1_000_000));
    };
    const closed = new Promise<number>((resolve) => {
      socket.onclose = ({ code }) => resolve(code);
    });
    await until(() => messages.length === 2);
    expect(messages[0]).toBe("hello");
    expect(messages[1]).toHaveLength(1_000_000);
    socket.send("close:4001:bye");
    expect(await closed).toBe(4001);
    await until(() => world.proxy.handler.leases === 0 && world.proxy.engine.inFlight === 0);
    expect(world.proxy.handler.doubles).toBe(0);
  });

  test("wire: a client that leaves ends its request", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using world = startSecure(engine, upstream.origin);
    for (const how of ["destroy", "resetAndDestroy"] as const) {
      const client = await connectTls(world.proxy.port);
      client.send(GET);
      await until(() => world.proxy.handler.leases === 1);
      client.tcp[how]();
      await until(() => world.proxy.handler.leases === 0);
    }
    expect(world.proxy.handler.doubles).toBe(0);
  });

  test("wire: whoever speaks no TLS is hung up on, and nobody else suffers", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    const garbage = Buffer.alloc(1_000_000, 0xff);
    const greetings = [GET, garbage, "\x16\x03\x01\x00\x05hello", "\x16\x03\x01\xff\xff"];
    for (const greeting of greetings) {
      const client = await connectRaw(world.proxy.port);
      client.send(greeting);
      if (greeting === greetings.at(-1)) client.end();
      await client.until(() => client.isClosed);
      expect(client.received).not.toContain("HTTP");
    }
    expect(world.proxy.handler.heads).toEqual([]);
    expect(world.proxy.logged.filter(({ level }) => level !== "debug")).toEqual([]);
    using client = await connectTls(world.proxy.port);
    client.send(GET);
    await client.until(() => client.received.endsWith("hello"));
  });

  test("wire: new connections are shown the new certificate; what is under way goes on", async () => {
    const { promise: end, resolve: finish } = Promise.withResolvers<void>();
    async function* pieces() {
      yield "first ";
      await end;
      yield "second";
    }
    await using app = startEcho();
    await using world = startSecure(engine, app.origin, {
      admit: (head, handler) =>
        head.target === "/stream"
          ? { kind: "answer", answer: { status: 200, headers: [], body: pieces() } }
          : handler.exchange(head),
    });
    const { proxy, certificates } = world;
    const fingerprints = [FIRST, SECOND].map(
      ({ cert }) => new X509Certificate(cert).fingerprint256,
    );
    using streaming = await connectTls(proxy.port);
    streaming.send(GET.replace("/a?b=c", "/stream"));
    await streaming.until(() => streaming.received.includes("first "));
    const socket = new WebSocket(`wss://localhost:${proxy.port}/ws`, {
      tls: { rejectUnauthorized: false },
    });
    const messages: unknown[] = [];
    socket.onmessage = ({ data }) => void messages.push(data);
    await new Promise((resolve) => {
      socket.onopen = resolve;
    });
    expect(await shownCertificate(proxy.port)).toBe(fingerprints[0] ?? "");

    certificates.change(SECOND);
    for (let round = 0; round < 5; round += 1) {
      expect(await shownCertificate(proxy.port)).toBe(fingerprints[1] ?? "");
    }
    expect(proxy.engine.inFlight).toBe(2);
    socket.send("still there");
    await until(() => messages.includes("still there"));
    finish();
    await streaming.until(() => streaming.received.includes("second"));
    // And back again, while the socket is still on the oldest.
    certificates.change(FIRST);
    expect(await shownCertificate(proxy.port)).toBe(fingerprints[0] ?? "");
    await until(() => proxy.engine.inFlight === 1);

    const closed = new Promise<number>((resolve) => {
      socket.onclose = ({ code }) => resolve(code);
    });
    await proxy.engine.stop(2_000);
    expect(await closed).toBe(1001);
    await until(() => proxy.handler.leases === 0);
    expect(proxy.handler.doubles).toBe(0);
    await expect(connectTls(proxy.port)).rejects.toThrow();
  });

  test("wire: stop(0) cuts what is on a server with an old certificate too", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using world = startSecure(engine, upstream.origin);
    using client = await connectTls(world.proxy.port);
    client.send(GET);
    await upstream.request();
    world.certificates.change(SECOND);
    await world.proxy.engine.stop(0);
    await client.until(() => client.isClosed || client.hasEnded);
    await until(() => world.proxy.handler.leases === 0);
  });

  test("wire: a request on an old connection is complete after a change, and gives its lease back", async () => {
    const { promise: going, resolve: go } = Promise.withResolvers<void>();
    await using app = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch() {
        await going;
        return new Response("late");
      },
    });
    await using world = startSecure(engine, `http://127.0.0.1:${app.port}`);
    using client = await connectTls(world.proxy.port);
    client.send(GET);
    await until(() => world.proxy.handler.leases === 1);
    world.certificates.change(SECOND);
    expect(world.proxy.handler.leases).toBe(1);
    go();
    await client.until(() => client.received.endsWith("late"));
    expect(world.proxy.handler.heads[0]?.clientAddress).toBe("127.0.0.1");
    await until(() => world.proxy.handler.leases === 0);
  });

  test("wire: a port that another program has is refused", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    const taken = () => startSecure(engine, UNREACHABLE, { engine: { port } });
    expect(taken).toThrow(PaastisError);
    expect(taken).toThrow(`another program listens on port ${port} already`);
    other.close();
    await using world = startSecure(engine, UNREACHABLE);
    const again = () => startSecure(engine, UNREACHABLE, { engine: { port: world.proxy.port } });
    expect(again).toThrow(PaastisError);
  });

  test("wire: stop() lets answers finish and ends idle connections with a goodbye", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    using idle = await connectTls(world.proxy.port);
    idle.send(GET);
    await idle.until(() => idle.received.endsWith("hello"));
    const startMs = performance.now();
    await world.proxy.engine.stop(5_000);
    expect(performance.now() - startMs).toBeLessThan(within(1_000));
    await idle.until(() => idle.hasEnded);
    expect(idle.errors).toEqual([]);
  });
});

describe("socket: TLS connections", () => {
  const socketEngine = ENGINES.filter(({ name }) => name === "socket");
  const [engine] = socketEngine;
  if (engine === undefined) throw new Error("there is no socket engine");

  test("wire: a client that ends its side is asked whether it still reads, and answered", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    const clock = createVirtualClock();
    await using world = startSecure(engine, upstream.origin, { engine: { clock } });
    using client = await connectTls(world.proxy.port, { allowHalfOpen: true });
    client.send(GET);
    const request = await upstream.request();
    client.socket.end();
    await until(async () => {
      await clock.advance(250);
      return client.received.includes("100 Continue");
    });
    await clock.advance(700_000);
    request.reply("late");
    await client.until(() => client.received.endsWith("late") && client.hasEnded);
    await until(() => world.proxy.handler.leases === 0);
    expect(world.proxy.handler.doubles).toBe(0);
  });

  test("wire: a client that does not take leave is no longer there for us", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    using client = await connectTls(world.proxy.port, { allowHalfOpen: true });
    client.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    await client.until(() => client.received.endsWith("hello") && client.hasEnded);
    // Its side is open, and stays so: were ours too, this would take as long as is allowed.
    const startMs = performance.now();
    await world.proxy.engine.stop(5_000);
    expect(performance.now() - startMs).toBeLessThan(within(1_000));
  });

  test("wire: a handshake that is not complete in time ends the connection", async () => {
    await using world = startSecure(engine, UNREACHABLE, {
      engine: { limits: { headersTimeoutMs: 200 } },
    });
    const startMs = performance.now();
    using mute = await connectRaw(world.proxy.port);
    using slow = await connectRaw(world.proxy.port);
    slow.send("\x16\x03\x01\x02\x00");
    await Promise.all([mute, slow].map((client) => client.until(() => client.isClosed)));
    expect(performance.now() - startMs).toBeGreaterThan(150);
    const { logged } = world.proxy;
    expect(logged.map(({ level, message }) => [level, message])).toEqual([
      ["debug", "a client did not come to speak TLS"],
      ["debug", "a client did not come to speak TLS"],
    ]);
  });

  test("wire: plain HTTP costs one line of debug", async () => {
    await using world = startSecure(engine, UNREACHABLE);
    using client = await connectRaw(world.proxy.port);
    client.send(GET);
    await client.until(() => client.isClosed);
    expect(world.proxy.logged).toHaveLength(1);
    expect(world.proxy.logged[0]).toMatchObject({
      level: "debug",
      fields: { client: "127.0.0.1" },
    });
    expect(String(world.proxy.logged[0]?.fields.reason)).toContain("HTTP_REQUEST");
  });

  test("wire: handshakes under way do not hold up the end", async () => {
    await using world = startSecure(engine, UNREACHABLE);
    using mute = await connectRaw(world.proxy.port);
    // Behind it, so the first has been taken in.
    expect(await shownCertificate(world.proxy.port)).not.toBe("none");
    const startMs = performance.now();
    await world.proxy.engine.stop(5_000);
    expect(performance.now() - startMs).toBeLessThan(within(1_000));
    await mute.until(() => mute.isClosed);
  });

  test("wire: a broken-off answer looks broken off", async () => {
    using upstream = await startScriptedUpstream((request) => {
      request.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      request.end();
    });
    await using world = startSecure(engine, upstream.origin);
    using client = await connectTls(world.proxy.port);
    client.send(GET);
    await client.until(() => client.isClosed);
    expect(client.received).toEndWith("half");
    expect(client.received).toContain("Content-Length: 100");
  });

  test("wire: a refused upload is answered although the client goes on sending", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("no, thanks"));
    using client = await connectTls(world.proxy.port);
    client.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4000000\r\n\r\n");
    for (let round = 0; round < 40; round += 1) client.send(Buffer.alloc(100_000));
    await client.until(() => client.received.endsWith("no, thanks") && client.isClosed);
  });

  test("wire: garbage in the middle of a request ends it", async () => {
    using upstream = await startScriptedUpstream(() => undefined);
    await using world = startSecure(engine, upstream.origin);
    using client = await connectTls(world.proxy.port);
    client.send(GET);
    await until(() => world.proxy.handler.leases === 1);
    client.tcp.write(Buffer.alloc(100_000, 0x55));
    await until(() => world.proxy.handler.leases === 0 && client.isClosed);
    expect(world.proxy.handler.doubles).toBe(0);
  });

  test("wire: connections that end in the middle of anything leave nothing behind", async () => {
    using upstream = await startScriptedUpstream((request) => {
      if (request.target === "/answer") request.reply("x".repeat(100_000));
    });
    // However long so many handshakes take together.
    const limits = { headersTimeoutMs: 60_000 };
    await using world = startSecure(engine, upstream.origin, { engine: { limits } });
    const { proxy } = world;
    const ends = ["destroy", "resetAndDestroy", "end"] as const;
    await Promise.all(
      Array.from({ length: 90 }, async (_, index) => {
        const end = ends[index % ends.length] ?? "end";
        if (index % 2 === 0) {
          const client = await connectRaw(proxy.port);
          client.send("\x16\x03\x01\x02\x00".slice(0, index % 6));
          return end === "resetAndDestroy" ? client.reset() : client.end();
        }
        const client = await connectTls(proxy.port);
        if (index % 5 > 0) client.send(GET.replace("/a?b=c", index % 5 > 2 ? "/answer" : "/wait"));
        if (index % 5 > 3) await client.until(() => client.received.length > 0);
        client.tcp[end]();
        // It has left by then: one that only ended its side would still wait for its answer.
        if (end === "end") client[Symbol.dispose]();
      }),
    );
    await until(() => proxy.handler.leases === 0);
    const startMs = performance.now();
    await proxy.engine.stop(5_000);
    expect(performance.now() - startMs).toBeLessThan(within(1_000));
    expect(proxy.handler.doubles).toBe(0);
    expect(proxy.logged.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("wire: a certificate that the runtime refuses ends connections, not the program", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    world.certificates.change({ cert: FIRST.cert, key: "no key" });
    using client = await connectRaw(world.proxy.port);
    await client.until(() => client.isClosed);
    expect(world.proxy.logged.map(({ level }) => level)).toEqual(["error"]);
    world.certificates.change(SECOND);
    expect(await shownCertificate(world.proxy.port)).not.toBe("none");
  });
});

describe("fetch: TLS connections", () => {
  const [engine] = ENGINES.filter(({ name }) => name === "fetch");
  if (engine === undefined) throw new Error("there is no fetch engine");

  test("wire: a certificate that the runtime refuses leaves the old one in use", async () => {
    await using world = startSecure(engine, UNREACHABLE, own("hello"));
    const before = await shownCertificate(world.proxy.port);
    world.certificates.change({ cert: FIRST.cert, key: "no key" });
    expect(world.proxy.logged.map(({ level }) => level)).toEqual(["error"]);
    expect(await shownCertificate(world.proxy.port)).toBe(before);
    world.certificates.change(SECOND);
    expect(await shownCertificate(world.proxy.port)).not.toBe(before);
  });
});
