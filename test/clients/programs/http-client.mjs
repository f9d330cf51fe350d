/** Node's HTTP clients: `node http-client.mjs` plays stories against `http://<host:port>`, see serve-stories.mjs. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, Pool, request } from "undici";
import { resolveEverythingHere } from "./every-host-is-here.mjs";
import { serveStories } from "./serve-stories.mjs";

resolveEverythingHere();

async function sumOf(body) {
  const hash = createHash("sha256");
  for await (const piece of body) hash.update(piece);
  return hash.digest("hex");
}

/** A body that comes piece by piece, and its checksum. */
function piecewise(pieces, bytes) {
  const hash = createHash("sha256");
  async function* body() {
    for (let index = 0; index < pieces; index += 1) {
      const piece = Buffer.alloc(bytes, index);
      hash.update(piece);
      yield piece;
    }
  }
  return { body: body(), sum: () => hash.digest("hex") };
}

/** Asks for files of sizes from `first` on, all at once. */
async function sumsOfFiles(dispatcher, { origin, first, count }) {
  const asked = Array.from({ length: count }, async (_, index) => {
    const path = `/file?bytes=${first + index}`;
    const { body } = await dispatcher.request({ origin, path, method: "GET" });
    return await sumOf(body);
  });
  return await Promise.all(asked);
}

async function countsOf(agentOrPool, origin) {
  const { body } = await agentOrPool.request({ origin, path: "/echo", method: "GET" });
  return (await body.json()).seen;
}

/** One exchange by Node's own client. */
async function exchange(url, { body, ...options } = {}) {
  const outgoing = httpRequest(url, options);
  const events = [];
  outgoing.on("information", ({ statusCode, headers }) => events.push({ statusCode, headers }));
  const responded = once(outgoing, "response");
  if (options.headers?.Expect !== undefined) await once(outgoing, "continue");
  if (options.trailers !== undefined) {
    outgoing.setHeader("Trailer", Object.keys(options.trailers).join(", "));
    outgoing.write(body ?? "");
    outgoing.addTrailers(options.trailers);
    outgoing.end();
  } else {
    outgoing.end(body);
  }
  const [response] = await responded;
  let text = "";
  for await (const piece of response) text += piece;
  const { statusCode, trailers } = response;
  return { statusCode, text, trailers, events, reused: outgoing.reusedSocket };
}

const stories = {
  async pipelining(origin) {
    const pool = new Pool(origin, { connections: 2, pipelining: 10 });
    let [inFlight, isOver] = [0, false];
    pool.on("connect", () => {
      const look = () => {
        inFlight = Math.max(inFlight, pool.stats.running);
        if (!isOver) setImmediate(look);
      };
      look();
    });
    const sums = await sumsOfFiles(pool, { origin, first: 1000, count: 200 });
    isOver = true;
    return { sums, inFlight };
  },
  async concurrent(origin) {
    const agent = new Agent({ connections: 50 });
    return await sumsOfFiles(agent, { origin, first: 100_000, count: 300 });
  },
  async upload(origin) {
    const { body, sum } = piecewise(256, 64 * 1024);
    const answer = await request(`${origin}/sum`, { method: "POST", body });
    return { got: await answer.body.json(), sent: sum() };
  },
  async trailers(origin) {
    const { body, trailers } = await request(`${origin}/trailers`);
    return { text: await body.text(), trailers };
  },
  async hints(origin) {
    const infos = [];
    const onInfo = ({ statusCode, headers }) => infos.push({ statusCode, headers });
    const { body, statusCode } = await request(`${origin}/hints`, { onInfo });
    return { infos, statusCode, text: await body.text() };
  },
  async abort(origin) {
    const agent = new Agent();
    const before = (await countsOf(agent, origin)).broken;
    const abort = new AbortController();
    const { body } = await request(`${origin}/endless`, { signal: abort.signal });
    await body[Symbol.asyncIterator]().next();
    abort.abort();
    while ((await countsOf(agent, origin)).broken === before) await sleep(10);
    return (await countsOf(agent, origin)).broken - before;
  },
  async head(origin) {
    const { statusCode, headers, body } = await request(`${origin}/file?bytes=5000000`, {
      method: "HEAD",
    });
    return { statusCode, length: headers["content-length"], body: await body.text() };
  },
  async keepAlive(origin) {
    const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 });
    const reused = [];
    for (let index = 0; index < 50; index += 1) {
      reused.push((await exchange(`${origin}/echo?${index}`, { agent })).reused);
    }
    agent.destroy();
    return reused;
  },
  async expect(origin) {
    const headers = { Expect: "100-continue", "Content-Length": 5 };
    const { statusCode, text } = await exchange(`${origin}/sum`, {
      method: "POST",
      headers,
      body: "hello",
    });
    return { statusCode, bytes: JSON.parse(text).bytes };
  },
  async nodeHints(origin) {
    const { events, text } = await exchange(`${origin}/hints`);
    return { infos: events, text };
  },
  async requestTrailers(origin) {
    const trailers = { "X-Sum": "42" };
    const { text } = await exchange(`${origin}/sum`, { method: "POST", body: "hello", trailers });
    const { bytes, trailers: got } = JSON.parse(text);
    return { bytes, trailers: got };
  },
  async fetch(origin) {
    const { body, sum } = piecewise(64, 64 * 1024);
    const sent = await fetch(`${origin}/sum`, { method: "PUT", body, duplex: "half" });
    const { sha256 } = await sent.json();
    const gzip = await fetch(`${origin}/gzip?bytes=300000`);
    const moved = await fetch(`${origin}/moved`);
    return {
      upload: sha256 === sum(),
      gzip: await sumOf(gzip.body),
      moved: [moved.url, (await moved.json()).target],
    };
  },
};

const withOrigin = Object.entries(stories).map(([name, play]) => [
  name,
  (host) => play(`http://${host}`),
]);
await serveStories(Object.fromEntries(withOrigin));
