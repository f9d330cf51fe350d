/** Values that owners of apps write on them as labels or annotations, which are texts. Pure. */

/** Reads one value. */
export interface LabelReader<T> {
  /** Completes "must be …". */
  readonly allowed: string;
  /** @returns `undefined` when it is none */
  readonly read: (text: string) => T | undefined;
}

const IDLE_MINUTES_MAX = 5_256_000;
const TIMEOUT_SECONDS_MAX = 86_400;
/** As in the first label of a host: RFC 1123, section 2.1. */
const KEY = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const KEY_ALLOWED = "letters, digits and hyphens, at most 63, with no hyphen at either end";

/** The key of an app, in any case; read in lower case. */
export function keyLabel(): LabelReader<string> {
  return {
    allowed: `the key of an app (${KEY_ALLOWED})`,
    read: (text) => (KEY.test(text.toLowerCase()) ? text.toLowerCase() : undefined),
  };
}

/** Keys of apps, separated by commas; each counts once. */
export function keysLabel(): LabelReader<readonly string[]> {
  return {
    allowed: `keys of apps, separated by commas (${KEY_ALLOWED})`,
    read(text) {
      const parts = text.split(",").map((part) => part.trim().toLowerCase());
      const named = [...new Set(parts.filter((part) => part !== ""))];
      return named.every((part) => KEY.test(part)) ? named : undefined;
    },
  };
}

/** Minutes, or `never`: as `app_max_idle_time` of `paastis.yml`. */
export function idleMinutesLabel(): LabelReader<number | "never"> {
  return {
    allowed: `a number of minutes from 0 to ${IDLE_MINUTES_MAX}, or never`,
    read: (text) =>
      text.toLowerCase() === "never" ? "never" : decimal(text, { min: 0, max: IDLE_MINUTES_MAX }),
  };
}

/** Seconds: as `wake_timeout` of `paastis.yml`. */
export function wakeTimeoutLabel(): LabelReader<number> {
  return {
    allowed: `a number of seconds above 0, at most ${TIMEOUT_SECONDS_MAX}`,
    read: (text) => decimal(text, { min: 0, max: TIMEOUT_SECONDS_MAX }) || undefined,
  };
}

/** Digits only. */
export function wholeNumberLabel(min: number, max: number): LabelReader<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    read: (text) => (/^\d+$/.test(text) ? decimal(text, { min, max }) : undefined),
  };
}

/** A path of a URL: as `health` of `paastis.yml`. */
export function pathLabel(): LabelReader<string> {
  return {
    allowed: "a path that begins with /",
    read: (text) => (/^\/[^\s#]*$/.test(text) ? text : undefined),
  };
}

/** One of these words, in any case. */
export function wordLabel<const T extends string>(words: readonly T[]): LabelReader<T> {
  return {
    allowed: words.join(" or "),
    read: (text) => words.find((word) => word === text.toLowerCase()),
  };
}

/** Any text but none. */
export function textLabel(allowed: string): LabelReader<string> {
  return { allowed, read: (text) => (text === "" ? undefined : text) };
}

function decimal(
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  const number = /^(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  return number >= min && number <= max ? number : undefined;
}

const SHOWN_CHARS_MAX = 100;

/** A value in quotes, for messages; not all of a long one. */
export function shownLabel(text: string): string {
  return JSON.stringify(
    text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text,
  );
}
