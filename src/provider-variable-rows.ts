/** Rows and parsers that the variables of several platforms have in common. */

import { type Parsed, type Parser, text, wholeNumber } from "./setting-parsers.ts";
import { type Variable, variable } from "./variable.ts";

const SECONDS_MAX = 24 * 60 * 60;
const CALLS_PER_MINUTE_MAX = 1_000_000;
const NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** A credential, which never appears in a message: one word, or a phrase of visible characters and blanks. */
export function secret(
  name: string,
  {
    allowed,
    doc,
    isPhrase = false,
  }: { readonly allowed: string; readonly doc: string; readonly isPhrase?: boolean },
): Variable<string | null> {
  return variable<string | null>({
    name,
    parser: isPhrase ? phrase(allowed) : word(allowed),
    fallback: null,
    secret: true,
    doc,
  });
}

/** `PROVIDER_<platform>_OPERATION_TIMEOUT`. */
export function operationTimeout(platform: string, seconds: number): Variable<number> {
  return variable<number>({
    name: `PROVIDER_${platform}_OPERATION_TIMEOUT`,
    parser: wholeSeconds(),
    fallback: seconds * 1000,
    defaultText: `\`${seconds}\``,
    doc: "How long one operation is followed before the app's own state decides, in seconds; the wake goes on.",
  });
}

/** `PROVIDER_<platform>_CALLS_PER_MINUTE`. */
export function callsPerMinute(
  platform: string,
  { calls, doc }: { readonly calls: number; readonly doc: string },
): Variable<number> {
  const parser = wholeNumber(1, CALLS_PER_MINUTE_MAX);
  return variable<number>({
    name: `PROVIDER_${platform}_CALLS_PER_MINUTE`,
    parser,
    fallback: calls,
    doc,
  });
}

/** A credential goes into a header: one word of visible characters. */
function word(allowed: string): Parser<string> {
  const parser = text(`${allowed}: one word without spaces`);
  return { ...parser, parse: (value) => (/^[!-~]+$/.test(value) ? parser.parse(value) : NOT) };
}

/** Like `word`, but a scheme such as `FlyV1` may stand before it, and people copy that too. */
function phrase(allowed: string): Parser<string> {
  const parser = text(allowed);
  return { ...parser, parse: (value) => (/^[ -~]+$/.test(value) ? parser.parse(value) : NOT) };
}

const NOT: Parsed<never> = { ok: false, why: "" };

/** Seconds to milliseconds. */
export function wholeSeconds(): Parser<number> {
  const parser = wholeNumber(1, SECONDS_MAX);
  return {
    allowed: `${parser.allowed}, in seconds`,
    parse(value) {
      const parsed = parser.parse(value);
      return parsed.ok ? { ok: true, value: parsed.value * 1000 } : parsed;
    },
  };
}

/** Without a slash at its end. @param place what may stand in it besides */
export function apiUrl(place?: string): Parser<string> {
  const places = place === undefined ? "" : `, where ${place} may stand in the name of the host`;
  return {
    allowed: `an http or https URL without credentials and query${places}`,
    parse(value) {
      const url = URL.parse(place === undefined ? value : value.replaceAll(place, "region"));
      const isPlain = url !== null && /^https?:$/.test(url.protocol) && !/[?#@\s]/.test(value);
      return isPlain ? { ok: true, value: value.replace(/\/+$/, "") } : NOT;
    },
  };
}

/** Names of letters, digits and hyphens, in lower case; each counts once. */
export function nameList(allowed: string): Parser<readonly string[]> {
  return {
    allowed,
    parse(value) {
      const names = value
        .toLowerCase()
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "");
      const wrong = names.find((name) => !NAME.test(name));
      if (wrong !== undefined) return { ok: false, why: `"${wrong}" is none` };
      return names.length === 0 ? NOT : { ok: true, value: [...new Set(names)] };
    },
  };
}

/** One name of letters, digits and hyphens, in lower case. */
export function oneName(allowed: string): Parser<string> {
  return {
    allowed,
    parse(value) {
      const name = value.toLowerCase();
      return NAME.test(name) ? { ok: true, value: name } : NOT;
    },
  };
}
