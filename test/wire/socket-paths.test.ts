/** Apps on unix sockets: what they are asked for, and paths that a URL would change. */

import { describe, expect, test } from "bun:test";
import { ENGINES } from "../support/engines.ts";
import { exchangeRaw } from "../support/raw-client.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";
import { isReleased, open } from "../support/websocket-peers.ts";
import { FETCH_EXCEPTIONS } from "./exceptions.ts";

const ODD = "a b:c%20é?#.sock";

/** An app that refuses WebSockets at `/denied`, and redirects everything else that is none. */
function startOn(path: string) {
  const state = { requests: 0 };
  const server = Bun.serve({
    unix: path,
    fetch(request, self) {
      state.requests += 1;
      const { pathname, search } = new URL(request.url);
      if (pathname === "/denied") return new Response("denied", { status: 403 });
      if (self.upgrade(request)) return;
      return new Response(pathname + search, { headers: { location: "http://localhost/next" } });
    },
    websocket: { message: (socket, message) => void socket.send(message) },
  });
  return { state, [Symbol.asyncDispose]: () => server.stop(true) };
}

function asking(target: string, extra = ""): string {
  return `GET ${target} HTTP/1.1\r\nHost: shop.test\r\n${extra}\r\n`;
}

async function echo(port: number): Promise<void> {
  const { socket, messages, closed } = await open(port);
  socket.send("hello");
  await until(() => messages.length > 0);
  expect(messages).toEqual(["hello"]);
  socket.close();
  await closed;
}

describe.each(ENGINES)("$name: paths of unix sockets", (engine) => {
  test("wire: the target's colons stay in it, and redirects to its origin become the public one's", async () => {
    using folder = tempDir();
    const path = folder.file("app.sock");
    await using app = startOn(path);
    await using proxy = engine.start(`unix:${path}`);
    const answer = await exchangeRaw(proxy.port, asking("/a:b?c=:d"));
    expect(answer.body).toBe("/a:b?c=:d");
    expect(answer.header("location")).toBe("http://shop.test/next");
    const upgrade =
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const refusal = await exchangeRaw(proxy.port, asking("/denied", upgrade));
    expect(refusal).toMatchObject({ status: 403, body: "denied" });
    expect(app.state.requests).toBe(2);
    await isReleased(proxy);
  });

  test("wire: a path with odd characters is reached", async () => {
    using folder = tempDir();
    const path = folder.file(ODD);
    await using app = startOn(path);
    await using proxy = engine.start(`unix:${path}`);
    expect((await exchangeRaw(proxy.port, asking("/"))).body).toBe("/");
    expect(app.state.requests).toBe(1);
  });

  const limit = FETCH_EXCEPTIONS["odd socket paths"];
  const what = engine.name === "fetch" ? `is refused with its reason (${limit})` : "works";
  test(`wire: a WebSocket at a path with odd characters ${what}`, async () => {
    using folder = tempDir();
    const path = folder.file(ODD);
    await using app = startOn(path);
    await using proxy = engine.start(`unix:${path}`);
    if (engine.name === "fetch") {
      await expect(open(proxy.port)).rejects.toThrow("not opened");
      expect(proxy.handler.failures).toMatchObject([{ kind: "broken" }]);
      expect(proxy.handler.failures[0]?.message).toContain(path);
      expect(app.state.requests).toBe(0);
    } else {
      await echo(proxy.port);
    }
    await isReleased(proxy);
  });
});
