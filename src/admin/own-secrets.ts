/** Keeps what is meant for Paastis alone from apps. */

import type { AdminConfig } from "../config.ts";
import type { WithoutSecrets } from "../headers.ts";
import { BEARER_CHARACTERS, bearerIn, pairsIn } from "./credential.ts";
import { createTokenCheck, tokenOf } from "./secret.ts";
import { SESSION_COOKIE_FORM } from "./session.ts";

/**
 * The headers as an app may see them: without our token, and without sessions. Whatever else stands there, a token of
 * the app's own in a header of the same name, stays as it came.
 */
export function createWithoutSecrets(
  config: Pick<AdminConfig, "startToken" | "token">,
): WithoutSecrets {
  const token = tokenOf(config);
  const isToken = createTokenCheck(config);
  // Apps get tokens of their own with each request: nearly all are told apart by their length alone.
  const length = token?.length ?? -1;
  return (name, value) => {
    switch (name) {
      case "x-admin-token":
        return value.length === length && isToken(value) ? null : value;
      case "authorization":
        if (value.length !== BEARER_CHARACTERS + length) return value;
        return isToken(bearerIn(value) ?? "") ? null : value;
      case "cookie":
        return withoutSessions(value);
    }
  };
}

function withoutSessions(cookie: string): string | null {
  if (!cookie.includes("paastis-")) return cookie;
  const pairs = pairsIn(cookie);
  const kept = pairs.filter(({ name }) => !SESSION_COOKIE_FORM.test(name));
  if (kept.length === pairs.length) return cookie;
  const rest = kept
    .map(({ text }) => text)
    .join(";")
    .trim();
  return rest === "" ? null : rest;
}
