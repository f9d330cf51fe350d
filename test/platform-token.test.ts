import { describe, expect, test } from "bun:test";

import { createToken, type FetchedToken } from "../src/providers/platform-token.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { apiOf, callOf, failureOf, servePlatform } from "./support/platform-server.ts";
import { createVirtualClock, settled } from "./support/virtual-clock.ts";

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** A token whose exchange is answered by hand. */
function world() {
  const clock = createVirtualClock();
  const exchanges: (PromiseWithResolvers<FetchedToken> & { readonly signal: AbortSignal })[] = [];
  const token = createToken({
    clock,
    fetchToken(signal) {
      const exchange = Promise.withResolvers<FetchedToken>();
      exchanges.push({ ...exchange, signal });
      signal.addEventListener("abort", () => exchange.reject(signal.reason));
      return exchange.promise;
    },
  });
  const ask = (signal = new AbortController().signal) =>
    token
      .headers({ method: "GET", url: new URL("http://a.example"), urgency: "sweep", signal })
      .then(({ authorization }) => authorization);
  const give = async (number: number, value: string) => {
    exchanges[number - 1]!.resolve({ value, validMs: HOUR_MS });
    await settled();
  };
  return { clock, exchanges, token, ask, give };
}

describe("a token", () => {
  test("a thousand calls that need it at once fetch it once", async () => {
    const { ask, exchanges, give, clock } = world();
    const asked = Array.from({ length: 1000 }, () => ask());
    await settled();
    expect(exchanges).toHaveLength(1);
    await give(1, "first");
    expect(new Set(await Promise.all(asked))).toEqual(new Set(["Bearer first"]));
    expect(await ask()).toBe("Bearer first");
    expect(exchanges).toHaveLength(1);
    expect(clock.pending()).toBe(0);
  });

  test("it is renewed five minutes before its hour ends, and nobody waits for that", async () => {
    const { ask, exchanges, give, clock } = world();
    const first = ask();
    await give(1, "first");
    await first;
    await clock.advance(55 * MINUTE_MS - 1);
    await ask();
    expect(exchanges).toHaveLength(1);
    await clock.advance(1);
    expect(await ask()).toBe("Bearer first");
    expect(await ask()).toBe("Bearer first");
    expect(exchanges).toHaveLength(2);
    await give(2, "second");
    expect(await ask()).toBe("Bearer second");
  });

  test("when it cannot be renewed the old one serves to its end, with a try every half minute", async () => {
    const { ask, exchanges, give, clock } = world();
    const first = ask();
    await give(1, "first");
    await first;
    await clock.advance(55 * MINUTE_MS);
    for (let second = 0; second < 60; second += 1) {
      expect(await ask()).toBe("Bearer first");
      exchanges.at(-1)?.reject(new ProviderError("unavailable", "down"));
      await clock.advance(1000);
    }
    expect(exchanges).toHaveLength(3);
    await clock.advance(4 * MINUTE_MS);
    const failed = failureOf(ask());
    exchanges.at(-1)?.reject(new ProviderError("unavailable", "down"));
    expect((await failed).message).toBe("down");
    const later = ask();
    await give(exchanges.length, "second");
    expect(await later).toBe("Bearer second");
  });

  test("after a 401 it is forgotten once, however many calls were refused with it", async () => {
    const { ask, exchanges, give, token } = world();
    const first = ask();
    await give(1, "first");
    await first;
    const used = { authorization: "Bearer first" };
    expect(token.renew?.(used)).toBe(true);
    const second = ask();
    await give(2, "second");
    expect(await second).toBe("Bearer second");
    expect(token.renew?.(used)).toBe(true);
    expect(await ask()).toBe("Bearer second");
    expect(exchanges).toHaveLength(2);
  });

  test("who gives up takes nobody else along", async () => {
    const { ask, exchanges, give } = world();
    const controller = new AbortController();
    const impatient = failureOf(ask(controller.signal));
    const patient = ask();
    controller.abort(new Error("gone"));
    expect((await impatient).kind).toBe("failed");
    expect(exchanges[0]?.signal.aborted).toBe(false);
    await give(1, "first");
    expect(await patient).toBe("Bearer first");
  });

  test("close gives up the exchange; one that never ends is given up after five minutes", async () => {
    const { ask, clock, exchanges, token } = world();
    const endless = failureOf(ask());
    await settled();
    await clock.advance(5 * MINUTE_MS);
    expect((await endless).message).toContain("took too long");
    const waiting = failureOf(ask());
    await settled();
    token.close();
    token.close();
    expect((await waiting).kind).toBe("failed");
    expect(exchanges.every(({ signal }) => signal.aborted)).toBe(true);
    expect(clock.pending()).toBe(0);
  });

  test("an expired one is exchanged in the middle of a sweep, once, and every call succeeds", async () => {
    let valid = 0;
    let exchanged = 0;
    using auth = servePlatform(() => {
      exchanged += 1;
      valid = exchanged;
      return Response.json({ token: `jwt-${valid}` });
    });
    using platform = servePlatform((_, request) => {
      const isValid = request.headers.get("authorization") === `Bearer jwt-${valid}`;
      return Response.json({}, { status: isValid ? 200 : 401 });
    });
    using exchange = apiOf(auth.origin);
    const clock = createVirtualClock();
    const token = createToken({
      clock,
      async fetchToken(signal) {
        const call = callOf({ what: "exchange the token", method: "POST", body: {}, signal });
        const { body } = await exchange.api.send({ ...call, urgency: "wake", isRepeatable: true });
        // The server above sends no other shape.
        return { value: (body as { token: string }).token, validMs: HOUR_MS };
      },
    });
    using given = apiOf(platform.origin, { credentials: token });
    const sweep = () => Promise.all(Array.from({ length: 30 }, () => given.api.send(callOf())));
    await sweep();
    expect(exchanged).toBe(1);
    valid = -1;
    await sweep();
    expect(exchanged).toBe(2);
    expect(given.lines.filter(({ level }) => level !== "debug")).toEqual([]);
    token.close();
  });
});
