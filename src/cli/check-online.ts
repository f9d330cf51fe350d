/** The second half of `check --online`: tries the credential of every platform, and says whose it is. */

import { createSystemClock, deadline, keepAlive } from "../clock.ts";
import type { Config } from "../config.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { createPlatform, isPlatform, type PlatformName } from "../providers/platforms.ts";
import type { AccountReport } from "../providers/provider.ts";
import type { Surroundings } from "./surroundings.ts";
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
interface Tried {
  readonly rows: readonly Row[];
  readonly isGood: boolean;
}

/** @returns the exit status: 0 when every credential works, 1 otherwise */
export async function tryAccounts(config: Config, surroundings: Surroundings): Promise<number> {
  const platforms = config.providers.filter(isPlatform);
  // The clock's timers do not.
  const letGo = keepAlive();
  try {
    const tried = await Promise.all(platforms.map((name) => tryAccount(name, config)));
    const title = platforms.length === 0 ? "No accounts: no platform is named" : "Accounts";
    surroundings.writeOut(
      section(
        title,
        tried.flatMap(({ rows }) => rows),
      ),
    );
    return tried.every(({ isGood }) => isGood) ? 0 : 1;
  } finally {
    letGo();
  }
}

async function tryAccount(name: PlatformName, config: Config): Promise<Tried> {
  const clock = createSystemClock();
  const provider = createPlatform(name, { config, clock, random: Math.random, log: NO_LOG, fetch });
  const limit = deadline(clock, TRY_MS_MAX, {
    reason: new Error(`there was no answer within ${TRY_MS_MAX / 1000} s`),
  });
  try {
    const reports = (await provider.check?.(limit.signal)) ?? [];
    return { isGood: true, rows: reports.map((report) => describe(name, report)) };
  } catch (error) {
    return { isGood: false, rows: [[name, `does not work: ${messageOf(error)}`]] };
  } finally {
    limit.end();
    await provider.close();
  }
}

function describe(name: PlatformName, { account, region, apps, remaining }: AccountReport): Row {
  const left =
    remaining === null ? "does not say how many calls are left" : `${remaining} calls left`;
  return [name, account, region ?? "all regions", count(apps, "app").toLowerCase(), left];
}
