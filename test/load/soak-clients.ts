/** The kinds of clients of a soak. Each function is one client's life until the load is over. */

import type { HttpClient } from "./http-client.ts";
import { type LoadRequest, requestBody, requestHead } from "./request.ts";
import { connect, draw, follow, type World } from "./soak-world.ts";

/** One life. */
export type Client = (world: World, app: string) => Promise<void>;

/** Many requests on one connection, one after the other. */
export const keepsAlive: Client = async (world, app) => {
  const { chance } = world;
  const client = await connect(world);
  const requests = chance.between(1, 100);
  for (let n = 0; n < requests && !world.isOver && !client.line.isOver; n += 1) {
    const request = draw(world, app);
    const isRight = await follow(world, "keep-alive", request, client.ask(request, chance));
    if (!isRight || client.isLast) break;
  }
  client.line.end();
};

/** A new connection for each request. */
export const connectsAnew: Client = async (world, app) => {
  const client = await connect(world);
  const request = draw(world, app);
  await follow(world, "new connection", request, client.ask(request, world.chance));
  client.line.end();
};

/** Several requests at once, cut into packets at random; answers must come in order. */
export const pipelines: Client = async (world, app) => {
  const { chance, noise } = world;
  const client = await connect(world);
  for (let n = chance.between(1, 10); n > 0 && !world.isOver && !client.line.isOver; n -= 1) {
    const requests = Array.from({ length: chance.between(2, 12) }, () =>
      draw(world, app, { bytesMax: 30_000, isPlain: chance.happens(0.7) }),
    ).map(withoutClose);
    const outcomes = requests.map((request) =>
      follow(world, "pipelined", request, client.expect(request)),
    );
    const all = Buffer.concat(
      requests.flatMap((request) => [requestHead(request), ...requestBody(noise, chance, request)]),
    );
    await sendInPackets(world, client, all);
    const rights = await Promise.all(outcomes);
    if (rights.includes(false)) break;
  }
  client.line.end();
};

/** An app that hangs up ends the requests behind it too, which is no fault. */
function withoutClose(request: LoadRequest): LoadRequest {
  return { ...request, target: request.target.replace("&close=1", "") };
}

async function sendInPackets(world: World, { line }: HttpClient, bytes: Buffer): Promise<void> {
  const { chance } = world;
  for (let at = 0; at < bytes.length && !line.isOver; ) {
    const size = chance.oneOf([1, 50, 1_000, 100_000]);
    line.send(bytes.subarray(at, at + size));
    at += size;
    if (size < 1_000 && chance.happens(0.5)) await Bun.sleep(0);
    else await line.sent();
  }
}

/** Takes its answer slowly, sends its body slowly. */
export const isSlow: Client = async (world, app) => {
  const { chance, noise } = world;
  let taken = 0;
  const client = await connect(world, ({ line }) => {
    taken += 1;
    if (taken % 8 !== 0) return;
    line.pause();
    setTimeout(() => line.resume(), chance.between(1, 20));
  });
  const request = largeRequest(world, app);
  const followed = follow(world, "slow", request, client.expect(request));
  client.line.send(requestHead(request));
  for (const piece of requestBody(noise, chance, request)) {
    await Bun.sleep(chance.between(0, 10));
    await client.line.sent();
    client.line.send(piece);
  }
  await followed;
  client.line.end();
};

function largeRequest(world: World, app: string): LoadRequest {
  const request = draw(world, app);
  if (request.wanted !== "noise" || request.method === "HEAD") return request;
  const bytes = world.chance.between(1_000_000, 6_000_000);
  const target = request.target.replace(/bytes=\d+/, `bytes=${bytes}`);
  return { ...request, target, wantedBytes: bytes };
}

/** Leaves in the middle of something, with a FIN or a RST. */
export const leaves: Client = async (world, app) => {
  const { chance } = world;
  const request = largeRequest(world, app);
  const moment = chance.oneOf(["in the head", "in the body", "before the answer", "in the answer"]);
  let leaveAfter = moment === "in the answer" ? chance.between(0, 300_000) : Infinity;
  const client = await connect(world, (me) => {
    if (me.bytes >= leaveAfter) leave();
  });
  function leave(): void {
    leaveAfter = Infinity;
    if (chance.happens(0.5)) client.line.cut();
    else client.line.end();
  }
  const outcome = client.expect(request);
  const head = requestHead(request);
  if (moment === "in the head") client.line.send(head.subarray(0, chance.between(0, head.length)));
  else await sendAsked(world, client, request, moment === "in the body");
  if (moment === "in the answer") {
    // Shorter answers may be complete before.
    const timer = setTimeout(leave, chance.between(0, 300));
    await outcome;
    clearTimeout(timer);
  } else if (moment === "before the answer") await Bun.sleep(chance.between(0, 30));
  leave();
  const result = await outcome;
  world.tally.count(`leaves ${moment}: ${result.kind === "wrong" ? "wrong" : "left"}`);
  if (result.kind === "wrong") world.tally.fault(`leaves: ${request.tag}: ${result.why}`);
};

async function sendAsked(
  { noise, chance }: World,
  client: HttpClient,
  request: LoadRequest,
  onlyABeginning: boolean,
): Promise<void> {
  client.line.send(requestHead(request));
  for (const piece of requestBody(noise, chance, request)) {
    if (onlyABeginning && chance.happens(0.3)) return;
    await client.line.sent();
    client.line.send(piece);
  }
}

/** Ends its side behind its request, and waits for the answer. */
export const halfCloses: Client = async (world, app) => {
  const { chance, noise } = world;
  const client = await connect(world);
  const request = draw(world, app, { bytesMax: 300_000 });
  const outcome = client.expect(request);
  client.line.send(Buffer.concat([requestHead(request), ...requestBody(noise, chance, request)]));
  client.line.halfClose();
  await follow(world, "half-closed", request, outcome);
  if (client.isAsked) world.tally.count("half-closed: asked whether it still reads");
  client.line.end();
};
