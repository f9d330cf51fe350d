/** Compares a secret with what somebody sends in its place, and makes new ones. */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { AdminConfig } from "../config.ts";

/** A check that takes as long for a wrong text as for the right one, whatever their lengths. */
export function createSecretCheck(secret: string): (given: string) => boolean {
  const expected = digest(secret);
  return (given) => timingSafeEqual(digest(given), expected);
}

/** All digests are of one length, so that comparing them tells nothing. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** The token that opens the admin endpoints; `null`: none does. */
export function tokenOf({
  token,
  startToken,
}: Pick<AdminConfig, "startToken" | "token">): string | null {
  return token ?? startToken ?? null;
}

/** A check of that token. */
export function createTokenCheck(
  config: Pick<AdminConfig, "startToken" | "token">,
): (given: string) => boolean {
  const token = tokenOf(config);
  return token === null ? () => false : createSecretCheck(token);
}

const BYTES = 20;

/** One that nobody can guess, and that passes through headers, forms, shells and a double click as it is. */
export function newSecret(): string {
  return randomBytes(BYTES).toString("hex");
}
