/** Few connections and many, and thousands on which nothing happens beside those in use. */

import {
  type Bench,
  directTo,
  inTurns,
  naming,
  type Scenario,
  startContenders,
} from "../bench-world.ts";
import { connectHttp, type HttpClient, requestOf } from "../clients/http-client.ts";
import { type ContenderName, HOST, type Running } from "../contenders/contender.ts";
import { startFilesUpstream } from "../files-upstream.ts";
import { load } from "../load.ts";
import type { Sample } from "../sample.ts";
import { measureLoad, measureOnce } from "./throughput.ts";

/** How many rest, beside 100 that do not. */
const IDLE = 5_000;
const BUSY = 100;

const REQUEST = requestOf("/1k", HOST);

/** The scenario. */
export const connections: Scenario = {
  name: "connections",
  title: "Few connections and many, thousands of idle ones, and those made to the upstream",
  async run(bench) {
    const names = bench.pick<readonly ContenderName[]>(
      ["nginx", "socket"],
      ["nginx", "haproxy", "caddy", "socket", "fetch"],
    );
    await using upstream = startFilesUpstream(bench, [1]);
    const { port: upstreamPort, answers } = upstream;
    await using started = await startContenders(bench, { upstreamPort, names, answers });
    const { running } = started;
    // First, as nobody has connections to the upstream yet.
    const all = [directTo(upstreamPort), ...running];
    const samples = await inTurns(all, 1, (one) => countSockets(upstreamPort, one));
    for (const count of bench.pick([10], [10, 50, 250])) {
      const plain = { name: `1 KB x ${count}`, path: "/1k", connections: count };
      samples.push(...(await measureLoad(bench, running, plain)));
    }
    for (const one of running) {
      samples.push(...(await naming(one, (own) => besideIdle(bench, own))));
    }
    return samples;
  },
};

/** Each of the idle ones was used once; what one costs in memory comes from how much they make it grow. */
async function besideIdle(bench: Bench, one: Running): Promise<Sample[]> {
  const plain = { name: `1 KB x ${BUSY}, ${IDLE} idle`, path: "/1k", connections: BUSY };
  const few = await openIdle(one.port, 200);
  const before = one.process?.residentBytes() ?? Number.NaN;
  const many = await openIdle(one.port, IDLE - few.length);
  const bytesEach = ((one.process?.residentBytes() ?? Number.NaN) - before) / many.length;
  const idle = [...few, ...many];
  const samples = [];
  for (let round = 0; round < bench.pick(2, 4); round += 1) {
    const { values, ...sample } = await measureOnce(one, plain, bench.pick(1, 2));
    samples.push({ ...sample, values: { ...values, bytesEach } });
  }
  const lost = idle.filter(({ isOver }) => isOver).length;
  for (const client of idle) client.close();
  return samples.map((sample) => ({ ...sample, values: { ...sample.values, lost } }));
}

async function openIdle(port: number, count: number): Promise<HttpClient[]> {
  const clients: HttpClient[] = [];
  while (clients.length < count) {
    const batch = Array.from({ length: Math.min(100, count - clients.length) }, async () => {
      const client = await connectHttp(port);
      await client.ask(REQUEST);
      return client;
    });
    clients.push(...(await Promise.all(batch)));
  }
  return clients;
}

/** How many connections the upstream got for a second of load, by its own count. */
async function countSockets(upstreamPort: number, { name, port }: Running): Promise<Sample> {
  const before = await acceptedBy(upstreamPort);
  const done = await load({ port, path: "/1k", connections: BUSY, seconds: 1 });
  // The question itself took one.
  const sockets = (await acceptedBy(upstreamPort)) - before - 1;
  return {
    load: `made to the upstream for ${BUSY}`,
    subject: name,
    values: { sockets, requests: done.requests },
  };
}

/** nginx' own count: the numbers below the line that says what they are. */
async function acceptedBy(port: number): Promise<number> {
  const url = `http://127.0.0.1:${port}/-/connections`;
  const text = await (await fetch(url, { keepalive: false })).text();
  const accepted = /^\s*(\d+) \d+ \d+/m.exec(text)?.[1];
  if (accepted === undefined) throw new Error(`nginx does not count its connections: ${text}`);
  return Number(accepted);
}
