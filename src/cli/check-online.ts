/** The second half of `check --online`: tries the credential of every platform, and says whose it is. */

import { createSystemClock, deadline, keepAlive } from "../clock.ts";
import type { LoadedConfig } from "../load-config.ts";
import type { Log } from "../log.ts";
import { createPlatform, isPlatform, type PlatformName } from "../providers/platforms.ts";
import type { AccountReport } from "../providers/provider.ts";
import { adviceFor, createCallRecord } from "./online-advice.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";
import { count, type Row, section } from "./table.ts";

/** Longest to wait for one platform, ms: a rate limit may last a minute. */
const TRY_MS_MAX = 90_000;

/** Everything worth knowing stands in what is printed. */
const NO_LOG: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** What came of one platform. */
type Tried =
  | { readonly isGood: true; readonly rows: readonly Row[] }
  | { readonly isGood: false; readonly problem: string };

/** Says what came of each. @returns whether all of them can be used */
export async function tryAccounts(
  loaded: LoadedConfig,
  surroundings: Surroundings,
): Promise<boolean> {
  const platforms = loaded.config.providers.filter(isPlatform);
  // The clock's timers do not.
  const letGo = keepAlive();
  try {
    const tried = await Promise.all(platforms.map((name) => tryAccount(name, loaded)));
    const rows = tried.flatMap((one) => (one.isGood ? one.rows : []));
    if (rows.length > 0) tell(surroundings, section("Accounts", rows));
    const problems = tried.flatMap((one) => (one.isGood ? [] : one.problem));
    complain(surroundings, describeProblems(problems, platforms.length));
    return problems.length === 0;
  } finally {
    letGo();
  }
}

async function tryAccount(name: PlatformName, { config, given }: LoadedConfig): Promise<Tried> {
  const clock = createSystemClock();
  const record = createCallRecord(fetch);
  const tools = { clock, random: Math.random, log: NO_LOG, fetch: record.fetch };
  const provider = createPlatform(name, { config, ...tools });
  const limit = deadline(clock, TRY_MS_MAX, {
    reason: new Error(`there was no answer within ${TRY_MS_MAX / 1000} s`),
  });
  try {
    const reports = await provider.check?.(limit.signal);
    if (reports === undefined) return { isGood: true, rows: [[name, "has nothing to try"]] };
    if (reports.length === 0) return { isGood: true, rows: [[name, "works; it has no apps yet"]] };
    return { isGood: true, rows: reports.map((report) => describe(name, report)) };
  } catch (error) {
    const advice = adviceFor(error, { provider: name, config, given, asked: record.asked() });
    return { isGood: false, problem: `${name}: ${advice}` };
  } finally {
    limit.end();
    await provider.close();
  }
}

function describe(name: PlatformName, { account, region, apps, remaining }: AccountReport): Row {
  const left = remaining === null ? "calls left: not told" : `calls left: ${remaining}`;
  return [name, account, region ?? "all regions", count(apps, "app").toLowerCase(), left];
}

function describeProblems(problems: readonly string[], platforms: number): string {
  if (problems.length === 0) return "";
  const all = platforms === problems.length ? "" : ` of ${platforms}`;
  const noun = platforms === 1 ? "account" : "accounts";
  return [
    "",
    `${problems.length}${all} ${noun} cannot be used:`,
    "",
    ...problems.map((problem) => `  - ${problem}`),
    "",
    "Fix this, then run `paastis check --online`.",
    "",
  ].join("\n");
}
