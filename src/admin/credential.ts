/** What a request brings along to prove who sent it. Pure. */

import type { RequestHead } from "../engines/engine.ts";
import { SESSION_COOKIE_FORM } from "./session.ts";

/** `sessions`: values of cookies that may be one. A token wins over them: whoever sends one means it. */
export type Credential =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly text: string; readonly from: string }
  | { readonly kind: "sessions"; readonly values: readonly string[] };

/** The header for tokens. */
export const TOKEN_HEADER = "x-admin-token";

const BEARER = /^bearer $/i;
/** What stands before a bearer token, one space included (RFC 6750, section 2.1), in characters. */
export const BEARER_CHARACTERS = "Bearer ".length;
const NONE: Credential = { kind: "none" };

/** A token in the address is none: it would be in logs, histories and `Referer`. */
export function credentialOf(head: RequestHead): Credential {
  const own = head.header(TOKEN_HEADER);
  if (own !== null) return { kind: "token", text: own, from: TOKEN_HEADER };
  const bearer = bearerIn(head.header("authorization") ?? "");
  if (bearer !== null) return { kind: "token", text: bearer, from: "authorization" };
  const values = sessionsIn(head.header("cookie") ?? "");
  return values.length === 0 ? NONE : { kind: "sessions", values };
}

/** @returns `null`: it is of another scheme, such as `Basic`, and so for somebody else */
export function bearerIn(authorization: string): string | null {
  if (!BEARER.test(authorization.slice(0, BEARER_CHARACTERS))) return null;
  return authorization.slice(BEARER_CHARACTERS);
}

/** So many may come from neighbours of the host. */
const VALUES_MAX = 8;

/** Values of cookies that have the name of a session, of whichever Paastis. */
function sessionsIn(cookie: string): readonly string[] {
  if (!cookie.includes("paastis-")) return [];
  return pairsIn(cookie)
    .filter(({ name }) => SESSION_COOKIE_FORM.test(name))
    .map(({ value }) => value)
    .slice(0, VALUES_MAX);
}

/** The pairs of a `Cookie` header, as they stand there. */
export function pairsIn(
  cookie: string,
): readonly { readonly name: string; readonly value: string; readonly text: string }[] {
  return cookie.split(";").map((text) => {
    const end = text.indexOf("=");
    const name = end === -1 ? "" : text.slice(0, end).trim();
    return { name, value: text.slice(end + 1).trim(), text };
  });
}
