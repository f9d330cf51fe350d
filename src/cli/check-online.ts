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
    if (rows.length > 0) tell(surroundings, section(titleOf(platforms), withoutEmpty(rows)));
    const problems = tried.flatMap((one) => (one.isGood ? [] : one.problem));
    complain(surroundings, describeProblems(problems, platforms));
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

/** What has no regions, and counts no calls, has nothing in those columns. */
function describe(name: PlatformName, { account, region, apps, remaining }: AccountReport): Row {
  const where = region === undefined ? "" : (region ?? "all regions");
  const left = remaining === undefined ? "" : `calls left: ${remaining ?? "not told"}`;
  return [name, account, where, count(apps, "app").toLowerCase(), left];
}

function withoutEmpty(rows: readonly Row[]): Row[] {
  return rows.map((row) => row.filter((_cell, column) => rows.some((one) => one[column] !== "")));
}

/** What is tried of them; of all others it is an account. */
const NOUNS: Readonly<Partial<Record<PlatformName, string>>> = {
  docker: "engine",
  kubernetes: "cluster",
};

/** Of several kinds it is accounts, too. */
function nounOf(platforms: readonly PlatformName[]): string {
  const [first, ...others] = new Set(platforms.map((name) => NOUNS[name] ?? "account"));
  return first === undefined || others.length > 0 ? "account" : first;
}

function titleOf(platforms: readonly PlatformName[]): string {
  const noun = nounOf(platforms);
  return `${noun.charAt(0).toUpperCase()}${noun.slice(1)}s`;
}

function describeProblems(problems: readonly string[], platforms: readonly PlatformName[]): string {
  if (problems.length === 0) return "";
  const all = platforms.length === problems.length ? "" : ` of ${platforms.length}`;
  const noun = nounOf(platforms) + (platforms.length === 1 ? "" : "s");
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
