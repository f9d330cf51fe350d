/** Whole proxies that share switches and pauses over a real Redis. */

import { expect, test } from "bun:test";
import { within } from "./support/pace.ts";
import { startRedis } from "./support/redis-server.ts";
import { connectForSwitches } from "./support/redis-space.ts";
import { startSwitchProxy } from "./support/switch-proxy.ts";
import { startTarget } from "./support/switch-targets.ts";
import { startTcpRelay } from "./support/tcp-relay.ts";
import { until } from "./support/until.ts";

/** Two versions of an app, and two proxies before them, the first of which reaches Redis by a relay. */
async function startPair(options: { readonly isDurable?: boolean } = {}) {
  await using undo = new AsyncDisposableStack();
  const server = undo.use(await startRedis(options));
  const relay = undo.use(await startTcpRelay(server.port));
  const blue = undo.use(startTarget("blue"));
  const green = undo.use(startTarget("green"));
  async function join(url = server.url) {
    const redis = await connectForSwitches(url);
    const policy = { drainMs: 1500, drain: "immediate" } as const;
    const proxy = await startSwitchProxy({ port: blue.port, redis, policy });
    return {
      proxy,
      redis,
      [Symbol.asyncDispose]: async () => {
        await proxy[Symbol.asyncDispose]();
        await redis.close();
      },
    };
  }
  const one = undo.use(await join(server.url.replace(`${server.port}`, `${relay.port}`)));
  const other = undo.use(await join());
  const kept = undo.move();
  return {
    ...{ server, relay, blue, green, join },
    ...{ one: one.proxy, other: other.proxy, ways: [one.redis, other.redis] },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

type Proxy = Awaited<ReturnType<typeof startPair>>["one"];

const whoAnswers = async ({ origin }: Proxy) => await (await fetch(`${origin}/`)).text();
const post = ({ admin }: Proxy, path: string, headers: Record<string, string> = {}) =>
  admin(path, { method: "POST", headers });

/** Of the switch that an answer tells. */
async function idIn(answer: Response | undefined): Promise<unknown> {
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it, and fails where it is something else.
  const body: any = await answer?.json();
  return body.switch.id;
}

test("Redis: a switch on one proxy moves the other within 100 ms, with requests and sockets to the old target", async () => {
  await using pair = await startPair();
  const { one, other, green } = pair;
  const socket = new WebSocket(`ws://127.0.0.1:${other.port}/`);
  const closed = Promise.withResolvers<void>();
  socket.onclose = () => closed.resolve();
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const slow = fetch(`${other.origin}/slow?ms=300`).then((response) => response.text());
  const answer = await post(one, `/__switch?port=${green.port}`);
  const beganMs = performance.now();
  expect(answer.status).toBe(200);
  await until(() => other.board.activeOf("shop")?.host === `127.0.0.1:${green.port}`);
  expect(performance.now() - beganMs).toBeLessThan(within(100));
  expect(await Promise.all([whoAnswers(one), whoAnswers(other)])).toEqual(["green", "green"]);
  expect(await slow).toBe("blue");
  await closed.promise;
  await until(() => other.eventsNamed("APP_DRAINED").length === 1);
  expect(other.eventsNamed("APP_SWITCHED")).toEqual([]);
});

test("Redis: a pause on one proxy keeps requests of the other, and its end lets them go on", async () => {
  await using pair = await startPair();
  const { one, other } = pair;
  expect((await post(one, "/__pause")).status).toBe(200);
  await until(() => other.app.pause?.kind === "paused");
  let isAnswered = false;
  const held = whoAnswers(other).finally(() => {
    isAnswered = true;
  });
  await until(() => other.app.leases === 1);
  expect(isAnswered).toBe(false);
  expect((await post(one, "/__resume")).status).toBe(200);
  expect(await held).toBe("blue");
});

test("Redis: of ten switches at once over two proxies one takes place", async () => {
  await using pair = await startPair();
  const { one, other, green, blue } = pair;
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) =>
      post(n % 2 === 0 ? one : other, `/__switch?port=${green.port}`),
    ),
  );
  const statuses = answers.map(({ status }) => status);
  // Who comes when it has ended is told that it is active already.
  expect(statuses.filter((status) => status !== 200 && status !== 409)).toEqual([]);
  expect([...one.eventsNamed("APP_SWITCHED"), ...other.eventsNamed("APP_SWITCHED")]).toHaveLength(
    1,
  );
  const elsewhere = await Promise.all([
    post(one, `/__switch?port=${blue.port}`, { "idempotency-key": "k" }),
    post(other, `/__switch?port=${blue.port}`, { "idempotency-key": "k" }),
  ]);
  const switched = elsewhere.find(({ status }) => status === 200);
  const again = await post(other, `/__switch?port=${blue.port}`, { "idempotency-key": "k" });
  expect(await idIn(again)).toBe(await idIn(switched));
});

test("Redis: a target that goes wrong is left once, by both proxies", async () => {
  await using pair = await startPair();
  const { one, other, green } = pair;
  await post(one, `/__switch?port=${green.port}`);
  await until(() => other.board.activeOf("shop") !== null);
  green.health = 500;
  const sides = [one, other];
  await until(async () =>
    (await Promise.all(sides.map(whoAnswers))).every((answer) => answer === "blue"),
  );
  expect(sides.flatMap((side) => side.eventsNamed("APP_ROLLED_BACK"))).toHaveLength(1);
  expect(sides.flatMap((side) => side.eventsNamed("APP_ROLLBACK_FAILED"))).toEqual([]);
});

test("Redis: a pause that was not answered is said to be uncertain, and what others have done meanwhile is made up for", async () => {
  await using pair = await startPair();
  const { one, other, green, relay, ways } = pair;
  await post(one, `/__switch?port=${green.port}`);
  await until(() => other.board.activeOf("shop") !== null);
  relay.freeze();
  const refused = await post(one, `/__pause`);
  expect(refused.status).toBe(500);
  const body = await refused.json();
  expect(body).toMatchObject({ error: "State not saved" });
  expect(JSON.stringify(body)).toContain("It may have been stored all the same");
  expect(one.app.pause).toBeNull();
  await post(other, "/__maintenance");
  relay.cut();
  relay.thaw();
  await until(() => ways[0]?.trouble() === null);
  await until(() => one.app.pause?.kind === "maintenance");
}, 60_000);

test("Redis: a proxy that is cut off refuses switches, still rolls back, and tells the others when it can", async () => {
  await using pair = await startPair();
  const { one, other, blue, green, relay, ways } = pair;
  await post(one, `/__switch?port=${green.port}`);
  await until(() => other.board.activeOf("shop") !== null);
  relay.refuse();
  await until(() => ways[0]?.trouble() !== null);
  const later = await post(one, `/__switch?port=${blue.port}`);
  expect(later.status).toBe(500);
  expect(JSON.stringify(await later.json())).toContain("Nothing has changed");
  one.app.traffic.watched!.requests += 30;
  one.app.traffic.watched!.errors += 30;
  // Requests would be right ones, of which the errors are a share.
  await until(() => one.board.activeOf("shop")?.host === `127.0.0.1:${blue.port}`);
  expect(await whoAnswers(one)).toBe("blue");
  expect(other.board.activeOf("shop")?.host).toBe(`127.0.0.1:${green.port}`);
  relay.accept();
  await until(() => ways[0]?.trouble() === null);
  await until(() => other.board.activeOf("shop")?.host === `127.0.0.1:${blue.port}`);
}, 60_000);

test("Redis: one that has lost everything gets it back, and a proxy that starts then is where the others are", async () => {
  await using pair = await startPair();
  const { one, other, green, server, join, ways } = pair;
  await post(one, `/__switch?port=${green.port}`);
  await until(() => other.board.activeOf("shop") !== null);
  await server.restart();
  await until(() => ways.every((way) => way.trouble() === null));
  await until(async () => (await server.run("HLEN", "paastis:tests:{tests}:switches")) === 1);
  await using late = await join();
  expect(await whoAnswers(late.proxy)).toBe("green");
}, 60_000);

test("Redis: proxies that all end are where they were when they start again", async () => {
  await using redis = await startRedis();
  await using blue = startTarget("blue");
  await using green = startTarget("green");
  for (const expected of ["blue", "green"]) {
    await using way = await connectForSwitches(redis.url);
    await using proxy = await startSwitchProxy({ port: blue.port, redis: way });
    expect(await whoAnswers(proxy)).toBe(expected);
    await post(proxy, `/__switch?port=${green.port}`);
  }
});
