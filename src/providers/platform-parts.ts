/** The apps of a platform that lists them part by part: a part that cannot be listed takes nothing from the others. */

import type { Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import { type Listing, troubleOf } from "./provider.ts";

/** The lists of all parts: regions, say, or projects. */
export interface PartLists {
  /**
   * Asks for all parts at once. One that fails keeps the apps that it had, in an unknown state, so that the others'
   * still come and go. Parts that are not asked for any more are forgotten.
   * @throws what the first did when all fail
   */
  fetch(
    parts: readonly string[],
    list: (part: string) => Promise<readonly Listing[]>,
  ): Promise<readonly Listing[]>;
  /** What the newest list of a part failed with; `null`: it did not. */
  failureOf(part: string): unknown;
  /** The same, for people. */
  whySilent(part: string): string | null;
  /** Whether it was ever listed. */
  isKnown(part: string): boolean;
}

/** What the parts of a platform are. */
export interface PartsOptions {
  readonly provider: string;
  /** What one is called, in sentences and as the field that names it: `region`. */
  readonly noun: string;
  readonly clock: Clock;
  readonly log: Log;
}

interface Part {
  /** What it listed last; `null`: nothing yet. */
  listings: readonly Listing[] | null;
  /** Why it could not be listed the last time; `null`: it could. */
  failure: { readonly error: unknown } | null;
  /** Says that it cannot be listed, where others can. */
  readonly condition: Condition;
}

/** Nothing is listed yet. */
export function createPartLists(options: PartsOptions): PartLists {
  const parts = new Map<string, Part>();
  const failureOf = (name: string) => parts.get(name)?.failure?.error ?? null;
  return {
    async fetch(names, list) {
      for (const name of parts.keys()) if (!names.includes(name)) parts.delete(name);
      const asked = names.map((name) => ({ name, part: partOf(parts, name, options) }));
      await Promise.all(asked.map(({ name, part }) => ask(part, () => list(name))));
      const failed = asked.filter(({ part }) => part.failure !== null);
      // Whoever asked for the list says so.
      if (failed.length > 0 && failed.length === asked.length) throw failed[0]?.part.failure?.error;
      for (const { part } of asked) report(part, options.noun);
      return asked.flatMap(({ part }) => listingsOf(part));
    },
    failureOf,
    whySilent(name) {
      const error = failureOf(name);
      return error === null ? null : messageOf(error);
    },
    isKnown: (name) => (parts.get(name)?.listings ?? null) !== null,
  };
}

function partOf(parts: Map<string, Part>, name: string, options: PartsOptions): Part {
  const known = parts.get(name);
  if (known !== undefined) return known;
  const { clock, log, noun, provider } = options;
  const fields = { provider, [noun]: name };
  const condition = createCondition({ bad: log.warn, good: log.info, fields, clock });
  const part: Part = { listings: null, failure: null, condition };
  parts.set(name, part);
  return part;
}

async function ask(part: Part, list: () => Promise<readonly Listing[]>): Promise<void> {
  try {
    part.listings = await list();
    part.failure = null;
  } catch (error) {
    part.failure = { error };
  }
}

function report({ condition, failure }: Part, noun: string): void {
  if (failure === null) {
    condition.end(`lists the apps of this ${noun} again`);
    return;
  }
  const trouble = troubleOf(failure.error);
  // The log has it already, unless it has it from here.
  if (trouble?.isKnown() === true && !condition.isKnown()) return;
  const until = "until it answers, what is known of them stays, and none of them is put to sleep";
  condition.begin(`cannot list the apps of this ${noun} (${messageOf(failure.error)}): ${until}`);
  trouble?.takeOver();
}

/** Of a part that was never listed nobody knows the apps: those of an earlier run stay as they are. */
function listingsOf({ failure, listings }: Part): readonly Listing[] {
  const known = listings ?? [];
  if (failure === null) return known;
  const reason = messageOf(failure.error);
  return known.map((listing) => ({
    ...listing,
    observation: {
      phase: "unknown",
      target: listing.observation?.target ?? listing.target ?? null,
      reason,
    },
  }));
}
