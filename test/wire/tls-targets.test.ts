/** Whose certificates are believed, per app, on every engine. */

import { describe, expect, test } from "bun:test";
import type { Policy } from "../../src/app.ts";
import { ENGINES } from "../support/engines.ts";
import {
  LOCALHOST_CERTIFICATE,
  LOCALHOST_KEY,
  OTHER_CERTIFICATE,
  OTHER_KEY,
  PRIVATE_CA,
  STRANGER_CA,
} from "../support/private-ca.ts";
import { exchangeRaw } from "../support/raw-client.ts";
import { until } from "../support/until.ts";
import { isReleased, open } from "../support/websocket-peers.ts";

interface Pair {
  readonly cert: string;
  readonly key: string;
}

const GET = "GET /x HTTP/1.1\r\nHost: other.test\r\n\r\n";

/** An app on `localhost` that says which connection it was asked on, and echoes over WebSocket. */
function startSecure(pair: Pair = LOCALHOST) {
  const ports = new Set<number | undefined>();
  const state = { requests: 0 };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: pair,
    fetch(request, self) {
      state.requests += 1;
      ports.add(self.requestIP(request)?.port);
      if (self.upgrade(request)) return;
      return new Response("secure");
    },
    websocket: { message: (socket, message) => void socket.send(message) },
  });
  return {
    origin: `https://localhost:${server.port}`,
    ports,
    state,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

const OWN_CA = { tlsCa: PRIVATE_CA };
const UNKNOWN = /certificate/;
const WRONG_NAME = /altname/i;
const LOCALHOST = { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY };
const OTHER = { cert: OTHER_CERTIFICATE, key: OTHER_KEY };

describe.each(ENGINES)("$name: TLS to targets", (engine) => {
  /* biome-ignore format: a table */
  const allowed: readonly [what: string, policy: Partial<Policy>, pair: Pair][] = [
    ["whose CA the policy names", OWN_CA, LOCALHOST],
    ["whose CA is one of several", { tlsCa: STRANGER_CA + PRIVATE_CA }, LOCALHOST],
    ["that nobody vouches for, where any will do", { tlsVerify: false }, LOCALHOST],
    ["of another name, where any will do", { tlsVerify: false, tlsCa: STRANGER_CA }, OTHER],
  ];
  test.each(allowed)("wire: a certificate %s is accepted", async (_, policy, pair) => {
    await using app = startSecure(pair);
    await using proxy = engine.start(app.origin, { policy });
    expect((await exchangeRaw(proxy.port, GET)).body).toBe("secure");
    const { socket, messages, closed } = await open(proxy.port);
    socket.send("hello");
    await until(() => messages.length > 0);
    expect(messages).toEqual(["hello"]);
    socket.close();
    await closed;
    await isReleased(proxy);
  });

  /* biome-ignore format: a table */
  const refused: readonly [what: string, why: RegExp, policy: Partial<Policy>, pair: Pair][] = [
    ["that nobody vouches for", UNKNOWN, {}, LOCALHOST],
    ["of another CA than the one named", UNKNOWN, { tlsCa: STRANGER_CA }, LOCALHOST],
    ["of another name", WRONG_NAME, OWN_CA, OTHER],
    ["of the name in Host only", WRONG_NAME, { ...OWN_CA, preserveHost: true }, OTHER],
  ];
  test.each(refused)(
    "wire: a certificate %s is refused before a byte is sent, for WebSockets too",
    async (_, why, policy, pair) => {
      await using app = startSecure(pair);
      await using proxy = engine.start(app.origin, { policy });
      expect((await exchangeRaw(proxy.port, GET)).body).toBe("unreachable");
      await expect(open(proxy.port)).rejects.toThrow("not opened");
      const { failures } = proxy.handler;
      expect(failures).toHaveLength(2);
      for (const failure of failures) {
        expect(failure).toMatchObject({ kind: "unreachable", replayable: true });
        expect(failure.message).toMatch(why);
      }
      expect(app.state.requests).toBe(0);
      await isReleased(proxy);
    },
  );

  test("wire: a kept connection serves only those who would have made it themselves", async () => {
    await using app = startSecure();
    const ask = async (policy: Partial<Policy>) => {
      await using proxy = engine.start(app.origin, { policy });
      return (await exchangeRaw(proxy.port, GET)).body;
    };
    // The runtime's own pool is shared by all that run in this process.
    expect(await ask({ tlsVerify: false })).toBe("secure");
    expect(await ask({})).toBe("unreachable");
    expect(await ask(OWN_CA)).toBe("secure");
    expect(await ask({ tlsCa: STRANGER_CA })).toBe("unreachable");
    expect(await ask({})).toBe("unreachable");
  });

  test("wire: a policy that becomes strict does not go on over what a lax one has opened", async () => {
    await using app = startSecure();
    const policy: { -readonly [K in keyof Policy]?: Policy[K] } = { tlsVerify: false };
    await using proxy = engine.start(app.origin, {
      admit: (head, handler) => {
        const exchange = handler.exchange(head);
        exchange.app.policy = { ...exchange.app.policy, ...policy };
        return exchange;
      },
    });
    expect((await exchangeRaw(proxy.port, GET)).body).toBe("secure");
    policy.tlsVerify = true;
    expect((await exchangeRaw(proxy.port, GET)).body).toBe("unreachable");
    policy.tlsCa = PRIVATE_CA;
    expect((await exchangeRaw(proxy.port, GET)).body).toBe("secure");
    expect((await exchangeRaw(proxy.port, GET)).body).toBe("secure");
    policy.tlsCa = STRANGER_CA;
    expect((await exchangeRaw(proxy.port, GET)).body).toBe("unreachable");
    expect(app.ports.size).toBe(2);
    await isReleased(proxy);
  });

  test.each([
    [true, 1],
    [false, 3],
  ])("wire: with keep-alive %p, three requests take %i connections", async (keepAlive, count) => {
    await using app = startSecure();
    await using proxy = engine.start(app.origin, {
      policy: OWN_CA,
      engine: { upstream: { keepAlive } },
    });
    for (let round = 0; round < 3; round += 1) {
      expect((await exchangeRaw(proxy.port, GET)).body).toBe("secure");
    }
    expect(app.ports.size).toBe(count);
  });

  test("wire: NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment turns nothing off", async () => {
    await using app = startSecure();
    await using proxy = engine.start(app.origin);
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      expect((await exchangeRaw(proxy.port, GET)).body).toBe("unreachable");
      await expect(open(proxy.port)).rejects.toThrow("not opened");
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    }
    expect(app.state.requests).toBe(0);
  });
});
