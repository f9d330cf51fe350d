/** Which Paastis this is: its version, and the commit that it was built from. */

import { version } from "../package.json" with { type: "json" };

/** Put in its place by the build; nobody has defined it where the source itself runs. */
declare const PAASTIS_COMMIT: string;

/** The commit's hash, `-dirty` behind it where files were changed since; `unknown`: the build did not know either. */
export const COMMIT: string = typeof PAASTIS_COMMIT === "string" ? PAASTIS_COMMIT : "unknown";

/** Both in one line, the version first: `0.1.0 (commit 5645aa891ba3)`. Pure. */
export function describeVersion(commit: string): string {
  const [, hash = commit, rest = ""] = /^([0-9a-f]{12})[0-9a-f]*(.*)$/.exec(commit) ?? [];
  return `${version} (commit ${hash}${rest})`;
}
