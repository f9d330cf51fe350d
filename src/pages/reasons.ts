/** The reasons that Paastis gives for a failure, recognised so that pages can say them in other languages. */

import type { Language } from "./language.ts";
import { fill, TEXTS } from "./texts.ts";

/** What each reason looks like. What its groups find is filled into the translation. */
const PATTERNS = {
  noAnswer: /^it did not answer within (?<time>.+)$/,
  noConnection: /^no connection could be made(?: for (?<time>.+))?$/,
  notStarted: /^it could not be started$/,
  exited: /^exited with status (?<status>\d+)(?: \(\w+\))?(?: after .+)?$/,
  refused: /^its platform refused the call$/,
  busy: /^its platform (?:is busy with it|takes no more calls at the moment)$/,
  platformAway: /^its platform (?:cannot be reached at the moment|gave an answer that .+)$/,
  unknownThere: /^its platform does not know it$/,
  blocked: /^the platform blocks it$/,
  nothingToWake: /^there is nothing on the platform that could be woken$/,
  wentWrong: /^(?:it went wrong|an unexpected error)$/,
  full: /^(?:\d+|too many) (?:requests|uploads) wait(?: for (?:this app|it))? already$/,
  stopping: /^(?:Paastis is shutting down|it was told to stop|the app was still waking)$/,
  wakeBegun: /^it was down; its wake has begun$/,
  noSuchApp: /^there is no app with the key "(?<key>.*)"$/,
  noName: /^an address names no app$/,
  notAsked: /^not every provider has been asked for its apps yet$/,
  listsAway: /^a platform that lists apps cannot be reached at the moment, or does not answer$/,
  cut: /^the connection ended before there was an answer$/,
  tooLong: /^it took too long$/,
  retired: /^it was still with the old version when its time was over$/,
  tooMany: /^too many connections are open$/,
  paused: /^it is paused$/,
  maintenance: /^it is in maintenance$/,
  takenOver: /^another instance may have taken over$/,
} as const satisfies Readonly<Record<string, RegExp>>;

export type Reason = keyof typeof PATTERNS;

/** What is said where there is more than visitors may read: on a page they have a reference for whoever can. */
const LOG_SAYS = /; the log of Paastis says why$/;

/** A reason, and the language it is in. */
export interface Said {
  readonly text: string;
  readonly language: Language;
}

/** A reason in `language` where we know it, else as it is: in English, or whatever an app printed. Pure. */
export function reasonIn(language: Language, why: string): Said {
  const { reasons } = TEXTS[language];
  const bare = why.replace(LOG_SAYS, "");
  if (reasons === null) return { text: bare, language };
  for (const [reason, pattern] of Object.entries(PATTERNS)) {
    const found = pattern.exec(bare);
    if (found === null) continue;
    // The very keys of the table.
    const text = reasons[reason as Reason];
    return { text: fill(text, definedIn(found.groups)), language };
  }
  return { text: bare, language: "en" };
}

/** Every reason there is, for tests. */
export function reasonNames(): readonly Reason[] {
  // The very keys of the table.
  return Object.keys(PATTERNS) as Reason[];
}

function definedIn(groups: Readonly<Record<string, string | undefined>> = {}) {
  return Object.fromEntries(
    Object.entries(groups).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
