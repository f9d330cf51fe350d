/** What providers differ in, as far as reading the configuration has to know. */

import type { Config, ProviderName } from "./config.ts";

/** Providers whose apps all stand in `paastis.yml`. */
const DECLARED_ONLY: ReadonlySet<ProviderName> = new Set<ProviderName>([
  "process",
  "ports",
  "http",
]);

/** Whether a platform lists the provider's apps, so that nobody knows them before it is asked. */
export function listsItsOwn(provider: ProviderName): boolean {
  return !DECLARED_ONLY.has(provider);
}

/** The regions of all accounts that have some. */
export function regionsOf(config: Config): readonly string[] {
  const parts: readonly unknown[] = Object.values(config);
  return parts.flatMap((part) => {
    if (typeof part !== "object" || part === null || !("regions" in part)) return [];
    return Array.isArray(part.regions) ? part.regions.map(String) : [];
  });
}
