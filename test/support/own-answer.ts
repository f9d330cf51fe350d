/** Reading the answers that Paastis gives itself. */

import type { Admission, Answer, Held } from "../../src/engines/engine.ts";

/** A header's value; `null` when the answer has none. */
export function headerOf(answer: Answer, name: string): string | null {
  const found = answer.headers.find(([other]) => other.toLowerCase() === name.toLowerCase());
  return found?.[1] ?? null;
}

/** What a test looks at: `503 app_waking, again after 5 s`. */
export function summaryOf(admission: Admission): string {
  if (admission.kind === "held") return "held";
  if (admission.kind === "forward") return `to ${admission.target.origin}`;
  const { answer } = admission;
  const retryAfter = headerOf(answer, "Retry-After");
  const again = retryAfter === null ? "" : `, again after ${retryAfter} s`;
  return `${answer.status} ${headerOf(answer, "paastis-error")}${again}`;
}

/** @throws Error when the request is not held */
export function held(admission: Admission): Held {
  if (admission.kind !== "held") throw new Error(`It is not held: ${summaryOf(admission)}`);
  return admission;
}

/** @throws Error when the request is not answered by Paastis itself */
export function answered(admission: Admission): Answer {
  if (admission.kind !== "answer") throw new Error(`It is not answered: ${summaryOf(admission)}`);
  return admission.answer;
}
