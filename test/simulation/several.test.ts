/**
 * Random orders of events against two to four instances that share a registry, under a virtual clock. A failure names its seed:
 * `PAASTIS_SEED=<seed> bun test test/simulation/several.test.ts` plays that one again.
 */

import { describe, expect, test } from "bun:test";
import { MISHAPS, playRush, playSeveral, playStop } from "./several-lives.ts";

/** More with the variable, as before a release. */
const RUNS = Number(process.env.FUZZ_ROUNDS ?? 5);
const STOPS = 2;

/** Plays lives from seeds that follow each other. @throws Error which names the first that went wrong */
async function playMany(
  runs: number,
  play: (seed: number) => Promise<{ readonly wrong: readonly string[] }>,
): Promise<void> {
  const replay = process.env.PAASTIS_SEED;
  const first = replay === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(replay);
  const last = replay === undefined ? first + runs - 1 : first;
  for (let seed = first; seed <= last; seed += 1) {
    const { wrong } = await play(seed);
    if (wrong.length > 0) {
      throw new Error(`replay with PAASTIS_SEED=${seed}\n  ${wrong.slice(0, 10).join("\n  ")}`);
    }
  }
}

test(`several instances: ${RUNS} random lives keep every invariant`, async () => {
  await playMany(RUNS, playSeveral);
}, 240_000);

test("several instances: a thousand requests at all of them for one sleeping app make one start", async () => {
  await playMany(2, playRush);
}, 60_000);

describe("several instances: the leader puts apps to sleep, and requests come at the others", () => {
  for (const mishap of MISHAPS) {
    test(`meanwhile: ${mishap}`, async () => {
      await playMany(STOPS, (seed) => playStop(seed, mishap));
    }, 60_000);
  }

  test("undisturbed, what is ordered is sent", async () => {
    let [ordered, sent] = [0, 0];
    for (let seed = 1; seed <= STOPS; seed += 1) {
      const { stops } = await playStop(seed, "nothing");
      ordered += stops.ordered;
      sent += stops.sent;
    }
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBe(ordered);
  }, 60_000);
});
