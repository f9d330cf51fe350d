/** Targets that speak TLS. */

import { describe, expect, test } from "bun:test";
import { CERTIFICATE, PRIVATE_KEY } from "../support/certificate.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";

const get = (rest: string) => `GET ${rest} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;

function startSecure() {
  const state = { requests: 0, connections: new Set<string>() };
  const big = Buffer.alloc(3_000_000, "0123456789abcdefg");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: CERTIFICATE, key: PRIVATE_KEY },
    async fetch(request, self) {
      state.requests += 1;
      state.connections.add(String(self.requestIP(request)?.port));
      if (request.method === "POST") return new Response(String((await request.bytes()).length));
      return new Response(request.url.endsWith("/big") ? big : request.headers.get("host"));
    },
  });
  return {
    port: server.port,
    big,
    state,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

describe("socket: TLS to targets", () => {
  test("wire: a target with a good certificate is reached under its own name, and kept", async () => {
    await using app = startSecure();
    const origin = `https://localhost:${app.port}`;
    await using proxy = startSocketEngine(origin, { engine: { upstreamCa: CERTIFICATE } });
    using client = await connectRaw(proxy.port);
    for (let round = 0; round < 3; round += 1) {
      client.send(get("/"));
      expect((await client.answer()).body).toBe(`localhost:${app.port}`);
    }
    expect(app.state.connections.size).toBe(1);
    client.send(get("/big"));
    expect((await client.answer()).body === app.big.toString("latin1")).toBe(true);
    client.send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${app.big.length}\r\n\r\n`);
    client.send(app.big);
    expect((await client.answer()).body).toBe(String(app.big.length));
  });

  const bad: readonly [what: string, host: string, ca: string | undefined, why: string][] = [
    ["that nobody vouches for", "localhost", undefined, "certificate"],
    ["for another name", "127.0.0.1", CERTIFICATE, "altnames"],
  ];
  test.each(bad)(
    "wire: a certificate %s is refused before a byte is sent",
    async (_, host, ca, why) => {
      await using app = startSecure();
      await using proxy = startSocketEngine(`https://${host}:${app.port}`, {
        engine: ca === undefined ? {} : { upstreamCa: ca },
      });
      expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("unreachable");
      expect(proxy.handler.failures).toMatchObject([{ kind: "unreachable", replayable: true }]);
      expect(proxy.handler.failures[0]?.message).toContain(why);
      expect(app.state.requests).toBe(0);
    },
  );

  test("wire: a target that does not speak TLS is unreachable", async () => {
    using upstream = await startScriptedUpstream();
    const origin = `https://localhost:${upstream.port}`;
    await using proxy = startSocketEngine(origin, { engine: { connectTimeoutMs: 100 } });
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("unreachable");
    await until(() => upstream.open === 0);
  });
});
