/** The environment variables of the platforms: credentials, addresses of their APIs, and how long to follow them. */

import { type Parsed, type Parser, text, wholeNumber } from "./setting-parsers.ts";
import { type Variable, variable } from "./variable.ts";

/** Stands for the name of a region in `PROVIDER_SCALINGO_API_URL`. */
export const REGION_PLACE = "{region}";

const SECONDS_MAX = 24 * 60 * 60;
const CALLS_PER_MINUTE_MAX = 1_000_000;
const REGION = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** Rows of the table of variables. */
export const PROVIDER_VARIABLES = {
  regions: variable<readonly string[]>({
    name: "PROVIDER_REGION",
    parser: regionNames(),
    fallback: ["osc-fr1"],
    defaultText: "`osc-fr1`",
    doc: "The regions whose apps are looked after, one or several; Scalingo only, as other accounts know no regions.",
  }),
  scalingoToken: secret("PROVIDER_SCALINGO_API_TOKEN", {
    allowed: "an API token",
    doc: "An API token of Scalingo, as its dashboard makes them.",
  }),
  scalingoOperationTimeoutMs: operationTimeout("SCALINGO", 30),
  scalingoCallsPerMinute: callsPerMinute("SCALINGO", {
    calls: 40,
    doc: "How many calls to Scalingo's API are made per minute; the platform refuses the 61st of an account.",
  }),
  scalingoApiUrl: variable<string | null>({
    name: "PROVIDER_SCALINGO_API_URL",
    parser: apiUrl(REGION_PLACE),
    fallback: null,
    defaultText: `\`https://api.${REGION_PLACE}.scalingo.com\``,
    doc: `The address of Scalingo's API; ${REGION_PLACE} stands for the name of each region.`,
  }),
  scalingoAuthUrl: variable<string>({
    name: "PROVIDER_SCALINGO_AUTH_URL",
    parser: apiUrl(),
    fallback: "https://auth.scalingo.com",
    doc: "The address of Scalingo's authentication API.",
  }),
  herokuToken: secret("PROVIDER_HEROKU_API_TOKEN", {
    allowed: "an API token",
    doc: "A token of Heroku that does not expire: `heroku authorizations:create`.",
  }),
  herokuOperationTimeoutMs: operationTimeout("HEROKU", 30),
  herokuCallsPerMinute: callsPerMinute("HEROKU", {
    calls: 60,
    doc: "How many calls to Heroku's API are made per minute; what the platform says to be left counts besides.",
  }),
  herokuApiUrl: variable<string>({
    name: "PROVIDER_HEROKU_API_URL",
    parser: apiUrl(),
    fallback: "https://api.heroku.com",
    doc: "The address of Heroku's API.",
  }),
  cleverToken: secret("PROVIDER_CLEVER_API_TOKEN", {
    allowed: "an API token",
    doc: "An API token of Clever Cloud, instead of the four values of OAuth1.",
  }),
  cleverConsumerKey: secret("PROVIDER_CLEVER_OAUTH_CONSUMER_KEY", {
    allowed: "a consumer key",
    doc: "OAuth1 of Clever Cloud: the key of the consumer.",
  }),
  cleverConsumerSecret: secret("PROVIDER_CLEVER_OAUTH_CONSUMER_SECRET", {
    allowed: "a consumer secret",
    doc: "OAuth1 of Clever Cloud: the secret of the consumer.",
  }),
  cleverOauthToken: secret("PROVIDER_CLEVER_TOKEN", {
    allowed: "an OAuth1 token",
    doc: "OAuth1 of Clever Cloud: the token of the account.",
  }),
  cleverOauthSecret: secret("PROVIDER_CLEVER_SECRET", {
    allowed: "the secret of an OAuth1 token",
    doc: "OAuth1 of Clever Cloud: the secret of that token.",
  }),
  cleverOperationTimeoutMs: operationTimeout("CLEVER", 60),
  cleverCallsPerMinute: callsPerMinute("CLEVER", {
    calls: 60,
    doc: "How many calls to Clever Cloud's API are made per minute.",
  }),
  cleverApiUrl: variable<string | null>({
    name: "PROVIDER_CLEVER_API_HOST",
    parser: apiUrl(),
    fallback: null,
    defaultText:
      "`https://api.clever-cloud.com`; `https://api-bridge.clever-cloud.com` with a token",
    doc: "The address of Clever Cloud's API.",
  }),
} as const;

function secret(
  name: string,
  { allowed, doc }: { readonly allowed: string; readonly doc: string },
): Variable<string | null> {
  return variable<string | null>({
    name,
    parser: word(allowed),
    fallback: null,
    secret: true,
    doc,
  });
}

function operationTimeout(platform: string, seconds: number): Variable<number> {
  return variable<number>({
    name: `PROVIDER_${platform}_OPERATION_TIMEOUT`,
    parser: wholeSeconds(),
    fallback: seconds * 1000,
    defaultText: `\`${seconds}\``,
    doc: "How long one operation is followed before the app's own state decides, in seconds; the wake goes on.",
  });
}

function callsPerMinute(
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

const NOT: Parsed<never> = { ok: false, why: "" };

function wholeSeconds(): Parser<number> {
  const parser = wholeNumber(1, SECONDS_MAX);
  return {
    allowed: `${parser.allowed}, in seconds`,
    parse(value) {
      const parsed = parser.parse(value);
      return parsed.ok ? { ok: true, value: parsed.value * 1000 } : parsed;
    },
  };
}

function regionNames(): Parser<readonly string[]> {
  return {
    allowed: "names of regions, separated by commas, such as osc-fr1",
    parse(value) {
      const names = value
        .toLowerCase()
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "");
      const wrong = names.find((name) => !REGION.test(name));
      if (wrong !== undefined) return { ok: false, why: `"${wrong}" is none` };
      return names.length === 0 ? NOT : { ok: true, value: [...new Set(names)] };
    },
  };
}

/** Without a slash at its end. @param place what may stand in it besides */
function apiUrl(place?: string): Parser<string> {
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
