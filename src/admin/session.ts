/** What a browser has after a log-in: a signed value that ends after a time. */

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Log-ins of browsers. */
export interface Sessions {
  /** Name of the cookie. @param isSecure whether it came by TLS: then nobody but this very host can have set it */
  cookieName(isSecure: boolean): string;
  /** @returns a new one, for the cookie */
  open(): string;
  isOpen(value: string): boolean;
  /** Ends it here. Safe to repeat, and for values that are none. */
  close(value: string): void;
  /** How long one lasts, ms. */
  readonly lifeMs: number;
}

/** What they are made of. */
export interface SessionsOptions {
  /** What one logs in with: with another one no session of this one is open any more. */
  readonly secret: string;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Left out: 12 hours. */
  readonly lifeMs?: number;
}

const LIFE_MS = 12 * 3_600_000;
const NONCE_BYTES = 16;
/** Ended before their time; of more, those that would end first anyway are forgotten. */
const CLOSED_MAX = 1000;
const FORM = /^([0-9a-z]{1,12})\.([\w-]{22})\.([\w-]{43})$/;
/** Cookies do not tell ports apart (RFC 6265, section 8.5): several programs of one machine have one name each. */
const NAME_DIGITS = 8;
/** Only this very host can set a cookie of such a name, and only by TLS (RFC 6265bis, section 4.1.3.2). */
const HOST_PREFIX = "__Host-";
const NAME_PREFIX = "paastis-";

/** The cookie of any Paastis on any port of a host: none of them is for an app. */
export const SESSION_COOKIE_FORM = /^(?:__Host-)?paastis-[0-9a-f]{8}$/;

/**
 * Nobody is logged in. A session holds wherever the secret is the same, so over a restart and on other instances, until
 * its time is over; one that was closed is so here alone, and until this program ends.
 */
export function createSessions(options: SessionsOptions): Sessions {
  const { secret, now, lifeMs = LIFE_MS } = options;
  const key = createHash("sha256").update(`paastis session\n${secret}`).digest();
  const name = NAME_PREFIX + mac(key, "name").toString("hex").slice(0, NAME_DIGITS);
  // By nonce: when it would have ended.
  const closed = new Map<string, number>();
  function read(value: string): { readonly nonce: string; readonly endMs: number } | null {
    const [, end = "", nonce = "", signature = ""] = FORM.exec(value) ?? [];
    const expected = mac(key, `${end}.${nonce}`);
    const given = Buffer.from(signature, "base64url");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
    return { nonce, endMs: Number.parseInt(end, 36) };
  }
  return {
    lifeMs,
    cookieName: (isSecure) => (isSecure ? HOST_PREFIX : "") + name,
    open() {
      const nonce = randomBytes(NONCE_BYTES).toString("base64url");
      const end = (now() + lifeMs).toString(36);
      return `${end}.${nonce}.${mac(key, `${end}.${nonce}`).toString("base64url")}`;
    },
    isOpen(value) {
      const session = read(value);
      return session !== null && now() < session.endMs && !closed.has(session.nonce);
    },
    close(value) {
      const session = read(value);
      if (session === null || now() >= session.endMs) return;
      closed.set(session.nonce, session.endMs);
      if (closed.size > CLOSED_MAX) forgetOne(closed);
    },
  };
}

function mac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function forgetOne(closed: Map<string, number>): void {
  const [first] = [...closed].sort(([, one], [, other]) => one - other);
  if (first !== undefined) closed.delete(first[0]);
}
