/** The part of `check --online` that tries the Redis of the registry. */

import { messageOf } from "../errors.ts";
import type { RedisAddress } from "../redis/connection.ts";
import { lookAtRedis, type RedisLook } from "../redis/redis-look.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";
import { inWords, section } from "./table.ts";

/** Looks, changes nothing, and says what came of it. @returns whether the registry can be kept there */
export async function tryRedis(
  address: RedisAddress,
  instance: string,
  surroundings: Surroundings,
): Promise<boolean> {
  try {
    const look = await lookAtRedis(address, instance);
    tell(surroundings, section("Registry", [["redis", `works${detailsOf(look)}`]]));
    complain(surroundings, doubtOf(look));
    return true;
  } catch (error) {
    const why = `Redis at ${address.shown}: ${messageOf(error)}`;
    const next = "Fix this, then run `paastis check --online`.";
    complain(surroundings, `\nThe registry cannot be used:\n\n  - ${why}\n\n${next}\n`);
    return false;
  }
}

function detailsOf({ version, role, evicts }: RedisLook): string {
  const details = [
    version === null ? [] : [`version ${version}`],
    role === null ? [] : [role],
    evicts === null ? [] : [`maxmemory-policy ${evicts}`],
  ].flat();
  return details.length === 0 ? "" : `; ${inWords(details)}`;
}

/** With any other policy, a full Redis forgets what brings apps back. */
function doubtOf({ evicts }: RedisLook): string {
  if (evicts === null || evicts === "noeviction") return "";
  return `\nRedis throws away what it holds when its memory is full (maxmemory-policy ${evicts}): apps that sleep might not be brought back as they were. Set it to noeviction.\n`;
}
