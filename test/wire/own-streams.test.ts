import { describe, expect, test } from "bun:test";
import { ENGINES } from "../support/engines.ts";
import { connectRaw } from "../support/raw-client.ts";
import { until } from "../support/until.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";

describe.each(ENGINES)("$name: a stream of our own", (engine) => {
  const fates: readonly [what: string, last: () => string][] = [
    ["has one more piece", () => "too late"],
    [
      "fails",
      () => {
        throw new Error("too late");
      },
    ],
  ];
  test.each(fates)(
    "wire: whose client has left is ended, and nothing is said when it then %s",
    async (_what, last) => {
      const next = Promise.withResolvers<void>();
      let isOver = false;
      async function* pieces(): AsyncGenerator<string> {
        try {
          yield "first";
          await next.promise;
          yield last();
        } finally {
          isOver = true;
        }
      }
      await using proxy = engine.start("http://127.0.0.1:1", {
        admit: () => ({ kind: "answer", answer: { status: 200, headers: [], body: pieces() } }),
      });
      {
        using client = await connectRaw(proxy.port);
        client.send(REQUEST);
        await client.until(() => client.received.includes("first"));
        client.reset();
      }
      await until(() => proxy.engine.inFlight === 0);
      next.resolve();
      await until(() => isOver);
      await Bun.sleep(0);
      expect(proxy.logged).toEqual([]);
    },
  );
});
