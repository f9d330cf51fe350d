/** Large bodies between a fast side and a slow one: `BODY_GB=5` makes them that large, otherwise 256 MB. */

import { expect, test } from "bun:test";
import { createChance } from "../support/random.ts";
import { connectHttp, type HttpClient } from "./http-client.ts";
import { createNoise } from "./noise.ts";
import { type Program, startProgram } from "./program.ts";
import type { LoadRequest } from "./request.ts";

const GB = 1_073_741_824;
const BODY_BYTES = Math.round(Number(process.env.BODY_GB ?? "0.25") * GB);
const RSS_MAX_BYTES = 150 * 1_048_576;
const TIMEOUT_MS = 90_000 + (BODY_BYTES / GB) * 60_000;

/** At first the slow side takes nothing, longer than the fast one needs to fill every buffer on the way. */
const FIRST_PAUSE_MS = 500;
/** Then it rests a little after each so many bytes. */
const REST_EVERY_BYTES = 8 * 1_048_576;
const REST_MS = 5;

const REQUEST: Omit<LoadRequest, "method" | "target" | "wanted" | "wantedFraming"> = {
  app: "files",
  tag: "large",
  status: 200,
  seed: 77,
  bodyBytes: 0,
  bodyFraming: "none",
  wantedBytes: 0,
};

async function carry(program: Program, request: LoadRequest, client: HttpClient): Promise<void> {
  program.forgetPeak();
  const sinceMs = performance.now();
  const cpuSeconds = program.cpuSeconds();
  const outcome = await client.ask(request, createChance(3));
  const seconds = (performance.now() - sinceMs) / 1000;
  const peak = program.peakBytes();
  console.log(
    `${request.method} ${BODY_BYTES / 1_048_576} MB, ${request.bodyFraming}/${request.wantedFraming}: ` +
      `${seconds.toFixed(1)} s, ${(program.cpuSeconds() - cpuSeconds).toFixed(1)} s of processor time, ` +
      `at most ${(peak / 1_048_576).toFixed(0)} MB of memory`,
  );
  expect(outcome.kind === "right" ? "right" : outcome).toBe("right");
  expect(peak).toBeLessThan(RSS_MAX_BYTES);
  client.line.end();
}

/** Pauses the client's reading as described above. */
function createSlowness(): (client: HttpClient) => void {
  let restAt = 1;
  return (client) => {
    if (client.bytes < restAt) return;
    const pauseMs = restAt === 1 ? FIRST_PAUSE_MS : REST_MS;
    restAt = client.bytes + REST_EVERY_BYTES;
    client.line.pause();
    setTimeout(() => client.line.resume(), pauseMs);
  };
}

test.each(["length", "chunked"] as const)(
  "load: a large download by a slow client, %s, is right and takes little memory",
  async (framing) => {
    await using program = await startProgram({ apps: ["files"] });
    const noise = createNoise();
    const onPiece = createSlowness();
    const client = await connectHttp(program.port, { noise, exact: true, onPiece });
    const request: LoadRequest = {
      ...REQUEST,
      method: "GET",
      target: `/blob?seed=77&bytes=${BODY_BYTES}&framing=${framing}`,
      wanted: "noise",
      wantedBytes: BODY_BYTES,
      wantedFraming: framing,
    };
    await carry(program, request, client);
  },
  TIMEOUT_MS,
);

test.each(["length", "chunked"] as const)(
  "load: a large upload to a slow app, %s, is right and takes little memory",
  async (framing) => {
    await using program = await startProgram({ apps: ["files"] });
    const client = await connectHttp(program.port, { noise: createNoise(), exact: true });
    const slowness = `firstMs=${FIRST_PAUSE_MS}&every=${REST_EVERY_BYTES}&ms=${REST_MS}`;
    const request: LoadRequest = {
      ...REQUEST,
      method: "POST",
      target: `/sip?seed=77&${slowness}`,
      bodyBytes: BODY_BYTES,
      bodyFraming: framing,
      wanted: "json",
      wantedFraming: "length",
    };
    await carry(program, request, client);
  },
  TIMEOUT_MS,
);
