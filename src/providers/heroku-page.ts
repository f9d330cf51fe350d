/** Lists that Heroku gives in parts: each part names the next one. */

import type { ApiAnswer } from "./platform-api.ts";
import { ProviderError } from "./provider.ts";

/** The most that one answer holds. Source: Platform API Reference, "Ranges". */
export const WHOLE_LIST = "id ..; max=1000";
/** Newest first, as Heroku's own command line asks for them: heroku/cli, `ps:wait` and `builds`. */
export const NEWEST_RELEASE = "version ..; max=1, order=desc";
export const NEWEST_BUILD = "created_at ..; max=1, order=desc";

/** A hundred thousand apps: more of them is a list that goes in circles. */
const PAGES_MAX = 100;

/**
 * Asks for parts until none is left.
 * @param ask gets what to send as `Range`
 * @throws ProviderError what `ask` throws; `protocol` when the list does not come to an end
 */
export async function readPages(
  ask: (range: string) => Promise<ApiAnswer>,
): Promise<readonly unknown[]> {
  const bodies: unknown[] = [];
  const asked = new Set<string>();
  for (let range: string | null = WHOLE_LIST; range !== null; ) {
    if (asked.has(range) || asked.size >= PAGES_MAX) throw endless(range);
    asked.add(range);
    const answer: ApiAnswer = await ask(range);
    bodies.push(answer.body);
    range = answer.header("next-range");
  }
  return bodies;
}

function endless(range: string): ProviderError {
  return new ProviderError("protocol", `Heroku's list does not come to an end: "${range}" again`);
}
