/** What our pages say: which texts there are, in every language. */

import type { AnswerCode } from "../errors.ts";
import type { Language } from "./language.ts";
import type { Reason } from "./reasons.ts";
import { GERMAN } from "./texts-de.ts";
import { ENGLISH } from "./texts-en.ts";
import { SPANISH } from "./texts-es.ts";
import { FRENCH } from "./texts-fr.ts";

/** What a wake is at. `trying`: a call is made again, see `obstacle`. */
export const WAKE_STEPS = ["stopping", "starting", "answering", "trying"] as const;

export type WakeStep = (typeof WAKE_STEPS)[number];

/** What a visitor can do about an error. */
export type Advice = "retry" | "later" | "address" | "request";

/** All texts in one language. Words in braces are filled in; a language without one of the texts does not compile. */
export interface Texts {
  readonly direction: "ltr" | "rtl";
  /** `{app}`. Heading and title. */
  readonly wakingTitle: string;
  readonly wakingIntro: string;
  /** `{app}`. Names the bar for who does not see it. */
  readonly progress: string;
  /** `{time}`: how long it has taken so far. */
  readonly elapsed: string;
  /** What follows it: there is no estimate; there is one; it has run out. The last two have `{time}`. */
  readonly pace: Readonly<Record<"first" | "usual" | "longer", string>>;
  /** What is done now. `trying` has `{obstacle}`. */
  readonly steps: Readonly<Record<WakeStep, string>>;
  readonly ready: string;
  readonly interrupted: string;
  /** `{time}`. For browsers without JavaScript. */
  readonly looksAgain: string;
  /** `{app}`. Heading and title. */
  readonly failedTitle: string;
  /** `{app}`. Heading and title: it was up, and ended. */
  readonly crashedTitle: string;
  readonly reason: string;
  readonly retry: string;
  /** `{time}`. */
  readonly retryIn: string;
  readonly reference: string;
  readonly forOperators: string;
  readonly footer: string;
  readonly advice: Readonly<Record<Advice, string>>;
  /** What happened, for each code. */
  readonly errors: Readonly<Record<AnswerCode, string>>;
  /** The reasons that Paastis itself gives. `null`: they are in this language already. */
  readonly reasons: Readonly<Record<Reason, string>> | null;
}

/** The texts of every language. */
export const TEXTS: Readonly<Record<Language, Texts>> = {
  en: ENGLISH,
  fr: FRENCH,
  de: GERMAN,
  es: SPANISH,
};

/** A text with its words in braces filled in. Values are plain text. Pure. */
export function fill(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\{(\w+)\}/g, (slot, name: string) => values[name] ?? slot);
}

/** A time for people, alike in all our languages: `7 s`, `90 s`, `2 min`, `2 min 5 s`. Pure. */
export function timeText(seconds: number): string {
  if (seconds < 100) return `${seconds} s`;
  const rest = seconds % 60;
  const minutes = `${Math.floor(seconds / 60)} min`;
  return rest === 0 ? minutes : `${minutes} ${rest} s`;
}
