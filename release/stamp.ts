/** What a build is marked with: the commit that it was made from, and when that was made. */

import { run } from "./run.ts";

/** The mark of a build. */
export interface Stamp {
  /** Hash of the commit, `-dirty` behind it where files differ from it; `unknown` outside of a repository. */
  readonly commit: string;
  /** When the commit was made, in seconds since the Unix epoch; `null`: nobody knows. */
  readonly madeS: number | null;
}

/**
 * `PAASTIS_COMMIT` and `SOURCE_DATE_EPOCH` (https://reproducible-builds.org/specs/source-date-epoch/) win over what git
 * says. Never throws: where git is missing the commit is `unknown`.
 * @param root folder of the checkout
 */
export async function readStamp(
  root: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Stamp> {
  const seconds = env.SOURCE_DATE_EPOCH || null;
  const madeS = seconds === null ? null : Number(seconds);
  if (madeS !== null && !Number.isSafeInteger(madeS)) {
    throw new Error(`SOURCE_DATE_EPOCH must be a number of seconds: it is ${seconds}`);
  }
  if (env.PAASTIS_COMMIT) return { commit: env.PAASTIS_COMMIT, madeS };
  try {
    // A folder inside of somebody else's repository has no commit of its own.
    const prefix = await git(root, "rev-parse", "--show-prefix");
    if (prefix !== "") return { commit: "unknown", madeS };
    const [hash = "", made = ""] = (await git(root, "log", "-1", "--format=%H %ct")).split(" ");
    const isDirty = (await git(root, "status", "--porcelain")) !== "";
    return { commit: `${hash}${isDirty ? "-dirty" : ""}`, madeS: madeS ?? Number(made) };
  } catch {
    // No git, no repository, or no commit in it yet: all of them mean that nobody knows.
    return { commit: "unknown", madeS };
  }
}

async function git(root: string, ...words: readonly string[]): Promise<string> {
  return (await run(["git", "-C", root, ...words])).trim();
}
