/** Targets that listen on a unix socket. */

import { describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { createServer } from "node:net";
import { targetOf } from "../../src/app.ts";
import { ENGINES, type EngineCase } from "../support/engines.ts";
import { exchangeRaw } from "../support/raw-client.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;

/** An app at a path: says what it was asked, counts what it gets, echoes messages. */
function startAt(path: string) {
  const server = Bun.serve({
    unix: path,
    async fetch(request, self) {
      if (request.headers.get("upgrade") === "websocket") {
        self.upgrade(request);
        return;
      }
      if (request.method === "POST") return new Response(String((await request.bytes()).length));
      const { pathname, search } = new URL(request.url);
      const host = request.headers.get("host");
      return new Response(`${path} ${pathname}${search} ${host}`);
    },
    websocket: { message: (socket, message) => void socket.send(`${path} ${message}`) },
  });
  return { path, [Symbol.asyncDispose]: () => server.stop(true) };
}

/** The request's path names the socket that it goes to. */
function startEngine(engine: EngineCase, pathOf: (name: string) => string) {
  return engine.start("http://127.0.0.1:1", {
    admit: (head, handler) =>
      handler.exchange(head, targetOf(`unix:${pathOf(head.target.split("/")[1] ?? "")}`)),
  });
}

describe.each(ENGINES)("$name: targets on unix sockets", (engine) => {
  test("unix: a request and its body reach the app, which is called localhost", async () => {
    using folder = tempDir();
    await using app = startAt(folder.file("a.sock"));
    await using proxy = startEngine(engine, folder.file);
    const answer = await exchangeRaw(proxy.port, get("/a.sock/x?y=1"));
    expect(answer.body).toBe(`${app.path} /a.sock/x?y=1 localhost`);
    const body = "x".repeat(300_000);
    const post = `POST /a.sock HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`;
    expect((await exchangeRaw(proxy.port, post + body)).body).toBe("300000");
    await until(() => proxy.handler.leases === 0);
  });

  test("unix: connections to different sockets are never mixed up", async () => {
    using folder = tempDir();
    await using _one = startAt(folder.file("one"));
    await using _two = startAt(folder.file("two"));
    await using proxy = startEngine(engine, folder.file);
    for (let round = 0; round < 3; round += 1) {
      for (const name of ["one", "two"]) {
        const { body } = await exchangeRaw(proxy.port, get(`/${name}`));
        expect(body).toBe(`${folder.file(name)} /${name} localhost`);
      }
    }
  });

  test("unix: a WebSocket is carried", async () => {
    using folder = tempDir();
    await using app = startAt(folder.file("a.sock"));
    await using proxy = startEngine(engine, folder.file);
    const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/a.sock`);
    const messages: string[] = [];
    socket.onmessage = ({ data }) => void messages.push(String(data));
    socket.onopen = () => socket.send("hello");
    await until(() => messages.length === 1);
    expect(messages).toEqual([`${app.path} hello`]);
    socket.close();
    await until(() => proxy.handler.leases === 0);
  });

  test("unix: a path where there is no socket, or nobody listens, is unreachable", async () => {
    using folder = tempDir();
    await Bun.write(folder.file("file"), "");
    await using proxy = startEngine(engine, folder.file);
    for (const name of ["nothing", "file"]) {
      expect((await exchangeRaw(proxy.port, get(`/${name}`))).body).toBe("unreachable");
    }
    const failures = proxy.handler.failures.map(({ kind, replayable }) => [kind, replayable]);
    expect(failures).toEqual([
      ["unreachable", true],
      ["unreachable", true],
    ]);
    await until(() => proxy.handler.leases === 0);
  });
});

describe("socket: targets on unix sockets", () => {
  const [, engine] = ENGINES;
  if (engine === undefined) throw new Error("There is no socket engine");

  test("unix: the failure names the path and what is the matter", async () => {
    using folder = tempDir();
    await Bun.write(folder.file("file"), "");
    await using proxy = startEngine(engine, folder.file);
    const long = "x".repeat(200);
    for (const name of ["nothing", "file", long]) await exchangeRaw(proxy.port, get(`/${name}`));
    expect(proxy.handler.failures.map(({ message }) => message)).toEqual([
      `there is no socket ${folder.file("nothing")} (ENOENT)`,
      `nobody listens on the socket ${folder.file("file")} (ECONNREFUSED)`,
      `the system takes no socket with so long a path: ${folder.file(long)} (EINVAL)`,
    ]);
  });

  // Nothing is forbidden to root.
  test.skipIf(process.getuid?.() === 0)(
    "unix: a socket that is not for us is said so",
    async () => {
      using folder = tempDir();
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(folder.file("private"), resolve));
      chmodSync(folder.file("private"), 0);
      await using proxy = startEngine(engine, folder.file);
      expect((await exchangeRaw(proxy.port, get("/private"))).body).toBe("unreachable");
      expect(proxy.handler.failures[0]?.message).toContain("may not connect to the socket");
      server.close();
    },
  );
});
