/** What `doctor` finds: one look at one thing. */

/** One row of its report. */
export interface Finding {
  /** `null`: it concerns the machine. */
  readonly instance: string | null;
  /** What was looked at, in a word or two. */
  readonly check: string;
  readonly verdict: "fine" | "doubtful" | "wrong";
  /** What was seen. */
  readonly saw: string;
  /** What to do; `null`: nothing. */
  readonly advice: string | null;
}

/** Makes findings of one instance, or of the machine. */
export interface Findings {
  fine(check: string, saw: string): Finding;
  doubtful(check: string, saw: string, advice: string): Finding;
  wrong(check: string, saw: string, advice: string): Finding;
}

/** @param instance `null`: the machine */
export function findingsOf(instance: string | null): Findings {
  return {
    fine: (check, saw) => ({ instance, check, verdict: "fine", saw, advice: null }),
    doubtful: (check, saw, advice) => ({ instance, check, verdict: "doubtful", saw, advice }),
    wrong: (check, saw, advice) => ({ instance, check, verdict: "wrong", saw, advice }),
  };
}
