/** Large bodies in both directions. */

import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bench, inTurns, type Scenario, startContenders } from "../bench-world.ts";
import { download, upload } from "../clients/transfer.ts";
import type { ContenderName, Running } from "../contenders/contender.ts";
import { startFilesUpstream } from "../files-upstream.ts";
import { load } from "../load.ts";
import { startProgramUpstream } from "../program-upstream.ts";
import type { Sample } from "../sample.ts";

const MB = 1_048_576;
const GB = 1024 * MB;

/** So many requests with bodies of 1 MB are under way. */
const CONNECTIONS = 16;

/** The scenario. */
export const bodies: Scenario = {
  name: "bodies",
  title: "Large bodies, down and up",
  async run(bench) {
    const names: readonly ContenderName[] = bench.pick<readonly ContenderName[]>(
      ["nginx", "socket"],
      ["nginx", "haproxy", "caddy", "http-proxy", "socket", "fetch"],
    );
    return [...(await down(bench, names)), ...(await up(bench, names))];
  },
};

/** As it is called in tables: a quick run sends less of it. */
export const LARGE = {
  full: { name: "1 GB", bytes: GB },
  quick: { name: "256 MB", bytes: GB / 4 },
};

async function down(bench: Bench, names: readonly ContenderName[]): Promise<Sample[]> {
  const { name, bytes } = bench.pick(LARGE.quick, LARGE.full);
  await using upstream = startFilesUpstream(bench, [1024]);
  // Nothing but a length: the system makes up zeros, from memory.
  const file = join(upstream.files, "large");
  writeFileSync(file, "");
  truncateSync(file, bytes);
  const { port: upstreamPort, answers } = upstream;
  await using started = await startContenders(bench, { upstreamPort, names, answers });
  return [
    ...(await many(bench, started.running, { name: "1 MB down", path: "/1024k" })),
    ...(await one(bench, started.running, {
      name: `${name} down`,
      bytes,
      transfer: (port) => download(port, "/large", bytes),
    })),
  ];
}

async function up(bench: Bench, names: readonly ContenderName[]): Promise<Sample[]> {
  const { name, bytes } = bench.pick(LARGE.quick, LARGE.full);
  await using upstream = startProgramUpstream(bench);
  const expected = { bytes: Buffer.from("3000000"), upload: new Uint8Array(3_000_000) };
  await using started = await startContenders(bench, {
    upstreamPort: upstream.port,
    names,
    answers: new Map([["/", expected]]),
  });
  const manner = ["upload", String(MB)];
  return [
    ...(await many(bench, started.running, { name: "1 MB up", path: "/", manner })),
    ...(await one(bench, started.running, {
      name: `${name} up`,
      bytes,
      transfer: (port) => upload(port, "/", bytes),
    })),
  ];
}

async function many(
  bench: Bench,
  running: readonly Running[],
  what: { readonly name: string; readonly path: string; readonly manner?: readonly string[] },
): Promise<Sample[]> {
  const seconds = bench.pick(1, 2);
  const measure = async ({ name, port, process }: Running, forSeconds = seconds) => {
    const spent = process?.meter() ?? (() => Number.NaN);
    const done = await load({ ...what, port, seconds: forSeconds, connections: CONNECTIONS });
    return sampleOf(what.name, name, { mb: done.requests, seconds: done.seconds, cpu: spent() });
  };
  for (const each of running) await measure(each, 1);
  return inTurns(running, bench.pick(3, 4), (each) => measure(each));
}

async function one(
  bench: Bench,
  running: readonly Running[],
  what: {
    readonly name: string;
    readonly bytes: number;
    transfer(port: number): Promise<void>;
  },
): Promise<Sample[]> {
  return inTurns(running, bench.pick(3, 3), async ({ name, port, process }) => {
    const spent = process?.meter() ?? (() => Number.NaN);
    const beganMs = performance.now();
    await what.transfer(port);
    const seconds = (performance.now() - beganMs) / 1000;
    return sampleOf(what.name, name, { mb: what.bytes / MB, seconds, cpu: spent() });
  });
}

function sampleOf(
  load: string,
  subject: Sample["subject"],
  { mb, seconds, cpu }: { readonly mb: number; readonly seconds: number; readonly cpu: number },
): Sample {
  const values = { carried: mb / cpu, mbPerSecond: mb / seconds, busy: (cpu / seconds) * 100 };
  return { load, subject, values };
}
