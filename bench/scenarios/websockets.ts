/** WebSockets: what a message costs, and what one costs on which nothing is said. */

import { type Bench, inTurns, naming, type Scenario, startContenders } from "../bench-world.ts";
import { openWebSockets } from "../clients/websocket.ts";
import type { ContenderName, Running } from "../contenders/contender.ts";
import { carriedMax } from "../machine.ts";
import { startProgramUpstream } from "../program-upstream.ts";
import type { Sample } from "../sample.ts";

/** So many talk, each one message at a time. */
const TALKERS = 100;

/** As many idle ones as are wanted; fewer where descriptors are. */
const IDLE = 10_000;

const MESSAGE_BYTES = 64;

/** The scenario. */
export const websockets: Scenario = {
  name: "websockets",
  title: "WebSockets: echoes, and thousands on which nothing is said",
  async run(bench) {
    const names = bench.pick<readonly ContenderName[]>(
      ["nginx", "socket"],
      ["nginx", "haproxy", "caddy", "http-proxy", "socket", "fetch"],
    );
    await using upstream = startProgramUpstream(bench);
    const { port: upstreamPort } = upstream;
    const answers = new Map([["/", { bytes: Buffer.from("ok") }]]);
    await using started = await startContenders(bench, { upstreamPort, names, answers });
    const echoes = await echo(bench, started.running);
    const idle: Sample[] = [];
    for (const one of started.running) idle.push(await naming(one, rest));
    return [...echoes, ...idle];
  },
};

async function echo(bench: Bench, running: readonly Running[]): Promise<Sample[]> {
  const ms = bench.pick(1_000, 2_000);
  for (const one of running) await naming(one, (own) => echoOnce(own, 1_000));
  return inTurns(running, bench.pick(3, 4), (one) => echoOnce(one, ms));
}

async function echoOnce({ name, port, process }: Running, ms: number): Promise<Sample> {
  const sockets = await openWebSockets(port, TALKERS);
  const payload = "m".repeat(MESSAGE_BYTES);
  const spent = process?.meter() ?? (() => Number.NaN);
  const beganMs = performance.now();
  const isEnough = () => performance.now() - beganMs >= ms;
  const counts = await Promise.all(sockets.map((socket) => socket.chatter(payload, isEnough)));
  const seconds = (performance.now() - beganMs) / 1000;
  const cpuSeconds = spent();
  for (const socket of sockets) socket.close();
  const messages = counts.reduce((sum, count) => sum + count, 0);
  return {
    load: `echo x ${TALKERS}`,
    subject: name,
    values: {
      cpuMessage: (cpuSeconds / messages) * 1e6,
      perSecond: messages / seconds,
      busy: (cpuSeconds / seconds) * 100,
    },
  };
}

/** Memory of idle ones, against memory with a few of them, so that what is there once does not count. */
async function rest({ name, port, process }: Running): Promise<Sample> {
  const count = carriedMax(IDLE);
  const few = await openWebSockets(port, Math.min(200, count >> 1));
  const before = process?.residentBytes() ?? Number.NaN;
  const sockets = await openWebSockets(port, count - few.length);
  const bytesEach = ((process?.residentBytes() ?? Number.NaN) - before) / sockets.length;
  const lost = [...few, ...sockets].filter(({ isOver }) => isOver).length;
  for (const socket of [...few, ...sockets]) socket.close();
  return { load: "idle", subject: name, values: { bytesEach, sockets: count, lost } };
}
