/** Any bytes from the client, any bytes from the app: no crash, no hang, no leak. */

import { expect, test } from "bun:test";
import { createChance } from "../support/random.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startRawUpstream } from "../support/raw-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";
import { frame, upgradeRequest } from "../support/websocket-frames.ts";

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 1_500);
const AT_ONCE = 30;

const REQUESTS = [
  "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "HEAD / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n0123456789",
  "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
  upgradeRequest("/") + frame({ opcode: 1, payload: "x", masked: true }).toString("latin1"),
];
const ANSWERS = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
  "HTTP/1.1 200 OK\r\n\r\nuntil the end",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
  "HTTP/1.0 304 Same\r\nConnection: keep-alive\r\n\r\n",
  `HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n${frame({ opcode: 8 }).toString("latin1")}`,
  "",
];

test(`wire: no bytes from either side end or hold the engine (FUZZ_SEED=${SEED})`, async () => {
  const chance = createChance(SEED);
  const below = (limit: number) => Math.floor(chance.next() * limit);
  const mutate = (text: string) => {
    let bytes = text;
    for (let times = below(4); times > 1; times -= 1) {
      const at = below(bytes.length + 1);
      const odd = ["\r\n", "\0", " ", ":", "0", "\n", "\xff", ",", "chunked"][below(9)] ?? "";
      bytes = bytes.slice(0, at) + odd + bytes.slice(at + below(3));
    }
    return below(6) === 0 ? bytes.slice(0, below(bytes.length)) : bytes;
  };
  const endOf = (end: { end(): void; reset(): void }, chance: number) => {
    if (below(chance) !== 0) return;
    if (below(2) === 0) end.end();
    else end.reset();
  };
  using upstream = await startRawUpstream((connection) => {
    const answer = mutate(ANSWERS[below(ANSWERS.length)] ?? "");
    const cut = below(answer.length + 1);
    connection.write(answer.slice(0, cut));
    setImmediate(() => {
      connection.write(answer.slice(cut));
      endOf(connection, 4);
    });
  });
  await using proxy = startSocketEngine(upstream.origin, {
    failed: (failure, exchange) =>
      failure.replayable && proxy.handler.failures.length % 3 === 0
        ? proxy.handler.exchange(exchange.head)
        : { kind: "answer", answer: { status: 502, headers: [], body: failure.kind } },
  });
  const one = async () => {
    using client = await connectRaw(proxy.port);
    const request = mutate(REQUESTS[below(REQUESTS.length)] ?? "");
    const cut = below(request.length + 1);
    client.send(request.slice(0, cut));
    if (below(3) === 0) await Bun.sleep(0);
    client.send(request.slice(cut));
    endOf(client, 3);
    if (below(2) === 0) await Bun.sleep(below(3));
  };
  for (let round = 0; round < ROUNDS; round += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }
  await until(() => proxy.handler.leases === 0 && proxy.engine.inFlight === 0);
  expect(proxy.handler.doubles).toBe(0);
  expect(proxy.logged.filter((line) => line.level === "error")).toEqual([]);
}, 60_000);
