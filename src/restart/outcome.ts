/** What came of the last restart without a gap: a small file in the data folder, for whoever has asked for it. */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** How it ended. */
export interface RestartOutcome {
  /** Number of the process that was to be replaced. */
  readonly from: number;
  /** Of the one that has taken its place; `null`: none has. */
  readonly to: number | null;
  /** Why none has, or why it is the program that ran before; `null`: the new program has. */
  readonly why: string | null;
}

const FILE = "restart.json";

/** Never throws: nobody may be waiting for it. @param dataDir absolute; `null`: nothing can be written */
export function noteOutcome(dataDir: string | null, outcome: RestartOutcome): void {
  if (dataDir === null) return;
  try {
    writeFileSync(join(dataDir, FILE), `${JSON.stringify(outcome)}\n`, { mode: 0o600 });
  } catch {
    // The log says it, too.
    return;
  }
}

/** What an earlier restart came to is not to be taken for that of the next one. @throws Error when it cannot be removed */
export function forgetOutcome(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true });
}

/** @returns `null`: there is none, or not yet all of it */
export function readOutcome(dataDir: string): RestartOutcome | null {
  try {
    const { from, to, why } = JSON.parse(readFileSync(join(dataDir, FILE), "utf8"));
    if (typeof from !== "number") return null;
    return {
      from,
      to: typeof to === "number" ? to : null,
      why: typeof why === "string" ? why : null,
    };
  } catch {
    return null;
  }
}
