/**
 * Random orders of requests, answers, failures and leaving clients through one engine. A failure names its seed:
 * `PAASTIS_SEED=<seed> bun test test/wire/pool-fuzz.test.ts` plays that one again.
 */

import { describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { type Chance, createChance } from "../support/random.ts";
import { connectRaw, type RawClient } from "../support/raw-client.ts";
import { startScriptedUpstream, type UpstreamRequest } from "../support/scripted-upstream.ts";
import { startSocketEngine } from "../support/socket-engine.ts";
import { until } from "../support/until.ts";
import { CLIENT_KEY, upgradeAnswer, upgradeRequest } from "../support/websocket-frames.ts";

const RUNS = 12;
const STEPS = 80;

/** A request that a client waits for. */
interface Open {
  readonly name: string;
  readonly client: RawClient;
}

interface World {
  readonly chance: Chance;
  readonly socketsMax: number;
  readonly upstream: Awaited<ReturnType<typeof startScriptedUpstream>>;
  readonly proxy: ReturnType<typeof startSocketEngine>;
  readonly open: Map<string, Open>;
  /** Those that the app has, and has not answered. */
  readonly held: Map<string, UpstreamRequest>;
  readonly tunnels: { readonly client: RawClient; readonly socket: Socket }[];
  readonly spare: RawClient[];
  count: number;
}

async function ask(world: World): Promise<void> {
  const name = String(world.count);
  world.count += 1;
  const client = world.spare.pop() ?? (await connectRaw(world.proxy.port));
  const isUpgrade = world.chance.happens(0.1);
  const target = `/${name}`;
  client.send(
    isUpgrade ? upgradeRequest(target) : `GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`,
  );
  world.open.set(name, { name, client });
}

/** Ends one request in a way of the app's choice. */
async function answerOne(world: World): Promise<void> {
  const { chance } = world;
  if (world.held.size === 0) return;
  const [name, request] = chance.oneOf([...world.held]);
  const open = world.open.get(name);
  world.held.delete(name);
  if (open === undefined) return;
  world.open.delete(name);
  if (request.header("upgrade") !== null) {
    request.write(upgradeAnswer(CLIENT_KEY));
    await open.client.until(() => open.client.received.includes("101 Switching"));
    world.tunnels.push({ client: open.client, socket: request.socket });
    return;
  }
  const how = chance.between(0, 9);
  const failures = world.proxy.handler.failures.length;
  if (how === 0) request.reset();
  else request.reply(name, how === 1 ? "Connection: close\r\n" : "");
  if (how === 0) {
    // On a connection that was used before it is sent once more, on another one.
    await until(() => world.held.has(name) || world.proxy.handler.failures.length > failures);
    if (world.held.has(name)) return void world.open.set(name, open);
  }
  expect((await open.client.answer()).body).toBe(how === 0 ? "broken" : name);
  if (chance.happens(0.5)) world.spare.push(open.client);
  else open.client.reset();
}

function leave(world: World): void {
  if (world.open.size === 0) return;
  const open = world.chance.oneOf([...world.open.values()]);
  world.open.delete(open.name);
  open.client.reset();
}

function endTunnel(world: World): void {
  const tunnel = world.tunnels.shift();
  if (tunnel === undefined) return;
  if (world.chance.happens(0.5)) tunnel.client.reset();
  else tunnel.socket.resetAndDestroy();
}

/** Connections that count, as the app sees them. */
function counted(world: World): number {
  const alive = world.tunnels.filter(({ socket }) => !socket.destroyed).length;
  return world.upstream.open - alive;
}

/** As many requests as may be are with the app; no more connections than may be. */
async function settle(world: World): Promise<void> {
  const { open, held, socketsMax } = world;
  await until(() => world.proxy.handler.leases === open.size + world.tunnels.length);
  await until(() => {
    // What arrived from clients that had left.
    for (const name of held.keys()) if (!open.has(name)) held.delete(name);
    return held.size === Math.min(open.size, socketsMax);
  });
  await until(() => counted(world) <= socketsMax);
}

async function play(seed: number): Promise<void> {
  const chance = createChance(seed);
  const socketsMax = chance.between(1, 4);
  const held = new Map<string, UpstreamRequest>();
  using upstream = await startScriptedUpstream((request) => {
    held.set(request.target.slice(1), request);
  });
  await using proxy = startSocketEngine(upstream.origin, { engine: { upstream: { socketsMax } } });
  const open = new Map<string, Open>();
  const world: World = {
    chance,
    socketsMax,
    upstream,
    proxy,
    open,
    held,
    tunnels: [],
    spare: [],
    count: 0,
  };
  for (let step = 0; step < STEPS; step += 1) {
    const kind = chance.between(0, 9);
    if (kind <= 4) await ask(world);
    else if (kind <= 7) await answerOne(world);
    else if (kind === 8) leave(world);
    else endTunnel(world);
    if (chance.happens(0.3)) await settle(world);
  }
  while (open.size > 0) {
    await settle(world);
    await answerOne(world);
  }
  while (world.tunnels.length > 0) endTunnel(world);
  await settle(world);
  expect([proxy.handler.leases, proxy.handler.doubles]).toEqual([0, 0]);
  expect(proxy.logged.filter(({ level }) => level === "error")).toEqual([]);
  for (const client of world.spare) client[Symbol.dispose]();
}

describe("socket: the pool", () => {
  test("pool: in any order, nobody waits for nothing and the limit is kept", async () => {
    const given = process.env.PAASTIS_SEED;
    const first = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
    for (let seed = first; seed < first + (given === undefined ? RUNS : 1); seed += 1) {
      try {
        await play(seed);
      } catch (error) {
        throw new Error(`replay with PAASTIS_SEED=${seed}`, { cause: error });
      }
    }
  }, 60_000);
});
