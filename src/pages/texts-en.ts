/** The texts of our pages in English. */

import type { AnswerCode } from "../errors.ts";
import { ANSWER_CODES } from "../errors.ts";
import type { Texts } from "./texts.ts";

export const ENGLISH: Texts = {
  direction: "ltr",
  wakingTitle: "{app} is waking up",
  wakingIntro:
    "It went to sleep because nobody was using it. It opens here by itself as soon as it is ready.",
  progress: "Waking {app}",
  elapsed: "{time} so far.",
  pace: {
    first: "This is the first wake we see, so we can’t say how long it takes.",
    usual: "It usually takes about {time}.",
    longer: "This takes longer than usual (about {time}).",
  },
  steps: {
    stopping: "Finishing a stop that was under way, then starting",
    starting: "Starting the app",
    answering: "The app was started; waiting for its first answer",
    trying: "Still trying: {obstacle}",
  },
  ready: "Ready. Opening it.",
  interrupted: "The connection is interrupted; trying again.",
  looksAgain: "This page looks again every {time}.",
  failedTitle: "{app} could not be woken",
  crashedTitle: "{app} has ended by itself",
  reason: "Reason",
  retry: "Try again",
  retryIn: "Try again in {time}",
  reference: "Reference",
  forOperators: "For whoever runs this site",
  footer: "Put to sleep and woken by Paastis",
  advice: {
    retry: "Trying again often helps. If it goes on like this, please tell whoever runs this site.",
    later: "This is on purpose, and will pass. Please come back later.",
    address: "Please check the address. If it is right, tell whoever runs this site.",
    request:
      "Your browser sent something that cannot be passed on. Please go back and try another way.",
  },
  errors: meaningsOf(ANSWER_CODES),
  reasons: null,
};

/** English is what the table of codes is written in. */
function meaningsOf(
  codes: Readonly<Record<AnswerCode, { readonly meaning: string }>>,
): Readonly<Record<AnswerCode, string>> {
  const meanings = Object.entries(codes).map(([code, { meaning }]) => [code, meaning]);
  // The very keys that came in.
  return Object.fromEntries(meanings) as Record<AnswerCode, string>;
}
