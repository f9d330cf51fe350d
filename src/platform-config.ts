/** The accounts on platforms that the variables describe, and what is missing of them. Pure. */

import type {
  Accounts,
  CleverCloudConfig,
  Config,
  FlyConfig,
  HerokuConfig,
  ProviderName,
  RenderConfig,
  ScalingoConfig,
  UpsunConfig,
} from "./config.ts";
import {
  dockerOf,
  dockerProblems,
  kubernetesOf,
  kubernetesProblems,
  type Places,
} from "./container-config.ts";
import type { EnvironmentValues } from "./environment.ts";
import { APP_PLACE, REGION_PLACE } from "./provider-variables.ts";

const CLEVER_API = "https://api.clever-cloud.com";
/** Takes bearers, which the other one does not. */
const CLEVER_API_BRIDGE = "https://api-bridge.clever-cloud.com";

/** Accounts of the named providers; `null` where one is not named. `accountProblems` must have found nothing. */
export function accountsOf(values: EnvironmentValues, places: Places): Accounts {
  const isNamed = (name: Config["providers"][number]) => values.providers.includes(name);
  return {
    docker: isNamed("docker") ? dockerOf(values, places) : null,
    kubernetes: isNamed("kubernetes") ? kubernetesOf(values, places) : null,
    scalingo: isNamed("scalingo") ? scalingoOf(values) : null,
    heroku: isNamed("heroku") ? herokuOf(values) : null,
    cleverCloud: isNamed("clever-cloud") ? cleverCloudOf(values) : null,
    render: isNamed("render") ? renderOf(values) : null,
    fly: isNamed("fly") ? flyOf(values) : null,
    upsun: isNamed("upsun") ? upsunOf(values) : null,
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

function renderOf(values: EnvironmentValues): RenderConfig {
  return {
    token: values.renderToken ?? "",
    operationTimeoutMs: values.renderOperationTimeoutMs,
    callsPerMinute: values.renderCallsPerMinute,
    apiUrl: values.renderApiUrl,
  };
}

function flyOf(values: EnvironmentValues): FlyConfig {
  return {
    token: values.flyToken ?? "",
    organization: values.flyOrganization,
    sleepMode: values.flySleepMode,
    appUrl: values.flyAppUrl,
    operationTimeoutMs: values.flyOperationTimeoutMs,
    callsPerMinute: values.flyCallsPerMinute,
    apiUrl: values.flyApiUrl,
  };
}

function upsunOf(values: EnvironmentValues): UpsunConfig {
  return {
    token: values.upsunToken ?? "",
    projects: values.upsunProjects,
    operationTimeoutMs: values.upsunOperationTimeoutMs,
    callsPerMinute: values.upsunCallsPerMinute,
    apiUrl: values.upsunApiUrl,
    authUrl: values.upsunAuthUrl,
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
export function accountProblems(values: EnvironmentValues, places: Places): string[] {
  return values.providers.flatMap((provider) => [
    // Those that are no platforms have no account.
    ...tokenProblems(provider, values),
    ...(MORE_PROBLEMS[provider]?.(values, places) ?? []),
  ]);
}

function tokenProblems(provider: ProviderName, values: EnvironmentValues): string[] {
  const tokens: Partial<Record<ProviderName, { name: string; value: string | null }>> =
    tokensOf(values);
  const token = tokens[provider];
  return token === undefined || token.value !== null ? [] : [missing(token.name, provider)];
}

type FindProblems = (values: EnvironmentValues, places: Places) => string[];

/** What can be wrong besides a missing token. */
const MORE_PROBLEMS: Readonly<Partial<Record<ProviderName, FindProblems>>> = {
  docker: dockerProblems,
  kubernetes: kubernetesProblems,
  scalingo: scalingoProblems,
  "clever-cloud": cleverProblems,
  fly: flyProblems,
};

function scalingoProblems({ regions, scalingoApiUrl }: EnvironmentValues): string[] {
  if (regions.length < 2 || scalingoApiUrl === null || scalingoApiUrl.includes(REGION_PLACE)) {
    return [];
  }
  return [
    `PROVIDER_SCALINGO_API_URL must have ${REGION_PLACE} in it: PROVIDER_REGION names ${regions.length} regions`,
  ];
}

function flyProblems({ flyAppUrl }: EnvironmentValues): string[] {
  if (flyAppUrl.includes(APP_PLACE)) return [];
  return [`PROVIDER_FLY_APP_URL must have ${APP_PLACE} in it: every app has a name of its own`];
}

/** The one credential that each of these needs. */
function tokensOf(values: EnvironmentValues) {
  return {
    scalingo: { name: "PROVIDER_SCALINGO_API_TOKEN", value: values.scalingoToken },
    heroku: { name: "PROVIDER_HEROKU_API_TOKEN", value: values.herokuToken },
    render: { name: "PROVIDER_RENDER_API_TOKEN", value: values.renderToken },
    fly: { name: "PROVIDER_FLY_API_TOKEN", value: values.flyToken },
    upsun: { name: "PROVIDER_UPSUN_API_TOKEN", value: values.upsunToken },
  } satisfies Partial<Record<ProviderName, unknown>>;
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
