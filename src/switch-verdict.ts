/** Whether real traffic says that a new target is so much worse than the old one that its switch must be undone. */

/** What became of requests to one target. */
export interface Tally {
  readonly requests: number;
  /** Those among them that ended in a 5xx status, or in a connection that could not be made or broke. */
  readonly errors: number;
}

/** What is put up with. */
export interface VerdictThresholds {
  /** Fewer requests than these say nothing. */
  readonly requestsMin: number;
  /** Share of requests that may fail in any case; from 0 to 1, and with 1 nothing is ever undone. */
  readonly errorRateMin: number;
  /** How many times the odds of failing may be those of the old target. */
  readonly timesWorse: number;
}

/**
 * One or two errors are never enough, however few requests there were: a single visitor with a broken link makes
 * as many.
 */
const ERRORS_MIN = 3;

/**
 * Standard deviations of doubt that a new target is given. By 3 a rate is overrated once in 740 looks, and
 * the looks at one switch, hundreds of them, see mostly the same requests.
 */
const DOUBT = 3;

/**
 * Pure. The switch is undone when, bad luck aside, a larger share of requests fails than `errorRateMin` and than
 * the old target's own failures excuse.
 *
 * "Bad luck aside" is the lower end of the Wilson score interval: the smallest true error rate that what was seen can
 * be explained with. Unlike plain shares, or those plus and minus a margin, it is sound for few requests and for shares
 * near 0 and 1. Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
 * JASA 22 (1927); L. D. Brown, T. T. Cai and A. DasGupta, "Interval estimation for a binomial proportion", Statistical
 * Science 16 (2001).
 *
 * What the old target excuses is its share of errors, with the odds times `timesWorse`. For small shares that is the
 * share times `timesWorse`; but twice 60 % would be more than there is, and of odds 60 % excuse 75 %. Who failed
 * always excuses everything: going back would not help. An old target that had fewer than `requestsMin` requests is
 * taken to have answered the missing ones well: one visitor's error excuses nothing.
 *
 * It sees sums only. So that errors which begin late are not lost among all that went well before, `since` should
 * not reach back further than some dozens of seconds.
 */
export function judgeTraffic(facts: {
  readonly before: Tally;
  readonly since: Tally;
  readonly thresholds: VerdictThresholds;
}): { readonly rollBack: boolean; readonly why: string } {
  const { before, since, thresholds } = facts;
  const seen = `${failures(since)} to the new target, ${failures(before)} to the old one before`;
  if (since.requests < thresholds.requestsMin) {
    return { rollBack: false, why: `${seen}; fewer than ${thresholds.requestsMin} say nothing` };
  }
  if (since.errors < ERRORS_MIN) {
    return { rollBack: false, why: `${seen}; fewer than ${ERRORS_MIN} errors say nothing` };
  }
  const least = leastRate(since);
  const most = Math.max(thresholds.errorRateMin, excusedRate(before, thresholds));
  const rollBack = least > most;
  const rates = `at least ${percent(least)} fail, chance apart (allowed: ${percent(most)})`;
  return { rollBack, why: `${seen}; ${rates}` };
}

/** The lower end of the Wilson score interval. */
function leastRate({ requests, errors }: Tally): number {
  const rate = Math.min(errors / requests, 1);
  const square = DOUBT ** 2;
  const middle = rate + square / (2 * requests);
  const margin = DOUBT * Math.sqrt((rate * (1 - rate)) / requests + (DOUBT / (2 * requests)) ** 2);
  // Rounding can make it a little less than nothing.
  return Math.max(0, (middle - margin) / (1 + square / requests));
}

function excusedRate(
  { requests, errors }: Tally,
  { requestsMin, timesWorse }: VerdictThresholds,
): number {
  if (errors === 0 || timesWorse === 0) return 0;
  const rate = Math.min(errors / Math.max(requests, requestsMin), 1);
  // Odds are rate / (1 - rate); this is the rate of `timesWorse` times the odds, made safe for a rate of 1.
  return (timesWorse * rate) / (1 + (timesWorse - 1) * rate);
}

function failures({ requests, errors }: Tally): string {
  if (requests === 0) return "no requests";
  return `${errors} failed of ${requests} requests`;
}

function percent(rate: number): string {
  return `${Number((rate * 100).toFixed(rate < 0.1 ? 1 : 0))} %`;
}
