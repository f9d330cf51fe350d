/** Targets that speak TLS. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import type { Policy } from "../../src/app.ts";
import { CERTIFICATE, PRIVATE_KEY } from "../support/certificate.ts";
import { connectRaw, exchangeRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { startScriptedUpstream } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { tempDir } from "../support/temp-dir.ts";
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
    await using proxy = startSocketEngine(origin, { policy: { tlsCa: CERTIFICATE } });
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

  const bad: readonly [what: string, host: string, ca: string | null, why: string][] = [
    ["that nobody vouches for", "localhost", null, "certificate"],
    ["for another name", "127.0.0.1", CERTIFICATE, "altnames"],
  ];
  test.each(bad)(
    "wire: a certificate %s is refused before a byte is sent",
    async (_, host, ca, why) => {
      await using app = startSecure();
      await using proxy = startSocketEngine(`https://${host}:${app.port}`, {
        policy: { tlsCa: ca },
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
    await using proxy = startSocketEngine(origin, {
      engine: { upstream: { connectTimeoutMs: 100 } },
    });
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("unreachable");
    await until(() => upstream.open === 0);
  });

  test("wire: without tls_verify any certificate will do, and the target is still told its name", async () => {
    const names: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const server = createServer({
      cert: CERTIFICATE,
      key: PRIVATE_KEY,
      SNICallback(name, callback) {
        names.push(name);
        callback(null);
      },
    }).listen(0, "127.0.0.1", resolve);
    server.on("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    await promise;
    try {
      for (const host of ["localhost", "127.0.0.1"]) {
        await using proxy = startSocketEngine(`https://${host}:${portOf(server)}`, {
          policy: { tlsVerify: false },
        });
        expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("ok");
      }
      expect(names[0]).toBe("localhost");
    } finally {
      server.close();
    }
  });

  test("wire: without tls_verify a target that does not speak TLS is unreachable all the same", async () => {
    using upstream = await startScriptedUpstream();
    using rude = await startRawUpstream((connection) =>
      connection.write("HTTP/1.1 400 No\r\n\r\n"),
    );
    for (const origin of [upstream.origin, rude.origin]) {
      await using proxy = startSocketEngine(origin.replace("http:", "https:"), {
        policy: { tlsVerify: false },
        engine: { upstream: { connectTimeoutMs: 200 } },
      });
      expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("unreachable");
    }
  });

  test("wire: a connection is never shared with an app that trusts somebody else", async () => {
    await using app = startSecure();
    const policies: Record<string, Partial<Policy>> = {
      "/careless": { tlsVerify: false },
      "/knowing": { tlsCa: CERTIFICATE },
      "/knowing-too": { tlsCa: `${CERTIFICATE}\n` },
      "/strict": {},
    };
    await using proxy = startSocketEngine(`https://localhost:${app.port}`, {
      admit(head, handler) {
        const exchange = handler.exchange(head);
        const policy = { ...exchange.app.policy, ...policies[head.target] };
        return Object.assign(exchange, { app: { ...exchange.app, policy } });
      },
    });
    const bodies: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      for (const target of Object.keys(policies)) {
        bodies.push((await exchangeRaw(proxy.port, get(target))).body);
      }
    }
    const good = `localhost:${app.port}`;
    const once = [good, good, good, "unreachable"];
    expect(bodies).toEqual([...once, ...once]);
    // In the second round all but the strict one had a connection of their own to use again.
    expect(app.state.connections.size).toBe(3);
  });

  test("wire: a certificate that vouches besides does not replace the system's", async () => {
    await using app = startSecure();
    using folder = tempDir();
    writeFileSync(folder.file("system.pem"), CERTIFICATE);
    const script = join(import.meta.dir, "../support/trusting-engine.ts");
    const child = Bun.spawn([process.execPath, "--no-install", script, String(app.port)], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: folder.file("system.pem") },
      stdout: "pipe",
    });
    expect(await child.stdout.text()).toBe(`localhost:${app.port}`);
  });

  test("wire: a certificate of the policy that is none is said to be the reason", async () => {
    await using app = startSecure();
    await using proxy = startSocketEngine(`https://localhost:${app.port}`, {
      policy: { tlsCa: "not a PEM" },
    });
    expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("unreachable");
    expect(proxy.handler.failures[0]?.message).toContain("CA");
  });

  test("wire: a TLS target that does not hang up with us keeps no place", async () => {
    const server = createServer({ cert: CERTIFICATE, key: PRIVATE_KEY, allowHalfOpen: true });
    server.on("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await using proxy = startSocketEngine(`https://localhost:${portOf(server)}`, {
        policy: { tlsCa: CERTIFICATE },
        engine: { upstream: { keepAlive: false, socketsMax: 1 } },
      });
      for (let round = 0; round < 3; round += 1) {
        expect((await exchangeRaw(proxy.port, get("/"))).body).toBe("ok");
      }
    } finally {
      server.close();
    }
  });
});

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  return address.port;
}
