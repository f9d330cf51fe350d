/** Who asks during a chaos run: an open loop of requests on kept connections, and WebSockets. */

import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Instance } from "../support/instances.ts";
import { APPS, type Failure, judge, type World } from "./chaos-world.ts";
import { connectHttp, type HttpClient, type Outcome } from "./http-client.ts";
import { drawRequest } from "./request.ts";
import { createTally } from "./soak-tally.ts";
import { talks } from "./soak-websocket.ts";

/** Connections that were not used for so long are not used again, ms: Paastis may be about to end them. */
const KEPT_MS = 2_000;
/** One that refuses connections is left out for so long, ms, as load balancers do it. */
const REFUSED_MS = 250;
/** A request that takes longer never comes to an end: longer than a hold and a frozen instance together, ms. */
const HANG_MS = 60_000;
/** How often an app that sleeps in between is in use, and for how long, ms. */
const NAP_PERIOD_MS = 9_000;
const NAP_USED_MS = 3_500;

interface Kept {
  readonly client: HttpClient;
  readonly sinceMs: number;
}

interface Crowd {
  readonly world: World;
  readonly kept: Map<Instance, Kept[]>;
  /** When each has refused a connection last. */
  readonly refusedMs: Map<Instance, number>;
}

/** Sends so many requests a second until the world is over. Resolves when all have come to their end. */
export async function runClients(
  world: World,
  options: { readonly perSecond: number; readonly websockets: number },
): Promise<void> {
  const crowd: Crowd = { world, kept: new Map(), refusedMs: new Map() };
  const startedMs = performance.now();
  const underWay = new Set<Promise<void>>();
  const sockets = Array.from({ length: options.websockets }, () => keepTalking(crowd));
  for (let sent = 0; !world.isOver; ) {
    const due = Math.floor(((performance.now() - startedMs) / 1_000) * options.perSecond);
    for (; sent < due; sent += 1) {
      const work = sendOne(crowd).finally(() => underWay.delete(work));
      underWay.add(work);
    }
    reportHanging(world);
    await Bun.sleep(2);
  }
  await Promise.all([...underWay, ...sockets]);
  for (const { client } of [...crowd.kept.values()].flat()) client.line.end();
}

/** Who was sent, and is to be answered. */
interface Sent extends Pick<Failure, "app" | "instance" | "sentMs"> {
  readonly what: string;
}

async function sendOne(crowd: Crowd): Promise<void> {
  const { world } = crowd;
  const instance = drawInstance(crowd);
  const app = drawApp(world);
  world.requests += 1;
  const isContained = APPS.contained.some((key) => key === app);
  const sent = { instance, app, sentMs: performance.now(), what: `${app} at ${instance.name}` };
  const mark = {};
  world.underWay.set(mark, { what: sent.what, sinceMs: sent.sentMs });
  try {
    if (isContained) await askContainer(crowd, sent);
    else await askLoadApp(crowd, sent);
  } finally {
    world.underWay.delete(mark);
  }
}

function drawInstance({ world, refusedMs }: Crowd): Instance {
  const { chance, instances } = world;
  const fromMs = performance.now() - REFUSED_MS;
  const taking = instances.all.filter((one) => (refusedMs.get(one) ?? 0) < fromMs);
  return chance.oneOf(taking.length > 0 ? taking : instances.all);
}

/** Half of all requests are for the two apps that are always in use. */
function drawApp({ chance }: World): string {
  if (chance.happens(0.5)) return chance.oneOf(APPS.busy);
  const nowMs = performance.now();
  const isInUse = (_key: string, at: number) => (nowMs + at * 1_500) % NAP_PERIOD_MS < NAP_USED_MS;
  const dozing = [...APPS.napping, "doze-1", "doze-2"].filter(isInUse);
  return chance.oneOf([...APPS.mortal, ...APPS.switched, "box-1", "box-2", ...dozing]);
}

async function askLoadApp(crowd: Crowd, sent: Sent): Promise<void> {
  const { world } = crowd;
  const { chance } = world;
  const bytesMax = chance.happens(0.02) ? 1_000_000 : 20_000;
  const request = drawRequest(chance, sent.app, world.requests, {
    bytesMax,
    withUntilClose: false,
  });
  let client: HttpClient;
  try {
    client = await connected(crowd, sent.instance);
  } catch (error) {
    return settle(crowd, sent, { kind: "refused", why: codeOf(error) });
  }
  const outcome = await client.ask(request, chance);
  if (!client.line.isOver && !client.isLast && outcome.kind !== "wrong") keep(crowd, sent, client);
  else client.line.end();
  settle(crowd, sent, failureIn(outcome));
  if (outcome.kind === "right") world.tally.bytes += outcome.bytes + request.bodyBytes;
}

async function connected({ world, kept }: Crowd, instance: Instance): Promise<HttpClient> {
  const ours = kept.get(instance) ?? [];
  for (let one = ours.pop(); one !== undefined; one = ours.pop()) {
    const isFresh = performance.now() - one.sinceMs < KEPT_MS;
    if (isFresh && !one.client.line.isOver) return one.client;
    one.client.line.end();
  }
  return await connectHttp(instance.port, {
    noise: world.noise,
    exact: true,
    onStray: (why) => world.tally.fault(`nobody asked for it: ${why}`),
  });
}

function keep({ kept }: Crowd, { instance }: Sent, client: HttpClient): void {
  const ours = kept.get(instance) ?? [];
  ours.push({ client, sinceMs: performance.now() });
  kept.set(instance, ours);
}

/** Paastis may end a kept connection at any time between two requests: then this one was not taken. */
const UNANSWERED = "before any of its body";

type What = Pick<Failure, "kind" | "why">;

function failureIn(outcome: Outcome): What | null {
  switch (outcome.kind) {
    case "right":
      return null;
    case "own":
      return { kind: "own", why: `${outcome.status} ${outcome.code}` };
    case "unserved":
      return { kind: "broken", why: "unserved" };
    case "broken":
      return {
        kind: "broken",
        why: /after 0 bytes|closed/.test(outcome.why) ? UNANSWERED : "in its body",
      };
    case "wrong":
      return { kind: "wrong", why: outcome.why };
  }
}

function settle({ world, refusedMs }: Crowd, sent: Sent, failure: What | null): void {
  if (failure?.kind === "refused") refusedMs.set(sent.instance, performance.now());
  if (failure === null) world.tally.right += 1;
  else judge(world, { ...sent, ...failure, endedMs: performance.now() });
}

/** What a container of the fake engine answers names it. A connection for each request. */
function askContainer(crowd: Crowd, sent: Sent): Promise<void> {
  const { app, instance } = sent;
  const { promise, resolve } = Promise.withResolvers<void>();
  const over = (failure: What | null) => {
    settle(crowd, sent, failure);
    resolve();
  };
  const call = httpRequest({
    ...{ agent: false, host: "127.0.0.1", port: instance.port },
    headers: { host: `${app}.example` },
  });
  let hasAnswer = false;
  call.on("error", (error) => {
    if (hasAnswer) return;
    const why = codeOf(error);
    over({ kind: why === "ECONNREFUSED" ? "refused" : "broken", why });
  });
  call.on("response", (response) => {
    hasAnswer = true;
    const pieces: Buffer[] = [];
    response.on("data", (piece: Buffer) => pieces.push(piece));
    response.on("error", (error) => over({ kind: "broken", why: codeOf(error) }));
    response.on("end", () => over(containerFailure(app, response, Buffer.concat(pieces))));
  });
  call.end();
  return promise;
}

function containerFailure(app: string, response: IncomingMessage, body: Buffer): What | null {
  const code = response.headers["paastis-error"];
  if (code !== undefined) return { kind: "own", why: `${response.statusCode} ${String(code)}` };
  const isRight = response.statusCode === 200 && body.includes(`"name":"${app}"`);
  return isRight ? null : { kind: "wrong", why: `${response.statusCode} ${body.toString()}` };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? String(error.code) : error.message;
}

async function keepTalking(crowd: Crowd): Promise<void> {
  const { world } = crowd;
  const { chance } = world;
  while (!world.isOver) {
    const instance = drawInstance(crowd);
    const app = chance.oneOf([...APPS.busy, ...APPS.napping]);
    const sent = { instance, app, sentMs: performance.now(), what: "WebSocket" };
    const faults: string[] = [];
    const tally = { ...createTally(), fault: (what: string) => void faults.push(what) };
    world.requests += 1;
    const soak = {
      ...{ port: instance.port, noise: world.noise, chance, tally, isExact: true },
      requests: world.requests,
      get isOver() {
        return world.isOver;
      },
      set isOver(_: boolean) {
        throw new Error("a client does not end the world");
      },
      killedMs: new Map<string, number>(),
      waiting: new Set<never>(),
    };
    try {
      await talks(soak, app);
    } catch (error) {
      faults.push(`refused: ${codeOf(error)}`);
      await Bun.sleep(100);
    }
    const [why] = faults;
    if (why === undefined) world.tally.count("WebSocket: right");
    settle(crowd, sent, why === undefined ? null : { kind: kindOf(why), why: shortly(why) });
  }
}

function kindOf(why: string): Failure["kind"] {
  if (why.startsWith("refused")) return "refused";
  if (why.includes("it ended by itself")) return "broken";
  return why.includes("Paastis answered") ? "own" : "wrong";
}

function shortly(why: string): string {
  const [, answer] = /Paastis answered (.*)/.exec(why) ?? [];
  return answer ?? why.replace(/^WebSocket \S+: /, "WebSocket: ").replace(/; \{.*/, "");
}

function reportHanging({ underWay, tally }: World): void {
  for (const [mark, { what, sinceMs }] of underWay) {
    if (performance.now() - sinceMs < HANG_MS) continue;
    underWay.delete(mark);
    tally.fault(`${what}: no end after ${HANG_MS} ms`);
  }
}
