/** Parsers for the texts that environment variables and flags hold, each with the sentence that says what it allows. */

import { isIP } from "node:net";
import { CronTime } from "cron";
import { nearestWord } from "./nearest.ts";

/** What became of a text. `why` adds to "must be <allowed>" what that does not say; usually it is empty. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: string };

/** Reads a trimmed text that is not empty. */
export interface Parser<T> {
  /** Completes "must be …". */
  readonly allowed: string;
  parse(text: string): Parsed<T>;
}

/** Longest time a timer of the runtime can wait, in ms (32-bit signed). */
const TIMER_MAX_MS = 0x7fffffff;
/** Ten years, in minutes: beyond it somebody meant `never` or mistyped. */
export const IDLE_MINUTES_MAX = 5_256_000;
/** A key of an app: letters, digits and hyphens as in a DNS label (RFC 1123 section 2.1), lower case. */
const KEY = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;

/** The sentence about keys, for every place that must refuse one. */
export const KEY_ALLOWED = "letters, digits and hyphens, at most 63, with no hyphen at either end";

/** @returns the key in lower case, or `null` when no Host's first label could ever equal it */
export function keyOf(text: string): string | null {
  const key = text.toLowerCase();
  return KEY.test(key) ? key : null;
}

/** Any text. */
export function text(allowed: string): Parser<string> {
  return { allowed, parse: accept };
}

/** A path of a URL, as a request names it. */
export function path(): Parser<string> {
  return {
    allowed: "a path that begins with /",
    parse: (value) => (/^\/[^\s#]*$/.test(value) ? accept(value) : refuse()),
  };
}

/** A whole number between two bounds, both included. */
export function wholeNumber(min: number, max: number): Parser<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    parse(value) {
      const number = Number(value);
      return /^\d+$/.test(value) && number >= min && number <= max ? accept(number) : refuse();
    },
  };
}

/** A time in whole milliseconds that a timer can wait. */
export function milliseconds(min: number): Parser<number> {
  return wholeNumber(min, TIMER_MAX_MS);
}

/** Like `milliseconds`, but 0 gives `null`: no limit. */
export function millisecondsOrOff(): Parser<number | null> {
  const parser = milliseconds(0);
  return {
    allowed: `${parser.allowed} (0: no limit)`,
    parse(value) {
      const parsed = parser.parse(value);
      return parsed.ok && parsed.value === 0 ? accept(null) : parsed;
    },
  };
}

/** A size: bytes, or a whole number with a unit, in steps of 1024. */
export function bytes(min: number, max: number): Parser<number> {
  return {
    allowed: `a size from ${min} bytes to ${sizeText(max)}, such as 65536 or 64kb`,
    parse(value) {
      const size = sizeOf(value);
      return size !== null && size >= min && size <= max ? accept(size) : refuse();
    },
  };
}

/** Like `bytes`, but 0 gives `null`: no limit. */
export function bytesOrOff(): Parser<number | null> {
  return {
    allowed: "a size, such as 1048576, 512kb, 100mb or 2gb (0: no limit)",
    parse(value) {
      const size = sizeOf(value);
      if (size === null) return refuse();
      return accept(size === 0 ? null : size);
    },
  };
}

/** How often 1024 is in each unit. */
const UNITS: Readonly<Record<string, number>> = {
  "": 0,
  b: 0,
  kb: 1,
  k: 1,
  mb: 2,
  m: 2,
  gb: 3,
  g: 3,
};

function sizeOf(value: string): number | null {
  const [, digits = "", unit = ""] = /^(\d{1,15}) ?([kmg]?b?)$/i.exec(value) ?? [];
  const power = UNITS[unit.toLowerCase()];
  if (digits === "" || power === undefined) return null;
  const size = Number(digits) * 1024 ** power;
  return Number.isSafeInteger(size) ? size : null;
}

function sizeText(size: number): string {
  if (size % 1024 ** 2 === 0) return `${size / 1024 ** 2}mb`;
  return size % 1024 === 0 ? `${size / 1024}kb` : `${size}`;
}

/** Minutes, fractions allowed; gives milliseconds. */
export function minutes(): Parser<number> {
  return {
    allowed: `a number of minutes from 0 to ${IDLE_MINUTES_MAX}, such as 15 or 0.5`,
    parse(value) {
      const number = Number(value);
      if (!/^(?:\d+\.?\d*|\.\d+)$/.test(value) || number > IDLE_MINUTES_MAX) return refuse();
      return accept(Math.round(number * 60_000));
    },
  };
}

/** Largest amount of money that is no mistake. */
const AMOUNT_MAX = 1_000_000;

/** An amount of money, fractions allowed. */
export function amount(): Parser<number> {
  return {
    allowed: `an amount above 0, such as 0.05, at most ${AMOUNT_MAX}`,
    parse(value) {
      const number = Number(value);
      const isAmount = /^(?:\d+\.?\d*|\.\d+)$/.test(value) && number > 0 && number <= AMOUNT_MAX;
      return isAmount ? accept(number) : refuse();
    },
  };
}

/** The code of a currency (ISO 4217), in any case. */
export function currencyCode(): Parser<string> {
  return {
    allowed: "the three letters of a currency, such as EUR or USD",
    parse: (value) => (/^[a-z]{3}$/i.test(value) ? accept(value.toUpperCase()) : refuse()),
  };
}

/** Yes or no. */
export function onOff(): Parser<boolean> {
  const words = new Map([
    ...["1", "true", "yes", "on"].map((word) => [word, true] as const),
    ...["0", "false", "no", "off"].map((word) => [word, false] as const),
  ]);
  return {
    allowed: "1 or 0 (true, false, yes, no, on and off work too)",
    parse(value) {
      const chosen = words.get(value.toLowerCase());
      return chosen === undefined ? refuse() : accept(chosen);
    },
  };
}

/** @param later words that are known, but that this version cannot do yet */
export function oneOf<const T extends string>(
  words: readonly T[],
  later: readonly string[] = [],
): Parser<T> {
  return {
    allowed: words.length === 1 ? `${words[0]}` : alternatives(words),
    parse(value) {
      const word = value.toLowerCase();
      const chosen = words.find((candidate) => candidate === word);
      if (chosen !== undefined) return accept(chosen);
      if (later.includes(word)) return refuse(`this version cannot do "${word}" yet`);
      const meant = nearestWord(word, words);
      return refuse(meant === null ? "" : `did you mean ${meant}?`);
    },
  };
}

/** Several words, separated by commas; each counts once, in the order given. */
export function someOf<const T extends string>(words: readonly T[]): Parser<readonly T[]> {
  const one = oneOf(words);
  return {
    allowed: `one or several of ${words.join(", ")}, separated by commas`,
    parse(value) {
      const parts = splitList(value.toLowerCase());
      const wrong = parts.filter((part) => !one.parse(part).ok);
      if (wrong.length > 0) return refuse(whyNone(wrong, words));
      const chosen = parts.flatMap((part) => words.find((word) => word === part) ?? []);
      return chosen.length === 0 ? refuse() : accept([...new Set(chosen)]);
    },
  };
}

function whyNone(wrong: readonly string[], words: readonly string[]): string {
  const [first = "", ...others] = wrong;
  if (others.length > 0) {
    const each = wrong.map((word) => {
      const meant = nearestWord(word, words);
      return meant === null ? `"${word}"` : `"${word}" (${meant}?)`;
    });
    return `${each.join(", ")} are none of them`;
  }
  const meant = nearestWord(first, words);
  return `"${first}" is none of them${meant === null ? "" : `: did you mean ${meant}?`}`;
}

/** Keys of apps, separated by commas, in any case; each counts once. */
export function keys(): Parser<readonly string[]> {
  return {
    allowed: "keys of apps, separated by commas",
    parse: (value) => accept([...new Set(splitList(value.toLowerCase()))]),
  };
}

/** The key of one app, in any case. */
export function key(): Parser<string> {
  return {
    allowed: `the key of an app: ${KEY_ALLOWED}`,
    parse(value) {
      const found = keyOf(value);
      return found === null ? refuse() : accept(found);
    },
  };
}

/** An address to listen on. */
export function hostAddress(): Parser<string> {
  return {
    allowed: "an IP address or a host name, such as 0.0.0.0, :: or localhost",
    parse(value) {
      const host = value.replace(/^\[(.*)\]$/, "$1");
      return isIP(host) !== 0 || isHostName(host) ? accept(host) : refuse();
    },
  };
}

/** Host names and addresses, separated by commas; in lower case, addresses of IPv6 without brackets. */
export function hosts(): Parser<readonly string[]> {
  return {
    allowed:
      "host names or IP addresses without a port, separated by commas, such as admin.example.com or 10.0.0.5",
    parse(value) {
      const names = splitList(value).map((name) => name.toLowerCase().replace(/^\[(.*)\]$/, "$1"));
      const wrong = names.find((name) => isIP(name) === 0 && !isHostName(name));
      return wrong === undefined ? accept([...new Set(names)]) : refuse(`"${wrong}" is none`);
    },
  };
}

/** IP addresses and address ranges, separated by commas. */
export function addressRanges(): Parser<readonly string[]> {
  return {
    allowed:
      "IP addresses or ranges, separated by commas, such as 10.0.0.0/8, 127.0.0.1 or fd00::/8",
    parse(value) {
      const ranges = splitList(value);
      const wrong = ranges.find((range) => !isAddressRange(range));
      return wrong === undefined ? accept([...new Set(ranges)]) : refuse(`"${wrong}" is none`);
    },
  };
}

/** A cron expression that fires at least once in the coming years. */
export function cronExpression(): Parser<string> {
  return {
    allowed: "five cron fields, or six with seconds first, such as * * * * *",
    parse(value) {
      const fields = value.split(/\s+/).length;
      if (fields < 5 || fields > 6) return refuse(`it has ${fields} field${fields > 1 ? "s" : ""}`);
      try {
        new CronTime(value).sendAt();
        return accept(value);
      } catch (error) {
        return refuse(reasonOfCron(error));
      }
    },
  };
}

function reasonOfCron(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message.startsWith("Something went wrong")) return "no date ever fits it";
  return message.charAt(0).toLowerCase() + message.slice(1);
}

function isHostName(host: string): boolean {
  // A name of digits and dots alone is a mistyped address, such as 127.0.0.
  return HOST_NAME.test(host) && !/^[\d.]+$/.test(host);
}

function isAddressRange(range: string): boolean {
  const [address = "", prefix, ...rest] = range.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (prefix === undefined) return true;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}

function splitList(value: string): string[] {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function alternatives(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function accept<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

function refuse(why = ""): Parsed<never> {
  return { ok: false, why };
}
