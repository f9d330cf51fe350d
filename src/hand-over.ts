/** The end of an instance whose apps end with it, where others go on. */

import type { AppTable } from "./app-table.ts";
import { type Clock, sleep } from "./clock.ts";
import { messageOf } from "./errors.ts";
import { recordOf } from "./lifecycle-context.ts";
import type { Log } from "./log.ts";
import type { Peers } from "./peers.ts";
import type { Provider } from "./providers/provider.ts";
import type { Registry } from "./registry/registry.ts";

/** What goes from other instances to apps that end with this one has so long to finish, ms. */
const HAND_OVER_MS = 2000;

/**
 * Other instances start anew what ends with this one: they are told before it does, and what they have sent to it may
 * finish. Takes no time where there is nobody else, or nothing to hand over. Never rejects.
 */
export async function handOver(options: {
  readonly table: Pick<AppTable, "known">;
  readonly peers: Pick<Peers, "self" | "state">;
  readonly registry: Pick<Registry, "save">;
  readonly providers: readonly Provider[];
  readonly clock: Clock;
  readonly log: Log;
}): Promise<void> {
  const { table, peers, registry, providers, clock, log } = options;
  if (peers.state().others.length === 0) return;
  const runners = providers.filter(({ capabilities }) => capabilities.runsApps === true);
  const names = new Set(runners.map(({ name }) => name));
  const ending = table.known().filter(({ ref, runsAt, state }) => {
    return names.has(ref.provider) && runsAt === peers.self && state.kind === "awake";
  });
  if (ending.length === 0) return;
  try {
    for (const app of ending) {
      await registry.save({ ...recordOf(app), phase: "asleep", sinceMs: clock.now() });
    }
    await sleep(clock, HAND_OVER_MS);
  } catch (error) {
    log.warn({ reason: messageOf(error) }, "other instances could not be told that apps end here");
  }
}
