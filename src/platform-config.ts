/** The accounts on platforms that the variables describe, and what is missing of them. Pure. */

import type { CleverCloudConfig, Config, HerokuConfig, ScalingoConfig } from "./config.ts";
import type { EnvironmentValues } from "./environment.ts";
import { REGION_PLACE } from "./provider-variables.ts";

const CLEVER_API = "https://api.clever-cloud.com";
/** Takes bearers, which the other one does not. */
const CLEVER_API_BRIDGE = "https://api-bridge.clever-cloud.com";

/** Accounts of the named providers; `null` where one is not named. `accountProblems` must have found nothing. */
export function accountsOf(
  values: EnvironmentValues,
): Pick<Config, "scalingo" | "heroku" | "cleverCloud"> {
  const isNamed = (name: Config["providers"][number]) => values.providers.includes(name);
  return {
    scalingo: isNamed("scalingo") ? scalingoOf(values) : null,
    heroku: isNamed("heroku") ? herokuOf(values) : null,
    cleverCloud: isNamed("clever-cloud") ? cleverCloudOf(values) : null,
  };
}

function scalingoOf(values: EnvironmentValues): ScalingoConfig {
  return {
    token: values.scalingoToken ?? "",
    regions: values.regions,
    operationTimeoutMs: values.scalingoOperationTimeoutMs,
    callsPerMinute: values.scalingoCallsPerMinute,
    apiUrl: values.scalingoApiUrl,
    authUrl: values.scalingoAuthUrl,
  };
}

function herokuOf(values: EnvironmentValues): HerokuConfig {
  return {
    token: values.herokuToken ?? "",
    operationTimeoutMs: values.herokuOperationTimeoutMs,
    callsPerMinute: values.herokuCallsPerMinute,
    apiUrl: values.herokuApiUrl,
  };
}

function cleverCloudOf(values: EnvironmentValues): CleverCloudConfig {
  const credentials = cleverCredentialsOf(values);
  const usualUrl = credentials.kind === "token" ? CLEVER_API_BRIDGE : CLEVER_API;
  return {
    credentials,
    operationTimeoutMs: values.cleverOperationTimeoutMs,
    callsPerMinute: values.cleverCallsPerMinute,
    apiUrl: values.cleverApiUrl ?? usualUrl,
  };
}

function cleverCredentialsOf(values: EnvironmentValues): CleverCloudConfig["credentials"] {
  if (values.cleverToken !== null) return { kind: "token", token: values.cleverToken };
  return {
    kind: "oauth1",
    consumerKey: values.cleverConsumerKey ?? "",
    consumerSecret: values.cleverConsumerSecret ?? "",
    token: values.cleverOauthToken ?? "",
    secret: values.cleverOauthSecret ?? "",
  };
}

/** What keeps the named platforms from being asked. One sentence each. */
export function accountProblems(values: EnvironmentValues): string[] {
  const { providers, scalingoToken, scalingoApiUrl, regions, herokuToken } = values;
  const problems: string[] = [];
  if (providers.includes("scalingo") && scalingoToken === null) {
    problems.push(missing("PROVIDER_SCALINGO_API_TOKEN", "scalingo"));
  }
  if (regions.length > 1 && scalingoApiUrl !== null && !scalingoApiUrl.includes(REGION_PLACE)) {
    problems.push(
      `PROVIDER_SCALINGO_API_URL must have ${REGION_PLACE} in it: PROVIDER_REGION names ${regions.length} regions`,
    );
  }
  if (providers.includes("heroku") && herokuToken === null) {
    problems.push(missing("PROVIDER_HEROKU_API_TOKEN", "heroku"));
  }
  if (providers.includes("clever-cloud")) problems.push(...cleverProblems(values));
  return problems;
}

function missing(name: string, provider: string): string {
  return `${name} is required, as PROVIDER_NAME has ${provider}`;
}

function cleverProblems(values: EnvironmentValues): string[] {
  const parts = Object.entries({
    PROVIDER_CLEVER_OAUTH_CONSUMER_KEY: values.cleverConsumerKey,
    PROVIDER_CLEVER_OAUTH_CONSUMER_SECRET: values.cleverConsumerSecret,
    PROVIDER_CLEVER_TOKEN: values.cleverOauthToken,
    PROVIDER_CLEVER_SECRET: values.cleverOauthSecret,
  });
  const absent = parts.filter(([, value]) => value === null).map(([name]) => name);
  const hasOauth = absent.length < parts.length;
  if (values.cleverToken !== null) {
    if (!hasOauth) return [];
    const given = parts.filter(([, value]) => value !== null).map(([name]) => name);
    return [
      `PROVIDER_CLEVER_API_TOKEN takes the place of ${given.join(", ")}: give one or the other`,
    ];
  }
  if (!hasOauth) {
    const others = parts.map(([name]) => name).join(", ");
    return [`${missing("PROVIDER_CLEVER_API_TOKEN", "clever-cloud")}; or all of ${others}`];
  }
  return absent.map((name) => missing(name, "clever-cloud"));
}
