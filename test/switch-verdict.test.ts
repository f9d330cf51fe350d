import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { judgeTraffic, type Tally, type VerdictThresholds } from "../src/switch-verdict.ts";
import { createChance } from "./support/random.ts";

const THRESHOLDS: VerdictThresholds = { requestsMin: 20, errorRateMin: 0.1, timesWorse: 2 };

function tally(errors: number, requests: number): Tally {
  return { requests, errors };
}

function rollsBack(since: Tally, before: Tally, thresholds = THRESHOLDS): boolean {
  return judgeTraffic({ before, since, thresholds }).rollBack;
}

describe("verdict: examples", () => {
  /* biome-ignore format: a table */
  const examples: readonly [since: [number, number], before: [number, number], rollsBack: boolean, because: string][] = [
    [[0, 0], [0, 0], false, "nobody came"],
    [[0, 100_000], [0, 0], false, "nothing failed"],
    [[2, 3], [0, 1000], false, "three requests say nothing"],
    [[19, 19], [0, 1000], false, "one request is missing"],
    [[20, 20], [0, 1000], true, "everything fails"],
    [[20, 20], [0, 0], true, "everything fails, and nobody came before"],
    [[5, 20], [0, 1000], false, "it may have been bad luck"],
    [[7, 20], [0, 1000], true, "a third fails"],
    [[14, 100], [0, 1000], false, "it may have been 10 % and bad luck"],
    [[25, 100], [0, 1000], true, "a quarter fails"],
    [[1100, 10_000], [0, 100_000], true, "11 % of many are certainly more than 10 %"],
    [[1000, 10_000], [0, 100_000], false, "10 % are put up with"],
    [[90, 1000], [0, 100_000], false, "9 % are put up with"],
    [[250, 1000], [200, 1000], false, "the old one failed nearly as often"],
    [[300, 1000], [200, 1000], false, "not twice as bad"],
    [[500, 1000], [200, 1000], true, "more than twice as bad"],
    [[1000, 1000], [600, 1000], true, "everything fails, of the old one's only 60 %"],
    [[700, 1000], [600, 1000], false, "both are broken"],
    [[1000, 1000], [100, 100], false, "the old one failed always: going back would not help"],
    [[20, 20], [1, 1], true, "one visitor's error before excuses nothing"],
    [[20, 20], [10, 20], true, "the old one answered half of them"],
    [[7, 20], [5, 20], false, "few requests, and both fail"],
    [[40, 60], [0, 40], true, "a burst right after the switch"],
    [[40, 5000], [0, 5000], false, "a burst that is over is one of many requests"],
  ];
  for (const [since, before, expected, because] of examples) {
    const numbers = `${since.join(" of ")}, before ${before.join(" of ")}`;
    test(`${numbers}: ${expected ? "back" : "it stays"}: ${because}`, () => {
      expect(rollsBack(tally(...since), tally(...before))).toBe(expected);
    });
  }

  /* biome-ignore format: a table */
  const settings: readonly [what: string, given: Partial<VerdictThresholds>, since: Tally, before: Tally, expected: boolean][] = [
    ["requestsMin 1: two errors are never enough", { requestsMin: 1 }, tally(2, 2), tally(0, 0), false],
    ["requestsMin 1: three of three are", { requestsMin: 1 }, tally(3, 3), tally(0, 0), true],
    ["requestsMin 1: three of ten are not", { requestsMin: 1 }, tally(3, 10), tally(0, 0), false],
    ["errorRateMin 1: never", { errorRateMin: 1 }, tally(1000, 1000), tally(0, 1000), false],
    ["errorRateMin 0: any failures, if the old one had none", { errorRateMin: 0 }, tally(3, 1000), tally(0, 1000), true],
    ["errorRateMin 0: not if the old one had as many", { errorRateMin: 0 }, tally(3, 1000), tally(3, 1000), false],
    ["timesWorse 0: no excuse", { timesWorse: 0 }, tally(300, 1000), tally(1000, 1000), true],
    ["timesWorse 1: as bad as before is enough, bad luck aside", { timesWorse: 1 }, tally(300, 1000), tally(200, 1000), true],
    ["timesWorse 10: 5 % excuse a third", { timesWorse: 10 }, tally(350, 1000), tally(50, 1000), false],
  ];
  test.each(settings)("%s", (_, given, since, before, expected) => {
    expect(rollsBack(since, before, { ...THRESHOLDS, ...given })).toBe(expected);
  });

  /* biome-ignore format: a table */
  const reasons: readonly [since: Tally, before: Tally, why: string][] = [
    [tally(0, 0), tally(0, 0), "no requests to the new target, no requests to the old one before; fewer than 20 say nothing"],
    [tally(2, 30), tally(1, 400), "2 failed of 30 requests to the new target, 1 failed of 400 requests to the old one before; fewer than 3 errors say nothing"],
    [tally(5, 20), tally(0, 0), "5 failed of 20 requests to the new target, no requests to the old one before; at least 7.4 % fail, chance apart (allowed: 10 %)"],
    [tally(500, 1000), tally(200, 1000), "500 failed of 1000 requests to the new target, 200 failed of 1000 requests to the old one before; at least 45 % fail, chance apart (allowed: 33 %)"],
  ];
  test.each(reasons)("the reason has the numbers: %j, %j", (since, before, why) => {
    expect(judgeTraffic({ since, before, thresholds: THRESHOLDS }).why).toBe(why);
  });
});

describe("verdict: always", () => {
  const count = fc.oneof(fc.nat(50), fc.nat(100_000));
  const tallies = fc
    .tuple(count, fc.double({ min: 0, max: 1, noNaN: true }))
    .map(([requests, share]): Tally => ({ requests, errors: Math.round(requests * share) }));
  const thresholds = fc.record({
    requestsMin: fc.integer({ min: 1, max: 200 }),
    errorRateMin: fc.double({ min: 0, max: 1, noNaN: true }),
    timesWorse: fc.double({ min: 1, max: 20, noNaN: true }),
  });
  const facts = fc.record({ before: tallies, since: tallies, thresholds });

  function holds(property: (given: Parameters<typeof judgeTraffic>[0]) => boolean) {
    fc.assert(fc.property(facts, property), { numRuns: 2000 });
  }

  test("there is a reason on one line, and no number in it is broken", () => {
    holds((given) => {
      expect(judgeTraffic(given).why).toMatch(/^(?!.*(NaN|Infinity|undefined|-\d)).+$/);
      return true;
    });
  });

  test("too few requests or errors never roll back", () => {
    holds((given) => {
      const { since, thresholds: limits } = given;
      const isEnough = since.requests >= limits.requestsMin && since.errors >= 3;
      return isEnough || !judgeTraffic(given).rollBack;
    });
  });

  test("a share that is put up with, or is no larger than the old one's, never rolls back", () => {
    holds((given) => {
      const { before, since, thresholds: limits } = given;
      const isTolerable = since.errors <= since.requests * limits.errorRateMin;
      const isAsBefore =
        before.requests >= limits.requestsMin &&
        since.errors * before.requests <= before.errors * since.requests;
      return !(isTolerable || isAsBefore) || !judgeTraffic(given).rollBack;
    });
  });

  test("one error more never saves the new target, and one good answer more never dooms it", () => {
    holds((given) => {
      const { since } = given;
      const { rollBack } = judgeTraffic(given);
      const worse = { ...since, errors: Math.min(since.errors + 1, since.requests) };
      if (rollBack) return judgeTraffic({ ...given, since: worse }).rollBack;
      const better = { ...since, requests: since.requests + 1 };
      if (since.requests < given.thresholds.requestsMin) return true;
      return !judgeTraffic({ ...given, since: better }).rollBack;
    });
  });

  test("one error more of the old target never dooms the new one", () => {
    holds((given) => {
      const { before } = given;
      if (judgeTraffic(given).rollBack || before.errors === before.requests) return true;
      const worse = { ...before, errors: before.errors + 1 };
      return !judgeTraffic({ ...given, before: worse }).rollBack;
    });
  });

  test("the same shares of more requests do not change a verdict to roll back", () => {
    holds((given) => {
      const { since } = given;
      if (!judgeTraffic(given).rollBack) return true;
      const more = { requests: since.requests * 3, errors: since.errors * 3 };
      return judgeTraffic({ ...given, since: more }).rollBack;
    });
  });
});

describe("verdict: looked at after every request", () => {
  const RUNS = 1000;

  /** How many of `RUNS` new targets are rolled back within 300 requests, and after how many of these at the latest. */
  function played(rates: { before: number; since: number }, seed: number) {
    const chance = createChance(seed);
    const errorsOf = (requests: number, rate: number) =>
      Array.from({ length: requests }, () => chance.happens(rate)).filter(Boolean).length;
    let back = 0;
    let latest = 0;
    for (let run = 0; run < RUNS; run += 1) {
      const before = tally(errorsOf(200, rates.before), 200);
      let errors = 0;
      for (let requests = 1; requests <= 300; requests += 1) {
        if (chance.happens(rates.since)) errors += 1;
        if (!rollsBack(tally(errors, requests), before)) continue;
        back += 1;
        latest = Math.max(latest, requests);
        break;
      }
    }
    return { back, latest };
  }

  test.each([0, 0.01, 0.03, 0.05])(
    "a version that fails as rarely as the old one, %d, stays",
    (rate) => {
      expect(played({ before: rate, since: rate }, 1).back).toBeLessThanOrEqual(RUNS / 1000);
    },
  );

  test.each([0.2, 0.5, 0.9, 1])(
    "a version that fails as often as the old one, %d, stays",
    (rate) => {
      expect(played({ before: rate, since: rate }, 2).back).toBeLessThanOrEqual(RUNS / 100);
    },
  );

  test.each([0.5, 0.8, 1])("a version that fails %d is found out within 60 requests", (rate) => {
    const { back, latest } = played({ before: 0.01, since: rate }, 3);
    expect(back).toBe(RUNS);
    expect(latest).toBeLessThanOrEqual(60);
  });
});
