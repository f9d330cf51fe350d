/** The environment variables of the platforms: credentials, addresses of their APIs, and how long to follow them. */

import { CONTAINER_VARIABLES } from "./container-variables.ts";
import {
  apiUrl,
  callsPerMinute,
  nameList,
  oneName,
  operationTimeout,
  secret,
} from "./provider-variable-rows.ts";
import { oneOf } from "./setting-parsers.ts";
import { variable } from "./variable.ts";

/** Stands for the name of a region in `PROVIDER_SCALINGO_API_URL`. */
export const REGION_PLACE = "{region}";

/** Stands for the name of an app in `PROVIDER_FLY_APP_URL`. */
export const APP_PLACE = "{app}";

/** Rows of the table of variables. */
export const PROVIDER_VARIABLES = {
  ...CONTAINER_VARIABLES,
  regions: variable<readonly string[]>({
    name: "PROVIDER_REGION",
    parser: nameList("names of regions, separated by commas, such as osc-fr1"),
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
  renderToken: secret("PROVIDER_RENDER_API_TOKEN", {
    allowed: "an API key",
    doc: "An API key of Render.",
  }),
  renderOperationTimeoutMs: operationTimeout("RENDER", 60),
  renderCallsPerMinute: callsPerMinute("RENDER", {
    calls: 120,
    doc: "How many calls to Render's API are made per minute; the platform refuses the 401st of a user.",
  }),
  renderApiUrl: variable<string>({
    name: "PROVIDER_RENDER_API_URL",
    parser: apiUrl(),
    fallback: "https://api.render.com/v1",
    doc: "The address of Render's API.",
  }),
  flyToken: secret("PROVIDER_FLY_API_TOKEN", {
    allowed: "an access token",
    isPhrase: true,
    doc: "A token of Fly.io for the organization: `fly tokens create org`.",
  }),
  flyOrganization: variable<string>({
    name: "PROVIDER_FLY_ORGANIZATION",
    parser: oneName("the slug of an organization, such as personal"),
    fallback: "personal",
    doc: "The organization on Fly.io whose apps are looked after.",
  }),
  flySleepMode: variable<"suspend" | "stop">({
    name: "PROVIDER_FLY_SLEEP_MODE",
    parser: oneOf(["suspend", "stop"]),
    fallback: "suspend",
    doc: "What a sleep does to the machines of an app on Fly.io: suspend those that can be, or stop all of them.",
  }),
  flyOperationTimeoutMs: operationTimeout("FLY", 60),
  flyCallsPerMinute: callsPerMinute("FLY", {
    calls: 120,
    doc: "How many calls to Fly.io's API are made per minute.",
  }),
  flyApiUrl: variable<string>({
    name: "PROVIDER_FLY_API_URL",
    parser: apiUrl(),
    fallback: "https://api.machines.dev",
    doc: "The address of Fly.io's Machines API, without `/v1`.",
  }),
  flyAppUrl: variable<string>({
    name: "PROVIDER_FLY_APP_URL",
    parser: apiUrl(APP_PLACE),
    fallback: `https://${APP_PLACE}.fly.dev`,
    doc: `Where apps on Fly.io answer; ${APP_PLACE} stands for the name of each. Inside a private network: \`http://${APP_PLACE}.flycast\`.`,
  }),
  upsunToken: secret("PROVIDER_UPSUN_API_TOKEN", {
    allowed: "an API token",
    doc: "An API token of Upsun, as its console makes them.",
  }),
  upsunProjects: variable<readonly string[] | null>({
    name: "PROVIDER_UPSUN_PROJECTS",
    parser: nameList("ids of projects, separated by commas"),
    fallback: null,
    defaultText: "all",
    doc: "The projects on Upsun whose environments are looked after.",
  }),
  upsunOperationTimeoutMs: operationTimeout("UPSUN", 60),
  upsunCallsPerMinute: callsPerMinute("UPSUN", {
    calls: 60,
    doc: "How many calls to Upsun's API are made per minute.",
  }),
  upsunApiUrl: variable<string>({
    name: "PROVIDER_UPSUN_API_URL",
    parser: apiUrl(),
    fallback: "https://api.upsun.com",
    doc: "The address of Upsun's API.",
  }),
  upsunAuthUrl: variable<string>({
    name: "PROVIDER_UPSUN_AUTH_URL",
    parser: apiUrl(),
    fallback: "https://auth.upsun.com",
    doc: "The address of Upsun's authentication API.",
  }),
} as const;
