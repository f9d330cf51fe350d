/** Versions of the Engine API: which one to speak. Pure. */

import type { EngineRefusal } from "./docker-errors.ts";

/** What these calls were written for: Docker 25. Engines of later versions speak it too. */
const OURS = "1.44";
/** What every engine of today speaks at least, where it does not say: Docker 20.10, Podman 4. */
const OLDEST = "1.40";

/** @param theirs the newest version that the engine says it speaks; empty: it does not say */
export function chosenVersion(theirs: string): string {
  const newest = numbersOf(theirs);
  const ours = numbersOf(OURS);
  if (newest === null || ours === null) return OLDEST;
  const isOlder = newest[0] < ours[0] || (newest[0] === ours[0] && newest[1] < ours[1]);
  return isOlder ? theirs : OURS;
}

function numbersOf(version: string): readonly [number, number] | null {
  const [, major, minor] = /^(\d+)\.(\d+)$/.exec(version) ?? [];
  return major === undefined || minor === undefined ? null : [Number(major), Number(minor)];
}

/**
 * Whether the engine refused a call for its version: another one has taken the place of the one that was asked.
 * Source: moby `daemon/server/middleware/version.go`; "client version 1.44 is too new."
 */
export function isVersionRefusal({ status, words }: EngineRefusal): boolean {
  return status === 400 && /client version .* is too (new|old)/.test(words);
}
