/** What a platform said last about an app that is neither up nor down: why it is left alone, and what people are told. */

import type { Observation, Phase } from "./providers/provider.ts";

/** What a platform said, and when. */
export interface LastWord {
  readonly observation: Observation;
  /** Ms since the epoch. */
  readonly atMs: number;
}

/** A word that will soon be over is believed so long, ms: the next list or look renews it. */
const PASSING_WORD_MS = 5 * 60_000;

/** How long each word keeps an app from being put to sleep, ms; words without an entry do not. */
const KEEPS_MS: Readonly<Partial<Record<Phase, number>>> = {
  blocked: Number.POSITIVE_INFINITY,
  unmanaged: Number.POSITIVE_INFINITY,
  deploying: PASSING_WORD_MS,
  waking: PASSING_WORD_MS,
  unknown: PASSING_WORD_MS,
};

/** Why an app is not put to sleep, to follow "because"; `null`: its platform said nothing against it. Pure. */
export function whyLeftAlone(word: LastWord | null, nowMs: number): string | null {
  if (word === null) return null;
  const keptMs = KEEPS_MS[word.observation.phase];
  if (keptMs === undefined || nowMs - word.atMs > keptMs) return null;
  return leftAloneBecause(word.observation);
}

const BLOCKED = "the platform blocks it";
const NOTHING_TO_WAKE = "there is nothing on the platform that could be woken";

/** The words that are ours alone, for people. */
const MEANINGS: Readonly<Partial<Record<Phase, string>>> = {
  blocked: BLOCKED,
  deploying: "it is being deployed",
  unknown: "its platform does not say how it is",
  unmanaged: "it runs, but is left alone",
  waking: "it is starting",
};

/** Why an app that is so is not put to sleep, to follow "because". */
export function leftAloneBecause({ phase, reason }: Observation): string {
  const meaning = MEANINGS[phase] ?? `its platform says it is ${phase}`;
  return reason === undefined ? meaning : `${meaning}: ${reason}`;
}

/** Words after which an app must be looked at before it is woken: the call could do harm, or nothing. */
const LOOK_FIRST: ReadonlySet<Phase> = new Set<Phase>([
  "blocked",
  "deploying",
  "unmanaged",
  "waking",
]);

/** Whether a wake must look at the app first. Pure. */
export function asksForLook(word: LastWord | null): boolean {
  return word !== null && LOOK_FIRST.has(word.observation.phase);
}

/** Why an app that its platform blocks cannot be woken, for whoever asked for it. */
export function blockedBecause({ reason }: Observation): string {
  const why = reason ?? "billing, moderation or maintenance; its page at the platform says which";
  return `${BLOCKED}: ${why}`;
}

/** Why an app that has nothing to wake cannot be woken. */
export function nothingToWake({ reason }: Observation): string {
  const why = reason === undefined ? "" : `: ${reason}`;
  return `${NOTHING_TO_WAKE}${why}`;
}

/** The beginning of a sentence of the two above, which anybody may read; `null` when it is none of them. */
export function publicBeginning(why: string): string | null {
  return [BLOCKED, NOTHING_TO_WAKE].find((words) => why.startsWith(words)) ?? null;
}
