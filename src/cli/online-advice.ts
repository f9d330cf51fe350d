/** Why a platform could not be asked, and which settings to look at: for `check --online`. */

import type { Config, ProviderName } from "../config.ts";
import { providerVariables } from "../environment.ts";
import { messageOf } from "../errors.ts";
import { regionsOf } from "../provider-kinds.ts";
import type { PlatformFetch } from "../providers/platform-api.ts";
import { ProviderError } from "../providers/provider.ts";
import { inWords } from "./table.ts";

/** A `fetch` that remembers where it was sent. */
export interface CallRecord {
  readonly fetch: PlatformFetch;
  /** The addresses to blame, by what they answered last; without their queries. */
  asked(): readonly string[];
}

/** Passes every call on. */
export function createCallRecord(fetch: PlatformFetch): CallRecord {
  const calls = new Map<string, "bad" | "pending" | "good">();
  return {
    async fetch(url, init) {
      const address = init.unix === undefined ? url.replace(/[?#].*$/, "") : `unix://${init.unix}`;
      calls.set(address, "pending");
      try {
        const response = await fetch(url, init);
        calls.set(address, response.ok ? "good" : "bad");
        return response;
      } catch (error) {
        calls.set(address, "bad");
        throw error;
      }
    },
    asked() {
      // One that was refused says more than one that is still waited for, and that more than half an answer.
      const groups = ["bad", "pending", "good"].map((wanted) =>
        [...calls.keys()].filter((address) => calls.get(address) === wanted),
      );
      return groups.find((addresses) => addresses.length > 0) ?? [];
    },
  };
}

/** What is known about a platform that was tried. */
export interface Attempt {
  readonly provider: ProviderName;
  readonly config: Config;
  /** Our variables that have a value, by name; secrets without it. */
  readonly given: ReadonlyMap<string, string>;
  readonly asked: readonly string[];
}

/** Pure. One paragraph: what could not be done, why, and what to look at. */
export function adviceFor(error: unknown, attempt: Attempt): string {
  const why = withoutIds(messageOf(error));
  const kind = error instanceof ProviderError ? error.kind : "failed";
  switch (kind) {
    case "auth":
      return sentences(why, askedAt(why, attempt), checkThese(why, secretsOf(attempt)));
    case "forbidden":
      // It may be the account that is shut out, whatever the token.
      return sentences(
        why,
        checkThese(why, [...regionOf(attempt), ...(/token/.test(why) ? secretsOf(attempt) : [])]),
      );
    case "not-found":
    case "network":
    case "protocol":
    case "failed":
      return sentences(
        why,
        askedAt(why, attempt),
        checkThese(why, [...regionOf(attempt), ...addressesOf(attempt)]),
      );
    case "rate-limited":
    case "unavailable":
      return sentences(why, "Try again later");
    default:
      return sentences(why);
  }
}

/** By which a platform's support finds a call: nothing to look at here. */
function withoutIds(message: string): string {
  return message.replace(/(?: \[request [^\]]*\]|; [\w-]+-Id \S+)$/i, "");
}

function sentences(...parts: readonly string[]): string {
  return parts
    .filter((part) => part !== "")
    .map((part) => part.replace(/[.?!]?$/, (end) => end || "."))
    .join(" ");
}

/** A message may name its variable itself. */
function checkThese(why: string, names: readonly string[]): string {
  const others = names.filter((name) => !why.split(/\W+/).includes(name.split(" ")[0] ?? ""));
  return others.length === 0 ? "" : `Check ${inWords(others)}`;
}

/** A message may name the place itself. */
function askedAt(why: string, { asked }: Attempt): string {
  const others = asked.filter((address) => !why.includes(address));
  return others.length === 0 ? "" : `Asked at ${inWords(others)}`;
}

function secretsOf({ provider, given }: Attempt): string[] {
  return providerVariables().flatMap(({ name, provider: whose, isSecret }) =>
    whose === provider && isSecret && given.has(name) ? name : [],
  );
}

/** Only one that somebody has set can be wrong, and only one by which we came there. */
function addressesOf({ provider, given, asked }: Attempt): string[] {
  return providerVariables().flatMap(({ name, provider: whose }) => {
    const value = given.get(name) ?? "";
    if (whose !== provider || !/^https?:/.test(value)) return [];
    const start = value.replace(/\/+$/, "").split(/\{\w+\}/);
    return asked.some((address) => beginsWith(address, start)) ? name : [];
  });
}

/** @param start pieces between which anything may stand, such as the name of a region */
function beginsWith(address: string, start: readonly string[]): boolean {
  const pattern = start.map((piece) => RegExp.escape(piece)).join("[^/]+");
  return new RegExp(`^${pattern}(?:/|$)`, "i").test(address);
}

/** The regions that the addresses have in their names. */
function regionOf({ asked, config }: Attempt): string[] {
  const named = regionsOf(config).filter((region) =>
    asked.some((address) => address.includes(region)),
  );
  return named.length === 0 ? [] : [`PROVIDER_REGION (${inWords(named)})`];
}
