/** The verb `serve`: runs Paastis until it is told to stop. */

import { type ConfigFlags, configFrom } from "./config-flags.ts";
import type { Surroundings } from "./surroundings.ts";

/**
 * @returns the exit status: 0 once it has shut down, 78 when the configuration cannot be used
 * @throws PaastisError what keeps it from starting
 */
export async function runServe(flags: ConfigFlags, surroundings: Surroundings): Promise<number> {
  const loaded = configFrom(flags, surroundings);
  if (typeof loaded === "number") return loaded;
  // The other verbs need nothing of all that this brings along.
  const { serve } = await import("../serve.ts");
  await serve({ ...loaded, ...surroundings.own });
  return 0;
}
