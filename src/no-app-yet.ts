/** What the log advises when the program starts and knows no app. */

import type { Completeness } from "./provider-lists.ts";

/** Why there is no app, and what to do. */
export interface NoAppAdvice {
  /** Something is to be done; otherwise it is only a matter of waiting. */
  readonly isWarning: boolean;
  readonly message: string;
  readonly next: string;
}

/**
 * Pure. Apps of platforms come with their lists; `paastis.yml` is worth a word only where no platform was named.
 * @param about.platforms names of the providers that list what is there, rather than what `paastis.yml` declares
 */
export function adviseWithoutApps(about: {
  readonly platforms: readonly string[];
  readonly completeness: Completeness;
  /** Whether the file exists. */
  readonly hasFile: boolean;
}): NoAppAdvice {
  const { platforms, completeness, hasFile } = about;
  const names = platforms.join(", ");
  if (platforms.length === 0) {
    const next = hasFile
      ? "declare apps in paastis.yml; it is read when it changes"
      : "make a paastis.yml that declares apps, or name a platform in PROVIDER_NAME";
    return { isWarning: true, message: "there is no app yet", next };
  }
  if (completeness === "complete") {
    return {
      isWarning: true,
      message: `there is no app yet: ${names} ${platforms.length === 1 ? "lists" : "list"} none`,
      next: "look whether the credentials and regions are those of your apps; new apps are found by themselves",
    };
  }
  return {
    isWarning: completeness === "stuck",
    message: `there is no app yet: the first list of ${names} has not come in full`,
    next: "apps are found by themselves as soon as it comes; `paastis check --online` tries the credentials",
  };
}
